/*
 * keyed_written.h: which rows of the current transaction are known to be new to a view's states.
 */
#ifndef TIDEMARK_VIEW_KEYED_WRITTEN_H
#define TIDEMARK_VIEW_KEYED_WRITTEN_H

#include "catalog.h"
#include "nodes/parsenodes.h"

/*
 * Rows were inserted at these event times (sorted). Are the rows that this transaction has written there all new to the view: has it
 * taken in none of them? Then it does now, whoever asks.
 */
extern bool keyed_written_are_new(const ContinuousView *view, const Ticks *times, int n);

/* The view has taken in rows of this transaction at any time. */
extern void keyed_written_anywhere(const ContinuousView *view);

#endif
