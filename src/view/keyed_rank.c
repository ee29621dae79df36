/*
 * keyed_rank.c: how many rows of each key a WHERE lets through by their number.
 *
 *   SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY t) - 1 AS rn FROM stream) r WHERE rn < 3        the first 3
 *
 * People and programs write that in many ways: = 1, <= n, BETWEEN 1 AND n, IN (1, 2), rn - 1 = 0, the comparison levels above
 * the function, or the function in an expression. Columns that are the rank plus a constant are followed from level to level,
 * and each condition that WHERE joins by AND may bound them from above. Only that bound is taken: the condition itself stays
 * where it is, so what else it says (rn = 2) holds too.
 */
#include "tidemark.h"

#include "access/stratnum.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "view/constant.h"
#include "view/keyed_rank.h"
#include "view/shape.h"

/* A column that is the rank plus a constant. */
typedef struct RankColumn
{
	AttrNumber column;
	int64 offset;
} RankColumn;

/* What an expression at a level may be made of. */
typedef struct RankContext
{
	int rtindex;
	const List *columns; /* of RankColumn, of that entry */
} RankContext;

/* ---- the function ------------------------------------------------------------------------------- */

typedef struct FunctionContext
{
	WindowFunc *found;
	bool others;
} FunctionContext;

static bool
find_function(Node *node, void *arg)
{
	FunctionContext *context = arg;

	if (node == NULL)
		return false;
	if (!IsA(node, WindowFunc))
		return expression_tree_walker(node, find_function, arg);
	if (context->found && !equal(context->found, node))
		context->others = true;
	context->found = (WindowFunc *) node;
	return context->others;
}

WindowFunc *
keyed_rank_function(Query *level)
{
	FunctionContext context = {0};

	if (!level->hasWindowFuncs)
		return NULL;
	(void) expression_tree_walker((Node *) level->targetList, find_function, &context);
	if (context.others || context.found == NULL)
		return NULL;
	switch (context.found->winfnoid)
	{
		case F_ROW_NUMBER:
		case F_RANK_:
		case F_DENSE_RANK_:
			return context.found;
		default:
			return NULL;
	}
}

/* ---- expressions -------------------------------------------------------------------------------- */

static bool rank_plus(Node *node, const RankContext *context, int64 *offset);

static bool
rank_of_column(const Var *var, const RankContext *context, int64 *offset)
{
	ListCell *cell;

	if (var->varlevelsup != 0 || var->varno != context->rtindex)
		return false;
	foreach (cell, context->columns)
	{
		RankColumn *column = lfirst(cell);

		if (column->column == var->varattno)
		{
			*offset = column->offset;
			return true;
		}
	}
	return false;
}

/* rank + c, c + rank, rank - c */
static bool
rank_of_sum(Oid function, List *arguments, const RankContext *context, int64 *offset)
{
	bool plus;
	int64 constant;

	switch (function)
	{
		case F_INT8PL:
		case F_INT84PL:
		case F_INT48PL:
		case F_INT82PL:
		case F_INT28PL:
		case F_INT4PL:
			plus = true;
			break;
		case F_INT8MI:
		case F_INT84MI:
		case F_INT82MI:
		case F_INT4MI:
			plus = false;
			break;
		default:
			return false;
	}
	if (constant_integer(lsecond(arguments), &constant) &&
		rank_plus(linitial(arguments), context, offset))
	{
		*offset += plus ? constant : -constant;
		return constant > -PG_INT32_MAX && constant < PG_INT32_MAX;
	}
	if (plus && constant_integer(linitial(arguments), &constant) &&
		rank_plus(lsecond(arguments), context, offset))
	{
		*offset += constant;
		return constant > -PG_INT32_MAX && constant < PG_INT32_MAX;
	}
	return false;
}

/* Is the expression the rank plus a constant? */
static bool
rank_plus(Node *node, const RankContext *context, int64 *offset)
{
	if (IsA(node, WindowFunc))
	{
		*offset = 0;
		return true;
	}
	if (IsA(node, Var))
		return rank_of_column((Var *) node, context, offset);
	if (IsA(node, OpExpr) && list_length(((OpExpr *) node)->args) == 2)
		return rank_of_sum(get_opcode(((OpExpr *) node)->opno), ((OpExpr *) node)->args, context,
						   offset);
	if (IsA(node, FuncExpr) && list_length(((FuncExpr *) node)->args) == 1)
	{
		FuncExpr *cast = (FuncExpr *) node;

		return (cast->funcid == F_INT4_INT8 || cast->funcid == F_INT8_INT4) &&
			   rank_plus(linitial(cast->args), context, offset);
	}
	return false;
}

/* ---- conditions --------------------------------------------------------------------------------- */

/* "side operator constant", the rank on the left. */
static bool
limit_of_sides(Oid operator_oid, Node *side, Node *constant, const RankContext *context,
			   int64 *limit)
{
	int64 offset;
	int64 value;

	if (!OidIsValid(operator_oid) || !constant_integer(constant, &value) ||
		!rank_plus(side, context, &offset))
		return false;
	value = Min(Max(value, -PG_INT32_MAX), PG_INT64_MAX / 2);
	switch (get_op_opfamily_strategy(operator_oid, INTEGER_BTREE_FAM_OID))
	{
		case BTLessStrategyNumber:
			*limit = value - offset - 1;
			return true;
		case BTLessEqualStrategyNumber:
		case BTEqualStrategyNumber:
			*limit = value - offset;
			return true;
		default:
			return false;
	}
}

/* rank IN (1, 2) */
static bool
limit_of_array(const ScalarArrayOpExpr *in, const RankContext *context, int64 *limit)
{
	Node *array = eval_const_expressions(NULL, copyObject(lsecond(in->args)));
	Datum *values;
	bool *nulls;
	int n;
	int64 offset;
	bool found = false;

	if (!in->useOr || !IsA(array, Const) || ((Const *) array)->constisnull ||
		get_op_opfamily_strategy(in->opno, INTEGER_BTREE_FAM_OID) != BTEqualStrategyNumber ||
		!rank_plus(linitial(in->args), context, &offset))
		return false;
	if (((Const *) array)->consttype == INT8ARRAYOID)
		deconstruct_array(DatumGetArrayTypeP(((Const *) array)->constvalue), INT8OID, sizeof(int64),
						  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values, &nulls, &n);
	else if (((Const *) array)->consttype == INT4ARRAYOID)
		deconstruct_array(DatumGetArrayTypeP(((Const *) array)->constvalue), INT4OID, sizeof(int32),
						  true, TYPALIGN_INT, &values, &nulls, &n);
	else
		return false;
	for (int i = 0; i < n; i++)
	{
		int64 value = ((Const *) array)->consttype == INT8ARRAYOID ? DatumGetInt64(values[i])
																   : DatumGetInt32(values[i]);

		if (nulls[i])
			continue;
		*limit = found ? Max(*limit, value - offset) : value - offset;
		found = true;
	}
	return found;
}

static bool limit_of_condition(Node *condition, const RankContext *context, int64 *limit);

/* All have to hold: the least limit. Or one of them: the greatest, if each has one. */
static bool
limit_of_bool(const BoolExpr *condition, const RankContext *context, int64 *limit)
{
	bool found = false;
	ListCell *cell;

	if (condition->boolop == NOT_EXPR)
		return false;
	foreach (cell, condition->args)
	{
		int64 one;

		if (!limit_of_condition(lfirst(cell), context, &one))
		{
			if (condition->boolop == OR_EXPR)
				return false;
			continue;
		}
		if (!found)
			*limit = one;
		else
			*limit = condition->boolop == OR_EXPR ? Max(*limit, one) : Min(*limit, one);
		found = true;
	}
	return found;
}

static bool
limit_of_condition(Node *condition, const RankContext *context, int64 *limit)
{
	if (condition == NULL)
		return false;
	if (IsA(condition, List))
		return limit_of_condition((Node *) make_ands_explicit((List *) condition), context, limit);
	if (IsA(condition, BoolExpr))
		return limit_of_bool((BoolExpr *) condition, context, limit);
	if (IsA(condition, ScalarArrayOpExpr))
		return limit_of_array((ScalarArrayOpExpr *) condition, context, limit);
	if (IsA(condition, OpExpr) && list_length(((OpExpr *) condition)->args) == 2)
	{
		OpExpr *comparison = (OpExpr *) condition;

		return limit_of_sides(comparison->opno, linitial(comparison->args),
							  lsecond(comparison->args), context, limit) ||
			   limit_of_sides(get_commutator(comparison->opno), lsecond(comparison->args),
							  linitial(comparison->args), context, limit);
	}
	return false;
}

/* ---- levels ------------------------------------------------------------------------------------- */

/* The columns of the level's output that are the rank plus a constant. */
static List *
rank_columns(Query *level, const RankContext *context)
{
	List *columns = NIL;
	ListCell *cell;

	foreach (cell, level->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		int64 offset;
		RankColumn *column;

		if (entry->resjunk || !rank_plus((Node *) entry->expr, context, &offset))
			continue;
		column = palloc(sizeof(RankColumn));
		column->column = entry->resno;
		column->offset = offset;
		columns = lappend(columns, column);
	}
	return columns;
}

bool
keyed_rank_limit(Query *level, const List *ancestors, int64 *limit)
{
	RankContext context = {0};
	bool found = false;
	ListCell *cell;

	context.columns = rank_columns(level, &context);
	foreach (cell, ancestors)
	{
		Query *above = lfirst_node(Query, cell);
		int64 one;

		context.rtindex = shape_input(above);
		if (limit_of_condition(above->jointree->quals, &context, &one))
		{
			*limit = found ? Min(*limit, one) : one;
			found = true;
		}
		if (above->hasWindowFuncs || above->hasTargetSRFs)
			break;
		context.columns = rank_columns(above, &context);
	}
	return found;
}
