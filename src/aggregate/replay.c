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

#include "aggregate/carried.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

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
method_of(FunctionCallInfo fcinfo, Carrier *carrier, Oid function, const char **why)
{
	Oid result = get_fn_expr_argtype(fcinfo->flinfo, ARGUMENT_RESULT);
	int nargs = carrier->nargs = count_arguments(fcinfo, function);
	Oid types[FUNC_MAX_ARGS];
	SlidingBounds bounds;

	carrier_types(fcinfo, carrier, types);
	if (read_bounds(fcinfo, nargs, &bounds))
		return sliding_prepare_counted(function, PG_GET_COLLATION(), nargs, types, result, &bounds,
									   why);
	return sliding_prepare(function, PG_GET_COLLATION(), nargs, types, result, why);
}

/* Does FILTER let the row through? */
static bool
counts(FunctionCallInfo fcinfo)
{
	return !PG_ARGISNULL(ARGUMENT_COUNTS) && PG_GETARG_BOOL(ARGUMENT_COUNTS);
}

static void
enter(FunctionCallInfo fcinfo, Carrier *carrier, Carried *window)
{
	(counts(fcinfo) ? sliding_add : sliding_pass)(window->method, carried_state(window),
												  carrier_arguments(fcinfo, carrier));
}

static void
leave(FunctionCallInfo fcinfo, Carrier *carrier, Carried *window)
{
	if (counts(fcinfo))
		sliding_evict(window->method, carried_state(window), carrier_arguments(fcinfo, carrier));
}

/* replay_step(state, op, frame, counts, saved, null of the result's type, function, bounds, arguments) */
Datum
tidemark_replay_step(PG_FUNCTION_ARGS)
{
	Carrier *carrier =
		carrier_of_call(fcinfo, ARGUMENT_FUNCTION, ARGUMENT_FIRST, method_of, "replayed");
	Carried *window = carried_of_group(fcinfo, carrier);
	int32 op = PG_GETARG_INT32(ARGUMENT_OP);
	int32 frame = PG_GETARG_INT32(ARGUMENT_FRAME);
	bool enters_when_shown = frame > 0;

	frame = abs(frame);
	window->hidden = op != 0;
	if (op == -frame && !PG_ARGISNULL(ARGUMENT_SAVED))
		carried_load(window, PG_GETARG_BYTEA_PP(ARGUMENT_SAVED));
	else if (op == -frame || (op == 0 && enters_when_shown))
		enter(fcinfo, carrier, window);
	else if (op == frame)
		leave(fcinfo, carrier, window);
	PG_RETURN_POINTER(window);
}

Datum
tidemark_replay_result(PG_FUNCTION_ARGS)
{
	return carried_result(fcinfo);
}
