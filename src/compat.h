/*
 * compat.h: the differences between PostgreSQL 15, 16, 17 and 18 that this extension meets, and the
 * only place where PG_VERSION_NUM is looked at.
 */
#ifndef TIDEMARK_COMPAT_H
#define TIDEMARK_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "tidemark needs PostgreSQL 15 or newer"
#endif

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

#endif
