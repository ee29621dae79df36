/*
 * encoder.c: columns to records, the inverse of decoder.c: what is written reads back as it was.
 *
 * - json: an object with the fields in the order of the columns, objects within it for paths.
 *   Numbers and booleans as such, json and jsonb nested as they are, arrays and rows as
 *   array_to_json and row_to_json write them, all else as strings. JSON has no NaN or infinity:
 *   they are strings, which the type's input reads.
 * - csv: as COPY … (FORMAT csv) writes it, without the line's end.
 * - raw: the one column's bytes or text; null is a tombstone.
 *
 * A timestamp with time zone is written in UTC. Text is written as UTF-8. The key is the column of
 * metadata "key" or, where that is missing or null, the text of the table's key_column.
 *
 * A payload, and a key that is text, are written into buffers of the encoder's, which the next record takes.
 */
#include "tidemark.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "format/encoder.h"
#include "format/metadata.h"
#include "format/value_text.h"

typedef enum JsonStyle
{
	STYLE_STRING,
	STYLE_PLAIN,  /* a string in which nothing has to be escaped */
	STYLE_BARE,	  /* the output's text is JSON: booleans have their own */
	STYLE_NUMBER, /* bare unless it is NaN or infinite */
	STYLE_BOOL,
	STYLE_ARRAY,
	STYLE_ROW
} JsonStyle;

typedef struct OutColumn
{
	int source; /* index into values and nulls */
	const char *name;
	const char *field;
	bool by_path;
	RecordMetadata metadata;
	Oid type; /* beneath domains */
	JsonStyle style;
	ValueWriter writer;
} OutColumn;

/* An object to be written: its fields are columns or objects. */
typedef struct OutField
{
	char *name;
	char *written; /* the name as JSON, with what is before and behind it */
	int written_len;
	int column;			   /* -1: an object */
	struct OutField *next; /* in the same object */
	struct OutField *first;
} OutField;

struct RecordEncoder
{
	TopicOptions options;
	int n_columns; /* of the payload */
	OutColumn *columns;
	int n_metadata;
	OutColumn *metadata;
	OutColumn *key; /* of key_column, among columns */
	OutField *root; /* json */
	StringInfoData payload;
	StringInfoData key_text;
};

/* ---------------------------------------------------------------------------------------------- */
/* Making an encoder                                                                              */
/* ---------------------------------------------------------------------------------------------- */

static JsonStyle
style_of_type(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return STYLE_BOOL;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case JSONOID:
		case JSONBOID:
			return STYLE_BARE;
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return STYLE_NUMBER;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case DATEOID:
			return STYLE_PLAIN;
		default:
			if (OidIsValid(get_element_type(type)))
				return STYLE_ARRAY;
			return type_is_rowtype(type) ? STYLE_ROW : STYLE_STRING;
	}
}

static void
out_column_init(OutColumn *column, int source, Form_pg_attribute attribute,
				const ColumnOptions *options, const char *foreign_name)
{
	column->source = source;
	column->name = pstrdup(NameStr(attribute->attname));
	column->by_path = options->field != NULL;
	column->field = options->field ? options->field : foreign_name;
	column->metadata = options->metadata;
	column->type = getBaseType(attribute->atttypid);
	value_writer_init(&column->writer, column->name, attribute->atttypid,
					  options->timestamp_format);
	column->style = value_is_number_of_time(&column->writer) ? STYLE_BARE
															 : style_of_type(column->type);
}

static OutField *
field_in(OutField *object, const char *name, size_t length, bool *found)
{
	OutField **link = &object->first;

	for (; *link; link = &(*link)->next)
	{
		if (strlen((*link)->name) == length && memcmp((*link)->name, name, length) == 0)
		{
			*found = true;
			return *link;
		}
	}
	*found = false;
	*link = palloc0(sizeof(OutField));
	(*link)->name = pnstrdup(name, length);
	(*link)->column = -1;
	return *link;
}

static void
refuse_field(const OutColumn *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_COLUMN_NAME),
			 errmsg("field \"%s\" of column \"%s\" cannot be written", column->field, column->name),
			 errdetail("Another column is written to the same field, or to one within it or "
					   "around it.")));
}

static void
place_field(RecordEncoder *encoder, int i)
{
	const OutColumn *column = &encoder->columns[i];
	const char *name = column->field;
	OutField *field = encoder->root;
	bool found;

	for (;;)
	{
		size_t length = column->by_path ? strcspn(name, ".") : strlen(name);

		field = field_in(field, name, length, &found);
		if (found && (field->column >= 0 || name[length] == '\0'))
			refuse_field(column);
		if (name[length] == '\0')
			break;
		name += length + 1;
	}
	field->column = i;
}

/* Names are written with each record: as JSON once. */
static void
write_names(OutField *object)
{
	for (OutField *field = object->first; field; field = field->next)
	{
		StringInfoData written;

		initStringInfo(&written);
		if (field != object->first)
			appendStringInfoString(&written, ", ");
		escape_json(&written, field->name);
		appendStringInfoString(&written, ": ");
		field->written = written.data;
		field->written_len = written.len;
		write_names(field);
	}
}

/* The format's own, once all columns are known. */
static void
prepare_format(RecordEncoder *encoder)
{
	encoder->root = palloc0(sizeof(OutField));
	if (encoder->options.format == FORMAT_JSON)
	{
		for (int i = 0; i < encoder->n_columns; i++)
			place_field(encoder, i);
		write_names(encoder->root);
	}
	if (encoder->options.format == FORMAT_RAW && encoder->n_columns != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_COLUMN_NUMBER),
				 errmsg("a foreign table of format \"raw\" needs one column for the payload"),
				 errdetail("It has %d.", encoder->n_columns),
				 errhint("Give the other columns the option \"metadata\".")));
}

/* Which column the table's key_column is. */
static void
find_key(RecordEncoder *encoder, Oid foreign_table, const AttrNumber *columns)
{
	AttrNumber attnum;

	if (encoder->options.key_column == NULL)
		return;
	attnum = get_attnum(foreign_table, encoder->options.key_column);
	for (int i = 0; i < encoder->n_columns && attnum != InvalidAttrNumber; i++)
	{
		if (columns[encoder->columns[i].source] == attnum)
			encoder->key = &encoder->columns[i];
	}
	if (encoder->key == NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_COLUMN_NAME_NOT_FOUND),
						errmsg("key column \"%s\" of foreign table \"%s\" is not written",
							   encoder->options.key_column, get_rel_name(foreign_table)),
						errhint("Correct the foreign table's option \"key_column\".")));
}

RecordEncoder *
record_encoder_create(Oid foreign_table, TupleDesc source, const AttrNumber *columns)
{
	RecordEncoder *encoder = palloc0(sizeof(RecordEncoder));

	topic_options_get(foreign_table, &encoder->options);
	initStringInfo(&encoder->payload);
	initStringInfo(&encoder->key_text);
	encoder->columns = palloc0(sizeof(OutColumn) * Max(source->natts, 1));
	encoder->metadata = palloc0(sizeof(OutColumn) * Max(source->natts, 1));
	for (int i = 0; i < source->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(source, i);
		ColumnOptions options;
		OutColumn *column;

		if (columns[i] == 0 || attribute->attisdropped)
			continue;
		column_options_get(foreign_table, columns[i], &encoder->options, &options);
		if (options.metadata == METADATA_NONE)
			column = &encoder->columns[encoder->n_columns++];
		else
		{
			metadata_check_type(NameStr(attribute->attname), options.metadata, attribute->atttypid);
			column = &encoder->metadata[encoder->n_metadata++];
		}
		out_column_init(column, i, attribute, &options,
						get_attname(foreign_table, columns[i], false));
	}
	prepare_format(encoder);
	find_key(encoder, foreign_table, columns);
	return encoder;
}

/* ---------------------------------------------------------------------------------------------- */
/* Values                                                                                         */
/* ---------------------------------------------------------------------------------------------- */

static const char *
to_utf8(const char *text, size_t *length)
{
	char *converted = pg_server_to_any(text, (int) *length, PG_UTF8);

	if (converted != text)
		*length = strlen(converted);
	return converted;
}

/* Bytes of a bytea, or the text in UTF-8, in the buffer. */
static const char *
value_bytes(OutColumn *column, Datum value, StringInfo buffer, size_t *length)
{
	if (column->type == BYTEAOID)
	{
		bytea *bytes = DatumGetByteaPP(value);

		*length = VARSIZE_ANY_EXHDR(bytes);
		return VARDATA_ANY(bytes);
	}
	resetStringInfo(buffer);
	value_write(&column->writer, value, buffer);
	*length = buffer->len;
	return to_utf8(buffer->data, length);
}

/* ---------------------------------------------------------------------------------------------- */
/* Formats                                                                                        */
/* ---------------------------------------------------------------------------------------------- */

/* Is it a number that JSON has? */
static bool
is_finite(const OutColumn *column, Datum value)
{
	switch (column->type)
	{
		case FLOAT4OID:
			return isfinite(DatumGetFloat4(value));
		case FLOAT8OID:
			return isfinite(DatumGetFloat8(value));
		default:
			return !numeric_is_nan(DatumGetNumeric(value)) &&
				   !numeric_is_inf(DatumGetNumeric(value));
	}
}

static void
json_write_quoted(StringInfo out, OutColumn *column, Datum value)
{
	appendStringInfoCharMacro(out, '"');
	value_write(&column->writer, value, out);
	appendStringInfoCharMacro(out, '"');
}

static void
json_write_value(StringInfo out, OutColumn *column, Datum value)
{
	switch (column->style)
	{
		case STYLE_STRING:
			escape_json(out, OutputFunctionCall(&column->writer.output, value));
			break;
		case STYLE_PLAIN:
			json_write_quoted(out, column, value);
			break;
		case STYLE_BARE:
			value_write(&column->writer, value, out);
			break;
		case STYLE_NUMBER:
			if (is_finite(column, value))
				value_write(&column->writer, value, out);
			else
				json_write_quoted(out, column, value);
			break;
		case STYLE_BOOL:
			appendStringInfoString(out, DatumGetBool(value) ? "true" : "false");
			break;
		case STYLE_ARRAY:
			value = DirectFunctionCall1(array_to_json, value);
			appendStringInfoString(out, TextDatumGetCString(value));
			break;
		case STYLE_ROW:
			value = DirectFunctionCall1(row_to_json, value);
			appendStringInfoString(out, TextDatumGetCString(value));
			break;
	}
}

static void
json_write_object(StringInfo out, RecordEncoder *encoder, const OutField *object,
				  const Datum *values, const bool *nulls)
{
	appendStringInfoCharMacro(out, '{');
	for (const OutField *field = object->first; field; field = field->next)
	{
		OutColumn *column = field->column >= 0 ? &encoder->columns[field->column] : NULL;

		text_append(out, field->written, field->written_len);
		if (column == NULL)
			json_write_object(out, encoder, field, values, nulls);
		else if (nulls[column->source])
			appendStringInfoString(out, "null");
		else
			json_write_value(out, column, values[column->source]);
	}
	appendStringInfoCharMacro(out, '}');
}

static void
csv_write_field(StringInfo out, const TopicOptions *options, const char *text)
{
	const char special[] = {options->delimiter, options->quote, '\n', '\r', '\0'};

	if (strpbrk(text, special) == NULL && strcmp(text, options->null_text) != 0)
	{
		appendStringInfoString(out, text);
		return;
	}
	appendStringInfoChar(out, options->quote);
	for (; *text; text++)
	{
		if (*text == options->quote || *text == options->escape)
			appendStringInfoChar(out, options->escape);
		appendStringInfoChar(out, *text);
	}
	appendStringInfoChar(out, options->quote);
}

static void
csv_write(StringInfo out, RecordEncoder *encoder, const Datum *values, const bool *nulls)
{
	for (int i = 0; i < encoder->n_columns; i++)
	{
		OutColumn *column = &encoder->columns[i];

		if (i > 0)
			appendStringInfoChar(out, encoder->options.delimiter);
		if (nulls[column->source])
			appendStringInfoString(out, encoder->options.null_text);
		else
			csv_write_field(out, &encoder->options,
							value_text(&column->writer, values[column->source]));
	}
}

static void
write_payload(RecordEncoder *encoder, const Datum *values, const bool *nulls,
			  OutgoingRecord *record)
{
	StringInfo out = &encoder->payload;

	if (encoder->options.format == FORMAT_RAW)
	{
		OutColumn *column = &encoder->columns[0];

		if (!nulls[column->source])
			record->payload =
				value_bytes(column, values[column->source], out, &record->payload_len);
		return;
	}
	resetStringInfo(out);
	if (encoder->options.format == FORMAT_JSON)
		json_write_object(out, encoder, encoder->root, values, nulls);
	else
		csv_write(out, encoder, values, nulls);
	record->payload_len = out->len;
	record->payload = to_utf8(out->data, &record->payload_len);
}

/* ---------------------------------------------------------------------------------------------- */
/* Metadata                                                                                       */
/* ---------------------------------------------------------------------------------------------- */

static void
add_header(OutgoingRecord *record, const char *name, const JsonbValue *value)
{
	OutgoingHeader *header;
	char *text = NULL;

	if (record->headers == NULL)
		record->headers = palloc(sizeof(OutgoingHeader));
	else
		record->headers =
			repalloc(record->headers, sizeof(OutgoingHeader) * (record->n_headers + 1));
	header = &record->headers[record->n_headers++];
	switch (value->type)
	{
		case jbvNull:
			break;
		case jbvString:
			text = pnstrdup(value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			text = DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
			break;
		case jbvBool:
			text = pstrdup(value->val.boolean ? "true" : "false");
			break;
		case jbvBinary:
			text = JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
			break;
		default:
			elog(ERROR, "unexpected type %d of a header's value", (int) value->type);
	}
	header->value_len = text ? strlen(text) : 0;
	header->value = text ? to_utf8(text, &header->value_len) : NULL;
	header->name = name;
}

/* One name with its value, or with the values of an array: the header comes as often. */
static void
add_headers(OutgoingRecord *record, const char *name, const JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
	{
		add_header(record, name, value);
		return;
	}
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			add_header(record, name, &element);
	}
}

static void
write_headers(OutgoingRecord *record, const OutColumn *column, Datum value)
{
	Jsonb *jsonb;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;
	const char *name = NULL;

	if (column->type == JSONOID)
		value = DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(value)));
	jsonb = DatumGetJsonbP(value);
	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("headers must be a JSON object"),
				 errcontext("column \"%s\"", column->name)));
	iterator = JsonbIteratorInit(&jsonb->root);
	(void) JsonbIteratorNext(&iterator, &item, false); /* the object begins */
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			size_t length = item.val.string.len;

			name = to_utf8(pnstrdup(item.val.string.val, length), &length);
		}
		else if (token == WJB_VALUE)
			add_headers(record, name, &item);
	}
}

static int64
timestamp_ms(const OutColumn *column, Datum value)
{
	int64 ms = column->type == INT8OID
				   ? DatumGetInt64(value)
				   : timestamp_to_epoch(DatumGetTimestamp(value), TIMESTAMP_EPOCH_MS, column->name);

	if (ms <= 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("a record's timestamp must be after 1970-01-01"),
						errcontext("column \"%s\"", column->name)));
	return ms;
}

static int32
partition_number(const OutColumn *column, Datum value)
{
	int64 partition = column->type == INT4OID ? (int64) DatumGetInt32(value) : DatumGetInt64(value);

	if (partition < 0 || partition > PG_INT32_MAX)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("invalid partition %lld", (long long) partition),
						errcontext("column \"%s\"", column->name)));
	return (int32) partition;
}

/* The topic is the foreign table's, and the offset the broker's to give. */
static void
refuse_metadata(const RecordEncoder *encoder, OutColumn *column, Datum value)
{
	if (column->metadata == METADATA_TOPIC &&
		strcmp(value_text(&column->writer, value), encoder->options.topic) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_GENERATED_ALWAYS),
			 column->metadata == METADATA_TOPIC
				 ? errmsg("column \"%s\" cannot name another topic than \"%s\"", column->name,
						  encoder->options.topic)
				 : errmsg("column \"%s\" cannot be written: the broker gives a record its offset",
						  column->name),
			 errhint("Leave the column out, or write NULL.")));
}

static void
write_metadata(RecordEncoder *encoder, OutColumn *column, Datum value, OutgoingRecord *record)
{
	switch (column->metadata)
	{
		case METADATA_KEY:
			record->key = value_bytes(column, value, &encoder->key_text, &record->key_len);
			break;
		case METADATA_PARTITION:
			record->partition = partition_number(column, value);
			break;
		case METADATA_TIMESTAMP:
			record->timestamp_ms = timestamp_ms(column, value);
			break;
		case METADATA_HEADERS:
			write_headers(record, column, value);
			break;
		case METADATA_TOPIC:
		case METADATA_OFFSET:
			refuse_metadata(encoder, column, value);
			break;
		case METADATA_NONE:
			break;
	}
}

static bool
payload_is_null(const RecordEncoder *encoder, const bool *nulls)
{
	for (int i = 0; i < encoder->n_columns; i++)
	{
		if (!nulls[encoder->columns[i].source])
			return false;
	}
	return true;
}

void
record_encode(RecordEncoder *encoder, const Datum *values, const bool *nulls,
			  OutgoingRecord *record)
{
	*record = (OutgoingRecord){.partition = RD_KAFKA_PARTITION_UA};
	for (int i = 0; i < encoder->n_metadata; i++)
	{
		OutColumn *column = &encoder->metadata[i];

		if (!nulls[column->source])
			write_metadata(encoder, column, values[column->source], record);
	}
	if (record->key == NULL && encoder->key && !nulls[encoder->key->source])
		record->key = value_bytes(encoder->key, values[encoder->key->source], &encoder->key_text,
								  &record->key_len);
	if (record->key && payload_is_null(encoder, nulls))
		return;
	write_payload(encoder, values, nulls, record);
}
