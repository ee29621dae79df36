/*
 * tail.c: the live tail: what a view's query gives above its frontier.
 *
 * There are two ways to it. The slice is the batch query on the rows from the frontier less the lookback on: right for every
 * query, but it reads whole windows. The replay (tail_replay.c) reads only what moved, where the maintainer has saved the states of the
 * windows, but reads that several times: for windows that are shorter than the tail a slice is less.
 *
 * Which of them a snapshot goes is known when the query runs: the replay has a one-time filter, the slice one
 * with the opposite (see tail_bounds.c). So a kept plan is right in every snapshot.
 *
 * Window functions that the reader doesn't ask for are in neither: without any, the tail is what is above the frontier, no more.
 */
#include "tidemark.h"

#include "access/stratnum.h"
#include "aggregate/planner.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
#include "view/slice.h"
#include "view/tail.h"
#include "view/tail_bounds.h"
#include "view/tail_replay.h"

/* ---- the slice ------------------------------------------------------------------------------------ */

static bool
has_lookahead(const Shape *shape)
{
	const Lookback *ahead = &shape->lookahead;

	return ahead->month != 0 || ahead->day != 0 || ahead->time != 0;
}

/* No tail where the reader wants no rows above the frontier: "tail_start <= until", which is known when the query begins. */
static void
add_end(Query *query, const ContinuousView *view, const Stream *stream, Expr *until)
{
	Lookback none = {0};
	Oid family = lookup_type_cache(stream->time_type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	Oid operator= get_opfamily_member(family, stream->time_type, stream->time_type,
									  BTLessEqualStrategyNumber);

	add_condition(query,
				  slice_condition(operator, tail_start(view, stream->time_type, &none), until));
}

/* The batch query on the slice of the tail; empty where the other way is gone (NULL: there is none). */
static Query *
slice(Query *batch, const ContinuousView *view, const Shape *shape, const Layers *layers,
	  const Expr *until, const Replay *other)
{
	Oid type = shape->stream.time_type;
	Lookback none = {0};
	SliceBounds bounds = {.output_from = tail_start(view, type, &none)};
	Query *query;

	if (other)
		bounds.input_from = tail_slice_start(view, type, &shape->lookback, other->reach);
	else if (!lookback_is_unbounded(&shape->lookback))
		bounds.input_from = tail_start(view, type, &shape->lookback);
	if (bounds.input_from && !shape_has_windows(batch) && !shape_has_groups(batch))
		bounds.output_from = NULL; /* the same condition as the input's */
	if (!has_lookahead(shape))
		bounds.input_to = (Expr *) until;
	query = slice_query(batch, shape, &bounds, false, NULL);
	if (layers)
		(void) layers_read(query, layers_rows(layers, layers_new_rows(layers)));
	if (other)
		add_condition(query,
					  makeBoolExpr(NOT_EXPR, list_make1(tail_is_replayed(view, other->reach)), -1));
	aggregate_swap_exact_always(query);
	return query;
}

/* ---- both --------------------------------------------------------------------------------------------------- */

/* The shape of the batch query with fewer columns. */
static Shape
pruned_shape(Query *pruned, const Shape *shape)
{
	Shape needed;

	shape_over(pruned, &shape->stream, &needed);
	if (needed.refusal)
		elog(ERROR, "a query with fewer columns is not sliceable: %s", needed.refusal);
	/* what is left keeps rows by key; but the slice has to be told which by all before */
	return needed.keyed ? *shape : needed;
}

List *
tail_queries(Query *batch, const ContinuousView *view, const Shape *shape, const Layers *layers,
			 const Demand *demand)
{
	List *parts = NIL;
	Query *pruned = copyObject(batch);
	Replay replay = {.view = view, .layers = layers};
	int ncolumns = ExecCleanTargetListLength(batch->targetList);
	bool replays;
	Shape needed;
	ListCell *cell;

	columns_prune(pruned, demand->columns);
	needed = pruned_shape(pruned, shape);
	replays = shape_has_windows(pruned) &&
			  replay_prepare(&replay, batch, shape, demand, &needed.lookback);
	if (replays)
		parts = lappend(parts, replay_query(&replay, ncolumns));
	parts = lappend(parts,
					slice(pruned, view, &needed, layers, demand->until, replays ? &replay : NULL));
	foreach (cell, parts)
		if (demand->until)
			add_end(lfirst_node(Query, cell), view, &shape->stream, demand->until);
	return parts;
}
