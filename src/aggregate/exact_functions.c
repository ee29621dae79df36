/*
 * exact_functions.c: the SQL aggregates exact_sum and exact_avg, over float8 and float4.
 *
 * All four share the state, an ExactSum allocated once a group (or a window's partition) in the
 * aggregate's memory context, and every function but the one that gives the result. Plain,
 * partial and moving aggregation use the same ones, and so give the same bits. No result function
 * changes the state, which is what lets a window ask for one after every row.
 *
 * Nulls are ignored, and the result over no values is null, as with PostgreSQL's own sum and avg.
 * The functions that take a state can't be declared STRICT (there is no state before the first
 * value), so they look for nulls themselves.
 */
#include "tidemark.h"

#include "libpq/pqformat.h"

#include "aggregate/exact_sum.h"

PG_FUNCTION_INFO_V1(exact_sum_add_float8);
PG_FUNCTION_INFO_V1(exact_sum_add_float4);
PG_FUNCTION_INFO_V1(exact_sum_subtract_float8);
PG_FUNCTION_INFO_V1(exact_sum_subtract_float4);
PG_FUNCTION_INFO_V1(exact_sum_combine);
PG_FUNCTION_INFO_V1(exact_sum_serialize);
PG_FUNCTION_INFO_V1(exact_sum_deserialize);
PG_FUNCTION_INFO_V1(exact_sum_result_float8);
PG_FUNCTION_INFO_V1(exact_sum_result_float4);
PG_FUNCTION_INFO_V1(exact_sum_result_average);

static ExactSum *
new_state(FunctionCallInfo fcinfo)
{
	MemoryContext context;
	ExactSum *sum;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	sum = MemoryContextAlloc(context, sizeof(ExactSum));
	exact_sum_init(sum, context);
	return sum;
}

static inline ExactSum *
state_or_null(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? NULL : (ExactSum *) PG_GETARG_POINTER(arg);
}

/* The state to add to: the one that is there, else a new one. */
static inline ExactSum *
state_to_add_to(FunctionCallInfo fcinfo)
{
	ExactSum *sum = state_or_null(fcinfo, 0);

	return likely(sum != NULL) ? sum : new_state(fcinfo);
}

/* The state to take away from: PostgreSQL only takes away what it added. */
static inline ExactSum *
state_to_subtract_from(FunctionCallInfo fcinfo)
{
	ExactSum *sum = state_or_null(fcinfo, 0);

	if (unlikely(sum == NULL))
		elog(ERROR, "exact sum called to subtract from an empty state");
	return sum;
}

/* What a transition function returns for a null value: the state as it was. */
#define RETURN_STATE_UNCHANGED(fcinfo)                                                             \
	do                                                                                             \
	{                                                                                              \
		if (PG_ARGISNULL(0))                                                                       \
			PG_RETURN_NULL();                                                                      \
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));                                                       \
	} while (0)

Datum
exact_sum_add_float8(PG_FUNCTION_ARGS)
{
	ExactSum *sum;

	/* A moving aggregate's state may not be null, even if all it has seen is. */
	sum = state_to_add_to(fcinfo);
	if (!PG_ARGISNULL(1))
		exact_sum_add(sum, PG_GETARG_FLOAT8(1));
	PG_RETURN_POINTER(sum);
}

Datum
exact_sum_add_float4(PG_FUNCTION_ARGS)
{
	ExactSum *sum;

	/* A moving aggregate's state may not be null, even if all it has seen is. */
	sum = state_to_add_to(fcinfo);
	if (!PG_ARGISNULL(1))
		exact_sum_add(sum, PG_GETARG_FLOAT4(1));
	PG_RETURN_POINTER(sum);
}

Datum
exact_sum_subtract_float8(PG_FUNCTION_ARGS)
{
	ExactSum *sum;

	if (PG_ARGISNULL(1))
		RETURN_STATE_UNCHANGED(fcinfo);
	sum = state_to_subtract_from(fcinfo);
	exact_sum_subtract(sum, PG_GETARG_FLOAT8(1));
	PG_RETURN_POINTER(sum);
}

Datum
exact_sum_subtract_float4(PG_FUNCTION_ARGS)
{
	ExactSum *sum;

	if (PG_ARGISNULL(1))
		RETURN_STATE_UNCHANGED(fcinfo);
	sum = state_to_subtract_from(fcinfo);
	exact_sum_subtract(sum, PG_GETARG_FLOAT4(1));
	PG_RETURN_POINTER(sum);
}

/* The second state stays as it is and where it is: the first one gets a copy. */
Datum
exact_sum_combine(PG_FUNCTION_ARGS)
{
	ExactSum *other = state_or_null(fcinfo, 1);
	ExactSum *sum;

	if (other == NULL)
		RETURN_STATE_UNCHANGED(fcinfo);
	sum = state_to_add_to(fcinfo);
	exact_sum_merge(sum, other);
	PG_RETURN_POINTER(sum);
}

Datum
exact_sum_serialize(PG_FUNCTION_ARGS)
{
	StringInfoData buf;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "aggregate function called in non-aggregate context");
	pq_begintypsend(&buf);
	exact_sum_write((ExactSum *) PG_GETARG_POINTER(0), &buf);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

Datum
exact_sum_deserialize(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(0);
	ExactSum *sum = palloc(sizeof(ExactSum));
	StringInfoData buf;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "aggregate function called in non-aggregate context");
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	exact_sum_read(sum, CurrentMemoryContext, &buf);
	pq_getmsgend(&buf);
	pfree(buf.data);
	PG_RETURN_POINTER(sum);
}

Datum
exact_sum_result_float8(PG_FUNCTION_ARGS)
{
	ExactSum *sum = state_or_null(fcinfo, 0);

	if (sum == NULL || sum->count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(exact_sum_float8(sum));
}

Datum
exact_sum_result_float4(PG_FUNCTION_ARGS)
{
	ExactSum *sum = state_or_null(fcinfo, 0);

	if (sum == NULL || sum->count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT4(exact_sum_float4(sum));
}

Datum
exact_sum_result_average(PG_FUNCTION_ARGS)
{
	ExactSum *sum = state_or_null(fcinfo, 0);

	if (sum == NULL || sum->count == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(exact_sum_average(sum));
}
