/*
 * carried.c: aggregates that carry another function's state: what tidemark.replay and tidemark.accumulate have in common.
 *
 *     accumulate(saved, is_state, counts, NULL::result, function, arguments)
 *
 * The function stands among the call's arguments, a constant, with its own arguments behind it. What it comes to (Carrier) is found
 * once for a call in a plan, and lives as long as that; its state (Carried) lives in the aggregate's context.
 */
#include "tidemark.h"

#include "aggregate/carried.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"

Carrier *
carrier_of_call(FunctionCallInfo fcinfo, int function_place, int first, CarrierMethod method,
				const char *what)
{
	Carrier *carrier = fcinfo->flinfo->fn_extra;
	Oid function;
	const char *why;
	MemoryContext old;

	if (carrier)
		return carrier;
	if (PG_ARGISNULL(function_place))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the function to be %s must not be null", what)));
	function = PG_GETARG_OID(function_place);
	compat_check_function_right(function, GetUserId());
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	carrier = palloc0(sizeof(Carrier));
	carrier->first = first;
	carrier->method = method(fcinfo, carrier, function, &why);
	if (carrier->method == NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("function %s can't be %s: %s", get_func_name(function), what, why)));
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = carrier;
	return carrier;
}

void
carrier_types(FunctionCallInfo fcinfo, const Carrier *carrier, Oid *types)
{
	for (int i = 0; i < carrier->nargs; i++)
		types[i] = get_fn_expr_argtype(fcinfo->flinfo, carrier->first + i);
}

const NullableDatum *
carrier_arguments(FunctionCallInfo fcinfo, Carrier *carrier)
{
	for (int i = 0; i < carrier->nargs; i++)
		carrier->args[i] = fcinfo->args[carrier->first + i];
	return carrier->args;
}

Carried *
carried_of_group(FunctionCallInfo fcinfo, const Carrier *carrier)
{
	MemoryContext context;
	Carried *carried;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	if (!PG_ARGISNULL(0))
		return (Carried *) PG_GETARG_POINTER(0);
	carried = MemoryContextAllocZero(context, sizeof(Carried));
	carried->method = carrier->method;
	carried->context = context;
	return carried;
}

void *
carried_state(Carried *carried)
{
	if (carried->state == NULL)
		carried->state = sliding_new(carried->method, carried->context);
	return carried->state;
}

void
carried_load(Carried *carried, bytea *saved)
{
	carried->state = sliding_load(carried->method, saved, carried->context);
}

Datum
carried_result(FunctionCallInfo fcinfo)
{
	Carried *carried = PG_ARGISNULL(0) ? NULL : (Carried *) PG_GETARG_POINTER(0);
	bool isnull;
	Datum result;

	if (carried == NULL || carried->hidden)
		PG_RETURN_NULL();
	result = sliding_result(carried->method, carried_state(carried), &isnull);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}
