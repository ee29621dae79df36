/*
 * keyed_maintain.c: the rows that a keyed view keeps, from step to step and after late rows.
 *
 * The table holds, as inputs (keyed.h), what the keyed level keeps of the stream's rows up to the frontier, and is read by key. A
 * step merges the rows of its slice into it (keyed_merge.c): a duplicate costs a look-up and no write.
 *
 * Late rows, by what was done to the stream at the event times T:
 *
 *   inserted            the rows at T come again, with the new ones, and are merged
 *   changed, deleted    1. the keys of kept rows at T, which may be gone: all rows of these keys come
 *                       2. as if the rows at T had been inserted
 *
 * A row that is not kept changes nothing when it goes: so the kept ones tell the keys. Where they are very many, everything
 * is taken in anew.
 *
 * Where the level groups, what is kept are states (keyed_states.c). Rows that were inserted are added to them where they are known
 * exactly (keyed_written.c), else the states of their keys are made anew. After anything else, the states of the keys of all rows
 * concerned go, and come again from the stream's rows of these keys. Sessions have a way of their own (keyed_sessions_late.c).
 *
 * Rows that are kept for a while only have a way of their own, too (keyed_expiry.c).
 *
 * The rows that were changed or deleted are known, as they were and as they are, unless they are many. So their keys are, by
 * which kept rows are found, and the stream's, if it has an index on them. Where they are not known, an index on the event time serves to
 * find kept rows at T. It is there where rows are not overtaken: elsewhere it would be written with each row that takes the place of another,
 * which without it touches no index; and all states are made anew.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"
#include "view/keyed_expiry.h"
#include "view/keyed_groups.h"
#include "view/keyed_log.h"
#include "view/keyed_maintain.h"
#include "view/keyed_merge.h"
#include "view/keyed_sessions_late.h"
#include "view/keyed_states.h"
#include "view/keyed_written.h"
#include "view/keys.h"
#include "view/materialised.h"
#include "view/slice.h"

/* With more keys that kept rows may be gone of, all keys are taken. */
#define MAX_WHOLE_KEYS 10000

/* Of the index on the event time: steps read the newest rows again where there are windows over them. */
#define PAGES_PER_RANGE 32

/* Room for the rows that take others' places. */
#define FILLFACTOR_REPLACED 70

/* ---- the table ---------------------------------------------------------------------------------- */

static char *
index_definition(const Keyed *keyed)
{
	StringInfoData columns;
	ListCell *cell;

	initStringInfo(&columns);
	foreach (cell, keyed->keys)
		appendStringInfo(&columns, "%sc%d", columns.len > 0 ? ", " : "",
						 ((KeyedColumn *) lfirst(cell))->column);
	return psprintf("btree (%s)", columns.data);
}

Oid
keyed_create(Oid view, const char *label, const Keyed *keyed)
{
	TupleDesc columns = keyed->groups ? keyed_groups_columns(keyed)
									  : ExecTypeFromTL(keyed_input(keyed, NULL, NULL)->targetList);
	Oid table = materialised_create_table(view, label, materialised_columns(columns),
										  keyed->in_arrival_order ? 100 : FILLFACTOR_REPLACED);

	if (keyed->keys)
		materialised_create_index(table, index_definition(keyed));
	if (keyed->in_arrival_order)
		materialised_create_index(
			table, psprintf("brin (c%d) WITH (autosummarize = on, pages_per_range = %d)",
							KEYED_TIME_COLUMN, PAGES_PER_RANGE));
	return table;
}

/* ---- steps -------------------------------------------------------------------------------------- */

Query *
keyed_inputs_between(const Keyed *keyed, Ticks from, Ticks to)
{
	Oid type = keyed->stream.time_type;

	return keyed_input(keyed, from == TICKS_MIN ? NULL : slice_time_constant(type, from),
					   to == TICKS_MAX ? NULL : slice_time_constant(type, to));
}

static int64
take_in(const ContinuousView *view, const Keyed *keyed, Query *input)
{
	KeyedArrival arrival = {0};

	return keyed->groups ? keyed_states_add(view, keyed, input)
						 : keyed_merge(view, keyed, input, &arrival, NULL);
}

int64
keyed_append(const ContinuousView *view, const Keyed *keyed, Ticks from, Ticks to)
{
	KeyedTouched touched = {.input = keyed_inputs_between(keyed, from, to),
							.bounded = keyed->sessions,
							.from = ticks_minus(from, keyed->gap),
							.to = to};
	KeyedLog *log = NULL;
	int64 rows;

	if (view->dedup_for > 0)
		return keyed_expiry_append(view, keyed, from, to);
	if (!keyed_rows_are_final(view, keyed))
		log = keyed_log_begin(view, keyed, &touched);
	rows = take_in(view, keyed, touched.input);
	keyed_log_end(log);
	if (keyed_rows_are_final(view, keyed))
		keyed_log_final(view, keyed, from, to);
	return rows;
}

/* ---- late rows ---------------------------------------------------------------------------------- */

Query *
keyed_inputs_at(const Keyed *keyed, const Ticks *times, int n)
{
	Oid type = keyed->stream.time_type;
	Query *input = keyed_inputs_between(keyed, times[0], times[n - 1]);
	List *equality = keys_operator_name(lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr);

	add_condition(input, keys_any_of(linitial(keyed->inputs), equality, get_array_type(type),
									 keys_times(type, times, n)));
	return input;
}

/* Merges the rows at these event times, which all come again. */
static int64
merge_times(const ContinuousView *view, const Keyed *keyed, const Ticks *times, int n,
			KeyedChanges *changes)
{
	KeyedArrival arrival = {.times = times, .ntimes = n};
	KeyedTouched touched = {.input = keyed_inputs_at(keyed, times, n)};
	KeyedLog *log = keyed_log_begin(view, keyed, &touched);
	int64 change = keyed_merge(view, keyed, touched.input, &arrival, changes);

	keyed_log_end(log);
	return change;
}

/* The values that these rows, as of the view's table as far as its keys, have in a key; NULL: they make no array. */
static KeyValues *
values_of_key(const Keyed *keyed, const KeyedColumn *key, TupleDesc columns, HeapTuple *rows, int n)
{
	KeyValues *values = palloc0(sizeof(KeyValues));
	Oid type = exprType(list_nth(keyed->inputs, key->column - 1));
	ArrayBuildState *array;

	values->column = key->column;
	values->array_type = get_array_type(type);
	if (!OidIsValid(values->array_type) || type_is_rowtype(type))
		return NULL;
	array = initArrayResult(type, CurrentMemoryContext, false);
	for (int i = 0; i < n; i++)
	{
		bool isnull;
		Datum value = heap_getattr(rows[i], key->column, columns, &isnull);

		values->with_null |= isnull;
		if (!isnull)
			array = accumArrayResult(array, value, false, type, CurrentMemoryContext);
	}
	values->equality = keys_operator_name(key->equality);
	values->values = makeArrayResult(array, CurrentMemoryContext);
	return values;
}

/* The same of all keys, a list of KeyValues; each is by itself, which takes in more than the combinations that occur. */
static List *
values_of_keys(const Keyed *keyed, Oid table, HeapTuple *rows, int n)
{
	Relation rel = RelationIdGetRelation(table);
	List *keys = NIL;
	ListCell *cell;

	foreach (cell, keyed->row_keys)
	{
		KeyValues *values = values_of_key(keyed, lfirst(cell), RelationGetDescr(rel), rows, n);

		if (values)
			keys = lappend(keys, values);
	}
	RelationClose(rel);
	return keys;
}

void
keyed_restrict_to_keys(const Keyed *keyed, Query *query, Oid table, HeapTuple *rows, int n)
{
	ListCell *cell;

	foreach (cell, values_of_keys(keyed, table, rows, n))
	{
		KeyValues *values = lfirst(cell);

		values->expression =
			copyObject(list_nth_node(TargetEntry, query->targetList, values->column - 1)->expr);
		add_condition(query, keys_condition(values));
	}
}

/* The inputs that were changed or deleted, as they were and as they are; NULL: not known. */
static HeapTuple *
inputs_written(const ContinuousView *view, const Keyed *keyed, const Written *written, int *n)
{
	Tuplestorestate *rows = NULL;
	TupleDesc type;
	TupleTableSlot *slot;
	HeapTuple *tuples;

	*n = 0;
	if (written->rows && keyed->keys)
		rows = keys_run_on_rows(keyed_input(keyed, NULL, NULL), relation_owner(view->relid),
								written->rows, written->columns, &type);
	if (rows == NULL)
		return NULL;
	tuples = palloc(sizeof(HeapTuple) * (tuplestore_tuple_count(rows) + 1));
	slot = MakeSingleTupleTableSlot(type, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(rows, true, false, slot))
		tuples[(*n)++] = ExecCopySlotHeapTuple(slot);
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(rows);
	return tuples;
}

/* The kept rows at these event times, of these keys (of KeyValues; NIL: all). */
static HeapTuple *
kept_at(const ContinuousView *view, const Keyed *keyed, const Ticks *times, int n, const List *keys,
		int *count)
{
	Oid type = keyed->stream.time_type;
	MaterialisedRows at = materialised_rows(view, type, times[0], times[n - 1], keys);
	MemoryContext context = CurrentMemoryContext;
	HeapTuple *rows;
	RoleSession session;
	char *sql = psprintf("SELECT * FROM %s AND c%d = ANY ($%d)", at.from_where, KEYED_TIME_COLUMN,
						 at.n + 1);

	at.types = repalloc(at.types, sizeof(Oid) * (at.n + 1));
	at.values = repalloc(at.values, sizeof(Datum) * (at.n + 1));
	at.types[at.n] = get_array_type(type);
	at.values[at.n] = keys_times(type, times, n);
	session = catalog_begin();
	if (SPI_execute_with_args(sql, at.n + 1, at.types, at.values, NULL, false,
							  MAX_WHOLE_KEYS * keyed->limit + 1) != SPI_OK_SELECT)
		elog(ERROR, "could not run: %s", sql);
	*count = SPI_processed;
	rows = MemoryContextAllocHuge(context, sizeof(HeapTuple) * (SPI_processed + 1));
	for (int i = 0; i < *count; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		rows[i] = heap_copytuple(SPI_tuptable->vals[i]);
		MemoryContextSwitchTo(old);
	}
	catalog_end(session);
	return rows;
}

/* Takes in all rows of these rows' keys anew. */
static int64
merge_keys(const ContinuousView *view, const Keyed *keyed, HeapTuple *rows, int n, Ticks frontier,
		   KeyedChanges *changes)
{
	KeyedArrival arrival = {.keys = rows, .nkeys = n};
	Query *input = keyed_inputs_between(keyed, TICKS_MIN, frontier);
	KeyedTouched touched = {.rows = rows, .n = n};
	KeyedLog *log = keyed_log_begin(view, keyed, &touched);
	int64 change;

	keyed_restrict_to_keys(keyed, input, view->mat, rows, n);
	change = keyed_merge(view, keyed, input, &arrival, changes);
	keyed_log_end(log);
	return change;
}

static int64
take_in_anew(const ContinuousView *view, const Keyed *keyed, Ticks frontier, KeyedChanges *changes)
{
	KeyedTouched all = {0};
	KeyedLog *log = keyed_log_begin(view, keyed, &all);
	int64 change =
		-materialised_delete(view, keyed->stream.time_type, TICKS_MIN, TICKS_MAX, NIL, NULL);

	CommandCounterIncrement();
	if (changes)
		changes->all = changes->removed = true;
	change += take_in(view, keyed, keyed_inputs_between(keyed, TICKS_MIN, frontier));
	keyed_log_end(log);
	return change;
}

/* Of rows that were inserted, with these event times: those that are known to be new are added; else the states of their keys are made anew. */
static int64
add_states(const ContinuousView *view, const Keyed *keyed, const Ticks *times, int n, Query *input,
		   Ticks frontier)
{
	if (keyed_written_are_new(view, times, n) && keys_are_of_heaps(&keyed->stream))
	{
		keys_restrict_to_written(input);
		return keyed_states_add(view, keyed, input);
	}
	return keyed_states_renew(view, keyed, keyed_inputs_between(keyed, TICKS_MIN, frontier), input);
}

static int64
correct_inserted_states(const ContinuousView *view, const Keyed *keyed, const Ticks *times, int n,
						Ticks frontier)
{
	KeyedTouched touched = {.input = keyed_inputs_at(keyed, times, n)};
	KeyedLog *log = keyed_log_begin(view, keyed, &touched);
	int64 change = add_states(view, keyed, times, n, touched.input, frontier);

	keyed_log_end(log);
	return change;
}

/* Makes the states of these rows' keys anew. */
static int64
renew_states(const ContinuousView *view, const Keyed *keyed, HeapTuple *rows, int n, Ticks frontier)
{
	Query *input = keyed_inputs_between(keyed, TICKS_MIN, frontier);
	KeyedTouched touched = {.rows = rows, .n = n};
	KeyedLog *log = keyed_log_begin(view, keyed, &touched);
	int64 change = -materialised_delete(view, keyed->stream.time_type, TICKS_MIN, TICKS_MAX,
										values_of_keys(keyed, view->mat, rows, n), NULL);

	CommandCounterIncrement();
	keyed_restrict_to_keys(keyed, input, view->mat, rows, n);
	change += keyed_states_add(view, keyed, input);
	keyed_log_end(log);
	return change;
}

static int64
correct_sessions(const ContinuousView *view, const Keyed *keyed, const Written *written, int n,
				 Ticks frontier)
{
	LateRows late = {.times = written->times, .n = n, .inserted = written->inserted};

	if (!written->inserted)
		late.rows = inputs_written(view, keyed, written, &late.nrows);
	if (late.rows && late.nrows == 0)
		return 0;
	return keyed_sessions_correct(view, keyed, &late, frontier);
}

/* After rows were changed or deleted. */
static int64
correct_changed_states(const ContinuousView *view, const Keyed *keyed, const Written *written,
					   Ticks frontier)
{
	int n;
	HeapTuple *rows = inputs_written(view, keyed, written, &n);

	keyed_written_anywhere(view);
	if (rows == NULL)
		return take_in_anew(view, keyed, frontier, NULL);
	return n > 0 ? renew_states(view, keyed, rows, n, frontier) : 0;
}

/* The keys of kept rows at the first n event times, which may be gone, come again, whole. */
static int64
correct_changed_rows(const ContinuousView *view, const Keyed *keyed, const Written *written, int n,
					 Ticks frontier, KeyedChanges *changes)
{
	int ninputs;
	HeapTuple *inputs = inputs_written(view, keyed, written, &ninputs);
	List *keys = inputs ? values_of_keys(keyed, view->mat, inputs, ninputs) : NIL;
	HeapTuple *rows;
	int nrows;

	if (inputs && ninputs == 0)
		return 0;
	rows = kept_at(view, keyed, written->times, n, keys, &nrows);
	if (nrows > MAX_WHOLE_KEYS * keyed->limit)
		return take_in_anew(view, keyed, frontier, changes);
	return nrows > 0 ? merge_keys(view, keyed, rows, nrows, frontier, changes) : 0;
}

int64
keyed_correct(const ContinuousView *view, const Keyed *keyed, const Written *written,
			  Ticks frontier, KeyedChanges *changes)
{
	const Ticks *times = written->times;
	int n = written->n;
	int64 change = 0;

	while (n > 0 && times[n - 1] > frontier)
		n--;
	if (n == 0)
		return 0;
	if (view->dedup_for > 0)
		return keyed_expiry_correct(view, keyed, times, n, written->inserted, frontier);
	if (keyed->sessions)
		return correct_sessions(view, keyed, written, n, frontier);
	if (keyed->groups && written->inserted)
		return correct_inserted_states(view, keyed, times, n, frontier);
	if (keyed->groups)
		return correct_changed_states(view, keyed, written, frontier);
	if (!written->inserted)
		change = correct_changed_rows(view, keyed, written, n, frontier, changes);
	return change + merge_times(view, keyed, times, n, changes);
}
