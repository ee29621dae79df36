/*
 * event_time.h: event times of four types as one: int64 "ticks".
 *
 * timestamp, timestamptz: microseconds since 2000-01-01; date: days since then; bigint: itself.
 * The least int64 stands for "before everything" (-infinity) and is no event time; nor is the greatest.
 */
#ifndef TIDEMARK_EVENT_TIME_H
#define TIDEMARK_EVENT_TIME_H

#include "datatype/timestamp.h"

typedef int64 Ticks;

#define TICKS_MIN PG_INT64_MIN /* before every event time */
#define TICKS_MAX PG_INT64_MAX /* after every event time */

/* Can a column of this type be an event time? */
extern bool event_time_type_ok(Oid type);

/*
 * The ticks of a value; null and infinite values are the caller's to refuse first: infinite ones
 * come back as TICKS_MIN or TICKS_MAX, as do the extremes of bigint.
 */
extern Ticks event_time_ticks(Oid type, Datum value);

/* The value for ticks; TICKS_MIN gives -infinity (for bigint the least bigint). */
extern Datum event_time_datum(Oid type, Ticks ticks);

/* As text, for views and messages; null for TICKS_MIN. palloc'd. */
extern char *event_time_text(Oid type, Ticks ticks);

/*
 * A duration given as text ('15 seconds', or '1000' for bigint) as ticks. Refuses months (no fixed
 * length) and negative ones; for date rounds up to whole days. what names it in errors: "allowed_delay".
 */
extern int64 event_time_duration(Oid type, const char *text, const char *what);

/* The fixed length of an interval in microseconds; false: it has months, or is longer than can be said. */
extern bool interval_length(const Interval *interval, int64 *length);

/* a - b and a + b that stop at the extremes; the extremes themselves stay. b may be negative. */
extern Ticks ticks_minus(Ticks a, int64 b);
extern Ticks ticks_plus(Ticks a, int64 b);

/* For qsort. */
extern int ticks_compare(const void *a, const void *b);

/*
 * Lookback: how far before an output row's event time the input rows lie that it depends on. An
 * Interval without negative fields; for bigint streams .time holds the number and the rest is 0. The greatest .time:
 * without a bound. A distance ahead is measured likewise.
 */
typedef Interval Lookback;

extern const Lookback unbounded_lookback;
extern bool lookback_is_unbounded(const Lookback *lookback);

/* Makes it longer by another. */
extern void lookback_add(Lookback *lookback, const Lookback *by);

/* An upper bound for its length in ticks. */
extern int64 lookback_ticks(Oid type, const Lookback *lookback);

/* A lower bound for the event times on which output rows after `t` depend; TICKS_MIN without a bound. */
extern Ticks lookback_before(Oid type, Ticks t, const Lookback *lookback);

/* An upper bound for the event times of output rows that depend on an input row at `t`. */
extern Ticks lookback_after(Oid type, Ticks t, const Lookback *lookback);

#endif
