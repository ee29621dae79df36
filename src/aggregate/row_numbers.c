/*
 * row_numbers.c: row_number, rank and dense_rank, as rows come one after the other.
 *
 * These are window functions, not aggregates: they count the rows of the partition up to the current one, whatever the frame. A rank is
 * the number of the first of its peers; which rows are peers is told by the columns of ORDER BY, which are the
 * arguments of rank and dense_rank here.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"

#include "aggregate/peer_group.h"

typedef struct Numbers
{
	SlidingAggregate base;
	PeerType order;
} Numbers;

/* There may be one for each of millions of keys. */
typedef struct NumberState
{
	int64 rows;
	int64 rank;		  /* of the newest row */
	int64 dense_rank; /* likewise */
	PeerGroup peers;
} NumberState;

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	return MemoryContextAllocZero(context, sizeof(NumberState));
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	peer_group_clear(&((NumberState *) state)->peers, &((Numbers *) aggregate)->order);
	pfree(state);
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	NumberState *numbers = state;

	numbers->rows++;
	if (aggregate->nargs == 0 ||
		!peer_group_begins(&numbers->peers, &((Numbers *) aggregate)->order, args,
						   GetMemoryChunkContext(numbers)))
		return;
	numbers->rank = numbers->rows;
	numbers->dense_rank++;
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	elog(ERROR, "a row leaves what counts all rows");
}

static Datum
result_row_number(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	return Int64GetDatum(((NumberState *) state)->rows);
}

static Datum
result_rank(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	return Int64GetDatum(((NumberState *) state)->rank);
}

static Datum
result_dense_rank(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	return Int64GetDatum(((NumberState *) state)->dense_rank);
}

static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	NumberState *numbers = state;

	pq_sendint64(buf, numbers->rows);
	pq_sendint64(buf, numbers->rank);
	pq_sendint64(buf, numbers->dense_rank);
	peer_group_write(&numbers->peers, &((Numbers *) aggregate)->order, buf);
	return true;
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	NumberState *numbers = state;

	numbers->rows = pq_getmsgint64(buf);
	numbers->rank = pq_getmsgint64(buf);
	numbers->dense_rank = pq_getmsgint64(buf);
	peer_group_read(&numbers->peers, &((Numbers *) aggregate)->order, buf,
					GetMemoryChunkContext(numbers));
}

#define METHODS(name, result)                                                                      \
	{                                                                                              \
		{name, 'n', false, false, create, destroy, add, evict, result, NULL, NULL},                \
			{name, 'n', false, false, create, destroy, add, evict, result, save, load},            \
	}

/* Without and with saving. */
static const SlidingMethod row_number_methods[] = METHODS("row number", result_row_number);
static const SlidingMethod rank_methods[] = METHODS("rank", result_rank);
static const SlidingMethod dense_rank_methods[] = METHODS("dense rank", result_dense_rank);

bool
sliding_wants_order(Oid function)
{
	return function == F_RANK_ || function == F_DENSE_RANK_;
}

SlidingAggregate *
row_numbers_prepare(const SlidingAggregate *call)
{
	const SlidingMethod *methods;
	PeerType order;
	Numbers *numbers;

	switch (call->function)
	{
		case F_ROW_NUMBER:
			methods = row_number_methods;
			break;
		case F_RANK_:
			methods = rank_methods;
			break;
		case F_DENSE_RANK_:
			methods = dense_rank_methods;
			break;
		default:
			return NULL;
	}
	peer_type_init(&order, call->nargs, call->argument_types);
	numbers = (Numbers *) sliding_make(call, sizeof(Numbers), &methods[order.can_save ? 1 : 0]);
	numbers->order = order;
	return &numbers->base;
}
