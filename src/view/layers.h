/*
 * layers.h: views in two layers: rows that are made of the stream and kept, and windows over them.
 */
#ifndef TIDEMARK_VIEW_LAYERS_H
#define TIDEMARK_VIEW_LAYERS_H

#include "catalog.h"
#include "view/keyed.h"

typedef struct Layers
{
	ContinuousView view;

	/* The lower one: the first row of each key; or, of groups (keyed is NULL), the query's part that makes them. */
	ContinuousView store; /* the view as if the table of these rows were its materialised part */
	const Keyed *keyed;
	Query *groups;
	Shape groups_shape;

	/* The upper one: the query over that table, and its shape, as if the table were its stream. */
	Query *batch;
	Shape shape;
} Layers;

/* Has a view of that shape two layers? */
extern bool layers_has(const Shape *shape);

/* Makes the table of the lower layer's rows of such a view. */
extern Oid layers_create(Oid view, const Shape *shape, Query *batch);

/* The layers of a view with that batch query, which stays as it is, and that table. */
extern Layers *layers_over(const ContinuousView *view, const Shape *shape, Query *batch, Oid table);

/* The same of a continuous view. Its first table of states (view_states) is the lower layer's; those of windows follow. */
extern Layers *layers_of(const ContinuousView *view, const Shape *shape, Query *batch);

/* Locks the table of a continuous view's lower layer for reading; false if it is gone. */
extern bool layers_answerable(const ContinuousView *view);

/* Up to where the lower layer is known when the view's rows are up to there. */
extern Ticks layers_reach(const Layers *layers, Ticks frontier);

/* Takes in the lower layer's rows that a step of the view from the frontier `from` to `to` needs. */
extern void layers_take_in(const Layers *layers, Ticks from, Ticks to);

/* That step went less far, only to there. */
extern void layers_take_back(const Layers *layers, Ticks to);

/* In the snapshot of a query: the rows that are new to the lower layer, with the columns of its table. */
extern Query *layers_new_rows(const Layers *layers);

/* Is it better to find them once, for all parts of a query, than in each part only those that it asks for? */
extern bool layers_new_rows_are_dear(const Layers *layers);

/* The known rows, and these new ones, as an entry of a range table. */
extern RangeTblEntry *layers_rows(const Layers *layers, Query *new);

/* Rows of the stream after the known ones, likewise; only the event time counts, which no new row of the lower layer has later. */
extern RangeTblEntry *layers_newest(const Layers *layers);

/* Puts an entry with the lower layer's rows in the place of the stream in a query over it, which is returned. */
extern Query *layers_read(Query *query, RangeTblEntry *rows);

#endif
