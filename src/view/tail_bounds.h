/*
 * tail_bounds.h: where the live tail of a view begins, as expressions for its plans.
 */
#ifndef TIDEMARK_VIEW_TAIL_BOUNDS_H
#define TIDEMARK_VIEW_TAIL_BOUNDS_H

#include "catalog.h"
#include "nodes/primnodes.h"

/* The first event time after the view's frontier, less the lookback. */
extern Expr *tail_start(const ContinuousView *view, Oid time_type, const Lookback *lookback);

/* The same, but after every event time where the snapshot has saved states of the view's windows. */
extern Expr *tail_slice_start(const ContinuousView *view, Oid time_type, const Lookback *lookback);

/*
 * The first event time after those that the saved states take in, less a length in ticks; after every event time
 * where the snapshot has none.
 */
extern Expr *tail_replay_start(const ContinuousView *view, Oid time_type, int64 length);

/* Does the snapshot have saved states of the view's windows? */
extern Expr *tail_is_saved(const ContinuousView *view);

/* An event time less a length in ticks; and as ticks, a length later. */
extern Expr *tail_before(Expr *time, int64 length);
extern Expr *tail_ticks(Expr *time, int64 length);

#endif
