/*
 * sliding_method.h: what a method of sliding aggregation is made of, for the files that have one.
 *
 * Each of those files defines one prepare function, which is given the aggregate as the caller
 * described it and returns a SlidingAggregate if the method is for it, else NULL. Where a method
 * needs more than SlidingAggregate holds, it allocates a struct that starts with one.
 */
#ifndef TIDEMARK_AGGREGATE_SLIDING_METHOD_H
#define TIDEMARK_AGGREGATE_SLIDING_METHOD_H

#include "lib/stringinfo.h"

#include "aggregate/sliding.h"

/* The functions do what those of sliding.h say, for one method. */
typedef struct SlidingMethod
{
	const char *name;
	char tag; /* starts saved states, so that those of other methods are told apart */
	bool beats_stock;
	bool holds_rows;

	void *(*create)(SlidingAggregate *aggregate, MemoryContext context);
	void (*destroy)(SlidingAggregate *aggregate, void *state);
	void (*add)(SlidingAggregate *aggregate, void *state, const NullableDatum *args);
	void (*evict)(SlidingAggregate *aggregate, void *state, const NullableDatum *args);
	Datum (*result)(SlidingAggregate *aggregate, void *state, bool *isnull);

	/* Both NULL where states can't be saved. save returns false if the state is too large. */
	bool (*save)(SlidingAggregate *aggregate, void *state, StringInfo buf);
	void (*load)(SlidingAggregate *aggregate, void *empty_state, StringInfo buf);

	/* NULL where rows that FILTER excludes are nothing to it */
	void (*pass)(SlidingAggregate *aggregate, void *state, const NullableDatum *args);
} SlidingMethod;

struct SlidingAggregate
{
	const SlidingMethod *method;
	Oid function;
	Oid collation;
	Oid result_type;
	int nargs;
	Oid *argument_types;
	bool growing; /* no row is ever evicted */
};

/* A SlidingAggregate of size bytes that is described as call is. */
extern SlidingAggregate *sliding_make(const SlidingAggregate *call, Size size,
									  const SlidingMethod *method);
#define sliding_make_plain(call, method) sliding_make(call, sizeof(SlidingAggregate), method)

/* The name of the aggregate if it is one of this extension's, else NULL. */
extern const char *sliding_own_name(Oid function);

/* For load functions: raises the error that says the bytes are none of ours. */
extern void sliding_bad_bytes(void);

/* The methods, each in the file of that name. */
extern SlidingAggregate *sliding_counts_prepare(const SlidingAggregate *call);
extern SlidingAggregate *sliding_integers_prepare(const SlidingAggregate *call);
extern SlidingAggregate *sliding_floats_prepare(const SlidingAggregate *call);
extern SlidingAggregate *sliding_numerics_prepare(const SlidingAggregate *call);
extern SlidingAggregate *sliding_intervals_prepare(const SlidingAggregate *call);
extern SlidingAggregate *sliding_values_prepare(const SlidingAggregate *call);
extern SlidingAggregate *count_distinct_prepare(const SlidingAggregate *call);
extern SlidingAggregate *sliding_statistics_prepare(const SlidingAggregate *call);
extern SlidingAggregate *monotone_deque_prepare(const SlidingAggregate *call);
extern SlidingAggregate *two_stacks_prepare(const SlidingAggregate *call);

extern SlidingAggregate *row_numbers_prepare(const SlidingAggregate *call);
extern SlidingAggregate *lag_prepare(const SlidingAggregate *call);
extern SlidingAggregate *session_prepare(const SlidingAggregate *call);
extern SlidingAggregate *first_by_order_prepare(const SlidingAggregate *call);

/* Is it for tidemark.first or last with what its rows are ordered by as further arguments? */
extern bool first_by_order_fits(const SlidingAggregate *call);

/* inner: the aggregate over the rows in the frame; call: with what GROUPS are told apart by. */
extern SlidingAggregate *counted_frame_prepare(const SlidingAggregate *call,
											   SlidingAggregate *inner,
											   const SlidingBounds *bounds);

/* For all that can be folded (folding.h); say why when it can't. The second: if the window grows. */
extern SlidingAggregate *sliding_recompute_prepare(const SlidingAggregate *call, const char **why);
extern SlidingAggregate *running_fold_prepare(const SlidingAggregate *call, const char **why);

/*
 * Values of one type that a state keeps: copies that no snapshot, transaction or expanded object
 * need outlive.
 */
typedef struct KeptType
{
	Oid type;
	int16 length;
	bool by_value;
	Oid send;	   /* InvalidOid: by value, or the type has none */
	Oid receive;   /* likewise */
	Oid ioparam;   /* for receive */
	bool can_save; /* by value, or with send and receive */
	FmgrInfo send_function;
	FmgrInfo receive_function;
} KeptType;

extern void kept_type_init(KeptType *type, Oid oid);
extern Datum kept_value_copy(const KeptType *type, Datum value, MemoryContext context);
extern void kept_value_write(KeptType *type, Datum value, StringInfo buf);
extern Datum kept_value_read(KeptType *type, StringInfo buf, MemoryContext context);

static inline void
kept_value_free(const KeptType *type, Datum value)
{
	if (!type->by_value)
		pfree(DatumGetPointer(value));
}

#endif
