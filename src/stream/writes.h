/*
 * writes.h: who wrote at or below the frontier. Called after rows of a stream were written, by the
 * statement triggers and by the ingest worker.
 */
#ifndef TIDEMARK_STREAM_WRITES_H
#define TIDEMARK_STREAM_WRITES_H

#include "stream/event_time.h"

/*
 * The statement wrote, changed or deleted rows of stream with these event times (n of them; may be
 * reordered). Takes the stream's frontier lock until the end of the transaction and corrects the
 * continuous views where one of them is at or below a frontier. The rows have to be visible: call CommandCounterIncrement
 * first. Raises a serialization failure where a snapshot is too old to be right.
 */
extern void writes_happened(Oid stream, Ticks *times, int n);

/* Is the table a stream, or a partition of one? It is locked. */
extern bool writes_are_of_stream(Oid table);

/* Rows of such a table were written that can't be named: the stream's continuous views start anew. */
extern void writes_unknown(Oid table);

#endif
