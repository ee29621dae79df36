/*
 * over_keys.c: what is in a frame, key by key: the window functions' states.
 *
 * Keys are equal as PARTITION BY has it: by the operator of the type and the collation, and nulls are equal. So one
 * state may serve rows whose keys look different (1.0 and 1.00); each row shows its own.
 *
 * A key without rows costs nothing: its state is freed. That is put off for a moment (over_keys_sweep), because the next row of
 * that key is often about to come.
 *
 * Whatever is kept is a copy of its own in the context given, without pointers to toasted values: the row in the table may
 * be gone before its state is.
 */
#include "tidemark.h"

#include "aggregate/sliding.h"
#include "common/hashfn.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "view/over_keys.h"

/* Keys are allocated by blocks of about so many bytes. */
#define KEYS_BLOCK (64 * 1024)

/* How to tell keys apart. */
typedef struct KeyColumn
{
	AttrNumber column;
	Oid collation;
	FmgrInfo hash;
	FmgrInfo equal;
	int16 length;
	bool by_value;
} KeyColumn;

typedef struct StateFunction
{
	SlidingAggregate *method;
	int place; /* of the result */
	AttrNumber filter;
	int nargs;
	AttrNumber *columns;
	bool *may_be_toasted;
	NullableDatum *arguments;
	int16 length; /* of the result */
	bool by_value;
} StateFunction;

/* There may be millions of them: each in as few bytes as it takes. */
struct OverKeyState
{
	int64 rows;	   /* in the frame */
	uint64 moment; /* when results were computed */
	uint64 refill; /* the last one that it was filled in */
	uint32 hash;
	int32 changed;		   /* place among those that changed; -1: not one of them */
	ItemPointerData saved; /* where it was written */
	bool emptied;		   /* is in the list of those to be swept */
	void *state[]; /* nfunctions; behind them NullableDatum: nkeys keys, nfunctions results */
};

typedef struct KeyEntry
{
	OverKeyState *key;
	uint32 hash;
	char status;
} KeyEntry;

static bool key_matches(OverKeys *keys, const OverKeyState *key);

/* The key that is looked for is in probe; a null pointer stands for it. */
#define SH_PREFIX keytable
#define SH_ELEMENT_TYPE KeyEntry
#define SH_KEY_TYPE OverKeyState *
#define SH_KEY key
#define SH_HASH_KEY(table, key) 0 /* not used: hashes are given */
#define SH_EQUAL(table, stored, probe)                                                             \
	((probe) ? (stored) == (probe) : key_matches((table)->private_data, (stored)))
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) (entry)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct OverKeys
{
	MemoryContext context;
	MemoryContext key_context; /* of OverKeyState */
	int nkeys;
	KeyColumn *columns;
	NullableDatum *probe; /* the key that is looked for */
	int nfunctions;
	StateFunction *functions;
	keytable_hash *table;	/* if there are keys */
	OverKeyState *only;		/* if there are none: the one state; NULL: no rows */
	uint64 refill;			/* counts them */
	OverKeyState **emptied; /* keys that had no rows at one time since the last sweep */
	int nemptied;
	int room; /* in emptied */

	/* For saving: keys that changed, and where those were written that are gone. */
	OverKeyState **changed;
	int nchanged;
	int changed_room;
	ItemPointerData *gone;
	int ngone;
	int gone_room;
	int64 saved_keys; /* when something was saved last */
	int64 saved_bytes;
};

static inline NullableDatum *
key_values(const OverKeys *keys, const OverKeyState *key)
{
	return (NullableDatum *) &key->state[keys->nfunctions];
}

static inline NullableDatum *
key_results(const OverKeys *keys, const OverKeyState *key)
{
	return key_values(keys, key) + keys->nkeys;
}

static Size
key_size(const OverKeys *keys)
{
	return offsetof(OverKeyState, state) + sizeof(void *) * keys->nfunctions +
		   sizeof(NullableDatum) * (keys->nkeys + keys->nfunctions);
}

/* ---- making ------------------------------------------------------------------------------------- */

static void
prepare_key(KeyColumn *column, const OverKey *key, MemoryContext context)
{
	RegProcedure hash;
	RegProcedure other;

	if (!get_op_hash_functions(key->equality, &hash, &other))
		elog(ERROR, "operator %u has no hash function", key->equality);
	column->column = key->column;
	column->collation = key->collation;
	fmgr_info_cxt(hash, &column->hash, context);
	fmgr_info_cxt(get_opcode(key->equality), &column->equal, context);
	get_typlenbyval(key->type, &column->length, &column->by_value);
}

static void
prepare_function(StateFunction *to, const OverFunction *from)
{
	ListCell *cell;

	to->method = from->method;
	to->place = from->number;
	to->filter = from->filter;
	to->nargs = list_length(from->arguments);
	to->columns = palloc(sizeof(AttrNumber) * (to->nargs + 1));
	to->may_be_toasted = palloc(sizeof(bool) * (to->nargs + 1));
	to->arguments = palloc0(sizeof(NullableDatum) * (to->nargs + 1));
	get_typlenbyval(from->call->wintype, &to->length, &to->by_value);
	foreach (cell, from->arguments)
	{
		int i = foreach_current_index(cell);

		to->columns[i] = lfirst_int(cell);
		to->may_be_toasted[i] = get_typlen(list_nth_oid(from->types, i)) == -1;
	}
}

OverKeys *
over_keys_create(const OverFrame *frame, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	OverKeys *keys = palloc0(sizeof(OverKeys));
	ListCell *cell;

	keys->context = context;
	keys->nkeys = list_length(frame->keys);
	keys->columns = palloc0(sizeof(KeyColumn) * (keys->nkeys + 1));
	keys->probe = palloc0(sizeof(NullableDatum) * (keys->nkeys + 1));
	foreach (cell, frame->keys)
		prepare_key(&keys->columns[foreach_current_index(cell)], lfirst(cell), context);
	keys->nfunctions = list_length(frame->functions);
	keys->functions = palloc0(sizeof(StateFunction) * keys->nfunctions);
	foreach (cell, frame->functions)
		prepare_function(&keys->functions[foreach_current_index(cell)], lfirst(cell));
	keys->key_context = SlabContextCreate(context, "tidemark over-window keys",
										  Max(KEYS_BLOCK, MAXALIGN(8 * key_size(keys))),
										  key_size(keys));
	if (keys->nkeys > 0)
		keys->table = keytable_create(context, 64, keys);
	MemoryContextSwitchTo(old);
	return keys;
}

/* ---- finding ------------------------------------------------------------------------------------ */

static bool
key_matches(OverKeys *keys, const OverKeyState *key)
{
	for (int i = 0; i < keys->nkeys; i++)
	{
		KeyColumn *column = &keys->columns[i];
		const NullableDatum *a = &key_values(keys, key)[i];
		const NullableDatum *b = &keys->probe[i];

		if (a->isnull != b->isnull)
			return false;
		if (!a->isnull &&
			!DatumGetBool(FunctionCall2Coll(&column->equal, column->collation, a->value, b->value)))
			return false;
	}
	return true;
}

static uint32
hash_probe(const OverKeys *keys)
{
	uint32 hash = 0;

	for (int i = 0; i < keys->nkeys; i++)
	{
		KeyColumn *column = &keys->columns[i];
		const NullableDatum *value = &keys->probe[i];

		hash = pg_rotate_left32(hash, 1);
		if (!value->isnull)
			hash ^=
				DatumGetUInt32(FunctionCall1Coll(&column->hash, column->collation, value->value));
	}
	return murmurhash32(hash);
}

/* A key's value for keeps. */
static Datum
keep_value(const KeyColumn *column, Datum value)
{
	if (column->length == -1)
		value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	else if (!column->by_value)
		value = datumCopy(value, false, column->length);
	return value;
}

static OverKeyState *
make_key(OverKeys *keys)
{
	MemoryContext old = MemoryContextSwitchTo(keys->context);
	OverKeyState *key = MemoryContextAllocZero(keys->key_context, key_size(keys));
	NullableDatum *values = key_values(keys, key);

	key->changed = -1;
	ItemPointerSetInvalid(&key->saved);
	for (int i = 0; i < keys->nkeys; i++)
	{
		values[i] = keys->probe[i];
		if (!values[i].isnull)
			values[i].value = keep_value(&keys->columns[i], values[i].value);
	}
	for (int i = 0; i < keys->nfunctions; i++)
		key->state[i] = sliding_new(keys->functions[i].method, keys->context);
	MemoryContextSwitchTo(old);
	return key;
}

/* Room for one more element in an array of the keys' context. */
static void *
make_room(OverKeys *keys, void *array, int n, int *room, Size size)
{
	if (n < *room)
		return array;
	*room = Max(64, *room * 2);
	if (array == NULL)
		return MemoryContextAlloc(keys->context, size * *room);
	return repalloc_huge(array, size * *room);
}

/* A key that has no rows is forgotten at the next sweep, unless some have come. */
static void
note_emptied(OverKeys *keys, OverKeyState *key)
{
	if (key->emptied)
		return;
	key->emptied = true;
	keys->emptied =
		make_room(keys, keys->emptied, keys->nemptied, &keys->room, sizeof(OverKeyState *));
	keys->emptied[keys->nemptied++] = key;
}

static OverKeyState *
make_empty_key(OverKeys *keys)
{
	OverKeyState *key = make_key(keys);

	note_emptied(keys, key);
	return key;
}

/* The key that is in the probe; made if there is none. */
static OverKeyState *
find_key(OverKeys *keys)
{
	KeyEntry *entry;
	uint32 hash;
	bool found;

	if (keys->nkeys == 0)
	{
		if (keys->only == NULL)
			keys->only = make_empty_key(keys);
		return keys->only;
	}
	hash = hash_probe(keys);
	entry = keytable_insert_hash(keys->table, NULL, hash, &found);
	if (!found)
	{
		entry->key = make_empty_key(keys);
		entry->key->hash = hash;
	}
	return entry->key;
}

OverKeyState *
over_keys_find(OverKeys *keys, TupleTableSlot *row)
{
	for (int i = 0; i < keys->nkeys; i++)
		keys->probe[i].value = slot_getattr(row, keys->columns[i].column, &keys->probe[i].isnull);
	return find_key(keys);
}

/* ---- moving ------------------------------------------------------------------------------------- */

/* Is the row one that FILTER lets through? */
static bool
is_let_through(const StateFunction *function, TupleTableSlot *row)
{
	bool isnull;
	Datum counts;

	if (function->filter == 0)
		return true;
	counts = slot_getattr(row, function->filter, &isnull);
	return !isnull && DatumGetBool(counts);
}

/* Sets the function's arguments from the row. */
static void
set_arguments(StateFunction *function, TupleTableSlot *row)
{
	for (int i = 0; i < function->nargs; i++)
	{
		NullableDatum *argument = &function->arguments[i];

		argument->value = slot_getattr(row, function->columns[i], &argument->isnull);
		if (function->may_be_toasted[i] && !argument->isnull)
			argument->value = PointerGetDatum(PG_DETOAST_DATUM_PACKED(argument->value));
	}
}

static void
note_changed(OverKeys *keys, OverKeyState *key)
{
	if (key->changed >= 0)
		return;
	keys->changed =
		make_room(keys, keys->changed, keys->nchanged, &keys->changed_room, sizeof(OverKeyState *));
	key->changed = keys->nchanged;
	keys->changed[keys->nchanged++] = key;
}

/* The last of those that changed takes its place. */
static void
forget_changed(OverKeys *keys, OverKeyState *key)
{
	OverKeyState *last;

	if (key->changed < 0)
		return;
	last = keys->changed[--keys->nchanged];
	keys->changed[key->changed] = last;
	last->changed = key->changed;
	key->changed = -1;
}

void
over_keys_enter(OverKeys *keys, OverKeyState *key, TupleTableSlot *row)
{
	note_changed(keys, key);
	key->rows++;
	for (int i = 0; i < keys->nfunctions; i++)
	{
		StateFunction *function = &keys->functions[i];

		set_arguments(function, row);
		(is_let_through(function, row) ? sliding_add : sliding_pass)(
			function->method, key->state[i], function->arguments);
	}
}

void
over_keys_begin_refill(OverKeys *keys)
{
	keys->refill++;
}

void
over_keys_refill(OverKeys *keys, TupleTableSlot *row)
{
	OverKeyState *key = over_keys_find(keys, row);

	if (key->refill != keys->refill)
	{
		key->refill = keys->refill;
		key->rows = 0;
		for (int i = 0; i < keys->nfunctions; i++)
		{
			sliding_free(keys->functions[i].method, key->state[i]);
			key->state[i] = sliding_new(keys->functions[i].method, keys->context);
		}
	}
	over_keys_enter(keys, key, row);
}

void
over_keys_leave(OverKeys *keys, TupleTableSlot *row)
{
	OverKeyState *key = over_keys_find(keys, row);

	if (key->rows == 0)
		elog(ERROR, "a row leaves a frame that is empty");
	note_changed(keys, key);
	for (int i = 0; i < keys->nfunctions; i++)
	{
		StateFunction *function = &keys->functions[i];

		if (!is_let_through(function, row))
			continue;
		set_arguments(function, row);
		sliding_evict(function->method, key->state[i], function->arguments);
	}
	if (--key->rows == 0)
		note_emptied(keys, key);
}

void
over_keys_results(OverKeys *keys, OverKeyState *key, uint64 moment, Datum *values, bool *nulls)
{
	for (int i = 0; i < keys->nfunctions; i++)
	{
		StateFunction *function = &keys->functions[i];
		NullableDatum *result = &key_results(keys, key)[i];

		if (key->moment != moment)
			result->value = sliding_result(function->method, key->state[i], &result->isnull);
		values[function->place] = result->value;
		nulls[function->place] = result->isnull;
	}
	key->moment = moment;
}

/* ---- forgetting --------------------------------------------------------------------------------- */

static void
free_key(OverKeys *keys, OverKeyState *key)
{
	forget_changed(keys, key);
	if (ItemPointerIsValid(&key->saved))
	{
		keys->gone =
			make_room(keys, keys->gone, keys->ngone, &keys->gone_room, sizeof(ItemPointerData));
		keys->gone[keys->ngone++] = key->saved;
	}
	for (int i = 0; i < keys->nfunctions; i++)
		sliding_free(keys->functions[i].method, key->state[i]);
	for (int i = 0; i < keys->nkeys; i++)
		if (!keys->columns[i].by_value && !key_values(keys, key)[i].isnull)
			pfree(DatumGetPointer(key_values(keys, key)[i].value));
	pfree(key);
}

static void
remove_key(OverKeys *keys, OverKeyState *key)
{
	if (keys->nkeys == 0)
		keys->only = NULL;
	else
		keytable_delete_item(keys->table, keytable_lookup_hash(keys->table, key, key->hash));
}

void
over_keys_sweep(OverKeys *keys)
{
	for (int i = 0; i < keys->nemptied; i++)
	{
		OverKeyState *key = keys->emptied[i];

		key->emptied = false;
		if (key->rows > 0)
			continue;
		remove_key(keys, key);
		free_key(keys, key);
	}
	keys->nemptied = 0;
}

/* ---- saving ------------------------------------------------------------------------------------- */

int64
over_keys_changed(const OverKeys *keys)
{
	return (int64) keys->nchanged + keys->ngone;
}

int64
over_keys_unsaved_bytes(const OverKeys *keys)
{
	return keys->saved_keys == 0 ? 0 : keys->nchanged * (keys->saved_bytes / keys->saved_keys);
}

static bool
save_key(OverKeys *keys, OverKeyState *key, OverKeyWriter *writer)
{
	bytea **states = palloc(sizeof(bytea *) * keys->nfunctions);

	for (int i = 0; i < keys->nfunctions; i++)
	{
		states[i] = sliding_save(keys->functions[i].method, key->state[i]);
		if (states[i] == NULL)
			return false;
		keys->saved_bytes += VARSIZE(states[i]);
	}
	keys->saved_keys++;
	writer->write(writer, &key->saved, key_values(keys, key), states, key->rows);
	forget_changed(keys, key);
	return true;
}

bool
over_keys_save(OverKeys *keys, OverKeyWriter *writer)
{
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "tidemark saved state", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	bool saved = true;

	over_keys_sweep(keys);
	if (keys->nchanged > 0)
		keys->saved_keys = keys->saved_bytes = 0;
	while (keys->ngone > 0)
		writer->remove(writer, &keys->gone[--keys->ngone]);
	while (saved && keys->nchanged > 0)
	{
		saved = save_key(keys, keys->changed[keys->nchanged - 1], writer);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return saved;
}

void
over_keys_load(OverKeys *keys, const NullableDatum *values, const Datum *states, int64 rows,
			   const ItemPointerData *tid)
{
	OverKeyState *key;

	memcpy(keys->probe, values, keys->nkeys * sizeof(NullableDatum));
	key = find_key(keys);
	key->rows = rows;
	key->saved = *tid;
	for (int i = 0; i < keys->nfunctions; i++)
	{
		SlidingAggregate *method = keys->functions[i].method;

		sliding_free(method, key->state[i]);
		key->state[i] =
			sliding_load(method, (bytea *) PG_DETOAST_DATUM_PACKED(states[i]), keys->context);
	}
}

void
over_keys_unsaved(OverKeys *keys)
{
	keytable_iterator scan;
	KeyEntry *entry;

	keys->ngone = 0;
	if (keys->only)
	{
		ItemPointerSetInvalid(&keys->only->saved);
		note_changed(keys, keys->only);
	}
	if (keys->table == NULL)
		return;
	keytable_start_iterate(keys->table, &scan);
	while ((entry = keytable_iterate(keys->table, &scan)) != NULL)
	{
		ItemPointerSetInvalid(&entry->key->saved);
		note_changed(keys, entry->key);
	}
}
