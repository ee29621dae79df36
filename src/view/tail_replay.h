/*
 * tail_replay.h: the live tail from saved states of windows, and the rows that moved since.
 */
#ifndef TIDEMARK_VIEW_TAIL_REPLAY_H
#define TIDEMARK_VIEW_TAIL_REPLAY_H

#include "catalog.h"
#include "view/layers.h"
#include "view/over_window.h"
#include "view/tail.h"

/* Columns of the events; the inputs follow, and then the saved states. */
enum event_column
{
	EVENT_AT = 1,
	EVENT_OP,
	EVENT_INPUTS /* the inputs' first */
};

/* A tail that replays. */
typedef struct Replay
{
	const ContinuousView *view;
	const Layers *layers; /* the stream is the lower one; NULL: it is one */
	OverWindow *window;
	Expr *until;	 /* the reader wants no rows after that; NULL: no bound */
	List *states;	 /* OIDs of the tables of saved states, a frame each */
	Bitmapset *used; /* numbers of the functions whose results are used */
	int ninputs;
	int nsaved; /* columns for saved states */

	/* Of the events. */
	int64
		reach; /* ticks from the saved states to the newest row with which it isn't worth it any more */
	CommonTableExpr *newest;   /* the newest row; NULL: nobody asks */
	CommonTableExpr *new_rows; /* of the lower layer; NULL: not found once for all */
} Replay;

static inline bool
replay_uses(const Replay *replay, const OverFunction *function)
{
	return bms_is_member(function->number, replay->used);
}

/* How many saved states a row of the frame's table has of functions that are used. */
extern int replay_count_used(const Replay *replay, const OverFrame *frame);

/*
 * Can the tail come from saved states? Fills in what is not known before: view and layers are. lookback: of what the reader asks for.
 */
extern bool replay_prepare(Replay *replay, Query *batch, const Shape *shape, const Demand *demand,
						   const Lookback *lookback);

/* That tail: the first columns of the batch query. */
extern Query *replay_query(const Replay *replay, int ncolumns);

/* Fills in what concerns the events, when all else is known. (tail_events.c) */
extern void events_plan(Replay *replay, const Lookback *lookback);

/* All that happens to the frames whose functions are used, from the saved states on. The WITH queries have to be one level above. */
extern Query *events_query(const Replay *replay);

#endif
