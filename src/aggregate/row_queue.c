/*
 * row_queue.c: the arguments of the rows in a window, oldest first.
 *
 * A ring that grows by doubling and shrinks when it is nearly empty, so that it takes no more than
 * a few times what is in it. Values that aren't held by value are copies, freed one by one when
 * their row leaves.
 */
#include "tidemark.h"

#include "libpq/pqformat.h"
#include "utils/memutils.h"

#include "aggregate/row_queue.h"

#define FIRST_CAPACITY 2

void
row_type_init(RowType *type, const SlidingAggregate *call)
{
	type->nargs = call->nargs;
	type->types = palloc(sizeof(KeptType) * Max(call->nargs, 1));
	type->can_save = true;
	for (int i = 0; i < call->nargs; i++)
	{
		kept_type_init(&type->types[i], call->argument_types[i]);
		type->can_save = type->can_save && type->types[i].can_save;
	}
}

void
row_queue_init(RowQueue *queue, MemoryContext context)
{
	memset(queue, 0, sizeof(*queue));
	queue->context = context;
}

static void
resize(RowQueue *queue, RowType *type, int64 capacity)
{
	Size row = sizeof(NullableDatum) * type->nargs;
	NullableDatum *values = MemoryContextAllocHuge(queue->context, Max(row * capacity, 1));

	for (int64 i = 0; i < queue->count; i++)
		memcpy(&values[i * type->nargs], row_queue_at(queue, type, i), row);
	if (queue->values)
		pfree(queue->values);
	queue->values = values;
	queue->first = 0;
	queue->capacity = capacity;
}

void
row_queue_push(RowQueue *queue, RowType *type, const NullableDatum *args)
{
	NullableDatum *row;

	if (queue->count == queue->capacity)
		resize(queue, type, Max(queue->capacity * 2, FIRST_CAPACITY));
	row = row_queue_at(queue, type, queue->count);
	for (int i = 0; i < type->nargs; i++)
	{
		row[i].isnull = args[i].isnull;
		row[i].value = args[i].isnull
						   ? (Datum) 0
						   : kept_value_copy(&type->types[i], args[i].value, queue->context);
	}
	queue->count++;
}

static void
free_row(RowType *type, NullableDatum *row)
{
	for (int i = 0; i < type->nargs; i++)
		if (!row[i].isnull)
			kept_value_free(&type->types[i], row[i].value);
}

void
row_queue_pop(RowQueue *queue, RowType *type)
{
	if (queue->count == 0)
		return;
	free_row(type, row_queue_at(queue, type, 0));
	queue->first = (queue->first + 1) & (queue->capacity - 1);
	queue->count--;
	if (queue->capacity > 16 * FIRST_CAPACITY && queue->count < queue->capacity / 8)
		resize(queue, type, queue->capacity / 4);
}

void
row_queue_clear(RowQueue *queue, RowType *type)
{
	for (int64 i = 0; i < queue->count; i++)
		free_row(type, row_queue_at(queue, type, i));
	if (queue->values)
		pfree(queue->values);
	row_queue_init(queue, queue->context);
}

/* The number of rows; for each of a row's arguments a byte that says if it is null, and the value. */
bool
row_queue_write(RowQueue *queue, RowType *type, StringInfo buf)
{
	pq_sendint64(buf, queue->count);
	for (int64 i = 0; i < queue->count; i++)
	{
		NullableDatum *row = row_queue_at(queue, type, i);

		for (int j = 0; j < type->nargs; j++)
		{
			pq_sendbyte(buf, row[j].isnull);
			if (!row[j].isnull)
				kept_value_write(&type->types[j], row[j].value, buf);
		}
		if (buf->len > SLIDING_SAVE_LIMIT)
			return false;
	}
	return true;
}

void
row_queue_read(RowQueue *queue, RowType *type, StringInfo buf)
{
	int64 count = pq_getmsgint64(buf);
	NullableDatum row[FUNC_MAX_ARGS];

	if (count < 0 || (type->nargs == 0 && count > 0))
		sliding_bad_bytes();
	while (queue->count < count)
	{
		for (int j = 0; j < type->nargs; j++)
		{
			row[j].isnull = pq_getmsgbyte(buf) != 0;
			row[j].value = row[j].isnull
							   ? (Datum) 0
							   : kept_value_read(&type->types[j], buf, CurrentMemoryContext);
		}
		row_queue_push(queue, type, row);
	}
}
