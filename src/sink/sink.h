/*
 * sink.h: a sink: a continuous view's rows to somewhere else, by a process of its own (worker/sink_worker.c).
 */
#ifndef TIDEMARK_SINK_SINK_H
#define TIDEMARK_SINK_SINK_H

#include "sink/feed.h"

/* How far a sink is, as the place that it sends to knows it. */
typedef struct SinkPosition
{
	FeedPosition feed;
	int64 commits; /* one more with each; 0: nothing was committed yet */
	int64 records; /* sent */
	int64 ignored; /* changes of rows that had been sent, and were not sent */
} SinkPosition;

typedef enum SinkMode
{
	SINK_APPEND, /* each row is a record */
	SINK_UPSERT	 /* each key's present row is its last record; a tombstone when it goes */
} SinkMode;

/* What becomes of rows that are corrected after they were sent; in mode append. */
typedef enum SinkCorrections
{
	CORRECTIONS_IGNORED,
	CORRECTIONS_MARKED, /* the old and the new row are sent, with a mark */
	CORRECTIONS_REFUSED /* an error */
} SinkCorrections;

/* What a crash may do. */
typedef enum SinkDelivery
{
	DELIVERY_EXACTLY_ONCE, /* nothing: records and position are committed together, by the target */
	DELIVERY_AT_LEAST_ONCE /* repeat records: the position is the catalogue's, written when they have arrived */
} SinkDelivery;

/* What a record says of a row that came, or of a change. */
typedef enum SinkEnvelope
{
	ENVELOPE_NONE,
	ENVELOPE_DEBEZIUM /* before, after, operation: envelope.h */
} SinkEnvelope;

typedef struct Sink Sink;

/* What is read for a topic's records: of the view's columns those that it has, by their names. */
typedef struct SinkColumns
{
	char *list;			 /* a select list over the materialised table's columns */
	AttrNumber *attnums; /* the topic's columns; 0: the last one is the record's key, as text */
	int n;
	bool has_key; /* records have a key */
} SinkColumns;

/*
 * A kind of place that sinks send to, and a way of sending. What is opened belongs to the session (CurrentMemoryContext of open). An error that is raised ends the
 * session; the next one asks the place how far the sink is.
 */
typedef struct SinkTarget
{
	/* In a transaction. Raises errors for wrong options; doesn't wait. */
	void (*open)(Sink *sink);

	/* Is the place there? If not, *error says why. Waits for some seconds at most. */
	bool (*is_there)(Sink *sink, char **error, bool *missing);

	/*
	 * Ends what an earlier session has left, and reads the position that is committed: *found is false if there is none. False,
	 * with *error, if the place doesn't answer. In a transaction. NULL: the place keeps no position, and what is put may be
	 * seen before commit, or without it.
	 */
	bool (*read_position)(Sink *sink, SinkPosition *position, bool *found, char **error);

	/* What is put between begin and commit is seen at once, and only together with the position. */
	void (*begin)(Sink *sink);
	void (*put)(Sink *sink, FeedOp op, TupleTableSlot *slot);
	/* Counts the records in position->records first. */
	void (*commit)(Sink *sink, SinkPosition *position);
} SinkTarget;

extern const SinkTarget kafka_sink;				  /* exactly once */
extern const SinkTarget kafka_sink_at_least_once; /* for brokers without transactions */

struct Sink
{
	int32 id;
	/* the catalogue's row, as read by sink_load */
	Oid view;
	Oid mat; /* the materialised part that it began with */
	Oid topic;
	Oid role; /* whose rights it has */
	char view_name[NAMEDATALEN];
	char topic_name[NAMEDATALEN];
	SinkMode mode;
	SinkCorrections corrections;
	SinkDelivery delivery;
	SinkEnvelope envelope;
	List *
		key; /* names of the view's columns that are the record's key; NIL: the topic's table says */
	bool position_lost; /* go on from the catalogue's position if the place has none */
	SinkPosition position;
	Ticks announced; /* rows up to there may have been sent, whatever the position says */

	SinkColumns columns;
	Feed feed;
	int64 present_to;		  /* as in feed */
	Ticks announced_before;	  /* this session */
	int64 portion_rows;		  /* how many are sent at once */
	int64 trimmed_to;		  /* logged changes up to there are deleted, unless others need them */
	TimestampTz committed_at; /* when the target did it last, in this session */
	char *complete; /* event time: all final rows up to there were committed before; NULL: none */
	const SinkTarget *target;
	void *state;			   /* the target's own */
	MemoryContext context;	   /* of the session */
	MemoryContext row_context; /* of a row */
};

/* ---- sink_catalog.c: each in a transaction of its own ---- */

/* Reads the sink; false when it's gone or paused. */
extern bool sink_load(Sink *sink);

/* Writes how far it is; caught_up: there's no more now. False when it's gone or paused. */
extern bool sink_save(Sink *sink, bool caught_up);

/* Writes that rows up to the view's frontier may be sent from now on; it is flushed with what is read next. */
extern void sink_announce(Sink *sink);

extern void sink_record_error(int32 id, const char *message);

/* ---- sink.c ---- */

/* Raises an error for a column that the view doesn't have. key: names of the view's columns, or NIL. */
extern SinkColumns sink_columns(Oid view, Oid topic, List *key);

/* What the catalogue, and users, call them; errors for other words. key: a name[], as a list of C strings. */
extern SinkMode sink_mode(const char *word);
extern SinkCorrections sink_corrections(const char *word);
extern SinkDelivery sink_delivery(const char *word);
extern SinkEnvelope sink_envelope(const char *word);
extern List *sink_key(Datum key);

/* The view's columns that are its keys, as a name[]; false if one is not among them, or several rows have a key. */
extern bool sink_key_of_view(Oid view, const Keyed *keyed, Datum *key);

/* Has the sink's role the rights that it needs? Raises an error if not. */
extern void sink_check_rights(Oid view, Oid topic, Oid role);

/* Opens the sink's feed. Needs a snapshot. */
extern void sink_open_feed(Sink *sink);

/* Opens the target, in the session's context. */
extern void sink_open(Sink *sink);

/*
 * Takes over the position that the target has, or decides on one. False, with *error, if the target doesn't answer.
 */
extern bool sink_find_position(Sink *sink, char **error);

typedef struct SinkProgress
{
	int64 records;
	bool more; /* there's more now */
} SinkProgress;

/* Sends a portion of what has changed, and commits it. */
extern SinkProgress sink_send(Sink *sink);

#endif
