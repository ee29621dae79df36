/*
 * slots.h: who runs: the processes of every database, in shared memory. Private to worker/, to ingestion and to sinks.
 */
#ifndef TIDEMARK_WORKER_SLOTS_H
#define TIDEMARK_WORKER_SLOTS_H

#include "datatype/timestamp.h"
#include "postmaster/bgworker.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/elog.h"
#include "utils/palloc.h"

typedef enum WorkerKind
{
	WORKER_NONE, /* a free slot */
	WORKER_MAINTAINER,
	WORKER_INGEST,
	WORKER_SINK
} WorkerKind;

typedef enum JobState
{
	JOB_STARTING,
	JOB_RUNNING,
	JOB_WAITING_FOR_BROKER,
	JOB_WAITING_FOR_TOPIC,
	JOB_ERROR
} JobState;

/* As tidemark.ingest_status and tidemark.sinks call it. */
extern const char *job_state_name(JobState state);

#define JOB_ERROR_LENGTH 512

/* What an ingest or sink worker tells of itself. */
typedef struct JobProgress
{
	JobState state;
	int partitions;
	int64 lag_records; /* -1: not known yet */
	double lag_seconds;
	double records_per_second;
	int64 committed;	  /* records, since the worker started */
	int64 being_moved;	  /* of those, the views' frontiers are on the way past so many ... */
	int64 moved;		  /* ... and are past these */
	TimestampTz error_at; /* 0: no error since the worker started */
	char error[JOB_ERROR_LENGTH]; /* of the present trouble; empty when all is well */
} JobProgress;

typedef struct WorkerSlot
{
	/* All fields: WorkerShared.lock. */
	WorkerKind kind;
	uint32 generation; /* one more each time that the slot is reserved */
	Oid database;
	int32 job;				 /* tidemark.ingest.id or tidemark.sink.id; 0 for a maintainer */
	Oid relation;			 /* the stream that is ingested into, the view that is sent */
	PGPROC *proc;			 /* NULL: reserved, the process has not come up yet */
	TimestampTz reserved_at; /* when the process was asked for */
	bool settled;			 /* it has looked around and stays */
	bool stop;				 /* it was asked to end */
	bool reload; /* a resume: forget an error's waiting time, read the catalogue again */
	bool done;	 /* it ends because it's not needed: don't restart it */
	JobProgress progress;
} WorkerSlot;

/* A database that must be free of our workers for a moment: DROP DATABASE and its like. */
typedef struct DatabaseHold
{
	/* All fields: WorkerShared.lock. */
	Oid database; /* InvalidOid: free */
	int holder;	  /* process id */
} DatabaseHold;

#define MAX_DATABASE_HOLDS 16
#define MAX_WORKER_REQUESTS 64

typedef struct WorkerShared
{
	LWLock lock;
	int lock_tranche;						/* constant after startup */
	int nslots;								/* constant after startup */
	Latch *launcher_latch;					/* lock; NULL: no launcher */
	bool check_all;							/* lock; the launcher has to look at every database */
	int nrequests;							/* lock */
	Oid requests[MAX_WORKER_REQUESTS];		/* lock; databases that want a maintainer */
	DatabaseHold holds[MAX_DATABASE_HOLDS]; /* lock */
	WorkerSlot slots[FLEXIBLE_ARRAY_MEMBER];
} WorkerShared;

extern WorkerShared *worker_shared; /* NULL without shared_preload_libraries */

/* What a new process is told, in bgw_extra. */
typedef struct WorkerOrder
{
	int slot;
	uint32 generation;
	Oid database;
	int32 job;
} WorkerOrder;

typedef enum WorkerStart
{
	WORKER_STARTED,
	WORKER_ALREADY_THERE,
	WORKER_HELD,   /* the database is being dropped, renamed or copied */
	WORKER_NO_ROOM /* max_worker_processes is too low */
} WorkerStart;

/* Asks the postmaster for a process; *handle (palloc'd) when it was STARTED. */
extern WorkerStart worker_start(WorkerKind kind, Oid database, int32 job, Oid relation,
								const char *name, BackgroundWorkerHandle **handle);

/* Gives back slots whose process never came up. Called by those who start processes. */
extern void worker_reclaim_slots(void);

/*
 * In a new process: takes the slot it was started for (or ends the process if that was given to
 * another), to be given back at exit; connects to the database as a superuser.
 */
extern WorkerSlot *worker_attach(void);
extern void worker_connect(const WorkerSlot *slot);

/* The search_path that the database gives to its sessions; the worker's own is pg_catalog. */
extern char *worker_user_search_path;

/* Was this process asked to end? */
extern bool worker_stop_requested(void);

/* The slot of a running process or NULL; call with the lock held. */
extern WorkerSlot *worker_slot_find(WorkerKind kind, Oid database, int32 job);

/* Asks the launcher for a maintainer in that database; InvalidOid: to look at all of them. */
extern void worker_request(Oid database);

/*
 * The part of a loop that waits: the latch, a time in ms (-1: no limit), the postmaster's death; then signals and settings.
 * True when somebody set the latch.
 */
extern bool worker_wait(long timeout_ms, uint32 wait_event);
extern void worker_handle_signals(void);

extern bool worker_extension_exists(void);

/*
 * In PG_CATCH of a worker's loop: ends the transaction and logs the error, of which it returns a copy. NULL, and
 * nothing in the log, when the extension was dropped beneath us.
 */
extern ErrorData *worker_error_caught(MemoryContext context);

/* The statements that need a database without connections; see database.c. */
extern void database_hooks_init(void);

#endif
