/*
 * keyed_sessions_late.h: sessions that late rows change.
 */
#ifndef TIDEMARK_VIEW_KEYED_SESSIONS_LATE_H
#define TIDEMARK_VIEW_KEYED_SESSIONS_LATE_H

#include "access/htup.h"
#include "catalog.h"
#include "view/keyed.h"

/* What was written to the stream at event times that are not after the frontier. */
typedef struct LateRows
{
	const Ticks *times; /* sorted */
	int n;
	bool inserted; /* by inserts only */

	/* Else: the inputs that were changed or deleted, as they were and as they are; NULL: not known. */
	HeapTuple *rows;
	int nrows;
} LateRows;

/* Corrects the sessions of a view after that. Returns how many there are more. Needs the active snapshot. */
extern int64 keyed_sessions_correct(const ContinuousView *view, const Keyed *keyed,
									const LateRows *late, Ticks frontier);

#endif
