/*
 * answer.c: how a query that reads a continuous view is answered: materialised part and live tail.
 *
 * The rewriter has expanded the view to its definition, the batch query. The planner hook puts in its
 * place
 *
 *   SELECT c1, ... FROM tidemark_data.view_N
 *   UNION ALL
 *   SELECT ... FROM (batch query, on the rows from the frontier - lookback on) WHERE event time > frontier
 *
 * Invariants:
 * - The frontier is read when the query runs, with the query's snapshot (tidemark.tail_start is stable,
 *   not immutable), and commits together with the materialised rows. So both parts fit, in
 *   every snapshot and in plans that are kept.
 * - A view that was made anew has a new materialised table, which an older snapshot sees empty: the
 *   frontier counts only if it is about the table that is read, else the tail is the whole batch query.
 * - The entry that carries the permission check on the view stays: from 16 on it is the subquery's own
 *   entry; on 15 the rule's OLD, which stays in the tail. What is below is read with the view owner's
 *   rights; the materialised table without a check, as only this hook reads it.
 * - Where row security takes part, or anything else is not as it was when the view was materialised,
 *   the batch query stays: it is always right.
 */
#include "tidemark.h"

#include "access/stratnum.h"
#include "aggregate/planner.h"
#include "catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "parser/parse_func.h"
#include "parser/parsetree.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "view/answer.h"
#include "view/slice.h"

bool answer_suspended = false;
const char *answer_batch_alias = NULL;

static planner_hook_type previous_planner = NULL;

/* ---- the frontier, as the tail's bounds ---------------------------------------------------------- */

PG_FUNCTION_INFO_V1(tidemark_tail_start);

/* What one execution of a tail remembers: its snapshot and the frontier in it. */
typedef struct TailStart
{
	TransactionId xmin;
	TransactionId xmax;
	CommandId command;
	Ticks frontier;
} TailStart;

/* The frontier of the view's rows in mat; nothing where the snapshot has another's or none. */
static Ticks
frontier_of_table(Oid view, Oid mat, Snapshot snapshot)
{
	Frontier frontier = frontier_read(view, snapshot);

	return frontier.found && frontier.mat == mat ? frontier.frontier : TICKS_MIN;
}

/*
 * tail_start(view, its materialised table, null of the event time's type, lookback): the first event time
 * after the view's frontier in the query's snapshot, less the lookback: where its tail's input begins;
 * with a lookback of zero its output.
 */
Datum
tidemark_tail_start(PG_FUNCTION_ARGS)
{
	Oid type = get_fn_expr_rettype(fcinfo->flinfo);
	TailStart *memory = fcinfo->flinfo->fn_extra;
	Snapshot snapshot = GetActiveSnapshot();
	Interval *lookback;

	if (!event_time_type_ok(type) || PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("tidemark.tail_start is for plans of continuous views")));
	lookback = PG_GETARG_INTERVAL_P(3);
	if (memory == NULL)
		memory = fcinfo->flinfo->fn_extra =
			MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(TailStart));
	if (memory->xmax == InvalidTransactionId || memory->xmin != snapshot->xmin ||
		memory->xmax != snapshot->xmax || memory->command != snapshot->curcid)
	{
		memory->frontier = frontier_of_table(PG_GETARG_OID(0), PG_GETARG_OID(1), snapshot);
		memory->xmin = snapshot->xmin;
		memory->xmax = snapshot->xmax;
		memory->command = snapshot->curcid;
	}
	PG_RETURN_DATUM(
		event_time_datum(type, lookback_before(type, ticks_plus(memory->frontier, 1), lookback)));
}

static Expr *
tail_start(const ContinuousView *view, Oid time_type, const Lookback *lookback)
{
	Oid types[] = {REGCLASSOID, REGCLASSOID, ANYELEMENTOID, INTERVALOID};
	List *name = list_make2(makeString(TIDEMARK_SCHEMA), makeString("tail_start"));
	Lookback *distance = palloc(sizeof(Lookback));
	int16 length;
	bool by_value;
	List *arguments;

	*distance = *lookback;
	get_typlenbyval(time_type, &length, &by_value);
	arguments = list_make4(makeConst(REGCLASSOID, -1, InvalidOid, sizeof(Oid),
									 ObjectIdGetDatum(view->relid), false, true),
						   makeConst(REGCLASSOID, -1, InvalidOid, sizeof(Oid),
									 ObjectIdGetDatum(view->mat), false, true),
						   makeNullConst(time_type, -1, InvalidOid),
						   makeConst(INTERVALOID, -1, InvalidOid, sizeof(Interval),
									 IntervalPGetDatum(distance), false, false));
	return (Expr *) makeFuncExpr(LookupFuncName(name, lengthof(types), types, false), time_type,
								 arguments, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

static Query *
tail_query(Query *batch, const ContinuousView *view, const Shape *shape)
{
	Lookback none = {0};
	SliceBounds bounds = {.output_from = tail_start(view, shape->stream.time_type, &none)};
	Query *tail;

	if (!lookback_is_unbounded(&shape->lookback))
		bounds.input_from = tail_start(view, shape->stream.time_type, &shape->lookback);
	tail = slice_query(batch, shape, &bounds, false, NULL);
	aggregate_swap_exact_always(tail);
	return tail;
}

/* ---- the materialised part and the union ---------------------------------------------------------- */

static Query *
materialised_query(const ContinuousView *view, Query *like)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);
	List *names = NIL;
	Query *query;
	char *name;

	for (AttrNumber i = 1; (name = get_attname(view->mat, i, true)) != NULL; i++)
		names = lappend(names, makeString(name));
	entry->rtekind = RTE_RELATION;
	entry->relid = view->mat;
	entry->relkind = RELKIND_RELATION;
	entry->rellockmode = AccessShareLock;
	entry->eref = makeAlias(get_rel_name(view->mat), names);
	entry->inh = true;
	entry->inFromCl = true;
	query = select_from(entry, like);
	compat_unchecked(query);
	return query;
}

/*
 * The two parts as one query. A barrier has to stand around the tail: the planner pulls a UNION ALL up past the one on
 * its own entry. Materialised rows are all rows of the view: there is nothing to leak.
 */
static Query *
union_all(Query *left, Query *right, bool security_barrier)
{
	Query *query = select_from(subquery_entry(left, "materialised"), left);
	RangeTblEntry *tail = subquery_entry(right, "tail");
	SetOperationStmt *operation = makeNode(SetOperationStmt);
	RangeTblRef *references[2];
	ListCell *cell;

	tail->security_barrier = security_barrier;
	query->rtable = lappend(query->rtable, tail);
	query->jointree = makeFromExpr(NIL, NULL);
	for (int i = 0; i < 2; i++)
	{
		references[i] = makeNode(RangeTblRef);
		references[i]->rtindex = i + 1;
	}
	operation->op = SETOP_UNION;
	operation->all = true;
	operation->larg = (Node *) references[0];
	operation->rarg = (Node *) references[1];
	foreach (cell, query->targetList)
	{
		Node *column = (Node *) lfirst_node(TargetEntry, cell)->expr;

		operation->colTypes = lappend_oid(operation->colTypes, exprType(column));
		operation->colTypmods = lappend_int(operation->colTypmods, exprTypmod(column));
		operation->colCollations = lappend_oid(operation->colCollations, exprCollation(column));
	}
	query->setOperations = (Node *) operation;
	return query;
}

/* ---- finding the views ------------------------------------------------------------------------------ */

/*
 * The view behind this entry, if it is to be answered in two parts: it is continuous, its definition is the
 * materialised one, and nothing in it depends on who asks.
 */
static bool
is_answerable(RangeTblEntry *entry, ContinuousView *view)
{
	Oid relid = compat_view_of_subquery(entry);

	if (!OidIsValid(relid) || !view_lookup(relid, view) || !view->current)
		return false;
	if (answer_batch_alias && strcmp(entry->eref->aliasname, answer_batch_alias) == 0)
		return false;
	if (entry->subquery->rowMarks || query_has_security_quals(entry->subquery) ||
		view_is_security_invoker(relid))
		return false;
	LockRelationOid(view->mat, AccessShareLock);
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(view->mat));
}

static void
answer_entry(RangeTblEntry *entry, const ContinuousView *view)
{
	Query *batch = copyObject(entry->subquery);
	Shape shape;
	Query *tail;

	shape_of_query(batch, &shape);
	if (shape.refusal)
		return;
	tail = tail_query(batch, view, &shape);
	entry->subquery = union_all(materialised_query(view, tail), tail, entry->security_barrier);
}

static bool
answer_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *entry = (RangeTblEntry *) node;
		ContinuousView view;

		/* what has been put in place is not looked into: range_table_walker goes on into other subqueries */
		if (entry->rtekind == RTE_SUBQUERY)
		{
			if (is_answerable(entry, &view))
				answer_entry(entry, &view);
			else
				(void) answer_walker((Node *) entry->subquery, context);
		}
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, answer_walker, context,
								 QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_RT_SUBQUERIES);
	return expression_tree_walker(node, answer_walker, context);
}

static PlannedStmt *
answer_planner(Query *query, const char *text, int options, ParamListInfo parameters)
{
	if (query->commandType != CMD_UTILITY && OidIsValid(catalog_table("view")))
	{
		if (tidemark_use_continuous && !answer_suspended)
			(void) answer_walker((Node *) query, NULL);
		aggregate_swap(query);
	}
	if (previous_planner)
		return previous_planner(query, text, options, parameters);
	return standard_planner(query, text, options, parameters);
}

void
answer_init(void)
{
	previous_planner = planner_hook;
	planner_hook = answer_planner;
}
