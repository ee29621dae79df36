/*
 * big_number.h: numbers of many digits, and their ratios and roots rounded once to a float.
 *
 * What exact sums and statistics need to get from an exact state to a result: no more operations
 * than that, and no allocation.
 */
#ifndef TIDEMARK_AGGREGATE_BIG_NUMBER_H
#define TIDEMARK_AGGREGATE_BIG_NUMBER_H

/*
 * The longest: a product of two centred sums of squares (corr) has up to 306 digits, and division
 * puts a few more below.
 */
#define BIG_DIGITS 320

/* (-1)^negative * SUM digit[i] * 2^(32 * i + exponent); zero has no digits, and isn't negative. */
typedef struct BigNumber
{
	bool negative;
	int exponent;
	int count; /* the last digit isn't zero */
	uint32 digit[BIG_DIGITS];
} BigNumber;

/* What a binary floating-point format can hold. */
typedef struct FloatFormat
{
	int bits;		  /* of the significand, with the hidden one */
	int min_exponent; /* of the least normal number, 2^min_exponent */
	int max_exponent; /* of the greatest numbers, < 2^(max_exponent + 1) */
} FloatFormat;

extern const FloatFormat float8_format;
extern const FloatFormat float4_format;

static inline bool
big_is_zero(const BigNumber *number)
{
	return number->count == 0;
}

/* The number that words hold in two's complement, the least first, times 2^exponent. */
extern void big_from_words(BigNumber *number, const uint64 *word, int words, int exponent);
extern void big_from_int64(BigNumber *number, int64 value);

extern void big_multiply(const BigNumber *a, const BigNumber *b, BigNumber *product);

/* a - b, whose exponents must differ by a multiple of 32. */
extern void big_subtract(const BigNumber *a, const BigNumber *b, BigNumber *difference);

/*
 * The number, a ratio (the divisor isn't zero), and the root of a ratio's magnitude with the
 * ratio's sign, rounded once, to nearest, halfway cases to even. Zero comes out as +0. They
 * raise the error of PostgreSQL's own arithmetic when the result is out of the format's range.
 * big_round returns the number as the format encodes it, without the sign.
 */
extern uint64 big_round(const BigNumber *number, const FloatFormat *format);
extern float8 big_float8(const BigNumber *number);
extern float8 big_ratio(const BigNumber *dividend, const BigNumber *divisor);
extern float8 big_ratio_root(const BigNumber *dividend, const BigNumber *divisor);

#endif
