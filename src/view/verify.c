/*
 * verify.c: is the view what its batch query returns?
 *
 * One statement, so one snapshot, reads the view twice: as it is answered, and under an alias that
 * the planner hook leaves alone for as long as this function plans. The difference both ways, that of EXCEPT
 * ALL, is the answer; it has no rows when all is well. Sums of floats are exact on both sides, whatever the
 * session's setting.
 *
 * EXCEPT ALL twice would compare all rows twice, and keep both results for that. So rows of the one side count 1 and those of the other -1, and of
 * equal ones, by GROUP BY, what is left is the difference: each query runs once, and its rows go into one aggregation.
 */
#include "tidemark.h"

#include "access/relation.h"
#include "catalog.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"
#include "view/answer.h"
#include "view/slice.h"

PG_FUNCTION_INFO_V1(tidemark_verify);

#define BATCH_ALIAS "tidemark batch query"
#define SURPLUS "tidemark surplus" /* how many more of a row the batch query has */

/* What is said of the view's columns: "name" and "name::text AS name" where it is of a type that can't be compared, and "d.name". */
typedef struct Columns
{
	StringInfoData read;
	StringInfoData names;
} Columns;

static bool
is_comparable(Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);

	return OidIsValid(entry->eq_opr) && OidIsValid(entry->lt_opr);
}

static Columns
columns_of(Oid view)
{
	Relation rel = relation_open(view, AccessShareLock);
	TupleDesc type = RelationGetDescr(rel);
	Columns columns;

	initStringInfo(&columns.read);
	initStringInfo(&columns.names);
	for (int i = 0; i < type->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(type, i);
		const char *name = quote_identifier(NameStr(column->attname));

		appendStringInfo(&columns.read, ", %s", name);
		if (!is_comparable(column->atttypid))
			appendStringInfo(&columns.read, "::pg_catalog.text AS %s", name);
		appendStringInfo(&columns.names, "%sd.%s", i ? ", " : "", name);
	}
	relation_close(rel, AccessShareLock);
	return columns;
}

static char *
difference_query(Oid view)
{
	Columns columns = columns_of(view);
	char *read = columns.read.data;
	char *names = columns.names.data;
	char *name =
		quote_qualified_identifier(get_namespace_name(get_rel_namespace(view)), get_rel_name(view));

	return psprintf("SELECT CASE WHEN d.\"" SURPLUS "\" > 0 THEN 'missing' ELSE 'unexpected' END, "
					"pg_catalog.to_jsonb(r.*) "
					"FROM (SELECT pg_catalog.sum(\"" SURPLUS "\") AS \"" SURPLUS "\", %s FROM ("
					"SELECT 1 AS \"" SURPLUS "\"%s FROM %s AS \"" BATCH_ALIAS "\" UNION ALL "
					"SELECT -1%s FROM %s AS answer) d GROUP BY %s "
					"HAVING pg_catalog.sum(\"" SURPLUS "\") <> 0) d, LATERAL (SELECT %s) r, "
					"pg_catalog.generate_series(1, pg_catalog.abs(d.\"" SURPLUS "\")) "
					"ORDER BY 1",
					names, read, name, read, name, names, names);
}

static void
run_difference(const char *sql, ReturnSetInfo *result)
{
	int guc_level = NewGUCNestLevel();
	const char *alias_before = answer_batch_alias;

	(void) set_config_option("tidemark.use_continuous", "on", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("tidemark.exact_float_sums", "on", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	slice_work_mem();
	answer_batch_alias = BATCH_ALIAS;
	PG_TRY();
	{
		if (SPI_execute(sql, true, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not compare: %s", sql);
	}
	PG_FINALLY();
	{
		answer_batch_alias = alias_before;
	}
	PG_END_TRY();
	AtEOXact_GUC(false, guc_level);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
}

Datum
tidemark_verify(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	ContinuousView view;

	view_require(relid, &view);
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	run_difference(difference_query(relid), (ReturnSetInfo *) fcinfo->resultinfo);
	SPI_finish();
	return (Datum) 0;
}
