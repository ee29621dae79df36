/*
 * encoder.h: columns to records, one interface for every format.
 */
#ifndef TIDEMARK_FORMAT_ENCODER_H
#define TIDEMARK_FORMAT_ENCODER_H

#include "access/tupdesc.h"
#include "kafka/producer.h"

typedef struct RecordEncoder RecordEncoder;

/*
 * An encoder for records of foreign_table. columns[i] (0-based) is the foreign table's attribute
 * number that source column i is written as, or 0 for one that isn't. Allocated in the current
 * context.
 */
extern RecordEncoder *record_encoder_create(Oid foreign_table, TupleDesc source,
											const AttrNumber *columns);

/*
 * Makes one record of values/nulls (of the source's length), in the current context and the encoder's buffers: it is valid until the
 * next one. A record with
 * a key in which every column of the payload is null is a tombstone. Raises an error for what the
 * format can't say.
 */
extern void record_encode(RecordEncoder *encoder, const Datum *values, const bool *nulls,
						  OutgoingRecord *record);

#endif
