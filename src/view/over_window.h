/*
 * over_window.h: a query with windows taken apart for incremental computation: what goes into the windows, the windows, and
 * what is made of their results.
 */
#ifndef TIDEMARK_VIEW_OVER_WINDOW_H
#define TIDEMARK_VIEW_OVER_WINDOW_H

#include "access/tupdesc.h"
#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "view/shape.h"

/* One of a window's PARTITION BY expressions. */
typedef struct OverKey
{
	AttrNumber column; /* of the inputs */
	Oid type;
	int32 typmod;
	Oid collation;
	Oid equality; /* operator */
} OverKey;

/* One of the columns that order rows of equal event time. */
typedef struct OverOrder
{
	AttrNumber column; /* of the inputs */
	Oid type;
	SortGroupClause *clause; /* how ORDER BY sorts it */
} OverOrder;

/*
 * The rows with event times in [t - length, t + end] and the same keys are the frame of a row at t.
 *
 * Frames that are counted in rows or groups, and functions that see all rows before the current one, evict
 * their rows themselves (aggregate/sliding.h): to all others here, these are frames from the start. Functions with a result for each row
 * share a frame where they have the same keys.
 */
typedef struct OverFrame
{
	bool unbounded; /* from the start: no row ever leaves */
	int64 length;	/* ticks; 0 if unbounded; negative: it begins after t */
	int64 end;		/* likewise; negative: it ends before t */
	bool by_row;	/* each row has results of its own, when it has entered */
	int order; /* else: rows that are equal in event time and in the first so many columns of order have the same ones */
	List *keys;		 /* of OverKey; may be empty */
	List *functions; /* of OverFunction, in the order of the target list */
	Bitmapset *
		columns; /* of the inputs that keys and functions need, the event time among them: those of rows that leave */
} OverFrame;

/* A window function, as it stands in the query (sums of floats are the exact ones already). */
typedef struct OverFunction
{
	WindowFunc *call;
	int number;		 /* from 0, over all frames: its result's place behind the inputs */
	List *arguments; /* int: columns of the inputs */
	List *types;	 /* OIDs, of the arguments */
	struct SlidingBounds *bounds;	 /* sliding.h; NULL: the frame is not counted */
	AttrNumber filter;				 /* column of the inputs that says which rows count; 0: all */
	struct SlidingAggregate *method; /* sliding.h */
} OverFunction;

typedef struct OverWindow
{
	Stream stream;
	Query *query; /* columns as of slice_query with_time; its parts may be pointed to by the rest */
	int depth;	  /* the window functions' level, below the top */
	AttrNumber time_column; /* of the event time in the query's output */
	List *
		inputs; /* of Expr, over that level's FROM: the columns of the inputs; the first is the event time */
	List *
		order; /* of OverOrder: what follows the event time in the windows' ORDER BY, of the longest one */
	List *frames;	/* of OverFrame; windows with equal keys and frames are one */
	int nfunctions; /* of all frames */
} OverWindow;

/* The column of the event time among the inputs. */
#define OVER_TIME_COLUMN 1

/*
 * Takes the query, which is used up and has that shape, apart. NULL, with the reason as a phrase for users, if it can't be computed
 * incrementally; *has_windows tells if it has window functions at all.
 */
extern OverWindow *over_window_analyse(Query *batch, const Shape *shape, bool *has_windows,
									   const char **why);

/* The same of a view's batch query, which stays as it is, with the rights of the view's owner: constants are folded. */
extern OverWindow *over_window_of_view(Oid view, Query *batch, const Shape *shape,
									   bool *has_windows, const char **why);

/* What an analysis of the query comes to, as tidemark.view has it. */
extern ViewMethod over_window_view_method(Query *batch, const OverWindow *window, bool has_windows,
										  const char *why);

/* The level of its query that has the windows; a window function of it that has been found there. */
extern Query *over_window_level(const OverWindow *window);
extern OverFunction *over_window_function(const OverWindow *window, const WindowFunc *call);

/*
 * The rows that go into the windows, with event times in [from, to] (constant expressions of the event time's type, NULL:
 * unbounded): a new query with a column for each input; those that are not in `columns` (numbered from 1; NULL: all are) are
 * null.
 */
extern Query *over_window_input(const OverWindow *window, const Bitmapset *columns, Expr *from,
								Expr *to);

/*
 * The levels from the windows' upwards: a new query over `source`, an entry of a range table whose columns are the inputs, and
 * behind them each function's result.
 */
extern Query *over_window_output(const OverWindow *window, RangeTblEntry *source);

/* The columns of that source: names, and what types they have. */
extern TupleDesc over_window_source(const OverWindow *window);

#endif
