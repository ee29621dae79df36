/*
 * stream.c: create, alter, drop: a table becomes a stream.
 *
 * A stream is an ordinary table (or a partitioned one) with
 *   an event-time column, NOT NULL and, by a CHECK constraint, finite
 *   an index that begins with it, made if there is none
 *   triggers that see every write, on it and on each of its partitions (writes.c)
 *   a row in tidemark.stream
 * One of the triggers depends on the event-time column, as if it named it: so PostgreSQL itself refuses
 * to drop or retype the column without CASCADE. What is dropped is seen by the event trigger
 * tidemark.on_drop.
 */
#include "tidemark.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "stream/stream.h"
#include "stream/time_index.h"
#include "stream/watermark.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "view/correct.h"
#include "view/frontier.h"
#include "worker/worker.h"

PG_FUNCTION_INFO_V1(tidemark_create_stream);
PG_FUNCTION_INFO_V1(tidemark_alter_stream);
PG_FUNCTION_INFO_V1(tidemark_drop_stream);
PG_FUNCTION_INFO_V1(tidemark_forget);
PG_FUNCTION_INFO_V1(tidemark_restart_views);
PG_FUNCTION_INFO_V1(tidemark_event_time_text);

static void require_all_logged(Oid stream);

#define TRUNCATE_TRIGGER "tidemark_truncate"

/* The CHECK constraint on the event time. */
#define FINITE_CONSTRAINT "tidemark_event_time_is_finite"

/* ---- statements on the user's table, with the user's rights ------------------------------------------- */

static void
run_ddl(const char *sql)
{
	SPI_connect();
	if (SPI_execute(sql, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run: %s", sql);
	SPI_finish();
}

static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

static void
add_constraints(Oid relid, const char *column, Oid type)
{
	const char *quoted = quote_identifier(column);
	const char *check =
		type == INT8OID
			? psprintf("%s NOT IN ('-9223372036854775808', 9223372036854775807)", quoted)
			: psprintf("pg_catalog.isfinite(%s)", quoted);

	/* one may be left from before the extension was dropped */
	const char *anew = OidIsValid(get_relation_constraint_oid(relid, FINITE_CONSTRAINT, true))
						   ? "DROP CONSTRAINT " FINITE_CONSTRAINT ", "
						   : "";

	run_ddl(psprintf("ALTER TABLE %s %sALTER COLUMN %s SET NOT NULL, "
					 "ADD CONSTRAINT " FINITE_CONSTRAINT " CHECK (%s)",
					 qualified_name(relid), anew, quoted, check));
}

static void
create_triggers(Oid relid)
{
	char *table = qualified_name(relid);

	run_ddl(psprintf(
		"CREATE OR REPLACE TRIGGER tidemark_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS "
		"tidemark_new "
		"FOR EACH STATEMENT EXECUTE FUNCTION tidemark.on_write();"
		"CREATE OR REPLACE TRIGGER tidemark_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS "
		"tidemark_old "
		"NEW TABLE AS tidemark_new FOR EACH STATEMENT EXECUTE FUNCTION tidemark.on_write();"
		"CREATE OR REPLACE TRIGGER tidemark_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS "
		"tidemark_old "
		"FOR EACH STATEMENT EXECUTE FUNCTION tidemark.on_write();"
		"CREATE OR REPLACE TRIGGER %s AFTER TRUNCATE ON %s "
		"FOR EACH STATEMENT EXECUTE FUNCTION tidemark.on_write();"
		"ALTER TABLE %s ENABLE ALWAYS TRIGGER tidemark_insert, ENABLE ALWAYS TRIGGER "
		"tidemark_update, "
		"ENABLE ALWAYS TRIGGER tidemark_delete, ENABLE ALWAYS TRIGGER " TRUNCATE_TRIGGER,
		table, table, table, TRUNCATE_TRIGGER, table, table));
}

/* Rows that logical replication applies fire row triggers only; partitions inherit this one. */
static void
create_replica_trigger(Oid relid)
{
	char *table = qualified_name(relid);

	run_ddl(psprintf(
		"CREATE OR REPLACE TRIGGER tidemark_replica AFTER INSERT OR UPDATE OR DELETE ON %s "
		"FOR EACH ROW EXECUTE FUNCTION tidemark.on_replicated_row();"
		"ALTER TABLE %s ENABLE REPLICA TRIGGER tidemark_replica",
		table, table));
}

static void
drop_triggers(Oid relid)
{
	char *table = qualified_name(relid);

	run_ddl(psprintf("DROP TRIGGER IF EXISTS tidemark_insert ON %s; "
					 "DROP TRIGGER IF EXISTS tidemark_update ON %s; "
					 "DROP TRIGGER IF EXISTS tidemark_delete ON %s; "
					 "DROP TRIGGER IF EXISTS %s ON %s",
					 table, table, table, TRUNCATE_TRIGGER, table));
}

static void
depend_on_column(Oid relid, AttrNumber attnum)
{
	ObjectAddress trigger;
	ObjectAddress column;

	ObjectAddressSet(trigger, TriggerRelationId, get_trigger_oid(relid, TRUNCATE_TRIGGER, false));
	ObjectAddressSubSet(column, RelationRelationId, relid, attnum);
	recordDependencyOn(&trigger, &column, DEPENDENCY_NORMAL);
}

/* ---- the options ------------------------------------------------------------------------------------- */

/* Refuses a text that is none of the choices. */
static void
require_choice(const char *what, const char *value, const char *const *choices, int n)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < n; i++)
	{
		if (strcmp(value, choices[i]) == 0)
			return;
		appendStringInfo(&list, "%s\"%s\"", i ? ", " : "", choices[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s must not be \"%s\"", what, value),
			 errhint("Choices: %s.", list.data)));
}

static const char *const late_choices[] = {"keep", "drop", "divert"};
static const char *const index_choices[] = {"brin", "btree", "none"};

static void
require_late_table(const char *late_rows, Oid late_table, Oid stream)
{
	bool divert = strcmp(late_rows, "divert") == 0;

	require_choice("late_rows", late_rows, late_choices, lengthof(late_choices));
	if (divert && !OidIsValid(late_table))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("late_rows => 'divert' needs a table for the late rows"),
				 errhint("CREATE TABLE late_rows (LIKE %s), and give late_table => 'late_rows'.",
						 quote_identifier(get_rel_name(stream)))));
	if (!divert && OidIsValid(late_table))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("late_table is for late_rows => 'divert'")));
	if (late_table == stream)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("late rows can't be diverted into the stream itself")));
	if (divert && !compat_owns_relation(late_table, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(late_table));
}

/* ---- create ---------------------------------------------------------------------------------------- */

static void
require_table(Relation rel)
{
	const char *name = RelationGetRelationName(rel);
	char kind = rel->rd_rel->relkind;

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(
			ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a table", name),
			 kind == RELKIND_FOREIGN_TABLE
				 ? errhint(
					   "CREATE TABLE ... (LIKE %s) makes one that its topic can be ingested into.",
					   quote_identifier(name))
				 : 0));
	if (!compat_owns_relation(RelationGetRelid(rel), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, name);
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP || IsCatalogRelation(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" can't be a stream: it is a temporary or a system table", name)));
	if (rel->rd_rel->relispartition)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("\"%s\" can't be a stream: it is a partition", name),
						errhint("Make the partitioned table a stream.")));
	if (kind == RELKIND_RELATION && has_subclass(RelationGetRelid(rel)))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("\"%s\" can't be a stream: other tables inherit from it", name),
						errhint("Use declarative partitioning.")));
}

static AttrNumber
require_event_time(Oid relid, const char *column)
{
	AttrNumber attnum = get_attnum(relid, column);

	if (attnum <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of table \"%s\" does not exist", column,
							   get_rel_name(relid)),
						errhint("The name is taken as it stands: upper and lower case count.")));
	if (!event_time_type_ok(get_atttype(relid, attnum)))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of type %s can't be an event time", column,
							   format_type_be(get_atttype(relid, attnum))),
						errhint("Use timestamp, timestamp with time zone, date or bigint.")));
	if (get_attgenerated(relid, attnum) ==
		'v') /* 18 and newer: computed when read, no trigger sees it */
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("virtual generated column \"%s\" can't be an event time", column),
						errhint("Generate it STORED.")));
	return attnum;
}

static void
insert_stream(FunctionCallInfo fcinfo, Oid relid, AttrNumber attnum, int64 delay)
{
	Oid types[] = {OIDOID, INT2OID, INT8OID, TEXTOID, OIDOID, INTERVALOID, INTERVALOID};
	Datum values[] = {ObjectIdGetDatum(relid), Int16GetDatum(attnum), Int64GetDatum(delay),
					  PG_GETARG_DATUM(3),	   PG_GETARG_DATUM(4),	  PG_GETARG_DATUM(5),
					  PG_GETARG_DATUM(6)};
	char nulls[] = {' ',
					' ',
					' ',
					' ',
					PG_ARGISNULL(4) ? 'n' : ' ',
					PG_ARGISNULL(5) ? 'n' : ' ',
					PG_ARGISNULL(6) ? 'n' : ' ',
					'\0'};

	(void) catalog_execute(
		"INSERT INTO tidemark.stream "
		"(relid, attnum, allowed_delay, late_rows, late_table, idle_timeout, max_ahead) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7)",
		lengthof(types), types, values, nulls);
}

/*
 * create_stream(relation, event_time, allowed_delay, late_rows, late_table, idle_timeout, max_ahead,
 * time_index)
 */
Datum
tidemark_create_stream(PG_FUNCTION_ARGS)
{
	Oid relid;
	char *column;
	char *delay;
	char *index_kind;
	Relation rel;
	AttrNumber attnum;
	Oid type;
	List *tables;
	ListCell *cell;

	for (int i = 0; i < 8; i++)
		if (PG_ARGISNULL(i) && (i < 4 || i == 7))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("create_stream: this argument must not be null"),
							errdetail("Only late_table, idle_timeout and max_ahead may be.")));
	relid = PG_GETARG_OID(0);
	column = NameStr(*PG_GETARG_NAME(1));
	delay = text_to_cstring(PG_GETARG_TEXT_PP(2));
	index_kind = text_to_cstring(PG_GETARG_TEXT_PP(7));

	rel = relation_open(relid, ShareRowExclusiveLock);
	require_table(rel);
	if (stream_exists(relid))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("\"%s\" is a stream already", RelationGetRelationName(rel)),
						errhint("tidemark.alter_stream changes it.")));
	relation_close(rel, NoLock); /* the statements below want it closed; the lock stays */
	attnum = require_event_time(relid, column);
	type = get_atttype(relid, attnum);
	require_choice("time_index", index_kind, index_choices, lengthof(index_choices));
	require_late_table(text_to_cstring(PG_GETARG_TEXT_PP(3)),
					   PG_ARGISNULL(4) ? InvalidOid : PG_GETARG_OID(4), relid);

	add_constraints(relid, column, type);
	time_index_create(relid, attnum, index_kind);
	insert_stream(fcinfo, relid, attnum, event_time_duration(type, delay, "allowed_delay"));
	require_all_logged(relid);
	tables = stream_tables(relid, ShareRowExclusiveLock);
	foreach (cell, tables)
		create_triggers(lfirst_oid(cell));
	create_replica_trigger(relid);
	depend_on_column(relid, attnum);
	catalog_invalidate(relid);
	worker_wake_at_commit();
	PG_RETURN_VOID();
}

/* ---- alter, drop ------------------------------------------------------------------------------------- */

static Stream
require_stream(Oid relid, LOCKMODE lock)
{
	Stream stream;

	LockRelationOid(relid, lock);
	if (!stream_lookup(relid, &stream))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("\"%s\" is not a stream", get_rel_name(relid) ? get_rel_name(relid) : "?"),
				 errhint("tidemark.streams lists them.")));
	if (!compat_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	return stream;
}

/*
 * alter_stream(relation, allowed_delay, late_rows, late_table, idle_timeout, max_ahead): null leaves as
 * it is.
 */
Datum
tidemark_alter_stream(PG_FUNCTION_ARGS)
{
	Oid types[] = {OIDOID, INT8OID, TEXTOID, OIDOID, INTERVALOID, INTERVALOID};
	Datum values[6] = {0};
	char nulls[] = "      ";
	Stream stream;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("alter_stream: no table given")));
	stream = require_stream(PG_GETARG_OID(0), ShareUpdateExclusiveLock);
	for (int i = 0; i < 6; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_GETARG_DATUM(i);
	}
	if (!PG_ARGISNULL(1))
		values[1] = Int64GetDatum(event_time_duration(
			stream.time_type, text_to_cstring(PG_GETARG_TEXT_PP(1)), "allowed_delay"));
	if (!PG_ARGISNULL(2))
		require_late_table(text_to_cstring(PG_GETARG_TEXT_PP(2)),
						   PG_ARGISNULL(3) ? InvalidOid : PG_GETARG_OID(3), stream.relid);
	else if (!PG_ARGISNULL(3))
		require_late_table("divert", PG_GETARG_OID(3), stream.relid);
	(void) catalog_execute(
		"UPDATE tidemark.stream SET allowed_delay = coalesce($2, allowed_delay), "
		"late_rows = coalesce($3, CASE WHEN $4 IS NULL THEN late_rows ELSE 'divert' END), "
		"late_table = CASE WHEN $3 IS NULL THEN coalesce($4, late_table) ELSE $4 END, "
		"idle_timeout = coalesce($5, idle_timeout), "
		"max_ahead = coalesce($6, max_ahead) WHERE relid = $1",
		6, types, values, nulls);
	catalog_invalidate(stream.relid);
	worker_wake_at_commit();
	PG_RETURN_VOID();
}

static bool
has_ingestion(Oid relid)
{
	Oid types[] = {OIDOID};
	Datum values[] = {ObjectIdGetDatum(relid)};

	return catalog_execute("SELECT 1 FROM tidemark.ingest WHERE stream = $1", 1, types, values,
						   NULL) > 0;
}

/* drop_stream(relation): the table stays, with its rows. */
Datum
tidemark_drop_stream(PG_FUNCTION_ARGS)
{
	Stream stream = require_stream(PG_GETARG_OID(0), ShareRowExclusiveLock);
	Oid types[] = {OIDOID};
	Datum values[] = {ObjectIdGetDatum(stream.relid)};
	List *views = views_of_stream(stream.relid);
	ListCell *cell;

	if (views != NIL)
		ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						errmsg("can't drop stream \"%s\": continuous views read it",
							   get_rel_name(stream.relid)),
						errdetail("View \"%s\" is one of %d.", get_rel_name(linitial_oid(views)),
								  list_length(views)),
						errhint("SELECT tidemark.make_batch('...') for each of them first.")));
	if (has_ingestion(stream.relid))
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("can't drop stream \"%s\": a topic is ingested into it",
						get_rel_name(stream.relid)),
				 errhint("tidemark.stop_ingest ends that; tidemark.ingest_status shows it.")));
	(void) catalog_execute("DELETE FROM tidemark.stream WHERE relid = $1", 1, types, values, NULL);
	catalog_invalidate(stream.relid);
	CommandCounterIncrement(); /* it is no stream any more: its triggers may go */
	foreach (cell, stream_tables(stream.relid, ShareRowExclusiveLock))
		drop_triggers(lfirst_oid(cell));
	run_ddl(psprintf("DROP TRIGGER IF EXISTS tidemark_replica ON %s; "
					 "ALTER TABLE %s DROP CONSTRAINT IF EXISTS " FINITE_CONSTRAINT,
					 qualified_name(stream.relid), qualified_name(stream.relid)));
	frontier_forget_at_commit(stream.relid);
	PG_RETURN_VOID();
}

/* forget(oid): the catalogue says nothing of this stream or view any more; called by the event trigger. */
Datum
tidemark_forget(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);

	frontier_forget_at_commit(relid);
	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		catalog_invalidate(relid);
	PG_RETURN_VOID();
}

/* event_time_text(stream, ticks) */
Datum
tidemark_event_time_text(PG_FUNCTION_ARGS)
{
	Stream stream;
	char *text;

	if (!stream_lookup(PG_GETARG_OID(0), &stream))
		PG_RETURN_NULL();
	text = event_time_text(stream.time_type, PG_GETARG_INT64(1));
	if (text == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/* ---- what makes it a stream stays ------------------------------------------------------------------- */

/* Are the table's statement triggers all there, whatever they are called, and (if asked for) enabled always? */
static bool
has_triggers(Oid relid, Oid on_write, bool enabled)
{
	Relation rel = table_open(relid, AccessShareLock);
	TriggerDesc *triggers = rel->trigdesc;
	int events = 0;
	const int all = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE |
					TRIGGER_TYPE_TRUNCATE;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
		if (triggers->triggers[i].tgfoid == on_write &&
			(!enabled || triggers->triggers[i].tgenabled == TRIGGER_FIRES_ALWAYS))
			events |= triggers->triggers[i].tgtype & all;
	table_close(rel, NoLock);
	return events == all;
}

static Oid
on_write_function(void)
{
	return LookupFuncName(list_make2(makeString(TIDEMARK_SCHEMA), makeString("on_write")), 0, NULL,
						  false);
}

bool
stream_is_watched(Oid stream)
{
	Oid on_write = on_write_function();
	ListCell *cell;

	foreach (cell, stream_tables(stream, AccessShareLock))
		if (!has_triggers(lfirst_oid(cell), on_write, true))
			return false;
	return true;
}

/*
 * DISABLE TRIGGER ALL, meant for others, does not hold for ours. Where some are missing a dump is being restored,
 * which makes them itself.
 */
static void
enable_triggers(Oid stream)
{
	Oid on_write = on_write_function();
	ListCell *cell;

	CommandCounterIncrement();
	foreach (cell, stream_tables(stream, AccessShareLock))
		if (has_triggers(lfirst_oid(cell), on_write, false) &&
			!has_triggers(lfirst_oid(cell), on_write, true))
			create_triggers(lfirst_oid(cell));
}

/* Crashes empty unlogged tables; nobody would tell the views. */
static void
require_logged(Oid relid)
{
	if (get_rel_persistence(relid) == RELPERSISTENCE_UNLOGGED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" can't be a stream or a part of one: it is an unlogged table",
						get_rel_name(relid)),
				 errhint("ALTER TABLE %s SET LOGGED", quote_identifier(get_rel_name(relid)))));
}

static void
require_all_logged(Oid stream)
{
	ListCell *cell;

	foreach (cell, stream_tables(stream, NoLock))
		require_logged(lfirst_oid(cell));
}

/* The command of an ALTER TABLE that succeeded, on the stream itself or a partition. */
static void
command_altered(AlterTableCmd *command, Oid relid, const Stream *stream)
{
	bool drops_constraint = command->subtype == AT_DropConstraint &&
							strcmp(command->name, FINITE_CONSTRAINT) == 0;
	bool drops_not_null =
		command->subtype == AT_DropNotNull &&
		strcmp(command->name, get_attname(stream->relid, stream->attnum, false)) == 0;

	if (relid == stream->relid && (drops_constraint || drops_not_null))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the event time of stream \"%s\" must be finite and not null",
							   get_rel_name(relid)),
						errhint("tidemark.drop_stream makes it an ordinary table again.")));
	switch (command->subtype)
	{
		case AT_SetUnLogged:
			require_all_logged(stream->relid);
			break;
		case AT_EnableTrig:
		case AT_EnableReplicaTrig:
		case AT_DisableTrig:
		case AT_EnableTrigAll:
		case AT_DisableTrigAll:
		case AT_EnableTrigUser:
		case AT_DisableTrigUser:
			enable_triggers(stream->relid);
			break;
		default:
			break;
	}
}

/* ---- partitions -------------------------------------------------------------------------------------- */

/* The stream that the table is, or is a partition of; InvalidOid: none. */
static Oid
stream_above(Oid relid)
{
	ListCell *cell;

	if (stream_exists(relid))
		return relid;
	if (!get_rel_relispartition(relid))
		return InvalidOid;
	foreach (cell, get_partition_ancestors(relid))
		if (stream_exists(lfirst_oid(cell)))
			return lfirst_oid(cell);
	return InvalidOid;
}

/*
 * The partitions of the stream are not what they were: new ones get triggers, those that are none any more
 * keep theirs, which do nothing.
 */
static void
partitions_changed(Oid stream)
{
	ListCell *cell;

	require_all_logged(stream);
	foreach (cell, stream_tables(stream, ShareRowExclusiveLock))
		if (!OidIsValid(get_trigger_oid(lfirst_oid(cell), TRUNCATE_TRIGGER, true)))
			create_triggers(lfirst_oid(cell));
}

static void
restart_views(Oid stream)
{
	ListCell *cell;

	frontier_lock_stream(stream);
	foreach (cell, views_of_stream(stream))
		correct_restart(lfirst_oid(cell));
	worker_wake_at_commit();
}

Datum
tidemark_restart_views(PG_FUNCTION_ARGS)
{
	restart_views(PG_GETARG_OID(0));
	PG_RETURN_VOID();
}

static void
refuse_inheritance(Oid parent)
{
	if (stream_exists(parent) && get_rel_relkind(parent) == RELKIND_RELATION)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("can't inherit from stream \"%s\"", get_rel_name(parent)),
						errhint("Use declarative partitioning.")));
}

static void
table_created(CreateStmt *create)
{
	ListCell *cell;

	foreach (cell, create->inhRelations)
	{
		Oid parent = RangeVarGetRelid(lfirst_node(RangeVar, cell), NoLock, true);
		Oid stream;

		if (!OidIsValid(parent))
			continue;
		refuse_inheritance(parent);
		stream = stream_above(parent);
		if (create->partbound && OidIsValid(stream))
		{
			CommandCounterIncrement();
			partitions_changed(stream);
		}
	}
}

static void
table_altered(AlterTableStmt *alter)
{
	Oid relid = RangeVarGetRelid(alter->relation, NoLock, true);
	Oid stream = OidIsValid(relid) ? stream_above(relid) : InvalidOid;
	Stream declared;
	ListCell *cell;

	foreach (cell, alter->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if (command->subtype == AT_AddInherit)
			refuse_inheritance(RangeVarGetRelid((RangeVar *) command->def, NoLock, false));
		if (OidIsValid(stream) && stream_lookup(stream, &declared))
			command_altered(command, relid, &declared);
		if (!OidIsValid(stream) ||
			(command->subtype != AT_AttachPartition && command->subtype != AT_DetachPartition &&
			 command->subtype != AT_DetachPartitionFinalize))
			continue;
		CommandCounterIncrement();
		partitions_changed(stream);
		restart_views(stream);
	}
}

void
stream_table_check(Node *statement)
{
	AlterTableStmt *alter = castNode(AlterTableStmt, statement);
	Oid relid = RangeVarGetRelid(alter->relation, NoLock, true);
	ListCell *cell;

	foreach (cell, alter->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if (command->subtype == AT_DetachPartition && ((PartitionCmd *) command->def)->concurrent &&
			OidIsValid(relid) && views_of_stream(stream_above(relid)) != NIL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("can't detach a partition of stream \"%s\" concurrently",
							get_rel_name(relid)),
					 errdetail("Its rows would leave the table before they leave the views."),
					 errhint("Use DETACH PARTITION without CONCURRENTLY.")));
	}
}

void
stream_table_changed(Node *statement)
{
	if (IsA(statement, CreateStmt))
		table_created((CreateStmt *) statement);
	else
		table_altered(castNode(AlterTableStmt, statement));
}
