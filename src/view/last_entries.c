/*
 * last_entries.c: entries at the end of a btree, many at a time.
 *
 * Materialised rows come in order of their event time, and those that are kept by key in order of their keys, which often begin where the last
 * ones ended. So their entries go to the end of the index, which PostgreSQL reaches fast, but for one entry at a time: that is more than a third
 * of what a view's maintenance costs. Here, as many as fit are added to the index's last leaf page in one go:
 *
 *              leaf         leaf         last leaf                              leaf         last leaf
 *   index  ──▶ ...──────▶ │ 7 8 9 │ ──▶ │ 10 11 . . . . │     12 ... 16   ──▶  ... ──▶ │ 10 11 12 13 14 15 16 │
 *
 * An entry that finds no room, or is not behind all others, is put in by PostgreSQL itself, which splits the page where it has to: the
 * tree's structure is never changed here. The page is locked exclusively, and it is the right place if it is the last leaf and its last
 * entry comes before the first new one; PostgreSQL's own way with the last page (_bt_search_insert) goes by the same. The change is logged
 * as a generic WAL record: after a crash there are all of a page's new entries, or none.
 */
#include "tidemark.h"

#include "access/generic_xlog.h"
#include "access/genam.h"
#include "access/itup.h"
#include "access/nbtree.h"
#include "catalog/pg_am.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "view/last_entries.h"

/* For fewer entries a page's image and its comparison with the old one cost more than they save. */
#define LEAST_ENTRIES 32

/* PostgreSQL has bounds for large entries. */
#define LARGE_ENTRY (BLCKSZ / 8)

bool
last_entries_can(Relation index)
{
	if (index->rd_rel->relam != BTREE_AM_OID || index->rd_index->indisunique ||
		IndexRelationGetNumberOfAttributes(index) != IndexRelationGetNumberOfKeyAttributes(index) ||
		RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		if (index->rd_index->indkey.values[i] <= 0 || index->rd_indoption[i] != 0)
			return false;
	return true;
}

/* ---- entries ------------------------------------------------------------------------------------- */

typedef struct Entry
{
	Datum *values;
	bool *nulls;
	ItemPointer row;
	int ordered; /* how many from this one on are in order */
} Entry;

/* Nulls, which come last, are left to PostgreSQL. */
static bool
comes_before(Relation index, const Entry *a, const Entry *b)
{
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		int result;

		if (a->nulls[i] || b->nulls[i])
			return false;
		result =
			DatumGetInt32(FunctionCall2Coll(index_getprocinfo(index, i + 1, BTORDER_PROC),
											index->rd_indcollation[i], a->values[i], b->values[i]));
		if (result != 0)
			return result < 0;
	}
	return ItemPointerCompare(a->row, b->row) < 0;
}

static Entry *
entries_of_rows(Relation index, TupleTableSlot **rows, int n)
{
	int ncolumns = IndexRelationGetNumberOfKeyAttributes(index);
	Entry *entries = palloc(n * sizeof(Entry));
	Datum *values = palloc(n * ncolumns * sizeof(Datum));
	bool *nulls = palloc(n * ncolumns * sizeof(bool));

	for (int i = n - 1; i >= 0; i--)
	{
		Entry *entry = &entries[i];

		entry->values = values + i * ncolumns;
		entry->nulls = nulls + i * ncolumns;
		for (int c = 0; c < ncolumns; c++)
			entry->values[c] =
				slot_getattr(rows[i], index->rd_index->indkey.values[c], &entry->nulls[c]);
		entry->row = &rows[i]->tts_tid;
		entry->ordered = i < n - 1 && comes_before(index, entry, entry + 1) ? entry[1].ordered + 1
																			: 1;
	}
	return entries;
}

static IndexTuple
form_entry(Relation index, const Entry *entry)
{
	IndexTuple tuple = index_form_tuple(RelationGetDescr(index), entry->values, entry->nulls);

	tuple->t_tid = *entry->row;
	return tuple;
}

/* ---- the last page -------------------------------------------------------------------------------- */

/* Is this the last leaf, with an entry that the new one is behind? */
static bool
comes_last(Relation index, Page page, const Entry *first)
{
	OffsetNumber last;
	BTPageOpaque opaque;
	BTScanInsert key;

	if (PageIsNew(page))
		return false;
	last = PageGetMaxOffsetNumber(page);
	opaque = BTPageGetOpaque(page);
	if (!P_ISLEAF(opaque) || !P_RIGHTMOST(opaque) || P_IGNORE(opaque) ||
		last < P_FIRSTDATAKEY(opaque))
		return false;
	key = _bt_mkscankey(index, form_entry(index, first));
	if (!key->heapkeyspace)
		return false;
	key->scantid = first->row;
	return _bt_compare(index, key, page, last) > 0;
}

/* The last leaf, locked, if it is where it is looked for and the entry belongs behind all on it; else none. */
static Buffer
lock_last_leaf(Relation index, const Entry *first)
{
	BlockNumber block = RelationGetTargetBlock(index);
	Buffer buffer;

	/* PostgreSQL remembers it for larger trees; mostly it is the youngest page, too */
	if (block == InvalidBlockNumber)
		block = RelationGetNumberOfBlocks(index) - 1;
	if (block == BTREE_METAPAGE)
		return InvalidBuffer;
	buffer = ReadBuffer(index, block);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (comes_last(index, BufferGetPage(buffer), first))
		return buffer;
	UnlockReleaseBuffer(buffer);
	return InvalidBuffer;
}

/* Adds as many of the entries, which are in order, as have room. Returns how many. */
static int
fill_page(Relation index, Page page, const Entry *entries, int n)
{
	for (int i = 0; i < n; i++)
	{
		IndexTuple tuple = form_entry(index, &entries[i]);
		Size size = MAXALIGN(IndexTupleSize(tuple));

		if (PageGetFreeSpace(page) < size || size > LARGE_ENTRY)
			return i;
		if (PageAddItem(page, (Item) tuple, size, OffsetNumberNext(PageGetMaxOffsetNumber(page)),
						false, false) == InvalidOffsetNumber)
			elog(ERROR, "could not add to index \"%s\"", RelationGetRelationName(index));
	}
	return n;
}

/* Adds as many of the entries as belong to the end of the index and have room on its last page. Returns how many. */
static int
append_entries(Relation index, const Entry *entries)
{
	GenericXLogState *state;
	Buffer buffer;
	int added;

	if (entries->ordered < LEAST_ENTRIES)
		return 0;
	buffer = lock_last_leaf(index, entries);
	if (!BufferIsValid(buffer))
		return 0;
	CheckForSerializableConflictIn(index, NULL, BufferGetBlockNumber(buffer));
	state = GenericXLogStart(index);
	added =
		fill_page(index, GenericXLogRegisterBuffer(state, buffer, 0), entries, entries->ordered);
	GenericXLogFinish(state);
	UnlockReleaseBuffer(buffer);
	return added;
}

static void
insert_entry(Relation index, Relation table, const Entry *entry)
{
	ItemPointerData row = *entry->row;

	(void) index_insert(index, entry->values, entry->nulls, &row, table, UNIQUE_CHECK_NO, false,
						NULL);
}

void
last_entries_insert(Relation index, Relation table, TupleTableSlot **rows, int n)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "tidemark index entries",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Entry *entries = entries_of_rows(index, rows, n);
	int next_try = 0;

	for (int i = 0; i < n; i++)
	{
		if (i >= next_try)
		{
			int added = append_entries(index, &entries[i]);

			i += added;
			if (added == 0)
				next_try = i + LEAST_ENTRIES;
		}
		/* the one that had no room: the page is split */
		if (i < n)
			insert_entry(index, table, &entries[i]);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
