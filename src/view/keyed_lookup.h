/*
 * keyed_lookup.h: the stored rows of a key, for one key after the other.
 */
#ifndef TIDEMARK_VIEW_KEYED_LOOKUP_H
#define TIDEMARK_VIEW_KEYED_LOOKUP_H

#include "executor/tuptable.h"
#include "utils/rel.h"
#include "view/keyed.h"

typedef struct KeyedLookup KeyedLookup;

/* In the current memory context, which must be the current one in each call. Rows that are written from now on may be found, or not. */
extern KeyedLookup *keyed_lookup_begin(Relation table, const Keyed *keyed);

/* Stands before the stored rows with the key of this row of the table's columns. */
extern void keyed_lookup_seek(KeyedLookup *lookup, const Datum *values, const bool *nulls);

/* The next of them, in the slot; false: no more. */
extern bool keyed_lookup_next(KeyedLookup *lookup, TupleTableSlot *slot);

extern void keyed_lookup_end(KeyedLookup *lookup);

#endif
