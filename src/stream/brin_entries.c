/*
 * brin_entries.c: new rows' entries in BRIN indexes, a range of pages at a time.
 *
 * A BRIN index has nothing to note of a row in a range of pages that has no summary yet, and that's where nearly all new rows are. PostgreSQL
 * asks the index anew for each row, which is more than putting the row into the table costs. Here it is asked once for the rows of a range:
 *
 *      pages    | 0 ... 31 | 32 ... 63 | 64 ... 95 |
 *      summary  |    yes   |     no    |     no    |
 *      rows          r1        r2 r3 r4    r5 r6          asked: for r1, r2 and r5; told: r1
 *
 * The rows are in the table before it is asked. Who makes a summary puts a place for it into the index first, and then reads the range:
 * either the place is found here, and the row is told, or its reader comes later and finds the row.
 *
 * The first row of a range is told in any case: that has PostgreSQL ask autovacuum for the summary of the range before it.
 */
#include "tidemark.h"

#include "access/brin_revmap.h"
#include "access/genam.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "compat.h"
#include "executor/executor.h"
#include "storage/bufmgr.h"
#include "stream/brin_entries.h"
#include "utils/rel.h"

typedef struct BrinIndex
{
	Relation index;
	IndexInfo *info;
} BrinIndex;

struct BrinEntries
{
	Relation table;
	int n;
	BrinIndex *indexes;
};

/* ---- which indexes -------------------------------------------------------------------------------- */

static bool
is_plain_brin(Relation index, const IndexInfo *info)
{
	return index->rd_rel->relam == BRIN_AM_OID && info->ii_Predicate == NIL;
}

BrinEntries *
brin_entries_begin(ResultRelInfo *result)
{
	BrinEntries *entries = palloc0(sizeof(BrinEntries));
	int others = 0;

	entries->table = result->ri_RelationDesc;
	entries->indexes = palloc(sizeof(BrinIndex) * (result->ri_NumIndices + 1));
	for (int i = 0; i < result->ri_NumIndices; i++)
	{
		BrinIndex index = {result->ri_IndexRelationDescs[i], result->ri_IndexRelationInfo[i]};

		if (is_plain_brin(index.index, index.info))
		{
			entries->indexes[entries->n++] = index;
			continue;
		}
		result->ri_IndexRelationDescs[others] = index.index;
		result->ri_IndexRelationInfo[others] = index.info;
		others++;
	}
	result->ri_NumIndices = others;
	return entries->n > 0 ? entries : NULL;
}

void
brin_entries_end(BrinEntries *entries)
{
	for (int i = 0; entries && i < entries->n; i++)
		compat_close_index(entries->indexes[i].index, entries->indexes[i].info);
}

/* ---- entries -------------------------------------------------------------------------------------- */

static bool
is_summarized(BrinRevmap *map, BlockNumber page)
{
	Buffer buffer = InvalidBuffer;
	OffsetNumber offset;
	bool summarized = compat_brin_summary(map, page, &buffer, &offset) != NULL;

	/* a summary that is found is locked */
	if (summarized)
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (BufferIsValid(buffer))
		ReleaseBuffer(buffer);
	return summarized;
}

static void
tell_row(const BrinIndex *index, Relation table, TupleTableSlot *row, EState *estate)
{
	Datum values[INDEX_MAX_KEYS];
	bool nulls[INDEX_MAX_KEYS];

	GetPerTupleExprContext(estate)->ecxt_scantuple = row; /* for indexes on expressions */
	FormIndexDatum(index->info, row, estate, values, nulls);
	(void) index_insert(index->index, values, nulls, &row->tts_tid, table, UNIQUE_CHECK_NO, false,
						index->info);
}

static void
insert_into(const BrinIndex *index, Relation table, TupleTableSlot **rows, int n, EState *estate)
{
	BlockNumber pages_per_range;
	BrinRevmap *map = compat_brin_revmap(index->index, &pages_per_range);
	BlockNumber asked = InvalidBlockNumber; /* the range that was asked for last */
	bool summarized = false;

	for (int i = 0; i < n; i++)
	{
		BlockNumber page = ItemPointerGetBlockNumber(&rows[i]->tts_tid);
		bool first = page % pages_per_range == 0 &&
					 ItemPointerGetOffsetNumber(&rows[i]->tts_tid) == FirstOffsetNumber;

		if (page / pages_per_range != asked)
		{
			asked = page / pages_per_range;
			summarized = is_summarized(map, page);
		}
		if (summarized || first)
			tell_row(index, table, rows[i], estate);
	}
	brinRevmapTerminate(map);
}

void
brin_entries_insert(BrinEntries *entries, TupleTableSlot **rows, int n, EState *estate)
{
	for (int i = 0; entries && i < entries->n; i++)
		insert_into(&entries->indexes[i], entries->table, rows, n, estate);
}
