/*
 * tail_events.c: what has moved since a view's windows were saved, as events: a query whose rows, in their order, are all that the windows'
 * results follow from.
 *
 *                saved                  newest row
 *   ──┬────────────┬───────────────────────┬──────▶ event time
 *     │ leave      │ enter                 │             window's length L: rows in (saved - L, newest - L] leave it
 *
 *   SELECT ticks, 0, ...     FROM inputs WHERE t > saved                           -- rows that enter
 *   UNION ALL
 *   SELECT ticks + L, f, ... FROM inputs WHERE t in (saved - L, newest - L]        -- that leave frame f
 *   UNION ALL
 *   SELECT ticks - E, -f, ... FROM inputs WHERE t in (saved + E, newest + E]      -- enter it, where it ends with t + E
 *   UNION ALL
 *   SELECT first, -f, keys, states FROM saved states of frame f
 *
 * All of them begin with the saved states of the reader's snapshot, which the plan doesn't know (tail_bounds.c). Where none is to be replayed,
 * they have no rows.
 */
#include "tidemark.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "storage/bufmgr.h"
#include "view/query_parts.h"
#include "view/tail_bounds.h"
#include "view/tail_replay.h"

/* The WITH query that finds the newest row, and its column. */
#define NEWEST "newest"

/* Pages of a table of saved states from which on it is worth to know first of which keys states are needed. */
#define MANY_STATES 1024

static Expr *
input_variable(const Node *input, AttrNumber column)
{
	return (Expr *) variable_like(input, 1, column);
}

static void
add_saved_nulls(const Replay *replay, Query *query, int from)
{
	for (int i = from; i < replay->nsaved; i++)
		add_target(query, (Expr *) makeNullConst(BYTEAOID, -1, InvalidOid),
				   psprintf("saved%d", i + 1));
}

/* How many levels there are from that of the windows down to the stream. */
static int
count_levels(const OverWindow *window)
{
	Query *query = over_window_level(window);
	int n = 1;
	RangeTblEntry *input;

	while ((input = rt_fetch(shape_input(query), query->rtable))->rtekind == RTE_SUBQUERY)
	{
		query = input->subquery;
		n++;
	}
	return n;
}

/* A query over a lower layer, that many levels below the query with the WITH queries, sees its new rows, too. */
static Query *
with_new_rows(const Replay *replay, Query *inputs, int levels)
{
	const Layers *layers = replay->layers;
	Query *new;

	if (layers == NULL)
		return inputs;
	if (replay->new_rows == NULL)
		return layers_read(inputs, layers_rows(layers, layers_new_rows(layers)));
	/* below the last level of the inputs: the union, and the new rows' part of it */
	new = select_from(with_entry(replay->new_rows, levels + count_levels(replay->window) + 1),
					  castNode(Query, replay->new_rows->ctequery));
	return layers_read(inputs, layers_rows(layers, new));
}

/* Rows of the stream as events of this kind, from a query that gives the inputs. */
static Query *
row_events(const Replay *replay, Query *inputs, int64 delay, int32 op)
{
	Query *query = select_nothing_from(subquery_entry(inputs, "inputs"));
	AttrNumber column = 0;
	ListCell *cell;

	add_target(
		query,
		tail_ticks(input_variable(linitial(replay->window->inputs), OVER_TIME_COLUMN), delay),
		"at");
	add_target(query, int4_constant(op), "op");
	foreach (cell, replay->window->inputs)
	{
		column++;
		add_target(query, input_variable(lfirst(cell), column), psprintf("i%d", column));
	}
	add_saved_nulls(replay, query, 0);
	return query;
}

static Query *
enter_events(const Replay *replay)
{
	Expr *from =
		tail_replay_start(replay->view, replay->window->stream.time_type, 0, replay->reach);

	Query *inputs = over_window_input(replay->window, NULL, from, replay->until);

	/* events_query, row_events, the inputs */
	return row_events(replay, with_new_rows(replay, inputs, 3), 0, 0);
}

/*
 * SELECT coalesce(max(t), end) FROM inputs WHERE t >= end, as the catalogue knows it: no row leaves a window later than that.
 */
static Query *
newest_query(const Replay *replay)
{
	Oid type = replay->window->stream.time_type;
	Expr *end = tail_known_end(replay->view, type, replay->reach);
	Query *inputs =
		over_window_input(replay->window, bms_make_singleton(OVER_TIME_COLUMN), end, NULL);
	Query *query = select_nothing_from(subquery_entry(inputs, "inputs"));
	Expr *time = input_variable(linitial(replay->window->inputs), OVER_TIME_COLUMN);
	CoalesceExpr *newest = makeNode(CoalesceExpr);

	if (replay->layers)
		(void) layers_read(inputs, layers_newest(replay->layers));
	newest->coalescetype = type;
	newest->args = list_make2(builtin_aggregate("max", type, time), end);
	newest->location = -1;
	add_target(query, &newest->xpr, NEWEST);
	query->hasAggs = true;
	return query;
}

/* The time, or until when the reader wants rows, if that is before. */
static Expr *
not_after(Expr *time, Expr *until)
{
	MinMaxExpr *least = makeNode(MinMaxExpr);

	if (until == NULL)
		return time;
	least->minmaxtype = exprType((Node *) time);
	least->op = IS_LEAST;
	least->args = list_make2(time, copyObject(until));
	least->location = -1;
	return &least->xpr;
}

/*
 * Until when rows leave a window of that length: (SELECT newest - length FROM newest), that many levels below the query with that
 * WITH. So it is computed once, not for each row.
 */
static Expr *
left_until(const Replay *replay, int64 length, int levels)
{
	SubLink *link = makeNode(SubLink);
	Query *query = select_nothing_from(with_entry(replay->newest, levels));
	Expr *newest = (Expr *) makeVar(1, 1, replay->window->stream.time_type, -1, InvalidOid, 0);

	add_target(query, tail_before(not_after(newest, replay->until), length), "until");
	link->subLinkType = EXPR_SUBLINK;
	link->subselect = (Node *) query;
	link->location = -1;
	return (Expr *) link;
}

/*
 * Rows that leave the frame, or enter it other than as rows of the view, when these have come so far: that distance behind them,
 * or before them if it is negative.
 */
static Query *
frame_events(const Replay *replay, const OverFrame *frame, int64 distance, int32 op)
{
	Expr *from =
		tail_replay_start(replay->view, replay->window->stream.time_type, distance, replay->reach);
	Expr *to = NULL;
	Query *inputs;

	/* replayed_events, events_query, row_events, the levels of the inputs: from the last one's subquery up to the first */
	if (distance >= 0)
		to = left_until(replay, distance, 3 + count_levels(replay->window));
	inputs = over_window_input(replay->window, frame->columns, from, to);
	shape_stream_level(inputs)->hasSubLinks = to != NULL; /* in that condition */
	return row_events(replay, with_new_rows(replay, inputs, 3), distance, op);
}

/* The place of this input among the frame's keys, from 1; 0: it is none. */
static int
key_of_input(const OverFrame *frame, AttrNumber column)
{
	ListCell *cell;

	foreach (cell, frame->keys)
		if (((OverKey *) lfirst(cell))->column == column)
			return foreach_current_index(cell) + 1;
	return 0;
}

/* The rows of a table of saved states: keys k1, ..., and then a state for each of the frame's functions. */
static Query *
state_events(const Replay *replay, const OverFrame *frame, Oid table, int32 number)
{
	Query *query = select_nothing_from(table_entry(table));
	int nkeys = list_length(frame->keys);
	int nsaved = 0;
	AttrNumber column = 0;
	ListCell *cell;

	add_target(query,
			   (Expr *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(TICKS_MIN),
								  false, FLOAT8PASSBYVAL),
			   "at");
	add_target(query, int4_constant(-number), "op");
	foreach (cell, replay->window->inputs)
	{
		int key = key_of_input(frame, ++column);

		add_target(query, key ? input_variable(lfirst(cell), key) : null_like(lfirst(cell)),
				   psprintf("i%d", column));
	}
	foreach (cell, frame->functions)
		if (replay_uses(replay, lfirst(cell)))
			add_target(query,
					   (Expr *) makeVar(1, nkeys + foreach_current_index(cell) + 1, BYTEAOID, -1,
										InvalidOid, 0),
					   psprintf("saved%d", ++nsaved));
	add_saved_nulls(replay, query, nsaved);
	compat_unchecked(query);
	return query;
}

/* SELECT keys FROM inputs: of the frame, the keys of the rows that enter. */
static Query *
entering_keys(const Replay *replay, const OverFrame *frame)
{
	Expr *from =
		tail_replay_start(replay->view, replay->window->stream.time_type, 0, replay->reach);
	Query *query;
	Bitmapset *columns = bms_make_singleton(OVER_TIME_COLUMN);
	ListCell *cell;

	foreach (cell, frame->keys)
		columns = bms_add_member(columns, ((OverKey *) lfirst(cell))->column);
	/* all_events, state_events, this query, the inputs */
	query = select_nothing_from(subquery_entry(
		with_new_rows(replay, over_window_input(replay->window, columns, from, replay->until), 4),
		"inputs"));
	foreach (cell, frame->keys)
	{
		AttrNumber column = ((OverKey *) lfirst(cell))->column;
		Node *input = list_nth(replay->window->inputs, column - 1);

		add_target(query, input_variable(input, column), psprintf("i%d", column));
	}
	return query;
}

/* (k1, k2, ...) IN (SELECT keys of the rows that enter) */
static Expr *
key_enters(const Replay *replay, const OverFrame *frame)
{
	SubLink *link = makeNode(SubLink);
	List *equal = NIL;
	ListCell *cell;

	foreach (cell, frame->keys)
	{
		OverKey *key = lfirst(cell);
		AttrNumber number = foreach_current_index(cell) + 1;
		Param *entering = makeNode(Param);

		entering->paramkind = PARAM_SUBLINK;
		entering->paramid = number;
		entering->paramtype = key->type;
		entering->paramtypmod = key->typmod;
		entering->paramcollid = key->collation;
		entering->location = -1;
		equal = lappend(equal, make_opclause(key->equality, BOOLOID, false,
											 (Expr *) makeVar(1, number, key->type, key->typmod,
															  key->collation, 0),
											 &entering->xpr, InvalidOid, key->collation));
	}
	link->subLinkType = ANY_SUBLINK;
	link->testexpr = (Node *) make_ands_explicit(equal);
	link->subselect = (Node *) entering_keys(replay, frame);
	link->location = -1;
	return (Expr *) link;
}

/* k1 IS NULL OR k2 IS NULL ...: as in the predicate of the table's index for that (over_state.c). */
static Expr *
key_has_null(const OverFrame *frame)
{
	List *tests = NIL;
	ListCell *cell;

	foreach (cell, frame->keys)
	{
		OverKey *key = lfirst(cell);
		NullTest *test = makeNode(NullTest);

		test->arg = (Expr *) makeVar(1, foreach_current_index(cell) + 1, key->type, key->typmod,
									 key->collation, 0);
		test->nulltesttype = IS_NULL;
		test->location = -1;
		tests = lappend(tests, test);
	}
	return (Expr *) makeBoolExpr(OR_EXPR, tests, -1);
}

static bool
is_large(Oid table)
{
	Relation rel = table_open(table, NoLock);
	bool large = RelationGetNumberOfBlocks(rel) >= MANY_STATES;

	table_close(rel, NoLock);
	return large;
}

/*
 * The frame's saved states, one query or more. Of many keys, those that have rows that enter: no other one has results. That
 * reads the rows once more; an IN doesn't find keys with nulls, of which all are taken.
 */
static List *
all_states(const Replay *replay, const OverFrame *frame, Oid table, int32 number)
{
	Query *states = state_events(replay, frame, table, number);
	Query *with_nulls;

	if (frame->keys == NIL || !is_large(table))
		return list_make1(states);
	with_nulls = copyObject(states);
	add_condition(states, key_enters(replay, frame));
	states->hasSubLinks = true;
	add_condition(with_nulls, key_has_null(frame));
	return list_make2(states, with_nulls);
}

Query *
events_query(const Replay *replay)
{
	List *parts = list_make1(subquery_entry(enter_events(replay), "enter"));
	int32 number = 0;
	ListCell *cell;
	ListCell *table;
	ListCell *states;

	forboth (cell, replay->window->frames, table, replay->states)
	{
		OverFrame *frame = lfirst(cell);

		number++;
		if (replay_count_used(replay, frame) == 0)
			continue;
		if (frame->end != 0)
			parts = lappend(parts, subquery_entry(frame_events(replay, frame, -frame->end, -number),
												  "enter_frame"));
		if (!frame->unbounded)
			parts = lappend(
				parts, subquery_entry(frame_events(replay, frame, frame->length, number), "leave"));
		foreach (states, all_states(replay, frame, lfirst_oid(table), number))
			parts = lappend(parts, subquery_entry(lfirst(states), "states"));
	}
	return union_all(parts);
}

/* ---- planning them -------------------------------------------------------------------------------- */

/*
 * Of how many kinds events are that move rows in and out of frames, other than the rows that enter; how many of these kinds lie behind those rows,
 * and so end with the newest of them.
 */
static int
count_moving(const Replay *replay, int *behind)
{
	int n = 0;
	ListCell *cell;

	*behind = 0;
	foreach (cell, replay->window->frames)
	{
		OverFrame *frame = lfirst(cell);

		if (replay_count_used(replay, frame) == 0)
			continue;
		n += (frame->end != 0) + !frame->unbounded;
		*behind += (frame->end < 0) + (!frame->unbounded && frame->length >= 0);
	}
	return n;
}

/*
 * The replay reads the rows since the saved states to enter them, and for each frame that they leave as many others; the slice reads them
 * once, and the lookback.
 */
static int64
replay_reach(const Replay *replay, const Lookback *lookback, int behind)
{
	if (behind == 0 || lookback_is_unbounded(lookback))
		return TICKS_MAX;
	return lookback_ticks(replay->window->stream.time_type, lookback) / behind;
}

/* How far it is worth it, and what is found once for all parts of the events: those that move, and the rows that enter. */
void
events_plan(Replay *replay, const Lookback *lookback)
{
	int behind;
	int moving = count_moving(replay, &behind);

	replay->reach = replay_reach(replay, lookback, behind);
	if (behind > 0)
		replay->newest = make_with(NEWEST, newest_query(replay), behind);
	if (replay->layers && layers_new_rows_are_dear(replay->layers))
		replay->new_rows = make_with("new_rows", layers_new_rows(replay->layers), moving + 1);
}
