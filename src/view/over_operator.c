/*
 * over_operator.c: a view's windows computed incrementally, from step to step.
 *
 * Between steps (over_step.c), the states of the keys' aggregates stay in the maintainer's memory; the rows themselves don't. So memory goes with
 * the number of keys.
 *
 * Invariant: the states are what the stream's rows with event times in (F - L, F + end] make of them, in any snapshot in which the view has this
 * frontier F and this number of corrections. For rows that far change only together with a correction (view/correct.c), which
 * changes that number. Where the catalogue says otherwise, the states are thrown away and made anew from one slice; where it says that
 * rows were inserted and nothing else, those of the rows' keys only (view/keys.c).
 *
 * A step changes the states before its transaction commits. If that does not happen, they are thrown away: `settled` is set when it
 * has. Nothing survives the process, and nothing needs to: the next one begins with the states that were saved for readers
 * (over_state.c), or with a slice.
 */
#include "tidemark.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "view/keys.h"
#include "view/materialised.h"
#include "view/over_operator.h"
#include "view/over_state.h"
#include "view/over_step.h"

/*
 * Saving: so many keys in so many bytes are always saved; else after so many rows for each key, and a row for so many bytes, or
 * when so many times as long has gone by as it takes: views that move, and that rest. After a state that is too large, so many rows
 * later again.
 */
#define ALWAYS_SAVED 200
#define ALWAYS_SAVED_BYTES (64 * 1024)
#define ROWS_PER_SAVED_KEY 4
#define SAVED_BYTES_PER_ROW 256
#define PAUSE_MOVING 20
#define PAUSE_RESTING 4

/* What saving a key takes before it has been measured, us. */
#define KEY_US 20
#define TOO_LARGE_ROWS 1000000

/* How long a view whose states need too much memory goes on by slices before it is tried again, ms. */
#define TOO_LARGE_MS (5 * 60 * 1000)

/* What is kept of a view. */
typedef struct Operator
{
	MemoryContext context; /* all that follows is in it */
	Oid relid;
	Oid stream;
	Oid mat;

	OverStates states;

	/* No window in the states: it is computed by slices, because ..., until (0: for good) */
	const char *why;
	TimestampTz until;

	int64 unsaved_rows; /* that moved since the states were saved */
	TimestampTz saved_at;
	double key_us; /* that saving took, for each key */

	/* The contents of the catalogue for which the states are right. */
	Ticks frontier;
	int64 corrections;
	bool settled; /* the transaction that moved them has committed */
} Operator;

/* Of Operator; the list is in TopMemoryContext. */
static List *operators = NIL;

/* ---- keeping them ------------------------------------------------------------------------------- */

static Operator *
find_operator(Oid relid)
{
	ListCell *cell;

	foreach (cell, operators)
		if (((Operator *) lfirst(cell))->relid == relid)
			return lfirst(cell);
	return NULL;
}

static void
discard(Operator *op)
{
	operators = list_delete_ptr(operators, op);
	MemoryContextDelete(op->context);
}

void
over_operator_keep(Oid stream, List *views)
{
	for (int i = list_length(operators) - 1; i >= 0; i--)
	{
		Operator *op = list_nth(operators, i);

		if (op->stream == stream && !list_member_oid(views, op->relid))
			discard(op);
	}
}

/* What a transaction did to the states is right if it commits. */
static void
settle(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	for (int i = list_length(operators) - 1; i >= 0; i--)
	{
		Operator *op = list_nth(operators, i);

		if (!op->settled && event == XACT_EVENT_ABORT)
			discard(op);
		else
			op->settled = true;
	}
}

static void
keep(Operator *op)
{
	static bool registered = false;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	if (!registered)
		RegisterXactCallback(settle, NULL);
	registered = true;
	operators = lappend(operators, op);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(op->context, TopMemoryContext);
}

/* ---- making them -------------------------------------------------------------------------------- */

static Operator *
make_operator(const ContinuousView *view, const Shape *shape, Query *batch)
{
	MemoryContext context = AllocSetContextCreate(
		CurrentMemoryContext, "tidemark over-window operator", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Operator *op = palloc0(sizeof(Operator));
	OverStates *states = &op->states;
	bool has_windows;

	op->context = context;
	op->relid = view->relid;
	op->stream = view->stream;
	op->mat = view->mat;
	states->view = view->relid;
	states->window = over_window_of_view(view->relid, batch, shape, &has_windows, &op->why);
	op->corrections = -1;
	op->saved_at = GetCurrentTimestamp();
	op->key_us = KEY_US;
	if (states->window)
	{
		states->context =
			AllocSetContextCreate(context, "tidemark over-window states", ALLOCSET_DEFAULT_SIZES);
		states->nframes = list_length(states->window->frames);
		states->keys = palloc0(sizeof(OverKeys *) * states->nframes);
		states->filenodes = palloc0(sizeof(Oid) * states->nframes);
		states->tables = over_state_tables(view->relid, shape);
	}
	MemoryContextSwitchTo(old);
	view_set_method(view->relid,
					over_window_view_method(batch, states->window, has_windows, op->why));
	keep(op);
	return op;
}

/* Windows with nothing in them, before all event time. */
static void
empty(Operator *op)
{
	OverStates *states = &op->states;

	MemoryContextReset(states->context);
	for (int i = 0; i < states->nframes; i++)
	{
		states->keys[i] = over_keys_create(list_nth(states->window->frames, i), states->context);
		states->filenodes[i] = InvalidOid;
	}
	op->frontier = TICKS_MIN;
	op->unsaved_rows = 0;
}

static Operator *
operator_of_view(const ContinuousView *view, const Shape *shape, Query *batch)
{
	Operator *op = find_operator(view->relid);

	if (op && op->mat == view->mat && (op->until == 0 || GetCurrentTimestamp() < op->until))
		return op;
	if (op)
		discard(op);
	return make_operator(view, shape, batch);
}

/* ---- saving ------------------------------------------------------------------------------------- */

static bool
can_be_saved(const Operator *op)
{
	return list_length(op->states.tables) == op->states.nframes;
}

/* Keys whose states have changed since they were saved. */
static int64
changed_keys(const Operator *op)
{
	int64 changed = 0;

	for (int i = 0; i < op->states.nframes; i++)
		changed += over_keys_changed(op->states.keys[i]);
	return changed;
}

/*
 * Saving costs about as much as some rows for each key that changed; it is done when there have been as many rows, or when it is little beside
 * the time that has gone by. Until then whoever reads the view reads those rows.
 */
static bool
saving_pays(const Operator *op, int pause)
{
	int64 changed = changed_keys(op);
	int64 bytes = 0;

	if (!can_be_saved(op) || op->unsaved_rows < 0)
		return false;
	for (int i = 0; i < op->states.nframes; i++)
		bytes += over_keys_unsaved_bytes(op->states.keys[i]);
	if (changed <= ALWAYS_SAVED && bytes <= ALWAYS_SAVED_BYTES)
		return true;
	if (op->unsaved_rows >= changed * ROWS_PER_SAVED_KEY + bytes / SAVED_BYTES_PER_ROW)
		return true;
	return GetCurrentTimestamp() - op->saved_at >= changed * op->key_us * pause;
}

/* Writes the states at `to` to the view's tables, with the rights of its owner: indexes may call functions of his. */
static void
save_states(Operator *op, Ticks to)
{
	OverStates *states = &op->states;
	RoleSession session = role_begin(relation_owner(op->relid));
	TimestampTz begin = GetCurrentTimestamp();
	int64 changed = changed_keys(op);
	bool saved = true;

	for (int i = 0; i < states->nframes && saved; i++)
		saved = over_state_save(list_nth(states->window->frames, i),
								list_nth_oid(states->tables, i), states->keys[i],
								&states->filenodes[i]);
	role_end(session);
	materialised_saved(op->relid, saved ? to : TICKS_MIN);
	/* one that is too large is so again soon */
	op->unsaved_rows = saved ? 0 : -TOO_LARGE_ROWS;
	op->saved_at = GetCurrentTimestamp();
	if (changed > ALWAYS_SAVED)
		op->key_us = (double) (op->saved_at - begin) / changed;
}

List *
over_operator_unsaved(Oid stream)
{
	List *views = NIL;
	ListCell *cell;

	foreach (cell, operators)
	{
		Operator *op = lfirst(cell);

		if (op->stream == stream && op->states.window && op->unsaved_rows > 0 &&
			saving_pays(op, PAUSE_RESTING))
			views = lappend_oid(views, op->relid);
	}
	return views;
}

void
over_operator_save(const ContinuousView *view, const Frontier *frontier)
{
	Operator *op = find_operator(view->relid);

	if (op == NULL)
		return;
	op->saved_at = GetCurrentTimestamp(); /* also if it can't be: not at once again */
	if (op->mat != view->mat || op->frontier != frontier->frontier ||
		op->corrections != frontier->corrections)
		return;
	op->settled = false;
	save_states(op, op->frontier);
}

/* The view goes on by slices for a while. */
static void
set_too_large(Operator *op)
{
	MemoryContextDelete(op->states.context);
	op->states.context = NULL;
	op->states.window = NULL;
	op->why = "its windows' states need more memory than tidemark.work_mem allows";
	op->until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TOO_LARGE_MS);
	view_set_method(op->relid, over_window_view_method(NULL, NULL, true, op->why));
}

/*
 * The catalogue has moved on without the states. Where rows were inserted and nothing else, the keys that they
 * have are found; otherwise there is nothing to go on from but what was saved since.
 */
static void
catch_up(Operator *op, OverStep *step, const ContinuousView *view, const Shape *shape, Query *batch,
		 const Frontier *frontier)
{
	Ticks *times;
	int n = -1;
	bool none;

	if (op->corrections >= 0 && op->frontier == step->from)
		n = frontier_late_times(view->relid, GetActiveSnapshot(), &times);
	if (n == 0)
		return; /* what was written changed nothing */
	if (n > 0)
		step->keys = keys_at(batch, shape, relation_owner(view->relid), times, n, false, &none);
	if (step->keys != NIL)
	{
		step->start = none ? OVER_START_KEPT : OVER_START_REBUILT;
		return;
	}
	empty(op);
	step->saved = frontier->mat == view->mat && can_be_saved(op) ? frontier->saved : TICKS_MIN;
	if (step->saved != TICKS_MIN)
		step->start = OVER_START_SAVED;
	else if (op->frontier != step->from)
		step->start = OVER_START_REBUILT;
}

bool
over_operator_can(const ContinuousView *view, const Shape *shape, Query *batch)
{
	return operator_of_view(view, shape, batch)->states.window != NULL;
}

bool
over_operator_ready(const ContinuousView *view, const Frontier *frontier)
{
	const Operator *op = find_operator(view->relid);

	if (op == NULL || op->mat != view->mat)
		return frontier->frontier == TICKS_MIN;
	if (op->states.window == NULL)
		return false;
	return frontier->frontier == TICKS_MIN ||
		   (op->frontier == frontier->frontier && op->corrections == frontier->corrections);
}

void
over_operator_want(const ContinuousView *view, Ticks from, Ticks to, SharedSlices *slices)
{
	over_step_want(find_operator(view->relid)->states.window, from, to, slices);
}

void
over_operator_rolled_back(Oid view)
{
	Operator *op = find_operator(view);

	if (op && !op->settled)
		discard(op);
}

bool
over_operator_append(const ContinuousView *view, const Shape *shape, Query *batch,
					 const Frontier *frontier, const SharedSlices *slices, Ticks *to, uint64 *rows)
{
	Operator *op = operator_of_view(view, shape, batch);
	OverStep step = {
		.states = &op->states, .from = frontier->frontier, .to = *to, .slices = slices};

	if (op->states.window == NULL)
	{
		if (frontier->saved != TICKS_MIN)
			materialised_saved(view->relid, TICKS_MIN);
		return false;
	}
	op->settled = false;
	if (op->frontier != step.from || op->corrections != frontier->corrections)
		catch_up(op, &step, view, shape, batch, frontier);
	*rows = materialised_receive(view, over_step_produce, &step);
	*to = step.to;
	op->frontier = step.to;
	op->corrections = frontier->corrections;
	op->unsaved_rows += step.rows;
	if (step.too_large)
		set_too_large(op);
	else if (saving_pays(op, PAUSE_MOVING))
		save_states(op, step.to);
	return step.to > step.from;
}
