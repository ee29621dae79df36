/*
 * over_stages.c: rows of a step that wait for the last of their peers.
 *
 * A row has its results when all of its peers have entered, which is later for one frame than for another: at once where rows are
 * counted; with the last row of this event time where the event time is all that ORDER BY has. So rows wait, in one stage
 * after the other, from the fewest peers to the most; behind the last stage they are put out. What waits is held in memory; many peers
 * are spilled.
 */
#include "tidemark.h"

#include "aggregate/peer_group.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"
#include "view/over_stages.h"

/* Rows that wait for their peers and are held in memory as they are; more are spilled. */
#define HELD_ROWS 1000
#define HELD_KB 8192

/* Where rows wait for their peers: for those that are equal in event time and so many columns of the window's order. */
typedef struct Stage
{
	int order;
	Bitmapset *frames; /* that have their results then */
	int nheld;
	OverRow held[HELD_ROWS];
	Tuplestorestate *spilled; /* further ones, as rows of the output; NULL: none */

	/* The columns of that order in the newest row. */
	AttrNumber *columns;
	NullableDatum *values;
	PeerType type;
	PeerGroup peers;
} Stage;

struct OverStages
{
	OverStates *states;
	OverOutput *output;
	bool silent;
	MemoryContext context;
	int ninputs;
	int nfunctions;
	Datum *values; /* of a row of the output */
	bool *nulls;

	OverRow row;			  /* the one that enters */
	Bitmapset *frames_by_row; /* that have results for each row */
	int nstages;
	Stage **stages; /* from the fewest peers to the most */
};

static void
make_row(OverStages *stages, OverRow *row)
{
	MemoryContext old = MemoryContextSwitchTo(stages->context);

	row->inputs = NULL;
	row->keys = palloc0(sizeof(OverKeyState *) * stages->states->nframes);
	row->results = palloc0(sizeof(Datum) * stages->nfunctions);
	row->nulls = palloc0(sizeof(bool) * stages->nfunctions);
	MemoryContextSwitchTo(old);
}

/* A place for a row that is held. */
static void
make_held(OverStages *stages, OverRow *row, TupleDesc columns)
{
	MemoryContext old = MemoryContextSwitchTo(stages->context);

	make_row(stages, row);
	row->inputs = MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);
	MemoryContextSwitchTo(old);
}

/* The row's inputs and results, in stages->values and stages->nulls. */
static void
set_values(OverStages *stages, const OverRow *row)
{
	slot_getallattrs(row->inputs);
	memcpy(stages->values, row->inputs->tts_values, stages->ninputs * sizeof(Datum));
	memcpy(stages->nulls, row->inputs->tts_isnull, stages->ninputs * sizeof(bool));
	memcpy(stages->values + stages->ninputs, row->results, stages->nfunctions * sizeof(Datum));
	memcpy(stages->nulls + stages->ninputs, row->nulls, stages->nfunctions * sizeof(bool));
}

static void
hold_row(OverStages *stages, Stage *stage, const OverRow *row)
{
	OverRow *held;

	if (stage->nheld == HELD_ROWS)
	{
		if (stage->spilled == NULL)
			stage->spilled = tuplestore_begin_heap(false, false, HELD_KB);
		set_values(stages, row);
		tuplestore_putvalues(stage->spilled, over_output_columns(stages->output), stages->values,
							 stages->nulls);
		return;
	}
	held = &stage->held[stage->nheld++];
	if (held->inputs == NULL)
		make_held(stages, held, row->inputs->tts_tupleDescriptor);
	ExecCopySlot(held->inputs, row->inputs);
	memcpy(held->keys, row->keys, stages->states->nframes * sizeof(OverKeyState *));
	memcpy(held->results, row->results, stages->nfunctions * sizeof(Datum));
	memcpy(held->nulls, row->nulls, stages->nfunctions * sizeof(bool));
}

/* The row goes to that stage; behind the last one, it is put out. */
static void
pass_row(OverStages *stages, int stage, const OverRow *row)
{
	if (stage < stages->nstages)
	{
		hold_row(stages, stages->stages[stage], row);
		return;
	}
	if (stages->silent)
		return;
	set_values(stages, row);
	over_output_put(stages->output, stages->values, stages->nulls);
}

/* The results of frames whose rows have all come, as far as this row is concerned. */
static void
add_results(OverStages *stages, const Bitmapset *frames, OverRow *row)
{
	int i = -1;

	while ((i = bms_next_member(frames, i)) >= 0)
		over_keys_results(stages->states->keys[i], row->keys[i], stages->states->moment,
						  row->results, row->nulls);
}

static void
end_held_rows(OverStages *stages, int number)
{
	Stage *stage = stages->stages[number];

	for (int i = 0; i < stage->nheld; i++)
	{
		add_results(stages, stage->frames, &stage->held[i]);
		pass_row(stages, number + 1, &stage->held[i]);
	}
	stage->nheld = 0;
}

/* What was spilled has lost its keys. */
static void
end_spilled_rows(OverStages *stages, int number)
{
	Stage *stage = stages->stages[number];
	TupleTableSlot *slot =
		MakeSingleTupleTableSlot(over_output_columns(stages->output), &TTSOpsMinimalTuple);
	OverRow row;

	make_row(stages, &row);
	row.inputs = slot;
	while (tuplestore_gettupleslot(stage->spilled, true, false, slot))
	{
		slot_getallattrs(slot);
		memcpy(row.results, slot->tts_values + stages->ninputs, stages->nfunctions * sizeof(Datum));
		memcpy(row.nulls, slot->tts_isnull + stages->ninputs, stages->nfunctions * sizeof(bool));
		for (int i = 0; i < stages->states->nframes; i++)
			row.keys[i] = over_keys_find(stages->states->keys[i], slot);
		add_results(stages, stage->frames, &row);
		pass_row(stages, number + 1, &row);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(stage->spilled);
	stage->spilled = NULL;
}

/* All peers of the rows that wait there have come. */
static void
end_peers(OverStages *stages, int number)
{
	stages->states->moment++;
	end_held_rows(stages, number);
	if (stages->stages[number]->spilled)
		end_spilled_rows(stages, number);
}

/* Is the row no peer of those that wait at the stage? */
static bool
begins_peers(OverStages *stages, Stage *stage, TupleTableSlot *row)
{
	if (stage->order == 0)
		return false; /* within an event time */
	for (int i = 0; i < stage->order; i++)
		stage->values[i].value = slot_getattr(row, stage->columns[i], &stage->values[i].isnull);
	return peer_group_begins(&stage->peers, &stage->type, stage->values, stages->context);
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
make_stages(OverStages *stages)
{
	OverWindow *window = stages->states->window;
	ListCell *cell;

	foreach (cell, window->frames)
	{
		OverFrame *frame = lfirst(cell);
		int number = foreach_current_index(cell);

		if (frame->by_row)
			stages->frames_by_row = bms_add_member(stages->frames_by_row, number);
	}
	stages->stages = palloc(sizeof(Stage *) * (list_length(window->order) + 1));
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
		stages->stages[stages->nstages] = make_stage(window, order);
		stages->stages[stages->nstages++]->frames = frames;
	}
}

OverStages *
over_stages_create(OverStates *states, OverOutput *output)
{
	OverStages *stages = palloc0(sizeof(OverStages));

	stages->states = states;
	stages->output = output;
	stages->context = CurrentMemoryContext;
	stages->ninputs = list_length(states->window->inputs);
	stages->nfunctions = states->window->nfunctions;
	stages->values = palloc((stages->ninputs + stages->nfunctions) * sizeof(Datum));
	stages->nulls = palloc((stages->ninputs + stages->nfunctions) * sizeof(bool));
	make_row(stages, &stages->row);
	make_stages(stages);
	return stages;
}

void
over_stages_set_silent(OverStages *stages, bool silent)
{
	stages->silent = silent;
	/* places for rows are of the row type of what has come */
	for (int i = 0; i < stages->nstages; i++)
		memset(stages->stages[i]->held, 0, sizeof(stages->stages[i]->held));
}

OverRow *
over_stages_next_row(OverStages *stages, TupleTableSlot *inputs)
{
	OverRow *row = &stages->row;

	for (int i = 0; i < stages->nstages; i++)
		if (begins_peers(stages, stages->stages[i], inputs))
			end_peers(stages, i);
	row->inputs = inputs;
	memset(row->nulls, true, stages->nfunctions * sizeof(bool));
	return row;
}

void
over_stages_pass(OverStages *stages, OverRow *row)
{
	stages->states->moment++;
	add_results(stages, stages->frames_by_row, row);
	pass_row(stages, 0, row);
}

void
over_stages_end_time(OverStages *stages)
{
	for (int i = 0; i < stages->nstages; i++)
		end_peers(stages, i);
}

bool
over_stages_wait(const OverStages *stages)
{
	return stages->nstages > 0;
}
