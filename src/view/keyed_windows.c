/*
 * keyed_windows.c: windows over the first row of each key.
 *
 *   SELECT ..., sum(x) OVER (PARTITION BY p ORDER BY t RANGE '1 min' PRECEDING)
 *   FROM (SELECT DISTINCT ON (k) * FROM stream ORDER BY k, t) once
 *
 * The first rows by event time never change but for late rows: they are a stream of their own, with the same event time and the
 * same watermark. So the view has two tables: the kept rows K, as a view without the windows would have it, which never
 * reads the stream twice; and its own rows, which slices of the query over K make (slice.c), as of any stream.
 *
 *      stream ──merge by key──▶ K, up to frontier + lookahead ──slices──▶ rows, up to the frontier
 *
 * Above the frontier, the query runs over K and the first rows of the keys that K doesn't have. Late rows correct K, and each row that
 * enters or leaves it corrects the view at its event time. All of it is under the view's lock, in one transaction.
 *
 * K counts only up to where the frontier says: what an abandoned table still holds is not looked at, and a step from the start
 * empties it.
 */
#include "tidemark.h"

#include "access/xact.h"
#include "aggregate/planner.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "view/keyed_answer.h"
#include "view/keyed_maintain.h"
#include "view/keyed_windows.h"
#include "view/materialised.h"
#include "view/slice.h"
#include "view/tail_bounds.h"

KeptRows
keyed_windows_parts(const ContinuousView *view, const Shape *shape, Oid table)
{
	KeptRows kept = {.store = *view, .shape = *shape};
	Query *rows = select_from(table_entry(table), keyed_input(shape->keyed, NULL, NULL));

	compat_unchecked(rows);
	kept.store.mat = table;
	kept.store.time_attnum = KEYED_TIME_COLUMN;
	kept.shape.keyed = NULL;
	kept.shape.stream.relid = table;
	kept.shape.stream.attnum = KEYED_TIME_COLUMN;
	kept.batch = keyed_output_of_kept(shape->keyed, subquery_entry(rows, "kept"));
	return kept;
}

Ticks
keyed_windows_reach(const ContinuousView *view, Ticks frontier)
{
	return ticks_plus(frontier, view->lookahead);
}

uint64
keyed_windows_append(const ContinuousView *view, const Shape *shape, Ticks from, Ticks to)
{
	KeptRows kept = keyed_windows_parts(view, shape, linitial_oid(view_states(view->relid)));
	Ticks known = keyed_windows_reach(view, from);

	if (from == TICKS_MIN)
	{
		(void) materialised_delete(&kept.store, shape->stream.time_type, TICKS_MIN, TICKS_MAX, NIL,
								   NULL);
		CommandCounterIncrement();
	}
	(void) keyed_append(&kept.store, shape->keyed, ticks_plus(known, 1),
						keyed_windows_reach(view, to));
	return materialised_append(view, &kept.shape, kept.batch, ticks_plus(from, 1), to);
}

bool
keyed_windows_answerable(const ContinuousView *view)
{
	List *tables = view_states(view->relid);

	if (list_length(tables) != 1)
		return false;
	LockRelationOid(linitial_oid(tables), AccessShareLock);
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(linitial_oid(tables)));
}

Query *
keyed_windows_tail(const ContinuousView *view, const Shape *shape)
{
	Oid table = linitial_oid(view_states(view->relid));
	Oid type = shape->stream.time_type;
	KeptRows kept = keyed_windows_parts(view, shape, table);
	Lookback none = {0};
	SliceBounds bounds = {.output_from = tail_start(view, type, &none)};
	Query *query;
	Query *level;

	if (!lookback_is_unbounded(&shape->lookback))
		bounds.input_from = tail_start(view, type, &shape->lookback);
	query = slice_query(kept.batch, &kept.shape, &bounds, false, NULL);
	level = shape_stream_level(query);
	lfirst(list_nth_cell(level->rtable, shape_input(level) - 1)) =
		keyed_answer_rows(view, shape->keyed, table);
	aggregate_swap_exact_always(query);
	return query;
}
