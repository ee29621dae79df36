/*
 * first_values.h: first and last values of groups, in an order that leaves nothing open.
 */
#ifndef TIDEMARK_VIEW_FIRST_VALUES_H
#define TIDEMARK_VIEW_FIRST_VALUES_H

#include "nodes/parsenodes.h"
#include "catalog.h"

/* The aggregate of which this is the first or last value: tidemark.first, last, (array_agg(...))[1]; NULL: it is none of them. */
extern Aggref *first_value_call(Node *node);

/* Has this level such values? */
extern bool first_values_are_in(const Query *level);

/* Completes the order of all of them, at a level that groups and whose input has a shape; true if there was something to complete. */
extern bool first_values_complete(Query *level, const Stream *stream);

/* What the state of such a value is made of (first_by_order.c): the call's arguments, in order. */
typedef struct FirstValue
{
	Oid function; /* tidemark.first or last */
	List *
		columns; /* Expr: the value, what rows are ordered by, and what tells them apart in the end */
	Const *order; /* stands behind the value */
} FirstValue;

/* Of a call whose order is complete. */
extern FirstValue first_value_of(const Aggref *call);

#endif
