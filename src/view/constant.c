/*
 * constant.c: expressions that come to a constant.
 *
 * What a view's rows depend on has to be known when it is declared: the length of a window, the limit of a top-N. So these are
 * folded, with the rights of the view's owner (role_begin), and stable functions are left as they are: they may come to
 * something else tomorrow.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "optimizer/optimizer.h"
#include "view/constant.h"

Const *
constant_of(Node *expression)
{
	Node *folded;

	if (IsA(expression, Var))
		return NULL;
	folded = eval_const_expressions(NULL, copyObject(expression));
	return IsA(folded, Const) && !((Const *) folded)->constisnull ? (Const *) folded : NULL;
}

bool
constant_integer(Node *expression, int64 *value)
{
	Const *constant = constant_of(expression);

	if (constant == NULL)
		return false;
	switch (constant->consttype)
	{
		case INT2OID:
			*value = DatumGetInt16(constant->constvalue);
			return true;
		case INT4OID:
			*value = DatumGetInt32(constant->constvalue);
			return true;
		case INT8OID:
			*value = DatumGetInt64(constant->constvalue);
			return true;
		default:
			return false;
	}
}
