/*
 * first_values.c: first and last values of groups, in an order that leaves nothing open.
 *
 *     SELECT k, tidemark.first(x), tidemark.last(x ORDER BY n), (array_agg(x ORDER BY t DESC) FILTER (WHERE x > 0))[1] FROM stream GROUP BY k
 *
 * Which of the rows that are equal in ORDER BY comes first, SQL leaves open, and without ORDER BY, which of all. The rule is as for kept rows (keyed_order.c):
 *
 *     ORDER BY what the call says,  event time,  ROW(the values) USING *<
 *
 * The values are those of all calls at the level that say the same order: so they are of the same row, as far as their filters let it through. The order is
 * completed in the query's tree, in the planner's copy for a batch query.
 */
#include "tidemark.h"

#include "aggregate/sliding.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_clause.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
#include "view/constant.h"
#include "view/first_values.h"
#include "view/keyed_order.h"
#include "view/query_parts.h"
#include "view/slice.h"

/* ---- calls ------------------------------------------------------------------------------------------ */

/* (array_agg(...))[1] */
static Aggref *
call_of_array(const SubscriptingRef *element)
{
	Aggref *call = (Aggref *) element->refexpr;
	int64 index;

	if (!IsA(call, Aggref) || call->aggfnoid != F_ARRAY_AGG_ANYNONARRAY || element->refassgnexpr ||
		element->reflowerindexpr || list_length(element->refupperindexpr) != 1 ||
		!constant_integer(linitial(element->refupperindexpr), &index) || index != 1)
		return NULL;
	return call;
}

Aggref *
first_value_call(Node *node)
{
	Aggref *call = NULL;

	if (IsA(node, SubscriptingRef))
		call = call_of_array((SubscriptingRef *) node);
	else if (IsA(node, Aggref) && sliding_is_first(((Aggref *) node)->aggfnoid))
		call = (Aggref *) node;
	return call && call->agglevelsup == 0 && !call->aggdistinct ? call : NULL;
}

static bool
collect_calls(Node *node, void *arg)
{
	List **calls = arg;
	Aggref *call;

	if (node == NULL)
		return false;
	call = first_value_call(node);
	if (call == NULL)
		return expression_tree_walker(node, collect_calls, arg);
	*calls = lappend(*calls, call);
	return false;
}

static List *
calls_of(const Query *level)
{
	List *calls = NIL;

	if (!level->hasAggs)
		return NIL;
	(void) collect_calls((Node *) level->targetList, &calls);
	(void) collect_calls(level->havingQual, &calls);
	return calls;
}

bool
first_values_are_in(const Query *level)
{
	return calls_of(level) != NIL;
}

/* ---- order ------------------------------------------------------------------------------------------ */

static Expr *
value_of(const Aggref *call)
{
	return linitial_node(TargetEntry, call->args)->expr;
}

static Expr *
item_expression(const Aggref *call, const SortGroupClause *item)
{
	return get_sortgroupclause_tle((SortGroupClause *) item, call->args)->expr;
}

static bool
is_complete(const Aggref *call)
{
	return call->aggorder &&
		   keyed_order_is_completion(item_expression(call, llast(call->aggorder)));
}

static bool
have_same_order(const Aggref *a, const Aggref *b)
{
	ListCell *cell;
	ListCell *other;

	if (list_length(a->aggorder) != list_length(b->aggorder))
		return false;
	forboth (cell, a->aggorder, other, b->aggorder)
	{
		const SortGroupClause *left = lfirst(cell);
		const SortGroupClause *right = lfirst(other);

		if (left->sortop != right->sortop || left->nulls_first != right->nulls_first ||
			!equal(item_expression(a, left), item_expression(b, right)))
			return false;
	}
	return true;
}

/* The values of all calls that say the same order. */
static List *
values_in_order(const List *calls, const Aggref *call)
{
	List *values = NIL;
	ListCell *cell;

	foreach (cell, calls)
		if (have_same_order(lfirst(cell), call))
			values = list_append_unique(values, value_of(lfirst(cell)));
	return values;
}

static bool
has_item(const Aggref *call, const Expr *expression)
{
	ListCell *cell;

	foreach (cell, call->aggorder)
		if (equal(item_expression(call, lfirst(cell)), expression))
			return true;
	return false;
}

static void
complete(Aggref *call, Expr *time, List *values)
{
	TypeCacheEntry *type =
		lookup_type_cache(exprType((Node *) time), TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);

	if (!has_item(call, time))
		(void) keyed_order_add(&call->args, &call->aggorder, time, type->eq_opr, type->lt_opr);
	keyed_order_add_images(&call->args, &call->aggorder, values);
}

bool
first_values_complete(Query *level, const Stream *stream)
{
	List *calls = calls_of(level);
	List *values = NIL;
	Expr *time;
	ListCell *cell;
	ListCell *other;

	if (calls == NIL || is_complete(linitial(calls)))
		return false;
	time = (Expr *) slice_expose_time(level, stream);
	foreach (cell, calls)
		values = lappend(values, values_in_order(calls, lfirst(cell)));
	forboth (cell, calls, other, values)
		complete(lfirst(cell), time, lfirst(other));
	return true;
}

/* ---- states ------------------------------------------------------------------------------------------ */

static Datum *
order_items(const Aggref *call, int n)
{
	Datum *items = palloc(sizeof(Datum) * n * 3);

	for (int i = 0; i < n; i++)
	{
		const SortGroupClause *item = list_nth_node(SortGroupClause, call->aggorder, i);

		items[i * 3] = Int64GetDatum(item->sortop);
		items[i * 3 + 1] = Int64GetDatum(exprCollation((Node *) item_expression(call, item)));
		items[i * 3 + 2] = Int64GetDatum(item->nulls_first);
	}
	return items;
}

FirstValue
first_value_of(const Aggref *call)
{
	Oid types[] = {ANYELEMENTOID};
	int n = list_length(call->aggorder) - 1; /* the last one tells rows apart */
	RowExpr *ties = castNode(RowExpr, item_expression(call, llast(call->aggorder)));
	FirstValue value = {.function = call->aggfnoid};
	ArrayType *order = construct_array(order_items(call, n), n * 3, INT8OID, sizeof(int64),
									   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);

	if (!sliding_is_first(call->aggfnoid))
		value.function = own_function("first", lengthof(types), types);
	value.columns = list_make1(value_of(call));
	for (int i = 0; i < n; i++)
		value.columns = lappend(value.columns, item_expression(call, list_nth(call->aggorder, i)));
	value.columns = list_concat(value.columns, ties->args);
	value.order = makeConst(INT8ARRAYOID, -1, InvalidOid, -1, PointerGetDatum(order), false, false);
	return value;
}
