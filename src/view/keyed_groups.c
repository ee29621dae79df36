/*
 * keyed_groups.c: GROUP BY without a window: of each key, the states of its aggregates are kept.
 *
 *   SELECT k, count(*), sum(x) FILTER (WHERE x > 0) FROM stream WHERE ... GROUP BY k HAVING count(*) > 1
 *
 *   inputs   t, k, x, x > 0                                           keyed.h
 *   states   t, k, state of count(*), state of sum(x)                 the view's table, one row a key: of rows up to the frontier
 *   answer   the level over states and the inputs after the frontier, with tidemark.accumulated in the place of its aggregates
 *
 * States and inputs come as events, a union of both: the state first, then the rows, by key. That order is said in a subquery, which the
 * planner keeps, and the groups are made in it. All else at the level, expressions and HAVING, and the levels above see what
 * PostgreSQL's own aggregates would have given.
 *
 * An aggregate's state can be kept if sliding.h knows how to save it over a window that only grows; what holds all its rows, such as
 * array_agg, can't. Nor can DISTINCT and ORDER BY within a call, but for first and last values (first_values.c), whose state is one row's.
 */
#include "tidemark.h"

#include "access/sysattr.h"
#include "aggregate/planner.h"
#include "aggregate/sliding_method.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/regproc.h"
#include "utils/typcache.h"
#include "view/first_values.h"
#include "view/group_window.h"
#include "view/inputs.h"
#include "view/keyed_groups.h"
#include "view/keyed_sessions.h"
#include "view/slice.h"

/* ---- the analysis ------------------------------------------------------------------------------- */

static KeyedAggregate *
find_aggregate(const Keyed *keyed, const Node *node)
{
	ListCell *cell;

	foreach (cell, keyed->aggregates)
		if (equal(((KeyedAggregate *) lfirst(cell))->node, node))
			return lfirst(cell);
	return NULL;
}

/* Can its state be kept? Else the reason, for users. */
static const char *
why_not_kept(const Aggref *call)
{
	Oid types[FUNC_MAX_ARGS];
	SlidingAggregate *method;
	const char *why;
	ListCell *cell;

	if (call->aggkind != AGGKIND_NORMAL)
		return "it needs all rows, sorted";
	if (call->aggdistinct)
		return "DISTINCT needs all values";
	if (call->aggorder)
		return "ORDER BY needs all rows";
	foreach (cell, call->args)
		types[foreach_current_index(cell)] =
			exprType((Node *) lfirst_node(TargetEntry, cell)->expr);
	method = sliding_prepare_growing(call->aggfnoid, call->inputcollid, list_length(call->args),
									 types, call->aggtype, &why);
	if (method == NULL)
		return why;
	return sliding_can_save(method) ? NULL : "its state can't be saved";
}

static void
add_aggregate(Keyed *keyed, Node *node, Aggref *call, Const *order)
{
	KeyedAggregate *aggregate = palloc0(sizeof(KeyedAggregate));
	ListCell *cell;

	aggregate->node = node;
	aggregate->call = call;
	aggregate->order = order;
	foreach (cell, call->args)
		aggregate->arguments =
			lappend_int(aggregate->arguments,
						inputs_add_argument(&keyed->inputs, lfirst_node(TargetEntry, cell)->expr,
											call->aggfilter));
	if (call->aggfilter)
		aggregate->filter = inputs_add(&keyed->inputs, call->aggfilter);
	keyed->aggregates = lappend(keyed->aggregates, aggregate);
}

/* Why the state of such a value can't be kept: NULL: it can. */
static const char *
why_not_first(const FirstValue *value)
{
	ListCell *cell;

	if (list_length(value->columns) + 1 > FUNC_MAX_ARGS / 2)
		return "its rows are ordered by too many columns";
	foreach (cell, value->columns)
	{
		KeptType type;

		kept_type_init(&type, exprType(lfirst(cell)));
		if (!type.can_save)
			return psprintf("type %s has no binary form", format_type_be(type.type));
	}
	return NULL;
}

/* Adds the first or last value that the node is. Returns why its state can't be kept; NULL: it can. */
static const char *
add_first_value(Keyed *keyed, Node *node, const Aggref *call)
{
	FirstValue value = first_value_of(call);
	const char *why = why_not_first(&value);
	Aggref *first;

	if (why)
		return why;
	first = make_aggregate(value.function, exprType(node), exprCollation(node), call->inputcollid,
						   value.columns);
	first->aggfilter = call->aggfilter;
	add_aggregate(keyed, node, first, value.order);
	return NULL;
}

typedef struct CollectContext
{
	Keyed *keyed;
	Shape *shape;
	int nkeys; /* inputs that stand for themselves */
} CollectContext;

static const char *
hint_for(const Aggref *call)
{
	if (call->aggfnoid == F_ARRAY_AGG_ANYNONARRAY)
		return "Take one value, (array_agg(... ORDER BY ...))[1], or group by a window as well.";
	if (call->aggdistinct && call->aggfnoid == F_COUNT_ANY)
		return "Count the rows of a continuous view with SELECT DISTINCT, or group by a window as "
			   "well.";
	return "Group by a window as well, or choose another aggregate.";
}

/* False, with a refusal, if its state can't be kept. */
static bool
collect_aggregate(CollectContext *context, Node *node)
{
	Aggref *call = first_value_call(node);
	const char *why;

	if (call)
		why = add_first_value(context->keyed, node, call);
	else
	{
		call = castNode(Aggref, node);
		why = why_not_kept(call);
	}
	if (why)
		shape_refuse(context->shape,
					 psprintf("%s by GROUP BY without a window can't be maintained: %s",
							  format_procedure(call->aggfnoid), why),
					 pstrdup(hint_for(call)));
	else if (first_value_call(node) == NULL)
		add_aggregate(context->keyed, node, call, NULL);
	return why == NULL;
}

static bool
collect_aggregates(Node *node, void *arg)
{
	CollectContext *context = arg;
	AttrNumber column;

	if (node == NULL)
		return false;
	column = IsA(node, List) || IsA(node, TargetEntry) ? 0
													   : inputs_find(context->keyed->inputs, node);
	if (column > KEYED_TIME_COLUMN && column <= context->nkeys + KEYED_TIME_COLUMN)
		return false;
	if (IsA(node, Aggref) || first_value_call(node))
		return find_aggregate(context->keyed, node) == NULL && !collect_aggregate(context, node);
	if (IsA(node, Var))
	{
		shape_refuse(context->shape,
					 "columns that are neither aggregated nor grouped by can't be maintained",
					 "Add them to GROUP BY.");
		return true;
	}
	return expression_tree_walker(node, collect_aggregates, arg);
}

void
keyed_groups_analyse(Keyed *keyed, Query *level, Shape *shape)
{
	CollectContext context = {.keyed = keyed, .shape = shape, .nkeys = list_length(keyed->keys)};

	if (level->hasWindowFuncs)
		shape_refuse(shape,
					 "window functions beside GROUP BY without a window of the event time can't be "
					 "maintained",
					 "Apply them in the query that reads the view.");
	else if (level->hasTargetSRFs)
		shape_refuse(shape,
					 "set-returning functions beside GROUP BY without a window can't be maintained",
					 "Put them into a subquery that GROUP BY reads.");
	if (shape->refusal)
		return;
	(void) (collect_aggregates((Node *) level->targetList, &context) ||
			collect_aggregates(level->havingQual, &context));
}

/* ---- pieces of queries --------------------------------------------------------------------------- */

static Expr *
input_variable(const Keyed *keyed, AttrNumber column)
{
	return (Expr *) variable_like(list_nth(keyed->inputs, column - 1), 1, column);
}

/* Places of what events have behind the inputs. */
AttrNumber
keyed_groups_is_state(const Keyed *keyed)
{
	return list_length(keyed->inputs) + 1;
}

static AttrNumber
saved_column(const Keyed *keyed, int number)
{
	return keyed_groups_is_state(keyed) + 1 + number;
}

AttrNumber
keyed_groups_place(const Keyed *keyed)
{
	return saved_column(keyed, list_length(keyed->aggregates));
}

static Expr *
is_state(const Keyed *keyed)
{
	return (Expr *) makeVar(1, keyed_groups_is_state(keyed), BOOLOID, -1, InvalidOid, 0);
}

static Expr *
bytea_variable(AttrNumber column)
{
	return (Expr *) makeVar(1, column, BYTEAOID, -1, InvalidOid, 0);
}

static Expr *
null_of(Oid type)
{
	return (Expr *) makeNullConst(type, -1, InvalidOid);
}

/* ---- events -------------------------------------------------------------------------------------- */

static void
add_no_states(const Keyed *keyed, Query *query)
{
	for (int i = 0; i < list_length(keyed->aggregates); i++)
		add_target(query, null_of(BYTEAOID), psprintf("saved%d", i + 1));
}

Query *
keyed_groups_rows(const Keyed *keyed, Query *inputs)
{
	Query *query = select_from(subquery_entry(inputs, "inputs"), inputs);

	add_target(query, (Expr *) makeBoolConst(false, false), "is_state");
	add_no_states(keyed, query);
	add_target(query, null_of(TIDOID), "place");
	return query;
}

Query *
keyed_groups_states(const Keyed *keyed, Oid mat, bool with_states)
{
	Query *query = select_nothing_from(table_entry(mat));
	int nkeys = list_length(keyed->keys);
	AttrNumber column = 0;
	ListCell *cell;

	foreach (cell, keyed->inputs)
	{
		column++;
		add_target(query,
				   column <= KEYED_TIME_COLUMN + nkeys ? input_variable(keyed, column)
													   : null_like(lfirst(cell)),
				   psprintf("i%d", column));
	}
	add_target(query, (Expr *) makeBoolConst(true, false), "is_state");
	if (with_states)
		for (int i = 0; i < list_length(keyed->aggregates); i++)
			add_target(query, bytea_variable(KEYED_TIME_COLUMN + nkeys + 1 + i),
					   psprintf("saved%d", i + 1));
	else
		add_no_states(keyed, query);
	add_target(query,
			   (Expr *) makeVar(1, SelfItemPointerAttributeNumber, TIDOID, -1, InvalidOid, 0),
			   "place");
	compat_unchecked(query);
	return query;
}

Query *
keyed_groups_nothing(const Keyed *keyed)
{
	Query *query = makeNode(Query);
	ListCell *cell;

	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, NULL);
	foreach (cell, keyed->inputs)
		add_target(query, null_like(lfirst(cell)),
				   psprintf("i%d", foreach_current_index(cell) + 1));
	add_target(query, (Expr *) makeBoolConst(true, false), "is_state");
	add_no_states(keyed, query);
	add_target(query, null_of(TIDOID), "place");
	return query;
}

/* The events by key, each key's state before its rows. */
static RangeTblEntry *
in_order(const Keyed *keyed, RangeTblEntry *events)
{
	RangeTblEntry *grouped = keyed->sessions ? keyed_sessions_assigned(keyed, events) : events;
	Query *query = select_from(grouped, grouped->subquery);
	TypeCacheEntry *type = lookup_type_cache(BOOLOID, TYPECACHE_EQ_OPR | TYPECACHE_GT_OPR);

	query->sortClause = lappend(
		keyed_sort_clauses(query, keyed->keys),
		sort_clause(list_nth_node(TargetEntry, query->targetList, keyed_groups_is_state(keyed) - 1),
					type->eq_opr, type->gt_opr));
	return subquery_entry(query, "events");
}

/* ---- aggregates over events ------------------------------------------------------------------------ */

static Expr *
function_constant(const Aggref *call)
{
	return (Expr *) makeConst(REGPROCEDUREOID, -1, InvalidOid, sizeof(Oid),
							  ObjectIdGetDatum(call->aggfnoid), false, true);
}

/* The function's arguments, or something in their place: read from events, or nulls of their types. */
static List *
function_arguments(const Keyed *keyed, const KeyedAggregate *aggregate, bool nulls)
{
	List *arguments = NIL;
	ListCell *cell;

	foreach (cell, aggregate->arguments)
	{
		Expr *input = input_variable(keyed, lfirst_int(cell));

		arguments = lappend(arguments, nulls ? null_like((Node *) input) : input);
		if (aggregate->order && list_length(arguments) == 1)
			arguments = lappend(arguments, copyObject(aggregate->order));
	}
	return arguments ? arguments : list_make1(makeBoolConst(true, false));
}

static Expr *
saved_state(const Keyed *keyed, const KeyedAggregate *aggregate)
{
	int number = 0;

	while (list_nth(keyed->aggregates, number) != aggregate)
		number++;
	return bytea_variable(saved_column(keyed, number));
}

/* accumulate or accumulated(saved, is_state, counts, NULL::result, function, arguments) */
static Expr *
accumulation(const Keyed *keyed, const KeyedAggregate *aggregate, bool state)
{
	Oid types[] = {BYTEAOID, BOOLOID, BOOLOID, ANYELEMENTOID, REGPROCEDUREOID, ANYOID};
	Oid function = own_function(state ? "accumulate" : "accumulated", lengthof(types), types);
	const Aggref *call = aggregate->call;
	List *arguments = list_make5(saved_state(keyed, aggregate), is_state(keyed),
								 aggregate->filter ? input_variable(keyed, aggregate->filter)
												   : (Expr *) makeBoolConst(true, false),
								 makeNullConst(call->aggtype, -1, call->aggcollid),
								 function_constant(call));
	arguments = list_concat(arguments, function_arguments(keyed, aggregate, false));
	return (Expr *) make_aggregate(function, state ? BYTEAOID : call->aggtype,
								   state ? InvalidOid : call->aggcollid, call->inputcollid,
								   arguments);
}

/* saved_result(saved, NULL::result, function, nulls of the arguments' types) */
static Expr *
result_of_state(const Keyed *keyed, const KeyedAggregate *aggregate)
{
	Oid types[] = {BYTEAOID, ANYELEMENTOID, REGPROCEDUREOID, ANYOID};
	const Aggref *call = aggregate->call;

	return (Expr *) makeFuncExpr(
		own_function("saved_result", lengthof(types), types), call->aggtype,
		list_concat(list_make3(saved_state(keyed, aggregate),
							   makeNullConst(call->aggtype, -1, call->aggcollid),
							   function_constant(call)),
					function_arguments(keyed, aggregate, true)),
		call->aggcollid, call->inputcollid, COERCE_EXPLICIT_CALL);
}

TupleDesc
keyed_groups_columns(const Keyed *keyed)
{
	int nkept = KEYED_TIME_COLUMN + list_length(keyed->keys);
	int naggregates = list_length(keyed->aggregates);
	TupleDesc columns = CreateTemplateTupleDesc(nkept + naggregates);

	for (AttrNumber i = 1; i <= nkept; i++)
	{
		Node *input = list_nth(keyed->inputs, i - 1);

		TupleDescInitEntry(columns, i, psprintf("c%d", i), exprType(input), exprTypmod(input), 0);
		TupleDescInitEntryCollation(columns, i, exprCollation(input));
	}
	for (AttrNumber i = nkept + 1; i <= nkept + naggregates; i++)
		TupleDescInitEntry(columns, i, psprintf("c%d", i), BYTEAOID, -1, 0);
	return columns;
}

Query *
keyed_groups_accumulate(const Keyed *keyed, RangeTblEntry *events)
{
	Query *query = select_nothing_from(in_order(keyed, events));
	Expr *time = input_variable(keyed, KEYED_TIME_COLUMN);
	Expr *place = (Expr *) makeVar(1, keyed_groups_place(keyed), TIDOID, -1, InvalidOid, 0);
	Expr *is_row = makeBoolExpr(NOT_EXPR, list_make1(is_state(keyed)), -1);
	ListCell *cell;

	add_target(query, builtin_aggregate("max", exprType((Node *) time), time), "c1");
	foreach (cell, keyed->keys)
	{
		const KeyedColumn *key = lfirst(cell);

		add_target(query, input_variable(keyed, key->column), psprintf("c%d", key->column));
		query->groupClause = lappend(
			query->groupClause,
			sort_clause(llast_node(TargetEntry, query->targetList), key->equality, key->ordering));
	}
	foreach (cell, keyed->aggregates)
		add_target(query, accumulation(keyed, lfirst(cell), true),
				   psprintf("s%d", foreach_current_index(cell) + 1));
	add_target(query, builtin_aggregate("max", TIDOID, place), "place");
	query->havingQual = (Node *) builtin_aggregate("bool_or", BOOLOID, is_row);
	query->hasAggs = true;
	return query;
}

/* ---- the level ------------------------------------------------------------------------------------- */

typedef struct ReadContext
{
	const Keyed *keyed;
	int rtindex;
	bool states; /* only */
} ReadContext;

/* Keys and aggregates, as what events have of them. */
static Node *
read_events(Node *node, void *arg)
{
	ReadContext *context = arg;
	const Keyed *keyed = context->keyed;
	Node *replacement = NULL;

	if (node == NULL)
		return NULL;
	if (IsA(node, Aggref) || first_value_call(node))
	{
		KeyedAggregate *aggregate = find_aggregate(keyed, node);

		replacement = (Node *) (context->states ? result_of_state(keyed, aggregate)
												: accumulation(keyed, aggregate, false));
	}
	else if (!IsA(node, Const) && !IsA(node, List) && !IsA(node, TargetEntry))
	{
		AttrNumber column = inputs_find(keyed->inputs, node);

		if (column > KEYED_TIME_COLUMN && column <= KEYED_TIME_COLUMN + list_length(keyed->keys))
			replacement = (Node *) input_variable(keyed, column);
	}
	if (replacement == NULL)
		return expression_tree_mutator(node, read_events, arg);
	ChangeVarNodes(replacement, 1, context->rtindex, 0);
	return replacement;
}

/* The query with the entry as what its level reads; *level is set to that. */
static Query *
output_over(const Keyed *keyed, RangeTblEntry *entry, bool states, Query **level)
{
	Query *query = copyObject(keyed->query);
	RangeTblRef *reference = makeNode(RangeTblRef);
	ReadContext context = {.keyed = keyed, .states = states};

	*level = shape_level(query, keyed->depth);
	context.rtindex = reference->rtindex = shape_input(*level);
	(*level)->targetList = (List *) read_events((Node *) (*level)->targetList, &context);
	(*level)->havingQual = read_events((*level)->havingQual, &context);
	(*level)->jointree = makeFromExpr(list_make1(reference), NULL);
	lfirst(shape_input_entry(*level)) = entry;
	return query;
}

Query *
keyed_groups_output(const Keyed *keyed, RangeTblEntry *events)
{
	Query *level;

	return output_over(keyed, in_order(keyed, events), false, &level);
}

Query *
keyed_groups_output_of_states(const Keyed *keyed, RangeTblEntry *states)
{
	Query *level;
	Query *query = output_over(keyed, states, true, &level);
	Node *having = level->havingQual;
	List *targets = NIL;
	ListCell *cell;

	foreach (cell, level->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		entry->ressortgroupref = 0;
		if (!entry->resjunk)
			targets = lappend(targets, entry);
	}
	level->targetList = targets;
	compat_ungroup(level);
	level->jointree->quals = having;
	return query;
}
