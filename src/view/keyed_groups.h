/*
 * keyed_groups.h: GROUP BY without a window: of each key, the states of its aggregates are kept.
 */
#ifndef TIDEMARK_VIEW_KEYED_GROUPS_H
#define TIDEMARK_VIEW_KEYED_GROUPS_H

#include "access/tupdesc.h"
#include "view/keyed.h"

/* An aggregate of the level that groups. */
typedef struct KeyedAggregate
{
	Node *node;		   /* in the level's expressions, which has its result */
	Aggref *call;	   /* what is accumulated */
	List *arguments;   /* int: columns of the inputs */
	Const *order;	   /* of a first value, behind the first argument (first_values.h); else NULL */
	AttrNumber filter; /* column of the inputs that says which rows count; 0: all */
} KeyedAggregate;

/* Finds the level's aggregates, and what goes into them; refuses by the shape those whose states can't be kept. Its keys are known. */
extern void keyed_groups_analyse(Keyed *keyed, Query *level, Shape *shape);

/* The columns of the table that keeps the states: event time, keys, a state for each aggregate. */
extern TupleDesc keyed_groups_columns(const Keyed *keyed);

/*
 * Events: what a group is made of, saved states and rows, with the same columns: the inputs, is_state, a saved state for each
 * aggregate, and where a saved one is stored.
 */
extern Query *keyed_groups_rows(const Keyed *keyed, Query *inputs);
extern Query *keyed_groups_states(const Keyed *keyed, Oid mat, bool with_states);

/* Columns of events behind the inputs. */
extern AttrNumber keyed_groups_is_state(const Keyed *keyed);
extern AttrNumber keyed_groups_place(const Keyed *keyed);

/* One event that is nothing: of a query without keys, which has a row whatever is in the stream. */
extern Query *keyed_groups_nothing(const Keyed *keyed);

/* Of events, the new states of the keys that have rows: columns as of the table, and where the old one is stored (null: nowhere). */
extern Query *keyed_groups_accumulate(const Keyed *keyed, RangeTblEntry *events);

/* The level and those above it over events; and over states of which each is the only event of its key. */
extern Query *keyed_groups_output(const Keyed *keyed, RangeTblEntry *events);
extern Query *keyed_groups_output_of_states(const Keyed *keyed, RangeTblEntry *states);

#endif
