/*
 * columns.h: which columns of a subquery does a query use?
 */
#ifndef TIDEMARK_VIEW_COLUMNS_H
#define TIDEMARK_VIEW_COLUMNS_H

#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"

/* A set of column numbers, from 1; 0 in it stands for all of them. NULL: none. */
typedef Bitmapset Columns;

extern Columns *columns_all(void);
extern bool columns_has(const Columns *columns, int column);

/* The columns of an entry of the query's range table that the query uses, if of its own only `wanted` are wanted. */
extern Columns *columns_used(Query *query, int rtindex, const Columns *wanted);

/*
 * Makes the columns of a query that has a shape null where they are not wanted, and at the levels below what only they
 * used: window functions among it. The columns stay in their places.
 */
extern void columns_prune(Query *query, const Columns *wanted);

#endif
