/*
 * over_state.h: the states of a view's windows as rows of tables, for those who read the view.
 */
#ifndef TIDEMARK_VIEW_OVER_STATE_H
#define TIDEMARK_VIEW_OVER_STATE_H

#include "view/over_keys.h"

/* The tables for the states of a view's frames, in their order; NIL if its functions' states can't be saved. */
extern List *over_state_create(Oid view, const OverWindow *window);

/* Those of a view, whose windows read the stream of that shape. */
extern List *over_state_tables(Oid view, const Shape *shape);

/*
 * Writes what has changed of the states of a frame to its table, with the active snapshot. *filenode is the storage that the keys'
 * places are in: the caller keeps it from call to call, InvalidOid at first. False if a state can't be saved.
 */
extern bool over_state_save(const OverFrame *frame, Oid table, OverKeys *keys, Oid *filenode);

/* Takes in the states of a frame that its table has in the active snapshot; keys: none yet. Sets *filenode. */
extern void over_state_load(const OverFrame *frame, Oid table, OverKeys *keys, Oid *filenode);

#endif
