/*
 * payload.h: what decoder.c and the readers of each format share.
 */
#ifndef TIDEMARK_FORMAT_PAYLOAD_H
#define TIDEMARK_FORMAT_PAYLOAD_H

#include "format/value.h"

/* A target column that takes a part of the payload. */
typedef struct PayloadColumn
{
	int target;		   /* index into values and nulls */
	const char *name;  /* the target column's */
	const char *field; /* the field's name or path, for messages */
	bool by_path;	   /* field is what the column option says, not the column's own name */
	int position;	   /* among the foreign table's payload columns, from 0 */
	ValueReader reader;
} PayloadColumn;

typedef struct PayloadReader
{
	int n_columns;
	PayloadColumn *columns;
	int n_positions; /* payload columns of the foreign table */
	TopicOptions options;
	const PayloadColumn *current; /* whose value is being read, for messages */
	void *format;				  /* the format's own */
} PayloadReader;

/*
 * Each format: *_reader_create sets reader->format, in the current context; *_read sets those of
 * values and nulls that are among the columns (all are null before). payload is bytes as they came,
 * not empty but for raw.
 */
extern void json_reader_create(PayloadReader *reader);
extern void json_read(PayloadReader *reader, const char *payload, size_t length, Datum *values,
					  bool *nulls);
extern void csv_reader_create(PayloadReader *reader);
extern void csv_read(PayloadReader *reader, const char *payload, size_t length, Datum *values,
					 bool *nulls);
extern void raw_reader_create(PayloadReader *reader);
extern void raw_read(PayloadReader *reader, const char *payload, size_t length, Datum *values,
					 bool *nulls);

#endif
