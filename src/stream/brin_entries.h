/*
 * brin_entries.h: new rows' entries in BRIN indexes, a range of pages at a time.
 */
#ifndef TIDEMARK_STREAM_BRIN_ENTRIES_H
#define TIDEMARK_STREAM_BRIN_ENTRIES_H

#include "nodes/execnodes.h"

typedef struct BrinEntries BrinEntries;

/* Takes the BRIN indexes out of the opened ones that the executor's functions write to; NULL: there are none. */
extern BrinEntries *brin_entries_begin(ResultRelInfo *result);

/* Brings the indexes up to date with rows that have just been put into the table. entries may be NULL. */
extern void brin_entries_insert(BrinEntries *entries, TupleTableSlot **rows, int n, EState *estate);

/* Closes the indexes. */
extern void brin_entries_end(BrinEntries *entries);

#endif
