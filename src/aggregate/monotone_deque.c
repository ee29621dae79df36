/*
 * monotone_deque.c: the least or greatest value in a moving window, of any type with an order.
 *
 * A value can never be the result again once a newer one is at least as good, for that one stays
 * longer. What remains is kept in order of arrival, which is the order of decreasing merit too:
 *
 *     arrived   3 1 4 1 5 9 2 6        max: 9 6
 *                           ^ first: the result
 *
 * A new value drops from the end those that it beats, an eviction drops the first if it is the
 * one that leaves. Each value enters and leaves once, so a row costs O(1) however long the window
 * is, two comparisons as a rule. If values come in falling order, max keeps them all.
 *
 * Values are numbered as they come, and evictions are counted: an entry leaves when its number is
 * among those evicted. Within a group of equal event time the rows may leave in another order than
 * they came; when the whole group has left, the count is right again.
 *
 * The state is that of all aggregates with a sort operator (min and max are; PostgreSQL may replace
 * such an aggregate by the first row in that order). Nulls are ignored. Of values that are equal but
 * not the same (1.0 and 1.00, 0 and -0), PostgreSQL's functions return the newest, except those of
 * character(n), which return the oldest; so do we.
 */
#include "tidemark.h"

#include "access/htup_details.h"
#include "catalog/pg_aggregate.h"
#include "libpq/pqformat.h"
#include "utils/fmgroids.h"
#include "utils/sortsupport.h"
#include "utils/syscache.h"

#include "aggregate/sliding_method.h"

#define FIRST_CAPACITY 4

typedef struct Extreme
{
	SlidingAggregate base;
	KeptType type;
	SortSupportData order; /* the best value sorts first */
	bool oldest_of_equal;
} Extreme;

typedef struct Entry
{
	Datum value;
	int64 number;
} Entry;

typedef struct Deque
{
	MemoryContext context;
	int64 added;   /* the number of the next value */
	int64 evicted; /* values with lesser numbers have left */
	Entry *entry;  /* a ring */
	int32 first;
	int32 count;
	int32 capacity; /* a power of two */
} Deque;

static inline Entry *
entry_at(Deque *deque, int i)
{
	return &deque->entry[(deque->first + i) & (deque->capacity - 1)];
}

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	Deque *deque = MemoryContextAllocZero(context, sizeof(Deque));

	deque->context = context;
	return deque;
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	Deque *deque = state;

	for (int i = 0; i < deque->count; i++)
		kept_value_free(&((Extreme *) aggregate)->type, entry_at(deque, i)->value);
	if (deque->entry)
		pfree(deque->entry);
	pfree(deque);
}

/* Gives the ring another capacity, which holds all entries. */
static void
resize(Deque *deque, int32 capacity)
{
	Entry *entry = MemoryContextAllocHuge(deque->context, sizeof(Entry) * capacity);

	for (int i = 0; i < deque->count; i++)
		entry[i] = *entry_at(deque, i);
	if (deque->entry)
		pfree(deque->entry);
	deque->entry = entry;
	deque->first = 0;
	deque->capacity = capacity;
}

static void
append(Deque *deque, Datum value, int64 number)
{
	Entry *entry;

	if (deque->count == deque->capacity)
		resize(deque, Max(deque->capacity * 2, FIRST_CAPACITY));
	entry = entry_at(deque, deque->count++);
	entry->value = value;
	entry->number = number;
}

static inline bool
beats(Extreme *extreme, Datum newer, Datum older)
{
	int order = extreme->order.comparator(newer, older, &extreme->order);

	if (extreme->order.ssup_reverse)
		INVERT_COMPARE_RESULT(order);
	return order < 0 || (order == 0 && !extreme->oldest_of_equal);
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	Extreme *extreme = (Extreme *) aggregate;
	Deque *deque = state;

	if (args[0].isnull)
		return;
	if (aggregate->growing && deque->count > 0 &&
		!beats(extreme, args[0].value, entry_at(deque, 0)->value))
		return; /* the one that beats it stays for ever */
	while (deque->count > 0 &&
		   beats(extreme, args[0].value, entry_at(deque, deque->count - 1)->value))
	{
		kept_value_free(&extreme->type, entry_at(deque, deque->count - 1)->value);
		deque->count--;
	}
	append(deque, kept_value_copy(&extreme->type, args[0].value, deque->context), deque->added++);
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	Deque *deque = state;

	if (args[0].isnull)
		return;
	deque->evicted++;
	if (deque->count > 0 && entry_at(deque, 0)->number < deque->evicted)
	{
		kept_value_free(&((Extreme *) aggregate)->type, entry_at(deque, 0)->value);
		deque->first = (deque->first + 1) & (deque->capacity - 1);
		deque->count--;
	}
	if (deque->capacity > 16 * FIRST_CAPACITY && deque->count < deque->capacity / 8)
		resize(deque, deque->capacity / 4);
}

static Datum
result(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	Deque *deque = state;

	*isnull = deque->count == 0;
	if (*isnull)
		return (Datum) 0;
	return kept_value_copy(&((Extreme *) aggregate)->type, entry_at(deque, 0)->value,
						   CurrentMemoryContext);
}

/* How many values are in the window, how many entries follow, and each with its number. */
static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	Deque *deque = state;

	pq_sendint64(buf, deque->added - deque->evicted);
	pq_sendint32(buf, deque->count);
	for (int i = 0; i < deque->count; i++)
	{
		pq_sendint64(buf, entry_at(deque, i)->number - deque->evicted);
		kept_value_write(&((Extreme *) aggregate)->type, entry_at(deque, i)->value, buf);
		if (buf->len > SLIDING_SAVE_LIMIT)
			return false;
	}
	return true;
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	Extreme *extreme = (Extreme *) aggregate;
	Deque *deque = state;
	int32 count;

	deque->added = pq_getmsgint64(buf);
	count = pq_getmsgint(buf, 4);
	if (deque->added < 0 || count < 0 || count > deque->added)
		sliding_bad_bytes();
	while (deque->count < count)
	{
		int64 number = pq_getmsgint64(buf);

		if (number >= deque->added ||
			number < (deque->count > 0 ? entry_at(deque, deque->count - 1)->number + 1 : 0))
			sliding_bad_bytes();
		append(deque, kept_value_read(&extreme->type, buf, deque->context), number);
	}
}

static const SlidingMethod with_saving = {
	"monotone deque", 'd', true, false, create, destroy, add, evict, result, save, load,
};
static const SlidingMethod without_saving = {
	"monotone deque", 'd', true, false, create, destroy, add, evict, result, NULL, NULL,
};

/* The operator whose first value is the aggregate's result; InvalidOid when there is none. */
static Oid
sort_operator(Oid function)
{
	HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(function));
	Oid operator;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	operator=((Form_pg_aggregate) GETSTRUCT(tuple))->aggsortop;
	ReleaseSysCache(tuple);
	return operator;
}

SlidingAggregate *
monotone_deque_prepare(const SlidingAggregate *call)
{
	Oid operator= sort_operator(call->function);
	KeptType type;
	Extreme *extreme;

	if (!OidIsValid(operator) || call->nargs != 1)
		return NULL;
	kept_type_init(&type, call->argument_types[0]);
	extreme = (Extreme *) sliding_make(call, sizeof(Extreme),
									   type.can_save ? &with_saving : &without_saving);
	extreme->type = type;
	extreme->order.ssup_cxt = CurrentMemoryContext;
	extreme->order.ssup_collation = call->collation;
	PrepareSortSupportFromOrderingOp(operator, & extreme->order);
	extreme->oldest_of_equal = call->function == F_MAX_BPCHAR || call->function == F_MIN_BPCHAR;
	return &extreme->base;
}
