/*
 * layers.c: views in two layers: rows that are made of the stream and kept, and windows over them.
 *
 *   SELECT ..., sum(x) OVER (PARTITION BY p ORDER BY t RANGE '1 hour' PRECEDING)          the first row of each key
 *   FROM (SELECT DISTINCT ON (k) * FROM stream ORDER BY k, t) once
 *
 *   SELECT minute, n, lag(n) OVER (ORDER BY minute)                                       groups by windows of event time
 *   FROM (SELECT date_bin('1 min', t, '2000-01-01') AS minute, count(*) AS n FROM stream GROUP BY 1) minutes
 *
 * First rows by event time, and groups of windows that have passed, never change but for late rows: they are a stream of their own,
 * with an event time, and a watermark. So such a view has two tables: the rows L of the lower layer, which are made by reading the
 * stream once (keyed_merge.c; slice.c), and its own rows, which the query over L makes as that over any stream: incrementally
 * (over_operator.c) or by slices.
 *
 *      stream ──merge by key, or slices──▶ L, up to frontier + lookahead ──windows──▶ rows, up to the frontier
 *
 * Above the frontier, the query runs over L and the rows that the stream's new rows make, from saved states of the windows or
 * as a slice (tail.c). Late rows correct L, and what changes there corrects the view around its event time; a late
 * duplicate of a key corrects nothing. All of it is under the view's lock, in one transaction.
 *
 * L counts only up to where the frontier says: what an abandoned table still holds is not looked at, and a step from the start
 * empties it.
 */
#include "tidemark.h"

#include "access/xact.h"
#include "aggregate/planner.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "storage/lmgr.h"
#include "stream/statistics.h"
#include "stream/time_index.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "view/inputs.h"
#include "view/keyed_answer.h"
#include "view/keyed_maintain.h"
#include "view/layers.h"
#include "view/materialised.h"
#include "view/slice.h"
#include "view/tail_bounds.h"

bool
layers_has(const Shape *shape)
{
	return shape->keyed ? shape->keyed->under_windows : shape->groups_depth >= 0;
}

/* ---- the queries -------------------------------------------------------------------------------- */

/* The entry of the subquery that makes the groups. */
static ListCell *
entry_of_groups(Query *query, int depth)
{
	return shape_input_entry(shape_level(query, depth - 1));
}

/* The query that makes the groups, with their event time as a column. */
static Query *
groups_between(const Layers *layers, const SliceBounds *bounds, AttrNumber *time_column)
{
	Query *query =
		slice_query(copyObject(layers->groups), &layers->groups_shape, bounds, true, time_column);

	aggregate_swap_exact_always(query);
	return query;
}

static Query *
all_groups(const Layers *layers, AttrNumber *time_column)
{
	SliceBounds unbounded = {0};

	return groups_between(layers, &unbounded, time_column);
}

static Query *
rows_of_table(const Layers *layers, Query *like)
{
	Query *query = select_from(table_entry(layers->store.mat), like);

	compat_unchecked(query);
	return query;
}

static void
part_keyed(Layers *layers, const Shape *shape)
{
	Query *rows = rows_of_table(layers, keyed_input(shape->keyed, NULL, NULL));

	layers->keyed = shape->keyed;
	layers->store.time_attnum = KEYED_TIME_COLUMN;
	layers->batch = keyed_output_of_kept(shape->keyed, subquery_entry(rows, "kept"));
}

static void
part_groups(Layers *layers, const Shape *shape, Query *batch)
{
	ListCell *entry;

	layers->batch = copyObject(batch);
	entry = entry_of_groups(layers->batch, shape->groups_depth);
	layers->groups = lfirst_node(RangeTblEntry, entry)->subquery;
	shape_of_query(layers->groups, &layers->groups_shape);
	lfirst(entry) = subquery_entry(
		rows_of_table(layers, all_groups(layers, &layers->store.time_attnum)), "groups");
}

Layers *
layers_over(const ContinuousView *view, const Shape *shape, Query *batch, Oid table)
{
	Layers *layers = palloc0(sizeof(Layers));
	Stream stream = shape->stream;

	layers->view = layers->store = *view;
	layers->store.mat = table;
	layers->store.changes = InvalidOid;
	if (shape->keyed)
		part_keyed(layers, shape);
	else
		part_groups(layers, shape, batch);
	stream.relid = table;
	stream.attnum = layers->store.time_attnum;
	shape_over(layers->batch, &stream, &layers->shape);
	if (layers->shape.refusal)
		elog(ERROR, "the upper layer of a view has no shape: %s", layers->shape.refusal);
	if (layers->keyed == NULL)
		layers->shape.grid = layers->groups_shape.grid;
	return layers;
}

Layers *
layers_of(const ContinuousView *view, const Shape *shape, Query *batch)
{
	return layers_over(view, shape, batch, linitial_oid(view_states(view->relid)));
}

/* ---- the table ---------------------------------------------------------------------------------- */

Oid
layers_create(Oid view, const Shape *shape, Query *batch)
{
	Layers layers = {.groups = NULL};
	AttrNumber time_column;
	TupleDesc columns;

	if (shape->keyed)
		return keyed_create(view, "kept", shape->keyed);
	layers.groups = copyObject(
		lfirst_node(RangeTblEntry, entry_of_groups(batch, shape->groups_depth))->subquery);
	shape_of_query(layers.groups, &layers.groups_shape);
	columns = ExecTypeFromTL(all_groups(&layers, &time_column)->targetList);
	return materialised_create(view, "groups", columns, time_column);
}

bool
layers_answerable(const ContinuousView *view)
{
	List *tables = view_states(view->relid);

	if (tables == NIL)
		return false;
	LockRelationOid(linitial_oid(tables), AccessShareLock);
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(linitial_oid(tables)));
}

/* ---- steps -------------------------------------------------------------------------------------- */

Ticks
layers_reach(const Layers *layers, Ticks frontier)
{
	return ticks_plus(frontier,
					  lookback_ticks(layers->shape.stream.time_type, &layers->shape.lookahead));
}

/* Deletes the lower layer's rows from an event time on. */
static void
delete_from(const Layers *layers, Ticks first)
{
	(void) materialised_delete(&layers->store, layers->shape.stream.time_type, first, TICKS_MAX,
							   NIL, NULL);
	CommandCounterIncrement();
}

void
layers_take_in(const Layers *layers, Ticks from, Ticks to)
{
	Ticks first = ticks_plus(layers_reach(layers, from), 1);
	Ticks last = layers_reach(layers, to);

	if (from == TICKS_MIN)
		delete_from(layers, TICKS_MIN);
	if (layers->keyed)
	{
		(void) keyed_append(&layers->store, layers->keyed, first, last);
		time_index_summarize(layers->store.mat, KEYED_TIME_COLUMN);
	}
	else
		(void) materialised_append(&layers->store, &layers->groups_shape,
								   copyObject(layers->groups), first, last);
}

void
layers_take_back(const Layers *layers, Ticks to)
{
	delete_from(layers, ticks_plus(layers_reach(layers, to), 1));
}

/* ---- answers ------------------------------------------------------------------------------------ */

/* The groups that are known. No window over groups looks ahead. */
static Query *
known_groups(const Layers *layers)
{
	Stream stream = layers->groups_shape.stream;
	Lookback none = {0};
	AttrNumber time_column;
	Query *query = rows_of_table(layers, all_groups(layers, &time_column));
	Oid less = lookup_type_cache(stream.time_type, TYPECACHE_LT_OPR)->lt_opr;
	TargetEntry *time = list_nth_node(TargetEntry, query->targetList, time_column - 1);

	statistics_know(layers->store.mat, &stream, time_column, InvalidAttrNumber);
	add_condition(query, slice_condition(less, copyObject(time->expr),
										 tail_start(&layers->view, stream.time_type, &none)));
	return query;
}

/* Those of the stream's rows after them. */
static Query *
new_groups(const Layers *layers)
{
	Oid type = layers->groups_shape.stream.time_type;
	Lookback none = {0};
	SliceBounds bounds = {.output_from = tail_start(&layers->view, type, &none)};

	if (!lookback_is_unbounded(&layers->groups_shape.lookback))
		bounds.input_from = tail_start(&layers->view, type, &layers->groups_shape.lookback);
	return groups_between(layers, &bounds, NULL);
}

Query *
layers_new_rows(const Layers *layers)
{
	if (layers->keyed)
		return keyed_answer_new(&layers->view, layers->keyed, layers->store.mat);
	return new_groups(layers);
}

bool
layers_new_rows_are_dear(const Layers *layers)
{
	return layers->keyed != NULL;
}

RangeTblEntry *
layers_rows(const Layers *layers, Query *new)
{
	Query *known = layers->keyed
					   ? keyed_answer_known(&layers->view, layers->keyed, layers->store.mat)
					   : known_groups(layers);

	return subquery_entry(
		union_all(list_make2(subquery_entry(known, "known"), subquery_entry(new, "new"))), "rows");
}

/* The stream's rows that groups may be new of. A group's event time is no later than its rows' and the lookback. */
static RangeTblEntry *
newest_of_groups(const Layers *layers)
{
	Stream stream = layers->groups_shape.stream;
	Lookback none = {0};
	int64 late = lookback_ticks(stream.time_type, &layers->groups_shape.lookback);
	Query *level = copyObject(shape_stream_level(layers->groups));
	Var *time = makeVar(shape_input(level), stream.attnum, stream.time_type, -1, InvalidOid, 0);
	List *columns = NIL;
	AttrNumber time_column;
	ListCell *cell;

	foreach (cell, all_groups(layers, &time_column)->targetList)
		columns = lappend(columns, null_like((Node *) lfirst_node(TargetEntry, cell)->expr));
	lfirst(list_nth_cell(columns, time_column - 1)) = tail_before(&time->xpr, -late);
	compat_ungroup(level);
	level = inputs_query(level, columns);
	slice_bound_stream(level, &stream, tail_start(&layers->view, stream.time_type, &none), NULL);
	return subquery_entry(level, "newest");
}

RangeTblEntry *
layers_newest(const Layers *layers)
{
	return layers->keyed ? subquery_entry(keyed_input(layers->keyed, NULL, NULL), "newest")
						 : newest_of_groups(layers);
}

Query *
layers_read(Query *query, RangeTblEntry *rows)
{
	lfirst(shape_input_entry(shape_stream_level(query))) = rows;
	return query;
}
