/*
 * ingest.h: one ingestion: a topic into a stream. Used by the worker's loop (worker/ingest_worker.c).
 */
#ifndef TIDEMARK_STREAM_INGEST_H
#define TIDEMARK_STREAM_INGEST_H

#include "datatype/timestamp.h"
#include "utils/memutils.h"

#include "kafka/consumer.h"
#include "stream/event_time.h"

/* Where a new partition is read from. */
typedef enum IngestStart
{
	START_EARLIEST,
	START_LATEST,
	START_TIMESTAMP,
	START_OFFSETS
} IngestStart;

/* What is committed of a partition; what the worker knows besides. */
typedef struct IngestPartition
{
	int64 next_offset; /* of the first record that is not in the stream */
	Ticks greatest;	   /* TICKS_MIN: none yet */
	bool idle;

	bool wants_idle;		 /* to be committed next */
	TimestampTz quiet_since; /* when the last record came, or reading began */
	int64 last_timestamp_ms; /* the last record's; -1: none */
} IngestPartition;

/* A batch's rows: everything that is made from the two tables' definitions. */
typedef struct RowPlan RowPlan;

typedef struct Ingest
{
	int32 id;
	/* the catalogue's row, as read by ingest_load */
	Oid topic; /* the foreign table */
	Oid stream;
	Oid role;
	char topic_table[NAMEDATALEN];
	char stream_table[NAMEDATALEN];
	IngestStart start;
	int64 start_ms; /* START_TIMESTAMP: since 1970 */
	bool skip_lost;
	int64 idle_timeout; /* microseconds; -1: none */

	int npartitions; /* those in the catalogue: 0 .. npartitions - 1 */
	IngestPartition *partitions;

	KafkaConsumer *consumer;
	MemoryContext context; /* lives as long as the consumer */
	MemoryContext batch_context;
	MemoryContext chunk_context;
	RowPlan *plan;
	bool plan_is_stale; /* one of the tables was altered */
} Ingest;

/* ---- ingest_catalog.c: each in a transaction of its own, unless said otherwise ---- */

/* Reads the ingestion; false when it's gone or paused. Allocates in ingest->context. */
extern bool ingest_load(Ingest *ingest);

/* Adds partitions from ingest->npartitions on, to be read from these offsets, and reads them all again. */
extern void ingest_add_partitions(Ingest *ingest, int n, const int64 *offsets);

/* The offset that START_OFFSETS gives for a partition; -1: none. */
extern int64 ingest_start_offset(Ingest *ingest, int32 partition);

/* The topic does not exist yet: all that it will hold is later than "latest". */
extern void ingest_start_from_beginning(Ingest *ingest);

/*
 * Gives up what the broker no longer has: positions outside [first, end] go to first (all of them, in a new
 * topic of the same name); partitions from n on are forgotten.
 */
extern void ingest_skip_lost(Ingest *ingest, int n, const int64 *first, const int64 *end,
							 bool new_topic);

extern void ingest_record_error(int32 id, const char *message);

/* What a batch adds to a partition. */
typedef struct PartitionChange
{
	bool changed;
	int64 next_offset;
	Ticks greatest;
	int64 records;
	int64 late_kept;
	int64 late_dropped;
	int64 late_diverted;
	int64 dead;
} PartitionChange;

/*
 * In the batch's transaction: moves the positions. False when they are not as the worker knows them, or
 * the ingestion is paused or gone: the batch must not commit then.
 */
extern bool ingest_save_changes(Ingest *ingest, const PartitionChange *changes);

/* ---- ingest.c ---- */

/*
 * One batch, one transaction: records[0 .. n) into the stream, positions as the consumer has them
 * now. True: committed. False: rolled back, since the ingestion was stopped, paused or moved by
 * somebody. Raises an error when the batch fails for a reason that is no record's. The records stay the caller's.
 */
extern bool ingest_batch(Ingest *ingest, KafkaRecord *records, int n);

/* Frees what was made for the batches; call before the ingestion's context is reset. */
extern void ingest_forget_plan(Ingest *ingest);

#endif
