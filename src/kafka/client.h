/*
 * client.h: one librdkafka handle: made from a foreign table's options, freed on every path.
 */
#ifndef TIDEMARK_KAFKA_CLIENT_H
#define TIDEMARK_KAFKA_CLIENT_H

#include "lib/ilist.h"
#include "utils/palloc.h"

#include <librdkafka/rdkafka.h>

/* What librdkafka said of its troubles last. */
typedef struct KafkaComplaint
{
	rd_kafka_resp_err_t code; /* 0: none */
	char text[512];
} KafkaComplaint;

typedef struct KafkaClient
{
	rd_kafka_t *handle; /* NULL: closed */
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *events; /* logs, errors, delivery reports: served by client_serve only */
	int wake_read;			  /* a pipe that librdkafka writes to when a queue fills */
	int wake_write;
	char *topic_name;
	KafkaComplaint complaint;
	bool in_call_apart; /* librdkafka has not returned from it: the handle can't be destroyed */

	/* Of the owner (consumer or producer); neither may raise an error. */
	void *owner;
	void (*before_close)(void *owner);
	void (*delivered)(void *owner, rd_kafka_event_t *reports);

	dlist_node in_open_clients;
	MemoryContextCallback context_callback;
} KafkaClient;

/*
 * Makes the handle in the current context, whose reset or deletion frees it, as does the end of the
 * process. defaults is pairs of property and value, ended by NULL, that hold unless the user's
 * options say otherwise; forced (NULL: none) is such pairs that hold whatever they say. Raises an error for options that librdkafka does not take; does not wait
 * for the broker.
 */
extern void client_open(KafkaClient *client, rd_kafka_type_t type, Oid foreign_table, Oid userid,
						const char *const *defaults, const char *const *forced);
extern void client_close(KafkaClient *client);

/* Hands on what is in the events queue: logs, complaints, delivery reports. Never waits. */
extern void client_serve(KafkaClient *client);

/* Wakes client_wait when something arrives in queue. */
extern void client_watch_queue(KafkaClient *client, rd_kafka_queue_t *queue);

/*
 * Waits for a watched queue, the process latch or the time. Returns false when it was the latch,
 * which is then reset.
 */
extern bool client_wait(KafkaClient *client, long timeout_ms);

/* A complaint that waiting longer can't cure: wrong credentials, certificates, protocol. */
extern bool client_is_hopeless(const KafkaClient *client);

/*
 * Calls request(handle, slice_ms) with growing slices of time until it answers something other than
 * a time-out or the time is over; interrupts are taken between slices.
 */
typedef rd_kafka_resp_err_t (*KafkaRequest)(KafkaClient *client, void *arg, int slice_ms);
extern rd_kafka_resp_err_t client_request(KafkaClient *client, KafkaRequest request, void *arg,
										  int timeout_ms);

/*
 * Runs call(arg) in a thread of its own, for functions of librdkafka that may never return; interrupts are taken meanwhile.
 * False: it has not returned in time. It may then go on for ever, with the handle, which nobody may use any more: closing the client
 * leaves it to the end of the process. So do interrupts that end the wait. call must not use anything of PostgreSQL, and arg must
 * have been malloc'ed: it is the caller's again only if this returns true.
 */
typedef void (*KafkaCall)(void *arg);
extern bool client_call_apart(KafkaClient *client, KafkaCall call, void *arg, int timeout_ms);

/* "what: reason", where the last complaint is the better reason for a time-out. palloc'd. */
extern char *client_failure(const KafkaClient *client, rd_kafka_resp_err_t code, const char *what);

/*
 * The number of partitions of the client's topic, 0 when it doesn't exist, -1 with *error on
 * failure.
 */
extern int client_partitions(KafkaClient *client, int timeout_ms, char **error);

#endif
