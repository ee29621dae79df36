/*
 * ingest.c: one batch, one transaction: records become rows of a stream.
 *
 *   records --decode--> rows --event time, late?--> table | late table | dropped
 *      |                  |                           |
 *      +------------------+---------------------------+--> dead letters (one for each record that fails)
 *                                                     +--> positions, greatest event times, counts
 *
 * What holds when the transaction commits: every record between a partition's old and new position has
 * become exactly one of a row, a late row (dropped or diverted, and counted) or a dead letter. What is
 * lost in a crash is lost with the position, and read again.
 *
 * The batch is worked off in chunks of a thousand records, whose memory is used again for the next
 * one while it's still in the processor's cache. A chunk is decoded, and then inserted, each in a subtransaction: an error
 * that is a record's fault (dead_letter.c) rolls back the subtransaction, not the batch. Decoding goes on behind
 * the failed record with the values it has; inserting is repeated without the failed row.
 *
 * The user's code (input functions, defaults, constraints, triggers) runs with the rights of the role that
 * started the ingestion, in a security-restricted operation with settings of its own, as in PostgreSQL's own maintenance commands;
 * deferrable constraints are checked at once, so that no trigger is left to run with the worker's own rights at
 * commit. Catalogue, dead letters and the views' maintenance are written with the worker's rights.
 */
#include "tidemark.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "format/decoder.h"
#include "stream/dead_letter.h"
#include "stream/event_time.h"
#include "stream/ingest.h"
#include "stream/insert.h"
#include "stream/watermark.h"
#include "stream/writes.h"
#include "worker/slots.h"

#define ROWS_PER_CHUNK 1000

/* After a failure rows are tried in pieces of this size, so that one bad row costs little. */
#define CAREFUL_ROWS 64

struct RowPlan
{
	MemoryContext context;
	TupleDesc desc;			   /* of the stream */
	AttrNumber *topic_columns; /* for each of the stream's columns: the topic's, 0: none */
	bool *given;			   /* … != 0 */
	RecordDecoder *decoder;
	int event_column; /* index of the event time */
	Oid event_type;
	TupleTableSlot *slots[ROWS_PER_CHUNK];
};

typedef enum LateRows
{
	LATE_KEEP,
	LATE_DROP,
	LATE_DIVERT
} LateRows;

/* A record's error that makes it a dead letter. */
typedef struct DeadLetter
{
	int record;
	int sqlstate;
	char *error;
} DeadLetter;

/* Rows of a chunk that go the same way. */
typedef struct RowSet
{
	int n;
	TupleTableSlot *slots[ROWS_PER_CHUNK];
	int records[ROWS_PER_CHUNK]; /* indexes of the batch's records */
	Ticks times[ROWS_PER_CHUNK];
} RowSet;

typedef struct Batch
{
	Ingest *ingest;
	KafkaRecord *records;
	int n;
	int current; /* index of the record in work, for the error context; -1: none */

	Relation stream;
	Relation late_table; /* NULL unless late rows are diverted */
	RowInserter *inserter;
	RowInserter *late_inserter;
	TupleDesc late_desc;	  /* a copy that no resource owner minds */
	AttrNumber *late_columns; /* for each of the late table's columns: the stream's, 0: none */
	bool *late_given;

	/* the stream's settings and what was known when the batch began */
	AttrNumber event_attnum;
	LateRows late_rows;
	Oid late_relid;
	Ticks watermark; /* TICKS_MIN: none */
	Ticks latest;	 /* the greatest event time that is believed; TICKS_MAX: no bound */
	Interval *max_ahead;

	RowSet *rows; /* of the chunk: for the table … */
	RowSet *late; /* … and for the late table */

	List *dead;	  /* of DeadLetter */
	Ticks *times; /* of the rows that went in without the stream's triggers seeing them */
	int ntimes;
	PartitionChange *changes;
} Batch;

/* ---- where an error was ---- */

static void
batch_error_context(void *arg)
{
	Batch *batch = arg;

	if (batch->current >= 0)
	{
		KafkaRecord *record = &batch->records[batch->current];

		errcontext("topic \"%s\", partition %d, offset %lld, into table \"%s\"",
				   kafka_consumer_topic(batch->ingest->consumer), record->partition,
				   (long long) record->offset, batch->ingest->stream_table);
	}
	else
		errcontext("topic \"%s\", %d records, into table \"%s\"",
				   kafka_consumer_topic(batch->ingest->consumer), batch->n,
				   batch->ingest->stream_table);
}

/* ---- whose rights ---- */

typedef struct Identity
{
	Oid userid;
	int security;
	int settings_level;
} Identity;

static void
become_role(Ingest *ingest, Identity *before)
{
	ConstraintsSetStmt *immediate = makeNode(ConstraintsSetStmt);

	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(ingest->role)))
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("the role that started ingestion into \"%s\" does not exist any more",
					ingest->stream_table),
			 errhint("Call tidemark.stop_ingest, and tidemark.start_ingest as another role with "
					 "start_at => the offsets in tidemark.ingest_partition.")));
	AfterTriggerSetState(immediate);
	GetUserIdAndSecContext(&before->userid, &before->security);
	SetUserIdAndSecContext(ingest->role, before->security | SECURITY_LOCAL_USERID_CHANGE |
											 SECURITY_RESTRICTED_OPERATION);
	before->settings_level = NewGUCNestLevel();
	/* The user's functions may count on the database's search_path. */
	(void) set_config_option("search_path", worker_user_search_path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static void
become_worker(const Identity *before)
{
	AtEOXact_GUC(false, before->settings_level);
	SetUserIdAndSecContext(before->userid, before->security);
}

/* ---- subtransactions ---- */

typedef struct Subtransaction
{
	MemoryContext context;
	ResourceOwner owner;
} Subtransaction;

static void
subtransaction_begin(Subtransaction *sub)
{
	sub->context = CurrentMemoryContext;
	sub->owner = CurrentResourceOwner;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(sub->context);
}

static void
subtransaction_commit(Subtransaction *sub)
{
	ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(sub->context);
	CurrentResourceOwner = sub->owner;
}

/* In PG_CATCH: rolls back and returns the error if it is a record's fault; raises it again if not. */
static ErrorData *
subtransaction_failed(Subtransaction *sub, Batch *batch)
{
	ErrorData *error;

	MemoryContextSwitchTo(batch->ingest->batch_context);
	error = CopyErrorData();
	if (!is_fault_of_data(error))
		PG_RE_THROW();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(sub->context);
	CurrentResourceOwner = sub->owner;
	return error;
}

/* ---- the plan: how records become rows ---- */

static AttrNumber
column_named(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att->attnum;
	}
	return 0;
}

/* For each column of target the one of the same name in source; none for generated columns. */
static AttrNumber *
match_columns(TupleDesc target, TupleDesc source, bool **given)
{
	AttrNumber *columns = palloc0(sizeof(AttrNumber) * target->natts);

	*given = palloc0(sizeof(bool) * target->natts);
	for (int i = 0; i < target->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(target, i);

		if (!att->attisdropped && !att->attgenerated)
			columns[i] = column_named(source, NameStr(att->attname));
		(*given)[i] = columns[i] != 0;
	}
	return columns;
}

static void
make_plan(Batch *batch, TupleDesc topic_desc)
{
	Ingest *ingest = batch->ingest;
	MemoryContext context =
		AllocSetContextCreate(ingest->context, "tidemark row plan", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	RowPlan *plan = palloc0(sizeof(RowPlan));

	plan->context = context;
	plan->desc = CreateTupleDescCopyConstr(RelationGetDescr(batch->stream));
	plan->topic_columns = match_columns(plan->desc, topic_desc, &plan->given);
	plan->event_column = batch->event_attnum - 1;
	plan->event_type = TupleDescAttr(plan->desc, plan->event_column)->atttypid;
	if (!plan->given[plan->event_column])
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("topic table \"%s\" has no column \"%s\", the event time of stream \"%s\"",
						ingest->topic_table,
						NameStr(TupleDescAttr(plan->desc, plan->event_column)->attname),
						ingest->stream_table)));
	plan->decoder = record_decoder_create(ingest->topic, plan->desc, plan->topic_columns);
	for (int i = 0; i < ROWS_PER_CHUNK; i++)
		plan->slots[i] = MakeSingleTupleTableSlot(plan->desc, &TTSOpsVirtual);
	MemoryContextSwitchTo(old);
	ingest->plan = plan;
	ingest->plan_is_stale = false;
}

void
ingest_forget_plan(Ingest *ingest)
{
	if (ingest->plan)
		MemoryContextDelete(ingest->plan->context);
	ingest->plan = NULL;
}

/* ---- before the rows ---- */

/* The greatest event time that is not absurd: max_ahead after now. */
static Ticks
latest_believed(Oid type, Interval *max_ahead)
{
	TimestampTz now = GetCurrentTimestamp();
	Timestamp local;
	Timestamp latest;

	if (max_ahead == NULL || type == INT8OID)
		return TICKS_MAX;
	latest = DatumGetTimestampTz(DirectFunctionCall2(
		timestamptz_pl_interval, TimestampTzGetDatum(now), IntervalPGetDatum(max_ahead)));
	if (type == TIMESTAMPTZOID)
		return latest;
	/* Without a time zone, the records' clock may show UTC or the server's time: the later one counts. */
	local =
		DatumGetTimestamp(DirectFunctionCall1(timestamptz_timestamp, TimestampTzGetDatum(latest)));
	latest = Max(latest, local);
	return type == DATEOID ? latest / USECS_PER_DAY : latest;
}

static LateRows
late_rows_of(const char *name)
{
	if (strcmp(name, "drop") == 0)
		return LATE_DROP;
	if (strcmp(name, "divert") == 0)
		return LATE_DIVERT;
	return LATE_KEEP;
}

static void
read_settings(Batch *batch)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {OIDOID};
	Datum values[] = {ObjectIdGetDatum(batch->ingest->stream)};
	TupleDesc desc;
	HeapTuple row;
	Datum datum;
	bool isnull;
	Ticks ingested;

	SPI_connect();
	if (plan == NULL)
	{
		plan = SPI_prepare("SELECT attnum, late_rows, late_table::oid, watermark, max_ahead,"
						   " (extract(epoch FROM idle_timeout) * 1000000)::int8"
						   " FROM tidemark.stream WHERE relid = $1",
						   1, types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "preparing the stream's settings failed");
	}
	if (SPI_execute_plan(plan, values, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("table \"%s\" is no stream any more", batch->ingest->stream_table)));
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	batch->event_attnum = DatumGetInt16(SPI_getbinval(row, desc, 1, &isnull));
	batch->late_rows = late_rows_of(SPI_getvalue(row, desc, 2));
	datum = SPI_getbinval(row, desc, 3, &isnull);
	batch->late_relid = isnull ? InvalidOid : DatumGetObjectId(datum);
	datum = SPI_getbinval(row, desc, 4, &isnull);
	batch->watermark = isnull ? TICKS_MIN : DatumGetInt64(datum);
	datum = SPI_getbinval(row, desc, 5, &isnull);
	if (!isnull)
	{
		batch->max_ahead = MemoryContextAlloc(batch->ingest->batch_context, sizeof(Interval));
		*batch->max_ahead = *DatumGetIntervalP(datum);
	}
	datum = SPI_getbinval(row, desc, 6, &isnull);
	batch->ingest->idle_timeout = isnull ? -1 : DatumGetInt64(datum);
	SPI_finish();

	/* What has been published never goes back; what has been committed since may be further. */
	if (watermark_of_ingestion(batch->ingest->stream, &ingested, NULL))
		batch->watermark = Max(batch->watermark, ingested);
}

/* Locks the tables and makes sure that the plan fits them. False when one of them is gone. */
static bool
open_tables(Batch *batch)
{
	Ingest *ingest = batch->ingest;
	Relation topic = try_relation_open(ingest->topic, AccessShareLock);

	if (topic == NULL)
		return false;
	batch->stream = try_relation_open(ingest->stream, RowExclusiveLock);
	if (batch->stream == NULL)
		return false;
	read_settings(batch);
	if (ingest->plan &&
		(ingest->plan_is_stale || ingest->plan->event_column != batch->event_attnum - 1))
		ingest_forget_plan(ingest);
	if (ingest->plan == NULL)
		make_plan(batch, RelationGetDescr(topic));
	relation_close(topic, NoLock);
	batch->latest = latest_believed(ingest->plan->event_type, batch->max_ahead);
	if (batch->late_rows == LATE_DIVERT)
		batch->late_table = table_open(batch->late_relid, RowExclusiveLock);
	return true;
}

static void
close_tables(Batch *batch)
{
	if (batch->late_table)
		table_close(batch->late_table, NoLock);
	relation_close(batch->stream, NoLock);
}

/* The late table's columns by name; of the same types, so that values can go there as they are. */
static void
match_late_table(Batch *batch)
{
	TupleDesc late = RelationGetDescr(batch->late_table);
	TupleDesc desc = batch->ingest->plan->desc;

	batch->late_desc = CreateTupleDescCopyConstr(late);
	batch->late_columns = match_columns(late, desc, &batch->late_given);
	for (int i = 0; i < late->natts; i++)
	{
		AttrNumber source = batch->late_columns[i];

		if (source == 0)
			continue;
		if (!batch->ingest->plan->given[source - 1])
		{
			batch->late_columns[i] = 0;
			batch->late_given[i] = false;
		}
		else if (TupleDescAttr(late, i)->atttypid != TupleDescAttr(desc, source - 1)->atttypid)
			ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
							errmsg("column \"%s\" of \"%s\" has another type than in stream \"%s\"",
								   NameStr(TupleDescAttr(late, i)->attname),
								   RelationGetRelationName(batch->late_table),
								   batch->ingest->stream_table)));
	}
}

static void
begin_inserting(Batch *batch)
{
	Oid userid = GetUserId();
	AclResult allowed = pg_class_aclcheck(batch->ingest->topic, userid, ACL_SELECT);

	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_FOREIGN_TABLE, batch->ingest->topic_table);
	batch->inserter = row_inserter_begin(batch->stream, batch->ingest->plan->given);
	if (batch->late_table)
	{
		match_late_table(batch);
		batch->late_inserter = row_inserter_begin(batch->late_table, batch->late_given);
	}
}

/* ---- a chunk: records to rows ---- */

static PartitionChange *
change_of(Batch *batch, int record)
{
	return &batch->changes[batch->records[record].partition];
}

static void
bury(Batch *batch, int record, int sqlstate, char *error)
{
	MemoryContext old = MemoryContextSwitchTo(batch->ingest->batch_context);
	DeadLetter *letter = palloc(sizeof(DeadLetter));

	letter->record = record;
	letter->sqlstate = sqlstate;
	letter->error = pstrdup(error);
	batch->dead = lappend(batch->dead, letter);
	change_of(batch, record)->dead++;
	MemoryContextSwitchTo(old);
}

static void
bury_for_time(Batch *batch, int record, int sqlstate, const char *what)
{
	RowPlan *plan = batch->ingest->plan;

	bury(batch, record, sqlstate,
		 psprintf("event time \"%s\" %s",
				  NameStr(TupleDescAttr(plan->desc, plan->event_column)->attname), what));
}

static void
append_row(RowSet *set, TupleTableSlot *slot, int record, Ticks time)
{
	set->slots[set->n] = slot;
	set->records[set->n] = record;
	set->times[set->n] = time;
	set->n++;
}

/* The row as the late table has it. */
static TupleTableSlot *
late_slot(Batch *batch, TupleTableSlot *row)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(batch->late_desc, &TTSOpsVirtual);

	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		AttrNumber source = batch->late_columns[i];

		slot->tts_isnull[i] = source == 0 || row->tts_isnull[source - 1];
		slot->tts_values[i] = source == 0 ? (Datum) 0 : row->tts_values[source - 1];
	}
	return ExecStoreVirtualTuple(slot);
}

/* Where does a decoded row go? */
static void
sort_row(Batch *batch, TupleTableSlot *slot, int record)
{
	RowPlan *plan = batch->ingest->plan;
	PartitionChange *change = change_of(batch, record);
	Ticks time;

	if (slot->tts_isnull[plan->event_column])
	{
		bury_for_time(batch, record, ERRCODE_NULL_VALUE_NOT_ALLOWED, "is null");
		return;
	}
	time = event_time_ticks(plan->event_type, slot->tts_values[plan->event_column]);
	if (time == TICKS_MIN || time == TICKS_MAX)
		bury_for_time(batch, record, ERRCODE_DATETIME_VALUE_OUT_OF_RANGE, "is infinite");
	else if (time > batch->latest)
		bury_for_time(batch, record, ERRCODE_DATETIME_VALUE_OUT_OF_RANGE,
					  psprintf("is %s, further ahead of the clock than the stream's max_ahead",
							   event_time_text(plan->event_type, time)));
	else if (time > batch->watermark || batch->late_rows == LATE_KEEP)
		append_row(batch->rows, slot, record, time);
	else if (batch->late_rows == LATE_DIVERT)
		append_row(batch->late, late_slot(batch, slot), record, time);
	else
	{
		change->late_dropped++;
		change->greatest = Max(change->greatest, time);
	}
}

static void
decode_row(Batch *batch, int record, TupleTableSlot *slot)
{
	batch->current = record;
	ExecClearTuple(slot);
	record_decode(batch->ingest->plan->decoder, &batch->records[record], slot->tts_values,
				  slot->tts_isnull);
	ExecStoreVirtualTuple(slot);
	sort_row(batch, slot, record);
}

/* Decodes records [first, end); a subtransaction for every run without an error. */
static void
decode_chunk(Batch *batch, int first, int end)
{
	volatile int next = first;

	batch->rows->n = 0;
	batch->late->n = 0;
	while (next < end)
	{
		Subtransaction sub;

		subtransaction_begin(&sub);
		PG_TRY();
		{
			for (; next < end; next++)
				decode_row(batch, next, batch->ingest->plan->slots[next - first]);
			subtransaction_commit(&sub);
		}
		PG_CATCH();
		{
			ErrorData *error = subtransaction_failed(&sub, batch);

			bury(batch, next, error->sqlerrcode, dead_letter_text(error));
			next++;
		}
		PG_END_TRY();
		CHECK_FOR_INTERRUPTS();
	}
	batch->current = -1;
}

/* ---- a chunk: rows into the table ---- */

/* NULL: they are in; otherwise nothing of them is, and *failed is the index of the row at fault, -1 if that's not known. */
static ErrorData *
try_rows(Batch *batch, RowInserter *inserter, RowSet *set, int first, int end, int *failed)
{
	ErrorData *volatile error = NULL;
	Subtransaction sub;

	subtransaction_begin(&sub);
	PG_TRY();
	{
		row_inserter_insert(inserter, set->slots + first, end - first);
		subtransaction_commit(&sub);
	}
	PG_CATCH();
	{
		int row = row_inserter_failed_row(inserter);

		*failed = row < 0 ? -1 : first + row;
		batch->current = row < 0 ? -1 : set->records[first + row];
		error = subtransaction_failed(&sub, batch);
		batch->current = -1;
	}
	PG_END_TRY();
	return error;
}

/* Rows [first, end) are in the table, or in the late table. */
static void
account_rows(Batch *batch, RowSet *set, int first, int end)
{
	bool diverted = set == batch->late;

	for (int i = first; i < end; i++)
	{
		PartitionChange *change = change_of(batch, set->records[i]);

		change->greatest = Max(change->greatest, set->times[i]);
		if (diverted)
		{
			change->late_diverted++;
			continue;
		}
		change->records++;
		if (set->times[i] <= batch->watermark)
			change->late_kept++;
		if (row_inserter_is_direct(batch->inserter))
			batch->times[batch->ntimes++] = set->times[i];
	}
}

/* Inserts rows [first, end); those that fail become dead letters. */
static void
insert_rows(Batch *batch, RowInserter *inserter, RowSet *set, int first, int end)
{
	int step = end - first;

	while (first < end)
	{
		int stop = Min(end, first + step);
		int failed;
		ErrorData *error = try_rows(batch, inserter, set, first, stop, &failed);

		if (error == NULL)
		{
			account_rows(batch, set, first, stop);
			first = stop;
		}
		else if (stop - first > CAREFUL_ROWS)
			step = CAREFUL_ROWS;
		else if (failed >= 0 || stop - first == 1)
		{
			failed = Max(failed, first);
			insert_rows(batch, inserter, set, first, failed);
			bury(batch, set->records[failed], error->sqlerrcode, dead_letter_text(error));
			first = failed + 1;
		}
		else
		{
			int middle = first + (stop - first) / 2;

			insert_rows(batch, inserter, set, first, middle);
			insert_rows(batch, inserter, set, middle, stop);
			first = stop;
		}
	}
}

static void
ingest_records(Batch *batch)
{
	Ingest *ingest = batch->ingest;
	MemoryContext old = MemoryContextSwitchTo(ingest->chunk_context);

	for (int first = 0; first < batch->n; first += ROWS_PER_CHUNK)
	{
		decode_chunk(batch, first, Min(first + ROWS_PER_CHUNK, batch->n));
		insert_rows(batch, batch->inserter, batch->rows, 0, batch->rows->n);
		if (batch->late_table)
			insert_rows(batch, batch->late_inserter, batch->late, 0, batch->late->n);
		MemoryContextReset(ingest->chunk_context);
	}
	MemoryContextSwitchTo(old);
}

/* ---- after the rows ---- */

static void
write_dead_letters(Batch *batch)
{
	const char *topic = kafka_consumer_topic(batch->ingest->consumer);
	ListCell *cell;

	foreach (cell, batch->dead)
	{
		DeadLetter *letter = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		dead_letter_write(batch->ingest->stream, topic, &batch->records[letter->record],
						  letter->sqlstate, letter->error);
	}
}

/* Where the consumer stands in each partition, and whether that is news. */
static void
note_positions(Batch *batch)
{
	Ingest *ingest = batch->ingest;

	for (int i = 0; i < batch->n; i++)
		change_of(batch, i)->changed = true;
	for (int i = 0; i < ingest->npartitions; i++)
	{
		PartitionChange *change = &batch->changes[i];
		IngestPartition *partition = &ingest->partitions[i];
		int64 position = kafka_consumer_position(ingest->consumer, i);

		if (change->changed)
			partition->wants_idle = false;
		change->next_offset = Max(position, partition->next_offset);
		if (change->next_offset != partition->next_offset ||
			partition->wants_idle != partition->idle)
			change->changed = true;
	}
}

/* Committed: what the worker knows is what the catalogue says. */
static void
accept_positions(Batch *batch)
{
	Ingest *ingest = batch->ingest;
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < batch->n; i++)
	{
		IngestPartition *partition = &ingest->partitions[batch->records[i].partition];

		partition->quiet_since = now;
		partition->last_timestamp_ms = batch->records[i].timestamp_ms;
	}
	for (int i = 0; i < ingest->npartitions; i++)
	{
		IngestPartition *partition = &ingest->partitions[i];

		partition->next_offset = batch->changes[i].next_offset;
		partition->greatest = Max(partition->greatest, batch->changes[i].greatest);
		partition->idle = partition->wants_idle;
	}
}

static void
prepare_batch(Batch *batch)
{
	Ingest *ingest = batch->ingest;

	batch->current = -1;
	batch->rows = palloc(sizeof(RowSet));
	batch->late = palloc(sizeof(RowSet));
	batch->times = palloc(sizeof(Ticks) * Max(batch->n, 1));
	batch->changes = palloc0(sizeof(PartitionChange) * Max(ingest->npartitions, 1));
	for (int i = 0; i < ingest->npartitions; i++)
		batch->changes[i].greatest = TICKS_MIN;
}

/* Everything between the begin and the commit; false: roll back. */
static bool
work_off(Batch *batch)
{
	Identity worker;

	if (batch->n > 0)
	{
		if (!open_tables(batch))
			return false;
		become_role(batch->ingest, &worker);
		begin_inserting(batch);
		ingest_records(batch);
		become_worker(&worker);
		if (batch->ntimes > 0)
		{
			CommandCounterIncrement();
			writes_happened(batch->ingest->stream, batch->times, batch->ntimes);
		}
		write_dead_letters(batch);
		close_tables(batch);
	}
	note_positions(batch);
	return ingest_save_changes(batch->ingest, batch->changes);
}

bool
ingest_batch(Ingest *ingest, KafkaRecord *records, int n)
{
	Batch batch = {.ingest = ingest, .records = records, .n = n};
	ErrorContextCallback callback = {.callback = batch_error_context, .arg = &batch};
	MemoryContext old = MemoryContextSwitchTo(ingest->batch_context);
	bool ok;

	prepare_batch(&batch);
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	catalog_start_transaction();
	MemoryContextSwitchTo(ingest->batch_context);
	PushActiveSnapshot(GetTransactionSnapshot());
	ok = work_off(&batch);
	PopActiveSnapshot();
	if (ok)
	{
		CommitTransactionCommand();
		accept_positions(&batch);
	}
	else
		AbortCurrentTransaction();

	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	MemoryContextReset(ingest->batch_context);
	return ok;
}
