/*
 * entry.c: the window function tidemark.begins_entry: which rows are kept where each is kept for a while only.
 *
 *     begins_entry(t, length) OVER (PARTITION BY k ORDER BY t)          length: 10 minutes in ticks
 *
 *     t        9:00   9:04   9:10   9:11   9:20   9:25
 *     result   true   false  false  true   false  true
 *
 * The first row of a partition is kept, and so is the first one that comes more than the length after the one that was kept last.
 */
#include "tidemark.h"

#include "aggregate/window_arguments.h"
#include "stream/event_time.h"

typedef struct Entry
{
	bool begun;
	Ticks begin;
} Entry;

PG_FUNCTION_INFO_V1(tidemark_begins_entry);

/* begins_entry(event time, length in ticks) */
Datum
tidemark_begins_entry(PG_FUNCTION_ARGS)
{
	WindowObject window = PG_WINDOW_OBJECT();
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Entry *entry;
	Ticks time;
	Datum values[2];
	bool known = window_arguments(window, "begins_entry", lengthof(values), values);

	if (!event_time_type_ok(type))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("tidemark.begins_entry is for plans of continuous views")));
	entry = WinGetPartitionLocalMemory(window, sizeof(Entry));
	if (!known)
		PG_RETURN_NULL();
	time = event_time_ticks(type, values[0]);
	if (entry->begun && time <= ticks_plus(entry->begin, DatumGetInt64(values[1])))
		PG_RETURN_BOOL(false);
	entry->begun = true;
	entry->begin = time;
	PG_RETURN_BOOL(true);
}
