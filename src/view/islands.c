/*
 * islands.c: sessions that are said by gaps and islands.
 *
 *   SELECT k, min(t), count(*)
 *   FROM (SELECT *, sum(begins) OVER (PARTITION BY k ORDER BY t) AS number                                        numbers
 *         FROM (SELECT *, CASE WHEN t - lag(t) OVER (PARTITION BY k ORDER BY t) > '10 min' THEN 1 ELSE 0 END AS begins FROM stream) gaps   gaps
 *   ) numbers
 *   GROUP BY k, number
 *
 * So people write sessions where there is no function for them: each row that comes after a gap counts, and the running count tells the sessions of a
 * key apart. What the number is depends on all sessions before; as something to group by, where a session began is as good:
 *
 *   sum(...) OVER (PARTITION BY k ORDER BY t)      becomes      tidemark.session(t, '10 min') OVER (PARTITION BY k ORDER BY t)
 *
 * What is added up may be written in many ways. It is tried out: an expression of the event time and the one before it by comparisons with one
 * distance, and by whether there is one before, has one value for each of three kinds of rows,
 *
 *   the first of its key       after a longer gap, which begins a session       others, which change nothing
 *
 * and these are found by putting true, false and null in the places of the comparisons.
 */
#include "tidemark.h"

#include <math.h>

#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "view/constant.h"
#include "view/group_window.h"
#include "view/islands.h"
#include "view/query_parts.h"
#include "view/shape.h"

/* The kinds of rows. */
typedef enum Kind
{
	FIRST_ROW,
	AFTER_GAP,
	OTHER_ROW
} Kind;

/* What is known of the sessions. */
typedef struct Islands
{
	const Stream *stream;
	Query *level;	/* that groups */
	Query *numbers; /* the level with the running number */
	Query *gaps;	/* the level that looks at the row before */
	WindowFunc *number;
	WindowFunc *lag; /* the event time before */
	bool has_gap;
	int64 gap; /* in microseconds, of bigint in its own units; longer ones begin a session */
} Islands;

/* ---- distances of event time ------------------------------------------------------------------------ */

/* time * event time + before * the one before + length */
typedef struct Distance
{
	int time;
	int before;
	int64 length;
	bool in_seconds; /* it is a number of them */
} Distance;

static bool
number_of_seconds(const Const *constant, int64 *length)
{
	double seconds;

	switch (constant->consttype)
	{
		case INT4OID:
			seconds = DatumGetInt32(constant->constvalue);
			break;
		case INT8OID:
			seconds = DatumGetInt64(constant->constvalue);
			break;
		case FLOAT8OID:
			seconds = DatumGetFloat8(constant->constvalue);
			break;
		case NUMERICOID:
			seconds = DatumGetFloat8(DirectFunctionCall1(numeric_float8, constant->constvalue));
			break;
		default:
			return false;
	}
	*length = rint(seconds * USECS_PER_SEC);
	return fabs(seconds) < 1e9 && (double) *length == seconds * USECS_PER_SEC;
}

static bool
constant_distance(Islands *islands, Node *node, bool in_seconds, Distance *distance)
{
	Const *constant = constant_of(node);

	memset(distance, 0, sizeof(*distance));
	if (constant == NULL)
		return false;
	distance->in_seconds = in_seconds;
	if (in_seconds)
		return number_of_seconds(constant, &distance->length);
	if (constant->consttype == INTERVALOID)
		return interval_length(DatumGetIntervalP(constant->constvalue), &distance->length);
	if (!constant_integer(node, &distance->length))
		return false;
	if (islands->stream->time_type == DATEOID)
		distance->length *= USECS_PER_DAY;
	return islands->stream->time_type == DATEOID || islands->stream->time_type == INT8OID;
}

static bool distance_of(Islands *islands, Node *node, Distance *distance);

static bool
distance_of_sum(Islands *islands, List *arguments, int sign, Distance *distance)
{
	Distance other;

	if (list_length(arguments) != 2 || !distance_of(islands, linitial(arguments), distance))
		return false;
	if (!distance_of(islands, lsecond(arguments), &other) ||
		other.in_seconds != distance->in_seconds)
		return false;
	distance->time += sign * other.time;
	distance->before += sign * other.before;
	distance->length += sign * other.length;
	return true;
}

static bool
distance_of_function(Islands *islands, Oid function, List *arguments, Distance *distance)
{
	Const *unit;

	switch (function)
	{
		case F_TIMESTAMP_MI:
		case F_TIMESTAMPTZ_MI:
		case F_DATE_MI:
		case F_INT8MI:
		case F_INT84MI:
		case F_TIMESTAMP_MI_INTERVAL:
		case F_TIMESTAMPTZ_MI_INTERVAL:
		case F_DATE_MI_INTERVAL:
		case F_DATE_MII:
			return distance_of_sum(islands, arguments, -1, distance);
		case F_TIMESTAMP_PL_INTERVAL:
		case F_TIMESTAMPTZ_PL_INTERVAL:
		case F_DATE_PL_INTERVAL:
		case F_DATE_PLI:
		case F_INT8PL:
		case F_INT84PL:
			return distance_of_sum(islands, arguments, 1, distance);
		case F_EXTRACT_TEXT_INTERVAL:
		case F_DATE_PART_TEXT_INTERVAL:
			unit = constant_of(linitial(arguments));
			if (unit == NULL || strcmp(TextDatumGetCString(unit->constvalue), "epoch") != 0 ||
				!distance_of(islands, lsecond(arguments), distance))
				return false;
			distance->in_seconds = true;
			return true;
		default:
			return false;
	}
}

static bool
distance_of(Islands *islands, Node *node, Distance *distance)
{
	memset(distance, 0, sizeof(*distance));
	if (IsA(node, WindowFunc))
	{
		distance->before = 1;
		return equal(node, islands->lag);
	}
	if (shape_is_time(islands->gaps, node, islands->stream))
	{
		distance->time = 1;
		return true;
	}
	if (IsA(node, OpExpr) && distance_of_function(islands, get_opcode(((OpExpr *) node)->opno),
												  ((OpExpr *) node)->args, distance))
		return true;
	if (IsA(node, FuncExpr) && distance_of_function(islands, ((FuncExpr *) node)->funcid,
													((FuncExpr *) node)->args, distance))
		return true;
	return constant_distance(islands, node, false, distance);
}

/* ---- comparisons ------------------------------------------------------------------------------------- */

/* Both sides of a comparison; one may be a number of seconds where the other one is. */
static bool
distances_of(Islands *islands, Node *left, Node *right, Distance *a, Distance *b)
{
	bool known = distance_of(islands, left, a);

	if (known && a->in_seconds)
		return constant_distance(islands, right, true, b);
	if (!distance_of(islands, right, b))
		return false;
	return b->in_seconds ? constant_distance(islands, left, true, a) : known;
}

/* Is it a comparison of the distance to the row before, and with the same length as others? *longer: it is true of longer distances. */
static bool
is_threshold(Islands *islands, const OpExpr *comparison, bool *longer)
{
	Distance left;
	Distance right;
	int strategy = compat_btree_strategy(comparison->opno);
	int64 gap;

	if (list_length(comparison->args) != 2 || strategy == 0 || strategy == BTEqualStrategyNumber ||
		!distances_of(islands, linitial(comparison->args), lsecond(comparison->args), &left,
					  &right))
		return false;
	left.time -= right.time;
	left.before -= right.before;
	if (left.time + left.before != 0 || abs(left.time) != 1)
		return false;
	gap = right.length - left.length;
	if (left.time < 0)
	{
		gap = -gap;
		strategy = BTMaxStrategyNumber + 1 - strategy;
	}
	*longer = strategy > BTEqualStrategyNumber;
	/* "at least" and "less than" that length have their border just below it */
	if (strategy == BTGreaterEqualStrategyNumber || strategy == BTLessStrategyNumber)
		gap--;
	if (gap < 0 || (islands->has_gap && islands->gap != gap))
		return false;
	islands->has_gap = true;
	islands->gap = gap;
	return true;
}

/* ---- what rows add ------------------------------------------------------------------------------------ */

typedef struct KindContext
{
	Islands *islands;
	Kind kind;
} KindContext;

/* The expression, as it is for rows of that kind. */
static Node *
of_kind(Node *node, void *arg)
{
	KindContext *context = arg;
	Islands *islands = context->islands;
	bool longer;

	if (node == NULL)
		return NULL;
	if (IsA(node, NullTest) && equal(((NullTest *) node)->arg, islands->lag))
		return makeBoolConst(
			(((NullTest *) node)->nulltesttype == IS_NULL) == (context->kind == FIRST_ROW), false);
	if (IsA(node, OpExpr) && is_threshold(islands, (OpExpr *) node, &longer))
		return makeBoolConst(longer == (context->kind == AFTER_GAP), context->kind == FIRST_ROW);
	return expression_tree_mutator(node, of_kind, arg);
}

/* Its value for such rows, which must be a constant; NULL: it isn't. */
static Const *
value_of_kind(Islands *islands, Node *expression, Kind kind)
{
	KindContext context = {islands, kind};
	Node *value = eval_const_expressions(NULL, of_kind(copyObject(expression), &context));

	return IsA(value, Const) ? (Const *) value : NULL;
}

/* What rows of a kind add to the running number. */
typedef struct Addition
{
	bool counts; /* something, perhaps zero; else it leaves a number of nothing null */
	int64 value;
} Addition;

static bool
addition_of_kind(Islands *islands, Node *argument, Node *filter, Kind kind, Addition *addition)
{
	Const *value;

	addition->counts = true;
	addition->value = 1;
	if (filter)
	{
		value = value_of_kind(islands, filter, kind);
		if (value == NULL)
			return false;
		addition->counts = !value->constisnull && DatumGetBool(value->constvalue);
	}
	if (argument == NULL)
		return true;
	value = value_of_kind(islands, argument, kind);
	if (value == NULL)
		return false;
	addition->counts &= !value->constisnull;
	return islands->number->winfnoid == F_COUNT_ANY || value->constisnull ||
		   constant_integer((Node *) value, &addition->value);
}

/* Does the number grow where a session begins, and nowhere else? The expressions are over what the level `gaps` reads. */
static bool
tells_sessions_apart(Islands *islands, Node *argument, Node *filter)
{
	bool counts = islands->number->winfnoid == F_COUNT_ || islands->number->winfnoid == F_COUNT_ANY;
	Addition first;
	Addition gap;
	Addition other;

	if (!addition_of_kind(islands, argument, filter, FIRST_ROW, &first) ||
		!addition_of_kind(islands, argument, filter, AFTER_GAP, &gap) ||
		!addition_of_kind(islands, argument, filter, OTHER_ROW, &other) || !islands->has_gap)
		return false;
	/* zero makes a null one zero */
	if (other.counts && (counts || other.value != 0 || !first.counts))
		return false;
	return gap.counts && gap.value > 0;
}

/* ---- the levels ---------------------------------------------------------------------------------------- */

static WindowClause *
window_of(Query *level, const WindowFunc *call)
{
	return list_nth_node(WindowClause, level->windowClause, call->winref - 1);
}

/* Is the window ordered by the event time, ascending, and by nothing else? */
static bool
is_by_time(Query *level, const WindowFunc *call, const Stream *stream)
{
	WindowClause *window = window_of(level, call);
	SortGroupClause *order;

	if (list_length(window->orderClause) != 1)
		return false;
	order = linitial_node(SortGroupClause, window->orderClause);
	return compat_sorts_ascending(order->sortop) &&
		   shape_is_time(level, get_sortgroupclause_expr(order, level->targetList), stream);
}

static bool
is_running_number(Query *level, const WindowFunc *call, const Stream *stream)
{
	int frame = window_of(level, call)->frameOptions;

	switch (call->winfnoid)
	{
		case F_SUM_INT2:
		case F_SUM_INT4:
		case F_SUM_INT8:
		case F_COUNT_:
		case F_COUNT_ANY:
			return is_by_time(level, call, stream) &&
				   (frame & FRAMEOPTION_START_UNBOUNDED_PRECEDING) &&
				   (frame & FRAMEOPTION_END_CURRENT_ROW) && !(frame & FRAMEOPTION_EXCLUSION);
		default:
			return false;
	}
}

/* Only plain levels between these: columns and expressions of the rows below, and all of them. */
static bool
passes_rows(Query *level, Query *below)
{
	for (; level != below; level = shape_below(level))
		if (level->jointree->quals || level->hasTargetSRFs || !shape_reads_only_input(level) ||
			level->distinctClause)
			return false;
	return true;
}

/* The expression at a level, as one at the first level below with window functions, *below, of which it has some; NULL: it has none. */
static Node *
expression_with_windows(Query *level, Node *expression, Query **below)
{
	for (*below = shape_below(level); *below != NULL; *below = shape_below(*below))
	{
		expression = shape_expression_below(level, expression);
		level = *below;
		if (contain_windowfuncs(expression))
			return expression;
		if (level_groups(level))
			break;
	}
	return NULL;
}

/* The only lag in there; NULL: there are others, or none. */
static bool
find_lag(Node *node, void *arg)
{
	WindowFunc **lag = arg;

	if (node == NULL)
		return false;
	if (!IsA(node, WindowFunc))
		return expression_tree_walker(node, find_lag, arg);
	if (*lag && !equal(*lag, node))
		return true;
	*lag = (WindowFunc *) node;
	return false;
}

static bool
is_lag_of_time(const Islands *islands)
{
	int64 rows = 1;

	if (islands->lag->winfnoid != F_LAG_ANYELEMENT &&
		islands->lag->winfnoid != F_LAG_ANYELEMENT_INT4)
		return false;
	if (list_length(islands->lag->args) > 1 &&
		!constant_integer(lsecond(islands->lag->args), &rows))
		return false;
	return rows == 1 &&
		   shape_is_time(islands->gaps, linitial(islands->lag->args), islands->stream) &&
		   is_by_time(islands->gaps, islands->lag, islands->stream);
}

/* Are both windows partitioned by the same? */
static bool
same_partitions(const Islands *islands)
{
	List *keys = get_sortgrouplist_exprs(window_of(islands->gaps, islands->lag)->partitionClause,
										 islands->gaps->targetList);
	List *partition = window_of(islands->numbers, islands->number)->partitionClause;
	ListCell *cell;

	if (list_length(keys) != list_length(partition))
		return false;
	foreach (cell, partition)
	{
		Node *key = get_sortgroupclause_expr(lfirst(cell), islands->numbers->targetList);
		Query *level = islands->numbers;

		for (; level != islands->gaps; level = shape_below(level))
			key = shape_expression_below(level, key);
		if (!list_member(keys, key))
			return false;
	}
	return true;
}

/* Is the level's expression a number of sessions? */
static bool
recognise(Islands *islands, Node *expression)
{
	Node *number = expression_with_windows(islands->level, expression, &islands->numbers);
	List *parts;
	Node *argument;

	if (number == NULL || !IsA(number, WindowFunc))
		return false;
	islands->number = (WindowFunc *) number;
	if (!is_running_number(islands->numbers, islands->number, islands->stream) ||
		!passes_rows(islands->level, islands->numbers))
		return false;
	argument = islands->number->args ? linitial(islands->number->args) : NULL;
	parts = list_make2(argument, islands->number->aggfilter);
	parts = (List *) expression_with_windows(islands->numbers, (Node *) parts, &islands->gaps);
	if (parts == NIL || find_lag((Node *) parts, &islands->lag) || islands->lag == NULL ||
		!passes_rows(islands->numbers, islands->gaps))
		return false;
	return is_lag_of_time(islands) && same_partitions(islands) &&
		   tells_sessions_apart(islands, linitial(parts), lsecond(parts));
}

/* ---- sessions instead ------------------------------------------------------------------------------------ */

/* Does the level use what windows below give, but for the number as a key? */
static bool
uses_windows(const Islands *islands, SortGroupClause *key)
{
	Query *level = islands->level;
	List *used = list_make1(level->havingQual);
	Query *below;
	ListCell *cell;

	foreach (cell, level->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (entry->ressortgroupref != key->tleSortGroupRef)
			used = lappend(used, entry->expr);
		else if (!entry->resjunk)
			return true;
	}
	if (expression_with_windows(level, (Node *) used, &below))
		return true;
	/* the level with the number may have columns of the one with the gaps */
	for (below = islands->level; below != islands->gaps; below = shape_below(below))
		used = (List *) shape_expression_below(below, (Node *) used);
	return contain_windowfuncs((Node *) used);
}

static Datum
gap_datum(const Islands *islands, Oid *type)
{
	Interval *interval;

	*type = islands->stream->time_type == INT8OID ? INT8OID : INTERVALOID;
	if (*type == INT8OID)
		return Int64GetDatum(islands->gap);
	interval = palloc0(sizeof(Interval));
	interval->time = islands->gap;
	return IntervalPGetDatum(interval);
}

static WindowFunc *
session_call(const Islands *islands)
{
	WindowClause *window = window_of(islands->numbers, islands->number);
	WindowFunc *call = makeNode(WindowFunc);
	Oid types[] = {islands->stream->time_type, InvalidOid};
	Datum gap = gap_datum(islands, &types[1]);

	call->winfnoid = own_function("session", lengthof(types), types);
	call->wintype = islands->stream->time_type;
	call->args = list_make2(copyObject(get_sortgroupclause_expr(linitial(window->orderClause),
																islands->numbers->targetList)),
							makeConst(types[1], -1, InvalidOid,
									  types[1] == INT8OID ? sizeof(int64) : sizeof(Interval), gap,
									  false, types[1] == INT8OID && FLOAT8PASSBYVAL));
	call->winref = islands->number->winref;
	call->location = -1;
	return call;
}

/* The column that a level's key is, from level to level, is of another type. */
static void
change_column(Query *level, TargetEntry *entry, const Islands *islands)
{
	Var *var = castNode(Var, entry->expr);
	Query *below = shape_below(level);
	TargetEntry *column = get_tle_by_resno(below->targetList, var->varattno);

	entry->expr =
		(Expr *) makeVar(var->varno, var->varattno, islands->stream->time_type, -1, InvalidOid, 0);
	if (below != islands->numbers)
		change_column(below, column, islands);
	else
		column->expr = (Expr *) session_call(islands);
}

/* Columns with window functions, which nobody uses, are null. */
static void
forget_windows(Query *level)
{
	ListCell *cell;

	foreach (cell, level->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (contain_windowfuncs((Node *) entry->expr))
			entry->expr = null_like((Node *) entry->expr);
	}
	level->windowClause = NIL;
	level->hasWindowFuncs = false;
}

static void
group_by_sessions(Islands *islands, SortGroupClause *key)
{
	TypeCacheEntry *type =
		lookup_type_cache(islands->stream->time_type, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);

	change_column(islands->level, get_sortgroupclause_tle(key, islands->level->targetList),
				  islands);
	key->eqop = type->eq_opr;
	key->sortop = type->lt_opr;
	key->nulls_first = false;
	compat_set_direction(key);
	forget_windows(islands->gaps);
}

void
islands_become_sessions(Query *level, const Stream *stream, bool *number)
{
	ListCell *cell;

	*number = false;
	if (level->groupingSets || shape_below(level) == NULL || !shape_has_windows(shape_below(level)))
		return;
	compat_flatten_groups(level);
	foreach (cell, level->groupClause)
	{
		SortGroupClause *key = lfirst_node(SortGroupClause, cell);
		Islands islands = {.stream = stream, .level = level};

		if (!recognise(&islands, get_sortgroupclause_expr(key, level->targetList)))
			continue;
		*number = uses_windows(&islands, key);
		if (!*number)
			group_by_sessions(&islands, key);
		return;
	}
}
