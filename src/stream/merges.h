/*
 * merges.h: rows that MERGE moves from one partition of a stream to another.
 */
#ifndef TIDEMARK_STREAM_MERGES_H
#define TIDEMARK_STREAM_MERGES_H

/* Watches for them, from the library's load on. */
extern void merges_init(void);

#endif
