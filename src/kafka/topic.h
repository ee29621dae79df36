/*
 * topic.h: what the files of the foreign table share.
 */
#ifndef TIDEMARK_KAFKA_TOPIC_H
#define TIDEMARK_KAFKA_TOPIC_H

#include "commands/explain.h"
#include "foreign/fdwapi.h"

/* Each sets its callbacks. */
extern void topic_scan_callbacks(FdwRoutine *routine);
extern void topic_insert_callbacks(FdwRoutine *routine);

/* What a planned scan has in fdw_private: a list of two. */
#define TOPIC_PLAN_BOUNDS(scan) ((List *) linitial((scan)->fdw_private)) /* of topic_bound.c */
#define TOPIC_PLAN_COLUMNS(scan) ((List *) lsecond((scan)->fdw_private)) /* numbers; 0: all */

/* EXPLAIN: the topic's name. */
extern void topic_explain(Oid foreign_table, ExplainState *es);

/* Errors that reading and writing have in common. doing is "read" or "write to". */
extern void topic_refuse_missing(const char *topic);
extern void topic_refuse_answer(const char *doing, const char *topic, const char *reason);

/* An error unless the relation is a topic and the user has that right on it. */
extern void topic_require(Oid relid, AclMode right);

#endif
