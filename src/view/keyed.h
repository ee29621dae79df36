/*
 * keyed.h: a query that keeps some rows of each key: which level does, by what key, and which rows.
 */
#ifndef TIDEMARK_VIEW_KEYED_H
#define TIDEMARK_VIEW_KEYED_H

#include "view/shape.h"

/* How rows of a key are counted to the limit. */
typedef enum KeyedCount
{
	KEYED_ROWS,		 /* each for itself: DISTINCT, DISTINCT ON, row_number */
	KEYED_RANK,		 /* equals have the rank of their first: rank */
	KEYED_DENSE_RANK /* equals count as one */
} KeyedCount;

/* A key, or what rows of a key are ordered by. */
typedef struct KeyedColumn
{
	AttrNumber column; /* of the inputs */
	Oid equality;	   /* operators */
	Oid ordering;
	bool nulls_first;
} KeyedColumn;

typedef struct Keyed
{
	Stream stream;
	Query *query; /* with its order completed; the rest points into it */
	int depth;	  /* of the keyed level, below the top */
	List *inputs; /* of Expr over that level's FROM; the first is the event time */
	List *keys;	  /* of KeyedColumn; none: all rows have the same key */
	List *order; /* of KeyedColumn; of rows that count each for itself the event time is among it */
	List *ties;	 /* columns that rows are told apart by in the end, by their images */
	KeyedCount count;
	int64 limit;		   /* the first so many of each key are kept */
	bool in_arrival_order; /* no row is overtaken by one with a later event time */

	/* The level groups: of each key, not rows are kept, but the states of aggregates (keyed_groups.h). */
	bool groups;
	List *aggregates;	/* of KeyedAggregate */
	bool under_windows; /* there are windows or GROUP BY above (layers.h) */

	/* The groups are sessions (keyed_sessions.h). */
	bool sessions;
	AttrNumber session; /* the last key: where the session begins, which rows don't know */
	List *row_keys;		/* the others; all, if there are no sessions */
	int64 gap;			/* in ticks */
} Keyed;

#define KEYED_TIME_COLUMN 1

/* Is this level one that DISTINCT makes a keyed one? */
extern bool keyed_is_distinct(const Query *level);

/* Is this level, below these (innermost first) and over that stream, one that keeps some rows of each key? */
extern bool keyed_is_level(Query *level, const List *ancestors, const Stream *stream);

/*
 * Takes the query, whose keyed level is at that depth, apart, and completes that level's order in place. Refuses by the
 * shape what can't be kept: NULL.
 */
extern Keyed *keyed_analyse(Query *query, int depth, Shape *shape);

/* Completes the order of keyed levels over streams anywhere in a query, so that it has one result. */
extern void keyed_complete_order(Query *query);

/* The rows that go into the keyed level with event times in [from, to] (constant expressions; NULL: unbounded). */
extern Query *keyed_input(const Keyed *keyed, Expr *from, Expr *to);

/* The keyed level and those above it over an entry of a range table with the inputs as its columns. */
extern Query *keyed_output(const Keyed *keyed, RangeTblEntry *source);

/* The same where each row of the source is known to be the only one of its key that is kept. */
extern Query *keyed_output_of_kept(const Keyed *keyed, RangeTblEntry *source);

/* "left = right", as the key compares them. */
extern Expr *keyed_equal(const KeyedColumn *key, Expr *left, Expr *right);

/* The column as an item of ORDER BY, GROUP BY or the like in a query whose output begins with the inputs; those of a list likewise. */
extern SortGroupClause *keyed_sort_clause(const Query *query, const KeyedColumn *column);
extern List *keyed_sort_clauses(const Query *query, const List *columns);

/* Can this input be null? */
extern bool keyed_is_nullable(const Keyed *keyed, AttrNumber column);

/* The column of the stream that this input is; 0: none. */
extern AttrNumber keyed_stream_column(const Keyed *keyed, AttrNumber column);

/* The input that this column of the query's output is, as it stands; 0: none. */
extern AttrNumber keyed_input_of_output(const Keyed *keyed, AttrNumber column);

/* The key of rows that it is; NULL: none. */
extern const KeyedColumn *keyed_key_of_output(const Keyed *keyed, AttrNumber column);

#endif
