/*
 * define.c: a view becomes continuous, and an ordinary one again.
 *
 * A continuous view is a row in tidemark.view, one in tidemark.frontier and a table in tidemark_data, beside a view
 * that stays what it was. It begins with nothing materialised: the live tail is the whole batch query, and the maintainer takes it from
 * there. So declaring one is quick, transactional, and right at once.
 *
 * The utility hook adds what statements can't say otherwise:
 *   CREATE MATERIALIZED VIEW v WITH (tidemark.continuous) AS ...   CREATE VIEW v AS ..., make_continuous
 *   CREATE VIEW with tidemark.continuous_views = on                the same if the query can be maintained
 *   CREATE OR REPLACE VIEW of a continuous view                    starts it anew with the new definition
 *                                                                  (a restored dump: the maintainer does it)
 *                                                                  and those over it, which it is a part of
 *   partitions of a stream attached, detached, created             triggers; views start anew
 * Dropping is seen by the event trigger tidemark.on_drop.
 */
#include "tidemark.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "stream/stream.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "view/define.h"
#include "view/frontier.h"
#include "view/keyed_expiry.h"
#include "view/keyed_log.h"
#include "view/keyed_maintain.h"
#include "view/layers.h"
#include "view/materialised.h"
#include "view/over_state.h"
#include "view/peers.h"
#include "view/slice.h"
#include "worker/worker.h"

PG_FUNCTION_INFO_V1(tidemark_make_continuous);
PG_FUNCTION_INFO_V1(tidemark_make_batch);

static ProcessUtility_hook_type previous_utility = NULL;

/* ---- make_continuous --------------------------------------------------------------------------- */

static void
require_view(Relation rel)
{
	const char *name = RelationGetRelationName(rel);
	Oid relid = RelationGetRelid(rel);

	if (rel->rd_rel->relkind == RELKIND_MATVIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is a materialized view", name),
				 errhint("Drop it and write CREATE MATERIALIZED VIEW %s WITH (tidemark.continuous) "
						 "AS ..., or make a plain view continuous.",
						 quote_identifier(name))));
	if (rel->rd_rel->relkind != RELKIND_VIEW)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a view", name)));
	if (!compat_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_VIEW, name);
}

void
define_require_access(Oid relid, Access access)
{
	const char *name = get_rel_name(relid);

	if (access == ACCESS_DENIED)
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("view \"%s\" can't be continuous: its owner may not read what it reads", name),
			 errhint("GRANT SELECT on it to %s.",
					 quote_identifier(GetUserNameFromId(relation_owner(relid), false)))));
	if (access == ACCESS_ROW_SECURITY)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg(
				 "view \"%s\" can't be continuous: row security on what it reads binds its owner",
				 name),
			 errhint("Let the owner of the stream own the view.")));
}

static void
require_maintainable_view(Relation rel, Access access)
{
	Oid relid = RelationGetRelid(rel);
	const char *name = RelationGetRelationName(rel);

	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("view \"%s\" can't be continuous: it is temporary", name)));
	if (RelationHasSecurityInvoker(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("view \"%s\" can't be continuous: it is a security_invoker view", name),
				 errdetail("What such a view shows depends on who reads it."),
				 errhint("ALTER VIEW %s RESET (security_invoker)", quote_identifier(name))));
	define_require_access(relid, access);
}

/* How the view will be maintained, and the tables for the states of its windows, where these can be saved. */
static ViewMethod
prepare_windows(Oid relid, Query *batch, const Shape *shape, List **states)
{
	const char *why;
	bool has_windows;
	OverWindow *window = over_window_of_view(relid, batch, shape, &has_windows, &why);

	*states = window ? over_state_create(relid, window) : NIL;
	return over_window_view_method(batch, window, has_windows, why);
}

/* What a continuous view is made of. */
typedef struct Parts
{
	Oid mat;
	AttrNumber time_attnum;
	List *states;
	ViewMethod method;
} Parts;

static Parts
prepare_slices(Oid relid, Query *batch, const Shape *shape)
{
	SliceBounds unbounded = {0};
	Parts parts;

	peers_notice(batch);
	parts.method = prepare_windows(relid, batch, shape, &parts.states);
	batch = slice_query(batch, shape, &unbounded, true, &parts.time_attnum);
	parts.mat =
		materialised_create(relid, "rows", ExecTypeFromTL(batch->targetList), parts.time_attnum);
	return parts;
}

static Parts
prepare_keyed(Oid relid, const Keyed *keyed)
{
	Parts parts = {.time_attnum = KEYED_TIME_COLUMN, .method = {.method = "keyed"}};

	parts.mat = keyed_create(relid, "rows", keyed);
	return parts;
}

/* The lower layer has a table of its own, the upper one is like a view over that. */
static Parts
prepare_layers(Oid relid, Query *batch, const Shape *shape)
{
	SliceBounds unbounded = {0};
	ContinuousView view = {.relid = relid};
	Oid table = layers_create(relid, shape, batch);
	Layers *layers = layers_over(&view, shape, batch, table);
	Parts parts;
	Query *query;

	peers_notice(layers->keyed ? layers->batch : batch);
	parts.method = prepare_windows(relid, layers->batch, &layers->shape, &parts.states);
	parts.states = lcons_oid(table, parts.states);
	query = slice_query(layers->batch, &layers->shape, &unbounded, true, &parts.time_attnum);
	parts.mat =
		materialised_create(relid, "rows", ExecTypeFromTL(query->targetList), parts.time_attnum);
	return parts;
}

static Parts
prepare_view(Oid relid, Query *batch, const Shape *shape)
{
	if (layers_has(shape))
		return prepare_layers(relid, batch, shape);
	return shape->keyed ? prepare_keyed(relid, shape->keyed) : prepare_slices(relid, batch, shape);
}

static Datum
oid_array(List *oids)
{
	Datum *elements = palloc(sizeof(Datum) * (list_length(oids) + 1));
	ListCell *cell;

	foreach (cell, oids)
		elements[foreach_current_index(cell)] = ObjectIdGetDatum(lfirst_oid(cell));
	return PointerGetDatum(
		construct_array(elements, list_length(oids), OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

static void
insert_view(Oid relid, const Shape *shape, const Parts *parts, const char *advance_on,
			int64 dedup_for)
{
	int64 lookahead = lookback_ticks(shape->stream.time_type, &shape->lookahead);
	Oid types[] = {OIDOID,	OIDOID,		 OIDOID,  INT2OID, TEXTOID, INT8OID,
				   TEXTOID, OIDARRAYOID, TEXTOID, TEXTOID, INT8OID};
	Datum values[] = {ObjectIdGetDatum(relid),
					  ObjectIdGetDatum(shape->stream.relid),
					  ObjectIdGetDatum(parts->mat),
					  Int16GetDatum(parts->time_attnum),
					  CStringGetTextDatum(view_fingerprint(relid)),
					  Int64GetDatum(lookahead),
					  CStringGetTextDatum(advance_on),
					  oid_array(parts->states),
					  CStringGetTextDatum(parts->method.method),
					  CStringGetTextDatum(parts->method.reason ? parts->method.reason : ""),
					  Int64GetDatum(dedup_for)};
	Datum frontier[] = {ObjectIdGetDatum(relid), ObjectIdGetDatum(parts->mat),
						Int64GetDatum(TICKS_MIN)};
	Oid frontier_types[] = {OIDOID, OIDOID, INT8OID};

	(void) catalog_execute(
		"INSERT INTO tidemark.view (relid, stream, mat, time_attnum, definition, lookahead, "
		"advance_on, states, method, reason, dedup_for) VALUES ($1, $2, $3, $4, $5, $6, $7, "
		"$8::regclass[], $9, nullif($10, ''), nullif($11, 0))",
		lengthof(types), types, values, NULL);
	(void) catalog_execute(
		"INSERT INTO tidemark.frontier (relid, mat, frontier) VALUES ($1, $2, $3)", 3,
		frontier_types, frontier, NULL);
}

/* Changes what the frontier of a continuous view follows. */
static void
set_advance_on(Oid relid, const char *advance_on)
{
	Oid types[] = {OIDOID, TEXTOID};
	Datum values[] = {ObjectIdGetDatum(relid), CStringGetTextDatum(advance_on)};

	(void) catalog_execute("UPDATE tidemark.view SET advance_on = $2 WHERE relid = $1", 2, types,
						   values, NULL);
	catalog_invalidate(relid);
	worker_wake_at_commit();
}

/* What is said of a view that is to be continuous. */
typedef struct ContinuousOptions
{
	bool continuous;
	char *advance_on;  /* NULL: as it is, for a new one the watermark */
	char *dedup_for;   /* NULL: nothing is said */
	int64 dedup_ticks; /* the same, of a view that is made anew */
} ContinuousOptions;

/* How long the view keeps its rows by key, in ticks; 0: always. */
static int64
dedup_ticks(const char *name, const Shape *shape, const ContinuousOptions *options)
{
	int64 ticks = options->dedup_ticks;

	if (options->dedup_for)
	{
		ticks = event_time_duration(shape->stream.time_type, options->dedup_for, "dedup_for");
		if (ticks <= 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("dedup_for must be positive")));
	}
	if (ticks > 0)
		keyed_expiry_require(name, shape);
	return ticks;
}

/* Who follows groups by sessions gets those that are over, or all, by what the view advances on: it can't be both. */
static void
require_changeable(const ContinuousView *view, const char *advance_on)
{
	const Keyed *keyed = view->current ? keyed_log_of_view(view) : NULL;

	if (keyed == NULL || !keyed->sessions ||
		view->on_arrival == (strcmp(advance_on, ADVANCE_ON_ARRIVAL) == 0))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("advance_on of view \"%s\" can't be changed while it has sinks or "
					"subscriptions",
					get_rel_name(view->relid)),
			 errdetail("It groups by sessions, which they get when these are over, or while they "
					   "go on, on arrival."),
			 errhint("End these first, and begin them anew: tidemark.sinks and "
					 "tidemark.subscriptions list them.")));
}

static void
make_continuous(Oid relid, const ContinuousOptions *options)
{
	Relation rel = relation_open(relid, ShareRowExclusiveLock);
	char *name = RelationGetRelationName(rel);
	ContinuousView existing;
	Access access;
	Query *batch;
	Shape shape;
	Parts parts;
	int64 dedup_for;

	require_view(rel);
	if (view_lookup(relid, &existing))
	{
		if (options->dedup_for)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("dedup_for of continuous view \"%s\" can't be changed", name),
							errhint("Make it a plain view first: SELECT tidemark.make_batch('%s').",
									name)));
		if (options->advance_on == NULL)
			ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
							errmsg("view \"%s\" is continuous already", name)));
		require_changeable(&existing, options->advance_on);
		set_advance_on(relid, options->advance_on);
		relation_close(rel, NoLock);
		return;
	}
	batch = slice_batch_query(relid, &shape, &access);
	shape_require(&shape, name);
	require_maintainable_view(rel, access);
	dedup_for = dedup_ticks(name, &shape, options);
	parts = prepare_view(relid, batch, &shape);
	insert_view(relid, &shape, &parts,
				options->advance_on ? options->advance_on : ADVANCE_ON_WATERMARK, dedup_for);
	catalog_invalidate(relid);
	catalog_invalidate(shape.stream.relid);
	worker_wake_at_commit();
	relation_close(rel, NoLock);
}

static void
check_advance_on(const char *advance_on)
{
	if (advance_on && strcmp(advance_on, ADVANCE_ON_WATERMARK) != 0 &&
		strcmp(advance_on, ADVANCE_ON_ARRIVAL) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("advance_on must be \"watermark\" or \"arrival\", not \"%s\"",
							   advance_on)));
}

Datum
tidemark_make_continuous(PG_FUNCTION_ARGS)
{
	ContinuousOptions options = {0};

	if (!PG_ARGISNULL(1))
		options.advance_on = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (!PG_ARGISNULL(2))
		options.dedup_for = text_to_cstring(PG_GETARG_TEXT_PP(2));
	tidemark_require_preload("make_continuous");
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	check_advance_on(options.advance_on);
	make_continuous(PG_GETARG_OID(0), &options);
	PG_RETURN_VOID();
}

/* ---- make_batch -------------------------------------------------------------------------------- */

/* Forgets the view's rows in the catalogue, and its tables: in this order, for on_drop has nothing left to do then. */
static void
make_batch(Oid relid, const ContinuousView *view)
{
	Oid types[] = {OIDOID};
	Datum values[] = {ObjectIdGetDatum(relid)};
	List *tables;

	frontier_lock_view(relid);
	tables = lcons_oid(view->mat, view_states(relid));
	if (OidIsValid(view->changes))
		tables = lappend_oid(tables, view->changes);
	(void) catalog_execute("DELETE FROM tidemark.view WHERE relid = $1", 1, types, values, NULL);
	(void) catalog_execute("DELETE FROM tidemark.frontier WHERE relid = $1", 1, types, values,
						   NULL);
	catalog_invalidate(relid);
	materialised_drop_tables(tables);
	CommandCounterIncrement();
}

Datum
tidemark_make_batch(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	Relation rel = relation_open(relid, ShareRowExclusiveLock);
	ContinuousView view;

	require_view(rel);
	if (!view_lookup(relid, &view))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("view \"%s\" is not continuous", RelationGetRelationName(rel))));
	if (OidIsValid(view.changes))
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("view \"%s\" has sinks or subscriptions", RelationGetRelationName(rel)),
				 errdetail("They get what is materialised of it."),
				 errhint("tidemark.sinks and tidemark.subscriptions list them; "
						 "tidemark.stop_sink and tidemark.drop_subscription end one.")));
	make_batch(relid, &view);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

void
define_rebuild(Oid relid)
{
	ContinuousView view;
	ContinuousOptions options = {0};

	if (!view_lookup(relid, &view) || view.current)
		return;
	options.advance_on = view.on_arrival ? ADVANCE_ON_ARRIVAL : ADVANCE_ON_WATERMARK;
	options.dedup_ticks = view.dedup_for;
	make_batch(relid, &view);
	make_continuous(relid, &options);
}

/* ---- statements ---------------------------------------------------------------------------------- */

typedef struct Utility
{
	PlannedStmt *statement;
	const char *text;
	bool read_only;
	ProcessUtilityContext context;
	ParamListInfo parameters;
	QueryEnvironment *environment;
	DestReceiver *receiver;
	QueryCompletion *completion;
} Utility;

static void
run_utility(Utility *utility)
{
	ProcessUtility_hook_type run = previous_utility ? previous_utility : standard_ProcessUtility;

	run(utility->statement, utility->text, utility->read_only, utility->context,
		utility->parameters, utility->environment, utility->receiver, utility->completion);
}

static bool
extension_installed(void)
{
	return OidIsValid(catalog_table("view"));
}

static bool
reads_stream(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
		return ((RangeTblEntry *) node)->rtekind == RTE_RELATION &&
			   stream_exists(((RangeTblEntry *) node)->relid);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, reads_stream, context, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, reads_stream, context);
}

/* With tidemark.continuous_views = on: continuous if it can be, else a notice that says why not. */
static void
make_continuous_if_possible(Oid relid)
{
	ContinuousOptions options = {0};
	Shape shape;
	Access access;
	Query *batch = slice_batch_query(relid, &shape, &access);

	if (!reads_stream((Node *) batch, NULL))
		return;
	if (shape.refusal == NULL)
		make_continuous(relid, &options);
	else
		ereport(NOTICE,
				(errmsg("view \"%s\" is not continuous: %s", get_rel_name(relid), shape.refusal),
				 shape.hint ? errhint("%s", shape.hint) : 0));
}

/*
 * The view was replaced: those that are built on it have other rows now. They are batch queries until the maintainer
 * has made them anew; whoever replaced this one need not own them.
 */
static void
forget_dependents(Oid relid)
{
	Oid types[] = {OIDOID};
	Datum values[] = {ObjectIdGetDatum(relid)};
	RoleSession session = catalog_begin();

	if (SPI_execute_with_args(
			"WITH RECURSIVE built_on(relid) AS (SELECT $1 UNION SELECT r.ev_class FROM built_on"
			" JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = "
			"built_on.relid"
			" AND d.classid = 'pg_rewrite'::regclass JOIN pg_rewrite r ON r.oid = d.objid)"
			" UPDATE tidemark.view v SET definition = '' FROM built_on b"
			" WHERE v.relid = b.relid AND v.relid <> $1 RETURNING v.relid",
			1, types, values, NULL, false, 0) != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "could not find what is built on view %u", relid);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;

		catalog_invalidate(DatumGetObjectId(
			SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)));
	}
	if (SPI_processed > 0)
		worker_wake_at_commit();
	catalog_end(session);
}

/* The view that a statement has just made: not one of the same name in another schema of the search path. */
static Oid
created_view(RangeVar *name)
{
	return get_relname_relid(name->relname, RangeVarGetCreationNamespace(name));
}

static void
run_create_view(Utility *utility, ViewStmt *statement)
{
	ContinuousView view;
	Oid relid;

	run_utility(utility);
	if (!extension_installed())
		return;
	CommandCounterIncrement();
	relid = created_view(statement->view);
	if (!OidIsValid(relid) || get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		return;
	if (statement->replace)
		forget_dependents(relid);
	if (view_lookup(relid, &view))
		define_rebuild(relid);
	else if (tidemark_continuous_views && tidemark_preloaded)
		make_continuous_if_possible(relid);
}

/* Takes what WITH (tidemark.…) says out of the list. */
static ContinuousOptions
take_options(List **options)
{
	ContinuousOptions taken = {0};
	ListCell *cell;

	foreach (cell, *options)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (option->defnamespace == NULL || strcmp(option->defnamespace, TIDEMARK_SCHEMA) != 0)
			continue;
		if (strcmp(option->defname, "continuous") == 0)
			taken.continuous = defGetBoolean(option);
		else if (strcmp(option->defname, "advance_on") == 0)
			taken.advance_on = defGetString(option);
		else if (strcmp(option->defname, "dedup_for") == 0)
			taken.dedup_for = defGetString(option);
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unrecognized parameter \"tidemark.%s\"", option->defname),
					 errhint("The parameters are tidemark.continuous, tidemark.advance_on and "
							 "tidemark.dedup_for.")));
		*options = foreach_delete_current(*options, cell);
	}
	check_advance_on(taken.advance_on);
	if ((taken.advance_on || taken.dedup_for) && !taken.continuous)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("tidemark.%s is for continuous views",
							   taken.advance_on ? "advance_on" : "dedup_for"),
						errhint("Write WITH (tidemark.continuous, tidemark.%s = '%s').",
								taken.advance_on ? "advance_on" : "dedup_for",
								taken.advance_on ? taken.advance_on : taken.dedup_for)));
	return taken;
}

/*
 * The statement as CREATE VIEW. A view wants the query as it was before analysis, so the statement's text is
 * parsed once more.
 */
static ViewStmt *
as_create_view(Utility *utility, CreateTableAsStmt *statement)
{
	const char *text = utility->text + Max(utility->statement->stmt_location, 0);
	int length = utility->statement->stmt_len;
	List *parsed = raw_parser(length > 0 ? pnstrdup(text, length) : text, RAW_PARSE_DEFAULT);
	Node *raw = linitial_node(RawStmt, parsed)->stmt;
	ViewStmt *view = makeNode(ViewStmt);

	if (!IsA(raw, CreateTableAsStmt) || !IsA(((CreateTableAsStmt *) raw)->query, SelectStmt))
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a continuous view must be declared with a SELECT, as a statement of its own"),
			 errhint("Use CREATE VIEW and tidemark.make_continuous.")));
	view->view = copyObject(statement->into->rel);
	view->aliases = copyObject(statement->into->colNames);
	view->query = ((CreateTableAsStmt *) raw)->query;
	view->options = statement->into->options;
	view->withCheckOption = NO_CHECK_OPTION;
	return view;
}

static void
run_create_continuous(Utility *utility, CreateTableAsStmt *statement,
					  const ContinuousOptions *options)
{
	PlannedStmt *wrapper = copyObject(utility->statement);
	Utility create = *utility;
	ViewStmt *view;

	tidemark_require_preload("CREATE MATERIALIZED VIEW ... WITH (tidemark.continuous)");
	if (statement->if_not_exists &&
		OidIsValid(RangeVarGetRelid(statement->into->rel, NoLock, true)))
	{
		ereport(NOTICE, (errcode(ERRCODE_DUPLICATE_TABLE),
						 errmsg("relation \"%s\" already exists, skipping",
								statement->into->rel->relname)));
		return;
	}
	view = as_create_view(utility, statement);
	wrapper->utilityStmt = (Node *) view;
	create.statement = wrapper;
	run_utility(&create);
	CommandCounterIncrement();
	make_continuous(created_view(view->view), options);
}

static void
run_create_table_as(Utility *utility, CreateTableAsStmt *statement)
{
	bool ours = statement->objtype == OBJECT_MATVIEW && extension_installed();

	if (ours && statement->into->options)
	{
		ContinuousOptions options;

		/* the statement may be a cached plan's: the list is changed in a copy */
		utility->statement = copyObject(utility->statement);
		statement = castNode(CreateTableAsStmt, utility->statement->utilityStmt);
		options = take_options(&statement->into->options);
		if (options.continuous)
		{
			run_create_continuous(utility, statement, &options);
			return;
		}
	}
	run_utility(utility);
}

static void
utility_hook(PlannedStmt *statement, const char *text, bool read_only,
			 ProcessUtilityContext context, ParamListInfo parameters, QueryEnvironment *environment,
			 DestReceiver *receiver, QueryCompletion *completion)
{
	Utility utility = {.statement = statement,
					   .text = text,
					   .read_only = read_only,
					   .context = context,
					   .parameters = parameters,
					   .environment = environment,
					   .receiver = receiver,
					   .completion = completion};
	Node *node = statement->utilityStmt;

	switch (nodeTag(node))
	{
		case T_ViewStmt:
			run_create_view(&utility, (ViewStmt *) node);
			break;
		case T_CreateTableAsStmt:
			run_create_table_as(&utility, (CreateTableAsStmt *) node);
			break;
		case T_CreateStmt:
		case T_AlterTableStmt:
			if (IsA(node, AlterTableStmt) && extension_installed())
				stream_table_check(node);
			run_utility(&utility);
			if (extension_installed())
				stream_table_changed(node);
			break;
		default:
			run_utility(&utility);
			break;
	}
}

void
define_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
}
