/*
 * producer.c: writing records, and knowing that they were written.
 *
 * The producer is idempotent: what librdkafka sends again after a lost answer is stored once, and
 * the records of a partition keep the order in which they were sent. kafka_producer_flush() returns
 * when every record is acknowledged by all in-sync replicas; the first that is not raises an error
 * with its number, its partition and the reason. librdkafka itself gives up on a record after
 * message.timeout.ms, so that a flush ends.
 *
 * What does not follow is a transaction: records that were acknowledged before an error, or before
 * a ROLLBACK, stay in the topic. A producer that was opened for transactions has them (transaction.c).
 *
 * Memory is bounded by librdkafka's queue (queue.buffering.max.kbytes); acknowledgements are
 * counted as they come in, in this process's own thread.
 */
#include "tidemark.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "miscadmin.h"

#include "kafka/client.h"
#include "kafka/producer.h"

#define SERVE_EVERY 1000 /* records */
#define WAIT_MS 100

struct KafkaProducer
{
	KafkaClient client;
	int64 sent;
	int64 settled; /* acknowledged or failed */

	/* The first that failed; code 0: none. */
	rd_kafka_resp_err_t failure;
	int64 failed_record; /* counted from 1 */
	int32 failed_partition;
	char reason[512];
};

static const char *const producer_defaults[] = {"message.timeout.ms",
												"30000",
												"queue.buffering.max.kbytes",
												"65536",
												"reconnect.backoff.max.ms",
												"2000",
												NULL};

static void
note_failure(KafkaProducer *producer, const rd_kafka_message_t *message)
{
	producer->failure = message->err;
	producer->failed_record = (int64) (intptr_t) message->_private;
	producer->failed_partition = message->partition;
	strlcpy(producer->reason, rd_kafka_err2str(message->err), sizeof(producer->reason));
}

/*
 * Counts the delivery reports of one event. They are alike, so they aren't looked at one by one: each would be another miss of the
 * caches. Called by client_serve; raises nothing.
 */
static void
count_reports(void *owner, rd_kafka_event_t *reports)
{
	KafkaProducer *producer = owner;

	producer->settled += rd_kafka_event_message_count(reports);
	if (rd_kafka_event_error(reports) != RD_KAFKA_RESP_ERR_NO_ERROR && producer->failure == 0)
		note_failure(producer, rd_kafka_event_message_next(reports));
}

/*
 * librdkafka takes several pieces of memory for a record, small ones for its headers. What malloc keeps of freed small
 * pieces lies between the large ones, so that the next records are strewn over the heap, and each access misses the
 * caches: with headers, three times the whole cost of sending. So small pieces go back to the heap at once, in all
 * of a process that writes to topics; PostgreSQL itself takes memory from malloc in blocks.
 */
static void
keep_memory_together(void)
{
#ifdef M_MXFAST
	static bool done = false;

	if (!done)
		mallopt(M_MXFAST, 0);
	done = true;
#endif
}

static KafkaProducer *
open_producer(Oid foreign_table, Oid userid, const char *const *forced)
{
	KafkaProducer *producer = palloc0(sizeof(KafkaProducer));

	keep_memory_together();
	producer->client.owner = producer;
	producer->client.delivered = count_reports;
	client_open(&producer->client, RD_KAFKA_PRODUCER, foreign_table, userid, producer_defaults,
				forced);
	return producer;
}

KafkaProducer *
kafka_producer_open(Oid foreign_table, Oid userid)
{
	return open_producer(foreign_table, userid, NULL);
}

KafkaProducer *
kafka_producer_open_transactional(Oid foreign_table, Oid userid, const char *transactional_id)
{
	const char *const forced[] = {"transactional.id", transactional_id, NULL};

	return open_producer(foreign_table, userid, forced);
}

struct KafkaClient *
kafka_producer_client(KafkaProducer *producer)
{
	return &producer->client;
}

void
kafka_producer_close(KafkaProducer *producer)
{
	client_close(&producer->client);
}

const char *
kafka_producer_topic(KafkaProducer *producer)
{
	return producer->client.topic_name;
}

int
kafka_producer_partitions(KafkaProducer *producer, int timeout_ms, char **error)
{
	return client_partitions(&producer->client, timeout_ms, error);
}

static pg_noinline void
refuse_record(KafkaProducer *producer, int64 record, int32 partition, const char *reason)
{
	const char *topic = producer->client.topic_name;
	const char *complaint = producer->client.complaint.code ? producer->client.complaint.text : "";

	ereport(ERROR, (errcode(ERRCODE_FDW_ERROR),
					partition == RD_KAFKA_PARTITION_UA
						? errmsg("could not write record %lld to topic \"%s\": %s",
								 (long long) record, topic, reason)
						: errmsg("could not write record %lld to partition %d of topic \"%s\": %s",
								 (long long) record, partition, topic, reason),
					complaint[0] ? errdetail("%s", complaint) : 0,
					errhint("Records before it may have been written, and stay in the topic.")));
}

/* Takes in what has been acknowledged, and raises the first failure. */
static void
settle(KafkaProducer *producer)
{
	client_serve(&producer->client);
	if (producer->failure != 0)
		refuse_record(producer, producer->failed_record, producer->failed_partition,
					  producer->reason);
	if (client_is_hopeless(&producer->client))
		refuse_record(producer, producer->settled + 1, RD_KAFKA_PARTITION_UA,
					  producer->client.complaint.text);
}

static void
wait_for_reports(KafkaProducer *producer)
{
	CHECK_FOR_INTERRUPTS();
	client_wait(&producer->client, WAIT_MS);
	CHECK_FOR_INTERRUPTS();
	settle(producer);
}

/* Queues a copy of the record. */
static rd_kafka_resp_err_t
produce(KafkaProducer *producer, const OutgoingRecord *record)
{
	rd_kafka_headers_t *headers = NULL;
	rd_kafka_resp_err_t code;

	if (record->n_headers > 0)
	{
		headers = rd_kafka_headers_new(record->n_headers);
		for (int i = 0; i < record->n_headers; i++)
			rd_kafka_header_add(headers, record->headers[i].name, -1, record->headers[i].value,
								record->headers[i].value_len);
	}
	/* clang-format off */
	code = rd_kafka_producev(producer->client.handle,
							 RD_KAFKA_V_RKT(producer->client.topic),
							 RD_KAFKA_V_PARTITION(record->partition),
							 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
							 RD_KAFKA_V_KEY(record->key, record->key_len),
							 RD_KAFKA_V_VALUE((void *) record->payload, record->payload_len),
							 RD_KAFKA_V_TIMESTAMP(record->timestamp_ms),
							 RD_KAFKA_V_HEADERS(headers),
							 RD_KAFKA_V_OPAQUE((void *) (intptr_t) (producer->sent + 1)),
							 RD_KAFKA_V_END);
	/* clang-format on */
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR && headers)
		rd_kafka_headers_destroy(headers);
	return code;
}

void
kafka_producer_send(KafkaProducer *producer, const OutgoingRecord *record)
{
	rd_kafka_resp_err_t code;

	while ((code = produce(producer, record)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		wait_for_reports(producer);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		refuse_record(producer, producer->sent + 1, record->partition, rd_kafka_err2str(code));
	if (++producer->sent % SERVE_EVERY == 0)
	{
		CHECK_FOR_INTERRUPTS();
		settle(producer);
	}
}

void
kafka_producer_flush(KafkaProducer *producer)
{
	settle(producer);
	while (producer->settled < producer->sent)
		wait_for_reports(producer);
}
