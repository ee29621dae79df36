/*
 * maintain.c: moving the frontiers of a database's continuous views towards their streams' watermarks.
 *
 * For each stream, the maintainer goes through these states; it waits in none of
 * them, so one long transaction on one stream holds up no other stream:
 *
 *                 watermark above a frontier            writers of then have ended
 *          IDLE ───────────────────────────▶ WAITING ─────────────────────────────▶ APPENDING
 *            ▲      guard raised to target,            (asked again each round)          │
 *            │      its writers listed                                                   │
 *            └───────────────────────────────────────────────────────────────────────────┘
 *                              every view's frontier is at the target
 *
 * A view that becomes continuous after that is not among those that go to the target: a writer that
 * came after the list may have seen the guard, but not the view, and so would not correct it. It
 * has its turn from the next look on. A stream without all its triggers is left alone: a dump is being
 * restored, and its rows come before its triggers.
 *
 * APPENDING goes in steps of one transaction each (view/step.c), so that a view over a table that was full before is
 * materialised in the background with visible progress, and other streams get their turn. A view whose step failed waits for a while; the
 * others don't. Nothing here survives a crash but the catalogue, and nothing needs to.
 */
#include "tidemark.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "stream/stream.h"
#include "stream/time_index.h"
#include "stream/watermark.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "view/frontier.h"
#include "view/maintain.h"
#include "view/over_operator.h"
#include "view/step.h"
#include "worker/worker.h"

/* About how many rows of a stream a long step reads. */
#define ROWS_PER_STEP 500000

/* With more rows than these since the last look, the next one follows at once: each row that waits is one more in the live tail. */
#define BUSY_ROWS 10000

/* ms between looks while nothing tells us of changes, and while waiting for writers. */
#define IDLE_MS 1000
#define WAITING_MS 5

/* ms until a stream whose watermark could not be found is looked at again. */
#define FAILED_MS 10000

typedef enum Phase
{
	PHASE_IDLE,
	PHASE_WAITING,
	PHASE_APPENDING
} Phase;

/* What the maintainer remembers of a stream between rounds. */
typedef struct Progress
{
	Move move;
	Phase phase;
	VirtualTransactionId *writers; /* still to end; ends with an invalid one; worker's context */
	double rows;				   /* about, that the stream had at the last look */
	bool busy;					   /* many of them had come since the one before */
	TimestampTz next_look;		   /* not before then, unless many wait ... */
	bool rests;					   /* ... or even if they do, after an error */
} Progress;

/* Of Progress; in TopMemoryContext. */
static List *streams = NIL;

PG_FUNCTION_INFO_V1(tidemark_current_watermark);

/* ---- watermarks ------------------------------------------------------------------------------------ */

/*
 * The first value, of an event time's type, of the first row that a query returns, with the rights of a role: one over
 * a user's table must not have more than its owner's. False if there is none, or null.
 */
static bool
select_ticks(Oid role, const char *sql, int nargs, Oid *types, Datum *values, Oid type,
			 Ticks *result)
{
	RoleSession session = role_begin(role);
	bool found = false;
	bool isnull = true;

	SPI_connect();
	if (SPI_execute_with_args(sql, nargs, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "query failed: %s", sql);
	if (SPI_processed > 0)
	{
		Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
			*result = event_time_ticks(type, value);
		found = !isnull;
	}
	SPI_finish();
	role_end(session);
	return found;
}

/* "SELECT aggregate(event time) FROM stream WHERE event time condition" */
static char *
stream_query(const Stream *stream, const char *aggregate, const char *condition)
{
	char *column = pstrdup(quote_identifier(get_attname(stream->relid, stream->attnum, false)));

	return psprintf("SELECT %s(%s) FROM %s WHERE %s %s", aggregate, column,
					quote_qualified_identifier(get_namespace_name(get_rel_namespace(stream->relid)),
											   get_rel_name(stream->relid)),
					column, condition);
}

/*
 * The greatest event time in the stream after `after`, in the snapshot; not looking further ahead of
 * the clock than the stream allows. False if there is none.
 */
static bool
greatest_after(const Stream *stream, Ticks after, Ticks *greatest)
{
	Oid types[] = {stream->time_type, INTERVALOID};
	Datum values[] = {event_time_datum(stream->time_type, after),
					  IntervalPGetDatum(&stream->max_ahead)};
	bool bounded = stream->has_max_ahead && stream->time_type != INT8OID;
	char *sql =
		stream_query(stream, "max", bounded ? "BETWEEN $1 AND clock_timestamp() + $2" : "> $1");

	return select_ticks(relation_owner(stream->relid), sql, bounded ? 2 : 1, types, values,
						stream->time_type, greatest);
}

/* As it follows from the stored one and the rows committed since. It never goes back. */
static Watermark
current_watermark(const Stream *stream, Watermark stored)
{
	Watermark now = stored;
	Ticks watermark;

	if (!watermark_of_ingestion(stream->relid, &watermark, &now.greatest))
	{
		(void) greatest_after(stream, stored.greatest, &now.greatest);
		watermark = ticks_minus(Max(now.greatest, stored.greatest), stream->allowed_delay);
	}
	now.greatest = Max(now.greatest, stored.greatest);
	now.watermark = Max(watermark, stored.watermark);
	return now;
}

Datum
tidemark_current_watermark(PG_FUNCTION_ARGS)
{
	Stream stream;
	Watermark now;
	Ticks limit;

	if (!stream_lookup(PG_GETARG_OID(0), &stream))
		PG_RETURN_NULL();
	now = current_watermark(&stream, stream_watermark(stream.relid, NULL));
	limit = step_limit(PG_GETARG_BOOL(1), &now);
	if (limit == TICKS_MIN)
		PG_RETURN_NULL();
	PG_RETURN_INT64(limit);
}

/* Brings the stream's watermark in the catalogue up to date. */
static Watermark
advance_watermark(const Stream *stream)
{
	Watermark old = stream_watermark(stream->relid, NULL);
	Watermark now = current_watermark(stream, old);
	Oid types[] = {OIDOID, INT8OID, INT8OID};
	Datum values[] = {ObjectIdGetDatum(stream->relid), Int64GetDatum(now.watermark),
					  Int64GetDatum(now.greatest)};
	char nulls[] = {' ', now.watermark == TICKS_MIN ? 'n' : ' ',
					now.greatest == TICKS_MIN ? 'n' : ' ', '\0'};

	if (now.watermark != old.watermark || now.greatest != old.greatest)
		(void) catalog_execute(
			"UPDATE tidemark.stream SET watermark = $2, greatest = $3 WHERE relid = $1", 3, types,
			values, nulls);
	return now;
}

/* Lets the views that failed try again when they have waited long enough. */
static void
retry_failed(Progress *progress)
{
	if (progress->move.failed == NIL || GetCurrentTimestamp() < progress->move.retry)
		return;
	list_free(progress->move.failed);
	progress->move.failed = NIL;
}

/* The stream's views but for those that failed lately. */
static List *
views_to_move(const Progress *progress)
{
	return list_difference_oid(views_of_stream(progress->move.stream), progress->move.failed);
}

/*
 * What there is to do for those views of a stream that are behind their targets. TICKS_MIN: a view has to be made from the
 * start; TICKS_MAX: nothing.
 */
typedef struct Backlog
{
	Ticks from;	 /* their least committed frontier */
	Ticks limit; /* the greatest event time that their rows depend on when they have arrived */
} Backlog;

static Backlog
find_backlog(const Progress *progress)
{
	const Watermark *reached = &progress->move.reached;
	Backlog backlog = {TICKS_MAX, TICKS_MIN};
	ListCell *cell;

	foreach (cell, views_to_move(progress))
	{
		Frontier frontier = frontier_read(lfirst_oid(cell), GetActiveSnapshot());
		ContinuousView view;

		if (!view_lookup(lfirst_oid(cell), &view))
			continue;
		/* restored from a dump, or built on a view that was replaced: it is made anew, as if from the start */
		if (!frontier.found || !view.current)
			frontier.frontier = TICKS_MIN;
		if (frontier.frontier >= step_view_target(&view, reached))
			continue;
		backlog.from = Min(backlog.from, frontier.frontier);
		backlog.limit = Max(backlog.limit, step_limit(view.on_arrival, reached));
	}
	return backlog;
}

/* About how many rows the stream's table has, with its partitions. */
static double
estimated_rows(Oid stream)
{
	double rows = 0;
	ListCell *cell;

	foreach (cell, stream_tables(stream, AccessShareLock))
	{
		Relation rel = table_open(lfirst_oid(cell), NoLock);
		BlockNumber pages;
		double tuples;
		double visible;

		if (RELKIND_HAS_TABLE_AM(rel->rd_rel->relkind))
		{
			table_relation_estimate_size(rel, NULL, &pages, &tuples, &visible);
			rows += tuples;
		}
		table_close(rel, NoLock);
	}
	return rows;
}

/* The stream's least event time, where its views begin: as known from one that has, or looked for. */
static Ticks
find_start(const Progress *progress, const Stream *stream)
{
	Oid types[] = {stream->time_type};
	Datum values[] = {event_time_datum(stream->time_type, TICKS_MIN)};
	Ticks start = progress->move.target;
	StreamSpan span;

	if (stream_span(stream->relid, &span))
		return span.first;
	(void) select_ticks(relation_owner(stream->relid), stream_query(stream, "min", "> $1"), 1,
						types, values, stream->time_type, &start);
	return start;
}

/*
 * How long a stretch of event time holds about ROWS_PER_STEP rows, if they are spread evenly: a guess that only the
 * number of steps depends on.
 */
static void
set_step(Progress *progress, const Stream *stream)
{
	double span;

	progress->move.start = find_start(progress, stream);
	span = (double) progress->move.target - (double) progress->move.start;
	progress->move.step = TICKS_MAX;
	if (progress->rows > ROWS_PER_STEP)
		progress->move.step = (Ticks) Min(Max(span * ROWS_PER_STEP / progress->rows, 1), 9e18);
}

static void
count_rows(Progress *progress)
{
	double rows = estimated_rows(progress->move.stream);

	progress->busy = rows > progress->rows + BUSY_ROWS;
	progress->rows = rows;
}

/* Remembers which views there are before the guard is raised for them: by their materialised tables, which a view made anew changes. */
static void
list_views(Progress *progress, MemoryContext worker_context)
{
	MemoryContext old;
	List *views = views_of_stream(progress->move.stream);
	ContinuousView view;
	ListCell *cell;

	old = MemoryContextSwitchTo(worker_context);
	list_free(progress->move.views);
	progress->move.views = NIL;
	foreach (cell, views)
		if (view_lookup(lfirst_oid(cell), &view))
			progress->move.views = lappend_oid(progress->move.views, view.mat);
	MemoryContextSwitchTo(old);
}

/* IDLE: looks whether a frontier has to go further; if so, publishes where to. */
static void
look(Progress *progress, MemoryContext worker_context)
{
	Stream stream;
	Watermark nothing = {TICKS_MIN, TICKS_MIN};
	Backlog backlog;

	progress->move.reached = nothing;
	progress->busy = false;
	worker_move_begins(progress->move.stream);
	step_begin();
	frontier_lock_tables(progress->move.stream);
	if (stream_lookup(progress->move.stream, &stream) && stream_is_watched(progress->move.stream))
		progress->move.reached = advance_watermark(&stream);
	retry_failed(progress);
	backlog = find_backlog(progress);
	if (backlog.from != TICKS_MAX)
	{
		VirtualTransactionId *writers;
		int n = 0;

		progress->move.target = backlog.limit;
		count_rows(progress);
		set_step(progress, &stream);
		list_views(progress, worker_context);
		frontier_publish(progress->move.stream, progress->move.target);
		writers = frontier_writers(progress->move.stream);
		while (VirtualTransactionIdIsValid(writers[n]))
			n++;
		progress->writers = MemoryContextAlloc(worker_context, (n + 1) * sizeof(*writers));
		memcpy(progress->writers, writers, (n + 1) * sizeof(*writers));
		progress->phase = PHASE_WAITING;
	}
	step_end();
	if (progress->phase == PHASE_IDLE)
		worker_move_ended(progress->move.stream);
}

/* WAITING: strikes out the writers that have ended. */
static void
check_writers(Progress *progress)
{
	VirtualTransactionId *writer = progress->writers;
	VirtualTransactionId *rest = progress->writers;

	StartTransactionCommand();
	while (VirtualTransactionIdIsValid(*writer) && VirtualXactLock(*writer, false))
		writer++;
	CommitTransactionCommand();
	do
		*rest++ = *writer;
	while (VirtualTransactionIdIsValid(*writer++));
	if (VirtualTransactionIdIsValid(progress->writers[0]))
		return;
	pfree(progress->writers);
	progress->writers = NULL;
	progress->phase = PHASE_APPENDING;
}

/* The stream's time index, for the steps that follow and for who reads beside them. */
static void
summarize(Oid relid)
{
	Stream stream;

	step_begin();
	if (stream_lookup(relid, &stream))
		time_index_summarize(relid, stream.attnum);
	step_end();
}

/* APPENDING: one step for each view that has not arrived. */
static void
append(Progress *progress)
{
	MemoryContext round_context = CurrentMemoryContext;
	List *views;
	bool arrived;

	step_begin();
	MemoryContextSwitchTo(round_context);
	over_operator_keep(progress->move.stream, views_of_stream(progress->move.stream));
	views = views_to_move(progress);
	step_end();
	MemoryContextSwitchTo(round_context);
	summarize(progress->move.stream);
	MemoryContextSwitchTo(round_context);
	arrived = step_views(views, &progress->move);
	if (arrived)
	{
		worker_move_ended(progress->move.stream);
		progress->phase = PHASE_IDLE;
		progress->next_look = GetCurrentTimestamp();
		if (!progress->busy)
			progress->next_look =
				TimestampTzPlusMilliseconds(progress->next_look, tidemark_maintain_interval);
	}
}

/* ---- the round ------------------------------------------------------------------------------------- */

/* Has so much been ingested that the next look is due? */
static bool
many_wait(const Progress *progress)
{
	return !progress->rests && progress->move.views != NIL &&
		   worker_records_waiting(progress->move.stream) >= BUSY_ROWS;
}

/* One state's work for a stream; returns the ms until the next. */
static long
attend(Progress *progress, MemoryContext worker_context)
{
	long wait = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), progress->next_look);

	if (progress->phase == PHASE_IDLE && wait > 0 && !many_wait(progress))
		return wait;
	progress->rests = false;
	progress->next_look =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), tidemark_maintain_interval);
	if (progress->phase == PHASE_IDLE)
	{
		Ticks greatest = progress->move.reached.greatest;

		look(progress, worker_context);
		/* not only before steps: where windows are long there are none for long, and each look reads what is not summarized */
		if (progress->phase == PHASE_IDLE && progress->move.reached.greatest > greatest)
			summarize(progress->move.stream);
		if (progress->phase == PHASE_IDLE)
			step_save_unsaved(progress->move.stream);
	}
	if (progress->phase == PHASE_WAITING)
		check_writers(progress);
	if (progress->phase == PHASE_APPENDING)
		append(progress);
	switch (progress->phase)
	{
		case PHASE_WAITING:
			return WAITING_MS;
		case PHASE_APPENDING:
			return 0;
		default:
			return progress->busy ? 0 : IDLE_MS;
	}
}

/* An error of one stream holds up no other. */
static long
try_attend(Progress *progress, MemoryContext worker_context)
{
	MemoryContext context = CurrentMemoryContext;
	volatile long wait = FAILED_MS;

	PG_TRY();
	{
		wait = attend(progress, worker_context);
	}
	PG_CATCH();
	{
		ErrorData *error = step_catch_error(context);

		wait = error ? FAILED_MS : IDLE_MS;
		if (error)
			step_log_error(error);
		worker_move_ended(progress->move.stream);
		progress->phase = PHASE_IDLE;
		progress->next_look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait);
		progress->rests = true;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return wait;
}

static Progress *
progress_of(Oid stream)
{
	MemoryContext old;
	Progress *progress;
	ListCell *cell;

	foreach (cell, streams)
		if (((Progress *) lfirst(cell))->move.stream == stream)
			return lfirst(cell);
	old = MemoryContextSwitchTo(TopMemoryContext);
	progress = palloc0(sizeof(Progress));
	progress->move.stream = stream;
	streams = lappend(streams, progress);
	MemoryContextSwitchTo(old);
	return progress;
}

/* The streams to attend to, in the context of the round. Forgets those that are none any more. */
static List *
streams_of_round(void)
{
	MemoryContext round_context = CurrentMemoryContext;
	List *oids;
	ListCell *cell;

	catalog_start_transaction();
	MemoryContextSwitchTo(round_context);
	oids = all_streams();
	CommitTransactionCommand();
	MemoryContextSwitchTo(round_context);
	foreach (cell, streams)
	{
		Progress *progress = lfirst(cell);

		if (list_member_oid(oids, progress->move.stream))
			continue;
		streams = foreach_delete_current(streams, cell);
		if (progress->writers)
			pfree(progress->writers);
		list_free(progress->move.views);
		list_free(progress->move.failed);
		over_operator_keep(progress->move.stream, NIL);
		pfree(progress);
	}
	return oids;
}

long
maintain_round(MemoryContext worker_context)
{
	long wait = IDLE_MS;
	ListCell *cell;

	if (!tidemark_maintain)
		return IDLE_MS;
	foreach (cell, streams_of_round())
	{
		wait = Min(wait, try_attend(progress_of(lfirst_oid(cell)), worker_context));
	}
	return wait;
}
