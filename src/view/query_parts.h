/*
 * query_parts.h: pieces that queries are put together from, as trees.
 */
#ifndef TIDEMARK_VIEW_QUERY_PARTS_H
#define TIDEMARK_VIEW_QUERY_PARTS_H

#include "access/tupdesc.h"
#include "nodes/parsenodes.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

extern Expr *int4_constant(int32 value);

/* Null, of the expression's type. */
extern Expr *null_like(const Node *expression);

/* A column of an entry of the range table, of the expression's type. */
extern Var *variable_like(const Node *expression, int rtindex, AttrNumber column);

/* A function of the extension with these types of arguments. */
extern Oid own_function(char *name, int nargs, const Oid *types);

/* A call of an aggregate; of one of PostgreSQL's with one argument, whose type is not collatable. */
extern Aggref *make_aggregate(Oid function, Oid result, Oid collation, Oid input_collation,
							  List *arguments);
extern Expr *builtin_aggregate(char *name, Oid result, Expr *argument);

/* A query as an entry of another one's range table, with its columns but for those that sorting alone needs. */
extern RangeTblEntry *subquery_entry(Query *query, char *name);

/* A table of ours as an entry of a range table. */
extern RangeTblEntry *table_entry(Oid relid);

/* Rows in a tuplestore as an entry of a range table, about so many; and the environment that a query with this entry runs in. */
extern RangeTblEntry *tuplestore_entry(TupleDesc columns, double rows);
extern QueryEnvironment *tuplestore_environment(Tuplestorestate *rows, TupleDesc columns);

/* SELECT the columns that `like` returns FROM the entry, which has them in that order. */
extern Query *select_from(RangeTblEntry *entry, const Query *like);

/* SELECT FROM the entry; columns are to be added. */
extern Query *select_nothing_from(RangeTblEntry *entry);

/* The subqueries of these entries of a range table, two or more with columns of the same types, as one query: UNION ALL. */
extern Query *union_all(List *entries);

/* One more column of the query's output, the last one. */
extern void add_target(Query *query, Expr *expression, char *name);

/* AND condition, in the query's WHERE. */
extern void add_condition(Query *query, Expr *condition);

/* A column of a query's output as an item of its ORDER BY, GROUP BY or the like, which it is to be added to; nulls last. */
extern SortGroupClause *sort_clause(TargetEntry *entry, Oid equality, Oid ordering);

/* ORDER BY this column of the query's output, in the default order of its type. */
extern void order_by(Query *query, AttrNumber column);

/* The query as a WITH query that is run once, for so many references; and one of these, that many levels below the query that has it. */
extern CommonTableExpr *make_with(char *name, Query *query, int references);
extern RangeTblEntry *with_entry(const CommonTableExpr *with, int levels);

#endif
