/*
 * transaction.c: a producer's transactions, and a position that is committed with them.
 *
 * The position is the committed offset of a consumer group in partition 0 of the topic, with a text as its metadata. No
 * consumer of that group exists: the broker only keeps what the transaction says of it, so records and position
 * are committed together or not at all. Who comes after a crash, on either side, inits his transactions (which decides the one that was
 * left), reads the position, and goes on behind it.
 *
 * Nothing is repaired within a producer. Whatever fails raises an error; whether the transaction was committed is then
 * known to the broker alone, and the next producer asks it.
 *
 * The calls of librdkafka that wait do so in slices between which interrupts are taken, or in a thread of their own. Delivery reports are served before a commit:
 * librdkafka's own waiting for them would wait for nobody.
 */
#include "tidemark.h"

#include "kafka/client.h"
#include "kafka/transaction.h"

#define COMMIT_MS 60000
#define SEND_POSITION_MS 5000

/* What the last call of librdkafka's said, in words. */
static char last_words[512];

/* As client_request wants to know it: something to be waited for, or not. Frees the error. */
static rd_kafka_resp_err_t
take_error(rd_kafka_error_t *error)
{
	rd_kafka_resp_err_t code;

	last_words[0] = '\0';
	if (error == NULL)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	code = rd_kafka_error_code(error);
	strlcpy(last_words, rd_kafka_error_string(error), sizeof(last_words));
	if (rd_kafka_error_is_retriable(error) && code != RD_KAFKA_RESP_ERR__TIMED_OUT)
		code = RD_KAFKA_RESP_ERR__WAIT_COORD;
	rd_kafka_error_destroy(error);
	return code;
}

static bool
is_waiting(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__WAIT_COORD ||
		   code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
}

static pg_noinline void
refuse(KafkaProducer *producer, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_ERROR), errmsg("could not %s a transaction on topic \"%s\": %s",
												what, kafka_producer_topic(producer), last_words)));
}

static char *
complaint(KafkaClient *client, const char *what)
{
	return psprintf("%s: %s", what, client->complaint.code ? client->complaint.text : last_words);
}

/* ---- transactions ---- */

static rd_kafka_resp_err_t
request_init(KafkaClient *client, void *arg, int slice_ms)
{
	return take_error(rd_kafka_init_transactions(client->handle, slice_ms));
}

bool
kafka_transactions_init(KafkaProducer *producer, int timeout_ms, char **error)
{
	KafkaClient *client = kafka_producer_client(producer);
	rd_kafka_resp_err_t code = client_request(client, request_init, NULL, timeout_ms);

	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return true;
	if (!is_waiting(code) || client_is_hopeless(client))
		refuse(producer, "prepare for");
	*error = complaint(client, "the broker does not answer for transactions");
	return false;
}

void
kafka_transaction_begin(KafkaProducer *producer)
{
	if (take_error(rd_kafka_begin_transaction(kafka_producer_client(producer)->handle)))
		refuse(producer, "begin");
}

/* A call of rd_kafka_send_offsets_to_transaction. */
typedef struct SendPosition
{
	rd_kafka_t *handle;
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_consumer_group_metadata_t *metadata;
	rd_kafka_error_t *error;
} SendPosition;

static SendPosition *
make_send_position(KafkaClient *client, const char *group, const KafkaPosition *position)
{
	SendPosition *send = malloc(sizeof(SendPosition));
	rd_kafka_topic_partition_t *partition;

	if (send == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	send->handle = client->handle;
	send->list = rd_kafka_topic_partition_list_new(1);
	send->metadata = rd_kafka_consumer_group_metadata_new(group);
	send->error = NULL;
	partition = rd_kafka_topic_partition_list_add(send->list, client->topic_name, 0);
	partition->offset = position->number;
	partition->metadata = strdup(position->text); /* freed with the list, by free() */
	partition->metadata_size = strlen(position->text);
	return send;
}

static void
call_send_position(void *arg)
{
	SendPosition *send = arg;

	send->error = rd_kafka_send_offsets_to_transaction(send->handle, send->list, send->metadata,
													   SEND_POSITION_MS);
}

/*
 * In one call: what it does can't be taken up again by another one. That call of librdkafka 2.0 does not return, whatever time it is
 * given, if the broker goes away at the wrong moment.
 */
static void
send_position(KafkaProducer *producer, const char *group, const KafkaPosition *position)
{
	KafkaClient *client = kafka_producer_client(producer);
	SendPosition *send = make_send_position(client, group, position);
	rd_kafka_resp_err_t code;

	if (!client_call_apart(client, call_send_position, send, 2 * SEND_POSITION_MS))
	{
		strlcpy(last_words, "the broker does not answer", sizeof(last_words));
		refuse(producer, "put the position into");
	}
	code = take_error(send->error);
	rd_kafka_consumer_group_metadata_destroy(send->metadata);
	rd_kafka_topic_partition_list_destroy(send->list);
	free(send);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		refuse(producer, "put the position into");
}

static rd_kafka_resp_err_t
request_commit(KafkaClient *client, void *arg, int slice_ms)
{
	return take_error(rd_kafka_commit_transaction(client->handle, slice_ms));
}

void
kafka_transaction_commit(KafkaProducer *producer, const char *group, const KafkaPosition *position)
{
	send_position(producer, group, position);
	kafka_producer_flush(producer);
	if (client_request(kafka_producer_client(producer), request_commit, NULL, COMMIT_MS))
		refuse(producer, "commit");
}

/* ---- the position ---- */

static rd_kafka_resp_err_t
request_position(KafkaClient *client, void *arg, int slice_ms)
{
	rd_kafka_topic_partition_list_t *list = arg;
	rd_kafka_resp_err_t code = rd_kafka_committed(client->handle, list, slice_ms);

	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = list->elems[0].err;
	strlcpy(last_words, rd_kafka_err2str(code), sizeof(last_words));
	return code;
}

static void
take_position(const rd_kafka_topic_partition_t *partition, KafkaPosition *position)
{
	position->number = partition->offset >= 0 ? partition->offset : -1;
	position->text = pnstrdup(partition->metadata ? partition->metadata : "",
							  partition->metadata ? partition->metadata_size : 0);
}

bool
kafka_position_read(Oid foreign_table, Oid userid, const char *group, KafkaPosition *position,
					int timeout_ms, char **error)
{
	const char *const defaults[] = {NULL};
	const char *const forced[] = {"group.id", group, "isolation.level", "read_committed", NULL};
	KafkaClient *client = palloc0(sizeof(KafkaClient));
	rd_kafka_topic_partition_list_t *list;
	volatile rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;

	client_open(client, RD_KAFKA_CONSUMER, foreign_table, userid, defaults, forced);
	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, client->topic_name, 0);
	PG_TRY();
	{
		code = client_request(client, request_position, list, timeout_ms);
		if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
			take_position(&list->elems[0], position);
	}
	PG_FINALLY();
	{
		rd_kafka_topic_partition_list_destroy(list);
	}
	PG_END_TRY();
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR && !is_waiting(code))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("could not read the position of group \"%s\": %s", group, last_words)));
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		*error = complaint(client, "the broker does not tell the position");
	client_close(client);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR;
}
