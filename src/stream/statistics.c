/*
 * statistics.c: what the planner knows of a stream's event time before ANALYZE.
 *
 * A stream that fills has no statistics until autovacuum has come by. Without them, the planner takes a third of the rows for what a
 * comparison with the event time leaves, and takes them to lie anywhere: for the few rows above a frontier it would read the
 * whole stream, several times. Our catalogue knows better:
 *
 *      first                                                  frontier   greatest
 *   ─────┤ where a materialised part begins ───────────────────────┤── tail ──├────▶ event time
 *
 * and that rows come about in this order. So an event time that has no statistics is given some for planning: a histogram of times
 * that are evenly spread over that range, and a correlation of one with the rows' places in the table. So is that of a table in
 * which a view keeps rows of the stream, whose keys are known to be different. Statistics that ANALYZE
 * has made count alone, and a stream without a materialised part has what every table has.
 *
 * It is a matter of costs only: no answer depends on it.
 */
#include "tidemark.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog.h"
#include "catalog/pg_statistic.h"
#include "nodes/pathnodes.h"
#include "stream/statistics.h"
#include "utils/array.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* Of the histogram: the least part of the rows that a comparison is taken to leave is a hundredth of one bin. */
#define HISTOGRAM_BOUNDS 101

static get_relation_stats_hook_type previous_hook = NULL;

/* The bounds, evenly spread. */
static Datum
histogram(Oid type, int16 length, bool by_value, const StreamSpan *span)
{
	Datum bounds[HISTOGRAM_BOUNDS];
	double bin = ((double) span->last - (double) span->first) / (HISTOGRAM_BOUNDS - 1);

	for (int i = 0; i < HISTOGRAM_BOUNDS; i++)
		bounds[i] = event_time_datum(type, span->first + (Ticks) (i * bin));
	return PointerGetDatum(
		construct_array(bounds, HISTOGRAM_BOUNDS, type, length, by_value,
						length == sizeof(int64) ? TYPALIGN_DOUBLE : TYPALIGN_INT));
}

static HeapTuple
make_row(Datum *values, bool *nulls)
{
	Relation rel = table_open(StatisticRelationId, AccessShareLock);
	HeapTuple row = heap_form_tuple(RelationGetDescr(rel), values, nulls);

	table_close(rel, AccessShareLock);
	return row;
}

/* Of a column; nothing is known of its values yet. */
static void
begin_statistics(Oid relid, AttrNumber attnum, Datum *values, bool *nulls)
{
	memset(values, 0, sizeof(Datum) * Natts_pg_statistic);
	memset(nulls, 0, sizeof(bool) * Natts_pg_statistic);
	for (int i = 0; i < STATISTIC_NUM_SLOTS; i++)
		nulls[Anum_pg_statistic_stanumbers1 - 1 + i] = nulls[Anum_pg_statistic_stavalues1 - 1 + i] =
			true;
	values[Anum_pg_statistic_starelid - 1] = ObjectIdGetDatum(relid);
	values[Anum_pg_statistic_staattnum - 1] = Int16GetDatum(attnum);
}

/* Of a column whose values are all different. */
static HeapTuple
statistics_of_unique(Oid relid, AttrNumber attnum)
{
	Datum values[Natts_pg_statistic];
	bool nulls[Natts_pg_statistic];

	begin_statistics(relid, attnum, values, nulls);
	values[Anum_pg_statistic_stawidth - 1] =
		Int32GetDatum(get_typavgwidth(get_atttype(relid, attnum), -1));
	values[Anum_pg_statistic_stadistinct - 1] = Float4GetDatum(-1);
	return make_row(values, nulls);
}

/* Of the event time. */
static HeapTuple
statistics_of_time(const Stream *stream, const StreamSpan *span)
{
	Datum values[Natts_pg_statistic];
	bool nulls[Natts_pg_statistic];
	Oid less = lookup_type_cache(stream->time_type, TYPECACHE_LT_OPR)->lt_opr;
	Datum correlation = Float4GetDatum(1);
	int16 length;
	bool by_value;

	get_typlenbyval(stream->time_type, &length, &by_value);
	begin_statistics(stream->relid, stream->attnum, values, nulls);
	values[Anum_pg_statistic_stawidth - 1] = Int32GetDatum(length);
	values[Anum_pg_statistic_stakind1 - 1] = Int16GetDatum(STATISTIC_KIND_HISTOGRAM);
	values[Anum_pg_statistic_staop1 - 1] = ObjectIdGetDatum(less);
	values[Anum_pg_statistic_stavalues1 - 1] = histogram(stream->time_type, length, by_value, span);
	nulls[Anum_pg_statistic_stavalues1 - 1] = false;
	values[Anum_pg_statistic_stakind2 - 1] = Int16GetDatum(STATISTIC_KIND_CORRELATION);
	values[Anum_pg_statistic_staop2 - 1] = ObjectIdGetDatum(less);
	values[Anum_pg_statistic_stanumbers2 - 1] = PointerGetDatum(
		construct_array(&correlation, 1, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT));
	nulls[Anum_pg_statistic_stanumbers2 - 1] = false;
	return make_row(values, nulls);
}

/* ---- tables of ours ----------------------------------------------------------------------------- */

typedef struct KnownTable
{
	Oid table; /* hash key */
	Stream stream;
	AttrNumber time;
	AttrNumber unique;
} KnownTable;

/* What has been planned over in this process: a view's table may be gone, but is no other one's. */
static HTAB *
known_tables(void)
{
	static HTAB *tables = NULL;
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(KnownTable)};

	if (tables == NULL)
		tables = hash_create("tidemark known tables", 16, &control, HASH_ELEM | HASH_BLOBS);
	return tables;
}

void
statistics_know(Oid table, const Stream *stream, AttrNumber time, AttrNumber unique)
{
	KnownTable *known = hash_search(known_tables(), &table, HASH_ENTER, NULL);

	known->stream = *stream;
	known->time = time;
	known->unique = unique;
}

/* ---- the planner's question --------------------------------------------------------------------- */

static HeapTuple
statistics_of_stream(const Stream *stream, AttrNumber attnum)
{
	StreamSpan span;

	if (stream->attnum != attnum || !stream_span(stream->relid, &span))
		return NULL;
	return statistics_of_time(stream, &span);
}

static HeapTuple
statistics_of_known(const KnownTable *known, AttrNumber attnum)
{
	Stream rows = known->stream;
	StreamSpan span;

	if (attnum == known->unique && attnum != InvalidAttrNumber)
		return statistics_of_unique(known->table, attnum);
	if (attnum != known->time || !stream_span(known->stream.relid, &span))
		return NULL;
	rows.relid = known->table;
	rows.attnum = attnum;
	return statistics_of_time(&rows, &span);
}

/* The table that a query names, and its column's number there, where this entry is for one of its partitions. */
static void
find_root(PlannerInfo *root, RangeTblEntry **entry, AttrNumber *attnum)
{
	for (int i = root->simple_rel_array_size - 1; i > 0; i--)
	{
		AppendRelInfo *child = root->append_rel_array ? root->append_rel_array[i] : NULL;

		/* a parent stands before its children */
		if (child == NULL || root->simple_rte_array[i] != *entry ||
			!OidIsValid(child->parent_reloid) || *attnum < 1 || *attnum > child->num_child_cols)
			continue;
		*attnum = child->parent_colnos[*attnum - 1];
		*entry = root->simple_rte_array[child->parent_relid];
	}
}

static bool
has_statistics(const RangeTblEntry *entry, AttrNumber attnum)
{
	return SearchSysCacheExists3(STATRELATTINH, ObjectIdGetDatum(entry->relid),
								 Int16GetDatum(attnum), BoolGetDatum(entry->inh));
}

static bool
event_time_statistics(PlannerInfo *root, RangeTblEntry *entry, AttrNumber attnum,
					  VariableStatData *data)
{
	Stream stream;
	KnownTable *known;
	HeapTuple statistics = NULL;

	if (previous_hook && previous_hook(root, entry, attnum, data))
		return true;
	if (entry->rtekind != RTE_RELATION || has_statistics(entry, attnum))
		return false;
	find_root(root, &entry, &attnum);
	if (stream_lookup(entry->relid, &stream))
		statistics = statistics_of_stream(&stream, attnum);
	else if ((known = hash_search(known_tables(), &entry->relid, HASH_FIND, NULL)) != NULL)
		statistics = statistics_of_known(known, attnum);
	if (statistics == NULL)
		return false;
	data->statsTuple = statistics;
	data->freefunc = heap_freetuple;
	return true;
}

void
statistics_init(void)
{
	previous_hook = get_relation_stats_hook;
	get_relation_stats_hook = event_time_statistics;
}
