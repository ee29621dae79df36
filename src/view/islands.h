/*
 * islands.h: sessions that are said by gaps and islands.
 */
#ifndef TIDEMARK_VIEW_ISLANDS_H
#define TIDEMARK_VIEW_ISLANDS_H

#include "nodes/parsenodes.h"
#include "catalog.h"

/*
 * Where a level, whose input has a shape, groups by a running number of sessions and does nothing else with it, it is made to group by
 * tidemark.session. The query's result stays the same. *number: there is such a number, but it is used otherwise, too.
 */
extern void islands_become_sessions(Query *level, const Stream *stream, bool *number);

#endif
