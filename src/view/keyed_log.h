/*
 * keyed_log.h: how the rows of a view that keeps rows by key change, for who follows it.
 */
#ifndef TIDEMARK_VIEW_KEYED_LOG_H
#define TIDEMARK_VIEW_KEYED_LOG_H

#include "access/htup.h"
#include "catalog.h"
#include "view/keyed.h"

typedef struct KeyedLog KeyedLog;

/* The keys that a change concerns; neither: all. */
typedef struct KeyedTouched
{
	Query *input;	 /* those of the rows of this query, one of keyed_input */
	HeapTuple *rows; /* or of these rows of the view's table */
	int n;
} KeyedTouched;

/*
 * Around a change of what is kept: the view's rows of the keys concerned, before and after. What differs is logged. NULL, of which
 * keyed_log_end does nothing: nobody follows the view.
 */
extern KeyedLog *keyed_log_begin(const ContinuousView *view, const Keyed *keyed,
								 const KeyedTouched *touched);
extern void keyed_log_end(KeyedLog *log);

/* Raises an error for a view of which nobody can follow the rows. */
extern void keyed_log_require(Oid view, const Keyed *keyed);

/* Are rows of the view final when the frontier has passed them: is it the first one of each key by event time? */
extern bool keyed_rows_are_final(const Keyed *keyed);

/* Of such a view: rows with event times in [from, to] were added to those that are kept, and none has gone. */
extern void keyed_log_final(const ContinuousView *view, const Keyed *keyed, Ticks from, Ticks to);

/* Logs the view's present rows, for who begins to follow it: with the op CHANGE_PRESENT. */
extern void keyed_log_present(const ContinuousView *view, const Keyed *keyed);

/* What the view keeps by key, if its log is one of its rows, and somebody follows it; NULL: it isn't, or nobody does. */
extern Keyed *keyed_log_of_view(const ContinuousView *view);

#endif
