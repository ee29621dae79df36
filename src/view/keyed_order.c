/*
 * keyed_order.c: an order that leaves nothing open.
 *
 * Where rows are equal in what ORDER BY says, SQL leaves open which of them DISTINCT ON or row_number() = 1 keeps: it depends on the
 * plan, on where the rows lie, on how often they were updated. A view can't be equal to that. So tidemark has a rule, for
 * continuous views and for every query over a stream that could be one:
 *
 *     ORDER BY what the query says,  event time,  ROW(the other columns that the query uses) USING *<
 *
 * The earlier row comes first, and of rows with the same event time that whose columns have the lesser binary images, in the
 * order in which the query uses them. Images are there for every type, also for those without an order (json), and tell
 * apart what is equal (1.0 and 1.00). Rows that are still the same are the same in all that the query shows.
 *
 * The order is completed in the query's tree, in the planner's copy for a batch query, so that the rest is PostgreSQL's own.
 * rank() and dense_rank() keep rows that are equal together, and leave nothing open.
 */
#include "tidemark.h"

#include "access/nbtree.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_clause.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
#include "view/first_values.h"
#include "view/inputs.h"
#include "view/keyed_order.h"
#include "view/slice.h"

/* ---- what is left open -------------------------------------------------------------------------- */

/* Are values of the expression that are equal the same, bit by bit? */
static bool
equals_are_same(Node *expression)
{
	Oid type = exprType(expression);
	Oid class = GetDefaultOpClass(type, BTREE_AM_OID);
	Oid input;
	Oid function;

	if (!OidIsValid(class))
		return false;
	input = get_opclass_input_type(class);
	function = get_opfamily_proc(get_opclass_family(class), input, input, BTEQUALIMAGE_PROC);
	return OidIsValid(function) &&
		   DatumGetBool(
			   OidFunctionCall1Coll(function, exprCollation(expression), ObjectIdGetDatum(input)));
}

static bool
has_column(const List *columns, AttrNumber column)
{
	ListCell *cell;

	foreach (cell, columns)
		if (((KeyedColumn *) lfirst(cell))->column == column)
			return true;
	return false;
}

/* The inputs that rows of a key which are equal in the order may still differ in. */
static List *
open_columns(const Keyed *keyed)
{
	List *columns = NIL;
	ListCell *cell;

	foreach (cell, keyed->inputs)
	{
		AttrNumber column = foreach_current_index(cell) + 1;

		if ((has_column(keyed->keys, column) || has_column(keyed->order, column)) &&
			equals_are_same(lfirst(cell)))
			continue;
		columns = lappend_int(columns, column);
	}
	return columns;
}

/* ---- clauses ------------------------------------------------------------------------------------ */

SortGroupClause *
keyed_order_add(List **targets, List **clauses, Expr *expression, Oid equality, Oid ordering)
{
	SortGroupClause *item = makeNode(SortGroupClause);
	TargetEntry *entry = NULL;
	ListCell *cell;

	foreach (cell, *targets)
		if (equal(lfirst_node(TargetEntry, cell)->expr, expression))
			entry = lfirst_node(TargetEntry, cell);
	if (entry == NULL)
	{
		entry = makeTargetEntry(copyObject(expression), list_length(*targets) + 1, NULL, true);
		*targets = lappend(*targets, entry);
	}
	item->tleSortGroupRef = assignSortGroupRef(entry, *targets);
	item->eqop = equality;
	item->sortop = ordering;
	compat_set_direction(item);
	*clauses = lappend(*clauses, item);
	return item;
}

/* The event time as the last of what rows are ordered by. */
static KeyedColumn *
time_column(const Keyed *keyed)
{
	TypeCacheEntry *type =
		lookup_type_cache(keyed->stream.time_type, TYPECACHE_LT_OPR | TYPECACHE_EQ_OPR);
	KeyedColumn *column = palloc0(sizeof(KeyedColumn));

	column->column = KEYED_TIME_COLUMN;
	column->equality = type->eq_opr;
	column->ordering = type->lt_opr;
	return column;
}

static Oid
record_operator(char *name)
{
	return OpernameGetOprid(list_make2(makeString("pg_catalog"), makeString(name)), RECORDOID,
							RECORDOID);
}

void
keyed_order_add_images(List **targets, List **clauses, const List *expressions)
{
	RowExpr *row = makeNode(RowExpr);
	ListCell *cell;

	foreach (cell, expressions)
	{
		row->args = lappend(row->args, copyObject(lfirst(cell)));
		row->colnames =
			lappend(row->colnames, makeString(psprintf("f%d", foreach_current_index(cell) + 1)));
	}
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_EXPLICIT_CALL;
	row->location = -1;
	(void) keyed_order_add(targets, clauses, &row->xpr, record_operator("*="),
						   record_operator("*<"));
}

/* ORDER BY the images of what is left open; inputs: these columns as expressions over the level's FROM. */
static void
order_by_images(const Keyed *keyed, const List *inputs, Query *level, List **clauses)
{
	List *columns = NIL;
	ListCell *cell;

	foreach (cell, keyed->ties)
		columns = lappend(columns, list_nth(inputs, lfirst_int(cell) - 1));
	keyed_order_add_images(&level->targetList, clauses, columns);
}

/* DISTINCT without ON, whose rows may be equal and yet differ, says what it is distinct on. */
static void
distinct_on_all(Query *level)
{
	level->hasDistinctOn = true;
	level->sortClause = NIL;
}

/* DISTINCT ON has to be sorted by its keys first. */
static void
order_by_keys(Query *level)
{
	ListCell *cell;
	ListCell *item;

	foreach (cell, level->distinctClause)
	{
		SortGroupClause *key = lfirst_node(SortGroupClause, cell);
		bool found = false;

		foreach (item, level->sortClause)
			found |= lfirst_node(SortGroupClause, item)->tleSortGroupRef == key->tleSortGroupRef;
		if (!found)
			level->sortClause = lappend(level->sortClause, copyObject(key));
	}
}

/* The numbers of rows don't depend on the frame; one by distance would allow no second column in ORDER BY. */
static void
forget_frame(WindowClause *window)
{
	window->frameOptions = FRAMEOPTION_NONDEFAULT | FRAMEOPTION_ROWS | FRAMEOPTION_BETWEEN |
						   FRAMEOPTION_START_UNBOUNDED_PRECEDING | FRAMEOPTION_END_CURRENT_ROW;
	window->startOffset = window->endOffset = NULL;
}

/* DISTINCT without ON, of rows that are the same where they are equal. */
static bool
is_any_as_good(const Keyed *keyed, Query *level)
{
	ListCell *cell;

	if (level->hasDistinctOn)
		return false;
	foreach (cell, keyed->keys)
		if (!equals_are_same(list_nth(keyed->inputs, ((KeyedColumn *) lfirst(cell))->column - 1)))
			return false;
	return true;
}

/* The clauses to complete; NULL: the level needs none. */
static List **
clauses_of_level(const Keyed *keyed, Query *level, WindowClause *window)
{
	if (window)
	{
		forget_frame(window);
		return &window->orderClause;
	}
	if (is_any_as_good(keyed, level))
		return NULL;
	if (!level->hasDistinctOn)
		distinct_on_all(level);
	order_by_keys(level);
	return &level->sortClause;
}

void
keyed_order_complete(Keyed *keyed, Query *level, WindowClause *window)
{
	List **clauses = clauses_of_level(keyed, level, window);

	if (!has_column(keyed->order, KEYED_TIME_COLUMN))
	{
		KeyedColumn *time = time_column(keyed);

		keyed->order = lappend(keyed->order, time);
		if (clauses)
			(void) keyed_order_add(&level->targetList, clauses, linitial(keyed->inputs),
								   time->equality, time->ordering);
	}
	keyed->ties = open_columns(keyed);
	if (clauses && keyed->ties != NIL)
		order_by_images(keyed, keyed->inputs, level, clauses);
}

Query *
keyed_order_first_rows(const Keyed *keyed, RangeTblEntry *source)
{
	Query *query = select_from(source, source->subquery);
	List *columns = NIL;
	ListCell *cell;

	foreach (cell, query->targetList)
		columns = lappend(columns, lfirst_node(TargetEntry, cell)->expr);
	foreach (cell, keyed->keys)
	{
		const KeyedColumn *key = lfirst(cell);
		SortGroupClause *item = keyed_order_add(&query->targetList, &query->sortClause,
												list_nth(columns, key->column - 1), key->equality,
												key->ordering);

		query->distinctClause = lappend(query->distinctClause, copyObject(item));
	}
	foreach (cell, keyed->order)
	{
		const KeyedColumn *column = lfirst(cell);

		keyed_order_add(&query->targetList, &query->sortClause,
						list_nth(columns, column->column - 1), column->equality, column->ordering)
			->nulls_first = column->nulls_first;
	}
	if (keyed->ties != NIL)
		order_by_images(keyed, columns, query, &query->sortClause);
	query->hasDistinctOn = true;
	return query;
}

bool
keyed_order_is_completion(const Expr *expression)
{
	return IsA(expression, RowExpr) && ((const RowExpr *) expression)->row_typeid == RECORDOID;
}

/* ---- batch queries ------------------------------------------------------------------------------ */

/* Quickly: may this query, level by level down one input, be one that keeps rows by key, or has first values of groups? */
static bool
may_leave_open(Query *query)
{
	for (;;)
	{
		RangeTblEntry *input;

		if (query->commandType != CMD_SELECT || query->setOperations)
			return false;
		if (query->hasAggs)
			return first_values_are_in(query);
		if (query->distinctClause || query->hasWindowFuncs)
			return true;
		if (query->jointree->fromlist == NIL)
			return false;
		input = rt_fetch(shape_input(query), query->rtable);
		if (input->rtekind == RTE_CTE)
			return true;
		if (input->rtekind != RTE_SUBQUERY)
			return false;
		query = input->subquery;
	}
}

static bool
complete_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, complete_walker, context);
	if (may_leave_open((Query *) node))
	{
		Query *copy = copyObject((Query *) node);
		Shape shape;

		shape_of_query(copy, &shape);
		if ((shape.keyed && !shape.keyed->groups) || (shape.completed && shape.refusal == NULL))
		{
			memcpy(node, copy, sizeof(Query));
			return false;
		}
	}
	return query_tree_walker((Query *) node, complete_walker, context, 0);
}

void
keyed_complete_order(Query *query)
{
	(void) complete_walker((Node *) query, NULL);
}
