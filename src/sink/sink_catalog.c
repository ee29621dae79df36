/*
 * sink_catalog.c: what the catalogue knows of a sink: tidemark.sink.
 *
 * Its position there is at or behind the one that the target has: it is written after the target has committed. It is for
 * display, and says up to where the log of the view's corrections is no longer needed. Where the target keeps no position, it is
 * the position.
 *
 * All statements here run in the worker, as superuser, with search_path = pg_catalog, each in a transaction of its own.
 */
#include "tidemark.h"

#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "sink/sink.h"

static Datum
column(int number)
{
	bool isnull;

	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, &isnull);
}

static void
load_key(Sink *sink)
{
	bool isnull;
	Datum key = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 19, &isnull);
	MemoryContext old = MemoryContextSwitchTo(sink->context);

	if (!isnull)
		sink->key = sink_key(key);
	MemoryContextSwitchTo(old);
}

bool
sink_load(Sink *sink)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(sink->id)};
	bool found;

	catalog_begin_transaction();
	if (SPI_execute_with_args(
			"SELECT s.view::oid, s.mat::oid, s.topic::oid, s.role::oid, v.relname, t.relname, "
			"s.position_lost,"
			" s.frontier, s.seq, s.commits, s.records, s.ignored, s.mode, s.corrections, "
			"s.delivery, s.announced, s.envelope, s.present_to, s.key"
			" FROM tidemark.sink s"
			" JOIN pg_class v ON v.oid = s.view JOIN pg_class t ON t.oid = s.topic"
			" WHERE s.id = $1 AND NOT s.paused",
			1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "reading tidemark.sink failed");
	found = SPI_processed == 1;
	if (found)
	{
		sink->view = DatumGetObjectId(column(1));
		sink->mat = DatumGetObjectId(column(2));
		sink->topic = DatumGetObjectId(column(3));
		sink->role = DatumGetObjectId(column(4));
		strlcpy(sink->view_name, NameStr(*DatumGetName(column(5))), NAMEDATALEN);
		strlcpy(sink->topic_name, NameStr(*DatumGetName(column(6))), NAMEDATALEN);
		sink->position_lost = DatumGetBool(column(7));
		sink->position = (SinkPosition){
			.feed = {.frontier = DatumGetInt64(column(8)), .seq = DatumGetInt64(column(9))},
			.commits = DatumGetInt64(column(10)),
			.records = DatumGetInt64(column(11)),
			.ignored = DatumGetInt64(column(12))};
		sink->mode = sink_mode(TextDatumGetCString(column(13)));
		sink->corrections = sink_corrections(TextDatumGetCString(column(14)));
		sink->delivery = sink_delivery(TextDatumGetCString(column(15)));
		sink->announced = DatumGetInt64(column(16));
		sink->envelope = sink_envelope(TextDatumGetCString(column(17)));
		sink->present_to = DatumGetInt64(column(18));
		load_key(sink);
	}
	catalog_end_transaction();
	return found;
}

bool
sink_save(Sink *sink, bool caught_up)
{
	const SinkPosition *position = &sink->position;
	Oid types[] = {INT4OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, BOOLOID};
	Datum values[] = {Int32GetDatum(sink->id),
					  Int64GetDatum(position->feed.frontier),
					  Int64GetDatum(position->feed.seq),
					  Int64GetDatum(position->commits),
					  Int64GetDatum(position->records),
					  Int64GetDatum(position->ignored),
					  BoolGetDatum(caught_up)};
	bool wanted;

	catalog_begin_transaction();
	if (SPI_execute_with_args(
			"UPDATE tidemark.sink SET frontier = $2, seq = $3, commits = $4, records = $5,"
			" ignored = $6, position_lost = false,"
			" caught_up_at = CASE WHEN $7 THEN clock_timestamp() ELSE caught_up_at END"
			" WHERE id = $1 RETURNING paused",
			7, types, values, NULL, false, 0) != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "writing tidemark.sink failed");
	wanted = SPI_processed == 1 && !DatumGetBool(column(1));
	if (wanted && sink->trimmed_to < position->feed.seq)
	{
		feed_trim(&sink->feed.view);
		sink->trimmed_to = position->feed.seq;
	}
	catalog_end_transaction();
	return wanted;
}

void
sink_announce(Sink *sink)
{
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(sink->id)};

	catalog_begin_transaction();
	if (SPI_execute_with_args(
			"UPDATE tidemark.sink s SET announced = f.frontier FROM tidemark.frontier f"
			" WHERE s.id = $1 AND f.relid = s.view AND f.frontier > s.announced"
			" RETURNING s.announced",
			1, types, values, NULL, false, 0) != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "writing tidemark.sink failed");
	if (SPI_processed == 1)
		sink->announced = DatumGetInt64(column(1));
	catalog_end_transaction();
}

void
sink_record_error(int32 id, const char *message)
{
	Oid types[] = {INT4OID, TEXTOID};
	Datum values[2];

	catalog_begin_transaction();
	values[0] = Int32GetDatum(id);
	values[1] = CStringGetTextDatum(message);
	if (SPI_execute_with_args("UPDATE tidemark.sink SET last_error = $2,"
							  " last_error_at = clock_timestamp() WHERE id = $1",
							  2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "writing tidemark.sink failed");
	catalog_end_transaction();
}
