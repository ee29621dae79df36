/*
 * shape.h: what is this query: which stream it reads, where its event time is, how far it looks back.
 */
#ifndef TIDEMARK_VIEW_SHAPE_H
#define TIDEMARK_VIEW_SHAPE_H

#include "catalog.h"
#include "nodes/parsenodes.h"
#include "view/grid.h"

typedef struct Shape
{
	Stream stream;
	Lookback lookback;
	Lookback lookahead; /* bounded */
	Grid grid;			/* that the event times of its rows are on */

	/* It keeps some rows of each key (keyed.h); NULL: each of its rows comes from one row of the stream. */
	struct Keyed *keyed;
	int keyed_depth; /* of the level that does; -1: none */
	bool
		keyed_groups; /* it does so by GROUP BY without a window: what it keeps are states of aggregates */

	/*
	 * The topmost level that groups by windows, if there are window functions above it that look back and none that look
	 * ahead: computed in layers (layers.h). -1: none. And what there is up to that level.
	 */
	int groups_depth;
	Lookback groups_lookback;
	Lookback groups_lookahead;
	bool
		completed; /* its query was changed so that nothing is left open of first values of groups (first_values.h) */

	/* Why it can't be maintained: a message and a hint (may be NULL). NULL: it can. */
	char *refusal;
	char *hint;
} Shape;

/*
 * The shape of a view's query, which is changed in ways that keep its result: CTEs become subqueries, window functions beside GROUP BY
 * such over a subquery, and an order that SQL leaves open is completed where it decides which rows are kept (keyed.h). Works on the analysed and rewritten tree; raises no error for what it
 * can't maintain: see refusal.
 */
extern void shape_of_query(Query *query, Shape *shape);

/* The same of a query over a table that counts as a stream, though it is none. */
extern void shape_over(Query *query, const Stream *stream, Shape *shape);

/* Says why the query can't be maintained, if nothing has been said before. */
extern void shape_refuse(Shape *shape, char *refusal, char *hint);

/* Raises the refusal, if there is one, as an error about the view of that name. */
extern void shape_require(const Shape *shape, const char *view_name);

/* The one input of a level of a query that has a shape: its range table index. */
extern int shape_input(Query *query);

/* Its entry in the range table, in the place of which another one can be put. */
extern ListCell *shape_input_entry(Query *query);

/* The name of the stream's event time, quoted as needed. */
extern const char *shape_time_name(const Shape *shape);

/* The level that this one reads; NULL: it reads the stream. */
extern Query *shape_below(Query *level);

/* The level that is so many below the top. */
extern Query *shape_level(Query *query, int depth);

/* An expression over a level's input, which is a subquery, as one over what that one reads. */
extern Node *shape_expression_below(Query *level, Node *expression);

/* The level that reads the stream. */
extern Query *shape_stream_level(Query *query);

/* Has any level window functions? */
extern bool shape_has_windows(Query *query);

/* Does any level group? */
extern bool shape_has_groups(Query *query);

/* Does FROM, at this level, have nothing beside the input: no functions of its rows? */
extern bool shape_reads_only_input(const Query *query);

/*
 * Is this expression, at this level of a query that has a shape, the event time of its rows: that of its stream as it stands, or
 * of the windows that it groups by?
 */
extern bool shape_is_time(Query *query, Node *node, const Stream *stream);

#endif
