/*
 * peers.h: results that depend on an order of rows that SQL leaves open.
 */
#ifndef TIDEMARK_VIEW_PEERS_H
#define TIDEMARK_VIEW_PEERS_H

#include "view/shape.h"

/*
 * Says so, as a NOTICE, if a view's query, which has a shape, has a window function or an aggregate whose result depends on the order of
 * rows that its ORDER BY leaves equal, and nothing keeps such rows out.
 */
extern void peers_notice(Query *query);

#endif
