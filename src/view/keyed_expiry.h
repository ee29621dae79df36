/*
 * keyed_expiry.h: first rows of keys that are kept for a while only.
 */
#ifndef TIDEMARK_VIEW_KEYED_EXPIRY_H
#define TIDEMARK_VIEW_KEYED_EXPIRY_H

#include "catalog.h"
#include "view/keyed.h"

/* Raises an error if rows of such a view can't be kept for a while only. */
extern void keyed_expiry_require(const char *view_name, const Shape *shape);

/* As keyed_append, keyed_correct and keyed_answer, for a view with dedup_for. */
extern int64 keyed_expiry_append(const ContinuousView *view, const Keyed *keyed, Ticks from,
								 Ticks to);
extern int64 keyed_expiry_correct(const ContinuousView *view, const Keyed *keyed,
								  const Ticks *times, int n, bool inserted, Ticks frontier);
extern List *keyed_expiry_answer(const ContinuousView *view, const Keyed *keyed);

/* What the view has to be, from all rows of the stream. */
extern Query *keyed_expiry_batch(const ContinuousView *view, const Keyed *keyed);

#endif
