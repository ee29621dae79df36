/*
 * step.c: one step of a stream's views towards the watermark.
 *
 * A step of a view is one transaction: it takes the view's lock, then its snapshot, appends rows from the view's frontier on, and moves the
 * frontier. One that fails is tried again later from what is committed.
 *
 * Views that stand at one frontier and go to the same target are stepped together, in one transaction and with one snapshot, taken
 * when all their locks are held: they share the reading of the stream (view/shared_slices.c). Each has a subtransaction of its own
 * in it, so that the failure of one takes back nothing of the others. Those that have to wait for a lock, or to make the states of their
 * windows anew first, take a step of their own. All that follow the watermark meet at the target.
 *
 * A lock that can't be had soon is no error: the step is tried again after the next look.
 *
 * Steps commit asynchronously: a lost commit loses the rows with the frontier that says they are there.
 */
#include "tidemark.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "view/change_log.h"
#include "view/define.h"
#include "view/frontier.h"
#include "view/keyed_maintain.h"
#include "view/layers.h"
#include "view/materialised.h"
#include "view/over_operator.h"
#include "view/slice.h"
#include "view/step.h"

/* Incremental steps are that many times shorter: they read no lookback, and sort in less memory. */
#define INCREMENTAL_STEPS 5

/* A step of several views is shorter: their locks are held for all of it. But not much: each step has its costs. */
#define TOGETHER_STEPS 5

/* Views in one transaction at most: of so many subtransactions, snapshots of others still have the list. */
#define TOGETHER_VIEWS 32

/* ms until a view that failed is tried again; how long a step waits for a lock. */
#define FAILED_STEP_MS 2000
#define LOCK_TIMEOUT "500ms"

/* ---- transactions ------------------------------------------------------------------------------------- */

void
step_begin(void)
{
	catalog_start_transaction();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false;
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	/* steps are short: code made for one would be paid for by the next */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
							 false);
	/* without statistics the planner would read the whole stream for a slice */
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
							 true, 0, false);
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
step_end(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* Takes an error that was caught, into that context. What ends the process goes on. */
static ErrorData *
take_error(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		PG_RE_THROW();
	FlushErrorState();
	return error;
}

/* NULL for what is no error: a lock could not be had in time, or in a deadlock of others that the maintainer stood in. */
static ErrorData *
unless_locked(ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK)
		return NULL;
	return error;
}

ErrorData *
step_catch_error(MemoryContext context)
{
	ErrorData *error = take_error(context);

	AbortCurrentTransaction();
	MemoryContextSwitchTo(context);
	return unless_locked(error);
}

void
step_log_error(ErrorData *error)
{
	error->elevel = LOG;
	ThrowErrorData(error);
}

/* ---- where to ----------------------------------------------------------------------------------------- */

Ticks
step_limit(bool on_arrival, const Watermark *reached)
{
	return on_arrival ? Max(reached->greatest, reached->watermark) : reached->watermark;
}

Ticks
step_view_target(const ContinuousView *view, const Watermark *reached)
{
	return ticks_minus(step_limit(view->on_arrival, reached), view->lookahead);
}

/* How far the next step, one of so many in the time of a long one, goes from this frontier to its target. */
static Ticks
step_target(const Move *move, Ticks frontier, Ticks target, int parts)
{
	return Min(target, ticks_plus(Max(frontier, move->start), Max(move->step / parts, 1)));
}

/* ---- a step of one view --------------------------------------------------------------------------------- */

/* A step of a view whose lock is held. */
typedef struct Step
{
	Oid relid;
	ContinuousView view;
	Frontier frontier;
	Ticks target;
	Ticks to; /* at most the target */
	Ticks
		moved; /* where the frontier is after it: there, or further if the view can have no rows in between */

	Shape shape;
	Query *batch;
	const Layers *
		layers; /* of a view in layers; shape and batch are the upper one's then; NULL: it has none */
	bool incremental;
} Step;

/* The snapshot of a step is taken when its locks are held, and what is known of its views is what they made of it. */
static void
take_snapshot(void)
{
	PopActiveSnapshot();
	AcceptInvalidationMessages();
	PushActiveSnapshot(GetLatestSnapshot());
}

static bool
find_view(Step *step)
{
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(step->relid)) &&
		   view_lookup(step->relid, &step->view);
}

/* Is there something to do for the view, as the active snapshot has it? Then from where, and where to. */
static bool
find_step(Step *step, const Move *move)
{
	ContinuousView *view = &step->view;

	if (!list_member_oid(move->views, view->mat))
		return false;
	step->frontier = frontier_read(step->relid, GetActiveSnapshot());
	step->target = step->to =
		Min(step_view_target(view, &move->reached), ticks_minus(move->target, view->lookahead));
	return step->frontier.found && step->frontier.frontier < step->target;
}

static void
prepare_step(Step *step)
{
	Access access;

	step->batch = slice_batch_query(step->relid, &step->shape, &access);
	shape_require(&step->shape, get_rel_name(step->relid));
	define_require_access(step->relid, access);
	if (layers_has(&step->shape))
	{
		step->layers = layers_of(&step->view, &step->shape, step->batch);
		step->shape = step->layers->shape;
		step->batch = step->layers->batch;
	}
	step->incremental = !step->shape.keyed &&
						over_operator_can(&step->view, &step->shape, step->batch);
}

/* Of a view with windows by GROUP BY, a step takes in one at least, if it is complete. */
static Ticks
to_window(const Step *step)
{
	Oid type = step->shape.stream.time_type;
	Ticks first = grid_ceiling(&step->shape.grid, type, ticks_plus(step->frontier.frontier, 1));

	return Min(Max(step->to, first), step->target);
}

/* The view's own rows up to step->to, or a bit less, which is then set; returns how many. */
static uint64
append_rows(Step *step, const SharedSlices *slices)
{
	Ticks from = step->frontier.frontier;
	uint64 rows;

	if (step->shape.keyed)
		rows = keyed_append(&step->view, step->shape.keyed, ticks_plus(from, 1), step->to);
	else if (!over_operator_append(&step->view, &step->shape, step->batch, &step->frontier, slices,
								   &step->to, &rows))
	{
		rows = materialised_append(&step->view, &step->shape, step->batch, ticks_plus(from, 1),
								   step->to);
		step->moved = grid_end(&step->shape.grid, step->shape.stream.time_type, step->to);
		return rows;
	}
	step->moved = step->to;
	return rows;
}

/*
 * The same of a view in layers: the lower one's rows are taken in first, and seen. The frontier goes no further than these are known,
 * on a grid or not.
 */
static uint64
append_layers(Step *step)
{
	uint64 rows;
	Ticks to = step->to;

	/* groups are on the grid, too: there are none up to its end; first rows may come there still */
	if (step->layers->keyed == NULL && layers_reach(step->layers, to) == to)
		to = step->to = grid_end(&step->shape.grid, step->shape.stream.time_type, to);
	layers_take_in(step->layers, step->frontier.frontier, to);
	PushCopiedSnapshot(GetActiveSnapshot());
	UpdateActiveSnapshotCommandId();
	rows = append_rows(step, NULL);
	PopActiveSnapshot();
	if (step->to < to)
		layers_take_back(step->layers, step->to);
	step->moved = step->to;
	return rows;
}

/* slices: what it shares with other views, or NULL. */
static void
run_step(Step *step, const Move *move, const SharedSlices *slices)
{
	Ticks from = step->frontier.frontier;
	uint64 rows = step->layers ? append_layers(step) : append_rows(step, slices);

	change_log_appended(&step->view, &step->frontier, step->shape.stream.time_type, step->moved);
	materialised_moved(step->relid, step->moved, rows);
	if (from == TICKS_MIN)
		materialised_begins(step->relid, Min(move->start, step->to));
}

/* One step of one view towards the target; true if it has arrived. */
static bool
advance_view(Oid relid, const Move *move)
{
	Step step = {.relid = relid};

	/* tables before the view, as DROP TABLE ... CASCADE and writers do it */
	frontier_lock_tables(move->stream);
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return true; /* somebody changes it now; the next look sees what came of it */
	frontier_lock_view(relid);
	take_snapshot();
	if (!find_view(&step))
		return true;
	if (!step.view.current)
		define_rebuild(relid);
	if (!step.view.current || !find_step(&step, move))
		return true;
	prepare_step(&step);
	/* with an unbounded lookback each slice reads all that came before it */
	if (step.incremental || !lookback_is_unbounded(&step.shape.lookback))
		step.to = step_target(move, step.frontier.frontier, step.target,
							  step.incremental ? INCREMENTAL_STEPS : 1);
	step.to = to_window(&step);
	run_step(&step, move, NULL);
	return step.moved >= step.target;
}

/* Saves the states of a view's windows, if its lock is free. */
static void
save_view(Oid relid)
{
	Step step = {.relid = relid};

	if (!ConditionalLockRelationOid(relid, AccessShareLock) || !frontier_try_lock_view(relid))
		return;
	take_snapshot();
	if (!find_view(&step))
		return;
	step.frontier = frontier_read(relid, GetActiveSnapshot());
	over_operator_save(&step.view, &step.frontier);
}

void
step_save_unsaved(Oid stream)
{
	MemoryContext context = CurrentMemoryContext;
	List *views = over_operator_unsaved(stream);
	ListCell *cell;

	foreach (cell, views)
	{
		CHECK_FOR_INTERRUPTS();
		step_begin();
		over_operator_keep(stream, views_of_stream(stream));
		frontier_lock_tables(stream);
		save_view(lfirst_oid(cell));
		step_end();
		MemoryContextSwitchTo(context);
	}
}

/* What went wrong with a view's maintenance, for tidemark.continuous_views. True if that is news. */
static bool
record_error(Oid view, const char *message)
{
	Oid types[] = {OIDOID, TEXTOID};
	Datum values[] = {ObjectIdGetDatum(view), CStringGetTextDatum(message)};

	return catalog_execute(
			   "UPDATE tidemark.view SET last_error = $2, last_error_at = clock_timestamp() "
			   "WHERE relid = $1 AND last_error IS DISTINCT FROM $2",
			   2, types, values, NULL) > 0;
}

/* Nothing went wrong with the maintenance of these views now. */
static void
clear_errors(const Oid *views, int n)
{
	Oid types[] = {OIDARRAYOID};
	Datum *elements = palloc(n * sizeof(Datum));
	Datum values[1];

	for (int i = 0; i < n; i++)
		elements[i] = ObjectIdGetDatum(views[i]);
	values[0] =
		PointerGetDatum(construct_array(elements, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	(void) catalog_execute(
		"UPDATE tidemark.view SET last_error = NULL, last_error_at = clock_timestamp() "
		"WHERE relid = ANY ($1) AND last_error IS NOT NULL",
		1, types, values, NULL);
}

/*
 * A view's step has failed and is rolled back: that is recorded, and logged when it is another error than before. The view
 * waits a while; the others don't.
 */
static void
report_failure(Oid view, ErrorData *error, Move *move)
{
	MemoryContext context = CurrentMemoryContext;
	bool news;

	MemoryContextSwitchTo(TopMemoryContext);
	move->failed = list_append_unique_oid(move->failed, view);
	move->retry = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), FAILED_STEP_MS);
	step_begin();
	news = record_error(view, error->message);
	step_end();
	MemoryContextSwitchTo(context);
	if (news)
		step_log_error(error);
}

/*
 * A step of one view in a transaction of its own. An error (of the view's own query, say) holds up this view only: it
 * is tried again after the next look.
 */
static bool
try_step(Oid view, Move *move)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool arrived = true;
	ErrorData *volatile error = NULL;

	PG_TRY();
	{
		step_begin();
		arrived = advance_view(view, move);
		clear_errors(&view, 1);
		step_end();
	}
	PG_CATCH();
	{
		error = step_catch_error(context);
		arrived = true;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (error)
		report_failure(view, error, move);
	return arrived;
}

/* ---- steps of several views -------------------------------------------------------------------------- */

/* Views that take a step in one transaction. */
typedef struct ViewGroup
{
	Ticks from;
	Ticks target;
	List *views; /* OIDs */

	/* What came of it: OIDs of those that took the step, those that failed, and their errors; the rest did not take part. */
	MemoryContext context;
	List *stepped;
	List *failed;
	List *errors; /* of ErrorData, NULL: none that has to be told */
	bool arrived;
} ViewGroup;

/* Puts the view among those that could take the same step, as far as can be seen without locks. */
static List *
add_to_group(List *groups, Oid relid, const Move *move)
{
	Step step = {.relid = relid};
	ViewGroup *group;
	ListCell *cell;

	if (!find_view(&step) || !step.view.current || !find_step(&step, move) ||
		!over_operator_ready(&step.view, &step.frontier))
		return groups;
	foreach (cell, groups)
	{
		group = lfirst(cell);
		if (group->from == step.frontier.frontier && group->target == step.target &&
			list_length(group->views) < TOGETHER_VIEWS)
		{
			group->views = lappend_oid(group->views, relid);
			return groups;
		}
	}
	group = palloc0(sizeof(ViewGroup));
	group->from = step.frontier.frontier;
	group->target = step.target;
	group->views = list_make1_oid(relid);
	group->context = CurrentMemoryContext;
	return lappend(groups, group);
}

typedef void (*StepPart)(Step *step, const Move *move, SharedSlices *slices);

/* A part of a view's step in a subtransaction; false if it failed. */
static bool
try_part(StepPart part, Step *step, const Move *move, SharedSlices *slices, ViewGroup *group)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		part(step, move, slices);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData *error = take_error(group->context);

		RollbackAndReleaseCurrentSubTransaction();
		over_operator_rolled_back(step->relid);
		MemoryContextSwitchTo(group->context);
		group->failed = lappend_oid(group->failed, step->relid);
		group->errors = lappend(group->errors, unless_locked(error));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

static void
prepare_part(Step *step, const Move *move, SharedSlices *slices)
{
	prepare_step(step);
}

static void
run_part(Step *step, const Move *move, SharedSlices *slices)
{
	run_step(step, move, slices);
}

/* The locks of those views that have them free. */
static List *
lock_free_views(const List *views)
{
	List *locked = NIL;
	ListCell *cell;

	foreach (cell, views)
	{
		Oid relid = lfirst_oid(cell);

		if (ConditionalLockRelationOid(relid, AccessShareLock) && frontier_try_lock_view(relid))
			locked = lappend_oid(locked, relid);
	}
	return locked;
}

/* The steps of those views that are still as they were seen without locks. */
static List *
prepare_steps(const List *views, const Move *move, ViewGroup *group)
{
	List *steps = NIL;
	ListCell *cell;

	foreach (cell, views)
	{
		Step *step = palloc0(sizeof(Step));

		step->relid = lfirst_oid(cell);
		if (find_view(step) && step->view.current && find_step(step, move) &&
			step->frontier.frontier == group->from && step->target == group->target &&
			try_part(prepare_part, step, move, NULL, group) && step->incremental &&
			step->layers == NULL && over_operator_ready(&step->view, &step->frontier))
			steps = lappend(steps, step);
	}
	return steps;
}

/* Each view's step to the same event time, over slices that are read once. */
static void
run_steps(List *steps, const Move *move, ViewGroup *group)
{
	SharedSlices *slices = shared_slices_create(&((Step *) linitial(steps))->shape.stream);
	int parts = INCREMENTAL_STEPS * Min(list_length(steps), TOGETHER_STEPS);
	Ticks to = step_target(move, group->from, group->target, parts);
	Oid *stepped = palloc(list_length(steps) * sizeof(Oid));
	int n = 0;
	ListCell *cell;

	foreach (cell, steps)
		over_operator_want(&((Step *) lfirst(cell))->view, group->from, to, slices);
	shared_slices_read(slices);
	group->arrived = true;
	foreach (cell, steps)
	{
		Step *step = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		step->to = to;
		if (!try_part(run_part, step, move, slices, group))
			continue;
		stepped[n++] = step->relid;
		group->arrived &= step->to >= step->target;
	}
	clear_errors(stepped, n);
	MemoryContextSwitchTo(group->context);
	for (int i = 0; i < n; i++)
		group->stepped = lappend_oid(group->stepped, stepped[i]);
}

static void
advance_group(ViewGroup *group, const Move *move)
{
	List *views;
	List *steps;

	frontier_lock_tables(move->stream);
	views = lock_free_views(group->views);
	if (list_length(views) < 2)
		return;
	take_snapshot();
	steps = prepare_steps(views, move, group);
	if (list_length(steps) > 1)
		run_steps(steps, move, group);
}

/*
 * A step of several views. Returns those that are done with for now, and brings *arrived down if one of them has further to go. The others
 * have to take steps of their own; so have all if anything goes wrong outside of a view's subtransaction.
 */
static List *
try_group(ViewGroup *group, Move *move, bool *arrived)
{
	MemoryContext context = CurrentMemoryContext;
	ListCell *view;
	ListCell *error;

	if (list_length(group->views) < 2)
		return NIL;
	PG_TRY();
	{
		step_begin();
		advance_group(group, move);
		step_end();
	}
	PG_CATCH();
	{
		ErrorData *failure = step_catch_error(context);

		if (failure)
			step_log_error(failure);
		group->stepped = group->failed = group->errors = NIL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	forboth (view, group->failed, error, group->errors)
		if (lfirst(error))
			report_failure(lfirst_oid(view), lfirst(error), move);
	if (group->stepped)
		*arrived &= group->arrived;
	return list_concat_copy(group->stepped, group->failed);
}

/* ---- all ---------------------------------------------------------------------------------------------- */

bool
step_views(List *views, Move *move)
{
	MemoryContext context = CurrentMemoryContext;
	List *groups = NIL;
	List *done = NIL;
	bool arrived = true;
	ListCell *cell;

	step_begin();
	MemoryContextSwitchTo(context);
	foreach (cell, views)
		groups = add_to_group(groups, lfirst_oid(cell), move);
	step_end();
	MemoryContextSwitchTo(context);
	foreach (cell, groups)
		done = list_concat(done, try_group(lfirst(cell), move, &arrived));
	foreach (cell, views)
	{
		CHECK_FOR_INTERRUPTS();
		if (!list_member_oid(done, lfirst_oid(cell)))
			arrived &= try_step(lfirst_oid(cell), move);
	}
	return arrived;
}
