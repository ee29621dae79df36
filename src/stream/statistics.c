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
 * that are evenly spread over that range, and a correlation of one with the rows' places in the table. Statistics that ANALYZE
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

/* A row of pg_statistic. */
static HeapTuple
make_statistics(const Stream *stream, const StreamSpan *span)
{
	Datum values[Natts_pg_statistic] = {0};
	bool nulls[Natts_pg_statistic] = {0};
	Oid less = lookup_type_cache(stream->time_type, TYPECACHE_LT_OPR)->lt_opr;
	Datum correlation = Float4GetDatum(1);
	Relation rel;
	HeapTuple row;
	int16 length;
	bool by_value;

	get_typlenbyval(stream->time_type, &length, &by_value);
	for (int i = 0; i < STATISTIC_NUM_SLOTS; i++)
		nulls[Anum_pg_statistic_stanumbers1 - 1 + i] = nulls[Anum_pg_statistic_stavalues1 - 1 + i] =
			true;
	values[Anum_pg_statistic_starelid - 1] = ObjectIdGetDatum(stream->relid);
	values[Anum_pg_statistic_staattnum - 1] = Int16GetDatum(stream->attnum);
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

	rel = table_open(StatisticRelationId, AccessShareLock);
	row = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	table_close(rel, AccessShareLock);
	return row;
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
	StreamSpan span;

	if (previous_hook && previous_hook(root, entry, attnum, data))
		return true;
	if (entry->rtekind != RTE_RELATION || has_statistics(entry, attnum))
		return false;
	find_root(root, &entry, &attnum);
	if (!stream_lookup(entry->relid, &stream) || stream.attnum != attnum ||
		!stream_span(stream.relid, &span))
		return false;
	data->statsTuple = make_statistics(&stream, &span);
	data->freefunc = heap_freetuple;
	return true;
}

void
statistics_init(void)
{
	previous_hook = get_relation_stats_hook;
	get_relation_stats_hook = event_time_statistics;
}
