/*
 * tail.c: the live tail: what a view's query gives above its frontier.
 *
 * There are two ways to it. The slice is the batch query on the rows from the frontier less the lookback on: right for every
 * query, but it reads whole windows. The replay reads only what moved, where the maintainer has saved the states of the
 * windows, but reads that several times: for windows that are shorter than the tail a slice is less.
 *
 *                saved                  newest row
 *   ──┬────────────┬───────────────────────┬──────▶ event time
 *     │ leave      │ enter                 │             window's length L: rows in (saved - L, newest - L] leave it
 *
 *   SELECT at the levels above the windows ...
 *   FROM (SELECT inputs, replay(op, frame, ..., function, arguments) OVER (PARTITION BY keys ORDER BY at, op, ...)
 *           FROM (SELECT ticks, 0, ...     FROM inputs WHERE t > saved                           -- rows that enter
 *                 UNION ALL
 *                 SELECT ticks + L, f, ... FROM inputs WHERE t in (saved - L, newest - L]        -- that leave frame f
 *                 UNION ALL
 *                 SELECT ticks - E, -f, ... FROM inputs WHERE t in (saved + E, newest + E]      -- enter it, where it ends with t + E
 *                 UNION ALL
 *                 SELECT first, -f, keys, states FROM saved states of frame f) events) replayed
 *   WHERE op = 0 AND t > frontier
 *
 * Frames with the same keys and order share a window, so their events are sorted once. Conditions on keys go down into all of it by
 * PostgreSQL's own rules. The expressions around the windows' functions see none but the rows that the view has.
 *
 * Which of them a snapshot goes is known when the query runs: the replay has a one-time filter, the slice one
 * with the opposite (see tail_bounds.c). So a kept plan is right in every snapshot.
 *
 * Window functions that the reader doesn't ask for are in neither: without any, the tail is what is above the frontier, no more.
 */
#include "tidemark.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "aggregate/planner.h"
#include "aggregate/sliding.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "view/over_state.h"
#include "view/over_window.h"
#include "view/slice.h"
#include "view/tail.h"
#include "view/tail_bounds.h"

/* Columns of the events; the inputs follow, and then the saved states. */
enum event_column
{
	EVENT_AT = 1,
	EVENT_OP,
	EVENT_INPUTS /* the inputs' first */
};

/* The WITH query that finds the newest row, and its column. */
#define NEWEST "newest"

/* Pages of a table of saved states from which on it is worth to know first of which keys states are needed. */
#define MANY_STATES 1024

/* A tail that replays. */
typedef struct Replay
{
	const ContinuousView *view;
	const Layers *layers; /* the stream is the lower one; NULL: it is one */
	OverWindow *window;
	Expr *until;	 /* the reader wants no rows after that; NULL: no bound */
	List *states;	 /* OIDs of the tables of saved states, a frame each */
	Bitmapset *used; /* numbers of the functions whose results are used */
	int64
		reach; /* ticks from the saved states to the newest row with which it isn't worth it any more */
	CommonTableExpr *newest;   /* the newest row; NULL: nobody asks */
	CommonTableExpr *new_rows; /* of the lower layer; NULL: not found once for all */
	int ninputs;
	int nsaved; /* columns for saved states */
} Replay;

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

/* Puts that in the place of the stream in a query over it. */
static Query *
read_instead(Query *query, RangeTblEntry *rows)
{
	Query *level = shape_stream_level(query);

	lfirst(list_nth_cell(level->rtable, shape_input(level) - 1)) = rows;
	return query;
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
		(void) read_instead(query, layers_rows(layers, layers_new_rows(layers)));
	if (other)
		add_condition(query,
					  makeBoolExpr(NOT_EXPR, list_make1(tail_is_replayed(view, other->reach)), -1));
	aggregate_swap_exact_always(query);
	return query;
}

/* ---- which functions ----------------------------------------------------------------------------------- */

typedef struct UsedContext
{
	const OverWindow *window;
	Bitmapset *used;
} UsedContext;

static bool
find_used(Node *node, void *arg)
{
	UsedContext *context = arg;

	if (node == NULL)
		return false;
	if (IsA(node, WindowFunc))
	{
		context->used = bms_add_member(
			context->used, over_window_function(context->window, (WindowFunc *) node)->number);
		return false;
	}
	return expression_tree_walker(node, find_used, arg);
}

/* How many saved states a row of frame's table has of functions that are used. */
static int
count_used(const Replay *replay, const OverFrame *frame)
{
	int n = 0;
	ListCell *cell;

	foreach (cell, frame->functions)
		n += bms_is_member(((OverFunction *) lfirst(cell))->number, replay->used);
	return n;
}

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

		if (count_used(replay, frame) == 0)
			continue;
		n += (frame->end != 0) + !frame->unbounded;
		*behind += (frame->end < 0) + (!frame->unbounded && frame->length >= 0);
	}
	return n;
}

static bool
is_used(const Replay *replay, const OverFunction *function)
{
	return bms_is_member(function->number, replay->used);
}

/* ---- events -------------------------------------------------------------------------------------------- */

static Expr *
int4_constant(int32 value)
{
	return (Expr *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(value), false,
							  true);
}

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

/* A WITH query, that many levels below the query that has it. */
static RangeTblEntry *
with_entry(const CommonTableExpr *with, int levels)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);

	entry->rtekind = RTE_CTE;
	entry->ctename = with->ctename;
	entry->ctelevelsup = levels;
	entry->coltypes = with->ctecoltypes;
	entry->coltypmods = with->ctecoltypmods;
	entry->colcollations = with->ctecolcollations;
	entry->eref = makeAlias(with->ctename, with->ctecolnames);
	entry->inFromCl = true;
	return entry;
}

/* The query as a WITH query that is run once. */
static CommonTableExpr *
make_with(char *name, Query *query, int references)
{
	CommonTableExpr *with = makeNode(CommonTableExpr);
	ListCell *cell;

	with->ctename = name;
	with->ctematerialized = CTEMaterializeAlways;
	with->ctequery = (Node *) query;
	with->location = -1;
	with->cterefcount = references;
	foreach (cell, query->targetList)
	{
		TargetEntry *column = lfirst_node(TargetEntry, cell);
		Node *expression = (Node *) column->expr;

		if (column->resjunk)
			continue;
		with->ctecolnames = lappend(with->ctecolnames, makeString(column->resname));
		with->ctecoltypes = lappend_oid(with->ctecoltypes, exprType(expression));
		with->ctecoltypmods = lappend_int(with->ctecoltypmods, exprTypmod(expression));
		with->ctecolcollations = lappend_oid(with->ctecolcollations, exprCollation(expression));
	}
	return with;
}

/* A query over a lower layer, that many levels below replayed_events, sees its new rows, too. */
static Query *
with_new_rows(const Replay *replay, Query *inputs, int levels)
{
	const Layers *layers = replay->layers;
	Query *new;

	if (layers == NULL)
		return inputs;
	if (replay->new_rows == NULL)
		return read_instead(inputs, layers_rows(layers, layers_new_rows(layers)));
	/* below the last level of the inputs: the union, and the new rows' part of it */
	new = select_from(with_entry(replay->new_rows, levels + count_levels(replay->window) + 1),
					  castNode(Query, replay->new_rows->ctequery));
	return read_instead(inputs, layers_rows(layers, new));
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

	/* all_events, row_events, the inputs */
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
		(void) read_instead(inputs, layers_newest(replay->layers));
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

	/* replayed_events, all_events, row_events, the levels of the inputs: from the last one's subquery up to the first */
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
		if (is_used(replay, lfirst(cell)))
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

/* All that happens to the frames whose functions are used, from the saved states on. */
static Query *
all_events(const Replay *replay)
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
		if (count_used(replay, frame) == 0)
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

/* ---- windows over the events ----------------------------------------------------------------------------- */

static Var *
event_variable(const Query *events, AttrNumber column)
{
	Node *expression = (Node *) list_nth_node(TargetEntry, events->targetList, column - 1)->expr;

	return variable_like(expression, 1, column);
}

static SortGroupClause *
ascending(TargetEntry *entry, Oid equality)
{
	return sort_clause(entry, equality, get_ordering_op_for_equality_op(equality, true));
}

/* The events' column of this input. */
static TargetEntry *
event_input(const Query *query, AttrNumber column)
{
	return list_nth_node(TargetEntry, query->targetList, EVENT_INPUTS - 1 + column - 1);
}

/* What further columns of the inputs order events for the frame: for rows with results of their own, all that the window has. */
static List *
further_order(const Replay *replay, Query *query, const OverFrame *frame)
{
	int n = frame->by_row ? list_length(replay->window->order) : frame->order;
	List *order = NIL;

	for (int i = 0; i < n; i++)
	{
		OverOrder *column = list_nth(replay->window->order, i);
		TargetEntry *entry = event_input(query, column->column);
		SortGroupClause *clause = copyObject(column->clause);

		clause->tleSortGroupRef = ascending(entry, clause->eqop)->tleSortGroupRef;
		order = lappend(order, clause);
	}
	return order;
}

/*
 * PARTITION BY the frame's keys ORDER BY at, op, and what else orders rows of equal event time: the number of that window, which is made if there is none
 * like it. Peers have the same result, unless each row has its own.
 */
static Index
window_of_frame(const Replay *replay, Query *query, const OverFrame *frame)
{
	WindowClause *clause = makeNode(WindowClause);
	TargetEntry *at = list_nth_node(TargetEntry, query->targetList, EVENT_AT - 1);
	TargetEntry *op = list_nth_node(TargetEntry, query->targetList, EVENT_OP - 1);
	ListCell *cell;

	foreach (cell, frame->keys)
	{
		OverKey *key = lfirst(cell);

		clause->partitionClause = lappend(
			clause->partitionClause, ascending(event_input(query, key->column), key->equality));
	}
	clause->orderClause =
		list_make2(ascending(at, lookup_type_cache(INT8OID, TYPECACHE_EQ_OPR)->eq_opr),
				   ascending(op, Int4EqualOperator));
	clause->orderClause = list_concat(clause->orderClause, further_order(replay, query, frame));
	clause->frameOptions = FRAMEOPTION_DEFAULTS;
	if (frame->by_row)
		clause->frameOptions = FRAMEOPTION_NONDEFAULT | FRAMEOPTION_ROWS | FRAMEOPTION_BETWEEN |
							   FRAMEOPTION_START_UNBOUNDED_PRECEDING | FRAMEOPTION_END_CURRENT_ROW;
	foreach (cell, query->windowClause)
	{
		WindowClause *other = lfirst_node(WindowClause, cell);

		if (equal(other->partitionClause, clause->partitionClause) &&
			equal(other->orderClause, clause->orderClause) &&
			other->frameOptions == clause->frameOptions)
			return foreach_current_index(cell) + 1;
	}
	clause->winref = list_length(query->windowClause) + 1;
	query->windowClause = lappend(query->windowClause, clause);
	return clause->winref;
}

/* What a frame that is counted begins and ends with, as an array for replay; null if it is not counted. */
static Node *
bounds_constant(const SlidingBounds *bounds)
{
	Datum values[3];

	if (bounds == NULL)
		return (Node *) makeNullConst(INT8ARRAYOID, -1, InvalidOid);
	values[0] = Int64GetDatum(bounds->first);
	values[1] = Int64GetDatum(bounds->last);
	values[2] = Int64GetDatum(bounds->order);
	return (Node *) makeConst(
		INT8ARRAYOID, -1, InvalidOid, -1,
		PointerGetDatum(construct_array(values, lengthof(values), INT8OID, sizeof(int64),
										FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
		false, false);
}

/* replay(op, frame, counts, saved, NULL::result, function, bounds, arguments) OVER the frame's window */
static WindowFunc *
replay_call(const Query *events, const OverFunction *function, Index winref, int32 number,
			AttrNumber saved)
{
	Oid types[] = {INT4OID,		  INT4OID,		   BOOLOID,		 BYTEAOID,
				   ANYELEMENTOID, REGPROCEDUREOID, INT8ARRAYOID, ANYOID};
	WindowFunc *call = copyObject(function->call);
	ListCell *cell;
	List *arguments = NIL;

	arguments = lappend(arguments, event_variable(events, EVENT_OP));
	arguments = lappend(arguments, int4_constant(number));
	arguments = lappend(arguments,
						function->filter
							? (Node *) event_variable(events, EVENT_INPUTS + function->filter - 1)
							: makeBoolConst(true, false));
	arguments = lappend(arguments, event_variable(events, saved));
	arguments = lappend(arguments, makeNullConst(call->wintype, -1, call->wincollid));
	arguments = lappend(arguments, makeConst(REGPROCEDUREOID, -1, InvalidOid, sizeof(Oid),
											 ObjectIdGetDatum(call->winfnoid), false, true));
	arguments = lappend(arguments, bounds_constant(function->bounds));
	foreach (cell, function->arguments)
		arguments = lappend(arguments, event_variable(events, EVENT_INPUTS + lfirst_int(cell) - 1));
	if (function->arguments == NIL)
		arguments = lappend(arguments, makeBoolConst(true, false));
	call->winfnoid = own_function("replay", lengthof(types), types);
	call->args = arguments;
	call->aggfilter = NULL;
	call->winref = winref;
	call->winstar = false;
	call->winagg = true;
	return call;
}

/* Sets the results of the frame's functions that are used, at their numbers. */
static void
replay_frame(const Replay *replay, Query *query, const Query *events, const OverFrame *frame,
			 int32 number, Expr **results)
{
	AttrNumber saved = EVENT_INPUTS + replay->ninputs;
	Index winref = count_used(replay, frame) > 0 ? window_of_frame(replay, query, frame) : 0;
	ListCell *cell;

	foreach (cell, frame->functions)
	{
		OverFunction *function = lfirst(cell);

		results[function->number] = is_used(replay, function)
										? (Expr *) replay_call(events, function, winref,
															   frame->end == 0 ? number : -number,
															   saved++)
										: null_like((Node *) function->call);
	}
}

/* The events with the functions' results behind them; those that nobody uses are null. */
static Query *
replayed_events(const Replay *replay)
{
	Query *events = all_events(replay);
	Query *query = select_from(subquery_entry(events, "events"), events);
	Expr **results = palloc0(sizeof(Expr *) * replay->window->nfunctions);
	int32 number = 0;
	ListCell *cell;

	query->targetList = list_truncate(query->targetList, EVENT_INPUTS - 1 + replay->ninputs);
	foreach (cell, replay->window->frames)
		replay_frame(replay, query, events, lfirst(cell), ++number, results);
	for (int i = 0; i < replay->window->nfunctions; i++)
		add_target(query, results[i], psprintf("r%d", i + 1));
	query->hasWindowFuncs = true;
	if (replay->newest)
		query->cteList = lappend(query->cteList, replay->newest);
	if (replay->new_rows)
		query->cteList = lappend(query->cteList, replay->new_rows);
	return query;
}

/* ---- the replay -------------------------------------------------------------------------------------------- */

/* Of the replayed events, the rows of the view's tail: the source of the levels above the windows. */
static RangeTblEntry *
source(const Replay *replay)
{
	Lookback none = {0};
	Query *replayed = replayed_events(replay);
	Query *query = select_from(subquery_entry(replayed, "replayed"), replayed);
	Var *op = event_variable(replayed, EVENT_OP);
	Var *time = event_variable(replayed, EVENT_INPUTS + OVER_TIME_COLUMN - 1);
	AttrNumber column = 0;
	ListCell *cell;

	query->targetList = list_delete_first_n(query->targetList, EVENT_INPUTS - 1);
	foreach (cell, query->targetList)
		lfirst_node(TargetEntry, cell)->resno = ++column;
	add_condition(query, slice_condition(Int4EqualOperator, &op->xpr, int4_constant(0)));
	slice_add_bounds(query, time, tail_start(replay->view, replay->window->stream.time_type, &none),
					 NULL);
	return subquery_entry(query, "windows");
}

/* Has each frame its table, and no table gone? */
static bool
tables_exist(const Replay *replay)
{
	ListCell *cell;

	if (list_length(replay->states) != list_length(replay->window->frames))
		return false;
	foreach (cell, replay->states)
	{
		LockRelationOid(lfirst_oid(cell), AccessShareLock);
		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(cell))))
			return false;
	}
	return true;
}

static int
most_used(const Replay *replay)
{
	int most = 0;
	ListCell *cell;

	foreach (cell, replay->window->frames)
		most = Max(most, count_used(replay, lfirst(cell)));
	return most;
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
static void
plan_parts(Replay *replay, const Lookback *lookback)
{
	int behind;
	int moving = count_moving(replay, &behind);

	replay->reach = replay_reach(replay, lookback, behind);
	if (behind > 0)
		replay->newest = make_with(NEWEST, newest_query(replay), behind);
	if (replay->layers && layers_new_rows_are_dear(replay->layers))
		replay->new_rows = make_with("new_rows", layers_new_rows(replay->layers), moving + 1);
}

/* Can the tail come from saved states? lookback: of what the reader asks for. */
static bool
prepare_replay(Replay *replay, Query *batch, const Shape *shape, const Demand *demand,
			   const Lookback *lookback)
{
	UsedContext context = {0};
	bool has_windows;
	const char *why;

	replay->until = demand->until;
	replay->states = over_state_tables(replay->view->relid, shape);
	if (replay->states == NIL)
		return false;
	replay->window = over_window_analyse(batch, shape, &has_windows, &why);
	if (replay->window == NULL || !tables_exist(replay))
		return false;
	columns_prune(replay->window->query, demand->columns);
	context.window = replay->window;
	(void) find_used((Node *) over_window_level(replay->window)->targetList, &context);
	replay->used = context.used;
	replay->ninputs = list_length(replay->window->inputs);
	replay->nsaved = most_used(replay);
	plan_parts(replay, lookback);
	return true;
}

/* The tail from the saved states. */
static Query *
replay_query(const Replay *replay, int ncolumns)
{
	Query *query = over_window_output(replay->window, source(replay));

	query->targetList = list_truncate(query->targetList, ncolumns);
	query = select_from(subquery_entry(query, "replay"), query);
	add_condition(query, tail_is_replayed(replay->view, replay->reach));
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
			  prepare_replay(&replay, batch, shape, demand, &needed.lookback);
	if (replays)
		parts = lappend(parts, replay_query(&replay, ncolumns));
	parts = lappend(parts,
					slice(pruned, view, &needed, layers, demand->until, replays ? &replay : NULL));
	foreach (cell, parts)
		if (demand->until)
			add_end(lfirst_node(Query, cell), view, &shape->stream, demand->until);
	return parts;
}
