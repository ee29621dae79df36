/*
 * kafka_client.c: what scripts and tests ask of a Kafka broker, without starting a JVM.
 *
 *   kafka_client free-port                             prints a free loopback port, below the ephemeral ones
 *   kafka_client ready      BROKER [SECONDS]           waits until the broker answers
 *   kafka_client topic      BROKER TOPIC PARTITIONS    creates a topic
 *   kafka_client partitions BROKER TOPIC TOTAL         adds partitions to it
 *   kafka_client delete     BROKER TOPIC               deletes it
 *   kafka_client trim       BROKER TOPIC PARTITION OFFSET   deletes the records before the offset
 *   kafka_client ends       BROKER TOPIC               a line per partition: partition, first and next offset
 *   kafka_client produce    BROKER TOPIC [OPTION...]   a record per line of standard input
 *       --partition N       all into one partition (default: in turn over all)
 *       --key SEPARATOR     what is before the first separator in a line is its record's key
 *       --hex               lines are hexadecimal: any byte can be sent; an empty line is a tombstone
 *       --transaction END   all in one transaction, whose END is commit or abort
 *   kafka_client payments   BROKER TOPIC [OPTION...]   the payments of the quick start
 *       --records N         how many (default 1000; 0: no end)
 *       --rate N            records a second by the wall clock, with the event times of now
 *                           (default: as fast as the broker takes them, with event times from --start)
 *       --start SECONDS     event time of the first record, since 1970 (default 1695248342)
 *       --density N         records a second of event time (default 1000)
 *       --disorder MS       event times go back by up to that much (default 0)
 *       --first N           first orderId (default 1)
 *       --duplicates PERCENT   share of records that have the orderId of an earlier one, which may be any (default 0)
 *       --garbage PERCENT   share of records that can't become rows (default 0), a kind in turn
 *       --csv FILE          writes the rows there as well, as CSV in the columns' order
 *       --csv-only          ... and nothing to the broker
 *       --acks FILE         a line for each record that the broker has acknowledged: its orderId, and
 *                           when that was known here, in microseconds since 1970
 *
 *   kafka_client consume    BROKER TOPIC [--seconds N] a line for each committed record, for so long (default 10): its key, and
 *                           when it was here, in microseconds since 1970
 *
 * A producing command, and consume, ends with the process that started it, so that none is left without a broker.
 * The payments are a function of --seed, --first and the options: two runs produce the same bytes,
 * but for --rate, with which records are sent within 1 ms. Record number i goes to partition i modulo their number. A producing command
 * returns once the broker has acknowledged every record, and otherwise exits with 1 and says why; with it goes
 * a line of counts on standard output ("produced 990 garbage 10").
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#define TIMEOUT_MS 60000
#define BIG_STRING (1024 * 1024)

static volatile sig_atomic_t interrupted = 0;
static int64_t failed_deliveries = 0;
static char first_failure[256];
static FILE *acknowledgements = NULL;

static void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("kafka_client: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static void
on_signal(int signo)
{
	(void) signo;
	interrupted = 1;
}

static int64_t
integer_argument(const char *name, const char *text)
{
	char *end;
	int64_t value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < 0)
		die("%s: \"%s\" is not a number", name, text);
	return value;
}

static double
seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* --- handles ------------------------------------------------------------------------------------ */

static void
set_property(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char error[256];

	if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) != RD_KAFKA_CONF_OK)
		die("%s", error);
}

static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	(void) rk;
	(void) opaque;
	if (!message->err)
	{
		if (acknowledgements != NULL)
			fprintf(acknowledgements, "%" PRIdPTR ",%" PRId64 "\n", (intptr_t) message->_private,
					(int64_t) (seconds_now() * 1e6));
		return;
	}
	if (failed_deliveries++ == 0)
		snprintf(first_failure, sizeof(first_failure), "partition %" PRId32 ": %s",
				 message->partition, rd_kafka_err2str(message->err));
}

static rd_kafka_t *
connect_to(const char *broker, bool transactional, bool at_once)
{
	char error[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;

	set_property(conf, "bootstrap.servers", broker);
	set_property(conf, "log_level", "0");
	set_property(conf, "linger.ms", at_once ? "1" : "20");
	set_property(conf, "batch.num.messages", "20000");
	set_property(conf, "queue.buffering.max.messages", "200000");
	set_property(conf, "message.max.bytes", "8000000");
	set_property(conf, "enable.idempotence", "true"); /* a restarted broker holds no record twice */
	set_property(conf, "reconnect.backoff.ms", "50");
	set_property(conf, "reconnect.backoff.max.ms", "500");
	set_property(conf, "topic.metadata.refresh.fast.interval.ms", "50");
	if (transactional)
		set_property(conf, "transactional.id", "kafka_client");
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
	if (rk == NULL)
		die("%s", error);
	return rk;
}

/* The number of partitions of a topic, or 0 where there is no such topic (yet). */
static int
partition_count(rd_kafka_t *rk, const char *topic_name)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, topic_name, NULL);
	rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, topic, &metadata, TIMEOUT_MS);
	int count = 0;

	rd_kafka_topic_destroy(topic);
	if (err)
		die("metadata of \"%s\": %s", topic_name, rd_kafka_err2str(err));
	if (metadata->topic_cnt == 1 && !metadata->topics[0].err)
		count = metadata->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(metadata);
	return count;
}

static int
partitions_or_die(rd_kafka_t *rk, const char *topic)
{
	int count = partition_count(rk, topic);

	if (count == 0)
		die("topic \"%s\" does not exist", topic);
	return count;
}

/* What was acknowledged to the administrator may take a moment to be seen by all. */
static void
wait_for_partitions(rd_kafka_t *rk, const char *topic, int wanted)
{
	double deadline = seconds_now() + TIMEOUT_MS / 1000;

	while (partition_count(rk, topic) != wanted)
	{
		if (seconds_now() > deadline)
			die("topic \"%s\" did not get to %d partitions in time", topic, wanted);
		usleep(20000);
	}
}

/* --- administration ----------------------------------------------------------------------------- */

static int
free_port(void)
{
	srand((unsigned) (time(NULL) ^ (getpid() << 8)));
	for (int try = 0; try < 1000; try++)
	{
		struct sockaddr_in address = {.sin_family = AF_INET};
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		int port = 10000 + rand() % 22000;
		int bound;

		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address.sin_port = htons((uint16_t) port);
		bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *) &address, sizeof(address));
		if (fd >= 0)
			close(fd);
		if (bound == 0)
		{
			printf("%d\n", port);
			return 0;
		}
	}
	die("no free port found");
}

static int
wait_until_ready(rd_kafka_t *rk, double seconds)
{
	double deadline = seconds_now() + seconds;

	for (;;)
	{
		const struct rd_kafka_metadata *metadata;
		rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, NULL, &metadata, 1000);

		if (!err)
		{
			int brokers = metadata->broker_cnt;

			rd_kafka_metadata_destroy(metadata);
			if (brokers > 0)
				return 0;
		}
		if (seconds_now() > deadline)
			return 1;
		usleep(50000);
	}
}

/* The first error that an answer of the broker holds, topic by topic, is the command's. */
static void
check_topic_results(const char *what, const rd_kafka_topic_result_t **results, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		if (rd_kafka_topic_result_error(results[i]))
			die("%s \"%s\": %s", what, rd_kafka_topic_result_name(results[i]),
				rd_kafka_topic_result_error_string(results[i]));
	}
}

static rd_kafka_event_t *
admin_answer(rd_kafka_queue_t *queue, const char *what)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);

	if (event == NULL)
		die("%s: no answer", what);
	if (rd_kafka_event_error(event))
		die("%s: %s", what, rd_kafka_event_error_string(event));
	return event;
}

/* Asks once for a topic. False: not now, since the broker has been too slow to tell its controller that it lives. */
static bool
try_create_topic(rd_kafka_t *rk, rd_kafka_queue_t *queue, rd_kafka_NewTopic_t *new_topic)
{
	rd_kafka_event_t *event;
	const rd_kafka_topic_result_t **results;
	size_t count;
	bool fenced;

	rd_kafka_CreateTopics(rk, &new_topic, 1, NULL, queue);
	event = admin_answer(queue, "create topic");
	results =
		rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
	fenced = count == 1 && rd_kafka_topic_result_error(results[0]) ==
							   RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR;
	if (!fenced)
		check_topic_results("create topic", results, count);
	rd_kafka_event_destroy(event);
	return !fenced;
}

static void
create_topic(rd_kafka_t *rk, const char *topic, int partitions)
{
	char error[256];
	double deadline = seconds_now() + TIMEOUT_MS / 1000;
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_NewTopic_t *new_topic =
		rd_kafka_NewTopic_new(topic, partitions, 1, error, sizeof(error));

	if (new_topic == NULL)
		die("%s", error);
	while (!try_create_topic(rk, queue, new_topic))
	{
		if (seconds_now() > deadline)
			die("create topic \"%s\": the broker is fenced", topic);
		usleep(50000);
	}
	rd_kafka_NewTopic_destroy(new_topic);
	rd_kafka_queue_destroy(queue);
	wait_for_partitions(rk, topic, partitions);
}

static void
add_partitions(rd_kafka_t *rk, const char *topic, int total)
{
	char error[256];
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_NewPartitions_t *more =
		rd_kafka_NewPartitions_new(topic, (size_t) total, error, sizeof(error));
	rd_kafka_event_t *event;
	const rd_kafka_topic_result_t **results;
	size_t count;

	if (more == NULL)
		die("%s", error);
	rd_kafka_CreatePartitions(rk, &more, 1, NULL, queue);
	event = admin_answer(queue, "add partitions");
	results = rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event),
													  &count);
	check_topic_results("add partitions", results, count);
	rd_kafka_event_destroy(event);
	rd_kafka_NewPartitions_destroy(more);
	rd_kafka_queue_destroy(queue);
	wait_for_partitions(rk, topic, total);
}

static void
delete_topic(rd_kafka_t *rk, const char *topic)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_DeleteTopic_t *old = rd_kafka_DeleteTopic_new(topic);
	rd_kafka_event_t *event;
	const rd_kafka_topic_result_t **results;
	size_t count;

	rd_kafka_DeleteTopics(rk, &old, 1, NULL, queue);
	event = admin_answer(queue, "delete topic");
	results =
		rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
	check_topic_results("delete topic", results, count);
	rd_kafka_event_destroy(event);
	rd_kafka_DeleteTopic_destroy(old);
	rd_kafka_queue_destroy(queue);
	wait_for_partitions(rk, topic, 0);
}

static void
trim_partition(rd_kafka_t *rk, const char *topic, int32_t partition, int64_t offset)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	const rd_kafka_topic_partition_list_t *answer;
	rd_kafka_DeleteRecords_t *request;
	rd_kafka_event_t *event;

	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
	request = rd_kafka_DeleteRecords_new(list);
	rd_kafka_DeleteRecords(rk, &request, 1, NULL, queue);
	event = admin_answer(queue, "delete records");
	answer = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
	if (answer->elems[0].err)
		die("delete records: %s", rd_kafka_err2str(answer->elems[0].err));
	rd_kafka_event_destroy(event);
	rd_kafka_DeleteRecords_destroy(request);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_queue_destroy(queue);
}

static void
print_ends(rd_kafka_t *rk, const char *topic)
{
	int partitions = partitions_or_die(rk, topic);

	for (int partition = 0; partition < partitions; partition++)
	{
		int64_t low;
		int64_t high;
		rd_kafka_resp_err_t err =
			rd_kafka_query_watermark_offsets(rk, topic, partition, &low, &high, TIMEOUT_MS);

		if (err)
			die("offsets of \"%s\", partition %d: %s", topic, partition, rd_kafka_err2str(err));
		printf("%d %" PRId64 " %" PRId64 "\n", partition, low, high);
	}
}

/* --- producing ---------------------------------------------------------------------------------- */

/*
 * Hands a record to librdkafka, waiting where its queue is full. A null value is a tombstone. The number is for
 * the acknowledgement.
 */
static void
produce(rd_kafka_t *rk, const char *topic, int partition, const void *key, size_t key_length,
		const void *value, size_t length, int64_t number)
{
	for (;;)
	{
		rd_kafka_resp_err_t err = rd_kafka_producev(
			rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, key_length),
			RD_KAFKA_V_VALUE((void *) value, length), RD_KAFKA_V_OPAQUE((void *) (intptr_t) number),
			RD_KAFKA_V_END);

		if (!err)
			break;
		if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			die("produce: %s", rd_kafka_err2str(err));
		if (interrupted)
			die("interrupted");
		rd_kafka_poll(rk, 100);
	}
	rd_kafka_poll(rk, 0);
}

/* A process in the background does not outlive its script or test. */
static void
end_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
}

static void
finish_producing(rd_kafka_t *rk)
{
	while (rd_kafka_outq_len(rk) > 0 && failed_deliveries == 0)
	{
		rd_kafka_poll(rk, 100);
		if (interrupted && rd_kafka_flush(rk, 3000) != RD_KAFKA_RESP_ERR_NO_ERROR)
			die("interrupted; %d records are not acknowledged", rd_kafka_outq_len(rk));
	}
	if (failed_deliveries > 0)
		die("%" PRId64 " records were not acknowledged; the first: %s", failed_deliveries,
			first_failure);
}

static size_t
decode_hex(char *line, size_t length)
{
	size_t bytes = length / 2;

	if (length % 2 != 0)
		die("a hexadecimal line has an odd length");
	for (size_t i = 0; i < bytes; i++)
	{
		unsigned value;

		if (sscanf(line + 2 * i, "%2x", &value) != 1)
			die("a hexadecimal line has something else in it");
		line[i] = (char) value;
	}
	return bytes;
}

static void
check_transaction(const char *step, rd_kafka_error_t *error)
{
	if (error)
		die("%s: %s", step, rd_kafka_error_string(error));
}

static void
begin_transaction(rd_kafka_t *rk)
{
	check_transaction("init_transactions", rd_kafka_init_transactions(rk, TIMEOUT_MS));
	check_transaction("begin_transaction", rd_kafka_begin_transaction(rk));
}

static void
end_transaction(rd_kafka_t *rk, const char *end)
{
	if (strcmp(end, "abort") == 0)
		check_transaction("abort_transaction", rd_kafka_abort_transaction(rk, TIMEOUT_MS));
	else
		check_transaction("commit_transaction", rd_kafka_commit_transaction(rk, TIMEOUT_MS));
}

static void
produce_lines(rd_kafka_t *rk, const char *topic, int argc, char **argv)
{
	int64_t fixed_partition = -1;
	const char *separator = NULL;
	const char *transaction = NULL;
	bool hex = false;
	int partitions = partitions_or_die(rk, topic);
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	int64_t count = 0;

	for (int i = 0; i < argc; i++)
	{
		if (strcmp(argv[i], "--hex") == 0)
			hex = true;
		else if (strcmp(argv[i], "--partition") == 0 && i + 1 < argc)
			fixed_partition = integer_argument("--partition", argv[++i]);
		else if (strcmp(argv[i], "--key") == 0 && i + 1 < argc)
			separator = argv[++i];
		else if (strcmp(argv[i], "--transaction") == 0 && i + 1 < argc)
			transaction = argv[++i];
		else
			die("produce: unknown option \"%s\"", argv[i]);
	}

	end_with_parent();
	if (transaction)
		begin_transaction(rk);
	while ((length = getline(&line, &capacity, stdin)) >= 0)
	{
		int partition = (int) (fixed_partition >= 0 ? fixed_partition : count % partitions);
		char *value = line;
		char *key = NULL;
		size_t key_length = 0;
		size_t value_length = (size_t) length;

		if (value_length > 0 && value[value_length - 1] == '\n')
			value[--value_length] = '\0';
		if (separator != NULL && (value = strstr(line, separator)) != NULL)
		{
			key = line;
			key_length = (size_t) (value - line);
			value += strlen(separator);
			value_length -= (size_t) (value - line);
		}
		else
			value = line;
		if (hex)
		{
			bool tombstone = value_length == 0;

			value_length = decode_hex(value, value_length);
			if (tombstone)
				value = NULL;
		}
		produce(rk, topic, partition, key, key_length, value, value_length, count);
		count++;
	}
	free(line);
	finish_producing(rk);
	if (transaction)
		end_transaction(rk, transaction);
	printf("produced %" PRId64 "\n", count);
}

/* --- payments ----------------------------------------------------------------------------------- */

struct payments
{
	int64_t records;
	int64_t rate;
	int64_t start;
	int64_t density;
	int64_t disorder;
	int64_t first;
	int64_t duplicates;
	int64_t garbage;
	uint64_t seed;
	const char *csv_name;
	bool csv_only;
	const char *acks_name;

	uint64_t random_state;
	FILE *csv;
	int64_t duplicated;
	int64_t garbage_produced;
};

struct payment
{
	int64_t order;
	int64_t event_ms; /* since 1970 */
	double amount;
	int platform;
	int province;
};

/* splitmix64 (Steele, Lea, Flood 2014): the same numbers everywhere. */
static uint64_t
next_random(struct payments *run)
{
	uint64_t z = (run->random_state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static void
payments_options(struct payments *run, int argc, char **argv)
{
	struct
	{
		const char *name;
		int64_t *value;
	} numbers[] = {
		{"--records", &run->records},		{"--rate", &run->rate},
		{"--start", &run->start},			{"--density", &run->density},
		{"--disorder", &run->disorder},		{"--first", &run->first},
		{"--garbage", &run->garbage},		{"--seed", (int64_t *) &run->seed},
		{"--duplicates", &run->duplicates},
	};

	for (int i = 0; i < argc; i++)
	{
		bool known = false;

		for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]) && i + 1 < argc; n++)
		{
			if (strcmp(argv[i], numbers[n].name) == 0)
			{
				*numbers[n].value = integer_argument(argv[i], argv[i + 1]);
				known = true;
			}
		}
		if (known)
			i++;
		else if (strcmp(argv[i], "--csv") == 0 && i + 1 < argc)
			run->csv_name = argv[++i];
		else if (strcmp(argv[i], "--csv-only") == 0)
			run->csv_only = true;
		else if (strcmp(argv[i], "--acks") == 0 && i + 1 < argc)
			run->acks_name = argv[++i];
		else
			die("payments: unknown option \"%s\"", argv[i]);
	}
	if (run->density == 0)
		die("--density: 0 is not a density");
}

/* The order of record `number`: the next one, or again one of those before. */
static int64_t
next_order(struct payments *run, int64_t number)
{
	int64_t orders = number - run->duplicated;

	if (run->duplicates == 0 || orders == 0 || next_random(run) % 100 >= (uint64_t) run->duplicates)
		return run->first + orders;
	run->duplicated++;
	return run->first + (int64_t) (next_random(run) % (uint64_t) orders);
}

static void
next_payment(struct payments *run, int64_t number, struct payment *payment)
{
	uint64_t random = next_random(run);

	payment->order = next_order(run, number);
	payment->event_ms = run->rate > 0 ? (int64_t) (seconds_now() * 1000)
									  : run->start * 1000 + number * 1000 / run->density;
	if (run->disorder > 0)
		payment->event_ms -= (int64_t) (next_random(run) % (uint64_t) (run->disorder + 1));
	payment->amount = (double) (random >> 11) / 9007199254740992.0 * 100000;
	payment->platform = (int) (next_random(run) % 2);
	payment->province = (int) (next_random(run) % 34);
}

static void
format_time(int64_t ms, char *text, size_t size)
{
	time_t seconds = (time_t) (ms / 1000);
	struct tm parts;
	size_t used;

	gmtime_r(&seconds, &parts);
	used = strftime(text, size, "%Y-%m-%d %H:%M:%S", &parts);
	snprintf(text + used, size - used, ".%03d", (int) (ms % 1000));
}

/* The shortest of 15 to 17 digits that reads back as the same double. */
static void
format_amount(double amount, char *text, size_t size)
{
	for (int digits = 15; digits <= 17; digits++)
	{
		snprintf(text, size, "%.*g", digits, amount);
		if (strtod(text, NULL) == amount)
			return;
	}
}

/* A record that can't become a row of the quick start's table: kinds in turn. Returns its length. */
static size_t
garbage_record(int64_t kind, int64_t order, char *value)
{
	switch (kind % 9)
	{
		case 0: /* no JSON at all */
			return (size_t) sprintf(value, "not json %" PRId64, order);
		case 1: /* cut off */
			return (size_t) sprintf(value,
									"{\"createTime\": \"2023-09-20 22:19:02.224\", \"orderId\": ");
		case 2: /* a value of the wrong type */
			return (size_t) sprintf(
				value, "{\"createTime\": \"2023-09-20 22:19:02.224\", \"orderId\": \"x\"}");
		case 3: /* no event time */
			return (size_t) sprintf(value, "{\"createTime\": null, \"orderId\": %" PRId64 "}",
									order);
		case 4: /* an event time that would drag the watermark along */
			return (size_t) sprintf(
				value, "{\"createTime\": \"99999-01-01 00:00:00\", \"orderId\": %" PRId64 "}",
				order);
		case 5: /* a long string where a number belongs */
		{
			size_t used = (size_t) sprintf(
				value, "{\"createTime\": \"2023-09-20 22:19:02.224\", \"orderId\": \"");

			memset(value + used, 'x', BIG_STRING);
			memcpy(value + used + BIG_STRING, "\"}", 2);
			return used + BIG_STRING + 2;
		}
		case 6: /* a NUL byte */
			memcpy(value, "{\"createTime\": \"2023\0-09-20\"}", 28);
			return 28;
		case 7: /* invalid UTF-8 */
			return (size_t) sprintf(value, "{\"createTime\": \"2023-09-20 22:19:02.224\", "
										   "\"orderId\": 1, \"x\": \"\xff\xfe\"}");
		default: /* JSON, but no object */
			return (size_t) sprintf(value, "[1, 2, 3]");
	}
}

static void
send_payment(struct payments *run, rd_kafka_t *rk, const char *topic, int partition,
			 const struct payment *payment)
{
	char time_text[64];
	char amount_text[64];
	char key[16];
	char value[512];
	int length;

	format_time(payment->event_ms, time_text, sizeof(time_text));
	format_amount(payment->amount, amount_text, sizeof(amount_text));
	if (run->csv != NULL)
		fprintf(run->csv, "%s,%" PRId64 ",%s,%d,%d\n", time_text, payment->order, amount_text,
				payment->platform, payment->province);
	if (run->csv_only)
		return;
	snprintf(key, sizeof(key), "%d", payment->province);
	length = snprintf(value, sizeof(value),
					  "{\"createTime\": \"%s\", \"orderId\": %" PRId64
					  ", \"payAmount\": %s, \"payPlatform\": %d, \"provinceId\": %d}",
					  time_text, payment->order, amount_text, payment->platform, payment->province);
	produce(rk, topic, partition, key, strlen(key), value, (size_t) length, payment->order);
}

/* Waits until record `number` is due, so that the rate is kept over the whole run. */
static void
pace(const struct payments *run, double began, int64_t number, rd_kafka_t *rk)
{
	double wait;

	if (run->rate == 0)
		return;
	while (!interrupted &&
		   (wait = began + (double) number / (double) run->rate - seconds_now()) > 0)
		rd_kafka_poll(rk, wait > 0.05 ? 50 : (int) (wait * 1000) + 1);
}

static void
produce_payments(rd_kafka_t *rk, const char *topic, int argc, char **argv)
{
	struct payments run = {
		.records = 1000, .start = 1695248342, .density = 1000, .first = 1, .seed = 1};
	char *garbage = malloc(BIG_STRING + 256);
	double began = seconds_now();
	int partitions = 1;
	int64_t number;

	end_with_parent();
	payments_options(&run, argc, argv);
	run.random_state = run.seed;
	if (!run.csv_only)
		partitions = partitions_or_die(rk, topic);
	if (run.csv_name != NULL && (run.csv = fopen(run.csv_name, "w")) == NULL)
		die("%s: %s", run.csv_name, strerror(errno));
	if (run.acks_name != NULL && (acknowledgements = fopen(run.acks_name, "w")) == NULL)
		die("%s: %s", run.acks_name, strerror(errno));
	if (garbage == NULL)
		die("out of memory");

	for (number = 0; (run.records == 0 || number < run.records) && !interrupted; number++)
	{
		int partition = (int) (number % partitions);
		struct payment payment;

		pace(&run, began, number, rk);
		next_payment(&run, number, &payment);
		if (run.garbage > 0 && next_random(&run) % 100 < (uint64_t) run.garbage)
			produce(rk, topic, partition, NULL, 0, garbage,
					garbage_record(run.garbage_produced++, payment.order, garbage), payment.order);
		else
			send_payment(&run, rk, topic, partition, &payment);
	}
	free(garbage);
	if (run.csv != NULL && fclose(run.csv) != 0)
		die("%s: %s", run.csv_name, strerror(errno));
	finish_producing(rk);
	if (acknowledgements != NULL && fclose(acknowledgements) != 0)
		die("%s: %s", run.acks_name, strerror(errno));
	printf("produced %" PRId64 " garbage %" PRId64 "\n", number - run.garbage_produced,
		   run.garbage_produced);
}

/* --- consuming ---------------------------------------------------------------------------------- */

static rd_kafka_t *
connect_consumer(const char *broker)
{
	char error[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;

	set_property(conf, "bootstrap.servers", broker);
	set_property(conf, "log_level", "0");
	set_property(conf, "isolation.level", "read_committed");
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof(error));
	if (rk == NULL)
		die("%s", error);
	return rk;
}

static void
print_key(const rd_kafka_message_t *message, int64_t microseconds)
{
	if (message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
		die("consume: %s", rd_kafka_message_errstr(message));
	if (!message->err)
		printf("%.*s,%" PRId64 "\n", (int) message->key_len,
			   message->key ? (const char *) message->key : "", microseconds);
}

static void
consume(const char *broker, const char *topic_name, int partitions, int64_t seconds)
{
	rd_kafka_t *rk = connect_consumer(broker);
	rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, topic_name, NULL);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	double deadline = seconds_now() + (double) seconds;

	end_with_parent();
	for (int32_t i = 0; i < partitions; i++)
		if (rd_kafka_consume_start_queue(topic, i, RD_KAFKA_OFFSET_BEGINNING, queue) != 0)
			die("consume: %s", rd_kafka_err2str(rd_kafka_last_error()));
	while (!interrupted && seconds_now() < deadline)
	{
		rd_kafka_message_t *message = rd_kafka_consume_queue(queue, 100);

		if (message == NULL)
			continue;
		print_key(message, (int64_t) (seconds_now() * 1e6));
		rd_kafka_message_destroy(message);
	}
	for (int32_t i = 0; i < partitions; i++)
		rd_kafka_consume_stop(topic, i);
	rd_kafka_queue_destroy(queue);
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(rk);
}

static void
consume_topic(rd_kafka_t *rk, const char *broker, const char *topic, int argc, char **argv)
{
	int64_t seconds = 10;

	for (int i = 0; i < argc; i++)
	{
		if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
			seconds = integer_argument("--seconds", argv[++i]);
		else
			die("consume: unknown option \"%s\"", argv[i]);
	}
	consume(broker, topic, partitions_or_die(rk, topic), seconds);
}

/* --- main --------------------------------------------------------------------------------------- */

static void
need(int argc, int wanted)
{
	if (argc < wanted)
		die("too few arguments; the top of kafka_client.c lists the commands");
}

int
main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	bool transactional = false;
	bool at_once = false;
	rd_kafka_t *rk;
	int status = 0;

	if (strcmp(command, "free-port") == 0)
		return free_port();
	need(argc, 3);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	for (int i = 4; i < argc; i++)
	{
		transactional |= strcmp(command, "produce") == 0 && strcmp(argv[i], "--transaction") == 0;
		at_once |= strcmp(command, "payments") == 0 && strcmp(argv[i], "--rate") == 0;
	}
	rk = connect_to(argv[2], transactional, at_once);
	if (strcmp(command, "ready") == 0)
		status =
			wait_until_ready(rk, argc > 3 ? (double) integer_argument("SECONDS", argv[3]) : 60);
	else if (need(argc, 4), strcmp(command, "ends") == 0)
		print_ends(rk, argv[3]);
	else if (strcmp(command, "delete") == 0)
		delete_topic(rk, argv[3]);
	else if (strcmp(command, "produce") == 0)
		produce_lines(rk, argv[3], argc - 4, argv + 4);
	else if (strcmp(command, "payments") == 0)
		produce_payments(rk, argv[3], argc - 4, argv + 4);
	else if (strcmp(command, "consume") == 0)
		consume_topic(rk, argv[2], argv[3], argc - 4, argv + 4);
	else if (need(argc, 5), strcmp(command, "topic") == 0)
		create_topic(rk, argv[3], (int) integer_argument("PARTITIONS", argv[4]));
	else if (strcmp(command, "partitions") == 0)
		add_partitions(rk, argv[3], (int) integer_argument("TOTAL", argv[4]));
	else if (need(argc, 6), strcmp(command, "trim") == 0)
		trim_partition(rk, argv[3], (int32_t) integer_argument("PARTITION", argv[4]),
					   integer_argument("OFFSET", argv[5]));
	else
		die("unknown command \"%s\"", command);
	rd_kafka_destroy(rk);
	return status;
}
