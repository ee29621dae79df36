/*
 * decimal_sum.c: exact sums of numerics, with an inverse.
 *
 * PostgreSQL's numeric has digits in base 10000. A sum is kept as such digits, each in 64 bits
 * with a sign of its own:
 *
 *     sum = SUM digit[i] * 10000^(base + i)
 *
 * so a value is added or taken away digit by digit, without carries: what is taken away leaves the
 * digits as if it had never come. `bound` says how large a digit may have become; before it could
 * overflow, the carries are passed on. The square of a value is added likewise, from the products
 * of its digits. A result passes the carries on in a copy.
 *
 * PostgreSQL's own sum of numerics has an inverse, too, but one that gives up when it can't know the
 * result's display scale. The scale is none of our business: whoever sums counts the scales.
 *
 * The format of a numeric on disk, which is read and written here, is as fixed as any: it is in
 * every table, and pg_upgrade doesn't touch it.
 */
#include "tidemark.h"

#include "libpq/pqformat.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "aggregate/decimal_sum.h"
#include "aggregate/sliding_method.h"

#define BASE 10000
#define DECIMALS_A_DIGIT 4
#define BOUND_MAX (PG_INT64_MAX / 2)
#define FIRST_CAPACITY 4

/* The first 16 bits of a numeric: two formats, and what isn't finite. */
#define SPECIAL 0xC000
#define SPECIAL_NAN 0xC000
#define SPECIAL_INFINITY 0xD000
#define SPECIAL_MINUS_INFINITY 0xF000
#define SHORT_FORMAT 0x8000
#define SHORT_NEGATIVE 0x2000
#define SHORT_SCALE_SHIFT 7
#define SHORT_SCALE_MAX 0x3F
#define SHORT_WEIGHT_NEGATIVE 0x0040
#define SHORT_WEIGHT 0x003F
#define LONG_NEGATIVE 0x4000
#define LONG_SCALE 0x3FFF

/* ---------- numerics ---------- */

static void
read_special(Decimal *decimal, uint16 header)
{
	decimal->kind = header == SPECIAL_INFINITY		   ? DECIMAL_INFINITY
					: header == SPECIAL_MINUS_INFINITY ? DECIMAL_MINUS_INFINITY
													   : DECIMAL_NAN;
}

void
decimal_read(Decimal *decimal, Datum numeric)
{
	struct varlena *value = PG_DETOAST_DATUM_PACKED(numeric);
	const char *bytes = VARDATA_ANY(value);
	int length = VARSIZE_ANY_EXHDR(value);
	uint16 header;
	int16 weight;

	memcpy(&header, bytes, sizeof(header));
	if ((header & SPECIAL) == SPECIAL)
	{
		read_special(decimal, header);
		return;
	}
	decimal->kind = DECIMAL_FINITE;
	if (header & SHORT_FORMAT)
	{
		decimal->negative = (header & SHORT_NEGATIVE) != 0;
		decimal->scale = header >> SHORT_SCALE_SHIFT & SHORT_SCALE_MAX;
		decimal->weight = (header & SHORT_WEIGHT) -
						  (header & SHORT_WEIGHT_NEGATIVE ? SHORT_WEIGHT + 1 : 0);
		decimal->digits = bytes + sizeof(header);
	}
	else
	{
		decimal->negative = (header & LONG_NEGATIVE) != 0;
		decimal->scale = header & LONG_SCALE;
		memcpy(&weight, bytes + sizeof(header), sizeof(weight));
		decimal->weight = weight;
		decimal->digits = bytes + sizeof(header) + sizeof(weight);
	}
	decimal->count = (bytes + length - decimal->digits) / sizeof(int16);
}

void
decimal_of_int64(Decimal *decimal, int64 value)
{
	uint64 rest = value < 0 ? -(uint64) value : (uint64) value;
	int first = lengthof(decimal->buffer);

	while (rest != 0)
	{
		decimal->buffer[--first] = rest % BASE;
		rest /= BASE;
	}
	decimal->kind = DECIMAL_FINITE;
	decimal->negative = value < 0;
	decimal->scale = 0;
	decimal->count = lengthof(decimal->buffer) - first;
	decimal->weight = decimal->count - 1;
	decimal->digits = (const char *) &decimal->buffer[first];
}

/* digits[0], counting 10000^weight, and those that follow as a numeric. */
static Datum
make_numeric(bool negative, int weight, int scale, const int16 *digits, int count)
{
	char header[2 * sizeof(uint16)];
	int header_size = sizeof(uint16);
	uint16 first;
	int16 long_weight;
	struct varlena *result;

	if (count == 0)
		weight = 0;
	if (scale <= SHORT_SCALE_MAX && weight >= -(SHORT_WEIGHT + 1) && weight <= SHORT_WEIGHT)
		first = SHORT_FORMAT | (negative ? SHORT_NEGATIVE : 0) | scale << SHORT_SCALE_SHIFT |
				(weight < 0 ? SHORT_WEIGHT_NEGATIVE : 0) | (weight & SHORT_WEIGHT);
	else
	{
		if (scale > LONG_SCALE || weight > PG_INT16_MAX || weight < PG_INT16_MIN)
			ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							errmsg("value overflows numeric format")));
		first = (negative ? LONG_NEGATIVE : 0) | scale;
		long_weight = weight;
		memcpy(header + header_size, &long_weight, sizeof(int16));
		header_size += sizeof(int16);
	}
	memcpy(header, &first, sizeof(uint16));

	result = palloc(VARHDRSZ + header_size + count * sizeof(int16));
	SET_VARSIZE(result, VARHDRSZ + header_size + count * sizeof(int16));
	memcpy(VARDATA(result), header, header_size);
	memcpy(VARDATA(result) + header_size, digits, count * sizeof(int16));
	return PointerGetDatum(result);
}

Datum
decimal_special(DecimalKind kind)
{
	uint16 header = kind == DECIMAL_INFINITY		 ? SPECIAL_INFINITY
					: kind == DECIMAL_MINUS_INFINITY ? SPECIAL_MINUS_INFINITY
													 : SPECIAL_NAN;
	struct varlena *result = palloc(VARHDRSZ + sizeof(header));

	SET_VARSIZE(result, VARHDRSZ + sizeof(header));
	memcpy(VARDATA(result), &header, sizeof(header));
	return PointerGetDatum(result);
}

/* ---------- sums ---------- */

void
decimal_sum_init(DecimalSum *sum, MemoryContext context)
{
	memset(sum, 0, sizeof(*sum));
	sum->context = context;
}

void
decimal_sum_free(DecimalSum *sum)
{
	if (sum->digit)
		pfree(sum->digit);
	decimal_sum_init(sum, sum->context);
}

/* Has the digits from 10000^first to 10000^last. */
static void
cover(DecimalSum *sum, int first, int last)
{
	int64 *digit = sum->digit;

	if (sum->count > 0)
	{
		first = Min(first, sum->base);
		last = Max(last, sum->base + sum->count - 1);
		if (last - first + 1 == sum->count)
			return;
	}
	if (last - first + 1 > sum->capacity)
	{
		sum->capacity = Max(last - first + 1, FIRST_CAPACITY);
		digit = MemoryContextAlloc(sum->context, sizeof(int64) * sum->capacity);
	}
	if (sum->count > 0)
		memmove(digit + (sum->base - first), sum->digit, sizeof(int64) * sum->count);
	else
		sum->base = first;
	memset(digit, 0, sizeof(int64) * (sum->base - first));
	memset(digit + (sum->base - first) + sum->count, 0,
		   sizeof(int64) * (last + 1 - sum->base - sum->count));
	if (sum->digit && sum->digit != digit)
		pfree(sum->digit);
	sum->digit = digit;
	sum->count = last - first + 1;
	sum->base = first;
}

/* Passes what is more than a digit on to the next. Returns what is left behind the last. */
static int64
carry(const int64 *from, int64 *to, int count)
{
	int64 rest = 0;

	for (int i = 0; i < count; i++)
	{
		int64 value = from[i] + rest;

		rest = value / BASE;
		to[i] = value % BASE;
	}
	return rest;
}

/* Lets every digit grow by step. */
static void
make_room(DecimalSum *sum, int64 step)
{
	if (likely(sum->bound <= BOUND_MAX - step))
	{
		sum->bound += step;
		return;
	}
	for (int64 rest = carry(sum->digit, sum->digit, sum->count); rest != 0; rest /= BASE)
	{
		cover(sum, sum->base, sum->base + sum->count);
		sum->digit[sum->count - 1] = rest % BASE;
	}
	sum->bound = BASE + step;
}

static inline int16
digit_of(const Decimal *decimal, int i)
{
	int16 digit;

	memcpy(&digit, decimal->digits + i * sizeof(int16), sizeof(digit));
	return digit;
}

void
decimal_sum_add(DecimalSum *sum, const Decimal *decimal, bool subtract)
{
	bool negative = decimal->negative ^ subtract;
	int64 *place;

	if (decimal->count == 0)
		return;
	cover(sum, decimal->weight - decimal->count + 1, decimal->weight);
	make_room(sum, BASE);
	place = &sum->digit[decimal->weight - sum->base];
	for (int i = 0; i < decimal->count; i++)
	{
		int64 digit = digit_of(decimal, i);

		*place-- += negative ? -digit : digit;
	}
}

void
decimal_sum_add_square(DecimalSum *sum, const Decimal *decimal, bool subtract)
{
	int64 *first;

	if (decimal->count == 0)
		return;
	cover(sum, 2 * (decimal->weight - decimal->count + 1), 2 * decimal->weight);
	make_room(sum, (int64) decimal->count * BASE * BASE);
	first = &sum->digit[2 * decimal->weight - sum->base];
	for (int i = 0; i < decimal->count; i++)
	{
		int64 one = digit_of(decimal, i);

		for (int j = 0; j < decimal->count; j++)
		{
			int64 product = one * digit_of(decimal, j);

			first[-(i + j)] += subtract ? -product : product;
		}
	}
}

/* A sum's digits, none negative, from the last to the first that isn't 0; with trailing zeros. */
typedef struct Digits
{
	bool negative;
	int count;
	int64 *digit;
	int64 local[64];
} Digits;

static void
normalise(const DecimalSum *sum, Digits *digits)
{
	int capacity = sum->count + 5; /* a digit of 64 bits carries into five */
	int64 rest;

	digits->digit = capacity <= lengthof(digits->local) ? digits->local
														: palloc(sizeof(int64) * capacity);
	digits->count = sum->count;
	for (rest = carry(sum->digit, digits->digit, sum->count); rest != 0; rest /= BASE)
		digits->digit[digits->count++] = rest % BASE;
	while (digits->count > 0 && digits->digit[digits->count - 1] == 0)
		digits->count--;

	/* The first digit has the sign of the whole. */
	digits->negative = digits->count > 0 && digits->digit[digits->count - 1] < 0;
	for (int i = 0; i < digits->count; i++)
	{
		if (digits->negative)
			digits->digit[i] = -digits->digit[i];
	}
	for (int i = 0; i < digits->count; i++)
	{
		if (digits->digit[i] < 0)
		{
			digits->digit[i] += BASE;
			digits->digit[i + 1]--;
		}
	}
	while (digits->count > 0 && digits->digit[digits->count - 1] == 0)
		digits->count--;
}

static void
digits_free(Digits *digits)
{
	if (digits->digit != digits->local)
		pfree(digits->digit);
}

/* Digits in the order of writing, without trailing zeros. */
static int16 *
written(const Digits *digits, int *count)
{
	int16 *result = palloc(sizeof(int16) * Max(digits->count, 1));
	int last = 0;

	while (last < digits->count && digits->digit[last] == 0)
		last++;
	*count = digits->count - last;
	for (int i = 0; i < *count; i++)
		result[i] = (int16) digits->digit[digits->count - 1 - i];
	return result;
}

Datum
decimal_sum_numeric(const DecimalSum *sum, int scale)
{
	Digits digits;
	int16 *result;
	int count;
	Datum numeric;

	normalise(sum, &digits);
	result = written(&digits, &count);
	numeric = make_numeric(digits.negative, sum->base + digits.count - 1, scale, result, count);
	pfree(result);
	digits_free(&digits);
	return numeric;
}

void
decimal_sum_write(const DecimalSum *sum, int scale, StringInfo buf)
{
	Digits digits;
	int16 *result;
	int count;

	normalise(sum, &digits);
	result = written(&digits, &count);
	pq_sendint32(buf, count);
	pq_sendint32(buf, count == 0 ? 0 : sum->base + digits.count - 1);
	pq_sendint32(buf, digits.negative ? LONG_NEGATIVE : 0);
	pq_sendint32(buf, scale);
	for (int i = 0; i < count; i++)
		pq_sendint16(buf, result[i]);
	pfree(result);
	digits_free(&digits);
}

void
decimal_sum_read(DecimalSum *sum, StringInfo buf)
{
	Decimal decimal = {DECIMAL_FINITE};
	int16 *digits;

	decimal.count = pq_getmsgint(buf, 4);
	decimal.weight = pq_getmsgint(buf, 4);
	decimal.negative = pq_getmsgint(buf, 4) != 0;
	decimal.scale = pq_getmsgint(buf, 4);
	if (decimal.count < 0 || decimal.count > (buf->len - buf->cursor) / (int) sizeof(int16) ||
		abs(decimal.weight) > 4 * PG_INT16_MAX)
		sliding_bad_bytes();
	digits = palloc(sizeof(int16) * Max(decimal.count, 1));
	for (int i = 0; i < decimal.count; i++)
	{
		digits[i] = pq_getmsgint(buf, 2);
		if (digits[i] < 0 || digits[i] >= BASE)
			sliding_bad_bytes();
	}
	decimal.digits = (const char *) digits;
	decimal_sum_free(sum);
	decimal_sum_add(sum, &decimal, false);
	pfree(digits);
}
