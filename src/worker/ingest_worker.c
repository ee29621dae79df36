/*
 * ingest_worker.c: the process of one ingestion.
 *
 *               +--------------------- error: shown, written down, 1 s … 60 s ---------------------+
 *               v                                                                                  |
 *   starting --> waiting for broker <--> waiting for topic --> running --(batch, batch, …)---------+
 *                       ^                                         |
 *                       +------------ the broker is away ---------+
 *
 * A session is one round from "starting": it reads the catalogue, opens a consumer, finds the topic's partitions, and assigns
 * them from the catalogue's positions. Whatever happens to it (an error, an altered server or
 * user mapping, somebody moved a position), the next session starts from the catalogue again, so there is no state
 * to repair. The process ends when the ingestion is paused, stopped or dropped.
 *
 * An offset that the broker no longer has is an error that waits for the user's word
 * (resume_ingest(…, skip_lost => true)); nothing is ever skipped silently.
 *
 * Offsets are told to the broker's group, for lag tools, when the commit that holds them is flushed: lag tools never
 * see a position that a crash could take back.
 */
#include "tidemark.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "stream/ingest.h"
#include "worker/job.h"
#include "worker/worker.h"

/*
 * A batch is bounded by records and bytes. It waits for more of them for a moment only: while one batch is written the
 * next one gathers in the consumer, so that batches get as large as the rate of records and the cost of a commit want.
 */
#define BATCH_RECORDS 20000
#define BATCH_BYTES (16 * 1024 * 1024)
#define LINGER_MS 5 /* at most; less where the last batch took less */
#define LINGER_LEAST_MS 2
#define POLL_RECORDS 5000

#define QUIET_POLL_MS 200  /* how long a poll waits for the first record */
#define ASK_BROKER_MS 5000 /* how long a question to the broker may take */
#define LOOK_FOR_PARTITIONS_MS 5000
#define LOOK_FOR_TOPIC_MS 1000
/*
 * A topic that has been missing for so many looks is another one when it comes back. Less than that may be a
 * broker that has just started.
 */
#define MISSING_LOOKS 3

/* A thousand rows and what their decoding needs, mostly; kept when the context is reset. */
#define CHUNK_BYTES (1024 * 1024)

/*
 * Ahead of the views by so many records, the worker gives way to the maintainer: batches get smaller, and after each it waits for as
 * long as that took, longer the further it is ahead. Beyond the greatest it goes on at its full rate: the views won't come after it soon.
 */
#define GIVE_WAY_RECORDS 80000
#define GIVE_WAY_LONGEST 4 /* times */
#define GIVE_WAY_GREATEST 1000000
#define GIVE_WAY_BATCH 5000

/* Positions that are committed, not yet known to be flushed. */
typedef struct GroupCommit
{
	int n; /* 0: none */
	XLogRecPtr lsn;
	int32 *partitions;
	int64 *offsets;
} GroupCommit;

typedef struct IngestWorker
{
	Job job; /* first */
	Ingest ingest;
	KafkaRecord *records;
	int nrecords;
	long batch_ms;	   /* that the last batch took */
	int64 ahead;	   /* by so many records of the views, after the last batch */
	int topic_missing; /* how often in a row the broker has said that there's no such topic */

	TimestampTz partitions_at; /* when they were looked for */
	bool broker_away;
	GroupCommit waiting; /* for its flush … */
	GroupCommit next;	 /* … and the newest after it */
} IngestWorker;

static Ingest *watched = NULL; /* for invalidations */

PGDLLEXPORT void tidemark_ingest_main(Datum arg);

static void
on_relation_altered(Datum arg, Oid relid)
{
	if (watched && (relid == InvalidOid || relid == watched->stream || relid == watched->topic))
		watched->plan_is_stale = true;
}

static void
watch_definitions(Ingest *ingest)
{
	watched = ingest;
	CacheRegisterRelcacheCallback(on_relation_altered, (Datum) 0);
}

/*
 * Every batch needs the memory that the last one gave back. Left to itself, malloc gives it to the
 * kernel in between and gets it back a page fault at a time.
 */
static void
keep_freed_memory(void)
{
#if defined(__GLIBC__)
	mallopt(M_MMAP_THRESHOLD, 64 * 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 128 * 1024 * 1024);
#endif
}

/* ---- what others see ---- */

static void
show_running(IngestWorker *worker)
{
	worker->broker_away = false;
	job_show_running(&worker->job);
}

/* Seconds by which the partition's last record is behind now. */
static double
seconds_behind(const IngestPartition *partition)
{
	int64 now_ms = (GetCurrentTimestamp() +
					(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) /
				   1000;

	return partition->last_timestamp_ms < 0
			   ? 0
			   : Max(now_ms - partition->last_timestamp_ms, 0) / 1000.0;
}

static void
show_progress(IngestWorker *worker, int n)
{
	Ingest *ingest = &worker->ingest;
	JobProgress *progress = &worker->job.slot->progress;
	int64 lag = 0;
	double seconds = 0;

	job_count(&worker->job, n);
	for (int i = 0; i < ingest->npartitions; i++)
	{
		int64 end = kafka_consumer_known_end(ingest->consumer, i);

		if (end > ingest->partitions[i].next_offset)
		{
			lag += end - ingest->partitions[i].next_offset;
			seconds = Max(seconds, seconds_behind(&ingest->partitions[i]));
		}
	}
	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	progress->lag_records = lag;
	progress->lag_seconds = seconds;
	progress->records_per_second = worker->job.rate;
	progress->partitions = ingest->npartitions;
	LWLockRelease(&worker_shared->lock);
}

/* ---- a session's beginning: partitions and positions ---- */

static void
raise_lost(Ingest *ingest, int32 partition, int64 first, int64 end)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_DATA_EXCEPTION),
		 errmsg("offset %lld of partition %d of topic \"%s\" is lost: the broker has %lld to %lld",
				(long long) ingest->partitions[partition].next_offset, partition,
				kafka_consumer_topic(ingest->consumer), (long long) first, (long long) end),
		 errdetail("Records were deleted before they were read, or the topic was created anew."),
		 errhint("To go on from the first record that the broker has: "
				 "SELECT tidemark.resume_ingest('%s', '%s', skip_lost => true)",
				 ingest->topic_table, ingest->stream_table)));
}

/* Does the broker still have what we need to read next? */
static void
check_positions(IngestWorker *worker, int n, const int64 *first, const int64 *end)
{
	Ingest *ingest = &worker->ingest;

	bool new_topic = worker->topic_missing >= MISSING_LOOKS;

	if (ingest->skip_lost)
	{
		ingest_skip_lost(ingest, n, first, end, new_topic);
		new_topic = false;
		worker->topic_missing = 0;
	}
	if (ingest->npartitions > n)
		ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
						errmsg("topic \"%s\" has %d partitions, fewer than the %d that were read",
							   kafka_consumer_topic(ingest->consumer), n, ingest->npartitions),
						errdetail("The topic was created anew."),
						errhint("To go on from the first record that the broker has: "
								"SELECT tidemark.resume_ingest('%s', '%s', skip_lost => true)",
								ingest->topic_table, ingest->stream_table)));
	for (int i = 0; i < ingest->npartitions; i++)
	{
		IngestPartition *partition = &ingest->partitions[i];

		if (new_topic || partition->next_offset < first[i] || partition->next_offset > end[i])
			raise_lost(ingest, i, first[i], end[i]);
		/* Idle, and yet there is more to read: it isn't. */
		if (end[i] > partition->next_offset)
			partition->wants_idle = false;
	}
}

/* Where partitions from ingest->npartitions to n - 1 are read from; false: the broker did not say. */
static bool
resolve_start(IngestWorker *worker, int n, const int64 *first, const int64 *end, int64 *offsets,
			  char **error)
{
	Ingest *ingest = &worker->ingest;
	int known = ingest->npartitions;
	IngestStart start = known > 0 ? START_EARLIEST : ingest->start;

	if (start == START_TIMESTAMP)
	{
		int32 *partitions = palloc(sizeof(int32) * n);

		for (int i = 0; i < n; i++)
			partitions[i] = i;
		return kafka_consumer_offsets_for_time(ingest->consumer, n, partitions, ingest->start_ms,
											   offsets, ASK_BROKER_MS, error);
	}
	for (int i = known; i < n; i++)
	{
		int64 offset = start == START_LATEST ? end[i] : first[i];

		if (ingest->start == START_OFFSETS)
		{
			int64 given = ingest_start_offset(ingest, i);

			offset = given >= 0 ? given : offset;
		}
		offsets[i - known] = offset;
	}
	return true;
}

/* Brings the catalogue's partitions up to date with the broker's n; false: the broker did not say. */
static bool
find_partitions(IngestWorker *worker, int n, char **error)
{
	Ingest *ingest = &worker->ingest;
	int64 *first = palloc0(sizeof(int64) * n);
	int64 *end = palloc0(sizeof(int64) * n);
	int64 *offsets = palloc0(sizeof(int64) * n);

	if (!kafka_consumer_all_watermarks(ingest->consumer, n, first, end, ASK_BROKER_MS, error))
		return false;
	check_positions(worker, n, first, end);
	if (n == ingest->npartitions)
		return true;
	if (!resolve_start(worker, n, first, end, offsets, error))
		return false;
	ingest_add_partitions(ingest, n - ingest->npartitions, offsets);
	check_positions(worker, n, first, end);
	return true;
}

static void
assign(Ingest *ingest)
{
	int32 *partitions = palloc(sizeof(int32) * ingest->npartitions);
	int64 *offsets = palloc(sizeof(int64) * ingest->npartitions);

	for (int i = 0; i < ingest->npartitions; i++)
	{
		partitions[i] = i;
		offsets[i] = ingest->partitions[i].next_offset;
	}
	kafka_consumer_assign(ingest->consumer, ingest->npartitions, partitions, offsets);
	pfree(partitions);
	pfree(offsets);
}

static void
topic_is_missing(IngestWorker *worker)
{
	Ingest *ingest = &worker->ingest;

	worker->topic_missing++;
	if (ingest->npartitions == 0 && ingest->start == START_LATEST)
		ingest_start_from_beginning(ingest);
	job_show_waiting(
		&worker->job, JOB_WAITING_FOR_TOPIC,
		psprintf("topic \"%s\" does not exist", kafka_consumer_topic(ingest->consumer)));
}

/* Waits for the broker and for the topic, and assigns its partitions. */
static SessionEnd
connect_topic(IngestWorker *worker)
{
	Ingest *ingest = &worker->ingest;

	MemoryContextSwitchTo(ingest->batch_context);
	while (!worker_stop_requested())
	{
		char *error = NULL;
		int n = kafka_consumer_partitions(ingest->consumer, ASK_BROKER_MS, &error);

		worker_handle_signals();
		if (n > 0 && find_partitions(worker, n, &error))
		{
			worker->topic_missing = 0;
			worker->partitions_at = GetCurrentTimestamp();
			assign(ingest);
			MemoryContextSwitchTo(ingest->context);
			MemoryContextReset(ingest->batch_context);
			return SESSION_GOES_ON;
		}
		if (n == 0)
			topic_is_missing(worker);
		else
			job_show_waiting(&worker->job, JOB_WAITING_FOR_BROKER, error);
		MemoryContextReset(ingest->batch_context);
		job_pause(&worker->job, LOOK_FOR_TOPIC_MS);
		AcceptInvalidationMessages();
		if (job_source_altered)
			return SESSION_AGAIN;
	}
	return SESSION_OVER;
}

/* ---- giving way ---- */

/* Counts records that are committed; returns by how many the worker is ahead of the views' frontiers, 0 where nobody moves those. */
static int64
records_ahead(IngestWorker *worker, int n)
{
	JobProgress *progress = &worker->job.slot->progress;
	int64 ahead = 0;

	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	progress->committed += n;
	if (tidemark_maintain && progress->being_moved > progress->moved)
		ahead = progress->committed - progress->moved;
	LWLockRelease(&worker_shared->lock);
	return ahead;
}

static bool
should_give_way(const IngestWorker *worker)
{
	return worker->ahead > GIVE_WAY_RECORDS && worker->ahead <= GIVE_WAY_GREATEST;
}

/*
 * After a batch of n records that was begun then. Whoever reads a view reads the rows that it is behind, so a little patience here is a
 * lot of time there; the broker keeps what comes meanwhile.
 */
static void
give_way(IngestWorker *worker, TimestampTz began, int n)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end;

	worker->batch_ms = TimestampDifferenceMilliseconds(began, now);
	worker->ahead = records_ahead(worker, n);
	end = now + (now - began) * Min(worker->ahead / GIVE_WAY_RECORDS, GIVE_WAY_LONGEST);
	while (should_give_way(worker) && !worker_stop_requested())
	{
		long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);

		if (left <= 0)
			break;
		(void) worker_wait(left, PG_WAIT_EXTENSION);
		worker->ahead = records_ahead(worker, 0);
	}
}

/* ---- while it runs ---- */

static void
release_records(IngestWorker *worker)
{
	for (int i = 0; i < worker->nrecords; i++)
		kafka_record_release(&worker->records[i]);
	worker->nrecords = 0;
}

static bool
is_about_the_topic(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
		   code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

/* What a poll had to say besides records; true: begin a new session. */
static bool
handle_trouble(IngestWorker *worker, const KafkaTrouble *trouble)
{
	if (trouble->code == 0)
		return false;
	if (trouble->offset_lost || is_about_the_topic(trouble->code))
		return true;
	if (trouble->partition >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("reading partition %d of topic \"%s\" failed: %s", trouble->partition,
						kafka_consumer_topic(worker->ingest.consumer), trouble->message)));
	job_show_waiting(&worker->job, JOB_WAITING_FOR_BROKER, trouble->message);
	worker->broker_away = true;
	return false;
}

/* Fills a batch; true: begin a new session. */
static bool
collect(IngestWorker *worker)
{
	TimestampTz start = 0;
	int64 bytes = 0;
	long wait_ms = QUIET_POLL_MS;
	int most = should_give_way(worker) ? GIVE_WAY_BATCH : BATCH_RECORDS;

	worker->nrecords = 0;
	while (worker->nrecords < most && bytes < BATCH_BYTES)
	{
		KafkaTrouble trouble;
		int room = Min(POLL_RECORDS, most - worker->nrecords);
		int n = kafka_consumer_poll(worker->ingest.consumer, worker->records + worker->nrecords,
									room, wait_ms, &trouble);

		for (int i = worker->nrecords; i < worker->nrecords + n; i++)
			bytes += worker->records[i].payload_len + worker->records[i].key_len;
		worker->nrecords += n;
		if (handle_trouble(worker, &trouble))
			return true;
		if (worker->nrecords == 0)
			break;
		if (start == 0)
			start = GetCurrentTimestamp();
		wait_ms = Min(LINGER_MS, Max(LINGER_LEAST_MS, worker->batch_ms)) -
				  TimestampDifferenceMilliseconds(start, GetCurrentTimestamp());
		if (wait_ms <= 0)
		{
			/* Behind: what has come already is taken, without waiting. */
			if (n < room)
				break;
			wait_ms = 0;
		}
	}
	return false;
}

/* Partitions at their end, without a record for the stream's idle_timeout. */
static void
find_idle(Ingest *ingest)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < ingest->npartitions; i++)
	{
		IngestPartition *partition = &ingest->partitions[i];

		if (ingest->idle_timeout >= 0 && !partition->wants_idle &&
			kafka_consumer_at_end(ingest->consumer, i) &&
			partition->quiet_since + ingest->idle_timeout <= now)
			partition->wants_idle = true;
	}
}

/* Has something changed that is to be committed though no record has come? */
static bool
has_news(Ingest *ingest)
{
	for (int i = 0; i < ingest->npartitions; i++)
	{
		IngestPartition *partition = &ingest->partitions[i];

		if (partition->idle != partition->wants_idle ||
			kafka_consumer_position(ingest->consumer, i) > partition->next_offset)
			return true;
	}
	return false;
}

/* New partitions, and whether the broker is back. True: begin a new session. */
static bool
look_around(IngestWorker *worker)
{
	Ingest *ingest = &worker->ingest;
	TimestampTz now = GetCurrentTimestamp();
	long every_ms = worker->broker_away ? LOOK_FOR_TOPIC_MS : LOOK_FOR_PARTITIONS_MS;
	char *error = NULL;
	int n;

	if (!TimestampDifferenceExceeds(worker->partitions_at, now, every_ms))
		return false;
	n = kafka_consumer_partitions(ingest->consumer, LOOK_FOR_TOPIC_MS, &error);
	worker->partitions_at = GetCurrentTimestamp();
	if (n < 0)
	{
		job_show_waiting(&worker->job, JOB_WAITING_FOR_BROKER, error);
		worker->broker_away = true;
		pfree(error);
		return false;
	}
	if (worker->broker_away)
		show_running(worker);
	/* None: the topic was deleted; more: partitions were added. */
	return n != ingest->npartitions;
}

/* ---- the group's offsets ---- */

static void
remember_commit(IngestWorker *worker, GroupCommit *commit)
{
	Ingest *ingest = &worker->ingest;

	if (commit->partitions == NULL)
	{
		commit->partitions =
			MemoryContextAlloc(ingest->context, sizeof(int32) * ingest->npartitions);
		commit->offsets = MemoryContextAlloc(ingest->context, sizeof(int64) * ingest->npartitions);
	}
	commit->n = ingest->npartitions;
	commit->lsn = XactLastCommitEnd;
	for (int i = 0; i < ingest->npartitions; i++)
	{
		commit->partitions[i] = i;
		commit->offsets[i] = ingest->partitions[i].next_offset;
	}
}

static void
commit_group(IngestWorker *worker)
{
	GroupCommit flushed = worker->waiting;

	if (flushed.n == 0 || GetFlushRecPtr(NULL) < flushed.lsn)
		return;
	kafka_consumer_commit_group(worker->ingest.consumer, flushed.n, flushed.partitions,
								flushed.offsets);
	worker->waiting = worker->next;
	worker->next = flushed;
	worker->next.n = 0;
}

/* ---- the session ---- */

/* False: begin a new session. */
static bool
one_batch(IngestWorker *worker)
{
	Ingest *ingest = &worker->ingest;
	bool committed = ingest_batch(ingest, worker->records, worker->nrecords);

	release_records(worker);
	if (!committed)
		return false;
	if (worker->job.slot->progress.state != JOB_RUNNING)
		show_running(worker);
	worker->job.backoff_ms = 0;
	remember_commit(worker, worker->waiting.n == 0 ? &worker->waiting : &worker->next);
	pgstat_report_stat(false);
	worker_wake_maintainer();
	return true;
}

/* In ingest->context: reads the catalogue and opens a consumer. */
static SessionEnd
begin_session(IngestWorker *worker)
{
	Ingest *ingest = &worker->ingest;

	/* What went wrong last stays visible until it goes right. */
	if (worker->job.slot->progress.error[0] == '\0')
		job_show(&worker->job, JOB_STARTING, NULL);
	if (!ingest_load(ingest))
		return SESSION_OVER;
	worker->job.name = ingest->stream_table;
	job_source_altered = false;
	StartTransactionCommand();
	MemoryContextSwitchTo(ingest->context);
	ingest->consumer = kafka_consumer_open(ingest->topic, ingest->role);
	CommitTransactionCommand();
	MemoryContextSwitchTo(ingest->context);
	worker->records = MemoryContextAllocHuge(ingest->context, sizeof(KafkaRecord) * BATCH_RECORDS);
	return connect_topic(worker);
}

static SessionEnd
run_session(Job *job)
{
	IngestWorker *worker = (IngestWorker *) job;
	Ingest *ingest = &worker->ingest;
	SessionEnd begun = begin_session(worker);

	if (begun != SESSION_GOES_ON)
		return begun;
	show_running(worker);
	while (!worker_stop_requested())
	{
		TimestampTz began;
		int n;

		worker_handle_signals();
		AcceptInvalidationMessages();
		(void) job_take_reload(&worker->job);
		if (job_source_altered || look_around(worker) || collect(worker))
			return SESSION_AGAIN;
		n = worker->nrecords;
		began = GetCurrentTimestamp();
		find_idle(ingest);
		if ((n > 0 || has_news(ingest)) && !one_batch(worker))
			return SESSION_AGAIN;
		commit_group(worker);
		show_progress(worker, n);
		give_way(worker, began, n);
	}
	return SESSION_OVER;
}

/* Contexts of a session; everything in them goes with it, the consumer's handles included. */
static void
reset_session(Job *job)
{
	IngestWorker *worker = (IngestWorker *) job;
	Ingest *ingest = &worker->ingest;

	worker->nrecords = 0;
	worker->waiting = worker->next = (GroupCommit){0};
	if (ingest->context)
		MemoryContextDelete(ingest->context);
	job->name = "";
	memset(ingest, 0, sizeof(*ingest));
	ingest->id = job->slot->job;
	ingest->context =
		AllocSetContextCreate(job->context, "tidemark ingest session", ALLOCSET_DEFAULT_SIZES);
	ingest->batch_context = AllocSetContextCreate(ingest->context, "tidemark ingest batch",
												  CHUNK_BYTES, CHUNK_BYTES,
												  ALLOCSET_DEFAULT_MAXSIZE);
	ingest->chunk_context = AllocSetContextCreate(ingest->context, "tidemark ingest chunk",
												  CHUNK_BYTES, CHUNK_BYTES,
												  ALLOCSET_DEFAULT_MAXSIZE);
	MemoryContextSwitchTo(ingest->context);
}

void
tidemark_ingest_main(Datum arg)
{
	static const JobKind kind = {.what = "ingestion into",
								 .run = run_session,
								 .reset = reset_session,
								 .record_error = ingest_record_error};
	IngestWorker worker = {0};

	keep_freed_memory();
	watch_definitions(&worker.ingest);
	job_main(&worker.job, &kind);
}
