/*
 * big_number.c: numbers of many digits, and their ratios and roots rounded once to a float.
 *
 * Digits are 32 bits, so that 64-bit arithmetic does everything, on every platform. A number has
 * an exponent, so that the zeros below a sum of large values cost nothing. Most numbers here have
 * two to six digits; multiplication and division are the schoolbook's (Knuth, The Art of Computer
 * Programming, volume 2, section 4.3.1).
 *
 * Rounding is right by construction, not by an error bound: a ratio is divided out to 63 bits or
 * more and we know whether anything is left over, which is all that rounding to 53 bits has to
 * know. A root is the integer root of a quotient of 110 bits or more: at least 55 bits, and whether
 * anything is left over of either step. floor(sqrt(r)) = floor(sqrt(floor(r))), so nothing is lost
 * between them.
 */
#include "tidemark.h"

#include <math.h>

#include "port/pg_bitutils.h"
#include "utils/float.h"

#include "aggregate/big_number.h"

/*
 * The digits of a quotient, enough for 53 bits and to round them: 63 or 64 bits, and for a root 111
 * or 112, or one less to make the exponent even.
 */
#define RATIO_DIGITS 2
#define RADICAND_DIGITS 4

/* (high * 2^64 + low + a fraction) * 2^exponent; more: the fraction isn't zero */
typedef struct Quotient
{
	uint64 high;
	uint64 low;
	bool more;
	int exponent;
} Quotient;

const FloatFormat float8_format = {53, -1022, 1023};
const FloatFormat float4_format = {24, -126, 127};

/* ---------- arithmetic ---------- */

static void
trim(BigNumber *number)
{
	while (number->count > 0 && number->digit[number->count - 1] == 0)
		number->count--;
	if (number->count == 0)
		number->negative = false;
}

/* Puts a digit above the others; zeros below the first that isn't are left out. */
static inline void
append(BigNumber *number, uint32 digit)
{
	if (number->count == 0 && digit == 0)
		number->exponent += 32;
	else
		number->digit[number->count++] = digit;
}

void
big_from_words(BigNumber *number, const uint64 *word, int words, int exponent)
{
	uint64 carry;

	number->negative = words > 0 && (int64) word[words - 1] < 0;
	number->exponent = exponent;
	number->count = 0;
	carry = number->negative;
	for (int i = 0; i < words; i++)
	{
		uint64 value = word[i];

		if (number->negative)
		{
			value = ~value + carry;
			carry = carry && value == 0;
		}
		append(number, (uint32) value);
		append(number, (uint32) (value >> 32));
	}
	trim(number);
}

void
big_from_int64(BigNumber *number, int64 value)
{
	uint64 word = (uint64) value;

	big_from_words(number, &word, 1, 0);
}

void
big_multiply(const BigNumber *a, const BigNumber *b, BigNumber *product)
{
	Assert(a->count + b->count <= BIG_DIGITS);
	product->negative = a->negative != b->negative;
	product->exponent = a->exponent + b->exponent;
	product->count = a->count + b->count;
	memset(product->digit, 0, product->count * sizeof(uint32));
	for (int i = 0; i < a->count; i++)
	{
		uint64 carry = 0;

		for (int j = 0; j < b->count; j++)
		{
			carry += (uint64) a->digit[i] * b->digit[j] + product->digit[i + j];
			product->digit[i + j] = (uint32) carry;
			carry >>= 32;
		}
		product->digit[i + b->count] = (uint32) carry;
	}
	trim(product);
}

/* The digit of place, counted from exponent. */
static inline uint64
digit_at(const BigNumber *number, int place, int exponent)
{
	int i = place - (number->exponent - exponent) / 32;

	return i >= 0 && i < number->count ? number->digit[i] : 0;
}

static void
add_magnitudes(const BigNumber *a, const BigNumber *b, BigNumber *sum)
{
	uint64 carry = 0;

	for (int i = 0; i < sum->count; i++)
	{
		carry += digit_at(a, i, sum->exponent) + digit_at(b, i, sum->exponent);
		sum->digit[i] = (uint32) carry;
		carry >>= 32;
	}
	Assert(carry == 0);
}

/* |a| - |b|. If that is negative, |b| - |a| is left there; returns whether it was. */
static bool
subtract_magnitudes(const BigNumber *a, const BigNumber *b, BigNumber *difference)
{
	int64 carry = 0;
	uint64 one = 1;

	for (int i = 0; i < difference->count; i++)
	{
		carry += (int64) digit_at(a, i, difference->exponent) -
				 (int64) digit_at(b, i, difference->exponent);
		difference->digit[i] = (uint32) carry;
		carry >>= 32;
	}
	if (carry == 0)
		return false;
	for (int i = 0; i < difference->count; i++)
	{
		one += (uint32) ~difference->digit[i];
		difference->digit[i] = (uint32) one;
		one >>= 32;
	}
	return true;
}

void
big_subtract(const BigNumber *a, const BigNumber *b, BigNumber *difference)
{
	int top;

	if (big_is_zero(a) || big_is_zero(b))
	{
		/* zero has no exponent that could be aligned */
		memcpy(difference, big_is_zero(b) ? a : b, sizeof(BigNumber));
		difference->negative ^= big_is_zero(a) && !big_is_zero(b);
		return;
	}
	Assert((a->exponent - b->exponent) % 32 == 0);
	difference->exponent = Min(a->exponent, b->exponent);
	top = Max(a->exponent + 32 * a->count, b->exponent + 32 * b->count);
	difference->count = (top - difference->exponent) / 32 + 1;
	Assert(difference->count <= BIG_DIGITS);

	difference->negative = a->negative;
	if (a->negative != b->negative)
		add_magnitudes(a, b, difference);
	else if (subtract_magnitudes(a, b, difference))
		difference->negative = !difference->negative;
	trim(difference);
}

/* ---------- division ---------- */

static int
bit_length(const BigNumber *number)
{
	return 32 * (number->count - 1) + pg_leftmost_one_pos32(number->digit[number->count - 1]) + 1;
}

/*
 * Writes the magnitude times 2^shift as count digits; shift may be negative. Returns whether
 * anything but zeros fell off below.
 */
static bool
shift_digits(const BigNumber *number, int shift, uint32 *digit, int count)
{
	int bits = ((shift % 32) + 32) % 32;
	int digits = (shift - bits) / 32;
	bool lost = false;

	for (int i = 0; i < count; i++)
	{
		int from = i - digits;
		uint64 here = from >= 0 && from < number->count ? number->digit[from] : 0;
		uint64 below = from >= 1 && from <= number->count ? number->digit[from - 1] : 0;

		digit[i] = (uint32) (here << bits | (below << bits) >> 32);
	}
	for (int i = 0; i < number->count && 32 * (i + digits) + bits < 0 && !lost; i++)
	{
		int kept = 32 * (i + digits + 1) + bits; /* so many of its bits are at or above the point */

		lost = (kept <= 0 ? number->digit[i] : number->digit[i] << kept) != 0;
	}
	return lost;
}

/* Divides count digits in place. Returns the rest. */
static uint32
divide_by_digit(uint32 *digit, int count, uint32 divisor)
{
	uint64 rest = 0;

	for (int i = count - 1; i >= 0; i--)
	{
		uint64 value = rest << 32 | digit[i];

		digit[i] = (uint32) (value / divisor);
		rest = value % divisor;
	}
	return (uint32) rest;
}

/* Knuth's estimate of the next digit of a quotient: never too small, too great by one at most. */
static uint64
estimate_digit(const uint32 *dividend, const uint32 *divisor, int count)
{
	uint64 leading = (uint64) dividend[count] << 32 | dividend[count - 1];
	uint64 estimate = leading / divisor[count - 1];
	uint64 rest = leading % divisor[count - 1];

	while (estimate > PG_UINT32_MAX ||
		   estimate * divisor[count - 2] > (rest << 32 | dividend[count - 2]))
	{
		estimate--;
		rest += divisor[count - 1];
		if (rest > PG_UINT32_MAX)
			break;
	}
	return estimate;
}

/* dividend -= factor * divisor; the dividend has a digit more. Returns whether that is negative. */
static bool
subtract_multiple(uint32 *dividend, const uint32 *divisor, int count, uint64 factor)
{
	uint64 carry = 0;
	int64 borrow = 0;

	for (int i = 0; i <= count; i++)
	{
		carry += i < count ? factor * divisor[i] : 0;
		borrow += (int64) dividend[i] - (int64) (uint32) carry;
		dividend[i] = (uint32) borrow;
		carry >>= 32;
		borrow >>= 32;
	}
	return borrow < 0;
}

static void
add_back(uint32 *dividend, const uint32 *divisor, int count)
{
	uint64 carry = 0;

	for (int i = 0; i < count; i++)
	{
		carry += (uint64) dividend[i] + divisor[i];
		dividend[i] = (uint32) carry;
		carry >>= 32;
	}
	dividend[count] += (uint32) carry;
}

/*
 * Knuth's algorithm D: the divisor has two digits or more, and its first bit set; the dividend has
 * as many more as the quotient, and starts with less than the divisor. The rest is left in the
 * dividend.
 */
static void
divide(uint32 *dividend, const uint32 *divisor, int count, uint32 *quotient, int quotient_digits)
{
	for (int i = quotient_digits - 1; i >= 0; i--)
	{
		uint64 digit = estimate_digit(dividend + i, divisor, count);

		if (subtract_multiple(dividend + i, divisor, count, digit))
		{
			digit--;
			add_back(dividend + i, divisor, count);
		}
		quotient[i] = (uint32) digit;
	}
}

static bool
any_digit(const uint32 *digit, int count)
{
	for (int i = 0; i < count; i++)
		if (digit[i] != 0)
			return true;
	return false;
}

/* The ratio of two magnitudes other than zero, to so many digits. */
static void
divide_numbers(const BigNumber *dividend, const BigNumber *divisor, int digits, Quotient *result)
{
	uint32 left[BIG_DIGITS + RADICAND_DIGITS];
	uint32 right[BIG_DIGITS];
	uint32 digit[RADICAND_DIGITS] = {0};
	int bits = digits == RATIO_DIGITS ? 63 : 111;
	int shift = bits - bit_length(dividend) + bit_length(divisor);
	int count = divisor->count;

	result->exponent = dividend->exponent - divisor->exponent - shift;
	if (digits == RADICAND_DIGITS && (result->exponent & 1))
	{
		shift--;
		result->exponent++;
	}
	if (count == 1)
	{
		result->more = shift_digits(dividend, shift, left, digits + 1);
		result->more |= divide_by_digit(left, digits + 1, divisor->digit[0]) != 0;
		memcpy(digit, left, digits * sizeof(uint32));
	}
	else
	{
		int scale = 31 - pg_leftmost_one_pos32(divisor->digit[count - 1]);

		(void) shift_digits(divisor, scale, right, count);
		result->more = shift_digits(dividend, shift + scale, left, count + digits);
		divide(left, right, count, digit, digits);
		result->more |= any_digit(left, count);
	}
	result->high = (uint64) digit[3] << 32 | digit[2];
	result->low = (uint64) digit[1] << 32 | digit[0];
}

/*
 * The integer root of a quotient, whose exponent must be even. The floating-point root is off by
 * a few units, so the rest n - root^2 fits in 64 bits, which is why the lower halves suffice to
 * compute it.
 */
static void
take_root(Quotient *number)
{
	uint64 root = (uint64) sqrt(ldexp((double) number->high, 64) + (double) number->low);
	int64 rest = (int64) (number->low - root * root);

	while (rest < 0)
	{
		root--;
		rest += (int64) (2 * root + 1);
	}
	while (rest > (int64) (2 * root))
	{
		rest -= (int64) (2 * root + 1);
		root++;
	}
	number->high = 0;
	number->low = root;
	number->more |= rest != 0;
	number->exponent /= 2;
}

/* ---------- rounding ---------- */

/*
 * Rounds significand * 2^(exponent - 63), of which the first bit is set and to which something
 * less than its last bit is to be added if more. Returns the number as the format encodes it,
 * without the sign: where rounding carries, out of the significand or out of the subnormals, the
 * exponent next to it takes it up.
 */
static uint64
round_to_even(uint64 significand, bool more, int exponent, const FloatFormat *format)
{
	uint64 infinity = (uint64) (format->max_exponent - format->min_exponent + 2)
					  << (format->bits - 1);
	int drop = 64 - format->bits;
	uint64 encoded = 0;
	uint64 rest;
	uint64 half;
	uint64 kept;

	if (exponent > format->max_exponent)
		float_overflow_error();
	if (exponent < format->min_exponent)
		drop += format->min_exponent - exponent;
	else
		encoded = (uint64) (exponent - format->min_exponent) << (format->bits - 1);
	if (drop > 64)
		return 0; /* less than half of the least subnormal */

	kept = drop == 64 ? 0 : significand >> drop;
	rest = drop == 64 ? significand : significand & ((UINT64CONST(1) << drop) - 1);
	half = UINT64CONST(1) << (drop - 1);
	if (rest > half || (rest == half && (more || (kept & 1))))
		kept++;
	encoded += kept;
	if (encoded >= infinity)
		float_overflow_error();
	return encoded;
}

/* Rounds (high * 2^64 + low, and more) * 2^exponent, which isn't zero. */
static uint64
round_quotient(const Quotient *number, const FloatFormat *format)
{
	uint64 high = number->high;
	uint64 low = number->low;
	int exponent = number->exponent + 127;
	int shift;

	if (high == 0)
	{
		high = low;
		low = 0;
		exponent -= 64;
	}
	shift = 63 - pg_leftmost_one_pos64(high);
	if (shift > 0)
		high = high << shift | low >> (64 - shift);
	return round_to_even(high, number->more || low << shift != 0, exponent - shift, format);
}

uint64
big_round(const BigNumber *number, const FloatFormat *format)
{
	Quotient leading;
	int top = number->count - 1;

	if (big_is_zero(number))
		return 0;
	leading.high = (uint64) number->digit[top] << 32 | (top >= 1 ? number->digit[top - 1] : 0);
	leading.low = (uint64) (top >= 2 ? number->digit[top - 2] : 0) << 32;
	leading.more = top >= 3 && any_digit(number->digit, top - 2);
	leading.exponent = number->exponent + 32 * (top - 3);
	return round_quotient(&leading, format);
}

static float8
make_float8(uint64 encoded, bool negative)
{
	float8 result;

	encoded |= (uint64) negative << 63;
	memcpy(&result, &encoded, sizeof(result));
	return result;
}

float8
big_float8(const BigNumber *number)
{
	return make_float8(big_round(number, &float8_format), number->negative);
}

static float8
round_ratio(const BigNumber *dividend, const BigNumber *divisor, bool root)
{
	Quotient quotient;

	Assert(!big_is_zero(divisor));
	if (big_is_zero(dividend))
		return 0.0;
	divide_numbers(dividend, divisor, root ? RADICAND_DIGITS : RATIO_DIGITS, &quotient);
	if (root)
		take_root(&quotient);
	return make_float8(round_quotient(&quotient, &float8_format),
					   dividend->negative != divisor->negative);
}

float8
big_ratio(const BigNumber *dividend, const BigNumber *divisor)
{
	return round_ratio(dividend, divisor, false);
}

float8
big_ratio_root(const BigNumber *dividend, const BigNumber *divisor)
{
	return round_ratio(dividend, divisor, true);
}
