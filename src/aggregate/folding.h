/*
 * folding.h: running any aggregate's functions outside of an executor node.
 */
#ifndef TIDEMARK_AGGREGATE_FOLDING_H
#define TIDEMARK_AGGREGATE_FOLDING_H

#include "nodes/execnodes.h"

#include "aggregate/sliding_method.h"

/* An aggregate's functions for given argument types. */
typedef struct Folding
{
	int nargs;
	Oid collation;
	Oid state_type;
	int16 state_length;
	bool state_by_value;
	bool initial_is_null;
	Datum initial;

	FmgrInfo transition;
	bool has_combine;
	FmgrInfo combine;
	bool has_final;
	FmgrInfo final;
	int final_args; /* the state, and nulls in the place of arguments */
	int16 result_length;
	bool result_by_value;

	WindowAggState *fake; /* what the functions take for their caller */
} Folding;

/* A state of the aggregate. What isn't held by value is in one memory context, the caller's. */
typedef struct Folded
{
	Datum value;
	bool isnull;
	bool untouched; /* no value yet: a strict function takes its first one as the state */
} Folded;

/* Returns false, with *why, for an aggregate that can't be folded; raises errors for missing rights of its owner. */
extern bool folding_init(Folding *folding, const SlidingAggregate *call, const char **why);

extern void folding_begin(Folding *folding, Folded *state, MemoryContext context);
extern void folding_add(Folding *folding, Folded *state, const NullableDatum *args,
						MemoryContext context);

/* Appends the rows that are folded in `newer`, which stays as it is. */
extern void folding_combine(Folding *folding, Folded *state, const Folded *newer,
							MemoryContext context);
extern void folding_copy(Folding *folding, Folded *to, const Folded *from, MemoryContext context);
extern void folding_free(Folding *folding, Folded *state);

/* The result, in CurrentMemoryContext or in the state's. */
extern Datum folding_result(Folding *folding, Folded *state, MemoryContext context, bool *isnull);

#endif
