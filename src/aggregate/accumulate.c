/*
 * accumulate.c: aggregates whose states are kept: the aggregates tidemark.accumulate and tidemark.accumulated.
 *
 * A continuous view with GROUP BY and no window keeps the state of each aggregate for each key, up to its frontier. What comes
 * after is added to it:
 *
 *     accumulate(saved, is_state, counts, NULL::result, function, arguments)    over rows; gives the state, as bytes
 *     accumulated(the same)                                                     gives the function's result
 *     saved_result(saved, NULL::result, function, arguments)                    gives that of a state alone
 *
 * A row with is_state brings the saved state, and has to be the first of its group; every other row is added, if counts (the
 * function's FILTER) is true. States are those of windows that only grow (sliding.h).
 *
 * Whoever calls it by hand needs the right to execute the function, as in a query with it.
 */
#include "tidemark.h"

#include "aggregate/carried.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(tidemark_accumulate_step);
PG_FUNCTION_INFO_V1(tidemark_accumulate_state);
PG_FUNCTION_INFO_V1(tidemark_accumulate_result);
PG_FUNCTION_INFO_V1(tidemark_saved_result);

/* Arguments of the step, behind the state. */
enum argument
{
	ARGUMENT_STATE,
	ARGUMENT_SAVED,
	ARGUMENT_IS_STATE,
	ARGUMENT_COUNTS,
	ARGUMENT_RESULT,
	ARGUMENT_FUNCTION,
	ARGUMENT_FIRST
};

/* One without arguments is given one, for an aggregate can't be called with none in the place of several. */
static SlidingAggregate *
method_of(FunctionCallInfo fcinfo, Carrier *carrier, Oid function, int result, const char **why)
{
	Oid types[FUNC_MAX_ARGS];

	carrier->nargs = get_func_nargs(function) > 0 ? PG_NARGS() - carrier->first : 0;
	carrier_types(fcinfo, carrier, types);
	return sliding_prepare_growing(function, PG_GET_COLLATION(), carrier->nargs, types,
								   get_fn_expr_argtype(fcinfo->flinfo, result), why);
}

/* ---- the aggregates ------------------------------------------------------------------------------------- */

static SlidingAggregate *
method_of_step(FunctionCallInfo fcinfo, Carrier *carrier, Oid function, const char **why)
{
	return method_of(fcinfo, carrier, function, ARGUMENT_RESULT, why);
}

/* accumulate_step(state, saved, is_state, counts, null of the result's type, function, arguments) */
Datum
tidemark_accumulate_step(PG_FUNCTION_ARGS)
{
	Carrier *carrier =
		carrier_of_call(fcinfo, ARGUMENT_FUNCTION, ARGUMENT_FIRST, method_of_step, "accumulated");
	Carried *carried = carried_of_group(fcinfo, carrier);

	if (!PG_ARGISNULL(ARGUMENT_IS_STATE) && PG_GETARG_BOOL(ARGUMENT_IS_STATE))
	{
		if (!PG_ARGISNULL(ARGUMENT_SAVED) && carried->state)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("the saved state must be the first row of its group")));
		if (!PG_ARGISNULL(ARGUMENT_SAVED))
			carried_load(carried, PG_GETARG_BYTEA_PP(ARGUMENT_SAVED));
	}
	else if (!PG_ARGISNULL(ARGUMENT_COUNTS) && PG_GETARG_BOOL(ARGUMENT_COUNTS))
		sliding_add(carried->method, carried_state(carried), carrier_arguments(fcinfo, carrier));
	PG_RETURN_POINTER(carried);
}

Datum
tidemark_accumulate_state(PG_FUNCTION_ARGS)
{
	Carried *carried;
	bytea *saved;

	if (PG_ARGISNULL(ARGUMENT_STATE))
		PG_RETURN_NULL();
	carried = (Carried *) PG_GETARG_POINTER(ARGUMENT_STATE);
	saved = sliding_save(carried->method, carried_state(carried));
	if (saved == NULL)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the state of aggregate %s is too large to be kept",
							   get_func_name(sliding_function(carried->method)))));
	PG_RETURN_BYTEA_P(saved);
}

Datum
tidemark_accumulate_result(PG_FUNCTION_ARGS)
{
	return carried_result(fcinfo);
}

/* ---- a state alone ---------------------------------------------------------------------------------------- */

/* Arguments of saved_result. */
enum saved_argument
{
	SAVED_STATE,
	SAVED_RESULT,
	SAVED_FUNCTION,
	SAVED_FIRST
};

static SlidingAggregate *
method_of_saved(FunctionCallInfo fcinfo, Carrier *carrier, Oid function, const char **why)
{
	return method_of(fcinfo, carrier, function, SAVED_RESULT, why);
}

/* saved_result(saved, null of the result's type, function, arguments of its types) */
Datum
tidemark_saved_result(PG_FUNCTION_ARGS)
{
	SlidingAggregate *method =
		carrier_of_call(fcinfo, SAVED_FUNCTION, SAVED_FIRST, method_of_saved, "accumulated")
			->method;
	void *state = PG_ARGISNULL(SAVED_STATE)
					  ? sliding_new(method, CurrentMemoryContext)
					  : sliding_load(method, PG_GETARG_BYTEA_PP(SAVED_STATE), CurrentMemoryContext);
	bool isnull;
	Datum result = sliding_result(method, state, &isnull);

	sliding_free(method, state);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}
