/*
 * time_index.c: the index by which a stream is read in slices of event time.
 *
 * Rows come about in the order of their event time, so a BRIN index (time_spans.c: a straggler does not
 * widen a whole range) finds a slice within a few hundred kilobytes, and costs a writer next to nothing: ingestion takes half the
 * processor time that it takes with a btree. A btree is the choice where rows come in no order.
 *
 * A BRIN index does not cover the newest pages before they are summarized; every slice would read them all.
 * Autovacuum does it (autosummarize) within its minute; the maintainer does it between its steps, range by range as they fill.
 */
#include "tidemark.h"

#include "access/brin.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "stream/time_index.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#define PAGES_PER_RANGE 32

/* OIDs of the valid, not partial indexes of a table, of this access method (InvalidOid: any), that begin with the column. */
static List *
time_indexes(Oid relid, AttrNumber attnum, Oid method)
{
	Relation rel = relation_open(relid, AccessShareLock);
	List *all = RelationGetIndexList(rel);
	List *found = NIL;
	ListCell *cell;

	relation_close(rel, NoLock);
	foreach (cell, all)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		if ((!OidIsValid(method) || index->rd_rel->relam == method) &&
			index->rd_index->indkey.values[0] == attnum && index->rd_index->indisvalid &&
			heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
			found = lappend_oid(found, RelationGetRelid(index));
		index_close(index, AccessShareLock);
	}
	return found;
}

void
time_index_create(Oid relid, AttrNumber attnum, const char *kind)
{
	static const struct
	{
		Oid type;
		const char *name;
	} classes[] = {{TIMESTAMPOID, "timestamp_spans"},
				   {TIMESTAMPTZOID, "timestamptz_spans"},
				   {DATEOID, "date_spans"},
				   {INT8OID, "bigint_spans"}};
	char *table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
											 get_rel_name(relid));
	const char *column = quote_identifier(get_attname(relid, attnum, false));
	char *sql = psprintf("CREATE INDEX ON %s (%s)", table, column);

	if (strcmp(kind, "none") == 0 || time_indexes(relid, attnum, InvalidOid) != NIL)
		return;
	for (int i = 0; i < lengthof(classes) && strcmp(kind, "brin") == 0; i++)
		if (classes[i].type == get_atttype(relid, attnum))
			sql = psprintf("CREATE INDEX ON %s USING brin (%s " TIDEMARK_SCHEMA ".%s) "
						   "WITH (autosummarize, pages_per_range = %d)",
						   table, column, classes[i].name, PAGES_PER_RANGE);
	SPI_connect();
	if (SPI_execute(sql, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run: %s", sql);
	SPI_finish();
}

char *
time_index_text(Oid relid, AttrNumber attnum)
{
	List *indexes = time_indexes(relid, attnum, InvalidOid);
	Relation index;
	char *text;

	if (indexes == NIL)
		return NULL;
	index = index_open(llast_oid(indexes), AccessShareLock);
	text = psprintf("%s \"%s\"", get_am_name(index->rd_rel->relam), RelationGetRelationName(index));
	index_close(index, AccessShareLock);
	return text;
}

/* ---- summarizing -------------------------------------------------------------------------------- */

typedef struct Summarized
{
	Oid index;		   /* hash key */
	Oid filenode;	   /* of the index; another one: it has been emptied or made anew */
	BlockNumber pages; /* of the table, in whole ranges, that have been summarized */
} Summarized;

static Summarized *
summarized_entry(Oid index)
{
	static HTAB *entries = NULL;
	Summarized *entry;
	bool found;

	if (entries == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(Summarized)};

		entries = hash_create("tidemark summarized indexes", 16, &control, HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(entries, &index, HASH_ENTER, &found);
	if (!found)
		entry->filenode = InvalidOid;
	return entry;
}

/*
 * Summarizes the ranges of a table that have become full since. The one that is being filled is left alone: each row
 * that comes into a summarized range costs its writer a look at the summary.
 */
static void
summarize_index(Oid table, Oid index_oid)
{
	Summarized *entry = summarized_entry(index_oid);
	Relation rel = relation_open(table, AccessShareLock);
	Relation index = index_open(index_oid, AccessShareLock);
	BlockNumber range = BrinGetPagesPerRange(index);
	BlockNumber full = RelationGetNumberOfBlocks(rel) / range * range;
	Oid filenode = index->rd_rel->relfilenode;
	bool anew = entry->filenode != filenode || full < entry->pages;

	index_close(index, NoLock);
	relation_close(rel, NoLock);
	/* VACUUM has the lock for long, and summarizes too */
	if ((!anew && full == entry->pages) ||
		!ConditionalLockRelationOid(table, ShareUpdateExclusiveLock))
		return;
	if (anew)
		(void) DirectFunctionCall1(brin_summarize_new_values, ObjectIdGetDatum(index_oid));
	for (BlockNumber page = entry->pages; !anew && page < full; page += range)
		(void) DirectFunctionCall2(brin_summarize_range, ObjectIdGetDatum(index_oid),
								   Int64GetDatum(page));
	entry->filenode = filenode;
	entry->pages = full;
}

static void
summarize_table(Oid table, AttrNumber attnum)
{
	ListCell *cell;

	foreach (cell, time_indexes(table, attnum, BRIN_AM_OID))
		summarize_index(table, lfirst_oid(cell));
}

void
time_index_summarize(Oid stream, AttrNumber attnum)
{
	List *tables = stream_tables(stream, AccessShareLock);
	const char *column = tables ? get_attname(stream, attnum, false) : NULL;
	ListCell *cell;

	foreach (cell, tables)
	{
		Oid table = lfirst_oid(cell);

		if (get_rel_relkind(table) == RELKIND_RELATION)
			summarize_table(table, get_attnum(table, column));
	}
}
