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

/* A payload: of a key's row. */
typedef struct UpsertRow
{
	char *bytes; /* may be NULL: it has none */
	size_t len;
} UpsertRow;

/* What is left of a key's corrections: of its rows before and after one is NULL at most. The record has the key, and after's payload. */
typedef void (*UpsertSender)(OutgoingRecord *record, const UpsertRow *before,
							 const UpsertRow *after, void *arg);

/* Gives what is left to send, in the order in which the keys came, and forgets it. */
extern void upsert_buffer_flush(UpsertBuffer *buffer, UpsertSender send, void *arg);

#endif
