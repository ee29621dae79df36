/*
 * compat.h: the differences between PostgreSQL 15, 16, 17 and 18 that this extension meets, and the
 * only place where PG_VERSION_NUM is looked at.
 */
#ifndef TIDEMARK_COMPAT_H
#define TIDEMARK_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "tidemark needs PostgreSQL 15 or newer"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h" /* VARDATA_ANY and the like; before, postgres.h had them */
#endif

#endif
