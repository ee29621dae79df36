/*
 * keyed_states.c: the states that a view with GROUP BY keeps, from step to step and after late rows.
 *
 *   SELECT keys, accumulate(...), place FROM (states of the keys of the rows that come UNION ALL these rows) GROUP BY keys
 *
 * One query (keyed_groups.c) gives the new state of each key that has rows, and where the old one is stored: that row is updated,
 * mostly within its page and without touching the index (HOT); a new key's is inserted. A step reads the states of its keys only; of
 * sessions, of each key the last one's.
 *
 * A state can't tell whether it has taken in a row already. So each row must come once; where that can't be had, the states of its
 * key, and of those of other rows that come, are made anew from all rows of these keys.
 *
 * Who calls holds the view's correction lock: nobody else writes to the table.
 */
#include "tidemark.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "view/keyed_answer.h"
#include "view/keyed_groups.h"
#include "view/keyed_sessions.h"
#include "view/keyed_states.h"
#include "view/materialised.h"
#include "view/slice.h"

typedef struct States
{
	DestReceiver receiver; /* first */
	Oid mat;
	Query *query;
	DestReceiver *inserts; /* into the table, in bulk */

	Relation rel;
	EState *estate;
	ResultRelInfo *result; /* for updates */
	TupleTableSlot *slot;
} States;

static void
replace_row(States *self, ItemPointer place)
{
	if (!compat_update_row(self->rel, place, self->slot, GetActiveSnapshot()))
		return;
	list_free(compat_insert_index_tuples(self->result, self->slot, self->estate));
	ResetPerTupleExprContext(self->estate);
}

/* A row of the table, and behind it the place of the one that it takes the place of. */
static bool
receive_row(TupleTableSlot *slot, DestReceiver *receiver)
{
	States *self = (States *) receiver;
	TupleDesc columns = RelationGetDescr(self->rel);
	int place = columns->natts;

	slot_getallattrs(slot);
	ExecStoreHeapTuple(heap_form_tuple(columns, slot->tts_values, slot->tts_isnull), self->slot,
					   true);
	if (slot->tts_isnull[place])
		(void) self->inserts->receiveSlot(self->slot, self->inserts);
	else
		replace_row(self, (ItemPointer) DatumGetPointer(slot->tts_values[place]));
	ExecClearTuple(self->slot);
	return true;
}

static void
start_receiver(DestReceiver *receiver, int operation, TupleDesc type)
{
	States *self = (States *) receiver;

	self->rel = table_open(self->mat, RowExclusiveLock);
	self->slot = MakeSingleTupleTableSlot(RelationGetDescr(self->rel), &TTSOpsHeapTuple);
	self->estate = CreateExecutorState();
	self->result = makeNode(ResultRelInfo);
	InitResultRelInfo(self->result, self->rel, 0, NULL, 0);
	ExecOpenIndices(self->result, false);
	self->inserts->rStartup(self->inserts, CMD_INSERT, RelationGetDescr(self->rel));
}

static void
end_receiver(DestReceiver *receiver)
{
	States *self = (States *) receiver;

	self->inserts->rShutdown(self->inserts);
	ExecCloseIndices(self->result);
	FreeExecutorState(self->estate);
	ExecDropSingleTupleTableSlot(self->slot);
	table_close(self->rel, NoLock);
}

static void
destroy_receiver(DestReceiver *receiver)
{
}

static void
run(DestReceiver *inserts, void *arg)
{
	States *self = arg;

	self->inserts = inserts;
	materialised_run(&self->receiver, self->query);
}

int64
keyed_states_write(const ContinuousView *view, const Keyed *keyed, List *events)
{
	States self = {.receiver = {.receiveSlot = receive_row,
								.rStartup = start_receiver,
								.rShutdown = end_receiver,
								.rDestroy = destroy_receiver,
								.mydest = DestNone},
				   .mat = view->mat};

	self.query = keyed_groups_accumulate(keyed, keyed_union(events));
	return (int64) materialised_receive(view, run, &self);
}

int64
keyed_states_add(const ContinuousView *view, const Keyed *keyed, Query *input)
{
	Query *rows = keyed_groups_rows(keyed, copyObject(input));
	List *states;

	input = keyed_groups_rows(keyed, input);
	states = keyed->sessions
				 ? keyed_sessions_last(keyed, view->mat, input, NULL, NULL)
				 : keyed_with_keys_of(keyed, keyed_groups_states(keyed, view->mat, true), input);
	return keyed_states_write(view, keyed, lcons(rows, states));
}

int64
keyed_states_renew(const ContinuousView *view, const Keyed *keyed, Query *input, Query *changed)
{
	Query *rows = keyed_groups_rows(keyed, input);
	Query *states = keyed_groups_states(keyed, view->mat, false);

	changed = keyed_groups_rows(keyed, changed);
	return keyed_states_write(view, keyed,
							  list_concat(keyed_with_keys_of(keyed, rows, copyObject(changed)),
										  keyed_with_keys_of(keyed, states, changed)));
}
