/*
 * keyed_answer.h: how a query that reads a keyed view is answered.
 */
#ifndef TIDEMARK_VIEW_KEYED_ANSWER_H
#define TIDEMARK_VIEW_KEYED_ANSWER_H

#include "catalog.h"
#include "view/keyed.h"

/* An input as a column of a query's only entry, which has the inputs as columns, seen from that many levels below. */
extern Var *keyed_answer_variable(const Keyed *keyed, AttrNumber column, int levels);

/*
 * The parts of the answer, a list of Query with the view's columns: its rows together, in every snapshot. few_keys: the reader asks
 * for few keys, so that the rows of these keys are few. one_key: conditions on all keys (keyed_answer_variable, 0 levels) that the rows of
 * one key meet; the reader asks for no others. NIL: not so.
 */
extern List *keyed_answer(const ContinuousView *view, const Keyed *keyed, bool few_keys,
						  const List *one_key);

/* Of rows with the inputs as their first columns, those with the keys of others, and perhaps more with nulls in their keys: a list of Query. */
extern List *keyed_with_keys_of(const Keyed *keyed, Query *rows, Query *others);

/*
 * Of rows with the inputs as their first columns, those with the key of one of the sessions, which has them too, and a value of that column
 * from where the session begins to its end: a list of Query.
 */
extern List *keyed_within(const Keyed *keyed, Query *rows, AttrNumber column, Query *sessions);

/* Of a view with dedup_for: those of the rows, with the inputs as columns, that no entry in its table covers: a list of Query. */
extern List *keyed_uncovered(const ContinuousView *view, const Keyed *keyed, Query *rows);

/* The queries, with the same columns, as one entry of a range table. */
extern RangeTblEntry *keyed_union(List *queries);

/*
 * The first rows by event time of a view in layers (layers.h), with the inputs as columns: those that its table knows up to the
 * frontier, and those of other keys, of the rows after it.
 */
extern Query *keyed_answer_known(const ContinuousView *view, const Keyed *keyed, Oid table);
extern Query *keyed_answer_new(const ContinuousView *view, const Keyed *keyed, Oid table);

#endif
