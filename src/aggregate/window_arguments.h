/*
 * window_arguments.h: what our window functions are called with.
 */
#ifndef TIDEMARK_AGGREGATE_WINDOW_ARGUMENTS_H
#define TIDEMARK_AGGREGATE_WINDOW_ARGUMENTS_H

#include "windowapi.h"

/*
 * The n arguments of the call for the current row; false: one of them is null. No row before it is asked for again. Raises an error where the
 * function of that name isn't called with OVER.
 */
extern bool window_arguments(WindowObject window, const char *name, int n, Datum *values);

#endif
