/*
 * replay.c: a window function's results from a saved state on: the aggregate tidemark.replay.
 *
 * The live tail of a view doesn't read whole windows. It takes each key's state as the maintainer saved it, and what came into and
 * left its windows since, as rows in the order in which that happened:
 *
 *     at          op                   what replay does
 *     (first)     -f: state of frame f    takes the saved state
 *     t           0:  a row enters        adds it; its result is what the view shows
 *     t + length   f: a row leaves frame f  takes it away, after the rows that enter at that time
 *     t - end      -f: a row enters frame f   adds it, before the results at that time
 *
 *     replay(op, f, counts, saved, NULL::result, function, bounds, arguments) OVER (PARTITION BY keys ORDER BY at, op)
 *
 * PostgreSQL's WindowAgg adds up such an aggregate from its partition's start; "adding" a row is one of these three steps. So the
 * plan has nothing in it that the planner doesn't know. `counts` is the function's FILTER. Results are for rows that enter;
 * for others it is null, without the work of finding it. `bounds` are those of a frame that is counted in rows or groups (first, last and
 * order of SlidingBounds), which rows leave by themselves; else null. Where rows don't enter with their results, f is negative.
 *
 * Whoever calls it by hand needs the right to execute the function, as in a query with it.
 */
#include "tidemark.h"

#include "aggregate/sliding.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(tidemark_replay_step);
PG_FUNCTION_INFO_V1(tidemark_replay_result);

/* Arguments of the step, behind the state. */
enum argument
{
	ARGUMENT_STATE,
	ARGUMENT_OP,
	ARGUMENT_FRAME,
	ARGUMENT_COUNTS,
	ARGUMENT_SAVED,
	ARGUMENT_RESULT,
	ARGUMENT_FUNCTION,
	ARGUMENT_BOUNDS,
	ARGUMENT_FIRST
};

/* What a call in a plan keeps: in fn_extra. */
typedef struct Replay
{
	SlidingAggregate *method;
	int nargs; /* of the function */
	NullableDatum args[FUNC_MAX_ARGS];
} Replay;

/* What it keeps for a partition. */
typedef struct ReplayState
{
	SlidingAggregate *method;
	MemoryContext context;
	void *window; /* the sliding state; NULL: the window is empty */
	bool shown;	  /* the last row was one that has a result */
} ReplayState;

/* An element of the bounds, which has to be at least that. */
static int64
bound_at(ArrayType *array, int i, int64 least)
{
	int64 bound = ((int64 *) ARR_DATA_PTR(array))[i];

	if (bound < least || bound > PG_INT64_MAX / 2)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("bound of a frame out of range: " INT64_FORMAT, bound)));
	return bound;
}

/* The bounds of the frame, for a function that is called with so many arguments; false: it is not counted. */
static bool
read_bounds(FunctionCallInfo fcinfo, int nargs, SlidingBounds *bounds)
{
	ArrayType *array;

	if (PG_ARGISNULL(ARGUMENT_BOUNDS))
		return false;
	array = PG_GETARG_ARRAYTYPE_P(ARGUMENT_BOUNDS);
	if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] != 3 || array_contains_nulls(array))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("bounds of a frame are three numbers")));
	bounds->first = bound_at(array, 0, SLIDING_FROM_START);
	bounds->last = bound_at(array, 1, 0);
	bounds->order = (int) Min(bound_at(array, 2, 0), nargs);
	return true;
}

/* How many of the arguments are the function's: one without any is given one, for an aggregate can't be called with none in the place of several. */
static int
count_arguments(FunctionCallInfo fcinfo, Oid function)
{
	int nargs = PG_NARGS() - ARGUMENT_FIRST;
	SlidingBounds bounds;

	if (get_func_nargs(function) > 0 || sliding_wants_order(function))
		return nargs;
	return read_bounds(fcinfo, nargs, &bounds) ? bounds.order : 0;
}

static SlidingAggregate *
prepare_method(FunctionCallInfo fcinfo, Oid function, int nargs, const char **why)
{
	Oid result = get_fn_expr_argtype(fcinfo->flinfo, ARGUMENT_RESULT);
	Oid types[FUNC_MAX_ARGS];
	SlidingBounds bounds;

	for (int i = 0; i < nargs; i++)
		types[i] = get_fn_expr_argtype(fcinfo->flinfo, ARGUMENT_FIRST + i);
	if (read_bounds(fcinfo, nargs, &bounds))
		return sliding_prepare_counted(function, PG_GET_COLLATION(), nargs, types, result, &bounds,
									   why);
	return sliding_prepare(function, PG_GET_COLLATION(), nargs, types, result, why);
}

static Replay *
prepare(FunctionCallInfo fcinfo)
{
	Replay *replay = fcinfo->flinfo->fn_extra;
	Oid function;
	const char *why;
	MemoryContext old;

	if (replay)
		return replay;
	if (PG_ARGISNULL(ARGUMENT_FUNCTION))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the function to replay must not be null")));
	function = PG_GETARG_OID(ARGUMENT_FUNCTION);
	compat_check_function_right(function, GetUserId());
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	replay = palloc0(sizeof(Replay));
	replay->nargs = count_arguments(fcinfo, function);
	replay->method = prepare_method(fcinfo, function, replay->nargs, &why);
	if (replay->method == NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("function %s can't be replayed: %s", get_func_name(function), why)));
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = replay;
	return replay;
}

/* The partition's state, begun if this is its first row. */
static ReplayState *
state_of_partition(FunctionCallInfo fcinfo, Replay *replay)
{
	MemoryContext context;
	ReplayState *state;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	if (!PG_ARGISNULL(ARGUMENT_STATE))
		return (ReplayState *) PG_GETARG_POINTER(ARGUMENT_STATE);
	state = MemoryContextAllocZero(context, sizeof(ReplayState));
	state->method = replay->method;
	state->context = context;
	return state;
}

static void *
window_of(ReplayState *state)
{
	if (state->window == NULL)
		state->window = sliding_new(state->method, state->context);
	return state->window;
}

/* Sets the function's arguments; false: FILTER excludes the row. */
static bool
set_arguments(FunctionCallInfo fcinfo, Replay *replay)
{
	for (int i = 0; i < replay->nargs; i++)
		replay->args[i] = fcinfo->args[ARGUMENT_FIRST + i];
	return !PG_ARGISNULL(ARGUMENT_COUNTS) && PG_GETARG_BOOL(ARGUMENT_COUNTS);
}

static void
enter(FunctionCallInfo fcinfo, Replay *replay, ReplayState *state)
{
	bool counts = set_arguments(fcinfo, replay);

	(counts ? sliding_add : sliding_pass)(state->method, window_of(state), replay->args);
}

static void
leave(FunctionCallInfo fcinfo, Replay *replay, ReplayState *state)
{
	if (set_arguments(fcinfo, replay))
		sliding_evict(state->method, window_of(state), replay->args);
}

/* replay_step(state, op, frame, counts, saved, null of the result's type, function, bounds, arguments) */
Datum
tidemark_replay_step(PG_FUNCTION_ARGS)
{
	Replay *replay = prepare(fcinfo);
	ReplayState *state = state_of_partition(fcinfo, replay);
	int32 op = PG_GETARG_INT32(ARGUMENT_OP);
	int32 frame = PG_GETARG_INT32(ARGUMENT_FRAME);
	bool enters_when_shown = frame > 0;

	frame = abs(frame);
	state->shown = op == 0;
	if (op == -frame && !PG_ARGISNULL(ARGUMENT_SAVED))
		state->window =
			sliding_load(state->method, PG_GETARG_BYTEA_PP(ARGUMENT_SAVED), state->context);
	else if (op == -frame || (op == 0 && enters_when_shown))
		enter(fcinfo, replay, state);
	else if (op == frame)
		leave(fcinfo, replay, state);
	PG_RETURN_POINTER(state);
}

Datum
tidemark_replay_result(PG_FUNCTION_ARGS)
{
	ReplayState *state;
	bool isnull;
	Datum result;

	if (PG_ARGISNULL(ARGUMENT_STATE))
		PG_RETURN_NULL();
	state = (ReplayState *) PG_GETARG_POINTER(ARGUMENT_STATE);
	if (!state->shown)
		PG_RETURN_NULL();
	result = sliding_result(state->method, window_of(state), &isnull);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}
