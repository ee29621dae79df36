/*
 * database.c: our workers make way for statements that need a database without connections.
 *
 * DROP DATABASE, ALTER DATABASE … RENAME TO and SET TABLESPACE, and CREATE DATABASE … TEMPLATE wait five seconds for other
 * sessions to leave, then fail. Before one of them runs, the database is put on hold, so that no
 * worker is started in it, and its workers are asked to end; a worker that is in the middle of something is told so by a
 * signal after two seconds. At the end of the transaction, whichever it is, the hold is lifted and the launcher
 * looks at every database: what exists then gets its workers. Not before the end: the launcher would
 * still see a database that is dropped, and not yet one that is made. A session that ends aborts its
 * transaction first, so no hold outlives its session.
 *
 * The hook also wakes the maintainer when an extension is dropped, which may be ours.
 *
 * Only who may run the statement may send the workers away: the owner of the database.
 */
#include "tidemark.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/timestamp.h"

#include "worker/slots.h"
#include "worker/worker.h"

#define ASK_MS 2000		/* then a signal */
#define GIVE_UP_MS 5000 /* then the statement finds out for itself */
#define LOOK_EVERY_MS 20

static ProcessUtility_hook_type previous_process_utility = NULL;
static bool holding = false; /* this transaction holds a database */

/* The name in TEMPLATE or its default; NULL when the statement is about no database. */
static const char *
template_of(CreatedbStmt *stmt)
{
	ListCell *cell;

	foreach (cell, stmt->options)
	{
		DefElem *option = lfirst(cell);

		if (strcmp(option->defname, "template") == 0 && option->arg)
			return defGetString(option);
	}
	return NULL;
}

static bool
moves_tablespace(AlterDatabaseStmt *stmt)
{
	ListCell *cell;

	foreach (cell, stmt->options)
		if (strcmp(((DefElem *) lfirst(cell))->defname, "tablespace") == 0)
			return true;
	return false;
}

/* The database that a statement needs to have for itself, or InvalidOid. */
static Oid
database_to_clear(Node *stmt)
{
	const char *name = NULL;
	Oid database;

	if (IsA(stmt, DropdbStmt))
		name = ((DropdbStmt *) stmt)->dbname;
	else if (IsA(stmt, RenameStmt) && ((RenameStmt *) stmt)->renameType == OBJECT_DATABASE)
		name = ((RenameStmt *) stmt)->subname;
	else if (IsA(stmt, AlterDatabaseStmt) && moves_tablespace((AlterDatabaseStmt *) stmt))
		name = ((AlterDatabaseStmt *) stmt)->dbname;
	else if (IsA(stmt, CreatedbStmt))
		name = template_of((CreatedbStmt *) stmt);
	if (name == NULL)
		return InvalidOid;
	database = get_database_oid(name, true);
	if (!OidIsValid(database) || database == MyDatabaseId || !compat_owns_database(database))
		return InvalidOid;
	return database;
}

/* Maybe ours: the maintainer looks. */
static bool
drops_extension(Node *stmt)
{
	return IsA(stmt, DropStmt) && ((DropStmt *) stmt)->removeType == OBJECT_EXTENSION;
}

/* Is any of our processes still in the database? Asks them to end, by signal if told so. */
static bool
workers_leaving(Oid database, bool by_signal)
{
	bool any = false;

	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < worker_shared->nslots; i++)
	{
		WorkerSlot *slot = &worker_shared->slots[i];

		if (slot->kind == WORKER_NONE || slot->database != database)
			continue;
		any = true;
		slot->stop = true;
		slot->done = true;
		if (slot->proc == NULL)
			continue;
		SetLatch(&slot->proc->procLatch);
		if (by_signal)
			kill(slot->proc->pid, SIGTERM);
	}
	LWLockRelease(&worker_shared->lock);
	return any;
}

static void
lift_holds(XactEvent event, void *arg)
{
	if (!holding || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT))
		return;
	holding = false;
	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_DATABASE_HOLDS; i++)
		if (worker_shared->holds[i].holder == MyProcPid)
			worker_shared->holds[i].database = InvalidOid;
	LWLockRelease(&worker_shared->lock);
	worker_request(InvalidOid);
}

static void
take_hold(Oid database)
{
	static bool callback_registered = false;
	bool held = false;

	if (!callback_registered)
		RegisterXactCallback(lift_holds, NULL);
	callback_registered = true;

	LWLockAcquire(&worker_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_DATABASE_HOLDS && !held; i++)
	{
		DatabaseHold *hold = &worker_shared->holds[i];

		if (OidIsValid(hold->database))
			continue;
		hold->database = database;
		hold->holder = MyProcPid;
		held = true;
	}
	LWLockRelease(&worker_shared->lock);
	holding |= held;
	if (!held)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("too many databases are being dropped, renamed or copied at once")));
}

static void
send_workers_away(Oid database)
{
	TimestampTz start = GetCurrentTimestamp();
	bool by_signal = false;

	while (workers_leaving(database, by_signal))
	{
		TimestampTz now = GetCurrentTimestamp();

		if (TimestampDifferenceExceeds(start, now, GIVE_UP_MS))
			break;
		by_signal = TimestampDifferenceExceeds(start, now, ASK_MS);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_EVERY_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *query_env,
				DestReceiver *dest, QueryCompletion *completion)
{
	ProcessUtility_hook_type next = previous_process_utility ? previous_process_utility
															 : standard_ProcessUtility;
	Oid database = InvalidOid;

	if (worker_shared)
		database = database_to_clear(pstmt->utilityStmt);
	if (drops_extension(pstmt->utilityStmt))
		worker_wake_at_commit();
	if (OidIsValid(database))
	{
		take_hold(database);
		send_workers_away(database);
	}
	next(pstmt, query_string, read_only_tree, context, params, query_env, dest, completion);
}

void
database_hooks_init(void)
{
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
