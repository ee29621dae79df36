/*
 * sliding_intervals.c: sums and averages of intervals over a moving window.
 *
 * An interval has months, days and microseconds, which are added each for itself. A state has the
 * three sums, wider than the parts, so that only a result can be out of range; and, for versions of
 * PostgreSQL whose intervals may be infinite, how many are.
 */
#include "tidemark.h"

#include "datatype/timestamp.h"
#include "libpq/pqformat.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "aggregate/sliding_method.h"
#include "aggregate/wide_sum.h"

typedef struct IntervalSum
{
	int64 finite;
	int64 infinities;
	int64 minus_infinities;
	int64 months;
	int64 days;
	WideSum time;
} IntervalSum;

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	return MemoryContextAllocZero(context, sizeof(IntervalSum));
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	pfree(state);
}

/* step: 1 for a row that enters, -1 for one that leaves */
static inline void
count_row(IntervalSum *sum, const NullableDatum *args, int step)
{
	const Interval *value;
	int infinite;

	if (args[0].isnull)
		return;
	value = DatumGetIntervalP(args[0].value);
	infinite = compat_interval_infinite(value);
	if (infinite > 0)
		sum->infinities += step;
	else if (infinite < 0)
		sum->minus_infinities += step;
	else
	{
		sum->finite += step;
		sum->months += step * (int64) value->month;
		sum->days += step * (int64) value->day;
		if (step > 0)
			wide_sum_add(&sum->time, value->time);
		else
			wide_sum_subtract(&sum->time, value->time);
	}
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	count_row(state, args, 1);
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	count_row(state, args, -1);
}

static void
out_of_range(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("interval out of range")));
}

static Interval *
finite_sum(const IntervalSum *sum)
{
	Interval *result = palloc(sizeof(Interval));

	result->month = (int32) sum->months;
	result->day = (int32) sum->days;
	result->time = (TimeOffset) sum->time.low;
	if (result->month != sum->months || result->day != sum->days || !wide_sum_fits(&sum->time) ||
		compat_interval_infinite(result) != 0)
		out_of_range();
	return result;
}

static Datum
result_sum(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	IntervalSum *sum = state;

	*isnull = sum->finite + sum->infinities + sum->minus_infinities == 0;
	if (*isnull)
		return (Datum) 0;
	if (sum->infinities > 0 && sum->minus_infinities > 0)
		out_of_range();
	if (sum->infinities > 0 || sum->minus_infinities > 0)
		return IntervalPGetDatum(compat_infinite_interval(sum->infinities > 0));
	return IntervalPGetDatum(finite_sum(sum));
}

static Datum
result_average(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	IntervalSum *sum = state;
	Datum result = result_sum(aggregate, state, isnull);

	if (*isnull || sum->infinities > 0 || sum->minus_infinities > 0)
		return result;
	return DirectFunctionCall2(interval_div, result, Float8GetDatum((float8) sum->finite));
}

static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	IntervalSum *sum = state;

	pq_sendint64(buf, sum->finite);
	pq_sendint64(buf, sum->infinities);
	pq_sendint64(buf, sum->minus_infinities);
	pq_sendint64(buf, sum->months);
	pq_sendint64(buf, sum->days);
	pq_sendint64(buf, sum->time.low);
	pq_sendint64(buf, sum->time.high);
	return true;
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	IntervalSum *sum = state;

	sum->finite = pq_getmsgint64(buf);
	sum->infinities = pq_getmsgint64(buf);
	sum->minus_infinities = pq_getmsgint64(buf);
	sum->months = pq_getmsgint64(buf);
	sum->days = pq_getmsgint64(buf);
	sum->time.low = pq_getmsgint64(buf);
	sum->time.high = pq_getmsgint64(buf);
}

#define METHOD(result)                                                                             \
	{                                                                                              \
		"interval sum", 't', false, false, create, destroy, add, evict, result, save, load         \
	}

static const SlidingMethod sum_method = METHOD(result_sum);
static const SlidingMethod average_method = METHOD(result_average);

SlidingAggregate *
sliding_intervals_prepare(const SlidingAggregate *call)
{
	if (call->function == F_SUM_INTERVAL)
		return sliding_make_plain(call, &sum_method);
	if (call->function == F_AVG_INTERVAL)
		return sliding_make_plain(call, &average_method);
	return NULL;
}
