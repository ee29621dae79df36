/*
 * sliding.c: chooses the method of an aggregate over a moving window, and calls it.
 *
 * What every method promises:
 * - the result is the one that PostgreSQL's aggregate gives over the window's rows from scratch,
 *   bit for bit and with the same display scale; float sums are the exact ones. So it can't matter
 *   to a view which part of it was computed how;
 * - errors are raised where the result is out of range, as the aggregate itself does, and never
 *   because of what passed through the window and left;
 * - nothing grows with the number of rows that ever passed.
 *
 *     method           for                                     a state holds
 *     counts           count, bool_and, bit_or, ...            a count, or one for each bit
 *     integer sum      sum, avg of integers and money          128 bits and a count
 *     exact sum        sum, avg of floats                      an ExactSum
 *     exact statistics variance, corr, regr_slope, ... of floats  an ExactStatistics
 *     decimal sum      sum, avg, variance, stddev of numerics  decimal digits, counts of scales
 *     interval sum     sum, avg of intervals                   three integers and a count
 *     monotone deque   min, max of any type                    what may still become the result
 *     distinct values  tidemark.count_distinct                 the values, each with a count
 *     last value       last_value                              the newest row
 *     queue            first_value, nth_value                  the rows
 *     two stacks       what has a combine function             a state for each row
 *     recompute        every other aggregate                   the rows; O(rows) a result
 *     running fold     the last two, if the window only grows  the aggregate's own state
 *     row number, rank row_number, rank, dense_rank            a count, and what the newest peers have
 *     session          tidemark.session                        two event times
 *     last rows        lag                                     the rows that it reaches
 *     first by order   tidemark.first, last, that grow         the arguments of one row
 *
 * Any of them for aggregates over a frame in ROWS or GROUPS: besides, the frame's rows (counted_frame.c).
 *
 * A saved state starts with the tag of its method.
 */
#include "tidemark.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "libpq/pqformat.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/expandeddatum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "aggregate/sliding_method.h"

typedef SlidingAggregate *(*PrepareMethod)(const SlidingAggregate *call);

/* In order of preference. */
static const PrepareMethod methods[] = {
	sliding_counts_prepare,
	sliding_integers_prepare,
	sliding_floats_prepare,
	sliding_statistics_prepare,
	sliding_numerics_prepare,
	sliding_intervals_prepare,
	sliding_values_prepare,
	count_distinct_prepare,
	monotone_deque_prepare,
	row_numbers_prepare,
	lag_prepare,
	session_prepare,
	first_by_order_prepare,
};

/* ---------- the choice ---------- */

/* Raises an error unless the function takes such arguments and gives such a result. */
static void
check_types(const SlidingAggregate *call)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->function));
	Oid declared[FUNC_MAX_ARGS];
	Form_pg_proc form;
	bool fits;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("function with OID %u does not exist", call->function)));
	form = (Form_pg_proc) GETSTRUCT(tuple);
	fits = call->nargs == form->pronargs && call->nargs <= FUNC_MAX_ARGS;
	if (first_by_order_fits(call))
		fits = true;
	else if (sliding_wants_order(call->function))
		fits = call->result_type == form->prorettype;
	else if (fits)
	{
		Oid result;

		/* Names the arguments and raises its own error if polymorphic ones don't go together. */
		memcpy(declared, form->proargtypes.values, call->nargs * sizeof(Oid));
		result = enforce_generic_type_consistency(call->argument_types, declared, call->nargs,
												  form->prorettype, false);
		for (int i = 0; i < call->nargs; i++)
			fits = fits && (declared[i] == ANYOID ||
							IsBinaryCoercible(call->argument_types[i], declared[i]));
		fits = fits && result == call->result_type;
	}
	ReleaseSysCache(tuple);
	if (!fits)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("%s does not take these arguments, or gives another type",
							   format_procedure(call->function))));
}

/* call.argument_types is the caller's. */
static SlidingAggregate *
prepare(const SlidingAggregate *call, const char **why)
{
	SlidingAggregate *aggregate;

	check_types(call);
	for (int i = 0; i < lengthof(methods); i++)
	{
		aggregate = methods[i](call);
		if (aggregate)
			return aggregate;
	}
	if (call->growing)
		return running_fold_prepare(call, why);
	aggregate = two_stacks_prepare(call);
	return aggregate ? aggregate : sliding_recompute_prepare(call, why);
}

SlidingAggregate *
sliding_prepare(Oid function, Oid collation, int nargs, const Oid *argument_types, Oid result_type,
				const char **why)
{
	SlidingAggregate call = {
		NULL, function, collation, result_type, nargs, unconstify(Oid *, argument_types), false};

	return prepare(&call, why);
}

SlidingAggregate *
sliding_prepare_growing(Oid function, Oid collation, int nargs, const Oid *argument_types,
						Oid result_type, const char **why)
{
	SlidingAggregate call = {
		NULL, function, collation, result_type, nargs, unconstify(Oid *, argument_types), true};

	return prepare(&call, why);
}

/* A frame from the start to the current row is one that grows, and holds nothing. */
SlidingAggregate *
sliding_prepare_counted(Oid function, Oid collation, int nargs, const Oid *argument_types,
						Oid result_type, const SlidingBounds *bounds, const char **why)
{
	bool growing = bounds->first == SLIDING_FROM_START;
	SlidingAggregate call = {
		NULL, function, collation, result_type, nargs, unconstify(Oid *, argument_types), growing};
	SlidingAggregate *inner = (growing ? sliding_prepare_growing : sliding_prepare)(
		function, collation, nargs - bounds->order, argument_types + bounds->order, result_type,
		why);

	if (inner == NULL || (growing && bounds->last == 0 && bounds->order == 0))
		return inner;
	return counted_frame_prepare(&call, inner, bounds);
}

SlidingAggregate *
sliding_make(const SlidingAggregate *call, Size size, const SlidingMethod *method)
{
	SlidingAggregate *aggregate = palloc0(size);

	*aggregate = *call;
	aggregate->method = method;
	aggregate->argument_types = palloc(sizeof(Oid) * Max(call->nargs, 1));
	memcpy(aggregate->argument_types, call->argument_types, sizeof(Oid) * call->nargs);
	return aggregate;
}

const char *
sliding_own_name(Oid function)
{
	Oid schema = get_func_namespace(function);

	if (!OidIsValid(schema) || schema != get_namespace_oid(TIDEMARK_SCHEMA, true) ||
		getExtensionOfObject(ProcedureRelationId, function) != get_extension_oid("tidemark", true))
		return NULL;
	return get_func_name(function);
}

/* ---------- the calls ---------- */

const char *
sliding_method(const SlidingAggregate *aggregate)
{
	return aggregate->method->name;
}

Oid
sliding_function(const SlidingAggregate *aggregate)
{
	return aggregate->function;
}

bool
sliding_beats_stock(const SlidingAggregate *aggregate)
{
	return aggregate->method->beats_stock;
}

bool
sliding_holds_rows(const SlidingAggregate *aggregate)
{
	return aggregate->method->holds_rows;
}

void *
sliding_new(SlidingAggregate *aggregate, MemoryContext context)
{
	return aggregate->method->create(aggregate, context);
}

void
sliding_free(SlidingAggregate *aggregate, void *state)
{
	aggregate->method->destroy(aggregate, state);
}

void
sliding_add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	aggregate->method->add(aggregate, state, args);
}

void
sliding_pass(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	if (aggregate->method->pass)
		aggregate->method->pass(aggregate, state, args);
}

void
sliding_evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	aggregate->method->evict(aggregate, state, args);
}

Datum
sliding_result(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	*isnull = false;
	return aggregate->method->result(aggregate, state, isnull);
}

bool
sliding_can_save(const SlidingAggregate *aggregate)
{
	return aggregate->method->save != NULL;
}

bytea *
sliding_save(SlidingAggregate *aggregate, void *state)
{
	StringInfoData buf;

	if (!sliding_can_save(aggregate))
		return NULL;
	pq_begintypsend(&buf);
	pq_sendbyte(&buf, aggregate->method->tag);
	if (!aggregate->method->save(aggregate, state, &buf) || buf.len > SLIDING_SAVE_LIMIT)
	{
		pfree(buf.data);
		return NULL;
	}
	return pq_endtypsend(&buf);
}

void *
sliding_load(SlidingAggregate *aggregate, const bytea *bytes, MemoryContext context)
{
	StringInfoData buf;
	void *state;

	if (!sliding_can_save(aggregate))
		sliding_bad_bytes();
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	if (pq_getmsgbyte(&buf) != aggregate->method->tag)
		sliding_bad_bytes();
	state = aggregate->method->create(aggregate, context);
	aggregate->method->load(aggregate, state, &buf);
	pq_getmsgend(&buf);
	pfree(buf.data);
	return state;
}

void
sliding_bad_bytes(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("invalid representation of a window's state")));
}

/* ---------- values that states keep ---------- */

void
kept_type_init(KeptType *type, Oid oid)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(oid));
	Form_pg_type form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", oid);
	form = (Form_pg_type) GETSTRUCT(tuple);
	type->type = oid;
	type->length = form->typlen;
	type->by_value = form->typbyval;
	type->send = type->by_value ? InvalidOid : form->typsend;
	type->receive = type->by_value ? InvalidOid : form->typreceive;
	type->ioparam = getTypeIOParam(tuple);
	ReleaseSysCache(tuple);

	type->can_save = type->by_value || (OidIsValid(type->send) && OidIsValid(type->receive));
	if (OidIsValid(type->send))
		fmgr_info(type->send, &type->send_function);
	if (OidIsValid(type->receive))
		fmgr_info(type->receive, &type->receive_function);
}

Datum
kept_value_copy(const KeptType *type, Datum value, MemoryContext context)
{
	MemoryContext old;
	Datum copy;

	if (type->by_value)
		return value;
	old = MemoryContextSwitchTo(context);
	if (type->length == -1 && VARATT_IS_EXTENDED(DatumGetPointer(value)) &&
		!VARATT_IS_SHORT(DatumGetPointer(value)))
		copy = PointerGetDatum(PG_DETOAST_DATUM_COPY(value)); /* also what is expanded */
	else
		copy = datumCopy(value, false, type->length);
	MemoryContextSwitchTo(old);
	return copy;
}

/* Values that are held by value are written as they are, the others as the type sends them. */
void
kept_value_write(KeptType *type, Datum value, StringInfo buf)
{
	bytea *sent;

	if (type->by_value)
	{
		pq_sendint64(buf, (int64) value);
		return;
	}
	sent = SendFunctionCall(&type->send_function, value);
	pq_sendint32(buf, VARSIZE_ANY_EXHDR(sent));
	pq_sendbytes(buf, VARDATA_ANY(sent), VARSIZE_ANY_EXHDR(sent));
	pfree(sent);
}

Datum
kept_value_read(KeptType *type, StringInfo buf, MemoryContext context)
{
	MemoryContext old;
	StringInfoData sent;
	Datum value;
	int length;

	if (type->by_value)
		return (Datum) pq_getmsgint64(buf);

	length = pq_getmsgint(buf, 4);
	if (length < 0 || length > buf->len - buf->cursor)
		sliding_bad_bytes();
	initStringInfo(&sent);
	appendBinaryStringInfo(&sent, pq_getmsgbytes(buf, length), length);
	old = MemoryContextSwitchTo(context);
	value = ReceiveFunctionCall(&type->receive_function, &sent, type->ioparam, -1);
	MemoryContextSwitchTo(old);
	if (sent.cursor != sent.len)
		sliding_bad_bytes();
	pfree(sent.data);
	return value;
}
