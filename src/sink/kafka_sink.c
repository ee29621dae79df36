/*
 * kafka_sink.c: a Kafka topic as a sink's target.
 *
 * The producer is transactional. Its id, and the group whose committed offset is the sink's position, are one name that no other sink of
 * any server has: tidemark-<system identifier>-<database>-<sink>. A newer producer of that id fences an older one, so that of two
 * processes for one sink only the newer gets anything committed. See kafka/transaction.c.
 */
#include "tidemark.h"

#include "access/xlog.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "format/encoder.h"
#include "kafka/transaction.h"
#include "sink/sink.h"
#include "sink/upsert.h"

#define ASK_BROKER_MS 5000

/* A record's header: all rows that became final up to this event time were sent before it. */
#define WATERMARK_HEADER "tidemark-watermark"

/* Another one, of corrections that are marked: "insert" or "delete". */
#define OP_HEADER "tidemark-op"

typedef struct KafkaSink
{
	char *name; /* transactional id and group */
	KafkaProducer *producer;
	RecordEncoder *encoder;
	UpsertBuffer *corrections; /* of this portion; mode upsert */
	int64 sent;				   /* records, in this transaction */
} KafkaSink;

static void
open_target(Sink *sink)
{
	KafkaSink *state = palloc0(sizeof(KafkaSink));

	sink->state = state;
	state->name =
		psprintf("tidemark-" UINT64_FORMAT "-%u-%d", GetSystemIdentifier(), MyDatabaseId, sink->id);
	state->encoder = record_encoder_create(sink->topic, sink->feed.desc, sink->columns.attnums);
	state->corrections = upsert_buffer_create();
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
	KafkaSink *state = sink->state;

	kafka_transaction_begin(state->producer);
	state->sent = 0;
}

static void
add_header(OutgoingRecord *record, const char *name, const char *text)
{
	if (record->n_headers == 0)
		record->headers = palloc(sizeof(OutgoingHeader));
	else
		record->headers =
			repalloc(record->headers, sizeof(OutgoingHeader) * (record->n_headers + 1));
	record->headers[record->n_headers++] =
		(OutgoingHeader){.name = name, .value = text, .value_len = strlen(text)};
}

static void
send_record(OutgoingRecord *record, void *arg)
{
	KafkaSink *state = arg;

	kafka_producer_send(state->producer, record);
	state->sent++;
}

/* The record's key, where the sink has one of its own: the last column. */
static void
set_key(Sink *sink, TupleTableSlot *slot, OutgoingRecord *record)
{
	int i = sink->columns.n - 1;
	text *key;

	if (sink->key && !slot->tts_isnull[i])
	{
		key = DatumGetTextPP(slot->tts_values[i]);
		record->key_len = VARSIZE_ANY_EXHDR(key);
		record->key = pg_server_to_any(VARDATA_ANY(key), record->key_len, PG_UTF8);
		if (record->key != VARDATA_ANY(key))
			record->key_len = strlen(record->key);
	}
	if (record->key == NULL && sink->mode == SINK_UPSERT)
		ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION),
						errmsg("a row of view \"%s\" has no key: the key's column is null",
							   sink->view_name),
						errhint("Leave such rows out of the view, or choose another key.")));
}

static void
put(Sink *sink, FeedOp op, TupleTableSlot *slot)
{
	KafkaSink *state = sink->state;
	OutgoingRecord record;
	char *complete = event_time_text(sink->feed.time_type, sink->complete);

	record_encode(state->encoder, slot->tts_values, slot->tts_isnull, &record);
	if (sink->key || sink->mode == SINK_UPSERT)
		set_key(sink, slot, &record);
	if (complete)
		add_header(&record, WATERMARK_HEADER, complete);
	if (op != FEED_FINAL && sink->mode == SINK_UPSERT)
	{
		upsert_buffer_add(state->corrections, op, &record);
		return;
	}
	if (op != FEED_FINAL)
		add_header(&record, OP_HEADER, op == FEED_DELETE ? "delete" : "insert");
	/* corrections come before */
	upsert_buffer_flush(state->corrections, send_record, state);
	send_record(&record, state);
}

static void
commit(Sink *sink, SinkPosition *position)
{
	KafkaSink *state = sink->state;
	KafkaPosition committed;

	upsert_buffer_flush(state->corrections, send_record, state);
	position->records += state->sent;
	committed.number = position->commits;
	committed.text = psprintf("%lld %lld %lld %lld", (long long) position->feed.frontier,
							  (long long) position->feed.seq, (long long) position->records,
							  (long long) position->ignored);
	kafka_transaction_commit(state->producer, state->name, &committed);
	pfree(committed.text);
}

const SinkTarget kafka_sink = {.open = open_target,
							   .is_there = is_there,
							   .read_position = read_position,
							   .begin = begin,
							   .put = put,
							   .commit = commit};
