/*
 * define.h: a view becomes continuous, and an ordinary one again.
 */
#ifndef TIDEMARK_VIEW_DEFINE_H
#define TIDEMARK_VIEW_DEFINE_H

/* Installs the utility hook. */
extern void define_init(void);

#endif
