/*
 * sink.c: a portion of what has changed in a view, sent and committed.
 *
 *   transaction here:   snapshot, flush, read ──put──▶ target's transaction:  records
 *                       end                                                   position
 *                                                                             commit
 *   catalogue:          the position, for display and for trimming the log
 *
 * Exactly once: the position is committed with the records, by the target (SinkTarget). A session begins at the position that the
 * target has, whatever the catalogue says, so a crash of either side at any instant neither loses nor repeats a record. The transaction
 * here ends before the target's is committed: a target that is slow, or away, holds back no vacuum and stops nobody.
 *
 * At least once, where the target has no transactions: the position is the catalogue's, and is written when the target has the
 * records. Those of a portion that was cut off are sent again. Some of them may have been corrected meanwhile: so before a portion is sent,
 * the catalogue is told up to where it may go, and the next session sends corrections up to there as well.
 *
 * Mode append: each row once, when it becomes final. What is corrected later is counted and not sent, or sent with a mark, or an error.
 * Mode upsert: the last record of a key is its present row; one that goes leaves a tombstone.
 */
#include "tidemark.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "kafka/option.h"
#include "sink/sink.h"

/*
 * A portion is as many rows as are sent in about a second: a transaction of the target's costs some ten milliseconds, and must not last
 * for a minute. The first one is a guess.
 */
#define PORTION_US USECS_PER_SEC
#define FIRST_PORTION_ROWS 50000
#define LEAST_PORTION_ROWS 1000
#define MOST_PORTION_ROWS 1000000
#define PORTION_GROWTH 4

/* A position that doesn't change is committed anew that often: brokers forget old ones (after a week, mostly). */
#define COMMIT_AGAIN_US (3600 * USECS_PER_SEC)

/* ---- columns ---------------------------------------------------------------------------------------- */

static void
append_column(StringInfo list, Oid view, AttrNumber source, Form_pg_attribute target)
{
	Oid type = get_atttype(view, source);

	appendStringInfoString(list, list->len > 0 ? ", " : "");
	if (type == target->atttypid)
	{
		appendStringInfo(list, "c%d", source);
		return;
	}
	if (!can_coerce_type(1, &type, &target->atttypid, COERCION_ASSIGNMENT))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of the topic's table is of type %s, the view's of type %s",
						NameStr(target->attname), format_type_be(target->atttypid),
						format_type_be(type)),
				 errhint("Give the view's column that type with a cast.")));
	appendStringInfo(list, "c%d::%s", source,
					 format_type_extended(target->atttypid, target->atttypmod,
										  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
}

/* The record's key as text: a column's value as in JSON but for the quotes, or an object of several. */
static void
append_key(StringInfo list, Oid view, List *key)
{
	StringInfoData fields;
	ListCell *cell;

	initStringInfo(&fields);
	foreach (cell, key)
	{
		char *name = lfirst(cell);
		AttrNumber source = feed_key_column(view, name);

		if (list_length(key) == 1)
			appendStringInfo(&fields, "c%d", source);
		else
			appendStringInfo(&fields, "%s%s, c%d", cell == list_head(key) ? "" : ", ",
							 quote_literal_cstr(name), source);
	}
	appendStringInfo(list,
					 list_length(key) == 1 ? ", pg_catalog.to_json(%s) #>> '{}'"
										   : ", pg_catalog.json_build_object(%s)::pg_catalog.text",
					 fields.data);
}

SinkColumns
sink_columns(Oid view, Oid topic, List *key)
{
	Relation rel = table_open(topic, AccessShareLock);
	TupleDesc desc = RelationGetDescr(rel);
	SinkColumns columns = {0};
	TopicOptions options;
	StringInfoData list;

	topic_options_get(topic, &options);
	columns.has_key = key != NIL || options.key_column != NULL;
	initStringInfo(&list);
	columns.attnums = palloc(sizeof(AttrNumber) * (desc->natts + 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);
		ColumnOptions column_options;
		AttrNumber source;

		if (column->attisdropped)
			continue;
		column_options_get(topic, i + 1, &options, &column_options);
		source = get_attnum(view, NameStr(column->attname));
		if (source == InvalidAttrNumber && column_options.metadata != METADATA_NONE)
			continue;
		if (source == InvalidAttrNumber)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("view \"%s\" has no column \"%s\", which the topic's table has",
								   get_rel_name(view), NameStr(column->attname)),
							errhint("Columns go from the view to the topic by their names.")));
		append_column(&list, view, source, column);
		columns.attnums[columns.n++] = i + 1;
		columns.has_key |= column_options.metadata == METADATA_KEY;
	}
	table_close(rel, AccessShareLock);
	if (columns.n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("topic table \"%s\" has no columns to be sent", get_rel_name(topic))));
	if (key)
	{
		append_key(&list, view, key);
		columns.attnums[columns.n++] = 0;
	}
	columns.list = list.data;
	return columns;
}

void
sink_check_rights(Oid view, Oid topic, Oid role)
{
	AclResult allowed = pg_class_aclcheck(view, role, ACL_SELECT);

	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_VIEW, get_rel_name(view));
	allowed = pg_class_aclcheck(topic, role, ACL_INSERT);
	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_FOREIGN_TABLE, get_rel_name(topic));
}

void
sink_open_feed(Sink *sink)
{
	feed_open(&sink->feed, sink->view, sink->mat, sink->role, sink->columns.list,
			  "tidemark.stop_sink ends this sink; tidemark.start_sink sends the view's rows from "
			  "the beginning.");
	sink->feed.present_to = sink->present_to;
}

/* ---- a session's beginning ------------------------------------------------------------------------------ */

void
sink_open(Sink *sink)
{
	catalog_begin_transaction();
	sink_check_rights(sink->view, sink->topic, sink->role);
	MemoryContextSwitchTo(sink->context);
	sink->row_context =
		AllocSetContextCreate(sink->context, "tidemark sink row", ALLOCSET_DEFAULT_SIZES);
	sink->columns = sink_columns(sink->view, sink->topic, sink->key);
	sink_open_feed(sink);
	sink->target = sink->delivery == DELIVERY_AT_LEAST_ONCE ? &kafka_sink_at_least_once
															: &kafka_sink;
	sink->announced_before = sink->announced;
	sink->portion_rows = FIRST_PORTION_ROWS;
	sink->target->open(sink);
	catalog_end_transaction();
	MemoryContextSwitchTo(sink->context);
}

bool
sink_find_position(Sink *sink, char **error)
{
	SinkPosition committed = {0};
	bool answered;
	bool found;

	if (sink->target->read_position == NULL)
		return true;
	StartTransactionCommand();
	MemoryContextSwitchTo(sink->context);
	answered = sink->target->read_position(sink, &committed, &found, error);
	CommitTransactionCommand();
	MemoryContextSwitchTo(sink->context);
	if (!answered)
		return false;
	if (found)
		sink->position = committed;
	else if (sink->position.commits > 0 && !sink->position_lost)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("the broker no longer has the position of the sink from \"%s\" to \"%s\"",
						sink->view_name, sink->topic_name),
				 errdetail("It forgets positions that were not committed for long "
						   "(offsets.retention.minutes), or the topic was created anew."),
				 errhint("To go on from the position in tidemark.sinks, which may repeat the last "
						 "records: SELECT tidemark.resume_sink('%s', '%s', position_lost => true)",
						 sink->view_name, sink->topic_name)));
	return true;
}

/* ---- a portion ---------------------------------------------------------------------------------------- */

typedef struct Sending
{
	Sink *sink;
	SinkPosition *next;
	bool begun;
} Sending;

/* Are corrections sent? */
static bool
takes_corrections(const Sink *sink)
{
	if (sink->mode == SINK_APPEND && sink->corrections == CORRECTIONS_REFUSED)
		ereport(
			ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("view \"%s\" was corrected after its rows were sent to \"%s\"", sink->view_name,
					sink->topic_name),
			 errhint("End this sink with tidemark.stop_sink, and start one that takes corrections: "
					 "mode => 'upsert', corrections => 'mark', or corrections => 'ignore'.")));
	return sink->mode == SINK_UPSERT || sink->corrections == CORRECTIONS_MARKED;
}

static void
receive(FeedOp op, TupleTableSlot *slot, const FeedPosition *complete, void *arg)
{
	Sending *sending = arg;
	Sink *sink = sending->sink;
	MemoryContext old;

	if (op != FEED_FINAL && !takes_corrections(sink))
	{
		sending->next->ignored++;
		return;
	}
	old = MemoryContextSwitchTo(sink->row_context);
	if (!sending->begun)
		sink->target->begin(sink);
	sending->begun = true;
	sink->target->put(sink, op, slot);
	MemoryContextSwitchTo(old);
	MemoryContextReset(sink->row_context);
}

static void
note_complete(Sink *sink)
{
	MemoryContext old = MemoryContextSwitchTo(sink->context);

	if (sink->complete)
		pfree(sink->complete);
	sink->complete = event_time_text(sink->feed.time_type, sink->position.feed.frontier);
	MemoryContextSwitchTo(old);
}

/* Reads a portion and puts it to the target; *next becomes the position behind it. True if there is more. */
static bool
read_portion(Sending *sending)
{
	Sink *sink = sending->sink;
	bool more;

	catalog_begin_transaction();
	sink_open_feed(sink);
	if (sink->target->read_position == NULL)
	{
		sink->feed.until = sink->announced;
		sink->feed.corrected_to = sink->announced_before;
	}
	note_complete(sink);
	more = feed_read(&sink->feed, &sending->next->feed, sink->portion_rows, receive, sending);
	catalog_end_transaction();
	MemoryContextSwitchTo(sink->context);
	return more;
}

/* Must the position be committed, though nothing was sent? */
static bool
is_worth_a_commit(const Sink *sink, const SinkPosition *next)
{
	return next->ignored != sink->position.ignored ||
		   (next->commits > 0 && GetCurrentTimestamp() - sink->committed_at > COMMIT_AGAIN_US);
}

/* A whole portion took from `begun` until now. */
static void
set_portion(Sink *sink, TimestampTz begun)
{
	int64 us = Max(GetCurrentTimestamp() - begun, 1);
	int64 in_time = (double) sink->portion_rows * PORTION_US / us;

	in_time = Min(in_time, sink->portion_rows * PORTION_GROWTH);
	sink->portion_rows = Max(LEAST_PORTION_ROWS, Min(in_time, MOST_PORTION_ROWS));
}

SinkProgress
sink_send(Sink *sink)
{
	SinkPosition next = sink->position;
	Sending sending = {.sink = sink, .next = &next};
	SinkProgress progress = {0};
	TimestampTz begun = GetCurrentTimestamp();

	if (sink->target->read_position == NULL)
		sink_announce(sink);
	progress.more = read_portion(&sending);
	if (!sending.begun && is_worth_a_commit(sink, &next))
	{
		sink->target->begin(sink);
		sending.begun = true;
	}
	if (sending.begun)
	{
		next.commits++;
		sink->target->commit(sink, &next);
		progress.records = next.records - sink->position.records;
		sink->committed_at = GetCurrentTimestamp();
	}
	if (progress.more)
		set_portion(sink, begun);
	sink->position = next;
	return progress;
}
