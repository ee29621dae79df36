/*
 * statistics.h: what the planner knows of a stream's event time before ANALYZE.
 */
#ifndef TIDEMARK_STREAM_STATISTICS_H
#define TIDEMARK_STREAM_STATISTICS_H

/* At load: puts the planner's hook in place. */
extern void statistics_init(void);

#endif
