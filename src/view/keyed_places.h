/*
 * keyed_places.h: what queries find in the table of a keyed view, taken row by row; rows that are to go.
 */
#ifndef TIDEMARK_VIEW_KEYED_PLACES_H
#define TIDEMARK_VIEW_KEYED_PLACES_H

#include "catalog.h"
#include "executor/tuptable.h"
#include "nodes/parsenodes.h"
#include "storage/itemptr.h"

/* Runs the query as the view's maintenance, and gives each row, deformed, to the function. */
extern void keyed_collect(const ContinuousView *view, Query *query,
						  void (*take)(TupleTableSlot *slot, void *result), void *result);

/* The rows, *n of them; NULL: more than max. */
extern HeapTuple *keyed_rows(const ContinuousView *view, Query *query, int max, int *n);

/* Where rows of the view's table are. */
typedef struct Places
{
	MemoryContext context;
	ItemPointerData *places;
	int n;
	int size;
} Places;

/* The places that are the first column of the query. */
extern Places keyed_places(const ContinuousView *view, Query *query);

/* Deletes the rows there. */
extern void keyed_delete_places(const ContinuousView *view, const Places *places);

#endif
