/*
 * kafka_sink.c: a Kafka topic as a sink's target.
 *
 * The producer is transactional. Its id, and the group whose committed offset is the sink's position, are one name that no other sink of
 * any server has: tidemark-<system identifier>-<database>-<sink>. A newer producer of that id fences an older one, so that of two
 * processes for one sink only the newer gets anything committed. See kafka/transaction.c.
 */
#include "tidemark.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "format/encoder.h"
#include "kafka/transaction.h"
#include "sink/sink.h"

#define ASK_BROKER_MS 5000

/* A record's header: all rows that became final up to this event time were sent before it. */
#define WATERMARK_HEADER "tidemark-watermark"

typedef struct KafkaSink
{
	char *name; /* transactional id and group */
	KafkaProducer *producer;
	RecordEncoder *encoder;
} KafkaSink;

static void
open_target(Sink *sink)
{
	KafkaSink *state = palloc0(sizeof(KafkaSink));
	AttrNumber *attnums;
	int n;

	sink->state = state;
	state->name =
		psprintf("tidemark-" UINT64_FORMAT "-%u-%d", GetSystemIdentifier(), MyDatabaseId, sink->id);
	(void) sink_columns(sink->view, sink->topic, &attnums, &n);
	state->encoder = record_encoder_create(sink->topic, sink->feed.desc, attnums);
	state->producer = kafka_producer_open_transactional(sink->topic, sink->role, state->name);
}

static bool
is_there(Sink *sink, char **error, bool *missing)
{
	KafkaSink *state = sink->state;
	int n = kafka_producer_partitions(state->producer, ASK_BROKER_MS, error);

	*missing = n == 0;
	if (n == 0)
		*error = psprintf("topic \"%s\" does not exist", kafka_producer_topic(state->producer));
	return n > 0;
}

static bool
read_position(Sink *sink, SinkPosition *position, bool *found, char **error)
{
	KafkaSink *state = sink->state;
	KafkaPosition committed;
	long long frontier;
	long long seq;
	long long records;
	long long ignored;

	if (!kafka_transactions_init(state->producer, ASK_BROKER_MS, error) ||
		!kafka_position_read(sink->topic, sink->role, state->name, &committed, ASK_BROKER_MS,
							 error))
		return false;
	*found = committed.number >= 0;
	if (!*found)
		return true;
	if (sscanf(committed.text, "%lld %lld %lld %lld", &frontier, &seq, &records, &ignored) != 4)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("the position of group \"%s\" can't be read: \"%s\"", state->name,
							   committed.text)));
	*position = (SinkPosition){.feed = {.frontier = frontier, .seq = seq},
							   .commits = committed.number,
							   .records = records,
							   .ignored = ignored};
	return true;
}

static void
begin(Sink *sink)
{
	kafka_transaction_begin(((KafkaSink *) sink->state)->producer);
}

static void
add_watermark(Sink *sink, OutgoingRecord *record)
{
	char *text = event_time_text(sink->feed.time_type, sink->complete);

	if (text == NULL)
		return;
	if (record->n_headers == 0)
		record->headers = palloc(sizeof(OutgoingHeader));
	else
		record->headers =
			repalloc(record->headers, sizeof(OutgoingHeader) * (record->n_headers + 1));
	record->headers[record->n_headers++] =
		(OutgoingHeader){.name = WATERMARK_HEADER, .value = text, .value_len = strlen(text)};
}

static void
put(Sink *sink, FeedOp op, TupleTableSlot *slot)
{
	KafkaSink *state = sink->state;
	OutgoingRecord record;

	record_encode(state->encoder, slot->tts_values, slot->tts_isnull, &record);
	add_watermark(sink, &record);
	kafka_producer_send(state->producer, &record);
}

static void
commit(Sink *sink, const SinkPosition *position)
{
	KafkaSink *state = sink->state;
	KafkaPosition committed = {
		.number = position->commits,
		.text = psprintf("%lld %lld %lld %lld", (long long) position->feed.frontier,
						 (long long) position->feed.seq, (long long) position->records,
						 (long long) position->ignored)};

	kafka_transaction_commit(state->producer, state->name, &committed);
	pfree(committed.text);
}

const SinkTarget kafka_sink = {.open = open_target,
							   .is_there = is_there,
							   .read_position = read_position,
							   .begin = begin,
							   .put = put,
							   .commit = commit};
