/*
 * compat.h: the differences between PostgreSQL 15, 16, 17 and 18 that this extension meets, and the
 * only place where PG_VERSION_NUM is looked at.
 */
#ifndef TIDEMARK_COMPAT_H
#define TIDEMARK_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "tidemark needs PostgreSQL 15 or newer"
#endif

#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "utils/acl.h"

/* May the current user do what only an object's owner may? */
#if PG_VERSION_NUM >= 160000
#define database_owner_ok(oid) object_ownercheck(DatabaseRelationId, (oid), GetUserId())
#define relation_owner_ok(oid, role) object_ownercheck(RelationRelationId, (oid), (role))
#else
#define database_owner_ok(oid) pg_database_ownercheck((oid), GetUserId())
#define relation_owner_ok(oid, role) pg_class_ownercheck((oid), (role))
#endif

/* Index entries for a row that was inserted. */
#if PG_VERSION_NUM >= 160000
#define insert_index_tuples(rel_info, slot, estate)                                                \
	ExecInsertIndexTuples((rel_info), (slot), (estate), false, false, NULL, NIL, false)
#else
#define insert_index_tuples(rel_info, slot, estate)                                                \
	ExecInsertIndexTuples((rel_info), (slot), (estate), false, false, NULL, NIL)
#endif

#endif
