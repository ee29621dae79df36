/*
 * subscription_control.c: what a user says of a subscription: create, drop, reset, acknowledge; and how far behind it is.
 *
 * Who may: create, who may read the view; the subscription is his. Read and acknowledge: who has his rights, as long as he may read the view.
 * Drop and reset: he, and the view's owner.
 */
#include "tidemark.h"

#include "access/xact.h"
#include "catalog.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_type_d.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "sink/readers.h"
#include "sink/sink.h"
#include "sink/subscription.h"
#include "worker/worker.h"

PG_FUNCTION_INFO_V1(tidemark_create_subscription);
PG_FUNCTION_INFO_V1(tidemark_drop_subscription);
PG_FUNCTION_INFO_V1(tidemark_reset_subscription);
PG_FUNCTION_INFO_V1(tidemark_acknowledge);
PG_FUNCTION_INFO_V1(tidemark_subscription_lag);
PG_FUNCTION_INFO_V1(tidemark_subscription_readers);
PG_FUNCTION_INFO_V1(tidemark_kept_changes);

/* ---- create, drop, reset ----------------------------------------------------------------------------- */

/* It may be read anew, and from another place: who waits for it looks again. */
static void
tell_readers(void)
{
	readers_tell_at_commit();
	worker_wake_at_commit();
}

/* What create_subscription is given. */
typedef struct Options
{
	Name name;
	NullableDatum key;			  /* name[] */
	NullableDatum retention;	  /* interval */
	NullableDatum retention_rows; /* int8 */
} Options;

static void
check_options(const Options *options, Oid view)
{
	ListCell *cell;
	List *key;

	if (NameStr(*options->name)[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
						errmsg("the name of a subscription must not be empty")));
	if (!options->retention_rows.isnull && DatumGetInt64(options->retention_rows.value) < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("retention_rows must not be negative")));
	if (options->key.isnull)
		return;
	key = sink_key(options->key.value);
	if (key == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the key must have columns")));
	foreach (cell, key)
		(void) feed_key_column(view, lfirst(cell));
}

static void
insert_subscription(const ContinuousView *view, const Options *options,
					const FeedPosition *position, int64 present_to)
{
	Oid types[] = {NAMEOID, REGCLASSOID,  OIDOID,	   REGROLEOID, INT8OID,
				   INT8OID, NAMEARRAYOID, INTERVALOID, INT8OID,	   INT8OID};
	Datum values[] = {NameGetDatum(options->name),
					  ObjectIdGetDatum(view->relid),
					  ObjectIdGetDatum(view->mat),
					  ObjectIdGetDatum(GetUserId()),
					  Int64GetDatum(position->frontier),
					  Int64GetDatum(position->seq),
					  options->key.value,
					  options->retention.value,
					  options->retention_rows.value,
					  Int64GetDatum(present_to)};
	char nulls[] = {' ',
					' ',
					' ',
					' ',
					' ',
					' ',
					options->key.isnull ? 'n' : ' ',
					options->retention.isnull ? 'n' : ' ',
					options->retention_rows.isnull ? 'n' : ' ',
					' ',
					'\0'};

	if (catalog_execute("INSERT INTO tidemark.subscription (name, view, mat, role, frontier, seq,"
						" key, retention, retention_rows, present_to)"
						" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
						lengthof(types), types, values, nulls) == 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("subscription \"%s\" already exists", NameStr(*options->name)),
						errhint("tidemark.reset_subscription begins one anew.")));
}

Datum
tidemark_create_subscription(PG_FUNCTION_ARGS)
{
	Oid relid;
	Options options;
	ContinuousView view;
	FeedPosition position;
	int64 present_to;
	AclResult allowed;
	Keyed *keyed;

	tidemark_require_preload("create_subscription");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	relid = PG_GETARG_OID(0);
	options = (Options){.name = PG_GETARG_NAME(1),
						.key = fcinfo->args[2],
						.retention = fcinfo->args[4],
						.retention_rows = fcinfo->args[5]};
	allowed = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);
	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_VIEW, get_rel_name(relid));
	keyed = feed_lock_view(relid, &view);
	if (keyed && options.key.isnull)
		options.key.isnull = !sink_key_of_view(relid, keyed, &options.key.value);
	check_options(&options, relid);
	position = feed_begin(relid, text_to_cstring(PG_GETARG_TEXT_PP(3)), &view, &present_to);
	insert_subscription(&view, &options, &position, present_to);
	tell_readers();
	PG_RETURN_VOID();
}

/* The subscription of that name, its view locked; for who may drop it. */
static Subscription
require_control(const char *name)
{
	Subscription subscription;

	subscription_require(name, GetLatestSnapshot(), &subscription);
	LockRelationOid(subscription.view, ShareUpdateExclusiveLock);
	subscription_require(name, GetLatestSnapshot(), &subscription);
	if (!compat_owns_relation(subscription.view, GetUserId()))
		subscription_check_owner(&subscription);
	return subscription;
}

Datum
tidemark_drop_subscription(PG_FUNCTION_ARGS)
{
	Subscription subscription = require_control(NameStr(*PG_GETARG_NAME(0)));
	Oid types[] = {INT4OID};
	Datum values[] = {Int32GetDatum(subscription.id)};

	(void) catalog_execute("DELETE FROM tidemark.subscription WHERE id = $1", 1, types, values,
						   NULL);
	feed_end(subscription.view);
	tell_readers();
	PG_RETURN_VOID();
}

Datum
tidemark_reset_subscription(PG_FUNCTION_ARGS)
{
	Subscription subscription = require_control(NameStr(*PG_GETARG_NAME(0)));
	Oid types[] = {INT4OID, OIDOID, INT8OID, INT8OID, INT8OID};
	Datum values[5];
	ContinuousView view;
	FeedPosition position;
	int64 present_to;

	(void) feed_lock_view(subscription.view, &view);
	position =
		feed_begin(subscription.view, text_to_cstring(PG_GETARG_TEXT_PP(1)), &view, &present_to);
	values[0] = Int32GetDatum(subscription.id);
	values[1] = ObjectIdGetDatum(view.mat);
	values[2] = Int64GetDatum(position.frontier);
	values[3] = Int64GetDatum(position.seq);
	values[4] = Int64GetDatum(present_to);
	/* with another id: positions from before it are no longer acknowledged */
	(void) catalog_execute(
		"UPDATE tidemark.subscription SET id = DEFAULT, mat = $2, frontier = $3,"
		" seq = $4, present_to = $5, changes = 0, waiting_since = NULL, lost = NULL, lost_at = "
		"NULL,"
		" rate = 0, rated_changes = 0, rated_at = clock_timestamp() WHERE id = $1",
		5, types, values, NULL);
	tell_readers();
	PG_RETURN_VOID();
}

/* ---- acknowledge ------------------------------------------------------------------------------------- */

static void
check_position(const Subscription *subscription, const ChangePosition *position)
{
	Frontier frontier;

	if (position->subscription != subscription->id)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the position is not one of subscription \"%s\" as it is now",
							   subscription->name),
						errdetail("It is of another subscription, or of this one before it was "
								  "reset or created anew.")));
	frontier = frontier_read(subscription->view, GetActiveSnapshot());
	if (position->feed.frontier > frontier.logged_to)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the position is ahead of view \"%s\"", get_rel_name(subscription->view))));
}

/* Moves it on; false if it is not behind that position. */
static bool
move(const ChangePosition *position)
{
	Oid types[] = {INT4OID, INT8OID, INT8OID, INT8OID};
	Datum values[] = {Int32GetDatum(position->subscription), Int64GetDatum(position->feed.frontier),
					  Int64GetDatum(position->feed.seq), Int64GetDatum(position->changes)};

	return catalog_execute(
			   "UPDATE tidemark.subscription SET frontier = $2, seq = $3, changes = $4,"
			   " waiting_since = NULL,"
			   " rate = CASE WHEN rated_at > clock_timestamp() - interval '1 s' THEN rate ELSE"
			   " ($4 - rated_changes) / extract(epoch FROM clock_timestamp() - rated_at) END,"
			   " rated_changes = CASE WHEN rated_at > clock_timestamp() - interval '1 s'"
			   " THEN rated_changes ELSE $4 END,"
			   " rated_at = CASE WHEN rated_at > clock_timestamp() - interval '1 s'"
			   " THEN rated_at ELSE clock_timestamp() END"
			   " WHERE id = $1 AND lost IS NULL AND frontier <= $2 AND seq <= $3"
			   " AND (frontier < $2 OR seq < $3)",
			   4, types, values, NULL) > 0;
}

Datum
tidemark_acknowledge(PG_FUNCTION_ARGS)
{
	char *name = NameStr(*PG_GETARG_NAME(0));
	ChangePosition position = change_position_parse(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	Subscription subscription;

	tidemark_require_preload("acknowledge");
	PushActiveSnapshot(GetTransactionSnapshot());
	subscription_require(name, GetActiveSnapshot(), &subscription);
	subscription_check_owner(&subscription);
	subscription_check_view(&subscription);
	subscription_check_lost(&subscription);
	check_position(&subscription, &position);
	PopActiveSnapshot();
	if (move(&position))
	{
		readers_tell_at_commit();
		PG_RETURN_VOID();
	}
	subscription_require(name, GetLatestSnapshot(), &subscription);
	subscription_check_lost(&subscription);
	if (position.feed.frontier > subscription.position.frontier ||
		position.feed.seq > subscription.position.seq)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("another session has acknowledged other changes of subscription "
							   "\"%s\" meanwhile",
							   name),
						errhint("Call tidemark.next_changes again.")));
	PG_RETURN_VOID();
}

/* ---- how far behind is it ------------------------------------------------------------------------------ */

static bool
may_see(Oid relid, ContinuousView *view)
{
	return view_lookup(relid, view) && OidIsValid(view->changes) &&
		   (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
			has_privs_of_role(GetUserId(), ROLE_PG_MONITOR));
}

/* Changes that who is at this position doesn't have; null for who may not read the view. */
Datum
tidemark_subscription_lag(PG_FUNCTION_ARGS)
{
	FeedPosition position = {.frontier = PG_GETARG_INT64(1), .seq = PG_GETARG_INT64(2)};
	ContinuousView view;

	if (!may_see(PG_GETARG_OID(0), &view))
		PG_RETURN_NULL();
	PG_RETURN_INT64(feed_replay_lag(&view, &position, PG_GETARG_INT64(3)));
}

/* Logged corrections that are kept for who is there; likewise. */
Datum
tidemark_kept_changes(PG_FUNCTION_ARGS)
{
	ContinuousView view;

	if (!may_see(PG_GETARG_OID(0), &view))
		PG_RETURN_NULL();
	PG_RETURN_INT64(feed_count_changes(&view, PG_GETARG_INT64(1), PG_INT64_MAX));
}

Datum
tidemark_subscription_readers(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	readers_list((ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}
