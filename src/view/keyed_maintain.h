/*
 * keyed_maintain.h: the rows that a keyed view keeps, from step to step and after late rows.
 */
#ifndef TIDEMARK_VIEW_KEYED_MAINTAIN_H
#define TIDEMARK_VIEW_KEYED_MAINTAIN_H

#include "catalog.h"
#include "view/correct.h"
#include "view/keyed_merge.h"

/* Makes the table of the rows that a view keeps, named after it and label; its event time is column KEYED_TIME_COLUMN. */
extern Oid keyed_create(Oid view, const char *label, const Keyed *keyed);

/* The inputs with event times in [from, to] (TICKS_MIN, TICKS_MAX: unbounded), and at these times. */
extern Query *keyed_inputs_between(const Keyed *keyed, Ticks from, Ticks to);
extern Query *keyed_inputs_at(const Keyed *keyed, const Ticks *times, int n);

/* Takes in the stream's rows with event times in [from, to], all that the table knows being before. Returns how many rows there are more. */
extern int64 keyed_append(const ContinuousView *view, const Keyed *keyed, Ticks from, Ticks to);

/*
 * Corrects the table, which knows the rows up to the frontier, for what was written to the stream. Returns how many rows there are
 * more; adds to changes, unless NULL.
 */
extern int64 keyed_correct(const ContinuousView *view, const Keyed *keyed, const Written *written,
						   Ticks frontier, KeyedChanges *changes);

/* "key is one of those of these rows of the table", where its values make an array; for each key by itself. The query has the inputs as columns. */
extern void keyed_restrict_to_keys(const Keyed *keyed, Query *query, Oid table, HeapTuple *rows,
								   int n);

#endif
