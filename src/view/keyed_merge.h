/*
 * keyed_merge.h: rows of the stream merged into the rows that a keyed view keeps.
 */
#ifndef TIDEMARK_VIEW_KEYED_MERGE_H
#define TIDEMARK_VIEW_KEYED_MERGE_H

#include "access/htup.h"
#include "catalog.h"
#include "view/keyed.h"

/* What is known of the rows that come. */
typedef struct KeyedArrival
{
	/* The rows of these event times (sorted) come whole: what is kept of them is known only from what comes. */
	const Ticks *times;
	int ntimes;

	/* All rows of some keys come, and no others: rows of the view's table with these keys (any order). NULL: not so. */
	HeapTuple *keys;
	int nkeys;
} KeyedArrival;

/* The event times of rows that came into the table or went from it, in no order. */
typedef struct KeyedChanges
{
	Ticks *times;
	int n;
	int size;
	bool all;	  /* or of any */
	bool removed; /* rows went */
} KeyedChanges;

/*
 * Merges the rows of the query, one of keyed_input, into the view's table, which holds what is kept of the rows
 * that came before. Returns by how many rows there are more now, and adds to changes, unless NULL. Needs the active snapshot.
 */
extern int64 keyed_merge(const ContinuousView *view, const Keyed *keyed, Query *input,
						 const KeyedArrival *arrival, KeyedChanges *changes);

#endif
