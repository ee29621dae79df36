/*
 * decoder.c: a record to the columns of a target, whatever its format.
 *
 * A decoder is made once for a foreign table and a target (the foreign table itself in a scan, a
 * stream in ingestion) and holds, for each target column that takes something, where that comes
 * from: the payload, through the reader of the format, or the metadata. The types are the target's:
 * a field is read as what it is stored as.
 *
 * record_decode() keeps nothing between records but lookup caches; an error leaves the decoder
 * usable.
 */
#include "tidemark.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "format/decoder.h"
#include "format/metadata.h"
#include "format/payload.h"

struct RecordDecoder
{
	int n_values; /* the target's length */
	PayloadReader payload;
	void (*read)(PayloadReader *reader, const char *payload, size_t length, Datum *values,
				 bool *nulls);
	int n_metadata;
	MetadataColumn *metadata;
	const MetadataColumn *current_metadata;
};

/* By attribute number, the position among the columns of the payload; -1 for metadata. */
static int *
payload_positions(Oid foreign_table, const TopicOptions *options, int *n_positions)
{
	Relation relation = table_open(foreign_table, AccessShareLock);
	TupleDesc columns = RelationGetDescr(relation);
	int *positions = palloc(sizeof(int) * (columns->natts + 1));

	*n_positions = 0;
	for (int i = 0; i < columns->natts; i++)
	{
		ColumnOptions column;

		positions[i + 1] = -1;
		if (TupleDescAttr(columns, i)->attisdropped)
			continue;
		column_options_get(foreign_table, i + 1, options, &column);
		if (column.metadata == METADATA_NONE)
			positions[i + 1] = (*n_positions)++;
	}
	table_close(relation, AccessShareLock);
	return positions;
}

static void
add_metadata_column(RecordDecoder *decoder, int target, Form_pg_attribute attribute,
					const ColumnOptions *options)
{
	MetadataColumn *column = &decoder->metadata[decoder->n_metadata++];

	metadata_check_type(NameStr(attribute->attname), options->metadata, attribute->atttypid);
	column->target = target;
	column->name = pstrdup(NameStr(attribute->attname));
	column->metadata = options->metadata;
	value_reader_init(&column->reader, attribute->atttypid, attribute->atttypmod, TIMESTAMP_ISO);
}

static void
add_payload_column(RecordDecoder *decoder, int target, Form_pg_attribute attribute,
				   const ColumnOptions *options, const char *foreign_name, int position)
{
	PayloadColumn *column = &decoder->payload.columns[decoder->payload.n_columns++];

	column->target = target;
	column->name = pstrdup(NameStr(attribute->attname));
	column->by_path = options->field != NULL;
	column->field = options->field ? options->field : foreign_name;
	column->position = position;
	value_reader_init(&column->reader, attribute->atttypid, attribute->atttypmod,
					  options->timestamp_format);
}

static void
choose_format(RecordDecoder *decoder)
{
	switch (decoder->payload.options.format)
	{
		case FORMAT_JSON:
			json_reader_create(&decoder->payload);
			decoder->read = json_read;
			break;
		case FORMAT_CSV:
			csv_reader_create(&decoder->payload);
			decoder->read = csv_read;
			break;
		case FORMAT_RAW:
			raw_reader_create(&decoder->payload);
			decoder->read = raw_read;
			break;
	}
}

RecordDecoder *
record_decoder_create(Oid foreign_table, TupleDesc target, const AttrNumber *columns)
{
	RecordDecoder *decoder = palloc0(sizeof(RecordDecoder));
	TopicOptions *options = &decoder->payload.options;
	int *positions;

	topic_options_get(foreign_table, options);
	positions = payload_positions(foreign_table, options, &decoder->payload.n_positions);
	decoder->n_values = target->natts;
	decoder->payload.columns = palloc0(sizeof(PayloadColumn) * Max(target->natts, 1));
	decoder->metadata = palloc0(sizeof(MetadataColumn) * Max(target->natts, 1));
	for (int i = 0; i < target->natts; i++)
	{
		ColumnOptions column;

		if (columns[i] == 0)
			continue;
		column_options_get(foreign_table, columns[i], options, &column);
		if (column.metadata != METADATA_NONE)
			add_metadata_column(decoder, i, TupleDescAttr(target, i), &column);
		else
			add_payload_column(decoder, i, TupleDescAttr(target, i), &column,
							   get_attname(foreign_table, columns[i], false),
							   positions[columns[i]]);
	}
	pfree(positions);
	choose_format(decoder);
	return decoder;
}

static void
say_where(void *arg)
{
	RecordDecoder *decoder = arg;
	const PayloadColumn *column = decoder->payload.current;

	if (decoder->current_metadata)
		errcontext("column \"%s\"", decoder->current_metadata->name);
	else if (column && decoder->payload.options.format == FORMAT_JSON)
		errcontext("column \"%s\", field \"%s\"", column->name, column->field);
	else if (column)
		errcontext("column \"%s\"", column->name);
}

/* A payload that no column takes is not looked at: one can find a bad record that way. */
static inline bool
has_payload(const RecordDecoder *decoder, const KafkaRecord *record)
{
	if (decoder->payload.n_columns == 0 || record->payload == NULL)
		return false;
	return record->payload_len > 0 || decoder->payload.options.format == FORMAT_RAW;
}

void
record_decode(RecordDecoder *decoder, const KafkaRecord *record, Datum *values, bool *nulls)
{
	ErrorContextCallback where = {error_context_stack, say_where, decoder};

	memset(nulls, true, sizeof(bool) * decoder->n_values);
	decoder->payload.current = NULL;
	decoder->current_metadata = NULL;
	error_context_stack = &where;

	if (has_payload(decoder, record))
		decoder->read(&decoder->payload, record->payload, record->payload_len, values, nulls);
	for (int i = 0; i < decoder->n_metadata; i++)
	{
		MetadataColumn *column = &decoder->metadata[i];

		decoder->current_metadata = column;
		values[column->target] = metadata_read(column, record, &nulls[column->target]);
	}
	error_context_stack = where.previous;
}
