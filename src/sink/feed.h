/*
 * feed.h: what a continuous view's consumers see: a position, and what has changed since.
 */
#ifndef TIDEMARK_SINK_FEED_H
#define TIDEMARK_SINK_FEED_H

#include "catalog.h"
#include "executor/tuptable.h"
#include "view/keyed.h"

/* How far a consumer is: he has the rows up to frontier, as they were when the change seq was the last one. */
typedef struct FeedPosition
{
	Ticks frontier; /* TICKS_MIN: nothing yet */
	int64 seq;
} FeedPosition;

typedef enum FeedOp
{
	FEED_FINAL = 'f',  /* a row that became final, or was there when the consumer began */
	FEED_INSERT = 'i', /* a row that came late, or is the new version of one that was deleted */
	FEED_DELETE = 'd'  /* a row that had been final */
} FeedOp;

typedef struct Feed
{
	ContinuousView view;
	Oid time_type;
	Oid role;			 /* with whose rights the columns are computed */
	const char *columns; /* a select list over the materialised table's columns c1, c2, … */
	TupleDesc desc;		 /* of its rows; two more columns follow in the slots that are received */
	bool of_rows;		 /* all that there is to read is in the log: change_log_is_of_rows */

	int64
		present_to; /* of such a log: the rows that were there when this consumer began are logged up to there; feed_open: 0 */

	/* For who may have received more than his position says. feed_open sets them to what changes nothing. */
	Ticks until;		/* final rows up to there only */
	Ticks corrected_to; /* corrections of rows up to there, though they are behind the position */
} Feed;

/*
 * Where the rows go. The slot has the select list's columns first, and is valid during the call. complete: what was received before,
 * up to the last whole event time or transaction.
 */
typedef void (*FeedReceiver)(FeedOp op, TupleTableSlot *slot, const FeedPosition *complete,
							 void *arg);

/*
 * Of a view that is to have a consumer: locks it, so that nobody replaces it meanwhile, and raises an error if it can't have one. Of one that
 * keeps rows by key, says which it keeps; else NULL.
 */
extern Keyed *feed_lock_view(Oid relid, ContinuousView *view);

/*
 * Where a new consumer of the view begins, whose corrections are logged from now on: start_at "beginning", he gets all rows, or "now", those
 * that are to become final. *present_to: as in Feed. *view is filled. The caller has locked the view.
 */
extern FeedPosition feed_begin(Oid relid, const char *start_at, ContinuousView *view,
							   int64 *present_to);

/* The view's column of that name in a key; an error if there's none. */
extern AttrNumber feed_key_column(Oid view, const char *name);

/* A consumer of the view has gone: with the last one goes the log of its corrections. */
extern void feed_end(Oid view);

/*
 * Fills *feed; the view's materialised part must be mat, or it has been made anew: an error, with this hint. Needs a snapshot.
 */
extern void feed_open(Feed *feed, Oid view, Oid mat, Oid role, const char *columns,
					  const char *hint);

/* Has anything changed since the position? In the active snapshot. *frontier: the view's. */
extern bool feed_has_news(const Feed *feed, const FeedPosition *position, Ticks *frontier);

/*
 * Reads in the active snapshot what has changed since *position, about max_rows at most: corrections of whole transactions first,
 * then final rows of whole event times. Moves *position; true if
 * there is more. What is visible in the snapshot is flushed first, so that it may leave the server. Changes of rows that the consumer didn't have are
 * left out.
 */
extern bool feed_read(const Feed *feed, FeedPosition *position, int64 max_rows,
					  FeedReceiver receive, void *arg);

/*
 * The same for a consumer who may have received more than his position says: what he gets is the same each time. Final rows are those
 * that he was to get when they became final, and every correction of them follows. The select list's columns must be comparable.
 */
extern bool feed_replay(const Feed *feed, FeedPosition *position, int64 max_rows,
						FeedReceiver receive, void *arg);

/*
 * How many rows there are that a consumer at this position, for whom present_to is as in Feed, doesn't have, changed ones included; likewise if
 * all is replayed.
 */
extern int64 feed_lag(const ContinuousView *view, const FeedPosition *position, int64 present_to);
extern int64 feed_replay_lag(const ContinuousView *view, const FeedPosition *position,
							 int64 present_to);

/* Are there any changes behind that position? */
extern bool feed_replay_waits(const ContinuousView *view, const FeedPosition *position,
							  int64 present_to);

/* The last change that is logged, and how many there are behind seq: rows that came, and rows that went. */
typedef struct FeedChanges
{
	int64 last; /* 0: there are none */
	int64 came;
	int64 went;
} FeedChanges;

extern FeedChanges feed_changes(const ContinuousView *view, int64 seq);
extern int64 feed_last_change(const ContinuousView *view);

/* How many logged changes there are behind seq; counts to max at most. */
extern int64 feed_count_changes(const ContinuousView *view, int64 seq, int64 max);

/* Flushes what is visible in any snapshot taken before. */
extern void feed_flush(void);

/* Deletes logged changes up to the least seq that any consumer of the view needs. */
extern void feed_trim(const ContinuousView *view);

#endif
