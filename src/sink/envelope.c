/*
 * envelope.c: what a record says of a change, as Debezium does: before, after, operation, source.
 *
 *   {"before": {...}, "after": {...}, "source": {"connector": "tidemark", "db": ..., "schema": ..., "table": the view, ...},
 *    "op": "u", "ts_ms": ...}
 *
 * "c": a row that came; "u": one that took another's place; "d": one that went. As Debezium's JSON converter writes it without schemas, which
 * is what Flink's debezium-json, RisingWave and most sink connectors read. Times are when the record was made: in the milliseconds
 * since 1970 of Kafka.
 */
#include "tidemark.h"

#include "commands/dbcommands.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "sink/envelope.h"

struct Envelope
{
	char *source; /* its beginning: all that doesn't change */
};

static void
append_name(StringInfo source, const char *field, const char *name)
{
	appendStringInfo(source, "\"%s\": ", field);
	escape_json(source, name);
	appendStringInfoString(source, ", ");
}

Envelope *
envelope_create(Oid view)
{
	Envelope *envelope = palloc(sizeof(Envelope));
	char *database = get_database_name(MyDatabaseId);
	StringInfoData source;

	initStringInfo(&source);
	append_name(&source, "connector", "tidemark");
	append_name(&source, "name", database);
	append_name(&source, "db", database);
	append_name(&source, "schema", get_namespace_name(get_rel_namespace(view)));
	append_name(&source, "table", get_rel_name(view));
	envelope->source = pg_server_to_any(source.data, source.len, PG_UTF8);
	return envelope;
}

static int64
now_ms(void)
{
	return (GetCurrentTimestamp() +
			(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) USECS_PER_DAY) /
		   1000;
}

/* A row whose columns are all null may have no bytes. */
static void
append_row(StringInfo payload, const UpsertRow *row)
{
	if (row == NULL)
		appendStringInfoString(payload, "null");
	else if (row->bytes == NULL)
		appendStringInfoString(payload, "{}");
	else
		appendBinaryStringInfo(payload, row->bytes, (int) row->len);
}

void
envelope_fill(const Envelope *envelope, OutgoingRecord *record, const UpsertRow *before,
			  const UpsertRow *after)
{
	const char *op = before == NULL ? "c" : after == NULL ? "d" : "u";
	long long now = (long long) now_ms();
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"before\": ");
	append_row(&payload, before);
	appendStringInfoString(&payload, ", \"after\": ");
	append_row(&payload, after);
	appendStringInfo(&payload,
					 ", \"source\": {%s\"snapshot\": \"false\", \"ts_ms\": %lld}, \"op\": \"%s\", "
					 "\"ts_ms\": %lld}",
					 envelope->source, now, op, now);
	record->payload = payload.data;
	record->payload_len = payload.len;
}
