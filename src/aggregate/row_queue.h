/*
 * row_queue.h: the arguments of the rows in a window, oldest first: for methods that have to keep
 * them.
 */
#ifndef TIDEMARK_AGGREGATE_ROW_QUEUE_H
#define TIDEMARK_AGGREGATE_ROW_QUEUE_H

#include "aggregate/sliding_method.h"

/* The types of a row's arguments; may be shared by many queues. */
typedef struct RowType
{
	int nargs;
	bool can_save; /* all of them */
	KeptType *types;
} RowType;

/* A ring of rows. May be embedded in another struct. */
typedef struct RowQueue
{
	MemoryContext context;
	NullableDatum *values; /* capacity * nargs */
	int64 first;
	int64 count;
	int64 capacity; /* a power of two */
} RowQueue;

extern void row_type_init(RowType *type, const SlidingAggregate *call);

extern void row_queue_init(RowQueue *queue, MemoryContext context);
extern void row_queue_push(RowQueue *queue, RowType *type, const NullableDatum *args);
extern void row_queue_pop(RowQueue *queue, RowType *type); /* the oldest */

/* Frees what it holds: an empty queue again. */
extern void row_queue_clear(RowQueue *queue, RowType *type);

/* Returns false when buf gets longer than SLIDING_SAVE_LIMIT. */
extern bool row_queue_write(RowQueue *queue, RowType *type, StringInfo buf);
extern void row_queue_read(RowQueue *queue, RowType *type, StringInfo buf);

/* The arguments of a row, counted from the oldest. */
static inline NullableDatum *
row_queue_at(RowQueue *queue, const RowType *type, int64 i)
{
	return &queue->values[((queue->first + i) & (queue->capacity - 1)) * type->nargs];
}

#endif
