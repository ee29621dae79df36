/*
 * columns.c: which columns of a subquery does a query use?
 *
 * What a query doesn't ask for needn't be computed: count(*) of a view with windows is the count of the rows that go into
 * them. PostgreSQL's planner drops columns that are not used, too; but it looks after the tail has been
 * built, and knows nothing of the lookback that a column that was dropped would have needed.
 *
 * A column counts as used as soon as there is any doubt: by a reference anywhere in the query, also from subqueries in it, through
 * a join's columns, or to the whole row; by set operations, which compare all columns.
 */
#include "tidemark.h"

#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "view/columns.h"
#include "view/slice.h"

Columns *
columns_all(void)
{
	return bms_make_singleton(0);
}

bool
columns_has(const Columns *columns, int column)
{
	return bms_is_member(0, columns) || bms_is_member(column, columns);
}

/* ---- references --------------------------------------------------------------------------------- */

typedef struct References
{
	Query *query; /* that has the entry */
	int rtindex;
	int depth; /* of what is walked, below the query */
	Columns *used;
} References;

static bool find_references(Node *node, void *arg);

/* A column of a join is what stands for it in the join's entry; its whole row is all of them. */
static void
use_join_column(References *references, RangeTblEntry *join, AttrNumber column)
{
	References above = *references;

	above.depth = 0;
	if (column > 0)
		(void) find_references(list_nth(join->joinaliasvars, column - 1), &above);
	else
		(void) find_references((Node *) join->joinaliasvars, &above);
	references->used = above.used;
}

static void
use_variable(References *references, Var *var)
{
	RangeTblEntry *entry;

	if (var->varlevelsup != references->depth)
		return;
	if (var->varno == references->rtindex)
	{
		references->used = bms_add_member(references->used, Max(var->varattno, 0));
		return;
	}
	if (var->varno > list_length(references->query->rtable))
		return;
	entry = rt_fetch(var->varno, references->query->rtable);
	if (entry->rtekind == RTE_JOIN)
		use_join_column(references, entry, var->varattno);
}

static bool
find_references(Node *node, void *arg)
{
	References *references = arg;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
		use_variable(references, (Var *) node);
	else if (IsA(node, Query))
	{
		references->depth++;
		(void) query_tree_walker((Query *) node, find_references, arg, QTW_IGNORE_JOINALIASES);
		references->depth--;
	}
	else
		return expression_tree_walker(node, find_references, arg);
	return false;
}

/* Must the query compute this column whether it is wanted or not? */
static bool
is_needed(Query *query, TargetEntry *entry, const Columns *wanted)
{
	return entry->resjunk || entry->ressortgroupref != 0 || columns_has(wanted, entry->resno) ||
		   query->commandType != CMD_SELECT || query->setOperations != NULL ||
		   query->hasTargetSRFs || contain_volatile_functions((Node *) entry->expr);
}

Columns *
columns_used(Query *query, int rtindex, const Columns *wanted)
{
	References references = {.query = query, .rtindex = rtindex};
	Query needed = *query;
	ListCell *cell;

	if (query->setOperations)
		return columns_all();
	needed.targetList = NIL;
	foreach (cell, query->targetList)
		if (is_needed(query, lfirst_node(TargetEntry, cell), wanted))
			needed.targetList = lappend(needed.targetList, lfirst(cell));
	(void) query_tree_walker(&needed, find_references, &references, QTW_IGNORE_JOINALIASES);
	return references.used;
}

/* ---- pruning -------------------------------------------------------------------------------------- */

static bool
has_window_function(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return IsA(node, WindowFunc) || expression_tree_walker(node, has_window_function, context);
}

void
columns_prune(Query *query, const Columns *wanted)
{
	Query *below = shape_below(query);
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!is_needed(query, entry, wanted))
			entry->expr = null_like((Node *) entry->expr);
	}
	if (query->hasWindowFuncs && !has_window_function((Node *) query->targetList, NULL))
	{
		query->hasWindowFuncs = false;
		query->windowClause = NIL;
	}
	if (below)
		columns_prune(below, columns_used(query, shape_input(query), columns_all()));
}
