/*
 * time_index.h: the index by which a stream is read in slices of event time.
 */
#ifndef TIDEMARK_STREAM_TIME_INDEX_H
#define TIDEMARK_STREAM_TIME_INDEX_H

#include "access/attnum.h"

/*
 * Makes an index on the event time, with the current user's rights, if there is none that begins with it: kind "brin", "btree"
 * or "none". The table must not be open.
 */
extern void time_index_create(Oid relid, AttrNumber attnum, const char *kind);

/* What an index that begins with the event time is called: 'brin "payment_msg_createTime_idx"'; NULL: there is none. */
extern char *time_index_text(Oid relid, AttrNumber attnum);

/*
 * Brings BRIN indexes on the stream's event time up to date, where the table has grown since; leaves out what is locked. Call it
 * in a transaction; cheap when there is nothing to do.
 */
extern void time_index_summarize(Oid stream, AttrNumber attnum);

#endif
