/*
 * exact_sum.c: exact sums of floats.
 *
 * A finite double is m * 2^(e - 1075) with |m| < 2^53 and 1 <= e <= 2046, so any sum of doubles
 * is an integer in units of 2^-1075, of at most 2098 bits and as many more as there were carries.
 * We keep that integer, and round only when a result is asked for. So a sum
 * - does not depend on the order of its inputs, nor on how they were split among partial sums;
 * - has an inverse: subtracting a value leaves exactly the sum without it, whatever passed through;
 * - overflows only if the result does.
 *
 * The integer is held as R. M. Neal's "small superaccumulator" does ("Fast exact summation using
 * small and large superaccumulators", 2015): as signed 64-bit chunks whose places are 32 bits
 * apart,
 *
 *     sum = SUM chunk[i] * 2^(32 * (base + i) - 1075)
 *
 *     place      ...  base + 2        base + 1        base
 *     chunk[0]                        |--- 32 spare ---|--- 32 -------|
 *     chunk[1]        |--- 32 spare ---|--- 32 -------|
 *     chunk[2]   -----|--- 32 -------|
 *     a value                   |- high, < 2^52 -|- low, < 2^32 -|
 *
 * A value, shifted by e mod 32, touches the two chunks at place e / 32 and above. No carry is
 * passed on then: the spare bits take it. A chunk whose magnitude was at most 2^32 has room for
 * ADDITIONS values of less than 2^52 each; after so many, one pass carries all spare bits
 * upwards. That is the invariant:
 *
 *     |chunk[i]| <= 2^32 + (ADDITIONS - room) * 2^52  <  2^63
 *
 * Neal's accumulator has all 67 chunks always. Ours has those between the least and the greatest
 * place seen, which for most data is three or four: less memory in a GROUP BY with many groups,
 * and a result looks at no others, which matters in a window, where each row has one.
 *
 * The sums of different orders may have different chunks; normalise() gives the unique digits,
 * sign and magnitude in base 2^32, from which everything else is computed without changing the
 * sum.
 *
 * NaN and the infinities are counted, not added, so that they leave a window as they entered it.
 * So is -0: the sum is -0 if there is nothing else, as IEEE 754 has it.
 */
#include "tidemark.h"

#include "libpq/pqformat.h"
#include "port/pg_bitutils.h"
#include "utils/float.h"
#include "utils/memutils.h"

#include "aggregate/exact_sum.h"

/*
 * Doubles reach the places 0 to 64; the sum of 2^63 of the greatest ends in place 66.
 */
#define PLACES 67
#define FIRST_CAPACITY 4

#define ADDITIONS 2046

/* The digits of a sum: magnitude = SUM digit[i] * 2^(32 * (base + i) - 1075). */
typedef struct Digits
{
	bool negative;
	int base;
	int count; /* digit[count - 1] isn't zero; 0 if the sum is */
	uint32 digit[PLACES + 1];
} Digits;

/* The three leading digits of a magnitude, all that rounding needs of it. */
typedef struct Leading
{
	uint32 digit[3]; /* the first isn't zero */
	int place;		 /* of the first */
	bool more;		 /* is there anything below them? */
} Leading;

/* What a binary floating-point format can hold. */
typedef struct FloatFormat
{
	int bits;		  /* of the significand, with the hidden one */
	int min_exponent; /* of the least normal number, 2^min_exponent */
	int max_exponent; /* of the greatest numbers, < 2^(max_exponent + 1) */
} FloatFormat;

static const FloatFormat float8_format = {53, -1022, 1023};
static const FloatFormat float4_format = {24, -126, 127};

/* ---------- chunks ---------- */

void
exact_sum_init(ExactSum *sum, MemoryContext context)
{
	memset(sum, 0, sizeof(*sum));
	sum->context = context;
	sum->room = ADDITIONS;
}

void
exact_sum_free(ExactSum *sum)
{
	if (sum->chunk)
		pfree(sum->chunk);
	exact_sum_init(sum, sum->context);
}

/* Has the chunks of all places from first to last (inclusive) in use. */
static void
cover(ExactSum *sum, int first, int last)
{
	int64 *chunk = sum->chunk;

	if (sum->chunks > 0)
	{
		first = Min(first, sum->base);
		last = Max(last, sum->base + sum->chunks - 1);
		if (sum->chunks == last - first + 1)
			return;
	}
	Assert(first >= 0 && last < PLACES);

	if (last - first + 1 > sum->capacity)
	{
		sum->capacity = Max(last - first + 1, FIRST_CAPACITY);
		chunk = MemoryContextAlloc(sum->context, sum->capacity * sizeof(int64));
	}
	if (sum->chunks > 0)
		memmove(chunk + (sum->base - first), sum->chunk, sum->chunks * sizeof(int64));
	else
		sum->base = first;
	memset(chunk, 0, (sum->base - first) * sizeof(int64));
	memset(chunk + (sum->base - first) + sum->chunks, 0,
		   (last + 1 - sum->base - sum->chunks) * sizeof(int64));

	if (sum->chunk && sum->chunk != chunk)
		pfree(sum->chunk);
	sum->chunk = chunk;
	sum->chunks = last - first + 1;
	sum->base = first;
}

/* Passes the spare bits of every chunk on to the next, above the last to a new one if need be. */
static void
propagate_carries(ExactSum *sum)
{
	int64 carry = 0;

	for (int i = 0; i < sum->chunks; i++)
	{
		int64 value = sum->chunk[i] + carry;

		carry = value >> 32;
		if (i == sum->chunks - 1 && carry == -1)
		{
			/* a small negative number: the last chunk may have a sign */
			sum->chunk[i] = value;
			carry = 0;
		}
		else
			sum->chunk[i] = value & PG_UINT32_MAX;
	}
	sum->room = ADDITIONS;
	if (carry != 0)
	{
		cover(sum, sum->base, sum->base + sum->chunks);
		sum->chunk[sum->chunks - 1] = carry;
	}
}

/* Lets exact_sum_accumulate add a value at place. */
void
exact_sum_make_room(ExactSum *sum, int place)
{
	cover(sum, place, place + 1);
	if (sum->room == 0)
		propagate_carries(sum);
}

/* Adds or takes away what isn't a normal number. */
void
exact_sum_rare(ExactSum *sum, uint64 bits, bool subtract)
{
	bool negative = bits >> 63;
	uint64 fraction = bits & UINT64CONST(0xfffffffffffff);
	int64 step = subtract ? -1 : 1;

	if ((bits >> 52 & 0x7ff) == 0)
	{
		if (fraction != 0)
			exact_sum_accumulate(sum, fraction, 1, negative ^ subtract);
		else if (negative)
			sum->negative_zeros += step;
	}
	else if (fraction != 0)
		sum->nans += step;
	else if (negative)
		sum->negative_infinities += step;
	else
		sum->positive_infinities += step;
}

/* ---------- digits ---------- */

/* Carries on the way to digits, with every chunk multiplied by sign. Returns the last carry. */
static int64
carry_into_digits(const ExactSum *sum, int64 sign, uint32 *digit)
{
	int64 carry = 0;

	for (int i = 0; i < sum->chunks; i++)
	{
		int64 value = sign * sum->chunk[i] + carry;

		digit[i] = (uint32) value;
		carry = value >> 32;
	}
	return carry;
}

static void
normalise(const ExactSum *sum, Digits *digits)
{
	int64 carry;

	/* The last chunk tells the sign, mostly. If the carry says otherwise, it is the other one. */
	digits->negative = sum->chunks > 0 && sum->chunk[sum->chunks - 1] < 0;
	carry = carry_into_digits(sum, digits->negative ? -1 : 1, digits->digit);
	if (carry < 0)
	{
		digits->negative = !digits->negative;
		carry = carry_into_digits(sum, digits->negative ? -1 : 1, digits->digit);
	}
	Assert(carry >= 0 && carry <= PG_UINT32_MAX);

	digits->base = sum->base;
	digits->digit[sum->chunks] = (uint32) carry;
	digits->count = sum->chunks + 1;
	while (digits->count > 0 && digits->digit[digits->count - 1] == 0)
		digits->count--;
	if (digits->count == 0)
		digits->negative = false;
}

static bool
any_digit(const Digits *digits, int below)
{
	for (int i = below - 1; i >= 0; i--)
		if (digits->digit[i] != 0)
			return true;
	return false;
}

/* The leading digits of a sum other than zero. */
static void
lead(const Digits *digits, Leading *leading)
{
	int top = digits->count - 1;

	leading->place = digits->base + top;
	for (int i = 0; i < 3; i++)
		leading->digit[i] = top >= i ? digits->digit[top - i] : 0;
	leading->more = any_digit(digits, top - 2);
}

/* One digit of a long division: (rest * 2^32 + digit) / divisor; rest < divisor < 2^63. */
static uint32
divide_digit(uint64 *rest, uint32 digit, uint64 divisor)
{
	uint32 quotient = 0;

	if (divisor <= PG_UINT32_MAX)
	{
		uint64 value = *rest << 32 | digit;

		*rest = value % divisor;
		return (uint32) (value / divisor);
	}
	for (int bit = 31; bit >= 0; bit--)
	{
		*rest = *rest << 1 | (digit >> bit & 1);
		quotient <<= 1;
		if (*rest >= divisor)
		{
			*rest -= divisor;
			quotient |= 1;
		}
	}
	return quotient;
}

/* The leading digits of a sum other than zero, divided. */
static void
lead_of_quotient(const Digits *digits, int64 divisor, Leading *leading)
{
	uint64 rest = 0;
	int found = 0;
	int i;

	leading->place = digits->base; /* of the first digit that is found: there is one */
	for (i = digits->count - 1; found < 3; i--)
	{
		uint32 quotient = divide_digit(&rest, i >= 0 ? digits->digit[i] : 0, divisor);

		if (found == 0 && quotient == 0)
			continue;
		if (found == 0)
			leading->place = digits->base + i;
		leading->digit[found++] = quotient;
	}
	leading->more = rest != 0 || any_digit(digits, i + 1);
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
	int drop = 64 - format->bits;
	uint64 encoded = 0;
	uint64 rest;
	uint64 half;
	uint64 kept;

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
	return encoded + kept;
}

/* Rounds leading digits; raises an error when the result is out of the format's range. */
static uint64
round_leading(const Leading *leading, const FloatFormat *format)
{
	uint64 significand = (uint64) leading->digit[0] << 32 | leading->digit[1];
	int shift = 63 - pg_leftmost_one_pos64(significand);
	uint64 third = (uint64) leading->digit[2] << shift; /* 32 bits join, the rest is below */
	int exponent = 32 * leading->place + 31 - shift - 1075;
	uint64 infinity = (uint64) (format->max_exponent - format->min_exponent + 2)
					  << (format->bits - 1);
	uint64 encoded;

	significand = significand << shift | third >> 32;
	encoded = round_to_even(significand, leading->more || (uint32) third != 0, exponent, format);
	if (encoded >= infinity)
		float_overflow_error();
	return encoded;
}

/* Is there a NaN or an infinity? Then it decides sum and average. */
static bool
special_sum(const ExactSum *sum, float8 *result)
{
	if (likely((sum->nans | sum->positive_infinities | sum->negative_infinities) == 0))
		return false;
	if (sum->nans > 0 || (sum->positive_infinities > 0 && sum->negative_infinities > 0))
		*result = get_float8_nan();
	else
		*result = sum->positive_infinities > 0 ? get_float8_infinity() : -get_float8_infinity();
	return true;
}

/* Is the sum -0? Asked when it is zero. */
static bool
negative_zero(const ExactSum *sum)
{
	return sum->count > 0 && sum->negative_zeros == sum->count;
}

static float8
make_float8(uint64 encoded, bool negative)
{
	float8 result;

	encoded |= (uint64) negative << 63;
	memcpy(&result, &encoded, sizeof(result));
	return result;
}

/* ---------- results ---------- */

float8
exact_sum_float8(const ExactSum *sum)
{
	float8 special;
	Digits digits;
	Leading leading;

	if (special_sum(sum, &special))
		return special;
	normalise(sum, &digits);
	if (digits.count == 0)
		return make_float8(0, negative_zero(sum));
	lead(&digits, &leading);
	return make_float8(round_leading(&leading, &float8_format), digits.negative);
}

float4
exact_sum_float4(const ExactSum *sum)
{
	float8 special;
	Digits digits;
	Leading leading;
	uint32 encoded;
	float4 result;

	if (special_sum(sum, &special))
		return (float4) special;
	normalise(sum, &digits);
	if (digits.count == 0)
		return negative_zero(sum) ? -0.0f : 0.0f;
	lead(&digits, &leading);
	encoded = (uint32) round_leading(&leading, &float4_format) | (uint32) digits.negative << 31;
	memcpy(&result, &encoded, sizeof(result));
	return result;
}

/* The average of nothing but -0 is 0, as PostgreSQL's avg has it. */
float8
exact_sum_average(const ExactSum *sum)
{
	float8 special;
	Digits digits;
	Leading leading;

	Assert(sum->count > 0);
	if (special_sum(sum, &special))
		return special;
	normalise(sum, &digits);
	if (digits.count == 0)
		return 0.0;
	lead_of_quotient(&digits, sum->count, &leading);
	return make_float8(round_leading(&leading, &float8_format), digits.negative);
}

/* ---------- partial sums ---------- */

/* Adds digits, which counts as adding one value. */
static void
add_digits(ExactSum *sum, const Digits *digits)
{
	int first = 0;

	if (digits->count == 0)
		return;
	while (digits->digit[first] == 0)
		first++;
	cover(sum, digits->base + first, digits->base + digits->count - 1);
	if (sum->room == 0)
		propagate_carries(sum);
	for (int i = first; i < digits->count; i++)
	{
		int64 digit = digits->digit[i];

		sum->chunk[digits->base + i - sum->base] += digits->negative ? -digit : digit;
	}
	sum->room--;
}

void
exact_sum_merge(ExactSum *sum, const ExactSum *other)
{
	Digits digits;

	sum->count += other->count;
	sum->nans += other->nans;
	sum->positive_infinities += other->positive_infinities;
	sum->negative_infinities += other->negative_infinities;
	sum->negative_zeros += other->negative_zeros;

	normalise(other, &digits);
	add_digits(sum, &digits);
}

/*
 * The format: the five counts (int64 each), the sign (a byte), the first digit's place, the
 * number of digits (16 bits each), the digits from the least to the greatest that isn't zero (32
 * bits each).
 */
void
exact_sum_write(const ExactSum *sum, StringInfo buf)
{
	Digits digits;
	int first = 0;

	normalise(sum, &digits);
	while (first < digits.count && digits.digit[first] == 0)
		first++;

	pq_sendint64(buf, sum->count);
	pq_sendint64(buf, sum->nans);
	pq_sendint64(buf, sum->positive_infinities);
	pq_sendint64(buf, sum->negative_infinities);
	pq_sendint64(buf, sum->negative_zeros);
	pq_sendint8(buf, digits.negative);
	pq_sendint16(buf, digits.count == 0 ? 0 : digits.base + first);
	pq_sendint16(buf, digits.count - first);
	for (int i = first; i < digits.count; i++)
		pq_sendint32(buf, digits.digit[i]);
}

void
exact_sum_read(ExactSum *sum, MemoryContext context, StringInfo buf)
{
	Digits digits;

	exact_sum_init(sum, context);
	sum->count = pq_getmsgint64(buf);
	sum->nans = pq_getmsgint64(buf);
	sum->positive_infinities = pq_getmsgint64(buf);
	sum->negative_infinities = pq_getmsgint64(buf);
	sum->negative_zeros = pq_getmsgint64(buf);

	digits.negative = pq_getmsgbyte(buf) != 0;
	digits.base = pq_getmsgint(buf, 2);
	digits.count = pq_getmsgint(buf, 2);
	if (digits.base + digits.count > PLACES)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("invalid representation of an exact sum")));
	for (int i = 0; i < digits.count; i++)
		digits.digit[i] = pq_getmsgint(buf, 4);
	if (digits.count > 0 && digits.digit[digits.count - 1] == 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("invalid representation of an exact sum")));
	add_digits(sum, &digits);
}
