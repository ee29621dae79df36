/*
 * option.h: the options of tidemark_kafka's servers, user mappings, foreign tables and columns.
 */
#ifndef TIDEMARK_KAFKA_OPTION_H
#define TIDEMARK_KAFKA_OPTION_H

#include "access/attnum.h"

#include <librdkafka/rdkafka.h>

typedef enum RecordFormat
{
	FORMAT_JSON,
	FORMAT_CSV,
	FORMAT_RAW
} RecordFormat;

/* How a timestamp is written: as ISO 8601 or SQL text (read alike), or as a number since 1970. */
typedef enum TimestampFormat
{
	TIMESTAMP_ISO,
	TIMESTAMP_SQL,
	TIMESTAMP_EPOCH_S,
	TIMESTAMP_EPOCH_MS,
	TIMESTAMP_EPOCH_US
} TimestampFormat;

/* What of a record, other than its payload, a column takes. */
typedef enum RecordMetadata
{
	METADATA_NONE, /* a part of the payload */
	METADATA_KEY,
	METADATA_TOPIC,
	METADATA_PARTITION,
	METADATA_OFFSET,
	METADATA_TIMESTAMP,
	METADATA_HEADERS
} RecordMetadata;

typedef struct TopicOptions
{
	char *topic;
	RecordFormat format;
	TimestampFormat timestamp_format;
	char *key_column; /* NULL: none */
	/* csv */
	char delimiter;
	char quote;
	char escape;
	char *null_text;
} TopicOptions;

typedef struct ColumnOptions
{
	char *field; /* NULL: the column's own name */
	RecordMetadata metadata;
	TimestampFormat timestamp_format; /* the table's unless the column has its own */
} ColumnOptions;

extern void topic_options_get(Oid foreign_table, TopicOptions *options);
extern void column_options_get(Oid foreign_table, AttrNumber attnum, const TopicOptions *table,
							   ColumnOptions *options);

/* How long a statement waits for a broker that does not answer, in milliseconds. */
extern int broker_timeout_get(Oid foreign_table);

/*
 * Sets what the foreign table's server, userid's user mapping and the table itself say of
 * librdkafka's properties. Properties of the other kind of client are left out.
 */
extern void kafka_properties_apply(rd_kafka_conf_t *conf, rd_kafka_type_t type, Oid foreign_table,
								   Oid userid);

/* Was the property given (on the server, the user mapping or the table)? */
extern bool kafka_property_given(Oid foreign_table, Oid userid, const char *name);

#endif
