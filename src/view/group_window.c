/*
 * group_window.c: which of the expressions of a GROUP BY is the window.
 *
 *   SELECT date_bin('1 min', t, '2000-01-01') AS w, k, count(*), sum(x) FROM stream GROUP BY 1, 2
 *
 * A group is complete when no more rows can come that belong to it. So one of what it is told apart by has to say when its rows are:
 * an expression v of the event time t that never is far from it,
 *
 *            least <= t - v <= most                here: v is the window's start, least 0, most 1 min less a tick
 *
 *   ───────┼──────t───────────────┼─────▶ event time
 *          v <──── t - v          v + most + 1 tick
 *
 * The value v is the group's event time then: what is above this level sees it as the event time of its rows, the frontier
 * stays behind the watermark by `most`, and the rows of a slice of event time depend on the rows of the stream from `least` before
 * it to `most` after it. Everything else, from the aggregates to HAVING, is PostgreSQL's.
 *
 * Such expressions are built up from the event time: by rounding down (date_bin, date_trunc, casts to date, integer division),
 * shifting (+ interval), converting (casts, AT TIME ZONE), and by tidemark.hop and tidemark.cumulate, whose rows are the windows of
 * an event time. Each step moves the bounds, which are kept in microseconds, of bigint in its own units. Of several such
 * expressions among the keys, the one that is closest to the event time counts: the others are only keys.
 */
#include "tidemark.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_agg.h"
#include "parser/parsetree.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "view/constant.h"
#include "view/event_windows.h"
#include "view/group_window.h"
#include "view/shape.h"

/* Grouping sets are looked at one by one; more of them are not. */
#define MAX_GROUPING_SETS 4096

/* The furthest that a zone's time is from UTC, and the year's and the month's longest. */
#define ZONE_MAX (16 * USECS_PER_HOUR)
#define DAYS(n) ((n) *USECS_PER_DAY)

/* The Monday that date_trunc('week') counts from. */
#define MONDAY DAYS(2)

/* Where the event time t lies from an expression's value v: least <= t - v * scale <= most. */
typedef struct Near
{
	int64 least;
	int64 most;
	int64 scale;  /* 1; of integers, what they have been divided by */
	Grid grid;	  /* that v * scale is on */
	bool is_late; /* another expression of the same windows tells of them sooner */
} Near;

static bool near_of(Query *level, Node *node, const Stream *stream, Near *near);
static Expr *time_of_key(Expr *key, const Stream *stream, Near *near);

/* ---- steps -------------------------------------------------------------------------------------------- */

/* Both bounds grow by these; false if they get too large. */
static bool
widen(Near *near, int64 least, int64 most)
{
	return !pg_add_s64_overflow(near->least, least, &near->least) &&
		   !pg_add_s64_overflow(near->most, most, &near->most) && near->least > PG_INT64_MIN / 4 &&
		   near->most < PG_INT64_MAX / 4;
}

/* A time of the grid, which v is less than that length after. */
static bool
move_back(Near *near, const Grid *grid, int64 length)
{
	int64 step = 1;

	/* v may be on a grid itself, with nothing between */
	if (near->grid.size > 1 && length % near->grid.size == 0 && grid_is_part(grid, &near->grid))
		step = near->grid.size;
	near->grid = *grid;
	return length > 0 && widen(near, 0, length - step);
}

/* v rounded down to the grid, whose longest distance is that. */
static bool
round_down(Near *near, const Grid *grid, int64 longest)
{
	if (grid_is_coarse(&near->grid) && grid_is_part(&near->grid, grid))
		return true;
	return move_back(near, grid, longest);
}

static bool
round_down_to(Near *near, int64 size, int64 origin)
{
	Grid grid = {.size = size, .origin = size > 0 ? origin % size : 0};

	return round_down(near, &grid, size);
}

static bool
round_down_to_months(Near *near, int months, int64 longest_days)
{
	Grid grid = {.months = months};

	return round_down(near, &grid, DAYS(longest_days));
}

/* v + something between these two. */
static bool
shift(Near *near, int64 least, int64 most)
{
	if (least == most && near->grid.months == 0 && near->grid.size > 0)
		near->grid.origin = (near->grid.origin + least % near->grid.size) % near->grid.size;
	else if (least != 0 || most != 0)
		near->grid = (Grid){0};
	return widen(near, -most, -least);
}

/* ---- constants ------------------------------------------------------------------------------------------ */

/* A length of event time: an interval or, of integers, an integer. */
static bool
length_constant(Node *node, int64 *length)
{
	Const *constant = constant_of(node);

	if (constant && constant->consttype == INTERVALOID)
		return interval_length(DatumGetIntervalP(constant->constvalue), length);
	return constant_integer(node, length);
}

/* An event time, in microseconds or integers. */
static bool
time_constant(Node *node, int64 *time)
{
	Const *constant = constant_of(node);
	Ticks ticks;

	if (constant == NULL || !event_time_type_ok(constant->consttype))
		return constant_integer(node, time);
	ticks = event_time_ticks(constant->consttype, constant->constvalue);
	if (ticks == TICKS_MIN || ticks == TICKS_MAX)
		return false;
	*time = constant->consttype == DATEOID ? DAYS(ticks) : ticks;
	return true;
}

/* ---- functions of the event time -------------------------------------------------------------------------- */

/* date_bin(stride, v, origin) */
static bool
near_of_bin(Node *stride, Node *origin, Near *near)
{
	int64 size;
	int64 start;

	return length_constant(stride, &size) && time_constant(origin, &start) && size > 0 &&
		   round_down_to(near, size, start);
}

/* date_trunc(unit, v) */
static bool
near_of_trunc(Node *unit, Near *near)
{
	Const *constant = constant_of(unit);
	char *name;
	int value;

	if (constant == NULL || constant->consttype != TEXTOID)
		return false;
	name = TextDatumGetCString(constant->constvalue);
	name = downcase_truncate_identifier(name, strlen(name), false);
	if (DecodeUnits(0, name, &value) != UNITS)
		return false;
	switch (value)
	{
		case DTK_MICROSEC:
			return true;
		case DTK_MILLISEC:
			return round_down_to(near, 1000, 0);
		case DTK_SECOND:
			return round_down_to(near, USECS_PER_SEC, 0);
		case DTK_MINUTE:
			return round_down_to(near, USECS_PER_MINUTE, 0);
		case DTK_HOUR:
			return round_down_to(near, USECS_PER_HOUR, 0);
		case DTK_DAY:
			return round_down_to(near, USECS_PER_DAY, 0);
		case DTK_WEEK:
			return round_down_to(near, DAYS(7), MONDAY);
		case DTK_MONTH:
			return round_down_to_months(near, 1, 31);
		case DTK_QUARTER:
			return round_down_to_months(near, 3, 92);
		case DTK_YEAR:
			return round_down_to_months(near, 12, 366);
		/* these begin with years, too: a grid may have more times than there are windows */
		case DTK_DECADE:
			return round_down_to_months(near, 12, 10 * 366);
		case DTK_CENTURY:
			return round_down_to_months(near, 12, 100 * 366);
		case DTK_MILLENNIUM:
			return round_down_to_months(near, 12, 1000 * 366);
		default:
			return false;
	}
}

/* v + sign * interval; months last 28 to 31 days. The first of a month, so many months later, is one again. */
static bool
near_of_plus_interval(Node *node, int sign, Near *near)
{
	Const *constant = constant_of(node);
	Grid grid = near->grid;
	Interval rest;
	int64 months;
	int64 fixed;

	if (constant == NULL || constant->consttype != INTERVALOID)
		return false;
	rest = *DatumGetIntervalP(constant->constvalue);
	months = rest.month;
	rest.month = 0;
	if (!interval_length(&rest, &fixed) || fixed == PG_INT64_MIN)
		return false;
	fixed *= sign;
	months *= sign;
	if (months == 0)
		return shift(near, fixed, fixed);
	if (!shift(near, fixed, fixed) ||
		!shift(near, DAYS(Min(months * 28, months * 31)), DAYS(Max(months * 28, months * 31))))
		return false;
	if (fixed == 0 && grid.months > 0)
		near->grid.months = months % grid.months == 0 ? grid.months : 1;
	return true;
}

/* AT TIME ZONE, either way (sign: of what is added to v); v is taken as if it were in UTC on both sides. */
static bool
near_of_zone(Node *zone, int sign, Near *near)
{
	Const *constant = constant_of(zone);
	int64 offset;
	pg_tz *named;
	long seconds;

	if (constant == NULL)
		return false;
	if (constant->consttype == INTERVALOID)
		return interval_length(DatumGetIntervalP(constant->constvalue), &offset) &&
			   shift(near, sign * offset, sign * offset);
	if (constant->consttype != TEXTOID)
		return false;
	named = pg_tzset(TextDatumGetCString(constant->constvalue));
	if (named == NULL || !pg_get_timezone_offset(named, &seconds))
		return shift(near, -ZONE_MAX, ZONE_MAX);
	return shift(near, sign * seconds * USECS_PER_SEC, sign * seconds * USECS_PER_SEC);
}

/* timestamp(n): rounds to the nearest. */
static bool
near_of_precision(Node *precision, Near *near)
{
	int64 digits;
	int64 unit = USECS_PER_SEC;
	Grid none = {0};

	if (!constant_integer(precision, &digits) || digits < 0)
		return false;
	for (int64 i = 0; i < Min(digits, MAX_TIMESTAMP_PRECISION); i++)
		unit /= 10;
	if (unit == 1)
		return true;
	near->grid = none;
	near->grid.size = unit;
	return widen(near, -unit / 2, unit / 2);
}

/* v / divisor, cut towards zero (keeps_scale: multiplied by it again): on either side of v. */
static bool
near_of_division(int64 divisor, bool keeps_scale, Near *near)
{
	int64 size;
	Grid grid = {0};

	if (divisor <= 0 || pg_mul_s64_overflow(divisor, near->scale, &size))
		return false;
	grid.size = size;
	near->grid = grid;
	size -= near->scale;
	if (!keeps_scale)
		near->scale *= divisor;
	return widen(near, -size, size);
}

static bool
near_of_product(int64 factor, Near *near)
{
	if (factor <= 0 || near->scale % factor != 0)
		return false;
	near->scale /= factor;
	return true;
}

/* v + summand */
static bool
near_of_sum(int64 summand, int sign, Near *near)
{
	int64 distance;

	return summand != PG_INT64_MIN &&
		   !pg_mul_s64_overflow(summand * sign, near->scale, &distance) &&
		   shift(near, distance, distance);
}

/* Is it "whole % divisor"? */
static bool
is_rest_of(Node *node, Node *whole, int64 *divisor)
{
	List *args;
	Oid function;

	if (IsA(node, OpExpr))
	{
		args = ((OpExpr *) node)->args;
		function = get_opcode(((OpExpr *) node)->opno);
	}
	else if (IsA(node, FuncExpr))
	{
		args = ((FuncExpr *) node)->args;
		function = ((FuncExpr *) node)->funcid;
	}
	else
		return false;
	return (function == F_INT8MOD || function == F_MOD_INT8_INT8) && equal(linitial(args), whole) &&
		   constant_integer(lsecond(args), divisor);
}

static bool
near_of_function(Query *level, Oid function, List *args, const Stream *stream, Near *near)
{
	Node *first = args ? linitial(args) : NULL;
	Node *second = list_length(args) > 1 ? lsecond(args) : NULL;
	int64 number;

	switch (function)
	{
		case F_DATE_BIN_INTERVAL_TIMESTAMP_TIMESTAMP:
		case F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ:
			return near_of(level, second, stream, near) && near_of_bin(first, lthird(args), near);
		case F_DATE_TRUNC_TEXT_TIMESTAMP:
			return near_of(level, second, stream, near) && near_of_trunc(first, near);
		case F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT:
			return near_of(level, second, stream, near) && near_of_zone(lthird(args), 1, near) &&
				   near_of_trunc(first, near) && near_of_zone(lthird(args), -1, near);
		case F_DATE_TIMESTAMP:
			return near_of(level, first, stream, near) && round_down_to(near, USECS_PER_DAY, 0);
		case F_TIMESTAMP_DATE:
		case F_INT8_INT4:
		case F_INT4_INT8:
		case F_INT8_INT2:
		case F_INT2_INT8:
			return near_of(level, first, stream, near);
		case F_TIMESTAMP_TIMESTAMP_INT4:
		case F_TIMESTAMPTZ_TIMESTAMPTZ_INT4:
			return near_of(level, first, stream, near) && near_of_precision(second, near);
		case F_TIMEZONE_TEXT_TIMESTAMPTZ:
		case F_TIMEZONE_INTERVAL_TIMESTAMPTZ:
			return near_of(level, second, stream, near) && near_of_zone(first, 1, near);
		case F_TIMEZONE_TEXT_TIMESTAMP:
		case F_TIMEZONE_INTERVAL_TIMESTAMP:
			return near_of(level, second, stream, near) && near_of_zone(first, -1, near);
		case F_TIMESTAMP_PL_INTERVAL:
		case F_TIMESTAMPTZ_PL_INTERVAL:
		case F_DATE_PL_INTERVAL:
			return near_of(level, first, stream, near) && near_of_plus_interval(second, 1, near);
		case F_TIMESTAMP_MI_INTERVAL:
		case F_TIMESTAMPTZ_MI_INTERVAL:
		case F_DATE_MI_INTERVAL:
			return near_of(level, first, stream, near) && near_of_plus_interval(second, -1, near);
		case F_DATE_PLI:
			return near_of(level, first, stream, near) && constant_integer(second, &number) &&
				   shift(near, DAYS(number), DAYS(number));
		case F_DATE_MII:
			return near_of(level, first, stream, near) && constant_integer(second, &number) &&
				   shift(near, -DAYS(number), -DAYS(number));
		case F_INT8DIV:
		case F_INT84DIV:
		case F_INT82DIV:
			return near_of(level, first, stream, near) && constant_integer(second, &number) &&
				   near_of_division(number, false, near);
		case F_INT8MUL:
		case F_INT84MUL:
		case F_INT82MUL:
			return near_of(level, first, stream, near) && constant_integer(second, &number) &&
				   near_of_product(number, near);
		case F_INT48MUL:
		case F_INT28MUL:
			return near_of(level, second, stream, near) && constant_integer(first, &number) &&
				   near_of_product(number, near);
		case F_INT8PL:
		case F_INT84PL:
		case F_INT82PL:
			return near_of(level, first, stream, near) && constant_integer(second, &number) &&
				   near_of_sum(number, 1, near);
		case F_INT8MI:
		case F_INT84MI:
		case F_INT82MI:
			if (!near_of(level, first, stream, near))
				return false;
			if (is_rest_of(second, first, &number))
				return near_of_division(number, true, near);
			return constant_integer(second, &number) && near_of_sum(number, -1, near);
		default:
			return false;
	}
}

/* ---- tidemark.hop and tidemark.cumulate --------------------------------------------------------------------- */

/* A column (1: the window's start, 2: its end) of what one of them returns. */
static bool
near_of_windows(Query *level, Node *node, int column, const Stream *stream, Near *near)
{
	bool cumulates;
	FuncExpr *function = event_windows_call(node, &cumulates);
	int64 step;
	int64 size;
	Grid grid = {0};

	if (function == NULL || !length_constant(lsecond(function->args), &step) ||
		!length_constant(lthird(function->args), &size) ||
		!time_constant(lfourth(function->args), &grid.origin) || step <= 0 || size <= 0 ||
		!near_of(level, linitial(function->args), stream, near))
		return false;
	grid.size = cumulates && column == 1 ? size : step;
	grid.origin %= grid.size;
	if (cumulates && column == 2)
	{
		near->grid = grid;
		return widen(near, -size, -1);
	}
	near->is_late = cumulates;
	return move_back(near, &grid, size) && (column == 1 || shift(near, size, size));
}

/* ---- expressions ------------------------------------------------------------------------------------------ */

/* What the groups of a level are told apart by, from the event time of the groups. Both are near to the event times of their rows. */
static bool
near_of_group(Query *level, Expr *column, const Stream *stream, Near *near)
{
	int64 slack = stream->time_type == DATEOID ? DAYS(1) : 0; /* what is between two dates */
	Near key = {.scale = 1};
	GroupWindow window;
	int64 least;
	int64 most;

	if (level_group_clause(level, column) == NULL || !group_window_find(level, stream, &window) ||
		!near_of(level, compat_grouped_expression(level, (Node *) column), stream, &key))
		return false;
	least = key.least - window.lookahead.time - slack;
	most = key.most + window.lookback.time + slack;
	near->scale = key.scale;
	if (!equal(time_of_key(column, stream, &key), window.time))
	{
		near->grid = (Grid){0};
		return widen(near, least, most);
	}
	if (stream->time_type == DATEOID && exprType((Node *) column) != DATEOID)
	{
		near->grid = (Grid){0};
		return widen(near, -slack, 0);
	}
	near->grid = window.grid;
	if (stream->time_type == DATEOID)
	{
		near->grid.size *= USECS_PER_DAY;
		near->grid.origin *= USECS_PER_DAY;
	}
	return true;
}

static bool
near_of_variable(Query *level, Var *var, const Stream *stream, Near *near)
{
	RangeTblEntry *entry;
	TargetEntry *column;

	if (var->varlevelsup != 0 || var->varattno <= 0)
		return false;
	entry = rt_fetch(var->varno, level->rtable);
	if (entry->rtekind == RTE_FUNCTION && list_length(entry->functions) == 1)
		return near_of_windows(level, linitial_node(RangeTblFunction, entry->functions)->funcexpr,
							   var->varattno, stream, near);
	if (var->varno != shape_input(level))
		return false;
	if (entry->rtekind == RTE_RELATION)
		return var->varattno == stream->attnum;
	if (entry->rtekind != RTE_SUBQUERY)
		return false;
	column = get_tle_by_resno(entry->subquery->targetList, var->varattno);
	if (!level_groups(entry->subquery))
		return near_of(entry->subquery, (Node *) column->expr, stream, near);
	return near_of_group(entry->subquery, column->expr, stream, near);
}

/* An expression over the level's input, whose event time is t; near is as of t itself before. */
static bool
near_of(Query *level, Node *node, const Stream *stream, Near *near)
{
	check_stack_depth();
	switch (nodeTag(node))
	{
		case T_Var:
			return near_of_variable(level, (Var *) node, stream, near);
		case T_RelabelType:
			return near_of(level, (Node *) ((RelabelType *) node)->arg, stream, near);
		case T_FieldSelect:
			return near_of_windows(level, (Node *) ((FieldSelect *) node)->arg,
								   ((FieldSelect *) node)->fieldnum, stream, near);
		case T_FuncExpr:
			return near_of_function(level, ((FuncExpr *) node)->funcid, ((FuncExpr *) node)->args,
									stream, near);
		case T_OpExpr:
			return near_of_function(level, get_opcode(((OpExpr *) node)->opno),
									((OpExpr *) node)->args, stream, near);
		default:
			return false;
	}
}

/* ---- the event time of groups --------------------------------------------------------------------------------- */

static Expr *
call(Oid function, Oid result, List *args)
{
	return (Expr *) makeFuncExpr(function, result, args, InvalidOid, InvalidOid,
								 COERCE_EXPLICIT_CALL);
}

static Expr *
bigint_constant(int64 value)
{
	return (Expr *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(value), false,
							  FLOAT8PASSBYVAL);
}

/* A timestamp as the time with time zone that it is in UTC, or the other way round. */
static Expr *
in_utc(Oid function, Oid result, Expr *time)
{
	Const *zone = makeConst(INTERVALOID, -1, InvalidOid, sizeof(Interval),
							IntervalPGetDatum(palloc0(sizeof(Interval))), false, false);

	return call(function, result, list_make2(zone, time));
}

static Expr *
bigint_time(Expr *value, int64 scale)
{
	Oid type = exprType((Node *) value);

	if (type == INT4OID)
		value = call(F_INT8_INT4, INT8OID, list_make1(value));
	else if (type == INT2OID)
		value = call(F_INT8_INT2, INT8OID, list_make1(value));
	else if (type != INT8OID)
		return NULL;
	if (scale == 1)
		return value;
	return call(F_INT8MUL, INT8OID, list_make2(value, bigint_constant(scale)));
}

/* What a key's value says of the group's event time, as one of the stream's type; NULL: it is of no such type. */
static Expr *
time_of_key(Expr *key, const Stream *stream, Near *near)
{
	Oid type = exprType((Node *) key);
	Expr *time = copyObject(key);

	if (stream->time_type == INT8OID)
		return bigint_time(time, near->scale);
	if (type == stream->time_type)
		return time;
	if (type == DATEOID)
	{
		time = call(F_TIMESTAMP_DATE, TIMESTAMPOID, list_make1(time));
		type = TIMESTAMPOID;
	}
	if (type == TIMESTAMPTZOID)
	{
		time = in_utc(F_TIMEZONE_INTERVAL_TIMESTAMPTZ, TIMESTAMPOID, time);
		type = TIMESTAMPOID;
	}
	if (type != TIMESTAMPOID)
		return NULL;
	if (stream->time_type == TIMESTAMPTZOID)
		return in_utc(F_TIMEZONE_INTERVAL_TIMESTAMP, TIMESTAMPTZOID, time);
	if (stream->time_type == DATEOID)
	{
		if (!round_down_to(near, USECS_PER_DAY, 0))
			return NULL;
		return call(F_DATE_TIMESTAMP, DATEOID, list_make1(time));
	}
	return time;
}

/* How far the rows of a group are from its event time, all in all: the less the better. */
static int64
distance(const Near *near)
{
	int64 sum = Max(near->most, 0) + Max(-near->least, 0);

	return near->is_late ? sum * 2 : sum;
}

static void
set_window(GroupWindow *window, Expr *time, const Near *near, Oid type)
{
	int64 before = Max(-near->least, 0);
	int64 after = Max(near->most, 0);

	memset(window, 0, sizeof(*window));
	window->time = time;
	window->grid = near->grid;
	if (type == DATEOID)
	{
		/* between dates there are whole days only */
		before -= before % USECS_PER_DAY;
		after -= after % USECS_PER_DAY;
		window->grid.origin /= USECS_PER_DAY;
		window->grid.size /= USECS_PER_DAY;
	}
	window->lookback.time = before;
	window->lookahead.time = after;
}

/* ---- the keys ------------------------------------------------------------------------------------------------ */

bool
level_groups(const Query *level)
{
	return level->groupClause || level->groupingSets || level->hasAggs || level->havingQual;
}

/* Is the key in each of the grouping sets? */
static bool
is_in_all_sets(List *sets, Index key)
{
	ListCell *cell;

	foreach (cell, sets)
		if (!list_member_int(lfirst(cell), key))
			return false;
	return true;
}

/* The keys (SortGroupClauses) that each of the level's grouping sets has. */
static List *
common_keys(const Query *level)
{
	List *keys = NIL;
	List *sets;
	ListCell *cell;

	if (level->groupingSets == NIL)
		return level->groupClause;
	sets = expand_grouping_sets(level->groupingSets, level->groupDistinct, MAX_GROUPING_SETS);
	if (sets == NIL)
		return NIL;
	foreach (cell, level->groupClause)
		if (is_in_all_sets(sets, lfirst_node(SortGroupClause, cell)->tleSortGroupRef))
			keys = lappend(keys, lfirst(cell));
	return keys;
}

SortGroupClause *
level_group_clause(const Query *level, const Expr *expression)
{
	ListCell *cell;

	foreach (cell, common_keys(level))
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, cell);

		if (equal(get_sortgroupclause_expr(clause, level->targetList), expression))
			return clause;
	}
	return NULL;
}

bool
group_window_find(Query *level, const Stream *stream, GroupWindow *window)
{
	int64 best = PG_INT64_MAX;
	ListCell *cell;

	foreach (cell, common_keys(level))
	{
		Expr *key = (Expr *) get_sortgroupclause_expr(lfirst_node(SortGroupClause, cell),
													  level->targetList);
		Near near = {.scale = 1};
		Expr *time;

		if (!near_of(level, compat_grouped_expression(level, (Node *) key), stream, &near))
			continue;
		time = time_of_key(key, stream, &near);
		if (time == NULL || distance(&near) >= best)
			continue;
		best = distance(&near);
		set_window(window, time, &near, stream->time_type);
	}
	return best != PG_INT64_MAX;
}

/* ---- windows over rows of one window -------------------------------------------------------------------------- */

/* How far apart, in microseconds or integers; -1: there is no bound. groups: the level's window, NULL: it doesn't group. */
static int64
span_of(Query *level, Expr *key, const Stream *stream, const GroupWindow *groups)
{
	Near near = {.scale = 1};
	int64 span;

	if (!near_of(level, compat_grouped_expression(level, (Node *) key), stream, &near))
		return -1;
	span = near.most - near.least;
	if (groups == NULL)
		return span;
	if (equal(time_of_key(key, stream, &near), groups->time))
		return 0;
	return span + groups->lookback.time + groups->lookahead.time;
}

bool
group_window_span(Query *level, List *clauses, const Stream *stream, Lookback *span)
{
	bool groups = level_groups(level);
	int64 best = -1;
	GroupWindow window;
	ListCell *cell;

	if (groups && !group_window_find(level, stream, &window))
		return false;
	foreach (cell, clauses)
	{
		Expr *key = (Expr *) get_sortgroupclause_expr(lfirst_node(SortGroupClause, cell),
													  level->targetList);
		int64 length = span_of(level, key, stream, groups ? &window : NULL);

		if (length >= 0 && (best < 0 || length < best))
			best = length;
	}
	memset(span, 0, sizeof(*span));
	span->time = stream->time_type == DATEOID ? best - best % USECS_PER_DAY : best;
	return best >= 0;
}
