/*
 * correct.h: late rows: materialised rows that have to change.
 */
#ifndef TIDEMARK_VIEW_CORRECT_H
#define TIDEMARK_VIEW_CORRECT_H

#include "access/tupdesc.h"
#include "stream/event_time.h"
#include "utils/tuplestore.h"

/* What a statement has done to a stream at or below its guard. */
typedef struct Written
{
	const Ticks *times; /* of the rows that it wrote, changed or deleted, sorted */
	int n;
	bool inserted; /* they are all there still: it changed and deleted none */

	/* Else: all these rows, before and after, as the stream's table has them; NULL: not known, or many. */
	Tuplestorestate *rows;
	TupleDesc columns;
} Written;

/* Corrects the materialised part of a view after that, in the same transaction. Takes the view's correction lock. */
extern void correct_view(Oid view, const Written *written);

/* The view's stream was emptied by TRUNCATE. */
extern void correct_truncated(Oid view);

/* The view starts anew: nothing is materialised, the maintainer begins from the start. */
extern void correct_restart(Oid view);

#endif
