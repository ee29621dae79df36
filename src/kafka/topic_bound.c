/*
 * topic_bound.c: conditions that bound what a scan reads.
 *
 * partition and offset compared with a value leave out partitions and offsets. timestamp with a
 * value that it must be at or after moves the first offsets: the broker knows, for each partition,
 * the first record that is not before a time; those before it all are, whatever the order of
 * timestamps is. An upper bound of time says nothing, for any later record may be old.
 *
 * The value must be the same throughout the scan: a constant, a parameter of the statement, an
 * expression of them such as now() - interval '1 hour'. A bound reads too much rather than too
 * little; the executor checks the condition on each row.
 */
#include "tidemark.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "format/value.h"
#include "kafka/option.h"
#include "kafka/topic.h"
#include "kafka/topic_bound.h"

/* A condition that bounds what is read, as planned: fdw_private has these, fdw_exprs the values. */
typedef struct ScanBound
{
	RecordMetadata metadata;
	int strategy; /* of btree: column < <= = >= > value */
	Oid type;	  /* the value's */
	ExprState *value;
} ScanBound;

struct ScanBounds
{
	int n;
	ScanBound bounds[FLEXIBLE_ARRAY_MEMBER];
};

/* Something whose value is known, and the same, throughout the scan. */
static bool
has_running_param(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubPlan) || IsA(node, SubLink))
		return true;
	if (IsA(node, Param))
		return ((Param *) node)->paramkind != PARAM_EXTERN;
	return expression_tree_walker(node, has_running_param, context);
}

static bool
is_fixed(Node *node)
{
	return !contain_var_clause(node) && !contain_volatile_functions(node) &&
		   !has_running_param(node, NULL);
}

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* Which bound, if any, column op value is; METADATA_NONE: none. */
static RecordMetadata
bound_by(Oid foreign_table, const Var *column, Node *value, Oid opno, int *strategy)
{
	TopicOptions table;
	ColumnOptions options;
	Oid family = lookup_type_cache(column->vartype, TYPECACHE_BTREE_OPFAMILY)->btree_opf;

	*strategy = get_op_opfamily_strategy(opno, family);
	if (*strategy == 0 || !is_fixed(value))
		return METADATA_NONE;
	topic_options_get(foreign_table, &table);
	column_options_get(foreign_table, column->varattno, &table, &options);
	switch (options.metadata)
	{
		case METADATA_PARTITION:
		case METADATA_OFFSET:
			return is_integer(exprType(value)) ? options.metadata : METADATA_NONE;
		case METADATA_TIMESTAMP:
			/* Later than a time is at or after it; earlier records may be anywhere. */
			if (*strategy != BTEqualStrategyNumber && *strategy != BTGreaterStrategyNumber &&
				*strategy != BTGreaterEqualStrategyNumber)
				return METADATA_NONE;
			return exprType(value) == column->vartype ||
						   (is_integer(column->vartype) && is_integer(exprType(value)))
					   ? METADATA_TIMESTAMP
					   : METADATA_NONE;
		default:
			return METADATA_NONE;
	}
}

/* Adds the clause to the bounds if it is one. */
static void
add_bound(Oid foreign_table, Index relid, Node *clause, List **kinds, List **values)
{
	OpExpr *op = (OpExpr *) clause;
	Node *left;
	Node *right;
	Oid opno;
	int strategy;
	RecordMetadata metadata;

	if (!IsA(clause, OpExpr) || list_length(op->args) != 2)
		return;
	opno = op->opno;
	left = linitial(op->args);
	right = lsecond(op->args);
	if (!IsA(left, Var))
	{
		left = lsecond(op->args);
		right = linitial(op->args);
		opno = get_commutator(op->opno);
	}
	if (!IsA(left, Var) || ((Var *) left)->varno != (int) relid || ((Var *) left)->varattno <= 0 ||
		!OidIsValid(opno))
		return;
	metadata = bound_by(foreign_table, (Var *) left, right, opno, &strategy);
	if (metadata == METADATA_NONE)
		return;
	*kinds = lappend(*kinds, list_make2_int(metadata, strategy));
	*values = lappend(*values, right);
}

void
scan_bounds_plan(Oid foreign_table, Index relid, List *clauses, List **kinds, List **values)
{
	ListCell *cell;

	foreach (cell, clauses)
		add_bound(foreign_table, relid, lfirst(cell), kinds, values);
}

ScanBounds *
scan_bounds_prepare(ForeignScanState *node)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	ScanBounds *bounds =
		palloc0(offsetof(ScanBounds, bounds) + sizeof(ScanBound) * list_length(plan->fdw_exprs));
	ListCell *kind;
	ListCell *value;

	forboth (kind, TOPIC_PLAN_BOUNDS(plan), value, plan->fdw_exprs)
	{
		ScanBound *bound = &bounds->bounds[bounds->n++];

		bound->metadata = linitial_int((List *) lfirst(kind));
		bound->strategy = lsecond_int((List *) lfirst(kind));
		bound->type = exprType(lfirst(value));
		bound->value = ExecInitExpr(lfirst(value), (PlanState *) node);
	}
	return bounds;
}

List *
scan_bounds_names(ForeignScanState *node)
{
	static const char *const names[] = {[METADATA_PARTITION] = "partition",
										[METADATA_OFFSET] = "offset",
										[METADATA_TIMESTAMP] = "timestamp"};
	List *list = NIL;
	ListCell *cell;

	foreach (cell, TOPIC_PLAN_BOUNDS((ForeignScan *) node->ss.ps.plan))
		list = lappend(list, (void *) names[linitial_int((List *) lfirst(cell))]);
	return list;
}

/* A value that a partition or an offset is compared with, or milliseconds since 1970. */
static int64
bound_number(const ScanBound *bound, Datum value)
{
	switch (bound->type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return DatumGetInt64(value);
		default:
			return timestamp_to_ms(DatumGetTimestamp(value));
	}
}

static bool
compare_to_bound(int64 number, int strategy, int64 value)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
			return number < value;
		case BTLessEqualStrategyNumber:
			return number <= value;
		case BTEqualStrategyNumber:
			return number == value;
		case BTGreaterEqualStrategyNumber:
			return number >= value;
		default:
			return number > value;
	}
}

static void
bound_offsets(ScanPartition *partition, int strategy, int64 value)
{
	if (strategy != BTLessStrategyNumber && strategy != BTLessEqualStrategyNumber)
		partition->first = Max(partition->first, value);
	if (strategy == BTLessStrategyNumber)
		partition->end = Min(partition->end, value);
	else if (strategy == BTLessEqualStrategyNumber || strategy == BTEqualStrategyNumber)
		partition->end = Min(partition->end, value < PG_INT64_MAX ? value + 1 : value);
}

/* The records of a time and later ones begin at these offsets. */
static bool
bound_times(KafkaConsumer *consumer, int n, ScanPartition *partitions, int64 ms, int timeout_ms,
			char **error)
{
	int32 *numbers = palloc(sizeof(int32) * n);
	int64 *offsets = palloc(sizeof(int64) * n);

	for (int i = 0; i < n; i++)
		numbers[i] = i;
	if (!kafka_consumer_offsets_for_time(consumer, n, numbers, ms, offsets, timeout_ms, error))
		return false;
	for (int i = 0; i < n; i++)
		partitions[i].first = Max(partitions[i].first, offsets[i]);
	return true;
}

/* Narrows a partition by a condition on its number or offsets; a null value leaves nothing. */
static void
bound_partition(ScanPartition *partition, int number, const ScanBound *bound, int64 value,
				bool isnull)
{
	if (isnull || (bound->metadata == METADATA_PARTITION &&
				   !compare_to_bound(number, bound->strategy, value)))
		partition->end = partition->first;
	else if (bound->metadata == METADATA_OFFSET)
		bound_offsets(partition, bound->strategy, value);
}

bool
scan_bounds_apply(ScanBounds *bounds, ForeignScanState *node, KafkaConsumer *consumer, int n,
				  ScanPartition *partitions, int timeout_ms, char **error)
{
	for (int i = 0; i < bounds->n; i++)
	{
		const ScanBound *bound = &bounds->bounds[i];
		bool isnull;
		Datum datum = ExecEvalExprSwitchContext(bound->value, node->ss.ps.ps_ExprContext, &isnull);
		int64 value = isnull ? 0 : bound_number(bound, datum);

		if (isnull || bound->metadata != METADATA_TIMESTAMP)
		{
			for (int j = 0; j < n; j++)
				bound_partition(&partitions[j], j, bound, value, isnull);
		}
		else if (!bound_times(consumer, n, partitions, value, timeout_ms, error))
			return false;
	}
	return true;
}
