/*
 * first_by_order.c: the aggregates tidemark.first and tidemark.last.
 *
 *     first(x ORDER BY t DESC)            the x of the row that comes first in this order, also if it is null
 *     (array_agg(x ORDER BY t DESC))[1]   the same
 *
 * PostgreSQL sorts the rows of an aggregate with ORDER BY, so that the functions keep the first or the last value that they are given. A view that keeps the
 * aggregate's state is given rows in any order. There the aggregate has what they are ordered by as further arguments, and its state is
 * the arguments of the row that is first so far:
 *
 *     first(x, order, o1, ..., on, tie1, ..., tiem)
 *
 * order, a constant array of bigint, has three items for each o: the operator that sorts, the collation, and 1 if nulls come first. Rows that are equal in
 * all o are compared by the images of the ties (images.h). A row that is the same in all of these is as good as the one that is kept, if x is among them.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/sortsupport.h"

#include "aggregate/images.h"
#include "aggregate/sliding_method.h"

/* Arguments of a call with an order. */
enum argument
{
	ARGUMENT_VALUE,
	ARGUMENT_ORDER,
	ARGUMENT_FIRST
};

#define ITEMS_OF_ORDER 3

/* ---------- as aggregates that are given sorted rows ---------- */

typedef struct KeptValue
{
	bool isnull;
	Datum value;
} KeptValue;

PG_FUNCTION_INFO_V1(tidemark_first_step);
PG_FUNCTION_INFO_V1(tidemark_last_step);
PG_FUNCTION_INFO_V1(tidemark_first_result);

static void
keep_value(FunctionCallInfo fcinfo, KeptValue *kept, MemoryContext context)
{
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, 1);
	MemoryContext old;
	int16 length;
	bool by_value;

	get_typlenbyval(type, &length, &by_value);
	if (!by_value && !kept->isnull && kept->value != (Datum) 0)
		pfree(DatumGetPointer(kept->value));
	kept->isnull = PG_ARGISNULL(1);
	if (kept->isnull)
		return;
	old = MemoryContextSwitchTo(context);
	kept->value = length == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(1)))
							   : datumCopy(PG_GETARG_DATUM(1), by_value, length);
	MemoryContextSwitchTo(old);
}

static Datum
step(FunctionCallInfo fcinfo, bool last)
{
	MemoryContext context;
	KeptValue *kept;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	if (!PG_ARGISNULL(0))
	{
		kept = (KeptValue *) PG_GETARG_POINTER(0);
		if (last)
			keep_value(fcinfo, kept, context);
		PG_RETURN_POINTER(kept);
	}
	kept = MemoryContextAllocZero(context, sizeof(KeptValue));
	keep_value(fcinfo, kept, context);
	PG_RETURN_POINTER(kept);
}

/* first_step(state, value) */
Datum
tidemark_first_step(PG_FUNCTION_ARGS)
{
	return step(fcinfo, false);
}

/* last_step(state, value) */
Datum
tidemark_last_step(PG_FUNCTION_ARGS)
{
	return step(fcinfo, true);
}

/* first_result(state, null of the value's type) */
Datum
tidemark_first_result(PG_FUNCTION_ARGS)
{
	KeptValue *kept;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	kept = (KeptValue *) PG_GETARG_POINTER(0);
	if (kept->isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(kept->value);
}

/* ---------- as a method ---------- */

typedef struct FirstByOrder
{
	SlidingAggregate base;
	MemoryContext context; /* where this is */
	bool last;
	KeptType *types;		  /* of all arguments but the order */
	int norder;				  /* once there has been a row */
	SortSupportData *support; /* likewise; NULL: not yet */
	Images images;
} FirstByOrder;

typedef struct FirstState
{
	MemoryContext context;
	bool found;
	Datum *values;
	bool *nulls;
} FirstState;

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	FirstState *self = MemoryContextAllocZero(context, sizeof(FirstState));

	self->context = context;
	self->values = MemoryContextAllocZero(context, sizeof(Datum) * aggregate->nargs);
	self->nulls = MemoryContextAllocZero(context, sizeof(bool) * aggregate->nargs);
	memset(self->nulls, true, aggregate->nargs);
	return self;
}

static void
forget_values(const FirstByOrder *first, FirstState *self)
{
	for (int i = 0; i < first->base.nargs; i++)
	{
		if (!self->nulls[i])
			kept_value_free(&first->types[i], self->values[i]);
		self->nulls[i] = true;
	}
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	FirstState *self = state;

	forget_values((FirstByOrder *) aggregate, self);
	pfree(self->values);
	pfree(self->nulls);
	pfree(self);
}

/* What the call's order says, with the first row. */
static void
read_order(FirstByOrder *first, const NullableDatum *args)
{
	MemoryContext old = MemoryContextSwitchTo(first->context);
	Oid collations[FUNC_MAX_ARGS] = {InvalidOid};
	Datum *items;
	int n;

	if (args[ARGUMENT_ORDER].isnull)
		sliding_bad_bytes();
	deconstruct_array(DatumGetArrayTypeP(args[ARGUMENT_ORDER].value), INT8OID, sizeof(int64),
					  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &items, NULL, &n);
	first->norder = n / ITEMS_OF_ORDER;
	if (n % ITEMS_OF_ORDER != 0 || ARGUMENT_FIRST + first->norder > first->base.nargs)
		sliding_bad_bytes();
	first->support = palloc0(sizeof(SortSupportData) * (first->norder + 1));
	for (int i = 0; i < first->norder; i++)
	{
		SortSupport support = &first->support[i];

		support->ssup_cxt = first->context;
		support->ssup_collation = (Oid) DatumGetInt64(items[i * ITEMS_OF_ORDER + 1]);
		support->ssup_nulls_first = DatumGetInt64(items[i * ITEMS_OF_ORDER + 2]) != 0;
		PrepareSortSupportFromOrderingOp((Oid) DatumGetInt64(items[i * ITEMS_OF_ORDER]), support);
	}
	n = ARGUMENT_FIRST + first->norder;
	first->images =
		images_of_types(first->base.nargs - n, first->base.argument_types + n, collations);
	MemoryContextSwitchTo(old);
}

static int
compare_ties(FirstByOrder *first, const NullableDatum *args, FirstState *self)
{
	int from = ARGUMENT_FIRST + first->norder;
	int n = first->base.nargs - from;
	Datum values[FUNC_MAX_ARGS];
	bool nulls[FUNC_MAX_ARGS];

	for (int i = 0; i < n; i++)
	{
		values[i] = args[from + i].value;
		nulls[i] = args[from + i].isnull;
	}
	return images_compare(&first->images, values, nulls, self->values + from, self->nulls + from);
}

/* Does the row come before the kept one? */
static bool
comes_first(FirstByOrder *first, const NullableDatum *args, FirstState *self)
{
	int result = 0;

	for (int i = 0; i < first->norder && result == 0; i++)
	{
		int argument = ARGUMENT_FIRST + i;

		result = ApplySortComparator(args[argument].value, args[argument].isnull,
									 self->values[argument], self->nulls[argument],
									 &first->support[i]);
	}
	if (result == 0 && first->base.nargs > ARGUMENT_FIRST + first->norder)
		result = compare_ties(first, args, self);
	return first->last ? result > 0 : result < 0;
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	FirstByOrder *first = (FirstByOrder *) aggregate;
	FirstState *self = state;

	if (first->support == NULL)
		read_order(first, args);
	if (self->found && !comes_first(first, args, self))
		return;
	forget_values(first, self);
	self->found = true;
	for (int i = 0; i < aggregate->nargs; i++)
	{
		if (i == ARGUMENT_ORDER || args[i].isnull)
			continue;
		self->values[i] = kept_value_copy(&first->types[i], args[i].value, self->context);
		self->nulls[i] = false;
	}
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	elog(ERROR, "a row leaves what knows the first one only");
}

static Datum
result(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	FirstByOrder *first = (FirstByOrder *) aggregate;
	FirstState *self = state;

	*isnull = self->nulls[ARGUMENT_VALUE];
	return *isnull ? (Datum) 0
				   : kept_value_copy(&first->types[ARGUMENT_VALUE], self->values[ARGUMENT_VALUE],
									 CurrentMemoryContext);
}

static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	FirstByOrder *first = (FirstByOrder *) aggregate;
	FirstState *self = state;

	pq_sendbyte(buf, self->found);
	for (int i = 0; i < aggregate->nargs; i++)
	{
		if (i == ARGUMENT_ORDER)
			continue;
		pq_sendbyte(buf, self->nulls[i]);
		if (!self->nulls[i])
			kept_value_write(&first->types[i], self->values[i], buf);
	}
	return true;
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	FirstByOrder *first = (FirstByOrder *) aggregate;
	FirstState *self = state;

	self->found = pq_getmsgbyte(buf) != 0;
	for (int i = 0; i < aggregate->nargs; i++)
	{
		if (i == ARGUMENT_ORDER || pq_getmsgbyte(buf) != 0)
			continue;
		self->values[i] = kept_value_read(&first->types[i], buf, self->context);
		self->nulls[i] = false;
	}
}

static const SlidingMethod method = {
	"first by order", 'o', false, false, create, destroy, add, evict, result, save, load,
};

static const SlidingMethod method_without_states = {
	"first by order", 'o', false, false, create, destroy, add, evict, result, NULL, NULL,
};

bool
sliding_is_first(Oid function)
{
	const char *name = sliding_own_name(function);

	return name && (strcmp(name, "first") == 0 || strcmp(name, "last") == 0);
}

bool
first_by_order_fits(const SlidingAggregate *call)
{
	return call->growing && call->nargs > ARGUMENT_FIRST && sliding_is_first(call->function) &&
		   call->argument_types[ARGUMENT_ORDER] == INT8ARRAYOID &&
		   call->argument_types[ARGUMENT_VALUE] == call->result_type;
}

SlidingAggregate *
first_by_order_prepare(const SlidingAggregate *call)
{
	FirstByOrder *first;
	bool can_save = true;

	if (!first_by_order_fits(call))
		return NULL;
	first = (FirstByOrder *) sliding_make(call, sizeof(FirstByOrder), &method);
	first->context = CurrentMemoryContext;
	first->last = strcmp(sliding_own_name(call->function), "last") == 0;
	first->types = palloc0(sizeof(KeptType) * call->nargs);
	for (int i = 0; i < call->nargs; i++)
	{
		kept_type_init(&first->types[i], call->argument_types[i]);
		can_save &= i == ARGUMENT_ORDER || first->types[i].can_save;
	}
	if (!can_save)
		first->base.method = &method_without_states;
	return &first->base;
}
