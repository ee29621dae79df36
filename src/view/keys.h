/*
 * keys.h: which keys of a view a late row changes.
 */
#ifndef TIDEMARK_VIEW_KEYS_H
#define TIDEMARK_VIEW_KEYS_H

#include "access/tupdesc.h"
#include "nodes/parsenodes.h"
#include "utils/tuplestore.h"
#include "view/shape.h"

/* A column of a view's result that all its windows are partitioned by, and some of its values. */
typedef struct KeyValues
{
	AttrNumber column; /* of the view's result, and of its materialised table */
	Expr *expression;  /* the same, over the stream's columns where the stream is read */
	List *equality;	   /* the operator's name: what PARTITION BY goes by */
	Datum values;	   /* an array of them, without nulls */
	Oid array_type;
	bool with_null;
} KeyValues;

/*
 * The keys (of KeyValues) of the stream's rows at these event times, in the active snapshot; written_here: of those only that this
 * transaction has written. That rows were inserted there changes results of these keys only. NIL where the view has no such columns, or the keys are many. *none: there are no such
 * rows in the view. The query has that shape and isn't changed; runs with the rights of owner.
 */
extern List *keys_at(Query *batch, const Shape *shape, Oid owner, const Ticks *times, int n,
					 bool written_here, bool *none);

/*
 * The same for rows of the stream that are given, with all columns of its table: those that were changed or deleted, as they were and as they
 * are.
 */
extern List *keys_of_rows(Query *batch, const Shape *shape, Oid owner, Tuplestorestate *rows,
						  TupleDesc columns, bool *none);

/*
 * The keys of a query's result that change if rows with these keys do of the table that it reads, of which their columns are: NIL where its
 * windows aren't partitioned by any of them.
 */
extern List *keys_above(Query *batch, const List *keys);

/*
 * What a query over the stream, which is used up, gives for these rows of it instead, run with the rights of role; *type: of what it
 * gives. NULL: it asks for more than they have.
 */
extern Tuplestorestate *keys_run_on_rows(Query *query, Oid role, Tuplestorestate *rows,
										 TupleDesc columns, TupleDesc *type);

/* With more rows than these, or more keys, all keys are taken to be touched. */
#define KEYS_MAX_ROWS 1000

/* "expression is one of these values", over what the expression is over. */
extern Expr *keys_condition(const KeyValues *key);

/* An operator's qualified name. */
extern List *keys_operator_name(Oid operator_oid);

/* "expression = ANY (array)", by that operator. */
extern Expr *keys_any_of(Expr *expression, List *equality, Oid array_type, Datum array);

/* Event times (sorted), each once, as an array of their type. */
extern Datum keys_times(Oid type, const Ticks *times, int n);

/* Restricts the view's query to the rows that have these keys, where it reads the stream. */
extern void keys_restrict(Query *batch, const List *keys);

/* Restricts the query to rows of the stream that this transaction has written: of tables that keep that, as heaps do. */
extern bool keys_are_of_heaps(const Stream *stream);
extern void keys_restrict_to_written(Query *query);

#endif
