/*
 * producer.h: writing to a topic. Used by INSERT into a foreign table and by sinks.
 */
#ifndef TIDEMARK_KAFKA_PRODUCER_H
#define TIDEMARK_KAFKA_PRODUCER_H

#include <librdkafka/rdkafka.h>

typedef struct KafkaProducer KafkaProducer;

typedef struct OutgoingHeader
{
	const char *name;
	const char *value; /* NULL: none */
	size_t value_len;
} OutgoingHeader;

/* A record to write. Everything is copied when it is sent. */
typedef struct OutgoingRecord
{
	const char *key; /* NULL: none */
	size_t key_len;
	const char *payload; /* NULL: a tombstone */
	size_t payload_len;
	int32 partition;	/* RD_KAFKA_PARTITION_UA: by the key, or any */
	int64 timestamp_ms; /* since 1970; 0: now */
	int n_headers;
	OutgoingHeader *headers;
} OutgoingRecord;

/*
 * A producer for a foreign table of tidemark_kafka, with the rights (user mapping) of userid, that
 * lives as long as the current memory context. Raises an error for wrong options; does not wait for
 * the broker.
 */
extern KafkaProducer *kafka_producer_open(Oid foreign_table, Oid userid);

/* The same for transactions (transaction.h): the broker lets only the newest producer of that id go on. */
extern KafkaProducer *kafka_producer_open_transactional(Oid foreign_table, Oid userid,
														const char *transactional_id);
extern void kafka_producer_close(KafkaProducer *producer);

extern const char *kafka_producer_topic(KafkaProducer *producer);

/* Its handle, for transaction.c. */
extern struct KafkaClient *kafka_producer_client(KafkaProducer *producer);

/* As kafka_consumer_partitions. */
extern int kafka_producer_partitions(KafkaProducer *producer, int timeout_ms, char **error);

/*
 * Queues a record; waits, interruptibly, while the queue is full. Raises an error for this record
 * or for an earlier one that the broker has refused.
 */
extern void kafka_producer_send(KafkaProducer *producer, const OutgoingRecord *record);

/*
 * Waits, interruptibly, until the broker has acknowledged all records; raises an error for the first
 * that it hasn't.
 */
extern void kafka_producer_flush(KafkaProducer *producer);

#endif
