/*
 * grid.h: the event times at which the windows of a GROUP BY can be: nothing lies between them.
 */
#ifndef TIDEMARK_VIEW_GRID_H
#define TIDEMARK_VIEW_GRID_H

#include "stream/event_time.h"

/* All zero: every event time is one. */
typedef struct Grid
{
	int64 size;	  /* ticks from one to the next */
	Ticks origin; /* one of them */
	int32
		months; /* in the place of size: months from one to the next, of those that begin with the year */
} Grid;

/* Is there more than one tick from one to the next? */
extern bool grid_is_coarse(const Grid *grid);

/* The last one at or before t; TICKS_MIN: none. Of an event time's type. */
extern Ticks grid_floor(const Grid *grid, Oid type, Ticks t);

/* The first one at or after t; TICKS_MAX: none. */
extern Ticks grid_ceiling(const Grid *grid, Oid type, Ticks t);

/* The last event time before the first one after t. */
extern Ticks grid_end(const Grid *grid, Oid type, Ticks t);

/* Is each time of the one among the other's? */
extern bool grid_is_part(const Grid *part, const Grid *whole);

#endif
