/*
 * maintain.h: moving the frontiers of a database's continuous views towards their streams' watermarks.
 */
#ifndef TIDEMARK_VIEW_MAINTAIN_H
#define TIDEMARK_VIEW_MAINTAIN_H

#include "utils/memutils.h"

/*
 * One round over every stream of this database, called by the maintainer's loop outside a
 * transaction; starts and commits its own. Publishes watermarks, looks for writers that have ended without waiting for them,
 * and appends to the views. Returns how long to wait for the latch before the next round, in ms:
 * 0 when there is more to do at once. Errors are the caller's to log; the next call goes on.
 */
extern long maintain_round(MemoryContext worker_context);

#endif
