/*
 * explain.c: how a continuous view is computed, and why not otherwise.
 *
 * Says what the maintainer and the planner would do with the view's query as it is now; what was found when it was last
 * maintained (states that need too much memory) stands in tidemark.view. Reads no row of the stream.
 */
#include "tidemark.h"

#include "aggregate/sliding.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "stream/time_index.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "view/layers.h"
#include "view/over_state.h"
#include "view/slice.h"

PG_FUNCTION_INFO_V1(tidemark_explain);

static void
put_line(ReturnSetInfo *result, const char *part, const char *how, const char *why)
{
	Datum values[] = {CStringGetTextDatum(part), CStringGetTextDatum(how),
					  why ? CStringGetTextDatum(why) : 0};
	bool nulls[] = {false, false, why == NULL};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* A length of event time, for people. */
static char *
length_text(const Stream *stream, int64 ticks)
{
	Interval *interval;

	if (stream->time_type == INT8OID)
		return psprintf(INT64_FORMAT, ticks);
	interval = palloc0(sizeof(Interval));
	if (stream->time_type == DATEOID)
		interval->day = ticks;
	else
		interval->time = ticks;
	return DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(interval)));
}

/* How far before the current row something lies, as SQL says it. */
static char *
bound_text(int64 distance)
{
	if (distance == SLIDING_FROM_START)
		return "UNBOUNDED PRECEDING";
	return distance == 0 ? "CURRENT ROW" : psprintf(INT64_FORMAT " PRECEDING", distance);
}

static char *
method_text(const OverFunction *function)
{
	const SlidingBounds *bounds = function->bounds;

	if (bounds == NULL)
		return pstrdup(sliding_method(function->method));
	return psprintf("%s over %s BETWEEN %s AND %s", sliding_method(function->method),
					bounds->order == 0 ? "ROWS" : "GROUPS", bound_text(bounds->first),
					bound_text(bounds->last));
}

/* So many ticks after the current row, or before it. */
static char *
side_text(const Stream *stream, int64 ticks)
{
	if (ticks == 0)
		return "the current row";
	return psprintf("%s %s", length_text(stream, ticks < 0 ? -ticks : ticks),
					ticks < 0 ? "back" : "ahead");
}

static char *
reach_text(const OverWindow *window, const OverFrame *frame)
{
	if (frame->by_row)
		return "row by row";
	if (frame->unbounded)
		return frame->end == 0
				   ? "from the start"
				   : psprintf("from the start to %s", side_text(&window->stream, frame->end));
	if (frame->end == 0)
		return psprintf("%s back", length_text(&window->stream, frame->length));
	return psprintf("%s to %s", side_text(&window->stream, -frame->length),
					side_text(&window->stream, frame->end));
}

static void
put_frame(ReturnSetInfo *result, const OverWindow *window, const OverFrame *frame, int number)
{
	char *part = psprintf("window %d", number);
	char *reach = reach_text(window, frame);
	int nkeys = list_length(frame->keys);
	ListCell *cell;

	put_line(result, part,
			 nkeys == 0 ? reach
						: psprintf("%s, for each value of %d expression%s", reach, nkeys,
								   nkeys == 1 ? "" : "s"),
			 NULL);
	foreach (cell, frame->functions)
	{
		OverFunction *function = lfirst(cell);

		put_line(result, psprintf("%s: %s", part, format_procedure(function->call->winfnoid)),
				 method_text(function),
				 sliding_holds_rows(function->method)
					 ? "its state holds values of the rows in the window"
					 : NULL);
	}
}

static void
put_index(ReturnSetInfo *result, const Stream *stream)
{
	char *index = time_index_text(stream->relid, stream->attnum);

	put_line(result, "index on the event time", index ? index : "none",
			 index ? NULL
				   : "each step reads the whole table; CREATE INDEX ... USING brin "
					 "(event_time) costs writers little");
}

static void
put_lookback(ReturnSetInfo *result, const Shape *shape)
{
	put_line(result, "lookback",
			 lookback_is_unbounded(&shape->lookback)
				 ? "to the start"
				 : length_text(&shape->stream,
							   lookback_ticks(shape->stream.time_type, &shape->lookback)),
			 NULL);
}

/* Which rows of a key are kept, for people. */
static const char *
kept_text(const Keyed *keyed, int64 dedup_for)
{
	if (dedup_for > 0)
		return psprintf("the first row of each key, for %s",
						length_text(&keyed->stream, dedup_for));
	if (keyed->groups)
		return psprintf("the states of %d aggregate%s of each %s", list_length(keyed->aggregates),
						list_length(keyed->aggregates) == 1 ? "" : "s",
						keyed->sessions ? "session" : "key");
	switch (keyed->count)
	{
		case KEYED_RANK:
			return psprintf("the first " INT64_FORMAT
							" of each key, and those equal to the last of them",
							keyed->limit);
		case KEYED_DENSE_RANK:
			return psprintf("the first " INT64_FORMAT
							" different ones of each key, and all equal to them",
							keyed->limit);
		default:
			return keyed->limit == 1
					   ? "the first row of each key"
					   : psprintf("the first " INT64_FORMAT " rows of each key", keyed->limit);
	}
}

static void
put_keys(ReturnSetInfo *result, const Keyed *keyed, int64 dedup_for)
{
	int nkeys = list_length(keyed->keys);

	put_line(result, "key",
			 nkeys == 0 ? "none" : psprintf("%d expression%s", nkeys, nkeys == 1 ? "" : "s"), NULL);
	put_line(result, "kept", kept_text(keyed, dedup_for),
			 keyed->in_arrival_order ? "no row is overtaken by one with a later event time" : NULL);
}

/* An index of the stream on a key, as text; NULL: there is none. *any: is a key a column of the stream? */
static char *
key_index_text(const Keyed *keyed, bool *any)
{
	char *text = NULL;
	ListCell *cell;

	*any = false;
	foreach (cell, keyed->keys)
	{
		AttrNumber column = keyed_stream_column(keyed, ((KeyedColumn *) lfirst(cell))->column);

		*any |= column != InvalidAttrNumber;
		if (text == NULL && column != InvalidAttrNumber)
			text = time_index_text(keyed->stream.relid, column);
	}
	return text;
}

/* What reads the stream by key. */
static void
put_key_index(ReturnSetInfo *result, const Keyed *keyed)
{
	bool any;
	char *index = key_index_text(keyed, &any);

	if (index)
		put_line(result, "index on a key", index, NULL);
	else if (any)
		put_line(result, "index on a key", "none",
				 keyed->in_arrival_order && keyed->limit == 1
					 ? "UPDATE and DELETE below the frontier read the stream"
					 : "who asks for one key reads all that is above the frontier; UPDATE and "
					   "DELETE below it read the stream");
}

/* Of a query over the stream, or over rows that the view keeps. */
static void
put_windows(ReturnSetInfo *result, Oid relid, Query *batch, const Shape *shape)
{
	const Stream *stream = &shape->stream;
	bool saved = over_state_tables(relid, shape) != NIL;
	bool has_windows;
	const char *why;
	OverWindow *window = over_window_of_view(relid, batch, shape, &has_windows, &why);
	ListCell *cell;

	if (window)
		foreach (cell, window->frames)
			put_frame(result, window, lfirst(cell), foreach_current_index(cell) + 1);
	put_lookback(result, shape);
	if (lookback_ticks(stream->time_type, &shape->lookahead) > 0)
		put_line(result, "lookahead",
				 length_text(stream, lookback_ticks(stream->time_type, &shape->lookahead)),
				 "what is not that far behind the watermark is not final");
	put_line(result, "live tail", saved ? "from saved states" : "by slice",
			 saved || !has_windows ? NULL
			 : window			   ? "the states can't be saved"
								   : why);
}

static void
explain(ReturnSetInfo *result, Oid relid)
{
	ViewMethod method = view_method(relid);
	ContinuousView view;
	Shape shape;
	Access access;
	Layers *layers;
	Query *batch = slice_batch_query(relid, &shape, &access);

	view_require(relid, &view);
	if (shape.refusal)
	{
		put_line(result, "maintenance", "none", shape.refusal);
		return;
	}
	put_line(result, "maintenance", method.method, method.reason);
	if (shape.keyed)
		put_keys(result, shape.keyed, view.dedup_for);
	if (layers_has(&shape))
	{
		layers = layers_of(&view, &shape, batch);
		if (layers->keyed == NULL)
			put_line(result, "kept", "the groups",
					 "for the windows over them the stream is not read again");
		put_windows(result, relid, layers->batch, &layers->shape);
	}
	else if (shape.keyed)
		put_line(result, "live tail", "merged by key", NULL);
	else
		put_windows(result, relid, batch, &shape);
	put_index(result, &shape.stream);
	if (shape.keyed && !shape.keyed->sessions && view.dedup_for == 0)
		put_key_index(result, shape.keyed);
}

Datum
tidemark_explain(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);

	InitMaterializedSRF(fcinfo, 0);
	explain((ReturnSetInfo *) fcinfo->resultinfo, relid);
	return (Datum) 0;
}
