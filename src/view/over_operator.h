/*
 * over_operator.h: a view's windows computed incrementally, from step to step.
 */
#ifndef TIDEMARK_VIEW_OVER_OPERATOR_H
#define TIDEMARK_VIEW_OVER_OPERATOR_H

#include "catalog.h"
#include "view/shape.h"

/* Can the view's windows be computed incrementally now? Else slices have to do it. */
extern bool over_operator_can(const ContinuousView *view, const Shape *shape, Query *batch);

/*
 * Appends the view's rows with event times after its frontier up to *to, which is brought down to where it went if it did not go all
 * the way. Returns false, with nothing done, if slices have to do it. Needs the active snapshot and the view's lock. *rows: how many rows.
 */
extern bool over_operator_append(const ContinuousView *view, const Shape *shape, Query *batch,
								 const Frontier *frontier, Ticks *to, uint64 *rows);

/* Forgets what is kept of views of the stream that are not in the list. */
extern void over_operator_keep(Oid stream, List *views);

#endif
