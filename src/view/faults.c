/*
 * faults.c: calls that would fail on every row.
 *
 *   SELECT ... FROM stream, tidemark.hop(day, '5 s', '1 min') GROUP BY ...        windows of dates are whole days
 *
 * A query with such a call can be declared as a view, and is well as long as there are no rows. A continuous view would fail with the first one,
 * in its readers and in the maintainer: so it is refused. What is looked at are the arguments that are constants of the functions by which
 * people say windows.
 */
#include "tidemark.h"

#include "aggregate/sliding.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "parser/scansup.h"
#include "view/constant.h"
#include "view/event_windows.h"
#include "view/faults.h"

/* ---- functions of the event time ------------------------------------------------------------------------ */

static void
check_bin(Node *stride, Shape *shape)
{
	Const *constant = constant_of(stride);
	int64 length;

	if (constant == NULL)
		return;
	if (DatumGetIntervalP(constant->constvalue)->month != 0)
		shape_refuse(
			shape, "date_bin has no windows of months or years",
			"A month has no fixed length; group by date_trunc('month', ...) for windows of "
			"months.");
	else if (interval_length(DatumGetIntervalP(constant->constvalue), &length) && length <= 0)
		shape_refuse(shape, "the length of date_bin's windows must be greater than zero", NULL);
}

static void
check_trunc(Node *unit, Shape *shape)
{
	Const *constant = constant_of(unit);
	char *name;
	int value;

	if (constant == NULL)
		return;
	name = TextDatumGetCString(constant->constvalue);
	name = downcase_truncate_identifier(name, strlen(name), false);
	if (DecodeUnits(0, name, &value) != UNITS)
		shape_refuse(shape, psprintf("date_trunc knows no unit \"%s\"", name), NULL);
}

static void
check_windows(const FuncExpr *call, bool cumulates, Shape *shape)
{
	Const *step = constant_of(lsecond(call->args));
	Const *size = constant_of(lthird(call->args));
	char *hint;
	char *fault;

	if (step == NULL || size == NULL)
		return;
	fault = event_windows_fault(exprType(linitial(call->args)), cumulates, step->constvalue,
								size->constvalue, &hint);
	if (fault)
		shape_refuse(shape, fault, hint);
}

static void
check_function(FuncExpr *call, Shape *shape)
{
	bool cumulates;
	FuncExpr *windows;

	switch (call->funcid)
	{
		case F_DATE_BIN_INTERVAL_TIMESTAMP_TIMESTAMP:
		case F_DATE_BIN_INTERVAL_TIMESTAMPTZ_TIMESTAMPTZ:
			check_bin(linitial(call->args), shape);
			break;
		case F_DATE_TRUNC_TEXT_TIMESTAMP:
			check_trunc(linitial(call->args), shape);
			break;
		default:
			windows = event_windows_call((Node *) call, &cumulates);
			if (windows)
				check_windows(windows, cumulates, shape);
			break;
	}
}

/* ---- window functions --------------------------------------------------------------------------------------- */

static void
check_positive(const WindowFunc *call, Node *argument, Shape *shape)
{
	int64 number;

	if (constant_integer(argument, &number) && number <= 0)
		shape_refuse(shape,
					 psprintf("the number that %s is given must be greater than zero",
							  get_func_name(call->winfnoid)),
					 NULL);
}

static void
check_window_function(const WindowFunc *call, Shape *shape)
{
	Const *gap;
	char *hint;
	char *fault;

	if (call->winfnoid == F_NTH_VALUE)
		check_positive(call, lsecond(call->args), shape);
	else if (call->winfnoid == F_NTILE)
		check_positive(call, linitial(call->args), shape);
	else if (sliding_is_session(call->winfnoid))
	{
		gap = constant_of(lsecond(call->args));
		fault = gap ? session_fault(exprType(linitial(call->args)), gap->constvalue, &hint) : NULL;
		if (fault)
			shape_refuse(shape, fault, hint);
	}
}

static bool
check_walker(Node *node, void *context)
{
	Shape *shape = context;

	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr))
		check_function((FuncExpr *) node, shape);
	else if (IsA(node, WindowFunc))
		check_window_function((WindowFunc *) node, shape);
	if (shape->refusal)
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, check_walker, context, 0);
	return expression_tree_walker(node, check_walker, context);
}

void
faults_refuse(Query *query, Shape *shape)
{
	(void) query_tree_walker(query, check_walker, shape, 0);
}
