/*
 * insert.h: decoded rows into a table, as COPY would do it where that is possible.
 */
#ifndef TIDEMARK_STREAM_INSERT_H
#define TIDEMARK_STREAM_INSERT_H

#include "executor/tuptable.h"
#include "utils/rel.h"

typedef struct RowInserter RowInserter;

/*
 * Prepares inserting into rel (open, RowExclusiveLock) for the rest of the transaction. given[i]
 * tells whether column i (0-based) comes with the rows; the others get their defaults. Allocates in the current
 * context. The rights are those of the current user; raises an error if he has none.
 */
extern RowInserter *row_inserter_begin(Relation rel, const bool *given);

/*
 * Inserts rows[0 .. n): virtual slots of rel's row type, whose other columns are filled in. Raises
 * the error of the first row that fails; the caller's subtransaction undoes the rest then.
 */
extern void row_inserter_insert(RowInserter *inserter, TupleTableSlot **rows, int n);

/*
 * Did the rows go in without any trigger seeing them? Then they are just as they were given, and the
 * caller has to tell writes_happened(); otherwise the stream's statement triggers have.
 */
extern bool row_inserter_is_direct(RowInserter *inserter);

/* After an error of row_inserter_insert: the index of the row that caused it, or -1. */
extern int row_inserter_failed_row(RowInserter *inserter);

#endif
