/*
 * catalog.h: our tables, read and written in one place.
 */
#ifndef TIDEMARK_CATALOG_H
#define TIDEMARK_CATALOG_H

#include "nodes/pg_list.h"
#include "storage/lockdefs.h"
#include "stream/event_time.h"
#include "utils/snapshot.h"

/* A stream, as declared. What moves (watermark, greatest) is not here. */
typedef struct Stream
{
	Oid relid;
	AttrNumber attnum;
	Oid time_type;
	int64 allowed_delay; /* ticks */
	Interval max_ahead;
	bool has_max_ahead;
} Stream;

/* What a view's frontier follows, as tidemark.view has it. */
#define ADVANCE_ON_WATERMARK "watermark"
#define ADVANCE_ON_ARRIVAL "arrival"

/* A continuous view. */
typedef struct ContinuousView
{
	Oid relid;
	Oid stream;
	Oid mat;				/* its materialised part */
	AttrNumber time_attnum; /* of the event time in mat */
	bool current;			/* the view's definition is the one that mat was made for */
	bool on_arrival;		/* its frontier goes to the newest event time, not to the watermark */
	int64 lookahead;		/* ticks: how much less far its frontier goes */
	Oid changes;			/* the log of its corrections; InvalidOid: nobody asks for them */
	int64 dedup_for;		/* ticks: its rows by key are kept so long; 0: always */
} ContinuousView;

/* Is this relation a stream? Cheap: cached, also the "no". False where the extension is not installed. */
extern bool stream_exists(Oid relid);

/* False when it is none. Cached. */
extern bool stream_lookup(Oid relid, Stream *stream);

/* The same for continuous views. */
extern bool view_lookup(Oid relid, ContinuousView *view);

/* The same, locked for reading, for a function that was given it: an error if it is none. */
extern void view_require(Oid relid, ContinuousView *view);

/* OIDs of the continuous views on a stream in OID order, as committed now (not cached). */
extern List *views_of_stream(Oid stream);

/* What moves of a stream, in a snapshot (NULL: as committed now); TICKS_MIN: none yet. */
typedef struct Watermark
{
	Ticks watermark;
	Ticks
		greatest; /* event time seen; of ingested streams, what the partition that is furthest behind has seen */
} Watermark;

extern Watermark stream_watermark(Oid stream, Snapshot snapshot);

/* From where to where a stream's event time goes, about: from where its views are materialised to the greatest that is known. */
typedef struct StreamSpan
{
	Ticks first;
	Ticks last;
} StreamSpan;

/* False if no view is materialised, or nothing is between. Not cached. */
extern bool stream_span(Oid stream, StreamSpan *span);

/*
 * The stream's table and all its partitions, locked: the table before its partitions, as everybody does it. Nothing if it is
 * gone.
 */
extern List *stream_tables(Oid stream, LOCKMODE lock);

/* OIDs of the streams. */
extern List *all_streams(void);

/* OIDs of the tables with the saved states of a view's windows, in the order of its frames; not cached. */
extern List *view_states(Oid view);

/* How a view is maintained: "incremental"; "rows", each row by itself; "groups", each window once; or "slices", and why so. Not cached. */
typedef struct ViewMethod
{
	const char *method;
	const char *reason; /* NULL: none */
} ViewMethod;

extern ViewMethod view_method(Oid view);
extern void view_set_method(Oid view, ViewMethod method);

/* What the row of a view in tidemark.frontier says in a snapshot. */
typedef struct Frontier
{
	Ticks frontier;
	int64 rows;
	int64 corrections;
	Ticks first; /* where materialising began; TICKS_MIN: not known */
	Ticks
		saved; /* up to where the saved states of its windows go, at most the frontier; TICKS_MIN: there are none */
	Ticks
		logged_to; /* changes up to there are corrections: the frontier, or where it was before it went back */
	Oid mat;	/* the materialised part that it is about */
	bool found; /* false: the view is not continuous in that snapshot */
} Frontier;

extern Frontier frontier_read(Oid view, Snapshot snapshot);

/*
 * The event times of the late rows that the view was corrected for since its frontier moved last, in no order: rows were inserted
 * there, and nothing else happened at or below the frontier. -1: that can't be said.
 */
extern int frontier_late_times(Oid view, Snapshot snapshot, Ticks **times);

/* A text that changes when the view's rule does. */
extern char *view_fingerprint(Oid view);

/* OID of the catalogue's table of that name; InvalidOid where the extension is not installed. */
extern Oid catalog_table(const char *name);

/* The owner of a relation; InvalidOid if it is gone. */
extern Oid relation_owner(Oid relid);

/* Is this view read with the rights of whoever asks, instead of its owner's? */
extern bool view_is_security_invoker(Oid view);

/* The owner of the extension's tables, with whose rights they are written. */
extern Oid catalog_owner(void);

/*
 * Runs one statement over the catalogue with its owner's rights and a safe search_path; nulls may be NULL. Returns the
 * number of rows. For what it returns, use catalog_begin/SPI/catalog_end.
 */
extern uint64 catalog_execute(const char *sql, int nargs, Oid *types, Datum *values,
							  const char *nulls);

/* What a stretch with another role's rights came from. An error ends it too. */
typedef struct RoleSession
{
	Oid userid;
	int sec_context;
	int guc_level;
} RoleSession;

/*
 * A stretch with a role's rights and a safe search_path. Whatever can run a user's code (planning a query over his
 * table, folding his view's constants, executing either) has to be in one of his, as in VACUUM and REFRESH.
 */
extern RoleSession role_begin(Oid role);
extern void role_end(RoleSession session);

/*
 * Starts a worker's transaction, in which our tables can be opened: it waits for a DROP EXTENSION, and one waits for it, before either has
 * locked anything else. Whoever can't wait, or opens none of them, does without.
 */
extern void catalog_start_transaction(void);

/* A worker's transaction over the catalogue, with a snapshot and SPI; it ends in the memory context that it began in. */
extern void catalog_begin_transaction(void);
extern void catalog_end_transaction(void);

/* A stretch of SPI with the rights of the catalogue's owner and a safe search_path. */
extern RoleSession catalog_begin(void);
extern void catalog_end(RoleSession session);

/* Tells every session that the relation's row in the catalogue, or its dependents', changed. */
extern void catalog_invalidate(Oid relid);

#endif
