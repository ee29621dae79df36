/*
 * planner.h: queries over streams get exact sums and statistics of floats.
 */
#ifndef TIDEMARK_AGGREGATE_PLANNER_H
#define TIDEMARK_AGGREGATE_PLANNER_H

#include "nodes/parsenodes.h"

/*
 * In a query that reads a stream, at any level, replaces PostgreSQL's sum, avg, variance and
 * standard deviation of float8 and float4, and its covariances, correlation and regression, by the
 * exact ones, at every level, plain and windowed. Changes query, which has to be
 * the planner's own copy, rewritten but not planned yet. Does nothing when
 * tidemark.exact_float_sums is off. Costs a walk through the tree when it has no such aggregate,
 * and no access to a catalogue.
 */
extern void aggregate_swap_exact(Query *query);

/* The same for a query that is known to be over a stream, whatever the setting is. */
extern void aggregate_swap_exact_always(Query *query);

/*
 * The name of the exact aggregate, such as exact_corr, if function is it or is what it replaces in
 * queries over streams; else NULL.
 */
extern const char *aggregate_exact_name(Oid function);

#endif
