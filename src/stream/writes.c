/*
 * writes.c: who wrote below the frontier.
 *
 * Every statement that writes to a stream comes through writes_happened: from triggers on the stream's table
 * and on each of its partitions (a statement on a partition fires the partition's triggers, one
 * on the parent the parent's), or called by the ingest worker. In event-time order it costs a lock that
 * conflicts with no writer's, and one comparison with the guard (view/frontier.c); no view is looked at.
 *
 * Triggers, all of them ENABLE ALWAYS, so that session_replication_role does not silence them:
 *   statement, INSERT/UPDATE/DELETE, with transition tables: the event times of the rows before and after
 *   statement, TRUNCATE: views are emptied with it
 *   row, only in logical replication's apply worker, which fires no statement triggers
 *
 * What a MERGE moves between partitions no trigger sees: stream/merges.c.
 */
#include "tidemark.h"

#include "access/table.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "stream/writes.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "view/correct.h"
#include "view/frontier.h"
#include "view/keys.h"
#include "worker/worker.h"

/* Event times at or below the guard. */
typedef struct LateTimes
{
	Ticks guard;
	bool inserted; /* rows were inserted, none changed or deleted */
	Ticks *times;
	int n;
	int size;
	Tuplestorestate
		*rows; /* of others: the rows, in the stream's columns; NULL: not known, or many */
	TupleDesc columns;
} LateTimes;

static void
note_time(LateTimes *late, Ticks time)
{
	if (time > late->guard)
		return;
	if (late->n == late->size)
	{
		late->size = Max(late->size * 2, 64);
		late->times =
			late->times ? repalloc_huge(late->times, sizeof(Ticks) * late->size)
						: MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Ticks) * late->size);
	}
	late->times[late->n++] = time;
}

/* The stream's lock, then its guard: in this order (view/frontier.c). */
static LateTimes
begin_write(Oid stream)
{
	LateTimes late = {0};

	frontier_lock_stream(stream);
	late.guard = frontier_guard(stream);
	worker_nudge_at_commit();
	return late;
}

static void
end_write(Oid stream, LateTimes *late)
{
	Written written = {.times = late->times,
					   .n = late->n,
					   .inserted = late->inserted,
					   .rows = late->n <= KEYS_MAX_ROWS ? late->rows : NULL,
					   .columns = late->columns};
	List *views;
	ListCell *cell;

	if (late->n == 0)
		return;
	qsort(late->times, late->n, sizeof(Ticks), ticks_compare);
	AcceptInvalidationMessages();
	views = views_of_stream(stream);
	/* partitions that this statement did not touch: before views' locks, as for who truncates one */
	if (views != NIL)
		frontier_lock_tables(stream);
	foreach (cell, views)
		correct_view(lfirst_oid(cell), &written);
	pfree(late->times);
}

void
writes_happened(Oid stream, Ticks *times, int n)
{
	LateTimes late = begin_write(stream);

	late.inserted = true;
	for (int i = 0; i < n; i++)
		note_time(&late, times[i]);
	end_write(stream, &late);
}

/* ---- triggers ---------------------------------------------------------------------------------- */

PG_FUNCTION_INFO_V1(tidemark_on_write);
PG_FUNCTION_INFO_V1(tidemark_on_replicated_row);

/* The stream that a table is, or is a partition of. */
static bool
stream_of_table(Relation rel, Stream *stream)
{
	ListCell *cell;

	if (stream_lookup(RelationGetRelid(rel), stream))
		return true;
	if (!rel->rd_rel->relispartition)
		return false;
	foreach (cell, get_partition_ancestors(RelationGetRelid(rel)))
		if (stream_lookup(lfirst_oid(cell), stream))
			return true;
	return false;
}

/* The event time's attribute number in the stream's table or a partition of it. */
static AttrNumber
time_attnum_in(Relation rel, const Stream *stream)
{
	if (RelationGetRelid(rel) == stream->relid)
		return stream->attnum;
	return get_attnum(RelationGetRelid(rel), get_attname(stream->relid, stream->attnum, false));
}

static void
note_slot(LateTimes *late, TupleTableSlot *slot, AttrNumber attnum, Oid type)
{
	bool isnull;
	Datum value = slot_getattr(slot, attnum, &isnull);

	if (!isnull) /* NOT NULL; a transition row of a BEFORE trigger's making has passed it too */
		note_time(late, event_time_ticks(type, value));
}

/* Rows of a partition are kept as the stream's table has them. */
typedef struct RowKeeper
{
	TupleConversionMap *map; /* NULL: they are so already */
	TupleTableSlot *mapped;
} RowKeeper;

static RowKeeper
keep_rows_of(LateTimes *late, Relation rel, const Stream *stream)
{
	RowKeeper keeper = {0};
	Relation table = table_open(stream->relid, AccessShareLock);

	if (late->rows == NULL)
	{
		late->rows = tuplestore_begin_heap(false, false, work_mem);
		late->columns = CreateTupleDescCopy(RelationGetDescr(table));
	}
	keeper.map = convert_tuples_by_name(RelationGetDescr(rel), late->columns);
	if (keeper.map)
		keeper.mapped = MakeSingleTupleTableSlot(late->columns, &TTSOpsVirtual);
	table_close(table, NoLock);
	return keeper;
}

static void
keep_row(LateTimes *late, RowKeeper *keeper, TupleTableSlot *slot)
{
	if (keeper->map)
		slot = execute_attr_map_slot(keeper->map->attrMap, slot, keeper->mapped);
	tuplestore_puttupleslot(late->rows, slot);
}

static void
note_transition_table(LateTimes *late, Tuplestorestate *rows, Relation rel, const Stream *stream)
{
	AttrNumber attnum = time_attnum_in(rel, stream);
	RowKeeper keeper = {0};
	TupleTableSlot *slot;

	if (rows == NULL)
		return;
	slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	if (!late->inserted)
		keeper = keep_rows_of(late, rel, stream);
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		int n = late->n;

		note_slot(late, slot, attnum, stream->time_type);
		if (!late->inserted && n < late->n && n < KEYS_MAX_ROWS)
			keep_row(late, &keeper, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* The stream's views start anew, or are emptied with it. */
static void
correct_all(Oid stream, bool emptied)
{
	ListCell *cell;

	(void) begin_write(stream);
	AcceptInvalidationMessages();
	foreach (cell, views_of_stream(stream))
	{
		if (emptied)
			correct_truncated(lfirst_oid(cell));
		else
			correct_restart(lfirst_oid(cell));
	}
}

bool
writes_are_of_stream(Oid table)
{
	Relation rel = table_open(table, NoLock);
	Stream stream;
	bool found = stream_of_table(rel, &stream);

	table_close(rel, NoLock);
	return found;
}

void
writes_unknown(Oid table)
{
	Relation rel = table_open(table, NoLock);
	Stream stream;

	if (stream_of_table(rel, &stream))
	{
		CommandCounterIncrement();
		correct_all(stream.relid, false);
	}
	table_close(rel, NoLock);
}

Datum
tidemark_on_write(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	LateTimes late;
	Stream stream;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("tidemark.on_write is for AFTER ... FOR EACH STATEMENT triggers")));
	if (!stream_of_table(trigger->tg_relation, &stream))
		return PointerGetDatum(NULL);
	CommandCounterIncrement();
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
	{
		correct_all(stream.relid, RelationGetRelid(trigger->tg_relation) == stream.relid);
		return PointerGetDatum(NULL);
	}
	late = begin_write(stream.relid);
	late.inserted = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	note_transition_table(&late, trigger->tg_oldtable, trigger->tg_relation, &stream);
	note_transition_table(&late, trigger->tg_newtable, trigger->tg_relation, &stream);
	end_write(stream.relid, &late);
	return PointerGetDatum(NULL);
}

Datum
tidemark_on_replicated_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	AttrNumber attnum;
	LateTimes late;
	Stream stream;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("tidemark.on_replicated_row is for AFTER ... FOR EACH ROW triggers")));
	if (!IsLogicalWorker() || !stream_of_table(trigger->tg_relation, &stream))
		return PointerGetDatum(NULL);
	CommandCounterIncrement();
	attnum = time_attnum_in(trigger->tg_relation, &stream);
	late = begin_write(stream.relid);
	late.inserted = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	note_slot(&late, trigger->tg_trigslot, attnum, stream.time_type);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		note_slot(&late, trigger->tg_newslot, attnum, stream.time_type);
	end_write(stream.relid, &late);
	return PointerGetDatum(NULL);
}
