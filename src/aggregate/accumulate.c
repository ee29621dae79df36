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

#include "aggregate/sliding.h"
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

/* What a call in a plan keeps: in fn_extra. */
typedef struct Accumulator
{
	SlidingAggregate *method;
	int nargs;
	NullableDatum args[FUNC_MAX_ARGS];
} Accumulator;

typedef struct AccumulatedState
{
	SlidingAggregate *method;
	MemoryContext context;
	void *fold; /* NULL: no row yet */
} AccumulatedState;

/* The method for the function and arguments that stand in the call from this place on. */
static Accumulator *
prepare(FunctionCallInfo fcinfo, int result, int function_place, int first)
{
	Accumulator *self = fcinfo->flinfo->fn_extra;
	Oid types[FUNC_MAX_ARGS];
	const char *why;
	MemoryContext old;
	Oid function;

	if (self)
		return self;
	if (PG_ARGISNULL(function_place))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the function to accumulate must not be null")));
	function = PG_GETARG_OID(function_place);
	compat_check_function_right(function, GetUserId());
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	self = palloc0(sizeof(Accumulator));
	/* one without arguments is given one, for an aggregate can't be called with none in the place of several */
	self->nargs = get_func_nargs(function) > 0 ? PG_NARGS() - first : 0;
	for (int i = 0; i < self->nargs; i++)
		types[i] = get_fn_expr_argtype(fcinfo->flinfo, first + i);
	self->method = sliding_prepare_growing(function, PG_GET_COLLATION(), self->nargs, types,
										   get_fn_expr_argtype(fcinfo->flinfo, result), &why);
	if (self->method == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function %s can't be accumulated: %s", get_func_name(function), why)));
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = self;
	return self;
}

/* ---- the aggregates ------------------------------------------------------------------------------------- */

static AccumulatedState *
state_of_group(FunctionCallInfo fcinfo, const Accumulator *self)
{
	MemoryContext context;
	AccumulatedState *state;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	if (!PG_ARGISNULL(ARGUMENT_STATE))
		return (AccumulatedState *) PG_GETARG_POINTER(ARGUMENT_STATE);
	state = MemoryContextAllocZero(context, sizeof(AccumulatedState));
	state->method = self->method;
	state->context = context;
	return state;
}

static void *
fold_of(AccumulatedState *state)
{
	if (state->fold == NULL)
		state->fold = sliding_new(state->method, state->context);
	return state->fold;
}

static void
load(FunctionCallInfo fcinfo, AccumulatedState *state)
{
	if (PG_ARGISNULL(ARGUMENT_SAVED))
		return;
	if (state->fold)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the saved state must be the first row of its group")));
	state->fold = sliding_load(state->method, PG_GETARG_BYTEA_PP(ARGUMENT_SAVED), state->context);
}

/* accumulate_step(state, saved, is_state, counts, null of the result's type, function, arguments) */
Datum
tidemark_accumulate_step(PG_FUNCTION_ARGS)
{
	Accumulator *self = prepare(fcinfo, ARGUMENT_RESULT, ARGUMENT_FUNCTION, ARGUMENT_FIRST);
	AccumulatedState *state = state_of_group(fcinfo, self);

	if (!PG_ARGISNULL(ARGUMENT_IS_STATE) && PG_GETARG_BOOL(ARGUMENT_IS_STATE))
		load(fcinfo, state);
	else if (!PG_ARGISNULL(ARGUMENT_COUNTS) && PG_GETARG_BOOL(ARGUMENT_COUNTS))
	{
		for (int i = 0; i < self->nargs; i++)
			self->args[i] = fcinfo->args[ARGUMENT_FIRST + i];
		sliding_add(state->method, fold_of(state), self->args);
	}
	PG_RETURN_POINTER(state);
}

Datum
tidemark_accumulate_state(PG_FUNCTION_ARGS)
{
	AccumulatedState *state;
	bytea *saved;

	if (PG_ARGISNULL(ARGUMENT_STATE))
		PG_RETURN_NULL();
	state = (AccumulatedState *) PG_GETARG_POINTER(ARGUMENT_STATE);
	saved = sliding_save(state->method, fold_of(state));
	if (saved == NULL)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("the state of aggregate %s is too large to be kept",
							   get_func_name(sliding_function(state->method)))));
	PG_RETURN_BYTEA_P(saved);
}

Datum
tidemark_accumulate_result(PG_FUNCTION_ARGS)
{
	AccumulatedState *state;
	bool isnull;
	Datum result;

	if (PG_ARGISNULL(ARGUMENT_STATE))
		PG_RETURN_NULL();
	state = (AccumulatedState *) PG_GETARG_POINTER(ARGUMENT_STATE);
	result = sliding_result(state->method, fold_of(state), &isnull);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/* ---- a state alone ---------------------------------------------------------------------------------------- */

/* saved_result(saved, null of the result's type, function, arguments of its types) */
Datum
tidemark_saved_result(PG_FUNCTION_ARGS)
{
	Accumulator *self = prepare(fcinfo, 1, 2, 3);
	void *fold = PG_ARGISNULL(0)
					 ? sliding_new(self->method, CurrentMemoryContext)
					 : sliding_load(self->method, PG_GETARG_BYTEA_PP(0), CurrentMemoryContext);
	bool isnull;
	Datum result = sliding_result(self->method, fold, &isnull);

	sliding_free(self->method, fold);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}
