/*
 * over_stages.h: rows of a step that wait for the last of their peers.
 */
#ifndef TIDEMARK_VIEW_OVER_STAGES_H
#define TIDEMARK_VIEW_OVER_STAGES_H

#include "view/over_scan.h"
#include "view/over_step.h"

/* A row, with what is known of it so far. */
typedef struct OverRow
{
	TupleTableSlot *inputs; /* the first columns */
	OverKeyState **keys;	/* its key in each frame */
	Datum *results;			/* of each function */
	bool *nulls;
} OverRow;

typedef struct OverStages OverStages;

/* For rows of these windows on their way to the output; lives in CurrentMemoryContext. */
extern OverStages *over_stages_create(OverStates *states, OverOutput *output);

/* From now on, rows are put out or not. In between, the row type of what comes may change; nothing may be waiting then. */
extern void over_stages_set_silent(OverStages *stages, bool silent);

/*
 * The next row of the step, in the order of the windows, as a place with its inputs and nothing else: those that it is no peer of have their
 * results then, so it must not have entered the windows yet.
 */
extern OverRow *over_stages_next_row(OverStages *stages, TupleTableSlot *inputs);

/* That row, with its keys, has entered the windows. */
extern void over_stages_pass(OverStages *stages, OverRow *row);

/* All rows of an event time have come, and nobody waits any more. */
extern void over_stages_end_time(OverStages *stages);

/* Does any row ever wait? */
extern bool over_stages_wait(const OverStages *stages);

#endif
