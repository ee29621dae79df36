/*
 * tidemark.h: what every file includes: PostgreSQL, the version differences, our settings.
 */
#ifndef TIDEMARK_H
#define TIDEMARK_H

#include "postgres.h"
#include "fmgr.h"

#include "compat.h"

#define TIDEMARK_SCHEMA "tidemark"
#define TIDEMARK_DATA_SCHEMA "tidemark_data"

/* Settings, defined in tidemark.c. */
extern bool tidemark_use_continuous;   /* answer continuous views from their materialised part */
extern bool tidemark_continuous_views; /* a plain CREATE VIEW makes a continuous one if it can */
extern bool tidemark_exact_float_sums; /* sums and averages of floats over streams are exact */
extern bool
	tidemark_sliding_aggregates; /* aggregates over moving windows in queries over streams slide */
extern int tidemark_maintain_interval; /* least ms between two moves of a frontier (SIGHUP) */
extern int tidemark_work_mem;  /* kB that the states of one view's windows may take (SIGHUP) */
extern bool tidemark_maintain; /* the maintainer moves frontiers (SIGHUP) */

/* True when the library came with shared_preload_libraries: shared memory and workers exist. */
extern bool tidemark_preloaded;

/* Raises the error that says which line to add to postgresql.conf; feature is "start_ingest" etc. */
extern void tidemark_require_preload(const char *feature);

#endif
