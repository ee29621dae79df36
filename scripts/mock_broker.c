/*
 * mock_broker.c: an embedded Kafka broker, for the demo: librdkafka's mock cluster in a process of its own.
 *
 *   mock_broker TOPIC PARTITIONS [TOPIC PARTITIONS...]
 *
 * Prints its address (HOST:PORT, on the loopback, a port that is free) on a line of its own and serves the real
 * protocol until SIGTERM, SIGINT, or the end of its standard input, so that it never outlives who started it.
 *
 * What it can't: keep more than about 5 MB a partition (the oldest records go, as with retention), find an offset by
 * time, keep offsets that are committed in transactions, hide what they abort, survive its process. Tests of these use a real Kafka (scripts/kafka).
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

static volatile sig_atomic_t stop = 0;

static void
on_signal(int signo)
{
	(void) signo;
	stop = 1;
}

/* Handlers without SA_RESTART: a signal ends the wait. */
static void
catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static void
wait_for_end(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	char ignored[256];

	while (!stop && poll(&input, 1, 1000) >= 0)
	{
		if (input.revents != 0 && read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0)
			break;
		input.revents = 0;
	}
}

int
main(int argc, char **argv)
{
	char error[256];
	rd_kafka_conf_t *conf;
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;

	if (argc < 3 || argc % 2 == 0)
	{
		fprintf(stderr, "usage: mock_broker TOPIC PARTITIONS [TOPIC PARTITIONS...]\n");
		return 2;
	}
	catch_signals();
	conf = rd_kafka_conf_new();
	rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
	if (rk == NULL)
	{
		fprintf(stderr, "mock_broker: %s\n", error);
		return 1;
	}
	cluster = rd_kafka_mock_cluster_new(rk, 1);
	for (int i = 1; i + 1 < argc; i += 2)
	{
		rd_kafka_resp_err_t err =
			rd_kafka_mock_topic_create(cluster, argv[i], atoi(argv[i + 1]), 1);

		if (err)
		{
			fprintf(stderr, "mock_broker: topic \"%s\": %s\n", argv[i], rd_kafka_err2str(err));
			return 1;
		}
	}
	printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
	fflush(stdout);

	wait_for_end();
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(rk);
	return 0;
}
