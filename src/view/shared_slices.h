/*
 * shared_slices.h: slices of a stream that several views read in one step.
 */
#ifndef TIDEMARK_VIEW_SHARED_SLICES_H
#define TIDEMARK_VIEW_SHARED_SLICES_H

#include "catalog.h"
#include "nodes/parsenodes.h"
#include "utils/queryenvironment.h"

typedef struct SharedSlices SharedSlices;

/* Slices of one stream, none yet. They live as long as the current memory context and resource owner. */
extern SharedSlices *shared_slices_create(const Stream *stream);

/*
 * Announces that the query, of one view, will read the stream's rows with event times in (after, to]. It has a shape, and its
 * own conditions do not bound the event time.
 */
extern void shared_slices_want(SharedSlices *slices, Query *query, Ticks after, Ticks to);

/* Reads the slices that are wanted more than once, with the active snapshot. */
extern void shared_slices_read(SharedSlices *slices);

/*
 * Lets the query read such a slice, in event-time order, in the place of the stream; returns the environment that it has to run in.
 * NULL, with the query as it was, if the slice was not read, or not with all that the query needs.
 */
extern QueryEnvironment *shared_slices_use(const SharedSlices *slices, Query *query, Ticks after,
										   Ticks to);

#endif
