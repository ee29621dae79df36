/*
 * inputs.h: what a level of a query reads, as the columns of a query or table of its own.
 */
#ifndef TIDEMARK_VIEW_INPUTS_H
#define TIDEMARK_VIEW_INPUTS_H

#include "nodes/parsenodes.h"

/* A list of inputs has expressions over a level's FROM; their numbers, from 1, are their columns. 0: not among them. */
extern AttrNumber inputs_find(const List *inputs, const Node *expression);

/* The same, added if it is new. */
extern AttrNumber inputs_add(List **inputs, Expr *expression);

/* The same of an aggregate's argument: it is computed for the rows that the aggregate's filter (may be NULL) lets through only. */
extern AttrNumber inputs_add_argument(List **inputs, Expr *argument, Expr *filter);

/* Adds the columns of FROM that the expression needs besides the inputs, and outside of window functions. */
extern void inputs_add_columns(List **inputs, Node *expression);

/* The same of all that a level outputs. */
extern void inputs_add_output(List **inputs, const List *targets);

/* The inputs as a query: FROM and WHERE are the level's, which is used up. */
extern Query *inputs_query(Query *level, const List *inputs);

/* The expression (or list) with columns of the entry rtindex in the place of inputs. */
extern Node *inputs_read(Node *expression, const List *inputs, int rtindex);

#endif
