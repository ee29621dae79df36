/*
 * frontier.h: the locks between writers and the maintainer, and the guard.
 */
#ifndef TIDEMARK_VIEW_FRONTIER_H
#define TIDEMARK_VIEW_FRONTIER_H

#include "storage/lock.h"
#include "stream/event_time.h"

extern Size frontier_shmem_size(void);
extern void frontier_shmem_startup(void);

/* Writer: takes the stream's frontier lock until the end of the transaction. Conflicts with no writer. */
extern void frontier_lock_stream(Oid stream);

/*
 * The stream's guard: no frontier of its views is above it, with what its rows look ahead to, nor will one be before the writers that
 * hold the lock now have ended. TICKS_MAX where it is not known.
 */
extern Ticks frontier_guard(Oid stream);

/* Maintainer: raises the guard to `to` before a frontier goes there. */
extern void frontier_publish(Oid stream, Ticks to);

/* Maintainer: the transactions that hold the stream's lock now; ends with an invalid one. palloc'd. */
extern VirtualTransactionId *frontier_writers(Oid stream);

/*
 * Locks the stream's table and its partitions for reading: before a view's lock, as TRUNCATE of a partition does, and
 * before a snapshot, which must not be older than a rewrite of a table.
 */
extern void frontier_lock_tables(Oid stream);

/* Takes the view's correction lock, until the end of the transaction: one at a time changes its rows. */
extern void frontier_lock_view(Oid view);

/* The same, if it is free; false if not. */
extern bool frontier_try_lock_view(Oid view);

/* The stream is gone: forgets its guard when the transaction commits. */
extern void frontier_forget_at_commit(Oid stream);

#endif
