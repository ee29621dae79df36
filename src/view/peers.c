/*
 * peers.c: results that depend on an order of rows that SQL leaves open.
 *
 * Rows that a window's ORDER BY leaves equal, its peers, come in any order. Where a result depends on it, the batch query
 * itself may return one thing today and another tomorrow, and a view can't be equal to both. That is said when the view is
 * declared. It depends on it
 *
 *   - where the frame is counted in rows (ROWS, row_number, lag): which rows are in it;
 *   - in any frame, of functions that tell the order of their input: array_agg, first_value, a user's aggregate.
 *
 * It does not where no rows are equal: a unique index of the stream is among the columns of ORDER BY and PARTITION BY.
 */
#include "tidemark.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/transam.h"
#include "aggregate/planner.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
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

/* Does the result of this call depend on the order of its window's peers? */
static bool
depends_on_peers(WindowFunc *call, WindowClause *window)
{
	int frame = window->frameOptions;

	switch (call->winfnoid)
	{
		case F_RANK_:
		case F_DENSE_RANK_:
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

/* The stream's column that an expression is, as it stands; 0: none, or rows of the stream come several times. */
static AttrNumber
column_of_stream(Query *query, Node *node)
{
	Var *var = (Var *) node;
	RangeTblEntry *input;

	if (!IsA(node, Var) || var->varlevelsup != 0 || var->varattno <= 0)
		return 0;
	input = rt_fetch(var->varno, query->rtable);
	if (input->rtekind == RTE_RELATION)
		return var->varattno;
	if (input->rtekind != RTE_SUBQUERY || input->subquery->hasTargetSRFs)
		return 0;
	return column_of_stream(
		input->subquery,
		(Node *) get_tle_by_resno(input->subquery->targetList, var->varattno)->expr);
}

/* The stream's columns that the window's ORDER BY and PARTITION BY have. */
static Bitmapset *
columns_of_window(Query *query, WindowClause *window)
{
	List *clauses = list_concat_copy(window->orderClause, window->partitionClause);
	Bitmapset *columns = NULL;
	ListCell *cell;

	foreach (cell, clauses)
	{
		TargetEntry *entry =
			get_sortgroupclause_tle(lfirst_node(SortGroupClause, cell), query->targetList);

		columns = bms_add_member(columns, column_of_stream(query, (Node *) entry->expr));
	}
	return columns;
}

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

/* Does an index of the stream see to it that no two rows are peers in this window? */
static bool
peers_are_impossible(Query *query, WindowClause *window, Oid stream)
{
	Bitmapset *columns = columns_of_window(query, window);
	Relation rel = table_open(stream, AccessShareLock);
	bool impossible = false;
	ListCell *cell;

	foreach (cell, RelationGetIndexList(rel))
		impossible |= index_keeps_apart(rel, lfirst_oid(cell), columns);
	table_close(rel, AccessShareLock);
	return impossible;
}

/* ---- the query ----------------------------------------------------------------------------------------- */

typedef struct PeersContext
{
	Query *query; /* of this level */
	Oid stream;
	WindowFunc *call; /* found */
	WindowClause *window;
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

		if (!depends_on_peers(call, window) ||
			peers_are_impossible(context->query, window, context->stream))
			return false;
		context->call = call;
		context->window = window;
		return true;
	}
	return expression_tree_walker(node, find_open_order, context);
}

void
peers_notice(Query *query, const Shape *shape)
{
	PeersContext context = {.stream = shape->stream.relid};
	char *name;

	if (!find_open_order((Node *) query, &context))
		return;
	name = get_func_name(context.call->winfnoid);
	if (list_length(context.window->orderClause) == 1)
		ereport(
			NOTICE,
			(errmsg("the result of %s depends on the order of rows with equal event time", name),
			 errdetail("SQL leaves that order open: where event times repeat, view and batch "
					   "query may differ.")));
	else
		ereport(
			NOTICE,
			(errmsg("the result of %s depends on the order of rows that its ORDER BY leaves equal",
					name),
			 errdetail("SQL leaves that order open: where there are such rows, view and batch "
					   "query may differ."),
			 errhint("A unique index over columns of ORDER BY and PARTITION BY keeps them out.")));
}
