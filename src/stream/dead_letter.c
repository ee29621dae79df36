/*
 * dead_letter.c: records that can't become rows: tidemark.dead_letters.
 *
 * A record that fails is kept whole (raw key, payload and headers) with its error, in the transaction that moves the
 * position past it: nothing is lost, nothing is there twice. What counts as the record's fault is
 * decided by the class of the error's SQLSTATE. The rule: an error goes here only if the same record would fail again
 * and others would not. Everything else fails the batch, which is then tried again.
 */
#include "tidemark.h"

#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "format/metadata.h"
#include "stream/dead_letter.h"

static const char *const insert_statement =
	"INSERT INTO tidemark.dead_letters (stream, topic, partition, \"offset\", \"timestamp\","
	" key, payload, headers, sqlstate, error) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

bool
is_fault_of_data(const ErrorData *error)
{
	if (error->elevel != ERROR)
		return false;
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_CARDINALITY_VIOLATION:
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_TRIGGERED_ACTION_EXCEPTION:
		case ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION:
		case ERRCODE_WITH_CHECK_OPTION_VIOLATION:
		case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
		case ERRCODE_EXTERNAL_ROUTINE_INVOCATION_EXCEPTION:
		case ERRCODE_PLPGSQL_ERROR:			 /* RAISE in a trigger */
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED: /* too long for an index or a type, too deeply nested */
			return true;
		default:
			return false;
	}
}

/* The innermost line of the error's context if it is the decoder's, which names the column; or NULL. */
static char *
column_of_error(const ErrorData *error)
{
	static const char decoders[] = "column ";

	if (error->context == NULL || strncmp(error->context, decoders, strlen(decoders)) != 0)
		return NULL;
	return pnstrdup(error->context, strcspn(error->context, "\n"));
}

char *
dead_letter_text(const ErrorData *error)
{
	const char *message = error->message ? error->message : "unknown error";
	char *where = column_of_error(error);

	if (where)
		message = psprintf("%s, %s", message, where);
	return error->detail ? psprintf("%s (%s)", message, error->detail) : pstrdup(message);
}

static Datum
bytes_datum(const void *data, size_t len)
{
	bytea *result = palloc(VARHDRSZ + len);

	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), data, len);
	return PointerGetDatum(result);
}

static SPIPlanPtr
insert_plan(void)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {REGCLASSOID, TEXTOID,  INT4OID,	INT8OID, TIMESTAMPTZOID,
				   BYTEAOID,	BYTEAOID, JSONBOID, TEXTOID, TEXTOID};

	if (plan == NULL)
	{
		plan = SPI_prepare(insert_statement, lengthof(types), types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "preparing a dead letter failed: %s", SPI_result_code_string(SPI_result));
	}
	return plan;
}

static TimestampTz
timestamp_of(const KafkaRecord *record)
{
	return (record->timestamp_ms -
			(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000) *
		   1000;
}

void
dead_letter_write(Oid stream, const char *topic, const KafkaRecord *record, int sqlstate,
				  const char *error)
{
	Datum values[10];
	char nulls[] = "          ";
	bool no_headers;

	SPI_connect();
	values[0] = ObjectIdGetDatum(stream);
	values[1] = CStringGetTextDatum(topic);
	values[2] = Int32GetDatum(record->partition);
	values[3] = Int64GetDatum(record->offset);
	values[4] = TimestampTzGetDatum(timestamp_of(record));
	if (record->timestamp_ms < 0 || !IS_VALID_TIMESTAMP(timestamp_of(record)))
		nulls[4] = 'n';
	if (record->key)
		values[5] = bytes_datum(record->key, record->key_len);
	else
		nulls[5] = 'n';
	if (record->payload)
		values[6] = bytes_datum(record->payload, record->payload_len);
	else
		nulls[6] = 'n';
	values[7] = record_headers_jsonb(record, &no_headers);
	if (no_headers)
		nulls[7] = 'n';
	values[8] = CStringGetTextDatum(unpack_sql_state(sqlstate));
	values[9] = CStringGetTextDatum(error);
	if (SPI_execute_plan(insert_plan(), values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "writing a dead letter failed");
	SPI_finish();
}
