/*
 * two_stacks.c: aggregates over a moving window that have no inverse, but whose states can be
 * combined.
 *
 * A queue made of two stacks: new rows are folded into one state, `back`, and kept; old rows are
 * gone, but for the states of what follows each of them, up to the newest of the old:
 *
 *     oldest                                  newest
 *     | a   b   c   d |  | e   f   g |
 *       front            back: rows e f g
 *       abcd bcd cd d           state efg          result: abcd combined with efg
 *
 * An eviction drops the first state in front. When there is none left, the rows at the back become
 * the new front: from the newest to the oldest, each row's own state combined with the one after.
 * So every row is folded twice and combined once, in order: O(1) a row, and as many states as the
 * window has rows. (Known from functional queues; for aggregation: Tangwongsan, Hirzel, Schneider,
 * "Low-Latency Sliding-Window Aggregation in Worst-Case Constant Time", DEBS 2017, section 2.)
 *
 * Not for states whose rounding depends on how rows are combined (floats), for the result has to be
 * the one over the rows from first to last; nor for states that only their functions know
 * (internal), of which that can't be told, and which may grow with their rows.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "aggregate/folding.h"
#include "aggregate/row_queue.h"

typedef struct TwoStacks
{
	SlidingAggregate base;
	RowType row;
	Folding folding;
	MemoryContext scratch; /* for what functions leave behind */
} TwoStacks;

typedef struct Stacks
{
	MemoryContext context;
	Folded *front; /* the last one is of all rows in front */
	int64 front_count;
	RowQueue rows; /* at the back */
	Folded back;
} Stacks;

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	Stacks *stacks = MemoryContextAllocZero(context, sizeof(Stacks));

	stacks->context = context;
	row_queue_init(&stacks->rows, context);
	folding_begin(&((TwoStacks *) aggregate)->folding, &stacks->back, context);
	return stacks;
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	TwoStacks *two = (TwoStacks *) aggregate;
	Stacks *stacks = state;

	for (int64 i = 0; i < stacks->front_count; i++)
		folding_free(&two->folding, &stacks->front[i]);
	if (stacks->front)
		pfree(stacks->front);
	row_queue_clear(&stacks->rows, &two->row);
	folding_free(&two->folding, &stacks->back);
	pfree(stacks);
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	TwoStacks *two = (TwoStacks *) aggregate;
	Stacks *stacks = state;
	MemoryContext old = MemoryContextSwitchTo(two->scratch);

	row_queue_push(&stacks->rows, &two->row, args);
	folding_add(&two->folding, &stacks->back, args, stacks->context);
	MemoryContextSwitchTo(old);
	MemoryContextReset(two->scratch);
}

/* Makes the rows at the back the new front, which is empty. */
static void
turn_over(TwoStacks *two, Stacks *stacks)
{
	int64 count = stacks->rows.count;
	Folded *front = MemoryContextAllocHuge(stacks->context, sizeof(Folded) * Max(count, 1));
	MemoryContext old = MemoryContextSwitchTo(two->scratch);

	if (stacks->front)
		pfree(stacks->front);
	stacks->front = front;
	for (int64 i = 0; i < count; i++)
	{
		NullableDatum *row = row_queue_at(&stacks->rows, &two->row, count - 1 - i);

		folding_begin(&two->folding, &front[i], stacks->context);
		folding_add(&two->folding, &front[i], row, stacks->context);
		if (i > 0)
			folding_combine(&two->folding, &front[i], &front[i - 1], stacks->context);
		stacks->front_count++;
		MemoryContextReset(two->scratch);
	}
	MemoryContextSwitchTo(old);

	row_queue_clear(&stacks->rows, &two->row);
	folding_free(&two->folding, &stacks->back);
	folding_begin(&two->folding, &stacks->back, stacks->context);
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	TwoStacks *two = (TwoStacks *) aggregate;
	Stacks *stacks = state;

	if (stacks->front_count == 0)
		turn_over(two, stacks);
	if (stacks->front_count > 0)
		folding_free(&two->folding, &stacks->front[--stacks->front_count]);
	if (stacks->front_count == 0 && stacks->front)
	{
		pfree(stacks->front);
		stacks->front = NULL;
	}
}

static Datum
result(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	TwoStacks *two = (TwoStacks *) aggregate;
	Stacks *stacks = state;
	MemoryContext old = MemoryContextSwitchTo(two->scratch);
	Folded all = stacks->back;
	Datum value;

	if (stacks->front_count > 0)
	{
		folding_copy(&two->folding, &all, &stacks->front[stacks->front_count - 1], two->scratch);
		if (stacks->rows.count > 0)
			folding_combine(&two->folding, &all, &stacks->back, two->scratch);
	}
	value = folding_result(&two->folding, &all, two->scratch, isnull);
	MemoryContextSwitchTo(old);
	if (!*isnull)
		value = datumCopy(value, two->folding.result_by_value, two->folding.result_length);
	MemoryContextReset(two->scratch);
	return value;
}

static const SlidingMethod method = {
	"two stacks", 's', true, true, create, destroy, add, evict, result, NULL, NULL,
};

/* For aggregates whose result over no rows isn't null, see sliding_functions.c. */
static const SlidingMethod method_not_for_windowagg = {
	"two stacks", 's', false, true, create, destroy, add, evict, result, NULL, NULL,
};

static bool
combines_exactly(const Folding *folding)
{
	Oid type = getBaseType(folding->state_type);
	Oid element = get_element_type(type);

	if (!folding->has_combine || type == INTERNALOID)
		return false;
	if (OidIsValid(element))
		type = getBaseType(element);
	return type != FLOAT8OID && type != FLOAT4OID && !type_is_rowtype(type);
}

SlidingAggregate *
two_stacks_prepare(const SlidingAggregate *call)
{
	TwoStacks *two;
	Folding folding;
	const char *why;

	if (!folding_init(&folding, call, &why) || !combines_exactly(&folding))
		return NULL;
	two = (TwoStacks *) sliding_make(call, sizeof(TwoStacks),
									 folding.initial_is_null &&
											 (!folding.has_final || folding.final.fn_strict)
										 ? &method
										 : &method_not_for_windowagg);
	two->folding = folding;
	row_type_init(&two->row, call);
	two->scratch = AllocSetContextCreate(CurrentMemoryContext, "two stacks", ALLOCSET_SMALL_SIZES);
	return &two->base;
}
