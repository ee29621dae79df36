/*
 * event_time.c: event times of four types as one: int64 "ticks".
 *
 * Frontiers, watermarks and slices are compared and stored as ticks, so that nothing outside this
 * file knows which of the four types a stream has. The conversion keeps the order, and is exact both ways
 * for every finite value; the two infinities map to the extremes of int64, which is
 * what timestamp's own infinities are.
 *
 * Bounds that go through an Interval with days or months are conservative: they may take in more rows
 * than a frame does, never fewer.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "stream/event_time.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

bool
event_time_type_ok(Oid type)
{
	return type == TIMESTAMPOID || type == TIMESTAMPTZOID || type == DATEOID || type == INT8OID;
}

Ticks
event_time_ticks(Oid type, Datum value)
{
	if (type == DATEOID)
	{
		DateADT date = DatumGetDateADT(value);

		if (DATE_IS_NOBEGIN(date))
			return TICKS_MIN;
		if (DATE_IS_NOEND(date))
			return TICKS_MAX;
		return date;
	}
	return DatumGetInt64(value);
}

Datum
event_time_datum(Oid type, Ticks ticks)
{
	if (type == DATEOID)
	{
		/* a bound may lie outside of what date can hold; it means the same there as infinity */
		if (ticks < DATETIME_MIN_JULIAN - POSTGRES_EPOCH_JDATE)
			return DateADTGetDatum(DATEVAL_NOBEGIN);
		if (ticks >= DATE_END_JULIAN - POSTGRES_EPOCH_JDATE)
			return DateADTGetDatum(DATEVAL_NOEND);
		return DateADTGetDatum((DateADT) ticks);
	}
	if (type != INT8OID && ticks != TICKS_MAX && !IS_VALID_TIMESTAMP(ticks))
		return TimestampGetDatum(ticks < 0 ? DT_NOBEGIN : DT_NOEND);
	return Int64GetDatum(ticks);
}

char *
event_time_text(Oid type, Ticks ticks)
{
	Oid output;
	bool is_varlena;

	if (ticks == TICKS_MIN)
		return NULL;
	getTypeOutputInfo(type, &output, &is_varlena);
	return OidOutputFunctionCall(output, event_time_datum(type, ticks));
}

bool
interval_length(const Interval *interval, int64 *length)
{
	return interval->month == 0 && !pg_mul_s64_overflow(interval->day, USECS_PER_DAY, length) &&
		   !pg_add_s64_overflow(*length, interval->time, length);
}

int64
event_time_duration(Oid type, const char *text, const char *what)
{
	Interval *interval;
	int64 ticks;

	if (type == INT8OID)
		ticks = pg_strtoint64(text);
	else
	{
		interval = DatumGetIntervalP(DirectFunctionCall3(
			interval_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
		if (interval->month != 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("%s must not contain months or years: \"%s\"", what, text),
							errhint("A month has no fixed length; say it in days.")));
		if (!interval_length(interval, &ticks))
			ereport(ERROR, (errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
							errmsg("%s is too long: \"%s\"", what, text)));
		if (type == DATEOID && ticks > 0)
			ticks = (ticks - 1) / USECS_PER_DAY + 1;
	}
	if (ticks < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must not be negative: \"%s\"", what, text)));
	return ticks;
}

Ticks
ticks_minus(Ticks a, int64 b)
{
	Ticks result;

	if (a == TICKS_MIN || a == TICKS_MAX)
		return a;
	if (pg_sub_s64_overflow(a, b, &result))
		return b > 0 ? TICKS_MIN : TICKS_MAX;
	return result;
}

Ticks
ticks_plus(Ticks a, int64 b)
{
	Ticks result;

	if (a == TICKS_MIN || a == TICKS_MAX)
		return a;
	if (pg_add_s64_overflow(a, b, &result))
		return b > 0 ? TICKS_MAX : TICKS_MIN;
	return result;
}

int
ticks_compare(const void *a, const void *b)
{
	Ticks x = *(const Ticks *) a;
	Ticks y = *(const Ticks *) b;

	return (x > y) - (x < y);
}

/* An upper bound for the interval's length: no month has more than 31 days. */
static int64
lookback_length(const Lookback *lookback)
{
	int64 days = (int64) lookback->month * 31 + lookback->day;
	int64 usecs;

	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &usecs) ||
		pg_add_s64_overflow(usecs, lookback->time, &usecs))
		return PG_INT64_MAX;
	return usecs;
}

const Lookback unbounded_lookback = {.time = PG_INT64_MAX};

bool
lookback_is_unbounded(const Lookback *lookback)
{
	return lookback->time == PG_INT64_MAX;
}

void
lookback_add(Lookback *lookback, const Lookback *by)
{
	lookback->month = (int32) Min((int64) lookback->month + by->month, PG_INT32_MAX);
	lookback->day = (int32) Min((int64) lookback->day + by->day, PG_INT32_MAX);
	lookback->time = ticks_plus(lookback->time, by->time);
}

/* Dates: whole days, rounded up, so that the bound takes in every date that the exact one does. */
int64
lookback_ticks(Oid type, const Lookback *lookback)
{
	int64 length;

	if (type == INT8OID || lookback_is_unbounded(lookback))
		return lookback->time;
	length = lookback_length(lookback);
	if (type == DATEOID && length > 0)
		return (length - 1) / USECS_PER_DAY + 1;
	return length;
}

Ticks
lookback_before(Oid type, Ticks t, const Lookback *lookback)
{
	return lookback_is_unbounded(lookback) ? TICKS_MIN
										   : ticks_minus(t, lookback_ticks(type, lookback));
}

Ticks
lookback_after(Oid type, Ticks t, const Lookback *lookback)
{
	return lookback_is_unbounded(lookback) ? TICKS_MAX
										   : ticks_plus(t, lookback_ticks(type, lookback));
}
