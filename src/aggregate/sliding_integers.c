/*
 * sliding_integers.c: sums and averages of integers and of money over a moving window.
 *
 * A state is the sum, in 128 bits, and how many values it has. Additions and subtractions can't
 * overflow, so what passes through a window is of no consequence; the result is checked against
 * the range of its type.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "aggregate/sliding_method.h"
#include "aggregate/wide_sum.h"

typedef struct IntegerSum
{
	WideSum sum;
	int64 count;
} IntegerSum;

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	return MemoryContextAllocZero(context, sizeof(IntegerSum));
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	pfree(state);
}

static inline int64
argument(SlidingAggregate *aggregate, Datum value)
{
	switch (aggregate->argument_types[0])
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		default:
			return DatumGetInt64(value);
	}
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	IntegerSum *sum = state;

	if (args[0].isnull)
		return;
	wide_sum_add(&sum->sum, argument(aggregate, args[0].value));
	sum->count++;
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	IntegerSum *sum = state;

	if (args[0].isnull)
		return;
	wide_sum_subtract(&sum->sum, argument(aggregate, args[0].value));
	sum->count--;
}

/* high * 2^64 + low, where low is without a sign: that is the rest of 2^64 if it looks negative */
static Datum
numeric_of(const WideSum *sum)
{
	Datum two_to_32 = NumericGetDatum(int64_to_numeric(INT64CONST(1) << 32));
	Datum two_to_64;
	int64 high = sum->high;

	if (wide_sum_fits(sum))
		return NumericGetDatum(int64_to_numeric((int64) sum->low));
	if ((int64) sum->low < 0)
		high++;
	two_to_64 = DirectFunctionCall2(numeric_mul, two_to_32, two_to_32);
	return DirectFunctionCall2(
		numeric_add,
		DirectFunctionCall2(numeric_mul, NumericGetDatum(int64_to_numeric(high)), two_to_64),
		NumericGetDatum(int64_to_numeric((int64) sum->low)));
}

static Datum
result_int64(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	IntegerSum *sum = state;

	*isnull = sum->count == 0;
	if (!wide_sum_fits(&sum->sum))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						aggregate->result_type == MONEYOID ? errmsg("money out of range")
														   : errmsg("bigint out of range")));
	return Int64GetDatum((int64) sum->sum.low);
}

static Datum
result_numeric(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	IntegerSum *sum = state;

	*isnull = sum->count == 0;
	return *isnull ? (Datum) 0 : numeric_of(&sum->sum);
}

static Datum
result_average(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	IntegerSum *sum = state;

	*isnull = sum->count == 0;
	if (*isnull)
		return (Datum) 0;
	return DirectFunctionCall2(numeric_div, numeric_of(&sum->sum),
							   NumericGetDatum(int64_to_numeric(sum->count)));
}

static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	IntegerSum *sum = state;

	pq_sendint64(buf, sum->count);
	pq_sendint64(buf, sum->sum.low);
	pq_sendint64(buf, sum->sum.high);
	return true;
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	IntegerSum *sum = state;

	sum->count = pq_getmsgint64(buf);
	sum->sum.low = pq_getmsgint64(buf);
	sum->sum.high = pq_getmsgint64(buf);
}

#define METHOD(result)                                                                             \
	{                                                                                              \
		"integer sum", 'i', false, false, create, destroy, add, evict, result, save, load          \
	}

static const SlidingMethod sum_as_int64 = METHOD(result_int64);
static const SlidingMethod sum_as_numeric = METHOD(result_numeric);
static const SlidingMethod average = METHOD(result_average);

SlidingAggregate *
sliding_integers_prepare(const SlidingAggregate *call)
{
	switch (call->function)
	{
		case F_SUM_INT2:
		case F_SUM_INT4:
		case F_SUM_MONEY:
			return sliding_make_plain(call, &sum_as_int64);
		case F_SUM_INT8:
			return sliding_make_plain(call, &sum_as_numeric);
		case F_AVG_INT2:
		case F_AVG_INT4:
		case F_AVG_INT8:
			return sliding_make_plain(call, &average);
		default:
			return NULL;
	}
}
