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
 * A consumer who has received a portion and died before he could say so gets it again: by then, rows of it may have been changed or
 * have gone, which he would never be told. So there is another way to read, which gives the same each time (feed_replay). Final
 * rows come as they were at seq sent, which is as they became final: the present ones, with the logged changes since taken back.
 * Corrections come all, in order, each when the rows up to its event time have come:
 *
 *   1. the corrections with seq > seq sent, up to the first transaction that has one at an event time > frontier sent,
 *   2. the rows with event times in (frontier sent, F] as they were at seq sent; where the frontier had gone back, F is where it was.
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
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/params.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "storage/lmgr.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "view/change_log.h"
#include "view/keyed_log.h"
#include "view/slice.h"

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

void
feed_flush(void)
{
	XLogRecPtr end = end_of_wal(); /* what is visible was written before */

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
	bool ended;			   /* there is more */
	int64 unit;			   /* of the last row */
	int64 seq;			   /* of the last correction */
	FeedPosition complete; /* behind the last whole unit */
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

/* The last row was its unit's last. */
static void
end_unit(Portion *portion)
{
	if (portion->corrections)
		portion->complete.seq = portion->seq;
	else
		portion->complete.frontier = portion->unit;
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *receiver)
{
	Portion *portion = (Portion *) receiver;
	FeedOp op = FEED_FINAL;
	int64 unit;

	slot_getallattrs(slot);
	unit = unit_of(portion, slot);
	if (portion->rows > 0 && unit != portion->unit)
	{
		end_unit(portion);
		portion->ended = portion->rows >= portion->max_rows;
		if (portion->ended)
			return false;
	}
	portion->unit = unit;
	portion->rows++;
	if (portion->corrections)
	{
		portion->seq = DatumGetInt64(slot->tts_values[portion->n_columns + 1]);
		op = op_of(slot, portion->n_columns);
	}
	portion->receive(op, slot, &portion->complete, portion->arg);
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
portion_init(Portion *portion, const Feed *feed, const FeedPosition *position, int64 max_rows,
			 FeedReceiver receive, void *arg)
{
	*portion = (Portion){
		.feed = feed, .receive = receive, .arg = arg, .max_rows = max_rows, .complete = *position};
	portion->receiver = (DestReceiver){.receiveSlot = receive_row,
									   .rStartup = do_nothing_at_start,
									   .rShutdown = do_nothing,
									   .rDestroy = do_nothing,
									   .mydest = DestNone};
	portion->n_columns = feed->desc ? feed->desc->natts : 0;
	portion->unit = TICKS_MIN;
}

static bool
uncheck_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, uncheck_walker, context);
	compat_unchecked((Query *) node);
	return query_tree_walker((Query *) node, uncheck_walker, context, 0);
}

/* The analysed query, which reads tables without any check of rights. */
static Query *
analyse(const char *sql, Oid *types, int n)
{
	RoleSession session = role_begin(catalog_owner());
	List *parsed = pg_parse_query(sql);
	Query *query = parse_analyze_fixedparams(linitial_node(RawStmt, parsed), sql, types, n, NULL);

	(void) uncheck_walker((Node *) query, NULL);
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

static char *
data_table(Oid table)
{
	return psprintf("%s.%s", TIDEMARK_DATA_SCHEMA, pstrdup(quote_identifier(get_rel_name(table))));
}

int64
feed_last_change(const ContinuousView *view)
{
	return select_int8(psprintf("SELECT max(seq) FROM %s", data_table(view->changes)), 0, NULL,
					   NULL, 0);
}

/* ---- who has a feed -------------------------------------------------------------------------------- */

Keyed *
feed_lock_view(Oid relid, ContinuousView *view)
{
	Shape shape;
	Access access;

	LockRelationOid(relid, ShareUpdateExclusiveLock);
	view_require(relid, view);
	if (!change_log_is_of_rows(relid))
		return NULL;
	(void) slice_batch_query(relid, &shape, &access);
	shape_require(&shape, get_rel_name(relid));
	return shape.keyed;
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
	return feed_last_change(view);
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
	position.seq = feed_last_change(view);
	if (!beginning)
		position.frontier = frontier_read(relid, GetActiveSnapshot()).frontier;
	if (change_log_is_of_rows(relid))
		*present_to = begin_with_rows(view, beginning);
	PopActiveSnapshot();
	return position;
}

AttrNumber
feed_key_column(Oid view, const char *name)
{
	AttrNumber column = get_attnum(view, name);

	if (column == InvalidAttrNumber)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("view \"%s\" has no column \"%s\"", get_rel_name(view), name),
						errhint("The key is an array of the view's columns.")));
	return column;
}

void
feed_end(Oid view)
{
	Oid types[] = {REGCLASSOID};
	Datum values[] = {ObjectIdGetDatum(view)};
	RoleSession session = catalog_begin();
	bool readers;

	if (SPI_execute_with_args("SELECT FROM tidemark.sink WHERE view = $1 UNION ALL "
							  "SELECT FROM tidemark.subscription WHERE view = $1",
							  1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "reading tidemark.sink and tidemark.subscription failed");
	readers = SPI_processed > 0;
	catalog_end(session);
	if (!readers)
		change_log_drop(view);
}

void
feed_open(Feed *feed, Oid view, Oid mat, Oid role, const char *columns, const char *hint)
{
	Stream stream;
	Query *query;

	*feed = (Feed){.role = role, .columns = columns, .until = TICKS_MAX, .corrected_to = TICKS_MIN};
	view_require(view, &feed->view);
	if (feed->view.mat != mat || !OidIsValid(feed->view.changes))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("continuous view \"%s\" was made anew, with other rows",
							   get_rel_name(view)),
						errhint("%s", hint)));
	if (view_is_security_invoker(view))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("view \"%s\" is a security_invoker view", get_rel_name(view)),
						errdetail("What such a view shows depends on who reads it."),
						errhint("ALTER VIEW %s RESET (security_invoker)",
								quote_identifier(get_rel_name(view)))));
	if (!stream_lookup(feed->view.stream, &stream))
		elog(ERROR, "stream %u of view %u is not in the catalogue", feed->view.stream, view);
	feed->time_type = stream.time_type;
	feed->of_rows = change_log_is_of_rows(view);
	query = analyse(psprintf("SELECT %s FROM %s", columns,
							 data_table(feed->of_rows ? feed->view.changes : mat)),
					NULL, 0);
	feed->desc = ExecCleanTypeFromTL(query->targetList);
}

/* ---- the feed ---------------------------------------------------------------------------------------- */

bool
feed_has_news(const Feed *feed, const FeedPosition *position, Ticks *frontier)
{
	Frontier now = frontier_read(feed->view.relid, GetActiveSnapshot());

	*frontier = now.frontier;
	return now.frontier > position->frontier || feed_last_change(&feed->view) > position->seq;
}

/* Step 1: true if there are more of them. */
static bool
read_corrections(const Feed *feed, FeedPosition *position, int64 max_rows, FeedReceiver receive,
				 void *arg, int64 *rows)
{
	Ticks sent = Max(position->frontier, feed->corrected_to);
	Oid types[] = {INT8OID, feed->time_type};
	Datum values[] = {Int64GetDatum(position->seq), event_time_datum(feed->time_type, sent)};
	int64 last = feed_last_change(&feed->view);
	Portion portion;

	portion_init(&portion, feed, position, max_rows, receive, arg);
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
	portion_init(&portion, feed, position, max_rows, receive, arg);
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
	int64 last = feed_last_change(&feed->view);
	Portion portion;

	portion_init(&portion, feed, position, max_rows, receive, arg);
	portion.corrections = true;
	if (last > position->seq)
		run_portion(&portion,
					psprintf("SELECT %s, written_by, seq, op FROM %s WHERE seq > $1 AND "
							 "(op <> '%c' OR seq <= $2) ORDER BY seq",
							 feed->columns, data_table(feed->view.changes), CHANGE_PRESENT),
					2, types, values);
	position->seq = portion.ended ? portion.seq : Max(last, position->seq);
	if (!portion.ended)
		position->frontier = Max(frontier, position->frontier);
	return portion.ended;
}

bool
feed_read(const Feed *feed, FeedPosition *position, int64 max_rows, FeedReceiver receive, void *arg)
{
	int64 rows;

	feed_flush();
	if (feed->of_rows)
		return read_log(feed, position, max_rows, receive, arg);
	if (read_corrections(feed, position, max_rows, receive, arg, &rows))
		return true;
	return read_final_rows(feed, position, Max(max_rows - rows, 1), receive, arg);
}

/* ---- the same again ------------------------------------------------------------------------------------ */

/* The first correction that has to wait for final rows, or that is in a transaction with one; none: INT64_MAX. */
static int64
first_waiting(const Feed *feed, const FeedPosition *position)
{
	char *changes = data_table(feed->view.changes);
	Oid types[] = {INT8OID, feed->time_type};
	Datum values[] = {Int64GetDatum(position->seq),
					  event_time_datum(feed->time_type, position->frontier)};

	return select_int8(psprintf("SELECT min(seq) FROM %s WHERE seq > $1 AND written_by = (SELECT "
								"written_by FROM %s WHERE seq > $1 AND c%d > $2 ORDER BY seq LIMIT "
								"1)",
								changes, changes, feed->view.time_attnum),
					   2, types, values, PG_INT64_MAX);
}

/* Step 1, when all is replayed: true if max_rows end it. */
static bool
replay_corrections(const Feed *feed, FeedPosition *position, int64 before, int64 max_rows,
				   FeedReceiver receive, void *arg, int64 *rows)
{
	Oid types[] = {INT8OID, INT8OID};
	Datum values[] = {Int64GetDatum(position->seq), Int64GetDatum(before)};
	Portion portion;

	portion_init(&portion, feed, position, max_rows, receive, arg);
	portion.corrections = true;
	run_portion(&portion,
				psprintf("SELECT %s, written_by, seq, op FROM %s WHERE seq > $1 AND seq < $2 "
						 "ORDER BY seq",
						 feed->columns, data_table(feed->view.changes)),
				2, types, values);
	*rows = portion.rows;
	if (portion.rows > 0)
		position->seq = portion.ended ? portion.complete.seq : portion.seq;
	return portion.ended;
}

/* The event time of the row of that number behind the position, at most `to`. */
static Ticks
time_of_row(const Feed *feed, const FeedPosition *position, Ticks to, int64 number)
{
	char *sql = psprintf("SELECT c%d FROM %s WHERE c%d > $1 AND c%d <= $2 ORDER BY c%d OFFSET $3 "
						 "LIMIT 1",
						 feed->view.time_attnum, data_table(feed->view.mat), feed->view.time_attnum,
						 feed->view.time_attnum, feed->view.time_attnum);
	Oid types[] = {feed->time_type, feed->time_type, INT8OID};
	Datum values[] = {event_time_datum(feed->time_type, position->frontier),
					  event_time_datum(feed->time_type, to), Int64GetDatum(number - 1)};
	RoleSession session = catalog_begin();
	bool isnull;

	force_index_scan();
	if (SPI_execute_with_args(sql, 3, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "query failed: %s", sql);
	if (SPI_processed == 1)
		to = event_time_ticks(feed->time_type, SPI_getbinval(SPI_tuptable->vals[0],
															 SPI_tuptable->tupdesc, 1, &isnull));
	catalog_end(session);
	return to;
}

/* Step 2, when there are corrections of its rows: these rows as they were before. True if there are more of them. */
static bool
replay_final_rows(const Feed *feed, FeedPosition *position, Ticks frontier, int64 max_rows,
				  FeedReceiver receive, void *arg)
{
	int t = feed->view.time_attnum;
	Ticks to = time_of_row(feed, position, frontier, max_rows);
	Oid types[] = {feed->time_type, feed->time_type, INT8OID};
	Datum values[] = {event_time_datum(feed->time_type, position->frontier),
					  event_time_datum(feed->time_type, to), Int64GetDatum(position->seq)};
	char *changes = data_table(feed->view.changes);
	Portion portion;

	portion_init(&portion, feed, position, max_rows, receive, arg);
	run_portion(
		&portion,
		psprintf("(SELECT %s, c%d FROM %s WHERE c%d > $1 AND c%d <= $2 UNION ALL "
				 "SELECT %s, c%d FROM %s WHERE seq > $3 AND op = 'd' AND c%d > $1 AND c%d <= $2) "
				 "EXCEPT ALL "
				 "SELECT %s, c%d FROM %s WHERE seq > $3 AND op = 'i' AND c%d > $1 AND c%d <= $2 "
				 "ORDER BY %d",
				 feed->columns, t, data_table(feed->view.mat), t, t, feed->columns, t, changes, t,
				 t, feed->columns, t, changes, t, t, feed->desc->natts + 1),
		3, types, values);
	position->frontier = portion.ended ? portion.complete.frontier : to;
	return portion.ended || to < frontier;
}

bool
feed_replay(const Feed *feed, FeedPosition *position, int64 max_rows, FeedReceiver receive,
			void *arg)
{
	int64 before = PG_INT64_MAX;
	int64 rows = 0;
	Ticks frontier;

	feed_flush();
	if (feed->of_rows)
		return read_log(feed, position, max_rows, receive, arg);
	if (feed_last_change(&feed->view) > position->seq)
	{
		before = first_waiting(feed, position);
		if (replay_corrections(feed, position, before, max_rows, receive, arg, &rows))
			return true;
	}
	max_rows = Max(max_rows - rows, 1);
	if (before == PG_INT64_MAX)
		return read_final_rows(feed, position, max_rows, receive, arg);
	frontier = frontier_read(feed->view.relid, GetActiveSnapshot()).logged_to;
	(void) replay_final_rows(feed, position, frontier, max_rows, receive, arg);
	return true;
}

/* ---- how far behind ------------------------------------------------------------------------------------- */

/* A count over the view's tables: of $1, an event time, and $2, a seq. */
static int64
count_behind(const ContinuousView *view, const FeedPosition *position, const char *sql)
{
	Stream stream;
	Oid types[] = {InvalidOid, INT8OID};
	Datum values[] = {0, Int64GetDatum(position->seq)};

	if (!stream_lookup(view->stream, &stream))
		return 0;
	types[0] = stream.time_type;
	values[0] = event_time_datum(stream.time_type, position->frontier);
	return select_int8(sql, 2, types, values, 0);
}

/* The rows of a log that is of rows that are behind that position; at most so many. */
static int64
log_lag(const ContinuousView *view, const FeedPosition *position, int64 present_to, int64 max)
{
	Oid types[] = {INT8OID, INT8OID, INT8OID};
	Datum values[] = {Int64GetDatum(position->seq), Int64GetDatum(present_to), Int64GetDatum(max)};

	return select_int8(psprintf("SELECT count(*) FROM (SELECT FROM %s WHERE seq > $1 AND "
								"(op <> '%c' OR seq <= $2) LIMIT $3) c",
								data_table(view->changes), CHANGE_PRESENT),
					   3, types, values, 0);
}

int64
feed_lag(const ContinuousView *view, const FeedPosition *position, int64 present_to)
{
	if (change_log_is_of_rows(view->relid))
		return log_lag(view, position, present_to, PG_INT64_MAX);
	return count_behind(view, position,
						psprintf("SELECT (SELECT count(*) FROM %s WHERE c%d > $1) + "
								 "(SELECT count(*) FROM %s WHERE c%d <= $1 AND seq > $2)",
								 data_table(view->mat), view->time_attnum,
								 data_table(view->changes), view->time_attnum));
}

int64
feed_replay_lag(const ContinuousView *view, const FeedPosition *position, int64 present_to)
{
	if (change_log_is_of_rows(view->relid))
		return log_lag(view, position, present_to, PG_INT64_MAX);
	/* a row that has gone since comes, and goes */
	return count_behind(
		view, position,
		psprintf("SELECT (SELECT count(*) FROM %s WHERE c%d > $1) + "
				 "(SELECT coalesce(sum(CASE WHEN c%d <= $1 THEN 1 WHEN op = 'd' THEN 2 ELSE 0 "
				 "END), 0)::int8 FROM %s WHERE seq > $2)",
				 data_table(view->mat), view->time_attnum, view->time_attnum,
				 data_table(view->changes)));
}

bool
feed_replay_waits(const ContinuousView *view, const FeedPosition *position, int64 present_to)
{
	if (change_log_is_of_rows(view->relid))
		return log_lag(view, position, present_to, 1) > 0;
	return count_behind(view, position,
						psprintf("SELECT (SELECT count(*) FROM (SELECT FROM %s WHERE c%d > $1 "
								 "ORDER BY c%d LIMIT 1) r) + (SELECT count(*) FROM (SELECT FROM %s "
								 "WHERE seq > $2 ORDER BY seq LIMIT 1) c)",
								 data_table(view->mat), view->time_attnum, view->time_attnum,
								 data_table(view->changes))) > 0;
}

FeedChanges
feed_changes(const ContinuousView *view, int64 seq)
{
	char *sql = psprintf("SELECT coalesce(max(seq), 0), count(*) FILTER (WHERE op IN ('i', 'f')), "
						 "count(*) FILTER (WHERE op = 'd') FROM %s WHERE seq > $1",
						 data_table(view->changes));
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(seq)};
	RoleSession session = catalog_begin();
	FeedChanges changes;
	int64 *counts[] = {&changes.last, &changes.came, &changes.went};
	bool isnull;

	if (SPI_execute_with_args(sql, 1, types, values, NULL, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "query failed: %s", sql);
	for (int i = 0; i < lengthof(counts); i++)
		*counts[i] = DatumGetInt64(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull));
	catalog_end(session);
	return changes;
}

int64
feed_count_changes(const ContinuousView *view, int64 seq, int64 max)
{
	Oid types[] = {INT8OID, INT8OID};
	Datum values[] = {Int64GetDatum(seq), Int64GetDatum(max)};

	return select_int8(psprintf("SELECT count(*) FROM (SELECT FROM %s WHERE seq > $1 LIMIT $2) c",
								data_table(view->changes)),
					   2, types, values, 0);
}

void
feed_trim(const ContinuousView *view)
{
	Oid types[] = {OIDOID};
	Datum values[] = {ObjectIdGetDatum(view->relid)};

	/* Two that move their positions at the same time don't see each other's: the second one waits for the first, and sees it. */
	LockDatabaseObject(RelationRelationId, view->changes, 0, ExclusiveLock);
	(void) catalog_execute(
		psprintf("DELETE FROM %s WHERE seq <= (SELECT min(seq) FROM ("
				 "SELECT seq FROM tidemark.sink WHERE view = $1 UNION ALL "
				 "SELECT seq FROM tidemark.subscription WHERE view = $1 AND lost IS NULL) f)",
				 data_table(view->changes)),
		1, types, values, NULL);
}
