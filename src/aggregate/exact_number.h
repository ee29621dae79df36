/*
 * exact_number.h: the exact sum of floats, or of products of two floats, as one wide integer.
 *
 * exact_number.c explains the format. Adding and taking away is here, inline, because it happens
 * once or twice a row: about twenty instructions when the magnitude is like those before it.
 */
#ifndef TIDEMARK_AGGREGATE_EXACT_NUMBER_H
#define TIDEMARK_AGGREGATE_EXACT_NUMBER_H

#include "lib/stringinfo.h"
#include "utils/palloc.h"

#include "aggregate/big_number.h"

#define EXACT_WORDS_HERE 3

/*
 * All zeros is the number 0. It doesn't know its memory context: callers keep one for all the
 * numbers of a state, and pass it. May be embedded and moved, but not copied by assignment,
 * because it may own memory.
 */
typedef struct ExactNumber
{
	int16 base;		/* the place of the first word */
	int16 words;	/* so many are in use, the least first; 0: the number is 0 */
	int16 capacity; /* so many are elsewhere; 0: they are here */
	union
	{
		uint64 here[EXACT_WORDS_HERE];
		uint64 *elsewhere;
	} word;
} ExactNumber;

/* How many of the values were no number, or -0. They are in no sum. */
typedef struct ExactSpecials
{
	int64 nans;
	int64 positive_infinities;
	int64 negative_infinities;
	int64 negative_zeros;
} ExactSpecials;

/* A value: (-1)^negative * magnitude * 2^(exponent - 1075), if finite and not zero. */
typedef struct FloatParts
{
	uint64 magnitude;
	int exponent;
	bool negative;
} FloatParts;

/* A sum of floats, and one of products, is its words times 2 to these, place by place 64 more. */
#define EXACT_SUM_SHIFT 25
#define EXACT_SUM_UNIT (-1075 - EXACT_SUM_SHIFT)
#define EXACT_PRODUCT_SHIFT 18
#define EXACT_PRODUCT_UNIT (-2150 - EXACT_PRODUCT_SHIFT)

/* More than what the greatest sums of 2^63 values reach. */
#define EXACT_SUM_PLACES 36
#define EXACT_PRODUCT_PLACES 70

/* Makes it 0 and frees its memory. */
extern void exact_number_free(ExactNumber *number);

extern void exact_number_merge(ExactNumber *number, MemoryContext context,
							   const ExactNumber *other);

/* The number, when it is one of units of 2^unit. */
extern void exact_number_get(const ExactNumber *number, int unit, BigNumber *result);

/*
 * Network byte order; equal numbers give equal bytes, however they came about. Reading raises an
 * error for what has words beyond places.
 */
extern void exact_number_write(const ExactNumber *number, StringInfo buf);
extern void exact_number_read(ExactNumber *number, MemoryContext context, int places,
							  StringInfo buf);

/*
 * Counts value, if it is special, or takes it out of the count; *specials is NULL while there are
 * none, and allocated in context.
 */
extern void exact_specials_step(ExactSpecials **specials, MemoryContext context, float8 value,
								bool subtract);
extern void exact_specials_merge(ExactSpecials **specials, MemoryContext context,
								 const ExactSpecials *other);
extern void exact_specials_free(ExactSpecials **specials);
extern void exact_specials_write(const ExactSpecials *specials, StringInfo buf);
extern void exact_specials_read(ExactSpecials **specials, MemoryContext context, StringInfo buf);

/* Is there a NaN or an infinity? Then it decides sum and average. */
extern bool exact_specials_sum(const ExactSpecials *specials, float8 *result);

/* For the functions below: what is rare. */
extern void exact_number_cover(ExactNumber *number, MemoryContext context, int first, int last);
extern void exact_number_step_beyond(ExactNumber *number, MemoryContext context, int count,
									 uint64 low, uint64 middle, uint64 high, int place,
									 bool subtract);
extern void exact_number_widen(ExactNumber *number, MemoryContext context);
extern bool float_parts_rare(float8 value, FloatParts *parts);

/* Is it neither subnormal, zero, infinite nor NaN? */
static inline bool
float_is_normal(float8 value)
{
	uint64 bits;

	memcpy(&bits, &value, sizeof(bits));
	return (((bits >> 52) + 1) & 0x7ff) > 1;
}

/* Takes a normal number apart. */
static inline FloatParts
float_parts_of_normal(float8 value)
{
	FloatParts parts;
	uint64 bits;

	memcpy(&bits, &value, sizeof(bits));
	parts.magnitude = (bits & UINT64CONST(0xfffffffffffff)) | (UINT64CONST(1) << 52);
	parts.exponent = (int) (bits >> 52) & 0x7ff;
	parts.negative = bits >> 63;
	return parts;
}

/* Takes any value apart. False when it isn't finite or is zero. */
static inline bool
float_parts(float8 value, FloatParts *parts)
{
	if (unlikely(!float_is_normal(value)))
		return float_parts_rare(value, parts);
	*parts = float_parts_of_normal(value);
	return true;
}

static inline uint64 *
exact_number_words(ExactNumber *number)
{
	return likely(number->capacity == 0) ? number->word.here : number->word.elsewhere;
}

/* *word += value + carry. Returns the carry out of it; carry is 0 or 1. */
static inline uint64
exact_number_add_word(uint64 *word, uint64 value, uint64 carry)
{
	uint64 sum = *word + value;
	uint64 result = sum + carry;

	*word = result;
	return (uint64) (sum < value) | (uint64) (result < carry);
}

/*
 * Adds count words (2 or 3), the first at place, or takes them away. The last must be below 2^61.
 * Written out, not as a loop, and the addend negated before the sum is read, so that only the
 * carry makes one word wait for the other.
 */
static inline void
exact_number_step(ExactNumber *number, MemoryContext context, int count, uint64 low, uint64 middle,
				  uint64 high, int place, bool subtract)
{
	uint64 sign = -(uint64) subtract; /* what is above the addend; a ^ sign, plus one, negates */
	uint64 carry;
	uint64 *word;
	int end;
	int i = count;

	if (unlikely(place < number->base || place + count > number->base + number->words))
	{
		exact_number_step_beyond(number, context, count, low, middle, high, place, subtract);
		return;
	}
	word = exact_number_words(number) + (place - number->base);
	end = number->base + number->words - place;

	high = (high ^ sign) + (subtract & (low == 0) & (middle == 0));
	middle = (middle ^ sign) + (subtract & (low == 0));
	low = (low ^ sign) + subtract;
	carry = exact_number_add_word(&word[0], low, 0);
	carry = exact_number_add_word(&word[1], middle, carry);
	if (count == 3)
		carry = exact_number_add_word(&word[2], high, carry);

	/* Above: one more, one less, or a sign and a carry that cancel. */
	for (; i < end && sign + carry != 0; i++)
	{
		word[i] += sign + carry;
		carry = sign ? word[i] != PG_UINT64_MAX : word[i] == 0;
	}
	if (i == end && unlikely((word[end - 1] + (UINT64CONST(1) << 62)) >> 63))
		exact_number_widen(number, context);
}

static inline void
exact_number_add_float(ExactNumber *number, MemoryContext context, const FloatParts *value,
					   bool subtract)
{
	int exponent = value->exponent + EXACT_SUM_SHIFT;
	int shift = exponent & 63;

	exact_number_step(number, context, 2, value->magnitude << shift,
					  value->magnitude >> 1 >> (63 - shift), 0, exponent >> 6,
					  value->negative ^ subtract);
}

/* The 128 bits of a product. */
static inline void
multiply_words(uint64 a, uint64 b, uint64 *low, uint64 *high)
{
#ifdef HAVE_INT128
	uint128 product = (uint128) a * b;

	*low = (uint64) product;
	*high = (uint64) (product >> 64);
#else
	uint64 middle = (a >> 32) * (uint32) b + ((uint64) (uint32) a * (uint32) b >> 32);
	uint64 other = (a & PG_UINT32_MAX) * (b >> 32) + (uint32) middle;

	*low = a * b;
	*high = (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32);
#endif
}

static inline void
exact_number_add_product(ExactNumber *number, MemoryContext context, const FloatParts *a,
						 const FloatParts *b, bool subtract)
{
	int exponent = a->exponent + b->exponent + EXACT_PRODUCT_SHIFT;
	int shift = exponent & 63;
	uint64 low;
	uint64 high;

	multiply_words(a->magnitude, b->magnitude, &low, &high);
	exact_number_step(number, context, 3, low << shift, high << shift | low >> 1 >> (63 - shift),
					  high >> 1 >> (63 - shift), exponent >> 6,
					  a->negative ^ b->negative ^ subtract);
}

#endif
