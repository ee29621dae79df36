/*
 * value_text.c: one value of a column as text.
 *
 * The text is that of the type's output function, but doesn't depend on settings: floats have all digits that they need, timestamps
 * and dates are ISO 8601 (or SQL, which has a blank for the T), those with time zone in UTC. It is written into the record's own
 * buffer, with PostgreSQL's functions wherever they can write there. Of timestamps, only the date is left to them, once a day: rows
 * come in the order of event time.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "common/shortest_dec.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "format/value_text.h"

#define DATE_LENGTH 10 /* of years 1 to 9999 */
#define ZONE "+00:00"
#define ZONE_LENGTH 6
#define INT8_LENGTH 21 /* with the terminator */

static bool
is_timestamp(const ValueWriter *writer)
{
	return writer->type == TIMESTAMPOID || writer->type == TIMESTAMPTZOID;
}

bool
value_is_number_of_time(const ValueWriter *writer)
{
	return is_timestamp(writer) && writer->timestamp_format >= TIMESTAMP_EPOCH_S;
}

void
value_writer_init(ValueWriter *writer, const char *name, Oid type, TimestampFormat timestamp_format)
{
	Oid output;
	bool is_varlena;

	*writer = (ValueWriter){
		.name = name, .type = getBaseType(type), .timestamp_format = timestamp_format};
	getTypeOutputInfo(type, &output, &is_varlena);
	fmgr_info(output, &writer->output);
}

/* ---- dates and times ---- */

int64
timestamp_to_epoch(Timestamp timestamp, TimestampFormat format, const char *name)
{
	int64 us = format == TIMESTAMP_EPOCH_S ? 1000000 : format == TIMESTAMP_EPOCH_MS ? 1000 : 1;
	int64 epoch = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) USECS_PER_DAY / us;
	int64 units;

	if (TIMESTAMP_NOT_FINITE(timestamp))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("an infinite timestamp cannot be written as a number"),
						errcontext("column \"%s\"", name)));
	/* Whole units; what is less is cut off towards the past. */
	units = timestamp / us - (timestamp % us < 0 ? 1 : 0);
	if (pg_add_s64_overflow(units, epoch, &units))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("timestamp out of range"), errcontext("column \"%s\"", name)));
	return units;
}

/* By PostgreSQL's function, into text of MAXDATELEN + 1 bytes; returns the length. */
static int
encode_date_time(const ValueWriter *writer, Datum value, char *text)
{
	int utc = 0;
	char *separator;

	JsonEncodeDateTime(text, value, writer->type, &utc);
	separator = writer->timestamp_format == TIMESTAMP_SQL ? strchr(text, 'T') : NULL;
	if (separator)
		*separator = ' ';
	return strlen(text);
}

/* Makes the timestamp's day the writer's. False if its year has not four digits. */
static bool
take_day(ValueWriter *writer, Timestamp timestamp)
{
	char text[MAXDATELEN + 1];
	int zone = writer->type == TIMESTAMPTZOID ? ZONE_LENGTH : 0;

	if (writer->day_text[0] && (uint64) timestamp - (uint64) writer->day < USECS_PER_DAY)
		return true;
	writer->day_text[0] = '\0';
	writer->day = timestamp / USECS_PER_DAY * USECS_PER_DAY;
	if (writer->day > timestamp)
		writer->day -= USECS_PER_DAY;
	if (encode_date_time(writer, TimestampGetDatum(writer->day), text) !=
		DATE_LENGTH + (int) strlen("T00:00:00") + zone)
		return false;
	strlcpy(writer->day_text, text, DATE_LENGTH + 2);
	return true;
}

static inline char *
write_digits(char *p, uint32 number, int digits)
{
	for (int i = digits - 1; i >= 0; i--, number /= 10)
		p[i] = '0' + number % 10;
	return p + digits;
}

/* The fraction of a second, without zeros at its end. */
static char *
write_fraction(char *p, uint32 us)
{
	int digits = 6;

	if (us == 0)
		return p;
	for (; us % 10 == 0; us /= 10)
		digits--;
	*p++ = '.';
	return write_digits(p, us, digits);
}

static void
write_timestamp(ValueWriter *writer, Timestamp timestamp, StringInfo out)
{
	char *begin = text_room(out, MAXDATELEN + 1);
	char *p = begin + DATE_LENGTH + 1;
	int64 us;
	uint32 seconds;

	if (TIMESTAMP_NOT_FINITE(timestamp) || !take_day(writer, timestamp))
	{
		text_written(out, encode_date_time(writer, TimestampGetDatum(timestamp), begin));
		return;
	}
	memcpy(begin, writer->day_text, DATE_LENGTH + 1);
	us = timestamp - writer->day;
	seconds = us / USECS_PER_SEC;
	p = write_digits(p, seconds / SECS_PER_HOUR, 2);
	*p++ = ':';
	p = write_digits(p, seconds / SECS_PER_MINUTE % MINS_PER_HOUR, 2);
	*p++ = ':';
	p = write_digits(p, seconds % SECS_PER_MINUTE, 2);
	p = write_fraction(p, us % USECS_PER_SEC);
	if (writer->type == TIMESTAMPTZOID)
	{
		memcpy(p, ZONE, ZONE_LENGTH);
		p += ZONE_LENGTH;
	}
	text_written(out, p - begin);
}

/* ---- all types ---- */

static void
write_any(ValueWriter *writer, Datum value, StringInfo out)
{
	char *text = OutputFunctionCall(&writer->output, value);

	appendStringInfoString(out, text);
	pfree(text);
}

void
value_write(ValueWriter *writer, Datum value, StringInfo out)
{
	switch (writer->type)
	{
		case INT2OID:
			text_written(out, pg_itoa(DatumGetInt16(value), text_room(out, INT8_LENGTH)));
			break;
		case INT4OID:
			text_written(out, pg_ltoa(DatumGetInt32(value), text_room(out, INT8_LENGTH)));
			break;
		case INT8OID:
			text_written(out, pg_lltoa(DatumGetInt64(value), text_room(out, INT8_LENGTH)));
			break;
		case FLOAT4OID:
			text_written(out,
						 float_to_shortest_decimal_buf(DatumGetFloat4(value),
													   text_room(out, FLOAT_SHORTEST_DECIMAL_LEN)));
			break;
		case FLOAT8OID:
			text_written(
				out, double_to_shortest_decimal_buf(DatumGetFloat8(value),
													text_room(out, DOUBLE_SHORTEST_DECIMAL_LEN)));
			break;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			if (value_is_number_of_time(writer))
				text_written(out,
							 pg_lltoa(timestamp_to_epoch(DatumGetTimestamp(value),
														 writer->timestamp_format, writer->name),
									  text_room(out, INT8_LENGTH)));
			else
				write_timestamp(writer, DatumGetTimestamp(value), out);
			break;
		case DATEOID:
			text_written(out, encode_date_time(writer, value, text_room(out, MAXDATELEN + 1)));
			break;
		default:
			write_any(writer, value, out);
	}
}

char *
value_text(ValueWriter *writer, Datum value)
{
	StringInfoData text;

	initStringInfo(&text);
	value_write(writer, value, &text);
	return text.data;
}
