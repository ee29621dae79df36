/*
 * sink_control.c: what a user says of a sink: start, stop, pause, resume; and how far behind it is.
 *
 * These functions change what the catalogue says should be; the processes follow when the change has committed. A portion
 * that a sink is sending then is still completed.
 *
 * Who may: start, who may read the view and write to the topic; the sink has his rights. The others: he, and the view's owner.
 */
#include "tidemark.h"

#include "catalog.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "kafka/option.h"
#include "kafka/topic.h"
#include "sink/sink.h"
#include "view/change_log.h"
#include "view/keyed_log.h"
#include "view/slice.h"
#include "worker/worker.h"

PG_FUNCTION_INFO_V1(tidemark_start_sink);
PG_FUNCTION_INFO_V1(tidemark_stop_sink);
PG_FUNCTION_INFO_V1(tidemark_pause_sink);
PG_FUNCTION_INFO_V1(tidemark_resume_sink);
PG_FUNCTION_INFO_V1(tidemark_sink_lag);
PG_FUNCTION_INFO_V1(tidemark_forget_changes);

/* ---- start ---------------------------------------------------------------------------------------- */

/* The number of a word in a list that ends with NULL; an error for another one. */
static int
choose(const char *what, const char *word, const char *const *words)
{
	StringInfoData all;

	initStringInfo(&all);
	for (int i = 0; words[i]; i++)
	{
		if (strcmp(words[i], word) == 0)
			return i;
		appendStringInfo(&all, "%s\"%s\"", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s must be %s, not \"%s\"", what, all.data, word)));
}

SinkMode
sink_mode(const char *word)
{
	static const char *const words[] = {"append", "upsert", NULL};

	return (SinkMode) choose("mode", word, words);
}

SinkCorrections
sink_corrections(const char *word)
{
	static const char *const words[] = {"ignore", "mark", "error", NULL};

	return (SinkCorrections) choose("corrections", word, words);
}

SinkDelivery
sink_delivery(const char *word)
{
	static const char *const words[] = {"exactly_once", "at_least_once", NULL};

	return (SinkDelivery) choose("delivery", word, words);
}

SinkEnvelope
sink_envelope(const char *word)
{
	static const char *const words[] = {"none", "debezium", NULL};

	return (SinkEnvelope) choose("envelope", word, words);
}

List *
sink_key(Datum key)
{
	List *names = NIL;
	Datum *elements;
	bool *nulls;
	int n;

	deconstruct_array(DatumGetArrayTypeP(key), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
					  &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("a column of the key must not be null")));
		names = lappend(names, pstrdup(NameStr(*DatumGetName(elements[i]))));
	}
	return names;
}

/* What start_sink is given. */
typedef struct SinkOptions
{
	char *mode;
	char *corrections;
	char *start_at;
	char *delivery;
	char *envelope;
	bool has_key;
	Datum key; /* name[] */
} SinkOptions;

static void
insert_sink(const ContinuousView *view, Oid topic, const SinkOptions *options,
			const FeedPosition *position, int64 present_to)
{
	Oid types[] = {REGCLASSOID,	 OIDOID,  REGCLASSOID, REGROLEOID, TEXTOID, TEXTOID,
				   NAMEARRAYOID, INT8OID, TEXTOID,	   TEXTOID,	   INT8OID, INT8OID};
	Datum values[] = {ObjectIdGetDatum(view->relid),
					  ObjectIdGetDatum(view->mat),
					  ObjectIdGetDatum(topic),
					  ObjectIdGetDatum(GetUserId()),
					  CStringGetTextDatum(options->mode),
					  CStringGetTextDatum(options->corrections),
					  options->key,
					  Int64GetDatum(position->frontier),
					  CStringGetTextDatum(options->delivery),
					  CStringGetTextDatum(options->envelope),
					  Int64GetDatum(position->seq),
					  Int64GetDatum(present_to)};
	char nulls[] = {' ', ' ', ' ', ' ', ' ', ' ', options->has_key ? ' ' : 'n',
					' ', ' ', ' ', ' ', ' ', '\0'};

	if (catalog_execute(
			"INSERT INTO tidemark.sink (view, mat, topic, role, mode, corrections, key, frontier,"
			" announced, delivery, envelope, seq, present_to)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11, $12) ON CONFLICT DO "
			"NOTHING",
			lengthof(types), types, values, nulls) == 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("view \"%s\" is already sent to topic table \"%s\"",
							   get_rel_name(view->relid), get_rel_name(topic)),
						errhint("tidemark.resume_sink resumes a paused sink; tidemark.stop_sink "
								"ends it and forgets its position.")));
}

bool
sink_key_of_view(Oid view, const Keyed *keyed, Datum *key)
{
	int n = list_length(keyed->keys);
	Datum *names = palloc(sizeof(Datum) * (n + 1));
	List *wanted = NIL;
	int found = 0;
	ListCell *cell;

	foreach (cell, keyed->keys)
		wanted = lappend_int(wanted, ((KeyedColumn *) lfirst(cell))->column);
	foreach (cell, keyed->query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		AttrNumber input = entry->resjunk ? 0 : keyed_input_of_output(keyed, entry->resno);

		if (!list_member_int(wanted, input))
			continue;
		wanted = list_delete_int(wanted, input);
		names[found] = CStringGetDatum(palloc0(NAMEDATALEN));
		strlcpy(DatumGetCString(names[found++]), get_attname(view, entry->resno, false),
				NAMEDATALEN);
	}
	*key =
		PointerGetDatum(construct_array(names, found, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR));
	return found > 0 && found == n && keyed->limit == 1 && keyed->count == KEYED_ROWS;
}

/* What is in an envelope is an object. */
static void
check_envelope(const char *envelope, Oid topic)
{
	TopicOptions options;

	topic_options_get(topic, &options);
	if (sink_envelope(envelope) != ENVELOPE_NONE && options.format != FORMAT_JSON)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("an envelope needs a topic of format \"json\""),
						errhint("Give topic table \"%s\" that format.", get_rel_name(topic))));
}

/*
 * Of a view that keeps rows by key: a row of it is not final, unless the first ones by event time are kept, or it is a session that is over, and
 * mode "append" without its corrections would be nothing. The record's key is the view's, if nothing else is said.
 */
static void
check_keyed(const ContinuousView *continuous, Oid topic, const Keyed *keyed, SinkOptions *options)
{
	Oid view = continuous->relid;

	if (sink_mode(options->mode) == SINK_UPSERT && !options->has_key &&
		!sink_columns(view, topic, NIL).has_key)
		options->has_key = sink_key_of_view(view, keyed, &options->key);
	if (sink_mode(options->mode) == SINK_APPEND && !keyed_rows_are_final(continuous, keyed) &&
		sink_corrections(options->corrections) != CORRECTIONS_MARKED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("rows of view \"%s\" can't be sent in mode \"append\" without their "
						"corrections",
						get_rel_name(view)),
				 keyed->sessions ? errdetail("They aren't final while more rows come of a session: "
											 "the view advances on arrival.")
								 : errdetail("They are never final: a row goes when another takes "
											 "its place."),
				 errhint("mode => 'upsert' sends each key's present row; corrections => 'mark' all "
						 "changes.")));
}

static void
check_options(const SinkOptions *options, Oid view, Oid topic)
{
	SinkMode mode = sink_mode(options->mode);
	List *key = options->has_key ? sink_key(options->key) : NIL;

	(void) sink_delivery(options->delivery);
	check_envelope(options->envelope, topic);
	if (options->has_key && key == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the key must have columns")));
	if (sink_corrections(options->corrections) != CORRECTIONS_IGNORED && mode == SINK_UPSERT)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("corrections can be chosen in mode \"append\" only"),
						errdetail("In mode \"upsert\" they are new records of their keys.")));
	if (!sink_columns(view, topic, key).has_key && mode == SINK_UPSERT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("mode \"upsert\" needs a key"),
				 errhint("Name the view's columns that tell its rows apart: key => "
						 "'{province_id}'; or give the topic's table the option key_column.")));
}

Datum
tidemark_start_sink(PG_FUNCTION_ARGS)
{
	Oid relid;
	Oid topic;
	SinkOptions options;
	ContinuousView view;
	FeedPosition position;
	int64 present_to;
	Keyed *keyed;

	tidemark_require_preload("start_sink");
	for (int i = 0; i < PG_NARGS(); i++)
		if (PG_ARGISNULL(i) && i != 3)
			PG_RETURN_NULL();
	relid = PG_GETARG_OID(0);
	topic = PG_GETARG_OID(1);
	options = (SinkOptions){.mode = text_to_cstring(PG_GETARG_TEXT_PP(2)),
							.has_key = !PG_ARGISNULL(3),
							.key = PG_GETARG_DATUM(3),
							.corrections = text_to_cstring(PG_GETARG_TEXT_PP(4)),
							.start_at = text_to_cstring(PG_GETARG_TEXT_PP(5)),
							.delivery = text_to_cstring(PG_GETARG_TEXT_PP(6)),
							.envelope = text_to_cstring(PG_GETARG_TEXT_PP(7))};
	topic_require(topic, ACL_INSERT);
	sink_check_rights(relid, topic, GetUserId());
	keyed = feed_lock_view(relid, &view);
	if (keyed)
		check_keyed(&view, topic, keyed, &options);
	check_options(&options, relid, topic);
	position = feed_begin(relid, options.start_at, &view, &present_to);
	insert_sink(&view, topic, &options, &position, present_to);
	worker_wake_at_commit();
	PG_RETURN_VOID();
}

/* ---- stop, pause, resume ------------------------------------------------------------------------------ */

/* Is this user the view's owner, or whose rights the sink has? */
static void
check_control(Oid view, Oid topic)
{
	Oid types[] = {REGCLASSOID, REGCLASSOID};
	Datum values[] = {ObjectIdGetDatum(view), ObjectIdGetDatum(topic)};
	RoleSession session = catalog_begin();
	bool found;
	bool isnull;
	Oid role = InvalidOid;

	if (SPI_execute_with_args("SELECT role::oid FROM tidemark.sink WHERE view = $1 AND topic = $2",
							  2, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "reading tidemark.sink failed");
	found = SPI_processed == 1;
	if (found)
		role = DatumGetObjectId(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	catalog_end(session);
	if (!compat_owns_relation(view, GetUserId()) &&
		!(OidIsValid(role) && has_privs_of_role(GetUserId(), role)))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_VIEW, get_rel_name(view));
	if (!found)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("view \"%s\" is not sent to topic table \"%s\"", get_rel_name(view),
							   get_rel_name(topic)),
						errhint("tidemark.sinks lists the sinks.")));
}

static void
change_sink(Oid view, Oid topic, const char *statement, bool flag)
{
	Oid types[] = {REGCLASSOID, REGCLASSOID, BOOLOID};
	Datum values[] = {ObjectIdGetDatum(view), ObjectIdGetDatum(topic), BoolGetDatum(flag)};

	check_control(view, topic);
	(void) catalog_execute(statement, 3, types, values, NULL);
	worker_wake_at_commit();
}

Datum
tidemark_forget_changes(PG_FUNCTION_ARGS)
{
	feed_end(PG_GETARG_OID(0));
	PG_RETURN_VOID();
}

Datum
tidemark_stop_sink(PG_FUNCTION_ARGS)
{
	Oid view = PG_GETARG_OID(0);

	LockRelationOid(view, ShareUpdateExclusiveLock);
	change_sink(view, PG_GETARG_OID(1),
				"DELETE FROM tidemark.sink WHERE view = $1 AND topic = $2 AND $3", true);
	feed_end(view);
	PG_RETURN_VOID();
}

Datum
tidemark_pause_sink(PG_FUNCTION_ARGS)
{
	change_sink(PG_GETARG_OID(0), PG_GETARG_OID(1),
				"UPDATE tidemark.sink SET paused = $3 WHERE view = $1 AND topic = $2", true);
	PG_RETURN_VOID();
}

Datum
tidemark_resume_sink(PG_FUNCTION_ARGS)
{
	change_sink(PG_GETARG_OID(0), PG_GETARG_OID(1),
				"UPDATE tidemark.sink SET paused = false, position_lost = $3, last_error = NULL,"
				" last_error_at = NULL WHERE view = $1 AND topic = $2",
				PG_GETARG_BOOL(2));
	PG_RETURN_VOID();
}

/* ---- how far behind is it ---------------------------------------------------------------------------------- */

/* Rows of a view that who is at this position doesn't have; null for who may not read the view. */
Datum
tidemark_sink_lag(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	FeedPosition position = {.frontier = PG_GETARG_INT64(1), .seq = PG_GETARG_INT64(2)};
	int64 present_to = PG_GETARG_INT64(3);
	ContinuousView view;

	if (!view_lookup(relid, &view) || !OidIsValid(view.changes) ||
		(pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		 !has_privs_of_role(GetUserId(), ROLE_PG_MONITOR)))
		PG_RETURN_NULL();
	PG_RETURN_INT64(feed_lag(&view, &position, present_to));
}
