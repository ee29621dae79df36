/*
 * faults.h: calls that would fail on every row.
 */
#ifndef TIDEMARK_VIEW_FAULTS_H
#define TIDEMARK_VIEW_FAULTS_H

#include "view/shape.h"

/* Refuses the query if it has one. */
extern void faults_refuse(Query *query, Shape *shape);

#endif
