/*
 * over_scan.c: rows out of a query in event-time order, and rows into a query.
 *
 * Head and tail of the windows are two scans that go on side by side, each as far as the other needs it. So they
 * are not run to their end by the executor, but asked for one row at a time.
 *
 * What leaves the windows goes through the rest of the view's query, which is an ordinary plan over a tuplestore. It is
 * run again for each thousand rows: they stay in memory, and nothing is planned or started anew.
 */
#include "tidemark.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
#include "view/over_scan.h"
#include "view/slice.h"

#define BATCH_ROWS 1000
#define BATCH_KB 8192

static QueryDesc *
start_query(Query *query, QueryEnvironment *environment)
{
	PlannedStmt *plan = pg_plan_query(query, "", 0, NULL);
	QueryDesc *description = CreateQueryDesc(plan, "", GetActiveSnapshot(), InvalidSnapshot,
											 None_Receiver, NULL, environment, 0);

	ExecutorStart(description, 0);
	return description;
}

static TupleTableSlot *
next_row(QueryDesc *query)
{
	MemoryContext old = MemoryContextSwitchTo(query->estate->es_query_cxt);
	TupleTableSlot *row;

	ResetPerTupleExprContext(query->estate);
	row = ExecProcNode(query->planstate);
	MemoryContextSwitchTo(old);
	return TupIsNull(row) ? NULL : row;
}

static void
end_query(QueryDesc *query)
{
	ExecutorFinish(query);
	ExecutorEnd(query);
	FreeQueryDesc(query);
}

/* ---- scans -------------------------------------------------------------------------------------- */

/* And by what follows the event time in the windows' ORDER BY. */
static void
order_by_columns(Query *query, const List *columns)
{
	ListCell *cell;

	foreach (cell, columns)
	{
		OverOrder *order = lfirst(cell);
		TargetEntry *column = list_nth_node(TargetEntry, query->targetList, order->column - 1);
		SortGroupClause *clause = copyObject(order->clause);

		if (column->ressortgroupref != 0)
			continue; /* it decides nothing any more */
		column->ressortgroupref = order->column;
		clause->tleSortGroupRef = order->column;
		query->sortClause = lappend(query->sortClause, clause);
	}
}

OverScan *
over_scan_begin(const OverWindow *window, Query *input, bool ordered, QueryEnvironment *slice)
{
	OverScan *scan = palloc0(sizeof(OverScan));

	ordered &= window->order != NIL;
	if (ordered || slice == NULL)
		order_by(input, OVER_TIME_COLUMN);
	if (ordered)
		order_by_columns(input, window->order);
	scan->time_type = window->stream.time_type;
	scan->query = start_query(input, slice);
	over_scan_next(scan);
	return scan;
}

void
over_scan_next(OverScan *scan)
{
	bool isnull;

	scan->row = next_row(scan->query);
	scan->time = TICKS_MAX;
	if (scan->row)
		scan->time =
			event_time_ticks(scan->time_type, slot_getattr(scan->row, OVER_TIME_COLUMN, &isnull));
}

void
over_scan_end(OverScan *scan)
{
	end_query(scan->query);
	pfree(scan);
}

/* ---- output ------------------------------------------------------------------------------------- */

struct OverOutput
{
	MemoryContext context; /* of the receiver, too */
	QueryDesc *query;
	TupleDesc source;
	Tuplestorestate *rows;
	int nrows;
	DestReceiver *receiver;
};

OverOutput *
over_output_begin(const OverWindow *window, DestReceiver *receiver)
{
	OverOutput *output = palloc0(sizeof(OverOutput));

	output->context = CurrentMemoryContext;
	output->source = over_window_source(window);
	output->rows = tuplestore_begin_heap(false, false, BATCH_KB);
	output->query =
		start_query(over_window_output(window, tuplestore_entry(output->source, BATCH_ROWS)),
					tuplestore_environment(output->rows, output->source));
	output->receiver = receiver;
	receiver->rStartup(receiver, CMD_SELECT, output->query->tupDesc);
	return output;
}

TupleDesc
over_output_columns(const OverOutput *output)
{
	return output->source;
}

void
over_output_put(OverOutput *output, Datum *values, bool *nulls)
{
	tuplestore_putvalues(output->rows, output->source, values, nulls);
	if (++output->nrows == BATCH_ROWS)
		over_output_flush(output);
}

void
over_output_flush(OverOutput *output)
{
	MemoryContext old;
	TupleTableSlot *row;

	if (output->nrows == 0)
		return;
	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(output->context);
	ExecReScan(output->query->planstate);
	while ((row = next_row(output->query)) != NULL)
		(void) output->receiver->receiveSlot(row, output->receiver);
	MemoryContextSwitchTo(old);
	tuplestore_clear(output->rows);
	output->nrows = 0;
}

void
over_output_end(OverOutput *output)
{
	over_output_flush(output);
	output->receiver->rShutdown(output->receiver);
	end_query(output->query);
	tuplestore_end(output->rows);
	pfree(output);
}
