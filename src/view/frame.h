/*
 * frame.h: windows: how far back and ahead a level of a query looks, or why that has no bound.
 */
#ifndef TIDEMARK_VIEW_FRAME_H
#define TIDEMARK_VIEW_FRAME_H

#include "view/shape.h"

/* Adds to the shape what the window functions of this level need, or refuses them. */
extern void frame_of_windows(Query *query, Shape *shape);

/*
 * Is the call's window ordered by the event time, and its frame of those that need nothing after the row but by a distance of event time?
 * Those that are not are maintained only because they are partitioned by a window of event time.
 */
extern bool frame_is_in_order(Query *query, const WindowFunc *call, const Stream *stream);

#endif
