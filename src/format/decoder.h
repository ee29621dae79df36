/*
 * decoder.h: records to columns and back, one interface for every format.
 */
#ifndef TIDEMARK_FORMAT_DECODER_H
#define TIDEMARK_FORMAT_DECODER_H

#include "access/tupdesc.h"
#include "kafka/consumer.h"

typedef struct RecordDecoder RecordDecoder;

/*
 * A decoder for the records of foreign_table. columns[i] (0-based) is the foreign table's attribute
 * number that target column i takes, or 0 for a column the topic doesn't have (it's left alone);
 * target gives the types (input functions, typmods) that values are read as. Allocated in the
 * current context.
 */
extern RecordDecoder *record_decoder_create(Oid foreign_table, TupleDesc target,
											const AttrNumber *columns);

/*
 * Decodes one record into values/nulls (of the target's length). Values are allocated in the
 * current context, and may point into the record. Raises an error that says what is wrong and in
 * which column. Tombstones and empty payloads: every column null but those of metadata (an empty
 * payload of format raw is an empty value). A payload that no column takes is not looked at.
 */
extern void record_decode(RecordDecoder *decoder, const KafkaRecord *record, Datum *values,
						  bool *nulls);

#endif
