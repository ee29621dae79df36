/*
 * value.c: one value as text to a Datum of a column's type.
 *
 * Whatever the type's input function accepts is accepted here, with the same result and the same
 * error. The fast paths below are only short cuts for the spellings that machines write: each
 * either recognises its whole input and gives exactly what the input function would give, or gives
 * up and leaves it to the input function. In particular
 *
 * - floats are rounded once, correctly (to the nearest, ties to even), as strtod rounds them;
 * - timestamps depend on neither DateStyle nor, with a zone in the text, on TimeZone.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "format/value.h"

#define EPOCH_DIFFERENCE_DAYS (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)

static ValueKind
kind_of_type(Oid type, int32 typmod)
{
	switch (type)
	{
		case INT2OID:
			return VALUE_INT2;
		case INT4OID:
			return VALUE_INT4;
		case INT8OID:
			return VALUE_INT8;
		case FLOAT8OID:
			return VALUE_FLOAT8;
		case TEXTOID:
			return VALUE_TEXT;
		case VARCHAROID:
			return typmod < 0 ? VALUE_TEXT : VALUE_OTHER;
		case TIMESTAMPOID:
			return VALUE_TIMESTAMP;
		case TIMESTAMPTZOID:
			return VALUE_TIMESTAMPTZ;
		case DATEOID:
			return VALUE_DATE;
		case BYTEAOID:
			return VALUE_BYTEA;
		case JSONOID:
		case JSONBOID:
			return VALUE_JSON;
		default:
			return OidIsValid(get_element_type(type)) ? VALUE_ARRAY : VALUE_OTHER;
	}
}

void
value_reader_init(ValueReader *reader, Oid type, int32 typmod, TimestampFormat timestamp_format)
{
	Oid input;

	memset(reader, 0, sizeof(ValueReader));
	reader->kind = kind_of_type(type, typmod);
	reader->type = type;
	reader->typmod = typmod;
	reader->timestamp_format = timestamp_format;
	getTypeInputInfo(type, &input, &reader->io_param);
	fmgr_info(input, &reader->input);
	if (reader->kind == VALUE_ARRAY)
	{
		Oid element = get_element_type(type);

		reader->element = palloc(sizeof(ValueReader));
		value_reader_init(reader->element, element, typmod, timestamp_format);
		get_typlenbyvalalign(element, &reader->element_length, &reader->element_by_value,
							 &reader->element_align);
	}
}

/* The type's own input function, which wants a terminated string. */
static Datum
input_value(ValueReader *reader, const char *text, size_t length)
{
	char small[256];
	char *terminated = length < sizeof(small) ? small : palloc(length + 1);

	memcpy(terminated, text, length);
	terminated[length] = '\0';
	return InputFunctionCall(&reader->input, terminated, reader->io_param, reader->typmod);
}

/* An optional minus sign and up to 18 digits: what fits without a look at overflow. */
static inline bool
parse_integer(const char *text, size_t length, int64 *value)
{
	const char *end = text + length;
	bool minus = length > 0 && text[0] == '-';
	int64 sum = 0;

	text += minus;
	if (text == end || end - text > 18)
		return false;
	for (; text < end; text++)
	{
		unsigned digit = (unsigned char) *text - '0';

		if (digit > 9)
			return false;
		sum = sum * 10 + digit;
	}
	*value = minus ? -sum : sum;
	return true;
}

#ifdef HAVE_INT128

static const uint64 powers_of_ten[] = {UINT64CONST(1),
									   UINT64CONST(10),
									   UINT64CONST(100),
									   UINT64CONST(1000),
									   UINT64CONST(10000),
									   UINT64CONST(100000),
									   UINT64CONST(1000000),
									   UINT64CONST(10000000),
									   UINT64CONST(100000000),
									   UINT64CONST(1000000000),
									   UINT64CONST(10000000000),
									   UINT64CONST(100000000000),
									   UINT64CONST(1000000000000),
									   UINT64CONST(10000000000000),
									   UINT64CONST(100000000000000),
									   UINT64CONST(1000000000000000),
									   UINT64CONST(10000000000000000),
									   UINT64CONST(100000000000000000),
									   UINT64CONST(1000000000000000000)};

/*
 * digits / 10^scale, correctly rounded, for scale <= 18 and digits > 0. The quotient of digits,
 * shifted to fill 128 bits, has at least 64 bits, more than the 53 of a double and one to round by;
 * the remainder tells whether anything follows them. The result is between 1e-18 and 2^64, so it is
 * a normal number.
 */
static double
divide_exactly(uint64 digits, int scale)
{
	int zeros = __builtin_clzll(digits);
	uint128 numerator = (uint128) (digits << zeros) << 64;
	uint128 quotient = numerator / powers_of_ten[scale];
	bool inexact = quotient * powers_of_ten[scale] != numerator;
	uint64 high = (uint64) (quotient >> 64);
	int bits = high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((uint64) quotient);
	int drop = bits - 54; /* keep 53 and the one to round by */
	uint64 kept = (uint64) (quotient >> drop);

	inexact |= (uint128) kept << drop != quotient;
	if ((kept & 1) && (inexact || (kept & 2)))
		kept += 2;
	kept >>= 1;
	return ldexp((double) kept, drop + 1 - 64 - zeros);
}

/* Digits with at most one point, 19 of them at most: no exponent, no names. */
static inline bool
parse_double(const char *text, size_t length, double *value)
{
	const char *end = text + length;
	bool minus = length > 0 && text[0] == '-';
	uint64 digits = 0;
	int n = 0;
	int scale = 0;
	bool point = false;

	text += minus;
	if (text == end || end - text > 20 || *text == '.' || end[-1] == '.')
		return false;
	for (; text < end; text++)
	{
		unsigned digit = (unsigned char) *text - '0';

		if (digit <= 9)
		{
			digits = digits * 10 + digit;
			n++;
			scale += point;
		}
		else if (*text == '.' && !point)
			point = true;
		else
			return false;
	}
	if (n > 19 || scale > 18)
		return false;

	if (digits <= UINT64CONST(1) << 53)
		*value = (double) digits / (double) powers_of_ten[scale]; /* both exact: rounded once */
	else if (scale == 0)
		*value = (double) digits;
	else
		*value = divide_exactly(digits, scale);
	if (minus)
		*value = -*value;
	return true;
}

#else

static inline bool
parse_double(const char *text, size_t length, double *value)
{
	return false;
}

#endif

/* Two digits, or -1. */
static inline int
two_digits(const char *text)
{
	unsigned tens = (unsigned char) text[0] - '0';
	unsigned ones = (unsigned char) text[1] - '0';

	return tens <= 9 && ones <= 9 ? (int) (tens * 10 + ones) : -1;
}

/* "YYYY-MM-DD" at text, which has 10 bytes. */
static inline bool
parse_date(const char *text, struct pg_tm *tm)
{
	int century = two_digits(text);
	int year = two_digits(text + 2);

	if (century < 0 || year < 0 || text[4] != '-' || text[7] != '-')
		return false;
	tm->tm_year = century * 100 + year;
	tm->tm_mon = two_digits(text + 5);
	tm->tm_mday = two_digits(text + 8);
	return tm->tm_year > 0 && tm->tm_mon >= 1 && tm->tm_mon <= 12 && tm->tm_mday >= 1 &&
		   tm->tm_mday <= day_tab[isleap(tm->tm_year)][tm->tm_mon - 1];
}

/* "Z", "+hh", "+hhmm" or "+hh:mm" from text to end: seconds east of Greenwich. */
static bool
parse_zone(const char *text, const char *end, int *seconds)
{
	int hours;
	int minutes = 0;

	if (end - text == 1 && (*text == 'Z' || *text == 'z'))
	{
		*seconds = 0;
		return true;
	}
	if ((*text != '+' && *text != '-') || end - text < 3)
		return false;
	hours = two_digits(text + 1);
	if (end - text == 6 && text[3] == ':')
		minutes = two_digits(text + 4);
	else if (end - text == 5)
		minutes = two_digits(text + 3);
	else if (end - text != 3)
		return false;
	if (hours < 0 || hours > 15 || minutes < 0 || minutes > 59)
		return false;
	*seconds = (hours * 60 + minutes) * 60 * (*text == '-' ? -1 : 1);
	return true;
}

/* Up to six digits after the point as microseconds; *text moves behind them. */
static inline bool
parse_fraction(const char **text, const char *end, int *microseconds)
{
	static const int units[] = {1000000, 100000, 10000, 1000, 100, 10, 1};
	const char *p = *text;
	int value = 0;

	while (p < end && (unsigned char) (*p - '0') <= 9)
	{
		if (p - *text == 6)
			return false;
		value = value * 10 + (*p++ - '0');
	}
	if (p == *text)
		return false;
	*microseconds = value * units[p - *text];
	*text = p;
	return true;
}

/* As the typmod of timestamp(n) rounds: half away from the epoch. */
static inline Timestamp
round_timestamp(Timestamp t, int32 typmod)
{
	static const int64 scales[] = {1000000, 100000, 10000, 1000, 100, 10, 1};
	int64 scale;

	if (typmod < 0 || typmod >= MAX_TIMESTAMP_PRECISION)
		return t;
	scale = scales[typmod];
	if (t >= 0)
		return (t + scale / 2) / scale * scale;
	return -((-t + scale / 2) / scale * scale);
}

/*
 * "YYYY-MM-DD[ T]HH:MM[:SS[.ffffff]][zone]". A timestamp ignores the zone, as timestamp_in does; a
 * timestamptz without one is the session's local time.
 */
static inline bool
parse_timestamp(const char *text, size_t length, bool with_zone, int32 typmod, Timestamp *value)
{
	const char *end = text + length;
	struct pg_tm tm;
	int microseconds = 0;
	int zone = 0;

	if (length < 16 || !parse_date(text, &tm) || (text[10] != ' ' && text[10] != 'T') ||
		text[13] != ':')
		return false;
	tm.tm_hour = two_digits(text + 11);
	tm.tm_min = two_digits(text + 14);
	tm.tm_sec = 0;
	text += 16;
	if (end - text >= 3 && *text == ':')
	{
		tm.tm_sec = two_digits(text + 1);
		text += 3;
		if (end - text >= 2 && *text == '.')
		{
			text++;
			if (!parse_fraction(&text, end, &microseconds))
				return false;
		}
	}
	if (tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 ||
		tm.tm_sec > 59)
		return false;
	if (text < end)
	{
		if (!parse_zone(text, end, &zone))
			return false;
	}
	else if (with_zone)
		zone = -DetermineTimeZoneOffset(&tm, session_timezone);

	*value = (date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY +
			 ((tm.tm_hour * 60 + tm.tm_min) * 60 + tm.tm_sec) * USECS_PER_SEC + microseconds;
	if (with_zone)
		*value -= zone * USECS_PER_SEC;
	*value = round_timestamp(*value, typmod);
	return true;
}

static pg_noinline void
refuse_epoch(const ValueReader *reader, const char *text, size_t length)
{
	static const char *const units[] = {
		[TIMESTAMP_EPOCH_S] = "seconds",
		[TIMESTAMP_EPOCH_MS] = "milliseconds",
		[TIMESTAMP_EPOCH_US] = "microseconds",
	};

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_DATETIME_FORMAT),
			 errmsg("invalid number of %s since 1970: \"%.*s\"", units[reader->timestamp_format],
					pg_mbcliplen(text, (int) length, 100), text)));
}

/* A number of units since 1970, with digits after the point down to a microsecond. */
static Datum
epoch_value(ValueReader *reader, const char *text, size_t length)
{
	static const int64 units[] = {
		[TIMESTAMP_EPOCH_S] = 1000000, [TIMESTAMP_EPOCH_MS] = 1000, [TIMESTAMP_EPOCH_US] = 1};
	int64 unit = units[reader->timestamp_format];
	const char *point = memchr(text, '.', length);
	size_t whole_length = point ? (size_t) (point - text) : length;
	int64 value;
	int64 fraction = 0;

	if (!parse_integer(text, whole_length, &value) || pg_mul_s64_overflow(value, unit, &value))
		refuse_epoch(reader, text, length);
	if (point)
	{
		const char *p = point + 1;

		if (p == text + length)
			refuse_epoch(reader, text, length);
		for (; p < text + length; p++)
		{
			if ((unsigned char) (*p - '0') > 9)
				refuse_epoch(reader, text, length);
			unit /= 10;
			fraction += unit * (*p - '0');
		}
	}
	value += text[0] == '-' ? -fraction : fraction;
	if (pg_sub_s64_overflow(value, EPOCH_DIFFERENCE_DAYS * USECS_PER_DAY, &value) ||
		!IS_VALID_TIMESTAMP(value))
		refuse_epoch(reader, text, length);
	return TimestampGetDatum(round_timestamp(value, reader->typmod));
}

TimestampTz
timestamp_from_ms(int64 ms)
{
	int64 value;

	if (pg_mul_s64_overflow(ms, 1000, &value) ||
		pg_sub_s64_overflow(value, EPOCH_DIFFERENCE_DAYS * USECS_PER_DAY, &value) ||
		!IS_VALID_TIMESTAMP(value))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("timestamp out of range: %lld ms since 1970", (long long) ms)));
	return value;
}

int64
timestamp_to_ms(TimestampTz timestamp)
{
	int64 ms;

	if (TIMESTAMP_IS_NOBEGIN(timestamp))
		return PG_INT64_MIN;
	if (TIMESTAMP_IS_NOEND(timestamp))
		return PG_INT64_MAX;
	ms = timestamp / 1000 - (timestamp % 1000 < 0 ? 1 : 0);
	return ms + EPOCH_DIFFERENCE_DAYS * (USECS_PER_DAY / 1000);
}

Datum
value_from_text(ValueReader *reader, const char *text, size_t length)
{
	int64 integer;
	double number;
	Timestamp timestamp;
	struct pg_tm tm;

	switch (reader->kind)
	{
		case VALUE_INT2:
			if (parse_integer(text, length, &integer) && integer == (int16) integer)
				return Int16GetDatum((int16) integer);
			break;
		case VALUE_INT4:
			if (parse_integer(text, length, &integer) && integer == (int32) integer)
				return Int32GetDatum((int32) integer);
			break;
		case VALUE_INT8:
			if (parse_integer(text, length, &integer))
				return Int64GetDatum(integer);
			break;
		case VALUE_FLOAT8:
			if (parse_double(text, length, &number))
				return Float8GetDatum(number);
			break;
		case VALUE_TEXT:
			return PointerGetDatum(cstring_to_text_with_len(text, (int) length));
		case VALUE_TIMESTAMP:
		case VALUE_TIMESTAMPTZ:
			if (reader->timestamp_format >= TIMESTAMP_EPOCH_S)
				return epoch_value(reader, text, length);
			if (parse_timestamp(text, length, reader->kind == VALUE_TIMESTAMPTZ, reader->typmod,
								&timestamp))
				return TimestampGetDatum(timestamp);
			break;
		case VALUE_DATE:
			if (length == 10 && parse_date(text, &tm))
				return DateADTGetDatum(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) -
									   POSTGRES_EPOCH_JDATE);
			break;
		default:
			break;
	}
	return input_value(reader, text, length);
}

const char *
text_from_bytes(const char *bytes, size_t *length)
{
	const char *text;

	if (*length > MaxAllocSize)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("record of %zu bytes is too large", *length)));
	if (GetDatabaseEncoding() == PG_UTF8)
	{
		(void) pg_verify_mbstr(PG_UTF8, bytes, (int) *length, false);
		return bytes;
	}
	text = pg_any_to_server(bytes, (int) *length, PG_UTF8);
	if (text != bytes)
		*length = strlen(text);
	else if (memchr(text, '\0', *length))
		ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
						errmsg("invalid byte sequence for encoding \"UTF8\": 0x00")));
	return text;
}
