/*
 * over_window.c: a query with windows taken apart for incremental computation.
 *
 *   SELECT t, k, 2 * sum(x) OVER (PARTITION BY k ORDER BY t RANGE '1 h' PRECEDING) FROM stream WHERE x > 0
 *
 *   inputs   t, k, x         FROM stream WHERE x > 0      over_window_input: read twice, as rows enter and as they leave
 *   frames   1 h, keyed by k: sum(x)                      whoever runs it adds the result to each row that enters
 *   output   t, k, 2 * sum   FROM inputs and results      over_window_output: that level's expressions, and the levels above it
 *
 * What is below the windows and in the same level's WHERE belongs to the inputs; expressions around the functions and
 * the levels above to the output. Both are ordinary queries, so that only the windows themselves need code of ours.
 *
 * It can be done where one level has all window functions, and each of its windows
 *
 *   - begins and ends a fixed length of event time before or after the current row, or begins at the start;
 *   - or is counted in rows or groups of peers up to the current row, or to one before it;
 *   - or has a function that numbers rows, or looks back by rows.
 *
 * Columns that follow the event time in ORDER BY have to be the same in all windows, as far as they go: the rows come in one order. The rest
 * is left to slices: always right, if not always fast. So a reason is returned, not an error raised.
 */
#include "tidemark.h"

#include "aggregate/peer_group.h"
#include "aggregate/planner.h"
#include "aggregate/sliding.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "view/constant.h"
#include "view/frame.h"
#include "view/group_window.h"
#include "view/inputs.h"
#include "view/over_window.h"
#include "view/slice.h"

/* ---- the level ---------------------------------------------------------------------------------- */

Query *
over_window_level(const OverWindow *window)
{
	return shape_level(window->query, window->depth);
}

/* The one level with window functions; false if there are several or none. */
static bool
find_level(OverWindow *window, bool *has_windows, const char **why)
{
	Query *level = window->query;

	*has_windows = false;
	for (int depth = 0; level != NULL; level = shape_below(level), depth++)
	{
		if (level_groups(level))
			*why = "there are window functions beside a GROUP BY";
		if (!shape_reads_only_input(level))
			*why = "a function stands in FROM";
		if (level->hasWindowFuncs)
		{
			if (*has_windows)
				*why = "there are window functions over the results of window functions";
			window->depth = depth;
			*has_windows = true;
		}
	}
	if (!*has_windows)
		*why = "there are no window functions";
	return *why == NULL;
}

/* ---- the inputs --------------------------------------------------------------------------------- */

/* The event time is the first of the inputs. slice_query has put it among the columns of each level. */
static bool
add_time(OverWindow *window, Query *level)
{
	ListCell *cell;

	foreach (cell, level->targetList)
	{
		Node *expression = (Node *) lfirst_node(TargetEntry, cell)->expr;

		if (shape_is_time(level, expression, &window->stream))
			return inputs_add(&window->inputs, (Expr *) expression) == OVER_TIME_COLUMN;
	}
	return false;
}

/* ---- frames ------------------------------------------------------------------------------------- */

/*
 * The length of a RANGE bound's distance in ticks, which view/frame.c has seen to be a constant, and not negative. inwards: the bound lies on
 * the far side of the current row, so that more distance makes the frame smaller. Rows of dates lie whole days apart: of what is beyond whole
 * days nothing counts, or, where it brings a bound nearer to the frame's middle, a day.
 */
static bool
distance_ticks(Node *offset, Oid time_type, bool inwards, int64 *ticks, const char **why)
{
	Const *constant = constant_of(offset);

	if (constant_integer(offset, ticks))
		return true;
	if (constant->consttype != INTERVALOID)
		*why = "a frame's distance is of a type without a fixed length";
	else if (DatumGetIntervalP(constant->constvalue)->month != 0)
		*why = "a frame's distance has months, which have no fixed length";
	else if (!interval_length(DatumGetIntervalP(constant->constvalue), ticks))
		*why = "a frame's distance is too long";
	else if (time_type == DATEOID)
		*ticks = *ticks / USECS_PER_DAY + (inwards && *ticks % USECS_PER_DAY != 0);
	return *why == NULL;
}

/* A frame of event time. */
static bool
frame_of_time(const WindowClause *clause, Oid time_type, OverFrame *frame, const char **why)
{
	int options = clause->frameOptions;
	bool begins_after = (options & FRAMEOPTION_START_OFFSET_FOLLOWING) != 0;
	bool ends_before = (options & FRAMEOPTION_END_OFFSET_PRECEDING) != 0;

	frame->unbounded = (options & FRAMEOPTION_START_UNBOUNDED_PRECEDING) != 0;
	if (options & FRAMEOPTION_START_OFFSET)
		(void) distance_ticks(clause->startOffset, time_type, begins_after, &frame->length, why);
	if (*why == NULL && (options & FRAMEOPTION_END_OFFSET))
		(void) distance_ticks(clause->endOffset, time_type, ends_before, &frame->end, why);
	if (begins_after)
		frame->length = -frame->length;
	if (ends_before)
		frame->end = -frame->end;
	if (!frame->unbounded && frame->length < -frame->end)
		*why = "a frame ends before it begins";
	return *why == NULL;
}

/* A bound of a ROWS or GROUPS frame, as a distance before the current row; view/frame.c has seen to it that it is a constant. */
static int64
count_before(Node *offset, bool following)
{
	int64 distance = 0;

	if (offset)
		(void) constant_integer(offset, &distance);
	distance = Min(distance, PG_INT64_MAX / 2);
	return following ? -distance : distance;
}

/*
 * A ROWS or GROUPS frame; order: how many columns ORDER BY has. Where these are more than the event time, a RANGE frame has no distances, and
 * is one in GROUPS.
 */
static bool
frame_bounds(const WindowClause *clause, int order, SlidingBounds *bounds, const char **why)
{
	int options = clause->frameOptions;

	bounds->first =
		options & FRAMEOPTION_START_UNBOUNDED_PRECEDING
			? SLIDING_FROM_START
			: count_before(options & FRAMEOPTION_START_OFFSET ? clause->startOffset : NULL,
						   options & FRAMEOPTION_START_OFFSET_FOLLOWING);
	bounds->last = count_before(options & FRAMEOPTION_END_OFFSET ? clause->endOffset : NULL,
								options & FRAMEOPTION_END_OFFSET_FOLLOWING);
	bounds->order = options & FRAMEOPTION_ROWS ? 0 : order;
	if (bounds->last < 0)
		*why = "a frame ends after the current row";
	else if ((options & FRAMEOPTION_START_OFFSET_FOLLOWING) && bounds->first != 0)
		*why = "a frame begins after the current row";
	return *why == NULL;
}

/* Does the function see all rows of the partition up to the current one, whatever the frame says? */
static bool
is_of_rows(const WindowFunc *call)
{
	switch (call->winfnoid)
	{
		case F_ROW_NUMBER:
		case F_RANK_:
		case F_DENSE_RANK_:
		case F_LAG_ANYELEMENT:
		case F_LAG_ANYELEMENT_INT4:
		case F_LAG_ANYCOMPATIBLE_INT4_ANYCOMPATIBLE:
		case F_LEAD_ANYELEMENT_INT4:
		case F_LEAD_ANYCOMPATIBLE_INT4_ANYCOMPATIBLE:
			return true;
		default:
			return sliding_is_session(call->winfnoid);
	}
}

/* What is counted from the start to the current row and its peers is nothing but what only grows. */
static bool
is_all_so_far(const SlidingBounds *bounds)
{
	return bounds->first == SLIDING_FROM_START && bounds->last == 0;
}

/*
 * The rows that a call has in view. *bounds: NULL if they are not counted. frame->order is the number of columns that follow
 * the event time in ORDER BY.
 */
static bool
frame_of_call(const WindowFunc *call, const WindowClause *clause, Oid time_type, OverFrame *frame,
			  SlidingBounds **bounds, const char **why)
{
	SlidingBounds *counted = palloc0(sizeof(SlidingBounds));

	*bounds = NULL;
	if (is_of_rows(call))
		frame->by_row = true;
	else if (clause->frameOptions & FRAMEOPTION_EXCLUSION)
		*why = "a frame excludes rows (EXCLUDE)";
	else if ((clause->frameOptions & FRAMEOPTION_RANGE) && frame->order == 0)
		return frame_of_time(clause, time_type, frame, why);
	else if (frame_bounds(clause, 1 + frame->order, counted, why))
	{
		frame->by_row = (clause->frameOptions & FRAMEOPTION_ROWS) != 0;
		*bounds = is_all_so_far(counted) ? NULL : counted;
	}
	frame->unbounded = true;
	return *why == NULL;
}

/* ---- order -------------------------------------------------------------------------------------- */

static bool
order_column(OverWindow *window, Query *level, SortGroupClause *item, int place, const char **why)
{
	Expr *expression = get_sortgroupclause_tle(item, level->targetList)->expr;
	Oid type = exprType((Node *) expression);
	OverOrder *order = palloc(sizeof(OverOrder));

	order->column = inputs_add(&window->inputs, expression);
	order->type = type;
	order->clause = item;
	if (item->eqop != lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr ||
		!peer_type_ok(type, exprCollation((Node *) expression)))
		*why = psprintf("values of type %s in ORDER BY are not compared as the type itself does it",
						format_type_be(type));
	else if (place >= list_length(window->order))
		window->order = lappend(window->order, order);
	else
	{
		OverOrder *other = list_nth(window->order, place);

		if (other->column != order->column || other->clause->sortop != item->sortop ||
			other->clause->nulls_first != item->nulls_first)
			*why = "windows are ordered by different columns after the event time";
	}
	return *why == NULL;
}

/* What follows the event time in the window's ORDER BY is the window's order, or its beginning. */
static bool
order_of_window(OverWindow *window, Query *level, const WindowClause *clause, const char **why)
{
	ListCell *cell;

	for_each_from(cell, clause->orderClause,
				  1) if (!order_column(window, level, lfirst_node(SortGroupClause, cell),
									   foreach_current_index(cell) - 1, why)) return false;
	return true;
}

/* ---- keys --------------------------------------------------------------------------------------- */

/* The keys of PARTITION BY, among the inputs. */
static bool
frame_keys(OverWindow *window, Query *level, const WindowClause *clause, OverFrame *frame,
		   const char **why)
{
	ListCell *cell;

	foreach (cell, clause->partitionClause)
	{
		SortGroupClause *item = lfirst_node(SortGroupClause, cell);
		Expr *expression = get_sortgroupclause_tle(item, level->targetList)->expr;
		OverKey *key = palloc(sizeof(OverKey));

		if (!OidIsValid(item->eqop) || !item->hashable)
		{
			*why = psprintf("values of type %s in PARTITION BY can't be hashed",
							format_type_be(exprType((Node *) expression)));
			return false;
		}
		key->column = inputs_add(&window->inputs, expression);
		key->type = exprType((Node *) expression);
		key->typmod = exprTypmod((Node *) expression);
		key->collation = exprCollation((Node *) expression);
		key->equality = item->eqop;
		frame->keys = lappend(frame->keys, key);
		frame->columns = bms_add_member(frame->columns, key->column);
	}
	return true;
}

static bool
same_keys(List *a, List *b)
{
	ListCell *left;
	ListCell *right;

	if (list_length(a) != list_length(b))
		return false;
	forboth (left, a, right, b)
	{
		OverKey *one = lfirst(left);
		OverKey *other = lfirst(right);

		if (one->column != other->column || one->equality != other->equality)
			return false;
	}
	return true;
}

/* Do results of both come at the same rows, and rows leave both at the same time? */
static bool
same_frame(const OverFrame *a, const OverFrame *b)
{
	return a->unbounded == b->unbounded && a->length == b->length && a->end == b->end &&
		   a->by_row == b->by_row && (a->by_row || a->order == b->order) &&
		   same_keys(a->keys, b->keys);
}

/* The frame of a call, made if there is none like it; NULL, with the reason, if it is of a kind that can't be done. */
static OverFrame *
find_frame(OverWindow *window, Query *level, const WindowFunc *call, SlidingBounds **bounds,
		   const char **why)
{
	const WindowClause *clause = list_nth_node(WindowClause, level->windowClause, call->winref - 1);
	OverFrame *frame = palloc0(sizeof(OverFrame));
	ListCell *cell;

	if (!frame_is_in_order(level, call, &window->stream))
	{
		*why = "a window is not ordered by the event time, or looks ahead";
		return NULL;
	}
	frame->order = list_length(clause->orderClause) - 1;
	if (!order_of_window(window, level, clause, why) ||
		!frame_of_call(call, clause, window->stream.time_type, frame, bounds, why) ||
		!frame_keys(window, level, clause, frame, why))
		return NULL;
	foreach (cell, window->frames)
		if (same_frame(lfirst(cell), frame))
			return lfirst(cell);
	frame->columns = bms_add_member(frame->columns, OVER_TIME_COLUMN);
	window->frames = lappend(window->frames, frame);
	return frame;
}

/* ---- functions ---------------------------------------------------------------------------------- */

OverFunction *
over_window_function(const OverWindow *window, const WindowFunc *call)
{
	ListCell *frame;
	ListCell *cell;

	foreach (frame, window->frames)
		foreach (cell, ((OverFrame *) lfirst(frame))->functions)
			if (equal(((OverFunction *) lfirst(cell))->call, call))
				return lfirst(cell);
	return NULL;
}

/* How the function is computed as its frame moves; NULL, with the reason, if there is no way. */
static struct SlidingAggregate *
method_of(const OverFunction *function, const OverFrame *frame, const char **why)
{
	const WindowFunc *call = function->call;
	Oid types[FUNC_MAX_ARGS];
	ListCell *cell;

	if (call->winfnoid == F_NTH_VALUE && !IsA(lsecond(call->args), Const))
	{
		*why = "nth_value counts to a number that is not a constant";
		return NULL;
	}
	if (list_length(function->types) > FUNC_MAX_ARGS)
	{
		*why = "a function has too many arguments";
		return NULL;
	}
	foreach (cell, function->types)
		types[foreach_current_index(cell)] = lfirst_oid(cell);
	if (function->bounds)
		return sliding_prepare_counted(call->winfnoid, call->inputcollid,
									   list_length(function->types), types, call->wintype,
									   function->bounds, why);
	return (frame->unbounded ? sliding_prepare_growing : sliding_prepare)(
		call->winfnoid, call->inputcollid, list_length(function->types), types, call->wintype, why);
}

static void
add_argument(OverFrame *frame, OverFunction *function, AttrNumber column, Oid type)
{
	function->arguments = lappend_int(function->arguments, column);
	function->types = lappend_oid(function->types, type);
	frame->columns = bms_add_member(frame->columns, column);
}

/* What ORDER BY has: the event time, and so many further columns. */
static void
add_order_arguments(OverWindow *window, OverFrame *frame, OverFunction *function, int further)
{
	add_argument(frame, function, OVER_TIME_COLUMN, window->stream.time_type);
	for (int i = 0; i < further; i++)
	{
		OverOrder *order = list_nth(window->order, i);

		add_argument(frame, function, order->column, order->type);
	}
}

static bool
add_function(OverWindow *window, OverFrame *frame, WindowFunc *call, SlidingBounds *bounds,
			 int further, const char **why)
{
	OverFunction *function = palloc0(sizeof(OverFunction));
	ListCell *cell;

	function->call = call;
	function->bounds = bounds;
	if (sliding_wants_order(call->winfnoid) || (bounds && bounds->order > 0))
		add_order_arguments(window, frame, function, further);
	foreach (cell, call->args)
		add_argument(frame, function,
					 inputs_add_argument(&window->inputs, lfirst(cell), call->aggfilter),
					 exprType(lfirst(cell)));
	function->method = method_of(function, frame, why);
	if (function->method == NULL)
		return false;
	function->number = window->nfunctions++;
	if (call->aggfilter)
	{
		function->filter = inputs_add(&window->inputs, call->aggfilter);
		frame->columns = bms_add_member(frame->columns, function->filter);
	}
	frame->functions = lappend(frame->functions, function);
	return true;
}

typedef struct FunctionContext
{
	OverWindow *window;
	Query *level;
	const char **why;
} FunctionContext;

/* Finds the window functions and their frames; true if one can't be done. */
static bool
collect_functions(Node *node, void *arg)
{
	FunctionContext *context = arg;
	WindowFunc *call = (WindowFunc *) node;
	WindowClause *clause;
	SlidingBounds *bounds;
	OverFrame *frame;

	if (node == NULL)
		return false;
	if (!IsA(node, WindowFunc))
		return expression_tree_walker(node, collect_functions, arg);
	if (over_window_function(context->window, call) != NULL)
		return false;
	clause = list_nth_node(WindowClause, context->level->windowClause, call->winref - 1);
	frame = find_frame(context->window, context->level, call, &bounds, context->why);
	return frame == NULL || !add_function(context->window, frame, call, bounds,
										  list_length(clause->orderClause) - 1, context->why);
}

/* ---- what passes by the windows ------------------------------------------------------------------- */

/* A record's columns are known to who made it only: it can't be kept. */
static bool
inputs_have_types(const OverWindow *window, const char **why)
{
	ListCell *cell;

	foreach (cell, window->inputs)
		if (exprType(lfirst(cell)) == RECORDOID)
			*why = "a column is of type record";
	return *why == NULL;
}

OverWindow *
over_window_analyse(Query *batch, const Shape *shape, bool *has_windows, const char **why)
{
	OverWindow *window = palloc0(sizeof(OverWindow));
	SliceBounds unbounded = {0};
	FunctionContext context = {.window = window, .why = why};

	*why = NULL;
	window->stream = shape->stream;
	window->query = slice_query(batch, shape, &unbounded, true, &window->time_column);
	aggregate_swap_exact_always(window->query);
	if (!find_level(window, has_windows, why))
		return NULL;
	context.level = over_window_level(window);
	if (!add_time(window, context.level))
		elog(ERROR, "a level without event time");
	if (expression_tree_walker((Node *) context.level->targetList, collect_functions, &context))
		return NULL;
	inputs_add_output(&window->inputs, context.level->targetList);
	return inputs_have_types(window, why) ? window : NULL;
}

OverWindow *
over_window_of_view(Oid view, Query *batch, const Shape *shape, bool *has_windows, const char **why)
{
	RoleSession session = role_begin(relation_owner(view));
	OverWindow *window = over_window_analyse(copyObject(batch), shape, has_windows, why);

	role_end(session);
	return window;
}

ViewMethod
over_window_view_method(Query *batch, const OverWindow *window, bool has_windows, const char *why)
{
	ViewMethod incremental = {"incremental", NULL};
	ViewMethod rows = {"rows", why};
	ViewMethod groups = {"groups", NULL};
	ViewMethod slices = {"slices", why};

	if (window)
		return incremental;
	if (has_windows)
		return slices;
	return shape_has_groups(batch) ? groups : rows;
}

/* ---- the queries ---------------------------------------------------------------------------------- */

/* The inputs; those that are not among the columns (NULL: all are) are null. */
static List *
chosen_inputs(const OverWindow *window, const Bitmapset *columns)
{
	List *inputs = NIL;
	ListCell *cell;

	foreach (cell, window->inputs)
		inputs = lappend(inputs, columns && !bms_is_member(foreach_current_index(cell) + 1, columns)
									 ? null_like(lfirst(cell))
									 : lfirst(cell));
	return inputs;
}

Query *
over_window_input(const OverWindow *window, const Bitmapset *columns, Expr *from, Expr *to)
{
	Query *query =
		inputs_query(copyObject(over_window_level(window)), chosen_inputs(window, columns));

	slice_bound_stream(query, &window->stream, from, to);
	return query;
}

/* What the columns of the source stand for: the inputs, and behind them the functions by their numbers. */
static List *
source_expressions(const OverWindow *window)
{
	int ninputs = list_length(window->inputs);
	List *expressions = list_copy(window->inputs);
	ListCell *frame;
	ListCell *cell;

	for (int i = 0; i < window->nfunctions; i++)
		expressions = lappend(expressions, NULL);
	foreach (frame, window->frames)
		foreach (cell, ((OverFrame *) lfirst(frame))->functions)
		{
			OverFunction *function = lfirst(cell);

			lfirst(list_nth_cell(expressions, ninputs + function->number)) = function->call;
		}
	return expressions;
}

/* The targets that are output, over the source. */
static List *
read_source(List *targets, const OverWindow *window, int rtindex)
{
	List *expressions = source_expressions(window);
	List *result = NIL;
	ListCell *cell;

	foreach (cell, targets)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (entry->resjunk)
			continue;
		entry->expr = (Expr *) inputs_read((Node *) entry->expr, expressions, rtindex);
		entry->ressortgroupref = 0;
		result = lappend(result, entry);
	}
	return result;
}

Query *
over_window_output(const OverWindow *window, RangeTblEntry *source)
{
	Query *query = copyObject(window->query);
	Query *level = shape_level(query, window->depth);
	int rtindex = shape_input(level);

	level->targetList = read_source(level->targetList, window, rtindex);
	level->windowClause = NIL;
	level->hasWindowFuncs = false;
	level->jointree->quals = NULL;
	lfirst(shape_input_entry(level)) = source;
	return query;
}

TupleDesc
over_window_source(const OverWindow *window)
{
	List *expressions = source_expressions(window);
	int ninputs = list_length(window->inputs);
	TupleDesc columns = CreateTemplateTupleDesc(list_length(expressions));
	ListCell *cell;

	foreach (cell, expressions)
	{
		Node *expression = lfirst(cell);
		AttrNumber column = foreach_current_index(cell) + 1;

		TupleDescInitEntry(columns, column,
						   column <= ninputs ? psprintf("i%d", column)
											 : psprintf("r%d", column - ninputs),
						   exprType(expression), exprTypmod(expression), 0);
		TupleDescInitEntryCollation(columns, column, exprCollation(expression));
	}
	return columns;
}
