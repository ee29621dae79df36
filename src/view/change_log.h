/*
 * change_log.h: the corrections of a view, row by row, for its sinks and subscriptions.
 */
#ifndef TIDEMARK_VIEW_CHANGE_LOG_H
#define TIDEMARK_VIEW_CHANGE_LOG_H

#include "catalog.h"
#include "utils/tuplestore.h"
#include "view/materialised.h"

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

/* All rows are about to go at once. */
extern void change_log_truncated(const ContinuousView *view);

/* Rows were appended after this frontier, up to there: those that come back after the frontier went back are logged. */
extern void change_log_appended(const ContinuousView *view, const Frontier *frontier, Oid time_type,
								Ticks to);

#endif
