/*
 * next_changes.c: tidemark.next_changes: the changes behind a subscription's position, or as soon as there are some.
 *
 *   look:  subtransaction { snapshot 1: the subscription; take it (readers.c); snapshot 2: the subscription again, its feed } ── rows ─▶ done
 *     ▲                                                           │ nothing, or another session has it: all of it is rolled back
 *     └───────── wait (readers.c), up to the timeout ◀────────────┘
 *
 * The second snapshot sees what the session acknowledged that had the subscription before. A look that finds nothing ends with a
 * rollback, so that no locks on the view's tables are held while waiting: a consumer that waits is in nobody's way.
 *
 * Nothing is written. What is returned is the same until it is acknowledged, whoever asks and however often (feed_replay).
 */
#include "tidemark.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "sink/change_pairs.h"
#include "sink/readers.h"
#include "sink/subscription.h"

PG_FUNCTION_INFO_V1(tidemark_next_changes);

/* How often to look for what nobody has told of: a prepared transaction's commit, say. */
#define LOOK_MS 5000

/* The columns that are returned. */
enum change_column
{
	CHANGE_POSITION,
	CHANGE_OP,
	CHANGE_WATERMARK,
	CHANGE_ROW,
	CHANGE_OLD_ROW,
	CHANGE_COLUMNS
};

/* A call. */
typedef struct Call
{
	const char *name;
	int64 max_rows;
	ReturnSetInfo *result;
	MemoryContext scratch; /* of a row that is returned */

	Subscription subscription;
	ReaderClaim claim;
	Feed feed;
	int64 rows;			   /* returned, with the one that is held back */
	FeedPosition complete; /* up to the last whole transaction or event time */
	int64 complete_rows;
	bool holds;
	Change held;		/* the last one: is it the last of its transaction or event time? */
	ChangePairs *pairs; /* of the transaction; NULL: the subscription has no key */
} Call;

/* ---- changes as rows ----------------------------------------------------------------------------------- */

static Datum
position_text(const Call *call)
{
	ChangePosition position = {.subscription = call->subscription.id,
							   .feed = call->complete,
							   .changes = call->subscription.changes + call->complete_rows};

	return CStringGetTextDatum(change_position_text(&position));
}

static void
put_held(Call *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->scratch);
	Datum values[CHANGE_COLUMNS] = {0};
	bool nulls[CHANGE_COLUMNS] = {false};

	values[CHANGE_POSITION] = position_text(call);
	values[CHANGE_OP] = CStringGetTextDatum(call->held.op);
	nulls[CHANGE_WATERMARK] = call->complete.frontier == TICKS_MIN;
	if (!nulls[CHANGE_WATERMARK])
		values[CHANGE_WATERMARK] =
			CStringGetTextDatum(event_time_text(call->feed.time_type, call->complete.frontier));
	values[CHANGE_ROW] = call->held.row;
	values[CHANGE_OLD_ROW] = call->held.old_row;
	nulls[CHANGE_OLD_ROW] = call->held.old_row == 0;
	tuplestore_putvalues(call->result->setResult, call->result->setDesc, values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextReset(call->scratch);
	call->holds = false;
}

/* Returns what was held back, and holds this back. */
static void
put(const Change *change, void *arg)
{
	Call *call = arg;
	MemoryContext old;

	if (call->holds)
		put_held(call);
	old = MemoryContextSwitchTo(call->scratch);
	call->held = *change;
	call->held.row = datumCopy(change->row, false, -1);
	if (change->old_row)
		call->held.old_row = datumCopy(change->old_row, false, -1);
	call->holds = true;
	call->rows++;
	MemoryContextSwitchTo(old);
}

/* A transaction's corrections, or an event time's rows, are complete: with the last of them, all are acknowledged. */
static void
end_unit(Call *call, const FeedPosition *complete)
{
	if (call->pairs)
		change_pairs_flush(call->pairs, put, call);
	call->complete = *complete;
	call->complete_rows = call->rows;
	if (call->holds)
		put_held(call);
}

static bool
is_complete(const Call *call, const FeedPosition *position)
{
	return position->frontier == call->complete.frontier && position->seq == call->complete.seq;
}

static void
receive(FeedOp op, TupleTableSlot *slot, const FeedPosition *complete, void *arg)
{
	Call *call = arg;
	Change change = {.op = op == FEED_DELETE ? "delete" : "insert", .row = slot->tts_values[0]};

	if (!is_complete(call, complete))
		end_unit(call, complete);
	if (op != FEED_FINAL && call->pairs)
		change_pairs_add(call->pairs, op, slot->tts_values[1], change.row);
	else
		put(&change, call);
}

/* ---- a look -------------------------------------------------------------------------------------------- */

static void
require_current(const Subscription *subscription)
{
	subscription_check_owner(subscription);
	subscription_check_view(subscription);
	subscription_check_lost(subscription);
}

/* Reads from the position on until there is something, or no more. */
static void
read_feed(Call *call)
{
	FeedPosition position = call->subscription.position;
	bool more = true;

	subscription_open_feed(&call->subscription, &call->feed);
	if (call->feed.desc->natts > 1 && call->pairs == NULL)
		call->pairs = change_pairs_create();
	call->complete = position;
	call->complete_rows = 0;
	while (more && call->rows < call->max_rows)
	{
		more = feed_replay(&call->feed, &position, call->max_rows - call->rows, receive, call);
		end_unit(call, &position);
	}
}

/* True if there are changes, for this session. */
static bool
read_if_free(Call *call)
{
	subscription_require(call->name, GetLatestSnapshot(), &call->subscription);
	require_current(&call->subscription);
	call->claim = reader_take(call->subscription.id, &call->subscription.position);
	if (call->claim == READER_BUSY)
		return false;
	PushActiveSnapshot(GetLatestSnapshot());
	subscription_require(call->name, GetActiveSnapshot(), &call->subscription);
	require_current(&call->subscription);
	read_feed(call);
	PopActiveSnapshot();
	if (call->rows > 0)
		reader_given(call->subscription.id, &call->complete);
	else
		reader_leave(call->subscription.id, call->claim);
	return call->rows > 0;
}

static void
leave_after_error(Call *call)
{
	if (call->claim == READER_BUSY)
		return;
	reader_leave(call->subscription.id, call->claim);
	readers_signal();
}

/* The same, in a subtransaction that is rolled back if there are none. */
static bool
look(Call *call)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool found = false;

	call->claim = READER_BUSY;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		found = read_if_free(call);
		if (found)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		leave_after_error(call);
		/* Whoever drops the subscription takes the log along, from under a look that has still seen it. */
		if (error->sqlerrcode == ERRCODE_UNDEFINED_TABLE)
			subscription_require(call->name, GetLatestSnapshot(), &call->subscription);
		ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return found;
}

/* ---- the function ---------------------------------------------------------------------------------------- */

static void
require_place(void)
{
	tidemark_require_preload("next_changes");
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
						errmsg("next_changes can't be called on a standby server"),
						errhint("Call it on the primary, where changes are acknowledged, too.")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("next_changes can't see changes in a %s transaction",
						XactIsoLevel == XACT_SERIALIZABLE ? "serializable" : "repeatable read"),
				 errhint("Call it in a READ COMMITTED transaction.")));
}

static TimestampTz
deadline_after(const Interval *timeout)
{
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(GetCurrentTimestamp()),
												   PointerGetDatum(timeout)));
}

Datum
tidemark_next_changes(PG_FUNCTION_ARGS)
{
	Call call = {.name = NameStr(*PG_GETARG_NAME(0)),
				 .max_rows = PG_GETARG_INT32(1),
				 .result = (ReturnSetInfo *) fcinfo->resultinfo};
	TimestampTz deadline = deadline_after(PG_GETARG_INTERVAL_P(2));

	require_place();
	if (call.max_rows <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_rows must be greater than zero")));
	InitMaterializedSRF(fcinfo, 0);
	call.scratch =
		AllocSetContextCreate(CurrentMemoryContext, "tidemark change", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		uint64 signals = readers_signals();
		long left;

		if (look(&call))
			break;
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		if (left <= 0)
			break;
		readers_wait(signals, Min(left, LOOK_MS));
		AcceptInvalidationMessages();
	}
	return (Datum) 0;
}
