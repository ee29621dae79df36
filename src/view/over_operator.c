/*
 * over_operator.c: a view's windows computed incrementally, from step to step.
 *
 * Two scans walk the stream in event-time order. The head brings the rows that enter the windows, and for each the results; the
 * tail, one for each length of window, those that leave them:
 *
 *           F - L          to - L                     F              to
 *   ──────────┤──── tail ────├────────────────────────┤──── head ────├──────▶ event time
 *                                  in the windows at `to`
 *
 * Between steps, the states of the keys' aggregates stay in the maintainer's memory; the rows themselves don't: the table
 * is the buffer. So a row costs the same whatever the window's length, and memory goes with the number of keys.
 *
 * Invariant: the states are what the stream's rows with event times in (F - L, F] make of them, in any snapshot in which the view has this
 * frontier F and this number of corrections. For rows at or below F change only together with a correction (view/correct.c), which
 * changes that number. Where the catalogue says otherwise, the states are thrown away and made anew from one slice; where it says that
 * rows were inserted and nothing else, those of the rows' keys only (view/keys.c).
 *
 * A step changes the states before its transaction commits. If that does not happen, they are thrown away: `settled` is set when it
 * has. Nothing survives the process, and nothing needs to.
 */
#include "tidemark.h"

#include "access/xact.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "view/keys.h"
#include "view/materialised.h"
#include "view/over_keys.h"
#include "view/over_operator.h"
#include "view/over_scan.h"
#include "view/over_state.h"
#include "view/slice.h"

/* Rows of one event time that are held in memory as they are; more are spilled. */
#define HELD_ROWS 1000
#define HELD_KB 8192

/* What a scan may sort in; more is sorted on disk. */
#define SORT_MEM "16MB"

/* Groups of equal event time after which keys without rows are forgotten, and rows after which memory is looked at. */
#define SWEEP_GROUPS 1000
#define MEASURE_ROWS 50000

/* Saving: so many keys are always saved; else after so many rows for each key. After a state that is too large, so many rows later again. */
#define ALWAYS_SAVED 200
#define ROWS_PER_SAVED_KEY 4
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

	/* How it is computed; NULL: by slices, because ..., until (0: for good) */
	OverWindow *window;
	const char *why;
	TimestampTz until;

	MemoryContext states; /* of the keys */
	OverKeys **keys;	  /* one for each frame */
	int nframes;
	uint64 moment;	  /* counts event times, over all steps */
	int64 moved_rows; /* counts rows that entered, likewise */

	/* For saving the states: their tables, frame by frame, and the storage that rows were written to; NIL: they can't be saved. */
	List *tables;
	Oid *filenodes;
	int64 unsaved_rows; /* that moved since */

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
	bool has_windows;

	op->context = context;
	op->relid = view->relid;
	op->stream = view->stream;
	op->mat = view->mat;
	op->window = over_window_of_view(view->relid, batch, shape, &has_windows, &op->why);
	op->corrections = -1;
	if (op->window)
	{
		op->states =
			AllocSetContextCreate(context, "tidemark over-window states", ALLOCSET_DEFAULT_SIZES);
		op->nframes = list_length(op->window->frames);
		op->keys = palloc0(sizeof(OverKeys *) * op->nframes);
		op->filenodes = palloc0(sizeof(Oid) * op->nframes);
		op->tables = view_states(view->relid);
	}
	MemoryContextSwitchTo(old);
	view_set_method(view->relid, over_window_view_method(op->window, has_windows, op->why));
	keep(op);
	return op;
}

/* Windows with nothing in them, before all event time. */
static void
empty(Operator *op)
{
	MemoryContextReset(op->states);
	for (int i = 0; i < op->nframes; i++)
	{
		op->keys[i] = over_keys_create(list_nth(op->window->frames, i), op->states);
		op->filenodes[i] = InvalidOid;
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

/* ---- a step ------------------------------------------------------------------------------------- */

/* The rows that leave the frames of one length. */
typedef struct Tail
{
	OverScan *scan;
	int64 length;
	Bitmapset *frames;
	Bitmapset *columns; /* of the inputs */
} Tail;

typedef struct Step
{
	Operator *op;
	Ticks from; /* the frontier */
	Ticks to;
	const SharedSlices *slices; /* that other views read too; NULL: none */
	bool
		late; /* rows came late since the last step: the states of these keys have to be made anew */
	List *late_keys;
	bool too_large; /* it ends at `to`, which is less far than was asked for */

	MemoryContext context;
	MemoryContext group; /* reset after each event time; the current one while rows move */
	int64 rows;
	OverScan *head;
	List *tails;
	OverOutput *output;
	Datum *values; /* of a row of the output */
	bool *nulls;

	/* The rows of the current event time, and their keys, frame by frame. */
	int nheld;
	TupleTableSlot *held[HELD_ROWS];
	OverKeyState **held_keys;
	Tuplestorestate *spilled; /* further ones; NULL: none */
} Step;

static List *
tails_of(const OverWindow *window, bool unbounded)
{
	List *tails = NIL;
	ListCell *cell;

	foreach (cell, window->frames)
	{
		OverFrame *frame = lfirst(cell);
		Tail *tail = NULL;
		ListCell *other;

		if (frame->unbounded != unbounded)
			continue;
		foreach (other, tails)
			if (((Tail *) lfirst(other))->length == frame->length)
				tail = lfirst(other);
		if (tail == NULL)
		{
			tail = palloc0(sizeof(Tail));
			tail->length = frame->length;
			tails = lappend(tails, tail);
		}
		tail->frames = bms_add_member(tail->frames, foreach_current_index(cell));
		tail->columns = bms_add_members(tail->columns, frame->columns);
	}
	return tails;
}

/* The inputs with event times in (after, to], of these keys (of keys.h; NIL: all); in the slice that views share, if there is one. */
static OverScan *
scan_inputs(const Step *step, const Bitmapset *columns, Ticks after, Ticks to, const List *keys)
{
	const OverWindow *window = step->op->window;
	Oid type = window->stream.time_type;
	Query *input;

	if (step->slices && keys == NIL)
	{
		QueryEnvironment *slice;

		input = over_window_input(window, columns, NULL, NULL);
		slice = shared_slices_use(step->slices, input, after, to);
		if (slice)
			return over_scan_begin_ordered(window, input, slice);
	}
	input =
		over_window_input(window, columns, slice_after(type, after), slice_time_constant(type, to));
	keys_restrict(input, keys);
	return over_scan_begin(window, input);
}

/* Looks from time to time whether the states have outgrown tidemark.work_mem. */
static void
count_row(Step *step)
{
	step->rows++;
	if (++step->op->moved_rows % MEASURE_ROWS == 0 &&
		MemoryContextMemAllocated(step->op->states, true) > (Size) tidemark_work_mem * 1024)
		step->too_large = true;
}

/* The rows in (after, from] fill the frames of one length. */
static void
refill(Step *step, const Tail *tail, Ticks after)
{
	OverScan *scan = scan_inputs(step, tail->columns, after, step->from, step->late_keys);
	MemoryContext old = MemoryContextSwitchTo(step->group);

	for (; scan->row && !step->too_large; over_scan_next(scan))
	{
		int i = -1;

		count_row(step);
		while ((i = bms_next_member(tail->frames, i)) >= 0)
			over_keys_refill(step->op->keys[i], scan->row);
		MemoryContextReset(step->group);
	}
	MemoryContextSwitchTo(old);
	over_scan_end(scan);
}

/* Makes the states at step->from anew: of the keys of late rows, or of all. */
static void
rebuild(Step *step)
{
	OverWindow *window = step->op->window;
	ListCell *cell;

	for (int i = 0; i < step->op->nframes; i++)
		over_keys_begin_refill(step->op->keys[i]);
	foreach (cell, tails_of(window, true))
		refill(step, lfirst(cell), TICKS_MIN);
	foreach (cell, tails_of(window, false))
	{
		Tail *tail = lfirst(cell);

		refill(step, tail, ticks_minus(step->from, tail->length));
	}
}

/* The rows before that event time leave the tail's frames. */
static void
leave_before(Step *step, Tail *tail, Ticks time)
{
	while (tail->scan->row && tail->scan->time < time)
	{
		int i = -1;

		while ((i = bms_next_member(tail->frames, i)) >= 0)
			over_keys_leave(step->op->keys[i], tail->scan->row);
		MemoryContextReset(step->group);
		over_scan_next(tail->scan);
	}
}

static TupleTableSlot *
make_held(Step *step, TupleDesc columns)
{
	MemoryContext old = MemoryContextSwitchTo(step->context);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);

	MemoryContextSwitchTo(old);
	return slot;
}

/* The current row of the head enters the windows. It is held until all rows of its event time have. */
static void
enter_row(Step *step)
{
	TupleTableSlot *row = step->head->row;
	int nframes = step->op->nframes;

	for (int i = 0; i < nframes; i++)
	{
		OverKeys *keys = step->op->keys[i];
		OverKeyState *key = over_keys_find(keys, row);

		over_keys_enter(keys, key, row);
		if (step->nheld < HELD_ROWS)
			step->held_keys[step->nheld * nframes + i] = key;
	}
	if (step->nheld < HELD_ROWS)
	{
		if (step->held[step->nheld] == NULL)
			step->held[step->nheld] = make_held(step, row->tts_tupleDescriptor);
		ExecCopySlot(step->held[step->nheld++], row);
		return;
	}
	if (step->spilled == NULL)
		step->spilled = tuplestore_begin_heap(false, false, HELD_KB);
	tuplestore_puttupleslot(step->spilled, row);
}

/* Puts a row out, with its windows' results; keys: its key in each frame. */
static void
put_row(Step *step, TupleTableSlot *row, OverKeyState **keys)
{
	int ninputs = row->tts_tupleDescriptor->natts;

	slot_getallattrs(row);
	memcpy(step->values, row->tts_values, ninputs * sizeof(Datum));
	memcpy(step->nulls, row->tts_isnull, ninputs * sizeof(bool));
	for (int i = 0; i < step->op->nframes; i++)
		over_keys_results(step->op->keys[i], keys[i], step->op->moment, step->values + ninputs,
						  step->nulls + ninputs);
	over_output_put(step->output, step->values, step->nulls);
}

static void
put_held_rows(Step *step)
{
	int nframes = step->op->nframes;

	for (int i = 0; i < step->nheld; i++)
		put_row(step, step->held[i], step->held_keys + i * nframes);
	step->nheld = 0;
}

static void
put_spilled_rows(Step *step)
{
	TupleTableSlot *row =
		MakeSingleTupleTableSlot(step->held[0]->tts_tupleDescriptor, &TTSOpsMinimalTuple);
	OverKeyState **keys = palloc(sizeof(OverKeyState *) * step->op->nframes);

	while (tuplestore_gettupleslot(step->spilled, true, false, row))
	{
		for (int i = 0; i < step->op->nframes; i++)
			keys[i] = over_keys_find(step->op->keys[i], row);
		put_row(step, row, keys);
	}
	ExecDropSingleTupleTableSlot(row);
	tuplestore_end(step->spilled);
	step->spilled = NULL;
}

/* All rows of the head's current event time. */
static void
advance_group(Step *step)
{
	Ticks time = step->head->time;
	ListCell *cell;

	foreach (cell, step->tails)
	{
		Tail *tail = lfirst(cell);

		leave_before(step, tail, ticks_minus(time, tail->length));
	}
	for (; step->head->row && step->head->time == time; over_scan_next(step->head))
	{
		enter_row(step);
		count_row(step);
	}
	step->op->moment++;
	put_held_rows(step);
	if (step->spilled)
		put_spilled_rows(step);
	MemoryContextReset(step->group);
}

static void
sweep(Step *step)
{
	for (int i = 0; i < step->op->nframes; i++)
		over_keys_sweep(step->op->keys[i]);
}

static void
begin_scans(Step *step)
{
	ListCell *cell;

	step->head = scan_inputs(step, NULL, step->from, step->to, NIL);
	step->tails = tails_of(step->op->window, false);
	foreach (cell, step->tails)
	{
		Tail *tail = lfirst(cell);

		tail->scan = scan_inputs(step, tail->columns, ticks_minus(step->from, tail->length),
								 ticks_minus(step->to, tail->length), NIL);
	}
}

static void
end_scans(Step *step)
{
	ListCell *cell;

	over_scan_end(step->head);
	foreach (cell, step->tails)
		over_scan_end(((Tail *) lfirst(cell))->scan);
}

/* From the states at step->from to those at step->to. */
static void
advance(Step *step)
{
	MemoryContext old;
	ListCell *cell;

	begin_scans(step);
	old = MemoryContextSwitchTo(step->group);
	while (step->head->row)
	{
		Ticks time = step->head->time;

		advance_group(step);
		if (step->too_large)
		{
			step->to = time;
			break;
		}
		if (step->op->moment % SWEEP_GROUPS == 0)
			sweep(step);
	}
	if (!step->too_large)
	{
		foreach (cell, step->tails)
			leave_before(step, lfirst(cell), TICKS_MAX);
		sweep(step);
	}
	MemoryContextSwitchTo(old);
	end_scans(step);
}

/* The source of the rows for the materialised table. */
static void
produce(DestReceiver *receiver, void *arg)
{
	Step *step = arg;
	Operator *op = step->op;
	int ncolumns = list_length(op->window->inputs) + op->window->nfunctions;

	step->context = CurrentMemoryContext;
	(void) set_config_option("work_mem", SORT_MEM, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	step->group =
		AllocSetContextCreate(CurrentMemoryContext, "tidemark event time", ALLOCSET_DEFAULT_SIZES);
	step->values = palloc(ncolumns * sizeof(Datum));
	step->nulls = palloc(ncolumns * sizeof(bool));
	step->held_keys = palloc(HELD_ROWS * op->nframes * sizeof(OverKeyState *));
	step->output = over_output_begin(op->window, receiver);
	if (op->frontier != step->from || step->late)
		rebuild(step);
	if (!step->too_large)
		advance(step);
	else
		step->to = step->from;
	over_output_end(step->output);
}

/* ---- saving ------------------------------------------------------------------------------------- */

/*
 * Saving costs about as much as some rows for each key that changed; it is done when there have been as many rows. Until then
 * whoever reads the view reads those rows.
 */
static bool
saving_pays(const Operator *op)
{
	int64 changed = 0;

	if (list_length(op->tables) != op->nframes || op->unsaved_rows < 0)
		return false;
	for (int i = 0; i < op->nframes; i++)
		changed += over_keys_changed(op->keys[i]);
	return changed <= ALWAYS_SAVED || op->unsaved_rows >= changed * ROWS_PER_SAVED_KEY;
}

/* Writes the states at `to` to the view's tables, with the rights of its owner: indexes may call functions of his. */
static void
save_states(Operator *op, Ticks to)
{
	RoleSession session = role_begin(relation_owner(op->relid));
	bool saved = true;

	for (int i = 0; i < op->nframes && saved; i++)
		saved = over_state_save(list_nth(op->window->frames, i), list_nth_oid(op->tables, i),
								op->keys[i], &op->filenodes[i]);
	role_end(session);
	materialised_saved(op->relid, saved ? to : TICKS_MIN);
	/* one that is too large is so again soon */
	op->unsaved_rows = saved ? 0 : -TOO_LARGE_ROWS;
}

/* The view goes on by slices for a while. */
static void
set_too_large(Operator *op)
{
	MemoryContextDelete(op->states);
	op->states = NULL;
	op->window = NULL;
	op->why = "its windows' states need more memory than tidemark.work_mem allows";
	op->until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TOO_LARGE_MS);
	view_set_method(op->relid, over_window_view_method(NULL, true, op->why));
}

/*
 * The catalogue has moved on without the states. Where rows were inserted and nothing else, the keys that they
 * have are found; otherwise there is nothing to go on from.
 */
static void
catch_up(Step *step, const ContinuousView *view, const Shape *shape, Query *batch)
{
	Operator *op = step->op;
	Ticks *times;
	int n = -1;
	bool none;

	if (op->frontier == step->from)
		n = frontier_late_times(view->relid, GetActiveSnapshot(), &times);
	if (n > 0)
		step->late_keys =
			keys_at(batch, shape, relation_owner(view->relid), times, n, false, &none);
	step->late = step->late_keys != NIL && !none;
	if (step->late_keys == NIL)
		empty(op);
}

bool
over_operator_can(const ContinuousView *view, const Shape *shape, Query *batch)
{
	return operator_of_view(view, shape, batch)->window != NULL;
}

bool
over_operator_ready(const ContinuousView *view, const Frontier *frontier)
{
	const Operator *op = find_operator(view->relid);

	if (op == NULL || op->mat != view->mat)
		return frontier->frontier == TICKS_MIN;
	if (op->window == NULL)
		return false;
	return frontier->frontier == TICKS_MIN ||
		   (op->frontier == frontier->frontier && op->corrections == frontier->corrections);
}

void
over_operator_want(const ContinuousView *view, Ticks from, Ticks to, SharedSlices *slices)
{
	const OverWindow *window = find_operator(view->relid)->window;
	ListCell *cell;

	shared_slices_want(slices, over_window_input(window, NULL, NULL, NULL), from, to);
	foreach (cell, tails_of(window, false))
	{
		Tail *tail = lfirst(cell);

		shared_slices_want(slices, over_window_input(window, tail->columns, NULL, NULL),
						   ticks_minus(from, tail->length), ticks_minus(to, tail->length));
	}
}

void
over_operator_forget(Oid view)
{
	Operator *op = find_operator(view);

	if (op)
		discard(op);
}

bool
over_operator_append(const ContinuousView *view, const Shape *shape, Query *batch,
					 const Frontier *frontier, const SharedSlices *slices, Ticks *to, uint64 *rows)
{
	Operator *op = operator_of_view(view, shape, batch);
	Step *step;

	if (op->window == NULL)
	{
		if (frontier->saved != TICKS_MIN)
			materialised_saved(view->relid, TICKS_MIN);
		return false;
	}
	step = palloc0(sizeof(Step));
	step->op = op;
	step->from = frontier->frontier;
	step->to = *to;
	step->slices = slices;
	op->settled = false;
	if (op->frontier != step->from || op->corrections != frontier->corrections)
		catch_up(step, view, shape, batch);
	*rows = materialised_receive(view, produce, step);
	*to = step->to;
	op->frontier = step->to;
	op->corrections = frontier->corrections;
	op->unsaved_rows += step->rows;
	if (step->too_large)
		set_too_large(op);
	else if (saving_pays(op))
		save_states(op, step->to);
	return step->to > step->from;
}
