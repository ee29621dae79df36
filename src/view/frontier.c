/*
 * frontier.c: the locks between writers and the maintainer, and the guard.
 *
 * The race: a writer inserts a row at t believing the frontier to be below t; the maintainer takes its
 * snapshot before the writer commits, and moves the frontier past t. The row would be in no part of
 * the view. Nobody who writes in order may wait for that not to happen. So:
 *
 *   writer                                      maintainer
 *   ------                                      ----------
 *   writes its rows                             raises the guard to w1
 *   takes the stream's lock (shared)            lists the holders of the stream's lock
 *   reads the guard                             waits until each of them has ended
 *     rows above it: done, commits              takes the view's lock; takes its snapshot
 *     else takes the view's lock, takes a       appends the rows up to w1, sets the frontier
 *     snapshot, corrects up to the committed    commits
 *     frontier, commits
 *
 * A writer that reads the guard before it is raised holds the lock by then, is listed and waited for: the
 * snapshot sees its rows. One that reads it after sees w1, and goes to the view's lock if a row
 * is at or below it. If it gets that lock before the maintainer, the maintainer waits for its commit and
 * the snapshot sees the rows; if after, it reads the frontier w1 with a snapshot taken after the
 * lock, and corrects.
 *
 * The guard is one event time a stream, in shared memory, at or above every committed frontier of the
 * stream's views and every one about to be, and what rows up to there look ahead to. It only rises. That it stays up when a move fails costs
 * writers below it the way through the view's lock, no more. After a restart it is read from the
 * committed frontiers by whoever asks first; the maintainer asks before it raises it, so an
 * entry in shared memory is never below a frontier.
 *
 * Locks are LOCKTAG_OBJECT on our catalogue tables' OIDs and the stream's or view's: they are held to
 * the end of the transaction (prepared ones too), show in pg_locks, and take part in deadlock
 * detection. A writer holds the stream's lock and waits for views' locks, in OID order; the maintainer
 * waits for a view's lock holding no other, and for writers without holding a view's lock. Where it moves several views in
 * one transaction, it takes those whose locks are free, and waits for none. Its snapshot is taken after the last of them. Locks on the
 * stream's tables come before views' locks for everybody.
 */
#include "tidemark.h"

#include "access/xact.h"
#include "catalog.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "view/frontier.h"

/* Streams of the whole cluster that shared memory has room for; the rest go through the locks. */
#define MAX_GUARDS 4096

typedef struct GuardKey
{
	Oid database;
	Oid stream;
} GuardKey;

typedef struct Guard
{
	GuardKey key;
	Ticks guard; /* under guards_lock */
} Guard;

typedef struct FrontierShared
{
	LWLock lock; /* of every Guard */
} FrontierShared;

static FrontierShared *shared = NULL;
static HTAB *guards = NULL;

/* Streams dropped in this transaction; in TopTransactionContext. */
typedef struct Forgotten
{
	Oid stream;
	int level; /* of the subtransaction: if that is rolled back, the stream is there again */
} Forgotten;

static List *forgotten = NIL;

Size
frontier_shmem_size(void)
{
	return add_size(MAXALIGN(sizeof(FrontierShared)),
					hash_estimate_size(MAX_GUARDS, sizeof(Guard)));
}

void
frontier_shmem_startup(void)
{
	HASHCTL control = {.keysize = sizeof(GuardKey), .entrysize = sizeof(Guard)};
	bool found;

	shared = ShmemInitStruct("tidemark frontier", sizeof(FrontierShared), &found);
	if (!found)
		LWLockInitialize(&shared->lock, LWLockNewTrancheId());
	LWLockRegisterTranche(shared->lock.tranche, "tidemark frontier");
	guards = ShmemInitHash("tidemark guards", 64, MAX_GUARDS, &control, HASH_ELEM | HASH_BLOBS);
}

static void
object_lock_tag(LOCKTAG *tag, const char *table, Oid object)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, catalog_table(table), object, 0);
}

void
frontier_lock_stream(Oid stream)
{
	LOCKTAG tag;

	object_lock_tag(&tag, "stream", stream);
	(void) LockAcquire(&tag, RowExclusiveLock, false, false);
}

void
frontier_lock_view(Oid view)
{
	LOCKTAG tag;

	object_lock_tag(&tag, "view", view);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

bool
frontier_try_lock_view(Oid view)
{
	LOCKTAG tag;

	object_lock_tag(&tag, "view", view);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
frontier_lock_tables(Oid stream)
{
	list_free(stream_tables(stream, AccessShareLock));
}

VirtualTransactionId *
frontier_writers(Oid stream)
{
	LOCKTAG tag;

	object_lock_tag(&tag, "stream", stream);
	return GetLockConflicts(&tag, ShareLock, NULL);
}

/* The greatest event time that a committed frontier of the stream's views depends on. */
static Ticks
greatest_frontier(Oid stream)
{
	Ticks greatest = TICKS_MIN;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	List *views = views_of_stream(stream);
	ListCell *cell;

	foreach (cell, views)
	{
		Ticks frontier = frontier_read(lfirst_oid(cell), snapshot).frontier;
		ContinuousView view;

		if (view_lookup(lfirst_oid(cell), &view))
			frontier = ticks_plus(frontier, view.lookahead);
		greatest = Max(greatest, frontier);
	}
	UnregisterSnapshot(snapshot);
	return greatest;
}

static GuardKey
guard_key(Oid stream)
{
	GuardKey key = {.database = MyDatabaseId, .stream = stream};

	return key;
}

/* The guard, at least at_least, with an entry made if there is room; TICKS_MAX if not. */
static Ticks
raise_guard(Oid stream, Ticks at_least)
{
	GuardKey key = guard_key(stream);
	Ticks result = TICKS_MAX;
	Guard *entry;
	bool found;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	entry = hash_search(guards, &key, HASH_ENTER_NULL, &found);
	if (entry)
	{
		entry->guard = found ? Max(entry->guard, at_least) : at_least;
		result = entry->guard;
	}
	LWLockRelease(&shared->lock);
	return result;
}

Ticks
frontier_guard(Oid stream)
{
	GuardKey key = guard_key(stream);
	Guard *entry;
	Ticks guard = TICKS_MAX;

	if (shared == NULL)
		return TICKS_MAX;
	LWLockAcquire(&shared->lock, LW_SHARED);
	entry = hash_search(guards, &key, HASH_FIND, NULL);
	if (entry)
		guard = entry->guard;
	LWLockRelease(&shared->lock);
	if (entry == NULL)
		guard = raise_guard(stream, greatest_frontier(stream));
	return guard;
}

void
frontier_publish(Oid stream, Ticks to)
{
	(void) frontier_guard(stream);
	if (raise_guard(stream, to) == TICKS_MAX)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("no room in shared memory for the frontier of stream %u", stream),
						errdetail("There is room for %d streams.", MAX_GUARDS)));
}

/* A stream whose drop was rolled back with a savepoint is not forgotten: its guard may be on its way. */
static void
keep_guards_of_streams(void)
{
	ListCell *cell;

	foreach (cell, forgotten)
		if (stream_exists(lfirst_oid(cell)))
			forgotten = foreach_delete_current(forgotten, cell);
}

static void
forget_guards(XactEvent event, void *arg)
{
	ListCell *cell;

	if (event == XACT_EVENT_PRE_COMMIT)
		keep_guards_of_streams();
	if (event == XACT_EVENT_COMMIT)
	{
		LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
		foreach (cell, forgotten)
		{
			GuardKey key = guard_key(((Forgotten *) lfirst(cell))->stream);

			hash_search(guards, &key, HASH_REMOVE, NULL);
		}
		LWLockRelease(&shared->lock);
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		forgotten = NIL;
}

static void
keep_rolled_back(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent,
				 void *arg)
{
	int level = GetCurrentTransactionNestLevel();
	ListCell *cell;

	foreach (cell, forgotten)
	{
		Forgotten *entry = lfirst(cell);

		if (entry->level < level)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			forgotten = foreach_delete_current(forgotten, cell);
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
			entry->level = level - 1;
	}
}

void
frontier_forget_at_commit(Oid stream)
{
	static bool registered = false;
	MemoryContext old;
	Forgotten *entry;

	if (shared == NULL)
		return;
	if (!registered)
	{
		RegisterXactCallback(forget_guards, NULL);
		RegisterSubXactCallback(keep_rolled_back, NULL);
	}
	registered = true;
	old = MemoryContextSwitchTo(TopTransactionContext);
	entry = palloc(sizeof(Forgotten));
	entry->stream = stream;
	entry->level = GetCurrentTransactionNestLevel();
	forgotten = lappend(forgotten, entry);
	MemoryContextSwitchTo(old);
}
