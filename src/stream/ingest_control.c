/*
 * ingest_control.c: what a user says of an ingestion: start, stop, pause, resume, wait.
 *
 * These functions only change what the catalogue says should be; the processes follow when the change
 * has committed (worker/maintainer.c). Yet nothing more has to be waited for: a batch locks the
 * ingestion's row before it commits, so a DELETE or UPDATE of that row waits for the batch in work, and no
 * other batch can follow it.
 *
 * Who may: the owner of the stream's table. The worker has the rights of the role that called start_ingest.
 */
#include "tidemark.h"

#include "access/table.h"
#include "catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "kafka/consumer.h"
#include "kafka/topic.h"
#include "worker/slots.h"
#include "worker/worker.h"

#define LOOK_EVERY_MS 20
#define ASK_BROKER_MS 5000
#define MAX_LAGGARDS_TOLD 5

PG_FUNCTION_INFO_V1(tidemark_start_ingest);
PG_FUNCTION_INFO_V1(tidemark_stop_ingest);
PG_FUNCTION_INFO_V1(tidemark_pause_ingest);
PG_FUNCTION_INFO_V1(tidemark_resume_ingest);
PG_FUNCTION_INFO_V1(tidemark_wait_until_ingested);
PG_FUNCTION_INFO_V1(tidemark_wake_workers);

/* ---- checks ---- */

static void
check_stream(Oid relid)
{
	if (!compat_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	if (!stream_exists(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not a stream", get_rel_name(relid)),
				 errhint("Make it one with tidemark.create_stream(table, event_time_column, …).")));
}

static void
check_event_time(Oid topic, Oid stream)
{
	Stream description;
	char *column;

	if (!stream_lookup(stream, &description))
		elog(ERROR, "stream %u is not in the catalogue", stream);
	column = get_attname(stream, description.attnum, false);
	if (get_attnum(topic, column) == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("topic table \"%s\" has no column \"%s\", the event time of stream \"%s\"",
						get_rel_name(topic), column, get_rel_name(stream)),
				 errhint("Columns go from the topic to the stream by their names.")));
}

/* ---- start_at ---- */

/* {"0": 123, …}: partitions and offsets, which have to be numbers. */
static void
check_offsets(Datum json)
{
	Datum values[] = {json};
	Oid types[] = {JSONBOID};
	RoleSession session = catalog_begin();

	if (SPI_execute_with_args("SELECT key, value FROM jsonb_each_text($1)"
							  " WHERE key !~ '^[0-9]{1,9}$' OR value IS NULL"
							  " OR value !~ '^[0-9]{1,18}$' LIMIT 1",
							  1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "checking offsets failed");
	if (SPI_processed > 0)
	{
		char *key = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		char *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);

		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid start_at: partition \"%s\", offset %s", key,
							   value ? value : "null"),
						errhint("Offsets are given as jsonb: {\"0\": 1234, \"1\": 5678}.")));
	}
	catalog_end(session);
}

/* What is kept in tidemark.ingest.start_at: "earliest", "latest", {"timestamp": ms} or {"offsets": {…}}. */
static Datum
parse_start_at(const char *text)
{
	const char *json;

	while (isspace((unsigned char) *text))
		text++;
	if (strcmp(text, "earliest") == 0 || strcmp(text, "latest") == 0)
		json = psprintf("\"%s\"", text);
	else if (*text == '{')
	{
		check_offsets(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
		json = psprintf("{\"offsets\": %s}", text);
	}
	else
	{
		TimestampTz time = DatumGetTimestampTz(
			DirectFunctionCall3(timestamptz_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
								Int32GetDatum(-1)));

		if (TIMESTAMP_NOT_FINITE(time))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("start_at can't be infinite"),
					 errhint("Use 'earliest' or 'latest'.")));
		json =
			psprintf("{\"timestamp\": %lld}",
					 (long long) (time / 1000 + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
													SECS_PER_DAY * 1000));
	}
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

/* ---- start, stop, pause, resume ---- */

Datum
tidemark_start_ingest(PG_FUNCTION_ARGS)
{
	Oid topic = PG_GETARG_OID(0);
	Oid stream = PG_GETARG_OID(1);
	Oid types[] = {REGCLASSOID, REGCLASSOID, REGROLEOID, JSONBOID};
	Datum values[4];

	tidemark_require_preload("start_ingest");
	check_stream(stream);
	topic_require(topic, ACL_SELECT);
	check_event_time(topic, stream);
	values[0] = ObjectIdGetDatum(topic);
	values[1] = ObjectIdGetDatum(stream);
	values[2] = ObjectIdGetDatum(GetUserId());
	values[3] = parse_start_at(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (catalog_execute("INSERT INTO tidemark.ingest (topic, stream, role, start_at)"
						" VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
						4, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("topic table \"%s\" is already ingested into \"%s\"", get_rel_name(topic),
						get_rel_name(stream)),
				 errhint("tidemark.resume_ingest resumes a paused ingestion; tidemark.stop_ingest "
						 "ends it and forgets its positions.")));
	worker_wake_at_commit();
	PG_RETURN_VOID();
}

/* Runs a statement on the ingestion of topic ($1) into stream ($2), which has to be there. */
static void
change_ingest(Oid topic, Oid stream, const char *statement, bool flag)
{
	Oid types[] = {REGCLASSOID, REGCLASSOID, BOOLOID};
	Datum values[] = {ObjectIdGetDatum(topic), ObjectIdGetDatum(stream), BoolGetDatum(flag)};

	check_stream(stream);
	if (catalog_execute(statement, 3, types, values, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("\"%s\" is not ingested into \"%s\"", get_rel_name(topic),
							   get_rel_name(stream))));
	worker_wake_at_commit();
}

Datum
tidemark_stop_ingest(PG_FUNCTION_ARGS)
{
	change_ingest(PG_GETARG_OID(0), PG_GETARG_OID(1),
				  "DELETE FROM tidemark.ingest WHERE topic = $1 AND stream = $2 AND $3", true);
	PG_RETURN_VOID();
}

Datum
tidemark_pause_ingest(PG_FUNCTION_ARGS)
{
	change_ingest(PG_GETARG_OID(0), PG_GETARG_OID(1),
				  "UPDATE tidemark.ingest SET paused = $3 WHERE topic = $1 AND stream = $2", true);
	PG_RETURN_VOID();
}

Datum
tidemark_resume_ingest(PG_FUNCTION_ARGS)
{
	change_ingest(PG_GETARG_OID(0), PG_GETARG_OID(1),
				  "UPDATE tidemark.ingest SET paused = false, skip_lost = $3, last_error = NULL,"
				  " last_error_at = NULL WHERE topic = $1 AND stream = $2",
				  PG_GETARG_BOOL(2));
	PG_RETURN_VOID();
}

Datum
tidemark_wake_workers(PG_FUNCTION_ARGS)
{
	worker_wake_at_commit();
	PG_RETURN_VOID();
}

/* ---- wait_until_ingested ---- */

/* One of the stream's ingestions, and how far it has to come. */
typedef struct Goal
{
	int32 ingest;
	Oid topic;
	Oid role;
	int npartitions;
	int64 *ends;
} Goal;

typedef struct Wait
{
	Oid stream;
	TimestampTz deadline;
	MemoryContext context;
	List *goals; /* of Goal */
} Wait;

/* The stream's ingestions as committed now. */
static void
find_goals(Wait *wait)
{
	Oid types[] = {REGCLASSOID};
	Datum values[] = {ObjectIdGetDatum(wait->stream)};
	RoleSession session = catalog_begin();
	int result;

	PushActiveSnapshot(GetLatestSnapshot());
	result = SPI_execute_with_args("SELECT id, topic::oid, role::oid, paused FROM tidemark.ingest"
								   " WHERE stream = $1",
								   1, types, values, NULL, true, 0);
	PopActiveSnapshot();
	if (result != SPI_OK_SELECT)
		elog(ERROR, "reading tidemark.ingest failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		MemoryContext old = MemoryContextSwitchTo(wait->context);
		Goal *goal = palloc0(sizeof(Goal));

		goal->ingest = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
		goal->topic = DatumGetObjectId(SPI_getbinval(row, desc, 2, &isnull));
		goal->role = DatumGetObjectId(SPI_getbinval(row, desc, 3, &isnull));
		wait->goals = lappend(wait->goals, goal);
		MemoryContextSwitchTo(old);
		if (DatumGetBool(SPI_getbinval(row, desc, 4, &isnull)))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("ingestion into \"%s\" is paused", get_rel_name(wait->stream)),
							errhint("Resume it with tidemark.resume_ingest.")));
	}
	catalog_end(session);
	if (wait->goals == NIL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("nothing is ingested into \"%s\"", get_rel_name(wait->stream)),
						errhint("Start it with tidemark.start_ingest.")));
}

static long
time_left(const Wait *wait)
{
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), wait->deadline);
}

static void
wait_a_little(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Asks the broker once; false with an error when it did not say. */
static bool
ask_ends(KafkaConsumer *consumer, Goal *goal, int timeout_ms, char **error)
{
	int64 *first;
	int n = kafka_consumer_partitions(consumer, timeout_ms, error);

	if (n == 0)
		*error = psprintf("topic \"%s\" does not exist", kafka_consumer_topic(consumer));
	if (n <= 0)
		return false;
	first = palloc(sizeof(int64) * n);
	goal->npartitions = n;
	goal->ends = palloc(sizeof(int64) * n);
	return kafka_consumer_all_watermarks(consumer, n, first, goal->ends, timeout_ms, error);
}

/* What the topic holds now; keeps asking until the deadline. */
static void
set_goal(Wait *wait, Goal *goal)
{
	KafkaConsumer *consumer = kafka_consumer_open(goal->topic, goal->role);
	char *error = NULL;

	while (!ask_ends(consumer, goal, Min(ASK_BROKER_MS, Max(time_left(wait), 1)), &error))
	{
		if (time_left(wait) <= 0)
			ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
							errmsg("waiting for ingestion into \"%s\" timed out: what the topic "
								   "holds is not known",
								   get_rel_name(wait->stream)),
							errdetail_internal("%s", error)));
		wait_a_little(LOOK_EVERY_MS);
	}
	kafka_consumer_close(consumer);
}

/* Reads a goal's positions; returns how many partitions are behind, and tells of some of them. */
static int
count_behind(Goal *goal, StringInfo told)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(goal->ingest)};
	int64 *positions = palloc0(sizeof(int64) * goal->npartitions);
	int behind = 0;
	RoleSession session = catalog_begin();

	PushActiveSnapshot(GetLatestSnapshot());
	if (SPI_execute_with_args("SELECT partition, next_offset FROM tidemark.ingest_partition"
							  " WHERE ingest = $1",
							  1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "reading tidemark.ingest_partition failed");
	PopActiveSnapshot();
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;
		HeapTuple row = SPI_tuptable->vals[i];
		int partition = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));

		if (partition < goal->npartitions)
			positions[partition] =
				DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
	}
	catalog_end(session);
	for (int i = 0; i < goal->npartitions; i++)
	{
		if (positions[i] >= goal->ends[i])
			continue;
		if (++behind <= MAX_LAGGARDS_TOLD)
			appendStringInfo(told, "Partition %d of \"%s\" is at offset %lld of %lld. ", i,
							 get_rel_name(goal->topic), (long long) positions[i],
							 (long long) goal->ends[i]);
	}
	pfree(positions);
	return behind;
}

static bool
all_reached(Wait *wait, StringInfo told)
{
	ListCell *cell;
	int behind = 0;

	resetStringInfo(told);
	foreach (cell, wait->goals)
		behind += count_behind(lfirst(cell), told);
	return behind == 0;
}

/*
 * wait_until_ingested(stream, timeout): waits until all that the topics held at the call is
 * committed. Sees other transactions' commits whatever the isolation level is.
 */
Datum
tidemark_wait_until_ingested(PG_FUNCTION_ARGS)
{
	Wait wait = {.stream = PG_GETARG_OID(0), .context = CurrentMemoryContext};
	StringInfoData told;
	ListCell *cell;
	AclResult allowed = pg_class_aclcheck(wait.stream, GetUserId(), ACL_SELECT);

	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_TABLE, get_rel_name(wait.stream));
	wait.deadline = DatumGetTimestampTz(DirectFunctionCall2(
		timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()), PG_GETARG_DATUM(1)));
	initStringInfo(&told);
	find_goals(&wait);
	foreach (cell, wait.goals)
		set_goal(&wait, lfirst(cell));
	while (!all_reached(&wait, &told))
	{
		if (time_left(&wait) <= 0)
			ereport(
				ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("waiting for ingestion into \"%s\" timed out", get_rel_name(wait.stream)),
				 errdetail_internal("%s", told.data), errhint("See tidemark.ingest_status.")));
		wait_a_little(LOOK_EVERY_MS);
	}
	PG_RETURN_VOID();
}
