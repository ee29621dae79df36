/*
 * lag.c: lag, and lead where it looks back, as rows come one after the other.
 *
 * Whatever the frame, lag(x, n, default) is the x of the row n rows before the current one, or the current row's default where
 * there is none. n has to be the same in all rows, and not look ahead. A state holds the last n + 1 rows' x.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"

#include "aggregate/row_queue.h"

typedef struct Lag
{
	SlidingAggregate base;
	RowType row;	   /* of one argument */
	KeptType fallback; /* of the default, if there is one */
	int sign;		   /* of n: -1 for lead */
} Lag;

typedef struct LagState
{
	RowQueue rows;
	int64 distance;			/* n; -1: null */
	NullableDatum fallback; /* the newest row's default; kept if it is the result */
} LagState;

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	LagState *lag = MemoryContextAllocZero(context, sizeof(LagState));

	row_queue_init(&lag->rows, context);
	lag->fallback.isnull = true;
	return lag;
}

static void
forget_fallback(Lag *aggregate, LagState *lag)
{
	if (!lag->fallback.isnull)
		kept_value_free(&aggregate->fallback, lag->fallback.value);
	lag->fallback.isnull = true;
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	forget_fallback((Lag *) aggregate, state);
	row_queue_clear(&((LagState *) state)->rows, &((Lag *) aggregate)->row);
	pfree(state);
}

static int64
distance_of(const Lag *aggregate, const NullableDatum *args)
{
	int64 distance;

	if (aggregate->base.nargs == 1)
		return 1;
	if (args[1].isnull)
		return -1;
	distance = (int64) DatumGetInt32(args[1].value) * aggregate->sign;
	if (distance < 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("a window function that looks ahead has no sliding form")));
	return distance;
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	Lag *self = (Lag *) aggregate;
	LagState *lag = state;

	lag->distance = distance_of(self, args);
	while (lag->rows.count > Max(lag->distance, 0))
		row_queue_pop(&lag->rows, &self->row);
	row_queue_push(&lag->rows, &self->row, args);
	forget_fallback(self, lag);
	if (aggregate->nargs == 3 && lag->rows.count <= lag->distance && !args[2].isnull)
	{
		lag->fallback.value = kept_value_copy(&self->fallback, args[2].value, lag->rows.context);
		lag->fallback.isnull = false;
	}
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	elog(ERROR, "a row leaves what looks back by rows");
}

static Datum
result(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	Lag *self = (Lag *) aggregate;
	LagState *lag = state;
	bool there = lag->distance >= 0 && lag->rows.count > lag->distance;
	const NullableDatum *value = there ? row_queue_at(&lag->rows, &self->row, 0) : &lag->fallback;

	*isnull = value->isnull;
	if (*isnull)
		return (Datum) 0;
	return kept_value_copy(&self->row.types[0], value->value, CurrentMemoryContext);
}

/* The default is of the newest row only, and not needed for those that follow. */
static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	return row_queue_write(&((LagState *) state)->rows, &((Lag *) aggregate)->row, buf);
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	row_queue_read(&((LagState *) state)->rows, &((Lag *) aggregate)->row, buf);
}

static const SlidingMethod with_saving = {
	"last rows", 'l', false, true, create, destroy, add, evict, result, save, load,
};
static const SlidingMethod without_saving = {
	"last rows", 'l', false, true, create, destroy, add, evict, result, NULL, NULL,
};

SlidingAggregate *
lag_prepare(const SlidingAggregate *call)
{
	SlidingAggregate value = *call;
	int sign = 1;
	RowType row;
	Lag *lag;

	switch (call->function)
	{
		case F_LAG_ANYELEMENT:
		case F_LAG_ANYELEMENT_INT4:
		case F_LAG_ANYCOMPATIBLE_INT4_ANYCOMPATIBLE:
			break;
		case F_LEAD_ANYELEMENT_INT4:
		case F_LEAD_ANYCOMPATIBLE_INT4_ANYCOMPATIBLE:
			sign = -1;
			break;
		default:
			return NULL;
	}
	value.nargs = 1;
	row_type_init(&row, &value);
	lag = (Lag *) sliding_make(call, sizeof(Lag), row.can_save ? &with_saving : &without_saving);
	lag->row = row;
	lag->sign = sign;
	if (call->nargs == 3)
		kept_type_init(&lag->fallback, call->argument_types[2]);
	return &lag->base;
}
