/*
 * running_fold.c: any aggregate over a window that only grows.
 *
 * Where the frame starts at the partition's start, no row ever leaves, and PostgreSQL's own way is
 * right: the aggregate's state is all there is, each row is folded into it, and results are taken
 * in between. The rows aren't kept.
 *
 * A state that isn't held by value has a memory context of its own, because only the aggregate's
 * functions know what they allocate there.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "aggregate/folding.h"

typedef struct RunningFold
{
	SlidingAggregate base;
	Folding folding;
	MemoryContext scratch; /* for what functions leave behind */
} RunningFold;

typedef struct FoldState
{
	MemoryContext context; /* its own, or NULL */
	Folded folded;
} FoldState;

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	Folding *folding = &((RunningFold *) aggregate)->folding;
	FoldState *fold = MemoryContextAllocZero(context, sizeof(FoldState));

	if (!folding->state_by_value || folding->state_type == INTERNALOID)
		fold->context = AllocSetContextCreate(context, "running fold", ALLOCSET_SMALL_SIZES);
	folding_begin(folding, &fold->folded, fold->context);
	return fold;
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	FoldState *fold = state;

	if (fold->context)
		MemoryContextDelete(fold->context);
	pfree(fold);
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	RunningFold *running = (RunningFold *) aggregate;
	FoldState *fold = state;
	MemoryContext old = MemoryContextSwitchTo(running->scratch);

	folding_add(&running->folding, &fold->folded, args, fold->context);
	MemoryContextSwitchTo(old);
	MemoryContextReset(running->scratch);
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	elog(ERROR, "row leaves a window that only grows");
}

static Datum
result(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	RunningFold *running = (RunningFold *) aggregate;
	FoldState *fold = state;
	MemoryContext old = MemoryContextSwitchTo(running->scratch);
	Datum value = folding_result(&running->folding, &fold->folded,
								 fold->context ? fold->context : running->scratch, isnull);

	MemoryContextSwitchTo(old);
	if (!*isnull)
		value = datumCopy(value, running->folding.result_by_value, running->folding.result_length);
	MemoryContextReset(running->scratch);
	return value;
}

static const SlidingMethod method = {
	"running fold", 'f', false, false, create, destroy, add, evict, result, NULL, NULL,
};

SlidingAggregate *
running_fold_prepare(const SlidingAggregate *call, const char **why)
{
	RunningFold *running;
	Folding folding;

	if (!folding_init(&folding, call, why))
		return NULL;
	running = (RunningFold *) sliding_make(call, sizeof(RunningFold), &method);
	running->folding = folding;
	running->scratch =
		AllocSetContextCreate(CurrentMemoryContext, "running fold scratch", ALLOCSET_SMALL_SIZES);
	return &running->base;
}
