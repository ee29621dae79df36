/*
 * shared_slices.c: slices of a stream that several views read in one step.
 *
 *   stream                                            view a: SELECT ... FROM slice WHERE x > 0
 *     (after, to], the columns that a or b reads ───▶ slice
 *     by event time                                   view b: SELECT ... FROM slice
 *
 * A slice is read once, sorted by event time, and kept in a tuplestore. A view's query reads it under the columns' own
 * numbers, so that all that stands above the stream is as it is; columns that nobody reads are null in it. There is one input a level
 * and nothing that sorts or groups in such a query, so its rows come in the order of the slice.
 *
 * Views read other slices only if they share one snapshot: what a slice holds is right for the snapshot that it was read in. It is read with
 * the rights of the stream's owner. Each view's owner has been seen to have the right to read all rows (slice_batch_query), as for the
 * query that reads the stream itself.
 */
#include "tidemark.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/tstoreReceiver.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "view/shape.h"
#include "view/shared_slices.h"
#include "view/slice.h"

/* What a slice may take in memory, sorted and then kept; more is on disk. */
#define SLICE_KB (16 * 1024)

typedef struct SharedSlice
{
	Ticks after;
	Ticks to;
	int wanted;			   /* how often */
	Bitmapset *columns;	   /* of the stream */
	Tuplestorestate *rows; /* NULL: not read */
	TupleDesc descriptor;  /* of the rows */
} SharedSlice;

struct SharedSlices
{
	Stream stream;
	List *slices; /* of SharedSlice */
};

SharedSlices *
shared_slices_create(const Stream *stream)
{
	SharedSlices *slices = palloc0(sizeof(SharedSlices));

	slices->stream = *stream;
	return slices;
}

static SharedSlice *
find_slice(const SharedSlices *slices, Ticks after, Ticks to)
{
	ListCell *cell;

	foreach (cell, slices->slices)
	{
		SharedSlice *slice = lfirst(cell);

		if (slice->after == after && slice->to == to)
			return slice;
	}
	return NULL;
}

/* The columns of the stream that the query reads; false if it reads whole rows, or not all partitions. */
static bool
columns_read(Query *query, Bitmapset **columns)
{
	Query *level = shape_stream_level(query);
	int rtindex = shape_input(level);
	Bitmapset *attributes = NULL;
	int i = -1;

	pull_varattnos((Node *) level->targetList, rtindex, &attributes);
	pull_varattnos((Node *) level->jointree, rtindex, &attributes);
	*columns = NULL;
	while ((i = bms_next_member(attributes, i)) >= 0)
	{
		AttrNumber column = i + FirstLowInvalidHeapAttributeNumber;

		if (column <= 0)
			return false;
		*columns = bms_add_member(*columns, column);
	}
	return lfirst_node(RangeTblEntry, shape_input_entry(level))->inh;
}

void
shared_slices_want(SharedSlices *slices, Query *query, Ticks after, Ticks to)
{
	SharedSlice *slice = find_slice(slices, after, to);
	Bitmapset *columns;

	if (!columns_read(query, &columns))
		return;
	if (slice == NULL)
	{
		slice = palloc0(sizeof(SharedSlice));
		slice->after = after;
		slice->to = to;
		slices->slices = lappend(slices->slices, slice);
	}
	slice->wanted++;
	slice->columns = bms_add_members(slice->columns, columns);
}

/* SELECT the slice's columns FROM the stream, with a null for each other column. */
static Query *
slice_of_stream(const Stream *stream, const SharedSlice *slice)
{
	Relation rel = table_open(stream->relid, AccessShareLock);
	TupleDesc columns = RelationGetDescr(rel);
	RangeTblEntry *entry = table_entry(stream->relid);
	Query *like = makeNode(Query);
	Query *query;

	for (AttrNumber i = 1; i <= columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, i - 1);
		Expr *value =
			(Expr *) makeVar(1, i, column->atttypid, column->atttypmod, column->attcollation, 0);

		if (column->attisdropped)
			value = (Expr *) makeNullConst(INT4OID, -1, InvalidOid);
		else if (!bms_is_member(i, slice->columns))
			value = null_like((Node *) value);
		like->targetList = lappend(
			like->targetList, makeTargetEntry(value, i, pstrdup(NameStr(column->attname)), false));
	}
	entry->relkind = rel->rd_rel->relkind;
	query = select_from(entry, like);
	query->targetList = like->targetList;
	compat_unchecked(query);
	table_close(rel, NoLock);
	return query;
}

static void
read_slice(const Stream *stream, SharedSlice *slice)
{
	DestReceiver *receiver = CreateTuplestoreDestReceiver();
	Query *query;

	slice->columns = bms_add_member(slice->columns, stream->attnum);
	query = slice_of_stream(stream, slice);
	slice_bound_stream(query, stream, slice_after(stream->time_type, slice->after),
					   slice_time_constant(stream->time_type, slice->to));
	order_by(query, stream->attnum);
	slice->rows = tuplestore_begin_heap(false, false, SLICE_KB);
	slice->descriptor = ExecCleanTypeFromTL(query->targetList);
	SetTuplestoreDestReceiverParams(receiver, slice->rows, CurrentMemoryContext, false, NULL, NULL);
	slice_run(query, receiver, NULL);
	receiver->rDestroy(receiver);
}

void
shared_slices_read(SharedSlices *slices)
{
	RoleSession session = role_begin(relation_owner(slices->stream.relid));
	ListCell *cell;

	(void) set_config_option("work_mem", psprintf("%dkB", SLICE_KB), PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	foreach (cell, slices->slices)
	{
		SharedSlice *slice = lfirst(cell);

		if (slice->wanted > 1)
			read_slice(&slices->stream, slice);
	}
	role_end(session);
}

QueryEnvironment *
shared_slices_use(const SharedSlices *slices, Query *query, Ticks after, Ticks to)
{
	SharedSlice *slice = find_slice(slices, after, to);
	Bitmapset *columns;

	if (slice == NULL || slice->rows == NULL || !columns_read(query, &columns) ||
		!bms_is_subset(columns, slice->columns))
		return NULL;
	lfirst(shape_input_entry(shape_stream_level(query))) =
		tuplestore_entry(slice->descriptor, tuplestore_tuple_count(slice->rows));
	return tuplestore_environment(slice->rows, slice->descriptor);
}
