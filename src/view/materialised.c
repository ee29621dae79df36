/*
 * materialised.c: a view's materialised part: its table, and what writes to it.
 *
 * The table belongs to the extension's owner, so that nobody reads it past the view's grants and row security, and
 * goes with the view (an automatic dependency). A row's identity, for logical replication, is the whole row: it has no key, and where a
 * publication has the table (that of all tables, say), PostgreSQL would let nobody correct it without one. Rows come in from the executor's output in bulk, as CREATE TABLE AS
 * does it. Only a holder of the view's correction lock writes here, and each transaction that does changes
 * the view's row in tidemark.frontier too.
 */
#include "tidemark.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "aggregate/planner.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "catalog/toasting.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "stream/brin_entries.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "view/answer.h"
#include "view/change_log.h"
#include "view/keys.h"
#include "view/materialised.h"
#include "view/slice.h"
#include "view/last_entries.h"

/* ---- the table ------------------------------------------------------------------------------- */

List *
materialised_columns(TupleDesc columns)
{
	List *definitions = NIL;

	for (int i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, i);

		definitions = lappend(definitions, makeColumnDef(psprintf("c%d", i + 1), column->atttypid,
														 column->atttypmod, column->attcollation));
	}
	return definitions;
}

static void
run_utility(const char *sql)
{
	RoleSession session = catalog_begin();

	if (SPI_execute(sql, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run: %s", sql);
	catalog_end(session);
}

void
materialised_create_index(Oid table, const char *definition)
{
	run_utility(psprintf("CREATE INDEX ON %s.%s USING %s", TIDEMARK_DATA_SCHEMA,
						 quote_identifier(get_rel_name(table)), definition));
}

Oid
materialised_create_table(Oid view, const char *label, List *columns, int fillfactor)
{
	CreateStmt *create = makeNode(CreateStmt);
	Oid userid;
	int sec_context;
	ObjectAddress table;
	ObjectAddress owner;

	create->relation =
		makeRangeVar(TIDEMARK_DATA_SCHEMA,
					 ChooseRelationName(get_rel_name(view), NULL, label,
										get_namespace_oid(TIDEMARK_DATA_SCHEMA, false), false),
					 -1);
	create->tableElts = columns;
	create->oncommit = ONCOMMIT_NOOP;
	create->options = list_make1(makeDefElem("fillfactor", (Node *) makeInteger(fillfactor), -1));

	GetUserIdAndSecContext(&userid, &sec_context);
	SetUserIdAndSecContext(catalog_owner(), sec_context | SECURITY_LOCAL_USERID_CHANGE);
	table = DefineRelation(create, RELKIND_RELATION, InvalidOid, NULL, NULL);
	SetUserIdAndSecContext(userid, sec_context);
	CommandCounterIncrement();
	NewRelationCreateToastTable(table.objectId, (Datum) 0);
	run_utility(psprintf("ALTER TABLE %s.%s REPLICA IDENTITY FULL", TIDEMARK_DATA_SCHEMA,
						 quote_identifier(get_rel_name(table.objectId))));
	ObjectAddressSet(owner, RelationRelationId, view);
	recordDependencyOn(&table, &owner, DEPENDENCY_AUTO);
	return table.objectId;
}

Oid
materialised_create(Oid view, const char *label, TupleDesc columns, AttrNumber time_attnum)
{
	Oid table = materialised_create_table(view, label, materialised_columns(columns), 100);

	materialised_create_index(table, psprintf("btree (c%d)", time_attnum));
	return table;
}

void
materialised_drop_tables(List *tables)
{
	ListCell *cell;

	foreach (cell, tables)
	{
		ObjectAddress table;

		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(cell))))
			continue;
		ObjectAddressSet(table, RelationRelationId, lfirst_oid(cell));
		performDeletion(&table, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	}
}

/* ---- bulk insertion as a destination of the executor -------------------------------------------- */

#define BULK_ROWS 1000
#define BULK_BYTES (1024 * 1024)

typedef struct Receiver
{
	DestReceiver receiver; /* first */
	ResultRelInfo *result;
	BrinEntries *brin; /* the BRIN indexes; result has the others */
	EState *estate;
	BulkInsertState bulk;
	TupleTableSlot *slots[BULK_ROWS];
	int n;
	Size bytes; /* of the rows in slots */
	uint64 rows;
} Receiver;

/* The rows' entries in the table's indexes. */
static void
index_rows(Receiver *self)
{
	ResultRelInfo *result = self->result;

	brin_entries_insert(self->brin, self->slots, self->n, self->estate);
	if (result->ri_NumIndices == 1 && last_entries_can(result->ri_IndexRelationDescs[0]))
	{
		last_entries_insert(result->ri_IndexRelationDescs[0], result->ri_RelationDesc, self->slots,
							self->n);
		return;
	}
	for (int i = 0; i < self->n && result->ri_NumIndices > 0; i++)
		list_free(compat_insert_index_tuples(result, self->slots[i], self->estate));
}

static void
flush_rows(Receiver *self)
{
	if (self->n == 0)
		return;
	table_multi_insert(self->result->ri_RelationDesc, self->slots, self->n,
					   GetCurrentCommandId(true), 0, self->bulk);
	index_rows(self);
	for (int i = 0; i < self->n; i++)
		ExecClearTuple(self->slots[i]);
	ResetPerTupleExprContext(self->estate);
	self->rows += self->n;
	self->n = 0;
	self->bytes = 0;
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *receiver)
{
	Receiver *self = (Receiver *) receiver;

	if (self->slots[self->n] == NULL)
		self->slots[self->n] = table_slot_create(self->result->ri_RelationDesc, NULL);
	ExecCopySlot(self->slots[self->n], slot);
	self->bytes += ExecFetchSlotHeapTuple(self->slots[self->n], false, NULL)->t_len;
	self->n++;
	if (self->n == BULK_ROWS || self->bytes >= BULK_BYTES)
		flush_rows(self);
	return true;
}

static void
start_receiver(DestReceiver *receiver, int operation, TupleDesc type)
{
	Receiver *self = (Receiver *) receiver;

	self->bulk = GetBulkInsertState();
	ExecOpenIndices(self->result, false);
	self->brin = brin_entries_begin(self->result);
}

static void
end_receiver(DestReceiver *receiver)
{
	Receiver *self = (Receiver *) receiver;

	flush_rows(self);
	FreeBulkInsertState(self->bulk);
	for (int i = 0; i < BULK_ROWS && self->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(self->slots[i]);
	ExecCloseIndices(self->result);
	brin_entries_end(self->brin);
}

static void
destroy_receiver(DestReceiver *receiver)
{
}

static Receiver *
create_receiver(Relation rel)
{
	Receiver *self = palloc0(sizeof(Receiver));

	self->receiver.receiveSlot = receive_row;
	self->receiver.rStartup = start_receiver;
	self->receiver.rShutdown = end_receiver;
	self->receiver.rDestroy = destroy_receiver;
	self->receiver.mydest = DestNone;
	self->estate = CreateExecutorState();
	self->result = makeNode(ResultRelInfo);
	InitResultRelInfo(self->result, rel, 0, NULL, 0);
	return self;
}

void
materialised_run(DestReceiver *receiver, void *query)
{
	slice_work_mem();
	slice_run(query, receiver, NULL);
}

/* A row's late event times since the last move; with more, all is taken to be changed. */
#define MAX_LATE 100

/* ---- what changes it ---------------------------------------------------------------------------- */

uint64
materialised_receive(const ContinuousView *view, MaterialisedSource source, void *arg)
{
	Relation rel = table_open(view->mat, RowExclusiveLock);
	RoleSession session = role_begin(relation_owner(view->relid));
	bool answer_before = answer_suspended;
	Receiver *receiver;

	answer_suspended = true;
	PG_TRY();
	{
		receiver = create_receiver(rel);
		source(&receiver->receiver, arg);
		FreeExecutorState(receiver->estate);
		CommandCounterIncrement();
	}
	PG_FINALLY();
	{
		answer_suspended = answer_before;
	}
	PG_END_TRY();
	role_end(session);
	table_close(rel, NoLock);
	return receiver->rows;
}

uint64
materialised_append(const ContinuousView *view, const Shape *shape, Query *batch, Ticks from,
					Ticks to)
{
	SliceBounds bounds;
	Query *slice;

	if (slice_is_empty(shape, from, to))
		return 0;
	bounds = slice_bounds(shape, from, to);
	slice = slice_query(batch, shape, &bounds, true, NULL);
	aggregate_swap_exact_always(slice);
	return materialised_receive(view, materialised_run, slice);
}

/* " AND (c3 = ANY ($n) OR c3 IS NULL)" */
static void
append_key_condition(StringInfo sql, const KeyValues *key, int parameter)
{
	appendStringInfo(sql, " AND (c%d OPERATOR(%s.%s) ANY ($%d)", key->column,
					 quote_identifier(strVal(linitial(key->equality))),
					 strVal(lsecond(key->equality)), parameter);
	if (key->with_null)
		appendStringInfo(sql, " OR c%d IS NULL", key->column);
	appendStringInfoChar(sql, ')');
}

MaterialisedRows
materialised_rows(const ContinuousView *view, Oid time_type, Ticks from, Ticks to, const List *keys)
{
	int n = 2 + list_length(keys);
	MaterialisedRows rows = {.n = n};
	StringInfoData sql;
	ListCell *cell;

	rows.types = palloc(n * sizeof(Oid));
	rows.values = palloc(n * sizeof(Datum));
	rows.types[0] = rows.types[1] = time_type;
	rows.values[0] = event_time_datum(time_type, from);
	rows.values[1] = event_time_datum(time_type, to);
	initStringInfo(&sql);
	appendStringInfo(&sql, "%s.%s WHERE c%d BETWEEN $1 AND $2", TIDEMARK_DATA_SCHEMA,
					 quote_identifier(get_rel_name(view->mat)), view->time_attnum);
	foreach (cell, keys)
	{
		const KeyValues *key = lfirst(cell);
		int i = 2 + foreach_current_index(cell);

		rows.types[i] = key->array_type;
		rows.values[i] = key->values;
		append_key_condition(&sql, key, i + 1);
	}
	rows.from_where = sql.data;
	return rows;
}

uint64
materialised_delete(const ContinuousView *view, Oid time_type, Ticks from, Ticks to,
					const List *keys, Tuplestorestate *gone)
{
	MaterialisedRows rows = materialised_rows(view, time_type, from, to, keys);
	char *sql = psprintf("DELETE FROM %s%s", rows.from_where, gone ? " RETURNING *" : "");

	if (gone)
		return change_log_keep(sql, &rows, gone);
	return catalog_execute(sql, rows.n, rows.types, rows.values, NULL);
}

void
materialised_truncate(const ContinuousView *view)
{
	char *sql =
		psprintf("TRUNCATE %s.%s", TIDEMARK_DATA_SCHEMA, quote_identifier(get_rel_name(view->mat)));

	(void) catalog_execute(sql, 0, NULL, NULL, NULL);
}

void
materialised_moved(Oid view, Ticks frontier, int64 rows)
{
	Oid types[] = {OIDOID, INT8OID, INT8OID};
	Datum values[] = {ObjectIdGetDatum(view), Int64GetDatum(frontier), Int64GetDatum(rows)};

	(void) catalog_execute("UPDATE tidemark.frontier SET frontier = $2, rows = rows + $3, late = "
						   "'{}' WHERE relid = $1",
						   3, types, values, NULL);
}

/* The event times, each once, as an array; nothing if they are too many. times: sorted. */
static bool
late_array(const Ticks *times, int n, Datum *array)
{
	Datum late[MAX_LATE];
	int count = 0;

	for (int i = 0; i < n; i++)
	{
		if (i > 0 && times[i] == times[i - 1])
			continue;
		if (count == MAX_LATE)
			return false;
		late[count++] = Int64GetDatum(times[i]);
	}
	*array = PointerGetDatum(
		construct_array(late, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	return true;
}

void
materialised_corrected(Oid view, Ticks frontier, int64 rows, const Ticks *inserted, int n)
{
	Oid types[] = {OIDOID, INT8OID, INT8OID, INT8ARRAYOID, INT4OID};
	Datum values[] = {ObjectIdGetDatum(view), Int64GetDatum(frontier), Int64GetDatum(rows), 0,
					  Int32GetDatum(MAX_LATE)};
	bool known = inserted && late_array(inserted, n, &values[3]);
	char nulls[] = {' ', ' ', ' ', known ? ' ' : 'n', ' ', '\0'};

	/* unknown || known would be known */
	(void) catalog_execute("UPDATE tidemark.frontier SET frontier = $2, rows = rows + $3, "
						   "corrections = corrections + 1, "
						   "saved = CASE WHEN $4 = '{}' THEN saved END, "
						   "logged_to = greatest(logged_to, frontier), "
						   "late = CASE WHEN late IS NOT NULL AND $4 IS NOT NULL AND frontier = $2 "
						   "AND cardinality(late || $4) <= $5 THEN late || $4 END "
						   "WHERE relid = $1",
						   5, types, values, nulls);
}

void
materialised_saved(Oid view, Ticks saved)
{
	Oid types[] = {OIDOID, INT8OID};
	Datum values[] = {ObjectIdGetDatum(view), Int64GetDatum(saved)};
	char nulls[] = {' ', saved == TICKS_MIN ? 'n' : ' ', '\0'};

	(void) catalog_execute("UPDATE tidemark.frontier SET saved = $2 WHERE relid = $1", 2, types,
						   values, nulls);
}

void
materialised_begins(Oid view, Ticks first)
{
	Oid types[] = {OIDOID, INT8OID};
	Datum values[] = {ObjectIdGetDatum(view), Int64GetDatum(first)};

	(void) catalog_execute("UPDATE tidemark.frontier SET first = $2 WHERE relid = $1", 2, types,
						   values, NULL);
}
