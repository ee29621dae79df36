/*
 * topic.c: a Kafka topic as a foreign table: the handler, and planning.
 *
 * topic_scan.c reads, topic_insert.c writes, topic_bound.c is about the conditions that bound what
 * is read. The planner never asks the broker: a topic has as many rows as the next one. A scan is
 * not parallel: its client belongs to the process that made it.
 */
#include "tidemark.h"

#include "access/sysattr.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "kafka/option.h"
#include "kafka/topic.h"
#include "kafka/topic_bound.h"

#define ROWS_GUESS 100000

PG_FUNCTION_INFO_V1(tidemark_kafka_handler);

void
topic_require(Oid relid, AclMode right)
{
	AclResult allowed;
	ForeignServer *server;
	Oid handler;

	if (get_rel_relkind(relid) != RELKIND_FOREIGN_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a foreign table", get_rel_name(relid)),
						errhint("A topic is a foreign table on a server of tidemark_kafka.")));
	allowed = pg_class_aclcheck(relid, GetUserId(), right);
	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_FOREIGN_TABLE, get_rel_name(relid));
	server = GetForeignServer(GetForeignTable(relid)->serverid);
	handler = GetForeignDataWrapper(server->fdwid)->fdwhandler;
	if (!OidIsValid(handler) ||
		get_func_namespace(handler) != get_namespace_oid(TIDEMARK_SCHEMA, true))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("foreign table \"%s\" is not a Kafka topic", get_rel_name(relid)),
						errhint("A topic is a foreign table on a server of tidemark_kafka.")));
}

void
topic_refuse_missing(const char *topic)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("topic \"%s\" does not exist", topic),
					errhint("Create it on the broker, or correct the foreign table's option "
							"\"topic\".")));
}

void
topic_refuse_answer(const char *doing, const char *topic, const char *reason)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION),
					errmsg("could not %s topic \"%s\"", doing, topic), errdetail("%s", reason),
					errhint("Check that the broker is running, the server's options "
							"(\"bootstrap_servers\", \"security.protocol\") and the user mapping. "
							"The option \"broker_timeout\" says how long to wait.")));
}

void
topic_explain(Oid foreign_table, ExplainState *es)
{
	TopicOptions options;

	topic_options_get(foreign_table, &options);
	ExplainPropertyText("Topic", options.topic, es);
}

static void
topic_get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid foreign_table)
{
	rel->tuples = ROWS_GUESS;
	set_baserel_size_estimates(root, rel);
}

static void
topic_get_paths(PlannerInfo *root, RelOptInfo *rel, Oid foreign_table)
{
	Cost startup = 10000 * cpu_tuple_cost; /* a connection */
	Cost total = startup + rel->tuples * (cpu_tuple_cost * 2 + rel->baserestrictcost.per_tuple);

	add_path(rel, (Path *) foreignscan_path(root, rel, rel->rows, startup, total));
}

/*
 * The numbers of the columns that the query or a condition needs, 0 for the whole row. The plan's
 * own target list may have more than that.
 */
static List *
needed_columns(RelOptInfo *rel, List *clauses)
{
	Bitmapset *found = NULL;
	List *columns = NIL;
	int member = -1;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &found);
	pull_varattnos((Node *) clauses, rel->relid, &found);
	while ((member = bms_next_member(found, member)) >= 0)
	{
		int column = member + FirstLowInvalidHeapAttributeNumber;

		if (column >= 0)
			columns = lappend_int(columns, column);
	}
	return columns;
}

static ForeignScan *
topic_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid foreign_table, ForeignPath *path,
			   List *targets, List *clauses, Plan *outer)
{
	List *kinds = NIL;
	List *values = NIL;

	clauses = extract_actual_clauses(clauses, false);
	scan_bounds_plan(foreign_table, rel->relid, clauses, &kinds, &values);
	return make_foreignscan(targets, clauses, rel->relid, values,
							list_make2(kinds, needed_columns(rel, clauses)), NIL, NIL, outer);
}

Datum
tidemark_kafka_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = topic_get_rel_size;
	routine->GetForeignPaths = topic_get_paths;
	routine->GetForeignPlan = topic_get_plan;
	topic_scan_callbacks(routine);
	topic_insert_callbacks(routine);
	PG_RETURN_POINTER(routine);
}
