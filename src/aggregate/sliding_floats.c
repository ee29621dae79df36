/*
 * sliding_floats.c: sums and averages of floats over a moving window.
 *
 * An exact sum has an exact inverse, so a window's state is the ExactSum of its rows: NaN,
 * infinities and values of any magnitude leave it as they entered, and the result is the one that
 * exact_sum and exact_avg give over the same rows in any order. PostgreSQL's own sum and avg are
 * taken for the exact ones here, as they are in every query over a stream.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "utils/fmgroids.h"

#include "aggregate/exact_sum.h"
#include "aggregate/sliding_method.h"

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	ExactSum *sum = MemoryContextAlloc(context, sizeof(ExactSum));

	exact_sum_init(sum, context);
	return sum;
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	exact_sum_free(state);
	pfree(state);
}

static void
add_float8(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	if (!args[0].isnull)
		exact_sum_add(state, DatumGetFloat8(args[0].value));
}

static void
evict_float8(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	if (!args[0].isnull)
		exact_sum_subtract(state, DatumGetFloat8(args[0].value));
}

static void
add_float4(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	if (!args[0].isnull)
		exact_sum_add(state, DatumGetFloat4(args[0].value));
}

static void
evict_float4(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	if (!args[0].isnull)
		exact_sum_subtract(state, DatumGetFloat4(args[0].value));
}

static Datum
sum_float8(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	ExactSum *sum = state;

	*isnull = sum->count == 0;
	return *isnull ? (Datum) 0 : Float8GetDatum(exact_sum_float8(sum));
}

static Datum
sum_float4(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	ExactSum *sum = state;

	*isnull = sum->count == 0;
	return *isnull ? (Datum) 0 : Float4GetDatum(exact_sum_float4(sum));
}

static Datum
average(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	ExactSum *sum = state;

	*isnull = sum->count == 0;
	return *isnull ? (Datum) 0 : Float8GetDatum(exact_sum_average(sum));
}

static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	exact_sum_write(state, buf);
	return true;
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	ExactSum *sum = state;

	exact_sum_read(sum, sum->context, buf);
}

#define METHOD(add, evict, result)                                                                 \
	{                                                                                              \
		"exact sum", 'x', false, false, create, destroy, add, evict, result, save, load            \
	}

static const SlidingMethod sum_of_float8 = METHOD(add_float8, evict_float8, sum_float8);
static const SlidingMethod sum_of_float4 = METHOD(add_float4, evict_float4, sum_float4);
static const SlidingMethod average_of_float8 = METHOD(add_float8, evict_float8, average);
static const SlidingMethod average_of_float4 = METHOD(add_float4, evict_float4, average);

static const SlidingMethod *
method_of_own(const char *name, Oid type)
{
	if (strcmp(name, "exact_sum") == 0)
		return type == FLOAT8OID ? &sum_of_float8 : &sum_of_float4;
	if (strcmp(name, "exact_avg") == 0)
		return type == FLOAT8OID ? &average_of_float8 : &average_of_float4;
	return NULL;
}

SlidingAggregate *
sliding_floats_prepare(const SlidingAggregate *call)
{
	const SlidingMethod *method = NULL;
	const char *own;

	switch (call->function)
	{
		case F_SUM_FLOAT8:
			method = &sum_of_float8;
			break;
		case F_SUM_FLOAT4:
			method = &sum_of_float4;
			break;
		case F_AVG_FLOAT8:
			method = &average_of_float8;
			break;
		case F_AVG_FLOAT4:
			method = &average_of_float4;
			break;
		default:
			own = sliding_own_name(call->function);
			if (own && call->nargs == 1)
				method = method_of_own(own, call->argument_types[0]);
	}
	return method ? sliding_make_plain(call, method) : NULL;
}
