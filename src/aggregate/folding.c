/*
 * folding.c: running any aggregate's functions outside of an executor node.
 *
 * What nodeWindowAgg.c does with an aggregate's transition and final function, and nodeAgg.c with
 * its combine function, for an aggregate of which only the function and its arguments' types are
 * known: the rules for strict functions and for nulls, for who owns a state that isn't held by
 * value, and the memory context that functions ask for by AggCheckCallContext.
 *
 * Aggregates whose final function changes the state can't be folded, since results are asked for
 * in between; PostgreSQL doesn't run those over windows either.
 */
#include "tidemark.h"

#include "access/htup_details.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_proc.h"
#include "parser/parse_agg.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/expandeddatum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "aggregate/folding.h"

/* ---------- the functions ---------- */

static Oid
owner_of(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
set_function(FmgrInfo *info, Oid function, Oid owner, Expr *expression)
{
	compat_check_function_right(function, owner);
	fmgr_info(function, info);
	fmgr_info_set_expr((Node *) expression, info);
}

static void
set_initial(Folding *folding, HeapTuple tuple)
{
	Oid input;
	Oid ioparam;
	char *written;
	Datum value =
		SysCacheGetAttr(AGGFNOID, tuple, Anum_pg_aggregate_agginitval, &folding->initial_is_null);

	if (folding->initial_is_null)
		return;
	getTypeInputInfo(folding->state_type, &input, &ioparam);
	written = TextDatumGetCString(value);
	folding->initial = OidInputFunctionCall(input, written, ioparam, -1);
	pfree(written);
}

static void
set_functions(Folding *folding, const SlidingAggregate *call, Form_pg_aggregate form)
{
	Oid owner = owner_of(call->function);
	Oid *types = call->argument_types;
	Expr *expression;

	build_aggregate_transfn_expr(types, call->nargs, 0, false, folding->state_type, call->collation,
								 form->aggtransfn, InvalidOid, &expression, NULL);
	set_function(&folding->transition, form->aggtransfn, owner, expression);

	folding->has_combine = OidIsValid(form->aggcombinefn);
	if (folding->has_combine)
	{
		build_aggregate_transfn_expr(&folding->state_type, 1, 0, false, folding->state_type,
									 call->collation, form->aggcombinefn, InvalidOid, &expression,
									 NULL);
		set_function(&folding->combine, form->aggcombinefn, owner, expression);
	}

	folding->has_final = OidIsValid(form->aggfinalfn);
	folding->final_args = form->aggfinalextra ? call->nargs + 1 : 1;
	if (folding->has_final)
	{
		build_aggregate_finalfn_expr(types, folding->final_args, folding->state_type,
									 call->result_type, call->collation, form->aggfinalfn,
									 &expression);
		set_function(&folding->final, form->aggfinalfn, owner, expression);
	}
}

bool
folding_init(Folding *folding, const SlidingAggregate *call, const char **why)
{
	HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(call->function));
	Form_pg_aggregate form;

	*why = NULL;
	if (!HeapTupleIsValid(tuple))
	{
		*why = get_func_prokind(call->function) == PROKIND_WINDOW ? "it is a window function"
																  : "it is no aggregate";
		return false;
	}
	form = (Form_pg_aggregate) GETSTRUCT(tuple);
	if (form->aggkind != AGGKIND_NORMAL)
		*why = "it is an ordered-set aggregate";
	else if (form->aggfinalmodify != AGGMODIFY_READ_ONLY)
		*why = "its final function changes its state";
	if (*why == NULL)
	{
		memset(folding, 0, sizeof(*folding));
		folding->nargs = call->nargs;
		folding->collation = call->collation;
		folding->state_type = resolve_aggregate_transtype(call->function, form->aggtranstype,
														  call->argument_types, call->nargs);
		get_typlenbyval(folding->state_type, &folding->state_length, &folding->state_by_value);
		get_typlenbyval(call->result_type, &folding->result_length, &folding->result_by_value);
		set_initial(folding, tuple);
		set_functions(folding, call, form);
		folding->fake = makeNode(WindowAggState);
	}
	ReleaseSysCache(tuple);
	return *why == NULL;
}

/* ---------- states ---------- */

static void
copy_into(Folding *folding, Folded *state, Datum value, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	state->value = datumCopy(value, folding->state_by_value, folding->state_length);
	state->isnull = false;
	MemoryContextSwitchTo(old);
}

void
folding_begin(Folding *folding, Folded *state, MemoryContext context)
{
	state->value = (Datum) 0;
	state->isnull = true;
	state->untouched = folding->initial_is_null;
	if (!folding->initial_is_null)
		copy_into(folding, state, folding->initial, context);
}

void
folding_copy(Folding *folding, Folded *to, const Folded *from, MemoryContext context)
{
	*to = *from;
	if (!from->isnull)
		copy_into(folding, to, from->value, context);
}

static void
free_value(Folding *folding, Datum value)
{
	if (folding->state_by_value)
		return;
	if (DatumIsReadWriteExpandedObject(value, false, folding->state_length))
		DeleteExpandedObject(value);
	else
		pfree(DatumGetPointer(value));
}

void
folding_free(Folding *folding, Folded *state)
{
	if (!state->isnull)
		free_value(folding, state->value);
	state->isnull = true;
	state->value = (Datum) 0;
}

/* Makes what a function returned the state: a copy, unless it is the old one or there already. */
static void
adopt(Folding *folding, Folded *state, Datum value, bool isnull, MemoryContext context)
{
	Folded old = *state;

	if (!folding->state_by_value && !isnull && !old.isnull &&
		DatumGetPointer(value) == DatumGetPointer(old.value))
		return;
	state->isnull = isnull;
	state->value = value;
	if (folding->state_by_value)
		return;
	if (!isnull && !(DatumIsReadWriteExpandedObject(value, false, folding->state_length) &&
					 MemoryContextGetParent(DatumGetEOHP(value)->eoh_context) == context))
		copy_into(folding, state, value, context);
	if (!old.isnull)
		free_value(folding, old.value);
}

/* Calls a transition or combine function, whose arguments behind the state are there. */
static void
advance(Folding *folding, FunctionCallInfo call, FmgrInfo *function, int nargs, Folded *state,
		MemoryContext context)
{
	Datum value;

	InitFunctionCallInfoData(*call, function, nargs, folding->collation, (Node *) folding->fake,
							 NULL);
	call->args[0].value = state->value;
	call->args[0].isnull = state->isnull;
	folding->fake->curaggcontext = context;
	value = FunctionCallInvoke(call);
	adopt(folding, state, value, call->isnull, context);
	state->untouched = false;
}

void
folding_add(Folding *folding, Folded *state, const NullableDatum *args, MemoryContext context)
{
	LOCAL_FCINFO(call, FUNC_MAX_ARGS);

	if (folding->transition.fn_strict)
	{
		for (int i = 0; i < folding->nargs; i++)
			if (args[i].isnull)
				return;
		if (state->untouched)
		{
			copy_into(folding, state, args[0].value, context);
			state->untouched = false;
			return;
		}
		if (state->isnull)
			return;
	}
	for (int i = 0; i < folding->nargs; i++)
		call->args[i + 1] = args[i];
	advance(folding, call, &folding->transition, folding->nargs + 1, state, context);
}

void
folding_combine(Folding *folding, Folded *state, const Folded *newer, MemoryContext context)
{
	LOCAL_FCINFO(call, 2);

	if (folding->combine.fn_strict)
	{
		if (newer->isnull)
			return;
		if (state->untouched)
		{
			copy_into(folding, state, newer->value, context);
			state->untouched = false;
			return;
		}
		if (state->isnull)
			return;
	}
	call->args[1].value = newer->value;
	call->args[1].isnull = newer->isnull;
	advance(folding, call, &folding->combine, 2, state, context);
}

Datum
folding_result(Folding *folding, Folded *state, MemoryContext context, bool *isnull)
{
	LOCAL_FCINFO(call, FUNC_MAX_ARGS);
	bool any_null;
	Datum result;

	*isnull = state->isnull;
	if (!folding->has_final)
		return state->value;

	InitFunctionCallInfoData(*call, &folding->final, folding->final_args, folding->collation,
							 (Node *) folding->fake, NULL);
	call->args[0].value =
		MakeExpandedObjectReadOnly(state->value, state->isnull, folding->state_length);
	call->args[0].isnull = state->isnull;
	any_null = state->isnull;
	for (int i = 1; i < folding->final_args; i++)
	{
		call->args[i].value = (Datum) 0;
		call->args[i].isnull = true;
		any_null = true;
	}
	*isnull = folding->final.fn_strict && any_null;
	if (*isnull)
		return (Datum) 0;
	folding->fake->curaggcontext = context;
	result = FunctionCallInvoke(call);
	*isnull = call->isnull;
	return result;
}
