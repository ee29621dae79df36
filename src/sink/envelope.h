/*
 * envelope.h: what a record says of a change, as Debezium does: before, after, operation, source.
 */
#ifndef TIDEMARK_SINK_ENVELOPE_H
#define TIDEMARK_SINK_ENVELOPE_H

#include "sink/upsert.h"

typedef struct Envelope Envelope;

/* For changes of that view, in the current context. Needs a transaction. */
extern Envelope *envelope_create(Oid view);

/* Puts the change between these rows, JSON objects of which one at most is NULL, into the record's payload, in the current context. */
extern void envelope_fill(const Envelope *envelope, OutgoingRecord *record, const UpsertRow *before,
						  const UpsertRow *after);

#endif
