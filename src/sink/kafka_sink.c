/*
 * kafka_sink.c: a Kafka topic as a sink's target.
 *
 * Exactly once: the producer is transactional. Its id, and the group whose committed offset is the sink's position, are one name that no other sink of
 * any server has: tidemark-<system identifier>-<database>-<sink>. A newer producer of that id fences an older one, so that of two
 * processes for one sink only the newer gets anything committed. See kafka/transaction.c.
 *
 * At least once: the producer is idempotent only, and a commit is that the broker has acknowledged all records.
 */
#include "tidemark.h"

#include "access/xlog.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "format/encoder.h"
#include "format/value.h"
#include "kafka/transaction.h"
#include "sink/envelope.h"
#include "sink/sink.h"
#include "sink/upsert.h"

#define ASK_BROKER_MS 5000

/* A record's timestamp is when it was made, which isn't asked for each one: they come by the microsecond. */
#define RECORDS_OF_A_TIME 64

/* A record's header: all rows that became final up to this event time were sent before it. */
#define WATERMARK_HEADER "tidemark-watermark"

/* Another one, of corrections that are marked: "insert" or "delete". */
#define OP_HEADER "tidemark-op"

typedef struct KafkaSink
{
	char *name; /* transactional id and group; NULL: at least once */
	KafkaProducer *producer;
	RecordEncoder *encoder;
	Envelope *envelope;		   /* NULL: a record is its row */
	UpsertBuffer *corrections; /* of this portion; mode upsert */
	int64 sent;				   /* records, in this transaction */
	int64 sent_ms;			   /* when the last ones were, since 1970 */
} KafkaSink;

static KafkaSink *
open_state(Sink *sink)
{
	KafkaSink *state = palloc0(sizeof(KafkaSink));

	sink->state = state;
	state->encoder = record_encoder_create(sink->topic, sink->feed.desc, sink->columns.attnums);
	state->corrections = upsert_buffer_create();
	if (sink->envelope == ENVELOPE_DEBEZIUM)
		state->envelope = envelope_create(sink->view);
	return state;
}

static void
open_exactly_once(Sink *sink)
{
	KafkaSink *state = open_state(sink);

	state->name =
		psprintf("tidemark-" UINT64_FORMAT "-%u-%d", GetSystemIdentifier(), MyDatabaseId, sink->id);
	state->producer = kafka_producer_open_transactional(sink->topic, sink->role, state->name);
}

static void
open_at_least_once(Sink *sink)
{
	open_state(sink)->producer = kafka_producer_open(sink->topic, sink->role);
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

	if (state->name)
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
send_record(KafkaSink *state, OutgoingRecord *record)
{
	if (state->sent % RECORDS_OF_A_TIME == 0)
		state->sent_ms = timestamp_to_ms(GetCurrentTimestamp());
	if (record->timestamp_ms == 0)
		record->timestamp_ms = state->sent_ms;
	kafka_producer_send(state->producer, record);
	state->sent++;
}

/* Sends the change of the record's key from one row to another, of which the record has the payload. */
static void
send_change(OutgoingRecord *record, const UpsertRow *before, const UpsertRow *after, void *arg)
{
	KafkaSink *state = arg;

	if (state->envelope)
	{
		envelope_fill(state->envelope, record, before, after);
		send_record(state, record);
		record->payload = NULL;
		record->payload_len = 0;
	}
	if (state->envelope == NULL || after == NULL)
		send_record(state, record);
}

/* Sends a row that became final, or a correction that is marked. */
static void
send_row(KafkaSink *state, OutgoingRecord *record, FeedOp op)
{
	UpsertRow row = {.bytes = unconstify(char *, record->payload), .len = record->payload_len};

	if (state->envelope)
		envelope_fill(state->envelope, record, op == FEED_DELETE ? &row : NULL,
					  op == FEED_DELETE ? NULL : &row);
	else if (op != FEED_FINAL)
		add_header(record, OP_HEADER, op == FEED_DELETE ? "delete" : "insert");
	send_record(state, record);
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

	record_encode(state->encoder, slot->tts_values, slot->tts_isnull, &record);
	if (sink->key || sink->mode == SINK_UPSERT)
		set_key(sink, slot, &record);
	if (sink->complete)
		add_header(&record, WATERMARK_HEADER, sink->complete);
	if (op != FEED_FINAL && sink->mode == SINK_UPSERT)
	{
		upsert_buffer_add(state->corrections, op, &record);
		return;
	}
	/* corrections come before */
	upsert_buffer_flush(state->corrections, send_change, state);
	send_row(state, &record, op);
}

/* Sends what is left of the corrections, and counts. */
static void
finish_records(KafkaSink *state, SinkPosition *position)
{
	upsert_buffer_flush(state->corrections, send_change, state);
	position->records += state->sent;
}

static void
commit_exactly_once(Sink *sink, SinkPosition *position)
{
	KafkaSink *state = sink->state;
	KafkaPosition committed;

	finish_records(state, position);
	committed.number = position->commits;
	committed.text = psprintf("%lld %lld %lld %lld", (long long) position->feed.frontier,
							  (long long) position->feed.seq, (long long) position->records,
							  (long long) position->ignored);
	kafka_transaction_commit(state->producer, state->name, &committed);
	pfree(committed.text);
}

static void
commit_at_least_once(Sink *sink, SinkPosition *position)
{
	KafkaSink *state = sink->state;

	finish_records(state, position);
	kafka_producer_flush(state->producer);
}

const SinkTarget kafka_sink = {.open = open_exactly_once,
							   .is_there = is_there,
							   .read_position = read_position,
							   .begin = begin,
							   .put = put,
							   .commit = commit_exactly_once};

const SinkTarget kafka_sink_at_least_once = {.open = open_at_least_once,
											 .is_there = is_there,
											 .begin = begin,
											 .put = put,
											 .commit = commit_at_least_once};
