/*
 * slots.c: who runs: one slot in shared memory for each of our processes.
 *
 *   free --worker_start()--> reserved --worker_attach()--> attached --exit--> free
 *                                \--the process never came up: worker_reclaim_slots()--> free
 *
 * A slot is reserved before the process exists, so that nobody starts a second one for the same
 * job; its generation tells a process that came up late that the slot has gone to another. That at most one
 * process works for an ingestion is a matter of tidiness, not of correctness: a batch names the offsets
 * that it expects to find in the catalogue (stream/ingest.c), so of two workers one would fail; and the broker
 * lets only the newest of two producers of a sink go on.
 *
 * Nothing here survives a crash, and nothing needs to: what should run is in the catalogue. The launcher
 * looks at every database when it starts.
 */
#include "tidemark.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "storage/procsignal.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "sink/readers.h"
#include "worker/slots.h"
#include "worker/worker.h"

/* How long a process may take to come up before its slot is given to another. */
#define WORKER_COME_UP_MS 30000

WorkerShared *worker_shared = NULL;
char *worker_user_search_path = NULL;

static WorkerSlot *my_slot = NULL;
static bool wake_at_commit = false;	 /* the catalogue was changed */
static bool nudge_at_commit = false; /* rows were written */
static bool feeds_at_commit = false; /* materialised rows of a view that is sent somewhere were */
static bool wake_callback_registered = false;

/* ---- shared memory ---- */

Size
worker_shmem_size(void)
{
	return add_size(offsetof(WorkerShared, slots),
					mul_size(max_worker_processes, sizeof(WorkerSlot)));
}

void
worker_shmem_startup(void)
{
	bool found;

	worker_shared = ShmemInitStruct("tidemark workers", worker_shmem_size(), &found);
	if (!found)
	{
		memset(worker_shared, 0, worker_shmem_size());
		worker_shared->nslots = max_worker_processes;
		worker_shared->lock_tranche = LWLockNewTrancheId();
		LWLockInitialize(&worker_shared->lock, worker_shared->lock_tranche);
	}
	LWLockRegisterTranche(worker_shared->lock_tranche, "tidemark_workers");
}

const char *
job_state_name(JobState state)
{
	switch (state)
	{
		case JOB_STARTING:
			return "starting";
		case JOB_RUNNING:
			return "running";
		case JOB_WAITING_FOR_BROKER:
			return "waiting for broker";
		case JOB_WAITING_FOR_TOPIC:
			return "waiting for topic";
		case JOB_ERROR:
			return "error";
	}
	return "unknown";
}

/* ---- finding, reserving, giving back; the lock is held where it says so ---- */

WorkerSlot *
worker_slot_find(WorkerKind kind, Oid database, int32 job)
{
	Assert(LWLockHeldByMe(&worker_shared->lock));
	for (int i = 0; i < worker_shared->nslots; i++)
	{
		WorkerSlot *slot = &worker_shared->slots[i];

		if (slot->kind == kind && slot->database == database && slot->job == job)
			return slot;
	}
	return NULL;
}

static bool
database_is_held(Oid database)
{
	for (int i = 0; i < MAX_DATABASE_HOLDS; i++)
		if (worker_shared->holds[i].database == database)
			return true;
	return false;
}

static WorkerSlot *
free_slot(void)
{
	for (int i = 0; i < worker_shared->nslots; i++)
		if (worker_shared->slots[i].kind == WORKER_NONE)
			return &worker_shared->slots[i];
	return NULL;
}

/* Lock held. */
static void
release_slot(WorkerSlot *slot)
{
	slot->kind = WORKER_NONE;
	slot->database = InvalidOid;
	slot->job = 0;
	slot->proc = NULL;
}

static WorkerStart
reserve_slot(WorkerKind kind, Oid database, int32 job, Oid relation, WorkerOrder *order)
{
	WorkerSlot *slot;
	WorkerStart result = WORKER_STARTED;

	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	if (database_is_held(database))
		result = WORKER_HELD;
	else if (worker_slot_find(kind, database, job))
		result = WORKER_ALREADY_THERE;
	else if ((slot = free_slot()) == NULL)
		result = WORKER_NO_ROOM;
	else
	{
		slot->kind = kind;
		slot->generation++;
		slot->database = database;
		slot->job = job;
		slot->relation = relation;
		slot->proc = NULL;
		slot->reserved_at = GetCurrentTimestamp();
		slot->settled = slot->stop = slot->reload = slot->done = false;
		memset(&slot->progress, 0, sizeof(slot->progress));
		slot->progress.lag_records = -1;
		order->slot = slot - worker_shared->slots;
		order->generation = slot->generation;
		order->database = database;
		order->job = job;
	}
	LWLockRelease(&worker_shared->lock);
	return result;
}

/* What a kind of process shows as in pg_stat_activity, and where it begins. */
static const struct
{
	const char *type;
	const char *main;
} programs[] = {
	[WORKER_MAINTAINER] = {"tidemark maintainer", "tidemark_maintainer_main"},
	[WORKER_INGEST] = {"tidemark ingest", "tidemark_ingest_main"},
	[WORKER_SINK] = {"tidemark sink", "tidemark_sink_main"},
};

static void
describe_process(BackgroundWorker *worker, WorkerKind kind, const char *name,
				 const WorkerOrder *order)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	worker->bgw_notify_pid = MyProcPid;
	strlcpy(worker->bgw_library_name, "tidemark", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_name, name, sizeof(worker->bgw_name));
	strlcpy(worker->bgw_type, programs[kind].type, sizeof(worker->bgw_type));
	strlcpy(worker->bgw_function_name, programs[kind].main, sizeof(worker->bgw_function_name));
	memcpy(worker->bgw_extra, order, sizeof(*order));
}

WorkerStart
worker_start(WorkerKind kind, Oid database, int32 job, Oid relation, const char *name,
			 BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;
	WorkerOrder order;
	WorkerStart result = reserve_slot(kind, database, job, relation, &order);

	if (result != WORKER_STARTED)
		return result;
	describe_process(&worker, kind, name, &order);
	if (RegisterDynamicBackgroundWorker(&worker, handle))
		return WORKER_STARTED;

	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	release_slot(&worker_shared->slots[order.slot]);
	LWLockRelease(&worker_shared->lock);
	return WORKER_NO_ROOM;
}

void
worker_reclaim_slots(void)
{
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < worker_shared->nslots; i++)
	{
		WorkerSlot *slot = &worker_shared->slots[i];

		if (slot->kind != WORKER_NONE && slot->proc == NULL &&
			TimestampDifferenceExceeds(slot->reserved_at, now, WORKER_COME_UP_MS))
		{
			ereport(LOG, (errmsg("a tidemark worker for database %u did not start in time",
								 slot->database)));
			release_slot(slot);
		}
	}
	LWLockRelease(&worker_shared->lock);
}

/* ---- requests to the launcher ---- */

/* Lock held. */
static void
add_request(Oid database)
{
	if (!OidIsValid(database) || worker_shared->nrequests == MAX_WORKER_REQUESTS)
		worker_shared->check_all = true;
	else
		worker_shared->requests[worker_shared->nrequests++] = database;
	if (worker_shared->launcher_latch)
		SetLatch(worker_shared->launcher_latch);
}

void
worker_request(Oid database)
{
	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	add_request(database);
	LWLockRelease(&worker_shared->lock);
}

static void
wake_maintainer(bool start_it)
{
	WorkerSlot *slot;

	if (worker_shared == NULL)
		return;
	LWLockAcquire(&worker_shared->lock, start_it ? LW_EXCLUSIVE : LW_SHARED);
	slot = worker_slot_find(WORKER_MAINTAINER, MyDatabaseId, 0);
	if (slot && start_it)
		slot->reload = true;
	if (slot && slot->proc)
		SetLatch(&slot->proc->procLatch);
	/* One that has not settled yet may just have found that there's nothing to do. */
	if (start_it && (slot == NULL || !slot->settled))
		add_request(MyDatabaseId);
	LWLockRelease(&worker_shared->lock);
}

void
worker_wake_maintainer(void)
{
	wake_maintainer(false);
}

/* Whoever follows a view: the sinks; the maintainer, for who listens, unless it's us; sessions that wait for changes. */
static void
wake_followers(void)
{
	readers_signal();
	LWLockAcquire(&worker_shared->lock, LW_SHARED);
	for (int i = 0; i < worker_shared->nslots; i++)
	{
		WorkerSlot *slot = &worker_shared->slots[i];

		if ((slot->kind == WORKER_SINK || slot->kind == WORKER_MAINTAINER) &&
			slot->database == MyDatabaseId && slot->proc && slot->proc != MyProc)
			SetLatch(&slot->proc->procLatch);
	}
	LWLockRelease(&worker_shared->lock);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && feeds_at_commit)
		wake_followers();
	if (event == XACT_EVENT_COMMIT && (wake_at_commit || nudge_at_commit))
		wake_maintainer(wake_at_commit);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		wake_at_commit = nudge_at_commit = feeds_at_commit = false;
}

static void
at_commit(bool *flag)
{
	if (worker_shared == NULL)
		return;
	if (!wake_callback_registered)
		RegisterXactCallback(at_transaction_end, NULL);
	wake_callback_registered = true;
	*flag = true;
}

void
worker_wake_at_commit(void)
{
	at_commit(&wake_at_commit);
}

void
worker_nudge_at_commit(void)
{
	at_commit(&nudge_at_commit);
}

void
worker_wake_followers_at_commit(void)
{
	at_commit(&feeds_at_commit);
}

/* ---- how far views are ---- */

static bool
is_ingestion_into(const WorkerSlot *slot, Oid stream)
{
	return slot->kind == WORKER_INGEST && slot->database == MyDatabaseId &&
		   slot->relation == stream;
}

static void
tell_ingestions(Oid stream, bool ended)
{
	if (worker_shared == NULL)
		return;
	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < worker_shared->nslots; i++)
	{
		WorkerSlot *slot = &worker_shared->slots[i];

		if (!is_ingestion_into(slot, stream))
			continue;
		if (ended)
			slot->progress.moved = slot->progress.being_moved;
		else
			slot->progress.being_moved = slot->progress.committed;
		if (ended && slot->proc)
			SetLatch(&slot->proc->procLatch);
	}
	LWLockRelease(&worker_shared->lock);
}

int64
worker_records_waiting(Oid stream)
{
	int64 waiting = 0;

	if (worker_shared == NULL)
		return 0;
	LWLockAcquire(&worker_shared->lock, LW_SHARED);
	for (int i = 0; i < worker_shared->nslots; i++)
	{
		WorkerSlot *slot = &worker_shared->slots[i];

		if (is_ingestion_into(slot, stream))
			waiting += slot->progress.committed - slot->progress.being_moved;
	}
	LWLockRelease(&worker_shared->lock);
	return waiting;
}

void
worker_move_begins(Oid stream)
{
	tell_ingestions(stream, false);
}

void
worker_move_ended(Oid stream)
{
	tell_ingestions(stream, true);
}

/* ---- in a worker process ---- */

static void
detach(int code, Datum arg)
{
	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	/* A maintainer that failed comes back; the launcher decides when. */
	if (my_slot->kind == WORKER_MAINTAINER && !my_slot->done)
		add_request(my_slot->database);
	/* The maintainer starts a failed worker again, or sees that one has ended. */
	if (my_slot->kind != WORKER_MAINTAINER)
	{
		WorkerSlot *maintainer = worker_slot_find(WORKER_MAINTAINER, my_slot->database, 0);

		if (maintainer && maintainer->proc)
			SetLatch(&maintainer->proc->procLatch);
	}
	release_slot(my_slot);
	LWLockRelease(&worker_shared->lock);
	my_slot = NULL;
}

WorkerSlot *
worker_attach(void)
{
	WorkerOrder order;
	WorkerSlot *slot;
	bool mine;

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);

	slot = &worker_shared->slots[order.slot];
	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	mine = slot->kind != WORKER_NONE && slot->generation == order.generation && slot->proc == NULL;
	if (mine && slot->stop)
	{
		/* No longer wanted before it has begun. */
		release_slot(slot);
		mine = false;
	}
	else if (mine)
	{
		slot->proc = MyProc;
		my_slot = slot;
	}
	LWLockRelease(&worker_shared->lock);
	if (!mine)
		proc_exit(0);
	before_shmem_exit(detach, (Datum) 0);
	BackgroundWorkerUnblockSignals();
	return slot;
}

void
worker_connect(const WorkerSlot *slot)
{
	BackgroundWorkerInitializeConnectionByOid(slot->database, InvalidOid, 0);
	SetConfigOption("application_name", MyBgworkerEntry->bgw_name, PGC_USERSET, PGC_S_SESSION);
	worker_user_search_path =
		MemoryContextStrdup(TopMemoryContext, GetConfigOption("search_path", false, false));
	/* Our own SQL names every schema; nobody's functions shall come before PostgreSQL's. */
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION);
	/* A lost commit loses the positions together with the rows. */
	SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION);
}

bool
worker_stop_requested(void)
{
	bool stop;

	LWLockAcquire(&worker_shared->lock, LW_SHARED);
	stop = my_slot->stop;
	LWLockRelease(&worker_shared->lock);
	return stop;
}

bool
worker_extension_exists(void)
{
	bool exists;

	StartTransactionCommand();
	exists = OidIsValid(get_extension_oid("tidemark", true));
	CommitTransactionCommand();
	return exists;
}

/* As the top level of a session would have it in the log. */
static void
log_error(ErrorData *error)
{
	PG_TRY();
	{
		ReThrowError(error);
	}
	PG_CATCH();
	{
		EmitErrorReport();
		FlushErrorState();
	}
	PG_END_TRY();
}

ErrorData *
worker_error_caught(MemoryContext context)
{
	ErrorData *error;
	bool exists;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	RESUME_INTERRUPTS();

	exists = worker_extension_exists();
	MemoryContextSwitchTo(context);
	if (exists)
		log_error(error);
	else
		FreeErrorData(error);
	return exists ? error : NULL;
}

void
worker_handle_signals(void)
{
	CHECK_FOR_INTERRUPTS();
	/* A busy loop never waits, and it's the waits that notice. */
	if (!PostmasterIsAlive())
		proc_exit(1);
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

bool
worker_wait(long timeout_ms, uint32 wait_event)
{
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
	int happened;

	if (timeout_ms >= 0)
		events |= WL_TIMEOUT;
	happened = WaitLatch(MyLatch, events, timeout_ms, wait_event);
	ResetLatch(MyLatch);
	worker_handle_signals();
	return (happened & WL_LATCH_SET) != 0;
}
