/*
 * counted_frame.c: any aggregate over a frame that is counted in rows (ROWS) or in groups of peers (GROUPS).
 *
 *   ROWS BETWEEN 4 PRECEDING AND 1 PRECEDING, at the row *:
 *
 *      a  b  c  d  e  *
 *         └────────┘        in the frame: added to an aggregate that slides (or grows, where the frame begins at the start)
 *         └───────────┘     held here: what is in the frame, and what waits to enter it
 *
 * Which rows leave such a frame depends on what comes, not on event time. So it holds its rows itself, and evicts them
 * when it gets a new one: its caller only adds. Rows that FILTER passes over are held too, because they count. The memory of
 * a state goes with the frame's length; where the frame begins at the start, with the rows that wait only.
 *
 * Groups are told apart by the columns of ORDER BY, which are the first of the arguments. A group enters as a whole, unless it is
 * the current one, which enters row by row: so results are right when a group is whole.
 *
 * A saved state has the rows held. What the aggregate makes of them is made anew, unless it has more of them: then it is saved too.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "utils/memutils.h"

#include "aggregate/peer_group.h"
#include "aggregate/row_queue.h"

typedef struct CountedFrame
{
	SlidingAggregate base;
	SlidingMethod method; /* with the inner one's name */
	SlidingBounds bounds;
	SlidingAggregate *inner;
	RowType row;	/* is it let through by FILTER, and the aggregate's arguments */
	RowType size;	/* one number */
	PeerType order; /* GROUPS: what groups are told apart by */
} CountedFrame;

typedef struct CountedState
{
	RowQueue rows; /* oldest first */
	int64
		ready; /* so many of them, from the first, are near enough to the current row to have entered */
	int64 entered;
	RowQueue groups; /* GROUPS: how many rows each has */
	PeerGroup newest;
	void *inner; /* the rows that have entered */
} CountedState;

static inline bool
is_unbounded(const CountedFrame *frame)
{
	return frame->bounds.first == SLIDING_FROM_START;
}

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	CountedState *state = MemoryContextAllocZero(context, sizeof(CountedState));

	row_queue_init(&state->rows, context);
	row_queue_init(&state->groups, context);
	state->inner = sliding_new(((CountedFrame *) aggregate)->inner, context);
	return state;
}

static void
destroy(SlidingAggregate *aggregate, void *pointer)
{
	CountedFrame *frame = (CountedFrame *) aggregate;
	CountedState *state = pointer;

	row_queue_clear(&state->rows, &frame->row);
	row_queue_clear(&state->groups, &frame->size);
	peer_group_clear(&state->newest, &frame->order);
	sliding_free(frame->inner, state->inner);
	pfree(state);
}

/* ---------- rows and groups ---------- */

/* In ROWS, each row is a group of its own. */
static int64
count_groups(const CountedFrame *frame, const CountedState *state)
{
	return frame->bounds.order == 0 ? state->rows.count : state->groups.count;
}

static NullableDatum *
size_at(CountedFrame *frame, CountedState *state, int64 group)
{
	return row_queue_at(&state->groups, &frame->size, group);
}

static int64
group_size(CountedFrame *frame, CountedState *state, int64 group)
{
	return frame->bounds.order == 0 ? 1 : DatumGetInt64(size_at(frame, state, group)->value);
}

static void
push_group(CountedFrame *frame, CountedState *state, int64 size)
{
	NullableDatum value = {.value = Int64GetDatum(size)};

	if (frame->bounds.order > 0)
		row_queue_push(&state->groups, &frame->size, &value);
}

static void
enter_ready(CountedFrame *frame, CountedState *state)
{
	while (state->entered < state->ready)
	{
		const NullableDatum *row = row_queue_at(&state->rows, &frame->row, state->entered++);

		if (DatumGetBool(row[0].value))
			sliding_add(frame->inner, state->inner, row + 1);
	}
}

/* The oldest group is held no more: it has left the frame, or has entered one that nothing leaves. */
static void
pop_group(CountedFrame *frame, CountedState *state)
{
	for (int64 size = group_size(frame, state, 0); size > 0; size--)
	{
		const NullableDatum *row = row_queue_at(&state->rows, &frame->row, 0);

		if (state->entered > 0 && !is_unbounded(frame) && DatumGetBool(row[0].value))
			sliding_evict(frame->inner, state->inner, row + 1);
		state->entered = Max(state->entered - 1, 0);
		state->ready = Max(state->ready - 1, 0);
		row_queue_pop(&state->rows, &frame->row);
	}
	if (frame->bounds.order > 0)
		row_queue_pop(&state->groups, &frame->size);
}

/* A group has begun, the newest: the one that lies bounds.last before it is ready now. */
static void
begin_group(CountedFrame *frame, CountedState *state)
{
	int64 group = count_groups(frame, state) - 1 - frame->bounds.last;
	int64 held = is_unbounded(frame) ? frame->bounds.last : frame->bounds.first + 1;

	if (group >= 0 && frame->bounds.last > 0)
		state->ready += group_size(frame, state, group);
	enter_ready(frame, state);
	while (count_groups(frame, state) > held)
		pop_group(frame, state);
}

/* In ROWS, it is known before a row comes which one leaves: so there is never one more than needed. */
static void
make_room(CountedFrame *frame, CountedState *state)
{
	if (frame->bounds.order == 0 && !is_unbounded(frame) && state->rows.count > frame->bounds.first)
		pop_group(frame, state);
}

static void
add_row(CountedFrame *frame, CountedState *state, const NullableDatum *args, bool counts)
{
	int order = frame->bounds.order;
	bool begins = order == 0 ||
				  peer_group_begins(&state->newest, &frame->order, args, state->rows.context);
	NullableDatum row[FUNC_MAX_ARGS + 1];

	row[0].isnull = false;
	row[0].value = BoolGetDatum(counts);
	for (int i = 1; i < frame->row.nargs; i++)
	{
		row[i].isnull = !counts || args[order + i - 1].isnull;
		row[i].value = row[i].isnull ? (Datum) 0 : args[order + i - 1].value;
	}
	make_room(frame, state);
	row_queue_push(&state->rows, &frame->row, row);
	if (begins)
	{
		push_group(frame, state, 1);
		begin_group(frame, state);
	}
	else
		size_at(frame, state, state->groups.count - 1)->value++;
	if (frame->bounds.last == 0)
	{
		state->ready = state->rows.count;
		enter_ready(frame, state);
	}
}

/* ---------- the method ---------- */

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	add_row((CountedFrame *) aggregate, state, args, true);
}

static void
pass(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	add_row((CountedFrame *) aggregate, state, args, false);
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	elog(ERROR, "a row leaves a frame that evicts its rows itself");
}

static Datum
result(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	return sliding_result(((CountedFrame *) aggregate)->inner, ((CountedState *) state)->inner,
						  isnull);
}

/* ---------- saving ---------- */

static bool
write_rows(CountedFrame *frame, CountedState *state, StringInfo buf)
{
	pq_sendint64(buf, state->rows.count);
	for (int64 i = 0; i < state->rows.count; i++)
	{
		NullableDatum *row = row_queue_at(&state->rows, &frame->row, i);

		pq_sendbyte(buf, DatumGetBool(row[0].value));
		for (int j = 1; j < frame->row.nargs; j++)
		{
			pq_sendbyte(buf, row[j].isnull);
			if (!row[j].isnull)
				kept_value_write(&frame->row.types[j], row[j].value, buf);
		}
		if (buf->len > SLIDING_SAVE_LIMIT)
			return false;
	}
	return true;
}

static void
read_rows(CountedFrame *frame, CountedState *state, StringInfo buf)
{
	int64 count = pq_getmsgint64(buf);
	NullableDatum row[FUNC_MAX_ARGS + 1];

	while (state->rows.count < count)
	{
		row[0].isnull = false;
		row[0].value = BoolGetDatum(pq_getmsgbyte(buf) != 0);
		for (int j = 1; j < frame->row.nargs; j++)
		{
			row[j].isnull = pq_getmsgbyte(buf) != 0;
			row[j].value = row[j].isnull
							   ? (Datum) 0
							   : kept_value_read(&frame->row.types[j], buf, CurrentMemoryContext);
		}
		row_queue_push(&state->rows, &frame->row, row);
	}
}

/* GROUPS: their sizes, and by what the newest is told from the next. */
static bool
write_groups(CountedFrame *frame, CountedState *state, StringInfo buf)
{
	if (frame->bounds.order == 0)
		return true;
	peer_group_write(&state->newest, &frame->order, buf);
	return row_queue_write(&state->groups, &frame->size, buf);
}

static void
read_groups(CountedFrame *frame, CountedState *state, StringInfo buf)
{
	int64 rows = 0;

	if (frame->bounds.order == 0)
		return;
	peer_group_read(&state->newest, &frame->order, buf, state->rows.context);
	row_queue_read(&state->groups, &frame->size, buf);
	for (int64 i = 0; i < state->groups.count; i++)
	{
		int64 size = group_size(frame, state, i);

		if (size < 1 || size > state->rows.count - rows)
			sliding_bad_bytes();
		rows += size;
	}
	if (rows != state->rows.count)
		sliding_bad_bytes();
}

static bool
write_inner(CountedFrame *frame, CountedState *state, StringInfo buf)
{
	bytea *inner;

	if (!is_unbounded(frame))
		return true;
	inner = sliding_save(frame->inner, state->inner);
	if (inner == NULL)
		return false;
	pq_sendint32(buf, VARSIZE_ANY_EXHDR(inner));
	pq_sendbytes(buf, VARDATA_ANY(inner), VARSIZE_ANY_EXHDR(inner));
	pfree(inner);
	return true;
}

static void
read_inner(CountedFrame *frame, CountedState *state, StringInfo buf)
{
	int length;
	bytea *inner;

	if (!is_unbounded(frame))
		return;
	length = pq_getmsgint(buf, 4);
	if (length < 0 || length > buf->len - buf->cursor)
		sliding_bad_bytes();
	inner = palloc(VARHDRSZ + length);
	SET_VARSIZE(inner, VARHDRSZ + length);
	memcpy(VARDATA(inner), pq_getmsgbytes(buf, length), length);
	sliding_free(frame->inner, state->inner);
	state->inner = sliding_load(frame->inner, inner, state->rows.context);
	pfree(inner);
}

/* Of the rows that were read, those enter that are in a frame that something leaves. */
static void
enter_again(CountedFrame *frame, CountedState *state)
{
	int64 ngroups = count_groups(frame, state) - frame->bounds.last;

	for (int64 i = 0; i < ngroups && !is_unbounded(frame); i++)
		state->ready += group_size(frame, state, i);
	enter_ready(frame, state);
}

static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	CountedFrame *frame = (CountedFrame *) aggregate;

	return write_rows(frame, state, buf) && write_groups(frame, state, buf) &&
		   write_inner(frame, state, buf);
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	CountedFrame *frame = (CountedFrame *) aggregate;

	read_rows(frame, state, buf);
	read_groups(frame, state, buf);
	read_inner(frame, state, buf);
	enter_again(frame, state);
}

/* ---------- the choice ---------- */

static const SlidingMethod method = {
	NULL, 'c', false, true, create, destroy, add, evict, result, save, load, pass,
};

/* The types of a row that is held: a boolean, and the arguments. */
static void
init_row(RowType *row, const SlidingAggregate *call)
{
	Oid types[FUNC_MAX_ARGS + 1];
	SlidingAggregate held = {.nargs = call->nargs + 1, .argument_types = types};

	types[0] = BOOLOID;
	memcpy(types + 1, call->argument_types, call->nargs * sizeof(Oid));
	row_type_init(row, &held);
}

SlidingAggregate *
counted_frame_prepare(const SlidingAggregate *call, SlidingAggregate *inner,
					  const SlidingBounds *bounds)
{
	Oid int8_type = INT8OID;
	SlidingAggregate number = {.nargs = 1, .argument_types = &int8_type};
	CountedFrame *frame = (CountedFrame *) sliding_make(call, sizeof(CountedFrame), &method);

	frame->inner = inner;
	frame->bounds = *bounds;
	init_row(&frame->row, inner);
	row_type_init(&frame->size, &number);
	peer_type_init(&frame->order, bounds->order, call->argument_types);
	frame->method = method;
	frame->method.name = sliding_method(inner);
	if (!frame->row.can_save || !frame->order.can_save ||
		(is_unbounded(frame) && !sliding_can_save(inner)))
	{
		frame->method.save = NULL;
		frame->method.load = NULL;
	}
	frame->base.method = &frame->method;
	return &frame->base;
}
