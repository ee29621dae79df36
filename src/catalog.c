/*
 * catalog.c: our tables, read and written in one place.
 *
 * What a planner asks of every relation (is it a stream? a continuous view?) is answered from
 * a cache in the session, which holds the "no" too. It is invalidated like the relation cache is: whoever
 * changes a row of tidemark.stream or tidemark.view also sends an invalidation for the relation it is
 * about (catalog_invalidate), and the entry goes when the message arrives. A relation's entry can't
 * be stale for a session that has locked the relation since.
 *
 * Frontiers are never cached: they are read with the snapshot of whoever asks.
 */
#include "tidemark.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "rewrite/rewriteSupport.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* Columns, in the order of tidemark--1.0.sql. */
enum stream_column
{
	Anum_stream_relid = 1,
	Anum_stream_attnum,
	Anum_stream_allowed_delay,
	Anum_stream_late_rows,
	Anum_stream_late_table,
	Anum_stream_idle_timeout,
	Anum_stream_max_ahead,
	Anum_stream_watermark,
	Anum_stream_greatest
};

enum view_column
{
	Anum_view_relid = 1,
	Anum_view_stream,
	Anum_view_mat,
	Anum_view_time_attnum,
	Anum_view_definition,
	Anum_view_lookahead,
	Anum_view_advance_on,
	Anum_view_states,
	Anum_view_last_error,
	Anum_view_last_error_at,
	Anum_view_method,
	Anum_view_reason,
	Anum_view_changes,
	Anum_view_dedup_for
};

enum frontier_column
{
	Anum_frontier_relid = 1,
	Anum_frontier_mat,
	Anum_frontier_frontier,
	Anum_frontier_rows,
	Anum_frontier_corrections,
	Anum_frontier_first,
	Anum_frontier_saved,
	Anum_frontier_late,
	Anum_frontier_logged_to
};

typedef struct CacheEntry
{
	Oid relid; /* hash key */
	bool valid;
	bool is_stream;
	bool is_view;
	Stream stream;
	ContinuousView view;
} CacheEntry;

static HTAB *cache = NULL;
static bool schema_known = false; /* is what catalog_schema() found still true? */

static void
forget_entry(Datum arg, Oid relid)
{
	CacheEntry *entry;
	HASH_SEQ_STATUS scan;

	if (OidIsValid(relid))
	{
		entry = hash_search(cache, &relid, HASH_FIND, NULL);
		if (entry)
			entry->valid = false;
		return;
	}
	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->valid = false;
}

static void
forget_schema(Datum arg, int cacheid, uint32 hashvalue)
{
	schema_known = false;
	if (cache)
		forget_entry((Datum) 0, InvalidOid);
}

/*
 * The schema of our tables, if it is ours: anybody may make a schema of that name, and tables in it, in
 * a database without the extension. CREATE and DROP EXTENSION change functions, which makes us look again.
 */
static Oid
catalog_schema(void)
{
	static bool registered = false;
	static Oid schema = InvalidOid;
	Oid table;

	if (schema_known)
		return schema;
	if (!registered)
	{
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_schema, (Datum) 0);
		CacheRegisterSyscacheCallback(PROCOID, forget_schema, (Datum) 0);
		registered = true;
	}
	schema_known =
		true; /* before the look: a message that arrives meanwhile makes it unknown again */
	schema = get_namespace_oid(TIDEMARK_SCHEMA, true);
	table = OidIsValid(schema) ? get_relname_relid("view", schema) : InvalidOid;
	if (OidIsValid(schema) &&
		(!OidIsValid(table) || !OidIsValid(get_extension_oid("tidemark", true)) ||
		 getExtensionOfObject(RelationRelationId, table) != get_extension_oid("tidemark", true)))
		schema = InvalidOid;
	return schema;
}

Oid
catalog_table(const char *name)
{
	Oid schema = catalog_schema();

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

Oid
catalog_owner(void)
{
	Oid table = catalog_table("view");

	if (!OidIsValid(table))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("extension \"tidemark\" is not installed in this database")));
	return relation_owner(table);
}

Oid
relation_owner(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

bool
view_is_security_invoker(Oid view)
{
	Relation rel = table_open(view, AccessShareLock);
	bool invoker = RelationHasSecurityInvoker(rel);

	table_close(rel, AccessShareLock);
	return invoker;
}

/*
 * The first row of a catalogue table with an OID in the given column, deformed; false if none. The
 * tables are small, and found by their primary key where they have many rows' versions.
 */
static bool
read_row(Oid table, Oid index, AttrNumber column, Oid key, Snapshot snapshot, Datum *values,
		 bool *nulls)
{
	Relation rel = table_open(table, AccessShareLock);
	ScanKeyData scankey;
	SysScanDesc scan;
	HeapTuple tuple;
	bool found;

	ScanKeyInit(&scankey, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(key));
	scan = systable_beginscan(rel, index, OidIsValid(index), snapshot, 1, &scankey);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
		heap_deform_tuple(heap_copytuple(tuple), RelationGetDescr(rel), values, nulls);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

static void
load_stream(CacheEntry *entry, Oid table)
{
	Datum values[MaxHeapAttributeNumber];
	bool nulls[MaxHeapAttributeNumber];
	Stream *stream = &entry->stream;

	if (!read_row(table, InvalidOid, Anum_stream_relid, entry->relid, NULL, values, nulls))
		return;
	stream->relid = entry->relid;
	stream->attnum = DatumGetInt16(values[Anum_stream_attnum - 1]);
	stream->time_type = get_atttype(entry->relid, stream->attnum);
	stream->allowed_delay = DatumGetInt64(values[Anum_stream_allowed_delay - 1]);
	stream->has_max_ahead = !nulls[Anum_stream_max_ahead - 1];
	if (stream->has_max_ahead)
		stream->max_ahead = *DatumGetIntervalP(values[Anum_stream_max_ahead - 1]);
	entry->is_stream = OidIsValid(stream->time_type);
}

static void
load_view(CacheEntry *entry, Oid table)
{
	Datum values[MaxHeapAttributeNumber];
	bool nulls[MaxHeapAttributeNumber];
	ContinuousView *view = &entry->view;

	if (!read_row(table, InvalidOid, Anum_view_relid, entry->relid, NULL, values, nulls))
		return;
	view->relid = entry->relid;
	view->stream = DatumGetObjectId(values[Anum_view_stream - 1]);
	view->mat = DatumGetObjectId(values[Anum_view_mat - 1]);
	view->time_attnum = DatumGetInt16(values[Anum_view_time_attnum - 1]);
	view->current = strcmp(TextDatumGetCString(values[Anum_view_definition - 1]),
						   view_fingerprint(entry->relid)) == 0;
	view->lookahead = DatumGetInt64(values[Anum_view_lookahead - 1]);
	view->on_arrival =
		strcmp(TextDatumGetCString(values[Anum_view_advance_on - 1]), ADVANCE_ON_ARRIVAL) == 0;
	if (!nulls[Anum_view_changes - 1])
		view->changes = DatumGetObjectId(values[Anum_view_changes - 1]);
	view->dedup_for =
		nulls[Anum_view_dedup_for - 1] ? 0 : DatumGetInt64(values[Anum_view_dedup_for - 1]);
	entry->is_view = true;
}

static CacheEntry *
lookup(Oid relid)
{
	CacheEntry *entry;
	bool found;
	Oid streams;
	Oid views;
	MemoryContext scratch;
	MemoryContext old;

	if (cache == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(CacheEntry)};

		cache = hash_create("tidemark relations", 64, &control, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(forget_entry, (Datum) 0);
	}
	entry = hash_search(cache, &relid, HASH_FIND, NULL);
	if (entry && entry->valid)
		return entry;

	streams = catalog_table("stream");
	views = catalog_table("view");
	entry = hash_search(cache, &relid, HASH_ENTER, &found);
	memset((char *) entry + sizeof(Oid), 0, sizeof(CacheEntry) - sizeof(Oid));

	/* valid before the look: a message that arrives meanwhile makes it invalid again */
	entry->valid = true;
	scratch = AllocSetContextCreate(CurrentMemoryContext, "tidemark lookup", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(scratch);
	PG_TRY();
	{
		if (OidIsValid(streams))
			load_stream(entry, streams);
		if (OidIsValid(views))
			load_view(entry, views);
	}
	PG_CATCH();
	{
		entry->valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return entry;
}

bool
stream_exists(Oid relid)
{
	return lookup(relid)->is_stream;
}

bool
stream_lookup(Oid relid, Stream *stream)
{
	CacheEntry *entry = lookup(relid);

	if (entry->is_stream)
		*stream = entry->stream;
	return entry->is_stream;
}

bool
view_lookup(Oid relid, ContinuousView *view)
{
	CacheEntry *entry = lookup(relid);

	if (entry->is_view)
		*view = entry->view;
	return entry->is_view;
}

/*
 * The first column of a table of the catalogue, for all rows or those that have `value` in the column
 * `of`; sorted.
 */
static List *
oids_of_rows(const char *name, AttrNumber of, Oid value)
{
	Oid table = catalog_table(name);
	List *oids = NIL;
	Relation rel;
	SysScanDesc scan;
	HeapTuple tuple;

	if (!OidIsValid(table))
		return NIL;
	rel = table_open(table, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		Datum first = heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull);

		if (of == InvalidAttrNumber ||
			DatumGetObjectId(heap_getattr(tuple, of, RelationGetDescr(rel), &isnull)) == value)
			oids = lappend_oid(oids, DatumGetObjectId(first));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(oids, list_oid_cmp);
	return oids;
}

void
view_require(Oid relid, ContinuousView *view)
{
	LockRelationOid(relid, AccessShareLock);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("view with OID %u does not exist", relid)));
	if (!view_lookup(relid, view))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("\"%s\" is not a continuous view", get_rel_name(relid)),
						errhint("tidemark.continuous_views lists them.")));
}

List *
views_of_stream(Oid stream)
{
	return oids_of_rows("view", Anum_view_stream, stream);
}

Watermark
stream_watermark(Oid stream, Snapshot snapshot)
{
	Watermark result = {TICKS_MIN, TICKS_MIN};
	Oid table = catalog_table("stream");
	Datum values[MaxHeapAttributeNumber];
	bool nulls[MaxHeapAttributeNumber];

	if (!OidIsValid(table) || !read_row(table, catalog_table("stream_pkey"), Anum_stream_relid,
										stream, snapshot, values, nulls))
		return result;
	if (!nulls[Anum_stream_watermark - 1])
		result.watermark = DatumGetInt64(values[Anum_stream_watermark - 1]);
	if (!nulls[Anum_stream_greatest - 1])
		result.greatest = DatumGetInt64(values[Anum_stream_greatest - 1]);
	return result;
}

List *
stream_tables(Oid stream, LOCKMODE lock)
{
	if (lock != NoLock)
		LockRelationOid(stream, lock);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(stream)))
		return NIL;
	return find_all_inheritors(stream, lock, NULL);
}

List *
all_streams(void)
{
	return oids_of_rows("stream", InvalidAttrNumber, InvalidOid);
}

List *
view_states(Oid view)
{
	Oid table = catalog_table("view");
	Datum values[MaxHeapAttributeNumber];
	bool nulls[MaxHeapAttributeNumber];
	List *states = NIL;
	Datum *elements;
	int n;

	if (!OidIsValid(table) ||
		!read_row(table, InvalidOid, Anum_view_relid, view, NULL, values, nulls))
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(values[Anum_view_states - 1]), REGCLASSOID, sizeof(Oid),
					  true, TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		states = lappend_oid(states, DatumGetObjectId(elements[i]));
	return states;
}

ViewMethod
view_method(Oid view)
{
	ViewMethod result = {"slices", NULL};
	Oid table = catalog_table("view");
	Datum values[MaxHeapAttributeNumber];
	bool nulls[MaxHeapAttributeNumber];

	if (!OidIsValid(table) ||
		!read_row(table, InvalidOid, Anum_view_relid, view, NULL, values, nulls))
		return result;
	result.method = TextDatumGetCString(values[Anum_view_method - 1]);
	if (!nulls[Anum_view_reason - 1])
		result.reason = TextDatumGetCString(values[Anum_view_reason - 1]);
	return result;
}

void
view_set_method(Oid view, ViewMethod method)
{
	Oid types[] = {OIDOID, TEXTOID, TEXTOID};
	Datum values[] = {ObjectIdGetDatum(view), CStringGetTextDatum(method.method),
					  method.reason ? CStringGetTextDatum(method.reason) : 0};
	char nulls[] = {' ', ' ', method.reason ? ' ' : 'n', '\0'};

	(void) catalog_execute("UPDATE tidemark.view SET method = $2, reason = $3 WHERE relid = $1 AND "
						   "(method <> $2 OR reason IS DISTINCT FROM $3)",
						   3, types, values, nulls);
}

Frontier
frontier_read(Oid view, Snapshot snapshot)
{
	Frontier result = {
		.frontier = TICKS_MIN, .first = TICKS_MIN, .saved = TICKS_MIN, .logged_to = TICKS_MIN};
	Oid table = catalog_table("frontier");
	Datum values[MaxHeapAttributeNumber];
	bool nulls[MaxHeapAttributeNumber];

	if (OidIsValid(table) && read_row(table, catalog_table("frontier_pkey"), Anum_frontier_relid,
									  view, snapshot, values, nulls))
	{
		result.found = true;
		result.mat = DatumGetObjectId(values[Anum_frontier_mat - 1]);
		result.frontier = DatumGetInt64(values[Anum_frontier_frontier - 1]);
		result.rows = DatumGetInt64(values[Anum_frontier_rows - 1]);
		result.corrections = DatumGetInt64(values[Anum_frontier_corrections - 1]);
		if (!nulls[Anum_frontier_first - 1])
			result.first = DatumGetInt64(values[Anum_frontier_first - 1]);
		if (!nulls[Anum_frontier_saved - 1])
			result.saved = DatumGetInt64(values[Anum_frontier_saved - 1]);
		result.logged_to = result.frontier;
		if (!nulls[Anum_frontier_logged_to - 1])
			result.logged_to =
				Max(result.frontier, DatumGetInt64(values[Anum_frontier_logged_to - 1]));
	}
	return result;
}

bool
stream_span(Oid stream, StreamSpan *span)
{
	ListCell *cell;

	span->first = TICKS_MIN;
	span->last = stream_watermark(stream, NULL).greatest;
	foreach (cell, views_of_stream(stream))
	{
		Frontier frontier = frontier_read(lfirst_oid(cell), NULL);

		if (frontier.first == TICKS_MIN)
			continue;
		/* all begin where the stream does */
		span->first = frontier.first;
		span->last = Max(span->last, frontier.frontier);
		break;
	}
	return span->first != TICKS_MIN && span->first < span->last;
}

int
frontier_late_times(Oid view, Snapshot snapshot, Ticks **times)
{
	Datum values[MaxHeapAttributeNumber];
	bool nulls[MaxHeapAttributeNumber];
	Datum *elements;
	int n;

	if (!read_row(catalog_table("frontier"), catalog_table("frontier_pkey"), Anum_frontier_relid,
				  view, snapshot, values, nulls) ||
		nulls[Anum_frontier_late - 1])
		return -1;
	deconstruct_array(DatumGetArrayTypeP(values[Anum_frontier_late - 1]), INT8OID, sizeof(int64),
					  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements, NULL, &n);
	*times = palloc(sizeof(Ticks) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*times)[i] = DatumGetInt64(elements[i]);
	return n;
}

char *
view_fingerprint(Oid view)
{
	HeapTuple tuple;
	Datum action;
	bool isnull;
	char *rule;

	tuple =
		SearchSysCache2(RULERELNAME, ObjectIdGetDatum(view), PointerGetDatum(ViewSelectRuleName));
	if (!HeapTupleIsValid(tuple))
		return "";
	action = SysCacheGetAttr(RULERELNAME, tuple, Anum_pg_rewrite_ev_action, &isnull);
	rule = TextDatumGetCString(action);
	ReleaseSysCache(tuple);
	return psprintf("%016llx", (unsigned long long) hash_bytes_extended((unsigned char *) rule,
																		strlen(rule), 0));
}

static RoleSession
become(Oid role, int sec_context)
{
	RoleSession session;

	GetUserIdAndSecContext(&session.userid, &session.sec_context);
	SetUserIdAndSecContext(role, session.sec_context | sec_context);
	session.guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return session;
}

RoleSession
role_begin(Oid role)
{
	return become(role, SECURITY_RESTRICTED_OPERATION);
}

void
role_end(RoleSession session)
{
	AtEOXact_GUC(false, session.guc_level);
	SetUserIdAndSecContext(session.userid, session.sec_context);
}

/*
 * DROP EXTENSION locks the extension, then its tables and what depends on them in an order of its own. A worker that held some of these and
 * wanted another would deadlock with it; so it locks the extension first, too. While it waits, the extension can be dropped and made anew.
 */
void
catalog_start_transaction(void)
{
	Oid locked = InvalidOid;
	Oid extension;

	StartTransactionCommand();
	while ((extension = get_extension_oid("tidemark", true)) != locked && OidIsValid(extension))
	{
		LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
		locked = extension;
	}
}

static MemoryContext transaction_caller;

void
catalog_begin_transaction(void)
{
	transaction_caller = CurrentMemoryContext;
	catalog_start_transaction();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
}

void
catalog_end_transaction(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(transaction_caller);
}

RoleSession
catalog_begin(void)
{
	RoleSession session = become(catalog_owner(), SECURITY_LOCAL_USERID_CHANGE);

	SPI_connect();
	return session;
}

void
catalog_end(RoleSession session)
{
	SPI_finish();
	role_end(session);
}

uint64
catalog_execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	RoleSession session = catalog_begin();
	int result = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);
	uint64 processed = SPI_processed;

	if (result < 0)
		elog(ERROR, "catalogue statement failed: %s: %s", SPI_result_code_string(result), sql);
	catalog_end(session);
	return processed;
}

void
catalog_invalidate(Oid relid)
{
	CacheInvalidateRelcacheByRelid(relid);
}
