/*
 * keyed_log.c: how the rows of a view that keeps rows by key change, for who follows it.
 *
 *                     stream's rows                 what is kept (the view's table)        the view's rows
 *
 *   before                                           rows, or states, of k1 k2        ──▶  r1 r2    ─┐
 *   a change          keys k1 k2 k3                                                                  ├─▶ log: d r2, i r2', i r3
 *   after                                            rows, or states, of k1 k2 k3     ──▶  r1 r2' r3 ─┘
 *
 * What such a view keeps is not what it shows, and a row goes when another takes its place. So all changes of its rows are logged, those that the
 * maintainer makes when it moves the frontier too: the rows of the keys that a change concerns are computed before and after it, with the view's own
 * query, and what differs goes to the log (change_log.c) in the columns of the view.
 *
 * Of a view with the first row of each key by event time, a step only adds rows: they are read from what it has added, and logged
 * as final. Where the frontier had gone back, rows up to where it was come again, and are corrections.
 *
 * Groups by sessions are logged when they are over, once, as final: when no row can go on them, the frontier being the gap past their end. A late
 * row that changes such a one is a correction. Only if the view advances on arrival are they logged while they go on, each step's change of them:
 *
 *                                                     frontier - gap      frontier
 *   k     ├────────────┤                 ├──────────┤        │               │
 *         is over                        is over             │    ├──────────┼──        goes on: not logged yet
 *
 * Of first rows that are kept for a while only, each entry is logged when it becomes final, however long a step is. That it expires is no change: who
 * has it keeps it. Corrections are logged of entries that haven't expired: so each key has one at most that they can concern,
 * and it tells them apart. Where the frontier had gone back, they count from where it was: what had expired then didn't go.
 *
 * Who begins to follow a view gets its present rows from the log as well: they are written there, for him alone (sink/feed.c).
 *
 * Views with windows over such rows are not meant here: their rows are materialised by event time, as those of any other.
 *
 * Who calls holds the view's correction lock.
 */
#include "tidemark.h"

#include "access/table.h"
#include "executor/executor.h"
#include "executor/tstoreReceiver.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "view/answer.h"
#include "view/change_log.h"
#include "view/keyed_answer.h"
#include "view/keyed_groups.h"
#include "view/keyed_log.h"
#include "view/keyed_maintain.h"
#include "view/keyed_sessions.h"
#include "view/materialised.h"
#include "view/query_parts.h"
#include "view/slice.h"

struct KeyedLog
{
	const ContinuousView *view;
	const Keyed *keyed;
	KeyedTouched touched;
	Ticks shown[2];
	TupleDesc columns; /* of the view's rows */
	Tuplestorestate *before;
};

/* ---- what is shown -------------------------------------------------------------------------------- */

Ticks
keyed_log_begins(const ContinuousView *view)
{
	Ticks to = frontier_read(view->relid, GetActiveSnapshot()).logged_to;

	return ticks_plus(ticks_minus(to, view->dedup_for), 1);
}

/* Sets the event times of kept rows that who follows the view knows of: of sessions, those of their ends. */
static void
find_shown(const ContinuousView *view, const Keyed *keyed, Ticks shown[2])
{
	shown[0] = view->dedup_for > 0 ? keyed_log_begins(view) : TICKS_MIN;
	shown[1] = TICKS_MAX;
	if (keyed->sessions && keyed_rows_are_final(view, keyed))
		shown[1] =
			ticks_minus(frontier_read(view->relid, GetActiveSnapshot()).frontier, keyed->gap);
}

/* AND the column, of an event time, is in [from, to] */
static void
restrict_to(const Keyed *keyed, Query *query, AttrNumber column, Ticks from, Ticks to)
{
	Oid type = keyed->stream.time_type;
	Var *time = copyObject((Var *) list_nth_node(TargetEntry, query->targetList, column - 1)->expr);

	slice_add_bounds(query, time, from == TICKS_MIN ? NULL : slice_time_constant(type, from),
					 to == TICKS_MAX ? NULL : slice_time_constant(type, to));
}

/* ---- the view's rows ------------------------------------------------------------------------------ */

/* What is kept. */
static Query *
kept_rows(const ContinuousView *view, const Keyed *keyed)
{
	Query *query;

	if (keyed->groups)
		return keyed_groups_states(keyed, view->mat, true);
	query = select_from(table_entry(view->mat), keyed_input(keyed, NULL, NULL));
	compat_unchecked(query);
	return query;
}

/* What is kept, and shown, of the keys concerned, as queries. */
static List *
touched_rows(const ContinuousView *view, const Keyed *keyed, const KeyedTouched *touched,
			 const Ticks shown[2])
{
	Query *kept = kept_rows(view, keyed);
	Query *others;

	restrict_to(keyed, kept, KEYED_TIME_COLUMN, shown[0], shown[1]);
	if (touched->bounded)
	{
		restrict_to(keyed, kept, KEYED_TIME_COLUMN, touched->from, TICKS_MAX);
		restrict_to(keyed, kept, keyed->session, TICKS_MIN, touched->to);
	}
	if (touched->rows)
		keyed_restrict_to_keys(keyed, kept, view->mat, touched->rows, touched->n);
	if (touched->input == NULL)
		return list_make1(kept);
	others = copyObject(touched->input);
	return keyed_with_keys_of(keyed, kept,
							  keyed->groups ? keyed_groups_rows(keyed, others) : others);
}

/* The view's rows, of what is kept. */
static Query *
output_of(const Keyed *keyed, List *kept)
{
	if (keyed->keys == NIL && keyed->groups)
		return keyed_output(keyed, keyed_union(lappend(kept, keyed_groups_nothing(keyed))));
	if (keyed->limit == 1)
		return keyed_output_of_kept(keyed, keyed_union(kept));
	return keyed_output(keyed, keyed_union(kept));
}

/* Runs a query with the rights of the view's owner. *columns: those of the rows. */
static Tuplestorestate *
run_query(const ContinuousView *view, Query *query, TupleDesc *columns)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	DestReceiver *receiver = CreateDestReceiver(DestTuplestore);
	RoleSession session = role_begin(relation_owner(view->relid));
	bool answer_before = answer_suspended;

	LockRelationOid(view->mat, AccessShareLock);
	*columns = ExecCleanTypeFromTL(query->targetList);
	SetTuplestoreDestReceiverParams(receiver, rows, CurrentMemoryContext, false, NULL, NULL);
	answer_suspended = true;
	PG_TRY();
	{
		materialised_run(receiver, query);
	}
	PG_FINALLY();
	{
		answer_suspended = answer_before;
	}
	PG_END_TRY();
	receiver->rDestroy(receiver);
	role_end(session);
	return rows;
}

static Tuplestorestate *
run_touched(const ContinuousView *view, const Keyed *keyed, const KeyedTouched *touched,
			const Ticks shown[2], TupleDesc *columns)
{
	return run_query(view, output_of(keyed, touched_rows(view, keyed, touched, shown)), columns);
}

/* ---- changes -------------------------------------------------------------------------------------- */

bool
keyed_log_is_followed(const ContinuousView *view, const Keyed *keyed)
{
	return OidIsValid(view->changes) && !keyed->under_windows;
}

KeyedLog *
keyed_log_begin(const ContinuousView *view, const Keyed *keyed, const KeyedTouched *touched)
{
	KeyedLog *log;

	if (!keyed_log_is_followed(view, keyed))
		return NULL;
	log = palloc(sizeof(KeyedLog));
	*log = (KeyedLog){.view = view, .keyed = keyed, .touched = *touched};
	log->touched.input = copyObject(touched->input);
	find_shown(view, keyed, log->shown);
	log->before = run_touched(view, keyed, touched, log->shown, &log->columns);
	return log;
}

void
keyed_log_end(KeyedLog *log)
{
	Tuplestorestate *after;

	if (log == NULL)
		return;
	CommandCounterIncrement();
	after = run_touched(log->view, log->keyed, &log->touched, log->shown, &log->columns);
	change_log_difference(log->view, log->columns, log->before, after);
	tuplestore_end(log->before);
	tuplestore_end(after);
}

bool
keyed_rows_are_final(const ContinuousView *view, const Keyed *keyed)
{
	if (keyed->sessions)
		return !view->on_arrival;
	return !keyed->groups && keyed->in_arrival_order && keyed->limit == 1;
}

/* The kept rows with event times in [from, to], in their order. */
static Query *
kept_between(const ContinuousView *view, const Keyed *keyed, Ticks from, Ticks to)
{
	Query *query = kept_rows(view, keyed);

	restrict_to(keyed, query, KEYED_TIME_COLUMN, from, to);
	order_by(query, KEYED_TIME_COLUMN);
	return query;
}

/*
 * The sessions that end in [from, to]. In a time that is not longer than the gap, at most one of a key does: the last one that begins up to there.
 * It is looked up, then, for keys that have rows there.
 */
static List *
sessions_between(const ContinuousView *view, const Keyed *keyed, Ticks from, Ticks to)
{
	Oid type = keyed->stream.time_type;
	List *sessions;
	ListCell *cell;

	if (from == TICKS_MIN || ticks_minus(to, keyed->gap) >= from)
		return list_make1(kept_between(view, keyed, from, to));
	sessions = keyed_sessions_last(keyed, view->mat,
								   keyed_groups_rows(keyed, keyed_inputs_between(keyed, from, to)),
								   slice_time_constant(type, from), slice_time_constant(type, to));
	foreach (cell, sessions)
		restrict_to(keyed, lfirst(cell), KEYED_TIME_COLUMN, TICKS_MIN, to);
	return sessions;
}

static void
log_added(const ContinuousView *view, const Keyed *keyed, Ticks from, Ticks to, char op)
{
	TupleDesc columns;
	Tuplestorestate *rows;
	List *added;

	if (from > to)
		return;
	added = keyed->sessions ? sessions_between(view, keyed, from, to)
							: list_make1(kept_between(view, keyed, from, to));
	rows = run_query(view, output_of(keyed, added), &columns);
	change_log_add(view, columns, rows, op);
	tuplestore_end(rows);
}

void
keyed_log_final(const ContinuousView *view, const Keyed *keyed, Ticks from, Ticks to)
{
	Ticks known;

	if (!keyed_log_is_followed(view, keyed))
		return;
	known = frontier_read(view->relid, GetActiveSnapshot()).logged_to;
	if (view->dedup_for > 0)
		from = Max(from, keyed_log_begins(view));
	if (keyed->sessions)
	{
		known = ticks_minus(known, keyed->gap);
		from = ticks_minus(from, keyed->gap);
		to = ticks_minus(to, keyed->gap);
	}
	CommandCounterIncrement();
	log_added(view, keyed, from, Min(to, known), CHANGE_CAME);
	log_added(view, keyed, Max(from, ticks_plus(known, 1)), to, CHANGE_FINAL);
}

void
keyed_log_present(const ContinuousView *view, const Keyed *keyed)
{
	KeyedTouched all = {0};
	Ticks shown[2];
	TupleDesc columns;
	Tuplestorestate *rows;

	find_shown(view, keyed, shown);
	rows = run_touched(view, keyed, &all, shown, &columns);
	change_log_add(view, columns, rows, CHANGE_PRESENT);
	tuplestore_end(rows);
}

Keyed *
keyed_log_of_view(const ContinuousView *view)
{
	Shape shape;
	Access access;

	if (!OidIsValid(view->changes) || !change_log_is_of_rows(view->relid))
		return NULL;
	(void) slice_batch_query(view->relid, &shape, &access);
	shape_require(&shape, get_rel_name(view->relid));
	return shape.keyed;
}
