/*
 * exact_sum.h: exact sums of floats: independent of the order of the inputs, invertible, O(1) a
 * value.
 *
 * exact_sum.c explains the format. Adding and subtracting a value is here, inline, because it
 * happens once or twice a row: about fifteen instructions when the value's magnitude is like
 * those before it.
 */
#ifndef TIDEMARK_AGGREGATE_EXACT_SUM_H
#define TIDEMARK_AGGREGATE_EXACT_SUM_H

#include "lib/stringinfo.h"
#include "utils/palloc.h"

/*
 * The sum of a multiset of doubles. May be embedded in another struct; not to be copied by
 * assignment, because it owns the array of chunks.
 */
typedef struct ExactSum
{
	MemoryContext context; /* where chunk is allocated */
	int64 *chunk;		   /* overlapping digits, least first; see exact_sum.c */
	int32 chunks;		   /* how many are in use */
	int32 capacity;		   /* how many are allocated */
	int32 base;			   /* chunk[0]'s place among those that a double can reach */
	int32 room;			   /* so many values more before carries must be propagated */

	int64 count; /* all values */
	/* of which these are in no chunk */
	int64 nans;
	int64 positive_infinities;
	int64 negative_infinities;
	int64 negative_zeros;
} ExactSum;

/* Makes it the sum of nothing; chunks will be allocated in context, at the first value. */
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

/* For the functions below: what is rare. */
extern void exact_sum_rare(ExactSum *sum, uint64 bits, bool subtract);
extern void exact_sum_make_room(ExactSum *sum, int place);

/* Adds magnitude * 2^exponent (in units of 2^-1075; 0 <= exponent < 2047) or takes it away. */
static inline void
exact_sum_accumulate(ExactSum *sum, uint64 magnitude, int exponent, bool subtract)
{
	int place = exponent >> 5;
	int shift = exponent & 31;
	int64 low = (int64) ((magnitude << shift) & PG_UINT32_MAX);
	int64 high = (int64) (magnitude >> (32 - shift));
	int64 mask = -(int64) subtract; /* (x ^ mask) - mask negates without a branch */
	int64 *chunk;

	if (unlikely((uint32) (place - sum->base + 1) >= (uint32) sum->chunks || place < sum->base ||
				 sum->room == 0))
		exact_sum_make_room(sum, place);

	chunk = sum->chunk + (place - sum->base);
	chunk[0] += (low ^ mask) - mask;
	chunk[1] += (high ^ mask) - mask;
	sum->room--;
}

static inline void
exact_sum_step(ExactSum *sum, float8 value, bool subtract)
{
	uint64 bits;
	int exponent;

	memcpy(&bits, &value, sizeof(bits));
	exponent = (int) (bits >> 52) & 0x7ff;
	if (unlikely(exponent == 0 || exponent == 0x7ff))
		exact_sum_rare(sum, bits, subtract);
	else
		exact_sum_accumulate(sum, (bits & UINT64CONST(0xfffffffffffff)) | (UINT64CONST(1) << 52),
							 exponent, (bool) (bits >> 63) ^ subtract);
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
