/*
 * value.h: one value as text to a Datum of a column's type: what all formats share.
 */
#ifndef TIDEMARK_FORMAT_VALUE_H
#define TIDEMARK_FORMAT_VALUE_H

#include "datatype/timestamp.h"
#include "fmgr.h"

#include "kafka/option.h"

typedef enum ValueKind
{
	VALUE_OTHER, /* through the type's input function */
	VALUE_INT2,
	VALUE_INT4,
	VALUE_INT8,
	VALUE_FLOAT8,
	VALUE_TEXT, /* text, or varchar without a limit */
	VALUE_TIMESTAMP,
	VALUE_TIMESTAMPTZ,
	VALUE_DATE,
	VALUE_BYTEA,
	VALUE_JSON, /* json, jsonb */
	VALUE_ARRAY
} ValueKind;

typedef struct ValueReader
{
	ValueKind kind;
	Oid type;
	int32 typmod;
	TimestampFormat timestamp_format; /* of timestamp and timestamptz, and arrays of them */
	FmgrInfo input;
	Oid io_param;
	/* arrays */
	struct ValueReader *element;
	int16 element_length;
	bool element_by_value;
	char element_align;
} ValueReader;

/* A reader of values of the type, in the current memory context. */
extern void value_reader_init(ValueReader *reader, Oid type, int32 typmod,
							  TimestampFormat timestamp_format);

/*
 * The value that text (of length bytes, without a terminator, valid in the server's encoding)
 * stands for. Raises the error of the type's input function.
 */
extern Datum value_from_text(ValueReader *reader, const char *text, size_t length);

/*
 * Payload or key bytes, in UTF-8, as text in the server's encoding: checked, and copied only where
 * they must be converted.
 */
extern const char *text_from_bytes(const char *bytes, size_t *length);

/* Milliseconds since 1970 as timestamptz; raises an error out of range. */
extern TimestampTz timestamp_from_ms(int64 ms);

/* The other way round, down to the whole millisecond; the extremes for infinity. */
extern int64 timestamp_to_ms(TimestampTz timestamp);

#endif
