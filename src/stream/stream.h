/*
 * stream.h: a table becomes a stream, and stays one while its partitions change.
 */
#ifndef TIDEMARK_STREAM_STREAM_H
#define TIDEMARK_STREAM_STREAM_H

#include "nodes/parsenodes.h"

/* Before ALTER TABLE: refuses what continuous views can't follow. */
extern void stream_table_changes(AlterTableStmt *alter);

/* After CREATE TABLE or ALTER TABLE: partitions of streams get their triggers, views start anew. */
extern void stream_table_changed(Node *statement);

#endif
