/*
 * carried.h: aggregates that carry another function's state: what stands in a call of them, and what they keep.
 */
#ifndef TIDEMARK_AGGREGATE_CARRIED_H
#define TIDEMARK_AGGREGATE_CARRIED_H

#include "fmgr.h"

#include "aggregate/sliding.h"

/* What a call in a plan keeps: the function that it carries, and where its arguments stand. */
typedef struct Carrier
{
	SlidingAggregate *method;
	int first; /* argument of the call that is the function's first */
	int nargs;
	NullableDatum args[FUNC_MAX_ARGS]; /* of one row */
} Carrier;

/*
 * How the function is run: sets carrier->nargs and returns its method for the arguments' types; NULL, with the reason, if there is no
 * way.
 */
typedef SlidingAggregate *(*CarrierMethod)(FunctionCallInfo fcinfo, Carrier *carrier, Oid function,
										   const char **why);

/*
 * The carrier of this call, made when it is called first: the function stands at that place, its arguments from `first` on. Whoever calls needs the
 * right to execute it. `what` says in errors what is done with it: "replayed".
 */
extern Carrier *carrier_of_call(FunctionCallInfo fcinfo, int function, int first,
								CarrierMethod method, const char *what);

/* The types of the function's arguments in the call. */
extern void carrier_types(FunctionCallInfo fcinfo, const Carrier *carrier, Oid *types);

/* The arguments of the row. */
extern const NullableDatum *carrier_arguments(FunctionCallInfo fcinfo, Carrier *carrier);

/* What is kept for a group, or a partition. */
typedef struct Carried
{
	SlidingAggregate *method;
	MemoryContext context;
	void *state; /* sliding.h; NULL: no row yet */
	bool hidden; /* the function's result isn't asked for now */
} Carried;

/* The aggregate's state, its first argument; begun with the first row. */
extern Carried *carried_of_group(FunctionCallInfo fcinfo, const Carrier *carrier);

/* The function's state, begun if there is none yet. */
extern void *carried_state(Carried *carried);

/* Takes a saved state in its place. */
extern void carried_load(Carried *carried, bytea *saved);

/* The final function of such an aggregate: the function's result, null without any row. */
extern Datum carried_result(FunctionCallInfo fcinfo);

#endif
