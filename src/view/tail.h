/*
 * tail.h: the live tail: what a view's query gives above its frontier.
 */
#ifndef TIDEMARK_VIEW_TAIL_H
#define TIDEMARK_VIEW_TAIL_H

#include "catalog.h"
#include "view/columns.h"
#include "view/layers.h"
#include "view/shape.h"

/* What the reader asks for. */
typedef struct Demand
{
	const Columns *columns;
	Expr *until; /* of the event time's type: no row after that; NULL: no bound */
} Demand;

/*
 * The parts of the tail, a list of Query with the batch query's columns; their rows together are the view's rows above its
 * frontier, in every snapshot. Columns that are not asked for may be null, rows that are not asked for be missing. The batch
 * query is used up. layers: it is the upper one of these; NULL: it is over the stream.
 */
extern List *tail_queries(Query *batch, const ContinuousView *view, const Shape *shape,
						  const Layers *layers, const Demand *demand);

#endif
