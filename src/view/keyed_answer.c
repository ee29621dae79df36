/*
 * keyed_answer.c: how a query that reads a keyed view is answered.
 *
 * What is kept of the stream is what is kept of the materialised rows M and the rows T after the frontier (keyed.h). So the answer
 * is the view's query over
 *
 *     M UNION ALL T
 *
 * in the place of what its keyed level reads. Conditions on the key go down into both by PostgreSQL's own rules: a key is read
 * by two look-ups. Who reads all keys would sort all of M for that, so there the keys are parted:
 *
 *     rows overtake    M without keys that T has, as they are; and the query over M with keys that T has, UNION ALL T
 *     rows don't       M as it is;                             and the query over T without keys that M has
 *
 * The second, simpler form is for the first row of each key by event time. "has" is a join by the key, or a look-up for each of T's rows,
 * which finds no nulls: rows with a null in their key, if there can be any, stand aside. Who asks for one key in that form needs T only if M doesn't
 * have it: that is looked up first, once, and T is read after that or not at all (EXPLAIN: One-Time Filter).
 *
 * Of a view with GROUP BY, M has states of aggregates in the place of rows, which are told apart in the union (keyed_groups.c). Where
 * the groups are sessions, T's rows can go on the last one of their key only, and that only if it ended within the gap before them:
 *
 *     M's sessions that ended before that, as they are; the others without keys that T has, as they are;
 *     and the query over the last session of each key that T has, if it is one of those others, UNION ALL T
 *
 * Where a view hides rows behind a barrier, it stands around each of the parts: M has rows that the levels above the keyed one may
 * leave out.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "stream/statistics.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
#include "view/keyed_answer.h"
#include "view/keyed_expiry.h"
#include "view/keyed_groups.h"
#include "view/keyed_order.h"
#include "view/keyed_sessions.h"
#include "view/slice.h"
#include "view/tail_bounds.h"

typedef struct Answer
{
	const ContinuousView *view;
	const Keyed *keyed;
	Oid table;	   /* of M */
	bool nullable; /* can a key be null? */
	bool
		partly; /* M counts only as far as the frontier says: it may have rows of an earlier start */

	/* Besides by key, rows are compared with the other one by whether */
	AttrNumber within; /* this column is within its session; 0: not so */
	int64
		covered; /* it is an entry, of this length, that covers them (keyed_expiry.h); 0: not so */
} Answer;

/* ---- sources ------------------------------------------------------------------------------------ */

/* The first event time that M doesn't know: after the frontier, and what the view's rows look ahead to. */
static Expr *
unknown_from(const Answer *answer)
{
	Lookback none = {0};
	Expr *start = tail_start(answer->view, answer->keyed->stream.time_type, &none);

	return answer->view->lookahead == 0 ? start : tail_before(start, -answer->view->lookahead);
}

/* T: the inputs after that. */
static Query *
tail_rows(const Answer *answer)
{
	Query *inputs = keyed_input(answer->keyed, unknown_from(answer), NULL);

	return answer->keyed->groups ? keyed_groups_rows(answer->keyed, inputs) : inputs;
}

/* Is a row of M one that the frontier says is known? */
static Expr *
is_known(const Answer *answer)
{
	Oid less = lookup_type_cache(answer->keyed->stream.time_type, TYPECACHE_LT_OPR)->lt_opr;
	Var *time = variable_like(linitial(answer->keyed->inputs), 1, KEYED_TIME_COLUMN);

	return slice_condition(less, &time->xpr, unknown_from(answer));
}

/* M */
static Query *
kept_rows(const Answer *answer)
{
	Query *query;

	if (answer->keyed->groups)
		return keyed_groups_states(answer->keyed, answer->table, true);
	query = select_from(table_entry(answer->table), keyed_input(answer->keyed, NULL, NULL));
	if (answer->partly)
		add_condition(query, is_known(answer));
	compat_unchecked(query);
	return query;
}

RangeTblEntry *
keyed_union(List *queries)
{
	List *entries = NIL;
	ListCell *cell;

	foreach (cell, queries)
		entries = lappend(entries, subquery_entry(lfirst_node(Query, cell), "part"));
	if (list_length(entries) == 1)
		return linitial(entries);
	return subquery_entry(union_all(entries), "rows");
}

/* ---- conditions --------------------------------------------------------------------------------- */

Var *
keyed_answer_variable(const Keyed *keyed, AttrNumber column, int levels)
{
	Var *variable = variable_like(list_nth(keyed->inputs, column - 1), 1, column);

	variable->varlevelsup = levels;
	return variable;
}

static Expr *
is_null(const Answer *answer, const KeyedColumn *key, int levels)
{
	NullTest *test = makeNode(NullTest);

	test->arg = (Expr *) keyed_answer_variable(answer->keyed, key->column, levels);
	test->nulltesttype = IS_NULL;
	test->location = -1;
	return &test->xpr;
}

/* Has the row a null in its key? */
static Expr *
has_null_key(const Answer *answer)
{
	List *conditions = NIL;
	ListCell *cell;

	foreach (cell, answer->keyed->row_keys)
		conditions = lappend(conditions, is_null(answer, lfirst(cell), 0));
	return list_length(conditions) == 1 ? linitial(conditions)
										: makeBoolExpr(OR_EXPR, conditions, -1);
}

static Expr *
negated(Expr *condition)
{
	return makeBoolExpr(NOT_EXPR, list_make1(condition), -1);
}

/* Has the row here the same key as that one level above? with_nulls: nulls are the same. */
static Expr *
has_same_key(const Answer *answer, const KeyedColumn *key, bool with_nulls)
{
	Var *here = keyed_answer_variable(answer->keyed, key->column, 0);
	Var *above = keyed_answer_variable(answer->keyed, key->column, 1);
	Expr *equal = keyed_equal(key, &here->xpr, &above->xpr);

	if (!with_nulls || !keyed_is_nullable(answer->keyed, key->column))
		return equal;
	return makeBoolExpr(
		OR_EXPR,
		list_make2(equal,
				   makeBoolExpr(AND_EXPR,
								list_make2(is_null(answer, key, 0), is_null(answer, key, 1)), -1)),
		-1);
}

/* Is the row one level above within the session here? */
static Expr *
is_within(const Answer *answer)
{
	const Keyed *keyed = answer->keyed;
	Oid less = lookup_type_cache(keyed->stream.time_type, TYPECACHE_LT_OPR)->lt_opr;
	Expr *begin = (Expr *) keyed_answer_variable(keyed, keyed->session, 0);
	Expr *end = (Expr *) keyed_answer_variable(keyed, KEYED_TIME_COLUMN, 0);
	Expr *value = (Expr *) keyed_answer_variable(keyed, answer->within, 1);

	return makeBoolExpr(AND_EXPR,
						list_make2(negated(slice_condition(less, value, begin)),
								   negated(slice_condition(less, end, copyObject(value)))),
						-1);
}

/* Is the row here an entry that covers that one level above? */
static Expr *
covers(const Answer *answer)
{
	Oid less = lookup_type_cache(answer->keyed->stream.time_type, TYPECACHE_LT_OPR)->lt_opr;
	Expr *entry = (Expr *) keyed_answer_variable(answer->keyed, KEYED_TIME_COLUMN, 0);
	Expr *row = (Expr *) keyed_answer_variable(answer->keyed, KEYED_TIME_COLUMN, 1);
	Expr *from = tail_before(copyObject(row), answer->covered);

	return makeBoolExpr(AND_EXPR,
						list_make2(slice_condition(less, entry, row),
								   negated(slice_condition(less, copyObject(entry), from))),
						-1);
}

/*
 * EXISTS (SELECT FROM rows, inputs, WHERE the conditions). look_up: for each row by itself, with an index; what the planner thinks of
 * pages that lie anywhere would have it join a small tail with all that is kept.
 */
static Expr *
exists(Query *rows, const List *conditions, bool look_up)
{
	SubLink *link = makeNode(SubLink);
	Query *nothing = makeNode(Query);
	Query *query = select_from(subquery_entry(rows, "others"), nothing);
	ListCell *cell;

	foreach (cell, conditions)
		add_condition(query, lfirst(cell));
	if (look_up) /* what has OFFSET is not pulled up */
		query->limitOffset = (Node *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
												Int64GetDatum(0), false, FLOAT8PASSBYVAL);
	link->subLinkType = EXISTS_SUBLINK;
	link->subselect = (Node *) query;
	link->location = -1;
	return &link->xpr;
}

/* Is the key of a row of inputs among those rows' keys? */
static Expr *
key_is_in(const Answer *answer, Query *rows, bool with_nulls, bool look_up)
{
	List *conditions = NIL;
	ListCell *cell;

	foreach (cell, answer->keyed->row_keys)
		conditions = lappend(conditions, has_same_key(answer, lfirst(cell), with_nulls));
	if (answer->within)
		conditions = lappend(conditions, is_within(answer));
	if (answer->covered)
		conditions = lappend(conditions, covers(answer));
	return exists(rows, conditions, look_up);
}

/* The rows for which a condition of `exists` holds. */
static Query *
rows_where(Query *rows, Expr *condition)
{
	Query *query = select_from(subquery_entry(rows, "rows"), rows);

	add_condition(query, condition);
	query->hasSubLinks = true;
	return query;
}

/* The rows whose key is among the others', or is not: a join. */
static Query *
rows_by_key(const Answer *answer, Query *rows, Query *others, bool among, bool with_nulls)
{
	Expr *condition = key_is_in(answer, others, with_nulls, false);

	return rows_where(rows, among ? condition : negated(condition));
}

/* The rows whose key is not among those of M, or of a part of it: looked up there. */
static Query *
rows_of_other_keys(const Answer *answer, Query *rows, Query *kept, bool with_nulls)
{
	return rows_where(rows, negated(key_is_in(answer, kept, with_nulls, true)));
}

/* The rows with a null in their key, or those without. */
static Query *
rows_by_null(const Answer *answer, Query *rows, bool null)
{
	Query *query = select_from(subquery_entry(rows, "rows"), rows);

	add_condition(query, null ? has_null_key(answer) : negated(has_null_key(answer)));
	return query;
}

/* ---- the parts ---------------------------------------------------------------------------------- */

/* The view's query over M UNION ALL T. */
static List *
answer_together(const Answer *answer)
{
	List *rows = list_make2(kept_rows(answer), tail_rows(answer));

	if (answer->keyed->groups && answer->keyed->keys == NIL)
		rows = lappend(rows, keyed_groups_nothing(answer->keyed));
	return list_make1(keyed_output(answer->keyed, keyed_union(rows)));
}

/* Rows without those whose key M has (where entries cover rows: has one that covers them). */
static List *
rows_without_kept(const Answer *answer, Query *rows)
{
	if (!answer->nullable)
		return list_make1(rows_by_key(answer, rows, kept_rows(answer), false, false));
	return list_make2(
		rows_by_key(answer, rows_by_null(answer, copyObject(rows), false), kept_rows(answer), false,
					false),
		rows_by_key(answer, rows_by_null(answer, rows, true), kept_rows(answer), false, true));
}

/* T's rows of keys that M doesn't have. */
static RangeTblEntry *
rows_of_new_keys(const Answer *answer)
{
	Query *without;
	Query *with;

	if (!answer->nullable)
		return keyed_union(
			list_make1(rows_of_other_keys(answer, tail_rows(answer), kept_rows(answer), false)));
	without = rows_by_null(answer, tail_rows(answer), false);
	with = rows_by_null(answer, tail_rows(answer), true);
	return keyed_union(list_make2(rows_of_other_keys(answer, without, kept_rows(answer), false),
								  rows_of_other_keys(answer, with, kept_rows(answer), true)));
}

/* The first row of each key by event time: of a key that M has, T's rows are none. */
static List *
answer_first_rows(const Answer *answer)
{
	RangeTblEntry *old = subquery_entry(kept_rows(answer), "kept");

	return list_make2(keyed_output_of_kept(answer->keyed, old),
					  keyed_output(answer->keyed, rows_of_new_keys(answer)));
}

/* The same where all rows that are asked for meet these conditions on inputs, which one key does: if M has it, T is not read. */
static List *
answer_first_row(const Answer *answer, const List *one_key)
{
	RangeTblEntry *old = subquery_entry(kept_rows(answer), "kept");
	Query *new = rows_where(tail_rows(answer), negated(exists(kept_rows(answer), one_key, true)));

	return list_make2(keyed_output_of_kept(answer->keyed, old),
					  keyed_output(answer->keyed, keyed_union(list_make1(new))));
}

/* The keys that T has, and the others. */
static List *
answer_by_keys(const Answer *answer)
{
	Query *kept = kept_rows(answer);
	RangeTblEntry *untouched;
	List *touched;

	if (answer->nullable)
		kept = rows_by_null(answer, kept, false);
	untouched =
		subquery_entry(rows_by_key(answer, kept, tail_rows(answer), false, false), "untouched");
	touched = list_make2(rows_by_key(answer, kept_rows(answer), tail_rows(answer), true, false),
						 tail_rows(answer));
	if (answer->nullable)
		touched = lappend(touched, rows_by_null(answer, kept_rows(answer), true));
	return list_make2(answer->keyed->limit == 1 ? keyed_output_of_kept(answer->keyed, untouched)
												: keyed_output(answer->keyed, untouched),
					  keyed_output(answer->keyed, keyed_union(touched)));
}

/* M's sessions that no row of T goes on. */
static List *
finished_sessions(const Answer *answer, Expr *open_from)
{
	Query *open = kept_rows(answer);
	List *finished;

	add_condition(open, keyed_sessions_ends(answer->keyed, open_from, false));
	finished = list_make1(kept_rows(answer));
	add_condition(linitial(finished), keyed_sessions_ends(answer->keyed, open_from, true));
	if (answer->keyed->row_keys == NIL)
		return finished;
	if (!answer->nullable)
		return lappend(finished, rows_by_key(answer, open, tail_rows(answer), false, false));
	finished = lappend(finished, rows_by_key(answer, rows_by_null(answer, copyObject(open), false),
											 tail_rows(answer), false, false));
	return lappend(finished, rows_by_key(answer, rows_by_null(answer, open, true),
										 tail_rows(answer), false, true));
}

/* The sessions that T's rows go on or begin, and the others. */
static List *
answer_sessions(const Answer *answer)
{
	const Keyed *keyed = answer->keyed;
	Expr *open_from = tail_before(unknown_from(answer), keyed->gap);
	List *last = keyed_sessions_last(keyed, answer->table, tail_rows(answer), open_from, NULL);

	return list_make2(
		keyed_output_of_kept(keyed, keyed_union(finished_sessions(answer, open_from))),
		keyed_output(keyed, keyed_union(lappend(last, tail_rows(answer)))));
}

static bool
has_nullable_key(const Keyed *keyed)
{
	ListCell *cell;

	foreach (cell, keyed->row_keys)
		if (keyed_is_nullable(keyed, ((KeyedColumn *) lfirst(cell))->column))
			return true;
	return false;
}

List *
keyed_with_keys_of(const Keyed *keyed, Query *rows, Query *others)
{
	Answer answer = {.keyed = keyed};
	List *queries;

	if (keyed->row_keys == NIL)
		return list_make1(rows);
	queries = list_make1(rows_by_key(&answer, copyObject(rows), others, true, false));
	if (has_nullable_key(keyed))
		queries = lappend(queries, rows_by_null(&answer, rows, true));
	return queries;
}

/* What the planner should know of M. */
static void
tell_planner(const Keyed *keyed, Oid table)
{
	bool is_unique = list_length(keyed->keys) == 1 && keyed->limit == 1 &&
					 keyed->count == KEYED_ROWS;

	statistics_know(table, &keyed->stream, KEYED_TIME_COLUMN,
					is_unique ? ((KeyedColumn *) linitial(keyed->keys))->column
							  : InvalidAttrNumber);
}

List *
keyed_within(const Keyed *keyed, Query *rows, AttrNumber column, Query *sessions)
{
	Answer answer = {.keyed = keyed, .within = column};

	if (!has_nullable_key(keyed))
		return list_make1(rows_by_key(&answer, rows, sessions, true, false));
	return list_make2(
		rows_by_key(&answer, rows_by_null(&answer, copyObject(rows), false), copyObject(sessions),
					true, false),
		rows_by_key(&answer, rows_by_null(&answer, rows, true), sessions, true, true));
}

List *
keyed_uncovered(const ContinuousView *view, const Keyed *keyed, Query *rows)
{
	Answer answer = {.view = view,
					 .keyed = keyed,
					 .table = view->mat,
					 .nullable = has_nullable_key(keyed),
					 .covered = view->dedup_for};

	return rows_without_kept(&answer, rows);
}

List *
keyed_answer(const ContinuousView *view, const Keyed *keyed, bool few_keys, const List *one_key)
{
	Answer answer = {
		.view = view, .keyed = keyed, .table = view->mat, .nullable = has_nullable_key(keyed)};

	if (view->dedup_for > 0)
		return keyed_expiry_answer(view, keyed);
	tell_planner(keyed, view->mat);
	if (one_key && keyed->in_arrival_order && keyed->limit == 1)
		return answer_first_row(&answer, one_key);
	if (keyed->keys == NIL || few_keys)
		return answer_together(&answer);
	if (keyed->sessions)
		return answer_sessions(&answer);
	if (keyed->in_arrival_order && keyed->limit == 1)
		return answer_first_rows(&answer);
	return answer_by_keys(&answer);
}

Query *
keyed_answer_known(const ContinuousView *view, const Keyed *keyed, Oid table)
{
	Answer answer = {.view = view, .keyed = keyed, .table = table, .partly = true};

	tell_planner(keyed, table);
	return kept_rows(&answer);
}

Query *
keyed_answer_new(const ContinuousView *view, const Keyed *keyed, Oid table)
{
	Answer answer = {.view = view,
					 .keyed = keyed,
					 .table = table,
					 .nullable = has_nullable_key(keyed),
					 .partly = true};

	tell_planner(keyed, table);
	return keyed_order_first_rows(keyed, rows_of_new_keys(&answer));
}
