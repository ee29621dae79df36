/*
 * change_log.c: the corrections of a view, row by row, for its sinks and subscriptions (feed/feed.c).
 *
 * A view that somebody follows has a table tidemark_data.<view>_changes: materialised rows that went ('d') and came ('i') at or
 * below the frontier, in the order of commits, since whoever writes them holds the view's correction lock to the end of
 * his transaction. What the maintainer appends above the frontier is not logged: the materialised table itself is the log of
 * that, in event-time order.
 *
 *      materialised rows:  ────────────────────────────┤ frontier      appended: read by event time
 *      this table:              d i   d i i                            corrected: read by seq
 *
 * Invariant: if all changes with seq > s are applied to the rows up to an event time F as they were when s was the last one, they are
 * the rows up to F of now, for every F that was once a frontier. So rows that come back after the frontier went back (a view that was
 * emptied, or fails) are logged too, up to where it had been: tidemark.frontier.logged_to.
 *
 * A view that keeps rows by key has no rows that are there for good: its log has every change of its rows (keyed_log.c), and is all that
 * who follows it reads.
 *
 * A row that a correction computes anew and finds unchanged is not logged: rows before and after are compared, EXCEPT ALL.
 *
 * The table depends on the view, so that DROP VIEW asks for CASCADE while somebody follows it.
 */
#include "tidemark.h"

#include "access/relation.h"
#include "access/xlog.h"
#include "catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"
#include "view/change_log.h"
#include "view/frontier.h"
#include "worker/worker.h"

/* ---- the table ------------------------------------------------------------------------------- */

static void
set_changes(Oid view, Oid table)
{
	Oid types[] = {OIDOID, OIDOID};
	Datum values[] = {ObjectIdGetDatum(view), ObjectIdGetDatum(table)};
	char nulls[] = {' ', OidIsValid(table) ? ' ' : 'n', '\0'};

	(void) catalog_execute("UPDATE tidemark.view SET changes = $2 WHERE relid = $1", 2, types,
						   values, nulls);
	catalog_invalidate(view);
	CommandCounterIncrement();
}

bool
change_log_is_of_rows(Oid view)
{
	return strcmp(view_method(view).method, "keyed") == 0;
}

/* The view's own columns, as those of a table: "c1 int4, c2 text COLLATE ..." */
static char *
define_columns(Oid view)
{
	Relation rel = relation_open(view, AccessShareLock);
	StringInfoData columns;

	initStringInfo(&columns);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);

		appendStringInfo(
			&columns, "%sc%d %s", i ? ", " : "", i + 1,
			format_type_extended(column->atttypid, column->atttypmod,
								 FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
		if (OidIsValid(column->attcollation))
			appendStringInfo(&columns, " COLLATE %s",
							 generate_collation_name(column->attcollation));
	}
	relation_close(rel, AccessShareLock);
	return columns.data;
}

static Oid
create_table(const ContinuousView *view)
{
	Oid schema = get_namespace_oid(TIDEMARK_DATA_SCHEMA, false);
	char *name = ChooseRelationName(get_rel_name(view->relid), NULL, "changes", schema, false);
	char *columns = change_log_is_of_rows(view->relid)
						? define_columns(view->relid)
						: psprintf("LIKE %s.%s", TIDEMARK_DATA_SCHEMA,
								   quote_identifier(get_rel_name(view->mat)));
	ObjectAddress table;
	ObjectAddress on;

	(void) catalog_execute(
		psprintf("CREATE TABLE %s.%s (seq int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
				 "written_by xid8 NOT NULL DEFAULT pg_current_xact_id(), "
				 "op \"char\" NOT NULL, %s)",
				 TIDEMARK_DATA_SCHEMA, quote_identifier(name), columns),
		0, NULL, NULL, NULL);
	ObjectAddressSet(table, RelationRelationId, get_relname_relid(name, schema));
	ObjectAddressSet(on, RelationRelationId, view->relid);
	recordDependencyOn(&table, &on, DEPENDENCY_NORMAL);
	return table.objectId;
}

void
change_log_create(Oid relid)
{
	ContinuousView view;

	frontier_lock_view(relid);
	view_require(relid, &view);
	if (!OidIsValid(view.changes))
		set_changes(relid, create_table(&view));
}

void
change_log_drop(Oid relid)
{
	ContinuousView view;

	frontier_lock_view(relid);
	if (!view_lookup(relid, &view) || !OidIsValid(view.changes))
		return;
	set_changes(relid, InvalidOid);
	materialised_drop_tables(list_make1_oid(view.changes));
}

/*
 * After rows have been logged. PostgreSQL forgets in a crash which numbers of a sequence were given out where wal_level is minimal and one
 * transaction has made the sequence and used it: it doesn't write ahead what comes after that. Unless it has been set.
 */
static void
secure_numbers(const ContinuousView *view)
{
	char *table = quote_qualified_identifier(TIDEMARK_DATA_SCHEMA, get_rel_name(view->changes));

	if (XLogIsNeeded())
		return;
	(void) catalog_execute(
		psprintf("SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence(%s, 'seq'), "
				 "pg_catalog.max(seq)) FROM %s",
				 quote_literal_cstr(table), table),
		0, NULL, NULL, NULL);
}

/* ---- what is compared -------------------------------------------------------------------------- */

/* The names of so many columns: "c1, c2". */
static char *
name_columns(int n)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < n; i++)
		appendStringInfo(&names, "%sc%d", i ? ", " : "", i + 1);
	return names.data;
}

/* Can rows with these columns be compared? */
static bool
are_comparable(TupleDesc columns)
{
	bool comparable = true;

	for (int i = 0; i < columns->natts; i++)
	{
		TypeCacheEntry *type = lookup_type_cache(TupleDescAttr(columns, i)->atttypid,
												 TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);

		comparable &= OidIsValid(type->eq_opr) && OidIsValid(type->lt_opr);
	}
	return comparable;
}

/* The materialised table's columns: "c1, c2". *comparable: can rows be compared? */
static char *
list_columns(Oid mat, bool *comparable)
{
	Relation rel = relation_open(mat, AccessShareLock);
	char *names = name_columns(RelationGetNumberOfAttributes(rel));

	*comparable = are_comparable(RelationGetDescr(rel));
	relation_close(rel, AccessShareLock);
	return names;
}

/* "gone" and "come", each less the other where they can be compared, in event-time order. */
static char *
difference_statement(const ContinuousView *view, const MaterialisedRows *come)
{
	bool comparable;
	char *columns = list_columns(view->mat, &comparable);

	return psprintf("WITH gone AS (SELECT %s FROM gone_rows), come AS (SELECT %s FROM %s) "
					"INSERT INTO %s.%s (op, %s) SELECT op, %s FROM ("
					"SELECT 'd'::\"char\" AS op, g.* FROM (TABLE gone %s) g UNION ALL "
					"SELECT 'i', c.* FROM (TABLE come %s) c) x ORDER BY c%d, op",
					columns, columns, come->from_where, TIDEMARK_DATA_SCHEMA,
					quote_identifier(get_rel_name(view->changes)), columns, columns,
					comparable ? "EXCEPT ALL TABLE come" : "",
					comparable ? "EXCEPT ALL TABLE gone" : "", view->time_attnum);
}

/* ---- around a change ------------------------------------------------------------------------------ */

Tuplestorestate *
change_log_begin(const ContinuousView *view)
{
	return OidIsValid(view->changes) ? tuplestore_begin_heap(false, false, work_mem) : NULL;
}

static ParamListInfo
parameters(const MaterialisedRows *rows)
{
	ParamListInfo params = makeParamList(rows->n);

	for (int i = 0; i < rows->n; i++)
		params->params[i] = (ParamExternData){
			.value = rows->values[i], .pflags = PARAM_FLAG_CONST, .ptype = rows->types[i]};
	return params;
}

uint64
change_log_keep(const char *sql, const MaterialisedRows *rows, Tuplestorestate *gone)
{
	SPIExecuteOptions options = {.params = parameters(rows)};
	RoleSession session = catalog_begin();
	uint64 processed;
	int result;

	options.dest = CreateDestReceiver(DestTuplestore);
	SetTuplestoreDestReceiverParams(options.dest, gone, CurrentMemoryContext, false, NULL, NULL);
	result = SPI_execute_extended(sql, &options);
	if (result < 0)
		elog(ERROR, "catalogue statement failed: %s: %s", SPI_result_code_string(result), sql);
	processed = SPI_processed;
	catalog_end(session);
	return processed;
}

/* Rows as a table of that name, with the columns of a table or these, for the statements to come. */
static void
register_rows(char *name, Tuplestorestate *rows, Oid like, TupleDesc columns)
{
	EphemeralNamedRelation table = palloc0(sizeof(EphemeralNamedRelationData));

	table->md.name = name;
	table->md.reliddesc = like;
	table->md.tupdesc = columns;
	table->md.enrtype = ENR_NAMED_TUPLESTORE;
	table->md.enrtuples = tuplestore_tuple_count(rows);
	table->reldata = rows;
	if (SPI_register_relation(table) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the rows of a change");
}

void
change_log_end(const ContinuousView *view, Tuplestorestate *gone, Oid time_type, Ticks from,
			   Ticks to, const List *keys)
{
	MaterialisedRows come;
	RoleSession session;
	char *sql;

	if (gone == NULL)
		return;
	come = materialised_rows(view, time_type, from, to, keys);
	sql = difference_statement(view, &come);
	session = catalog_begin();
	register_rows("gone_rows", gone, view->mat, NULL);
	if (SPI_execute_with_args(sql, come.n, come.types, come.values, NULL, false, 0) !=
		SPI_OK_INSERT)
		elog(ERROR, "could not log the corrections of a view: %s", sql);
	catalog_end(session);
	secure_numbers(view);
	tuplestore_end(gone);
	worker_wake_followers_at_commit();
}

/* ---- logs of rows ---------------------------------------------------------------------------------- */

/* Inserts into the log what the query says, over gone_rows (unless NULL) and come_rows. */
static void
log_rows(const ContinuousView *view, TupleDesc columns, Tuplestorestate *gone,
		 Tuplestorestate *come, const char *query)
{
	char *sql = psprintf("INSERT INTO %s.%s (op, %s) %s", TIDEMARK_DATA_SCHEMA,
						 quote_identifier(get_rel_name(view->changes)),
						 name_columns(columns->natts), query);
	RoleSession session = catalog_begin();

	if (gone)
		register_rows("gone_rows", gone, InvalidOid, columns);
	register_rows("come_rows", come, InvalidOid, columns);
	if (SPI_execute(sql, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not log the changes of a view: %s", sql);
	catalog_end(session);
	secure_numbers(view);
	worker_wake_followers_at_commit();
}

void
change_log_difference(const ContinuousView *view, TupleDesc columns, Tuplestorestate *gone,
					  Tuplestorestate *come)
{
	bool comparable = are_comparable(columns);

	if (tuplestore_tuple_count(gone) > 0 || tuplestore_tuple_count(come) > 0)
		log_rows(view, columns, gone, come,
				 psprintf("SELECT '%c'::\"char\", g.* FROM (TABLE gone_rows %s) g UNION ALL "
						  "SELECT '%c', c.* FROM (TABLE come_rows %s) c",
						  CHANGE_WENT, comparable ? "EXCEPT ALL TABLE come_rows" : "", CHANGE_CAME,
						  comparable ? "EXCEPT ALL TABLE gone_rows" : ""));
}

void
change_log_add(const ContinuousView *view, TupleDesc columns, Tuplestorestate *come, char op)
{
	if (tuplestore_tuple_count(come) > 0)
		log_rows(view, columns, NULL, come,
				 psprintf("SELECT '%c'::\"char\", c.* FROM come_rows c", op));
}

/* ---- all at once ------------------------------------------------------------------------------------- */

void
change_log_truncated(const ContinuousView *view)
{
	bool comparable;
	char *columns;

	if (!OidIsValid(view->changes))
		return;
	columns = list_columns(view->mat, &comparable);
	(void) catalog_execute(
		psprintf("INSERT INTO %s.%s (op, %s) SELECT 'd', %s FROM %s.%s", TIDEMARK_DATA_SCHEMA,
				 quote_identifier(get_rel_name(view->changes)), columns, columns,
				 TIDEMARK_DATA_SCHEMA, quote_identifier(get_rel_name(view->mat))),
		0, NULL, NULL, NULL);
	secure_numbers(view);
	worker_wake_followers_at_commit();
}

void
change_log_appended(const ContinuousView *view, const Frontier *frontier, Oid time_type, Ticks to)
{
	Ticks from = ticks_plus(frontier->frontier, 1);
	Ticks logged_to = Min(to, frontier->logged_to);

	if (!OidIsValid(view->changes))
		return;
	if (from <= logged_to && !change_log_is_of_rows(view->relid))
		change_log_end(view, change_log_begin(view), time_type, from, logged_to, NIL);
	worker_wake_followers_at_commit();
}
