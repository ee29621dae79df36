/*
 * change_log.h: the corrections of a view, row by row, for its sinks and subscriptions.
 */
#ifndef TIDEMARK_VIEW_CHANGE_LOG_H
#define TIDEMARK_VIEW_CHANGE_LOG_H

#include "catalog.h"
#include "utils/tuplestore.h"
#include "view/materialised.h"

/* What the log says of a row. */
#define CHANGE_WENT 'd'
#define CHANGE_CAME 'i'
#define CHANGE_FINAL 'f' /* it came when the frontier passed it; of logs that are of rows */
#define CHANGE_PRESENT                                                                             \
	's' /* it was there when somebody began to follow the view: for him; likewise */

/* Has the log all changes of the view's rows, in the view's columns, and not only corrections of what is materialised? See keyed_log.h. */
extern bool change_log_is_of_rows(Oid view);

/*
 * Has the view's corrections logged from now on, or no longer. The caller has locked the view's relation; these take its
 * correction lock.
 */
extern void change_log_create(Oid view);
extern void change_log_drop(Oid view);

/*
 * Around a change of materialised rows at or below the frontier: rows that are deleted are kept in what change_log_begin returns
 * (NULL: nobody asks for them), and change_log_end compares them with those that are now in that place: with event times in [from, to]
 * and these keys. What differs is logged.
 */
extern Tuplestorestate *change_log_begin(const ContinuousView *view);
extern void change_log_end(const ContinuousView *view, Tuplestorestate *gone, Oid time_type,
						   Ticks from, Ticks to, const List *keys);

/* Runs a statement over such rows that returns rows of the materialised table, which are kept in gone; returns how many. */
extern uint64 change_log_keep(const char *sql, const MaterialisedRows *rows, Tuplestorestate *gone);

/* Logs what differs between these rows of the view, as they were and as they are, or that they came. For logs that are of rows. */
extern void change_log_difference(const ContinuousView *view, TupleDesc columns,
								  Tuplestorestate *gone, Tuplestorestate *come);
extern void change_log_add(const ContinuousView *view, TupleDesc columns, Tuplestorestate *come,
						   char op);

/* All rows are about to go at once. */
extern void change_log_truncated(const ContinuousView *view);

/* Rows were appended after this frontier, up to there: those that come back after the frontier went back are logged. */
extern void change_log_appended(const ContinuousView *view, const Frontier *frontier, Oid time_type,
								Ticks to);

#endif
