/*
 * last_entries.h: entries at the end of a btree, many at a time.
 */
#ifndef TIDEMARK_VIEW_LAST_ENTRIES_H
#define TIDEMARK_VIEW_LAST_ENTRIES_H

#include "executor/tuptable.h"
#include "utils/rel.h"

/* Is it an index that last_entries_insert can be used for: a btree, not unique, on columns, each ascending with nulls last? */
extern bool last_entries_can(Relation index);

/* Puts rows, which have just been put into the table, into the index; fast where they are in its order, and behind all in it. */
extern void last_entries_insert(Relation index, Relation table, TupleTableSlot **rows, int n);

#endif
