/*
 * sliding_functions.c: the SQL aggregate sliding_window, by which PostgreSQL's own WindowAgg runs
 * sliding aggregates.
 *
 *     sliding_window(NULL::double precision, 'max(double precision)'::regprocedure, x) OVER (...)
 *
 * is max(x) OVER (...), computed by its sliding method. The planner hook (planner.c) writes it
 * into queries over streams; that is why it may be called by all, and checks what it is given: the
 * types by sliding_prepare, the right to execute the aggregate here.
 *
 * All is in the transition functions, which have the state and the arguments. The result function
 * sees the arguments' types only, so over no rows at all, where there is no state, the result is
 * null. Whoever wants an aggregate that gives something else there can't use this one.
 */
#include "tidemark.h"

#include "catalog/pg_proc.h"
#include "utils/lsyscache.h"

#include "aggregate/sliding.h"

PG_FUNCTION_INFO_V1(tidemark_sliding_window_add);
PG_FUNCTION_INFO_V1(tidemark_sliding_window_evict);
PG_FUNCTION_INFO_V1(tidemark_sliding_window_result);

#define RESULT_ARGUMENT 1
#define FUNCTION_ARGUMENT 2
#define FIRST_ARGUMENT 3

/* A window's aggregate and its state, which the transition functions pass on. */
typedef struct SlidingWindow
{
	SlidingAggregate *aggregate;
	void *state;
} SlidingWindow;

static SlidingAggregate *
prepare_call(FunctionCallInfo fcinfo, Oid function)
{
	int nargs = PG_NARGS() - FIRST_ARGUMENT;
	Oid types[FUNC_MAX_ARGS];
	SlidingAggregate *aggregate;
	const char *why;

	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("the aggregate's arguments have to be given one by one")));
	for (int i = 0; i < nargs; i++)
		types[i] = get_fn_expr_argtype(fcinfo->flinfo, FIRST_ARGUMENT + i);
	compat_check_function_right(function, GetUserId());
	aggregate = sliding_prepare(function, PG_GET_COLLATION(), nargs, types,
								get_fn_expr_argtype(fcinfo->flinfo, RESULT_ARGUMENT), &why);
	if (aggregate == NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("%s has no sliding form", get_func_name(function)),
						errdetail("Reason: %s.", why)));
	return aggregate;
}

/* The aggregate that is computed, with the right to execute it checked; prepared at the first call. */
static SlidingAggregate *
aggregate_of_call(FunctionCallInfo fcinfo)
{
	SlidingAggregate *aggregate = fcinfo->flinfo->fn_extra;

	if (PG_ARGISNULL(FUNCTION_ARGUMENT))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the aggregate to compute must not be null")));
	if (aggregate == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		aggregate = prepare_call(fcinfo, PG_GETARG_OID(FUNCTION_ARGUMENT));
		fcinfo->flinfo->fn_extra = aggregate;
		MemoryContextSwitchTo(old);
	}
	else if (sliding_function(aggregate) != PG_GETARG_OID(FUNCTION_ARGUMENT))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the aggregate to compute must be the same for all rows")));
	return aggregate;
}

static SlidingWindow *
new_window(FunctionCallInfo fcinfo)
{
	MemoryContext context;
	SlidingWindow *window;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	window = MemoryContextAlloc(context, sizeof(SlidingWindow));
	window->aggregate = aggregate_of_call(fcinfo);
	window->state = sliding_new(window->aggregate, context);
	return window;
}

Datum
tidemark_sliding_window_add(PG_FUNCTION_ARGS)
{
	SlidingWindow *window;

	window = PG_ARGISNULL(0) ? new_window(fcinfo) : (SlidingWindow *) PG_GETARG_POINTER(0);
	sliding_add(window->aggregate, window->state, &fcinfo->args[FIRST_ARGUMENT]);
	PG_RETURN_POINTER(window);
}

Datum
tidemark_sliding_window_evict(PG_FUNCTION_ARGS)
{
	SlidingWindow *window;

	if (PG_ARGISNULL(0))
		elog(ERROR, "sliding window called to evict from an empty state");
	window = (SlidingWindow *) PG_GETARG_POINTER(0);
	sliding_evict(window->aggregate, window->state, &fcinfo->args[FIRST_ARGUMENT]);
	PG_RETURN_POINTER(window);
}

Datum
tidemark_sliding_window_result(PG_FUNCTION_ARGS)
{
	SlidingWindow *window;
	Datum result;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	window = (SlidingWindow *) PG_GETARG_POINTER(0);
	result = sliding_result(window->aggregate, window->state, &fcinfo->isnull);
	PG_RETURN_DATUM(result);
}
