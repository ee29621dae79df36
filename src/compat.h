/*
 * compat.h: the differences between PostgreSQL 15, 16, 17 and 18 that this extension meets, and the
 * only place where PG_VERSION_NUM is looked at.
 */
#ifndef TIDEMARK_COMPAT_H
#define TIDEMARK_COMPAT_H

#include "access/brin_revmap.h"
#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_proc.h"
#include "datatype/timestamp.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h" /* VARDATA_ANY and the like; before, postgres.h had them */
#endif
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h" /* ExplainPropertyText and the like; before, explain.h had them */
#include "commands/explain_state.h"
#endif

#if PG_VERSION_NUM < 150000
#error "tidemark needs PostgreSQL 15 or newer"
#endif

/* Runs a started query to its end. */
static inline void
compat_executor_run(QueryDesc *query)
{
#if PG_VERSION_NUM >= 180000
	ExecutorRun(query, ForwardScanDirection, 0);
#else
	ExecutorRun(query, ForwardScanDirection, 0, true);
#endif
}

/* Writes the row in slot in the place of the one at tid; true if it has to be put into the indexes. */
static inline bool
compat_update_row(Relation rel, ItemPointer tid, TupleTableSlot *slot, Snapshot snapshot)
{
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes indexes;

	simple_table_tuple_update(rel, tid, slot, snapshot, &indexes);
	return indexes != TU_None;
#else
	bool indexes;

	simple_table_tuple_update(rel, tid, slot, snapshot, &indexes);
	return indexes;
#endif
}

/* Closes an index that was opened to be written. */
static inline void
compat_close_index(Relation index, IndexInfo *info)
{
#if PG_VERSION_NUM >= 170000
	index_insert_cleanup(index, info);
#endif
	index_close(index, RowExclusiveLock);
}

/* Where the summaries of a BRIN index are. */
static inline BrinRevmap *
compat_brin_revmap(Relation index, BlockNumber *pages_per_range)
{
#if PG_VERSION_NUM >= 170000
	return brinRevmapInitialize(index, pages_per_range);
#else
	return brinRevmapInitialize(index, pages_per_range, NULL);
#endif
}

/* The summary of the page's range, which is in the buffer, locked for sharing, at the offset; NULL: there is none. The buffer may be pinned. */
static inline BrinTuple *
compat_brin_summary(BrinRevmap *map, BlockNumber page, Buffer *buffer, OffsetNumber *offset)
{
#if PG_VERSION_NUM >= 170000
	return brinGetTupleForHeapBlock(map, page, buffer, offset, NULL, BUFFER_LOCK_SHARE);
#else
	return brinGetTupleForHeapBlock(map, page, buffer, offset, NULL, BUFFER_LOCK_SHARE, NULL);
#endif
}

/* Puts a new row, whose tid is set, into the indexes. */
static inline List *
compat_insert_index_tuples(ResultRelInfo *result, TupleTableSlot *slot, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL, false);
#else
	return ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL);
#endif
}

#if PG_VERSION_NUM < 160000
static inline bool
compat_is_view_query(Query *query, Oid view)
{
	Relation rel = table_open(view, AccessShareLock);
	bool is = equal(get_view_query(rel)->targetList, query->targetList);

	table_close(rel, AccessShareLock);
	return is;
}
#endif

/*
 * The view that the rewriter expanded into this subquery; InvalidOid if it did not. From 16 on the entry keeps
 * the view's OID; on 15 the subquery's first range table entry is the rule's OLD. So it is in INSERT ... SELECT of a
 * rule ON INSERT, UPDATE or DELETE of the view, too, which is not the view's query.
 */
static inline Oid
compat_view_of_subquery(RangeTblEntry *entry)
{
#if PG_VERSION_NUM >= 160000
	return entry->relid;
#else
	RangeTblEntry *old;

	if (entry->subquery->rtable == NIL)
		return InvalidOid;
	old = linitial_node(RangeTblEntry, entry->subquery->rtable);
	if (old->rtekind == RTE_RELATION && old->relkind == RELKIND_VIEW && !old->inFromCl &&
		strcmp(old->eref->aliasname, "old") == 0)
		return compat_is_view_query(entry->subquery, old->relid) ? old->relid : InvalidOid;
	return InvalidOid;
#endif
}

/* The tables of this query level (not of subqueries) are read without any check of rights. */
static inline void
compat_unchecked(Query *query)
{
	ListCell *cell;

	foreach (cell, query->rtable)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

#if PG_VERSION_NUM >= 160000
		if (entry->rtekind == RTE_RELATION && entry->perminfoindex == 0)
			addRTEPermissionInfo(&query->rteperminfos, entry);
		if (entry->perminfoindex != 0)
			getRTEPermissionInfo(query->rteperminfos, entry)->requiredPerms = 0;
#else
		entry->requiredPerms = 0;
#endif
	}
}

/* The query level reads no table any more. */
static inline void
compat_forget_permissions(Query *query)
{
#if PG_VERSION_NUM >= 160000
	query->rteperminfos = NIL;
#endif
}

/* Has everyone whose rights this query level (not its subqueries) reads its tables with these rights? */
static inline bool
compat_tables_permitted(Query *query)
{
#if PG_VERSION_NUM >= 160000
	return ExecCheckPermissions(query->rtable, query->rteperminfos, false);
#else
	return ExecCheckRTPerms(query->rtable, false);
#endif
}

/* Is the column computed when it is read, and not in the row? */
static inline bool
compat_is_virtual(Form_pg_attribute column)
{
#if PG_VERSION_NUM >= 180000
	return column->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL;
#else
	return false;
#endif
}

static inline bool
compat_owns_relation(Oid relid, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, role);
#else
	return pg_class_ownercheck(relid, role);
#endif
}

/* Raises an error unless this user may call this function. */
static inline void
compat_check_function_right(Oid function, Oid user)
{
#if PG_VERSION_NUM >= 160000
	AclResult right = object_aclcheck(ProcedureRelationId, function, user, ACL_EXECUTE);
#else
	AclResult right = pg_proc_aclcheck(function, user, ACL_EXECUTE);
#endif

	if (right != ACLCHECK_OK)
		aclcheck_error(right, OBJECT_FUNCTION, get_func_name(function));
}

/* Is the interval infinite (since 17)? 1, -1 or, if not, 0. */
static inline int
compat_interval_infinite(const Interval *interval)
{
#if PG_VERSION_NUM >= 170000
	return INTERVAL_IS_NOEND(interval) ? 1 : INTERVAL_IS_NOBEGIN(interval) ? -1 : 0;
#else
	return 0;
#endif
}

/* The infinite interval; not asked for where there is none. */
static inline Interval *
compat_infinite_interval(bool positive)
{
	Interval *interval = palloc0(sizeof(Interval));

#if PG_VERSION_NUM >= 170000
	if (positive)
		INTERVAL_NOEND(interval);
	else
		INTERVAL_NOBEGIN(interval);
#endif
	return interval;
}

/* May the current user do what only a database's owner may? */
static inline bool
compat_owns_database(Oid database)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, GetUserId());
#else
	return pg_database_ownercheck(database, GetUserId());
#endif
}

/* The user whose rights a foreign scan has, InvalidOid for the current one. From 16 the plan says. */
#if PG_VERSION_NUM >= 160000
#define scan_checks_as_user(node) (((ForeignScan *) (node)->ss.ps.plan)->checkAsUser)
#else
#define scan_checks_as_user(node)                                                                  \
	(exec_rt_fetch(((ForeignScan *) (node)->ss.ps.plan)->scan.scanrelid, (node)->ss.ps.state)      \
		 ->checkAsUser)
#endif

/* The user whose rights an INSERT into a foreign table has; a routed one has those of its root. */
#if PG_VERSION_NUM >= 160000
#define insert_checks_as_user(info, estate) ExecGetResultRelCheckAsUser(info, estate)
#else
#define insert_checks_as_user(info, estate)                                                        \
	(exec_rt_fetch((info)->ri_RangeTableIndex != 0                                                 \
					   ? (info)->ri_RangeTableIndex                                                \
					   : (info)->ri_RootResultRelInfo->ri_RangeTableIndex,                         \
				   estate)                                                                         \
		 ->checkAsUser)
#endif

/* create_foreignscan_path took fdw_restrictinfo in 17 and disabled_nodes in 18. */
#if PG_VERSION_NUM >= 180000
#define foreignscan_path(root, rel, rows, startup, total)                                          \
	create_foreignscan_path(root, rel, NULL, rows, 0, startup, total, NIL, (rel)->lateral_relids,  \
							NULL, NIL, NIL)
#elif PG_VERSION_NUM >= 170000
#define foreignscan_path(root, rel, rows, startup, total)                                          \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, NIL, (rel)->lateral_relids,     \
							NULL, NIL, NIL)
#else
#define foreignscan_path(root, rel, rows, startup, total)                                          \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, NIL, (rel)->lateral_relids,     \
							NULL, NIL)
#endif

/*
 * An expression over what a query level groups by, as one over what it reads: from 18 on, GROUP BY's expressions are columns of an
 * entry of the range table.
 */
static inline Node *
compat_grouped_expression(Query *query, Node *expression)
{
#if PG_VERSION_NUM >= 180000
	if (query->hasGroupRTE)
		return flatten_group_exprs(NULL, query, expression);
#endif
	return expression;
}

/* A query level without grouping sets has its expressions over what it reads. */
static inline void
compat_flatten_groups(Query *query)
{
#if PG_VERSION_NUM >= 180000
	ListCell *cell;

	if (!query->hasGroupRTE)
		return;
	query->targetList = (List *) flatten_group_exprs(NULL, query, (Node *) query->targetList);
	query->havingQual = flatten_group_exprs(NULL, query, query->havingQual);
	foreach (cell, query->rtable)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->rtekind != RTE_GROUP)
			continue;
		entry->rtekind = RTE_RESULT;
		entry->groupexprs = NIL;
	}
	query->hasGroupRTE = false;
#endif
}

/* The query level makes no groups any more; what it returns must not refer to what it grouped by. */
static inline void
compat_ungroup(Query *query)
{
	compat_flatten_groups(query);
	query->groupClause = query->groupingSets = NIL;
	query->havingQual = NULL;
	query->hasAggs = query->groupDistinct = false;
}

/* Is this ordering operator the "less than" of its order? */
static inline bool
compat_sorts_ascending(Oid sortop)
{
	Oid family;
	Oid type;
#if PG_VERSION_NUM >= 180000
	CompareType order;

	return get_ordering_op_properties(sortop, &family, &type, &order) && order == COMPARE_LT;
#else
	int16 strategy;

	return get_ordering_op_properties(sortop, &family, &type, &strategy) &&
		   strategy == BTLessStrategyNumber;
#endif
}

/* From 18 on, a clause that has got its ordering operator has to say which way that sorts, too. */
static inline void
compat_set_direction(SortGroupClause *clause)
{
#if PG_VERSION_NUM >= 180000
	clause->reverse_sort = !compat_sorts_ascending(clause->sortop);
#endif
}

/* The strategy of a comparison in a btree; 0: it is none. */
static inline int
compat_btree_strategy(Oid operator_oid)
{
	ListCell *cell;
	int strategy = 0;

#if PG_VERSION_NUM >= 180000
	foreach (cell, get_op_index_interpretation(operator_oid))
		strategy = ((OpIndexInterpretation *) lfirst(cell))->cmptype; /* numbered likewise */
#else
	foreach (cell, get_op_btree_interpretation(operator_oid))
		strategy = ((OpBtreeInterpretation *) lfirst(cell))->strategy;
#endif
	return strategy;
}

/* Begins to look rows up by keys of an index. */
static inline IndexScanDesc
compat_index_beginscan(Relation rel, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(rel, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(rel, index, snapshot, nkeys, 0);
#endif
}

/* Has the column a constraint NOT NULL that all rows are known to meet? */
static inline bool
compat_is_not_null(Oid relid, AttrNumber column)
{
	Relation rel = table_open(relid, AccessShareLock);
#if PG_VERSION_NUM >= 180000
	bool result = TupleDescCompactAttr(RelationGetDescr(rel), column - 1)->attnullability ==
				  ATTNULLABLE_VALID;
#else
	bool result = TupleDescAttr(RelationGetDescr(rel), column - 1)->attnotnull;
#endif

	table_close(rel, NoLock);
	return result;
}

#endif
