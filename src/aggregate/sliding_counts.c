/*
 * sliding_counts.c: aggregates over a moving window that are counts, or follow from counts.
 *
 * count and regr_count are one. bool_and, bool_or and every follow from how many values are true
 * and how many false; bit_and, bit_or and bit_xor of integers from how many have each bit set. A
 * count forgets a value as it learned it, so nothing else of the window is kept.
 *
 * A state is an array of counts: [0] of values in all, then one for each bit; a boolean is a
 * number of one bit.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "port/pg_bitutils.h"
#include "utils/fmgroids.h"

#include "aggregate/sliding_method.h"

typedef struct Counts
{
	SlidingAggregate base;
	int bits;	   /* how many are counted singly */
	int must_have; /* so many arguments must not be null for a row to count */
} Counts;

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	return MemoryContextAllocZero(context, sizeof(int64) * (1 + ((Counts *) aggregate)->bits));
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	pfree(state);
}

static inline void
count_row(SlidingAggregate *aggregate, void *state, const NullableDatum *args, int64 step)
{
	int64 *counts = state;

	for (int i = 0; i < ((Counts *) aggregate)->must_have; i++)
		if (args[i].isnull)
			return;
	counts[0] += step;
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	count_row(aggregate, state, args, 1);
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	count_row(aggregate, state, args, -1);
}

static inline void
count_bits(SlidingAggregate *aggregate, void *state, const NullableDatum *args, int64 step)
{
	int bits = ((Counts *) aggregate)->bits;
	int64 *counts = state;
	uint64 value;

	if (args[0].isnull)
		return;
	counts[0] += step;
	value = (uint64) args[0].value;
	if (bits < 64)
		value &= (UINT64CONST(1) << bits) - 1;
	while (value != 0)
	{
		counts[1 + pg_rightmost_one_pos64(value)] += step;
		value &= value - 1;
	}
}

static void
add_bits(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	count_bits(aggregate, state, args, 1);
}

static void
evict_bits(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	count_bits(aggregate, state, args, -1);
}

static Datum
result_count(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	return Int64GetDatum(*(int64 *) state);
}

/* The number of which each bit is what the aggregate makes of its count. */
static Datum
result_of_bits(SlidingAggregate *aggregate, const int64 *counts,
			   bool (*is_set)(int64 ones, int64 all), bool *isnull)
{
	uint64 value = 0;

	*isnull = counts[0] == 0;
	for (int i = 0; i < ((Counts *) aggregate)->bits; i++)
		if (is_set(counts[1 + i], counts[0]))
			value |= UINT64CONST(1) << i;
	switch (aggregate->result_type)
	{
		case BOOLOID:
			return BoolGetDatum(value != 0);
		case INT2OID:
			return Int16GetDatum((int16) value);
		case INT4OID:
			return Int32GetDatum((int32) value);
		default:
			return Int64GetDatum((int64) value);
	}
}

static bool
in_all(int64 ones, int64 all)
{
	return ones == all;
}

static bool
in_some(int64 ones, int64 all)
{
	return ones > 0;
}

static bool
in_odd_number(int64 ones, int64 all)
{
	return ones & 1;
}

static Datum
result_and(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	return result_of_bits(aggregate, state, in_all, isnull);
}

static Datum
result_or(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	return result_of_bits(aggregate, state, in_some, isnull);
}

static Datum
result_xor(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	return result_of_bits(aggregate, state, in_odd_number, isnull);
}

static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	int64 *counts = state;

	for (int i = 0; i <= ((Counts *) aggregate)->bits; i++)
		pq_sendint64(buf, counts[i]);
	return true;
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	int64 *counts = state;

	for (int i = 0; i <= ((Counts *) aggregate)->bits; i++)
		counts[i] = pq_getmsgint64(buf);
}

#define METHOD(beats_stock, add, evict, result)                                                    \
	{                                                                                              \
		"counts", 'c', beats_stock, false, create, destroy, add, evict, result, save, load         \
	}

static const SlidingMethod count_method = METHOD(false, add, evict, result_count);
static const SlidingMethod regr_count_method = METHOD(false, add, evict, result_count);
static const SlidingMethod bool_and_method = METHOD(false, add_bits, evict_bits, result_and);
static const SlidingMethod bool_or_method = METHOD(false, add_bits, evict_bits, result_or);
static const SlidingMethod and_method = METHOD(true, add_bits, evict_bits, result_and);
static const SlidingMethod or_method = METHOD(true, add_bits, evict_bits, result_or);
static const SlidingMethod xor_method = METHOD(true, add_bits, evict_bits, result_xor);

static const struct
{
	Oid function;
	const SlidingMethod *method;
	int bits;
	int must_have;
} known[] = {
	{F_COUNT_, &count_method, 0, 0},		  {F_COUNT_ANY, &count_method, 0, 1},
	{F_REGR_COUNT, &regr_count_method, 0, 2}, {F_BOOL_AND, &bool_and_method, 1, 1},
	{F_EVERY, &bool_and_method, 1, 1},		  {F_BOOL_OR, &bool_or_method, 1, 1},
	{F_BIT_AND_INT2, &and_method, 16, 1},	  {F_BIT_AND_INT4, &and_method, 32, 1},
	{F_BIT_AND_INT8, &and_method, 64, 1},	  {F_BIT_OR_INT2, &or_method, 16, 1},
	{F_BIT_OR_INT4, &or_method, 32, 1},		  {F_BIT_OR_INT8, &or_method, 64, 1},
	{F_BIT_XOR_INT2, &xor_method, 16, 1},	  {F_BIT_XOR_INT4, &xor_method, 32, 1},
	{F_BIT_XOR_INT8, &xor_method, 64, 1},
};

SlidingAggregate *
sliding_counts_prepare(const SlidingAggregate *call)
{
	for (int i = 0; i < lengthof(known); i++)
		if (known[i].function == call->function)
		{
			Counts *counts = (Counts *) sliding_make(call, sizeof(Counts), known[i].method);

			counts->bits = known[i].bits;
			counts->must_have = known[i].must_have;
			return &counts->base;
		}
	return NULL;
}
