/*
 * over_operator.c: a view's windows computed incrementally, from step to step.
 *
 * Two scans walk the stream in event-time order. The head brings the rows that enter the windows, and for each the results; the
 * tail, one for each length L of window, those that leave them:
 *
 *           F - L          to - L                     F              to
 *   ──────────┤──── tail ────├────────────────────────┤──── head ────├──────▶ event time
 *                                  in the windows at `to`
 *
 * Between steps, the states of the keys' aggregates stay in the maintainer's memory; the rows themselves don't: the table
 * is the buffer. So a row costs the same whatever the window's length, and memory goes with the number of keys. Frames that are
 * counted in rows hold their rows (aggregate/counted_frame.c), and nothing leaves them here.
 *
 * Frames that end before or after the current row have a tail of their own for the rows that enter, which runs behind the head or before it. What
 * looks ahead is there to be read: the frontier stays so far behind the watermark.
 *
 * A row has its results when all of its peers have entered, which is later for one frame than for another: at once where rows are
 * counted; with the last row of this event time where the event time is all that ORDER BY has. So rows wait, in one stage
 * after the other, from the fewest peers to the most.
 *
 * Invariant: the states are what the stream's rows with event times in (F - L, F + end] make of them, in any snapshot in which the view has this
 * frontier F and this number of corrections. For rows that far change only together with a correction (view/correct.c), which
 * changes that number. Where the catalogue says otherwise, the states are thrown away and made anew from one slice; where it says that
 * rows were inserted and nothing else, those of the rows' keys only (view/keys.c).
 *
 * A step changes the states before its transaction commits. If that does not happen, they are thrown away: `settled` is set when it
 * has. Nothing survives the process, and nothing needs to: the next one begins with the states that were saved for readers
 * (over_state.c), and the rows that have entered and left since; or, where there are none, with a slice.
 */
#include "tidemark.h"

#include "access/xact.h"
#include "aggregate/peer_group.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
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

/* Rows that wait for their peers and are held in memory as they are; more are spilled. */
#define HELD_ROWS 1000
#define HELD_KB 8192

/* What a scan may sort in; more is sorted on disk. */
#define SORT_MEM "16MB"

/* Groups of equal event time after which keys without rows are forgotten, and rows after which memory is looked at. */
#define SWEEP_GROUPS 1000
#define MEASURE_ROWS 50000

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

	/* How it is computed; NULL: by slices, because ..., until (0: for good) */
	OverWindow *window;
	const char *why;
	TimestampTz until;

	MemoryContext states; /* of the keys */
	OverKeys **keys;	  /* one for each frame */
	int nframes;
	uint64 moment;	  /* counts the times at which results are taken, over all steps */
	int64 moved_rows; /* counts rows that entered, likewise */

	/* For saving the states: their tables, frame by frame, and the storage that rows were written to; NIL: they can't be saved. */
	List *tables;
	Oid *filenodes;
	int64 unsaved_rows; /* that moved since */
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
	bool has_windows;

	op->context = context;
	op->relid = view->relid;
	op->stream = view->stream;
	op->mat = view->mat;
	op->window = over_window_of_view(view->relid, batch, shape, &has_windows, &op->why);
	op->corrections = -1;
	op->saved_at = GetCurrentTimestamp();
	op->key_us = KEY_US;
	if (op->window)
	{
		op->states =
			AllocSetContextCreate(context, "tidemark over-window states", ALLOCSET_DEFAULT_SIZES);
		op->nframes = list_length(op->window->frames);
		op->keys = palloc0(sizeof(OverKeys *) * op->nframes);
		op->filenodes = palloc0(sizeof(Oid) * op->nframes);
		op->tables = over_state_tables(view->relid, shape);
	}
	MemoryContextSwitchTo(old);
	view_set_method(view->relid, over_window_view_method(batch, op->window, has_windows, op->why));
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

/* The rows that leave the frames of one length, or enter those that have one end, other than with the head. */
typedef struct Tail
{
	OverScan *scan;
	bool enters;
	int64 distance; /* behind the head */
	Bitmapset *frames;
	Bitmapset *columns; /* of the inputs */
} Tail;

/* The rows with event times in (after, to] that frames are to be filled with. */
typedef struct Filling
{
	Ticks after;
	Ticks to;
	Bitmapset *frames;
	Bitmapset *columns; /* of the inputs */
} Filling;

/* A row, with what is known of it so far. */
typedef struct Row
{
	TupleTableSlot *inputs; /* the first columns */
	OverKeyState **keys;	/* its key in each frame */
	Datum *results;			/* of each function */
	bool *nulls;
} Row;

/* Where rows wait for their peers: for those that are equal in event time and so many columns of the window's order. */
typedef struct Stage
{
	int order;
	Bitmapset *frames; /* that have their results then */
	int nheld;
	Row held[HELD_ROWS];
	Tuplestorestate *spilled; /* further ones, as over_window_source describes them; NULL: none */

	/* The columns of that order in the newest row. */
	AttrNumber *columns;
	NullableDatum *values;
	PeerType type;
	PeerGroup peers;
} Stage;

typedef struct Step
{
	Operator *op;
	Ticks from; /* the frontier */
	Ticks to;
	const SharedSlices *slices; /* that other views read too; NULL: none */
	bool
		late; /* rows came late since the last step: the states of these keys have to be made anew */
	List *late_keys;
	Ticks
		saved; /* the operator has no states, but there are saved ones for that event time; TICKS_MIN: none */
	bool silent;	/* rows give no results: the view has them */
	bool too_large; /* it ends at `to`, which is less far than was asked for */

	MemoryContext context;
	MemoryContext group; /* reset after each event time; the current one while rows move */
	int64 rows;
	OverScan *head;
	List *tails;
	OverOutput *output;
	int ninputs;
	int nfunctions;
	Datum *values; /* of a row of the output */
	bool *nulls;

	Row row;				   /* the one that enters */
	Bitmapset *frames_by_head; /* that the row itself enters */
	Bitmapset *frames_by_row;  /* that have results for each row */
	int nstages;
	Stage **stages; /* from the fewest peers to the most */
} Step;

/* What scans have to read to bring rows of equal event time in the order of the windows. */
static Bitmapset *
order_columns(const OverWindow *window)
{
	Bitmapset *columns = NULL;
	ListCell *cell;

	foreach (cell, window->order)
		columns = bms_add_member(columns, ((OverOrder *) lfirst(cell))->column);
	return columns;
}

static void
add_to_tail(List **tails, bool enters, int64 distance, const OverFrame *frame, int number)
{
	Tail *tail = NULL;
	ListCell *cell;

	foreach (cell, *tails)
	{
		Tail *other = lfirst(cell);

		if (other->enters == enters && other->distance == distance)
			tail = other;
	}
	if (tail == NULL)
	{
		tail = palloc0(sizeof(Tail));
		tail->enters = enters;
		tail->distance = distance;
		*tails = lappend(*tails, tail);
	}
	tail->frames = bms_add_member(tail->frames, number);
	tail->columns = bms_add_members(tail->columns, frame->columns);
}

/* Those that bring rows come first: a row has to have entered before it leaves. */
static List *
tails_of(const OverWindow *window)
{
	List *tails = NIL;
	ListCell *cell;

	foreach (cell, window->frames)
	{
		OverFrame *frame = lfirst(cell);

		if (frame->end != 0)
			add_to_tail(&tails, true, -frame->end, frame, foreach_current_index(cell));
	}
	foreach (cell, window->frames)
	{
		OverFrame *frame = lfirst(cell);

		if (!frame->unbounded)
			add_to_tail(&tails, false, frame->length, frame, foreach_current_index(cell));
	}
	return tails;
}

/* Of the frames at this time, grouped by what they are to be filled with. */
static List *
fillings_at(const OverWindow *window, Ticks time)
{
	List *fillings = NIL;
	ListCell *cell;

	foreach (cell, window->frames)
	{
		OverFrame *frame = lfirst(cell);
		Ticks after = frame->unbounded ? TICKS_MIN : ticks_minus(time, frame->length);
		Ticks to = ticks_plus(time, frame->end);
		Filling *filling = NULL;
		ListCell *other;

		foreach (other, fillings)
			if (((Filling *) lfirst(other))->after == after &&
				((Filling *) lfirst(other))->to == to)
				filling = lfirst(other);
		if (filling == NULL)
		{
			filling = palloc0(sizeof(Filling));
			filling->after = after;
			filling->to = to;
			filling->columns = order_columns(window);
			fillings = lappend(fillings, filling);
		}
		filling->frames = bms_add_member(filling->frames, foreach_current_index(cell));
		filling->columns = bms_add_members(filling->columns, frame->columns);
	}
	return fillings;
}

/*
 * The inputs with event times in (after, to], of these keys (of keys.h; NIL: all), in the slice that views share, if there is one;
 * ordered: those of equal event time, too.
 */
static OverScan *
scan_inputs(const Step *step, const Bitmapset *columns, Ticks after, Ticks to, const List *keys,
			bool ordered)
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
			return over_scan_begin(window, input, ordered, slice);
	}
	input =
		over_window_input(window, columns, slice_after(type, after), slice_time_constant(type, to));
	keys_restrict(input, keys);
	return over_scan_begin(window, input, ordered, NULL);
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

static void
refill(Step *step, const Filling *filling)
{
	OverScan *scan =
		scan_inputs(step, filling->columns, filling->after, filling->to, step->late_keys, true);
	MemoryContext old = MemoryContextSwitchTo(step->group);

	for (; scan->row && !step->too_large; over_scan_next(scan))
	{
		int i = -1;

		count_row(step);
		while ((i = bms_next_member(filling->frames, i)) >= 0)
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
	foreach (cell, fillings_at(window, step->from))
		refill(step, lfirst(cell));
}

/* The current row of the tail enters or leaves its frames. */
static void
pass_tail(Step *step, const Tail *tail)
{
	int i = -1;

	while ((i = bms_next_member(tail->frames, i)) >= 0)
	{
		OverKeys *keys = step->op->keys[i];

		if (tail->enters)
			over_keys_enter(keys, over_keys_find(keys, tail->scan->row), tail->scan->row);
		else
			over_keys_leave(keys, tail->scan->row);
	}
}

static void
move_until(Step *step, Tail *tail, Ticks before)
{
	while (tail->scan->row && tail->scan->time < before)
	{
		pass_tail(step, tail);
		MemoryContextReset(step->group);
		over_scan_next(tail->scan);
	}
}

/* The head is at that event time: rows before its frames have left them, rows that lie in them have entered. */
static void
move_tails(Step *step, Ticks time)
{
	ListCell *cell;

	foreach (cell, step->tails)
	{
		Tail *tail = lfirst(cell);
		Ticks at = ticks_minus(time, tail->distance);

		move_until(step, tail, tail->enters ? ticks_plus(at, 1) : at);
	}
}

/* The head is at the end of the step. */
static void
move_tails_to_end(Step *step)
{
	ListCell *cell;

	foreach (cell, step->tails)
		move_until(step, lfirst(cell), TICKS_MAX);
}

/* ---- rows that wait for their peers ------------------------------------------------------------------- */

static void
make_row(Step *step, Row *row)
{
	MemoryContext old = MemoryContextSwitchTo(step->context);

	row->inputs = NULL;
	row->keys = palloc0(sizeof(OverKeyState *) * step->op->nframes);
	row->results = palloc0(sizeof(Datum) * step->nfunctions);
	row->nulls = palloc0(sizeof(bool) * step->nfunctions);
	MemoryContextSwitchTo(old);
}

/* A place for a row that is held. */
static void
make_held(Step *step, Row *row, TupleDesc columns)
{
	MemoryContext old = MemoryContextSwitchTo(step->context);

	make_row(step, row);
	row->inputs = MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);
	MemoryContextSwitchTo(old);
}

/* The row's inputs and results, in step->values and step->nulls. */
static void
set_values(Step *step, const Row *row)
{
	slot_getallattrs(row->inputs);
	memcpy(step->values, row->inputs->tts_values, step->ninputs * sizeof(Datum));
	memcpy(step->nulls, row->inputs->tts_isnull, step->ninputs * sizeof(bool));
	memcpy(step->values + step->ninputs, row->results, step->nfunctions * sizeof(Datum));
	memcpy(step->nulls + step->ninputs, row->nulls, step->nfunctions * sizeof(bool));
}

static void
hold_row(Step *step, Stage *stage, const Row *row)
{
	Row *held;

	if (stage->nheld == HELD_ROWS)
	{
		if (stage->spilled == NULL)
			stage->spilled = tuplestore_begin_heap(false, false, HELD_KB);
		set_values(step, row);
		tuplestore_putvalues(stage->spilled, over_output_columns(step->output), step->values,
							 step->nulls);
		return;
	}
	held = &stage->held[stage->nheld++];
	if (held->inputs == NULL)
		make_held(step, held, row->inputs->tts_tupleDescriptor);
	ExecCopySlot(held->inputs, row->inputs);
	memcpy(held->keys, row->keys, step->op->nframes * sizeof(OverKeyState *));
	memcpy(held->results, row->results, step->nfunctions * sizeof(Datum));
	memcpy(held->nulls, row->nulls, step->nfunctions * sizeof(bool));
}

/* The row goes to that stage; behind the last one, it is put out. */
static void
pass_row(Step *step, int stage, const Row *row)
{
	if (stage < step->nstages)
	{
		hold_row(step, step->stages[stage], row);
		return;
	}
	if (step->silent)
		return;
	set_values(step, row);
	over_output_put(step->output, step->values, step->nulls);
}

/* The results of frames whose rows have all come, as far as this row is concerned. */
static void
add_results(Step *step, const Bitmapset *frames, Row *row)
{
	int i = -1;

	while ((i = bms_next_member(frames, i)) >= 0)
		over_keys_results(step->op->keys[i], row->keys[i], step->op->moment, row->results,
						  row->nulls);
}

static void
end_held_rows(Step *step, int number)
{
	Stage *stage = step->stages[number];

	for (int i = 0; i < stage->nheld; i++)
	{
		add_results(step, stage->frames, &stage->held[i]);
		pass_row(step, number + 1, &stage->held[i]);
	}
	stage->nheld = 0;
}

/* What was spilled has lost its keys. */
static void
end_spilled_rows(Step *step, int number)
{
	Stage *stage = step->stages[number];
	TupleTableSlot *slot =
		MakeSingleTupleTableSlot(over_output_columns(step->output), &TTSOpsMinimalTuple);
	Row row;

	make_row(step, &row);
	row.inputs = slot;
	while (tuplestore_gettupleslot(stage->spilled, true, false, slot))
	{
		slot_getallattrs(slot);
		memcpy(row.results, slot->tts_values + step->ninputs, step->nfunctions * sizeof(Datum));
		memcpy(row.nulls, slot->tts_isnull + step->ninputs, step->nfunctions * sizeof(bool));
		for (int i = 0; i < step->op->nframes; i++)
			row.keys[i] = over_keys_find(step->op->keys[i], slot);
		add_results(step, stage->frames, &row);
		pass_row(step, number + 1, &row);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(stage->spilled);
	stage->spilled = NULL;
}

/* All peers of the rows that wait there have come. */
static void
end_peers(Step *step, int number)
{
	step->op->moment++;
	end_held_rows(step, number);
	if (step->stages[number]->spilled)
		end_spilled_rows(step, number);
}

/* Is the row no peer of those that wait at the stage? */
static bool
begins_peers(Step *step, Stage *stage, TupleTableSlot *row)
{
	if (stage->order == 0)
		return false; /* within an event time */
	for (int i = 0; i < stage->order; i++)
		stage->values[i].value = slot_getattr(row, stage->columns[i], &stage->values[i].isnull);
	return peer_group_begins(&stage->peers, &stage->type, stage->values, step->context);
}

static Stage *
make_stage(const OverWindow *window, int order)
{
	Stage *stage = palloc0(sizeof(Stage));
	Oid *types = palloc(sizeof(Oid) * (order + 1));

	stage->order = order;
	stage->columns = palloc(sizeof(AttrNumber) * (order + 1));
	stage->values = palloc(sizeof(NullableDatum) * (order + 1));
	for (int i = 0; i < order; i++)
	{
		OverOrder *column = list_nth(window->order, i);

		stage->columns[i] = column->column;
		types[i] = column->type;
	}
	peer_type_init(&stage->type, order, types);
	return stage;
}

/* One for each number of columns that some frame's peers are equal in. */
static void
make_stages(Step *step)
{
	OverWindow *window = step->op->window;

	ListCell *cell;

	foreach (cell, window->frames)
	{
		OverFrame *frame = lfirst(cell);
		int number = foreach_current_index(cell);

		if (frame->by_row)
			step->frames_by_row = bms_add_member(step->frames_by_row, number);
		if (frame->end == 0)
			step->frames_by_head = bms_add_member(step->frames_by_head, number);
	}
	step->stages = palloc(sizeof(Stage *) * (list_length(window->order) + 1));
	for (int order = list_length(window->order); order >= 0; order--)
	{
		Bitmapset *frames = NULL;

		foreach (cell, window->frames)
		{
			OverFrame *frame = lfirst(cell);

			if (!frame->by_row && frame->order == order)
				frames = bms_add_member(frames, foreach_current_index(cell));
		}
		if (frames == NULL)
			continue;
		step->stages[step->nstages] = make_stage(window, order);
		step->stages[step->nstages++]->frames = frames;
	}
}

/* ---- rows that enter ---------------------------------------------------------------------------------- */

/* The current row of the head enters the windows, and has its results where they are its own. */
static void
enter_row(Step *step)
{
	Row *row = &step->row;

	for (int i = 0; i < step->nstages; i++)
		if (begins_peers(step, step->stages[i], step->head->row))
			end_peers(step, i);
	row->inputs = step->head->row;
	memset(row->nulls, true, step->nfunctions * sizeof(bool));
	for (int i = 0; i < step->op->nframes; i++)
	{
		OverKeys *keys = step->op->keys[i];

		row->keys[i] = over_keys_find(keys, row->inputs);
		if (bms_is_member(i, step->frames_by_head))
			over_keys_enter(keys, row->keys[i], row->inputs);
	}
	step->op->moment++;
	add_results(step, step->frames_by_row, row);
	pass_row(step, 0, row);
	if (step->nstages == 0)
		MemoryContextReset(step->group);
}

/* All rows of the head's current event time. */
static void
advance_group(Step *step)
{
	Ticks time = step->head->time;

	move_tails(step, time);
	for (; step->head->row && step->head->time == time; over_scan_next(step->head))
	{
		enter_row(step);
		count_row(step);
	}
	for (int i = 0; i < step->nstages; i++)
		end_peers(step, i);
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

	step->head = scan_inputs(step, NULL, step->from, step->to, NIL, true);
	step->tails = tails_of(step->op->window);
	foreach (cell, step->tails)
	{
		Tail *tail = lfirst(cell);

		tail->scan = scan_inputs(step, tail->columns, ticks_minus(step->from, tail->distance),
								 ticks_minus(step->to, tail->distance), NIL, false);
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
	int64 groups = 0;

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
		if (++groups % SWEEP_GROUPS == 0)
			sweep(step);
	}
	if (!step->too_large)
	{
		move_tails_to_end(step);
		sweep(step);
	}
	MemoryContextSwitchTo(old);
	end_scans(step);
}

/* Takes in the states as they were saved, and brings them to the frontier. */
static void
restore(Step *step)
{
	Operator *op = step->op;
	const SharedSlices *slices = step->slices;
	Ticks from = step->from;
	Ticks to = step->to;

	for (int i = 0; i < op->nframes; i++)
		over_state_load(list_nth(op->window->frames, i), list_nth_oid(op->tables, i), op->keys[i],
						&op->filenodes[i]);
	ereport(DEBUG1, (errmsg_internal(
						"windows of \"%s\" go on from saved states, %lld ticks before its frontier",
						get_rel_name(op->relid), (long long) (from - step->saved))));
	if (step->saved == from)
		return;
	step->slices = NULL;
	step->from = step->saved;
	step->to = from;
	step->silent = true;
	advance(step);
	step->silent = false;
	step->slices = slices;
	step->from = from;
	step->to = to;
	/* places for rows are of the head's row type, which is gone with it */
	for (int i = 0; i < step->nstages; i++)
		memset(step->stages[i]->held, 0, sizeof(step->stages[i]->held));
}

/* The source of the rows for the materialised table. */
static void
produce(DestReceiver *receiver, void *arg)
{
	Step *step = arg;
	Operator *op = step->op;

	step->ninputs = list_length(op->window->inputs);
	step->nfunctions = op->window->nfunctions;
	step->context = CurrentMemoryContext;
	(void) set_config_option("work_mem", SORT_MEM, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	step->group =
		AllocSetContextCreate(CurrentMemoryContext, "tidemark event time", ALLOCSET_DEFAULT_SIZES);
	step->values = palloc((step->ninputs + step->nfunctions) * sizeof(Datum));
	step->nulls = palloc((step->ninputs + step->nfunctions) * sizeof(bool));
	make_row(step, &step->row);
	make_stages(step);
	step->output = over_output_begin(op->window, receiver);
	if (step->saved != TICKS_MIN)
		restore(step);
	else if (op->frontier != step->from || step->late)
		rebuild(step);
	if (!step->too_large)
		advance(step);
	else
		step->to = step->from;
	over_output_end(step->output);
}

/* ---- saving ------------------------------------------------------------------------------------- */

/* Keys whose states have changed since they were saved. */
static int64
changed_keys(const Operator *op)
{
	int64 changed = 0;

	for (int i = 0; i < op->nframes; i++)
		changed += over_keys_changed(op->keys[i]);
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

	if (list_length(op->tables) != op->nframes || op->unsaved_rows < 0)
		return false;
	for (int i = 0; i < op->nframes; i++)
		bytes += over_keys_unsaved_bytes(op->keys[i]);
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
	RoleSession session = role_begin(relation_owner(op->relid));
	TimestampTz begin = GetCurrentTimestamp();
	int64 changed = changed_keys(op);
	bool saved = true;

	for (int i = 0; i < op->nframes && saved; i++)
		saved = over_state_save(list_nth(op->window->frames, i), list_nth_oid(op->tables, i),
								op->keys[i], &op->filenodes[i]);
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

		if (op->stream == stream && op->window && op->unsaved_rows > 0 &&
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
	MemoryContextDelete(op->states);
	op->states = NULL;
	op->window = NULL;
	op->why = "its windows' states need more memory than tidemark.work_mem allows";
	op->until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TOO_LARGE_MS);
	view_set_method(op->relid, over_window_view_method(NULL, NULL, true, op->why));
}

/*
 * The catalogue has moved on without the states. Where rows were inserted and nothing else, the keys that they
 * have are found; otherwise there is nothing to go on from but what was saved since.
 */
static void
catch_up(Step *step, const ContinuousView *view, const Shape *shape, Query *batch,
		 const Frontier *frontier)
{
	Operator *op = step->op;
	Ticks *times;
	int n = -1;
	bool none;

	if (op->corrections >= 0 && op->frontier == step->from)
		n = frontier_late_times(view->relid, GetActiveSnapshot(), &times);
	if (n == 0)
		return; /* what was written changed nothing */
	if (n > 0)
		step->late_keys =
			keys_at(batch, shape, relation_owner(view->relid), times, n, false, &none);
	step->late = step->late_keys != NIL && !none;
	if (step->late_keys != NIL)
		return;
	empty(op);
	if (frontier->mat == view->mat && list_length(op->tables) == op->nframes)
		step->saved = frontier->saved;
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
	foreach (cell, tails_of(window))
	{
		Tail *tail = lfirst(cell);

		shared_slices_want(slices, over_window_input(window, tail->columns, NULL, NULL),
						   ticks_minus(from, tail->distance), ticks_minus(to, tail->distance));
	}
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
	step->saved = TICKS_MIN;
	step->slices = slices;
	op->settled = false;
	if (op->frontier != step->from || op->corrections != frontier->corrections)
		catch_up(step, view, shape, batch, frontier);
	*rows = materialised_receive(view, produce, step);
	*to = step->to;
	op->frontier = step->to;
	op->corrections = frontier->corrections;
	op->unsaved_rows += step->rows;
	if (step->too_large)
		set_too_large(op);
	else if (saving_pays(op, PAUSE_MOVING))
		save_states(op, step->to);
	return step->to > step->from;
}
