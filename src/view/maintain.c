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
 * APPENDING goes in steps of one transaction each, so that a view over a table that was full before is
 * materialised in the background with visible progress, and other streams get their turn. A step that
 * fails is tried again in the next round from what is committed; nothing here survives a crash
 * but the catalogue, and nothing needs to.
 *
 * Views that stand at one frontier and go to the same target are stepped together, in one transaction and with one snapshot, taken
 * when all their locks are held: they share the reading of the stream (view/shared_slices.c). Each has a subtransaction of its own
 * in it, so that the failure of one takes back nothing of the others. Those that have to wait for a lock, or to read the states of their
 * windows first, take a step of their own. All that follow the watermark meet at the target.
 *
 * A lock that can't be had soon is no error: the step is tried again after the next look.
 *
 * Steps commit asynchronously: a lost commit loses the rows with the frontier that says they are there.
 */
#include "tidemark.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "stream/stream.h"
#include "stream/time_index.h"
#include "stream/watermark.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "view/change_log.h"
#include "view/define.h"
#include "view/frontier.h"
#include "view/keyed_maintain.h"
#include "view/keyed_windows.h"
#include "view/maintain.h"
#include "view/materialised.h"
#include "view/over_operator.h"
#include "view/slice.h"
#include "worker/worker.h"

/* About how many rows of a stream a step reads; incremental ones are that many times shorter: they read no lookback, and sort in less memory. */
#define ROWS_PER_STEP 500000
#define INCREMENTAL_STEPS 5

/* A step of several views is shorter: their locks are held for all of it. But not much: each step has its costs. */
#define TOGETHER_STEPS 5

/* With more rows than these since the last look, the next one follows at once: each row that waits is one more in the live tail. */
#define BUSY_ROWS 10000

/* ms between looks while nothing tells us of changes, and while waiting for writers. */
#define IDLE_MS 1000
#define WAITING_MS 5

/* ms until a stream whose watermark could not be found is looked at again, and one with a view that failed; how long a step waits for a lock. */
#define FAILED_MS 10000
#define FAILED_STEP_MS 2000
#define LOCK_TIMEOUT "500ms"

typedef enum Phase
{
	PHASE_IDLE,
	PHASE_WAITING,
	PHASE_APPENDING
} Phase;

/* What the maintainer remembers of a stream between rounds. */
typedef struct Progress
{
	Oid stream;
	Phase phase;
	Watermark reached; /* what the frontiers follow, as of the last look */
	Ticks target;	   /* the furthest that one of them goes, which the guard is raised to */
	VirtualTransactionId *writers; /* still to end; ends with an invalid one; worker's context */
	List *views; /* that may go there: their materialised tables' OIDs; worker's context */
	bool failed; /* a view's step did, since the last look */
	double rows; /* about, that the stream had at the last look */
	bool busy;	 /* many of them had come since the one before */
	TimestampTz next_look; /* not before then */
	Ticks step;			   /* a step goes no further than this */
	Ticks start;		   /* the stream's least event time when step was set */
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

/* Where the view's frontier is to go when its stream has come so far, but for what its rows look ahead. */
static Ticks
advance_limit(bool on_arrival, const Watermark *reached)
{
	return on_arrival ? Max(reached->greatest, reached->watermark) : reached->watermark;
}

static Ticks
view_target(const ContinuousView *view, const Watermark *reached)
{
	return ticks_minus(advance_limit(view->on_arrival, reached), view->lookahead);
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
	limit = advance_limit(PG_GETARG_BOOL(1), &now);
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

/* ---- transactions of a round ------------------------------------------------------------------------- */

static void
begin_step(void)
{
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false;
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	/* steps are short: code made for one would be paid for by the next */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
							 false);
	/* without statistics the planner would read the whole stream for a slice */
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
							 true, 0, false);
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end_step(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* Takes an error that was caught, into that context. What ends the process goes on. */
static ErrorData *
take_error(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		PG_RE_THROW();
	FlushErrorState();
	return error;
}

/* NULL for what is no error: a lock could not be had in time, or in a deadlock of others that the maintainer stood in. */
static ErrorData *
unless_locked(ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK)
		return NULL;
	return error;
}

/* After an error: the transaction is over, and the error is returned, in that context; NULL if it is none. */
static ErrorData *
catch_error(MemoryContext context)
{
	ErrorData *error = take_error(context);

	AbortCurrentTransaction();
	MemoryContextSwitchTo(context);
	return unless_locked(error);
}

static void
log_error(ErrorData *error)
{
	error->elevel = LOG;
	ThrowErrorData(error);
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
find_backlog(Oid stream, const Watermark *reached)
{
	Backlog backlog = {TICKS_MAX, TICKS_MIN};
	ListCell *cell;

	foreach (cell, views_of_stream(stream))
	{
		Frontier frontier = frontier_read(lfirst_oid(cell), GetActiveSnapshot());
		ContinuousView view;

		if (!view_lookup(lfirst_oid(cell), &view))
			continue;
		/* restored from a dump, or built on a view that was replaced: it is made anew, as if from the start */
		if (!frontier.found || !view.current)
			frontier.frontier = TICKS_MIN;
		if (frontier.frontier >= view_target(&view, reached))
			continue;
		backlog.from = Min(backlog.from, frontier.frontier);
		backlog.limit = Max(backlog.limit, advance_limit(view.on_arrival, reached));
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
	Ticks start = progress->target;
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

	progress->start = find_start(progress, stream);
	span = (double) progress->target - (double) progress->start;
	progress->step = TICKS_MAX;
	if (progress->rows > ROWS_PER_STEP)
		progress->step = (Ticks) Min(Max(span * ROWS_PER_STEP / progress->rows, 1), 9e18);
}

static void
count_rows(Progress *progress)
{
	double rows = estimated_rows(progress->stream);

	progress->busy = rows > progress->rows + BUSY_ROWS;
	progress->rows = rows;
}

/* How far the next step, one of so many in the time of a long one, goes from this frontier to its target. */
static Ticks
step_target(const Progress *progress, Ticks frontier, Ticks target, int parts)
{
	return Min(target, ticks_plus(Max(frontier, progress->start), Max(progress->step / parts, 1)));
}

/* Remembers which views there are before the guard is raised for them: by their materialised tables, which a view made anew changes. */
static void
list_views(Progress *progress, MemoryContext worker_context)
{
	MemoryContext old;
	List *views = views_of_stream(progress->stream);
	ContinuousView view;
	ListCell *cell;

	old = MemoryContextSwitchTo(worker_context);
	list_free(progress->views);
	progress->views = NIL;
	foreach (cell, views)
		if (view_lookup(lfirst_oid(cell), &view))
			progress->views = lappend_oid(progress->views, view.mat);
	MemoryContextSwitchTo(old);
}

/* IDLE: looks whether a frontier has to go further; if so, publishes where to. */
static void
look(Progress *progress, MemoryContext worker_context)
{
	Stream stream;
	Watermark nothing = {TICKS_MIN, TICKS_MIN};
	Backlog backlog;

	progress->reached = nothing;
	progress->busy = false;
	worker_move_begins(progress->stream);
	begin_step();
	frontier_lock_tables(progress->stream);
	if (stream_lookup(progress->stream, &stream) && stream_is_watched(progress->stream))
		progress->reached = advance_watermark(&stream);
	backlog = find_backlog(progress->stream, &progress->reached);
	if (backlog.from != TICKS_MAX)
	{
		VirtualTransactionId *writers;
		int n = 0;

		progress->target = backlog.limit;
		count_rows(progress);
		set_step(progress, &stream);
		list_views(progress, worker_context);
		frontier_publish(progress->stream, progress->target);
		writers = frontier_writers(progress->stream);
		while (VirtualTransactionIdIsValid(writers[n]))
			n++;
		progress->writers = MemoryContextAlloc(worker_context, (n + 1) * sizeof(*writers));
		memcpy(progress->writers, writers, (n + 1) * sizeof(*writers));
		progress->phase = PHASE_WAITING;
	}
	end_step();
	if (progress->phase == PHASE_IDLE)
		worker_move_ended(progress->stream);
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

/* A step of a view whose lock is held. */
typedef struct Step
{
	Oid relid;
	ContinuousView view;
	Frontier frontier;
	Ticks target;
	Ticks to; /* at most the target */
	Ticks
		moved; /* where the frontier is after it: there, or further if the view can have no rows in between */

	Shape shape;
	Query *batch;
	bool incremental;
} Step;

/* The snapshot of a step is taken when its locks are held, and what is known of its views is what they made of it. */
static void
take_snapshot(void)
{
	PopActiveSnapshot();
	AcceptInvalidationMessages();
	PushActiveSnapshot(GetLatestSnapshot());
}

static bool
find_view(Step *step)
{
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(step->relid)) &&
		   view_lookup(step->relid, &step->view);
}

/* Is there something to do for the view, as the active snapshot has it? Then from where, and where to. */
static bool
find_step(Step *step, const Progress *progress)
{
	ContinuousView *view = &step->view;

	if (!list_member_oid(progress->views, view->mat))
		return false;
	step->frontier = frontier_read(step->relid, GetActiveSnapshot());
	step->target = step->to =
		Min(view_target(view, &progress->reached), ticks_minus(progress->target, view->lookahead));
	return step->frontier.found && step->frontier.frontier < step->target;
}

static void
prepare_step(Step *step)
{
	Access access;

	step->batch = slice_batch_query(step->relid, &step->shape, &access);
	shape_require(&step->shape, get_rel_name(step->relid));
	define_require_access(step->relid, access);
	step->incremental = !step->shape.keyed &&
						over_operator_can(&step->view, &step->shape, step->batch);
}

/* Of a view with windows by GROUP BY, a step takes in one at least, if it is complete. */
static Ticks
to_window(const Step *step)
{
	Oid type = step->shape.stream.time_type;
	Ticks first = grid_ceiling(&step->shape.grid, type, ticks_plus(step->frontier.frontier, 1));

	return Min(Max(step->to, first), step->target);
}

/* slices: what it shares with other views, or NULL. */
static void
run_step(Step *step, const Progress *progress, const SharedSlices *slices)
{
	Ticks from = step->frontier.frontier;
	uint64 rows;

	step->moved = step->to;
	if (step->shape.keyed && step->shape.keyed->under_windows)
		rows = keyed_windows_append(&step->view, &step->shape, from, step->to);
	else if (step->shape.keyed)
		rows = keyed_append(&step->view, step->shape.keyed, ticks_plus(from, 1), step->to);
	else if (over_operator_append(&step->view, &step->shape, step->batch, &step->frontier, slices,
								  &step->to, &rows))
		step->moved = step->to;
	else
	{
		rows = materialised_append(&step->view, &step->shape, step->batch, ticks_plus(from, 1),
								   step->to);
		step->moved = grid_end(&step->shape.grid, step->shape.stream.time_type, step->to);
	}
	change_log_appended(&step->view, &step->frontier, step->shape.stream.time_type, step->moved);
	materialised_moved(step->relid, step->moved, rows);
	if (from == TICKS_MIN)
		materialised_begins(step->relid, Min(progress->start, step->to));
}

/* One step of one view towards the target; true if it has arrived. */
static bool
advance_view(Oid relid, const Progress *progress)
{
	Step step = {.relid = relid};

	/* tables before the view, as DROP TABLE ... CASCADE and writers do it */
	frontier_lock_tables(progress->stream);
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return true; /* somebody changes it now; the next look sees what came of it */
	frontier_lock_view(relid);
	take_snapshot();
	if (!find_view(&step))
		return true;
	if (!step.view.current)
		define_rebuild(relid);
	if (!step.view.current || !find_step(&step, progress))
		return true;
	prepare_step(&step);
	/* with an unbounded lookback each slice reads all that came before it */
	if (step.incremental || !lookback_is_unbounded(&step.shape.lookback))
		step.to = step_target(progress, step.frontier.frontier, step.target,
							  step.incremental ? INCREMENTAL_STEPS : 1);
	step.to = to_window(&step);
	run_step(&step, progress, NULL);
	return step.moved >= step.target;
}

/* What went wrong with a view's maintenance, for tidemark.continuous_views. True if that is news. */
static bool
record_error(Oid view, const char *message)
{
	Oid types[] = {OIDOID, TEXTOID};
	Datum values[] = {ObjectIdGetDatum(view), CStringGetTextDatum(message)};

	return catalog_execute(
			   "UPDATE tidemark.view SET last_error = $2, last_error_at = clock_timestamp() "
			   "WHERE relid = $1 AND last_error IS DISTINCT FROM $2",
			   2, types, values, NULL) > 0;
}

/* Nothing went wrong with the maintenance of these views now. */
static void
clear_errors(const Oid *views, int n)
{
	Oid types[] = {OIDARRAYOID};
	Datum *elements = palloc(n * sizeof(Datum));
	Datum values[1];

	for (int i = 0; i < n; i++)
		elements[i] = ObjectIdGetDatum(views[i]);
	values[0] =
		PointerGetDatum(construct_array(elements, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	(void) catalog_execute(
		"UPDATE tidemark.view SET last_error = NULL, last_error_at = clock_timestamp() "
		"WHERE relid = ANY ($1) AND last_error IS NOT NULL",
		1, types, values, NULL);
}

/* A view's step has failed and is rolled back: that is recorded, and logged when it is another error than before. */
static void
report_failure(Oid view, ErrorData *error, Progress *progress)
{
	MemoryContext context = CurrentMemoryContext;
	bool news;

	progress->failed = true;
	begin_step();
	news = record_error(view, error->message);
	end_step();
	MemoryContextSwitchTo(context);
	if (news)
		log_error(error);
}

/*
 * A step of one view in a transaction of its own. An error (of the view's own query, say) holds up this view only: it
 * is tried again after the next look.
 */
static bool
try_step(Oid view, Progress *progress)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool arrived = true;
	ErrorData *volatile error = NULL;

	PG_TRY();
	{
		begin_step();
		arrived = advance_view(view, progress);
		clear_errors(&view, 1);
		end_step();
	}
	PG_CATCH();
	{
		error = catch_error(context);
		arrived = true;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (error)
		report_failure(view, error, progress);
	return arrived;
}

/* ---- steps of several views -------------------------------------------------------------------------- */

/* Views that take a step in one transaction. */
typedef struct ViewGroup
{
	Ticks from;
	Ticks target;
	List *views; /* OIDs */

	/* What came of it: OIDs of those that took the step, those that failed, and their errors; the rest did not take part. */
	MemoryContext context;
	List *stepped;
	List *failed;
	List *errors; /* of ErrorData, NULL: none that has to be told */
	bool arrived;
} ViewGroup;

/* Puts the view among those that could take the same step, as far as can be seen without locks. */
static List *
add_to_group(List *groups, Oid relid, const Progress *progress)
{
	Step step = {.relid = relid};
	ViewGroup *group;
	ListCell *cell;

	if (!find_view(&step) || !step.view.current || !find_step(&step, progress) ||
		!over_operator_ready(&step.view, &step.frontier))
		return groups;
	foreach (cell, groups)
	{
		group = lfirst(cell);
		if (group->from == step.frontier.frontier && group->target == step.target)
		{
			group->views = lappend_oid(group->views, relid);
			return groups;
		}
	}
	group = palloc0(sizeof(ViewGroup));
	group->from = step.frontier.frontier;
	group->target = step.target;
	group->views = list_make1_oid(relid);
	group->context = CurrentMemoryContext;
	return lappend(groups, group);
}

typedef void (*StepPart)(Step *step, const Progress *progress, SharedSlices *slices);

/* A part of a view's step in a subtransaction; false if it failed. */
static bool
try_part(StepPart part, Step *step, const Progress *progress, SharedSlices *slices,
		 ViewGroup *group)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		part(step, progress, slices);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData *error = take_error(group->context);

		RollbackAndReleaseCurrentSubTransaction();
		over_operator_forget(step->relid);
		MemoryContextSwitchTo(group->context);
		group->failed = lappend_oid(group->failed, step->relid);
		group->errors = lappend(group->errors, unless_locked(error));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

static void
prepare_part(Step *step, const Progress *progress, SharedSlices *slices)
{
	prepare_step(step);
}

static void
run_part(Step *step, const Progress *progress, SharedSlices *slices)
{
	run_step(step, progress, slices);
}

/* The locks of those views that have them free. */
static List *
lock_free_views(const List *views)
{
	List *locked = NIL;
	ListCell *cell;

	foreach (cell, views)
	{
		Oid relid = lfirst_oid(cell);

		if (ConditionalLockRelationOid(relid, AccessShareLock) && frontier_try_lock_view(relid))
			locked = lappend_oid(locked, relid);
	}
	return locked;
}

/* The steps of those views that are still as they were seen without locks. */
static List *
prepare_steps(const List *views, const Progress *progress, ViewGroup *group)
{
	List *steps = NIL;
	ListCell *cell;

	foreach (cell, views)
	{
		Step *step = palloc0(sizeof(Step));

		step->relid = lfirst_oid(cell);
		if (find_view(step) && step->view.current && find_step(step, progress) &&
			step->frontier.frontier == group->from && step->target == group->target &&
			try_part(prepare_part, step, progress, NULL, group) && step->incremental &&
			over_operator_ready(&step->view, &step->frontier))
			steps = lappend(steps, step);
	}
	return steps;
}

/* Each view's step to the same event time, over slices that are read once. */
static void
run_steps(List *steps, const Progress *progress, ViewGroup *group)
{
	SharedSlices *slices = shared_slices_create(&((Step *) linitial(steps))->shape.stream);
	int parts = INCREMENTAL_STEPS * Min(list_length(steps), TOGETHER_STEPS);
	Ticks to = step_target(progress, group->from, group->target, parts);
	Oid *stepped = palloc(list_length(steps) * sizeof(Oid));
	int n = 0;
	ListCell *cell;

	foreach (cell, steps)
		over_operator_want(&((Step *) lfirst(cell))->view, group->from, to, slices);
	shared_slices_read(slices);
	group->arrived = true;
	foreach (cell, steps)
	{
		Step *step = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		step->to = to;
		if (!try_part(run_part, step, progress, slices, group))
			continue;
		stepped[n++] = step->relid;
		group->arrived &= step->to >= step->target;
	}
	clear_errors(stepped, n);
	MemoryContextSwitchTo(group->context);
	for (int i = 0; i < n; i++)
		group->stepped = lappend_oid(group->stepped, stepped[i]);
}

static void
advance_group(ViewGroup *group, const Progress *progress)
{
	List *views;
	List *steps;

	frontier_lock_tables(progress->stream);
	views = lock_free_views(group->views);
	if (list_length(views) < 2)
		return;
	take_snapshot();
	steps = prepare_steps(views, progress, group);
	if (list_length(steps) > 1)
		run_steps(steps, progress, group);
}

/*
 * A step of several views. Returns those that are done with for now, and brings *arrived down if one of them has further to go. The others
 * have to take steps of their own; so have all if anything goes wrong outside of a view's subtransaction.
 */
static List *
try_group(ViewGroup *group, Progress *progress, bool *arrived)
{
	MemoryContext context = CurrentMemoryContext;
	ListCell *view;
	ListCell *error;

	if (list_length(group->views) < 2)
		return NIL;
	PG_TRY();
	{
		begin_step();
		advance_group(group, progress);
		end_step();
	}
	PG_CATCH();
	{
		ErrorData *failure = catch_error(context);

		if (failure)
			log_error(failure);
		group->stepped = group->failed = group->errors = NIL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	forboth (view, group->failed, error, group->errors)
		if (lfirst(error))
			report_failure(lfirst_oid(view), lfirst(error), progress);
	if (group->stepped)
		*arrived &= group->arrived;
	return list_concat_copy(group->stepped, group->failed);
}

/* The stream's time index, for the steps that follow and for who reads beside them. */
static void
summarize(Oid relid)
{
	Stream stream;

	begin_step();
	if (stream_lookup(relid, &stream))
		time_index_summarize(relid, stream.attnum);
	end_step();
}

/* APPENDING: one step for each view that has not arrived. */
static void
append(Progress *progress)
{
	MemoryContext round_context = CurrentMemoryContext;
	bool arrived = true;
	List *views;
	List *groups = NIL;
	List *done = NIL;
	ListCell *cell;

	begin_step();
	MemoryContextSwitchTo(round_context);
	views = views_of_stream(progress->stream);
	over_operator_keep(progress->stream, views);
	foreach (cell, views)
		groups = add_to_group(groups, lfirst_oid(cell), progress);
	end_step();
	MemoryContextSwitchTo(round_context);
	summarize(progress->stream);
	MemoryContextSwitchTo(round_context);
	foreach (cell, groups)
		done = list_concat(done, try_group(lfirst(cell), progress, &arrived));
	foreach (cell, views)
	{
		CHECK_FOR_INTERRUPTS();
		if (!list_member_oid(done, lfirst_oid(cell)))
			arrived &= try_step(lfirst_oid(cell), progress);
	}
	if (arrived)
	{
		worker_move_ended(progress->stream);
		progress->phase = PHASE_IDLE;
		progress->next_look = GetCurrentTimestamp();
		if (progress->failed || !progress->busy)
			progress->next_look = TimestampTzPlusMilliseconds(
				progress->next_look,
				progress->failed ? FAILED_STEP_MS : tidemark_maintain_interval);
		progress->busy &= !progress->failed;
		progress->failed = false;
	}
}

/* ---- the round ------------------------------------------------------------------------------------- */

/* One state's work for a stream; returns the ms until the next. */
static long
attend(Progress *progress, MemoryContext worker_context)
{
	long wait = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), progress->next_look);

	if (progress->phase == PHASE_IDLE && wait > 0)
		return wait;
	progress->next_look =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), tidemark_maintain_interval);
	if (progress->phase == PHASE_IDLE)
		look(progress, worker_context);
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
		ErrorData *error = catch_error(context);

		wait = error ? FAILED_MS : IDLE_MS;
		if (error)
			log_error(error);
		worker_move_ended(progress->stream);
		progress->phase = PHASE_IDLE;
		progress->next_look = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait);
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
		if (((Progress *) lfirst(cell))->stream == stream)
			return lfirst(cell);
	old = MemoryContextSwitchTo(TopMemoryContext);
	progress = palloc0(sizeof(Progress));
	progress->stream = stream;
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

	StartTransactionCommand();
	MemoryContextSwitchTo(round_context);
	oids = all_streams();
	CommitTransactionCommand();
	MemoryContextSwitchTo(round_context);
	foreach (cell, streams)
	{
		Progress *progress = lfirst(cell);

		if (list_member_oid(oids, progress->stream))
			continue;
		streams = foreach_delete_current(streams, cell);
		if (progress->writers)
			pfree(progress->writers);
		list_free(progress->views);
		over_operator_keep(progress->stream, NIL);
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
