/*
 * watermark.c: how far a stream's event time has come.
 *
 *   partition 0  ─────────●                greatest − delay           not idle: counts
 *   partition 1  ──────────────────●                                  not idle: counts
 *   partition 2  ──●                        idle: holds nobody back
 *                         ▲ the stream's watermark: the least of those that count
 *
 * Everything comes from committed rows of tidemark.ingest_partition, read in the caller's snapshot: a
 * partition's greatest event time is written in the transaction that writes its rows, and so is that
 * it has gone idle (at its end, and nothing new for the stream's idle_timeout). A partition that isn't idle and has brought
 * nothing yet holds the watermark back from the start, and so does an ingestion that has not found its
 * partitions. When all are idle nobody is waited for: the furthest one counts. The result may be
 * smaller than before (a new partition, an idle one that wakes up); that a watermark
 * never goes back is up to those who publish it.
 */
#include "tidemark.h"

#include "catalog.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"

#include "stream/watermark.h"

static const char *const watermark_query =
	"SELECT s.allowed_delay,"
	" CASE WHEN bool_or(p.ingest IS NULL OR NOT p.idle AND p.greatest IS NULL) THEN NULL"
	" ELSE coalesce(min(p.greatest) FILTER (WHERE NOT p.idle),"
	" max(p.greatest)) END"
	" FROM tidemark.stream s JOIN tidemark.ingest i ON i.stream = s.relid"
	" LEFT JOIN tidemark.ingest_partition p ON p.ingest = i.id"
	" WHERE s.relid = $1 GROUP BY s.relid";

bool
watermark_of_ingestion(Oid stream, Ticks *watermark, Ticks *arrived)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {REGCLASSOID};
	Datum values[] = {ObjectIdGetDatum(stream)};
	RoleSession session = catalog_begin();
	bool found;

	if (plan == NULL)
	{
		plan = SPI_prepare(watermark_query, lengthof(types), types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "preparing the watermark failed: %s", SPI_result_code_string(SPI_result));
	}
	/* Read-only: the active snapshot is the caller's. */
	if (SPI_execute_plan(plan, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "reading the watermark failed");
	found = SPI_processed == 1;
	if (found)
	{
		HeapTuple row = SPI_tuptable->vals[0];
		bool isnull;
		int64 delay = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
		Datum least = SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull);

		*watermark = isnull ? TICKS_MIN : ticks_minus(DatumGetInt64(least), delay);
		if (arrived)
			*arrived = isnull ? TICKS_MIN : DatumGetInt64(least);
	}
	catalog_end(session);
	return found;
}
