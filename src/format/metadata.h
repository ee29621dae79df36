/*
 * metadata.h: columns that take a part of a record other than its payload.
 */
#ifndef TIDEMARK_FORMAT_METADATA_H
#define TIDEMARK_FORMAT_METADATA_H

#include "format/value.h"
#include "kafka/consumer.h"

typedef struct MetadataColumn
{
	int target; /* index into values and nulls */
	const char *name;
	RecordMetadata metadata;
	ValueReader reader;
} MetadataColumn;

/* Raises an error when the type can't take that part of a record. */
extern void metadata_check_type(const char *column, RecordMetadata metadata, Oid type);

/* The record's part as the column's value; true in *isnull when there is none. */
extern Datum metadata_read(MetadataColumn *column, const KafkaRecord *record, bool *isnull);

/*
 * A record's headers as jsonb: an object of text values (null for none, "\x…" for bytes that are
 * not text, an array for a name that occurs more than once), or null without headers. For dead
 * letters too.
 */
extern Datum record_headers_jsonb(const KafkaRecord *record, bool *isnull);

#endif
