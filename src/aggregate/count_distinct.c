/*
 * count_distinct.c: how many different values there are in a moving window; the SQL aggregate
 * count_distinct.
 *
 * PostgreSQL has count(DISTINCT x), but not over windows. A state is a hash table of the values in
 * the window, with the number of rows that each has; a value that no row has any more is dropped.
 * Values are different if the type's own equality says so, under the call's collation. Nulls are
 * ignored, as count(DISTINCT x) does.
 */
#include "tidemark.h"

#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "aggregate/sliding_method.h"

typedef struct CountDistinct
{
	SlidingAggregate base;
	KeptType type;
	FmgrInfo hash;
	FmgrInfo equal;
	Oid collation;
} CountDistinct;

typedef struct DistinctValue
{
	Datum value;
	int64 rows;
	uint32 hash;
	char status;
} DistinctValue;

static uint32
hash_value(CountDistinct *distinct, Datum value)
{
	return DatumGetUInt32(FunctionCall1Coll(&distinct->hash, distinct->collation, value));
}

static bool
equal_values(CountDistinct *distinct, Datum one, Datum other)
{
	return DatumGetBool(FunctionCall2Coll(&distinct->equal, distinct->collation, one, other));
}

#define SH_PREFIX values
#define SH_ELEMENT_TYPE DistinctValue
#define SH_KEY_TYPE Datum
#define SH_KEY value
#define SH_HASH_KEY(table, key) hash_value((CountDistinct *) (table)->private_data, key)
#define SH_EQUAL(table, one, other)                                                                \
	equal_values((CountDistinct *) (table)->private_data, one, other)
#define SH_STORE_HASH
#define SH_GET_HASH(table, element) ((element)->hash)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

#define FIRST_SIZE 4

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	return values_create(context, FIRST_SIZE, aggregate);
}

static void
free_values(CountDistinct *distinct, values_hash *table)
{
	values_iterator iterator;
	DistinctValue *entry;

	if (distinct->type.by_value)
		return;
	values_start_iterate(table, &iterator);
	while ((entry = values_iterate(table, &iterator)) != NULL)
		kept_value_free(&distinct->type, entry->value);
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	free_values((CountDistinct *) aggregate, state);
	values_destroy(state);
}

static DistinctValue *
find_or_add(CountDistinct *distinct, values_hash *table, Datum value)
{
	bool found;
	DistinctValue *entry = values_insert(table, value, &found);

	if (!found)
	{
		entry->value = kept_value_copy(&distinct->type, value, table->ctx);
		entry->rows = 0;
	}
	return entry;
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	if (!args[0].isnull)
		find_or_add((CountDistinct *) aggregate, state, args[0].value)->rows++;
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	values_hash *table = state;
	DistinctValue *entry;
	Datum value;

	if (args[0].isnull)
		return;
	entry = values_lookup(table, args[0].value);
	if (entry == NULL)
		elog(ERROR, "value that leaves the window isn't in it");
	if (--entry->rows > 0)
		return;
	value = entry->value;
	values_delete_item(table, entry);
	kept_value_free(&((CountDistinct *) aggregate)->type, value);
}

static Datum
result(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	return Int64GetDatum(((values_hash *) state)->members);
}

static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	values_hash *table = state;
	values_iterator iterator;
	DistinctValue *entry;

	pq_sendint32(buf, table->members);
	values_start_iterate(table, &iterator);
	while ((entry = values_iterate(table, &iterator)) != NULL)
	{
		pq_sendint64(buf, entry->rows);
		kept_value_write(&((CountDistinct *) aggregate)->type, entry->value, buf);
		if (buf->len > SLIDING_SAVE_LIMIT)
			return false;
	}
	return true;
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	CountDistinct *distinct = (CountDistinct *) aggregate;
	uint32 count = pq_getmsgint(buf, 4);

	for (uint32 i = 0; i < count; i++)
	{
		int64 rows = pq_getmsgint64(buf);
		Datum value = kept_value_read(&distinct->type, buf, CurrentMemoryContext);

		if (rows <= 0)
			sliding_bad_bytes();
		find_or_add(distinct, state, value)->rows += rows;
		kept_value_free(&distinct->type, value);
	}
}

static const SlidingMethod with_saving = {
	"distinct values", 'h', false, true, create, destroy, add, evict, result, save, load,
};
static const SlidingMethod without_saving = {
	"distinct values", 'h', false, true, create, destroy, add, evict, result, NULL, NULL,
};

static SlidingAggregate *
prepare(const SlidingAggregate *call)
{
	TypeCacheEntry *entry =
		lookup_type_cache(call->argument_types[0], TYPECACHE_HASH_PROC | TYPECACHE_EQ_OPR_FINFO);
	CountDistinct *distinct;
	KeptType type;

	if (!OidIsValid(entry->hash_proc) || !OidIsValid(entry->eq_opr_finfo.fn_oid))
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("values of type %s can't be hashed", format_type_be(entry->type_id)),
			 errhint("Count distinct values of another type, for example of the value's text.")));
	kept_type_init(&type, call->argument_types[0]);
	distinct = (CountDistinct *) sliding_make(call, sizeof(CountDistinct),
											  type.can_save ? &with_saving : &without_saving);
	distinct->type = type;
	distinct->collation = call->collation;
	fmgr_info(entry->hash_proc, &distinct->hash);
	fmgr_info(entry->eq_opr_finfo.fn_oid, &distinct->equal);
	return &distinct->base;
}

SlidingAggregate *
count_distinct_prepare(const SlidingAggregate *call)
{
	const char *own = sliding_own_name(call->function);

	return own && strcmp(own, "count_distinct") == 0 ? prepare(call) : NULL;
}

/* ---------- the SQL aggregate ---------- */

PG_FUNCTION_INFO_V1(tidemark_count_distinct_add);
PG_FUNCTION_INFO_V1(tidemark_count_distinct_evict);
PG_FUNCTION_INFO_V1(tidemark_count_distinct_result);

/* Its description, made at the first call. */
static SlidingAggregate *
aggregate_of_call(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra == NULL)
	{
		Oid type = get_fn_expr_argtype(fcinfo->flinfo, 1);
		SlidingAggregate call = {.collation = PG_GET_COLLATION(), .nargs = 1};
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		call.argument_types = &type;
		fcinfo->flinfo->fn_extra = prepare(&call);
		MemoryContextSwitchTo(old);
	}
	return fcinfo->flinfo->fn_extra;
}

Datum
tidemark_count_distinct_add(PG_FUNCTION_ARGS)
{
	SlidingAggregate *aggregate = aggregate_of_call(fcinfo);
	MemoryContext context;
	void *state;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	state = PG_ARGISNULL(0) ? sliding_new(aggregate, context) : PG_GETARG_POINTER(0);
	sliding_add(aggregate, state, &fcinfo->args[1]);
	PG_RETURN_POINTER(state);
}

Datum
tidemark_count_distinct_evict(PG_FUNCTION_ARGS)
{
	SlidingAggregate *aggregate = aggregate_of_call(fcinfo);

	if (PG_ARGISNULL(0))
		elog(ERROR, "count_distinct called to evict from an empty state");
	sliding_evict(aggregate, PG_GETARG_POINTER(0), &fcinfo->args[1]);
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

Datum
tidemark_count_distinct_result(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_INT64(0);
	PG_RETURN_INT64(((values_hash *) PG_GETARG_POINTER(0))->members);
}
