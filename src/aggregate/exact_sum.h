/*
 * exact_sum.h: exact sums of floats: independent of the order of the inputs, invertible, O(1) a
 * value.
 *
 * The sum itself is an ExactNumber (exact_number.c explains it); here are the count, and what is
 * no number.
 */
#ifndef TIDEMARK_AGGREGATE_EXACT_SUM_H
#define TIDEMARK_AGGREGATE_EXACT_SUM_H

#include "aggregate/exact_number.h"

/*
 * The sum of a multiset of doubles: 56 bytes, and no others for most data. May be embedded in
 * another struct; not to be copied by assignment, because it may own memory.
 */
typedef struct ExactSum
{
	MemoryContext context;	 /* where more is allocated, if it ever must be */
	int64 count;			 /* all values */
	ExactSpecials *specials; /* of which these are not in the number; NULL if there are none */
	ExactNumber number;
} ExactSum;

/* Makes it the sum of nothing; what it may have to allocate later will be in context. */
extern void exact_sum_init(ExactSum *sum, MemoryContext context);

/* Frees what exact_sum_init and later additions allocated, not the struct. */
extern void exact_sum_free(ExactSum *sum);

/* Adds all that other has; other stays as it is. */
extern void exact_sum_merge(ExactSum *sum, const ExactSum *other);

/*
 * The sum, rounded once, to nearest, halfway cases to even. Raises the error of PostgreSQL's own
 * sum when it is out of the type's range. The sum of nothing, which SQL calls null, is 0 here.
 */
extern float8 exact_sum_float8(const ExactSum *sum);
extern float4 exact_sum_float4(const ExactSum *sum);

/* The exact sum divided by count (> 0), rounded once; never out of range. */
extern float8 exact_sum_average(const ExactSum *sum);

/* Writes the sum to buf in network byte order. Equal multisets give equal bytes. */
extern void exact_sum_write(const ExactSum *sum, StringInfo buf);

/* Makes sum what exact_sum_write wrote. Raises an error when buf holds something else. */
extern void exact_sum_read(ExactSum *sum, MemoryContext context, StringInfo buf);

/* For the functions below: what is no normal number. */
extern void exact_sum_step_rare(ExactSum *sum, float8 value, bool subtract);

static inline void
exact_sum_step(ExactSum *sum, float8 value, bool subtract)
{
	FloatParts parts;

	if (unlikely(!float_is_normal(value)))
	{
		exact_sum_step_rare(sum, value, subtract);
		return;
	}
	parts = float_parts_of_normal(value);
	exact_number_add_float(&sum->number, sum->context, &parts, subtract);
}

static inline void
exact_sum_add(ExactSum *sum, float8 value)
{
	sum->count++;
	exact_sum_step(sum, value, false);
}

/* Takes away a value that was added before. */
static inline void
exact_sum_subtract(ExactSum *sum, float8 value)
{
	sum->count--;
	exact_sum_step(sum, value, true);
}

#endif
