/*
 * exact_sum.c: exact sums of floats.
 *
 * A sum is kept without any error (exact_number.c) and rounded once, when a result is asked for,
 * which changes nothing in it. So it doesn't depend on the order of its inputs, nor on how they
 * were split among partial sums, and subtracting a value leaves exactly the sum without it.
 *
 * NaN and the infinities are counted, not added, so that they leave a window as they entered it.
 * So is -0: the sum is -0 if there is nothing else, as IEEE 754 has it.
 */
#include "tidemark.h"

#include "libpq/pqformat.h"

#include "aggregate/exact_sum.h"

void
exact_sum_init(ExactSum *sum, MemoryContext context)
{
	memset(sum, 0, sizeof(*sum));
	sum->context = context;
}

void
exact_sum_free(ExactSum *sum)
{
	exact_number_free(&sum->number);
	exact_specials_free(&sum->specials);
	sum->count = 0;
}

void
exact_sum_step_rare(ExactSum *sum, float8 value, bool subtract)
{
	FloatParts parts;

	if (float_parts(value, &parts))
		exact_number_add_float(&sum->number, sum->context, &parts, subtract);
	else
		exact_specials_step(&sum->specials, sum->context, value, subtract);
}

/* ---------- results ---------- */

/* Is the sum -0? Asked when it is zero. */
static bool
negative_zero(const ExactSum *sum)
{
	return sum->specials && sum->specials->negative_zeros == sum->count;
}

float8
exact_sum_float8(const ExactSum *sum)
{
	float8 special;
	BigNumber total;

	if (exact_specials_sum(sum->specials, &special))
		return special;
	exact_number_get(&sum->number, EXACT_SUM_UNIT, &total);
	if (big_is_zero(&total))
		return negative_zero(sum) ? -0.0 : 0.0;
	return big_float8(&total);
}

float4
exact_sum_float4(const ExactSum *sum)
{
	float8 special;
	BigNumber total;
	uint32 encoded;
	float4 result;

	if (exact_specials_sum(sum->specials, &special))
		return (float4) special;
	exact_number_get(&sum->number, EXACT_SUM_UNIT, &total);
	if (big_is_zero(&total))
		return negative_zero(sum) ? -0.0f : 0.0f;
	encoded = (uint32) big_round(&total, &float4_format) | (uint32) total.negative << 31;
	memcpy(&result, &encoded, sizeof(result));
	return result;
}

/* The average of nothing but -0 is 0, as PostgreSQL's avg has it. */
float8
exact_sum_average(const ExactSum *sum)
{
	float8 special;
	BigNumber total;
	BigNumber count;

	Assert(sum->count > 0);
	if (exact_specials_sum(sum->specials, &special))
		return special;
	exact_number_get(&sum->number, EXACT_SUM_UNIT, &total);
	big_from_int64(&count, sum->count);
	return big_ratio(&total, &count);
}

/* ---------- partial sums ---------- */

void
exact_sum_merge(ExactSum *sum, const ExactSum *other)
{
	sum->count += other->count;
	exact_specials_merge(&sum->specials, sum->context, other->specials);
	exact_number_merge(&sum->number, sum->context, &other->number);
}

/* The format: the count (64 bits), what isn't in the number, the number. */
void
exact_sum_write(const ExactSum *sum, StringInfo buf)
{
	pq_sendint64(buf, sum->count);
	exact_specials_write(sum->specials, buf);
	exact_number_write(&sum->number, buf);
}

void
exact_sum_read(ExactSum *sum, MemoryContext context, StringInfo buf)
{
	exact_sum_init(sum, context);
	sum->count = pq_getmsgint64(buf);
	if (sum->count < 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("invalid representation of an exact sum")));
	exact_specials_read(&sum->specials, context, buf);
	exact_number_read(&sum->number, context, EXACT_SUM_PLACES, buf);
}
