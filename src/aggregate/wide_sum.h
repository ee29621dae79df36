/*
 * wide_sum.h: sums of 64-bit integers that can't overflow: 128 bits, in two's complement.
 *
 * Values can be taken away again, and it takes 2^64 of the greatest to fill it. Written with two
 * words rather than int128, which PostgreSQL doesn't have everywhere.
 */
#ifndef TIDEMARK_AGGREGATE_WIDE_SUM_H
#define TIDEMARK_AGGREGATE_WIDE_SUM_H

typedef struct WideSum
{
	uint64 low;
	int64 high;
} WideSum;

static inline void
wide_sum_add(WideSum *sum, int64 value)
{
	sum->low += (uint64) value;
	sum->high += (value < 0 ? -1 : 0) + (sum->low < (uint64) value ? 1 : 0);
}

static inline void
wide_sum_subtract(WideSum *sum, int64 value)
{
	sum->high -= (value < 0 ? -1 : 0) + (sum->low < (uint64) value ? 1 : 0);
	sum->low -= (uint64) value;
}

/* Is it in the range of int64? */
static inline bool
wide_sum_fits(const WideSum *sum)
{
	return sum->high == ((int64) sum->low < 0 ? -1 : 0);
}

#endif
