/*
 * over_keys.h: what is in a frame, key by key: the window functions' states.
 */
#ifndef TIDEMARK_VIEW_OVER_KEYS_H
#define TIDEMARK_VIEW_OVER_KEYS_H

#include "executor/tuptable.h"
#include "storage/itemptr.h"
#include "view/over_window.h"

/* The keys of one frame that have rows in it now. */
typedef struct OverKeys OverKeys;

/* One of them. */
typedef struct OverKeyState OverKeyState;

/* No keys yet. Lives in the context, as all that it comes to hold; frame has to stay. */
extern OverKeys *over_keys_create(const OverFrame *frame, MemoryContext context);

/* The key of this row of the inputs; made if there is none. Leaves garbage in the current context. */
extern OverKeyState *over_keys_find(OverKeys *keys, TupleTableSlot *row);

/* The row enters the frame of its key. The current context: as above. */
extern void over_keys_enter(OverKeys *keys, OverKeyState *key, TupleTableSlot *row);

/*
 * Some keys are filled anew: between begin_refill and the next, the first row of a key that is given to refill begins its
 * frame anew. Keys that no row is given of stay as they are.
 */
extern void over_keys_begin_refill(OverKeys *keys);
extern void over_keys_refill(OverKeys *keys, TupleTableSlot *row);

/* The row leaves it. Rows leave in the order of event time. */
extern void over_keys_leave(OverKeys *keys, TupleTableSlot *row);

/*
 * The functions' results over the key's frame as it is, in the places that their numbers have. They are
 * computed once for each value of `moment`, and have to be in a context that lives as long as that.
 */
extern void over_keys_results(OverKeys *keys, OverKeyState *key, uint64 moment, Datum *values,
							  bool *nulls);

/* Frees what is kept of keys that have no rows any more. No OverKeyState found before may be used after it. */
extern void over_keys_sweep(OverKeys *keys);

/* How many keys differ from what over_keys_save has written; those that are gone since count too. */
extern int64 over_keys_changed(const OverKeys *keys);

/* About how many bytes of states there are to write, going by what was written last. */
extern int64 over_keys_unsaved_bytes(const OverKeys *keys);

/* Where states are written to. A row's place is known to who writes it. */
typedef struct OverKeyWriter OverKeyWriter;
struct OverKeyWriter
{
	/* The row at *tid, or a new one if that is invalid; sets it. */
	void (*write)(OverKeyWriter *writer, ItemPointer tid, const NullableDatum *keys, bytea **states,
				  int64 rows);
	void (*remove)(OverKeyWriter *writer, ItemPointer tid);
};

/* Writes what has changed. False if a state can't be saved. Leaves garbage in the current context. */
extern bool over_keys_save(OverKeys *keys, OverKeyWriter *writer);

/*
 * A key as over_keys_save has written it to that row: takes it in, in the place of what is there of that key. The states' bytes may
 * be toasted.
 */
extern void over_keys_load(OverKeys *keys, const NullableDatum *values, const Datum *states,
						   int64 rows, const ItemPointerData *tid);

/* Nothing is written any more: all keys are to be. */
extern void over_keys_unsaved(OverKeys *keys);

#endif
