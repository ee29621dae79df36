/*
 * tidemark.c: load: settings, hooks, shared memory.
 *
 * The library works in two ways. Loaded on demand by a session that calls one of its functions, it has
 * the foreign data wrapper, the aggregates and the triggers that keep materialised parts right. Loaded with
 * shared_preload_libraries it has shared memory and workers too: ingestion and moving frontiers
 * need that, and so does every session's planner hook from its first query on.
 *
 * Each module that hooks into PostgreSQL calls the hook that was there before.
 */
#include "tidemark.h"

#include "miscadmin.h"
#include "sink/readers.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "stream/merges.h"
#include "stream/statistics.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "view/answer.h"
#include "view/define.h"
#include "view/frontier.h"

#include "worker/worker.h"

PG_MODULE_MAGIC;

void _PG_init(void);

bool tidemark_use_continuous = true;
bool tidemark_continuous_views = false;
bool tidemark_exact_float_sums = true;
bool tidemark_sliding_aggregates = true;
bool tidemark_maintain = true;
int tidemark_maintain_interval = 200;
int tidemark_work_mem = 256 * 1024;
bool tidemark_preloaded = false;

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

/* Plans were made for the setting as it was. */
static void
replan(bool value, void *extra)
{
	ResetPlanCache();
}

static void
define_settings(void)
{
	DefineCustomBoolVariable(
		"tidemark.use_continuous",
		"Answers continuous views from their materialised part and the live tail.",
		"When off, a continuous view is the plain view that it is declared as.",
		&tidemark_use_continuous, true, PGC_USERSET, 0, NULL, replan, NULL);
	DefineCustomBoolVariable("tidemark.continuous_views",
							 "CREATE VIEW over a stream makes a continuous view if it can.", NULL,
							 &tidemark_continuous_views, false, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable(
		"tidemark.exact_float_sums",
		"Sums, averages and statistics of floats in queries over streams are exact.",
		"Continuous views are always maintained with exact ones.", &tidemark_exact_float_sums, true,
		PGC_USERSET, 0, NULL, replan, NULL);
	DefineCustomBoolVariable("tidemark.sliding_aggregates",
							 "Aggregates over moving windows in queries over streams slide.",
							 "When off, PostgreSQL computes them in its own way. The results are "
							 "the same.",
							 &tidemark_sliding_aggregates, true, PGC_USERSET, 0, NULL, replan,
							 NULL);
	DefineCustomBoolVariable("tidemark.maintain",
							 "The maintainer moves the frontiers of continuous views.",
							 "When off, views stay right and their live tails grow.",
							 &tidemark_maintain, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("tidemark.maintain_interval",
							"Least time between two moves of a stream's frontiers.", NULL,
							&tidemark_maintain_interval, 200, 1, 3600 * 1000, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"tidemark.work_mem",
		"Memory that the states of one view's windows may take in the maintainer.",
		"A view that needs more is maintained by slices for some minutes.", &tidemark_work_mem,
		256 * 1024, 64, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
}

void
tidemark_require_preload(const char *feature)
{
	if (tidemark_preloaded)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s needs the tidemark library to be loaded when the server starts", feature),
			 errhint("Add this line to postgresql.conf and restart the server: "
					 "shared_preload_libraries = 'tidemark'")));
}

static void
request_shared_memory(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestAddinShmemSpace(frontier_shmem_size());
	RequestAddinShmemSpace(worker_shmem_size());
	RequestAddinShmemSpace(readers_shmem_size());
}

static void
start_shared_memory(void)
{
	if (previous_shmem_startup)
		previous_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	frontier_shmem_startup();
	worker_shmem_startup();
	readers_shmem_startup();
	LWLockRelease(AddinShmemInitLock);
}

void
_PG_init(void)
{
	tidemark_preloaded = process_shared_preload_libraries_in_progress;
	define_settings();
	MarkGUCPrefixReserved("tidemark");
	answer_init();
	statistics_init();
	define_init();
	merges_init();

	if (!tidemark_preloaded)
		return;
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
	worker_init();
}
