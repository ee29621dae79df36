/*
 * dead_letter.h: records that can't become rows: tidemark.dead_letters.
 */
#ifndef TIDEMARK_STREAM_DEAD_LETTER_H
#define TIDEMARK_STREAM_DEAD_LETTER_H

#include "kafka/consumer.h"

/*
 * Is this error the record's fault, so that the next attempt would fail as well? Not: lack of
 * resources, cancellation, a conflict with others, a mistake in the schema or in rights.
 */
extern bool dead_letter_worthy(const ErrorData *error);

/* An error's text for the dead letter: its message with the column and the detail. palloc'd. */
extern char *dead_letter_text(const ErrorData *error);

/* Writes one; called with the rights on the table, in the batch's transaction. */
extern void dead_letter_write(Oid stream, const char *topic, const KafkaRecord *record,
							  int sqlstate, const char *error);

#endif
