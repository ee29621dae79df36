/*
 * stream.h: a table becomes a stream, and stays one while its partitions change.
 */
#ifndef TIDEMARK_STREAM_STREAM_H
#define TIDEMARK_STREAM_STREAM_H

#include "nodes/parsenodes.h"

/* Do triggers see every write to this stream, and to each of its partitions? Locks them for reading. */
extern bool stream_is_watched(Oid stream);

/* Before ALTER TABLE: refuses what continuous views can't follow. */
extern void stream_table_check(Node *statement);

/*
 * After CREATE TABLE or ALTER TABLE: partitions of streams get their triggers, views start anew. Refuses what would
 * leave a stream without what makes it one.
 */
extern void stream_table_changed(Node *statement);

#endif
