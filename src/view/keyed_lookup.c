/*
 * keyed_lookup.c: the stored rows of a key, for one key after the other.
 *
 * There is an index on the keys, and each is looked up in it: a key's cost doesn't grow with the table. Keys that grow with time, as numbers of
 * orders do, are mostly new: those that are greater than the greatest one in the index need no look-up.
 *
 *      index        17 20 23 31
 *      looked up    17 21             32 33 34 are new
 *
 * The greatest one is taken when it begins; it may be one whose rows are gone, which does no harm. Without keys the table has few rows, and is read.
 */
#include "tidemark.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "view/keyed_lookup.h"

struct KeyedLookup
{
	Relation table;
	Relation index; /* NULL without keys */
	int nkeys;
	AttrNumber *columns; /* of the keys, in the table */
	IndexScanDesc scan;
	TableScanDesc whole; /* without keys */
	bool is_new;		 /* the key that was looked up last: it is behind all */
	ScanKeyData *equal;	 /* for each key: it equals, it is null */
	ScanKeyData *is_null;
	ScanKeyData *scan_keys;

	/* the first key's greatest value in the index */
	bool any; /* is there one? false: each key is looked up */
	Datum greatest;
};

/* ---- the index ------------------------------------------------------------------------------------ */

static bool
is_index_of_keys(const KeyedLookup *self, Relation index)
{
	Form_pg_index form = index->rd_index;

	if (form->indnkeyatts != self->nkeys || !form->indisvalid)
		return false;
	for (int i = 0; i < self->nkeys; i++)
		if (form->indkey.values[i] != self->columns[i])
			return false;
	return index->rd_rel->relam == BTREE_AM_OID;
}

static Relation
open_index_of_keys(const KeyedLookup *self)
{
	ListCell *cell;

	foreach (cell, RelationGetIndexList(self->table))
	{
		Relation index = index_open(lfirst_oid(cell), RowExclusiveLock);

		if (is_index_of_keys(self, index))
			return index;
		index_close(index, NoLock);
	}
	elog(ERROR, "table \"%s\" has no index on its keys", RelationGetRelationName(self->table));
}

static void
prepare_scan_keys(KeyedLookup *self, const Keyed *keyed)
{
	ListCell *cell;

	self->equal = palloc0(sizeof(ScanKeyData) * self->nkeys);
	self->is_null = palloc0(sizeof(ScanKeyData) * self->nkeys);
	self->scan_keys = palloc0(sizeof(ScanKeyData) * self->nkeys);
	foreach (cell, keyed->keys)
	{
		const KeyedColumn *key = lfirst(cell);
		int i = foreach_current_index(cell);

		ScanKeyEntryInitialize(&self->equal[i], 0, i + 1, BTEqualStrategyNumber, InvalidOid,
							   self->index->rd_indcollation[i], get_opcode(key->equality), 0);
		ScanKeyEntryInitialize(&self->is_null[i], SK_ISNULL | SK_SEARCHNULL, i + 1, InvalidStrategy,
							   InvalidOid, InvalidOid, InvalidOid, 0);
	}
}

/* The scan gives the entries' own values, from the last one on; nulls are behind it. */
static void
find_greatest(KeyedLookup *self)
{
	IndexScanDesc scan = compat_index_beginscan(self->table, self->index, GetActiveSnapshot(), 1);
	Form_pg_attribute column = TupleDescAttr(RelationGetDescr(self->index), 0);
	ScanKeyData not_null;
	bool isnull;
	Datum value;

	ScanKeyEntryInitialize(&not_null, SK_ISNULL | SK_SEARCHNOTNULL, 1, InvalidStrategy, InvalidOid,
						   InvalidOid, InvalidOid, 0);
	scan->xs_want_itup = true;
	index_rescan(scan, &not_null, 1, NULL, 0);
	if (index_getnext_tid(scan, BackwardScanDirection))
	{
		value = index_getattr(scan->xs_itup, 1, scan->xs_itupdesc, &isnull);
		self->greatest = datumCopy(value, column->attbyval, column->attlen);
		self->any = true;
	}
	index_endscan(scan);
}

/* Is the order of the index the one of its type, and are the entries' values the rows'? */
static bool
has_greatest(const KeyedLookup *self)
{
	return self->index->rd_indoption[0] == 0 &&
		   TupleDescAttr(RelationGetDescr(self->index), 0)->atttypid ==
			   TupleDescAttr(RelationGetDescr(self->table), self->columns[0] - 1)->atttypid;
}

KeyedLookup *
keyed_lookup_begin(Relation table, const Keyed *keyed)
{
	KeyedLookup *self = palloc0(sizeof(KeyedLookup));
	ListCell *cell;

	self->table = table;
	self->nkeys = list_length(keyed->keys);
	if (self->nkeys == 0)
		return self;
	self->columns = palloc(sizeof(AttrNumber) * self->nkeys);
	foreach (cell, keyed->keys)
		self->columns[foreach_current_index(cell)] = ((KeyedColumn *) lfirst(cell))->column;
	self->index = open_index_of_keys(self);
	prepare_scan_keys(self, keyed);
	if (has_greatest(self))
		find_greatest(self);
	self->scan = compat_index_beginscan(table, self->index, GetActiveSnapshot(), self->nkeys);
	return self;
}

void
keyed_lookup_end(KeyedLookup *self)
{
	if (self->whole)
		table_endscan(self->whole);
	if (self->index == NULL)
		return;
	index_endscan(self->scan);
	index_close(self->index, NoLock);
}

/* ---- looking up ----------------------------------------------------------------------------------- */

static bool
is_behind_all(KeyedLookup *self, const Datum *values, const bool *nulls)
{
	int column = self->columns[0] - 1;

	return self->any && !nulls[column] &&
		   DatumGetInt32(FunctionCall2Coll(index_getprocinfo(self->index, 1, BTORDER_PROC),
										   self->index->rd_indcollation[0], values[column],
										   self->greatest)) > 0;
}

void
keyed_lookup_seek(KeyedLookup *self, const Datum *values, const bool *nulls)
{
	if (self->whole)
		table_endscan(self->whole);
	self->whole = NULL;
	self->is_new = false;
	if (self->index == NULL)
	{
		self->whole = table_beginscan(self->table, GetActiveSnapshot(), 0, NULL);
		return;
	}
	self->is_new = is_behind_all(self, values, nulls);
	if (self->is_new)
		return;
	for (int i = 0; i < self->nkeys; i++)
	{
		int column = self->columns[i] - 1;

		self->scan_keys[i] = nulls[column] ? self->is_null[i] : self->equal[i];
		if (!nulls[column])
			self->scan_keys[i].sk_argument = values[column];
	}
	index_rescan(self->scan, self->scan_keys, self->nkeys, NULL, 0);
}

bool
keyed_lookup_next(KeyedLookup *self, TupleTableSlot *slot)
{
	if (self->is_new)
		return false;
	if (self->whole)
		return table_scan_getnextslot(self->whole, ForwardScanDirection, slot);
	return index_getnext_slot(self->scan, ForwardScanDirection, slot);
}
