/*
 * peers.c: results that depend on an order of rows that SQL leaves open.
 *
 * Rows that a window's ORDER BY leaves equal, its peers, come in any order. Where a result depends on it, the batch query
 * itself may return one thing today and another tomorrow, and a view can't be equal to both. That is said when the view is
 * declared. It depends on it
 *
 *   - where the frame is counted in rows (ROWS, row_number, lag): which rows are in it;
 *   - in any frame, of functions that tell the order of their input: array_agg, first_value, a user's aggregate; of those over groups
 *     (GROUP BY), where the call has no ORDER BY.
 *
 * It does not where no rows are equal: a unique index of the stream is among the columns of ORDER BY and PARTITION BY, or all that
 * the rows are grouped by.
 */
#include "tidemark.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/transam.h"
#include "aggregate/planner.h"
#include "aggregate/sliding.h"
#include "catalog/pg_aggregate.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "view/group_window.h"
#include "view/keyed_order.h"
#include "view/peers.h"

/* ---- functions ------------------------------------------------------------------------------------- */

/*
 * Does the result of a function over the same rows depend on their order? Not those of
 * floats that are exact in continuous views, nor the same ones of other numbers.
 */
static bool
depends_on_order(Oid function)
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

/* Is what the window orders by first the call's first argument? */
static bool
is_of_order(Query *query, WindowFunc *call, WindowClause *window)
{
	TargetEntry *first = get_sortgroupclause_tle(linitial(window->orderClause), query->targetList);

	return equal(first->expr, linitial(call->args));
}

/* Does the result of this call depend on the order of its window's peers? */
static bool
depends_on_peers(Query *query, WindowFunc *call, WindowClause *window)
{
	int frame = window->frameOptions;

	if (sliding_is_session(call->winfnoid))
		return !is_of_order(query, call, window);
	switch (call->winfnoid)
	{
		case F_RANK_:
		case F_DENSE_RANK_:
		case F_PERCENT_RANK_:
		case F_CUME_DIST_:
			return false;
		default:
			break;
	}
	if ((frame & FRAMEOPTION_ROWS) &&
		!((frame & FRAMEOPTION_START_CURRENT_ROW) && (frame & FRAMEOPTION_END_CURRENT_ROW)))
		return true;
	return depends_on_order(call->winfnoid);
}

/* ---- unique indexes ---------------------------------------------------------------------------------- */

/* Is this a unique index over some of these columns, none of which can be null? */
static bool
index_keeps_apart(Relation stream, Oid index_oid, Bitmapset *columns)
{
	Relation index = index_open(index_oid, AccessShareLock);
	Form_pg_index form = index->rd_index;
	bool apart = form->indisunique && form->indisvalid && form->indimmediate &&
				 RelationGetIndexPredicate(index) == NIL;

	for (int i = 0; i < form->indnkeyatts && apart; i++)
	{
		AttrNumber column = form->indkey.values[i];

		apart = column > 0 && bms_is_member(column, columns) &&
				TupleDescAttr(RelationGetDescr(stream), column - 1)->attnotnull;
	}
	index_close(index, AccessShareLock);
	return apart;
}

/* Does an index of the stream see to it that no two rows have equal values in these columns? */
static bool
indexes_keep_apart(Oid stream, Bitmapset *columns)
{
	Relation rel = table_open(stream, AccessShareLock);
	bool apart = false;
	ListCell *cell;

	foreach (cell, RelationGetIndexList(rel))
		apart |= index_keeps_apart(rel, lfirst_oid(cell), columns);
	table_close(rel, AccessShareLock);
	return apart;
}

/* ---- rows that are never equal ----------------------------------------------------------------------- */

static bool groups_are_apart(Query *query, List *expressions);

/* Is it impossible that two rows of the level's input are equal in all of these expressions over it? */
static bool
inputs_are_apart(Query *query, List *expressions)
{
	int rtindex = shape_input(query);
	RangeTblEntry *input = rt_fetch(rtindex, query->rtable);
	Bitmapset *columns = NULL;
	List *below = NIL;
	ListCell *cell;

	if (!shape_reads_only_input(query))
		return false;
	foreach (cell, expressions)
	{
		Var *var = lfirst(cell);

		if (!IsA(var, Var) || var->varlevelsup != 0 || var->varno != rtindex || var->varattno <= 0)
			continue;
		if (input->rtekind == RTE_SUBQUERY)
			below =
				lappend(below, get_tle_by_resno(input->subquery->targetList, var->varattno)->expr);
		else
			columns = bms_add_member(columns, var->varattno);
	}
	if (input->rtekind == RTE_RELATION)
		return indexes_keep_apart(input->relid, columns);
	if (input->rtekind != RTE_SUBQUERY || input->subquery->hasTargetSRFs)
		return false;
	return groups_are_apart(input->subquery, below);
}

/* The same of the rows that its window functions see: where the level groups, one a group. */
static bool
groups_are_apart(Query *query, List *expressions)
{
	ListCell *cell;

	if (!level_groups(query))
		return inputs_are_apart(query, expressions);
	if (query->groupingSets)
		return false;
	foreach (cell, query->groupClause)
		if (!list_member(expressions, get_sortgroupclause_expr(lfirst_node(SortGroupClause, cell),
															   query->targetList)))
			return false;
	return true;
}

/* Are no two rows peers in this window? */
static bool
peers_are_impossible(Query *query, WindowClause *window)
{
	return groups_are_apart(
		query,
		get_sortgrouplist_exprs(list_concat_copy(window->orderClause, window->partitionClause),
								query->targetList));
}

/* ---- aggregates of groups ------------------------------------------------------------------------------ */

/*
 * Does the result of an aggregate of a group depend on an order of its rows that is left open? ORDER BY in the call leaves none open if
 * all that goes into the aggregate is among it.
 */
static bool
depends_on_rows(Query *query, Aggref *call)
{
	List *ordered;
	ListCell *cell;

	if (call->agglevelsup != 0 || call->aggkind != AGGKIND_NORMAL || call->aggdistinct ||
		!depends_on_order(call->aggfnoid))
		return false;
	ordered = get_sortgrouplist_exprs(call->aggorder, call->args);
	if (ordered && keyed_order_is_completion(llast(ordered)))
		return false;
	foreach (cell, call->args)
	{
		TargetEntry *argument = lfirst_node(TargetEntry, cell);

		if (!argument->resjunk && !IsA(argument->expr, Const) &&
			!list_member(ordered, argument->expr))
			return !inputs_are_apart(
				query, list_concat(ordered,
								   get_sortgrouplist_exprs(query->groupClause, query->targetList)));
	}
	return false;
}

/* ---- the query ----------------------------------------------------------------------------------------- */

typedef struct PeersContext
{
	Query *query;		  /* of this level */
	Oid function;		  /* found */
	WindowClause *window; /* NULL: it is an aggregate of groups */
} PeersContext;

static bool
find_open_order(Node *node, void *arg)
{
	PeersContext *context = arg;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query *above = context->query;
		bool found;

		context->query = (Query *) node;
		found = query_tree_walker((Query *) node, find_open_order, context, 0);
		context->query = above;
		return found;
	}
	if (IsA(node, WindowFunc))
	{
		WindowFunc *call = (WindowFunc *) node;
		WindowClause *window =
			list_nth_node(WindowClause, context->query->windowClause, call->winref - 1);

		if (!depends_on_peers(context->query, call, window) ||
			peers_are_impossible(context->query, window))
			return false;
		context->function = call->winfnoid;
		context->window = window;
		return true;
	}
	if (IsA(node, Aggref) && depends_on_rows(context->query, (Aggref *) node))
	{
		context->function = ((Aggref *) node)->aggfnoid;
		return true;
	}
	return expression_tree_walker(node, find_open_order, context);
}

void
peers_notice(Query *query)
{
	PeersContext context = {0};
	char *name;

	if (!find_open_order((Node *) query, &context))
		return;
	name = get_func_name(context.function);
	if (context.window == NULL)
		ereport(NOTICE,
				(errmsg("the result of %s depends on the order of a group's rows", name),
				 errdetail("Where the call's ORDER BY leaves that order open, view and batch query "
						   "may differ."),
				 errhint("Write ORDER BY into the call: %s(... ORDER BY ...).", name)));
	else if (list_length(context.window->orderClause) == 1)
		ereport(
			NOTICE,
			(errmsg("the result of %s depends on the order of rows with equal event time", name),
			 errdetail("SQL leaves that order open: where event times repeat, view and batch "
					   "query may differ."),
			 errhint("Add columns to the window's ORDER BY by which a unique index of the stream "
					 "tells such rows apart.")));
	else
		ereport(
			NOTICE,
			(errmsg("the result of %s depends on the order of rows that its ORDER BY leaves equal",
					name),
			 errdetail("SQL leaves that order open: where there are such rows, view and batch "
					   "query may differ."),
			 errhint("There are none if a unique index of the stream is over columns of ORDER BY "
					 "and PARTITION BY that are NOT NULL.")));
}
