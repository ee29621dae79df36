/*
 * verify.c: is the view what its batch query returns?
 *
 * One statement, so one snapshot, reads the view twice: as it is answered, and under an alias that
 * the planner hook leaves alone for as long as this function plans. The difference both ways, EXCEPT
 * ALL, is the answer; it has no rows when all is well. Sums of floats are exact on both sides, whatever the
 * session's setting.
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

/* The view's columns, those of types that can't be compared as text. */
static char *
comparable_columns(Oid view)
{
	Relation rel = relation_open(view, AccessShareLock);
	TupleDesc columns = RelationGetDescr(rel);
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, i);
		const char *name = quote_identifier(NameStr(column->attname));
		TypeCacheEntry *type =
			lookup_type_cache(column->atttypid, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);
		bool comparable = OidIsValid(type->eq_opr) && OidIsValid(type->lt_opr);

		appendStringInfo(&list, "%s%s%s", i ? ", " : "", name,
						 comparable ? "" : "::pg_catalog.text AS ");
		if (!comparable)
			appendStringInfoString(&list, name);
	}
	relation_close(rel, AccessShareLock);
	return list.data;
}

static char *
difference_query(Oid view)
{
	char *columns = comparable_columns(view);
	char *name =
		quote_qualified_identifier(get_namespace_name(get_rel_namespace(view)), get_rel_name(view));

	return psprintf("WITH batch AS MATERIALIZED (SELECT %s FROM %s AS \"%s\"), "
					"answer AS MATERIALIZED (SELECT %s FROM %s AS answer) "
					"SELECT 'missing'::pg_catalog.text, pg_catalog.to_jsonb(d.*) "
					"FROM (SELECT * FROM batch EXCEPT ALL SELECT * FROM answer) d "
					"UNION ALL SELECT 'unexpected', pg_catalog.to_jsonb(d.*) "
					"FROM (SELECT * FROM answer EXCEPT ALL SELECT * FROM batch) d",
					columns, name, BATCH_ALIAS, columns, name);
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
