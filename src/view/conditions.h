/*
 * conditions.h: what the reader's conditions say of a view's event time, and of its keys.
 */
#ifndef TIDEMARK_VIEW_CONDITIONS_H
#define TIDEMARK_VIEW_CONDITIONS_H

#include "nodes/parsenodes.h"

/*
 * An expression of that type without variables which no row that the query's WHERE lets through has a greater value than,
 * in this column of this entry of its range table; NULL: none is found. A copy.
 */
extern Expr *conditions_upper_bound(Query *query, int rtindex, AttrNumber column, Oid type);

/* Is the column of the entry rtindex equal to something that is the same for all rows, in each row that the query takes? */
extern bool conditions_are_equal(Query *query, int rtindex, AttrNumber column);

/*
 * The same by that operator, or another one that finds the same values equal, of the column's type and collation, as a condition
 * on `variable` in the place of the column; NULL: none is found. A copy.
 */
extern Expr *conditions_equality(Query *query, int rtindex, AttrNumber column, Oid equality,
								 Var *variable);

#endif
