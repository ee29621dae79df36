/*
 * keyed_sessions_late.h: sessions that late rows change.
 */
#ifndef TIDEMARK_VIEW_KEYED_SESSIONS_LATE_H
#define TIDEMARK_VIEW_KEYED_SESSIONS_LATE_H

#include "catalog.h"
#include "view/keyed.h"

/*
 * Corrects the sessions of a view, after the stream was written to at these event times (sorted), none of them after the frontier; inserted: by
 * inserts only. Returns how many sessions there are more. Needs the active snapshot.
 */
extern int64 keyed_sessions_correct(const ContinuousView *view, const Keyed *keyed,
									const Ticks *times, int n, bool inserted, Ticks frontier);

#endif
