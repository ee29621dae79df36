/*
 * merges.c: rows that MERGE moves from one partition of a stream to another.
 *
 * An UPDATE of the partition key moves a row by deleting it here and inserting it there. Where the UPDATE is an action of a MERGE,
 * PostgreSQL (15 to 18) puts the two rows into the transition tables of DELETE and INSERT, and fires the statement triggers of the MERGE's
 * own actions: so the stream's triggers (stream/writes.c) don't see them. Which rows these were can't be learnt afterwards. So after
 * a MERGE on a partitioned stream that sets a column of the partition key, the stream's continuous views start anew.
 */
#include "tidemark.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "stream/merges.h"
#include "stream/writes.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

static ExecutorFinish_hook_type previous_finish = NULL;

/* Is one of these columns (names) in the partition key of the table? */
static bool
is_in_partition_key(Oid relid, const List *columns)
{
	Relation rel = table_open(relid, NoLock);
	Bitmapset *attnums = NULL;
	ListCell *cell;
	bool found;

	foreach (cell, columns)
		attnums = bms_add_member(attnums, get_attnum(relid, lfirst(cell)) -
											  FirstLowInvalidHeapAttributeNumber);
	found = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
			has_partition_attrs(rel, attnums, NULL);
	table_close(rel, NoLock);
	return found;
}

/* The names of the columns that the MERGE's UPDATE actions set. */
static List *
columns_set(const ModifyTable *merge, const List *rtable)
{
	Oid target = rt_fetch(linitial_int(merge->resultRelations), rtable)->relid;
	List *columns = NIL;
	ListCell *action;
	ListCell *cell;

	foreach (action, linitial_node(List, merge->mergeActionLists))
		foreach (cell, lfirst_node(MergeAction, action)->updateColnos)
			columns = lappend(columns, get_attname(target, lfirst_int(cell), false));
	return columns;
}

static void
finish_merge(const ModifyTable *merge, const List *rtable)
{
	Oid root = merge->rootRelation ? rt_fetch(merge->rootRelation, rtable)->relid : InvalidOid;
	List *columns;
	ListCell *cell;

	if (!OidIsValid(root) || !writes_are_of_stream(root))
		return;
	columns = columns_set(merge, rtable);
	foreach (cell, columns == NIL ? NIL : find_all_inheritors(root, AccessShareLock, NULL))
		if (is_in_partition_key(lfirst_oid(cell), columns))
		{
			writes_unknown(root);
			return;
		}
}

static void
finish_plan(const Plan *plan, const List *rtable)
{
	if (plan && IsA(plan, ModifyTable) && ((const ModifyTable *) plan)->operation == CMD_MERGE)
		finish_merge((const ModifyTable *) plan, rtable);
}

/* Triggers have fired: what the statement did otherwise has been seen. */
static void
finish(QueryDesc *description)
{
	const PlannedStmt *statement = description->plannedstmt;
	ListCell *cell;

	if (previous_finish)
		previous_finish(description);
	else
		standard_ExecutorFinish(description);
	if (statement->commandType != CMD_MERGE && !statement->hasModifyingCTE)
		return;
	finish_plan(statement->planTree, statement->rtable);
	foreach (cell, statement->subplans)
		finish_plan(lfirst(cell), statement->rtable);
}

void
merges_init(void)
{
	previous_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish;
}
