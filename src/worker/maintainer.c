/*
 * maintainer.c: one process a database that has the extension: it keeps one worker running for every ingestion
 * and every sink that is wanted, moves the frontiers of continuous views (view/maintain.c), and looks after
 * subscriptions (sink/subscription_upkeep.c).
 *
 *                 the catalogue (tidemark.ingest, sink)       shared memory (slots)
 *                        what should run          --compare-->   what runs
 *                                                 start the missing, stop the surplus
 *
 * The catalogue is read when somebody who changed it has committed (worker_wake_at_commit), and every
 * ten seconds. A worker that ended is started again after 1 s, 2 s, … 60 s; one that has
 * lived for a minute starts over at 1 s. Errors of a maintenance round are logged, and the
 * next round waits likewise; they never end the process, nor keep it from looking after its workers.
 * It ends when the extension is gone.
 */
#include "tidemark.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "sink/sink.h"
#include "sink/subscription.h"
#include "stream/ingest.h"
#include "view/maintain.h"
#include "worker/slots.h"
#include "worker/worker.h"

#define READ_CATALOGUE_MS 10000
#define BACKOFF_LEAST_MS 1000
#define BACKOFF_GREATEST_MS 60000
#define HEALTHY_MS 60000

/* Rounds are not started more often than this, however often ingestion commits. */
#define ROUND_LEAST_MS 20

/* An ingestion or a sink that should run. */
typedef struct Wanted
{
	WorkerKind kind;
	int32 job;				/* its id */
	Oid relation;			/* the stream, or the view */
	char name[NAMEDATALEN]; /* the topic's foreign table */
	bool wanted;			/* in the catalogue, when it was read last */
	TimestampTz started_at; /* 0: not since it ended last */
	TimestampTz not_before;
	long backoff_ms;
	bool told_no_room;
} Wanted;

typedef struct Maintainer
{
	MemoryContext context; /* the process's life */
	MemoryContext scratch; /* a step's */
	MemoryContext errors;  /* a step's error */
	WorkerSlot *slot;
	List *wanted; /* of Wanted */
	TimestampTz catalogue_at;
	long start_ms;		   /* until the next worker is due to be started */
	long subscriptions_ms; /* until subscriptions are to be looked after */
	TimestampTz last_round;
	TimestampTz round_at; /* when the next round is due */
	long round_backoff_ms;
} Maintainer;

PGDLLEXPORT void tidemark_maintainer_main(Datum arg);

static long
ms_until(TimestampTz due)
{
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), due);
}

static long
next_backoff(long backoff_ms)
{
	return Min(Max(backoff_ms * 2, BACKOFF_LEAST_MS), BACKOFF_GREATEST_MS);
}

/* ---- the extension ---- */

static void
set_settled(Maintainer *maintainer, bool settled)
{
	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	maintainer->slot->settled = settled;
	LWLockRelease(&worker_shared->lock);
}

/*
 * Is there still something to do here? Whoever makes the extension after the second look finds a
 * maintainer that isn't settled and asks the launcher for the next one.
 */
static bool
stay(Maintainer *maintainer)
{
	if (!worker_extension_exists())
	{
		set_settled(maintainer, false);
		if (!worker_extension_exists())
			return false;
	}
	if (!maintainer->slot->settled)
		set_settled(maintainer, true);
	return true;
}

/* ---- what should run ---- */

static Wanted *
wanted_entry(Maintainer *maintainer, WorkerKind kind, int32 job)
{
	ListCell *cell;
	Wanted *entry;
	MemoryContext old;

	foreach (cell, maintainer->wanted)
	{
		entry = lfirst(cell);
		if (entry->kind == kind && entry->job == job)
			return entry;
	}
	old = MemoryContextSwitchTo(maintainer->context);
	entry = palloc0(sizeof(*entry));
	entry->kind = kind;
	entry->job = job;
	maintainer->wanted = lappend(maintainer->wanted, entry);
	MemoryContextSwitchTo(old);
	return entry;
}

static void
forget_unwanted(Maintainer *maintainer)
{
	ListCell *cell;

	foreach (cell, maintainer->wanted)
	{
		Wanted *entry = lfirst(cell);

		if (entry->wanted)
			continue;
		maintainer->wanted = foreach_delete_current(maintainer->wanted, cell);
		pfree(entry);
	}
}

static void
read_catalogue(Maintainer *maintainer)
{
	ListCell *cell;

	foreach (cell, maintainer->wanted)
		((Wanted *) lfirst(cell))->wanted = false;

	catalog_begin_transaction();
	if (SPI_execute("SELECT false, i.id, c.relname, i.stream::oid FROM tidemark.ingest i"
					" JOIN pg_class c ON c.oid = i.topic WHERE NOT i.paused"
					" UNION ALL SELECT true, s.id, c.relname, s.view::oid FROM tidemark.sink s"
					" JOIN pg_class c ON c.oid = s.topic WHERE NOT s.paused ORDER BY 1, 2",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "reading tidemark.ingest and tidemark.sink failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		bool is_sink = DatumGetBool(SPI_getbinval(row, desc, 1, &isnull));
		int32 id = DatumGetInt32(SPI_getbinval(row, desc, 2, &isnull));
		Wanted *entry = wanted_entry(maintainer, is_sink ? WORKER_SINK : WORKER_INGEST, id);

		strlcpy(entry->name, SPI_getvalue(row, desc, 3), NAMEDATALEN);
		entry->relation = DatumGetObjectId(SPI_getbinval(row, desc, 4, &isnull));
		entry->wanted = true;
	}
	catalog_end_transaction();
	forget_unwanted(maintainer);
	maintainer->catalogue_at = GetCurrentTimestamp();
}

/* The job can't get a process: said in the log and where its user looks. */
static void
tell_no_room(Wanted *entry)
{
	char *message = psprintf("no background worker is free: raise max_worker_processes (now %d)",
							 max_worker_processes);

	if (entry->told_no_room)
		return;
	entry->told_no_room = true;
	ereport(LOG, (errmsg("tidemark has no free background worker to %s \"%s\"",
						 entry->kind == WORKER_SINK ? "send to" : "ingest from", entry->name),
				  errhint("Raise max_worker_processes (now %d) and restart the server.",
						  max_worker_processes)));
	(entry->kind == WORKER_SINK ? sink_record_error : ingest_record_error)(entry->job, message);
}

/* ---- starting and stopping ---- */

static void
start_worker(Wanted *entry)
{
	BackgroundWorkerHandle *handle;
	char name[BGW_MAXLEN];
	TimestampTz now = GetCurrentTimestamp();

	snprintf(name, sizeof(name), "tidemark %s %s", entry->kind == WORKER_SINK ? "sink" : "ingest",
			 entry->name);
	switch (worker_start(entry->kind, MyDatabaseId, entry->job, entry->relation, name, &handle))
	{
		case WORKER_STARTED:
			pfree(handle);
			entry->told_no_room = false;
			entry->started_at = now;
			break;
		case WORKER_NO_ROOM:
			tell_no_room(entry);
			entry->not_before = TimestampTzPlusMilliseconds(now, BACKOFF_LEAST_MS);
			break;
		case WORKER_ALREADY_THERE:
		case WORKER_HELD:
			break;
	}
}

/* It runs no more; when may it run again? */
static void
note_end(Wanted *entry)
{
	TimestampTz now = GetCurrentTimestamp();

	if (entry->started_at == 0)
		return;
	if (TimestampDifferenceExceeds(entry->started_at, now, HEALTHY_MS))
		entry->backoff_ms = 0;
	entry->backoff_ms = next_backoff(entry->backoff_ms);
	entry->not_before = TimestampTzPlusMilliseconds(now, entry->backoff_ms);
	entry->started_at = 0;
}

static bool
runs(const Wanted *entry)
{
	bool result;

	LWLockAcquire(&worker_shared->lock, LW_SHARED);
	result = worker_slot_find(entry->kind, MyDatabaseId, entry->job) != NULL;
	LWLockRelease(&worker_shared->lock);
	return result;
}

/* Starts what is missing and due; returns ms until the next is due. */
static long
start_missing(Maintainer *maintainer)
{
	ListCell *cell;
	long wait_ms = READ_CATALOGUE_MS;

	foreach (cell, maintainer->wanted)
	{
		Wanted *entry = lfirst(cell);

		if (runs(entry))
			continue;
		note_end(entry);
		if (entry->not_before <= GetCurrentTimestamp())
			start_worker(entry);
		else
			wait_ms = Min(wait_ms, ms_until(entry->not_before));
	}
	return wait_ms;
}

static bool
is_wanted(Maintainer *maintainer, const WorkerSlot *slot)
{
	ListCell *cell;

	foreach (cell, maintainer->wanted)
	{
		Wanted *entry = lfirst(cell);

		if (entry->kind == slot->kind && entry->job == slot->job)
			return true;
	}
	return false;
}

/* A process of this database that is not the maintainer. */
static bool
does_a_job(const WorkerSlot *slot)
{
	return (slot->kind == WORKER_INGEST || slot->kind == WORKER_SINK) &&
		   slot->database == MyDatabaseId;
}

static void
stop_surplus(Maintainer *maintainer)
{
	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < worker_shared->nslots; i++)
	{
		WorkerSlot *slot = &worker_shared->slots[i];

		if (!does_a_job(slot) || is_wanted(maintainer, slot))
			continue;
		slot->stop = true;
		if (slot->proc)
			SetLatch(&slot->proc->procLatch);
	}
	LWLockRelease(&worker_shared->lock);
}

/* Did somebody change the catalogue? Then nobody waits for the end of an error's pause any more. */
static bool
take_reload(Maintainer *maintainer)
{
	ListCell *cell;
	bool reload;

	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	reload = maintainer->slot->reload;
	maintainer->slot->reload = false;
	for (int i = 0; reload && i < worker_shared->nslots; i++)
	{
		WorkerSlot *slot = &worker_shared->slots[i];

		if (!does_a_job(slot))
			continue;
		slot->reload = true;
		if (slot->proc)
			SetLatch(&slot->proc->procLatch);
	}
	LWLockRelease(&worker_shared->lock);
	if (reload)
		foreach (cell, maintainer->wanted)
			((Wanted *) lfirst(cell))->not_before = 0;
	return reload;
}

/* ---- the loop ---- */

static void
say_what(void *what)
{
	errcontext("%s", (const char *) what);
}

/* Runs step, and logs an error instead of raising it; false then. */
static bool
guarded(Maintainer *maintainer, void (*step)(Maintainer *), const char *what)
{
	ErrorContextCallback callback = {.callback = say_what, .arg = unconstify(char *, what)};
	bool ok = true;

	callback.previous = error_context_stack;
	error_context_stack = &callback;
	MemoryContextSwitchTo(maintainer->scratch);
	PG_TRY();
	{
		step(maintainer);
	}
	PG_CATCH();
	{
		/* Without an extension the next look at the catalogue ends the process. */
		if (worker_error_caught(maintainer->errors) == NULL)
			maintainer->catalogue_at = 0;
		ok = false;
	}
	PG_END_TRY();
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(maintainer->context);
	MemoryContextReset(maintainer->scratch);
	MemoryContextReset(maintainer->errors);
	return ok;
}

static void
one_round(Maintainer *maintainer)
{
	long wait_ms;

	pgstat_report_activity(STATE_RUNNING, "moving frontiers");
	maintainer->last_round = GetCurrentTimestamp();
	wait_ms = maintain_round(maintainer->context);
	maintainer->round_backoff_ms = 0;
	maintainer->round_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait_ms);
}

static void
look_after_subscriptions(Maintainer *maintainer)
{
	maintainer->subscriptions_ms = subscriptions_look_after();
}

static void
supervise(Maintainer *maintainer)
{
	if (take_reload(maintainer) || maintainer->catalogue_at == 0 ||
		TimestampDifferenceExceeds(maintainer->catalogue_at, GetCurrentTimestamp(),
								   READ_CATALOGUE_MS))
	{
		if (!stay(maintainer))
		{
			LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
			maintainer->slot->done = true;
			LWLockRelease(&worker_shared->lock);
			return;
		}
		read_catalogue(maintainer);
	}
	worker_reclaim_slots();
	stop_surplus(maintainer);
	maintainer->start_ms = start_missing(maintainer);
}

static void
finish_round(Maintainer *maintainer, bool ok)
{
	if (!ok)
	{
		maintainer->round_backoff_ms = next_backoff(maintainer->round_backoff_ms);
		maintainer->round_at =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), maintainer->round_backoff_ms);
	}
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

void
tidemark_maintainer_main(Datum arg)
{
	Maintainer maintainer = {0};
	bool woken = true;

	maintainer.slot = worker_attach();
	worker_connect(maintainer.slot);
	maintainer.context =
		AllocSetContextCreate(TopMemoryContext, "tidemark maintainer", ALLOCSET_DEFAULT_SIZES);
	maintainer.scratch = AllocSetContextCreate(maintainer.context, "tidemark maintainer's step",
											   ALLOCSET_DEFAULT_SIZES);
	maintainer.errors =
		AllocSetContextCreate(maintainer.context, "tidemark errors", ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(maintainer.context);

	while (!worker_stop_requested())
	{
		long wait_ms;

		worker_handle_signals();
		if (!guarded(&maintainer, supervise, "while looking after the workers of a database"))
		{
			/* Most likely the extension went away beneath us: look again soon. */
			maintainer.catalogue_at = 0;
			worker_wait(BACKOFF_LEAST_MS, PG_WAIT_EXTENSION);
			continue;
		}
		if (maintainer.slot->done)
			break;
		/* Rows have come: the next round is due, but not more often than is sensible. */
		if (woken && maintainer.round_backoff_ms == 0)
			maintainer.round_at =
				Min(maintainer.round_at,
					TimestampTzPlusMilliseconds(maintainer.last_round, ROUND_LEAST_MS));
		if (maintainer.round_at <= GetCurrentTimestamp())
			finish_round(&maintainer, guarded(&maintainer, one_round,
											  "while moving the frontiers of continuous views"));
		if (!guarded(&maintainer, look_after_subscriptions, "while looking after subscriptions"))
			maintainer.subscriptions_ms = BACKOFF_LEAST_MS;
		wait_ms = Min(Min(maintainer.start_ms, maintainer.subscriptions_ms),
					  ms_until(maintainer.round_at));
		woken = wait_ms > 0 && worker_wait(wait_ms, PG_WAIT_EXTENSION);
	}
	proc_exit(0);
}
