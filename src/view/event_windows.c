/*
 * event_windows.c: tidemark.hop and tidemark.cumulate: the windows that an event time is in.
 *
 *   hop(t, slide, size):     a window begins each `slide` and is `size` long: t is in size / slide of them
 *   cumulate(t, step, size): a window begins each `size`, and there is one of each length of 1, 2, ... steps up to size
 *
 *        |-----------|                       |---|
 *            |-----------|                   |-------|
 *                |-----------|               |-----------|
 *   ─────────────x──────────────▶            ─x───────────────▶
 *
 * Windows take in their start and not their end. They are counted from `origin`, by default 1970-01-01 (UTC), or 0.
 * They are rows, so that a query can group by them: as GROUP BY sees any other column. view/group_window.c knows these functions.
 */
#include "tidemark.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "funcapi.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "stream/event_time.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "view/event_windows.h"

PG_FUNCTION_INFO_V1(tidemark_hop);
PG_FUNCTION_INFO_V1(tidemark_cumulate);

FuncExpr *
event_windows_call(Node *node, bool *cumulates)
{
	FuncExpr *function = (FuncExpr *) node;
	char *name;

	if (!IsA(node, FuncExpr) ||
		get_func_namespace(function->funcid) != get_namespace_oid(TIDEMARK_SCHEMA, true))
		return NULL;
	name = get_func_name(function->funcid);
	*cumulates = strcmp(name, "cumulate") == 0;
	if (!*cumulates && strcmp(name, "hop") != 0)
		return NULL;
	return castNode(FuncExpr, eval_const_expressions(NULL, copyObject(node)));
}

/* The windows that are still to be returned; all in ticks. */
typedef struct Windows
{
	Oid type;
	Ticks start; /* of the next one */
	Ticks end;
	int64 start_step; /* to the one after that */
	int64 end_step;
	int64 left; /* how many */
} Windows;

static void
out_of_range(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("window out of range")));
}

/* A length of windows as ticks; what names it. Returns what is wrong with it, and may set the hint; NULL: nothing is. */
static char *
read_length(Datum value, Oid type, const char *what, int64 *length, char **hint)
{
	if (type == INT8OID)
		*length = DatumGetInt64(value);
	else if (DatumGetIntervalP(value)->month != 0)
	{
		*hint = "A month has no fixed length; group by date_trunc('month', ...) for windows of "
				"months.";
		return psprintf("the %s of windows must not contain months or years", what);
	}
	else if (!interval_length(DatumGetIntervalP(value), length))
		return psprintf("the %s of windows is too long", what);
	else if (type == DATEOID && *length % USECS_PER_DAY != 0)
		return psprintf("the %s of windows of dates must be whole days", what);
	else if (type == DATEOID)
		*length /= USECS_PER_DAY;
	return *length > 0 ? NULL : psprintf("the %s of windows must be greater than zero", what);
}

static char *
read_lengths(Oid type, bool cumulates, Datum step, Datum size, int64 *step_length,
			 int64 *size_length, char **hint)
{
	char *fault = read_length(step, type, cumulates ? "step" : "slide", step_length, hint);

	if (fault == NULL)
		fault = read_length(size, type, "size", size_length, hint);
	if (fault == NULL && cumulates && *size_length % *step_length != 0)
		fault = "the size of cumulating windows must be a multiple of their step";
	return fault;
}

char *
event_windows_fault(Oid type, bool cumulates, Datum step, Datum size, char **hint)
{
	int64 step_length;
	int64 size_length;

	*hint = NULL;
	return read_lengths(type, cumulates, step, size, &step_length, &size_length, hint);
}

/* How far t lies behind the last of the times that are `step` apart and of which origin is one. */
static int64
behind_step(Ticks t, Ticks origin, int64 step)
{
	int64 distance;

	if (pg_sub_s64_overflow(t, origin, &distance))
		out_of_range();
	distance %= step;
	return distance < 0 ? distance + step : distance;
}

static bool
set_hop(Windows *windows, Ticks t, int64 slide, int64 size, Ticks origin)
{
	int64 behind = behind_step(t, origin, slide);

	/* the last window that has t begins that much before it, and so many begin before it */
	if (behind >= size)
		return false;
	windows->left = (size - 1 - behind) / slide + 1;
	windows->start_step = windows->end_step = slide;
	if (pg_sub_s64_overflow(t, behind, &windows->start) ||
		pg_sub_s64_overflow(windows->start, (windows->left - 1) * slide, &windows->start) ||
		pg_add_s64_overflow(windows->start, size, &windows->end))
		out_of_range();
	return true;
}

static void
set_cumulate(Windows *windows, Ticks t, int64 step, int64 size, Ticks origin)
{
	int64 behind = behind_step(t, origin, size);

	windows->left = size / step - behind / step;
	windows->start_step = 0;
	windows->end_step = step;
	if (pg_sub_s64_overflow(t, behind, &windows->start) ||
		pg_add_s64_overflow(windows->start, (behind / step + 1) * step, &windows->end))
		out_of_range();
}

/* The event times of this call's first argument, and its fourth. */
static Ticks
time_argument(FunctionCallInfo fcinfo, int argument, Oid type)
{
	return event_time_ticks(type, PG_GETARG_DATUM(argument));
}

static Windows *
begin(FunctionCallInfo fcinfo, FuncCallContext *context, bool cumulates)
{
	MemoryContext old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
	Windows *windows = palloc0(sizeof(Windows));
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	char *hint = NULL;
	int64 step;
	int64 size;
	char *fault =
		read_lengths(type, cumulates, PG_GETARG_DATUM(1), PG_GETARG_DATUM(2), &step, &size, &hint);
	Ticks t = time_argument(fcinfo, 0, type);
	Ticks origin = time_argument(fcinfo, 3, type);
	TupleDesc columns;

	if (fault)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", fault),
						hint ? errhint("%s", hint) : 0));
	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	context->tuple_desc = BlessTupleDesc(columns);
	windows->type = type;
	/* an infinite time is in no window */
	if (t != TICKS_MIN && t != TICKS_MAX)
	{
		if (cumulates)
			set_cumulate(windows, t, step, size, origin);
		else
			(void) set_hop(windows, t, step, size, origin);
	}
	MemoryContextSwitchTo(old);
	return windows;
}

static Datum
next_window(FunctionCallInfo fcinfo, bool cumulates)
{
	FuncCallContext *context;
	Windows *windows;
	Datum values[2];
	bool nulls[2] = {false, false};

	if (SRF_IS_FIRSTCALL())
	{
		context = SRF_FIRSTCALL_INIT();
		context->user_fctx = begin(fcinfo, context, cumulates);
	}
	context = SRF_PERCALL_SETUP();
	windows = context->user_fctx;
	if (windows->left == 0)
		SRF_RETURN_DONE(context);
	values[0] = event_time_datum(windows->type, windows->start);
	values[1] = event_time_datum(windows->type, windows->end);
	windows->left--;
	windows->start += windows->start_step;
	windows->end += windows->end_step;
	SRF_RETURN_NEXT(context,
					HeapTupleGetDatum(heap_form_tuple(context->tuple_desc, values, nulls)));
}

Datum
tidemark_hop(PG_FUNCTION_ARGS)
{
	return next_window(fcinfo, false);
}

Datum
tidemark_cumulate(PG_FUNCTION_ARGS)
{
	return next_window(fcinfo, true);
}
