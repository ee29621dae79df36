/*
 * topic.c: a Kafka topic as a foreign table.
 *
 * A scan asks the broker, when its first row is wanted, where each partition begins and ends, and
 * reads what lies between: so it ends, however fast others produce. It never takes silence for the
 * end. A partition is done when a record at or after its end comes, or the broker says that there
 * is nothing more (which it does past compacted records and aborted transactions too, whose offsets
 * no record has). If neither comes within broker_timeout, the statement fails.
 *
 * Conditions on columns of metadata bound what is read: partition and offset compared with a value,
 * and timestamp with one that it must be at or after (the broker knows the first offset of a time).
 * They are checked again on each row.
 *
 * An INSERT (or COPY, or a row that a partitioned table routes here) produces; the statement ends
 * when the broker has acknowledged all. A rollback does not take records back.
 *
 * A rescan returns the same rows: the second reading of a topic is kept in a tuple store (in memory
 * up to work_mem, then on disk), from which all further ones are answered. A record that can't be
 * decoded fails the statement, with its partition and offset in the error's context.
 */
#include "tidemark.h"

#include "access/stratnum.h"
#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "foreign/fdwapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "portability/instr_time.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#include "format/decoder.h"
#include "format/encoder.h"
#include "format/value.h"
#include "kafka/consumer.h"
#include "kafka/option.h"
#include "kafka/producer.h"

#define SCAN_BATCH 1000
#define POLL_MS 500
#define ROWS_GUESS 100000 /* the planner doesn't ask the broker */

typedef struct ScanPartition
{
	int64 first;
	int64 end; /* exclusive */
	bool done;
} ScanPartition;

/* A condition that bounds what is read, as planned: fdw_private has these, fdw_exprs the values. */
typedef struct ScanBound
{
	RecordMetadata metadata;
	int strategy; /* of btree: column < <= = >= > value */
	Oid type;	  /* the value's */
	ExprState *value;
} ScanBound;

typedef struct TopicScan
{
	MemoryContext context; /* the consumer's, and the scan's */
	KafkaConsumer *consumer;
	RecordDecoder *decoder;
	int broker_timeout_ms;

	int n_partitions;
	ScanPartition *partitions;
	int n_open; /* partitions that are not done */
	int n_bounds;
	ScanBound *bounds;

	/* Rows for rescans. */
	Tuplestorestate *store; /* NULL: never rescanned */
	bool store_complete;	/* rows come from the store */
	TupleTableSlot *store_slot;

	KafkaRecord records[SCAN_BATCH];
	int n_records;
	int next_record;
} TopicScan;

PG_FUNCTION_INFO_V1(tidemark_kafka_handler);

static const char check_broker_hint[] =
	"Check that the broker is running, the server's options (\"bootstrap_servers\", "
	"\"security.protocol\") and the user mapping. The option \"broker_timeout\" says how long to "
	"wait.";

/* ---------------------------------------------------------------------------------------------- */
/* Planning                                                                                       */
/* ---------------------------------------------------------------------------------------------- */

static void
topic_get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid foreign_table)
{
	rel->tuples = ROWS_GUESS;
	set_baserel_size_estimates(root, rel);
}

static void
topic_get_paths(PlannerInfo *root, RelOptInfo *rel, Oid foreign_table)
{
	Cost startup = 10000 * cpu_tuple_cost; /* a connection */
	Cost total = startup + rel->tuples * (cpu_tuple_cost * 2 + rel->baserestrictcost.per_tuple);

	add_path(rel, (Path *) foreignscan_path(root, rel, rel->rows, startup, total));
}

/* Something whose value is known, and the same, throughout the scan. */
static bool
has_running_param(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubPlan) || IsA(node, SubLink))
		return true;
	if (IsA(node, Param))
		return ((Param *) node)->paramkind != PARAM_EXTERN;
	return expression_tree_walker(node, has_running_param, context);
}

static bool
is_fixed(Node *node)
{
	return !contain_var_clause(node) && !contain_volatile_functions(node) &&
		   !has_running_param(node, NULL);
}

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* Which bound, if any, column op value is; METADATA_NONE: none. */
static RecordMetadata
bound_by(Oid foreign_table, const Var *column, Node *value, Oid opno, int *strategy)
{
	TopicOptions table;
	ColumnOptions options;
	Oid family = lookup_type_cache(column->vartype, TYPECACHE_BTREE_OPFAMILY)->btree_opf;

	*strategy = get_op_opfamily_strategy(opno, family);
	if (*strategy == 0 || !is_fixed(value))
		return METADATA_NONE;
	topic_options_get(foreign_table, &table);
	column_options_get(foreign_table, column->varattno, &table, &options);
	switch (options.metadata)
	{
		case METADATA_PARTITION:
		case METADATA_OFFSET:
			return is_integer(exprType(value)) ? options.metadata : METADATA_NONE;
		case METADATA_TIMESTAMP:
			/* Later than a time is at or after it; earlier records may be anywhere. */
			if (*strategy != BTEqualStrategyNumber && *strategy != BTGreaterStrategyNumber &&
				*strategy != BTGreaterEqualStrategyNumber)
				return METADATA_NONE;
			return exprType(value) == column->vartype ||
						   (is_integer(column->vartype) && is_integer(exprType(value)))
					   ? METADATA_TIMESTAMP
					   : METADATA_NONE;
		default:
			return METADATA_NONE;
	}
}

/* Adds the clause to the bounds if it is one. */
static void
add_bound(Oid foreign_table, Index relid, Node *clause, List **kinds, List **values)
{
	OpExpr *op = (OpExpr *) clause;
	Node *left;
	Node *right;
	Oid opno;
	int strategy;
	RecordMetadata metadata;

	if (!IsA(clause, OpExpr) || list_length(op->args) != 2)
		return;
	opno = op->opno;
	left = linitial(op->args);
	right = lsecond(op->args);
	if (!IsA(left, Var))
	{
		left = lsecond(op->args);
		right = linitial(op->args);
		opno = get_commutator(op->opno);
	}
	if (!IsA(left, Var) || ((Var *) left)->varno != (int) relid || ((Var *) left)->varattno <= 0 ||
		!OidIsValid(opno))
		return;
	metadata = bound_by(foreign_table, (Var *) left, right, opno, &strategy);
	if (metadata == METADATA_NONE)
		return;
	*kinds = lappend(*kinds, list_make2_int(metadata, strategy));
	*values = lappend(*values, right);
}

static ForeignScan *
topic_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid foreign_table, ForeignPath *path,
			   List *targets, List *clauses, Plan *outer)
{
	List *kinds = NIL;
	List *values = NIL;
	ListCell *cell;

	clauses = extract_actual_clauses(clauses, false);
	foreach (cell, clauses)
		add_bound(foreign_table, rel->relid, lfirst(cell), &kinds, &values);
	return make_foreignscan(targets, clauses, rel->relid, values, kinds, NIL, NIL, outer);
}

/* ---------------------------------------------------------------------------------------------- */
/* Scanning                                                                                       */
/* ---------------------------------------------------------------------------------------------- */

static void
topic_explain(Oid foreign_table, ExplainState *es)
{
	TopicOptions options;

	topic_options_get(foreign_table, &options);
	ExplainPropertyText("Topic", options.topic, es);
}

static void
topic_explain_scan(ForeignScanState *node, ExplainState *es)
{
	static const char *const names[] = {[METADATA_PARTITION] = "partition",
										[METADATA_OFFSET] = "offset",
										[METADATA_TIMESTAMP] = "timestamp"};
	List *bounds = NIL;
	ListCell *cell;

	topic_explain(RelationGetRelid(node->ss.ss_currentRelation), es);
	foreach (cell, ((ForeignScan *) node->ss.ps.plan)->fdw_private)
		bounds = lappend(bounds, (void *) names[linitial_int((List *) lfirst(cell))]);
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

/* The columns that the query wants, as the decoder takes them: 0 for the others. */
static AttrNumber *
wanted_columns(ForeignScanState *node)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	TupleDesc desc = RelationGetDescr(node->ss.ss_currentRelation);
	AttrNumber *columns = palloc0(sizeof(AttrNumber) * Max(desc->natts, 1));
	Bitmapset *wanted = NULL;
	bool all;

	pull_varattnos((Node *) plan->scan.plan.targetlist, plan->scan.scanrelid, &wanted);
	pull_varattnos((Node *) plan->scan.plan.qual, plan->scan.scanrelid, &wanted);
	all = bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, wanted);
	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped &&
			(all || bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, wanted)))
			columns[i] = i + 1;
	}
	return columns;
}

static void
prepare_bounds(ForeignScanState *node, TopicScan *scan)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	ListCell *kind;
	ListCell *value;

	scan->bounds = palloc0(sizeof(ScanBound) * Max(list_length(plan->fdw_exprs), 1));
	forboth (kind, plan->fdw_private, value, plan->fdw_exprs)
	{
		ScanBound *bound = &scan->bounds[scan->n_bounds++];

		bound->metadata = linitial_int((List *) lfirst(kind));
		bound->strategy = lsecond_int((List *) lfirst(kind));
		bound->type = exprType(lfirst(value));
		bound->value = ExecInitExpr(lfirst(value), (PlanState *) node);
	}
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
	prepare_bounds(node, scan);
	MemoryContextSwitchTo(old);
	node->fdw_state = scan;
}

static pg_noinline void
refuse_answer(const TopicScan *scan, const char *reason)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION),
					errmsg("could not read topic \"%s\"", kafka_consumer_topic(scan->consumer)),
					errdetail("%s", reason), errhint("%s", check_broker_hint)));
}

/* Asks where each partition begins and ends now. */
static void
find_bounds(TopicScan *scan)
{
	char *error = NULL;
	int n = kafka_consumer_partitions(scan->consumer, scan->broker_timeout_ms, &error);
	int64 *first;
	int64 *end;

	if (n < 0)
		refuse_answer(scan, error);
	if (n == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("topic \"%s\" does not exist", kafka_consumer_topic(scan->consumer)),
						errhint("Create it on the broker, or correct the foreign table's option "
								"\"topic\".")));
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
}

/* A value that a partition or an offset is compared with, or milliseconds since 1970. */
static int64
bound_number(const ScanBound *bound, Datum value)
{
	switch (bound->type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return DatumGetInt64(value);
		default:
			return timestamp_to_ms(DatumGetTimestamp(value));
	}
}

static bool
compare_to_bound(int64 number, int strategy, int64 value)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
			return number < value;
		case BTLessEqualStrategyNumber:
			return number <= value;
		case BTEqualStrategyNumber:
			return number == value;
		case BTGreaterEqualStrategyNumber:
			return number >= value;
		default:
			return number > value;
	}
}

static void
bound_offsets(ScanPartition *partition, int strategy, int64 value)
{
	if (strategy != BTLessStrategyNumber && strategy != BTLessEqualStrategyNumber)
		partition->first = Max(partition->first, value);
	if (strategy == BTLessStrategyNumber)
		partition->end = Min(partition->end, value);
	else if (strategy == BTLessEqualStrategyNumber || strategy == BTEqualStrategyNumber)
		partition->end = Min(partition->end, value < PG_INT64_MAX ? value + 1 : value);
}

/* The records of a time and later ones begin at these offsets. */
static void
bound_times(TopicScan *scan, int64 ms)
{
	int32 *numbers = palloc(sizeof(int32) * scan->n_partitions);
	int64 *offsets = palloc(sizeof(int64) * scan->n_partitions);
	char *error;

	for (int i = 0; i < scan->n_partitions; i++)
		numbers[i] = i;
	if (!kafka_consumer_offsets_for_time(scan->consumer, scan->n_partitions, numbers, ms, offsets,
										 scan->broker_timeout_ms, &error))
		refuse_answer(scan, error);
	for (int i = 0; i < scan->n_partitions; i++)
		scan->partitions[i].first = Max(scan->partitions[i].first, offsets[i]);
}

/* Narrows the partitions by one condition. */
static void
apply_bound(ForeignScanState *node, TopicScan *scan, const ScanBound *bound)
{
	bool isnull;
	Datum value = ExecEvalExprSwitchContext(bound->value, node->ss.ps.ps_ExprContext, &isnull);
	int64 number = isnull ? 0 : bound_number(bound, value);

	if (!isnull && bound->metadata == METADATA_TIMESTAMP)
	{
		bound_times(scan, number);
		return;
	}
	for (int i = 0; i < scan->n_partitions; i++)
	{
		ScanPartition *partition = &scan->partitions[i];

		if (isnull || (bound->metadata == METADATA_PARTITION &&
					   !compare_to_bound(i, bound->strategy, number)))
			partition->end = partition->first; /* nothing of it */
		else if (bound->metadata == METADATA_OFFSET)
			bound_offsets(partition, bound->strategy, number);
	}
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
	find_bounds(scan);
	for (int i = 0; i < scan->n_bounds; i++)
		apply_bound(node, scan, &scan->bounds[i]);
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

/* ---------------------------------------------------------------------------------------------- */
/* Inserting                                                                                      */
/* ---------------------------------------------------------------------------------------------- */

typedef struct TopicInsert
{
	KafkaProducer *producer;
	RecordEncoder *encoder;
	MemoryContext row_context;
} TopicInsert;

static pg_noinline void
refuse_topic(Oid foreign_table, int partitions, const char *reason)
{
	TopicOptions options;

	topic_options_get(foreign_table, &options);
	if (partitions == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("topic \"%s\" does not exist", options.topic),
						errhint("Create it on the broker, or correct the foreign table's option "
								"\"topic\".")));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION),
			 errmsg("could not write to topic \"%s\"", options.topic), errdetail("%s", reason),
			 errhint("Check the server's option \"bootstrap_servers\", and that the broker "
					 "is running. The option \"broker_timeout\" says how long to wait.")));
}

/* Writes every column of the foreign table. */
static RecordEncoder *
encoder_for_table(Relation relation)
{
	TupleDesc desc = RelationGetDescr(relation);
	AttrNumber *columns = palloc(sizeof(AttrNumber) * Max(desc->natts, 1));

	for (int i = 0; i < desc->natts; i++)
		columns[i] = TupleDescAttr(desc, i)->attisdropped ? 0 : i + 1;
	return record_encoder_create(RelationGetRelid(relation), desc, columns);
}

static void
start_insert(ResultRelInfo *info, EState *estate)
{
	Oid foreign_table = RelationGetRelid(info->ri_RelationDesc);
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	TopicInsert *insert = palloc0(sizeof(TopicInsert));
	Oid user = insert_checks_as_user(info, estate);
	char *error = NULL;
	int partitions;

	insert->row_context = AllocSetContextCreate(estate->es_query_cxt, "tidemark topic insert",
												ALLOCSET_DEFAULT_SIZES);
	insert->encoder = encoder_for_table(info->ri_RelationDesc);
	insert->producer = kafka_producer_open(foreign_table, OidIsValid(user) ? user : GetUserId());
	partitions =
		kafka_producer_partitions(insert->producer, broker_timeout_get(foreign_table), &error);
	if (partitions <= 0)
		refuse_topic(foreign_table, partitions, error);
	info->ri_FdwState = insert;
	MemoryContextSwitchTo(old);
}

static List *
topic_plan_modify(PlannerInfo *root, ModifyTable *plan, Index relation, int subplan)
{
	if (plan->onConflictAction != ONCONFLICT_NONE)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("a topic has no conflicts: ON CONFLICT is not supported")));
	return NIL;
}

static void
topic_begin_modify(ModifyTableState *node, ResultRelInfo *info, List *private, int subplan,
				   int eflags)
{
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	start_insert(info, node->ps.state);
}

/* COPY, and rows that a partitioned table routes here. */
static void
topic_begin_insert(ModifyTableState *node, ResultRelInfo *info)
{
	start_insert(info, node->ps.state);
}

static TupleTableSlot *
topic_exec_insert(EState *estate, ResultRelInfo *info, TupleTableSlot *slot, TupleTableSlot *plan)
{
	TopicInsert *insert = info->ri_FdwState;
	MemoryContext old = MemoryContextSwitchTo(insert->row_context);
	OutgoingRecord record;

	slot_getallattrs(slot);
	record_encode(insert->encoder, slot->tts_values, slot->tts_isnull, &record);
	kafka_producer_send(insert->producer, &record);
	MemoryContextSwitchTo(old);
	MemoryContextReset(insert->row_context);
	return slot;
}

/* The statement is not over before the broker has acknowledged what it wrote. */
static void
topic_end_modify(EState *estate, ResultRelInfo *info)
{
	TopicInsert *insert = info->ri_FdwState;

	if (insert == NULL)
		return;
	kafka_producer_flush(insert->producer);
	kafka_producer_close(insert->producer);
	info->ri_FdwState = NULL;
}

static int
topic_is_updatable(Relation relation)
{
	return 1 << CMD_INSERT;
}

static void
topic_explain_modify(ModifyTableState *node, ResultRelInfo *info, List *private, int subplan,
					 ExplainState *es)
{
	topic_explain(RelationGetRelid(info->ri_RelationDesc), es);
}

Datum
tidemark_kafka_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = topic_get_rel_size;
	routine->GetForeignPaths = topic_get_paths;
	routine->GetForeignPlan = topic_get_plan;
	routine->BeginForeignScan = topic_begin_scan;
	routine->IterateForeignScan = topic_iterate_scan;
	routine->ReScanForeignScan = topic_rescan;
	routine->EndForeignScan = topic_end_scan;
	routine->ExplainForeignScan = topic_explain_scan;
	routine->PlanForeignModify = topic_plan_modify;
	routine->BeginForeignModify = topic_begin_modify;
	routine->ExecForeignInsert = topic_exec_insert;
	routine->EndForeignModify = topic_end_modify;
	routine->BeginForeignInsert = topic_begin_insert;
	routine->EndForeignInsert = topic_end_modify;
	routine->IsForeignRelUpdatable = topic_is_updatable;
	routine->ExplainForeignModify = topic_explain_modify;
	PG_RETURN_POINTER(routine);
}
