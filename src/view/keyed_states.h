/*
 * keyed_states.h: the states that a view with GROUP BY keeps, from step to step and after late rows.
 */
#ifndef TIDEMARK_VIEW_KEYED_STATES_H
#define TIDEMARK_VIEW_KEYED_STATES_H

#include "catalog.h"
#include "view/keyed.h"

/*
 * Writes the states that come of events (keyed_groups.h), each for its key: in the place of the one that is among them. Returns how many keys
 * there are more.
 */
extern int64 keyed_states_write(const ContinuousView *view, const Keyed *keyed, List *events);

/* Adds rows of keyed_input to the states. Returns how many keys there are more. Needs the active snapshot. */
extern int64 keyed_states_add(const ContinuousView *view, const Keyed *keyed, Query *input);

/*
 * Makes the states of some keys anew: those that the rows `changed` have, from all rows of `input`, both of keyed_input. Each of
 * these keys has rows there.
 */
extern int64 keyed_states_renew(const ContinuousView *view, const Keyed *keyed, Query *input,
								Query *changed);

#endif
