/*
 * sink_worker.c: the process of one sink.
 *
 *               +--------------------- error: shown, written down, 1 s … 60 s ---------------------+
 *               v                                                                                  |
 *   starting --> waiting for broker <--> waiting for topic --> running --(portion, portion, …)-----+
 *                       ^                                         |
 *                       +------------ the broker is away ---------+
 *
 * A session (worker/job.c) opens a producer, ends what the last one has left, and asks the broker how far the sink is: that, not the catalogue, is
 * the truth. It then sends a portion whenever the view's frontier has moved or its rows were corrected, which the maintainer and late
 * writers tell when they commit.
 *
 * The process ends when the sink is paused, stopped or dropped, at the end of a portion.
 */
#include "tidemark.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "sink/sink.h"
#include "worker/job.h"
#include "worker/worker.h"

#define LOOK_MS 1000			/* how often to look for news that nobody has told of */
#define LOOK_FOR_BROKER_MS 1000 /* how often to ask a broker that is away */
#define SAVE_US                                                                                    \
	USECS_PER_SEC /* how often a position is written down that has moved without a record */

typedef struct SinkWorker
{
	Job job; /* first */
	Sink sink;
	TimestampTz saved_at;
	bool unsaved; /* the position has moved since */
} SinkWorker;

PGDLLEXPORT void tidemark_sink_main(Datum arg);

/* False: the place isn't there now; it has been waited for a moment. *missing: it answers, but the topic is gone. */
static bool
target_is_there(SinkWorker *worker, bool *missing)
{
	char *error = NULL;

	if (worker->sink.target->is_there(&worker->sink, &error, missing))
		return true;
	job_show_waiting(&worker->job, *missing ? JOB_WAITING_FOR_TOPIC : JOB_WAITING_FOR_BROKER,
					 error);
	pfree(error);
	job_pause(&worker->job, LOOK_FOR_BROKER_MS);
	return false;
}

/* Opens the target, waits for it, and takes over its position. */
static SessionEnd
begin_session(SinkWorker *worker)
{
	Sink *sink = &worker->sink;
	char *error;
	bool missing;

	/* What went wrong last stays visible until it goes right. */
	if (worker->job.slot->progress.error[0] == '\0')
		job_show(&worker->job, JOB_STARTING, NULL);
	if (!sink_load(sink))
		return SESSION_OVER;
	worker->job.name = sink->topic_name;
	job_source_altered = false;
	sink_open(sink);
	while (!worker_stop_requested())
	{
		worker_handle_signals();
		AcceptInvalidationMessages();
		if (job_source_altered)
			return SESSION_AGAIN;
		if (!target_is_there(worker, &missing))
			continue;
		if (sink_find_position(sink, &error))
			return SESSION_GOES_ON;
		job_show_waiting(&worker->job, JOB_WAITING_FOR_BROKER, error);
		pfree(error);
	}
	return SESSION_OVER;
}

/* Has the view anything that isn't sent? */
static bool
has_news(Sink *sink)
{
	Ticks frontier;
	bool news;

	catalog_begin_transaction();
	sink_open_feed(sink);
	sink_check_rights(sink->view, sink->topic, sink->role);
	news = feed_has_news(&sink->feed, &sink->position.feed, &frontier);
	catalog_end_transaction();
	MemoryContextSwitchTo(sink->context);
	return news;
}

static void
show_progress(SinkWorker *worker, int64 records)
{
	JobProgress *progress = &worker->job.slot->progress;

	job_count(&worker->job, records);
	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	progress->records_per_second = worker->job.rate;
	LWLockRelease(&worker_shared->lock);
}

/* Writes the position down; false: the sink is no longer wanted. */
static bool
save_position(SinkWorker *worker, bool caught_up)
{
	worker->saved_at = GetCurrentTimestamp();
	worker->unsaved = false;
	return sink_save(&worker->sink, caught_up);
}

/* Sends what there is; false: the sink is no longer wanted. *more: there is more now. */
static bool
one_portion(SinkWorker *worker, bool *more)
{
	Sink *sink = &worker->sink;
	SinkProgress progress = sink_send(sink);
	bool wanted = true;

	worker->job.backoff_ms = 0;
	if (worker->job.slot->progress.state != JOB_RUNNING)
		job_show_running(&worker->job);
	worker->unsaved = true;
	if (progress.records > 0 || GetCurrentTimestamp() - worker->saved_at > SAVE_US)
		wanted = save_position(worker, !progress.more);
	show_progress(worker, progress.records);
	pgstat_report_stat(false);
	*more = progress.more;
	return wanted;
}

static SessionEnd
run_session(Job *job)
{
	SinkWorker *worker = (SinkWorker *) job;
	SessionEnd begun = begin_session(worker);

	if (begun != SESSION_GOES_ON)
		return begun;
	job_show_running(job);
	if (!save_position(worker, false))
		return SESSION_OVER;
	while (!worker_stop_requested())
	{
		bool more = false;
		bool missing;

		worker_handle_signals();
		AcceptInvalidationMessages();
		(void) job_take_reload(job);
		if (job_source_altered)
			return SESSION_AGAIN;
		if (has_news(&worker->sink))
		{
			if (!target_is_there(worker, &missing))
			{
				/* one that is made anew has no position */
				if (missing)
					return SESSION_AGAIN;
				continue;
			}
			if (!one_portion(worker, &more))
				return SESSION_OVER;
		}
		else
		{
			if (worker->unsaved && !save_position(worker, true))
				return SESSION_OVER;
			show_progress(worker, 0);
		}
		if (!more)
			worker_wait(LOOK_MS, PG_WAIT_EXTENSION);
	}
	return SESSION_OVER;
}

static void
reset_session(Job *job)
{
	Sink *sink = &((SinkWorker *) job)->sink;

	if (sink->context)
		MemoryContextDelete(sink->context);
	job->name = "";
	memset(sink, 0, sizeof(*sink));
	sink->id = job->slot->job;
	sink->context =
		AllocSetContextCreate(job->context, "tidemark sink session", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(sink->context);
}

void
tidemark_sink_main(Datum arg)
{
	static const JobKind kind = {.what = "sink to",
								 .run = run_session,
								 .reset = reset_session,
								 .record_error = sink_record_error};
	SinkWorker worker = {0};

	job_main(&worker.job, &kind);
}
