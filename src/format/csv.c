/*
 * csv.c: a CSV line to columns.
 *
 * A record is one line as COPY … (FORMAT csv) writes it, with or without its end. The fields are
 * the foreign table's columns in their order, without those of metadata; more or fewer are an
 * error. A field that was never quoted and is equal to the option "null" is NULL. A quoted field
 * may hold delimiters and line ends.
 */
#include "tidemark.h"

#include "utils/builtins.h"

#include "format/payload.h"

typedef struct CsvReader
{
	PayloadColumn **by_position; /* NULL: nobody takes it */
	size_t null_length;
} CsvReader;

typedef struct CsvField
{
	const char *text;
	size_t length;
	bool quoted;
} CsvField;

void
csv_reader_create(PayloadReader *payload)
{
	CsvReader *reader = palloc(sizeof(CsvReader));

	if (payload->options.quote == payload->options.delimiter)
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("options \"delimiter\" and \"quote\" must differ")));
	reader->by_position = palloc0(sizeof(PayloadColumn *) * Max(payload->n_positions, 1));
	for (int i = 0; i < payload->n_columns; i++)
		reader->by_position[payload->columns[i].position] = &payload->columns[i];
	reader->null_length = strlen(payload->options.null_text);
	payload->format = reader;
}

/* A field with quotes in it: copied without them. *p is at its start, and moves to its end. */
static void
read_quoted(const TopicOptions *options, const char **p, const char *end, CsvField *field)
{
	char *out = palloc(end - *p + 1);
	bool in_quotes = false;

	field->text = out;
	field->quoted = true;
	for (; *p < end; (*p)++)
	{
		char c = **p;

		if (in_quotes && c == options->escape && *p + 1 < end &&
			((*p)[1] == options->quote || (*p)[1] == options->escape))
			*out++ = *++(*p);
		else if (c == options->quote)
			in_quotes = !in_quotes;
		else if (c == options->delimiter && !in_quotes)
			break;
		else if ((c == '\n' || c == '\r') && !in_quotes)
			ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
							errmsg("unquoted line end within a CSV record")));
		else
			*out++ = c;
	}
	if (in_quotes)
		ereport(ERROR,
				(errcode(ERRCODE_BAD_COPY_FILE_FORMAT), errmsg("unterminated CSV quoted field")));
	field->length = out - field->text;
}

/* The field at *p, which moves to the delimiter behind it or the end. */
static void
read_field(const TopicOptions *options, const char **p, const char *end, CsvField *field)
{
	const char *start = *p;

	field->text = start;
	field->quoted = false;
	for (; *p < end && **p != options->delimiter; (*p)++)
	{
		if (**p == options->quote)
		{
			*p = start;
			read_quoted(options, p, end, field);
			return;
		}
		if (**p == '\n' || **p == '\r')
			ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
							errmsg("unquoted line end within a CSV record")));
	}
	field->length = *p - start;
}

void
csv_read(PayloadReader *payload, const char *bytes, size_t length, Datum *values, bool *nulls)
{
	CsvReader *reader = payload->format;
	const TopicOptions *options = &payload->options;
	const char *p = text_from_bytes(bytes, &length);
	const char *end = p + length;

	if (end > p && end[-1] == '\n')
		end--;
	if (end > p && end[-1] == '\r')
		end--;
	for (int position = 0; position < payload->n_positions; position++)
	{
		PayloadColumn *column = reader->by_position[position];
		CsvField field;

		payload->current = column;
		if (position > 0)
		{
			if (p == end)
				ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
								errmsg("CSV record has %d fields, %d are expected", position,
									   payload->n_positions)));
			p++; /* the delimiter */
		}
		read_field(options, &p, end, &field);
		if (column == NULL || (!field.quoted && field.length == reader->null_length &&
							   memcmp(field.text, options->null_text, field.length) == 0))
			continue;
		values[column->target] = value_from_text(&column->reader, field.text, field.length);
		nulls[column->target] = false;
	}
	payload->current = NULL;
	if (p < end)
		ereport(ERROR,
				(errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
				 errmsg("extra data after the last of %d CSV fields", payload->n_positions)));
}
