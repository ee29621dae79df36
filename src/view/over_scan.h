/*
 * over_scan.h: rows out of a query in event-time order, and rows into a query.
 */
#ifndef TIDEMARK_VIEW_OVER_SCAN_H
#define TIDEMARK_VIEW_OVER_SCAN_H

#include "executor/tuptable.h"
#include "tcop/dest.h"
#include "view/over_window.h"

/* Rows of the inputs, one after the other, with the active snapshot. */
typedef struct OverScan
{
	struct QueryDesc *query;
	Oid time_type;
	TupleTableSlot *row; /* the current one, until the next is asked for; NULL: at the end */
	Ticks time;			 /* its event time; TICKS_MAX at the end */
} OverScan;

/*
 * Begins to read a query of over_window_input, and stands on its first row. ordered: rows of equal event time come in the order that
 * the windows have, else in any. slice: NULL, or the environment of a query that finds rows in event-time order in it.
 */
extern OverScan *over_scan_begin(const OverWindow *window, Query *input, bool ordered,
								 struct QueryEnvironment *slice);
extern void over_scan_next(OverScan *scan);
extern void over_scan_end(OverScan *scan);

/* Rows with their windows' results, on the way through the rest of the view's query. */
typedef struct OverOutput OverOutput;

/* Starts the receiver, which gets what the query makes of the rows. */
extern OverOutput *over_output_begin(const OverWindow *window, DestReceiver *receiver);

/* A row, as over_window_source describes it: over_output_columns. */
extern TupleDesc over_output_columns(const OverOutput *output);
extern void over_output_put(OverOutput *output, Datum *values, bool *nulls);

/* Passes on what has been put. */
extern void over_output_flush(OverOutput *output);
extern void over_output_end(OverOutput *output);

#endif
