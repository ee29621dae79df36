/*
 * subscription.c: what the catalogue knows of a subscription, and what a change's position says.
 *
 * tidemark.subscription has the position up to which changes were acknowledged. It moves in the transaction of whoever acknowledges, and
 * nothing else is written: reading is only reading. What is read behind it is the same each time (feed_replay of sink/feed.c).
 */
#include "tidemark.h"

#include "access/relation.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "sink/sink.h"
#include "sink/subscription.h"

/* ---- positions --------------------------------------------------------------------------------------- */

/* Hexadecimal digits sort as numbers do if there are always as many, and none is negative. */
#define POSITION_FORMAT "%08X-%016llX-%016llX-%016llX"
#define POSITION_LENGTH (8 + 3 * 17)

/* So that negative ones come before the others. */
#define SIGN_BIT (UINT64CONST(1) << 63)

char *
change_position_text(const ChangePosition *position)
{
	return psprintf(POSITION_FORMAT, (unsigned int) position->subscription,
					(unsigned long long) ((uint64) position->feed.frontier ^ SIGN_BIT),
					(unsigned long long) position->feed.seq,
					(unsigned long long) position->changes);
}

ChangePosition
change_position_parse(const char *text)
{
	unsigned int subscription;
	unsigned long long frontier;
	unsigned long long seq;
	unsigned long long changes;
	ChangePosition position;

	if (strlen(text) != POSITION_LENGTH ||
		sscanf(text, "%8X-%16llX-%16llX-%16llX", &subscription, &frontier, &seq, &changes) != 4)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"%s\" is no position of a change", text),
						errhint("tidemark.next_changes returns positions.")));
	position = (ChangePosition){.subscription = (int32) subscription,
								.feed = {.frontier = (Ticks) (frontier ^ SIGN_BIT), .seq = seq},
								.changes = changes};
	return position;
}

/* ---- the catalogue ------------------------------------------------------------------------------------- */

static Datum
column(int number)
{
	bool isnull;

	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, &isnull);
}

/* False if there's none. What it points to is in that context. */
static bool
load(const char *name, Subscription *subscription, MemoryContext context)
{
	Oid types[] = {NAMEOID};
	Datum values[] = {DirectFunctionCall1(namein, CStringGetDatum(name))};
	char *lost;
	Datum key;
	bool no_key;
	MemoryContext old;

	if (SPI_execute_with_args("SELECT id, view::oid, mat, role::oid, frontier, seq, changes, lost,"
							  " key, present_to"
							  " FROM tidemark.subscription WHERE name = $1",
							  1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "reading tidemark.subscription failed");
	if (SPI_processed == 0)
		return false;
	*subscription = (Subscription){
		.id = DatumGetInt32(column(1)),
		.view = DatumGetObjectId(column(2)),
		.mat = DatumGetObjectId(column(3)),
		.role = DatumGetObjectId(column(4)),
		.position = {.frontier = DatumGetInt64(column(5)), .seq = DatumGetInt64(column(6))},
		.changes = DatumGetInt64(column(7)),
		.present_to = DatumGetInt64(column(10))};
	strlcpy(subscription->name, name, NAMEDATALEN);
	lost = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 8);
	key = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 9, &no_key);
	old = MemoryContextSwitchTo(context);
	if (lost)
		subscription->lost = pstrdup(lost);
	if (!no_key)
		subscription->key = sink_key(key);
	MemoryContextSwitchTo(old);
	return true;
}

void
subscription_require(const char *name, Snapshot snapshot, Subscription *subscription)
{
	MemoryContext context = CurrentMemoryContext;
	RoleSession session;
	bool found;

	PushActiveSnapshot(snapshot);
	session = catalog_begin();
	found = load(name, subscription, context);
	catalog_end(session);
	PopActiveSnapshot();
	if (!found)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("subscription \"%s\" does not exist", name),
						errhint("tidemark.subscriptions lists the subscriptions.")));
}

/* ---- rights ------------------------------------------------------------------------------------------- */

void
subscription_check_owner(const Subscription *subscription)
{
	if (!has_privs_of_role(GetUserId(), subscription->role))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of subscription \"%s\"", subscription->name)));
}

void
subscription_check_view(const Subscription *subscription)
{
	AclResult allowed = pg_class_aclcheck(subscription->view, subscription->role, ACL_SELECT);

	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_VIEW, get_rel_name(subscription->view));
}

void
subscription_check_lost(const Subscription *subscription)
{
	if (subscription->lost)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("subscription \"%s\" is lost: %s", subscription->name, subscription->lost),
				 errhint("To begin anew with all rows of the view: SELECT "
						 "tidemark.reset_subscription('%s')",
						 subscription->name)));
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

/* Of a row of the view's tables: the view's row, and its key, as jsonb. */
static char *
row_columns(Oid view, const List *key)
{
	Relation rel = relation_open(view, AccessShareLock);
	TupleDesc columns = RelationGetDescr(rel);
	StringInfoData list;
	ListCell *cell;

	initStringInfo(&list);
	appendStringInfoString(&list, "(SELECT pg_catalog.to_jsonb(r.*) FROM (SELECT ");
	for (int i = 0; i < columns->natts; i++)
		appendStringInfo(&list, "%sc%d AS %s", i > 0 ? ", " : "", i + 1,
						 quote_identifier(NameStr(TupleDescAttr(columns, i)->attname)));
	appendStringInfoString(&list, ") r)");
	foreach (cell, key)
		appendStringInfo(&list, "%sc%d",
						 foreach_current_index(cell) == 0 ? ", pg_catalog.jsonb_build_array("
														  : ", ",
						 feed_key_column(view, lfirst(cell)));
	if (key)
		appendStringInfoChar(&list, ')');
	relation_close(rel, AccessShareLock);
	return list.data;
}

void
subscription_open_feed(const Subscription *subscription, Feed *feed)
{
	LockRelationOid(subscription->view, AccessShareLock);
	feed_open(
		feed, subscription->view, subscription->mat, subscription->role,
		row_columns(subscription->view, subscription->key),
		psprintf(
			"To begin anew with all rows of the view: SELECT tidemark.reset_subscription('%s')",
			subscription->name));
	feed->present_to = subscription->present_to;
}
