/*
 * statistics.h: what the planner knows of a stream's event time before ANALYZE.
 */
#ifndef TIDEMARK_STREAM_STATISTICS_H
#define TIDEMARK_STREAM_STATISTICS_H

#include "catalog.h"

/*
 * A table of ours has rows of that stream, or made of them: their event time is this column; this one's values are all different (0: none
 * is). For the planner, as long as ANALYZE knows nothing of these columns.
 */
extern void statistics_know(Oid table, const Stream *stream, AttrNumber time, AttrNumber unique);

/* At load: puts the planner's hook in place. */
extern void statistics_init(void);

#endif
