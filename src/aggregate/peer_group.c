/*
 * peer_group.c: rows that ORDER BY leaves equal, as they come one after the other.
 *
 * Rows are compared by the equality that their types have for sorting. Where texts have a collation, it has to be a
 * deterministic one: equal texts then have equal bytes, in whatever collation they are compared.
 */
#include "tidemark.h"

#include "catalog/pg_collation.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "aggregate/peer_group.h"

bool
peer_type_ok(Oid type, Oid collation)
{
	return OidIsValid(lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr) &&
		   (!OidIsValid(collation) || get_collation_isdeterministic(collation));
}

void
peer_type_init(PeerType *type, int n, const Oid *types)
{
	type->n = n;
	type->types = palloc(sizeof(KeptType) * Max(n, 1));
	type->equal = palloc0(sizeof(FmgrInfo) * Max(n, 1));
	type->collations = palloc(sizeof(Oid) * Max(n, 1));
	type->can_save = true;
	for (int i = 0; i < n; i++)
	{
		TypeCacheEntry *entry = lookup_type_cache(types[i], TYPECACHE_EQ_OPR);

		if (!OidIsValid(entry->eq_opr))
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
							errmsg("could not identify an equality operator for type %s",
								   format_type_be(types[i]))));
		fmgr_info(get_opcode(entry->eq_opr), &type->equal[i]);
		type->collations[i] = OidIsValid(get_typcollation(types[i])) ? C_COLLATION_OID : InvalidOid;
		kept_type_init(&type->types[i], types[i]);
		type->can_save = type->can_save && type->types[i].can_save;
	}
}

static bool
are_peers(PeerType *type, const NullableDatum *a, const NullableDatum *b)
{
	for (int i = 0; i < type->n; i++)
	{
		if (a[i].isnull != b[i].isnull)
			return false;
		if (!a[i].isnull && !DatumGetBool(FunctionCall2Coll(&type->equal[i], type->collations[i],
															a[i].value, b[i].value)))
			return false;
	}
	return true;
}

static void
free_values(PeerGroup *group, PeerType *type)
{
	for (int i = 0; i < type->n; i++)
		if (!group->values[i].isnull)
			kept_value_free(&type->types[i], group->values[i].value);
}

bool
peer_group_begins(PeerGroup *group, PeerType *type, const NullableDatum *values,
				  MemoryContext context)
{
	if (group->values && are_peers(type, group->values, values))
		return false;
	if (group->values)
		free_values(group, type);
	else
		group->values = MemoryContextAlloc(context, sizeof(NullableDatum) * Max(type->n, 1));
	for (int i = 0; i < type->n; i++)
	{
		group->values[i].isnull = values[i].isnull;
		group->values[i].value = values[i].isnull
									 ? (Datum) 0
									 : kept_value_copy(&type->types[i], values[i].value, context);
	}
	return true;
}

void
peer_group_clear(PeerGroup *group, PeerType *type)
{
	if (group->values == NULL)
		return;
	free_values(group, type);
	pfree(group->values);
	group->values = NULL;
}

/* If there is one; for each value if it is null, and the value. */
void
peer_group_write(const PeerGroup *group, PeerType *type, StringInfo buf)
{
	pq_sendbyte(buf, group->values != NULL);
	for (int i = 0; group->values && i < type->n; i++)
	{
		pq_sendbyte(buf, group->values[i].isnull);
		if (!group->values[i].isnull)
			kept_value_write(&type->types[i], group->values[i].value, buf);
	}
}

void
peer_group_read(PeerGroup *group, PeerType *type, StringInfo buf, MemoryContext context)
{
	if (pq_getmsgbyte(buf) == 0)
		return;
	group->values = MemoryContextAllocZero(context, sizeof(NullableDatum) * Max(type->n, 1));
	for (int i = 0; i < type->n; i++)
		group->values[i].isnull = true;
	for (int i = 0; i < type->n; i++)
		if (pq_getmsgbyte(buf) == 0)
		{
			group->values[i].value = kept_value_read(&type->types[i], buf, context);
			group->values[i].isnull = false;
		}
}
