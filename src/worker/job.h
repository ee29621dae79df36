/*
 * job.h: what the processes of ingestions and sinks have in common: sessions, states, troubles, pauses.
 */
#ifndef TIDEMARK_WORKER_JOB_H
#define TIDEMARK_WORKER_JOB_H

#include "worker/slots.h"

typedef enum SessionEnd
{
	SESSION_GOES_ON,
	SESSION_AGAIN, /* begin another one at once */
	SESSION_OVER   /* the job is paused, stopped or gone */
} SessionEnd;

typedef struct Job Job;

/* What a kind of job is made of. */
typedef struct JobKind
{
	const char *what;			 /* "ingestion into": before the name, in the log */
	SessionEnd (*run)(Job *job); /* a session, until it ends or fails */
	void (*reset)(Job *job);	 /* frees all that is of a session; raises nothing */
	void (*record_error)(int32 id,
						 const char *message); /* into the catalogue, in a transaction of its own */
} JobKind;

/* The first member of what a kind of worker has of its own. */
struct Job
{
	const JobKind *kind;
	WorkerSlot *slot;
	const char *name;					  /* of the relation, for the log */
	MemoryContext context;				  /* the process's life */
	long backoff_ms;					  /* 0: all is well */
	char written_error[JOB_ERROR_LENGTH]; /* the last one in the catalogue */
	int64 rate_records;					  /* since rate_at */
	TimestampTz rate_at;
	double rate; /* records a second */
};

/* Set by invalidations: a foreign server, user mapping or foreign table was altered. For a new session. */
extern bool job_source_altered;

/* Takes the slot, connects, and runs sessions until one says that it's over; an error ends a session, not the process. */
extern void job_main(Job *job, const JobKind *kind);

/* What others see. error: NULL is none. */
extern void job_show(Job *job, JobState state, const char *error);

/* A trouble that is waited out: shown, written down and, when it is news, logged. */
extern void job_show_waiting(Job *job, JobState state, const char *error);
extern void job_show_running(Job *job);

/* Counts records, and makes job->rate of them. */
extern void job_count(Job *job, int64 records);

/* Has somebody changed the catalogue since the last call? */
extern bool job_take_reload(Job *job);

/* Waits so long unless somebody changes the catalogue or wants us to stop. */
extern void job_pause(Job *job, long ms);

#endif
