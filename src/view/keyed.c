/*
 * keyed.c: a query that keeps some rows of each key: which level does, by what key, and which rows.
 *
 *   SELECT DISTINCT ON (k) k, x FROM stream ORDER BY k, t                      the first row of each k
 *   SELECT DISTINCT k, x FROM stream                                           of rows that are equal, one
 *   SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY x DESC) AS rn FROM stream) r WHERE rn <= 3
 *
 * One level of the query, the keyed one, keeps the first `limit` rows of each key. It is cut in two (inputs.h): the inputs, rows
 * of the stream with the columns that the level needs, and what is computed from them: the level itself and those above it.
 *
 * What is kept of a union is what is kept of what is kept of its parts: first(A, B) = first(first(A), B). So the rows that the
 * level keeps are all that has to be remembered of the stream up to the frontier. They are the view's materialised rows
 * (keyed_maintain.c), and the query over them and the rows after the frontier is the answer (keyed_answer.c).
 *
 * Which rows are kept must not be left open, or the view could not be equal to its batch query: keyed_order.c.
 *
 * A level with GROUP BY and no window of the event time is cut likewise. What it keeps of a key are states of aggregates:
 * keyed_groups.c, keyed_states.c; of sessions, too: keyed_sessions.c.
 */
#include "tidemark.h"

#include "access/htup_details.h"
#include "aggregate/planner.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "view/group_window.h"
#include "view/inputs.h"
#include "view/keyed.h"
#include "view/keyed_groups.h"
#include "view/keyed_order.h"
#include "view/keyed_rank.h"
#include "view/keyed_sessions.h"
#include "view/slice.h"

/* ---- the level ---------------------------------------------------------------------------------- */

static bool
has_windows(Query *level)
{
	return level->hasWindowFuncs || level_groups(level);
}

static bool
windows_above(const List *ancestors)
{
	ListCell *cell;

	foreach (cell, ancestors)
		if (has_windows(lfirst_node(Query, cell)))
			return true;
	return false;
}

static bool
windows_below(Query *level)
{
	while ((level = shape_below(level)) != NULL)
		if (has_windows(level))
			return true;
	return false;
}

/* Does it say the first row of each key by event time? */
static bool
is_first_by_time(Query *level, const WindowFunc *call, int64 limit, const Stream *stream)
{
	WindowClause *window = list_nth_node(WindowClause, level->windowClause, call->winref - 1);
	SortGroupClause *first = window->orderClause ? linitial(window->orderClause) : NULL;

	return call->winfnoid == F_ROW_NUMBER && limit <= 1 && first &&
		   compat_sorts_ascending(first->sortop) &&
		   shape_is_time(level, get_sortgroupclause_expr(first, level->targetList), stream);
}

static bool
is_plain_select(const Query *level)
{
	return !level->hasAggs && !level->groupClause && !level->groupingSets && !level->havingQual &&
		   !level->setOperations && !level->hasTargetSRFs && !level->limitCount &&
		   !level->limitOffset;
}

bool
keyed_is_distinct(const Query *level)
{
	return level->distinctClause && is_plain_select(level) && !level->hasWindowFuncs &&
		   (level->hasDistinctOn || level->sortClause == NIL);
}

/* Among windows, a rank is one of them, unless it says the first row by event time. */
bool
keyed_is_level(Query *level, const List *ancestors, const Stream *stream)
{
	WindowFunc *call = keyed_rank_function(level);
	int64 limit;

	if (level->distinctClause)
		return keyed_is_distinct(level);
	if (call == NULL || !is_plain_select(level) || !keyed_rank_limit(level, ancestors, &limit) ||
		windows_below(level))
		return false;
	return !windows_above(ancestors) || is_first_by_time(level, call, limit, stream);
}

/* The levels above, innermost first. */
static List *
ancestors_of(Query *query, int depth)
{
	List *ancestors = NIL;

	for (; depth > 0; depth--)
	{
		ancestors = lcons(query, ancestors);
		query = shape_below(query);
	}
	return ancestors;
}

/* What else the query does at a level above or below one with GROUP BY. */
static void
refuse_beside_groups(Query *level, bool above, Shape *shape)
{
	const char *what = level->hasWindowFuncs ? "window functions"
					   : level_groups(level) ? "another GROUP BY"
											 : "DISTINCT";

	if (above)
		shape_refuse(
			shape,
			psprintf("%s over GROUP BY without a window of the event time can't be maintained: "
					 "each row that comes may change all of the result",
					 what),
			"Make a continuous view of the GROUP BY, and put the rest into the query that reads "
			"it.");
	else
		shape_refuse(
			shape,
			psprintf("GROUP BY without a window of the event time can't be maintained over %s",
					 what),
			psprintf(
				"Make a continuous view of the subquery, and group in the query that reads it; "
				"or group by a window as well: date_bin('1 minute', %s, '2000-01-01').",
				shape_time_name(shape)));
}

/* Windows above are computed over the first rows by event time only; windows below not at all, nor are several keyed levels. */
static void
refuse_other_levels(const Keyed *keyed, Shape *shape)
{
	Query *level = keyed->query;
	Query *sessions = keyed->groups ? keyed_sessions_level(shape_level(keyed->query, keyed->depth))
									: NULL;

	for (int depth = 0; level != NULL; level = shape_below(level), depth++)
	{
		if (depth != keyed->depth && keyed->groups && level != sessions &&
			(has_windows(level) || level->distinctClause))
			refuse_beside_groups(level, depth < keyed->depth, shape);
		if (depth != keyed->depth && level->distinctClause)
			shape_refuse(shape, "DISTINCT at several levels can't be maintained",
						 "Make a continuous view of the innermost, and put the rest into the query "
						 "that reads it.");
		if (depth > keyed->depth && level != sessions && has_windows(level))
			shape_refuse(
				shape,
				"rows of windows or of GROUP BY can't be kept by key (DISTINCT, DISTINCT ON, "
				"top-N)",
				"Make a continuous view of the windows, and put the rest into the query that "
				"reads it.");
	}
	if (keyed->under_windows && (!keyed->in_arrival_order || keyed->limit > 1 ||
								 keyed->count != KEYED_ROWS || keyed->keys == NIL))
		shape_refuse(
			shape,
			"windows or GROUP BY over rows that others take the place of (the last row of a "
			"key, top-N) can't be maintained",
			psprintf("Keep the first row of each key: DISTINCT ON (key) ... ORDER BY key, %s.",
					 shape_time_name(shape)));
}

/* ---- keys and order ----------------------------------------------------------------------------- */

static void
refuse_type(Shape *shape, Node *expression, const char *what)
{
	shape_refuse(
		shape,
		psprintf("%s of type %s can't be maintained", what, format_type_be(exprType(expression))),
		"Use an expression of a type that can be sorted, such as a cast to text.");
}

static KeyedColumn *
column_of_clause(Keyed *keyed, Query *level, const SortGroupClause *clause)
{
	KeyedColumn *column = palloc(sizeof(KeyedColumn));

	column->column =
		inputs_add(&keyed->inputs,
				   get_sortgroupclause_tle((SortGroupClause *) clause, level->targetList)->expr);
	column->equality = clause->eqop;
	column->ordering = clause->sortop;
	column->nulls_first = clause->nulls_first;
	return column;
}

/* A key is found by an index of its type's default order. */
static void
add_keys(Keyed *keyed, Query *level, List *clauses, Shape *shape)
{
	ListCell *cell;

	foreach (cell, clauses)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, cell);
		Node *expression = get_sortgroupclause_expr(clause, level->targetList);
		TypeCacheEntry *type = lookup_type_cache(
			exprType(expression), TYPECACHE_BTREE_OPFAMILY | TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);
		KeyedColumn *key;

		if (exprType(expression) == RECORDOID || !OidIsValid(type->btree_opf) ||
			!OidIsValid(type->lt_opr) || type->eq_opr != clause->eqop)
		{
			refuse_type(shape, expression, "a key");
			return;
		}
		key = column_of_clause(keyed, level, clause);
		key->ordering = type->lt_opr;
		key->nulls_first = false;
		keyed->keys = lappend(keyed->keys, key);
	}
}

static bool
is_among(const List *clauses, const SortGroupClause *clause)
{
	ListCell *cell;

	foreach (cell, clauses)
		if (lfirst_node(SortGroupClause, cell)->tleSortGroupRef == clause->tleSortGroupRef)
			return true;
	return false;
}

/* What the clauses order by besides the keys. */
static void
add_order(Keyed *keyed, Query *level, const List *clauses, const List *keys)
{
	ListCell *cell;

	foreach (cell, clauses)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, cell);

		if (!is_among(keys, clause) &&
			!keyed_order_is_completion(get_sortgroupclause_tle(clause, level->targetList)->expr))
			keyed->order = lappend(keyed->order, column_of_clause(keyed, level, clause));
	}
}

/* ---- the analysis ------------------------------------------------------------------------------- */

static WindowClause *
window_of(Query *level, const WindowFunc *call)
{
	return list_nth_node(WindowClause, level->windowClause, call->winref - 1);
}

static void
analyse_ranks(Keyed *keyed, Query *level, const WindowFunc *call, const List *ancestors,
			  Shape *shape)
{
	WindowClause *window = window_of(level, call);

	(void) keyed_rank_limit(level, ancestors, &keyed->limit);
	keyed->limit = Max(keyed->limit, 1);
	keyed->count = call->winfnoid == F_ROW_NUMBER ? KEYED_ROWS
				   : call->winfnoid == F_RANK_	  ? KEYED_RANK
												  : KEYED_DENSE_RANK;
	add_keys(keyed, level, window->partitionClause, shape);
	add_order(keyed, level, window->orderClause, window->partitionClause);
}

static void
analyse_distinct(Keyed *keyed, Query *level, Shape *shape)
{
	keyed->limit = 1;
	keyed->count = KEYED_ROWS;
	add_keys(keyed, level, level->distinctClause, shape);
	if (level->hasDistinctOn)
		add_order(keyed, level, level->sortClause, level->distinctClause);
}

/* Sums of floats are the exact ones, in the query that states are kept for. */
static void
analyse_groups(Keyed *keyed, Query *level, Shape *shape)
{
	keyed->limit = 1;
	compat_flatten_groups(level);
	keyed->query = copyObject(keyed->query);
	level = shape_level(keyed->query, keyed->depth);
	aggregate_swap_exact_always(keyed->query);
	add_keys(keyed, level, keyed_sessions_keys(keyed, level, shape), shape);
	if (shape->refusal == NULL)
		keyed_groups_analyse(keyed, level, shape);
	keyed->row_keys = keyed->keys;
	if (shape->refusal == NULL && keyed->sessions)
		keyed_sessions_cut(keyed, level, shape);
}

static void
refuse_untyped_inputs(const Keyed *keyed, Shape *shape)
{
	ListCell *cell;

	foreach (cell, keyed->inputs)
		if (exprType(lfirst(cell)) == RECORDOID)
			shape_refuse(shape, "a column of type record can't be kept",
						 "Select what it is made of as columns.");
}

static bool
is_in_arrival_order(const Keyed *keyed)
{
	KeyedColumn *first = keyed->order ? linitial(keyed->order) : NULL;

	return first && first->column == KEYED_TIME_COLUMN && compat_sorts_ascending(first->ordering);
}

Keyed *
keyed_analyse(Query *query, int depth, Shape *shape)
{
	Keyed *keyed = palloc0(sizeof(Keyed));
	Query *level = shape_level(query, depth);
	WindowFunc *call = NULL;

	keyed->stream = shape->stream;
	keyed->query = query;
	keyed->depth = depth;
	keyed->groups = shape->keyed_groups;
	if (keyed->groups)
		refuse_other_levels(keyed, shape);
	if (shape->refusal)
		return NULL;
	(void) inputs_add(&keyed->inputs, (Expr *) slice_expose_time(level, &shape->stream));
	if (keyed->groups)
		analyse_groups(keyed, level, shape);
	else if (level->distinctClause)
		analyse_distinct(keyed, level, shape);
	else
	{
		call = keyed_rank_function(level);
		analyse_ranks(keyed, level, call, ancestors_of(query, depth), shape);
	}
	if (!keyed->groups)
		inputs_add_output(&keyed->inputs, level->targetList);
	refuse_untyped_inputs(keyed, shape);
	if (shape->refusal)
		return NULL;
	if (keyed->groups)
		return keyed;
	keyed->row_keys = keyed->keys;
	if (keyed->count == KEYED_ROWS)
		keyed_order_complete(keyed, level, call ? window_of(level, call) : NULL);
	keyed->in_arrival_order = is_in_arrival_order(keyed);
	keyed->under_windows = windows_above(ancestors_of(query, depth));
	refuse_other_levels(keyed, shape);
	return shape->refusal ? NULL : keyed;
}

/* ---- the queries -------------------------------------------------------------------------------- */

Query *
keyed_input(const Keyed *keyed, Expr *from, Expr *to)
{
	Query *query = inputs_query(copyObject(shape_level(keyed->query, keyed->depth)), keyed->inputs);

	compat_ungroup(query);
	slice_bound_stream(query, &keyed->stream, from, to);
	return query;
}

Query *
keyed_output(const Keyed *keyed, RangeTblEntry *source)
{
	Query *query = copyObject(keyed->query);
	Query *level = shape_level(query, keyed->depth);
	int rtindex = shape_input(level);
	RangeTblRef *reference = makeNode(RangeTblRef);

	if (keyed->groups)
		return keyed_groups_output(keyed, source);
	reference->rtindex = rtindex;
	level->targetList = (List *) inputs_read((Node *) level->targetList, keyed->inputs, rtindex);
	level->jointree = makeFromExpr(list_make1(reference), NULL);
	lfirst(shape_input_entry(level)) = source;
	return query;
}

/* The rank of the only row of its key. */
static Node *
rank_of_only_row(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, WindowFunc))
		return (Node *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(1), false,
								  FLOAT8PASSBYVAL);
	return expression_tree_mutator(node, rank_of_only_row, context);
}

Query *
keyed_output_of_kept(const Keyed *keyed, RangeTblEntry *source)
{
	Query *query;
	Query *level;
	List *targets = NIL;
	ListCell *cell;

	if (keyed->groups)
		return keyed_groups_output_of_states(keyed, source);
	query = keyed_output(keyed, source);
	level = shape_level(query, keyed->depth);
	foreach (cell, level->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (entry->resjunk)
			continue;
		entry->ressortgroupref = 0;
		entry->expr = (Expr *) rank_of_only_row((Node *) entry->expr, NULL);
		targets = lappend(targets, entry);
	}
	level->targetList = targets;
	level->windowClause = level->distinctClause = level->sortClause = NIL;
	level->hasWindowFuncs = level->hasDistinctOn = false;
	return query;
}

/* ---- columns ------------------------------------------------------------------------------------ */

Expr *
keyed_equal(const KeyedColumn *key, Expr *left, Expr *right)
{
	OpExpr *equal = (OpExpr *) make_opclause(key->equality, BOOLOID, false, left, right, InvalidOid,
											 exprCollation((Node *) left));

	set_opfuncid(equal);
	return &equal->xpr;
}

SortGroupClause *
keyed_sort_clause(const Query *query, const KeyedColumn *column)
{
	SortGroupClause *clause =
		sort_clause(list_nth_node(TargetEntry, query->targetList, column->column - 1),
					column->equality, column->ordering);

	clause->nulls_first = column->nulls_first;
	return clause;
}

List *
keyed_sort_clauses(const Query *query, const List *columns)
{
	List *clauses = NIL;
	ListCell *cell;

	foreach (cell, columns)
		clauses = lappend(clauses, keyed_sort_clause(query, lfirst(cell)));
	return clauses;
}

static bool
is_nullable(Query *level, Node *expression)
{
	Var *var = (Var *) expression;
	RangeTblEntry *input = rt_fetch(shape_input(level), level->rtable);

	if (!IsA(expression, Var) || var->varlevelsup != 0 || var->varattno <= 0 ||
		var->varno != shape_input(level))
		return true;
	if (input->rtekind == RTE_RELATION)
		return !compat_is_not_null(input->relid, var->varattno);
	return is_nullable(input->subquery,
					   (Node *) get_tle_by_resno(input->subquery->targetList, var->varattno)->expr);
}

bool
keyed_is_nullable(const Keyed *keyed, AttrNumber column)
{
	return is_nullable(shape_level(keyed->query, keyed->depth),
					   list_nth(keyed->inputs, column - 1));
}

static AttrNumber
stream_column(Query *level, Node *expression)
{
	Var *var = (Var *) expression;
	RangeTblEntry *input = rt_fetch(shape_input(level), level->rtable);

	if (!IsA(expression, Var) || var->varlevelsup != 0 || var->varattno <= 0 ||
		var->varno != shape_input(level))
		return InvalidAttrNumber;
	if (input->rtekind == RTE_RELATION)
		return var->varattno;
	return stream_column(
		input->subquery,
		(Node *) get_tle_by_resno(input->subquery->targetList, var->varattno)->expr);
}

AttrNumber
keyed_stream_column(const Keyed *keyed, AttrNumber column)
{
	return stream_column(shape_level(keyed->query, keyed->depth),
						 list_nth(keyed->inputs, column - 1));
}

AttrNumber
keyed_input_of_output(const Keyed *keyed, AttrNumber column)
{
	Query *level = keyed->query;
	Node *expression = (Node *) get_tle_by_resno(level->targetList, column)->expr;

	for (int depth = 0; depth < keyed->depth; depth++)
	{
		Var *var = (Var *) expression;

		if (!IsA(expression, Var) || var->varlevelsup != 0 || var->varno != shape_input(level) ||
			var->varattno <= 0)
			return 0;
		level = shape_below(level);
		expression = (Node *) get_tle_by_resno(level->targetList, var->varattno)->expr;
	}
	return inputs_find(keyed->inputs, expression);
}

const KeyedColumn *
keyed_key_of_output(const Keyed *keyed, AttrNumber column)
{
	AttrNumber input = keyed_input_of_output(keyed, column);
	ListCell *cell;

	foreach (cell, keyed->row_keys)
		if (((KeyedColumn *) lfirst(cell))->column == input)
			return lfirst(cell);
	return NULL;
}
