/*
 * ingest_catalog.c: what the catalogue knows of an ingestion: tidemark.ingest and ingest_partition.
 *
 * The positions are the heart of exactly-once: a batch moves them in the transaction that writes its
 * rows, from the offsets where the worker read them to those where it stopped reading. The UPDATE names the old offsets: if
 * anybody else has moved them (a second worker, a user who skips records), it finds no row and the batch is given up. It
 * locks the ingestion's row too, so that after the commit of pause_ingest or stop_ingest no batch can follow.
 *
 * All statements here run in the worker, as superuser, with search_path = pg_catalog.
 */
#include "tidemark.h"

#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "stream/ingest.h"

/* ---- SPI in small ---- */

static void
prepare(SPIPlanPtr *plan, const char *statement, int nargs, Oid *types)
{
	if (*plan)
		return;
	*plan = SPI_prepare(statement, nargs, types);
	if (*plan == NULL || SPI_keepplan(*plan) != 0)
		elog(ERROR, "preparing \"%s\" failed: %s", statement, SPI_result_code_string(SPI_result));
}

static void
execute(SPIPlanPtr plan, Datum *values, const char *nulls, int expected)
{
	int result = SPI_execute_plan(plan, values, nulls, false, 0);

	if (result != expected)
		elog(ERROR, "a statement on the catalogue failed: %s", SPI_result_code_string(result));
}

static int64
column(uint64 row, int number, int64 if_null, bool is_int4)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, &isnull);

	if (isnull)
		return if_null;
	return is_int4 ? DatumGetInt32(value) : DatumGetInt64(value);
}

static Oid
oid_column(uint64 row, int number)
{
	bool isnull;

	return DatumGetObjectId(
		SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, &isnull));
}

static bool
bool_column(uint64 row, int number)
{
	bool isnull;

	return DatumGetBool(
		SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, &isnull));
}

/* ---- reading ---- */

static IngestStart
start_of(const char *name)
{
	if (strcmp(name, "latest") == 0)
		return START_LATEST;
	if (strcmp(name, "timestamp") == 0)
		return START_TIMESTAMP;
	if (strcmp(name, "offsets") == 0)
		return START_OFFSETS;
	return START_EARLIEST;
}

static bool
load_ingest(Ingest *ingest)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(ingest->id)};

	prepare(&plan,
			"SELECT i.topic::oid, i.stream::oid, i.role::oid, t.relname, c.relname,"
			" CASE jsonb_typeof(i.start_at) WHEN 'string' THEN i.start_at #>> '{}'"
			" ELSE (SELECT k FROM jsonb_object_keys(i.start_at) k) END,"
			" (i.start_at ->> 'timestamp')::int8, i.skip_lost,"
			" (extract(epoch FROM s.idle_timeout) * 1000000)::int8"
			" FROM tidemark.ingest i JOIN tidemark.stream s ON s.relid = i.stream"
			" JOIN pg_class t ON t.oid = i.topic JOIN pg_class c ON c.oid = i.stream"
			" WHERE i.id = $1 AND NOT i.paused",
			1, types);
	execute(plan, values, NULL, SPI_OK_SELECT);
	if (SPI_processed == 0)
		return false;
	ingest->topic = oid_column(0, 1);
	ingest->stream = oid_column(0, 2);
	ingest->role = oid_column(0, 3);
	strlcpy(ingest->topic_table, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4),
			NAMEDATALEN);
	strlcpy(ingest->stream_table, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 5),
			NAMEDATALEN);
	ingest->start = start_of(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 6));
	ingest->start_ms = column(0, 7, 0, false);
	ingest->skip_lost = bool_column(0, 8);
	ingest->idle_timeout = column(0, 9, -1, false);
	return true;
}

static void
load_partitions(Ingest *ingest)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(ingest->id)};
	TimestampTz now = GetCurrentTimestamp();

	prepare(&plan,
			"SELECT partition, next_offset, greatest, idle FROM tidemark.ingest_partition"
			" WHERE ingest = $1 ORDER BY partition",
			1, types);
	execute(plan, values, NULL, SPI_OK_SELECT);
	ingest->npartitions = SPI_processed;
	ingest->partitions =
		MemoryContextAllocZero(ingest->context, sizeof(IngestPartition) * (SPI_processed + 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		IngestPartition *partition = &ingest->partitions[i];

		if (column(i, 1, -1, true) != (int64) i)
			elog(ERROR, "tidemark.ingest_partition has a gap before partition %lld",
				 (long long) column(i, 1, -1, true));
		partition->next_offset = column(i, 2, 0, false);
		partition->greatest = column(i, 3, TICKS_MIN, false);
		partition->idle = partition->wants_idle = bool_column(i, 4);
		partition->quiet_since = now;
		partition->last_timestamp_ms = -1;
	}
}

bool
ingest_load(Ingest *ingest)
{
	bool found;

	catalog_begin_transaction();
	found = load_ingest(ingest);
	if (found)
		load_partitions(ingest);
	catalog_end_transaction();
	return found;
}

int64
ingest_start_offset(Ingest *ingest, int32 partition)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID, INT4OID};
	Datum values[] = {Int32GetDatum(ingest->id), Int32GetDatum(partition)};
	int64 offset;

	catalog_begin_transaction();
	prepare(&plan,
			"SELECT (start_at -> 'offsets' ->> $2::text)::int8 FROM tidemark.ingest WHERE id = $1",
			2, types);
	execute(plan, values, NULL, SPI_OK_SELECT);
	offset = SPI_processed ? column(0, 1, -1, false) : -1;
	catalog_end_transaction();
	return offset;
}

/* ---- changing ---- */

void
ingest_add_partitions(Ingest *ingest, int n, const int64 *offsets)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID, INT4OID, INT8OID};

	catalog_begin_transaction();
	prepare(&plan,
			"INSERT INTO tidemark.ingest_partition (ingest, partition, next_offset)"
			" VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
			3, types);
	for (int i = 0; i < n; i++)
	{
		Datum values[] = {Int32GetDatum(ingest->id), Int32GetDatum(ingest->npartitions + i),
						  Int64GetDatum(offsets[i])};

		execute(plan, values, NULL, SPI_OK_INSERT);
	}
	load_partitions(ingest);
	catalog_end_transaction();
}

void
ingest_start_from_beginning(Ingest *ingest)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(ingest->id)};

	catalog_begin_transaction();
	prepare(&plan,
			"UPDATE tidemark.ingest SET start_at = '\"earliest\"'"
			" WHERE id = $1 AND start_at = '\"latest\"'",
			1, types);
	execute(plan, values, NULL, SPI_OK_UPDATE);
	catalog_end_transaction();
	ingest->start = START_EARLIEST;
}

void
ingest_skip_lost(Ingest *ingest, int n, const int64 *first, const int64 *end, bool new_topic)
{
	static SPIPlanPtr move = NULL;
	static SPIPlanPtr forget = NULL;
	static SPIPlanPtr done = NULL;
	Oid types[] = {INT4OID, INT4OID, INT8OID, INT8OID, BOOLOID};

	catalog_begin_transaction();
	prepare(&move,
			"UPDATE tidemark.ingest_partition SET next_offset = $3 WHERE ingest = $1"
			" AND partition = $2 AND ($5 OR next_offset NOT BETWEEN $3 AND $4)",
			5, types);
	prepare(&forget, "DELETE FROM tidemark.ingest_partition WHERE ingest = $1 AND partition >= $2",
			2, types);
	prepare(&done, "UPDATE tidemark.ingest SET skip_lost = false WHERE id = $1", 1, types);
	for (int i = 0; i < n; i++)
	{
		Datum values[] = {Int32GetDatum(ingest->id), Int32GetDatum(i), Int64GetDatum(first[i]),
						  Int64GetDatum(end[i]), BoolGetDatum(new_topic)};

		execute(move, values, NULL, SPI_OK_UPDATE);
	}
	{
		Datum values[] = {Int32GetDatum(ingest->id), Int32GetDatum(n)};

		execute(forget, values, NULL, SPI_OK_DELETE);
		execute(done, values, NULL, SPI_OK_UPDATE);
	}
	load_partitions(ingest);
	catalog_end_transaction();
	ingest->skip_lost = false;
}

void
ingest_record_error(int32 id, const char *message)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID, TEXTOID};
	Datum values[2];

	catalog_begin_transaction();
	prepare(&plan,
			"UPDATE tidemark.ingest SET last_error = $2, last_error_at = clock_timestamp()"
			" WHERE id = $1",
			2, types);
	values[0] = Int32GetDatum(id);
	values[1] = CStringGetTextDatum(message);
	execute(plan, values, NULL, SPI_OK_UPDATE);
	catalog_end_transaction();
}

/* ---- a batch's end, in its transaction ---- */

/* Locks the ingestion against pausing and stopping until the batch has ended. */
static bool
still_wanted(Ingest *ingest)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(ingest->id)};

	prepare(&plan, "SELECT FROM tidemark.ingest WHERE id = $1 AND NOT paused FOR SHARE", 1, types);
	execute(plan, values, NULL, SPI_OK_SELECT);
	return SPI_processed == 1;
}

static bool
save_change(Ingest *ingest, int32 number, const PartitionChange *change)
{
	static SPIPlanPtr plan = NULL;
	const IngestPartition *partition = &ingest->partitions[number];
	Oid types[] = {INT4OID, INT4OID, INT8OID, INT8OID, INT8OID, BOOLOID,
				   INT8OID, INT8OID, INT8OID, INT8OID, INT8OID};
	char nulls[] = "           ";
	Datum values[] = {Int32GetDatum(ingest->id),
					  Int32GetDatum(number),
					  Int64GetDatum(partition->next_offset),
					  Int64GetDatum(change->next_offset),
					  Int64GetDatum(change->greatest),
					  BoolGetDatum(partition->wants_idle),
					  Int64GetDatum(change->records),
					  Int64GetDatum(change->late_kept),
					  Int64GetDatum(change->late_dropped),
					  Int64GetDatum(change->late_diverted),
					  Int64GetDatum(change->dead)};

	if (change->greatest == TICKS_MIN)
		nulls[4] = 'n';
	prepare(&plan,
			"UPDATE tidemark.ingest_partition SET next_offset = $4,"
			" greatest = greatest(greatest, $5), idle = $6, records = records + $7,"
			" late_kept = late_kept + $8, late_dropped = late_dropped + $9,"
			" late_diverted = late_diverted + $10, dead = dead + $11"
			" WHERE ingest = $1 AND partition = $2 AND next_offset = $3",
			11, types);
	execute(plan, values, nulls, SPI_OK_UPDATE);
	return SPI_processed == 1;
}

bool
ingest_save_changes(Ingest *ingest, const PartitionChange *changes)
{
	bool ok;

	SPI_connect();
	ok = still_wanted(ingest);
	for (int i = 0; i < ingest->npartitions && ok; i++)
		if (changes[i].changed)
			ok = save_change(ingest, i, &changes[i]);
	SPI_finish();
	return ok;
}
