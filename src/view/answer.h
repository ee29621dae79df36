/*
 * answer.h: how a query that reads a continuous view is answered.
 */
#ifndef TIDEMARK_VIEW_ANSWER_H
#define TIDEMARK_VIEW_ANSWER_H

/* Installs the planner hook. */
extern void answer_init(void);

/* While set, the planner leaves views as the batch queries that they are: slices are being computed. */
extern bool answer_suspended;

/* While set, views in the query under this alias stay batch queries (verify compares them with the others). */
extern const char *answer_batch_alias;

#endif
