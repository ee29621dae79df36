/*
 * topic_bound.h: conditions that bound what a scan reads.
 */
#ifndef TIDEMARK_KAFKA_TOPIC_BOUND_H
#define TIDEMARK_KAFKA_TOPIC_BOUND_H

#include "nodes/execnodes.h"

#include "kafka/consumer.h"

/* What a scan reads of a partition: offsets from first to before end. */
typedef struct ScanPartition
{
	int64 first;
	int64 end;
	bool done;
} ScanPartition;

typedef struct ScanBounds ScanBounds;

/*
 * Those of the clauses on foreign table relid that bound a scan: kinds is for TOPIC_PLAN_BOUNDS,
 * values for fdw_exprs. The clauses are still to be checked on each row.
 */
extern void scan_bounds_plan(Oid foreign_table, Index relid, List *clauses, List **kinds,
							 List **values);

/* The bounds of a planned scan, in the current context. */
extern ScanBounds *scan_bounds_prepare(ForeignScanState *node);

/* Names of the metadata that bound a planned scan, for EXPLAIN. */
extern List *scan_bounds_names(ForeignScanState *node);

/*
 * Narrows n partitions by the conditions' values now. May ask the broker; false on failure, with
 * *error (palloc'd).
 */
extern bool scan_bounds_apply(ScanBounds *bounds, ForeignScanState *node, KafkaConsumer *consumer,
							  int n, ScanPartition *partitions, int timeout_ms, char **error);

#endif
