/*
 * time_spans.c: what a BRIN index on event time notes of a range of pages: up to four spans of event time.
 *
 *      event times of a range     ....            .                         ..  .......... ...... .....
 *      its spans                  |--|            |                         |-------------------------|
 *
 * Rows come about in the order of their event time, so that a range of pages has one span, and stragglers, which would widen it far, have spans
 * of their own. Spans are parted where the gaps between event times are largest. It's what PostgreSQL's minmax-multi classes do
 * for any type, at a price: they compare through function calls and sort what they have again and again, which was a third of what
 * it costs to keep rows by key, and what a scan of the index spent most of its time on. Here an event time is an integer; those of a
 * range are gathered and sorted once.
 *
 * The operator classes are for the four types of event time, with operators for the types that PostgreSQL compares them with.
 */
#include "tidemark.h"

#include "access/brin_internal.h"
#include "access/brin_tuple.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "stream/event_time.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#define MOST_SPANS 4

/* Event times that are gathered before they are put into spans: of 32 pages there are hardly more. */
#define MOST_TIMES 8192

typedef struct Span
{
	int64 first;
	int64 last;
} Span;

/* As it is stored: the spans in order, without room between them. */
typedef struct Spans
{
	int n;
	Span spans[MOST_SPANS];
} Spans;

/* As it is gathered. */
typedef struct Gathered
{
	Spans spans;
	int n;
	int size;
	int64 *times; /* in no order, and not in the spans yet */
} Gathered;

PG_FUNCTION_INFO_V1(tidemark_time_spans_info);
PG_FUNCTION_INFO_V1(tidemark_time_spans_add);
PG_FUNCTION_INFO_V1(tidemark_time_spans_match);
PG_FUNCTION_INFO_V1(tidemark_time_spans_union);

/* ---- spans ---------------------------------------------------------------------------------------- */

static int
compare_spans(const void *a, const void *b)
{
	int64 left = ((const Span *) a)->first;
	int64 right = ((const Span *) b)->first;

	return (left > right) - (left < right);
}

/* Sorted spans, n of them, without those that meet their neighbour. */
static int
join_meeting(Span *spans, int n)
{
	int kept = 0;

	for (int i = 1; i < n; i++)
	{
		if (spans[i].first <= spans[kept].last)
			spans[kept].last = Max(spans[kept].last, spans[i].last);
		else
			spans[++kept] = spans[i];
	}
	return n > 0 ? kept + 1 : 0;
}

/* The gap behind a span. Unsigned, since it may be longer than an int64 can say. */
static uint64
gap_behind(const Span *span)
{
	return (uint64) span[1].first - (uint64) span[0].last;
}

/* The least of the largest gaps that can stay: MOST_SPANS - 1 of n - 1. In *equal, how many gaps of just that size may. */
static uint64
least_gap(const Span *spans, int n, int *equal)
{
	uint64 largest[MOST_SPANS - 1] = {0}; /* descending */
	uint64 least;

	for (int i = 0; i < n - 1; i++)
	{
		uint64 gap = gap_behind(&spans[i]);

		for (int j = 0; j < MOST_SPANS - 1; j++)
			if (gap > largest[j])
			{
				uint64 smaller = largest[j];

				largest[j] = gap;
				gap = smaller;
			}
	}
	least = largest[MOST_SPANS - 2];
	*equal = 0;
	for (int j = 0; j < MOST_SPANS - 1; j++)
		*equal += largest[j] == least;
	return least;
}

/* Any number of spans as few: those with the smallest gaps between them become one. */
static Spans
spans_of(Span *spans, int n)
{
	Spans result = {.n = 0};
	uint64 least;
	int equal;

	qsort(spans, n, sizeof(Span), compare_spans);
	n = join_meeting(spans, n);
	least = least_gap(spans, n, &equal);
	for (int i = 0; i < n; i++)
	{
		bool apart = i == 0;

		if (i > 0 && n <= MOST_SPANS)
			apart = true;
		else if (i > 0 && gap_behind(&spans[i - 1]) >= least)
			apart = gap_behind(&spans[i - 1]) > least || equal-- > 0;
		if (apart)
			result.spans[result.n++] = spans[i];
		else
			result.spans[result.n - 1].last = spans[i].last;
	}
	return result;
}

static bool
is_within(const Spans *spans, int64 time)
{
	for (int i = 0; i < spans->n; i++)
		if (time <= spans->spans[i].last)
			return time >= spans->spans[i].first;
	return false;
}

/* ---- stored --------------------------------------------------------------------------------------- */

static Spans
spans_read(Datum datum)
{
	bytea *stored = DatumGetByteaPP(datum);
	Spans spans = {.n = VARSIZE_ANY_EXHDR(stored) / sizeof(Span)};

	if (spans.n < 1 || spans.n > MOST_SPANS || VARSIZE_ANY_EXHDR(stored) % sizeof(Span) != 0)
		ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
						errmsg("an entry of an index on event time is damaged"),
						errhint("REINDEX makes it anew.")));
	memcpy(spans.spans, VARDATA_ANY(stored), spans.n * sizeof(Span));
	return spans;
}

static Datum
spans_write(const Spans *spans)
{
	Size size = VARHDRSZ + spans->n * sizeof(Span);
	bytea *stored = palloc(size);

	SET_VARSIZE(stored, size);
	memcpy(VARDATA(stored), spans->spans, spans->n * sizeof(Span));
	return PointerGetDatum(stored);
}

/* ---- gathered ------------------------------------------------------------------------------------- */

static void
settle(Gathered *gathered)
{
	int n = gathered->spans.n;
	Span *all;

	if (gathered->n == 0)
		return;
	all = palloc((n + gathered->n) * sizeof(Span));
	memcpy(all, gathered->spans.spans, n * sizeof(Span));
	for (int i = 0; i < gathered->n; i++)
		all[n++] = (Span){gathered->times[i], gathered->times[i]};
	gathered->spans = spans_of(all, n);
	gathered->n = 0;
	pfree(all);
}

/* What BRIN calls before it stores the column. */
static void
serialize(BrinDesc *desc, Datum gathered, Datum *stored)
{
	Gathered *self = (Gathered *) DatumGetPointer(gathered);

	settle(self);
	*stored = spans_write(&self->spans);
}

/* What has been gathered of the column, which has a value. */
static Gathered *
gathered_of(BrinValues *column, bool is_first)
{
	Gathered *self = (Gathered *) DatumGetPointer(column->bv_mem_value);

	if (self && !is_first)
		return self;
	self = MemoryContextAllocZero(column->bv_context, sizeof(Gathered));
	if (!is_first)
		self->spans = spans_read(column->bv_values[0]);
	column->bv_mem_value = PointerGetDatum(self);
	column->bv_serialize = serialize;
	return self;
}

static void
gather(Gathered *self, int64 time, MemoryContext context)
{
	if (self->n == MOST_TIMES)
		settle(self);
	if (self->size == 0)
	{
		/* one row that comes into a range, or the first of a range's many */
		self->size = 8;
		self->times = MemoryContextAlloc(context, self->size * sizeof(int64));
	}
	else if (self->n == self->size)
	{
		self->size = Min(self->size * 8, MOST_TIMES);
		self->times = repalloc(self->times, self->size * sizeof(int64));
	}
	self->times[self->n++] = time;
}

/* ---- the class's functions ------------------------------------------------------------------------ */

/* One stored column of bytea; nulls are BRIN's business. */
Datum
tidemark_time_spans_info(PG_FUNCTION_ARGS)
{
	BrinOpcInfo *info = palloc0(MAXALIGN(SizeofBrinOpcInfo(1)));

	info->oi_nstored = 1;
	info->oi_regular_nulls = true;
	info->oi_typcache[0] = lookup_type_cache(BYTEAOID, 0);
	PG_RETURN_POINTER(info);
}

static Oid
column_type(const BrinDesc *desc, AttrNumber column)
{
	return TupleDescAttr(desc->bd_tupdesc, column - 1)->atttypid;
}

/* Adds a row's event time; true if the column has changed by it. */
Datum
tidemark_time_spans_add(PG_FUNCTION_ARGS)
{
	BrinDesc *desc = (BrinDesc *) PG_GETARG_POINTER(0);
	BrinValues *column = (BrinValues *) PG_GETARG_POINTER(1);
	int64 time = event_time_ticks(column_type(desc, column->bv_attno), PG_GETARG_DATUM(2));
	bool is_first = column->bv_allnulls;
	Gathered *self = gathered_of(column, is_first);

	column->bv_allnulls = false;
	if (!is_first && is_within(&self->spans, time))
		PG_RETURN_BOOL(false);
	gather(self, time, column->bv_context);
	PG_RETURN_BOOL(true);
}

/* ---- which ranges match --------------------------------------------------------------------------- */

/* A condition as integers, where it is on the column's own type. */
typedef struct Condition
{
	ScanKey key;
	bool is_plain;
	int64 time;
	FmgrInfo at_most; /* of an equality that isn't plain: <= and >= */
	FmgrInfo at_least;
} Condition;

static void
find_operator(const BrinDesc *desc, const ScanKeyData *key, StrategyNumber strategy,
			  FmgrInfo *function)
{
	Relation index = desc->bd_index;
	Oid operator_oid = get_opfamily_member(index->rd_opfamily[key->sk_attno - 1],
										   index->rd_opcintype[key->sk_attno - 1], key->sk_subtype,
										   strategy);

	if (!OidIsValid(operator_oid))
		elog(ERROR, "missing operator %d of type %u for an event time", strategy, key->sk_subtype);
	fmgr_info(get_opcode(operator_oid), function);
}

static void
prepare_condition(Condition *condition, const BrinDesc *desc, ScanKey key)
{
	Oid type = column_type(desc, key->sk_attno);

	condition->key = key;
	condition->is_plain = !OidIsValid(key->sk_subtype) || key->sk_subtype == type;
	if (condition->is_plain)
		condition->time = event_time_ticks(type, key->sk_argument);
	else if (key->sk_strategy == BTEqualStrategyNumber)
	{
		find_operator(desc, key, BTLessEqualStrategyNumber, &condition->at_most);
		find_operator(desc, key, BTGreaterEqualStrategyNumber, &condition->at_least);
	}
}

static bool
matches_plain(const Condition *condition, const Span *span)
{
	switch (condition->key->sk_strategy)
	{
		case BTLessStrategyNumber:
			return span->first < condition->time;
		case BTLessEqualStrategyNumber:
			return span->first <= condition->time;
		case BTEqualStrategyNumber:
			return span->first <= condition->time && condition->time <= span->last;
		case BTGreaterEqualStrategyNumber:
			return span->last >= condition->time;
		case BTGreaterStrategyNumber:
			return span->last > condition->time;
		default:
			elog(ERROR, "invalid strategy number %d", condition->key->sk_strategy);
	}
}

static bool
holds(FmgrInfo *function, Oid type, int64 time, Datum argument)
{
	return DatumGetBool(FunctionCall2(function, event_time_datum(type, time), argument));
}

/* The operator itself, on the span's nearer end. */
static bool
matches_other_type(Condition *condition, Oid type, const Span *span)
{
	ScanKey key = condition->key;

	switch (key->sk_strategy)
	{
		case BTLessStrategyNumber:
		case BTLessEqualStrategyNumber:
			return holds(&key->sk_func, type, span->first, key->sk_argument);
		case BTEqualStrategyNumber:
			return holds(&condition->at_most, type, span->first, key->sk_argument) &&
				   holds(&condition->at_least, type, span->last, key->sk_argument);
		default:
			return holds(&key->sk_func, type, span->last, key->sk_argument);
	}
}

static bool
matches_all(Condition *conditions, int n, Oid type, const Span *span)
{
	for (int i = 0; i < n; i++)
		if (!(conditions[i].is_plain ? matches_plain(&conditions[i], span)
									 : matches_other_type(&conditions[i], type, span)))
			return false;
	return true;
}

/* Can a row of the range meet all the conditions? One of its spans would have to. */
Datum
tidemark_time_spans_match(PG_FUNCTION_ARGS)
{
	BrinDesc *desc = (BrinDesc *) PG_GETARG_POINTER(0);
	BrinValues *column = (BrinValues *) PG_GETARG_POINTER(1);
	ScanKey *keys = (ScanKey *) PG_GETARG_POINTER(2);
	int nkeys = PG_GETARG_INT32(3);
	Spans spans = spans_read(column->bv_values[0]);
	Condition *conditions = palloc(nkeys * sizeof(Condition));
	bool matches = false;

	for (int i = 0; i < nkeys; i++)
		prepare_condition(&conditions[i], desc, keys[i]);
	for (int i = 0; i < spans.n && !matches; i++)
		matches =
			matches_all(conditions, nkeys, column_type(desc, column->bv_attno), &spans.spans[i]);
	pfree(conditions);
	PG_RETURN_BOOL(matches);
}

/* Adds what the second column has to the first one. Neither is null. */
Datum
tidemark_time_spans_union(PG_FUNCTION_ARGS)
{
	BrinValues *column = (BrinValues *) PG_GETARG_POINTER(1);
	BrinValues *other = (BrinValues *) PG_GETARG_POINTER(2);
	Gathered *self = gathered_of(column, false);
	Gathered *added = gathered_of(other, false);
	Span all[2 * MOST_SPANS];

	settle(self);
	settle(added);
	memcpy(all, self->spans.spans, sizeof(Span) * self->spans.n);
	memcpy(all + self->spans.n, added->spans.spans, sizeof(Span) * added->spans.n);
	self->spans = spans_of(all, self->spans.n + added->spans.n);
	PG_RETURN_VOID();
}
