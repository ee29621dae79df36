/*
 * group_window.h: which of the expressions of a GROUP BY is the window, and where the rows of a group lie.
 */
#ifndef TIDEMARK_VIEW_GROUP_WINDOW_H
#define TIDEMARK_VIEW_GROUP_WINDOW_H

#include "catalog.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "view/grid.h"

/*
 * The window of a level with GROUP BY. A group's event time is a value of `time`; the event times of its rows, which the level's input
 * has, lie between that less lookback and that plus lookahead.
 */
typedef struct GroupWindow
{
	Expr *time; /* of the stream's event-time type; over what the level groups by */
	Lookback lookback;
	Lookback lookahead;
	Grid grid; /* that values of time are on */
} GroupWindow;

/* Does this level make one row of several: GROUP BY, or aggregates without it? */
extern bool level_groups(const Query *level);

/* Is the expression, of such a level, one that its groups are told apart by: in each of its grouping sets? NULL: no. */
extern SortGroupClause *level_group_clause(const Query *level, const Expr *expression);

/* The window that such a level, whose input has a shape, groups by; false if there is none. */
extern bool group_window_find(Query *level, const Stream *stream, GroupWindow *window);

/*
 * How far apart the event times can be of rows of a level, whose input has a shape, that are equal in these SortGroupClauses; false
 * if none of them says.
 */
extern bool group_window_span(Query *level, List *clauses, const Stream *stream, Lookback *span);

#endif
