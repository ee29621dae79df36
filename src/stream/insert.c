/*
 * insert.c: decoded rows into a table, as COPY would do it where that is possible.
 *
 * Two ways lead into the table, and which one is taken makes no difference to the result:
 *
 *   direct    table_multi_insert, index entries, constraints, generated columns, defaults. For an ordinary table
 *             on which no trigger of its user fires: the usual case, at COPY's cost.
 *   executor  INSERT … SELECT from the rows as a named tuplestore. PostgreSQL does all the rest: partitions,
 *             triggers, foreign keys, deferrable constraints, row security, volatile defaults.
 *
 * Triggers may change a row's event time, add rows or drop them; so on the executor's way the stream's own statement
 * triggers have to fire, since only they see what has become of the rows. On the direct way nobody
 * can have changed a row, and the caller tells writes_happened() what it knows already.
 *
 * An error leaves the table half written, for the caller's subtransaction to undo. What is opened for
 * a call (indexes and what their access methods keep pinned) is closed in the same call, or goes with that subtransaction.
 */
#include "tidemark.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/rls.h"
#include "utils/tuplestore.h"

#include "stream/brin_entries.h"
#include "stream/insert.h"

#define ROWS_NAME "tidemark_rows"

struct RowInserter
{
	Relation rel;
	const bool *given;
	bool direct;
	int failed_row;

	/* executor */
	char *statement;
};

/* One call on the direct way. */
typedef struct DirectInsert
{
	RowInserter *inserter;
	EState *estate;
	ResultRelInfo *rel_info;
	BrinEntries *brin;	  /* the BRIN indexes; rel_info has the others */
	ExprState **defaults; /* of columns that aren't given; NULL: no default */
} DirectInsert;

/* ---- which way ---- */

static bool
is_ours(const Trigger *trigger)
{
	return get_func_namespace(trigger->tgfoid) == get_namespace_oid(TIDEMARK_SCHEMA, true);
}

/* Does a trigger fire on INSERT that is not one of ours? */
static bool
has_foreign_triggers(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_INSERT(trigger->tgtype) && trigger->tgenabled != TRIGGER_DISABLED &&
			!is_ours(trigger))
			return true;
	}
	return false;
}

/* A default that may look at the table has to be computed when the rows before it are there. */
static bool
has_volatile_defaults(RowInserter *inserter)
{
	TupleDesc desc = RelationGetDescr(inserter->rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Node *expr;

		if (att->attisdropped || att->attgenerated || inserter->given[i])
			continue;
		expr = build_column_default(inserter->rel, i + 1);
		if (expr && contain_volatile_functions_not_nextval(expr))
			return true;
	}
	return false;
}

static bool
can_go_direct(RowInserter *inserter)
{
	Relation rel = inserter->rel;

	return rel->rd_rel->relkind == RELKIND_RELATION && !has_foreign_triggers(rel) &&
		   !has_volatile_defaults(inserter) &&
		   check_enable_rls(RelationGetRelid(rel), InvalidOid, true) != RLS_ENABLED;
}

/* ---- direct ---- */

static void
begin_direct(DirectInsert *direct, RowInserter *inserter)
{
	TupleDesc desc = RelationGetDescr(inserter->rel);

	direct->inserter = inserter;
	direct->estate = CreateExecutorState();
	direct->rel_info = makeNode(ResultRelInfo);
	InitResultRelInfo(direct->rel_info, inserter->rel, 0, NULL, 0);
	ExecOpenIndices(direct->rel_info, false);
	direct->brin = brin_entries_begin(direct->rel_info);
	direct->defaults = palloc0(sizeof(ExprState *) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Expr *expr;

		if (att->attisdropped || att->attgenerated || inserter->given[i])
			continue;
		expr = (Expr *) build_column_default(inserter->rel, i + 1);
		if (expr)
			direct->defaults[i] = ExecInitExpr(expression_planner(expr), NULL);
	}
}

static void
end_direct(DirectInsert *direct)
{
	ExecCloseIndices(direct->rel_info);
	brin_entries_end(direct->brin);
	FreeExecutorState(direct->estate);
}

/* Columns that don't come with the row: null, the default, or generated; then the constraints. */
static void
complete_row(DirectInsert *direct, TupleTableSlot *row)
{
	Relation rel = direct->inserter->rel;
	TupleDesc desc = RelationGetDescr(rel);
	TupleConstr *constr = desc->constr;

	for (int i = 0; i < desc->natts; i++)
	{
		if (direct->inserter->given[i])
			continue;
		row->tts_isnull[i] = true;
		row->tts_values[i] = (Datum) 0;
		/* In the caller's context: the value lives as long as the row. */
		if (direct->defaults[i])
			row->tts_values[i] = ExecEvalExpr(
				direct->defaults[i], GetPerTupleExprContext(direct->estate), &row->tts_isnull[i]);
	}
	row->tts_tableOid = RelationGetRelid(rel);
	if (constr && constr->has_generated_stored)
		ExecComputeStoredGenerated(direct->rel_info, direct->estate, row, CMD_INSERT);
	if (constr)
		ExecConstraints(direct->rel_info, row, direct->estate);
	if (rel->rd_rel->relispartition)
		ExecPartitionCheck(direct->rel_info, row, direct->estate, true);
	ResetPerTupleExprContext(direct->estate);
}

static void
insert_direct(RowInserter *inserter, TupleTableSlot **rows, int n)
{
	DirectInsert direct;

	begin_direct(&direct, inserter);
	for (int i = 0; i < n; i++)
	{
		inserter->failed_row = i;
		complete_row(&direct, rows[i]);
	}
	inserter->failed_row = -1;
	table_multi_insert(inserter->rel, rows, n, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < n && direct.rel_info->ri_NumIndices > 0; i++)
	{
		inserter->failed_row = i;
		(void) compat_insert_index_tuples(direct.rel_info, rows[i], direct.estate);
		ResetPerTupleExprContext(direct.estate);
	}
	inserter->failed_row = -1;
	brin_entries_insert(direct.brin, rows, n, direct.estate);
	end_direct(&direct);
}

/* ---- executor ---- */

static void
begin_executor(RowInserter *inserter)
{
	Relation rel = inserter->rel;
	TupleDesc desc = RelationGetDescr(rel);
	StringInfoData columns;

	initStringInfo(&columns);
	for (int i = 0; i < desc->natts; i++)
		if (inserter->given[i])
			appendStringInfo(&columns, "%s%s", columns.len ? ", " : "",
							 quote_identifier(NameStr(TupleDescAttr(desc, i)->attname)));
	inserter->statement =
		psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM " ROWS_NAME,
				 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
											RelationGetRelationName(rel)),
				 columns.data, columns.data);
}

/* The rows under the name that the statement reads them by. */
static EphemeralNamedRelation
name_rows(RowInserter *inserter, Tuplestorestate *store, int n)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

	enr->md.name = ROWS_NAME;
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = RelationGetDescr(inserter->rel);
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = n;
	enr->reldata = store;
	return enr;
}

static void
insert_by_executor(RowInserter *inserter, TupleTableSlot **rows, int n)
{
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	TupleDesc desc = RelationGetDescr(inserter->rel);

	inserter->failed_row = -1;
	for (int i = 0; i < n; i++)
	{
		for (int c = 0; c < desc->natts; c++)
			if (!inserter->given[c])
				rows[i]->tts_isnull[c] = true;
		tuplestore_puttupleslot(store, rows[i]);
	}
	SPI_connect();
	if (SPI_register_relation(name_rows(inserter, store, n)) != SPI_OK_REL_REGISTER ||
		SPI_execute(inserter->statement, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "inserting into \"%s\" failed", RelationGetRelationName(inserter->rel));
	SPI_finish();
	tuplestore_end(store);
}

/* ---- the interface ---- */

RowInserter *
row_inserter_begin(Relation rel, const bool *given)
{
	RowInserter *inserter = palloc0(sizeof(RowInserter));
	AclResult allowed = pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), ACL_INSERT);

	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_TABLE, RelationGetRelationName(rel));
	inserter->rel = rel;
	inserter->given = given;
	inserter->failed_row = -1;
	inserter->direct = can_go_direct(inserter);
	if (!inserter->direct)
		begin_executor(inserter);
	return inserter;
}

void
row_inserter_insert(RowInserter *inserter, TupleTableSlot **rows, int n)
{
	if (n == 0)
		return;
	if (inserter->direct)
		insert_direct(inserter, rows, n);
	else
		insert_by_executor(inserter, rows, n);
}

bool
row_inserter_is_direct(RowInserter *inserter)
{
	return inserter->direct;
}

int
row_inserter_failed_row(RowInserter *inserter)
{
	return inserter->failed_row;
}
