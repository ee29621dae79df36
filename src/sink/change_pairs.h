/*
 * change_pairs.h: corrections of rows that have keys, as updates.
 */
#ifndef TIDEMARK_SINK_CHANGE_PAIRS_H
#define TIDEMARK_SINK_CHANGE_PAIRS_H

#include "sink/feed.h"

/* A change as a subscription's reader gets it. */
typedef struct Change
{
	const char *op; /* "insert", "update" or "delete" */
	Datum row;		/* jsonb: the row that is there now; of a delete, the one that went */
	Datum old_row;	/* of an update: what it was before; 0: none */
} Change;

typedef struct ChangePairs ChangePairs;

/* In the current context. */
extern ChangePairs *change_pairs_create(void);

/* Takes in a correction: a row that went or came, and its key, both jsonb, which are copied. */
extern void change_pairs_add(ChangePairs *pairs, FeedOp op, Datum key, Datum row);

/* Gives what the corrections of one transaction come to, key by key as they came, and forgets it. What is given is valid in the call. */
extern void change_pairs_flush(ChangePairs *pairs, void (*put)(const Change *change, void *arg),
							   void *arg);

#endif
