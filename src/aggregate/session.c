/*
 * session.c: the window function tidemark.session: where a row's session began.
 *
 *     session(t, '30 min') OVER (PARTITION BY k ORDER BY t)
 *
 *     t        9:00   9:10   9:25   10:00   10:20
 *     result   9:00   9:00   9:00   10:00   10:00
 *
 * A row begins a session if it comes more than the gap after the row before it, or is the first. So what one needs to know of the rows
 * before is two event times, and rows of equal event time have the same result: it is the same as a PostgreSQL window function and as a method
 * of sliding.h. The frame doesn't matter. A row without event time is in no session.
 *
 * Views that group by sessions keep those that there were, and go on from them: to tidemark.joined_session, what comes lasts from one event
 * time to another, as sessions do, or rows of which both are the same.
 */
#include "tidemark.h"

#include "libpq/pqformat.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "aggregate/sliding_method.h"
#include "aggregate/window_arguments.h"
#include "stream/event_time.h"

#define NAME "session"

/* The newest session of a partition; empty if all is zero. */
typedef struct Session
{
	bool begun;
	Ticks start;
	Ticks last; /* its newest row */
} Session;

/* How long a gap is within a session at most, in ticks. Returns what is wrong with it, and may set the hint; NULL: nothing is. */
static char *
read_gap(Oid time_type, Datum gap, int64 *ticks, char **hint)
{
	if (time_type == INT8OID)
		*ticks = DatumGetInt64(gap);
	else if (DatumGetIntervalP(gap)->month != 0)
	{
		*hint = "A month has no fixed length; say it in days.";
		return "the gap of a session must not contain months or years";
	}
	else if (!interval_length(DatumGetIntervalP(gap), ticks))
		return "the gap of a session is too long";
	if (*ticks < 0)
		return "the gap of a session must not be negative";
	if (time_type == DATEOID)
		*ticks /= USECS_PER_DAY;
	return NULL;
}

char *
session_fault(Oid time_type, Datum gap, char **hint)
{
	int64 ticks;

	*hint = NULL;
	return read_gap(time_type, gap, &ticks, hint);
}

bool
session_gap(Oid time_type, Datum gap, int64 *ticks)
{
	char *hint;

	return read_gap(time_type, gap, ticks, &hint) == NULL;
}

static int64
gap_ticks(Oid time_type, Datum gap)
{
	char *hint = NULL;
	int64 ticks;
	char *fault = read_gap(time_type, gap, &ticks, &hint);

	if (fault)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", fault),
						hint ? errhint("%s", hint) : 0));
	return ticks;
}

/* The next event, which lasts from begin to end; returns where its session begins. */
static Ticks
next_event(Session *session, Ticks begin, Ticks end, int64 gap)
{
	if (!session->begun || begin > ticks_plus(session->last, gap))
	{
		session->start = begin;
		session->last = end;
	}
	session->begun = true;
	session->last = Max(session->last, end);
	return session->start;
}

/* The next row. */
static Ticks
next_row(Session *session, Ticks time, int64 gap)
{
	return next_event(session, time, time, gap);
}

/* ---------- as a window function ---------- */

PG_FUNCTION_INFO_V1(tidemark_session);

/* session(event time, gap) */
Datum
tidemark_session(PG_FUNCTION_ARGS)
{
	WindowObject window = PG_WINDOW_OBJECT();
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Datum values[2];
	Session *session;

	if (!window_arguments(window, NAME, lengthof(values), values))
		PG_RETURN_NULL();
	session = WinGetPartitionLocalMemory(window, sizeof(Session));
	PG_RETURN_DATUM(event_time_datum(
		type, next_row(session, event_time_ticks(type, values[0]), gap_ticks(type, values[1]))));
}

PG_FUNCTION_INFO_V1(tidemark_joined_session);

/* joined_session(where an event begins, gap in ticks, where it ends): the events come by where they begin */
Datum
tidemark_joined_session(PG_FUNCTION_ARGS)
{
	WindowObject window = PG_WINDOW_OBJECT();
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Datum values[3];
	bool known = window_arguments(window, "joined_session", lengthof(values), values);
	Session *session;

	if (!event_time_type_ok(type))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("tidemark.joined_session is for plans of continuous views")));
	if (!known)
		PG_RETURN_NULL();
	session = WinGetPartitionLocalMemory(window, sizeof(Session));
	PG_RETURN_DATUM(event_time_datum(type, next_event(session, event_time_ticks(type, values[0]),
													  event_time_ticks(type, values[2]),
													  DatumGetInt64(values[1]))));
}

/* ---------- as a method ---------- */

typedef struct SessionState
{
	Session session;
	Ticks result; /* for the newest row */
	bool isnull;
} SessionState;

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	return MemoryContextAllocZero(context, sizeof(SessionState));
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	pfree(state);
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	SessionState *self = state;
	Oid type = aggregate->argument_types[0];

	self->isnull = args[0].isnull || args[1].isnull;
	if (!self->isnull)
		self->result = next_row(&self->session, event_time_ticks(type, args[0].value),
								gap_ticks(type, args[1].value));
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	elog(ERROR, "a row leaves what knows sessions");
}

static Datum
result(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	SessionState *self = state;

	*isnull = self->isnull;
	return *isnull ? (Datum) 0 : event_time_datum(aggregate->argument_types[0], self->result);
}

static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	Session *session = &((SessionState *) state)->session;

	pq_sendbyte(buf, session->begun);
	pq_sendint64(buf, session->start);
	pq_sendint64(buf, session->last);
	return true;
}

static void
load(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	Session *session = &((SessionState *) state)->session;

	session->begun = pq_getmsgbyte(buf) != 0;
	session->start = pq_getmsgint64(buf);
	session->last = pq_getmsgint64(buf);
}

static const SlidingMethod method = {
	NAME, 'w', false, false, create, destroy, add, evict, result, save, load,
};

bool
sliding_is_session(Oid function)
{
	const char *name = sliding_own_name(function);

	return name && strcmp(name, NAME) == 0;
}

SlidingAggregate *
session_prepare(const SlidingAggregate *call)
{
	return sliding_is_session(call->function) ? sliding_make_plain(call, &method) : NULL;
}
