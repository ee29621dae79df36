/*
 * shape.c: what is this query: event time, lookback, or why not.
 *
 * A query is sliceable when each of its output rows has an event time, and the rows with event times
 * in [a, b] depend only on the stream's rows with event times in [a - lookback, b + lookahead]. Then its result can be
 * computed slice by slice, and a slice once computed changes only with rows in its reach. The lookback may be unbounded.
 *
 * The walk goes down from the top through one input a level to the stream, and adds up:
 *
 *   SELECT ... FROM (SELECT ... OVER (... RANGE '10 s' PRECEDING) FROM stream WHERE ...) WHERE ...
 *   level 1: WHERE, expressions: 0          level 2: window: 10 s; WHERE: 0          -> lookback 10 s
 *
 * The event time of a row is the stream's column, passed through unchanged; every level has it
 * even if it is not in its output, because a row comes from one row of its input. A level with GROUP BY makes one row of
 * several: its event time is that of the windows it groups by, which its input's rows are near to (group_window.c). One that has windows
 * beside its groups is parted into two levels. Whatever breaks
 * that (LIMIT, joins, set operations), or depends on more than the rows (functions that are not
 * immutable) is refused by name. A query that keeps some rows of each key, DISTINCT and its like, is of another kind: keyed.h. Refusals are texts, not errors, so that CREATE VIEW can ask and go on.
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
#include "view/faults.h"
#include "view/first_values.h"
#include "view/frame.h"
#include "view/group_window.h"
#include "view/inputs.h"
#include "view/islands.h"
#include "view/keyed.h"
#include "view/shape.h"
#include "view/slice.h"

static void shape_of_level(Query *query, List *ancestors, Shape *shape);

void
shape_refuse(Shape *shape, char *refusal, char *hint)
{
	if (shape->refusal == NULL)
	{
		shape->refusal = refusal;
		shape->hint = hint;
	}
}

const char *
shape_time_name(const Shape *shape)
{
	return quote_identifier(get_attname(shape->stream.relid, shape->stream.attnum, false));
}

int
shape_input(Query *query)
{
	Node *node = linitial(query->jointree->fromlist);

	while (IsA(node, JoinExpr))
		node = ((JoinExpr *) node)->larg;
	return castNode(RangeTblRef, node)->rtindex;
}

ListCell *
shape_input_entry(Query *query)
{
	return list_nth_cell(query->rtable, shape_input(query) - 1);
}

/* Columns of the level's input, in the place of which stand what they are made of. */
static Node *
column_below(Node *node, void *arg)
{
	Query *level = arg;
	RangeTblEntry *input = rt_fetch(shape_input(level), level->rtable);
	Var *var = (Var *) node;

	if (node == NULL)
		return NULL;
	if (!IsA(node, Var))
		return expression_tree_mutator(node, column_below, arg);
	if (var->varlevelsup != 0 || var->varno != shape_input(level) || var->varattno <= 0)
		return copyObject(node);
	return copyObject((Node *) get_tle_by_resno(input->subquery->targetList, var->varattno)->expr);
}

Node *
shape_expression_below(Query *level, Node *expression)
{
	return column_below(expression, level);
}

Query *
shape_below(Query *level)
{
	RangeTblEntry *input = rt_fetch(shape_input(level), level->rtable);

	return input->rtekind == RTE_SUBQUERY ? input->subquery : NULL;
}

Query *
shape_level(Query *query, int depth)
{
	while (depth-- > 0)
		query = shape_below(query);
	return query;
}

Query *
shape_stream_level(Query *query)
{
	Query *below;

	while ((below = shape_below(query)) != NULL)
		query = below;
	return query;
}

bool
shape_has_windows(Query *query)
{
	for (; query != NULL; query = shape_below(query))
		if (query->hasWindowFuncs)
			return true;
	return false;
}

bool
shape_has_groups(Query *query)
{
	for (; query != NULL; query = shape_below(query))
		if (level_groups(query))
			return true;
	return false;
}

bool
shape_reads_only_input(const Query *query)
{
	return list_length(query->jointree->fromlist) == 1 &&
		   IsA(linitial(query->jointree->fromlist), RangeTblRef);
}

bool
shape_is_time(Query *query, Node *node, const Stream *stream)
{
	RangeTblEntry *input;
	GroupWindow window;
	Var *var;

	if (level_groups(query))
		return group_window_find(query, stream, &window) && equal(window.time, node);
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

/* Is this a function in FROM, of the row beside it (or of nothing)? */
static bool
is_function(const Query *query, Node *node)
{
	return IsA(node, RangeTblRef) &&
		   rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable)->rtekind == RTE_FUNCTION;
}

/* Is what stands in FROM one input and functions of its rows: FROM stream, LATERAL f(x)? */
static bool
joins_functions_only(const Query *query)
{
	Node *node = linitial(query->jointree->fromlist);
	ListCell *cell;

	for_each_from(cell, query->jointree->fromlist,
				  1) if (!is_function(query, lfirst(cell))) return false;
	while (IsA(node, JoinExpr))
	{
		JoinExpr *join = (JoinExpr *) node;

		if ((join->jointype != JOIN_INNER && join->jointype != JOIN_LEFT) ||
			!is_function(query, join->rarg))
			return false;
		node = join->larg;
	}
	return IsA(node, RangeTblRef);
}

/* DISTINCT at a level that isn't a keyed one (keyed.h). */
static void
refuse_distinct(Query *query, Shape *shape)
{
	if (query->hasWindowFuncs)
		shape_refuse(shape, "DISTINCT over window functions can't be maintained",
					 "Put DISTINCT into the query that reads the view.");
	else if (query->hasTargetSRFs)
		shape_refuse(shape,
					 "DISTINCT over set-returning functions at the same level can't be maintained",
					 "Put the functions into a subquery that DISTINCT reads.");
	else if (query->hasAggs || query->groupClause)
		shape_refuse(shape, "DISTINCT over GROUP BY can't be maintained",
					 "Put DISTINCT into the query that reads the view.");
	else if (query->limitCount || query->limitOffset)
		shape_refuse(shape, "LIMIT and OFFSET can't be maintained",
					 "Put LIMIT into the query that reads the view.");
	else
		shape_refuse(
			shape, "ORDER BY can't be maintained",
			"A view's rows have no order; put ORDER BY into the query that reads the view.");
}

static void
refuse_clauses(Query *query, bool keyed, Shape *shape)
{
	if (query->commandType != CMD_SELECT || query->hasModifyingCTE)
		shape_refuse(shape, "only a SELECT can be maintained", NULL);
	else if (query->setOperations)
		shape_refuse(
			shape, "UNION, INTERSECT and EXCEPT can't be maintained",
			"Make a continuous view of each part and combine them in the query that reads them.");
	else if (query->distinctClause && !keyed)
		refuse_distinct(query, shape);
	else if (query->limitCount || query->limitOffset)
		shape_refuse(shape, "LIMIT and OFFSET can't be maintained",
					 "Put LIMIT into the query that reads the view.");
	else if (query->sortClause && !query->hasDistinctOn)
		shape_refuse(
			shape, "ORDER BY can't be maintained",
			"A view's rows have no order; put ORDER BY into the query that reads the view.");
	else if (query->rowMarks)
		shape_refuse(shape, "FOR UPDATE and FOR SHARE can't be maintained", NULL);
	else if (query->hasSubLinks)
		shape_refuse(shape, "a subquery in an expression (EXISTS, IN, scalar) can't be maintained",
					 "What it reads may change without the view's stream changing.");
	else if (query->jointree->fromlist == NIL)
		shape_refuse(shape, "a query without FROM has no event time", NULL);
	else if (!joins_functions_only(query))
		shape_refuse(shape, "joins can't be maintained yet",
					 "Join in the query that reads the continuous view.");
}

typedef struct MutableContext
{
	Oid function;
	bool value_function;
} MutableContext;

/* timestamptz + interval depends on the session's time zone where the interval has days or months; this one has none. */
static bool
is_fixed_shift(Node *node)
{
	Oid function = IsA(node, OpExpr)	 ? get_opcode(((OpExpr *) node)->opno)
				   : IsA(node, FuncExpr) ? ((FuncExpr *) node)->funcid
										 : InvalidOid;
	Node *interval;
	const Interval *value;

	if (function != F_TIMESTAMPTZ_PL_INTERVAL && function != F_TIMESTAMPTZ_MI_INTERVAL)
		return false;
	interval = eval_const_expressions(
		NULL, copyObject(lsecond(IsA(node, OpExpr) ? ((OpExpr *) node)->args
												   : ((FuncExpr *) node)->args)));
	if (!IsA(interval, Const) || ((Const *) interval)->constisnull)
		return false;
	value = DatumGetIntervalP(((Const *) interval)->constvalue);
	return value->month == 0 && value->day == 0;
}

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
	if (!is_fixed_shift(node) && check_functions_in_node(node, is_mutable, context))
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
		shape_refuse(
			shape,
			"the current time, user or sequence can't be used: its value changes while the rows "
			"don't",
			"Compare with it in the query that reads the view.");
	else if (context.function == F_DATE_TRUNC_TEXT_TIMESTAMPTZ ||
			 context.function == F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT)
		shape_refuse(shape,
					 "date_trunc of a timestamp with time zone is not immutable: it depends on the "
					 "session's time zone",
					 "Write date_bin('1 hour', ..., '2000-01-01 00:00+00'), or date_trunc('day', "
					 "... AT TIME "
					 "ZONE 'UTC') with your time zone.");
	else
		shape_refuse(
			shape, psprintf("function %s is not immutable", format_procedure(context.function)),
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

/* ---- inputs -------------------------------------------------------------------------------------- */

/* Puts the CTE's query in the place of the reference to it. ancestors: innermost first. */
static void
inline_cte(RangeTblEntry *input, Query *query, List *ancestors, Shape *shape)
{
	Query *owner = query;
	Query *subquery;
	ListCell *cell;

	if (input->ctelevelsup > list_length(ancestors))
	{
		shape_refuse(shape, "a WITH query of somebody above",
					 NULL); /* a part of a query is looked at */
		return;
	}
	if (input->ctelevelsup > 0)
		owner = list_nth_node(Query, ancestors, input->ctelevelsup - 1);
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
	shape_refuse(shape,
				 psprintf("WITH query \"%s\" can't be maintained: it is recursive or changes data",
						  input->ctename),
				 NULL);
}

static void
shape_of_relation(RangeTblEntry *input, Shape *shape)
{
	char *name = get_rel_name(input->relid);

	if (OidIsValid(shape->stream.relid) && input->relid == shape->stream.relid)
		return; /* what counts as the stream */
	if (!stream_lookup(input->relid, &shape->stream))
		shape_refuse(
			shape, psprintf("table \"%s\" is not a stream", name),
			psprintf("Make it one: SELECT tidemark.create_stream('%s', 'its event-time column').",
					 name));
	else if (!input->inh && input->relkind == RELKIND_PARTITIONED_TABLE)
		shape_refuse(shape, psprintf("ONLY \"%s\" reads no partition", name), NULL);
	else if (input->tablesample)
		shape_refuse(shape, "TABLESAMPLE can't be maintained", NULL);
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
			shape_of_level(input->subquery, lcons(query, list_copy(ancestors)), shape);
			break;
		case RTE_FUNCTION:
			shape_refuse(shape, "a function in FROM is not a stream", NULL);
			break;
		case RTE_VALUES:
			shape_refuse(shape, "VALUES is not a stream", NULL);
			break;
		case RTE_CTE:
			break; /* refused already */
		default:
			shape_refuse(shape, "what stands in FROM is not a stream", NULL);
			break;
	}
}

/* ---- levels --------------------------------------------------------------------------------------- */

static void
refuse_keyed_levels(Shape *shape)
{
	shape_refuse(shape,
				 "several levels of GROUP BY without a window of the event time, DISTINCT or top-N "
				 "can't be maintained",
				 "Make a continuous view of the innermost, and put the rest into the query that "
				 "reads it.");
}

/* depth: of this level. Without a window, states of its aggregates are kept by key (keyed.h). */
static void
shape_of_groups(Query *query, int depth, Shape *shape)
{
	GroupWindow window;
	bool number;

	islands_become_sessions(query, &shape->stream, &number);
	shape->completed |= first_values_complete(query, &shape->stream);
	if (!group_window_find(query, &shape->stream, &window))
	{
		if (query->groupingSets)
			shape_refuse(
				shape,
				"grouping sets without a window of the event time in each can't be maintained",
				psprintf("Make a continuous view for each, or group by a window as well: "
						 "date_bin('1 minute', %s, '2000-01-01').",
						 shape_time_name(shape)));
		if (number)
			shape_refuse(
				shape,
				"the number of a session can't be maintained: it changes with each session before",
				psprintf("Leave it out of the result, where it is grouped by; when a session began "
						 "tells "
						 "it apart, too: min(%s), or tidemark.session.",
						 shape_time_name(shape)));
		if (shape->keyed_depth >= 0)
			refuse_keyed_levels(shape);
		shape->keyed_depth = depth;
		shape->keyed_groups = true;
		return;
	}
	shape->grid = window.grid;
	lookback_add(&shape->lookback, &window.lookback);
	lookback_add(&shape->lookahead, &window.lookahead);
	shape->groups_depth = depth;
	shape->groups_lookback = shape->lookback;
	shape->groups_lookahead = shape->lookahead;
}

/* ---- windows over groups -------------------------------------------------------------------------- */

static bool
collect_results(Node *node, void *arg)
{
	List **results = arg;

	if (node == NULL || inputs_find(*results, node) != 0)
		return false;
	/* a first value is one result: its order is completed where it is recognised */
	if (IsA(node, Aggref) || IsA(node, Var) || first_value_call(node))
	{
		(void) inputs_add(results, (Expr *) node);
		return false;
	}
	return expression_tree_walker(node, collect_results, arg);
}

/* What the groups of a level are made by, and what its expressions are made of. */
static List *
results_of_groups(Query *query)
{
	List *results = NIL;
	ListCell *cell;

	foreach (cell, query->groupClause)
		(void) inputs_add(
			&results,
			get_sortgroupclause_tle(lfirst_node(SortGroupClause, cell), query->targetList)->expr);
	(void) collect_results((Node *) query->targetList, &results);
	return results;
}

/* The level without its windows: a row of results for each group. */
static Query *
groups_alone(Query *level, List *results)
{
	Query *query = inputs_query(copyObject(level), results);
	ListCell *cell;

	foreach (cell, query->groupClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, cell);
		Expr *key = get_sortgroupclause_tle(clause, level->targetList)->expr;
		TargetEntry *entry =
			list_nth_node(TargetEntry, query->targetList, inputs_find(results, (Node *) key) - 1);

		if (entry->ressortgroupref == 0)
			entry->ressortgroupref = entry->resno;
		clause->tleSortGroupRef = entry->ressortgroupref;
	}
	query->hasTargetSRFs = expression_returns_set((Node *) results);
	return query;
}

/* Does a window refer to the entry? */
static bool
is_of_window(const Query *query, const TargetEntry *entry)
{
	ListCell *cell;
	ListCell *item;

	foreach (cell, query->windowClause)
	{
		WindowClause *window = lfirst_node(WindowClause, cell);

		foreach (item, list_concat_copy(window->partitionClause, window->orderClause))
			if (lfirst_node(SortGroupClause, item)->tleSortGroupRef == entry->ressortgroupref)
				return true;
	}
	return false;
}

/* Windows beside GROUP BY are windows over the groups: the level becomes two. */
static void
part_windows_from_groups(Query *query)
{
	RangeTblRef *reference = makeNode(RangeTblRef);
	List *targets = NIL;
	List *results;
	ListCell *cell;

	compat_flatten_groups(query);
	results = results_of_groups(query);
	query->rtable = list_make1(subquery_entry(groups_alone(query, results), "groups"));
	reference->rtindex = 1;
	query->jointree = makeFromExpr(list_make1(reference), NULL);
	compat_forget_permissions(query);
	compat_ungroup(query);
	foreach (cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (entry->resjunk && !is_of_window(query, entry))
			continue;
		entry->expr = (Expr *) inputs_read((Node *) entry->expr, results, 1);
		entry->resno = list_length(targets) + 1;
		targets = lappend(targets, entry);
	}
	query->targetList = targets;
	query->hasTargetSRFs = expression_returns_set((Node *) targets);
}

/* Has the level, whose input has a shape, windows beside groups of windows of event time? */
static bool
has_windows_beside_groups(Query *query, const Shape *shape)
{
	GroupWindow window;

	return query->hasWindowFuncs && level_groups(query) && query->groupingSets == NIL &&
		   group_window_find(query, &shape->stream, &window);
}

/* The same of the level at that depth; what is below it gets a level deeper. */
static void
shape_of_parted_level(Query *query, int depth, Shape *shape)
{
	part_windows_from_groups(query);
	if (shape->keyed_depth >= 0)
		shape->keyed_depth++;
	shape_of_groups(shape_below(query), depth + 1, shape);
}

/* Are the windows above the groups such that look back, and not ahead? */
static bool
looks_back_over_groups(const Shape *shape)
{
	return shape->groups_depth > 0 &&
		   memcmp(&shape->lookahead, &shape->groups_lookahead, sizeof(Lookback)) == 0 &&
		   memcmp(&shape->lookback, &shape->groups_lookback, sizeof(Lookback)) != 0;
}

static void
shape_of_level(Query *query, List *ancestors, Shape *shape)
{
	bool keyed = keyed_is_distinct(query);

	refuse_clauses(query, keyed, shape);
	if (shape->refusal)
		return;
	shape_of_input(query, ancestors, shape);
	if (shape->refusal)
		return;
	query->cteList = NIL; /* what was referenced has been put in place */
	if (has_windows_beside_groups(query, shape))
		shape_of_parted_level(query, list_length(ancestors), shape);
	keyed = keyed_is_level(query, ancestors, &shape->stream);
	if (keyed && shape->keyed_depth >= 0)
		refuse_keyed_levels(shape);
	if (keyed)
		shape->keyed_depth = list_length(ancestors);
	if (level_groups(query))
		shape_of_groups(query, list_length(ancestors), shape);
	if (query->hasWindowFuncs && !keyed && !shape->keyed_groups && shape->refusal == NULL)
		frame_of_windows(query, shape);
}

void
shape_of_query(Query *query, Shape *shape)
{
	Stream unknown = {0};

	shape_over(query, &unknown, shape);
}

void
shape_over(Query *query, const Stream *stream, Shape *shape)
{
	memset(shape, 0, sizeof(*shape));
	shape->keyed_depth = shape->groups_depth = -1;
	shape->stream = *stream;
	shape_of_level(query, NIL, shape);
	if (shape->refusal)
		return;
	if (!looks_back_over_groups(shape))
		shape->groups_depth = -1;
	refuse_mutable_functions(query, shape);
	faults_refuse(query, shape);
	if (query_tree_walker(query, find_system_column, NULL, 0))
		shape_refuse(
			shape,
			"system columns such as ctid can't be maintained: they change while the row doesn't",
			NULL);
	if (shape->refusal == NULL && shape->keyed_depth >= 0)
		shape->keyed = keyed_analyse(query, shape->keyed_depth, shape);
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
