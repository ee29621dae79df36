/*
 * worker.h: the processes. One launcher a cluster; in each database that has the extension one
 * maintainer (moves frontiers, starts the other workers), one worker per ingestion and one per sink.
 */
#ifndef TIDEMARK_WORKER_H
#define TIDEMARK_WORKER_H

/* At load, from _PG_init, only when preloaded. */
extern void worker_init(void);

/* Shared memory: sizes at request time, set-up at startup. */
extern Size worker_shmem_size(void);
extern void worker_shmem_startup(void);

/*
 * The catalogue changed in this transaction: at its commit wake the maintainer of this database (through
 * the launcher if there is none yet).
 */
extern void worker_wake_at_commit(void);

/* This transaction wrote rows of a stream: the same, without the catalogue being read again. Cheaper. */
extern void worker_nudge_at_commit(void);

/* This transaction changed materialised rows of a view that somebody follows: at its commit wake those who do. */
extern void worker_wake_followers_at_commit(void);

/* Wakes the maintainer of this database now, if it runs. Cheap; from any backend. */
extern void worker_wake_maintainer(void);

/*
 * The maintainer tells the workers that ingest into a stream how far its views are: now it looks what there is to do; now that is
 * done, or given up.
 */
extern void worker_move_begins(Oid stream);
extern void worker_move_ended(Oid stream);

/* How many records ingestions into a stream have committed since the maintainer last looked. */
extern int64 worker_records_waiting(Oid stream);

#endif
