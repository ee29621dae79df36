/*
 * keyed_rank.h: how many rows of each key a WHERE lets through by their number.
 */
#ifndef TIDEMARK_VIEW_KEYED_RANK_H
#define TIDEMARK_VIEW_KEYED_RANK_H

#include "nodes/parsenodes.h"

/* The one ranking function of a level (row_number, rank, dense_rank), if it has no other window function; else NULL. */
extern WindowFunc *keyed_rank_function(Query *level);

/*
 * The greatest rank that the WHERE of a level above lets through; ancestors: those levels, innermost first. False if they
 * let all through.
 */
extern bool keyed_rank_limit(Query *level, const List *ancestors, int64 *limit);

#endif
