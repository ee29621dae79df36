/*
 * shape.c: what is this query: event time, lookback, or why not.
 *
 * A query is sliceable when each of its output rows has an event time, and the rows with event times
 * in [a, b] depend only on the stream's rows with event times in [a - lookback, b]. Then its result can be
 * computed slice by slice, and a slice once computed changes only with rows in its reach.
 *
 * The walk goes down from the top through one input a level to the stream, and adds up:
 *
 *   SELECT ... FROM (SELECT ... OVER (... RANGE '10 s' PRECEDING) FROM stream WHERE ...) WHERE ...
 *   level 1: WHERE, expressions: 0          level 2: window: 10 s; WHERE: 0          -> lookback 10 s
 *
 * The event time of a row is the stream's column, passed through unchanged; every level has it
 * even if it is not in its output, because a row comes from one row of its input. Whatever breaks
 * that (grouping, DISTINCT, LIMIT, joins, set operations), looks ahead, or depends on more than the rows (functions that are not
 * immutable) is refused by name. Refusals are texts, not errors, so that CREATE VIEW can ask and go on.
 */
#include "tidemark.h"

#include "access/stratnum.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/timestamp.h"
#include "aggregate/planner.h"
#include "view/shape.h"

static void shape_of_level(Query *query, List *ancestors, Shape *shape);

static void
refuse(Shape *shape, char *refusal, char *hint)
{
	if (shape->refusal == NULL)
	{
		shape->refusal = refusal;
		shape->hint = hint;
	}
}

int
shape_input(Query *query)
{
	return castNode(RangeTblRef, linitial(query->jointree->fromlist))->rtindex;
}

bool
shape_is_time(Query *query, Node *node, const Stream *stream)
{
	RangeTblEntry *input;
	Var *var;

	if (!IsA(node, Var))
		return false;
	var = (Var *) node;
	if (var->varlevelsup != 0 || var->varno != shape_input(query) || var->varattno <= 0)
		return false;
	input = rt_fetch(var->varno, query->rtable);
	if (input->rtekind == RTE_RELATION)
		return var->varattno == stream->attnum;
	if (input->rtekind == RTE_SUBQUERY)
		return shape_is_time(
			input->subquery,
			(Node *) get_tle_by_resno(input->subquery->targetList, var->varattno)->expr, stream);
	return false;
}

/* ---- what is not a stream of rows -------------------------------------------------------------- */

static void
refuse_clauses(Query *query, Shape *shape)
{
	if (query->commandType != CMD_SELECT || query->hasModifyingCTE)
		refuse(shape, "only a SELECT can be maintained", NULL);
	else if (query->setOperations)
		refuse(
			shape, "UNION, INTERSECT and EXCEPT can't be maintained",
			"Make a continuous view of each part and combine them in the query that reads them.");
	else if (query->groupClause || query->groupingSets || query->hasAggs || query->havingQual)
		refuse(shape, "GROUP BY and aggregates without OVER can't be maintained yet",
			   "Aggregate over a window: agg(x) OVER (PARTITION BY ... ORDER BY event_time RANGE "
			   "...).");
	else if (query->distinctClause)
		refuse(shape, "DISTINCT can't be maintained yet", NULL);
	else if (query->limitCount || query->limitOffset)
		refuse(shape, "LIMIT and OFFSET can't be maintained",
			   "Put LIMIT into the query that reads the view.");
	else if (query->sortClause)
		refuse(shape, "ORDER BY can't be maintained",
			   "A view's rows have no order; put ORDER BY into the query that reads the view.");
	else if (query->rowMarks)
		refuse(shape, "FOR UPDATE and FOR SHARE can't be maintained", NULL);
	else if (query->hasSubLinks)
		refuse(shape, "a subquery in an expression (EXISTS, IN, scalar) can't be maintained",
			   "What it reads may change without the view's stream changing.");
	else if (query->jointree->fromlist == NIL)
		refuse(shape, "a query without FROM has no event time", NULL);
	else if (list_length(query->jointree->fromlist) > 1 ||
			 !IsA(linitial(query->jointree->fromlist), RangeTblRef))
		refuse(shape, "joins can't be maintained yet",
			   "Join in the query that reads the continuous view.");
}

typedef struct MutableContext
{
	Oid function;
	bool value_function;
} MutableContext;

static bool
is_mutable(Oid function, void *context)
{
	if (func_volatile(function) == PROVOLATILE_IMMUTABLE)
		return false;
	((MutableContext *) context)->function = function;
	return true;
}

static bool
find_mutable(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_mutable, context))
		return true;
	if (IsA(node, SQLValueFunction) || IsA(node, NextValueExpr) || IsA(node, CurrentOfExpr))
	{
		((MutableContext *) context)->value_function = true;
		return true;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, find_mutable, context, 0);
	return expression_tree_walker(node, find_mutable, context);
}

static void
refuse_mutable_functions(Query *query, Shape *shape)
{
	MutableContext context = {0};

	if (!query_tree_walker(query, find_mutable, &context, 0))
		return;
	if (context.value_function)
		refuse(shape,
			   "the current time, user or sequence can't be used: its value changes while the rows "
			   "don't",
			   "Compare with it in the query that reads the view.");
	else
		refuse(shape, psprintf("function %s is not immutable", format_procedure(context.function)),
			   "Its result depends on a setting or a table besides its arguments, such as the time "
			   "zone; use an immutable form, for "
			   "example \"timestamptz AT TIME ZONE 'UTC'\".");
}

static bool
find_system_column(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) && ((Var *) node)->varattno < 0)
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, find_system_column, context, 0);
	return expression_tree_walker(node, find_system_column, context);
}

/* ---- windows ------------------------------------------------------------------------------------- */

static bool
lookback_is_negative(const Interval *interval)
{
	return interval->month < 0 || interval->day < 0 || interval->time < 0;
}

static void
widen(Lookback *lookback, const Lookback *by)
{
	lookback->month = Max(lookback->month, by->month);
	lookback->day = Max(lookback->day, by->day);
	lookback->time = Max(lookback->time, by->time);
}

static void
lengthen(Lookback *lookback, const Lookback *by)
{
	lookback->month += by->month;
	lookback->day += by->day;
	lookback->time = ticks_plus(lookback->time, by->time);
}

/*
 * The constant distance of a RANGE bound. False, with a refusal, if it is not one that can be used.
 */
static bool
range_distance(Node *offset, Oid time_type, Lookback *distance, Shape *shape)
{
	Node *folded = eval_const_expressions(NULL, copyObject(offset));
	Const *constant;

	memset(distance, 0, sizeof(*distance));
	if (!IsA(folded, Const) || ((Const *) folded)->constisnull)
	{
		refuse(shape, "the distance of a RANGE frame must be a constant", NULL);
		return false;
	}
	constant = (Const *) folded;
	switch (constant->consttype)
	{
		case INT2OID:
			distance->time = DatumGetInt16(constant->constvalue);
			break;
		case INT4OID:
			distance->time = DatumGetInt32(constant->constvalue);
			break;
		case INT8OID:
			distance->time = DatumGetInt64(constant->constvalue);
			break;
		case INTERVALOID:
			*distance = *DatumGetIntervalP(constant->constvalue);
			break;
		default:
			refuse(shape,
				   psprintf("a RANGE frame with a distance of type %s can't be maintained",
							format_type_be(constant->consttype)),
				   NULL);
			return false;
	}
	if (lookback_is_negative(distance))
	{
		refuse(shape, "the distance of a RANGE frame must not be negative, in any of its parts",
			   NULL);
		return false;
	}
	if (time_type == TIMESTAMPTZOID && (distance->month != 0 || distance->day != 0))
	{
		refuse(shape,
			   "a RANGE frame in days or months over timestamp with time zone depends on the "
			   "session's time zone",
			   "Say it in hours, for example INTERVAL '24 hours'.");
		return false;
	}
	return true;
}

static bool
distance_is_zero(const Lookback *distance)
{
	return distance->month == 0 && distance->day == 0 && distance->time == 0;
}

/* Is the first ORDER BY column of the window the event time, ascending? */
static bool
ordered_by_time(Query *query, WindowClause *window, const Stream *stream)
{
	SortGroupClause *first;
	TargetEntry *entry;

	if (window->orderClause == NIL)
		return false;
	first = linitial_node(SortGroupClause, window->orderClause);
	entry = get_sortgroupclause_tle(first, query->targetList);
	return shape_is_time(query, (Node *) entry->expr, stream) &&
		   compat_sorts_ascending(first->sortop);
}

static void
shape_of_window(Query *query, WindowClause *window, Lookback *lookback, Shape *shape)
{
	int frame = window->frameOptions;
	Lookback start = {0};
	Lookback end = {0};

	if (!ordered_by_time(query, window, &shape->stream))
	{
		refuse(shape, "a window that is not ordered by the stream's event time can't be maintained",
			   psprintf("Write OVER (... ORDER BY %s RANGE BETWEEN ... PRECEDING AND CURRENT ROW).",
						quote_identifier(
							get_attname(shape->stream.relid, shape->stream.attnum, false))));
		return;
	}
	if (!(frame & FRAMEOPTION_RANGE))
	{
		refuse(shape, "ROWS and GROUPS frames can't be maintained yet",
			   "Use RANGE BETWEEN INTERVAL '...' PRECEDING AND CURRENT ROW.");
		return;
	}
	if (frame & FRAMEOPTION_START_UNBOUNDED_PRECEDING)
	{
		refuse(shape, "a window from UNBOUNDED PRECEDING can't be maintained yet",
			   "It is the default of OVER (ORDER BY ...); write RANGE BETWEEN INTERVAL '...' "
			   "PRECEDING AND CURRENT ROW.");
		return;
	}
	if (frame & FRAMEOPTION_END_UNBOUNDED_FOLLOWING)
	{
		refuse(shape,
			   "a window up to UNBOUNDED FOLLOWING can't be maintained: no row is ever final",
			   NULL);
		return;
	}
	if (frame & FRAMEOPTION_START_OFFSET &&
		!range_distance(window->startOffset, shape->stream.time_type, &start, shape))
		return;
	if (frame & FRAMEOPTION_END_OFFSET &&
		!range_distance(window->endOffset, shape->stream.time_type, &end, shape))
		return;
	if (((frame & FRAMEOPTION_START_OFFSET_FOLLOWING) && !distance_is_zero(&start)) ||
		((frame & FRAMEOPTION_END_OFFSET_FOLLOWING) && !distance_is_zero(&end)))
	{
		refuse(shape, "a window that looks ahead (FOLLOWING) can't be maintained yet",
			   "End the frame with CURRENT ROW.");
		return;
	}
	widen(lookback, &start);
}

/*
 * Does the function's result depend on the order of rows with equal event times? Not those of
 * floats that are exact in continuous views, nor the same ones of other numbers.
 */
static bool
depends_on_peer_order(Oid function)
{
	static const char *const independent[] = {"count",
											  "sum",
											  "avg",
											  "min",
											  "max",
											  "bool_and",
											  "bool_or",
											  "every",
											  "bit_and",
											  "bit_or",
											  "bit_xor",
											  "range_agg",
											  "variance",
											  "var_samp",
											  "var_pop",
											  "stddev_samp",
											  "stddev",
											  "stddev_pop",
											  "range_intersect_agg"};
	char *name;

	if (aggregate_exact_name(function) != NULL)
		return false;
	if (function >= FirstUnpinnedObjectId)
		return true;
	name = get_func_name(function);
	for (int i = 0; i < lengthof(independent); i++)
		if (strcmp(name, independent[i]) == 0)
			return false;
	return true;
}

/* Window functions that see their whole partition whatever the frame says. */
static bool
ignores_frame(Oid function)
{
	switch (function)
	{
		case F_FIRST_VALUE:
		case F_LAST_VALUE:
		case F_NTH_VALUE:
			return false;
		default:
			return true;
	}
}

typedef struct WindowContext
{
	Query *query;
	Lookback lookback;
	Shape *shape;
} WindowContext;

static bool
shape_of_window_function(Node *node, void *arg)
{
	WindowContext *context = arg;
	WindowFunc *call = (WindowFunc *) node;

	if (node == NULL)
		return false;
	if (!IsA(node, WindowFunc))
		return expression_tree_walker(node, shape_of_window_function, arg);

	if (!call->winagg && ignores_frame(call->winfnoid))
		refuse(context->shape,
			   psprintf("window function %s can't be maintained yet: it sees the whole partition",
						get_func_name(call->winfnoid)),
			   NULL);
	else
		shape_of_window(context->query,
						list_nth_node(WindowClause, context->query->windowClause, call->winref - 1),
						&context->lookback, context->shape);
	if (depends_on_peer_order(call->winfnoid))
		context->shape->peer_order = get_func_name(call->winfnoid);
	return context->shape->refusal != NULL;
}

/* The windows of one level: the longest counts. */
static void
shape_of_windows(Query *query, Shape *shape)
{
	WindowContext context = {.query = query, .shape = shape};

	(void) expression_tree_walker((Node *) query->targetList, shape_of_window_function, &context);
	lengthen(&shape->lookback, &context.lookback);
}

/* ---- inputs -------------------------------------------------------------------------------------- */

/* Puts the CTE's query in the place of the reference to it. ancestors: innermost first. */
static void
inline_cte(RangeTblEntry *input, Query *query, List *ancestors, Shape *shape)
{
	Query *owner =
		input->ctelevelsup == 0 ? query : list_nth_node(Query, ancestors, input->ctelevelsup - 1);
	Query *subquery;
	ListCell *cell;

	foreach (cell, owner->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, cell);

		if (strcmp(cte->ctename, input->ctename) != 0)
			continue;
		if (cte->cterecursive || !IsA(cte->ctequery, Query))
			break;
		subquery = copyObject((Query *) cte->ctequery);
		if (input->ctelevelsup > 0)
			IncrementVarSublevelsUp((Node *) subquery, input->ctelevelsup, 1);
		input->rtekind = RTE_SUBQUERY;
		input->subquery = subquery;
		input->ctename = NULL;
		input->ctelevelsup = 0;
		input->coltypes = input->coltypmods = input->colcollations = NIL;
		return;
	}
	refuse(shape,
		   psprintf("WITH query \"%s\" can't be maintained: it is recursive or changes data",
					input->ctename),
		   NULL);
}

static void
shape_of_relation(RangeTblEntry *input, Shape *shape)
{
	char *name = get_rel_name(input->relid);

	if (!stream_lookup(input->relid, &shape->stream))
		refuse(
			shape, psprintf("table \"%s\" is not a stream", name),
			psprintf("Make it one: SELECT tidemark.create_stream('%s', 'its event-time column').",
					 name));
	else if (!input->inh && input->relkind == RELKIND_PARTITIONED_TABLE)
		refuse(shape, psprintf("ONLY \"%s\" reads no partition", name), NULL);
	else if (input->tablesample)
		refuse(shape, "TABLESAMPLE can't be maintained", NULL);
}

static void
shape_of_input(Query *query, List *ancestors, Shape *shape)
{
	RangeTblEntry *input = rt_fetch(shape_input(query), query->rtable);

	if (input->rtekind == RTE_CTE)
		inline_cte(input, query, ancestors, shape);
	switch (input->rtekind)
	{
		case RTE_RELATION:
			shape_of_relation(input, shape);
			break;
		case RTE_SUBQUERY:
			shape_of_level(input->subquery, lcons(query, ancestors), shape);
			break;
		case RTE_FUNCTION:
			refuse(shape, "a function in FROM is not a stream", NULL);
			break;
		case RTE_VALUES:
			refuse(shape, "VALUES is not a stream", NULL);
			break;
		case RTE_CTE:
			break; /* refused already */
		default:
			refuse(shape, "what stands in FROM is not a stream", NULL);
			break;
	}
}

static void
shape_of_level(Query *query, List *ancestors, Shape *shape)
{
	refuse_clauses(query, shape);
	if (shape->refusal)
		return;
	shape_of_input(query, ancestors, shape);
	if (shape->refusal)
		return;
	query->cteList = NIL; /* what was referenced has been put in place */
	if (query->hasWindowFuncs)
		shape_of_windows(query, shape);
}

void
shape_of_query(Query *query, Shape *shape)
{
	memset(shape, 0, sizeof(*shape));
	shape_of_level(query, NIL, shape);
	if (shape->refusal)
		return;
	refuse_mutable_functions(query, shape);
	if (query_tree_walker(query, find_system_column, NULL, 0))
		refuse(shape,
			   "system columns such as ctid can't be maintained: they change while the row doesn't",
			   NULL);
}

void
shape_require(const Shape *shape, const char *view_name)
{
	if (shape->refusal == NULL)
		return;
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("view \"%s\" can't be continuous: %s", view_name, shape->refusal),
					shape->hint ? errhint("%s", shape->hint) : 0));
}
