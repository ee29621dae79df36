/*
 * frame.c: windows: how far back and ahead a level of a query looks, or why that has no bound.
 *
 * A window is ordered by event time first, so an output row at t depends on rows around t, as far as the frame goes:
 *
 *   RANGE n PRECEDING                 n back                          RANGE ... n FOLLOWING       n ahead
 *   RANGE, ROWS, GROUPS UNBOUNDED     back to the start               ROWS, GROUPS n FOLLOWING    refused
 *   ROWS, GROUPS n PRECEDING          back to the start: n rows lie any time before
 *   row_number, rank, dense_rank, lag back to the start, whatever the frame says; so tidemark.session
 *
 * A distance ahead is taken: the frontier stays that far behind the watermark. n rows ahead are not: no row would be final
 * until they have come, whenever that is. Nor is what depends on the partition's last row: no row would ever be.
 *
 * Unless partitions end: a window that is partitioned by one of event time (OVER (PARTITION BY date_bin('10 s', t, ...) ORDER BY price))
 * reaches as far as that one is long, back and ahead, whatever its order, its frame and its functions. Over the groups of that
 * window (rank() OVER (PARTITION BY window_start ORDER BY count(*))) it doesn't reach out of their event time at all.
 *
 * Several windows of a level count as the widest of them, levels add up.
 */
#include "tidemark.h"

#include "aggregate/sliding.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "view/constant.h"
#include "view/frame.h"
#include "view/group_window.h"

#define ROWS_AHEAD "no row is final until the rows after it have come, whenever that is"

/* What gives partitions an end. */
static char *
hint_at_partitions(const Shape *shape)
{
	return psprintf("Partition by a window of the event time as well: OVER (PARTITION BY ..., "
					"date_bin('1 hour', %s, '2000-01-01') ...).",
					shape_time_name(shape));
}

/* What the windows of one level need. */
typedef struct Reach
{
	Query *query;
	Shape *shape;
	Lookback lookback;
	Lookback lookahead;
} Reach;

/* ---- distances -------------------------------------------------------------------------------------- */

static bool
lookback_is_negative(const Interval *interval)
{
	return interval->month < 0 || interval->day < 0 || interval->time < 0;
}

static void
widen(Lookback *lookback, const Lookback *by)
{
	lookback->month = Max(lookback->month, by->month);
	lookback->day = Max(lookback->day, by->day);
	lookback->time = Max(lookback->time, by->time);
}

/*
 * The constant distance of a RANGE bound. False, with a refusal, if it is not one that can be used.
 */
static bool
range_distance(Node *offset, Oid time_type, Lookback *distance, Shape *shape)
{
	Const *constant = constant_of(offset);

	memset(distance, 0, sizeof(*distance));
	if (constant == NULL)
	{
		shape_refuse(shape, "the distance of a RANGE frame must be a constant", NULL);
		return false;
	}
	if (constant->consttype == INTERVALOID)
		*distance = *DatumGetIntervalP(constant->constvalue);
	else if (!constant_integer(offset, &distance->time))
	{
		shape_refuse(shape,
					 psprintf("a RANGE frame with a distance of type %s can't be maintained",
							  format_type_be(constant->consttype)),
					 NULL);
		return false;
	}
	if (lookback_is_unbounded(distance)) /* from 17 on: an infinite interval */
		*distance = unbounded_lookback;
	if (lookback_is_negative(distance))
	{
		shape_refuse(
			shape, "the distance of a RANGE frame must not be negative, in any of its parts", NULL);
		return false;
	}
	if (time_type == TIMESTAMPTZOID && (distance->month != 0 || distance->day != 0))
	{
		shape_refuse(shape,
					 "a RANGE frame in days or months over timestamp with time zone depends on the "
					 "session's time zone",
					 "Say it in hours, for example INTERVAL '24 hours'.");
		return false;
	}
	return true;
}

/* The constant number of rows or groups of a bound. False, with a refusal, if it is not one. */
static bool
row_count(Node *offset, int64 *count, Shape *shape)
{
	if (constant_integer(offset, count) && *count >= 0)
		return true;
	shape_refuse(shape,
				 "the number in a ROWS or GROUPS frame must be a constant that is not negative",
				 NULL);
	return false;
}

static void
refuse_unbounded_following(Shape *shape)
{
	shape_refuse(shape,
				 "a window up to UNBOUNDED FOLLOWING can't be maintained: no row is ever final",
				 hint_at_partitions(shape));
}

/* Is the first ORDER BY column of the window the event time, ascending? */
static bool
ordered_by_time(Query *query, WindowClause *window, const Stream *stream)
{
	SortGroupClause *first;
	TargetEntry *entry;

	if (window->orderClause == NIL)
		return false;
	first = linitial_node(SortGroupClause, window->orderClause);
	entry = get_sortgroupclause_tle(first, query->targetList);
	return shape_is_time(query, (Node *) entry->expr, stream) &&
		   compat_sorts_ascending(first->sortop);
}

/* ---- frames ---------------------------------------------------------------------------------------- */

static void
frame_of_range(Reach *reach, WindowClause *window)
{
	Oid time_type = reach->shape->stream.time_type;
	int frame = window->frameOptions;
	Lookback start = {0};
	Lookback end = {0};

	if (frame & FRAMEOPTION_START_OFFSET &&
		!range_distance(window->startOffset, time_type, &start, reach->shape))
		return;
	if (frame & FRAMEOPTION_END_OFFSET &&
		!range_distance(window->endOffset, time_type, &end, reach->shape))
		return;
	if (frame & FRAMEOPTION_START_UNBOUNDED_PRECEDING)
		widen(&reach->lookback, &unbounded_lookback);
	if (frame & FRAMEOPTION_START_OFFSET_PRECEDING)
		widen(&reach->lookback, &start);
	if (frame & FRAMEOPTION_END_OFFSET_FOLLOWING)
	{
		if (lookback_is_unbounded(&end))
			refuse_unbounded_following(reach->shape);
		widen(&reach->lookahead, &end);
	}
}

/* A ROWS or GROUPS frame. */
static void
frame_of_rows(Reach *reach, WindowClause *window)
{
	int frame = window->frameOptions;
	int64 start = 0;
	int64 end = 0;

	if (frame & FRAMEOPTION_START_OFFSET && !row_count(window->startOffset, &start, reach->shape))
		return;
	if (frame & FRAMEOPTION_END_OFFSET && !row_count(window->endOffset, &end, reach->shape))
		return;
	if ((frame & FRAMEOPTION_END_OFFSET_FOLLOWING) && end > 0)
		shape_refuse(reach->shape,
					 psprintf("a %s frame that looks ahead (FOLLOWING) can't be maintained: %s",
							  frame & FRAMEOPTION_ROWS ? "ROWS" : "GROUPS", ROWS_AHEAD),
					 "End the frame with CURRENT ROW, or look ahead by event time: RANGE BETWEEN "
					 "... AND INTERVAL '...' FOLLOWING.");
	if ((frame & FRAMEOPTION_START_UNBOUNDED_PRECEDING) ||
		((frame & FRAMEOPTION_START_OFFSET_PRECEDING) && start > 0))
		widen(&reach->lookback, &unbounded_lookback);
}

static void
frame_of_window(Reach *reach, WindowClause *window)
{
	if (window->frameOptions & FRAMEOPTION_END_UNBOUNDED_FOLLOWING)
		refuse_unbounded_following(reach->shape);
	else if (window->frameOptions & FRAMEOPTION_RANGE)
		frame_of_range(reach, window);
	else
		frame_of_rows(reach, window);
}

/* ---- functions that see the whole partition, whatever the frame says ------------------------------- */

/*
 * lag by a constant number of rows that is not negative, or lead by one that is not positive. lag and lead can stand
 * for each other; sign: 1 or -1.
 */
static void
frame_of_lag(Reach *reach, const WindowFunc *call, int sign)
{
	int64 offset = 1;

	if (list_length(call->args) > 1)
	{
		Node *folded = eval_const_expressions(NULL, copyObject(lsecond(call->args)));

		if (!IsA(folded, Const))
		{
			shape_refuse(
				reach->shape,
				psprintf("the offset of %s must be a constant", get_func_name(call->winfnoid)),
				NULL);
			return;
		}
		offset = ((Const *) folded)->constisnull ? 0
												 : DatumGetInt32(((Const *) folded)->constvalue);
	}
	if (offset * sign < 0)
		shape_refuse(
			reach->shape,
			psprintf("window function %s can't be maintained where it looks ahead: %s",
					 get_func_name(call->winfnoid), ROWS_AHEAD),
			psprintf("Use lag, which shows two rows together when the second one has come; "
					 "or look ahead by event time: first_value(...) OVER (... ORDER BY %s "
					 "RANGE BETWEEN INTERVAL '1 microsecond' FOLLOWING AND INTERVAL '10 "
					 "seconds' FOLLOWING).",
					 shape_time_name(reach->shape)));
	widen(&reach->lookback, &unbounded_lookback);
}

/* False if the function keeps to its frame. */
static bool
frame_of_function(Reach *reach, const WindowFunc *call)
{
	if (call->winagg)
		return false;
	if (sliding_is_session(call->winfnoid))
	{
		widen(&reach->lookback, &unbounded_lookback);
		return true;
	}
	switch (call->winfnoid)
	{
		case F_FIRST_VALUE:
		case F_LAST_VALUE:
		case F_NTH_VALUE:
			return false;
		case F_ROW_NUMBER:
		case F_RANK_:
		case F_DENSE_RANK_:
			widen(&reach->lookback, &unbounded_lookback);
			return true;
		case F_LAG_ANYELEMENT:
		case F_LAG_ANYELEMENT_INT4:
		case F_LAG_ANYCOMPATIBLE_INT4_ANYCOMPATIBLE:
			frame_of_lag(reach, call, 1);
			return true;
		case F_LEAD_ANYELEMENT:
		case F_LEAD_ANYELEMENT_INT4:
		case F_LEAD_ANYCOMPATIBLE_INT4_ANYCOMPATIBLE:
			frame_of_lag(reach, call, -1);
			return true;
		default:
			shape_refuse(
				reach->shape,
				psprintf("window function %s can't be maintained: it depends on all rows of "
						 "the partition, so no row is ever final",
						 get_func_name(call->winfnoid)),
				hint_at_partitions(reach->shape));
			return true;
	}
}

/* ---- the windows of a level --------------------------------------------------------------------------- */

static void
refuse_order(const WindowFunc *call, Shape *shape)
{
	if (call->winfnoid == F_ROW_NUMBER || call->winfnoid == F_RANK_ ||
		call->winfnoid == F_DENSE_RANK_)
		shape_refuse(shape,
					 psprintf("%s can't be maintained for all rows in this order",
							  get_func_name(call->winfnoid)),
					 "Keep the first few of each key: SELECT * FROM (SELECT ..., row_number() OVER "
					 "(...) AS n ...) AS q WHERE n <= 10.");
	shape_refuse(
		shape, "a window that is not ordered by the stream's event time can't be maintained",
		psprintf("Write OVER (... ORDER BY %s RANGE BETWEEN ... PRECEDING AND CURRENT ROW).",
				 shape_time_name(shape)));
}

static WindowClause *
window_of(Query *query, const WindowFunc *call)
{
	return list_nth_node(WindowClause, query->windowClause, call->winref - 1);
}

/* As the window's order, its frame and the function say. */
static void
reach_in_order(Reach *reach, const WindowFunc *call)
{
	WindowClause *window = window_of(reach->query, call);

	if (!ordered_by_time(reach->query, window, &reach->shape->stream))
		refuse_order(call, reach->shape);
	else if (!frame_of_function(reach, call))
		frame_of_window(reach, window);
}

bool
frame_is_in_order(Query *query, const WindowFunc *call, const Stream *stream)
{
	Shape shape = {.stream = *stream};
	Reach reach = {.query = query, .shape = &shape};

	reach_in_order(&reach, call);
	return shape.refusal == NULL;
}

/* As the window's order says, else as its partitions do. */
static void
reach_of_function(Reach *reach, const WindowFunc *call)
{
	Shape shape = *reach->shape;
	Reach in_order = *reach;
	Lookback span;

	in_order.shape = &shape;
	reach_in_order(&in_order, call);
	if (shape.refusal == NULL)
	{
		reach->lookback = in_order.lookback;
		reach->lookahead = in_order.lookahead;
	}
	else if (group_window_span(reach->query, window_of(reach->query, call)->partitionClause,
							   &shape.stream, &span))
	{
		widen(&reach->lookback, &span);
		widen(&reach->lookahead, &span);
	}
	else
		shape_refuse(reach->shape, shape.refusal, shape.hint);
}

static bool
frame_walker(Node *node, void *context)
{
	Reach *reach = context;

	if (node == NULL)
		return false;
	if (!IsA(node, WindowFunc))
		return expression_tree_walker(node, frame_walker, context);
	reach_of_function(reach, (WindowFunc *) node);
	return reach->shape->refusal != NULL;
}

void
frame_of_windows(Query *query, Shape *shape)
{
	Reach reach = {.query = query, .shape = shape};

	(void) expression_tree_walker((Node *) query->targetList, frame_walker, &reach);
	lookback_add(&shape->lookback, &reach.lookback);
	lookback_add(&shape->lookahead, &reach.lookahead);
}
