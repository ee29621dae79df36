/*
 * consumer.c: reading partitions of a topic from offsets that the caller knows.
 *
 * This is librdkafka's "simple consumer": no group decides what is read, nothing is rebalanced, and
 * no right on a group is needed. The group's name, if the user gives one, only receives the offsets
 * that kafka_consumer_commit_group() reports for lag tools.
 *
 * All partitions are fetched into one queue, whose filling wakes the process. librdkafka bounds
 * what waits in it (queued.max.messages.kbytes, for all partitions together), and once it was full looks only a second later whether
 * there is room again, unless something else happens to the connection: a reader that takes it all in less than that would stand still, and
 * partitions would get out of step. So it is made to look when the queue is half empty (keep_fetching).
 *
 * What is promised of records: those of one partition come in the order of their offsets, none is
 * left out between the offset that was assigned and kafka_consumer_position(), and an offset that
 * the broker no longer has is reported, never replaced by another one (auto.offset.reset=error). A
 * record is freed by kafka_record_release(), or with the consumer: the slots remember those that
 * are out.
 */
#include "tidemark.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"

#include "kafka/client.h"
#include "kafka/consumer.h"
#include "kafka/option.h"

/* One partition that is read; indexed by the partition's number. */
typedef struct ReadPartition
{
	bool assigned;
	bool at_end;
	int64 position;
} ReadPartition;

struct KafkaConsumer
{
	KafkaClient client;
	MemoryContext context;
	rd_kafka_queue_t *records;
	bool has_group; /* group.id was given */

	int n_partitions; /* length of partitions */
	ReadPartition *partitions;

	/* Messages that are out, and the slots that are free. */
	int n_slots;
	rd_kafka_message_t **out;
	int *free_slots;
	int n_free;

	unsigned int waited; /* the most that have waited since fetching was last seen to go on */
	unsigned int left;	 /* that the last poll left */

	int batch_size; /* room for one poll */
	rd_kafka_message_t **batch;
};

/* What waits is what a fast reader takes in about half a second (see keep_fetching). */
static const char *const consumer_defaults[] = {"queued.min.messages",
												"250000",
												"queued.max.messages.kbytes",
												"32768",
												"fetch.queue.backoff.ms",
												"20",
												"reconnect.backoff.max.ms",
												"2000",
												NULL};

/* A queue that never had more than this waiting is not one that was full. */
#define MANY_WAITING 5000

/* How long asking the leaders may keep the reader: their answers are of no interest. */
#define ASKING_MS 1

static void
stop_reading(KafkaConsumer *consumer)
{
	for (int i = 0; i < consumer->n_partitions; i++)
	{
		if (consumer->partitions[i].assigned)
			rd_kafka_consume_stop(consumer->client.topic, i);
		consumer->partitions[i].assigned = false;
	}
}

static void
release_everything(void *arg)
{
	KafkaConsumer *consumer = arg;

	for (int i = 0; i < consumer->n_slots; i++)
	{
		if (consumer->out[i])
			rd_kafka_message_destroy(consumer->out[i]);
		consumer->out[i] = NULL;
	}
	stop_reading(consumer);
	if (consumer->records)
	{
		rd_kafka_queue_io_event_enable(consumer->records, -1, NULL, 0);
		rd_kafka_queue_destroy(consumer->records);
		consumer->records = NULL;
	}
}

KafkaConsumer *
kafka_consumer_open(Oid foreign_table, Oid userid)
{
	KafkaConsumer *consumer = palloc0(sizeof(KafkaConsumer));

	consumer->context = CurrentMemoryContext;
	consumer->has_group = kafka_property_given(foreign_table, userid, "group.id");
	consumer->client.owner = consumer;
	consumer->client.before_close = release_everything;
	client_open(&consumer->client, RD_KAFKA_CONSUMER, foreign_table, userid, consumer_defaults,
				NULL);
	consumer->records = rd_kafka_queue_new(consumer->client.handle);
	client_watch_queue(&consumer->client, consumer->records);
	return consumer;
}

void
kafka_consumer_close(KafkaConsumer *consumer)
{
	client_close(&consumer->client);
}

const char *
kafka_consumer_topic(KafkaConsumer *consumer)
{
	return consumer->client.topic_name;
}

int
kafka_consumer_partitions(KafkaConsumer *consumer, int timeout_ms, char **error)
{
	return client_partitions(&consumer->client, timeout_ms, error);
}

/* Offsets for times, or for the special times of the first and the end offset. */
typedef struct OffsetsRequest
{
	int n;
	const int32 *partitions; /* NULL: 0 to n - 1 */
	int64 time_ms;
	int64 *offsets;
} OffsetsRequest;

static rd_kafka_resp_err_t
request_offsets(KafkaClient *client, void *arg, int slice_ms)
{
	OffsetsRequest *request = arg;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(request->n);
	rd_kafka_resp_err_t code;

	for (int i = 0; i < request->n; i++)
		rd_kafka_topic_partition_list_add(list, client->topic_name,
										  request->partitions ? request->partitions[i] : i)
			->offset = request->time_ms;
	code = rd_kafka_offsets_for_times(client->handle, list, slice_ms);
	for (int i = 0; i < request->n && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
	{
		int32 partition = request->partitions ? request->partitions[i] : i;
		rd_kafka_topic_partition_t *found =
			rd_kafka_topic_partition_list_find(list, client->topic_name, partition);

		code = found->err;
		request->offsets[i] = found->offset;
	}
	rd_kafka_topic_partition_list_destroy(list);
	/* the broker has named these partitions: that it doesn't know one passes, as when it has just come back */
	return code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ? RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE
														: code;
}

static bool
get_offsets(KafkaConsumer *consumer, int n, const int32 *partitions, int64 time_ms, int64 *offsets,
			int timeout_ms, const char *what, char **error)
{
	OffsetsRequest request = {n, partitions, time_ms, offsets};
	rd_kafka_resp_err_t code;

	if (n == 0)
		return true;
	code = client_request(&consumer->client, request_offsets, &request, timeout_ms);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return true;
	*error = client_failure(&consumer->client, code, what);
	return false;
}

static bool
get_watermarks(KafkaConsumer *consumer, int n, const int32 *partitions, int64 *first, int64 *end,
			   int timeout_ms, char **error)
{
	const char *what = "could not ask the broker for the partitions' offsets";

	return get_offsets(consumer, n, partitions, RD_KAFKA_OFFSET_BEGINNING, first, timeout_ms, what,
					   error) &&
		   get_offsets(consumer, n, partitions, RD_KAFKA_OFFSET_END, end, timeout_ms, what, error);
}

bool
kafka_consumer_watermarks(KafkaConsumer *consumer, int32 partition, int64 *first, int64 *end,
						  int timeout_ms, char **error)
{
	return get_watermarks(consumer, 1, &partition, first, end, timeout_ms, error);
}

bool
kafka_consumer_all_watermarks(KafkaConsumer *consumer, int n, int64 *first, int64 *end,
							  int timeout_ms, char **error)
{
	return get_watermarks(consumer, n, NULL, first, end, timeout_ms, error);
}

int64
kafka_consumer_known_end(KafkaConsumer *consumer, int32 partition)
{
	int64_t low;
	int64_t high;

	if (rd_kafka_get_watermark_offsets(consumer->client.handle, consumer->client.topic_name,
									   partition, &low, &high) != RD_KAFKA_RESP_ERR_NO_ERROR ||
		high < 0)
		return -1;
	return high;
}

bool
kafka_consumer_offsets_for_time(KafkaConsumer *consumer, int n, const int32 *partitions,
								int64 time_ms, int64 *offsets, int timeout_ms, char **error)
{
	const char *what = "could not ask the broker for the offsets of a time";
	int64 *ends;

	if (!get_offsets(consumer, n, partitions, Max(time_ms, 0), offsets, timeout_ms, what, error))
		return false;
	/* "None" is answered with the special offset of the end, which moves. */
	ends = palloc(sizeof(int64) * Max(n, 1));
	if (!get_offsets(consumer, n, partitions, RD_KAFKA_OFFSET_END, ends, timeout_ms, what, error))
		return false;
	for (int i = 0; i < n; i++)
	{
		if (offsets[i] < 0)
			offsets[i] = ends[i];
	}
	pfree(ends);
	return true;
}

/* Makes room for partitions up to this number. */
static void
reserve_partition(KafkaConsumer *consumer, int32 partition)
{
	int n = Max(partition + 1, consumer->n_partitions * 2);

	if (partition < consumer->n_partitions)
		return;
	if (consumer->partitions == NULL)
		consumer->partitions = MemoryContextAlloc(consumer->context, sizeof(ReadPartition) * n);
	else
		consumer->partitions = repalloc(consumer->partitions, sizeof(ReadPartition) * n);
	memset(consumer->partitions + consumer->n_partitions, 0,
		   sizeof(ReadPartition) * (n - consumer->n_partitions));
	consumer->n_partitions = n;
}

void
kafka_consumer_assign(KafkaConsumer *consumer, int n, const int32 *partitions, const int64 *offsets)
{
	stop_reading(consumer);
	for (int i = 0; i < n; i++)
	{
		reserve_partition(consumer, partitions[i]);
		if (rd_kafka_consume_start_queue(consumer->client.topic, partitions[i], offsets[i],
										 consumer->records) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_ERROR),
					 errmsg("could not read partition %d of topic \"%s\" from offset %lld: %s",
							partitions[i], consumer->client.topic_name, (long long) offsets[i],
							rd_kafka_err2str(rd_kafka_last_error()))));
		consumer->partitions[partitions[i]] =
			(ReadPartition){.assigned = true, .position = offsets[i]};
	}
}

int64
kafka_consumer_position(KafkaConsumer *consumer, int32 partition)
{
	if (partition >= consumer->n_partitions || !consumer->partitions[partition].assigned)
		return -1;
	return consumer->partitions[partition].position;
}

bool
kafka_consumer_at_end(KafkaConsumer *consumer, int32 partition)
{
	return partition < consumer->n_partitions && consumer->partitions[partition].assigned &&
		   consumer->partitions[partition].at_end;
}

/* Room for one poll of max messages, before there are any: nothing can fail after that. */
static void
reserve_batch(KafkaConsumer *consumer, int max)
{
	if (max > consumer->batch_size)
	{
		if (consumer->batch)
			pfree(consumer->batch);
		consumer->batch_size = 0;
		consumer->batch = MemoryContextAlloc(consumer->context, sizeof(rd_kafka_message_t *) * max);
		consumer->batch_size = max;
	}
	if (consumer->n_free < max)
	{
		int old = consumer->n_slots;
		int n = Max(old * 2, old + max);
		rd_kafka_message_t **out =
			MemoryContextAllocHuge(consumer->context, sizeof(rd_kafka_message_t *) * n);
		int *free_slots = MemoryContextAllocHuge(consumer->context, sizeof(int) * n);

		if (old > 0)
		{
			memcpy(out, consumer->out, sizeof(rd_kafka_message_t *) * old);
			memcpy(free_slots, consumer->free_slots, sizeof(int) * consumer->n_free);
			pfree(consumer->out);
			pfree(consumer->free_slots);
		}
		for (int i = old; i < n; i++)
		{
			out[i] = NULL;
			free_slots[consumer->n_free++] = i;
		}
		consumer->out = out;
		consumer->free_slots = free_slots;
		consumer->n_slots = n;
	}
}

static void
hand_out(KafkaConsumer *consumer, rd_kafka_message_t *message, KafkaRecord *record)
{
	ReadPartition *partition = &consumer->partitions[message->partition];
	rd_kafka_timestamp_type_t type;

	record->message = message;
	record->consumer = consumer;
	record->slot = consumer->free_slots[--consumer->n_free];
	consumer->out[record->slot] = message;
	record->partition = message->partition;
	record->offset = message->offset;
	record->timestamp_ms = rd_kafka_message_timestamp(message, &type);
	if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
		record->timestamp_ms = -1;
	record->key = message->key;
	record->key_len = message->key_len;
	record->payload = message->payload;
	record->payload_len = message->len;
	partition->position = message->offset + 1;
	partition->at_end = false;
}

void
kafka_record_release(KafkaRecord *record)
{
	KafkaConsumer *consumer = record->consumer;

	rd_kafka_message_destroy(record->message);
	record->message = NULL;
	consumer->out[record->slot] = NULL;
	consumer->free_slots[consumer->n_free++] = record->slot;
}

static void
note_trouble(KafkaTrouble *trouble, rd_kafka_resp_err_t code, int32 partition, int64 offset,
			 const char *text)
{
	trouble->code = code;
	trouble->offset_lost = code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
						   code == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;
	trouble->partition = partition;
	trouble->offset = offset;
	strlcpy(trouble->message, text ? text : rd_kafka_err2str(code), sizeof(trouble->message));
}

/* A message that is no record: the end of a partition, or trouble with one. */
static void
take_notice(KafkaConsumer *consumer, const rd_kafka_message_t *message, KafkaTrouble *trouble)
{
	int32 number = message->partition;
	ReadPartition *partition = NULL;

	if (number >= 0 && number < consumer->n_partitions && consumer->partitions[number].assigned)
		partition = &consumer->partitions[number];
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
	{
		if (partition)
		{
			partition->at_end = true;
			partition->position = Max(partition->position, message->offset);
		}
		return;
	}
	/* Trouble with a partition is worse than the connection's, which librdkafka cures by itself. */
	if (trouble->code == 0 || !trouble->offset_lost)
		note_trouble(trouble, message->err, partition ? number : -1,
					 partition ? partition->position : -1, rd_kafka_message_errstr(message));
}

/* Asks the partitions' leaders something: that makes librdkafka's threads for them look at what there is to do. */
static void
ask_leaders(KafkaConsumer *consumer)
{
	rd_kafka_topic_partition_list_t *list =
		rd_kafka_topic_partition_list_new(consumer->n_partitions);

	for (int i = 0; i < consumer->n_partitions; i++)
		if (consumer->partitions[i].assigned)
			rd_kafka_topic_partition_list_add(list, consumer->client.topic_name, i)->offset =
				RD_KAFKA_OFFSET_END;
	(void) rd_kafka_offsets_for_times(consumer->client.handle, list, ASKING_MS);
	rd_kafka_topic_partition_list_destroy(list);
}

/* Nothing has come since the last poll, to a queue that was full and is half empty: has it been noticed? */
static void
keep_fetching(KafkaConsumer *consumer)
{
	unsigned int waiting = rd_kafka_queue_length(consumer->records);

	if (waiting > consumer->left)
		consumer->waited = waiting;
	else if (consumer->waited > MANY_WAITING && waiting > 0 && waiting <= consumer->waited / 2)
	{
		ask_leaders(consumer);
		consumer->waited = waiting;
	}
}

/* What is in the queue now. Raises nothing once there are messages. */
static int
take_batch(KafkaConsumer *consumer, KafkaRecord *records, int max, KafkaTrouble *trouble)
{
	ssize_t n;
	int taken = 0;

	keep_fetching(consumer);
	n = rd_kafka_consume_batch_queue(consumer->records, 0, consumer->batch, max);
	for (ssize_t i = 0; i < n; i++)
	{
		rd_kafka_message_t *message = consumer->batch[i];

		if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR && message->partition >= 0 &&
			message->partition < consumer->n_partitions &&
			consumer->partitions[message->partition].assigned)
		{
			hand_out(consumer, message, &records[taken++]);
			continue;
		}
		if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
			take_notice(consumer, message, trouble);
		rd_kafka_message_destroy(message);
	}
	consumer->left = rd_kafka_queue_length(consumer->records);
	return taken;
}

int
kafka_consumer_poll(KafkaConsumer *consumer, KafkaRecord *records, int max, int timeout_ms,
					KafkaTrouble *trouble)
{
	KafkaClient *client = &consumer->client;
	instr_time start;

	trouble->code = 0;
	trouble->offset_lost = false;
	trouble->partition = -1;
	trouble->offset = -1;
	trouble->message[0] = '\0';

	reserve_batch(consumer, max);
	INSTR_TIME_SET_CURRENT(start);
	for (;;)
	{
		instr_time passed;
		long left;
		int n;

		CHECK_FOR_INTERRUPTS();
		client->complaint.code = 0;
		client_serve(client);
		if (client->complaint.code != 0)
			note_trouble(trouble, client->complaint.code, -1, -1, client->complaint.text);
		n = take_batch(consumer, records, max, trouble);

		INSTR_TIME_SET_CURRENT(passed);
		INSTR_TIME_SUBTRACT(passed, start);
		left = timeout_ms - (long) INSTR_TIME_GET_MILLISEC(passed);
		if (n > 0 || trouble->code != 0 || left <= 0)
			return n;
		if (!client_wait(client, left))
		{
			CHECK_FOR_INTERRUPTS();
			return 0;
		}
	}
}

void
kafka_consumer_commit_group(KafkaConsumer *consumer, int n, const int32 *partitions,
							const int64 *offsets)
{
	rd_kafka_topic_partition_list_t *list;

	if (!consumer->has_group)
		return;
	list = rd_kafka_topic_partition_list_new(n);
	for (int i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(list, consumer->client.topic_name, partitions[i])
			->offset = offsets[i];
	(void) rd_kafka_commit(consumer->client.handle, list, 1);
	rd_kafka_topic_partition_list_destroy(list);
}
