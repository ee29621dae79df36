/*
 * keys.c: which keys of a view a late row changes.
 *
 *   SELECT at, k, sum(x) OVER (PARTITION BY k, b ...), max(s) OVER (PARTITION BY k ...) FROM (SELECT *, ... OVER (PARTITION BY k ...) FROM stream)
 *
 * Every window of the query, at every level, is partitioned by k, and so is what it groups by: rows with different k never meet. So a row that is
 * inserted with k = 5 changes result rows with k = 5 only; and as k is a column of the result, the materialised ones are found
 * by it. Such a column is traced from the top to the stream: at each level with windows, what it is made of has to be among each
 * PARTITION BY; where no window is below, it may be any expression of the row.
 *
 * The keys themselves are those of the stream's rows at the late event times; of those, in a correction, that its transaction
 * has written. Rows that are gone (UPDATE, DELETE) can't be found so: their keys are those of the rows before and after the statement, as
 * its triggers have seen them.
 * With several such columns each is restricted for itself, which takes in more than the combinations that occur.
 */
#include "tidemark.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tstoreReceiver.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parse_collate.h"
#include "parser/parse_node.h"
#include "parser/parse_oper.h"
#include "parser/parse_type.h"
#include "parser/parsetree.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"
#include "view/answer.h"
#include "view/group_window.h"
#include "view/keys.h"
#include "view/slice.h"

/* With more event times or keys, all keys are taken to be touched. */
#define MAX_TIMES KEYS_MAX_ROWS
#define MAX_KEYS 1000

/* A column of the result that all windows are partitioned by. */
typedef struct KeyColumn
{
	AttrNumber column;
	Expr *expression;		 /* over the columns of the stream */
	SortGroupClause *clause; /* how PARTITION BY compares it */
} KeyColumn;

/* ---- the columns ----------------------------------------------------------------------------------- */

/* What PARTITION BY of the window compares the expression with; NULL: it is not among it. */
static SortGroupClause *
partition_clause(Query *level, const WindowClause *window, const Expr *expression)
{
	ListCell *cell;

	foreach (cell, window->partitionClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, cell);

		if (equal(get_sortgroupclause_expr(clause, level->targetList), expression))
			return clause;
	}
	return NULL;
}

typedef struct PartitionContext
{
	Query *level;
	const Expr *expression;
	SortGroupClause *clause; /* of the last window that was looked at */
} PartitionContext;

/* True if there is a window function that is not partitioned by the expression. */
static bool
find_unpartitioned(Node *node, void *arg)
{
	PartitionContext *context = arg;

	if (node == NULL)
		return false;
	if (!IsA(node, WindowFunc))
		return expression_tree_walker(node, find_unpartitioned, arg);
	context->clause = partition_clause(context->level,
									   list_nth_node(WindowClause, context->level->windowClause,
													 ((WindowFunc *) node)->winref - 1),
									   context->expression);
	return context->clause == NULL;
}

/*
 * The expression over the level's input, as one over the stream's columns; NULL if there is a window that is not
 * partitioned by it. *clause is set if there is one that is.
 */
static Expr *
trace_key(Query *level, Expr *expression, SortGroupClause **clause)
{
	RangeTblEntry *input = rt_fetch(shape_input(level), level->rtable);
	PartitionContext context = {.level = level, .expression = expression};

	if (expression_returns_set(compat_grouped_expression(level, (Node *) expression)))
		return NULL;
	if (level->hasWindowFuncs)
	{
		if (find_unpartitioned((Node *) level->targetList, &context))
			return NULL;
		*clause = context.clause;
	}
	if (level_groups(level))
	{
		SortGroupClause *group = level_group_clause(level, expression);

		if (group == NULL)
			return NULL;
		*clause = group;
		expression = (Expr *) compat_grouped_expression(level, (Node *) expression);
	}
	if (input->rtekind != RTE_SUBQUERY)
		return expression;
	if (!bms_is_subset(pull_varnos(NULL, (Node *) expression),
					   bms_make_singleton(shape_input(level))))
		return NULL; /* of a function in FROM: the stream's level doesn't have it */
	if (!IsA(expression, Var) &&
		(shape_has_windows(input->subquery) || shape_has_groups(input->subquery)))
		return NULL;
	return trace_key(input->subquery, (Expr *) shape_expression_below(level, (Node *) expression),
					 clause);
}

static bool
is_known(List *columns, Expr *expression)
{
	ListCell *cell;

	foreach (cell, columns)
		if (equal(((KeyColumn *) lfirst(cell))->expression, expression))
			return true;
	return false;
}

static List *
key_columns(Query *batch)
{
	List *columns = NIL;
	ListCell *cell;

	foreach (cell, batch->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Oid type = exprType((Node *) entry->expr);
		SortGroupClause *clause = NULL;
		Expr *expression = entry->resjunk ? NULL : trace_key(batch, entry->expr, &clause);
		KeyColumn *column;

		/* of a row type, IS NULL means something else in SQL than in a plan */
		if (expression == NULL || clause == NULL || is_known(columns, expression) ||
			!OidIsValid(get_array_type(type)) || type_is_rowtype(type))
			continue;
		column = palloc(sizeof(KeyColumn));
		column->column = entry->resno;
		column->expression = expression;
		column->clause = clause;
		columns = lappend(columns, column);
	}
	return columns;
}

/* ---- their values ------------------------------------------------------------------------------------ */

List *
keys_operator_name(Oid operator_oid)
{
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator_oid));
	Form_pg_operator form;
	List *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator_oid);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	name = list_make2(makeString(get_namespace_name(form->oprnamespace)),
					  makeString(pstrdup(NameStr(form->oprname))));
	ReleaseSysCache(tuple);
	return name;
}

/* "expression = ANY (array)" */
Expr *
keys_any_of(Expr *expression, List *equality, Oid array_type, Datum array)
{
	ParseState *state = make_parsestate(NULL);
	Const *values =
		makeConst(array_type, -1, exprCollation((Node *) expression), -1, array, false, false);
	Node *condition = (Node *) make_scalar_array_op(
		state, equality, true, copyObject((Node *) expression), (Node *) values, -1);

	assign_expr_collations(state, condition);
	free_parsestate(state);
	return (Expr *) condition;
}

/* The event times, each once, as an array. */
Datum
keys_times(Oid type, const Ticks *times, int n)
{
	Datum *values = palloc(n * sizeof(Datum));
	int16 length;
	bool by_value;
	char align;
	int count = 0;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	for (int i = 0; i < n; i++)
		if (i == 0 || times[i] != times[i - 1])
			values[count++] = event_time_datum(type, times[i]);
	return PointerGetDatum(construct_array(values, count, type, length, by_value, align));
}

PG_FUNCTION_INFO_V1(tidemark_written_here);

/* written_here(xmin): has this transaction written the row? */
Datum
tidemark_written_here(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(TransactionIdIsCurrentTransactionId(PG_GETARG_TRANSACTIONID(0)));
}

bool
keys_are_of_heaps(const Stream *stream)
{
	ListCell *cell;

	foreach (cell, stream_tables(stream->relid, NoLock))
	{
		Relation rel = table_open(lfirst_oid(cell), NoLock);
		bool heap = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
					rel->rd_rel->relam == HEAP_TABLE_AM_OID;

		table_close(rel, NoLock);
		if (!heap)
			return false;
	}
	return true;
}

static Expr *
is_written_here(int stream)
{
	Oid types[] = {XIDOID};
	Var *xmin = makeVar(stream, MinTransactionIdAttributeNumber, XIDOID, -1, InvalidOid, 0);

	return (Expr *) makeFuncExpr(own_function("written_here", lengthof(types), types), BOOLOID,
								 list_make1(xmin), InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

void
keys_restrict_to_written(Query *query)
{
	Query *level = shape_stream_level(query);

	add_condition(level, is_written_here(shape_input(level)));
}

/* SELECT DISTINCT the key columns FROM the stream WHERE what the view's query asks of it */
static Query *
key_query(Query *batch, List *columns)
{
	Query *query = copyObject(shape_stream_level(batch));
	ListCell *cell;

	query->hasWindowFuncs = query->hasTargetSRFs = false;
	query->windowClause = query->targetList = NIL;
	compat_ungroup(query);
	foreach (cell, columns)
	{
		KeyColumn *column = lfirst(cell);
		TargetEntry *entry = makeTargetEntry(copyObject(column->expression),
											 foreach_current_index(cell) + 1, NULL, false);
		SortGroupClause *clause = copyObject(column->clause);

		entry->ressortgroupref = clause->tleSortGroupRef = entry->resno;
		query->targetList = lappend(query->targetList, entry);
		query->distinctClause = lappend(query->distinctClause, clause);
	}
	query->limitCount = (Node *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
										   Int64GetDatum(MAX_KEYS + 1), false, FLOAT8PASSBYVAL);
	query->limitOption = LIMIT_OPTION_COUNT;
	return query;
}

/* AND event time = ANY (times) [AND tidemark.written_here(xmin)] */
static void
restrict_to_times(Query *query, const Stream *stream, const Ticks *times, int n, bool here)
{
	Oid equality = lookup_type_cache(stream->time_type, TYPECACHE_EQ_OPR)->eq_opr;
	Var *time = makeVar(shape_input(query), stream->attnum, stream->time_type, -1, InvalidOid, 0);
	Expr *at = keys_any_of((Expr *) time, keys_operator_name(equality),
						   get_array_type(stream->time_type),
						   keys_times(stream->time_type, times, n));

	add_condition(query, at);
	if (here && keys_are_of_heaps(stream))
		keys_restrict_to_written(query);
}

/*
 * FROM given rows instead, at the level that reads the stream. False where the query asks for what those don't have: system columns, the row as a whole, columns that are
 * computed when they are read.
 */
static bool
read_rows(Query *query, TupleDesc columns)
{
	int rtindex = shape_input(query);
	Bitmapset *used = NULL;
	int column = -1;

	pull_varattnos((Node *) query->targetList, rtindex, &used);
	pull_varattnos(query->jointree->quals, rtindex, &used);
	while ((column = bms_next_member(used, column)) >= 0)
	{
		AttrNumber attnum = column + FirstLowInvalidHeapAttributeNumber;

		if (attnum <= 0 || compat_is_virtual(TupleDescAttr(columns, attnum - 1)))
			return false;
	}
	lfirst(shape_input_entry(query)) = tuplestore_entry(columns, KEYS_MAX_ROWS);
	return true;
}

/* Runs the query with the role's rights. */
static Tuplestorestate *
run_query(Query *query, QueryEnvironment *environment, Oid role)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	DestReceiver *receiver = CreateDestReceiver(DestTuplestore);
	RoleSession session = role_begin(role);

	SetTuplestoreDestReceiverParams(receiver, rows, CurrentMemoryContext, false, NULL, NULL);
	slice_run(query, receiver, environment);
	receiver->rDestroy(receiver);
	role_end(session);
	return rows;
}

/* The values of one column of the rows. */
static KeyValues *
collect_values(const KeyColumn *column, int number, Tuplestorestate *rows, TupleTableSlot *slot)
{
	KeyValues *key = palloc0(sizeof(KeyValues));
	Oid type = exprType((Node *) column->expression);
	ArrayBuildState *values = initArrayResult(type, CurrentMemoryContext, false);

	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		bool isnull;
		Datum value = slot_getattr(slot, number, &isnull);

		if (isnull)
			key->with_null = true;
		else
			values = accumArrayResult(values, value, false, type, CurrentMemoryContext);
	}
	key->column = column->column;
	key->expression = column->expression;
	key->equality = keys_operator_name(column->clause->eqop);
	key->array_type = get_array_type(type);
	key->values = makeArrayResult(values, CurrentMemoryContext);
	return key;
}

/* What the query of keys finds; NIL: too many. */
static List *
find_keys(Query *query, QueryEnvironment *environment, Oid owner, List *columns, bool *none)
{
	List *keys = NIL;
	TupleDesc type = ExecCleanTypeFromTL(query->targetList);
	Tuplestorestate *rows = run_query(query, environment, owner);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(type, &TTSOpsMinimalTuple);
	ListCell *cell;

	*none = tuplestore_tuple_count(rows) == 0;
	if (tuplestore_tuple_count(rows) <= MAX_KEYS)
		foreach (cell, columns)
			keys = lappend(
				keys, collect_values(lfirst(cell), foreach_current_index(cell) + 1, rows, slot));
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(rows);
	return keys;
}

List *
keys_at(Query *batch, const Shape *shape, Oid owner, const Ticks *times, int n, bool written_here,
		bool *none)
{
	List *columns = n <= MAX_TIMES ? key_columns(batch) : NIL;
	Query *query;

	*none = false;
	if (columns == NIL)
		return NIL;
	query = key_query(batch, columns);
	restrict_to_times(query, &shape->stream, times, n, written_here);
	return find_keys(query, NULL, owner, columns, none);
}

List *
keys_of_rows(Query *batch, const Shape *shape, Oid owner, Tuplestorestate *rows, TupleDesc columns,
			 bool *none)
{
	List *key = key_columns(batch);
	Query *query;

	*none = false;
	if (key == NIL)
		return NIL;
	query = key_query(batch, key);
	if (!read_rows(query, columns))
		return NIL;
	tuplestore_rescan(rows);
	return find_keys(query, tuplestore_environment(rows, columns), owner, key, none);
}

Tuplestorestate *
keys_run_on_rows(Query *query, Oid role, Tuplestorestate *rows, TupleDesc columns, TupleDesc *type)
{
	if (!read_rows(shape_stream_level(query), columns))
		return NULL;
	tuplestore_rescan(rows);
	*type = ExecCleanTypeFromTL(query->targetList);
	return run_query(query, tuplestore_environment(rows, columns), role);
}

/* The one of these keys that is this column of the rows which they are of, and is compared alike; NULL: none. */
static const KeyValues *
key_below(const List *keys, const KeyColumn *column)
{
	Var *variable = (Var *) column->expression;
	ListCell *cell;

	foreach (cell, keys)
	{
		const KeyValues *key = lfirst(cell);

		if (IsA(variable, Var) && variable->varattno == key->column &&
			equal(key->equality, keys_operator_name(column->clause->eqop)))
			return key;
	}
	return NULL;
}

List *
keys_above(Query *batch, const List *keys)
{
	List *above = NIL;
	ListCell *cell;

	if (keys == NIL)
		return NIL;
	foreach (cell, key_columns(batch))
	{
		const KeyColumn *column = lfirst(cell);
		const KeyValues *below = key_below(keys, column);
		KeyValues *key;

		if (below == NULL)
			continue;
		key = palloc(sizeof(KeyValues));
		*key = *below;
		key->column = column->column;
		key->expression = column->expression;
		above = lappend(above, key);
	}
	return above;
}

/* ---- the restriction ----------------------------------------------------------------------------------- */

Expr *
keys_condition(const KeyValues *key)
{
	Expr *condition = keys_any_of(key->expression, key->equality, key->array_type, key->values);
	NullTest *is_null;

	if (!key->with_null)
		return condition;
	is_null = makeNode(NullTest);
	is_null->arg = copyObject(key->expression);
	is_null->nulltesttype = IS_NULL;
	is_null->location = -1;
	return makeBoolExpr(OR_EXPR, list_make2(condition, is_null), -1);
}

void
keys_restrict(Query *batch, const List *keys)
{
	Query *level = shape_stream_level(batch);
	ListCell *cell;

	foreach (cell, keys)
		add_condition(level, keys_condition(lfirst(cell)));
}
