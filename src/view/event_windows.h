/*
 * event_windows.h: calls of tidemark.hop and tidemark.cumulate.
 */
#ifndef TIDEMARK_VIEW_EVENT_WINDOWS_H
#define TIDEMARK_VIEW_EVENT_WINDOWS_H

#include "nodes/primnodes.h"

/* Is this one? With all its arguments then, in order: event time, slide or step, size, origin. */
extern FuncExpr *event_windows_call(Node *node, bool *cumulates);

/* Why there are no windows of these lengths, for event times of that type, and a hint (may be NULL). NULL: there are. */
extern char *event_windows_fault(Oid type, bool cumulates, Datum step, Datum size, char **hint);

#endif
