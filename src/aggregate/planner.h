/*
 * planner.h: queries over streams get exact sums and statistics of floats, and sliding aggregates.
 */
#ifndef TIDEMARK_AGGREGATE_PLANNER_H
#define TIDEMARK_AGGREGATE_PLANNER_H

#include "nodes/parsenodes.h"

/*
 * In a query that reads a stream, at any level, replaces, at every level,
 * - PostgreSQL's sum, avg, variances and standard deviations of float8 and float4, and its
 *   covariances, correlation and regression, by the exact ones, plain and windowed, unless
 *   tidemark.exact_float_sums is off;
 * - aggregates over frames whose start moves by tidemark.sliding_window, where that is faster,
 *   unless tidemark.sliding_aggregates is off.
 * Changes query, which has to be the planner's own copy, rewritten but not planned yet. Costs two
 * walks through the tree when it has no such aggregate, and no access to a catalogue.
 */
extern void aggregate_swap(Query *query);

/* The first for a query that is known to be over a stream, whatever the setting is. */
extern void aggregate_swap_exact_always(Query *query);

/*
 * The name of the exact aggregate, such as exact_corr, if function is it or is what it replaces in
 * queries over streams; else NULL.
 */
extern const char *aggregate_exact_name(Oid function);

#endif
