/*
 * readers.c: which session reads which subscription, in shared memory; and waiting for changes.
 *
 * A subscription's changes have an order, so one session at a time has changes of it that are not acknowledged:
 *
 *   free --reader_take--> read --reader_given--> given out up to a position --acknowledged, committed--> free
 *    ^                     |                        |
 *    +----nothing came-----+------------------------+---- session ended, or the transaction that read failed
 *
 * "Acknowledged" is not kept here: it is what the catalogue says, and whoever wants the subscription next compares (reader_take). So it
 * doesn't matter which session acknowledges, nor whether that is rolled back with a savepoint. After a crash there are no sessions, and
 * nothing is given out; what wasn't acknowledged is read again.
 *
 * Whoever waits, for changes or for another session, waits for the one condition variable, which is told of all views, and looks again.
 * That somebody has told before he waits he sees by a count.
 */
#include "tidemark.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "sink/readers.h"

/* Subscriptions of the whole cluster that can be read at the same time. */
#define MAX_READERS 1024

typedef struct ReaderKey
{
	Oid database;
	int32 subscription;
} ReaderKey;

typedef struct Reader
{
	ReaderKey key;
	/* All: ReadersShared.lock. */
	int pid;
	bool reads;			/* just now */
	FeedPosition given; /* up to there it has changes; unless it reads */
} Reader;

typedef struct ReadersShared
{
	LWLock lock;			  /* of every Reader */
	ConditionVariable told;	  /* broadcast after signals has risen */
	pg_atomic_uint64 signals; /* how often */
} ReadersShared;

static ReadersShared *shared = NULL;
static HTAB *readers = NULL;

static List *taken = NIL; /* subscriptions that this transaction took; in TopTransactionContext */
static bool tell_at_commit = false;

/* ---- shared memory ------------------------------------------------------------------------------- */

Size
readers_shmem_size(void)
{
	return add_size(MAXALIGN(sizeof(ReadersShared)),
					hash_estimate_size(MAX_READERS, sizeof(Reader)));
}

void
readers_shmem_startup(void)
{
	HASHCTL control = {.keysize = sizeof(ReaderKey), .entrysize = sizeof(Reader)};
	bool found;

	shared = ShmemInitStruct("tidemark readers", sizeof(ReadersShared), &found);
	if (!found)
	{
		LWLockInitialize(&shared->lock, LWLockNewTrancheId());
		ConditionVariableInit(&shared->told);
		pg_atomic_init_u64(&shared->signals, 0);
	}
	LWLockRegisterTranche(shared->lock.tranche, "tidemark readers");
	readers =
		ShmemInitHash("tidemark reader table", 64, MAX_READERS, &control, HASH_ELEM | HASH_BLOBS);
}

static ReaderKey
reader_key(int32 subscription)
{
	ReaderKey key = {.database = MyDatabaseId, .subscription = subscription};

	return key;
}

/* ---- telling, and waiting ------------------------------------------------------------------------------ */

void
readers_signal(void)
{
	if (shared == NULL)
		return;
	pg_atomic_fetch_add_u64(&shared->signals, 1);
	ConditionVariableBroadcast(&shared->told);
}

uint64
readers_signals(void)
{
	return shared ? pg_atomic_read_u64(&shared->signals) : 0;
}

void
readers_wait(uint64 signals, long timeout_ms)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);

	ConditionVariablePrepareToSleep(&shared->told);
	while (readers_signals() == signals && timeout_ms > 0)
	{
		(void) ConditionVariableTimedSleep(&shared->told, timeout_ms, PG_WAIT_EXTENSION);
		timeout_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
	}
	ConditionVariableCancelSleep();
}

/* ---- the end of a transaction, and of the session --------------------------------------------------------- */

/* Gives a subscription back, if it is this session's. */
static void
give_back(int32 subscription)
{
	ReaderKey key = reader_key(subscription);
	Reader *reader;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	reader = hash_search(readers, &key, HASH_FIND, NULL);
	if (reader && reader->pid == MyProcPid)
		hash_search(readers, &key, HASH_REMOVE, NULL);
	LWLockRelease(&shared->lock);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	ListCell *cell;

	if (event == XACT_EVENT_ABORT)
		foreach (cell, taken)
			give_back(lfirst_int(cell));
	if ((event == XACT_EVENT_ABORT && taken) || (event == XACT_EVENT_COMMIT && tell_at_commit))
		readers_signal();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		taken = NIL;
		tell_at_commit = false;
	}
}

static void
at_session_end(int code, Datum arg)
{
	HASH_SEQ_STATUS all;
	Reader *reader;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	hash_seq_init(&all, readers);
	while ((reader = hash_seq_search(&all)) != NULL)
		if (reader->pid == MyProcPid)
			hash_search(readers, &reader->key, HASH_REMOVE, NULL);
	LWLockRelease(&shared->lock);
	readers_signal();
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	on_shmem_exit(at_session_end, (Datum) 0);
	registered = true;
}

void
readers_tell_at_commit(void)
{
	register_callbacks();
	tell_at_commit = true;
}

/* ---- taking, and giving back -------------------------------------------------------------------------------- */

static bool
covers(const FeedPosition *acknowledged, const FeedPosition *given)
{
	return acknowledged->frontier >= given->frontier && acknowledged->seq >= given->seq;
}

/* Lock held. */
static ReaderClaim
claim(Reader *reader, bool found, const FeedPosition *acknowledged)
{
	if (found && reader->pid != MyProcPid &&
		(reader->reads || !covers(acknowledged, &reader->given)))
		return READER_BUSY;
	if (found && reader->pid == MyProcPid)
	{
		reader->reads = true;
		return READER_SAME;
	}
	reader->pid = MyProcPid;
	reader->reads = true;
	return READER_NEW;
}

ReaderClaim
reader_take(int32 subscription, const FeedPosition *acknowledged)
{
	ReaderKey key = reader_key(subscription);
	ReaderClaim result = READER_BUSY;
	Reader *reader;
	bool found;
	MemoryContext old;

	register_callbacks();
	/* there is no room for an error between the entry and this */
	old = MemoryContextSwitchTo(TopTransactionContext);
	taken = lappend_int(taken, subscription);
	MemoryContextSwitchTo(old);

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	reader = hash_search(readers, &key, HASH_ENTER_NULL, &found);
	if (reader)
		result = claim(reader, found, acknowledged);
	LWLockRelease(&shared->lock);
	if (result != READER_NEW)
		taken = list_delete_last(taken);
	if (reader == NULL)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("no room in shared memory for another subscription that is read"),
						errdetail("There is room for %d of them.", MAX_READERS)));
	return result;
}

void
reader_given(int32 subscription, const FeedPosition *position)
{
	ReaderKey key = reader_key(subscription);
	Reader *reader;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	reader = hash_search(readers, &key, HASH_FIND, NULL);
	if (reader && reader->pid == MyProcPid)
	{
		reader->reads = false;
		reader->given = *position;
	}
	LWLockRelease(&shared->lock);
}

void
reader_leave(int32 subscription, ReaderClaim claim)
{
	ReaderKey key = reader_key(subscription);
	Reader *reader;

	if (claim == READER_NEW)
	{
		give_back(subscription);
		taken = list_delete_int(taken, subscription);
		return;
	}
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	reader = hash_search(readers, &key, HASH_FIND, NULL);
	if (reader && reader->pid == MyProcPid)
		reader->reads = false;
	LWLockRelease(&shared->lock);
}

void
readers_list(ReturnSetInfo *result)
{
	HASH_SEQ_STATUS all;
	Reader *reader;

	if (shared == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_SHARED);
	hash_seq_init(&all, readers);
	while ((reader = hash_seq_search(&all)) != NULL)
	{
		Datum values[] = {Int32GetDatum(reader->key.subscription), Int32GetDatum(reader->pid),
						  BoolGetDatum(reader->reads), Int64GetDatum(reader->given.frontier),
						  Int64GetDatum(reader->given.seq)};
		bool nulls[lengthof(values)] = {false};

		if (reader->key.database == MyDatabaseId)
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	LWLockRelease(&shared->lock);
}
