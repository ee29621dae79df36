/*
 * value_text.h: one value of a column as text.
 */
#ifndef TIDEMARK_FORMAT_VALUE_TEXT_H
#define TIDEMARK_FORMAT_VALUE_TEXT_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "lib/stringinfo.h"

#include "kafka/option.h"

typedef struct ValueWriter
{
	const char *name; /* the column's */
	Oid type;		  /* beneath domains */
	TimestampFormat timestamp_format;
	FmgrInfo output;

	/* The last timestamp's day: its beginning, and its date as it is written, with what separates it from the time; empty: none. */
	Timestamp day;
	char day_text[12];
} ValueWriter;

/* Room for n bytes at the buffer's end, which text_written() then counts. */
static inline char *
text_room(StringInfo out, int n)
{
	if (out->maxlen - out->len <= n)
		enlargeStringInfo(out, n);
	return out->data + out->len;
}

static inline void
text_written(StringInfo out, int n)
{
	out->len += n;
	out->data[out->len] = '\0';
}

static inline void
text_append(StringInfo out, const char *bytes, int n)
{
	memcpy(text_room(out, n), bytes, n);
	text_written(out, n);
}

/* A writer of values of the type, in the current memory context. name is kept. */
extern void value_writer_init(ValueWriter *writer, const char *name, Oid type,
							  TimestampFormat timestamp_format);

/* Appends the value's text, in the server's encoding. Raises an error for an infinite timestamp that is to be a number. */
extern void value_write(ValueWriter *writer, Datum value, StringInfo out);

/* The value's text; palloc'd. */
extern char *value_text(ValueWriter *writer, Datum value);

/* Are values written as numbers of time since 1970? */
extern bool value_is_number_of_time(const ValueWriter *writer);

/* A timestamp in the units since 1970 of a format that is a number, down to the whole unit; name is for an error's context. */
extern int64 timestamp_to_epoch(Timestamp timestamp, TimestampFormat format, const char *name);

#endif
