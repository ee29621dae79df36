/*
 * keyed_expiry.c: first rows of keys that are kept for a while only: dedup_for.
 *
 *   SELECT DISTINCT ON (k) * FROM stream ORDER BY k, t          make_continuous(..., dedup_for => '1 day')
 *
 * A kept row is its key's entry, until that long after its event time. What comes meanwhile are duplicates; the next row after that is an entry again.
 *
 *             ├──── dedup_for ────┤           ├───────────────────┤
 *      k      ●  ·      ·         ·           ●   ·        ·
 *
 * So which rows are entries is told, from the first row on, by one pass over each key's rows (tidemark.begins_entry). The view shows those
 * that haven't expired at the frontier, and those after it:
 *
 *       shown   =   entries with event times after frontier - dedup_for
 *
 * of which there is at most one of each key up to the frontier, so that it alone decides about rows that come later. The table keeps entries
 * for twice that time, for the sake of late rows, and is as large as the keys of that time are many, whatever the stream has ever seen.
 *
 * A late row that an entry before it covers changes nothing. Another one becomes an entry, and those that it covers go: as it comes
 * not later than dedup_for after the frontier has passed it, what it covers and isn't an entry lies after the frontier, or is a duplicate still. Rows that come
 * later than that, or go, may move each entry of their key that follows: then the key's rows are read from the stream again; where it isn't known, all are.
 *
 * tidemark.verify compares with the same pass over all rows of the stream.
 */
#include "tidemark.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
#include "view/keyed_answer.h"
#include "view/keyed_expiry.h"
#include "view/keyed_log.h"
#include "view/keyed_maintain.h"
#include "view/keyed_order.h"
#include "view/keyed_places.h"
#include "view/keys.h"
#include "view/materialised.h"
#include "view/query_parts.h"
#include "view/slice.h"
#include "view/tail_bounds.h"

/* Entries are deleted each time that this part of dedup_for has passed. */
#define DELETIONS 16

void
keyed_expiry_require(const char *view_name, const Shape *shape)
{
	const Keyed *keyed = shape->keyed;

	if (keyed && !keyed->groups && keyed->in_arrival_order && keyed->limit == 1 &&
		keyed->count == KEYED_ROWS && keyed->keys && !keyed->under_windows)
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		 errmsg("view \"%s\" can't have dedup_for", view_name),
		 errdetail("It is for views that keep the first row of each key by event time, and do "
				   "nothing else with several rows."),
		 errhint("Write SELECT DISTINCT ON (key) ... ORDER BY key, %s.", shape_time_name(shape))));
}

/* ---- entries ---------------------------------------------------------------------------------------- */

static Expr *
input_variable(const Keyed *keyed, AttrNumber column)
{
	return (Expr *) variable_like(list_nth(keyed->inputs, column - 1), 1, column);
}

/* begins_entry(event time, dedup_for) OVER (PARTITION BY the keys ORDER BY the whole order) */
static void
add_begins(const Keyed *keyed, int64 length, Query *query)
{
	Oid types[] = {ANYELEMENTOID, INT8OID};
	WindowFunc *call = makeNode(WindowFunc);
	WindowClause *window = makeNode(WindowClause);
	List *ties = NIL;
	ListCell *cell;

	call->winfnoid = own_function("begins_entry", lengthof(types), types);
	call->wintype = BOOLOID;
	call->args = list_make2(input_variable(keyed, KEYED_TIME_COLUMN),
							makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(length),
									  false, FLOAT8PASSBYVAL));
	call->winref = window->winref = 1;
	call->location = -1;
	add_target(query, (Expr *) call, "begins");
	window->partitionClause = keyed_sort_clauses(query, keyed->keys);
	window->orderClause = keyed_sort_clauses(query, keyed->order);
	foreach (cell, keyed->ties)
		ties = lappend(ties, input_variable(keyed, lfirst_int(cell)));
	if (ties)
		keyed_order_add_images(&query->targetList, &window->orderClause, ties);
	window->frameOptions = FRAMEOPTION_DEFAULTS;
	query->windowClause = list_make1(window);
	query->hasWindowFuncs = true;
}

/* Those of the rows, which have the inputs as columns, that are entries among them; from: event times, NULL: all. */
static Query *
entries_of(const ContinuousView *view, const Keyed *keyed, List *rows, Expr *from)
{
	RangeTblEntry *entry = keyed_union(rows);
	Query *like = keyed_input(keyed, NULL, NULL);
	Query *marked = select_from(entry, like);
	AttrNumber begins = list_length(keyed->inputs) + 1;
	Query *query;

	add_begins(keyed, view->dedup_for, marked);
	query = select_from(subquery_entry(marked, "marked"), like);
	add_condition(query, (Expr *) makeVar(1, begins, BOOLOID, -1, InvalidOid, 0));
	if (from)
		slice_add_bounds(query, (Var *) input_variable(keyed, KEYED_TIME_COLUMN), from, NULL);
	return query;
}

/* The table's rows; with their places as the last column. */
static Query *
kept_entries(const ContinuousView *view, const Keyed *keyed, bool with_places)
{
	Query *query = select_from(table_entry(view->mat), keyed_input(keyed, NULL, NULL));

	if (with_places)
		add_target(query,
				   (Expr *) makeVar(1, SelfItemPointerAttributeNumber, TIDOID, -1, InvalidOid, 0),
				   "place");
	compat_unchecked(query);
	return query;
}

static Expr *
constant_after(const Keyed *keyed, Ticks ticks)
{
	return slice_after(keyed->stream.time_type, ticks);
}

/* ---- steps ------------------------------------------------------------------------------------------- */

/* Deletes what expired so long ago that no late row asks for it, now and then. */
static int64
delete_expired(const ContinuousView *view, const Keyed *keyed, Ticks from, Ticks to)
{
	int64 part = Max(view->dedup_for / DELETIONS, 1);

	if (from != TICKS_MIN && from / part == to / part)
		return 0;
	return materialised_delete(view, keyed->stream.time_type, TICKS_MIN,
							   ticks_minus(to, ticks_plus(view->dedup_for, view->dedup_for)), NIL,
							   NULL);
}

/* Up to where the table doesn't need entries when the frontier is there: none of them hides one that is shown. */
static Ticks
needless_to(const ContinuousView *view, Ticks frontier)
{
	return ticks_minus(ticks_minus(frontier, view->dedup_for), view->dedup_for);
}

/* The same after a step to there, with what the log of that step needs. */
static Ticks
unknown_to(const ContinuousView *view, const Keyed *keyed, Ticks to)
{
	Ticks known = needless_to(view, to);

	return keyed_log_is_followed(view, keyed) ? Min(known, ticks_minus(keyed_log_begins(view), 1))
											  : known;
}

int64
keyed_expiry_append(const ContinuousView *view, const Keyed *keyed, Ticks from, Ticks to)
{
	List *rows = keyed_uncovered(view, keyed, keyed_inputs_between(keyed, from, to));
	Query *entries =
		entries_of(view, keyed, rows, constant_after(keyed, unknown_to(view, keyed, to)));
	int64 appended = materialised_receive(view, materialised_run, entries);

	keyed_log_final(view, keyed, from, to);
	return appended - delete_expired(view, keyed, from, to);
}

/* ---- late rows --------------------------------------------------------------------------------------- */

/* Rows of the keys whose entries may change. */
static Query *
changed_rows(const ContinuousView *view, const Keyed *keyed, const Ticks *times, int n,
			 bool inserted)
{
	List *rows = keyed_uncovered(view, keyed, keyed_inputs_at(keyed, times, n));
	Oid type = keyed->stream.time_type;
	Query *gone;

	if (!inserted)
	{
		gone = kept_entries(view, keyed, false);
		add_condition(
			gone, keys_any_of(input_variable(keyed, KEYED_TIME_COLUMN),
							  keys_operator_name(lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr),
							  get_array_type(type), keys_times(type, times, n)));
		rows = lappend(rows, gone);
	}
	return keyed_union(rows)->subquery;
}

/* Rows that tell the entries of these keys. */
static List *
rows_of_keys(const ContinuousView *view, const Keyed *keyed, Query *changed, bool late_only,
			 Ticks frontier)
{
	Query *rows = late_only ? kept_entries(view, keyed, false)
							: keyed_inputs_between(keyed, TICKS_MIN, frontier);
	List *queries = keyed_with_keys_of(keyed, rows, copyObject(changed));

	return late_only ? lappend(queries, changed) : queries;
}

static int64
replace_entries(const ContinuousView *view, const Keyed *keyed, Query *changed, bool late_only,
				Ticks frontier)
{
	RangeTblEntry *old = keyed_union(
		keyed_with_keys_of(keyed, kept_entries(view, keyed, true), copyObject(changed)));
	Query *where = select_nothing_from(old);
	Ticks known = ticks_minus(frontier, ticks_plus(view->dedup_for, view->dedup_for));
	Places places;
	int64 appended;

	add_target(where,
			   (Expr *) makeVar(1, list_length(keyed->inputs) + 1, TIDOID, -1, InvalidOid, 0),
			   "place");
	places = keyed_places(view, where);
	appended = materialised_receive(
		view, materialised_run,
		entries_of(view, keyed, rows_of_keys(view, keyed, changed, late_only, frontier),
				   constant_after(keyed, known)));
	keyed_delete_places(view, &places);
	return appended - places.n;
}

/* An entry that isn't known any more may be gone: all are made anew. */
static int64
take_in_anew(const ContinuousView *view, const Keyed *keyed, Ticks frontier)
{
	KeyedTouched all = {0};
	KeyedLog *log = keyed_log_begin(view, keyed, &all);
	int64 change =
		-materialised_delete(view, keyed->stream.time_type, TICKS_MIN, TICKS_MAX, NIL, NULL);

	CommandCounterIncrement();
	change += materialised_receive(
		view, materialised_run,
		entries_of(view, keyed, list_make1(keyed_inputs_between(keyed, TICKS_MIN, frontier)),
				   constant_after(keyed, needless_to(view, frontier))));
	keyed_log_end(log);
	return change;
}

/* The log of a change of these rows' keys; of all keys, where the rows are many. */
static KeyedLog *
begin_log(const ContinuousView *view, const Keyed *keyed, const Query *changed)
{
	KeyedTouched touched = {0};

	if (!keyed_log_is_followed(view, keyed))
		return NULL;
	touched.rows = keyed_rows(view, copyObject((Query *) changed), KEYS_MAX_ROWS, &touched.n);
	return touched.rows && touched.n == 0 ? NULL : keyed_log_begin(view, keyed, &touched);
}

int64
keyed_expiry_correct(const ContinuousView *view, const Keyed *keyed, const Ticks *times, int n,
					 bool inserted, Ticks frontier)
{
	Ticks expired = ticks_minus(frontier, view->dedup_for);
	Query *changed;
	KeyedLog *log;
	int64 change;

	if (!inserted && times[0] <= ticks_minus(expired, view->dedup_for))
		return take_in_anew(view, keyed, frontier);
	changed = changed_rows(view, keyed, times, n, inserted);
	log = begin_log(view, keyed, changed);
	change = replace_entries(view, keyed, changed, inserted && times[0] > expired, frontier);
	keyed_log_end(log);
	return change;
}

/* ---- answers ----------------------------------------------------------------------------------------- */

/* After the frontier; and dedup_for before there. */
static Expr *
tail_from(const ContinuousView *view, const Keyed *keyed)
{
	Lookback none = {0};

	return tail_start(view, keyed->stream.time_type, &none);
}

static Expr *
shown_from(const ContinuousView *view, const Keyed *keyed)
{
	return tail_before(tail_from(view, keyed), view->dedup_for);
}

List *
keyed_expiry_answer(const ContinuousView *view, const Keyed *keyed)
{
	Query *kept = kept_entries(view, keyed, false);
	Query *tail = keyed_input(keyed, tail_from(view, keyed), NULL);
	Query *entries = entries_of(view, keyed, keyed_uncovered(view, keyed, tail), NULL);

	slice_add_bounds(kept, (Var *) input_variable(keyed, KEYED_TIME_COLUMN),
					 shown_from(view, keyed), NULL);
	return list_make2(keyed_output_of_kept(keyed, subquery_entry(kept, "kept")),
					  keyed_output_of_kept(keyed, subquery_entry(entries, "entries")));
}

Query *
keyed_expiry_batch(const ContinuousView *view, const Keyed *keyed)
{
	List *all = list_make1(keyed_input(keyed, NULL, NULL));
	Query *entries = entries_of(view, keyed, all, shown_from(view, keyed));

	return keyed_output_of_kept(keyed, subquery_entry(entries, "entries"));
}
