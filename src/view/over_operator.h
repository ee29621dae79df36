/*
 * over_operator.h: a view's windows computed incrementally, from step to step.
 */
#ifndef TIDEMARK_VIEW_OVER_OPERATOR_H
#define TIDEMARK_VIEW_OVER_OPERATOR_H

#include "catalog.h"
#include "view/shape.h"
#include "view/shared_slices.h"

/* Can the view's windows be computed incrementally now? Else slices have to do it. */
extern bool over_operator_can(const ContinuousView *view, const Shape *shape, Query *batch);

/*
 * Can the view go on incrementally from that frontier with the states that are there? Else they have to be read from the
 * stream first, which may take long. Of a view that has not been begun, over_operator_can knows more.
 */
extern bool over_operator_ready(const ContinuousView *view, const Frontier *frontier);

/* Announces what a step of a view that can and is ready reads, from its frontier to that event time. */
extern void over_operator_want(const ContinuousView *view, Ticks from, Ticks to,
							   SharedSlices *slices);

/*
 * Appends the view's rows with event times after its frontier up to *to, which is brought down to where it went if it did not go all
 * the way. Returns false, with nothing done, if slices have to do it. Needs the active snapshot and the view's lock. *rows: how many rows. slices:
 * what it needn't read of the stream by itself, with that snapshot, or NULL.
 */
extern bool over_operator_append(const ContinuousView *view, const Shape *shape, Query *batch,
								 const Frontier *frontier, const SharedSlices *slices, Ticks *to,
								 uint64 *rows);

/* OIDs of the stream's views that have come to rest with states that it is time to save for who reads them. */
extern List *over_operator_unsaved(Oid stream);

/* Saves the states of one of these, if they are still those of its frontier. Needs the active snapshot and the view's lock. */
extern void over_operator_save(const ContinuousView *view, const Frontier *frontier);

/* A subtransaction with a step of the view has been rolled back: forgets what is kept of it, if that has changed. */
extern void over_operator_rolled_back(Oid view);

/* Forgets what is kept of views of the stream that are not in the list. */
extern void over_operator_keep(Oid stream, List *views);

#endif
