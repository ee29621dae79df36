/*
 * tail_replay.c: the live tail from the states that the maintainer has saved of the view's windows, and the rows that moved since.
 *
 *   SELECT at the levels above the windows ...
 *   FROM (SELECT inputs, replay(op, frame, ..., function, arguments) OVER (PARTITION BY keys ORDER BY at, op, ...)
 *           FROM events) replayed                       -- as tail_events.c tells them
 *   WHERE op = 0 AND t > frontier
 *
 * Frames with the same keys and order share a window, so their events are sorted once. Conditions on keys go down into all of it by
 * PostgreSQL's own rules. The expressions around the windows' functions see none but the rows that the view has.
 */
#include "tidemark.h"

#include "aggregate/sliding.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "view/over_state.h"
#include "view/slice.h"
#include "view/query_parts.h"
#include "view/tail_bounds.h"
#include "view/tail_replay.h"

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
	Index winref = replay_count_used(replay, frame) > 0 ? window_of_frame(replay, query, frame) : 0;
	ListCell *cell;

	foreach (cell, frame->functions)
	{
		OverFunction *function = lfirst(cell);

		results[function->number] = replay_uses(replay, function)
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
	Query *events = events_query(replay);
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

/* ---- which functions ------------------------------------------------------------------------------------- */

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

int
replay_count_used(const Replay *replay, const OverFrame *frame)
{
	int n = 0;
	ListCell *cell;

	foreach (cell, frame->functions)
		n += replay_uses(replay, lfirst(cell));
	return n;
}

static int
most_used(const Replay *replay)
{
	int most = 0;
	ListCell *cell;

	foreach (cell, replay->window->frames)
		most = Max(most, replay_count_used(replay, lfirst(cell)));
	return most;
}

/* ---- the replay -------------------------------------------------------------------------------------------- */

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

bool
replay_prepare(Replay *replay, Query *batch, const Shape *shape, const Demand *demand,
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
	events_plan(replay, lookback);
	return true;
}

Query *
replay_query(const Replay *replay, int ncolumns)
{
	Query *query = over_window_output(replay->window, source(replay));

	query->targetList = list_truncate(query->targetList, ncolumns);
	query = select_from(subquery_entry(query, "replay"), query);
	add_condition(query, tail_is_replayed(replay->view, replay->reach));
	return query;
}
