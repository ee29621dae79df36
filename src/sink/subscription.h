/*
 * subscription.h: a subscription: a continuous view's rows, and their changes, for who asks in SQL.
 */
#ifndef TIDEMARK_SINK_SUBSCRIPTION_H
#define TIDEMARK_SINK_SUBSCRIPTION_H

#include "nodes/pg_list.h"
#include "sink/feed.h"

/* A row of tidemark.subscription. */
typedef struct Subscription
{
	int32 id; /* another one after a reset */
	char name[NAMEDATALEN];
	Oid view;
	Oid mat;			   /* the materialised part that it began with */
	Oid role;			   /* its owner */
	List *key;			   /* names of the view's columns; NIL: none */
	FeedPosition position; /* acknowledged */
	int64 present_to;	   /* as in Feed */
	int64 changes;		   /* so many of them */
	char *lost;			   /* why it can't go on; NULL: it can */
} Subscription;

/*
 * What a change's position says, as text that sorts as the changes come: whoever acknowledges it has this change and all that came
 * before, or, in the middle of a transaction's corrections or of an event time's rows, all that came before these.
 */
typedef struct ChangePosition
{
	int32 subscription; /* its id */
	FeedPosition feed;
	int64 changes; /* so many are acknowledged with it, since the subscription began */
} ChangePosition;

extern char *change_position_text(const ChangePosition *position);

/* Raises an error for what is none. */
extern ChangePosition change_position_parse(const char *text);

/* Reads it in a snapshot, into the current context; raises an error if there's none of that name. */
extern void subscription_require(const char *name, Snapshot snapshot, Subscription *subscription);

/* Has the current user the rights of the subscription's owner? And has he those on the view? An error if not. */
extern void subscription_check_owner(const Subscription *subscription);
extern void subscription_check_view(const Subscription *subscription);

/* Raises an error, which says what to do, if it can't go on. */
extern void subscription_check_lost(const Subscription *subscription);

/* Opens its feed: the columns are the row, as jsonb, and its key, as jsonb, if there is one. Needs a snapshot. */
extern void subscription_open_feed(const Subscription *subscription, Feed *feed);

/* For the maintainer, again and again: tells who listens, and bounds what is kept. Returns the ms until it is due next. */
extern long subscriptions_look_after(void);

#endif
