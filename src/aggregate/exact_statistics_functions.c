/*
 * exact_statistics_functions.c: the SQL aggregates exact_var_pop, exact_corr, exact_regr_slope and
 * so on.
 *
 * They share two states, ExactStatistics of one variable and of pairs, and every function but the
 * one that gives the result: PostgreSQL keeps one state for all aggregates of a query that have
 * the same arguments. Plain, partial and moving aggregation use the same functions, and so give
 * the same bits. No result function changes the state, which is what lets a window ask for one
 * after every row.
 *
 * A pair of which one is null is ignored, as is a null value.
 */
#include "tidemark.h"

#include "libpq/pqformat.h"

#include "aggregate/exact_statistics.h"

PG_FUNCTION_INFO_V1(exact_statistics_add_float8);
PG_FUNCTION_INFO_V1(exact_statistics_add_float4);
PG_FUNCTION_INFO_V1(exact_statistics_add_pair);
PG_FUNCTION_INFO_V1(exact_statistics_subtract_float8);
PG_FUNCTION_INFO_V1(exact_statistics_subtract_float4);
PG_FUNCTION_INFO_V1(exact_statistics_subtract_pair);
PG_FUNCTION_INFO_V1(exact_statistics_combine);
PG_FUNCTION_INFO_V1(exact_statistics_serialize);
PG_FUNCTION_INFO_V1(exact_statistics_deserialize);

/* A function that gives one of the results. */
#define RESULT_FUNCTION(name, which)                                                               \
	PG_FUNCTION_INFO_V1(name);                                                                     \
	Datum name(PG_FUNCTION_ARGS)                                                                   \
	{                                                                                              \
		return give_result(fcinfo, which);                                                         \
	}                                                                                              \
	extern int no_such_variable

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	return context;
}

static inline ExactStatistics *
state_or_null(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? NULL : (ExactStatistics *) PG_GETARG_POINTER(arg);
}

/* The state to add to: the one that is there, else a new one. */
static inline ExactStatistics *
state_to_add_to(FunctionCallInfo fcinfo, int variables)
{
	ExactStatistics *state = state_or_null(fcinfo, 0);
	MemoryContext context;

	if (likely(state != NULL))
		return state;
	context = aggregate_context(fcinfo);
	state = MemoryContextAlloc(context, exact_statistics_size(variables));
	exact_statistics_init(state, context, variables);
	return state;
}

/* The state to take away from: PostgreSQL only takes away what it added. */
static inline ExactStatistics *
state_to_subtract_from(FunctionCallInfo fcinfo)
{
	ExactStatistics *state = state_or_null(fcinfo, 0);

	if (unlikely(state == NULL))
		elog(ERROR, "exact statistics called to subtract from an empty state");
	return state;
}

/* A moving aggregate's state may not be null, even if all it has seen is: so there is one. */
Datum
exact_statistics_add_float8(PG_FUNCTION_ARGS)
{
	ExactStatistics *state = state_to_add_to(fcinfo, 1);

	if (!PG_ARGISNULL(1))
		exact_statistics_step(state, PG_GETARG_FLOAT8(1), false);
	PG_RETURN_POINTER(state);
}

Datum
exact_statistics_add_float4(PG_FUNCTION_ARGS)
{
	ExactStatistics *state = state_to_add_to(fcinfo, 1);

	if (!PG_ARGISNULL(1))
		exact_statistics_step(state, PG_GETARG_FLOAT4(1), false);
	PG_RETURN_POINTER(state);
}

Datum
exact_statistics_add_pair(PG_FUNCTION_ARGS)
{
	ExactStatistics *state = state_to_add_to(fcinfo, 2);

	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2))
		exact_statistics_step_pair(state, PG_GETARG_FLOAT8(1), PG_GETARG_FLOAT8(2), false);
	PG_RETURN_POINTER(state);
}

Datum
exact_statistics_subtract_float8(PG_FUNCTION_ARGS)
{
	ExactStatistics *state = state_to_subtract_from(fcinfo);

	if (!PG_ARGISNULL(1))
		exact_statistics_step(state, PG_GETARG_FLOAT8(1), true);
	PG_RETURN_POINTER(state);
}

Datum
exact_statistics_subtract_float4(PG_FUNCTION_ARGS)
{
	ExactStatistics *state = state_to_subtract_from(fcinfo);

	if (!PG_ARGISNULL(1))
		exact_statistics_step(state, PG_GETARG_FLOAT4(1), true);
	PG_RETURN_POINTER(state);
}

Datum
exact_statistics_subtract_pair(PG_FUNCTION_ARGS)
{
	ExactStatistics *state = state_to_subtract_from(fcinfo);

	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2))
		exact_statistics_step_pair(state, PG_GETARG_FLOAT8(1), PG_GETARG_FLOAT8(2), true);
	PG_RETURN_POINTER(state);
}

/* The second state stays as it is and where it is: the first one gets a copy. */
Datum
exact_statistics_combine(PG_FUNCTION_ARGS)
{
	ExactStatistics *other = state_or_null(fcinfo, 1);
	ExactStatistics *state;

	if (other == NULL)
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	state = state_to_add_to(fcinfo, other->variables);
	exact_statistics_merge(state, other);
	PG_RETURN_POINTER(state);
}

Datum
exact_statistics_serialize(PG_FUNCTION_ARGS)
{
	StringInfoData buf;

	(void) aggregate_context(fcinfo);
	pq_begintypsend(&buf);
	exact_statistics_write((ExactStatistics *) PG_GETARG_POINTER(0), &buf);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

Datum
exact_statistics_deserialize(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(0);
	ExactStatistics *state;
	StringInfoData buf;

	(void) aggregate_context(fcinfo);
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	state = exact_statistics_read_new(CurrentMemoryContext, &buf);
	pq_getmsgend(&buf);
	pfree(buf.data);
	PG_RETURN_POINTER(state);
}

/* ---------- results ---------- */

static Datum
give_result(FunctionCallInfo fcinfo, ExactStatistic which)
{
	ExactStatistics *state = state_or_null(fcinfo, 0);
	float8 result;

	if (state == NULL || !exact_statistics_result(state, which, &result))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(result);
}

RESULT_FUNCTION(exact_result_var_pop, EXACT_VAR_POP);
RESULT_FUNCTION(exact_result_var_samp, EXACT_VAR_SAMP);
RESULT_FUNCTION(exact_result_stddev_pop, EXACT_STDDEV_POP);
RESULT_FUNCTION(exact_result_stddev_samp, EXACT_STDDEV_SAMP);
RESULT_FUNCTION(exact_result_covar_pop, EXACT_COVAR_POP);
RESULT_FUNCTION(exact_result_covar_samp, EXACT_COVAR_SAMP);
RESULT_FUNCTION(exact_result_corr, EXACT_CORR);
RESULT_FUNCTION(exact_result_regr_avgx, EXACT_REGR_AVGX);
RESULT_FUNCTION(exact_result_regr_avgy, EXACT_REGR_AVGY);
RESULT_FUNCTION(exact_result_regr_sxx, EXACT_REGR_SXX);
RESULT_FUNCTION(exact_result_regr_syy, EXACT_REGR_SYY);
RESULT_FUNCTION(exact_result_regr_sxy, EXACT_REGR_SXY);
RESULT_FUNCTION(exact_result_regr_r2, EXACT_REGR_R2);
RESULT_FUNCTION(exact_result_regr_slope, EXACT_REGR_SLOPE);
RESULT_FUNCTION(exact_result_regr_intercept, EXACT_REGR_INTERCEPT);
