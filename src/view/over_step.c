/*
 * over_step.c: the states of a view's windows, from one event time to another, and the rows that come of it.
 *
 * Two scans walk the stream in event-time order. The head brings the rows that enter the windows, and for each the results; the
 * tail, one for each length L of window, those that leave them:
 *
 *           F - L          to - L                     F              to
 *   ──────────┤──── tail ────├────────────────────────┤──── head ────├──────▶ event time
 *                                  in the windows at `to`
 *
 * The rows themselves aren't kept: the table is the buffer. So a row costs the same whatever the window's length. Frames that are
 * counted in rows hold their rows (aggregate/counted_frame.c), and nothing leaves them here.
 *
 * Frames that end before or after the current row have a tail of their own for the rows that enter, which runs behind the head or before it. What
 * looks ahead is there to be read: the frontier stays so far behind the watermark.
 *
 * Where there are no states to begin with, they are made of those that were saved for readers (over_state.c), and the rows that have entered
 * and left since; or of one slice.
 */
#include "tidemark.h"

#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "view/keys.h"
#include "view/over_scan.h"
#include "view/over_stages.h"
#include "view/over_state.h"
#include "view/over_step.h"
#include "view/slice.h"

/* What a scan may sort in; more is sorted on disk. */
#define SORT_MEM "16MB"

/* Groups of equal event time after which keys without rows are forgotten, and rows after which memory is looked at. */
#define SWEEP_GROUPS 1000
#define MEASURE_ROWS 50000

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

/* A step while it goes on. */
typedef struct Run
{
	OverStep *step;
	OverStates *states;
	Ticks from; /* of the part that goes on now */
	Ticks to;
	const SharedSlices *slices;
	MemoryContext group; /* reset after each event time; the current one while rows move */
	OverScan *head;
	List *tails;
	OverStages *stages;
	Bitmapset *frames_by_head; /* that the row itself enters */
} Run;

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
scan_inputs(const Run *run, const Bitmapset *columns, Ticks after, Ticks to, const List *keys,
			bool ordered)
{
	const OverWindow *window = run->states->window;
	Oid type = window->stream.time_type;
	Query *input;

	if (run->slices && keys == NIL)
	{
		QueryEnvironment *slice;

		input = over_window_input(window, columns, NULL, NULL);
		slice = shared_slices_use(run->slices, input, after, to);
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
count_row(Run *run)
{
	run->step->rows++;
	if (++run->states->moved_rows % MEASURE_ROWS == 0 &&
		MemoryContextMemAllocated(run->states->context, true) > (Size) tidemark_work_mem * 1024)
		run->step->too_large = true;
}

static void
refill(Run *run, const Filling *filling)
{
	OverScan *scan =
		scan_inputs(run, filling->columns, filling->after, filling->to, run->step->keys, true);
	MemoryContext old = MemoryContextSwitchTo(run->group);

	for (; scan->row && !run->step->too_large; over_scan_next(scan))
	{
		int i = -1;

		count_row(run);
		while ((i = bms_next_member(filling->frames, i)) >= 0)
			over_keys_refill(run->states->keys[i], scan->row);
		MemoryContextReset(run->group);
	}
	MemoryContextSwitchTo(old);
	over_scan_end(scan);
}

/* Makes the states at run->from anew: of the keys of late rows, or of all. */
static void
rebuild(Run *run)
{
	OverWindow *window = run->states->window;
	ListCell *cell;

	for (int i = 0; i < run->states->nframes; i++)
		over_keys_begin_refill(run->states->keys[i]);
	foreach (cell, fillings_at(window, run->from))
		refill(run, lfirst(cell));
}

/* ---- rows that leave, or enter elsewhere than the head ------------------------------------------------- */

/* The current row of the tail enters or leaves its frames. */
static void
pass_tail(Run *run, const Tail *tail)
{
	int i = -1;

	while ((i = bms_next_member(tail->frames, i)) >= 0)
	{
		OverKeys *keys = run->states->keys[i];

		if (tail->enters)
			over_keys_enter(keys, over_keys_find(keys, tail->scan->row), tail->scan->row);
		else
			over_keys_leave(keys, tail->scan->row);
	}
}

static void
move_until(Run *run, Tail *tail, Ticks before)
{
	while (tail->scan->row && tail->scan->time < before)
	{
		pass_tail(run, tail);
		MemoryContextReset(run->group);
		over_scan_next(tail->scan);
	}
}

/* The head is at that event time: rows before its frames have left them, rows that lie in them have entered. */
static void
move_tails(Run *run, Ticks time)
{
	ListCell *cell;

	foreach (cell, run->tails)
	{
		Tail *tail = lfirst(cell);
		Ticks at = ticks_minus(time, tail->distance);

		move_until(run, tail, tail->enters ? ticks_plus(at, 1) : at);
	}
}

/* The head is at the end of the step. */
static void
move_tails_to_end(Run *run)
{
	ListCell *cell;

	foreach (cell, run->tails)
		move_until(run, lfirst(cell), TICKS_MAX);
}

/* ---- rows that enter with the head ---------------------------------------------------------------------- */

/* The current row of the head enters the windows, and has its results where they are its own. */
static void
enter_row(Run *run)
{
	OverRow *row = over_stages_next_row(run->stages, run->head->row);

	for (int i = 0; i < run->states->nframes; i++)
	{
		OverKeys *keys = run->states->keys[i];

		row->keys[i] = over_keys_find(keys, row->inputs);
		if (bms_is_member(i, run->frames_by_head))
			over_keys_enter(keys, row->keys[i], row->inputs);
	}
	over_stages_pass(run->stages, row);
	if (!over_stages_wait(run->stages))
		MemoryContextReset(run->group);
}

/* All rows of the head's current event time. */
static void
advance_group(Run *run)
{
	Ticks time = run->head->time;

	move_tails(run, time);
	for (; run->head->row && run->head->time == time; over_scan_next(run->head))
	{
		enter_row(run);
		count_row(run);
	}
	over_stages_end_time(run->stages);
	MemoryContextReset(run->group);
}

static void
sweep(Run *run)
{
	for (int i = 0; i < run->states->nframes; i++)
		over_keys_sweep(run->states->keys[i]);
}

static void
begin_scans(Run *run)
{
	ListCell *cell;

	run->head = scan_inputs(run, NULL, run->from, run->to, NIL, true);
	run->tails = tails_of(run->states->window);
	foreach (cell, run->tails)
	{
		Tail *tail = lfirst(cell);

		tail->scan = scan_inputs(run, tail->columns, ticks_minus(run->from, tail->distance),
								 ticks_minus(run->to, tail->distance), NIL, false);
	}
}

static void
end_scans(Run *run)
{
	ListCell *cell;

	over_scan_end(run->head);
	foreach (cell, run->tails)
		over_scan_end(((Tail *) lfirst(cell))->scan);
}

/* From the states at run->from to those at run->to. */
static void
advance(Run *run)
{
	MemoryContext old;
	int64 groups = 0;

	begin_scans(run);
	old = MemoryContextSwitchTo(run->group);
	while (run->head->row)
	{
		Ticks time = run->head->time;

		advance_group(run);
		if (run->step->too_large)
		{
			run->to = time;
			break;
		}
		if (++groups % SWEEP_GROUPS == 0)
			sweep(run);
	}
	if (!run->step->too_large)
	{
		move_tails_to_end(run);
		sweep(run);
	}
	MemoryContextSwitchTo(old);
	end_scans(run);
}

/* ---- the step ----------------------------------------------------------------------------------------- */

/* Takes in the states as they were saved, and brings them to where the step begins: of those rows, the view has the results. */
static void
restore(Run *run)
{
	OverStates *states = run->states;
	const OverStep *step = run->step;

	for (int i = 0; i < states->nframes; i++)
		over_state_load(list_nth(states->window->frames, i), list_nth_oid(states->tables, i),
						states->keys[i], &states->filenodes[i]);
	ereport(DEBUG1, (errmsg_internal(
						"windows of \"%s\" go on from saved states, %lld ticks before its frontier",
						get_rel_name(states->view), (long long) (step->from - step->saved))));
	if (step->saved == step->from)
		return;
	run->slices = NULL;
	run->from = step->saved;
	run->to = step->from;
	over_stages_set_silent(run->stages, true);
	advance(run);
	over_stages_set_silent(run->stages, false);
}

static Bitmapset *
frames_by_head(const OverWindow *window)
{
	Bitmapset *frames = NULL;
	ListCell *cell;

	foreach (cell, window->frames)
		if (((OverFrame *) lfirst(cell))->end == 0)
			frames = bms_add_member(frames, foreach_current_index(cell));
	return frames;
}

void
over_step_produce(DestReceiver *receiver, void *arg)
{
	OverStep *step = arg;
	OverStates *states = step->states;
	OverOutput *output;
	Run run = {.step = step, .states = states, .from = step->from, .slices = step->slices};

	(void) set_config_option("work_mem", SORT_MEM, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	run.group =
		AllocSetContextCreate(CurrentMemoryContext, "tidemark event time", ALLOCSET_DEFAULT_SIZES);
	run.frames_by_head = frames_by_head(states->window);
	output = over_output_begin(states->window, receiver);
	run.stages = over_stages_create(states, output);
	if (step->start == OVER_START_SAVED)
		restore(&run);
	else if (step->start == OVER_START_REBUILT)
		rebuild(&run);
	run.from = run.to = step->from;
	if (!step->too_large)
	{
		run.to = step->to;
		run.slices = step->slices;
		advance(&run);
	}
	step->to = run.to;
	over_output_end(output);
}

void
over_step_want(const OverWindow *window, Ticks from, Ticks to, SharedSlices *slices)
{
	ListCell *cell;

	shared_slices_want(slices, over_window_input(window, NULL, NULL, NULL), from, to);
	foreach (cell, tails_of(window))
	{
		Tail *tail = lfirst(cell);

		shared_slices_want(slices, over_window_input(window, tail->columns, NULL, NULL),
						   ticks_minus(from, tail->distance), ticks_minus(to, tail->distance));
	}
}
