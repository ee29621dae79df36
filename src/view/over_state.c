/*
 * over_state.c: the states of a view's windows as rows of tables, for those who read the view.
 *
 * One table a frame, one row a key that has rows in it:
 *
 *   k1, k2, ...    the PARTITION BY expressions' values
 *   s1, s2, ...    the state of each of the frame's functions, as bytes (aggregate/sliding.h)
 *   rows           how many rows are in the frame
 *
 * They are written in the transaction that sets tidemark.frontier.saved, the event time for which they are right, so every snapshot
 * has states and time that fit. A maintainer that begins takes them in. Only the maintainer writes them, holding the view's lock, and only keys that changed. It
 * knows the place of each row; when the table's storage is another one (VACUUM FULL), all rows are written anew. A row is updated in place where
 * its page has room: the tables are filled by half.
 */
#include "tidemark.h"

#include "access/table.h"
#include "access/tableam.h"
#include "aggregate/sliding.h"
#include "catalog/pg_am.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "view/materialised.h"
#include "view/over_state.h"

#define FILLFACTOR 50

/* ---- the tables --------------------------------------------------------------------------------- */

/* Can the states be saved, and their keys be columns of a table? */
static bool
can_save(const OverFrame *frame)
{
	ListCell *cell;

	foreach (cell, frame->keys)
		if (get_typtype(((OverKey *) lfirst(cell))->type) == TYPTYPE_PSEUDO)
			return false;
	foreach (cell, frame->functions)
		if (!sliding_can_save(((OverFunction *) lfirst(cell))->method))
			return false;
	return true;
}

static List *
column_definitions(const OverFrame *frame)
{
	List *columns = NIL;
	ListCell *cell;

	foreach (cell, frame->keys)
	{
		OverKey *key = lfirst(cell);

		columns = lappend(columns, makeColumnDef(psprintf("k%d", foreach_current_index(cell) + 1),
												 key->type, key->typmod, key->collation));
	}
	foreach (cell, frame->functions)
		columns = lappend(columns, makeColumnDef(psprintf("s%d", foreach_current_index(cell) + 1),
												 BYTEAOID, -1, InvalidOid));
	return lappend(columns, makeColumnDef("rows", INT8OID, -1, InvalidOid));
}

/*
 * An index on the first key, for those who ask for some of many, and one of keys with nulls, which they don't find by it. A hash
 * index takes values of any length.
 */
static void
create_indexes(Oid table, const OverFrame *frame)
{
	OverKey *key = frame->keys ? linitial(frame->keys) : NULL;
	StringInfoData nulls;

	if (key == NULL)
		return;
	if (OidIsValid(GetDefaultOpClass(key->type, HASH_AM_OID)))
		materialised_create_index(table, "hash (k1)");
	initStringInfo(&nulls);
	for (int i = 1; i <= list_length(frame->keys); i++)
		appendStringInfo(&nulls, "%sk%d IS NULL", i == 1 ? "" : " OR ", i);
	materialised_create_index(table, psprintf("btree ((k1 IS NULL)) WHERE %s", nulls.data));
}

List *
over_state_create(Oid view, const OverWindow *window)
{
	List *tables = NIL;
	ListCell *cell;

	foreach (cell, window->frames)
		if (!can_save(lfirst(cell)))
			return NIL;
	foreach (cell, window->frames)
	{
		OverFrame *frame = lfirst(cell);
		Oid table = materialised_create_table(view, "state", column_definitions(frame), FILLFACTOR);

		create_indexes(table, frame);
		tables = lappend_oid(tables, table);
	}
	return tables;
}

/* Where windows read rows that the view keeps, the table of these is among the view's tables too. */
List *
over_state_tables(Oid view, const Shape *shape)
{
	return list_delete_oid(view_states(view), shape->stream.relid);
}

/* ---- writing ------------------------------------------------------------------------------------ */

typedef struct Writer
{
	OverKeyWriter writer; /* first */
	Relation rel;
	ResultRelInfo *result;
	EState *estate;
	TupleTableSlot *slot;
	int nkeys;
} Writer;

static void
fill_slot(Writer *self, const NullableDatum *keys, bytea **states, int64 rows)
{
	TupleTableSlot *slot = self->slot;
	int natts = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, natts * sizeof(bool));
	for (int i = 0; i < self->nkeys; i++)
	{
		slot->tts_values[i] = keys[i].value;
		slot->tts_isnull[i] = keys[i].isnull;
	}
	for (int i = self->nkeys; i < natts - 1; i++)
		slot->tts_values[i] = PointerGetDatum(states[i - self->nkeys]);
	slot->tts_values[natts - 1] = Int64GetDatum(rows);
	ExecStoreVirtualTuple(slot);
}

static void
write_row(OverKeyWriter *writer, ItemPointer tid, const NullableDatum *keys, bytea **states,
		  int64 rows)
{
	Writer *self = (Writer *) writer;
	bool into_indexes = true;

	fill_slot(self, keys, states, rows);
	if (ItemPointerIsValid(tid))
		into_indexes = compat_update_row(self->rel, tid, self->slot, GetActiveSnapshot());
	else
		simple_table_tuple_insert(self->rel, self->slot);
	if (into_indexes && self->result->ri_NumIndices > 0)
		list_free(compat_insert_index_tuples(self->result, self->slot, self->estate));
	*tid = self->slot->tts_tid;
	ResetPerTupleExprContext(self->estate);
}

static void
remove_row(OverKeyWriter *writer, ItemPointer tid)
{
	simple_table_tuple_delete(((Writer *) writer)->rel, tid, GetActiveSnapshot());
}

static void
delete_all(Oid table)
{
	char *sql =
		psprintf("DELETE FROM %s.%s", TIDEMARK_DATA_SCHEMA, quote_identifier(get_rel_name(table)));

	(void) catalog_execute(sql, 0, NULL, NULL, NULL);
}

bool
over_state_save(const OverFrame *frame, Oid table, OverKeys *keys, Oid *filenode)
{
	Relation rel = table_open(table, RowExclusiveLock);
	Writer self = {
		.writer = {write_row, remove_row}, .rel = rel, .nkeys = list_length(frame->keys)};
	bool saved;

	if (rel->rd_rel->relfilenode != *filenode)
	{
		delete_all(table);
		over_keys_unsaved(keys);
		*filenode = rel->rd_rel->relfilenode;
	}
	self.estate = CreateExecutorState();
	self.result = makeNode(ResultRelInfo);
	InitResultRelInfo(self.result, rel, 0, NULL, 0);
	ExecOpenIndices(self.result, false);
	self.slot = table_slot_create(rel, NULL);
	saved = over_keys_save(keys, &self.writer);
	ExecDropSingleTupleTableSlot(self.slot);
	ExecCloseIndices(self.result);
	FreeExecutorState(self.estate);
	table_close(rel, NoLock);
	CommandCounterIncrement();
	return saved;
}

/* ---- reading ------------------------------------------------------------------------------------ */

static void
load_row(TupleTableSlot *slot, int nkeys, OverKeys *keys)
{
	int natts = slot->tts_tupleDescriptor->natts;
	NullableDatum *values = palloc((nkeys + 1) * sizeof(NullableDatum));

	slot_getallattrs(slot);
	for (int i = 0; i < nkeys; i++)
		values[i] = (NullableDatum){slot->tts_values[i], slot->tts_isnull[i]};
	over_keys_load(keys, values, slot->tts_values + nkeys,
				   DatumGetInt64(slot->tts_values[natts - 1]), &slot->tts_tid);
}

void
over_state_load(const OverFrame *frame, Oid table, OverKeys *keys, Oid *filenode)
{
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "tidemark saved state", ALLOCSET_DEFAULT_SIZES);
	Relation rel = table_open(table, RowExclusiveLock);
	TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MemoryContext old = MemoryContextSwitchTo(scratch);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		load_row(slot, list_length(frame->keys), keys);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	*filenode = rel->rd_rel->relfilenode;
	table_close(rel, NoLock);
}
