/*
 * constant.h: expressions that come to a constant.
 */
#ifndef TIDEMARK_VIEW_CONSTANT_H
#define TIDEMARK_VIEW_CONSTANT_H

#include "nodes/primnodes.h"

/* The constant that the expression comes to; NULL: none, or null. */
extern Const *constant_of(Node *expression);

/* The number that the expression comes to, of one of the three types of integers; false: none. */
extern bool constant_integer(Node *expression, int64 *value);

#endif
