/*
 * tail.h: the live tail: what a view's query gives above its frontier.
 */
#ifndef TIDEMARK_VIEW_TAIL_H
#define TIDEMARK_VIEW_TAIL_H

#include "catalog.h"
#include "view/columns.h"
#include "view/shape.h"

/*
 * The parts of the tail, a list of Query with the batch query's columns; their rows together are the view's rows above its
 * frontier, in every snapshot. Columns that are not wanted may be null. The batch query is used up.
 */
extern List *tail_queries(Query *batch, const ContinuousView *view, const Shape *shape,
						  const Columns *wanted);

#endif
