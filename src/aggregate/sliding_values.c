/*
 * sliding_values.c: first_value, last_value and nth_value over a moving window.
 *
 * For the last value a state holds that one and how many rows there are; the others hold the values
 * of all rows. Nulls count, as they do in PostgreSQL.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "utils/fmgroids.h"

#include "aggregate/row_queue.h"

typedef struct Values
{
	SlidingAggregate base;
	RowType row; /* of one argument */
} Values;

typedef struct ValueState
{
	RowQueue rows; /* of last_value: only the newest */
	int64 count;
	NullableDatum n; /* of nth_value: in the newest row */
} ValueState;

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	ValueState *values = MemoryContextAllocZero(context, sizeof(ValueState));

	row_queue_init(&values->rows, context);
	return values;
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	row_queue_clear(&((ValueState *) state)->rows, &((Values *) aggregate)->row);
	pfree(state);
}

/* If no row is ever evicted: is the one that is wanted there? */
static bool
has_enough(SlidingAggregate *aggregate, ValueState *values)
{
	int32 n = aggregate->nargs == 1 ? 1 : DatumGetInt32(values->n.value);

	return n > 0 && values->rows.count >= n;
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	ValueState *values = state;

	if (aggregate->nargs > 1)
	{
		values->n.isnull = args[1].isnull;
		values->n.value = args[1].isnull ? (Datum) 0 : args[1].value;
	}
	if (aggregate->growing && has_enough(aggregate, values))
		return;
	row_queue_push(&values->rows, &((Values *) aggregate)->row, args);
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	row_queue_pop(&((ValueState *) state)->rows, &((Values *) aggregate)->row);
}

static void
add_last(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	ValueState *values = state;

	row_queue_pop(&values->rows, &((Values *) aggregate)->row);
	row_queue_push(&values->rows, &((Values *) aggregate)->row, args);
	values->count++;
}

static void
evict_last(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	ValueState *values = state;

	if (--values->count == 0)
		row_queue_clear(&values->rows, &((Values *) aggregate)->row);
}

/* The value of the nth row, from 0. */
static Datum
value_at(SlidingAggregate *aggregate, ValueState *values, int64 n, bool *isnull)
{
	RowType *row = &((Values *) aggregate)->row;
	NullableDatum *value;

	*isnull = n >= values->rows.count;
	if (*isnull)
		return (Datum) 0;
	value = row_queue_at(&values->rows, row, n);
	*isnull = value->isnull;
	return *isnull ? (Datum) 0
				   : kept_value_copy(&row->types[0], value->value, CurrentMemoryContext);
}

static Datum
result_first(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	return value_at(aggregate, state, 0, isnull);
}

static Datum
result_nth(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	ValueState *values = state;
	int32 n = DatumGetInt32(values->n.value);

	*isnull = values->rows.count == 0 || values->n.isnull;
	if (*isnull)
		return (Datum) 0;
	if (n <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_ARGUMENT_FOR_NTH_VALUE),
						errmsg("argument of nth_value must be greater than zero")));
	return value_at(aggregate, values, n - 1, isnull);
}

static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	ValueState *values = state;

	pq_sendint64(buf, values->count);
	pq_sendbyte(buf, values->n.isnull);
	pq_sendint32(buf, DatumGetInt32(values->n.value));
	return row_queue_write(&values->rows, &((Values *) aggregate)->row, buf);
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	ValueState *values = state;

	values->count = pq_getmsgint64(buf);
	values->n.isnull = pq_getmsgbyte(buf) != 0;
	values->n.value = Int32GetDatum(pq_getmsgint(buf, 4));
	row_queue_read(&values->rows, &((Values *) aggregate)->row, buf);
}

#define METHODS(name, holds_rows, add, evict, result)                                              \
	{                                                                                              \
		{name, 'q', false, holds_rows, create, destroy, add, evict, result, NULL, NULL},           \
			{name, 'q', false, holds_rows, create, destroy, add, evict, result, save, load},       \
	}

/* Without and with saving. */
static const SlidingMethod first_methods[] = METHODS("queue", true, add, evict, result_first);
static const SlidingMethod last_methods[] =
	METHODS("last value", false, add_last, evict_last, result_first);
static const SlidingMethod nth_methods[] = METHODS("queue", true, add, evict, result_nth);

SlidingAggregate *
sliding_values_prepare(const SlidingAggregate *call)
{
	const SlidingMethod *methods;
	SlidingAggregate value = *call;
	RowType row;
	Values *values;

	switch (call->function)
	{
		case F_FIRST_VALUE:
			methods = first_methods;
			break;
		case F_LAST_VALUE:
			methods = last_methods;
			break;
		case F_NTH_VALUE:
			methods = nth_methods;
			break;
		default:
			return NULL;
	}
	value.nargs = 1;
	row_type_init(&row, &value);
	values = (Values *) sliding_make(call, sizeof(Values), &methods[row.can_save ? 1 : 0]);
	values->row = row;
	return &values->base;
}
