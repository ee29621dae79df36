/*
 * topic_insert.c: writing to a topic with INSERT, COPY, or as a partition of a table.
 *
 * The statement ends when the broker has acknowledged every record. An error aborts it and says
 * which record and partition, and why; a rollback does not take records back.
 */
#include "tidemark.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "format/encoder.h"
#include "kafka/option.h"
#include "kafka/producer.h"
#include "kafka/topic.h"

typedef struct TopicInsert
{
	KafkaProducer *producer;
	RecordEncoder *encoder;
	MemoryContext row_context;
} TopicInsert;

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
	if (partitions == 0)
		topic_refuse_missing(kafka_producer_topic(insert->producer));
	if (partitions < 0)
		topic_refuse_answer("write to", kafka_producer_topic(insert->producer), error);
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

void
topic_insert_callbacks(FdwRoutine *routine)
{
	routine->PlanForeignModify = topic_plan_modify;
	routine->BeginForeignModify = topic_begin_modify;
	routine->ExecForeignInsert = topic_exec_insert;
	routine->EndForeignModify = topic_end_modify;
	routine->BeginForeignInsert = topic_begin_insert;
	routine->EndForeignInsert = topic_end_modify;
	routine->IsForeignRelUpdatable = topic_is_updatable;
	routine->ExplainForeignModify = topic_explain_modify;
}
