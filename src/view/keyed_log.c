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
 * Who begins to follow a view gets its present rows from the log as well: they are written there, for him alone (sink/feed.c).
 *
 * Views with windows over such rows are not meant here: their rows are materialised by event time, as those of any other. Nor are groups by
 * sessions: which of a key's sessions are concerned isn't known before the change, and all of them would be too many. Nor first rows that
 * are kept for a while only.
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
#include "view/materialised.h"
#include "view/query_parts.h"
#include "view/slice.h"

struct KeyedLog
{
	const ContinuousView *view;
	const Keyed *keyed;
	KeyedTouched touched;
	TupleDesc columns; /* of the view's rows */
	Tuplestorestate *before;
};

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

/* What is kept of the keys concerned, as queries. */
static List *
touched_rows(const ContinuousView *view, const Keyed *keyed, const KeyedTouched *touched)
{
	Query *kept = kept_rows(view, keyed);
	Query *others;

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
			TupleDesc *columns)
{
	return run_query(view, output_of(keyed, touched_rows(view, keyed, touched)), columns);
}

/* ---- changes -------------------------------------------------------------------------------------- */

static bool
is_followed(const ContinuousView *view, const Keyed *keyed)
{
	return OidIsValid(view->changes) && !keyed->under_windows && !keyed->sessions;
}

KeyedLog *
keyed_log_begin(const ContinuousView *view, const Keyed *keyed, const KeyedTouched *touched)
{
	KeyedLog *log;

	if (!is_followed(view, keyed))
		return NULL;
	log = palloc(sizeof(KeyedLog));
	*log = (KeyedLog){.view = view, .keyed = keyed, .touched = *touched};
	log->touched.input = copyObject(touched->input);
	log->before = run_touched(view, keyed, touched, &log->columns);
	return log;
}

void
keyed_log_end(KeyedLog *log)
{
	Tuplestorestate *after;

	if (log == NULL)
		return;
	CommandCounterIncrement();
	after = run_touched(log->view, log->keyed, &log->touched, &log->columns);
	change_log_difference(log->view, log->columns, log->before, after);
	tuplestore_end(log->before);
	tuplestore_end(after);
}

void
keyed_log_require(Oid view, const Keyed *keyed)
{
	ContinuousView found;

	if (view_lookup(view, &found) && found.dedup_for > 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("view \"%s\" can't be followed: its rows are kept for a while only",
							   get_rel_name(view)),
						errdetail("Rows that expire are not logged."),
						errhint("Follow a view without dedup_for.")));
	if (keyed->sessions)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("view \"%s\" can't be followed: it groups by sessions", get_rel_name(view)),
				 errdetail("A session changes while rows come that belong to it, and its changes "
						   "are not logged."),
				 errhint("Send a view with tidemark.session as a column, and group where it is "
						 "read; or write the groups of now with INSERT INTO ... SELECT.")));
}

bool
keyed_rows_are_final(const Keyed *keyed)
{
	return !keyed->groups && keyed->in_arrival_order && keyed->limit == 1;
}

/* The kept rows with event times in [from, to], in their order. */
static Query *
kept_between(const ContinuousView *view, const Keyed *keyed, Ticks from, Ticks to)
{
	Oid type = keyed->stream.time_type;
	Query *query = kept_rows(view, keyed);
	Var *time = copyObject(
		(Var *) list_nth_node(TargetEntry, query->targetList, KEYED_TIME_COLUMN - 1)->expr);

	slice_add_bounds(query, time, from == TICKS_MIN ? NULL : slice_time_constant(type, from),
					 slice_time_constant(type, to));
	order_by(query, KEYED_TIME_COLUMN);
	return query;
}

static void
log_added(const ContinuousView *view, const Keyed *keyed, Ticks from, Ticks to, char op)
{
	TupleDesc columns;
	Tuplestorestate *rows;

	if (from > to)
		return;
	rows = run_query(view, output_of(keyed, list_make1(kept_between(view, keyed, from, to))),
					 &columns);
	change_log_add(view, columns, rows, op);
	tuplestore_end(rows);
}

void
keyed_log_final(const ContinuousView *view, const Keyed *keyed, Ticks from, Ticks to)
{
	Ticks known;

	if (!is_followed(view, keyed))
		return;
	known = frontier_read(view->relid, GetActiveSnapshot()).logged_to;
	CommandCounterIncrement();
	log_added(view, keyed, from, Min(to, known), CHANGE_CAME);
	log_added(view, keyed, Max(from, ticks_plus(known, 1)), to, CHANGE_FINAL);
}

void
keyed_log_present(const ContinuousView *view, const Keyed *keyed)
{
	KeyedTouched all = {0};
	TupleDesc columns;
	Tuplestorestate *rows = run_touched(view, keyed, &all, &columns);

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
