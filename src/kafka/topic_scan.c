/*
 * topic_scan.c: reading a topic with SELECT.
 *
 * A scan asks the broker, when its first row is wanted, where each partition begins and ends, and
 * reads what lies between: so it ends, however fast others produce. It never takes silence for the
 * end. A partition is done when a record at or after its end comes, or the broker says that there
 * is nothing more (which it does past compacted records and aborted transactions too, whose offsets
 * no record has). If neither comes within broker_timeout, the statement fails.
 *
 * A rescan returns the same rows: the second reading of a topic is kept in a tuple store (in memory
 * up to work_mem, then on disk), from which all further ones are answered. A record that can't be
 * decoded fails the statement, with its partition and offset in the error's context.
 */
#include "tidemark.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "format/decoder.h"
#include "kafka/consumer.h"
#include "kafka/option.h"
#include "kafka/topic.h"
#include "kafka/topic_bound.h"

#define SCAN_BATCH 1000
#define POLL_MS 500

typedef struct TopicScan
{
	MemoryContext context; /* the consumer's, and the scan's */
	KafkaConsumer *consumer;
	RecordDecoder *decoder;
	int broker_timeout_ms;

	int n_partitions;
	ScanPartition *partitions;
	int n_open; /* partitions that are not done */
	ScanBounds *bounds;

	/* Rows for rescans. */
	Tuplestorestate *store; /* NULL: never rescanned */
	bool store_complete;	/* rows come from the store */
	TupleTableSlot *store_slot;

	KafkaRecord records[SCAN_BATCH];
	int n_records;
	int next_record;
} TopicScan;

static void
topic_explain_scan(ForeignScanState *node, ExplainState *es)
{
	List *bounds = scan_bounds_names(node);

	topic_explain(RelationGetRelid(node->ss.ss_currentRelation), es);
	if (bounds != NIL)
		ExplainPropertyList("Bounded By", bounds, es);
}

/* Whose rights the scan has: its view's owner's, or the current user's. */
static Oid
scan_user(ForeignScanState *node)
{
	Oid user = scan_checks_as_user(node);

	return OidIsValid(user) ? user : GetUserId();
}

/* The columns that the query needs, as the decoder takes them: 0 for the others. */
static AttrNumber *
wanted_columns(ForeignScanState *node)
{
	List *needed = TOPIC_PLAN_COLUMNS((ForeignScan *) node->ss.ps.plan);
	TupleDesc desc = RelationGetDescr(node->ss.ss_currentRelation);
	AttrNumber *columns = palloc0(sizeof(AttrNumber) * Max(desc->natts, 1));

	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped &&
			(list_member_int(needed, i + 1) || list_member_int(needed, 0)))
			columns[i] = i + 1;
	}
	return columns;
}

static void
topic_begin_scan(ForeignScanState *node, int eflags)
{
	Oid foreign_table = RelationGetRelid(node->ss.ss_currentRelation);
	MemoryContext context;
	MemoryContext old;
	TopicScan *scan;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	context = AllocSetContextCreate(node->ss.ps.state->es_query_cxt, "tidemark topic scan",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	scan = palloc0(sizeof(TopicScan));
	scan->context = context;
	scan->broker_timeout_ms = broker_timeout_get(foreign_table);
	scan->decoder = record_decoder_create(
		foreign_table, RelationGetDescr(node->ss.ss_currentRelation), wanted_columns(node));
	scan->bounds = scan_bounds_prepare(node);
	MemoryContextSwitchTo(old);
	node->fdw_state = scan;
}

static void
refuse_answer(const TopicScan *scan, const char *reason)
{
	topic_refuse_answer("read", kafka_consumer_topic(scan->consumer), reason);
}

/* Asks where each partition begins and ends now, and narrows that by the conditions. */
static void
find_bounds(ForeignScanState *node, TopicScan *scan)
{
	char *error = NULL;
	int n = kafka_consumer_partitions(scan->consumer, scan->broker_timeout_ms, &error);
	int64 *first;
	int64 *end;

	if (n < 0)
		refuse_answer(scan, error);
	if (n == 0)
		topic_refuse_missing(kafka_consumer_topic(scan->consumer));
	first = palloc(sizeof(int64) * n);
	end = palloc(sizeof(int64) * n);
	if (!kafka_consumer_all_watermarks(scan->consumer, n, first, end, scan->broker_timeout_ms,
									   &error))
		refuse_answer(scan, error);
	scan->n_partitions = n;
	scan->partitions = palloc0(sizeof(ScanPartition) * n);
	for (int i = 0; i < n; i++)
	{
		scan->partitions[i].first = first[i];
		scan->partitions[i].end = end[i];
	}
	if (!scan_bounds_apply(scan->bounds, node, scan->consumer, n, scan->partitions,
						   scan->broker_timeout_ms, &error))
		refuse_answer(scan, error);
}

/* Starts, or starts again, to read each partition that has something from its first to its end. */
static void
assign_bounds(TopicScan *scan)
{
	int32 *partitions = palloc(sizeof(int32) * scan->n_partitions);
	int64 *offsets = palloc(sizeof(int64) * scan->n_partitions);

	scan->n_open = 0;
	for (int i = 0; i < scan->n_partitions; i++)
	{
		ScanPartition *partition = &scan->partitions[i];

		partition->done = partition->first >= partition->end;
		if (partition->done)
			continue;
		partitions[scan->n_open] = i;
		offsets[scan->n_open++] = partition->first;
	}
	kafka_consumer_assign(scan->consumer, scan->n_open, partitions, offsets);
	pfree(partitions);
	pfree(offsets);
}

static void
start_reading(ForeignScanState *node, TopicScan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->context);

	scan->consumer =
		kafka_consumer_open(RelationGetRelid(node->ss.ss_currentRelation), scan_user(node));
	find_bounds(node, scan);
	assign_bounds(scan);
	MemoryContextSwitchTo(old);
}

static void
close_partition(TopicScan *scan, ScanPartition *partition)
{
	if (partition->done)
		return;
	partition->done = true;
	scan->n_open--;
}

/* After a poll: which partitions are past their end, or have nothing more. */
static void
close_finished(TopicScan *scan)
{
	for (int i = 0; i < scan->n_partitions; i++)
	{
		ScanPartition *partition = &scan->partitions[i];

		if (!partition->done && (kafka_consumer_at_end(scan->consumer, i) ||
								 kafka_consumer_position(scan->consumer, i) >= partition->end))
			close_partition(scan, partition);
	}
}

/* Trouble that librdkafka does not cure by itself. */
static void
check_trouble(const TopicScan *scan, const KafkaTrouble *trouble)
{
	if (trouble->offset_lost)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("offset %lld of partition %d of topic \"%s\" is no longer on the broker",
						(long long) trouble->offset, trouble->partition,
						kafka_consumer_topic(scan->consumer)),
				 errdetail("%s", trouble->message),
				 errhint("The broker deleted it during the scan. Run the statement again.")));
	if (trouble->partition >= 0 || trouble->code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
		trouble->code == RD_KAFKA_RESP_ERR__SSL)
		refuse_answer(scan, trouble->message);
}

/* The next batch; false at the end of all partitions. */
static bool
read_batch(TopicScan *scan)
{
	instr_time start;
	KafkaTrouble last_trouble = {0};

	INSTR_TIME_SET_CURRENT(start);
	scan->next_record = 0;
	scan->n_records = 0;
	while (scan->n_open > 0)
	{
		int open_before = scan->n_open;
		KafkaTrouble trouble;
		instr_time passed;

		scan->n_records =
			kafka_consumer_poll(scan->consumer, scan->records, SCAN_BATCH, POLL_MS, &trouble);
		check_trouble(scan, &trouble);
		if (trouble.code != 0)
			last_trouble = trouble;
		close_finished(scan);
		if (scan->n_records > 0)
			return true;
		if (scan->n_open < open_before)
			INSTR_TIME_SET_CURRENT(start);

		INSTR_TIME_SET_CURRENT(passed);
		INSTR_TIME_SUBTRACT(passed, start);
		if (scan->n_open > 0 && INSTR_TIME_GET_MILLISEC(passed) > scan->broker_timeout_ms)
			refuse_answer(scan, last_trouble.code != 0
									? last_trouble.message
									: psprintf("The broker sent nothing for %d ms.",
											   scan->broker_timeout_ms));
	}
	return false;
}

static void
say_record(void *arg)
{
	const KafkaRecord *record = arg;

	errcontext("topic \"%s\", partition %d, offset %lld", kafka_consumer_topic(record->consumer),
			   record->partition, (long long) record->offset);
}

static void
fill_slot(TopicScan *scan, KafkaRecord *record, TupleTableSlot *slot)
{
	ErrorContextCallback where = {error_context_stack, say_record, record};

	error_context_stack = &where;
	record_decode(scan->decoder, record, slot->tts_values, slot->tts_isnull);
	error_context_stack = where.previous;
	ExecStoreVirtualTuple(slot);
}

/* The record of the last row is kept until now: its values may point into it. */
static KafkaRecord *
next_record(TopicScan *scan)
{
	if (scan->next_record > 0)
		kafka_record_release(&scan->records[scan->next_record - 1]);
	for (;;)
	{
		KafkaRecord *record;

		if (scan->next_record == scan->n_records && !read_batch(scan))
			return NULL;
		if (scan->next_record == scan->n_records)
			continue;
		record = &scan->records[scan->next_record++];
		if (record->offset < scan->partitions[record->partition].end)
			return record;
		kafka_record_release(record);
	}
}

/* The next row that an earlier reading has kept. */
static void
replay_row(TopicScan *scan, TupleTableSlot *slot)
{
	int n = slot->tts_tupleDescriptor->natts;

	if (!tuplestore_gettupleslot(scan->store, true, false, scan->store_slot))
		return;
	slot_getallattrs(scan->store_slot);
	memcpy(slot->tts_values, scan->store_slot->tts_values, sizeof(Datum) * n);
	memcpy(slot->tts_isnull, scan->store_slot->tts_isnull, sizeof(bool) * n);
	ExecStoreVirtualTuple(slot);
}

static TupleTableSlot *
topic_iterate_scan(ForeignScanState *node)
{
	TopicScan *scan = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	KafkaRecord *record;

	ExecClearTuple(slot);
	if (scan->store_complete)
	{
		replay_row(scan, slot);
		return slot;
	}
	if (scan->consumer == NULL)
		start_reading(node, scan);
	record = next_record(scan);
	if (record)
		fill_slot(scan, record, slot);
	if (scan->store && record)
		tuplestore_puttupleslot(scan->store, slot);
	else if (scan->store)
		scan->store_complete = true;
	return slot;
}

/* Reads again from the broker, into the store this time. */
static void
start_store(ForeignScanState *node, TopicScan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->context);

	if (scan->store)
		tuplestore_clear(scan->store);
	else
	{
		scan->store = tuplestore_begin_heap(false, false, work_mem);
		scan->store_slot = MakeSingleTupleTableSlot(node->ss.ss_ScanTupleSlot->tts_tupleDescriptor,
													&TTSOpsMinimalTuple);
	}
	assign_bounds(scan);
	MemoryContextSwitchTo(old);
}

static void
release_batch(TopicScan *scan)
{
	for (int i = Max(scan->next_record - 1, 0); i < scan->n_records; i++)
	{
		if (scan->records[i].message)
			kafka_record_release(&scan->records[i]);
	}
	scan->n_records = 0;
	scan->next_record = 0;
}

static void
topic_rescan(ForeignScanState *node)
{
	TopicScan *scan = node->fdw_state;

	if (scan->consumer == NULL)
		return;
	if (scan->store_complete)
	{
		tuplestore_rescan(scan->store);
		return;
	}
	release_batch(scan);
	start_store(node, scan);
}

static void
topic_end_scan(ForeignScanState *node)
{
	TopicScan *scan = node->fdw_state;

	if (scan == NULL)
		return;
	ExecClearTuple(node->ss.ss_ScanTupleSlot);
	if (scan->store)
	{
		ExecDropSingleTupleTableSlot(scan->store_slot);
		tuplestore_end(scan->store);
	}
	MemoryContextDelete(scan->context); /* closes the consumer, and frees its records */
	node->fdw_state = NULL;
}

void
topic_scan_callbacks(FdwRoutine *routine)
{
	routine->BeginForeignScan = topic_begin_scan;
	routine->IterateForeignScan = topic_iterate_scan;
	routine->ReScanForeignScan = topic_rescan;
	routine->EndForeignScan = topic_end_scan;
	routine->ExplainForeignScan = topic_explain_scan;
}
