/*
 * correct.h: late rows: materialised rows that have to change.
 */
#ifndef TIDEMARK_VIEW_CORRECT_H
#define TIDEMARK_VIEW_CORRECT_H

#include "stream/event_time.h"

/*
 * Corrects the materialised part of a view after rows with these event times (sorted) of its stream
 * were written or deleted by this transaction. inserted: they are all there still, as a statement wrote them that changed
 * and deleted none. Takes the view's correction lock.
 */
extern void correct_view(Oid view, const Ticks *times, int n, bool inserted);

/* The view's stream was emptied by TRUNCATE. */
extern void correct_truncated(Oid view);

/* The view starts anew: nothing is materialised, the maintainer begins from the start. */
extern void correct_restart(Oid view);

#endif
