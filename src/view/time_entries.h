/*
 * time_entries.h: entries at the end of a btree on event time, many at a time.
 */
#ifndef TIDEMARK_VIEW_TIME_ENTRIES_H
#define TIDEMARK_VIEW_TIME_ENTRIES_H

#include "executor/tuptable.h"
#include "utils/rel.h"

/* Is it an index that time_entries_insert can be used for: a btree, not unique, on one of the table's columns, of a type of event times? */
extern bool time_entries_can(Relation index);

/* Puts rows, which have just been put into the table, into the index; fast where their event times are in order and later than all in it. */
extern void time_entries_insert(Relation index, Relation table, TupleTableSlot **rows, int n);

#endif
