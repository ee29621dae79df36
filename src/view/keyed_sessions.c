/*
 * keyed_sessions.c: GROUP BY the sessions of each key.
 *
 *   SELECT k, start, count(*), max(t)
 *   FROM (SELECT *, tidemark.session(t, '10 min') OVER (PARTITION BY k ORDER BY t) AS start FROM stream) s
 *   GROUP BY k, start
 *
 * A session is a group by key and start, whose states are kept (keyed_groups.c) with the time of its newest row, where it ends. To find
 * the sessions of later rows, one has to know the last one of each of their keys, which they may go on:
 *
 *               a                      frontier
 *   k    ├──────────────┤       ├─────────┼──·─·────┤      ·──  rows: those within the gap of the one before them
 *                               b                   b      c
 *
 * Rows become events as they are for any GROUP BY, but with no session yet. One window function, tidemark.joined_session, goes over the events
 * of each key by where they begin, takes a state for a row that lasts from its session's start to its end, and says of each where its session
 * begins. So a step costs a look-up for each of its keys, and a row the same in a session of any length.
 *
 * That a session is what it is depends on all rows that the level below has. So there must be nothing between the two levels that leaves
 * rows out, and nothing but the key may depend on where the session began, for that isn't known where the inputs are computed.
 */
#include "tidemark.h"

#include "aggregate/sliding.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
#include "view/constant.h"
#include "view/frame.h"
#include "view/group_window.h"
#include "view/keyed_answer.h"
#include "view/keyed_groups.h"
#include "view/keyed_sessions.h"
#include "view/query_parts.h"
#include "view/slice.h"

/* Sessions of keys that have nulls are looked up by which of the columns are null. */
#define MAX_NULLABLE 4

/* ---- the level ---------------------------------------------------------------------------------- */

typedef struct SessionCalls
{
	WindowFunc *session;
	bool others; /* other window functions, or other sessions */
} SessionCalls;

static bool
find_call(Node *node, void *arg)
{
	SessionCalls *context = arg;

	if (node == NULL)
		return false;
	if (!IsA(node, WindowFunc))
		return expression_tree_walker(node, find_call, arg);
	if (!sliding_is_session(((WindowFunc *) node)->winfnoid) ||
		(context->session && !equal(context->session, node)))
		context->others = true;
	else
		context->session = (WindowFunc *) node;
	return false;
}

static SessionCalls
calls_of(Query *level)
{
	SessionCalls context = {0};

	(void) find_call((Node *) level->targetList, &context);
	return context;
}

Query *
keyed_sessions_level(Query *level)
{
	while ((level = shape_below(level)) != NULL)
		if (level->hasWindowFuncs || level_groups(level))
			return calls_of(level).session ? level : NULL;
	return NULL;
}

/* ---- the analysis ------------------------------------------------------------------------------- */

/* The expression at one level, as one at a level below it. */
static Node *
expression_below(Query *level, Query *below, Node *expression)
{
	for (; level != below; level = shape_below(level))
		expression = shape_expression_below(level, expression);
	return expression;
}

/* All rows that have sessions come to the level that groups, as they are. */
static void
refuse_between(Query *level, Query *sessions, Shape *shape)
{
	for (Query *between = level; between != sessions; between = shape_below(between))
	{
		if (between->jointree->quals)
			shape_refuse(
				shape,
				"WHERE between tidemark.session and GROUP BY can't be maintained: a session "
				"may have rows that the groups don't",
				"Write it into the subquery that tidemark.session is in, or as the FILTER "
				"of the aggregates.");
		if (between->hasTargetSRFs || !shape_reads_only_input(between))
			shape_refuse(shape,
						 "set-returning functions between tidemark.session and GROUP BY can't be "
						 "maintained",
						 "Put them into the subquery that tidemark.session is in, in FROM.");
	}
}

/* What the query says of the sessions; NULL: not what can be maintained. */
static WindowFunc *
analyse_call(Keyed *keyed, Query *sessions, Shape *shape)
{
	SessionCalls calls = calls_of(sessions);
	Const *gap;

	if (calls.others || level_groups(sessions) || sessions->hasTargetSRFs)
		shape_refuse(shape,
					 "GROUP BY over tidemark.session beside other window functions, GROUP BY or "
					 "set-returning functions can't be maintained",
					 "Leave only one tidemark.session in the subquery that GROUP BY reads.");
	else if (!shape_is_time(sessions, linitial(calls.session->args), &keyed->stream) ||
			 !frame_is_in_order(sessions, calls.session, &keyed->stream))
		shape_refuse(
			shape, "sessions by anything but the stream's event time can't be maintained",
			psprintf("Write tidemark.session(%s, gap) OVER (PARTITION BY ... ORDER BY %s).",
					 shape_time_name(shape), shape_time_name(shape)));
	else if ((gap = constant_of(lsecond(calls.session->args))) == NULL ||
			 !session_gap(keyed->stream.time_type, gap->constvalue, &keyed->gap))
		shape_refuse(shape, "the gap of sessions must be a constant without months or years",
					 "Say it in days or less.");
	return shape->refusal ? NULL : calls.session;
}

static SortGroupClause *
clause_of(Query *level, List *clauses, Node *expression)
{
	ListCell *cell;

	foreach (cell, clauses)
		if (equal(get_sortgroupclause_expr(lfirst_node(SortGroupClause, cell), level->targetList),
				  expression))
			return lfirst_node(SortGroupClause, cell);
	return NULL;
}

/* What is grouped by is what the sessions are partitioned by, and their start: in this order; NIL: it is not. */
static List *
keys_in_order(Query *level, Query *sessions, WindowFunc *call)
{
	List *partition =
		list_nth_node(WindowClause, sessions->windowClause, call->winref - 1)->partitionClause;
	SortGroupClause *start = NULL;
	List *keys = NIL;
	ListCell *cell;

	foreach (cell, level->groupClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, cell);
		Node *expression =
			expression_below(level, sessions, get_sortgroupclause_expr(clause, level->targetList));
		SortGroupClause *same = clause_of(sessions, partition, expression);

		if (equal(expression, call) && start == NULL)
			start = clause;
		else if (same && same->eqop == clause->eqop)
			keys = lappend(keys, clause);
		else
			return NIL;
	}
	return start && list_length(keys) == list_length(partition) ? lappend(keys, start) : NIL;
}

List *
keyed_sessions_keys(Keyed *keyed, Query *level, Shape *shape)
{
	Query *sessions = keyed_sessions_level(level);
	WindowFunc *call;
	List *keys;

	if (sessions == NULL)
		return level->groupClause;
	refuse_between(level, sessions, shape);
	call = analyse_call(keyed, sessions, shape);
	if (call == NULL || shape->refusal)
		return NIL;
	keys = keys_in_order(level, sessions, call);
	if (keys == NIL)
		shape_refuse(
			shape,
			"GROUP BY over tidemark.session has to be by what the sessions are partitioned "
			"by and by their start, as they stand, and by nothing else",
			"For example: SELECT key, start, count(*) FROM (SELECT *, tidemark.session(...) "
			"OVER (PARTITION BY key ORDER BY ...) AS start FROM ...) s GROUP BY key, start.");
	keyed->sessions = true;
	level->groupClause = keys; /* events come in this order */
	return keys;
}

static Node *
without_sessions(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, WindowFunc))
		return (Node *) null_like(node);
	return expression_tree_mutator(node, without_sessions, context);
}

static bool
is_nullable(const Keyed *keyed, const KeyedColumn *key)
{
	return keyed_is_nullable(keyed, key->column);
}

static void
refuse_nullable(const Keyed *keyed, Shape *shape)
{
	int n = 0;
	ListCell *cell;

	foreach (cell, keyed->row_keys)
		n += is_nullable(keyed, lfirst(cell));
	if (n > MAX_NULLABLE)
		shape_refuse(shape,
					 psprintf("sessions by more than %d keys that may be null can't be maintained",
							  MAX_NULLABLE),
					 "Declare the columns NOT NULL.");
}

void
keyed_sessions_cut(Keyed *keyed, Query *level, Shape *shape)
{
	int nkeys = list_length(keyed->keys);
	Query *sessions = keyed_sessions_level(level);
	ListCell *cell;

	keyed->session = ((KeyedColumn *) llast(keyed->keys))->column;
	keyed->row_keys = list_truncate(list_copy(keyed->keys), nkeys - 1);
	for_each_from(cell, keyed->inputs, KEYED_TIME_COLUMN + nkeys)
	{
		if (contain_windowfuncs(expression_below(level, sessions, lfirst(cell))))
			shape_refuse(shape, "aggregates of where a session began can't be maintained",
						 "Compute with it beside them: max(...) - start.");
	}
	if (shape->refusal)
		return;
	sessions->targetList = (List *) without_sessions((Node *) sessions->targetList, NULL);
	sessions->windowClause = NIL;
	sessions->hasWindowFuncs = false;
	memset(&shape->lookback, 0, sizeof(shape->lookback));
	refuse_nullable(keyed, shape);
}

/* ---- events in sessions --------------------------------------------------------------------------- */

static Var *
input_variable(const Keyed *keyed, AttrNumber column)
{
	return variable_like(list_nth(keyed->inputs, column - 1), 1, column);
}

/* Where the event begins: a state with its session, a row at its event time. */
static Expr *
event_begin(const Keyed *keyed)
{
	CoalesceExpr *begin = makeNode(CoalesceExpr);

	begin->coalescetype = keyed->stream.time_type;
	begin->args =
		list_make2(input_variable(keyed, keyed->session), input_variable(keyed, KEYED_TIME_COLUMN));
	begin->location = -1;
	return (Expr *) begin;
}

/* joined_session(begin, gap, end) OVER (PARTITION BY the keys ORDER BY begin) */
static WindowFunc *
session_call(const Keyed *keyed, Expr *begin)
{
	Oid types[] = {ANYELEMENTOID, INT8OID, ANYELEMENTOID};
	WindowFunc *call = makeNode(WindowFunc);

	call->winfnoid = own_function("joined_session", lengthof(types), types);
	call->wintype = keyed->stream.time_type;
	call->args = list_make3(copyObject(begin),
							makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
									  Int64GetDatum(keyed->gap), false, FLOAT8PASSBYVAL),
							input_variable(keyed, KEYED_TIME_COLUMN));
	call->winref = 1;
	call->location = -1;
	return call;
}

RangeTblEntry *
keyed_sessions_assigned(const Keyed *keyed, RangeTblEntry *events)
{
	Query *query = select_from(events, events->subquery);
	TypeCacheEntry *type =
		lookup_type_cache(keyed->stream.time_type, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);
	WindowClause *window = makeNode(WindowClause);
	TargetEntry *begin =
		makeTargetEntry(event_begin(keyed), list_length(query->targetList) + 1, "begin", true);

	window->partitionClause = keyed_sort_clauses(query, keyed->row_keys);
	window->orderClause = list_make1(sort_clause(begin, type->eq_opr, type->lt_opr));
	window->frameOptions = FRAMEOPTION_DEFAULTS;
	window->winref = 1;
	list_nth_node(TargetEntry, query->targetList, keyed->session - 1)->expr =
		(Expr *) session_call(keyed, begin->expr);
	query->targetList = lappend(query->targetList, begin);
	query->windowClause = list_make1(window);
	query->hasWindowFuncs = true;
	return subquery_entry(query, "sessions");
}

/* ---- the last session of a key ------------------------------------------------------------------ */

Expr *
keyed_sessions_ends(const Keyed *keyed, Expr *from, bool before)
{
	Oid less = lookup_type_cache(keyed->stream.time_type, TYPECACHE_LT_OPR)->lt_opr;

	return slice_condition(before ? less : get_negator(less),
						   (Expr *) input_variable(keyed, KEYED_TIME_COLUMN), from);
}

static Expr *
null_test(Var *variable, NullTestType type)
{
	NullTest *test = makeNode(NullTest);

	test->arg = (Expr *) variable;
	test->nulltesttype = type;
	test->location = -1;
	return &test->xpr;
}

/*
 * Keys are looked up by those of their columns that aren't null: so the keys whose columns of this number (bits of row_keys) are null, and no
 * others.
 */
static bool
is_null_in(int nulls, int key)
{
	return (nulls >> key) & 1;
}

/* SELECT DISTINCT keys FROM rows */
static Query *
keys_of_rows(const Keyed *keyed, Query *rows, int nulls)
{
	Query *query = select_nothing_from(subquery_entry(rows, "rows"));
	ListCell *cell;

	foreach (cell, keyed->row_keys)
	{
		const KeyedColumn *key = lfirst(cell);
		int number = foreach_current_index(cell);

		add_target(query, (Expr *) input_variable(keyed, key->column), psprintf("k%d", number + 1));
		query->distinctClause = lappend(
			query->distinctClause,
			sort_clause(llast_node(TargetEntry, query->targetList), key->equality, key->ordering));
		if (is_nullable(keyed, key))
			add_condition(query, null_test(input_variable(keyed, key->column),
										   is_null_in(nulls, number) ? IS_NULL : IS_NOT_NULL));
	}
	return query;
}

/* SELECT ... FROM mat WHERE it has the key, of the entry beside it, [AND start <= to] ORDER BY start DESC LIMIT 1 */
static Query *
last_of_key(const Keyed *keyed, Oid mat, int nulls, Expr *to)
{
	Query *query = keyed_groups_states(keyed, mat, true);
	TypeCacheEntry *type =
		lookup_type_cache(keyed->stream.time_type, TYPECACHE_EQ_OPR | TYPECACHE_GT_OPR);
	SortGroupClause *order;
	ListCell *cell;

	foreach (cell, keyed->row_keys)
	{
		const KeyedColumn *key = lfirst(cell);
		int number = foreach_current_index(cell);
		Node *input = list_nth(keyed->inputs, key->column - 1);
		Var *wanted = variable_like(input, 2, number + 1);

		wanted->varlevelsup = 1;
		if (is_null_in(nulls, number))
			add_condition(query, null_test(input_variable(keyed, key->column), IS_NULL));
		else
			add_condition(query, keyed_equal(key, (Expr *) input_variable(keyed, key->column),
											 (Expr *) wanted));
	}
	if (to)
		slice_add_bounds(query, input_variable(keyed, keyed->session), NULL, to);
	order = sort_clause(list_nth_node(TargetEntry, query->targetList, keyed->session - 1),
						type->eq_opr, type->gt_opr);
	order->nulls_first = true; /* the index, backwards */
	query->sortClause = list_make1(order);
	query->limitCount = (Node *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(1),
										   false, FLOAT8PASSBYVAL);
	query->limitOption = LIMIT_OPTION_COUNT;
	return query;
}

/* The last session of each of these keys; NULL: there is but one. */
static Query *
last_of_keys(const Keyed *keyed, Query *last, Query *keys, Expr *from)
{
	RangeTblEntry *entry = subquery_entry(last, "last");
	Query *query = select_from(entry, last);

	if (keys)
	{
		RangeTblRef *reference = makeNode(RangeTblRef);

		entry->lateral = true;
		reference->rtindex = 2;
		query->rtable = lappend(query->rtable, subquery_entry(keys, "keys"));
		query->jointree->fromlist = lcons(reference, query->jointree->fromlist);
	}
	if (from)
		add_condition(query, keyed_sessions_ends(keyed, from, false));
	return query;
}

List *
keyed_sessions_last(const Keyed *keyed, Oid mat, Query *rows, Expr *from, Expr *to)
{
	int nullable = 0;
	List *queries = NIL;
	ListCell *cell;

	if (keyed->row_keys == NIL)
		return list_make1(last_of_keys(keyed, last_of_key(keyed, mat, 0, to), NULL, from));
	foreach (cell, keyed->row_keys)
		nullable |= is_nullable(keyed, lfirst(cell)) << foreach_current_index(cell);
	for (int nulls = 0; nulls <= nullable; nulls++)
	{
		if (nulls & ~nullable)
			continue;
		queries =
			lappend(queries, last_of_keys(keyed, last_of_key(keyed, mat, nulls, to),
										  keys_of_rows(keyed, copyObject(rows), nulls), from));
	}
	return queries;
}
