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

	/* Of sessions: those of them that end at `from` or later, and begin at `to` or before. */
	bool bounded;
	Ticks from;
	Ticks to;
} KeyedTouched;

/*
 * Around a change of what is kept: the view's rows of the keys concerned, before and after. What differs is logged. NULL, of which
 * keyed_log_end does nothing: nobody follows the view.
 */
extern KeyedLog *keyed_log_begin(const ContinuousView *view, const Keyed *keyed,
								 const KeyedTouched *touched);
extern void keyed_log_end(KeyedLog *log);

/*
 * Are rows of the view final when the frontier has passed them: is it the first one of each key by event time? Sessions are, when they
 * are over, if the view advances with the watermark.
 */
extern bool keyed_rows_are_final(const ContinuousView *view, const Keyed *keyed);

/*
 * Of such a view: rows with event times in [from, to] were added to those that are kept, and none has gone; or have gone on sessions and begun new
 * ones.
 */
extern void keyed_log_final(const ContinuousView *view, const Keyed *keyed, Ticks from, Ticks to);

/* Does somebody follow the view, whose rows are logged here? */
extern bool keyed_log_is_followed(const ContinuousView *view, const Keyed *keyed);

/* Of a view with dedup_for: corrections of entries from there on are logged. */
extern Ticks keyed_log_begins(const ContinuousView *view);

/* Logs the view's present rows, for who begins to follow it: with the op CHANGE_PRESENT. */
extern void keyed_log_present(const ContinuousView *view, const Keyed *keyed);

/* What the view keeps by key, if its log is one of its rows, and somebody follows it; NULL: it isn't, or nobody does. */
extern Keyed *keyed_log_of_view(const ContinuousView *view);

#endif
