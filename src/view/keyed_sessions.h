/*
 * keyed_sessions.h: GROUP BY the sessions of each key.
 */
#ifndef TIDEMARK_VIEW_KEYED_SESSIONS_H
#define TIDEMARK_VIEW_KEYED_SESSIONS_H

#include "view/keyed.h"

/* The level below one that groups whose windows are sessions; NULL: there is none. */
extern Query *keyed_sessions_level(Query *level);

/*
 * If there is one, what the level groups by, with the session's start as the last of the keys; NIL, with a refusal by the shape: it can't be
 * maintained. Without sessions, as it stands.
 */
extern List *keyed_sessions_keys(Keyed *keyed, Query *level, Shape *shape);

/* The level's inputs are known: none but the key may depend on the sessions, which keyed's query no longer looks for then. */
extern void keyed_sessions_cut(Keyed *keyed, Query *level, Shape *shape);

/* Events (keyed_groups.h), rows among them whose sessions aren't known, with the starts of the sessions that they make up together. */
extern RangeTblEntry *keyed_sessions_assigned(const Keyed *keyed, RangeTblEntry *events);

/*
 * The last session of each key that these rows have, as events, of those that begin at `to` or before (NULL: whenever), if it ends at `from` or
 * later (NULL: whenever): a list of Query.
 */
extern List *keyed_sessions_last(const Keyed *keyed, Oid mat, Query *rows, Expr *from, Expr *to);

/* "the session ends at that time or later", or before it, of events. */
extern Expr *keyed_sessions_ends(const Keyed *keyed, Expr *from, bool before);

#endif
