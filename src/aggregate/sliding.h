/*
 * sliding.h: an aggregate over a window that moves: add a row, evict the oldest, ask for the
 * result.
 *
 * PostgreSQL computes an aggregate over a moving window from its start again for every row, unless
 * the aggregate has an inverse, and few have one. Here each aggregate has the method that suits
 * it, so that a row costs the same whatever the window's length. sliding.c says which methods
 * there are and what they promise.
 *
 * A row is added and later evicted with the same arguments. Rows are evicted oldest first, and
 * all rows of equal event time together; among those, the order may be another than the one in
 * which they were added. Results may be asked for when such a group is whole. Rows that the
 * aggregate's FILTER excludes are neither added nor evicted.
 */
#ifndef TIDEMARK_AGGREGATE_SLIDING_H
#define TIDEMARK_AGGREGATE_SLIDING_H

#include "utils/palloc.h"

/* The method chosen for one aggregate and its arguments' types. Its states live elsewhere. */
typedef struct SlidingAggregate SlidingAggregate;

/*
 * Chooses the method. Works for PostgreSQL's aggregates, our exact ones and anybody's own, and for
 * the window functions first_value, last_value and nth_value (whose second argument has to be the
 * same in all rows). Returns NULL where there is no sliding form, with the reason in *why: a
 * phrase for users. Raises an error when the function doesn't give result_type for arguments of
 * these types. Doesn't look at rights. Lives in CurrentMemoryContext, for as long as that does: also
 * over the end of a transaction.
 */
extern SlidingAggregate *sliding_prepare(Oid function, Oid collation, int nargs,
										 const Oid *argument_types, Oid result_type,
										 const char **why);

/*
 * The same for a window that only grows, as frames from UNBOUNDED PRECEDING do: rows are added and
 * never evicted, so that less has to be kept. What it saves, an aggregate of sliding_prepare can
 * load and add to.
 */
extern SlidingAggregate *sliding_prepare_growing(Oid function, Oid collation, int nargs,
												 const Oid *argument_types, Oid result_type,
												 const char **why);

/*
 * A frame that is counted: from the row that lies `first` before the current one (SLIDING_FROM_START: from the partition's start) to the
 * one that lies `last` before it. In ROWS, order is 0. In GROUPS it says how many of the arguments, the first ones, are what
 * ORDER BY has: groups of peers are told apart by them.
 */
typedef struct SlidingBounds
{
	int64 first;
	int64 last;
	int order;
} SlidingBounds;

#define SLIDING_FROM_START INT64CONST(-1)

/*
 * The same for a frame that is counted. Rows are added in the order of the window's ORDER BY, those that FILTER excludes by
 * sliding_pass; none is evicted. In ROWS, each row has a result of its own, which is asked for when the row has been added; in GROUPS when a
 * group is whole. nargs: with what ORDER BY has.
 */
extern SlidingAggregate *sliding_prepare_counted(Oid function, Oid collation, int nargs,
												 const Oid *argument_types, Oid result_type,
												 const SlidingBounds *bounds, const char **why);

/*
 * Are the arguments of this function here what ORDER BY has? That is so for rank and dense_rank. These, row_number, and lag and lead where they
 * look back, see all rows of the partition up to the current one, whatever the frame: sliding_prepare gives what only grows,
 * with a result for each row that is added.
 */
extern bool sliding_wants_order(Oid function);

/*
 * Is it tidemark.first or last? Over what only grows, these have an order as further arguments: a constant of type bigint[], with the operator,
 * the collation and whether nulls are first (1) for each column; the columns; and columns by whose images rows are told apart in the end.
 */
extern bool sliding_is_first(Oid function);

/* Is it tidemark.session, which is of that kind, too? */
extern bool sliding_is_session(Oid function);

/* Why a session of event times of that type can't have this gap, and a hint (may be NULL). NULL: it can. */
extern char *session_fault(Oid time_type, Datum gap, char **hint);
/* A session's gap in ticks; false: it is negative, has months, or is longer than can be said. */
extern bool session_gap(Oid time_type, Datum gap, int64 *ticks);

extern Oid sliding_function(const SlidingAggregate *aggregate);

/* What explain calls the method: "exact sum", "monotone deque", ... */
extern const char *sliding_method(const SlidingAggregate *aggregate);

/* Is it faster over a moving window than what PostgreSQL's own WindowAgg does? */
extern bool sliding_beats_stock(const SlidingAggregate *aggregate);

/* Does a state hold the rows of the window, or some of them, rather than O(1)? */
extern bool sliding_holds_rows(const SlidingAggregate *aggregate);

/* The state of an empty window; what it holds is allocated in context, or in children of it. */
extern void *sliding_new(SlidingAggregate *aggregate, MemoryContext context);

/* Frees all that the state holds: nothing of it is left in its context. */
extern void sliding_free(SlidingAggregate *aggregate, void *state);

/* Adds the newest row. What args point to is copied where it is kept. */
extern void sliding_add(SlidingAggregate *aggregate, void *state, const NullableDatum *args);

/* The newest row is one that FILTER excludes: it counts where a frame is counted, and is nothing to others. */
extern void sliding_pass(SlidingAggregate *aggregate, void *state, const NullableDatum *args);

/* Takes away the oldest row, of which args are the arguments. */
extern void sliding_evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args);

/*
 * The aggregate's result over the rows in the window: what PostgreSQL's own aggregate gives over
 * them, to the last bit and digit (for floats: what the exact aggregates give). A copy in
 * CurrentMemoryContext; the state stays as it is.
 */
extern Datum sliding_result(SlidingAggregate *aggregate, void *state, bool *isnull);

/* Can states of it be saved, unless they are too large? */
extern bool sliding_can_save(const SlidingAggregate *aggregate);

/* The state as bytes, in CurrentMemoryContext; NULL when it needs more than SLIDING_SAVE_LIMIT. */
#define SLIDING_SAVE_LIMIT (32 * 1024)
extern bytea *sliding_save(SlidingAggregate *aggregate, void *state);

/*
 * The state that was saved, by the same aggregate. Raises an error when the bytes can't be that;
 * bytes from anywhere do no harm other than wrong results.
 */
extern void *sliding_load(SlidingAggregate *aggregate, const bytea *bytes, MemoryContext context);

#endif
