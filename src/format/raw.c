/*
 * raw.c: the whole payload to one column.
 *
 * A bytea column takes the bytes as they are; a column of any other type takes them as text, which
 * has to be UTF-8. The foreign table has exactly one column that is not of metadata.
 */
#include "tidemark.h"

#include "utils/builtins.h"

#include "format/payload.h"

void
raw_reader_create(PayloadReader *payload)
{
	if (payload->n_positions != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_COLUMN_NUMBER),
				 errmsg("a foreign table of format \"raw\" needs one column for the payload"),
				 errdetail("It has %d.", payload->n_positions),
				 errhint("Give the other columns the option \"metadata\".")));
	payload->format = NULL;
}

void
raw_read(PayloadReader *payload, const char *bytes, size_t length, Datum *values, bool *nulls)
{
	for (int i = 0; i < payload->n_columns; i++)
	{
		PayloadColumn *column = &payload->columns[i];

		payload->current = column;
		if (column->reader.kind == VALUE_BYTEA)
			values[column->target] = PointerGetDatum(cstring_to_text_with_len(bytes, (int) length));
		else
		{
			size_t text_length = length;
			const char *text = text_from_bytes(bytes, &text_length);

			values[column->target] = value_from_text(&column->reader, text, text_length);
		}
		nulls[column->target] = false;
	}
	payload->current = NULL;
}
