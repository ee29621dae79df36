/*
 * feed.c: what has changed in a continuous view since a position.
 *
 * A position is (frontier sent, seq sent). In one snapshot, a consumer gets
 *
 *   1. the corrections with seq > seq sent of rows that he has: at event times <= frontier sent; those of later ones are
 *      in the materialised rows already,
 *   2. when these are all done, the materialised rows with event times in (frontier sent, F], F being the view's frontier,
 *
 * in portions that end with a transaction (1) or with an event time (2). So nothing is written
 * twice, a new consumer is at (before everything, 0), and what waits for him is in the view's own tables (view/change_log.c).
 *
 * Of views that keep rows by key, everything is in the log (view/keyed_log.c), and a consumer gets what is behind his seq in its order. The
 * rows that were there when he began are in it too, for him alone: others leave them out.
 *
 * Nothing leaves the server that a crash could take back: maintainer and ingestion commit asynchronously, so all that the
 * snapshot sees is flushed before it is read.
 *
 * The tables belong to the extension's owner and are read without a check of rights, after the caller has checked the consumer's
 * right on the view; what the select list calls (casts) runs with the consumer's.
 */
#include "tidemark.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/params.h"
#include "parser/analyze.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "view/change_log.h"
#include "view/keyed_log.h"

#include "sink/feed.h"

/* ---- flushing ------------------------------------------------------------------------------------ */

/*
 * Where the WAL ends. GetXLogInsertRecPtr says where the next record would be: at a page's beginning that is behind a header that
 * hasn't been written, and can't be flushed.
 */
static XLogRecPtr
end_of_wal(void)
{
	XLogRecPtr end = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD)
		return end - SizeOfXLogLongPHD;
	if (end % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		return end - SizeOfXLogShortPHD;
	return end;
}

/* What is visible was written before. */
static void
flush_what_is_visible(void)
{
	XLogRecPtr end = end_of_wal();

	if (GetFlushRecPtr(NULL) < end)
		XLogFlush(end);
}

/* ---- running a query over the view's tables ---------------------------------------------------------- */

/*
 * Whole units: the first row of the next one after max_rows ends the portion, and isn't received. The units are event times, or, of corrections,
 * the transactions that made them: a key's old and new row are in one portion.
 */
typedef struct Portion
{
	DestReceiver receiver; /* first */
	const Feed *feed;
	FeedReceiver receive;
	void *arg;
	int n_columns; /* of the select list; the event time or, of corrections, transaction, seq and op follow */
	bool corrections;
	int64 rows;
	int64 max_rows;
	bool ended; /* there is more */
	int64 unit; /* of the last row */
	int64 seq;	/* of the last correction */
} Portion;

/* What a row of the log says. */
static FeedOp
op_of(TupleTableSlot *slot, int n_columns)
{
	char op = DatumGetChar(slot->tts_values[n_columns + 2]);

	return op == CHANGE_PRESENT ? FEED_FINAL : (FeedOp) op;
}

static int64
unit_of(const Portion *portion, TupleTableSlot *slot)
{
	Datum value = slot->tts_values[portion->n_columns];

	if (!portion->corrections)
		return event_time_ticks(portion->feed->time_type, value);
	/* rows that change nothing are units of their own: transactions may have very many */
	return op_of(slot, portion->n_columns) == FEED_FINAL
			   ? -DatumGetInt64(slot->tts_values[portion->n_columns + 1])
			   : DatumGetInt64(value);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *receiver)
{
	Portion *portion = (Portion *) receiver;
	FeedOp op = FEED_FINAL;
	int64 unit;

	slot_getallattrs(slot);
	unit = unit_of(portion, slot);
	if (portion->rows >= portion->max_rows && unit != portion->unit)
	{
		portion->ended = true;
		return false;
	}
	portion->unit = unit;
	portion->rows++;
	if (portion->corrections)
	{
		portion->seq = DatumGetInt64(slot->tts_values[portion->n_columns + 1]);
		op = op_of(slot, portion->n_columns);
	}
	portion->receive(op, slot, portion->arg);
	return true;
}

static void
do_nothing_at_start(DestReceiver *receiver, int operation, TupleDesc type)
{
}

static void
do_nothing(DestReceiver *receiver)
{
}

static void
portion_init(Portion *portion, const Feed *feed, int64 max_rows, FeedReceiver receive, void *arg)
{
	*portion = (Portion){.feed = feed, .receive = receive, .arg = arg, .max_rows = max_rows};
	portion->receiver = (DestReceiver){.receiveSlot = receive_row,
									   .rStartup = do_nothing_at_start,
									   .rShutdown = do_nothing,
									   .rDestroy = do_nothing,
									   .mydest = DestNone};
	portion->n_columns = feed->desc ? feed->desc->natts : 0;
	portion->unit = TICKS_MIN;
}

/* The analysed query, which reads tables without any check of rights. */
static Query *
analyse(const char *sql, Oid *types, int n)
{
	RoleSession session = role_begin(catalog_owner());
	List *parsed = pg_parse_query(sql);
	Query *query = parse_analyze_fixedparams(linitial_node(RawStmt, parsed), sql, types, n, NULL);

	compat_unchecked(query);
	role_end(session);
	return query;
}

/* By the indexes, in their order: there are no statistics to count on. */
static void
force_index_scan(void)
{
	static const char *const off[] = {"enable_seqscan", "enable_bitmapscan", "enable_sort", "jit"};

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
								 0, false);
}

static ParamListInfo
parameters(int n, Oid *types, Datum *values)
{
	ParamListInfo params = makeParamList(n);

	for (int i = 0; i < n; i++)
		params->params[i] =
			(ParamExternData){.value = values[i], .pflags = PARAM_FLAG_CONST, .ptype = types[i]};
	return params;
}

static void
run_portion(Portion *portion, const char *sql, int n, Oid *types, Datum *values)
{
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "tidemark feed", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	Query *query = analyse(sql, types, n);
	ParamListInfo params = parameters(n, types, values);
	RoleSession session = role_begin(portion->feed->role);
	PlannedStmt *plan;
	QueryDesc *description;

	force_index_scan();
	plan = pg_plan_query(query, sql, 0, params);
	description = CreateQueryDesc(plan, sql, GetActiveSnapshot(), InvalidSnapshot,
								  &portion->receiver, params, NULL, 0);
	ExecutorStart(description, 0);
	compat_executor_run(description);
	ExecutorFinish(description);
	ExecutorEnd(description);
	FreeQueryDesc(description);
	role_end(session);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
}

/* The value of a query's one row and column; if_null. */
static int64
select_int8(const char *sql, int n, Oid *types, Datum *values, int64 if_null)
{
	RoleSession session = catalog_begin();
	bool isnull;
	Datum value;

	if (SPI_execute_with_args(sql, n, types, values, NULL, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "query failed: %s", sql);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		if_null = DatumGetInt64(value);
	catalog_end(session);
	return if_null;
}

/* ---- the feed ---------------------------------------------------------------------------------------- */

static char *
data_table(Oid table)
{
	return psprintf("%s.%s", TIDEMARK_DATA_SCHEMA, pstrdup(quote_identifier(get_rel_name(table))));
}

/* The last change that is logged; none: 0. */
static int64
last_seq(const ContinuousView *view)
{
	return select_int8(psprintf("SELECT max(seq) FROM %s", data_table(view->changes)), 0, NULL,
					   NULL, 0);
}

/* Of a log that is of rows; with those that are there now, if they are to be sent. Returns up to where these are. */
static int64
begin_with_rows(const ContinuousView *view, bool present)
{
	if (!present)
		return 0;
	keyed_log_present(view, keyed_log_of_view(view));
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
	return last_seq(view);
}

FeedPosition
feed_begin(Oid relid, const char *start_at, ContinuousView *view, int64 *present_to)
{
	bool beginning = strcmp(start_at, "beginning") == 0;
	FeedPosition position = {.frontier = TICKS_MIN};

	if (!beginning && strcmp(start_at, "now") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("start_at must be \"beginning\" or \"now\", not \"%s\"", start_at)));
	change_log_create(relid);
	(void) view_lookup(relid, view);
	*present_to = 0;
	/* nobody changes the view's rows before this transaction ends */
	PushActiveSnapshot(GetLatestSnapshot());
	position.seq = last_seq(view);
	if (!beginning)
		position.frontier = frontier_read(relid, GetActiveSnapshot()).frontier;
	if (change_log_is_of_rows(relid))
		*present_to = begin_with_rows(view, beginning);
	PopActiveSnapshot();
	return position;
}

void
feed_open(Feed *feed, Oid view, Oid mat, Oid role, const char *columns)
{
	Stream stream;
	Query *query;

	*feed = (Feed){.role = role, .columns = columns, .until = TICKS_MAX, .corrected_to = TICKS_MIN};
	view_require(view, &feed->view);
	if (feed->view.mat != mat || !OidIsValid(feed->view.changes))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("continuous view \"%s\" was made anew, with other rows",
							   get_rel_name(view)),
						errhint("tidemark.stop_sink ends this sink; tidemark.start_sink sends the "
								"view's rows from the beginning.")));
	if (!stream_lookup(feed->view.stream, &stream))
		elog(ERROR, "stream %u of view %u is not in the catalogue", feed->view.stream, view);
	feed->time_type = stream.time_type;
	feed->of_rows = change_log_is_of_rows(view);
	query = analyse(psprintf("SELECT %s FROM %s", columns,
							 data_table(feed->of_rows ? feed->view.changes : mat)),
					NULL, 0);
	feed->desc = ExecCleanTypeFromTL(query->targetList);
}

bool
feed_has_news(const Feed *feed, const FeedPosition *position, Ticks *frontier)
{
	Frontier now = frontier_read(feed->view.relid, GetActiveSnapshot());

	*frontier = now.frontier;
	return now.frontier > position->frontier || last_seq(&feed->view) > position->seq;
}

/* Step 1: true if there are more of them. */
static bool
read_corrections(const Feed *feed, FeedPosition *position, int64 max_rows, FeedReceiver receive,
				 void *arg, int64 *rows)
{
	Ticks sent = Max(position->frontier, feed->corrected_to);
	Oid types[] = {INT8OID, feed->time_type};
	Datum values[] = {Int64GetDatum(position->seq), event_time_datum(feed->time_type, sent)};
	int64 last = last_seq(&feed->view);
	Portion portion;

	portion_init(&portion, feed, max_rows, receive, arg);
	portion.corrections = true;
	if (last > position->seq && sent != TICKS_MIN)
		run_portion(&portion,
					psprintf("SELECT %s, written_by, seq, op FROM %s WHERE seq > $1 AND c%d <= $2 "
							 "ORDER BY seq",
							 feed->columns, data_table(feed->view.changes), feed->view.time_attnum),
					2, types, values);
	*rows = portion.rows;
	position->seq = portion.ended ? portion.seq : Max(last, position->seq);
	return portion.ended;
}

/* Step 2: true if there are more of them. */
static bool
read_final_rows(const Feed *feed, FeedPosition *position, int64 max_rows, FeedReceiver receive,
				void *arg)
{
	Ticks frontier =
		Min(frontier_read(feed->view.relid, GetActiveSnapshot()).frontier, feed->until);
	Oid types[] = {feed->time_type, feed->time_type};
	Datum values[] = {event_time_datum(feed->time_type, position->frontier),
					  event_time_datum(feed->time_type, frontier)};
	int time_attnum = feed->view.time_attnum;
	Portion portion;

	if (frontier <= position->frontier)
		return false;
	portion_init(&portion, feed, max_rows, receive, arg);
	run_portion(&portion,
				psprintf("SELECT %s, c%d FROM %s WHERE c%d > $1 AND c%d <= $2 ORDER BY c%d",
						 feed->columns, time_attnum, data_table(feed->view.mat), time_attnum,
						 time_attnum, time_attnum),
				2, types, values);
	position->frontier = portion.ended ? portion.unit : frontier;
	return portion.ended;
}

/* All, of a log that is of rows: true if there is more. */
static bool
read_log(const Feed *feed, FeedPosition *position, int64 max_rows, FeedReceiver receive, void *arg)
{
	Ticks frontier = frontier_read(feed->view.relid, GetActiveSnapshot()).frontier;
	Oid types[] = {INT8OID, INT8OID};
	Datum values[] = {Int64GetDatum(position->seq), Int64GetDatum(feed->present_to)};
	int64 last = last_seq(&feed->view);
	Portion portion;

	portion_init(&portion, feed, max_rows, receive, arg);
	portion.corrections = true;
	if (last > position->seq)
		run_portion(&portion,
					psprintf("SELECT %s, written_by, seq, op FROM %s WHERE seq > $1 AND "
							 "(op <> '%c' OR seq <= $2) ORDER BY seq",
							 feed->columns, data_table(feed->view.changes), CHANGE_PRESENT),
					2, types, values);
	position->seq = portion.ended ? portion.seq : Max(last, position->seq);
	if (!portion.ended)
		position->frontier = frontier;
	return portion.ended;
}

bool
feed_read(const Feed *feed, FeedPosition *position, int64 max_rows, FeedReceiver receive, void *arg)
{
	int64 rows;

	flush_what_is_visible();
	if (feed->of_rows)
		return read_log(feed, position, max_rows, receive, arg);
	if (read_corrections(feed, position, max_rows, receive, arg, &rows))
		return true;
	return read_final_rows(feed, position, Max(max_rows - rows, 1), receive, arg);
}

static int64
log_lag(const ContinuousView *view, const FeedPosition *position, int64 present_to)
{
	Oid types[] = {INT8OID, INT8OID};
	Datum values[] = {Int64GetDatum(position->seq), Int64GetDatum(present_to)};

	return select_int8(psprintf("SELECT count(*) FROM %s WHERE seq > $1 AND (op <> '%c' OR seq <= "
								"$2)",
								data_table(view->changes), CHANGE_PRESENT),
					   2, types, values, 0);
}

int64
feed_lag(const ContinuousView *view, const FeedPosition *position, int64 present_to)
{
	Stream stream;
	Oid types[] = {InvalidOid, INT8OID};
	Datum values[] = {0, Int64GetDatum(position->seq)};

	if (change_log_is_of_rows(view->relid))
		return log_lag(view, position, present_to);
	if (!stream_lookup(view->stream, &stream))
		return 0;
	types[0] = stream.time_type;
	values[0] = event_time_datum(stream.time_type, position->frontier);
	return select_int8(psprintf("SELECT (SELECT count(*) FROM %s WHERE c%d > $1) + "
								"(SELECT count(*) FROM %s WHERE c%d <= $1 AND seq > $2)",
								data_table(view->mat), view->time_attnum, data_table(view->changes),
								view->time_attnum),
					   2, types, values, 0);
}

void
feed_trim(const ContinuousView *view)
{
	Oid types[] = {OIDOID};
	Datum values[] = {ObjectIdGetDatum(view->relid)};

	(void) catalog_execute(psprintf("DELETE FROM %s WHERE seq <= (SELECT min(seq) FROM "
									"tidemark.sink WHERE view = $1)",
									data_table(view->changes)),
						   1, types, values, NULL);
}
