/*
 * define.h: a view becomes continuous, and an ordinary one again.
 */
#ifndef TIDEMARK_VIEW_DEFINE_H
#define TIDEMARK_VIEW_DEFINE_H

#include "view/slice.h"

/* Installs the utility hook. */
extern void define_init(void);

/* The view's definition is not what was materialised (after a restore, say): starts it anew. */
extern void define_rebuild(Oid view);

/* Raises an error if the view's owner may not read everything that it reads. */
extern void define_require_access(Oid view, Access access);

#endif
