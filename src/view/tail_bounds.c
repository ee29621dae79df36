/*
 * tail_bounds.c: where the live tail of a view begins.
 *
 * Plans are kept, and frontiers move: so a plan has calls of functions in it that read the view's row in tidemark.frontier with
 * the snapshot that the query has (they are stable, not immutable). That row commits together with the materialised rows and the
 * saved states of windows: whoever sees the ones sees the others.
 *
 *      ──────────────────────┤ saved ├─────────┤ frontier ├───────────────────▶ event time
 *      tail_replay_start(L):   L before here    tail_start(lookback): lookback before here
 *
 * A tail is planned in two ways, one with and one without saved states. The way that a snapshot doesn't go begins after every event
 * time (infinity): so it reads nothing, and the planner, which asks too, doesn't count its costs. Saved states are gone on from
 * if they reach: rows that came after them are read several times, and with many of them the whole windows are read sooner. How
 * far event time has come is taken from the stream's row in the catalogue, with the same snapshot: all calls in a plan agree.
 *
 *      lookback: windows        saved      frontier         greatest
 *   ───┤▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒├──────────┤────────────────┤           one tail is long, the other one goes
 *                                 ├───── < reach: replay ─────┤           on from saved states
 *
 * A view that was made anew has a new materialised table, which an older snapshot sees empty: the row counts only if it is
 * about the table that is read, else the tail is the whole batch query.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "view/query_parts.h"
#include "view/tail_bounds.h"

PG_FUNCTION_INFO_V1(tidemark_tail_start);
PG_FUNCTION_INFO_V1(tidemark_tail_slice_start);
PG_FUNCTION_INFO_V1(tidemark_tail_replay_start);
PG_FUNCTION_INFO_V1(tidemark_tail_known_end);
PG_FUNCTION_INFO_V1(tidemark_tail_is_replayed);
PG_FUNCTION_INFO_V1(tidemark_tail_before);
PG_FUNCTION_INFO_V1(tidemark_tail_ticks);

/* ---- when the query runs --------------------------------------------------------------------------- */

/*
 * What a call in a plan remembers: the snapshot, what the view's row says in it, and the bound that follows. A scan compares each row
 * that it looks at with it. A call's arguments are constants.
 */
typedef struct Moment
{
	TransactionId xmin;
	TransactionId xmax;
	CommandId command;
	Oid type; /* the event time's */
	Ticks frontier;
	Ticks saved; /* TICKS_MIN: nothing, or too little */
	Ticks end;	 /* where there is something: how far event time has come, not less */
	bool has_bound;
	Ticks bound;
} Moment;

/* How far the stream's event time has come; a guess from below. */
static Ticks
known_end(Oid view, Ticks saved, Snapshot snapshot)
{
	ContinuousView found;

	if (!view_lookup(view, &found))
		return saved;
	return Max(stream_watermark(found.stream, snapshot).greatest, saved);
}

static void
read_moment(Moment *moment, Oid view, Oid mat, int64 reach, Snapshot snapshot)
{
	Frontier frontier = frontier_read(view, snapshot);
	bool known = frontier.found && frontier.mat == mat;

	moment->frontier = known ? frontier.frontier : TICKS_MIN;
	moment->saved = known ? frontier.saved : TICKS_MIN;
	if (moment->saved != TICKS_MIN)
	{
		moment->end = known_end(view, moment->saved, snapshot);
		if (reach < TICKS_MAX && moment->end - moment->saved >= reach)
			moment->saved = TICKS_MIN;
	}
	moment->xmin = snapshot->xmin;
	moment->xmax = snapshot->xmax;
	moment->command = snapshot->curcid;
	moment->has_bound = false;
}

/* The first two arguments of each function: the view, and its materialised table. */
static Moment *
moment_of_call(FunctionCallInfo fcinfo, int64 reach)
{
	Moment *moment = fcinfo->flinfo->fn_extra;
	Snapshot snapshot = GetActiveSnapshot();

	if (moment == NULL)
		moment = fcinfo->flinfo->fn_extra =
			MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Moment));
	if (moment->xmax == InvalidTransactionId || moment->xmin != snapshot->xmin ||
		moment->xmax != snapshot->xmax || moment->command != snapshot->curcid)
		read_moment(moment, PG_GETARG_OID(0), PG_GETARG_OID(1), reach, snapshot);
	return moment;
}

/*
 * The same of a function that gives a bound; that is to be set if there is none yet. The event time's type is that of the third
 * argument, which is null.
 */
static Moment *
moment_with_bound(FunctionCallInfo fcinfo, int64 reach)
{
	Moment *moment = fcinfo->flinfo->fn_extra;
	Oid type = moment ? moment->type : get_fn_expr_rettype(fcinfo->flinfo);

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3) || !event_time_type_ok(type))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("tidemark.tail_start is for plans of continuous views")));
	moment = moment_of_call(fcinfo, reach);
	moment->type = type;
	return moment;
}

static Datum
bound_datum(Moment *moment, Ticks bound)
{
	moment->bound = bound;
	moment->has_bound = true;
	return event_time_datum(moment->type, bound);
}

static Ticks
frontier_bound(const Moment *moment, const Lookback *lookback)
{
	return lookback_before(moment->type, ticks_plus(moment->frontier, 1), lookback);
}

/* How far it may be from the saved states to the newest row: an argument in ticks; null: any distance. */
static int64
reach_of_call(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? TICKS_MAX : PG_GETARG_INT64(argument);
}

/* tail_start(view, its materialised table, null of the event time's type, lookback) */
Datum
tidemark_tail_start(PG_FUNCTION_ARGS)
{
	Moment *moment = moment_with_bound(fcinfo, TICKS_MAX);
	Ticks bound = moment->bound;

	if (!moment->has_bound)
		bound = frontier_bound(moment, PG_GETARG_INTERVAL_P(3));
	PG_RETURN_DATUM(bound_datum(moment, bound));
}

/* tail_slice_start(view, its materialised table, null of the event time's type, lookback, reach) */
Datum
tidemark_tail_slice_start(PG_FUNCTION_ARGS)
{
	Moment *moment = moment_with_bound(fcinfo, reach_of_call(fcinfo, 4));
	Ticks bound = moment->bound;

	if (!moment->has_bound)
		bound = moment->saved != TICKS_MIN ? TICKS_MAX
										   : frontier_bound(moment, PG_GETARG_INTERVAL_P(3));
	PG_RETURN_DATUM(bound_datum(moment, bound));
}

/* tail_replay_start(view, its materialised table, null of the event time's type, length, reach) */
Datum
tidemark_tail_replay_start(PG_FUNCTION_ARGS)
{
	Moment *moment = moment_with_bound(fcinfo, reach_of_call(fcinfo, 4));
	Ticks bound = moment->bound;

	if (!moment->has_bound)
		bound = moment->saved == TICKS_MIN
					? TICKS_MAX
					: ticks_minus(ticks_plus(moment->saved, 1), PG_GETARG_INT64(3));
	PG_RETURN_DATUM(bound_datum(moment, bound));
}

/* tail_known_end(view, its materialised table, null of the event time's type, reach) */
Datum
tidemark_tail_known_end(PG_FUNCTION_ARGS)
{
	Moment *moment = moment_with_bound(fcinfo, reach_of_call(fcinfo, 3));
	Ticks bound = moment->bound;

	if (!moment->has_bound)
		bound = moment->saved == TICKS_MIN ? TICKS_MAX : moment->end;
	PG_RETURN_DATUM(bound_datum(moment, bound));
}

/* tail_is_replayed(view, its materialised table, reach) */
Datum
tidemark_tail_is_replayed(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(moment_of_call(fcinfo, reach_of_call(fcinfo, 2))->saved != TICKS_MIN);
}

/* tail_before(event time, length) */
Datum
tidemark_tail_before(PG_FUNCTION_ARGS)
{
	Oid type = get_fn_expr_rettype(fcinfo->flinfo);

	PG_RETURN_DATUM(event_time_datum(
		type, ticks_minus(event_time_ticks(type, PG_GETARG_DATUM(0)), PG_GETARG_INT64(1))));
}

/* tail_ticks(event time, length) */
Datum
tidemark_tail_ticks(PG_FUNCTION_ARGS)
{
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, 0);

	PG_RETURN_INT64(ticks_plus(event_time_ticks(type, PG_GETARG_DATUM(0)), PG_GETARG_INT64(1)));
}

/* ---- in plans ---------------------------------------------------------------------------------------- */

static Expr *
relation_constant(Oid relid)
{
	return (Expr *) makeConst(REGCLASSOID, -1, InvalidOid, sizeof(Oid), ObjectIdGetDatum(relid),
							  false, true);
}

static Expr *
length_constant(int64 length)
{
	return (Expr *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(length), false,
							  FLOAT8PASSBYVAL);
}

static Expr *
call(char *name, int nargs, const Oid *types, Oid result, List *arguments)
{
	return (Expr *) makeFuncExpr(own_function(name, nargs, types), result, arguments, InvalidOid,
								 InvalidOid, COERCE_EXPLICIT_CALL);
}

static Expr *
lookback_constant(const Lookback *lookback)
{
	Lookback *distance = palloc(sizeof(Lookback));

	*distance = *lookback;
	return (Expr *) makeConst(INTERVALOID, -1, InvalidOid, sizeof(Interval),
							  IntervalPGetDatum(distance), false, false);
}

/* A bound of the view's tail: name(view, its materialised table, null of the event time's type, the rest). */
static Expr *
bound_call(char *name, const ContinuousView *view, Oid time_type, List *rest)
{
	Oid types[FUNC_MAX_ARGS] = {REGCLASSOID, REGCLASSOID, ANYELEMENTOID};
	List *arguments = list_make3(relation_constant(view->relid), relation_constant(view->mat),
								 makeNullConst(time_type, -1, InvalidOid));
	int nargs = list_length(arguments);
	ListCell *cell;

	foreach (cell, rest)
		types[nargs++] = exprType(lfirst(cell));
	return call(name, nargs, types, time_type, list_concat(arguments, rest));
}

Expr *
tail_start(const ContinuousView *view, Oid time_type, const Lookback *lookback)
{
	return bound_call("tail_start", view, time_type, list_make1(lookback_constant(lookback)));
}

Expr *
tail_slice_start(const ContinuousView *view, Oid time_type, const Lookback *lookback, int64 reach)
{
	return bound_call("tail_slice_start", view, time_type,
					  list_make2(lookback_constant(lookback), length_constant(reach)));
}

Expr *
tail_replay_start(const ContinuousView *view, Oid time_type, int64 length, int64 reach)
{
	return bound_call("tail_replay_start", view, time_type,
					  list_make2(length_constant(length), length_constant(reach)));
}

Expr *
tail_known_end(const ContinuousView *view, Oid time_type, int64 reach)
{
	return bound_call("tail_known_end", view, time_type, list_make1(length_constant(reach)));
}

Expr *
tail_is_replayed(const ContinuousView *view, int64 reach)
{
	Oid types[] = {REGCLASSOID, REGCLASSOID, INT8OID};

	return call("tail_is_replayed", lengthof(types), types, BOOLOID,
				list_make3(relation_constant(view->relid), relation_constant(view->mat),
						   length_constant(reach)));
}

Expr *
tail_before(Expr *time, int64 length)
{
	Oid types[] = {ANYELEMENTOID, INT8OID};

	return call("tail_before", lengthof(types), types, exprType((Node *) time),
				list_make2(time, length_constant(length)));
}

Expr *
tail_ticks(Expr *time, int64 length)
{
	Oid types[] = {ANYELEMENTOID, INT8OID};

	return call("tail_ticks", lengthof(types), types, INT8OID,
				list_make2(time, length_constant(length)));
}
