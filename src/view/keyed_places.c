/*
 * keyed_places.c: what queries find in the table of a keyed view, taken row by row; rows that are to go.
 *
 * A correction finds the rows that others take the place of before it writes those, by a query, and deletes them after that. Who calls holds
 * the view's correction lock: nobody else writes to the table.
 */
#include "tidemark.h"

#include "access/table.h"
#include "access/tableam.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "view/keyed_places.h"
#include "view/materialised.h"

/* What comes of a query. */
typedef struct Collector
{
	DestReceiver receiver; /* first */
	Query *query;
	void (*take)(TupleTableSlot *slot, void *result);
	void *result;
} Collector;

static bool
collect_row(TupleTableSlot *slot, DestReceiver *receiver)
{
	Collector *self = (Collector *) receiver;

	slot_getallattrs(slot);
	self->take(slot, self->result);
	return true;
}

static void
start_collector(DestReceiver *receiver, int operation, TupleDesc type)
{
}

static void
end_collector(DestReceiver *receiver)
{
}

static void
run_collector(DestReceiver *inserts, void *arg)
{
	Collector *self = arg;

	materialised_run(&self->receiver, self->query);
}

void
keyed_collect(const ContinuousView *view, Query *query,
			  void (*take)(TupleTableSlot *slot, void *result), void *result)
{
	Collector self = {.receiver = {.receiveSlot = collect_row,
								   .rStartup = start_collector,
								   .rShutdown = end_collector,
								   .rDestroy = end_collector,
								   .mydest = DestNone},
					  .query = query,
					  .take = take,
					  .result = result};

	(void) materialised_receive(view, run_collector, &self);
}

static void
take_place(TupleTableSlot *slot, void *result)
{
	Places *self = result;

	if (self->n == self->size)
	{
		Size size = sizeof(ItemPointerData) * Max(self->size * 2, 64);

		self->places = self->places ? repalloc_huge(self->places, size)
									: MemoryContextAlloc(self->context, size);
		self->size = Max(self->size * 2, 64);
	}
	self->places[self->n++] = *(ItemPointer) DatumGetPointer(slot->tts_values[0]);
}

Places
keyed_places(const ContinuousView *view, Query *query)
{
	Places places = {.context = CurrentMemoryContext};

	keyed_collect(view, query, take_place, &places);
	return places;
}

void
keyed_delete_places(const ContinuousView *view, const Places *places)
{
	Relation rel = table_open(view->mat, RowExclusiveLock);

	for (int i = 0; i < places->n; i++)
	{
		ItemPointerData place = places->places[i];

		simple_table_tuple_delete(rel, &place, GetActiveSnapshot());
	}
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/* ---- rows ---------------------------------------------------------------------------------------- */

typedef struct Rows
{
	MemoryContext context;
	HeapTuple *rows;
	int n;
	int max;
} Rows;

static void
take_row(TupleTableSlot *slot, void *result)
{
	Rows *self = result;
	MemoryContext old = MemoryContextSwitchTo(self->context);

	if (self->n < self->max)
		self->rows[self->n] = ExecCopySlotHeapTuple(slot);
	self->n++;
	MemoryContextSwitchTo(old);
}

HeapTuple *
keyed_rows(const ContinuousView *view, Query *query, int max, int *n)
{
	Rows rows = {.context = CurrentMemoryContext, .max = max};

	rows.rows = palloc(sizeof(HeapTuple) * Max(max, 1));
	keyed_collect(view, query, take_row, &rows);
	*n = Min(rows.n, max);
	return rows.n > max ? NULL : rows.rows;
}
