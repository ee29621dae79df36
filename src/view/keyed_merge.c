/*
 * keyed_merge.c: rows of the stream merged into the rows that a keyed view keeps.
 *
 *   rows that come, sorted by key and order:   a3 a5 a9 | b2 | c1 c4          limit 2
 *   the table, looked up key by key:           a1       |    | c2 c3
 *   kept of both:                              a1 a3    | b2 | c1 c2
 *   written:                                   +a3      | +b2| c3 becomes c1
 *
 * The keys come sorted, so the look-ups go through the index from left to right: pages are read once, however many keys there are
 * in the table, and a row that changes nothing costs its look-up. What is overtaken is updated in place of being deleted
 * where a row takes its place; with room in the page no index is touched (HOT).
 *
 * Late rows come in two kinds. Where rows were inserted, all rows of the stream with those event times come, also those that are kept
 * already: kept rows with those times count only if they come again, and are left alone if they do. Where rows
 * were changed or deleted, all rows of the keys concerned come, likewise.
 *
 * Who calls holds the view's correction lock: nobody else writes to the table.
 */
#include "tidemark.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "aggregate/images.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/sortsupport.h"
#include "view/keyed_lookup.h"
#include "view/keyed_merge.h"
#include "view/materialised.h"
#include "view/query_parts.h"

/* A row of the inputs. */
typedef struct Row
{
	HeapTuple tuple; /* a copy; its t_self is where a stored one is */
	Datum *values;
	bool *nulls;
	bool stored;
	bool again; /* stored, and comes again if it is still there */
	bool kept;
} Row;

typedef struct Rows
{
	Row *rows;
	int n;
	int size;
} Rows;

/* How to compare columns of two rows. */
typedef struct Comparison
{
	int n;
	AttrNumber *columns;
	SortSupportData *support;
} Comparison;

/* How to compare the columns that an order leaves open, by their images. */
typedef struct Ties
{
	int n;
	AttrNumber *columns;
	Images images;
} Ties;

typedef struct Merge
{
	DestReceiver receiver; /* first */
	const Keyed *keyed;
	const KeyedArrival *arrival;
	KeyedChanges *changes; /* or NULL */
	DestReceiver *inserts; /* into the table, in bulk */
	Query *input;
	Oid mat;

	Relation rel;
	KeyedLookup *lookup;
	EState *estate;
	ResultRelInfo *result; /* for updates */
	TupleTableSlot *stored_slot;
	TupleTableSlot *new_slot;

	Comparison keys;
	Comparison order;
	Ties ties;

	MemoryContext context; /* of the whole merge */
	MemoryContext group;   /* of the rows of the current key */
	Rows coming;		   /* of it */
	int64 last_rank;	   /* of the last of them, among them */
	Rows pool;			   /* those, and the stored ones; empty between keys */

	Row *whole; /* the arrival's keys, sorted, each once; NULL: none are given */
	int nwhole;
	int next_whole;

	int64 deleted;
} Merge;

/* ---- comparing ---------------------------------------------------------------------------------- */

static Comparison
make_comparison(const Keyed *keyed, const List *columns)
{
	Comparison comparison = {.n = list_length(columns)};
	ListCell *cell;

	comparison.columns = palloc(sizeof(AttrNumber) * (comparison.n + 1));
	comparison.support = palloc0(sizeof(SortSupportData) * (comparison.n + 1));
	foreach (cell, columns)
	{
		const KeyedColumn *column = lfirst(cell);
		SortSupport support = &comparison.support[foreach_current_index(cell)];

		comparison.columns[foreach_current_index(cell)] = column->column;
		support->ssup_cxt = CurrentMemoryContext;
		support->ssup_collation = exprCollation(list_nth(keyed->inputs, column->column - 1));
		support->ssup_nulls_first = column->nulls_first;
		PrepareSortSupportFromOrderingOp(column->ordering, support);
	}
	return comparison;
}

static int
compare_values(const Comparison *comparison, const Datum *a, const bool *a_nulls, const Datum *b,
			   const bool *b_nulls)
{
	for (int i = 0; i < comparison->n; i++)
	{
		int column = comparison->columns[i] - 1;
		int result = ApplySortComparator(a[column], a_nulls[column], b[column], b_nulls[column],
										 &comparison->support[i]);

		if (result != 0)
			return result;
	}
	return 0;
}

static int
compare_by(const Comparison *comparison, const Row *a, const Row *b)
{
	return compare_values(comparison, a->values, a->nulls, b->values, b->nulls);
}

static int
compare_keys(const void *left, const void *right, void *arg)
{
	return compare_by(&((Merge *) arg)->keys, left, right);
}

static Ties
make_ties(const Keyed *keyed)
{
	Ties ties = {.n = list_length(keyed->ties)};
	Oid types[MaxTupleAttributeNumber];
	Oid collations[MaxTupleAttributeNumber];
	ListCell *cell;

	ties.columns = palloc(sizeof(AttrNumber) * (ties.n + 1));
	foreach (cell, keyed->ties)
	{
		int i = foreach_current_index(cell);
		Node *input = list_nth(keyed->inputs, lfirst_int(cell) - 1);

		ties.columns[i] = lfirst_int(cell);
		types[i] = exprType(input);
		collations[i] = exprCollation(input);
	}
	ties.images = images_of_types(ties.n, types, collations);
	return ties;
}

/* The row's columns that are compared by their images. */
static void
tied_columns(const Ties *ties, const Row *row, Datum *values, bool *nulls)
{
	for (int i = 0; i < ties->n; i++)
	{
		values[i] = row->values[ties->columns[i] - 1];
		nulls[i] = row->nulls[ties->columns[i] - 1];
	}
}

static int
compare_ties(Ties *ties, const Row *a, const Row *b)
{
	Datum values[2][MaxTupleAttributeNumber];
	bool nulls[2][MaxTupleAttributeNumber];

	tied_columns(ties, a, values[0], nulls[0]);
	tied_columns(ties, b, values[1], nulls[1]);
	return images_compare(&ties->images, values[0], nulls[0], values[1], nulls[1]);
}

/* In the whole order. */
static int
compare_rows(const void *left, const void *right, void *arg)
{
	const Row *a = left;
	const Row *b = right;
	Merge *self = arg;
	int result = compare_by(&self->order, a, b);

	if (result == 0 && self->ties.n > 0)
		result = compare_ties(&self->ties, a, b);
	return result;
}

/* Are the rows the same, bit by bit? */
static bool
is_same(Merge *self, const Row *a, const Row *b)
{
	TupleDesc columns = RelationGetDescr(self->rel);

	for (int i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, i);

		if (a->nulls[i] != b->nulls[i] ||
			(!a->nulls[i] &&
			 !datum_image_eq(a->values[i], b->values[i], column->attbyval, column->attlen)))
			return false;
	}
	return true;
}

/* ---- rows --------------------------------------------------------------------------------------- */

/* The list's memory is used again from key to key. */
static Rows
make_rows(void)
{
	Rows rows = {.size = 16};

	rows.rows = palloc(sizeof(Row) * rows.size);
	return rows;
}

static void
add_row(Rows *rows, const Row *row)
{
	if (rows->n == rows->size)
	{
		rows->size *= 2;
		rows->rows = repalloc_huge(rows->rows, sizeof(Row) * rows->size);
	}
	rows->rows[rows->n++] = *row;
}

static Row
make_row(HeapTuple tuple, TupleDesc columns, bool stored)
{
	Row row = {.tuple = tuple, .stored = stored};

	row.values = palloc(sizeof(Datum) * columns->natts);
	row.nulls = palloc(sizeof(bool) * columns->natts);
	heap_deform_tuple(tuple, columns, row.values, row.nulls);
	return row;
}

/* Copies the row in the slot into the context of the group. */
static void
copy_row(Merge *self, Rows *rows, TupleTableSlot *slot, bool stored)
{
	MemoryContext old = MemoryContextSwitchTo(self->group);
	HeapTuple tuple = ExecCopySlotHeapTuple(slot);
	Row row = make_row(tuple, RelationGetDescr(self->rel), stored);

	if (stored)
		ItemPointerCopy(&slot->tts_tid, &tuple->t_self);
	MemoryContextSwitchTo(old);
	add_row(rows, &row);
}

/* ---- stored rows -------------------------------------------------------------------------------- */

/* Copies the stored rows of this row's key into the pool. */
static void
fetch_stored(Merge *self, const Row *key)
{
	Assert(CurrentMemoryContext == self->context);
	keyed_lookup_seek(self->lookup, key->values, key->nulls);
	while (keyed_lookup_next(self->lookup, self->stored_slot))
		copy_row(self, &self->pool, self->stored_slot, true);
}

/* Is a row of this row's key stored? */
static bool
is_stored(Merge *self, const Row *key)
{
	bool found;

	Assert(CurrentMemoryContext == self->context);
	keyed_lookup_seek(self->lookup, key->values, key->nulls);
	found = keyed_lookup_next(self->lookup, self->stored_slot);
	ExecClearTuple(self->stored_slot);
	return found;
}

/* ---- writing ------------------------------------------------------------------------------------ */

static void
note_change(Merge *self, const Row *row)
{
	KeyedChanges *changes = self->changes;

	if (changes == NULL)
		return;
	if (changes->n == changes->size)
	{
		changes->size *= 2;
		changes->times = repalloc_huge(changes->times, sizeof(Ticks) * changes->size);
	}
	changes->times[changes->n++] =
		event_time_ticks(self->keyed->stream.time_type, row->values[KEYED_TIME_COLUMN - 1]);
}

static void
note_removal(Merge *self)
{
	if (self->changes)
		self->changes->removed = true;
}

static void
insert_row(Merge *self, const Row *row)
{
	MemoryContext old = MemoryContextSwitchTo(self->context);

	note_change(self, row);
	ExecStoreHeapTuple(row->tuple, self->new_slot, false);
	(void) self->inserts->receiveSlot(self->new_slot, self->inserts);
	MemoryContextSwitchTo(old);
}

static void
delete_row(Merge *self, const Row *row)
{
	note_change(self, row);
	note_removal(self);
	simple_table_tuple_delete(self->rel, &row->tuple->t_self, GetActiveSnapshot());
	self->deleted++;
}

/* Writes one row in the place of another of the same key. */
static void
replace_row(Merge *self, const Row *old, const Row *new)
{
	note_change(self, old);
	note_change(self, new);
	note_removal(self);
	ExecStoreHeapTuple(new->tuple, self->new_slot, false);
	if (!compat_update_row(self->rel, &old->tuple->t_self, self->new_slot, GetActiveSnapshot()))
		return;
	list_free(compat_insert_index_tuples(self->result, self->new_slot, self->estate));
	ResetPerTupleExprContext(self->estate);
}

/* The next row of the pool that is stored and not to be kept, or not stored and to be kept; NULL: none. */
static Row *
next_change(Merge *self, int *next, bool stored)
{
	while (*next < self->pool.n)
	{
		Row *row = &self->pool.rows[(*next)++];

		if (row->stored == stored && row->kept != stored)
			return row;
	}
	return NULL;
}

static void
write_changes(Merge *self)
{
	int next_old = 0;
	int next_new = 0;

	for (;;)
	{
		Row *old = next_change(self, &next_old, true);
		Row *new = next_change(self, &next_new, false);

		if (old && new)
			replace_row(self, old, new);
		else if (old)
			delete_row(self, old);
		else if (new)
			insert_row(self, new);
		else
			break;
	}
}

/* ---- a key -------------------------------------------------------------------------------------- */

/* The rank of a row behind n rows, the last of which has rank `last`, and is equal in the order or not. */
static int64
rank_behind(KeyedCount count, int64 n, int64 last, bool is_peer)
{
	switch (count)
	{
		case KEYED_RANK:
			return is_peer ? last : n + 1;
		case KEYED_DENSE_RANK:
			return is_peer ? last : last + 1;
		default:
			return n + 1;
	}
}

/* Marks what is kept of the pool, which is sorted, without the stored rows that come again. */
static void
keep_first(Merge *self)
{
	Row *last = NULL;
	int64 n = 0;
	int64 rank = 0;

	for (int i = 0; i < self->pool.n; i++)
	{
		Row *row = &self->pool.rows[i];

		if (row->again)
			continue;
		rank = rank_behind(self->keyed->count, n, rank,
						   last && compare_by(&self->order, last, row) == 0);
		if (rank > self->keyed->limit)
			break;
		row->kept = true;
		last = row;
		n++;
	}
}

/* Leaves the stored row where it is if this one is the same come again, and to be kept. False: no further one can be. */
static bool
leave_if_same(Merge *self, Row *stored, Row *coming)
{
	if (compare_by(&self->order, stored, coming) != 0)
		return false;
	if (!coming->stored && coming->kept && is_same(self, stored, coming))
	{
		stored->kept = true;
		coming->kept = false;
	}
	return !stored->kept;
}

/* A stored row that comes again, and is kept, stays: among its equals in the order there is one that is the same. */
static void
leave_what_comes_again(Merge *self)
{
	Row *rows = self->pool.rows;

	for (int i = 0; i < self->pool.n; i++)
	{
		if (!rows[i].again)
			continue;
		for (int j = i - 1; j >= 0 && leave_if_same(self, &rows[i], &rows[j]); j--)
			;
		for (int j = i + 1;
			 !rows[i].kept && j < self->pool.n && leave_if_same(self, &rows[i], &rows[j]); j++)
			;
	}
}

static bool
comes_again(const Merge *self, const Row *stored)
{
	const KeyedArrival *arrival = self->arrival;
	int low = 0;
	int high = arrival->ntimes;
	Ticks time;

	if (self->whole)
		return true;
	if (arrival->ntimes == 0)
		return false;
	time = event_time_ticks(self->keyed->stream.time_type, stored->values[KEYED_TIME_COLUMN - 1]);
	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (arrival->times[middle] < time)
			low = middle + 1;
		else
			high = middle;
	}
	return low < arrival->ntimes && arrival->times[low] == time;
}

/* Merges the rows of a key that have come (there may be none) with those that are stored, which are in the pool. */
static void
merge_pool(Merge *self)
{
	bool any_again = false;
	MemoryContext old = MemoryContextSwitchTo(self->group);

	for (int i = 0; i < self->pool.n; i++)
		any_again |= self->pool.rows[i].again = comes_again(self, &self->pool.rows[i]);
	for (int i = 0; i < self->coming.n; i++)
		add_row(&self->pool, &self->coming.rows[i]);
	if (self->pool.n > 1)
		qsort_arg(self->pool.rows, self->pool.n, sizeof(Row), compare_rows, self);
	keep_first(self);
	if (any_again)
		leave_what_comes_again(self);
	write_changes(self);
	MemoryContextSwitchTo(old);
	MemoryContextReset(self->group);
	self->pool.n = 0;
}

/* In a table with one row a key, which nothing overtakes, and none of which comes again, a row that is there stays. */
static bool
stored_row_stays(const Merge *self)
{
	return self->keyed->in_arrival_order && self->keyed->limit == 1 && self->keys.n > 0 &&
		   self->arrival->ntimes == 0 && self->whole == NULL;
}

static void
finish_key(Merge *self)
{
	const Row *key = &self->coming.rows[0];
	MemoryContext old;
	bool is_there = false;

	if (self->coming.n == 0)
		return;
	old = MemoryContextSwitchTo(self->context);
	if (stored_row_stays(self))
		is_there = is_stored(self, key);
	else
		fetch_stored(self, key);
	if (is_there)
		MemoryContextReset(self->group);
	else
		merge_pool(self);
	self->coming.n = 0;
	if (self->whole)
		self->next_whole++;
	MemoryContextSwitchTo(old);
}

/* No row of the next of the given keys has come. */
static void
finish_gone_key(Merge *self)
{
	MemoryContext old = MemoryContextSwitchTo(self->context);

	fetch_stored(self, &self->whole[self->next_whole++]);
	merge_pool(self);
	MemoryContextSwitchTo(old);
}

/* ---- rows that come ----------------------------------------------------------------------------- */

/* A row with another key than the last one's: is it one of the given keys? */
static bool
begin_key(Merge *self, TupleTableSlot *slot)
{
	if (self->whole == NULL)
		return true;
	while (self->next_whole < self->nwhole)
	{
		Row *next = &self->whole[self->next_whole];
		int comparison = compare_values(&self->keys, next->values, next->nulls, slot->tts_values,
										slot->tts_isnull);

		if (comparison >= 0)
			return comparison == 0;
		finish_gone_key(self);
	}
	return false;
}

/* Has the row the key of those that have come last? */
static bool
is_of_key(const Merge *self, TupleTableSlot *slot)
{
	const Row *first = &self->coming.rows[0];

	return self->coming.n > 0 && compare_values(&self->keys, first->values, first->nulls,
												slot->tts_values, slot->tts_isnull) == 0;
}

/* A row of the current key that comes behind the limit is not looked at; equals on the limit are, until all are there. */
static bool
receive_row(TupleTableSlot *slot, DestReceiver *receiver)
{
	Merge *self = (Merge *) receiver;
	const Row *last;
	bool is_peer = false;

	slot_getallattrs(slot);
	if (!is_of_key(self, slot))
	{
		finish_key(self);
		if (!begin_key(self, slot))
			return true;
		self->last_rank = 0;
	}
	if (self->coming.n > 0)
	{
		last = &self->coming.rows[self->coming.n - 1];
		is_peer = compare_values(&self->order, last->values, last->nulls, slot->tts_values,
								 slot->tts_isnull) == 0;
	}
	self->last_rank = rank_behind(self->keyed->count, self->coming.n, self->last_rank, is_peer);
	if (self->last_rank <= self->keyed->limit || (is_peer && self->ties.n > 0))
		copy_row(self, &self->coming, slot, false);
	return true;
}

/* The given keys, sorted, each once. */
static void
sort_whole(Merge *self)
{
	int n = self->arrival->nkeys;

	self->whole = palloc(sizeof(Row) * (n + 1));
	for (int i = 0; i < n; i++)
		self->whole[i] = make_row(self->arrival->keys[i], RelationGetDescr(self->rel), false);
	qsort_arg(self->whole, n, sizeof(Row), compare_keys, self);
	for (int i = 0; i < n; i++)
		if (self->nwhole == 0 ||
			compare_keys(&self->whole[self->nwhole - 1], &self->whole[i], self) != 0)
			self->whole[self->nwhole++] = self->whole[i];
}

static void
start_receiver(DestReceiver *receiver, int operation, TupleDesc type)
{
	Merge *self = (Merge *) receiver;

	self->context = CurrentMemoryContext;
	self->group =
		AllocSetContextCreate(CurrentMemoryContext, "tidemark key", ALLOCSET_DEFAULT_SIZES);
	self->coming = make_rows();
	self->pool = make_rows();
	self->keys = make_comparison(self->keyed, self->keyed->keys);
	self->order = make_comparison(self->keyed, self->keyed->order);
	self->ties = make_ties(self->keyed);

	self->rel = table_open(self->mat, RowExclusiveLock);
	self->stored_slot = table_slot_create(self->rel, NULL);
	self->new_slot = MakeSingleTupleTableSlot(RelationGetDescr(self->rel), &TTSOpsHeapTuple);
	self->estate = CreateExecutorState();
	self->result = makeNode(ResultRelInfo);
	InitResultRelInfo(self->result, self->rel, 0, NULL, 0);
	ExecOpenIndices(self->result, false);
	self->lookup = keyed_lookup_begin(self->rel, self->keyed);
	if (self->arrival->keys)
		sort_whole(self);
	self->inserts->rStartup(self->inserts, CMD_INSERT, RelationGetDescr(self->rel));
}

static void
end_receiver(DestReceiver *receiver)
{
	Merge *self = (Merge *) receiver;

	finish_key(self);
	while (self->whole && self->next_whole < self->nwhole)
		finish_gone_key(self);
	self->inserts->rShutdown(self->inserts);
	keyed_lookup_end(self->lookup);
	ExecCloseIndices(self->result);
	FreeExecutorState(self->estate);
	ExecDropSingleTupleTableSlot(self->stored_slot);
	ExecDropSingleTupleTableSlot(self->new_slot);
	table_close(self->rel, NoLock);
	MemoryContextDelete(self->group);
}

static void
destroy_receiver(DestReceiver *receiver)
{
}

/* ---- the merge ---------------------------------------------------------------------------------- */

static void
sort_input(const Keyed *keyed, Query *input)
{
	input->sortClause = list_concat(input->sortClause, keyed_sort_clauses(input, keyed->keys));
	input->sortClause = list_concat(input->sortClause, keyed_sort_clauses(input, keyed->order));
}

static void
run_merge(DestReceiver *inserts, void *arg)
{
	Merge *self = arg;

	self->inserts = inserts;
	materialised_run(&self->receiver, self->input);
}

int64
keyed_merge(const ContinuousView *view, const Keyed *keyed, Query *input,
			const KeyedArrival *arrival, KeyedChanges *changes)
{
	Merge self = {.receiver = {.receiveSlot = receive_row,
							   .rStartup = start_receiver,
							   .rShutdown = end_receiver,
							   .rDestroy = destroy_receiver,
							   .mydest = DestNone},
				  .keyed = keyed,
				  .arrival = arrival,
				  .changes = changes,
				  .input = input,
				  .mat = view->mat};
	uint64 inserted;

	if (changes && changes->times == NULL)
	{
		changes->size = 64;
		changes->times = palloc(sizeof(Ticks) * changes->size);
	}
	sort_input(keyed, input);
	inserted = materialised_receive(view, run_merge, &self);
	return (int64) inserted - self.deleted;
}
