/*
 * consumer.h: reading a topic: assign, poll, offsets. Used by the foreign table's scan and by
 * ingestion.
 */
#ifndef TIDEMARK_KAFKA_CONSUMER_H
#define TIDEMARK_KAFKA_CONSUMER_H

#include <librdkafka/rdkafka.h>

typedef struct KafkaConsumer KafkaConsumer;

/* One record as it was read. The memory is librdkafka's, until kafka_record_release(). */
typedef struct KafkaRecord
{
	rd_kafka_message_t *message; /* owns everything below */
	KafkaConsumer *consumer;	 /* frees it too, should nobody else do it */
	int slot;
	int32 partition;
	int64 offset;
	int64 timestamp_ms; /* since 1970, -1: none */
	const char *key;	/* NULL: none */
	size_t key_len;
	const char *payload; /* NULL: a tombstone */
	size_t payload_len;
} KafkaRecord;

/*
 * A consumer for a foreign table of tidemark_kafka, with the rights (user mapping) of userid. It
 * lives as long as the current memory context: a reset callback frees the librdkafka handles on
 * every path. Raises an error for wrong options; does not wait for the broker.
 */
extern KafkaConsumer *kafka_consumer_open(Oid foreign_table, Oid userid);
extern void kafka_consumer_close(KafkaConsumer *consumer);

extern const char *kafka_consumer_topic(KafkaConsumer *consumer);

/*
 * The number of partitions, 0 when the topic does not exist (yet). On failure returns -1 and sets
 * *error (palloc'd). Waits at most timeout_ms, interruptibly.
 */
extern int kafka_consumer_partitions(KafkaConsumer *consumer, int timeout_ms, char **error);

/*
 * The broker's first and end offsets (end: of the next record) of one partition. False on failure,
 * with *error.
 */
extern bool kafka_consumer_watermarks(KafkaConsumer *consumer, int32 partition, int64 *first,
									  int64 *end, int timeout_ms, char **error);

/* The same for partitions 0 to n - 1 at once. */
extern bool kafka_consumer_all_watermarks(KafkaConsumer *consumer, int n, int64 *first, int64 *end,
										  int timeout_ms, char **error);

/* The end offset as last told by the broker with a fetch (no round trip), -1: not known yet. */
extern int64 kafka_consumer_known_end(KafkaConsumer *consumer, int32 partition);

/*
 * The first offset whose timestamp is at or after each partition's time_ms[i]; the end offset where
 * there is none. False on failure, with *error.
 */
extern bool kafka_consumer_offsets_for_time(KafkaConsumer *consumer, int n, const int32 *partitions,
											int64 time_ms, int64 *offsets, int timeout_ms,
											char **error);

/* Reads partitions[i] from offsets[i] on, never from a group's; replaces what was assigned. */
extern void kafka_consumer_assign(KafkaConsumer *consumer, int n, const int32 *partitions,
								  const int64 *offsets);

/*
 * The offset up to which everything of an assigned partition has been read, or has nothing to read:
 * it passes over compacted records, aborted transactions and the marks that end transactions, which
 * take offsets but are no records. Counts the records of the last poll as read. -1: not assigned.
 */
extern int64 kafka_consumer_position(KafkaConsumer *consumer, int32 partition);

/* Has the broker said, since the last record of the partition, that there are no more now? */
extern bool kafka_consumer_at_end(KafkaConsumer *consumer, int32 partition);

/* What a poll that brings nothing, or less, has to say. */
typedef struct KafkaTrouble
{
	rd_kafka_resp_err_t code; /* 0: none */
	bool offset_lost;		  /* the broker no longer has `offset` of `partition` */
	int32 partition;		  /* -1: the connection, or all */
	int64 offset;
	char message[512];
} KafkaTrouble;

/*
 * Up to max records, waiting at most timeout_ms for the first; returns how many. Waits on the
 * process latch too (and resets it), so that signals and wake-ups end the wait;
 * CHECK_FOR_INTERRUPTS is called. Never raises for what the broker does: see *trouble.
 */
extern int kafka_consumer_poll(KafkaConsumer *consumer, KafkaRecord *records, int max,
							   int timeout_ms, KafkaTrouble *trouble);

extern void kafka_record_release(KafkaRecord *record);

/*
 * Commits offsets to the broker's group, for lag tools only; never waits, never fails. Does nothing
 * without group.id.
 */
extern void kafka_consumer_commit_group(KafkaConsumer *consumer, int n, const int32 *partitions,
										const int64 *offsets);

#endif
