/*
 * subscription_upkeep.c: what the maintainer does for subscriptions: it tells who listens, and bounds what is kept for who doesn't come.
 *
 * Telling: NOTIFY on the channel of the subscription's name when its view's frontier has moved or its rows were corrected. It is done here, in a
 * transaction of its own after those that changed something have ended: NOTIFY takes a lock on all databases from before a
 * commit to its end, and can't be in a prepared transaction, so it has no place in writers' transactions. What is told is flushed. It is a
 * hint: whoever listens asks for the changes, and one that is told twice finds none.
 *
 * Bounding: final rows wait in the view's materialised part, which is there anyway. Corrections are kept in a log up to the least position of
 * all who follow the view (view/change_log.c). A subscription for which more are kept than it may, or for longer, is lost: it says
 * so to whoever reads it, and holds nothing any more. Rows of tidemark.subscription that somebody has locked, who is acknowledging, are left
 * for the next time: the maintainer waits for nobody.
 */
#include "tidemark.h"

#include "catalog.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "sink/readers.h"
#include "sink/subscription.h"
#include "view/change_log.h"

/* ms between looks while nobody tells of changes, and between those at what is kept. */
#define LOOK_MS 10000
#define KEEP_MS 1000

/* A view that has subscriptions, as it was when its listeners were told last. */
typedef struct Followed
{
	Oid view;
	ContinuousView now; /* in this look */
	Oid mat;			/* InvalidOid: they weren't told yet, by this process */
	Oid changes;
	Frontier frontier;
	int64 seq;	 /* of the last correction */
	bool listed; /* it still has subscriptions */
} Followed;

static List *followed_views = NIL; /* of Followed, in TopMemoryContext */

/* ---- which views ------------------------------------------------------------------------------------- */

static Followed *
followed_view(Oid view)
{
	MemoryContext old;
	Followed *followed;
	ListCell *cell;

	foreach (cell, followed_views)
	{
		followed = lfirst(cell);
		if (followed->view == view)
			return followed;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	followed = palloc0(sizeof(Followed));
	followed->view = view;
	followed_views = lappend(followed_views, followed);
	MemoryContextSwitchTo(old);
	return followed;
}

/* Reads which views have subscriptions. */
static void
list_followed(void)
{
	RoleSession session = catalog_begin();
	ListCell *cell;
	bool isnull;

	foreach (cell, followed_views)
		((Followed *) lfirst(cell))->listed = false;
	if (SPI_execute("SELECT DISTINCT view::oid FROM tidemark.subscription WHERE lost IS NULL", true,
					0) != SPI_OK_SELECT)
		elog(ERROR, "reading tidemark.subscription failed");
	for (uint64 i = 0; i < SPI_processed; i++)
		followed_view(DatumGetObjectId(
						  SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)))
			->listed = true;
	catalog_end(session);
	foreach (cell, followed_views)
	{
		Followed *followed = lfirst(cell);

		if (followed->listed)
			continue;
		followed_views = foreach_delete_current(followed_views, cell);
		pfree(followed);
	}
}

/* Locks the view against who would drop its log, unless that is being done. */
static bool
lock_followed(Followed *followed)
{
	return ConditionalLockRelationOid(followed->view, ShareUpdateExclusiveLock) &&
		   view_lookup(followed->view, &followed->now) && OidIsValid(followed->now.changes);
}

/* ---- telling ----------------------------------------------------------------------------------------- */

static void
notify(Oid view, const char *watermark, int64 rows, bool rows_known)
{
	Oid types[] = {REGCLASSOID, TEXTOID, INT8OID};
	Datum values[] = {ObjectIdGetDatum(view), watermark ? CStringGetTextDatum(watermark) : 0,
					  Int64GetDatum(rows)};
	char nulls[] = {' ', watermark ? ' ' : 'n', rows_known ? ' ' : 'n', '\0'};

	(void) catalog_execute("SELECT pg_notify(name, json_build_object('view', $1::text, 'watermark',"
						   " $2, 'rows', $3)::text)"
						   " FROM tidemark.subscription WHERE view = $1 AND lost IS NULL",
						   3, types, values, nulls);
}

/* Tells the listeners of a view's subscriptions, if it has changed. */
static void
tell(Followed *followed)
{
	Frontier frontier = frontier_read(followed->view, GetActiveSnapshot());
	bool known = followed->mat == followed->now.mat && followed->changes == followed->now.changes;
	int64 since = known ? followed->seq : feed_last_change(&followed->now);
	FeedChanges changes = feed_changes(&followed->now, since);
	Stream stream;
	char *watermark = NULL;
	int64 appended = 0;

	if (!stream_lookup(followed->now.stream, &stream))
		return;
	if (known && frontier.frontier == followed->frontier.frontier && changes.last <= since &&
		frontier.rows == followed->frontier.rows)
		return;
	if (frontier.frontier != TICKS_MIN)
		watermark = event_time_text(stream.time_type, frontier.frontier);
	if (!change_log_is_of_rows(followed->view))
		appended = frontier.rows - followed->frontier.rows - (changes.came - changes.went);
	feed_flush();
	notify(followed->view, watermark, Max(appended, 0) + changes.came + changes.went, known);
	followed->mat = followed->now.mat;
	followed->changes = followed->now.changes;
	followed->frontier = frontier;
	followed->seq = Max(changes.last, since);
}

/* ---- bounding ---------------------------------------------------------------------------------------- */

/* A subscription, as far as bounds go. */
typedef struct Bounds
{
	int32 id;
	FeedPosition position;
	bool waits;			  /* it is known to have changes that wait */
	bool waited_too_long; /* for longer than it may */
	int64 present_to;	  /* as in Feed */
	int64 most;			  /* changes kept; -1: any number */
	char *retention;	  /* NULL: any time */
} Bounds;

static List *
read_bounds(const Followed *followed)
{
	Oid types[] = {REGCLASSOID, OIDOID};
	Datum values[] = {ObjectIdGetDatum(followed->view), ObjectIdGetDatum(followed->now.mat)};
	MemoryContext context = CurrentMemoryContext;
	RoleSession session = catalog_begin();
	List *all = NIL;

	if (SPI_execute_with_args(
			"SELECT id, frontier, seq, waiting_since IS NOT NULL,"
			" coalesce(waiting_since < clock_timestamp() - retention, false),"
			" coalesce(retention_rows, -1), retention, present_to"
			" FROM tidemark.subscription WHERE view = $1 AND mat = $2 AND lost IS NULL",
			2, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "reading tidemark.subscription failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(context);
		Bounds *bounds = palloc(sizeof(Bounds));
		bool isnull;

		bounds->id = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
		bounds->position.frontier = DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull));
		bounds->position.seq = DatumGetInt64(SPI_getbinval(row, desc, 3, &isnull));
		bounds->waits = DatumGetBool(SPI_getbinval(row, desc, 4, &isnull));
		bounds->waited_too_long = DatumGetBool(SPI_getbinval(row, desc, 5, &isnull));
		bounds->most = DatumGetInt64(SPI_getbinval(row, desc, 6, &isnull));
		bounds->retention = SPI_getvalue(row, desc, 7);
		bounds->present_to = DatumGetInt64(SPI_getbinval(row, desc, 8, &isnull));
		all = lappend(all, bounds);
		MemoryContextSwitchTo(old);
	}
	catalog_end(session);
	return all;
}

/* Changes a subscription that nobody has locked, and that is still where it was. */
static void
change(const Bounds *bounds, const char *what, const char *lost)
{
	Oid types[] = {INT4OID, INT8OID, INT8OID, TEXTOID};
	Datum values[] = {Int32GetDatum(bounds->id), Int64GetDatum(bounds->position.frontier),
					  Int64GetDatum(bounds->position.seq), lost ? CStringGetTextDatum(lost) : 0};
	char nulls[] = {' ', ' ', ' ', lost ? ' ' : 'n', '\0'};

	(void) catalog_execute(
		psprintf("UPDATE tidemark.subscription SET %s WHERE id = (SELECT id FROM "
				 "tidemark.subscription WHERE id = $1 AND frontier = $2 "
				 "AND seq = $3 FOR UPDATE SKIP LOCKED)",
				 what),
		4, types, values, nulls);
}

/* True if it has changes that wait. */
static bool
bound(const Followed *followed, const Bounds *bounds)
{
	int64 limit = bounds->most < 0 ? 1 : bounds->most + 1;
	/* the rows that were there at the beginning don't count */
	int64 from = Max(bounds->position.seq, bounds->present_to);
	int64 kept = feed_count_changes(&followed->now, from, limit);
	const char *lost = NULL;

	if (bounds->most >= 0 && kept > bounds->most)
		lost = psprintf("more than " INT64_FORMAT " corrections of the view wait for it",
						bounds->most);
	else if (kept > 0 && bounds->waited_too_long)
		lost = psprintf("nothing was acknowledged for longer than %s, and corrections of the view "
						"wait for it",
						bounds->retention);
	if (lost)
		change(bounds, "lost = $4, lost_at = clock_timestamp()", lost);
	if (lost || bounds->waits)
		return !lost;
	if (!feed_replay_waits(&followed->now, &bounds->position, bounds->present_to))
		return false;
	change(bounds, "waiting_since = clock_timestamp()", NULL);
	return true;
}

/* True if changes of the view wait for somebody. */
static bool
keep_within_bounds(const Followed *followed)
{
	bool wait = false;
	ListCell *cell;

	foreach (cell, read_bounds(followed))
		wait |= bound(followed, lfirst(cell));
	CommandCounterIncrement();
	feed_trim(&followed->now);
	return wait;
}

/* ---- a look ------------------------------------------------------------------------------------------- */

long
subscriptions_look_after(void)
{
	static uint64 signals = 0;
	static TimestampTz look_at = 0;
	static TimestampTz keep_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	bool keep = now >= keep_at;
	bool wait = false;
	ListCell *cell;

	if (readers_signals() == signals && now < look_at)
		return TimestampDifferenceMilliseconds(now, look_at);
	signals = readers_signals();
	if (keep)
		keep_at = TimestampTzPlusMilliseconds(now, KEEP_MS);
	look_at = keep_at; /* also after an error */
	catalog_begin_transaction();
	list_followed();
	foreach (cell, followed_views)
	{
		Followed *followed = lfirst(cell);

		if (!lock_followed(followed))
			continue;
		tell(followed);
		if (keep)
			wait |= keep_within_bounds(followed);
	}
	catalog_end_transaction();
	if (keep && !wait)
		look_at = TimestampTzPlusMilliseconds(now, LOOK_MS);
	return TimestampDifferenceMilliseconds(now, look_at);
}
