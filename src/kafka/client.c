/*
 * client.c: a librdkafka handle in a PostgreSQL process.
 *
 * librdkafka runs threads, and PostgreSQL's functions must not be called from them. So there is not
 * one callback: logs, errors and delivery reports are events in a queue, which client_serve()
 * empties in the backend's own thread. The threads that librdkafka starts block all signals, so
 * PostgreSQL's handlers run where they should.
 *
 * Waiting is always for two things at once: the process latch, and a pipe that librdkafka writes a
 * byte to when a watched queue is no longer empty. The order that loses no wake-up is: empty the
 * pipe, look into the queues, wait.
 *
 * A handle belongs to the memory context in which it was opened: an error, a cancelled statement or
 * the end of the transaction resets that context, and the callback destroys the handle. What lives
 * longer (a worker's) is destroyed when the process exits, before exit() takes away what its
 * threads use. A handle that librdkafka doesn't return from (client_call_apart) is left as it is, and
 * the process ends without exit().
 */
#include "tidemark.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "portability/instr_time.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "kafka/client.h"
#include "kafka/option.h"

#define SLICE_FIRST_MS 100
#define SLICE_MAX_MS 1000

/* All that are open, for the end of the process. */
static dlist_head open_clients = DLIST_STATIC_INIT(open_clients);
static bool exit_hooked = false;

/* There is a handle that can't be destroyed. */
static bool abandoned = false;

static void
close_pipe(KafkaClient *client)
{
	if (client->wake_read < 0)
		return;
	close(client->wake_read);
	close(client->wake_write);
	client->wake_read = client->wake_write = -1;
	ReleaseExternalFD();
	ReleaseExternalFD();
}

/* A thread is within librdkafka, and will use the handle and the pipe when it comes back: they stay. */
static void
abandon(KafkaClient *client)
{
	dlist_delete(&client->in_open_clients);
	client->handle = NULL;
	abandoned = true;
}

/* Frees everything; raises nothing. */
void
client_close(KafkaClient *client)
{
	if (client->handle && client->in_call_apart)
	{
		abandon(client);
		return;
	}
	if (client->handle)
	{
		if (client->before_close)
			client->before_close(client->owner);
		dlist_delete(&client->in_open_clients);
		if (client->topic)
			rd_kafka_topic_destroy(client->topic);
		if (client->events)
		{
			rd_kafka_queue_io_event_enable(client->events, -1, NULL, 0);
			rd_kafka_queue_destroy(client->events);
		}
		rd_kafka_destroy_flags(client->handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
		client->handle = NULL;
		client->topic = NULL;
		client->events = NULL;
	}
	close_pipe(client);
}

static void
close_with_context(void *arg)
{
	client_close((KafkaClient *) arg);
}

static void
close_all_at_exit(int code, Datum arg)
{
	while (!dlist_is_empty(&open_clients))
		client_close(dlist_container(KafkaClient, in_open_clients, dlist_head_node(&open_clients)));
	/* exit() would pull the ground from under the threads of one that goes on; shared memory has been left already */
	if (abandoned)
		_exit(code);
}

static void
open_pipe(KafkaClient *client)
{
	int ends[2];

	if (!AcquireExternalFD())
		ereport(ERROR, (errcode_for_file_access(), errmsg("too many open files: %m")));
	if (!AcquireExternalFD())
	{
		ReleaseExternalFD();
		ereport(ERROR, (errcode_for_file_access(), errmsg("too many open files: %m")));
	}
	if (pipe(ends) < 0)
	{
		ReleaseExternalFD();
		ReleaseExternalFD();
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not create a pipe: %m")));
	}
	client->wake_read = ends[0];
	client->wake_write = ends[1];
	for (int i = 0; i < 2; i++)
	{
		if (fcntl(ends[i], F_SETFL, O_NONBLOCK) < 0 || fcntl(ends[i], F_SETFD, FD_CLOEXEC) < 0)
			ereport(ERROR, (errcode_for_file_access(), errmsg("could not set up a pipe: %m")));
	}
}

static void
must_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char error[512];

	if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) != RD_KAFKA_CONF_OK)
		elog(ERROR, "could not set %s: %s", name, error);
}

static void
must_set_all(rd_kafka_conf_t *conf, const char *const *pairs)
{
	for (; pairs && *pairs; pairs += 2)
		must_set(conf, pairs[0], pairs[1]);
}

/* A property that this version of librdkafka does not have yet is left out. */
static void
set_defaults(rd_kafka_conf_t *conf, const char *const *pairs)
{
	for (; pairs && *pairs; pairs += 2)
		if (rd_kafka_conf_set(conf, pairs[0], pairs[1], NULL, 0) == RD_KAFKA_CONF_INVALID)
			elog(ERROR, "could not set %s", pairs[0]);
}

/* Defaults first, then what the user says, then what this extension promises. */
static void
configure(rd_kafka_conf_t *conf, rd_kafka_type_t type, Oid foreign_table, Oid userid,
		  const char *const *defaults, const char *const *forced)
{
	must_set(conf, "client.id", "tidemark");
	must_set(conf, "allow.auto.create.topics", "false");
	set_defaults(conf, defaults);

	kafka_properties_apply(conf, type, foreign_table, userid);

	must_set(conf, "log.queue", "true");
	rd_kafka_conf_set_log_cb(conf, NULL);
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_ERROR |
									   (type == RD_KAFKA_PRODUCER ? RD_KAFKA_EVENT_DR : 0));
	if (type == RD_KAFKA_CONSUMER)
	{
		must_set(conf, "enable.partition.eof", "true");
		must_set(conf, "enable.auto.offset.store", "false");
		must_set(conf, "enable.auto.commit", "false");
		must_set(conf, "auto.offset.reset", "error");
	}
	else
	{
		must_set(conf, "enable.idempotence", "true");
		must_set(conf, "acks", "all");
	}
	must_set_all(conf, forced);
}

/* The configuration, or the error that PostgreSQL raises for it; it is then freed. */
static rd_kafka_conf_t *
make_configuration(rd_kafka_type_t type, Oid foreign_table, Oid userid, const char *const *defaults,
				   const char *const *forced)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	PG_TRY();
	{
		configure(conf, type, foreign_table, userid, defaults, forced);
	}
	PG_CATCH();
	{
		rd_kafka_conf_destroy(conf);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return conf;
}

void
client_open(KafkaClient *client, rd_kafka_type_t type, Oid foreign_table, Oid userid,
			const char *const *defaults, const char *const *forced)
{
	TopicOptions options;
	rd_kafka_conf_t *conf;
	char error[512];

	topic_options_get(foreign_table, &options);
	client->topic_name = options.topic;
	client->wake_read = client->wake_write = -1;
	if (!exit_hooked)
	{
		on_proc_exit(close_all_at_exit, (Datum) 0);
		exit_hooked = true;
	}

	conf = make_configuration(type, foreign_table, userid, defaults, forced);
	client->handle = rd_kafka_new(type, conf, error, sizeof(error));
	if (client->handle == NULL)
	{
		rd_kafka_conf_destroy(conf);
		ereport(
			ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
			 errmsg("could not create a Kafka client for topic \"%s\"", client->topic_name),
			 errdetail("%s", error),
			 errhint("Check the options of the server, the user mapping and the foreign table.")));
	}

	/* From here on nothing is lost, whatever is raised. */
	dlist_push_tail(&open_clients, &client->in_open_clients);
	client->context_callback.func = close_with_context;
	client->context_callback.arg = client;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &client->context_callback);

	client->events = rd_kafka_queue_get_main(client->handle);
	rd_kafka_set_log_queue(client->handle, client->events);
	client->topic = rd_kafka_topic_new(client->handle, client->topic_name, NULL);
	if (client->topic == NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
						errmsg("could not use topic \"%s\": %s", client->topic_name,
							   rd_kafka_err2str(rd_kafka_last_error()))));
	open_pipe(client);
	client_watch_queue(client, client->events);
}

void
client_watch_queue(KafkaClient *client, rd_kafka_queue_t *queue)
{
	rd_kafka_queue_io_event_enable(queue, client->wake_write, "", 1);
}

/* syslog's levels: what is wrong goes to the server's log, the rest is for debugging. */
static int
log_level(int syslog_level)
{
	return syslog_level <= 4 ? LOG : syslog_level <= 6 ? DEBUG1 : DEBUG2;
}

static void
serve_log(KafkaClient *client, rd_kafka_event_t *event)
{
	const char *facility;
	const char *text;
	int level;
	char line[1024];

	rd_kafka_event_log(event, &facility, &text, &level);
	strlcpy(line, text ? text : "", sizeof(line));
	rd_kafka_event_destroy(event); /* before anything can be raised */
	ereport(log_level(level), (errmsg("Kafka topic \"%s\": %s", client->topic_name, line),
							   errhidestmt(true), errhidecontext(true)));
}

/* Keeps the last complaint; a reason is not displaced by "all brokers are down". */
static void
serve_error(KafkaClient *client, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t code = rd_kafka_event_error(event);

	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || client->complaint.code == 0)
	{
		client->complaint.code = code;
		strlcpy(client->complaint.text, rd_kafka_event_error_string(event),
				sizeof(client->complaint.text));
	}
	rd_kafka_event_destroy(event);
}

void
client_serve(KafkaClient *client)
{
	rd_kafka_event_t *event;

	while ((event = rd_kafka_queue_poll(client->events, 0)) != NULL)
	{
		switch (rd_kafka_event_type(event))
		{
			case RD_KAFKA_EVENT_LOG:
				serve_log(client, event);
				break;
			case RD_KAFKA_EVENT_ERROR:
				serve_error(client, event);
				break;
			case RD_KAFKA_EVENT_DR:
				if (client->delivered)
					client->delivered(client->owner, event);
				rd_kafka_event_destroy(event);
				break;
			default:
				rd_kafka_event_destroy(event);
				break;
		}
	}
}

bool
client_wait(KafkaClient *client, long timeout_ms)
{
	int happened = WaitLatchOrSocket(
		MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
		client->wake_read, timeout_ms, PG_WAIT_EXTENSION);

	if (happened & WL_SOCKET_READABLE)
	{
		char bytes[64];

		while (read(client->wake_read, bytes, sizeof(bytes)) == sizeof(bytes))
			;
	}
	if (happened & WL_LATCH_SET)
	{
		ResetLatch(MyLatch);
		return false;
	}
	return true;
}

bool
client_is_hopeless(const KafkaClient *client)
{
	switch (client->complaint.code)
	{
		case RD_KAFKA_RESP_ERR__AUTHENTICATION:
		case RD_KAFKA_RESP_ERR__SSL:
		case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
		case RD_KAFKA_RESP_ERR__FATAL:
			return true;
		default:
			return false;
	}
}

/* What may be right a moment later. A partition that a request names has been there: a broker that comes up may not know it yet. */
static bool
is_timeout(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT ||
		   code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || code == RD_KAFKA_RESP_ERR__WAIT_COORD ||
		   code == RD_KAFKA_RESP_ERR__WAIT_CACHE ||
		   code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
		   code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
		   code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

rd_kafka_resp_err_t
client_request(KafkaClient *client, KafkaRequest request, void *arg, int timeout_ms)
{
	instr_time start;
	int slice = SLICE_FIRST_MS;

	client->complaint.code = 0;
	INSTR_TIME_SET_CURRENT(start);
	for (;;)
	{
		instr_time now;
		rd_kafka_resp_err_t code;
		double left;

		CHECK_FOR_INTERRUPTS();
		code = request(client, arg, slice);
		client_serve(client);
		if (!is_timeout(code) || client_is_hopeless(client))
			return code;

		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
		left = timeout_ms - INSTR_TIME_GET_MILLISEC(now);
		if (left <= 0)
			return code;
		slice = Max(1, Min(Min(slice * 2, SLICE_MAX_MS), (int) left));
		/* A request that fails at once must not become a busy loop. */
		if (code != RD_KAFKA_RESP_ERR__TIMED_OUT)
			client_wait(client, Min(SLICE_FIRST_MS, (long) left + 1));
	}
}

/* ---- calls that may never return ---- */

typedef struct CallApart
{
	KafkaCall call;
	void *arg;
	int wake; /* written to when it has returned */
	pg_atomic_uint32 returned;
} CallApart;

static void *
run_apart(void *arg)
{
	CallApart *apart = arg;

	apart->call(apart->arg);
	pg_atomic_write_u32(&apart->returned, 1);
	if (write(apart->wake, "", 1) < 0)
		return NULL; /* the pipe is full: then there is something in it */
	return NULL;
}

/* As librdkafka's threads, this one takes no signals. */
static bool
start_apart(CallApart *apart, pthread_t *thread)
{
	sigset_t all;
	sigset_t before;
	int failure;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failure = pthread_create(thread, NULL, run_apart, apart);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failure == 0;
}

bool
client_call_apart(KafkaClient *client, KafkaCall call, void *arg, int timeout_ms)
{
	CallApart *apart = malloc(sizeof(CallApart));
	pthread_t thread;
	instr_time start;

	if (apart == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	apart->call = call;
	apart->arg = arg;
	apart->wake = client->wake_write;
	pg_atomic_init_u32(&apart->returned, 0);
	if (!start_apart(apart, &thread))
	{
		free(apart);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not start a thread")));
	}
	client->in_call_apart = true;
	INSTR_TIME_SET_CURRENT(start);
	while (pg_atomic_read_u32(&apart->returned) == 0)
	{
		instr_time now;

		CHECK_FOR_INTERRUPTS();
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
		if (INSTR_TIME_GET_MILLISEC(now) > timeout_ms)
			return false;
		client_wait(client, SLICE_FIRST_MS);
	}
	pthread_join(thread, NULL);
	client->in_call_apart = false;
	free(apart);
	return true;
}

char *
client_failure(const KafkaClient *client, rd_kafka_resp_err_t code, const char *what)
{
	if (client->complaint.code != 0 && (is_timeout(code) || client_is_hopeless(client)))
		return psprintf("%s: %s", what, client->complaint.text);
	return psprintf("%s: %s", what, rd_kafka_err2str(code));
}

typedef struct PartitionsRequest
{
	int partitions; /* 0: no such topic */
} PartitionsRequest;

static rd_kafka_resp_err_t
request_partitions(KafkaClient *client, void *arg, int slice_ms)
{
	PartitionsRequest *answer = arg;
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t code;

	code = rd_kafka_metadata(client->handle, 0, client->topic, &metadata, slice_ms);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return code;
	answer->partitions = 0;
	if (metadata->topic_cnt > 0)
	{
		code = metadata->topics[0].err;
		answer->partitions = metadata->topics[0].partition_cnt;
	}
	rd_kafka_metadata_destroy(metadata);
	if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
	{
		answer->partitions = 0;
		code = RD_KAFKA_RESP_ERR_NO_ERROR;
	}
	return code;
}

int
client_partitions(KafkaClient *client, int timeout_ms, char **error)
{
	PartitionsRequest answer = {0};
	rd_kafka_resp_err_t code = client_request(client, request_partitions, &answer, timeout_ms);

	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return answer.partitions;
	*error = client_failure(client, code, "could not ask the broker for the topic's partitions");
	return -1;
}
