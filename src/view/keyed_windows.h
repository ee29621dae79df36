/*
 * keyed_windows.h: windows over the first row of each key.
 */
#ifndef TIDEMARK_VIEW_KEYED_WINDOWS_H
#define TIDEMARK_VIEW_KEYED_WINDOWS_H

#include "catalog.h"
#include "view/keyed.h"

/* Such a view in two parts: the rows that are kept, and the query over them. */
typedef struct KeptRows
{
	ContinuousView store; /* the view as if the table of the kept rows were its materialised part */
	Shape shape;		  /* of the query over them, as if that table were its stream */
	Query *batch;
} KeptRows;

/* table: of the kept rows. */
extern KeptRows keyed_windows_parts(const ContinuousView *view, const Shape *shape, Oid table);

/* Up to where the kept rows are known when the view's rows are up to there. */
extern Ticks keyed_windows_reach(const ContinuousView *view, Ticks frontier);

/* A step from the frontier `from` to `to`; returns how many rows of the view there are more. */
extern uint64 keyed_windows_append(const ContinuousView *view, const Shape *shape, Ticks from,
								   Ticks to);

/* Locks the table of the kept rows for reading; false if it is gone. */
extern bool keyed_windows_answerable(const ContinuousView *view);

/* The view's rows above its frontier. */
extern Query *keyed_windows_tail(const ContinuousView *view, const Shape *shape);

#endif
