/*
 * status.c: what the processes of ingestions and sinks tell of themselves, from shared memory; under tidemark.ingest_status and
 * tidemark.sinks.
 *
 * An ingestion is shown to the owner of its stream, a sink to whoever may read its view, both to members of pg_monitor.
 */
#include "tidemark.h"

#include "catalog.h"
#include "catalog/pg_authid_d.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "worker/slots.h"

PG_FUNCTION_INFO_V1(tidemark_workers);

static void
put_worker(ReturnSetInfo *result, const WorkerSlot *slot, int pid)
{
	const JobProgress *progress = &slot->progress;
	Datum values[9] = {0};
	bool nulls[9] = {false};

	values[0] = CStringGetTextDatum(slot->kind == WORKER_SINK ? "sink" : "ingest");
	values[1] = Int32GetDatum(slot->job);
	values[2] = Int32GetDatum(pid);
	nulls[2] = pid == 0;
	values[3] = CStringGetTextDatum(job_state_name(progress->state));
	values[4] = Int64GetDatum(progress->lag_records);
	nulls[4] = progress->lag_records < 0;
	values[5] = Float8GetDatum(progress->lag_seconds);
	nulls[5] = progress->lag_records < 0;
	values[6] = Float8GetDatum(progress->records_per_second);
	values[7] = CStringGetTextDatum(progress->error);
	nulls[7] = progress->error[0] == '\0';
	values[8] = TimestampTzGetDatum(progress->error_at);
	nulls[8] = nulls[7];
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static bool
may_see(const WorkerSlot *slot)
{
	Oid owner = relation_owner(slot->relation);

	if (!OidIsValid(owner))
		return false;
	return has_privs_of_role(GetUserId(), owner) ||
		   has_privs_of_role(GetUserId(), ROLE_PG_MONITOR) ||
		   (slot->kind == WORKER_SINK &&
			pg_class_aclcheck(slot->relation, GetUserId(), ACL_SELECT) == ACLCHECK_OK);
}

Datum
tidemark_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; worker_shared && i < worker_shared->nslots; i++)
	{
		WorkerSlot slot;
		int pid;

		LWLockAcquire(&worker_shared->lock, LW_SHARED);
		slot = worker_shared->slots[i];
		pid = slot.proc ? slot.proc->pid : 0;
		LWLockRelease(&worker_shared->lock);
		if ((slot.kind == WORKER_INGEST || slot.kind == WORKER_SINK) &&
			slot.database == MyDatabaseId && may_see(&slot))
			put_worker(result, &slot, pid);
	}
	return (Datum) 0;
}
