/*
 * inputs.c: what a level of a query reads, as the columns of a query or table of its own.
 *
 *   SELECT DISTINCT ON (lower(k)) lower(k), x + 1 FROM stream WHERE x > 0 ORDER BY lower(k), t
 *
 *   inputs    t, lower(k), x  FROM stream WHERE x > 0         inputs_query
 *   the rest  SELECT DISTINCT ON (i2) i2, i3 + 1 FROM inputs ORDER BY i2, i1      inputs_read
 *
 * So the level is cut in two: what is below can be kept in a table, and what is above be computed from there.
 */
#include "tidemark.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "view/inputs.h"
#include "view/query_parts.h"

AttrNumber
inputs_find(const List *inputs, const Node *expression)
{
	ListCell *cell;

	foreach (cell, inputs)
		if (equal(lfirst(cell), expression))
			return foreach_current_index(cell) + 1;
	return 0;
}

AttrNumber
inputs_add(List **inputs, Expr *expression)
{
	AttrNumber column = inputs_find(*inputs, (Node *) expression);

	if (column != 0)
		return column;
	*inputs = lappend(*inputs, expression);
	return list_length(*inputs);
}

/* CASE WHEN filter THEN argument END: sum(1 / x) FILTER (WHERE x <> 0) divides by no zero. */
static Expr *
filtered(Expr *argument, Expr *filter)
{
	Node *node = (Node *) argument;
	CaseExpr *choice = makeNode(CaseExpr);
	CaseWhen *when = makeNode(CaseWhen);

	when->expr = filter;
	when->result = argument;
	when->location = -1;
	choice->casetype = exprType(node);
	choice->casecollid = exprCollation(node);
	choice->args = list_make1(when);
	choice->defresult = null_like(node);
	choice->location = -1;
	return &choice->xpr;
}

AttrNumber
inputs_add_argument(List **inputs, Expr *argument, Expr *filter)
{
	if (filter && !IsA(argument, Var) && !IsA(argument, Const))
		argument = filtered(argument, filter);
	return inputs_add(inputs, argument);
}

static bool
add_columns(Node *node, void *arg)
{
	List **inputs = arg;

	if (node == NULL || IsA(node, WindowFunc) || inputs_find(*inputs, node) != 0)
		return false;
	if (IsA(node, Var))
	{
		(void) inputs_add(inputs, (Expr *) node);
		return false;
	}
	return expression_tree_walker(node, add_columns, arg);
}

void
inputs_add_columns(List **inputs, Node *expression)
{
	(void) add_columns(expression, inputs);
}

void
inputs_add_output(List **inputs, const List *targets)
{
	ListCell *cell;

	foreach (cell, targets)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk)
			inputs_add_columns(inputs, (Node *) entry->expr);
	}
}

Query *
inputs_query(Query *level, const List *inputs)
{
	AttrNumber column = 0;
	ListCell *cell;

	level->targetList = level->windowClause = level->distinctClause = level->sortClause = NIL;
	level->hasWindowFuncs = level->hasDistinctOn = level->hasTargetSRFs = false;
	foreach (cell, inputs)
	{
		column++;
		level->targetList =
			lappend(level->targetList, makeTargetEntry((Expr *) copyObject(lfirst(cell)), column,
													   psprintf("i%d", column), false));
	}
	return level;
}

typedef struct ReadContext
{
	const List *inputs;
	int rtindex;
} ReadContext;

static Node *
read_inputs(Node *node, void *arg)
{
	ReadContext *context = arg;
	AttrNumber column;

	if (node == NULL)
		return NULL;
	column = IsA(node, Const) || IsA(node, List) ? 0 : inputs_find(context->inputs, node);
	if (column != 0)
		return (Node *) variable_like(node, context->rtindex, column);
	return expression_tree_mutator(node, read_inputs, arg);
}

Node *
inputs_read(Node *expression, const List *inputs, int rtindex)
{
	ReadContext context = {inputs, rtindex};

	return read_inputs(expression, &context);
}
