/*
 * over_step.h: the states of a view's windows, from one event time to another.
 */
#ifndef TIDEMARK_VIEW_OVER_STEP_H
#define TIDEMARK_VIEW_OVER_STEP_H

#include "tcop/dest.h"
#include "view/over_keys.h"
#include "view/shared_slices.h"

/* The states of a view's windows, which are those at one event time. */
typedef struct OverStates
{
	Oid view;
	OverWindow *window;
	MemoryContext context; /* of the keys */
	OverKeys **keys;	   /* one for each frame */
	int nframes;
	uint64 moment;	  /* counts the times at which results are taken, over all steps */
	int64 moved_rows; /* counts rows that entered, likewise */

	/* For saving them: their tables, frame by frame, and the storage that rows were written to; NIL: they can't be saved. */
	List *tables;
	Oid *filenodes;
} OverStates;

/* Where a step begins with its states. */
typedef enum OverStart
{
	OVER_START_KEPT, /* they are there */
	OVER_START_SAVED, /* there are none, but saved ones, for the event time `saved`, which is not after `from` */
	OVER_START_REBUILT /* those of `keys` (NIL: all) have to be made anew */
} OverStart;

typedef struct OverStep
{
	OverStates *states;
	Ticks from;
	Ticks to;
	const SharedSlices *slices; /* that other views read too; NULL: none */
	OverStart start;
	Ticks saved;
	List *keys; /* of keys.h */

	/* What has become of it. */
	int64 rows; /* that moved */
	bool
		too_large; /* it has ended at `to`, which is less far than was asked for: the states need too much memory */
} OverStep;

/* Takes the step (arg is an OverStep), and sends the view's rows in (from, to] to the receiver. Needs the active snapshot. */
extern void over_step_produce(DestReceiver *receiver, void *arg);

/* Announces what a step over that window reads that goes on with kept states. */
extern void over_step_want(const OverWindow *window, Ticks from, Ticks to, SharedSlices *slices);

#endif
