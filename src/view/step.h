/*
 * step.h: one step of a stream's views towards the watermark.
 */
#ifndef TIDEMARK_VIEW_STEP_H
#define TIDEMARK_VIEW_STEP_H

#include "catalog.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* Where a stream's views go. */
typedef struct Move
{
	Oid stream;
	Watermark reached; /* what the frontiers follow, as of the last look */
	Ticks target;	   /* the furthest that one of them goes, which the guard is raised to */
	List *views;	   /* that may go there: their materialised tables' OIDs; worker's context */
	Ticks step;		   /* of event time: a step goes no further than this */
	Ticks start;	   /* the stream's least event time when step was set */
	List *failed;	   /* views whose step did: OIDs; in TopMemoryContext */
	TimestampTz retry; /* when they are tried again: not before then */
} Move;

/* Where the frontier of a view is to go when its stream has come so far; the first but for what its rows look ahead. */
extern Ticks step_limit(bool on_arrival, const Watermark *reached);
extern Ticks step_view_target(const ContinuousView *view, const Watermark *reached);

/* A short transaction of the maintainer's, with an active snapshot. */
extern void step_begin(void);
extern void step_end(void);

/*
 * After an error: the transaction is over, and the error is returned, in that context. NULL: a lock could not be had in time, or in a
 * deadlock of others that the maintainer stood in. What ends the process goes on.
 */
extern ErrorData *step_catch_error(MemoryContext context);
extern void step_log_error(ErrorData *error);

/*
 * One step of each of the views (OIDs), in transactions of its own; the current memory context is reset by the caller. True if they have
 * all arrived where they go, or can't for now; those that failed are in move->failed.
 */
extern bool step_views(List *views, Move *move);

/* Saves the states of the stream's views that have come to rest, for who reads them. */
extern void step_save_unsaved(Oid stream);

#endif
