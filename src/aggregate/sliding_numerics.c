/*
 * sliding_numerics.c: sums, averages, variances and standard deviations of numerics over a moving
 * window, and the variances and standard deviations of integers.
 *
 * A state has the exact sum of the values and, for variances, of their squares; how many are NaN or
 * infinite; and how many there are of each display scale, for the result's scale is the greatest of
 * those in the window. PostgreSQL's inverse knows only the greatest scale so far, and starts the
 * whole window again when the last value of that scale leaves.
 *
 * What is made of the sums is PostgreSQL's: averages by its division, variances by its own final
 * functions, which are handed the state that they know, as it comes from a parallel worker.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "nodes/execnodes.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "aggregate/decimal_sum.h"
#include "aggregate/sliding_method.h"

typedef struct Numerics
{
	SlidingAggregate base;
	Oid argument;		  /* type */
	PGFunction final;	  /* of variances, otherwise NULL */
	WindowAggState *fake; /* what numeric_deserialize takes for its caller */
} Numerics;

typedef struct NumericState
{
	DecimalSum sum;
	DecimalSum squares; /* only for variances */
	int64 finite;
	int64 nans;
	int64 infinities;
	int64 minus_infinities;
	int64 *of_scale; /* how many finite ones there are of each display scale */
	int32 scales;	 /* the greatest there is, and one */
	int32 capacity;
} NumericState;

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	NumericState *numbers = MemoryContextAllocZero(context, sizeof(NumericState));

	decimal_sum_init(&numbers->sum, context);
	decimal_sum_init(&numbers->squares, context);
	return numbers;
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	NumericState *numbers = state;

	decimal_sum_free(&numbers->sum);
	decimal_sum_free(&numbers->squares);
	if (numbers->of_scale)
		pfree(numbers->of_scale);
	pfree(numbers);
}

/* ---------- values ---------- */

/* Has a place for values of this scale. */
static void
cover_scale(NumericState *numbers, int scale)
{
	if (scale >= numbers->capacity)
	{
		int64 *of_scale = MemoryContextAlloc(numbers->sum.context, sizeof(int64) * (scale + 1));

		if (numbers->of_scale)
		{
			memcpy(of_scale, numbers->of_scale, sizeof(int64) * numbers->scales);
			pfree(numbers->of_scale);
		}
		numbers->of_scale = of_scale;
		numbers->capacity = scale + 1;
	}
	if (scale >= numbers->scales)
	{
		memset(numbers->of_scale + numbers->scales, 0,
			   sizeof(int64) * (scale + 1 - numbers->scales));
		numbers->scales = scale + 1;
	}
}

static void
count_scale(NumericState *numbers, int scale, int64 step)
{
	cover_scale(numbers, scale);
	numbers->of_scale[scale] += step;
	while (numbers->scales > 0 && numbers->of_scale[numbers->scales - 1] == 0)
		numbers->scales--;
}

static void
step(Numerics *numerics, NumericState *numbers, const Decimal *value, bool evict)
{
	int64 count = evict ? -1 : 1;

	switch (value->kind)
	{
		case DECIMAL_NAN:
			numbers->nans += count;
			return;
		case DECIMAL_INFINITY:
			numbers->infinities += count;
			return;
		case DECIMAL_MINUS_INFINITY:
			numbers->minus_infinities += count;
			return;
		case DECIMAL_FINITE:
			break;
	}
	numbers->finite += count;
	count_scale(numbers, value->scale, count);
	decimal_sum_add(&numbers->sum, value, evict);
	if (numerics->final)
		decimal_sum_add_square(&numbers->squares, value, evict);
	if (numbers->finite == 0)
	{
		/* what has been of great magnitude needn't be remembered */
		decimal_sum_free(&numbers->sum);
		decimal_sum_free(&numbers->squares);
	}
}

static inline void
step_argument(SlidingAggregate *aggregate, void *state, const NullableDatum *argument, bool evict)
{
	Numerics *numerics = (Numerics *) aggregate;
	Decimal value;

	if (argument->isnull)
		return;
	switch (numerics->argument)
	{
		case INT2OID:
			decimal_of_int64(&value, DatumGetInt16(argument->value));
			break;
		case INT4OID:
			decimal_of_int64(&value, DatumGetInt32(argument->value));
			break;
		case INT8OID:
			decimal_of_int64(&value, DatumGetInt64(argument->value));
			break;
		default:
			decimal_read(&value, argument->value);
	}
	step(numerics, state, &value, evict);
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	step_argument(aggregate, state, &args[0], false);
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	step_argument(aggregate, state, &args[0], true);
}

/* ---------- results ---------- */

static inline int
greatest_scale(const NumericState *numbers)
{
	return Max(numbers->scales - 1, 0);
}

static int64
count_all(const NumericState *numbers)
{
	return numbers->finite + numbers->nans + numbers->infinities + numbers->minus_infinities;
}

/* Sum and average, where there is something that isn't finite. */
static Datum
special_result(const NumericState *numbers)
{
	if (numbers->nans > 0 || (numbers->infinities > 0 && numbers->minus_infinities > 0))
		return decimal_special(DECIMAL_NAN);
	return decimal_special(numbers->infinities > 0 ? DECIMAL_INFINITY : DECIMAL_MINUS_INFINITY);
}

static Datum
result_sum(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	NumericState *numbers = state;

	*isnull = count_all(numbers) == 0;
	if (*isnull)
		return (Datum) 0;
	if (numbers->finite < count_all(numbers))
		return special_result(numbers);
	return decimal_sum_numeric(&numbers->sum, greatest_scale(numbers));
}

static Datum
result_average(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	NumericState *numbers = state;
	Datum sum = result_sum(aggregate, state, isnull);

	if (*isnull || numbers->finite < count_all(numbers))
		return sum;
	return DirectFunctionCall2(numeric_div, sum,
							   NumericGetDatum(int64_to_numeric(numbers->finite)));
}

/* The state in the format of numeric_serialize. */
static void
write_state(const NumericState *numbers, StringInfo buf)
{
	pq_sendint64(buf, numbers->finite);
	decimal_sum_write(&numbers->sum, greatest_scale(numbers), buf);
	decimal_sum_write(&numbers->squares, 2 * greatest_scale(numbers), buf);
	pq_sendint32(buf, greatest_scale(numbers));
	pq_sendint64(buf, numbers->scales > 0 ? numbers->of_scale[numbers->scales - 1] : 0);
	pq_sendint64(buf, numbers->nans);
	pq_sendint64(buf, numbers->infinities);
	pq_sendint64(buf, numbers->minus_infinities);
}

static Datum
result_variance(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	Numerics *numerics = (Numerics *) aggregate;
	LOCAL_FCINFO(call, 2);
	StringInfoData buf;
	Datum result;

	initStringInfo(&buf);
	appendStringInfoSpaces(&buf, VARHDRSZ);
	write_state(state, &buf);
	SET_VARSIZE(buf.data, buf.len);

	numerics->fake->curaggcontext = CurrentMemoryContext;
	InitFunctionCallInfoData(*call, NULL, 2, InvalidOid, (Node *) numerics->fake, NULL);
	call->args[0].value = PointerGetDatum(buf.data);
	call->args[0].isnull = false;
	call->args[1].value = (Datum) 0;
	call->args[1].isnull = true;
	call->args[0].value = numeric_deserialize(call);
	call->nargs = 1;
	result = numerics->final(call);
	*isnull = call->isnull;
	pfree(buf.data);
	return result;
}

/* ---------- saving ---------- */

/* As numeric_serialize, and then the other scales, from 0 on. */
static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	NumericState *numbers = state;

	write_state(numbers, buf);
	for (int i = 0; i < greatest_scale(numbers) && buf->len <= SLIDING_SAVE_LIMIT; i++)
		pq_sendint64(buf, numbers->of_scale[i]);
	return buf->len <= SLIDING_SAVE_LIMIT;
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	NumericState *numbers = state;
	int greatest;
	int64 of_greatest;

	numbers->finite = pq_getmsgint64(buf);
	decimal_sum_read(&numbers->sum, buf);
	decimal_sum_read(&numbers->squares, buf);
	greatest = pq_getmsgint(buf, 4);
	of_greatest = pq_getmsgint64(buf);
	numbers->nans = pq_getmsgint64(buf);
	numbers->infinities = pq_getmsgint64(buf);
	numbers->minus_infinities = pq_getmsgint64(buf);
	if (greatest < 0 || greatest > (buf->len - buf->cursor) / (int) sizeof(int64))
		sliding_bad_bytes();
	if (of_greatest == 0)
		return;
	cover_scale(numbers, greatest);
	for (int i = 0; i < greatest; i++)
		numbers->of_scale[i] = pq_getmsgint64(buf);
	numbers->of_scale[greatest] = of_greatest;
}

#define METHOD(beats_stock, result)                                                                \
	{                                                                                              \
		"decimal sum", 'n', beats_stock, false, create, destroy, add, evict, result, save, load    \
	}

static const SlidingMethod sum_method = METHOD(true, result_sum);
static const SlidingMethod average_method = METHOD(true, result_average);
static const SlidingMethod numeric_variance = METHOD(true, result_variance);
static const SlidingMethod integer_variance = METHOD(false, result_variance);

static const struct
{
	Oid function;
	PGFunction final;
} variances[] = {
	{F_VAR_POP_NUMERIC, numeric_var_pop},
	{F_VAR_POP_INT8, numeric_var_pop},
	{F_VAR_POP_INT4, numeric_var_pop},
	{F_VAR_POP_INT2, numeric_var_pop},
	{F_VAR_SAMP_NUMERIC, numeric_var_samp},
	{F_VAR_SAMP_INT8, numeric_var_samp},
	{F_VAR_SAMP_INT4, numeric_var_samp},
	{F_VAR_SAMP_INT2, numeric_var_samp},
	{F_VARIANCE_NUMERIC, numeric_var_samp},
	{F_VARIANCE_INT8, numeric_var_samp},
	{F_VARIANCE_INT4, numeric_var_samp},
	{F_VARIANCE_INT2, numeric_var_samp},
	{F_STDDEV_POP_NUMERIC, numeric_stddev_pop},
	{F_STDDEV_POP_INT8, numeric_stddev_pop},
	{F_STDDEV_POP_INT4, numeric_stddev_pop},
	{F_STDDEV_POP_INT2, numeric_stddev_pop},
	{F_STDDEV_SAMP_NUMERIC, numeric_stddev_samp},
	{F_STDDEV_SAMP_INT8, numeric_stddev_samp},
	{F_STDDEV_SAMP_INT4, numeric_stddev_samp},
	{F_STDDEV_SAMP_INT2, numeric_stddev_samp},
	{F_STDDEV_NUMERIC, numeric_stddev_samp},
	{F_STDDEV_INT8, numeric_stddev_samp},
	{F_STDDEV_INT4, numeric_stddev_samp},
	{F_STDDEV_INT2, numeric_stddev_samp},
};

static SlidingAggregate *
prepare(const SlidingAggregate *call, const SlidingMethod *method, PGFunction final)
{
	Numerics *numerics = (Numerics *) sliding_make(call, sizeof(Numerics), method);

	numerics->argument = call->argument_types[0];
	numerics->final = final;
	if (final)
		numerics->fake = makeNode(WindowAggState);
	return &numerics->base;
}

SlidingAggregate *
sliding_numerics_prepare(const SlidingAggregate *call)
{
	if (call->function == F_SUM_NUMERIC)
		return prepare(call, &sum_method, NULL);
	if (call->function == F_AVG_NUMERIC)
		return prepare(call, &average_method, NULL);
	for (int i = 0; i < lengthof(variances); i++)
		if (variances[i].function == call->function)
			return prepare(
				call, call->argument_types[0] == NUMERICOID ? &numeric_variance : &integer_variance,
				variances[i].final);
	return NULL;
}
