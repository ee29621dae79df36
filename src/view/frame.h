/*
 * frame.h: windows: how far back and ahead a level of a query looks, or why that has no bound.
 */
#ifndef TIDEMARK_VIEW_FRAME_H
#define TIDEMARK_VIEW_FRAME_H

#include "view/shape.h"

/* Adds to the shape what the window functions of this level need, or refuses them. */
extern void frame_of_windows(Query *query, Shape *shape);

#endif
