/*
 * upsert.h: corrections of rows that have keys: what is left of them, a record a key.
 */
#ifndef TIDEMARK_SINK_UPSERT_H
#define TIDEMARK_SINK_UPSERT_H

#include "kafka/producer.h"
#include "sink/feed.h"

typedef struct UpsertBuffer UpsertBuffer;

/* In the current context. */
extern UpsertBuffer *upsert_buffer_create(void);

/* Takes in a correction: the record of a row that went or came. Everything is copied. */
extern void upsert_buffer_add(UpsertBuffer *buffer, FeedOp op, const OutgoingRecord *record);

/* Gives what is left to send, in the order in which the keys came, and forgets it; a tombstone has no payload. */
extern void upsert_buffer_flush(UpsertBuffer *buffer,
								void (*send)(OutgoingRecord *record, void *arg), void *arg);

#endif
