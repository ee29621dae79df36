/*
 * exact_number.c: the exact sum of floats, or of products of two floats, as one wide integer.
 *
 * A finite double is m * 2^(e - 1075) with |m| < 2^53 and 1 <= e <= 2046. So any sum of doubles is
 * an integer in units of 2^-1075, of at most 2098 bits and as many more as there were carries; and
 * a sum of products of two doubles is one in units of 2^-2150, of at most 4196 bits, although the
 * product of two doubles may be far out of the range of a double. We keep that integer, and round
 * only when a result is asked for. So a sum
 * - does not depend on the order of its inputs, nor on how they were split among partial sums;
 * - has an inverse: subtracting a value leaves exactly the sum without it, whatever passed through;
 * - overflows only if the result does.
 *
 * The integer is held in two's complement, in 64-bit words, but only those words that were needed
 * so far (a window of U. Kulisch's long accumulator, "Computer Arithmetic and Validity", 2008):
 *
 *     sum = SUM word[i] * 2^(64 * (base + i) + unit), the last word signed
 *
 *     place      base + 2        base + 1        base
 *     word    |----- 64 -----|----- 64 -----|----- 64 -----|
 *     a float                    |--- 53 bits, shifted by e mod 64 ---|
 *     a product     |------------- 106 bits, shifted ------------|
 *
 * A float touches two words and a product three; a carry out of them usually ends there, because
 * the sum is longer than its addends. The invariant is that the last word has a bit to spare:
 *
 *     -2^62 <= the last word < 2^62
 *
 * so that no addition overflows it. After each one that reached it we look, and put another word
 * above it when it doesn't hold.
 *
 * Where a word begins is chosen (EXACT_SUM_SHIFT) so that floats from 2^-24 to 2^40 all have the
 * same place, and products from 2^-16 to 2^48: amounts of money, or what a sensor says, and their
 * squares. Such a sum has two words until it exceeds 2^58, and one of squares three: they are in
 * the struct itself. With any other data there are more words, elsewhere, up to 35 and 69.
 */
#include "tidemark.h"

#include "libpq/pqformat.h"
#include "utils/float.h"
#include "utils/memutils.h"

#include "aggregate/exact_number.h"

/* ---------- values ---------- */

/* float_parts for what isn't a normal number. */
bool
float_parts_rare(float8 value, FloatParts *parts)
{
	uint64 bits;

	memcpy(&bits, &value, sizeof(bits));
	parts->magnitude = bits & UINT64CONST(0xfffffffffffff);
	parts->exponent = 1;
	parts->negative = bits >> 63;
	return (bits >> 52 & 0x7ff) == 0 && parts->magnitude != 0;
}

/* ---------- words ---------- */

void
exact_number_free(ExactNumber *number)
{
	if (number->capacity > 0)
		pfree(number->word.elsewhere);
	memset(number, 0, sizeof(*number));
}

/* Has the words of all places from first to last in use. */
void
exact_number_cover(ExactNumber *number, MemoryContext context, int first, int last)
{
	uint64 *old = exact_number_words(number);
	uint64 *word = old;
	int capacity = number->capacity;
	int below = 0;
	uint64 sign = 0;

	if (number->words > 0)
	{
		first = Min(first, number->base);
		last = Max(last, number->base + number->words - 1);
		below = number->base - first;
		sign = (int64) old[number->words - 1] < 0 ? PG_UINT64_MAX : 0;
	}
	Assert(first >= 0 && last < EXACT_PRODUCT_PLACES + 2);

	if (last - first + 1 > Max(capacity, EXACT_WORDS_HERE))
	{
		capacity = TYPEALIGN(4, last - first + 1);
		word = MemoryContextAlloc(context, capacity * sizeof(uint64));
	}
	memmove(word + below, old, number->words * sizeof(uint64));
	memset(word, 0, below * sizeof(uint64));
	for (int i = below + number->words; i <= last - first; i++)
		word[i] = sign;

	if (word != old)
	{
		if (number->capacity > 0)
			pfree(old);
		number->word.elsewhere = word;
		number->capacity = capacity;
	}
	number->base = first;
	number->words = last - first + 1;
}

/* Puts a word above the last one, which has no bit to spare any more. */
void
exact_number_widen(ExactNumber *number, MemoryContext context)
{
	exact_number_cover(number, context, number->base, number->base + number->words);
}

/* exact_number_step when not all the words are there. */
void
exact_number_step_beyond(ExactNumber *number, MemoryContext context, int count, uint64 low,
						 uint64 middle, uint64 high, int place, bool subtract)
{
	exact_number_cover(number, context, place, place + count - 1);
	exact_number_step(number, context, count, low, middle, high, place, subtract);
}

/* Another number of the same unit. Both keep the invariant, so the last words don't overflow. */
void
exact_number_merge(ExactNumber *number, MemoryContext context, const ExactNumber *other)
{
	const uint64 *addend = exact_number_words(unconstify(ExactNumber *, other));
	uint64 carry = 0;
	uint64 sign;
	uint64 *word;

	if (other->words == 0)
		return;
	exact_number_cover(number, context, other->base, other->base + other->words - 1);
	word = exact_number_words(number);
	sign = (int64) addend[other->words - 1] < 0 ? PG_UINT64_MAX : 0;
	for (int i = other->base - number->base; i < number->words; i++)
	{
		int from = i - (other->base - number->base);
		uint64 sum = word[i] + (from < other->words ? addend[from] : sign);
		uint64 overflow = sum < word[i];

		word[i] = sum + carry;
		carry = overflow | (word[i] < carry);
	}
	if ((word[number->words - 1] + (UINT64CONST(1) << 62)) >> 63)
		exact_number_widen(number, context);
}

void
exact_number_get(const ExactNumber *number, int unit, BigNumber *result)
{
	big_from_words(result, exact_number_words(unconstify(ExactNumber *, number)), number->words,
				   64 * number->base + unit);
}

/* ---------- as bytes ---------- */

/* Which words have to be known: not zeros below, not mere signs above. */
static void
significant_words(const ExactNumber *number, const uint64 *word, int *first, int *end)
{
	*first = 0;
	*end = number->words;
	while (*first < *end && word[*first] == 0)
		(*first)++;
	while (*end - *first > 1 && word[*end - 1] == (uint64) ((int64) word[*end - 2] >> 63))
		(*end)--;
}

/* The format: the first word's place, the number of words (8 bits each), the words. */
void
exact_number_write(const ExactNumber *number, StringInfo buf)
{
	const uint64 *word = exact_number_words(unconstify(ExactNumber *, number));
	int first;
	int end;

	significant_words(number, word, &first, &end);
	pq_sendint8(buf, first == end ? 0 : number->base + first);
	pq_sendint8(buf, end - first);
	for (int i = first; i < end; i++)
		pq_sendint64(buf, word[i]);
}

void
exact_number_read(ExactNumber *number, MemoryContext context, int places, StringInfo buf)
{
	int base = pq_getmsgbyte(buf);
	int words = pq_getmsgbyte(buf);
	uint64 *word;

	memset(number, 0, sizeof(*number));
	if (words == 0)
		return;
	if (base + words > places)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("invalid representation of an exact sum")));
	exact_number_cover(number, context, base, base + words - 1);
	word = exact_number_words(number);
	for (int i = 0; i < words; i++)
		word[i] = pq_getmsgint64(buf);
	if ((word[words - 1] + (UINT64CONST(1) << 62)) >> 63)
		exact_number_widen(number, context);
}

/* ---------- special values ---------- */

void
exact_specials_free(ExactSpecials **specials)
{
	if (*specials)
		pfree(*specials);
	*specials = NULL;
}

/* Adds counts to the counts; where all are zero then, there is no struct any more. */
void
exact_specials_merge(ExactSpecials **specials, MemoryContext context, const ExactSpecials *other)
{
	ExactSpecials *sum;

	if (other == NULL)
		return;
	if (*specials == NULL)
		*specials = MemoryContextAllocZero(context, sizeof(ExactSpecials));
	sum = *specials;
	sum->nans += other->nans;
	sum->positive_infinities += other->positive_infinities;
	sum->negative_infinities += other->negative_infinities;
	sum->negative_zeros += other->negative_zeros;
	if ((sum->nans | sum->positive_infinities | sum->negative_infinities | sum->negative_zeros) ==
		0)
		exact_specials_free(specials);
}

void
exact_specials_step(ExactSpecials **specials, MemoryContext context, float8 value, bool subtract)
{
	ExactSpecials one = {0};
	int64 step = subtract ? -1 : 1;

	if (isnan(value))
		one.nans = step;
	else if (isinf(value))
		*(value > 0 ? &one.positive_infinities : &one.negative_infinities) = step;
	else if (value == 0 && signbit(value))
		one.negative_zeros = step;
	else
		return;
	exact_specials_merge(specials, context, &one);
}

bool
exact_specials_sum(const ExactSpecials *specials, float8 *result)
{
	if (likely(specials == NULL))
		return false;
	if (specials->nans > 0 ||
		(specials->positive_infinities > 0 && specials->negative_infinities > 0))
		*result = get_float8_nan();
	else if (specials->positive_infinities > 0)
		*result = get_float8_infinity();
	else if (specials->negative_infinities > 0)
		*result = -get_float8_infinity();
	else
		return false;
	return true;
}

/* The format: whether there are any (8 bits), and if so the four counts (64 bits each). */
void
exact_specials_write(const ExactSpecials *specials, StringInfo buf)
{
	pq_sendint8(buf, specials != NULL);
	if (specials == NULL)
		return;
	pq_sendint64(buf, specials->nans);
	pq_sendint64(buf, specials->positive_infinities);
	pq_sendint64(buf, specials->negative_infinities);
	pq_sendint64(buf, specials->negative_zeros);
}

void
exact_specials_read(ExactSpecials **specials, MemoryContext context, StringInfo buf)
{
	ExactSpecials read = {0};

	*specials = NULL;
	if (pq_getmsgbyte(buf) == 0)
		return;
	read.nans = pq_getmsgint64(buf);
	read.positive_infinities = pq_getmsgint64(buf);
	read.negative_infinities = pq_getmsgint64(buf);
	read.negative_zeros = pq_getmsgint64(buf);
	exact_specials_merge(specials, context, &read);
}
