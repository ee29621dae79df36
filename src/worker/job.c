/*
 * job.c: the life of a process that does one job, an ingestion or a sink, in sessions.
 *
 * A session begins with what the catalogue (and, for a sink, the broker) says, and ends with an error, with an altered server, user
 * mapping or foreign table, or when the job is paused, stopped or dropped. Whatever happened to it, the next one starts from
 * what is committed, so that there is no state to repair. After an error it starts 1 s, 2 s, … 60 s later, or when somebody
 * changes the catalogue. The error is in the log, in shared memory (for the status views) and in the catalogue.
 */
#include "tidemark.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "worker/job.h"

#define BACKOFF_LEAST_MS 1000
#define BACKOFF_GREATEST_MS 60000
#define RATE_MS 1000 /* records a second are measured over this */

bool job_source_altered = false;

static void
on_source_altered(Datum arg, int cache, uint32 hash)
{
	job_source_altered = true;
}

static void
watch_sources(void)
{
	CacheRegisterSyscacheCallback(FOREIGNTABLEREL, on_source_altered, (Datum) 0);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_source_altered, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, on_source_altered, (Datum) 0);
}

/* ---- what others see ---- */

void
job_show(Job *job, JobState state, const char *error)
{
	JobProgress *progress = &job->slot->progress;

	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	progress->state = state;
	if (state != JOB_RUNNING)
		progress->lag_records = -1; /* whoever knows it doesn't answer */
	if (error)
	{
		/* Since when: the same trouble again is no news. */
		if (strncmp(progress->error, error, sizeof(progress->error) - 1) != 0)
			progress->error_at = GetCurrentTimestamp();
		strlcpy(progress->error, error, sizeof(progress->error));
	}
	else
		progress->error[0] = '\0';
	LWLockRelease(&worker_shared->lock);
	pgstat_report_activity(state == JOB_RUNNING ? STATE_RUNNING : STATE_IDLE,
						   job_state_name(state));
}

/* Writes a trouble down, once as long as it stays the same. */
static void
write_error(Job *job, const char *error)
{
	if (strncmp(job->written_error, error, sizeof(job->written_error) - 1) == 0)
		return;
	strlcpy(job->written_error, error, sizeof(job->written_error));
	job->kind->record_error(job->slot->job, error);
}

void
job_show_waiting(Job *job, JobState state, const char *error)
{
	if (job->slot->progress.state != state)
		ereport(LOG, (errmsg("%s \"%s\" waits: %s", job->kind->what, job->name, error)));
	job_show(job, state, error);
	write_error(job, error);
}

void
job_show_running(Job *job)
{
	job->written_error[0] = '\0';
	job_show(job, JOB_RUNNING, NULL);
}

void
job_count(Job *job, int64 records)
{
	TimestampTz now = GetCurrentTimestamp();
	long passed_ms = TimestampDifferenceMilliseconds(job->rate_at, now);

	job->rate_records += records;
	if (passed_ms < RATE_MS)
		return;
	job->rate = job->rate_records * 1000.0 / passed_ms;
	job->rate_records = 0;
	job->rate_at = now;
}

/* ---- waiting ---- */

bool
job_take_reload(Job *job)
{
	bool reload;

	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	reload = job->slot->reload;
	job->slot->reload = false;
	LWLockRelease(&worker_shared->lock);
	return reload;
}

void
job_pause(Job *job, long ms)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);

	for (;;)
	{
		long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);

		if (left <= 0 || worker_stop_requested() || job_take_reload(job))
			return;
		worker_wait(left, PG_WAIT_EXTENSION);
	}
}

/* ---- sessions ---- */

/* The session failed: into the log, the state and the catalogue. False: the extension is gone. */
static bool
session_failed(Job *job)
{
	ErrorData *error = worker_error_caught(job->context);
	char *message;

	if (error == NULL)
		return false;
	message = error->hint ? psprintf("%s (%s)", error->message, error->hint)
						  : pstrdup(error->message);
	job_show(job, JOB_ERROR, message);
	PG_TRY();
	{
		write_error(job, message);
	}
	PG_CATCH();
	{
		/* The catalogue may be what is wrong: the log and the state have to do. */
		HOLD_INTERRUPTS();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(job->context);
	pfree(message);
	FreeErrorData(error);
	job->backoff_ms = Min(Max(job->backoff_ms * 2, BACKOFF_LEAST_MS), BACKOFF_GREATEST_MS);
	return true;
}

/* One session, whose error ends it and not the process. */
static SessionEnd
guarded_session(Job *job)
{
	volatile SessionEnd end = SESSION_AGAIN;
	volatile bool failed = false;

	job->kind->reset(job);
	PG_TRY();
	{
		end = job->kind->run(job);
	}
	PG_CATCH();
	{
		failed = true;
		if (!session_failed(job))
			end = SESSION_OVER;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(job->context);
	/* Handles of librdkafka go before the pause: nothing is fetched or sent meanwhile. */
	job->kind->reset(job);
	MemoryContextSwitchTo(job->context);
	if (failed && end == SESSION_AGAIN)
		job_pause(job, job->backoff_ms);
	return end;
}

void
job_main(Job *job, const JobKind *kind)
{
	job->kind = kind;
	job->slot = worker_attach();
	worker_connect(job->slot);
	job->context = AllocSetContextCreate(TopMemoryContext, "tidemark job", ALLOCSET_DEFAULT_SIZES);
	job->name = "";
	job->rate_at = GetCurrentTimestamp();
	watch_sources();
	while (!worker_stop_requested() && guarded_session(job) == SESSION_AGAIN)
		worker_handle_signals();
	proc_exit(0);
}
