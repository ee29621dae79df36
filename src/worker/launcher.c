/*
 * launcher.c: one process a cluster, which starts a maintainer in each database that may need one.
 *
 * It is connected to no database and reads only pg_database. A database asks for its maintainer through
 * shared memory (worker_request): at CREATE EXTENSION, when a stream or an ingestion is made, when a
 * maintainer ends by an error. At its start the launcher looks at every database, since after a crash
 * or a restart the catalogues are all that is known. A maintainer that finds no extension in its
 * database ends at once and is not started again until somebody asks.
 *
 * A maintainer that fails is started again after 1 s, 2 s, … 60 s; one that has lived for a minute
 * starts over at 1 s.
 */
#include "tidemark.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "worker/slots.h"
#include "worker/worker.h"

#define BACKOFF_LEAST_MS 1000
#define BACKOFF_GREATEST_MS 60000
#define HEALTHY_MS 60000
#define NO_ROOM_RETRY_MS 1000
#define LOOK_AGAIN_MS 100

/* Databases looked into at the same time: most have no tidemark, and worker processes are few. */
#define MAX_UNSETTLED 3

/* What the launcher remembers of a database. */
typedef struct DatabaseEntry
{
	Oid database;
	bool wanted;			/* somebody asked for a maintainer */
	TimestampTz not_before; /* backoff */
	TimestampTz started_at;
	long backoff_ms;
	bool told_no_room;
} DatabaseEntry;

static List *databases = NIL; /* of DatabaseEntry, in TopMemoryContext */

PGDLLEXPORT void tidemark_launcher_main(Datum arg);

void
worker_init(void)
{
	BackgroundWorker worker;

	database_hooks_init();

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_library_name, "tidemark", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "tidemark_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "tidemark launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "tidemark launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

static DatabaseEntry *
entry_of(Oid database)
{
	ListCell *cell;
	DatabaseEntry *entry;
	MemoryContext old;

	foreach (cell, databases)
	{
		entry = lfirst(cell);
		if (entry->database == database)
			return entry;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	entry = palloc0(sizeof(*entry));
	entry->database = database;
	databases = lappend(databases, entry);
	MemoryContextSwitchTo(old);
	return entry;
}

/* The connectable databases that are no templates (and whose DROP was not interrupted: limit -2). */
static List *
read_databases(void)
{
	List *result = NIL;
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;
	MemoryContext caller = CurrentMemoryContext;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		if (!form->datallowconn || form->datistemplate || form->datconnlimit < -1)
			continue;
		old = MemoryContextSwitchTo(caller);
		result = lappend_oid(result, form->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	return result;
}

/* A maintainer ended by an error and asks to come back: not at once. */
static void
set_backoff(DatabaseEntry *entry)
{
	TimestampTz now = GetCurrentTimestamp();

	if (entry->started_at == 0)
		return;
	if (TimestampDifferenceExceeds(entry->started_at, now, HEALTHY_MS))
		entry->backoff_ms = BACKOFF_LEAST_MS;
	else
		entry->backoff_ms = Min(Max(entry->backoff_ms * 2, BACKOFF_LEAST_MS), BACKOFF_GREATEST_MS);
	entry->not_before = TimestampTzPlusMilliseconds(now, entry->backoff_ms);
	entry->started_at = 0;
}

/* Takes the requests out of shared memory. */
static void
take_requests(void)
{
	Oid requests[MAX_WORKER_REQUESTS];
	int nrequests;
	bool check_all;

	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	nrequests = worker_shared->nrequests;
	memcpy(requests, worker_shared->requests, sizeof(Oid) * nrequests);
	check_all = worker_shared->check_all;
	worker_shared->nrequests = 0;
	worker_shared->check_all = false;
	LWLockRelease(&worker_shared->lock);

	for (int i = 0; i < nrequests; i++)
	{
		DatabaseEntry *entry = entry_of(requests[i]);

		if (!entry->wanted)
			set_backoff(entry);
		entry->wanted = true;
	}
	if (check_all)
	{
		List *all = read_databases();
		ListCell *cell;

		foreach (cell, all)
			entry_of(lfirst_oid(cell))->wanted = true;
		list_free(all);
	}
}

static int
unsettled_maintainers(void)
{
	int n = 0;

	LWLockAcquire(&worker_shared->lock, LW_SHARED);
	for (int i = 0; i < worker_shared->nslots; i++)
		if (worker_shared->slots[i].kind == WORKER_MAINTAINER && !worker_shared->slots[i].settled)
			n++;
	LWLockRelease(&worker_shared->lock);
	return n;
}

/* One that isn't may end without having seen what is new. */
static bool
maintainer_settled(Oid database)
{
	WorkerSlot *slot;
	bool settled;

	LWLockAcquire(&worker_shared->lock, LW_SHARED);
	slot = worker_slot_find(WORKER_MAINTAINER, database, 0);
	settled = slot && slot->settled;
	LWLockRelease(&worker_shared->lock);
	return settled;
}

/* Starts one maintainer; returns the ms until the next attempt, -1 when none is needed. */
static long
start_maintainer(DatabaseEntry *entry)
{
	BackgroundWorkerHandle *handle;

	switch (worker_start(WORKER_MAINTAINER, entry->database, 0, InvalidOid, "tidemark maintainer",
						 &handle))
	{
		case WORKER_STARTED:
			entry->wanted = false;
			entry->told_no_room = false;
			entry->started_at = GetCurrentTimestamp();
			pfree(handle);
			return -1;
		case WORKER_ALREADY_THERE:
			if (!maintainer_settled(entry->database))
				return LOOK_AGAIN_MS;
			entry->wanted = false;
			return -1;
		case WORKER_HELD:
			/* Whoever holds it asks for all databases afterwards. */
			entry->wanted = false;
			return -1;
		case WORKER_NO_ROOM:
			break;
	}
	if (!entry->told_no_room)
		ereport(LOG,
				(errmsg("tidemark has no free background worker for database %u", entry->database),
				 errhint("Raise max_worker_processes (now %d) and restart the server.",
						 max_worker_processes)));
	entry->told_no_room = true;
	return NO_ROOM_RETRY_MS;
}

static long
sooner(long a, long b)
{
	if (a < 0 || b < 0)
		return Max(a, b);
	return Min(a, b);
}

/* Forgets requests for databases that are gone, or can't be connected to. */
static void
forget_missing(void)
{
	List *all = read_databases();
	ListCell *cell;

	foreach (cell, databases)
	{
		DatabaseEntry *entry = lfirst(cell);

		if (list_member_oid(all, entry->database))
			continue;
		databases = foreach_delete_current(databases, cell);
		pfree(entry);
	}
	list_free(all);
}

static bool
any_wanted(void)
{
	ListCell *cell;

	foreach (cell, databases)
		if (((DatabaseEntry *) lfirst(cell))->wanted)
			return true;
	return false;
}

/* Starts what is wanted and due; returns the ms until the next one is due, -1: none. */
static long
start_maintainers(void)
{
	long wait_ms = -1;
	int unsettled = unsettled_maintainers();
	ListCell *cell;

	if (any_wanted())
		forget_missing();
	foreach (cell, databases)
	{
		DatabaseEntry *entry = lfirst(cell);
		TimestampTz now = GetCurrentTimestamp();

		if (!entry->wanted)
			continue;
		if (entry->not_before > now)
			wait_ms = sooner(wait_ms, TimestampDifferenceMilliseconds(now, entry->not_before));
		else if (unsettled >= MAX_UNSETTLED)
			wait_ms = sooner(wait_ms, LOOK_AGAIN_MS);
		else
		{
			long retry_ms = start_maintainer(entry);

			if (retry_ms < 0)
				unsettled++;
			wait_ms = sooner(wait_ms, retry_ms);
		}
	}
	return wait_ms;
}

static void
leave_shared_memory(int code, Datum arg)
{
	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	worker_shared->launcher_latch = NULL;
	LWLockRelease(&worker_shared->lock);
}

void
tidemark_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	before_shmem_exit(leave_shared_memory, (Datum) 0);
	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	worker_shared->launcher_latch = MyLatch;
	worker_shared->check_all = true;
	LWLockRelease(&worker_shared->lock);

	for (;;)
	{
		long wait_ms;

		worker_handle_signals();
		take_requests();
		worker_reclaim_slots();
		wait_ms = start_maintainers();
		pgstat_report_activity(STATE_IDLE, NULL);
		worker_wait(wait_ms, PG_WAIT_EXTENSION);
	}
}
