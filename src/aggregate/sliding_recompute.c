/*
 * sliding_recompute.c: any aggregate over a moving window, computed anew for each result.
 *
 * What remains for aggregates with neither an inverse nor parts that can be combined: the state is
 * the window's rows, and a result is the aggregate over them from scratch. A row costs O(1), a
 * result as much as the window is long, which is also what the results of array_agg and its like
 * are long.
 */
#include "tidemark.h"

#include "utils/datum.h"
#include "utils/memutils.h"

#include "aggregate/folding.h"
#include "aggregate/row_queue.h"

typedef struct Recompute
{
	SlidingAggregate base;
	RowType row;
	Folding folding;
} Recompute;

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	RowQueue *rows = MemoryContextAlloc(context, sizeof(RowQueue));

	row_queue_init(rows, context);
	return rows;
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	row_queue_clear(state, &((Recompute *) aggregate)->row);
	pfree(state);
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	row_queue_push(state, &((Recompute *) aggregate)->row, args);
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	row_queue_pop(state, &((Recompute *) aggregate)->row);
}

/* Folds all rows, in a memory context of its own, which goes with all that functions leave there. */
static Datum
result(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	Recompute *recompute = (Recompute *) aggregate;
	RowQueue *rows = state;
	MemoryContext result_context = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(result_context, "window from scratch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext row_context = AllocSetContextCreate(context, "row", ALLOCSET_DEFAULT_SIZES);
	Folded folded;
	Datum value;

	MemoryContextSwitchTo(row_context);
	folding_begin(&recompute->folding, &folded, context);
	for (int64 i = 0; i < rows->count; i++)
	{
		folding_add(&recompute->folding, &folded, row_queue_at(rows, &recompute->row, i), context);
		MemoryContextReset(row_context);
	}
	value = folding_result(&recompute->folding, &folded, context, isnull);
	MemoryContextSwitchTo(result_context);
	if (!*isnull)
		value =
			datumCopy(value, recompute->folding.result_by_value, recompute->folding.result_length);
	MemoryContextDelete(context);
	return value;
}

static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	return row_queue_write(state, &((Recompute *) aggregate)->row, buf);
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	row_queue_read(state, &((Recompute *) aggregate)->row, buf);
}

static const SlidingMethod with_saving = {
	"recompute", 'r', false, true, create, destroy, add, evict, result, save, load,
};
static const SlidingMethod without_saving = {
	"recompute", 'r', false, true, create, destroy, add, evict, result, NULL, NULL,
};

SlidingAggregate *
sliding_recompute_prepare(const SlidingAggregate *call, const char **why)
{
	Recompute *recompute;
	Folding folding;
	RowType row;

	if (!folding_init(&folding, call, why))
		return NULL;
	row_type_init(&row, call);
	recompute = (Recompute *) sliding_make(
		call, sizeof(Recompute), row.can_save && row.nargs > 0 ? &with_saving : &without_saving);
	recompute->row = row;
	recompute->folding = folding;
	return &recompute->base;
}
