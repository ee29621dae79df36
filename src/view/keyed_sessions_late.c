/*
 * keyed_sessions_late.c: sessions that late rows change.
 *
 * A late row goes into a session, or makes one of its own, or one of two. What is gone may have ended a session sooner, or parted it:
 *
 *   k    ├─────────────┤       ·       ├──────────┤            a row between two sessions, near to both: they are one
 *   k    ├─────x───────┤                                       the row at x is gone: still one, or two, or shorter
 *
 * Which sessions are concerned is found as in a step (keyed_sessions.c): the key's sessions, as events from start to end, and the late rows
 * are joined to stretches, in each of which is at least one late row. Where rows are gone, sessions with such an event time in them count as late
 * rows: of the keys of these rows, or, where they aren't known, of whatever key.
 *
 *   stretches    k, from, to       no row of the key outside is within the gap of one inside
 *
 * Rows that are known to be new (keyed_written.c) and join no two sessions are added to the states. Otherwise the sessions of all stretches
 * are computed anew from the stream's rows in there, and take the place of those that were.
 *
 * Who calls holds the view's correction lock: nobody else writes to the table.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"
#include "view/keyed_answer.h"
#include "view/keyed_groups.h"
#include "view/keyed_log.h"
#include "view/keyed_maintain.h"
#include "view/keyed_places.h"
#include "view/keyed_sessions.h"
#include "view/keyed_sessions_late.h"
#include "view/keyed_states.h"
#include "view/keyed_written.h"
#include "view/keys.h"
#include "view/query_parts.h"
#include "view/slice.h"

/* ---- stretches ------------------------------------------------------------------------------------ */

static Expr *
event_variable(const Keyed *keyed, AttrNumber column)
{
	return (Expr *) variable_like(list_nth(keyed->inputs, column - 1), 1, column);
}

static Expr *
is_late_row(const Keyed *keyed)
{
	Expr *is_state = (Expr *) makeVar(1, keyed_groups_is_state(keyed), BOOLOID, -1, InvalidOid, 0);

	return makeBoolExpr(NOT_EXPR, list_make1(is_state), -1);
}

/*
 * Of events, the stretches that have late rows: with the inputs as columns, of which the keys, the session's start and the event time, where it
 * ends, are set; and behind them how many sessions there were in it.
 */
static Query *
stretches_of(const Keyed *keyed, List *events)
{
	Query *query = select_nothing_from(keyed_sessions_assigned(keyed, keyed_union(events)));
	Expr *place = (Expr *) makeVar(1, keyed_groups_place(keyed), TIDOID, -1, InvalidOid, 0);
	ListCell *cell;

	foreach (cell, keyed->inputs)
		add_target(query, null_like(lfirst(cell)),
				   psprintf("i%d", foreach_current_index(cell) + 1));
	list_nth_node(TargetEntry, query->targetList, KEYED_TIME_COLUMN - 1)->expr =
		builtin_aggregate("max", keyed->stream.time_type, event_variable(keyed, KEYED_TIME_COLUMN));
	foreach (cell, keyed->keys)
	{
		const KeyedColumn *key = lfirst(cell);

		list_nth_node(TargetEntry, query->targetList, key->column - 1)->expr =
			event_variable(keyed, key->column);
	}
	query->groupClause = keyed_sort_clauses(query, keyed->keys);
	add_target(
		query,
		(Expr *) make_aggregate(F_COUNT_ANY, INT8OID, InvalidOid, InvalidOid, list_make1(place)),
		"sessions");
	query->havingQual = (Node *) builtin_aggregate("bool_or", BOOLOID, is_late_row(keyed));
	query->hasAggs = true;
	return query;
}

/* Sessions with an event time in [first, last], as if they were late rows. */
static Query *
sessions_as_rows(const Keyed *keyed, Oid mat, Ticks first, Ticks last)
{
	Oid type = keyed->stream.time_type;
	Query *query = keyed_groups_states(keyed, mat, false);

	add_condition(query, keyed_sessions_ends(keyed, slice_time_constant(type, first), false));
	slice_add_bounds(query, (Var *) event_variable(keyed, keyed->session), NULL,
					 slice_time_constant(type, last));
	list_nth_node(TargetEntry, query->targetList, keyed_groups_is_state(keyed) - 1)->expr =
		(Expr *) makeBoolConst(false, false);
	list_nth_node(TargetEntry, query->targetList, keyed_groups_place(keyed) - 1)->expr =
		(Expr *) makeNullConst(TIDOID, -1, InvalidOid);
	return query;
}

/* If the keys are known, of rows with the inputs as their first columns those of these keys, and perhaps some more. */
static Query *
of_keys(const ContinuousView *view, const Keyed *keyed, const LateRows *late, Query *rows)
{
	if (late->rows)
		keyed_restrict_to_keys(keyed, rows, view->mat, late->rows, late->nrows);
	return rows;
}

static Query *
inputs_at(const ContinuousView *view, const Keyed *keyed, const LateRows *late)
{
	return of_keys(view, keyed, late, keyed_inputs_at(keyed, late->times, late->n));
}

/* The late rows, and where rows may be gone, what stands for them. */
static Query *
late_rows(const ContinuousView *view, const Keyed *keyed, const LateRows *late)
{
	List *rows = list_make1(keyed_groups_rows(keyed, inputs_at(view, keyed, late)));

	if (!late->inserted)
		rows = lappend(rows, of_keys(view, keyed, late,
									 sessions_as_rows(keyed, view->mat, late->times[0],
													  late->times[late->n - 1])));
	return keyed_union(rows)->subquery;
}

/* The sessions of the late rows' keys that can be within the gap of one of them, as events. */
static List *
sessions_of_keys(const ContinuousView *view, const Keyed *keyed, const LateRows *late,
				 const Query *rows, bool with_states)
{
	Oid type = keyed->stream.time_type;
	Query *sessions =
		of_keys(view, keyed, late, keyed_groups_states(keyed, view->mat, with_states));
	Ticks first = ticks_minus(late->times[0], keyed->gap);
	Ticks last = ticks_plus(late->times[late->n - 1], keyed->gap);

	add_condition(sessions, keyed_sessions_ends(keyed, slice_time_constant(type, first), false));
	slice_add_bounds(sessions, (Var *) event_variable(keyed, keyed->session), NULL,
					 slice_time_constant(type, last));
	return late->rows ? list_make1(sessions)
					  : keyed_with_keys_of(keyed, sessions, copyObject((Query *) rows));
}

/* All stretches together. */
typedef struct Reach
{
	Oid type;
	bool found;
	Ticks from;
	Ticks to;
	int64 joined; /* so many sessions are in one at most */
} Reach;

static void
take_reach(TupleTableSlot *slot, void *result)
{
	Reach *reach = result;

	reach->found = !slot->tts_isnull[0];
	if (!reach->found)
		return;
	reach->from = event_time_ticks(reach->type, slot->tts_values[0]);
	reach->to = event_time_ticks(reach->type, slot->tts_values[1]);
	reach->joined = DatumGetInt64(slot->tts_values[2]);
}

static Reach
reach_of(const ContinuousView *view, const Keyed *keyed, const Query *stretches)
{
	Oid type = keyed->stream.time_type;
	Reach reach = {.type = type};
	Query *query =
		select_nothing_from(subquery_entry(copyObject((Query *) stretches), "stretches"));
	AttrNumber sessions = list_length(keyed->inputs) + 1;

	add_target(query, builtin_aggregate("min", type, event_variable(keyed, keyed->session)),
			   "from");
	add_target(query, builtin_aggregate("max", type, event_variable(keyed, KEYED_TIME_COLUMN)),
			   "to");
	add_target(query,
			   builtin_aggregate("max", INT8OID,
								 (Expr *) makeVar(1, sessions, INT8OID, -1, InvalidOid, 0)),
			   "joined");
	query->hasAggs = true;
	keyed_collect(view, query, take_reach, &reach);
	return reach;
}

/* ---- sessions that take the place of others ------------------------------------------------------- */

/* The place of each of the sessions in the stretches. */
static Query *
places_in(const ContinuousView *view, const Keyed *keyed, const LateRows *late, Query *stretches,
		  const Reach *reach)
{
	Query *sessions = of_keys(view, keyed, late, keyed_groups_states(keyed, view->mat, false));
	Query *query;

	slice_add_bounds(sessions, (Var *) event_variable(keyed, keyed->session),
					 slice_time_constant(reach->type, reach->from),
					 slice_time_constant(reach->type, reach->to));
	query =
		select_nothing_from(keyed_union(keyed_within(keyed, sessions, keyed->session, stretches)));
	add_target(query, (Expr *) makeVar(1, keyed_groups_place(keyed), TIDOID, -1, InvalidOid, 0),
			   "place");
	return query;
}

/* The stream's rows in the stretches. */
static List *
rows_in(const ContinuousView *view, const Keyed *keyed, const LateRows *late, Query *stretches,
		const Reach *reach, Ticks frontier)
{
	Query *inputs = of_keys(view, keyed, late,
							keyed_inputs_between(keyed, reach->from, Min(reach->to, frontier)));

	return keyed_within(keyed, keyed_groups_rows(keyed, inputs), KEYED_TIME_COLUMN, stretches);
}

static int64
replace_sessions(const ContinuousView *view, const Keyed *keyed, const LateRows *late,
				 Query *stretches, const Reach *reach, Ticks frontier)
{
	Places places = keyed_places(view, places_in(view, keyed, late, copyObject(stretches), reach));
	int64 written =
		keyed_states_write(view, keyed, rows_in(view, keyed, late, stretches, reach, frontier));

	keyed_delete_places(view, &places);
	return written - places.n;
}

/* Rows that are known to be new, and join no two sessions. */
static int64
add_rows(const ContinuousView *view, const Keyed *keyed, const LateRows *late, const Query *rows)
{
	Query *input = inputs_at(view, keyed, late);

	keys_restrict_to_written(input);
	return keyed_states_write(
		view, keyed,
		lappend(sessions_of_keys(view, keyed, late, rows, true), keyed_groups_rows(keyed, input)));
}

static KeyedLog *
begin_log(const ContinuousView *view, const Keyed *keyed, const LateRows *late, const Reach *reach)
{
	KeyedTouched touched = {.rows = late->rows,
							.n = late->nrows,
							.bounded = true,
							.from = reach->from,
							.to = reach->to};

	if (late->inserted)
		touched.input = inputs_at(view, keyed, late);
	return keyed_log_begin(view, keyed, &touched);
}

int64
keyed_sessions_correct(const ContinuousView *view, const Keyed *keyed, const LateRows *late,
					   Ticks frontier)
{
	Query *rows = late_rows(view, keyed, late);
	List *sessions = sessions_of_keys(view, keyed, late, rows, false);
	Query *stretches = stretches_of(keyed, lappend(sessions, copyObject(rows)));
	Reach reach = reach_of(view, keyed, stretches);
	bool new = late->inserted &&keyed_written_are_new(view, late->times, late->n);
	KeyedLog *log;
	int64 change;

	if (!late->inserted)
		keyed_written_anywhere(view);
	if (!reach.found)
		return 0;
	log = begin_log(view, keyed, late, &reach);
	if (new &&reach.joined <= 1 && keys_are_of_heaps(&keyed->stream))
		change = add_rows(view, keyed, late, rows);
	else
		change = replace_sessions(view, keyed, late, stretches, &reach, frontier);
	keyed_log_end(log);
	return change;
}
