/*
 * metadata.c: key, topic, partition, offset, timestamp and headers of a record as columns.
 *
 * Headers are a list of names and bytes, in which a name may come again. As json or jsonb they are
 * an object (so that headers->>'trace' works): a name that comes again has an array of its values
 * in their order, and bytes that are not valid text are written as bytea writes them, "\x…".
 * Nothing is left out.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "format/metadata.h"

static bool
type_fits(RecordMetadata metadata, Oid type)
{
	switch (metadata)
	{
		case METADATA_PARTITION:
			return type == INT4OID || type == INT8OID;
		case METADATA_OFFSET:
			return type == INT8OID;
		case METADATA_TIMESTAMP:
			return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == INT8OID;
		case METADATA_HEADERS:
			return type == JSONBOID || type == JSONOID;
		default:
			return true;
	}
}

void
metadata_check_type(const char *column, RecordMetadata metadata, Oid type)
{
	static const char *const names[] = {
		[METADATA_PARTITION] = "partition",
		[METADATA_OFFSET] = "offset",
		[METADATA_TIMESTAMP] = "timestamp",
		[METADATA_HEADERS] = "headers",
	};
	static const char *const types[] = {
		[METADATA_PARTITION] = "integer or bigint",
		[METADATA_OFFSET] = "bigint",
		[METADATA_TIMESTAMP] =
			"timestamp with time zone, timestamp, or bigint (milliseconds since 1970)",
		[METADATA_HEADERS] = "jsonb or json",
	};

	if (type_fits(metadata, type))
		return;
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_DATA_TYPE),
					errmsg("column \"%s\" of type %s cannot take the record's %s", column,
						   format_type_be(type), names[metadata]),
					errhint("Its type must be %s.", types[metadata])));
}

/* The value of one header as a JSON string. */
static void
append_header_value(StringInfo json, const void *value, size_t length)
{
	char *text;

	if (value == NULL)
	{
		appendStringInfoString(json, "null");
		return;
	}
	if (pg_verify_mbstr(PG_UTF8, value, (int) length, true))
	{
		text = pnstrdup(value, length);
		escape_json(json, pg_any_to_server(text, (int) length, PG_UTF8));
		return;
	}
	text = palloc(length * 2 + 3);
	strcpy(text, "\\x");
	text[2 + hex_encode(value, length, text + 2)] = '\0';
	escape_json(json, text);
}

/* Header names are text by Kafka's definition, but who knows. */
static void
append_header_name(StringInfo json, const char *name)
{
	append_header_value(json, name, strlen(name));
}

/* All values of the name of the i-th header, which is its first. */
static void
append_header(StringInfo json, const rd_kafka_headers_t *headers, size_t i, const char *name)
{
	StringInfoData list;
	const char *other;
	const void *value;
	size_t length;
	int n = 0;

	initStringInfo(&list);
	for (size_t j = i;
		 rd_kafka_header_get_all(headers, j, &other, &value, &length) == RD_KAFKA_RESP_ERR_NO_ERROR;
		 j++)
	{
		if (strcmp(other, name) != 0)
			continue;
		if (n++ > 0)
			appendStringInfoString(&list, ", ");
		append_header_value(&list, value, length);
	}
	append_header_name(json, name);
	appendStringInfo(json, n > 1 ? ": [%s]" : ": %s", list.data);
	pfree(list.data);
}

static bool
is_first_of_name(const rd_kafka_headers_t *headers, size_t i, const char *name)
{
	const char *other;
	const void *value;
	size_t length;

	for (size_t j = 0; j < i; j++)
	{
		rd_kafka_header_get_all(headers, j, &other, &value, &length);
		if (strcmp(other, name) == 0)
			return false;
	}
	return true;
}

/* NULL without headers. */
static char *
headers_json(const KafkaRecord *record)
{
	rd_kafka_headers_t *headers;
	StringInfoData json;
	const char *name;
	const void *value;
	size_t length;

	if (rd_kafka_message_headers(record->message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return NULL;
	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (size_t i = 0;
		 rd_kafka_header_get_all(headers, i, &name, &value, &length) == RD_KAFKA_RESP_ERR_NO_ERROR;
		 i++)
	{
		if (!is_first_of_name(headers, i, name))
			continue;
		if (json.len > 1)
			appendStringInfoString(&json, ", ");
		append_header(&json, headers, i, name);
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

Datum
record_headers_jsonb(const KafkaRecord *record, bool *isnull)
{
	char *json = headers_json(record);

	*isnull = json == NULL;
	if (json == NULL)
		return (Datum) 0;
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

static Datum
read_key(MetadataColumn *column, const KafkaRecord *record)
{
	size_t length = record->key_len;
	const char *text;

	if (column->reader.kind == VALUE_BYTEA)
		return PointerGetDatum(cstring_to_text_with_len(record->key, (int) length));
	text = text_from_bytes(record->key, &length);
	return value_from_text(&column->reader, text, length);
}

static Datum
read_timestamp(MetadataColumn *column, int64 ms)
{
	if (column->reader.type == INT8OID)
		return Int64GetDatum(ms);
	return TimestampTzGetDatum(timestamp_from_ms(ms)); /* a timestamp is UTC */
}

Datum
metadata_read(MetadataColumn *column, const KafkaRecord *record, bool *isnull)
{
	const char *text;

	*isnull = false;
	switch (column->metadata)
	{
		case METADATA_KEY:
			if (record->key)
				return read_key(column, record);
			break;
		case METADATA_TOPIC:
			text = rd_kafka_topic_name(record->message->rkt);
			return value_from_text(&column->reader, text, strlen(text));
		case METADATA_PARTITION:
			return column->reader.type == INT4OID ? Int32GetDatum(record->partition)
												  : Int64GetDatum(record->partition);
		case METADATA_OFFSET:
			return Int64GetDatum(record->offset);
		case METADATA_TIMESTAMP:
			if (record->timestamp_ms >= 0)
				return read_timestamp(column, record->timestamp_ms);
			break;
		case METADATA_HEADERS:
			text = headers_json(record);
			if (text)
				return value_from_text(&column->reader, text, strlen(text));
			break;
		case METADATA_NONE:
			break;
	}
	*isnull = true;
	return (Datum) 0;
}
