/*
 * answer.c: how a query that reads a continuous view is answered: materialised part and live tail.
 *
 * The rewriter has expanded the view to its definition, the batch query. The planner hook puts in its
 * place
 *
 *   SELECT c1, ... FROM tidemark_data.view_N          the materialised rows
 *   UNION ALL
 *   SELECT ...                                        the live tail: the rows above the frontier (tail.c)
 *
 * Invariants:
 * - The frontier is read when the query runs, with the query's snapshot, and commits together with the materialised rows
 *   (tail_bounds.c). So the parts fit, in every snapshot and in plans that are kept.
 * - Columns that the reader doesn't use may be null in the tail: what they would cost isn't paid.
 * - The entry that carries the permission check on the view stays: from 16 on it is the subquery's own
 *   entry; on 15 the rule's OLD, which stays in the tail. What is below is read with the view owner's
 *   rights; our own tables without a check, as only this hook reads them.
 * - Where row security takes part, or anything else is not as it was when the view was materialised,
 *   the batch query stays: it is always right.
 */
#include "tidemark.h"

#include "aggregate/planner.h"
#include "catalog.h"
#include "jit/jit.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "storage/lmgr.h"
#include "utils/syscache.h"
#include "view/answer.h"
#include "view/conditions.h"
#include "view/keyed.h"
#include "view/keyed_answer.h"
#include "view/keyed_expiry.h"
#include "view/layers.h"
#include "view/slice.h"
#include "view/tail.h"

bool answer_suspended = false;
const char *answer_batch_alias = NULL;

static planner_hook_type previous_planner = NULL;

static Query *
materialised_query(const ContinuousView *view, Query *like)
{
	Query *query = select_from(table_entry(view->mat), like);

	compat_unchecked(query);
	return query;
}

/* ---- finding the views ------------------------------------------------------------------------------ */

static bool
is_batch_asked_for(const RangeTblEntry *entry)
{
	return answer_batch_alias && strcmp(entry->eref->aliasname, answer_batch_alias) == 0;
}

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
	if (is_batch_asked_for(entry))
		return false;
	if (entry->subquery->rowMarks || query_has_security_quals(entry->subquery) ||
		view_is_security_invoker(relid))
		return false;
	LockRelationOid(view->mat, AccessShareLock);
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(view->mat));
}

/*
 * A barrier has to stand around the tail: the planner pulls a UNION ALL up past the one on its own entry. Materialised rows
 * are all rows of the view: there is nothing to leak.
 */
static RangeTblEntry *
tail_entry(Query *tail, bool security_barrier)
{
	RangeTblEntry *entry = subquery_entry(tail, "tail");

	entry->security_barrier = security_barrier;
	return entry;
}

/* A query that is looked through, and which of its columns are wanted. */
typedef struct Reader
{
	Query *query;
	const Columns *wanted;
	bool answered; /* is there a view in it that has been answered? */
} Reader;

static int
entry_index(const Query *query, const RangeTblEntry *entry)
{
	int rtindex = 1;
	ListCell *cell;

	foreach (cell, query->rtable)
	{
		if (lfirst(cell) == entry)
			return rtindex;
		rtindex++;
	}
	elog(ERROR, "subquery is not in its query's range table");
}

/* What the reader's conditions say of the event time of the view at this entry, if it is among its columns. */
static Expr *
reader_bound(const Reader *reader, int rtindex, Query *batch, const Stream *stream)
{
	ListCell *cell;

	foreach (cell, batch->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk && shape_is_time(batch, (Node *) entry->expr, stream))
			return conditions_upper_bound(reader->query, rtindex, entry->resno, stream->time_type);
	}
	return NULL;
}

/* Does the reader ask for single keys: is there one that each row has to be equal to something in? */
static bool
reader_asks_for_keys(const Reader *reader, int rtindex, const Keyed *keyed)
{
	ListCell *cell;

	foreach (cell, keyed->query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk && keyed_key_of_output(keyed, entry->resno) &&
			conditions_are_equal(reader->query, rtindex, entry->resno))
			return true;
	}
	return false;
}

/* What the reader's conditions say of this key. */
static Expr *
reader_condition(const Reader *reader, int rtindex, const Keyed *keyed, const KeyedColumn *key)
{
	ListCell *cell;

	foreach (cell, keyed->query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Expr *condition;

		if (entry->resjunk || keyed_key_of_output(keyed, entry->resno) != key)
			continue;
		condition = conditions_equality(reader->query, rtindex, entry->resno, key->equality,
										keyed_answer_variable(keyed, key->column, 0));
		if (condition)
			return condition;
	}
	return NULL;
}

/* If the reader asks for one key, the conditions that its rows meet; else NIL. */
static List *
reader_one_key(const Reader *reader, int rtindex, const Keyed *keyed)
{
	List *conditions = NIL;
	ListCell *cell;

	foreach (cell, keyed->keys)
	{
		Expr *condition = reader_condition(reader, rtindex, keyed, lfirst(cell));

		if (condition == NULL)
			return NIL;
		conditions = lappend(conditions, condition);
	}
	return conditions;
}

/*
 * The answer of a view that keeps rows by key. There is a barrier around each part: what is materialised are rows that the view may leave
 * out.
 */
static Query *
answer_of_keyed(const Reader *reader, RangeTblEntry *entry, int rtindex, const ContinuousView *view,
				const Keyed *keyed)
{
	List *parts = NIL;
	ListCell *cell;

	foreach (cell, keyed_answer(view, keyed, reader_asks_for_keys(reader, rtindex, keyed),
								reader_one_key(reader, rtindex, keyed)))
		parts = lappend(parts, tail_entry(lfirst_node(Query, cell), entry->security_barrier));
	return list_length(parts) == 1 ? select_from(linitial(parts), entry->subquery)
								   : union_all(parts);
}

/* What the view's query, which is used up, gives above its frontier. */
static List *
tail_of_view(Query *batch, const ContinuousView *view, const Shape *shape, const Demand *demand)
{
	Layers *layers;

	if (!layers_has(shape))
		return tail_queries(batch, view, shape, NULL, demand);
	layers = layers_of(view, shape, batch);
	return tail_queries(layers->batch, view, &layers->shape, layers, demand);
}

/* Puts the answer in the place of the view's query. */
static void
answer_entry(const Reader *reader, RangeTblEntry *entry, int rtindex, const ContinuousView *view)
{
	Query *batch = copyObject(entry->subquery);
	Demand demand = {.columns = columns_used(reader->query, rtindex, reader->wanted)};
	List *parts;
	Shape shape;
	ListCell *cell;

	shape_of_query(batch, &shape);
	if (shape.refusal)
		return;
	if (shape.keyed && !layers_has(&shape))
	{
		entry->subquery = answer_of_keyed(reader, entry, rtindex, view, shape.keyed);
		return;
	}
	if (layers_has(&shape) && !layers_answerable(view))
		return;
	demand.until = reader_bound(reader, rtindex, batch, &shape.stream);
	parts = list_make1(subquery_entry(materialised_query(view, entry->subquery), "materialised"));
	foreach (cell, tail_of_view(batch, view, &shape, &demand))
		parts = lappend(parts, tail_entry(lfirst_node(Query, cell), entry->security_barrier));
	entry->subquery = union_all(parts);
}

/* A view whose rows expire is compared with what it has to be: that isn't its batch query. */
static void
answer_batch_entry(RangeTblEntry *entry)
{
	Oid relid = compat_view_of_subquery(entry);
	ContinuousView view;
	Query *batch;
	Shape shape;

	if (!OidIsValid(relid) || !view_lookup(relid, &view) || !view.current || view.dedup_for == 0)
		return;
	batch = copyObject(entry->subquery);
	shape_of_query(batch, &shape);
	if (shape.keyed)
		entry->subquery = keyed_expiry_batch(&view, shape.keyed);
}

static bool answer_walker(Node *node, void *reader);

/* Answers the views that the query reads; true if there are any. */
static bool
answer_query(Query *query, const Columns *wanted)
{
	Reader reader = {query, wanted, false};

	(void) query_tree_walker(query, answer_walker, &reader,
							 QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_RT_SUBQUERIES);
	return reader.answered;
}

static void
answer_subquery(Reader *reader, RangeTblEntry *entry)
{
	int rtindex = entry_index(reader->query, entry);
	ContinuousView view;

	if (is_answerable(entry, &view))
	{
		answer_entry(reader, entry, rtindex, &view);
		reader->answered = true;
	}
	else if (is_batch_asked_for(entry))
		answer_batch_entry(entry);
	else if (answer_query(entry->subquery, columns_used(reader->query, rtindex, reader->wanted)))
		reader->answered = true;
}

static bool
answer_walker(Node *node, void *reader)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		/* what has been put in place is not looked into: range_table_walker goes on into other subqueries */
		if (((RangeTblEntry *) node)->rtekind == RTE_SUBQUERY)
			answer_subquery(reader, (RangeTblEntry *) node);
		return false;
	}
	if (IsA(node, Query))
	{
		if (answer_query((Query *) node, columns_all()))
			((Reader *) reader)->answered = true;
		return false;
	}
	return expression_tree_walker(node, answer_walker, reader);
}

/* ---- the plan ------------------------------------------------------------------------------------------- */

static Cost cost_of_stream_scans(Plan *plan, const PlannedStmt *statement);

static Cost
cost_in_plans(List *plans, const PlannedStmt *statement)
{
	Cost cost = 0;
	ListCell *cell;

	foreach (cell, plans)
		cost += cost_of_stream_scans(lfirst(cell), statement);
	return cost;
}

/* What the planner thinks that the plan's bitmap scans of streams cost. */
static Cost
cost_of_stream_scans(Plan *plan, const PlannedStmt *statement)
{
	if (plan == NULL)
		return 0;
	switch (nodeTag(plan))
	{
		case T_BitmapHeapScan:
			if (stream_exists(rt_fetch(((Scan *) plan)->scanrelid, statement->rtable)->relid))
				return plan->total_cost;
			return 0;
		case T_Append:
			return cost_in_plans(((Append *) plan)->appendplans, statement);
		case T_MergeAppend:
			return cost_in_plans(((MergeAppend *) plan)->mergeplans, statement);
		case T_SubqueryScan:
			return cost_of_stream_scans(((SubqueryScan *) plan)->subplan, statement);
		default:
			return cost_of_stream_scans(plan->lefttree, statement) +
				   cost_of_stream_scans(plan->righttree, statement);
	}
}

/*
 * Compiling a plan takes a hundred milliseconds, and a tail a few. The planner takes it for long, because it counts the pages that a bitmap
 * scan reads as if rows of near event times lay anywhere in the table. So a plan is compiled only if it is dear without that.
 */
static void
do_not_compile_tails(PlannedStmt *statement)
{
	Cost scans;

	if (statement->jitFlags == PGJIT_NONE)
		return;
	scans = cost_of_stream_scans(statement->planTree, statement) +
			cost_in_plans(statement->subplans, statement);
	if (statement->planTree->total_cost - scans < jit_above_cost)
		statement->jitFlags = PGJIT_NONE;
}

static PlannedStmt *
plan_query(Query *query, const char *text, int options, ParamListInfo parameters)
{
	if (previous_planner)
		return previous_planner(query, text, options, parameters);
	return standard_planner(query, text, options, parameters);
}

static PlannedStmt *
answer_planner(Query *query, const char *text, int options, ParamListInfo parameters)
{
	bool answered = false;
	PlannedStmt *statement;

	if (query->commandType != CMD_UTILITY && OidIsValid(catalog_table("view")))
	{
		if (tidemark_use_continuous && !answer_suspended)
			answered = answer_query(query, columns_all());
		keyed_complete_order(query);
		aggregate_swap(query);
	}
	statement = plan_query(query, text, options, parameters);
	if (answered)
		do_not_compile_tails(statement);
	return statement;
}

void
answer_init(void)
{
	previous_planner = planner_hook;
	planner_hook = answer_planner;
}
