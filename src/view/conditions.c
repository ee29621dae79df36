/*
 * conditions.c: what the reader's conditions say of a view's event time, and of its keys.
 *
 * The planner takes a condition on a view's event time to its materialised rows, and their index, but not below windows. Yet rows after
 * "t <= X" change nothing before X: the tail needn't read them; and where X is not above the frontier, there is no tail. So
 * upper bounds are looked for before planning. Lower ones don't help: a window's state comes from the rows before.
 * Of a view that keeps one row of each key, a reader who names the key may need no tail at all (keyed_answer.c).
 *
 * Only conditions that every row has to meet count: those that WHERE joins by AND. They are comparisons, which are never true
 * of null: so it does no harm where the view is on the side of an outer join that may be missing. What a column is compared with
 * must be the same for all rows of a run: constants, parameters, stable functions of them.
 */
#include "tidemark.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
#include "view/conditions.h"

/* What depends on rows, or can't be evaluated somewhere else. */
static bool
varies(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
		case T_SubLink:
		case T_Aggref:
		case T_WindowFunc:
		case T_GroupingFunc:
		case T_CurrentOfExpr:
			return true;
		case T_Param:
			return ((Param *) node)->paramkind != PARAM_EXTERN;
		default:
			return expression_tree_walker(node, varies, context);
	}
}

typedef struct Sides
{
	Node *column;
	Node *bound;
	Oid operator;
} Sides;

/* Also as a value of a type that its own has the form of: of varchar, as text. */
static bool
is_column(Node *node, int rtindex, AttrNumber column)
{
	Var *var = (Var *) (IsA(node, RelabelType) ? (Node *) ((RelabelType *) node)->arg : node);

	return IsA(var, Var) && var->varno == rtindex && var->varattno == column &&
		   var->varlevelsup == 0;
}

/* The comparison with the column on the left; false if it is none. */
static bool
take_sides(OpExpr *comparison, int rtindex, AttrNumber column, Sides *sides)
{
	Node *left;
	Node *right;

	if (list_length(comparison->args) != 2)
		return false;
	left = linitial(comparison->args);
	right = lsecond(comparison->args);
	*sides = (Sides){left, right, comparison->opno};
	if (!is_column(left, rtindex, column))
		*sides = (Sides){right, left, get_commutator(comparison->opno)};
	return is_column(sides->column, rtindex, column) && OidIsValid(sides->operator);
}

static Expr *
bound_in(Node *condition, int rtindex, AttrNumber column, Oid type)
{
	Oid family = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	Sides sides;
	int strategy;

	if (!IsA(condition, OpExpr) || !take_sides((OpExpr *) condition, rtindex, column, &sides) ||
		exprType(sides.bound) != type)
		return NULL;
	strategy = get_op_opfamily_strategy(sides.operator, family);
	if (strategy != BTLessStrategyNumber && strategy != BTLessEqualStrategyNumber &&
		strategy != BTEqualStrategyNumber)
		return NULL;
	if (varies(sides.bound, NULL) || contain_volatile_functions(sides.bound) ||
		expression_returns_set(sides.bound))
		return NULL;
	return copyObject((Expr *) sides.bound);
}

/* What every row has to meet. */
static List *
conditions_of(Query *query)
{
	List *conditions = NIL;
	ListCell *cell;

	foreach (cell, make_ands_implicit((Expr *) query->jointree->quals))
	{
		Node *condition = lfirst(cell);

		conditions = is_andclause(condition)
						 ? list_concat(conditions, ((BoolExpr *) condition)->args)
						 : lappend(conditions, condition);
	}
	return conditions;
}

Expr *
conditions_upper_bound(Query *query, int rtindex, AttrNumber column, Oid type)
{
	ListCell *cell;

	foreach (cell, conditions_of(query))
	{
		Expr *bound = bound_in(lfirst(cell), rtindex, column, type);

		if (bound)
			return bound;
	}
	return NULL;
}

/* ---- equality ----------------------------------------------------------------------------------- */

/* Is it the same for all rows? */
static bool
is_fixed(Node *node)
{
	return !varies(node, NULL) && !contain_volatile_functions(node);
}

/* "column = something" */
static bool
is_equal_to_one(Node *condition, int rtindex, AttrNumber column, Sides *sides)
{
	return IsA(condition, OpExpr) &&
		   op_mergejoinable(((OpExpr *) condition)->opno,
							exprType(linitial(((OpExpr *) condition)->args))) &&
		   take_sides((OpExpr *) condition, rtindex, column, sides) && is_fixed(sides->bound);
}

/* "column IN (...)" */
static bool
is_equal_to_some(Node *condition, int rtindex, AttrNumber column)
{
	ScalarArrayOpExpr *comparison = (ScalarArrayOpExpr *) condition;

	return IsA(condition, ScalarArrayOpExpr) && comparison->useOr &&
		   is_column(linitial(comparison->args), rtindex, column) &&
		   is_fixed(lsecond(comparison->args));
}

bool
conditions_are_equal(Query *query, int rtindex, AttrNumber column)
{
	Sides sides;
	ListCell *cell;

	foreach (cell, conditions_of(query))
		if (is_equal_to_one(lfirst(cell), rtindex, column, &sides) ||
			is_equal_to_some(lfirst(cell), rtindex, column))
			return true;
	return false;
}

/* The variable in the place of the column, as a condition has that; NULL: it is of another type. */
static Expr *
in_place_of(Node *column, Var *variable)
{
	RelabelType *relabelled = (RelabelType *) column;

	if (!IsA(column, RelabelType))
		return exprType(column) == variable->vartype ? &variable->xpr : NULL;
	if (exprType((Node *) relabelled->arg) != variable->vartype)
		return NULL;
	relabelled = copyObject(relabelled);
	relabelled->arg = &variable->xpr;
	return &relabelled->xpr;
}

Expr *
conditions_equality(Query *query, int rtindex, AttrNumber column, Oid equality, Var *variable)
{
	ListCell *cell;

	foreach (cell, conditions_of(query))
	{
		Node *condition = lfirst(cell);
		Sides sides;
		Expr *left;
		Expr *equal;

		if (!is_equal_to_one(condition, rtindex, column, &sides) ||
			!equality_ops_are_compatible(sides.operator, equality) ||
			(left = in_place_of(sides.column, variable)) == NULL ||
			((OpExpr *) condition)->inputcollid != variable->varcollid)
			continue;
		equal = make_opclause(sides.operator, BOOLOID, false, left,
							  copyObject((Expr *) sides.bound), InvalidOid, variable->varcollid);
		set_opfuncid((OpExpr *) equal);
		return equal;
	}
	return NULL;
}
