/*
 * keyed_order.h: an order that leaves nothing open.
 */
#ifndef TIDEMARK_VIEW_KEYED_ORDER_H
#define TIDEMARK_VIEW_KEYED_ORDER_H

#include "view/keyed.h"

/*
 * Completes the order by which a keyed level chooses rows that count each for itself: in keyed, and in the level, whose
 * window it is (NULL: DISTINCT).
 */
extern void keyed_order_complete(Keyed *keyed, Query *level, WindowClause *window);

/* ORDER BY the expression, or the images of some, as a further item of the clauses, which are over the targets. */
extern SortGroupClause *keyed_order_add(List **targets, List **clauses, Expr *expression,
										Oid equality, Oid ordering);
extern void keyed_order_add_images(List **targets, List **clauses, const List *expressions);

/* Is the expression what an order was completed with? */
extern bool keyed_order_is_completion(const Expr *expression);

/* The first row of each key of the source, an entry of a range table whose columns are the inputs, as a query with these columns. */
extern Query *keyed_order_first_rows(const Keyed *keyed, RangeTblEntry *source);

#endif
