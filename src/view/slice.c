/*
 * slice.c: the batch query on a slice of event time.
 *
 *   SELECT the query's columns [, event time]
 *   FROM (the query, with  input_from <= t AND t <= input_to  in the WHERE next to the stream) slice
 *   WHERE output_from <= event time AND event time <= output_to
 *
 * The inner condition bounds what is read: it takes in the lookback and the lookahead. The outer one keeps the rows whose windows
 * are whole. The event time is carried up through the levels, as an output column of its own where
 * the query doesn't have it.
 */
#include "tidemark.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"
#include "view/group_window.h"
#include "view/slice.h"

Expr *
slice_time_constant(Oid type, Ticks ticks)
{
	int16 length;
	bool by_value;

	get_typlenbyval(type, &length, &by_value);
	return (Expr *) makeConst(type, -1, InvalidOid, length, event_time_datum(type, ticks), false,
							  by_value);
}

bool
slice_is_empty(const Shape *shape, Ticks from, Ticks to)
{
	Oid type = shape->stream.time_type;

	return grid_ceiling(&shape->grid, type, from) > grid_floor(&shape->grid, type, to);
}

Expr *
slice_after(Oid type, Ticks ticks)
{
	return ticks == TICKS_MIN ? NULL : slice_time_constant(type, ticks_plus(ticks, 1));
}

SliceBounds
slice_bounds(const Shape *shape, Ticks from, Ticks to)
{
	SliceBounds bounds = {0};
	Oid type = shape->stream.time_type;

	from = grid_ceiling(&shape->grid, type, from);
	to = grid_floor(&shape->grid, type, to);
	if (from != TICKS_MIN)
	{
		bounds.output_from = slice_time_constant(type, from);
		if (!lookback_is_unbounded(&shape->lookback))
			bounds.input_from =
				slice_time_constant(type, lookback_before(type, from, &shape->lookback));
	}
	if (to != TICKS_MAX)
	{
		bounds.output_to = slice_time_constant(type, to);
		bounds.input_to = slice_time_constant(type, lookback_after(type, to, &shape->lookahead));
	}
	return bounds;
}

Expr *
slice_condition(Oid operator_oid, Expr *left, Expr *right)
{
	OpExpr *condition =
		(OpExpr *) make_opclause(operator_oid, BOOLOID, false, left, right, InvalidOid, InvalidOid);

	set_opfuncid(condition);
	return &condition->xpr;
}

/* "var >= from AND var <= to", added to the level's WHERE. */
void
slice_add_bounds(Query *query, Var *var, Expr *from, Expr *to)
{
	Oid family = lookup_type_cache(var->vartype, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
	struct
	{
		Expr *bound;
		StrategyNumber strategy;
	} sides[] = {{from, BTGreaterEqualStrategyNumber}, {to, BTLessEqualStrategyNumber}};

	for (int i = 0; i < lengthof(sides); i++)
	{
		Oid operator;
		Expr *condition;

		if (sides[i].bound == NULL)
			continue;
		operator= get_opfamily_member(family, var->vartype, var->vartype, sides[i].strategy);
		condition = slice_condition(operator, copyObject(&var->xpr), copyObject(sides[i].bound));
		add_condition(query, condition);
	}
}

static Var *
time_variable(int rtindex, AttrNumber column, const Stream *stream)
{
	int32 typmod;
	Oid type;
	Oid collation;

	get_atttypetypmodcoll(stream->relid, stream->attnum, &type, &typmod, &collation);
	return makeVar(rtindex, column, type, typmod, collation, 0);
}

void
slice_bound_stream(Query *query, const Stream *stream, Expr *from, Expr *to)
{
	Query *level = shape_stream_level(query);

	slice_add_bounds(level, time_variable(shape_input(level), stream->attnum, stream), from, to);
}

/* How many columns the query returns; they stand first in its target list. */
static int
count_columns(Query *query)
{
	int n = 0;
	ListCell *cell;

	foreach (cell, query->targetList)
		n += !lfirst_node(TargetEntry, cell)->resjunk;
	return n;
}

/* Adds a column to the query's output, before the columns that sorting alone needs. */
static AttrNumber
add_column(Query *query, Expr *expression, char *name)
{
	AttrNumber column = count_columns(query) + 1;
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (entry->resjunk)
			entry->resno++;
	}
	query->targetList = list_insert_nth(query->targetList, column - 1,
										makeTargetEntry(expression, column, name, false));
	return column;
}

static AttrNumber bound_and_expose(Query *query, const Stream *stream, const SliceBounds *bounds);

/* Makes the event time a column of what the level reads, bounded at the stream; returns it. */
static Var *
bound_and_expose_input(Query *level, const Stream *stream, const SliceBounds *bounds)
{
	int rtindex = shape_input(level);
	RangeTblEntry *input = rt_fetch(rtindex, level->rtable);
	AttrNumber column;
	Var *time;

	if (input->rtekind == RTE_SUBQUERY)
	{
		column = bound_and_expose(input->subquery, stream, bounds);
		if (column > list_length(input->eref->colnames))
			input->eref->colnames = lappend(input->eref->colnames, makeString(HIDDEN_TIME_NAME));
		return time_variable(rtindex, column, stream);
	}
	time = time_variable(rtindex, stream->attnum, stream);
	slice_add_bounds(level, time, bounds->input_from, bounds->input_to);
	return time;
}

/*
 * Makes the event time a column of the query's output, at this and all lower levels, and bounds it at
 * the stream. Returns its number. A level that groups has another event time than its input: the windows'.
 */
static AttrNumber
bound_and_expose(Query *query, const Stream *stream, const SliceBounds *bounds)
{
	Var *time = bound_and_expose_input(query, stream, bounds);
	GroupWindow window;
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk && shape_is_time(query, (Node *) entry->expr, stream))
			return entry->resno;
	}
	if (!level_groups(query))
		return add_column(query, &time->xpr, HIDDEN_TIME_NAME);
	if (!group_window_find(query, stream, &window))
		elog(ERROR, "a GROUP BY without a window");
	return add_column(query, window.time, HIDDEN_TIME_NAME);
}

Var *
slice_expose_time(Query *level, const Stream *stream)
{
	SliceBounds unbounded = {0};

	return bound_and_expose_input(level, stream, &unbounded);
}

Query *
slice_query(Query *query, const Shape *shape, const SliceBounds *bounds, bool with_time,
			AttrNumber *time_column)
{
	int ncolumns = count_columns(query);
	AttrNumber column = bound_and_expose(query, &shape->stream, bounds);
	Query *outer = select_from(subquery_entry(query, "slice"), query);

	slice_add_bounds(outer, time_variable(1, column, &shape->stream), bounds->output_from,
					 bounds->output_to);
	if (column > ncolumns && !with_time)
	{
		outer->targetList = list_truncate(outer->targetList, ncolumns);
		column = 0;
	}
	if (time_column)
		*time_column = column;
	return outer;
}

void
slice_work_mem(void)
{
	char memory[16];

	if (work_mem >= tidemark_work_mem)
		return;
	snprintf(memory, sizeof(memory), "%dkB", tidemark_work_mem);
	(void) set_config_option("work_mem", memory, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
}

void
slice_run(Query *query, DestReceiver *receiver, QueryEnvironment *environment)
{
	PlannedStmt *plan = pg_plan_query(query, "", 0, NULL);
	QueryDesc *description;

	PushCopiedSnapshot(GetActiveSnapshot());
	UpdateActiveSnapshotCommandId();
	description = CreateQueryDesc(plan, "", GetActiveSnapshot(), InvalidSnapshot, receiver, NULL,
								  environment, 0);
	ExecutorStart(description, 0);
	compat_executor_run(description);
	ExecutorFinish(description);
	ExecutorEnd(description);
	FreeQueryDesc(description);
	PopActiveSnapshot();
}

static bool
security_walker(Node *node, void *strip)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *entry = (RangeTblEntry *) node;

		if (strip)
			entry->securityQuals = NIL;
		return entry->securityQuals != NIL;
	}
	if (IsA(node, Query))
	{
		if (strip)
		{
			((Query *) node)->hasRowSecurity = false;
			compat_unchecked((Query *) node);
		}
		return query_tree_walker((Query *) node, security_walker, strip, QTW_EXAMINE_RTES_BEFORE);
	}
	return expression_tree_walker(node, security_walker, strip);
}

bool
query_has_security_quals(Query *query)
{
	return security_walker((Node *) query, NULL);
}

static bool
is_denied_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return !compat_tables_permitted((Query *) node) ||
			   query_tree_walker((Query *) node, is_denied_walker, context, 0);
	return expression_tree_walker(node, is_denied_walker, context);
}

Query *
slice_batch_query(Oid view, Shape *shape, Access *access)
{
	Relation rel = table_open(view, AccessShareLock);
	RoleSession session = role_begin(rel->rd_rel->relowner);
	Query *query = copyObject(get_view_query(rel));
	List *rewritten;
	bool strip = true;

	AcquireRewriteLocks(query, true, false);
	rewritten = QueryRewrite(query);
	table_close(rel, NoLock);
	query = linitial_node(Query, rewritten);
	*access = ACCESS_ALL;
	if (query_has_security_quals(query))
		*access = ACCESS_ROW_SECURITY;
	else if (is_denied_walker((Node *) query, NULL))
		*access = ACCESS_DENIED;
	(void) security_walker((Node *) query, &strip);
	shape_of_query(query, shape);
	role_end(session);
	return query;
}
