/*
 * materialised.h: a view's materialised part: its table, and what writes to it.
 */
#ifndef TIDEMARK_VIEW_MATERIALISED_H
#define TIDEMARK_VIEW_MATERIALISED_H

#include "access/tupdesc.h"
#include "catalog.h"
#include "tcop/dest.h"
#include "utils/tuplestore.h"
#include "view/shape.h"

/*
 * Makes a table for rows of a view, named after it and label, with these columns (the event time, column time_attnum, may be hidden:
 * the last), owned by the extension's owner and dropped with the view. Returns its OID.
 */
extern Oid materialised_create(Oid view, const char *label, TupleDesc columns,
							   AttrNumber time_attnum);

/* The columns c1, c2, ... of a view's table, as ColumnDefs. */
extern List *materialised_columns(TupleDesc columns);

/* A table of a view's, named after it and label, with these ColumnDefs: whose it is and when it goes are as above. */
extern Oid materialised_create_table(Oid view, const char *label, List *columns, int fillfactor);

/* An index on such a table: "btree (c1)". */
extern void materialised_create_index(Oid table, const char *definition);

/* Drops those of a view's tables that still exist. */
extern void materialised_drop_tables(List *tables);

/* Something that starts a receiver, gives it rows of the view, with the event time, and shuts it down. */
typedef void (*MaterialisedSource)(DestReceiver *receiver, void *arg);

/* Runs the query, and gives its rows to the receiver. Needs the active snapshot; sees what this transaction did before. */
extern void materialised_run(DestReceiver *receiver, void *query);

/* Appends the rows that source gives, which runs with the rights of the view's owner; returns how many. */
extern uint64 materialised_receive(const ContinuousView *view, MaterialisedSource source,
								   void *arg);

/* Appends the rows of the view's slice [from, to]; returns how many. Needs the active snapshot. */
extern uint64 materialised_append(const ContinuousView *view, const Shape *shape, Query *batch,
								  Ticks from, Ticks to);

/* The rows with event times in [from, to] and these keys (of keys.h; NIL: all), as a part of a statement with parameters. */
typedef struct MaterialisedRows
{
	char *from_where; /* "schema.table WHERE …" */
	int n;
	Oid *types;
	Datum *values;
} MaterialisedRows;

extern MaterialisedRows materialised_rows(const ContinuousView *view, Oid time_type, Ticks from,
										  Ticks to, const List *keys);

/* Deletes these rows; returns how many. They are kept in gone (of change_log.h), unless it is NULL. */
extern uint64 materialised_delete(const ContinuousView *view, Oid time_type, Ticks from, Ticks to,
								  const List *keys, Tuplestorestate *gone);

/* Empties it at once, for all snapshots. */
extern void materialised_truncate(const ContinuousView *view);

/* The view's row in tidemark.frontier: the frontier has moved; rows: how many there are more. */
extern void materialised_moved(Oid view, Ticks frontier, int64 rows);

/*
 * Likewise: the rows were corrected, because rows were inserted at these event times (sorted), or NULL: because of anything. The
 * frontier may have gone back. What has been saved of the windows' states holds no more, unless n
 * is 0 of rows inserted: they changed nothing here, but may do so together with what others write.
 */
extern void materialised_corrected(Oid view, Ticks frontier, int64 rows, const Ticks *inserted,
								   int n);

/* Notes how far the saved states of the view's windows go; TICKS_MIN: there are none. */
extern void materialised_saved(Oid view, Ticks saved);

/* Notes where the view's event time begins: what its progress is counted from. */
extern void materialised_begins(Oid view, Ticks first);

#endif
