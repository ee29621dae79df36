/*
 * peer_group.h: rows that ORDER BY leaves equal, as they come one after the other.
 */
#ifndef TIDEMARK_AGGREGATE_PEER_GROUP_H
#define TIDEMARK_AGGREGATE_PEER_GROUP_H

#include "aggregate/sliding_method.h"

/* The types of what rows are compared by; may be shared by many groups. */
typedef struct PeerType
{
	int n;
	bool can_save; /* all of them */
	KeptType *types;
	FmgrInfo *equal;
	Oid *collations;
} PeerType;

/* The newest group. May be embedded in another struct, and is empty if all is zero. */
typedef struct PeerGroup
{
	NullableDatum *values; /* of its rows; NULL: no row has come */
} PeerGroup;

/* Can rows be compared by values of the type, and of this collation (InvalidOid: none), as ORDER BY compares them? */
extern bool peer_type_ok(Oid type, Oid collation);

/* Raises an error for a type that can't be compared. */
extern void peer_type_init(PeerType *type, int n, const Oid *types);

/* The next row has come, with these values; what is kept of it is allocated in the context. Does it begin a new group? */
extern bool peer_group_begins(PeerGroup *group, PeerType *type, const NullableDatum *values,
							  MemoryContext context);

/* Frees what it holds: it is empty again. */
extern void peer_group_clear(PeerGroup *group, PeerType *type);

extern void peer_group_write(const PeerGroup *group, PeerType *type, StringInfo buf);
extern void peer_group_read(PeerGroup *group, PeerType *type, StringInfo buf,
							MemoryContext context);

#endif
