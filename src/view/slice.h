/*
 * slice.h: the batch query on a slice of event time.
 */
#ifndef TIDEMARK_VIEW_SLICE_H
#define TIDEMARK_VIEW_SLICE_H

#include "access/tupdesc.h"
#include "nodes/parsenodes.h"
#include "tcop/dest.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"
#include "view/query_parts.h"
#include "view/shape.h"

/* The name of the event time in a slice whose query does not have it in its output. */
#define HIDDEN_TIME_NAME "tidemark_time"

/*
 * Bounds of a slice, as expressions of the event time's type without variables; all inclusive, NULL:
 * unbounded. The input's have to take in what the output's depend on.
 */
typedef struct SliceBounds
{
	Expr *input_from;
	Expr *input_to;
	Expr *output_from;
	Expr *output_to;
} SliceBounds;

/*
 * The bounds of the slice [from, to] with constants; TICKS_MIN and TICKS_MAX: unbounded. Where the view's rows are on a grid, they are
 * narrowed to its first and last time in there.
 */
extern SliceBounds slice_bounds(const Shape *shape, Ticks from, Ticks to);

/* Can the view have no rows in [from, to]? */
extern bool slice_is_empty(const Shape *shape, Ticks from, Ticks to);

/* A time as a constant of the event time's type. */
extern Expr *slice_time_constant(Oid type, Ticks ticks);

/* The first time after that one; NULL, no bound, for TICKS_MIN. */
extern Expr *slice_after(Oid type, Ticks ticks);

/* "var >= from AND var <= to", added to the query's WHERE; NULL: unbounded. */
extern void slice_add_bounds(Query *query, Var *var, Expr *from, Expr *to);

/* Bounds the event times of what the query (of a level that has a shape) reads of its stream; NULL: unbounded. */
extern void slice_bound_stream(Query *query, const Stream *stream, Expr *from, Expr *to);

/* Makes the event time a column of what the level (of a query that has a shape) reads; returns it. */
extern Var *slice_expose_time(Query *level, const Stream *stream);

/*
 * The query's rows within the bounds, as a new query around it (which is used up). Its columns are
 * the query's; with_time adds the event time as the last one, if it is not among them. *time_column,
 * if not NULL, is set to the event time's column number in the result, 0: none.
 */
extern Query *slice_query(Query *query, const Shape *shape, const SliceBounds *bounds,
						  bool with_time, AttrNumber *time_column);

/*
 * Lets the executor use as much memory for a slice as for the states of windows, until the current level of settings ends: a
 * window whose partition doesn't fit is read again from disk for each row.
 */
extern void slice_work_mem(void);

/* Runs a query with the active snapshot; environment: NULL, or what its tuplestore is found in. */
extern void slice_run(Query *query, DestReceiver *receiver, QueryEnvironment *environment);

/* What the view's owner may read of what the view reads. */
typedef enum Access
{
	ACCESS_ALL,
	ACCESS_ROW_SECURITY, /* some rows only */
	ACCESS_DENIED
} Access;

/*
 * The batch query of a view, rewritten, as a copy, with locks taken on what it reads, and its shape: all its rows,
 * without row security and checks of rights, whoever asks. So it must be run only when *access is ACCESS_ALL: it runs
 * the owner's functions over the rows. Folds constants with the owner's rights.
 */
extern Query *slice_batch_query(Oid view, Shape *shape, Access *access);

/* "left operator right", of types without collation. */
extern Expr *slice_condition(Oid operator_oid, Expr *left, Expr *right);

/* Does row security change what this rewritten query returns? */
extern bool query_has_security_quals(Query *query);

#endif
