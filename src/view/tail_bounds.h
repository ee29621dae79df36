/*
 * tail_bounds.h: where the live tail of a view begins, as expressions for its plans.
 */
#ifndef TIDEMARK_VIEW_TAIL_BOUNDS_H
#define TIDEMARK_VIEW_TAIL_BOUNDS_H

#include "catalog.h"
#include "nodes/primnodes.h"

/* The first event time after the view's frontier, less the lookback. */
extern Expr *tail_start(const ContinuousView *view, Oid time_type, const Lookback *lookback);

/*
 * Are there saved states of the view's windows in the snapshot, which it is less than `reach` ticks from to the newest row? The replay
 * goes on from them.
 */
extern Expr *tail_is_replayed(const ContinuousView *view, int64 reach);

/* tail_start, but after every event time where that is so. */
extern Expr *tail_slice_start(const ContinuousView *view, Oid time_type, const Lookback *lookback,
							  int64 reach);

/* The first event time after those that the states take in, less a length in ticks; after every event time where it isn't so. */
extern Expr *tail_replay_start(const ContinuousView *view, Oid time_type, int64 length,
							   int64 reach);

/*
 * How far the catalogue knows the stream's event time to have come, not before the saved states: few rows are later. After every event time
 * where it isn't so.
 */
extern Expr *tail_known_end(const ContinuousView *view, Oid time_type, int64 reach);

/* An event time less a length in ticks; and as ticks, a length later. */
extern Expr *tail_before(Expr *time, int64 length);
extern Expr *tail_ticks(Expr *time, int64 length);

#endif
