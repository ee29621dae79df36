/*
 * correct.c: late rows: materialised rows that have to change.
 *
 * A row written at t changes output rows from t - lookahead to t + lookback. The reaches of all rows of a
 * statement are merged, and each stretch up to the committed frontier is deleted and computed again from the
 * stream:
 *
 *      t1   t2                      t3                        frontier
 *      |----|~~~~~~~|               |~~~~~~~|~~~~ ... ~~~~~~~~~|-----> live tail
 *      [t1,  t2 + L]                [t3,  t3 + L]  cut at the frontier; without a lookahead
 *
 * Where the view's windows are partitioned by what is in its result, only the results of the rows' keys change, before and
 * after (view/keys.c). Many stretches that lie close together are taken as one: each costs a query, and reading a little more costs less.
 *
 * Invariants: the view's correction lock is held until commit; the snapshot is taken after it, and after the locks on
 * the tables that are read: one older than a rewrite of a table (ALTER TABLE) would find it empty. So every
 * correction and every move of the frontier that committed before is seen, and none happens beside it.
 *
 * A view whose owner may no longer read what it reads is not computed: the maintainer starts it anew when he may.
 *
 * A snapshot that cannot be renewed (REPEATABLE READ and above) may be older than such a change. Each
 * change updates the view's row in tidemark.frontier; if that row is not the same in the
 * transaction's snapshot as in a fresh one, the statement ends with a serialization failure.
 */
#include "tidemark.h"

#include "access/xact.h"
#include "catalog.h"
#include "storage/lmgr.h"
#include "stream/dead_letter.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "view/change_log.h"
#include "view/correct.h"
#include "view/frontier.h"
#include "view/keyed_log.h"
#include "view/keyed_maintain.h"
#include "view/keys.h"
#include "view/layers.h"
#include "view/materialised.h"
#include "view/slice.h"

/* A statement's correction of a view takes about as many queries at most. */
#define MAX_STRETCHES 64

/* The snapshot to correct with, pushed; raises an error if it would be too old. */
static Frontier
push_correction_snapshot(Oid view)
{
	Snapshot latest = GetLatestSnapshot();
	Frontier now = frontier_read(view, latest);
	Frontier ours;

	if (!IsolationUsesXactSnapshot())
	{
		PushActiveSnapshot(GetLatestSnapshot());
		return now;
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	ours = frontier_read(view, GetActiveSnapshot());
	if (ours.found != now.found || ours.mat != now.mat || ours.frontier != now.frontier ||
		ours.corrections != now.corrections)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access: continuous view \"%s\" has changed since the "
						"transaction began",
						get_rel_name(view)),
				 errdetail("A row at or below its frontier was written with an older snapshot."),
				 errhint("The transaction might succeed if retried.")));
	return now;
}

/* Stretches with a gap of at most this between them are one: so that there are never more than MAX_STRETCHES or so. */
static int64
joined_gap(const Ticks *times, int n)
{
	return (times[n - 1] / MAX_STRETCHES) - (times[0] / MAX_STRETCHES);
}

/* The first event time that a row written at t changes: of a view with windows by GROUP BY, the start of the first one that it is in. */
static Ticks
reach_begin(const Shape *shape, Ticks t)
{
	Oid type = shape->stream.time_type;

	return grid_ceiling(&shape->grid, type, lookback_before(type, t, &shape->lookahead));
}

/* A stretch of event time in which rows change. */
typedef struct Stretch
{
	Ticks from;
	Ticks to;
} Stretch;

static List *
add_stretch(List *stretches, Ticks from, Ticks to)
{
	Stretch *stretch = palloc(sizeof(Stretch));

	*stretch = (Stretch){from, to};
	return lappend(stretches, stretch);
}

/* The end of the stretch that begins with times[*next]; moves *next behind it. */
static Ticks
stretch_end(const Shape *shape, const Ticks *times, int n, int *next)
{
	Oid type = shape->stream.time_type;
	int64 gap = joined_gap(times, n);
	Ticks end = lookback_after(type, times[*next], &shape->lookback);

	for ((*next)++; *next < n && reach_begin(shape, times[*next]) <= ticks_plus(end, gap);
		 (*next)++)
		end = Max(end, lookback_after(type, times[*next], &shape->lookback));
	return end;
}

/* Where rows change up to the frontier, if rows were written at these event times. */
static List *
stretches_of_times(const Shape *shape, const Ticks *times, int n, Ticks frontier)
{
	List *stretches = NIL;

	for (int next = 0; next < n && reach_begin(shape, times[next]) <= frontier;)
	{
		Ticks from = reach_begin(shape, times[next]);
		Ticks to = stretch_end(shape, times, n, &next);

		stretches = add_stretch(stretches, from, Min(to, frontier));
	}
	return stretches;
}

/* The same, if rows may have changed anywhere in these stretches. */
static List *
stretches_of_stretches(const Shape *shape, const List *changed, Ticks frontier)
{
	Oid type = shape->stream.time_type;
	List *stretches = NIL;
	ListCell *cell;

	foreach (cell, changed)
	{
		const Stretch *stretch = lfirst(cell);
		Ticks from = reach_begin(shape, stretch->from);
		Ticks to = Min(lookback_after(type, stretch->to, &shape->lookback), frontier);
		Stretch *last = stretches ? llast(stretches) : NULL;

		if (last && from <= last->to)
			last->to = Max(last->to, to);
		else if (from <= to)
			stretches = add_stretch(stretches, from, to);
	}
	return stretches;
}

/* Computes the rows in [from, to] that have these keys (NIL: all) anew; returns how many there are more. */
static int64
recompute(const ContinuousView *view, const Shape *shape, Query *batch, const List *keys,
		  Ticks from, Ticks to)
{
	Oid type = shape->stream.time_type;
	Tuplestorestate *gone = change_log_begin(view);
	int64 deleted = materialised_delete(view, type, from, to, keys, gone);
	int64 appended = materialised_append(view, shape, copyObject(batch), from, to);

	change_log_end(view, gone, type, from, to, keys);
	return appended - deleted;
}

/* The keys whose results change (NIL: all); *none: there are none. */
static List *
keys_written(const ContinuousView *view, const Shape *shape, Query *batch, const Written *written,
			 bool *none)
{
	Oid owner = relation_owner(view->relid);

	*none = false;
	if (written->inserted)
		return keys_at(batch, shape, owner, written->times, written->n, true, none);
	if (written->rows)
		return keys_of_rows(batch, shape, owner, written->rows, written->columns, none);
	return NIL;
}

static int64
recompute_stretches(const ContinuousView *view, const Shape *shape, Query *batch, const List *keys,
					const List *stretches)
{
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "tidemark correction", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	int64 change = 0;
	ListCell *cell;

	batch = copyObject(batch);
	keys_restrict(batch, keys);
	old = MemoryContextSwitchTo(scratch);
	foreach (cell, stretches)
	{
		const Stretch *stretch = lfirst(cell);

		change += recompute(view, shape, batch, keys, stretch->from, stretch->to);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return change;
}

/* Where rows were computed anew. */
typedef struct Changed
{
	List *stretches; /* of Stretch */
	List *keys;		 /* of KeyValues; NIL: all */
} Changed;

/* Corrects what rows that were written change. */
static int64
recompute_written(const ContinuousView *view, const Shape *shape, Query *batch,
				  const Written *written, Ticks frontier, Changed *changed)
{
	bool none;

	changed->keys = keys_written(view, shape, batch, written, &none);
	changed->stretches = none ? NIL
							  : stretches_of_times(shape, written->times, written->n, frontier);
	return recompute_stretches(view, shape, batch, changed->keys, changed->stretches);
}

/* ---- layers ------------------------------------------------------------------------------------- */

/* Corrects the windows over first rows, which have changed at these event times. */
static int64
correct_above_keys(const Layers *layers, KeyedChanges *changes, Ticks frontier)
{
	Written written = {.times = changes->times, .n = changes->n, .inserted = !changes->removed};
	Changed changed;

	if (changes->all)
		return recompute(&layers->view, &layers->shape, layers->batch, NIL, TICKS_MIN, frontier);
	if (changes->n == 0)
		return 0;
	qsort(changes->times, changes->n, sizeof(Ticks), ticks_compare);
	return recompute_written(&layers->view, &layers->shape, layers->batch, &written, frontier,
							 &changed);
}

static int64
correct_keyed_layers(const Layers *layers, const Written *written, Ticks frontier, Written *seen)
{
	KeyedChanges changes = {0};
	int64 change;

	(void) keyed_correct(&layers->store, layers->keyed, written, layers_reach(layers, frontier),
						 &changes);
	change = correct_above_keys(layers, &changes, frontier);
	*seen = (Written){.times = changes.n > 0 ? changes.times : written->times,
					  .n = changes.n,
					  .inserted = !changes.removed};
	return change;
}

static int64
correct_grouped_layers(const Layers *layers, const Written *written, Ticks frontier, Written *seen)
{
	Changed changed;
	int64 change;

	(void) recompute_written(&layers->store, &layers->groups_shape, layers->groups, written,
							 layers_reach(layers, frontier), &changed);
	change = recompute_stretches(
		&layers->view, &layers->shape, layers->batch, keys_above(layers->batch, changed.keys),
		stretches_of_stretches(&layers->shape, changed.stretches, frontier));
	*seen = (Written){.times = written->times, .inserted = changed.stretches == NIL};
	return change;
}

/*
 * Corrects both layers of a view; returns how many rows it has more. *seen is set to what happened to the lower layer: that is
 * all that the windows know of.
 */
static int64
correct_layers(const Layers *layers, const Written *written, Ticks frontier, Written *seen)
{
	if (layers->keyed)
		return correct_keyed_layers(layers, written, frontier, seen);
	return correct_grouped_layers(layers, written, frontier, seen);
}

/* Corrects a view of any kind. */
static int64
correct_rows(const ContinuousView *view, const Shape *shape, Query *batch, const Written *written,
			 Ticks frontier, Written *seen)
{
	Changed changed;

	*seen = *written;
	if (layers_has(shape))
		return correct_layers(layers_of(view, shape, batch), written, frontier, seen);
	if (shape->keyed)
		return keyed_correct(view, shape->keyed, written, frontier, NULL);
	return recompute_written(view, shape, batch, written, frontier, &changed);
}

/* Deletes the rows from an event time on; returns how many. */
static int64
delete_all(const ContinuousView *view, Oid time_type, Ticks from)
{
	Keyed *keyed = keyed_log_of_view(view);
	KeyedTouched all = {0};
	KeyedLog *log = keyed ? keyed_log_begin(view, keyed, &all) : NULL;
	Tuplestorestate *gone = keyed ? NULL : change_log_begin(view);
	int64 deleted = materialised_delete(view, time_type, from, TICKS_MAX, NIL, gone);

	keyed_log_end(log);
	change_log_end(view, gone, time_type, from, TICKS_MAX, NIL);
	return deleted;
}

/* Nothing is materialised any more: the live tail is everything. */
static void
start_anew(const ContinuousView *view, const Frontier *frontier)
{
	Stream stream;

	if (stream_lookup(view->stream, &stream))
		(void) delete_all(view, stream.time_type, TICKS_MIN);
	materialised_corrected(view->relid, TICKS_MIN, -frontier->rows, NULL, 0);
}

/*
 * Locks the view and what its query reads, unless it is gone. Before the correction lock: whoever
 * changes a definition holds these locks when it comes to that one.
 */
static bool
lock_view_and_inputs(Oid relid)
{
	Shape shape;
	Access access;

	LockRelationOid(relid, AccessShareLock);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return false;
	(void) slice_batch_query(relid, &shape, &access);
	return true;
}

/* A view that is or was continuous, locked for correction; false if there is nothing to correct. */
static bool
begin_correction(Oid relid, ContinuousView *view, Frontier *frontier)
{
	if (!lock_view_and_inputs(relid))
		return false;
	frontier_lock_view(relid);
	AcceptInvalidationMessages();
	if (!view_lookup(relid, view))
		return false;
	*frontier = push_correction_snapshot(relid);
	if (frontier->found && view->current)
		return true;
	PopActiveSnapshot();
	return false;
}

/*
 * The same in a subtransaction: an error that is the rows' fault (a division by zero in the view's query) is
 * returned, and nothing has been done; other errors are raised.
 */
static ErrorData *
try_recompute(const ContinuousView *view, const Shape *shape, Query *batch, const Written *written,
			  Ticks frontier)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		Written seen;
		int64 change = correct_rows(view, shape, batch, written, frontier, &seen);

		materialised_corrected(view->relid, frontier, change, seen.inserted ? seen.times : NULL,
							   seen.n);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!is_fault_of_data(error))
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/*
 * The view's query fails on what was written. That is not the writer's trouble: the frontier goes back to before the
 * rows, and whoever reads the view from there on has the batch query's answer, which is the error. The maintainer tries to go
 * on, and says in tidemark.continuous_views why it can't. Of a view that keeps rows by key, which doesn't have the rows that others
 * have overtaken, the frontier goes back to the start; so it does of a view in layers.
 */
static void
retreat(const ContinuousView *view, const Shape *shape, Ticks from, const ErrorData *error)
{
	Oid type = shape->stream.time_type;
	bool all = shape->keyed || layers_has(shape);
	Ticks start = all ? TICKS_MIN : from;
	int64 deleted = delete_all(view, type, start);

	materialised_corrected(view->relid, ticks_minus(start, 1), -deleted, NULL, 0);
	ereport(WARNING,
			(errmsg("continuous view \"%s\" fails on the rows that were written: %s",
					get_rel_name(view->relid), error->message),
			 all ? errdetail("It is answered by its batch query, until that succeeds.")
				 : errdetail("From %s on it is answered by its batch query, until that succeeds.",
							 event_time_text(type, from))));
}

static void
say_where(void *view)
{
	errcontext("correction of continuous view \"%s\"", get_rel_name(*(Oid *) view));
}

void
correct_view(Oid relid, const Written *written)
{
	Ticks first = written->times[0];
	ErrorContextCallback where = {
		.previous = error_context_stack, .callback = say_where, .arg = &relid};
	ContinuousView view;
	Frontier frontier;

	if (!begin_correction(relid, &view, &frontier))
		return;
	error_context_stack = &where;
	if (ticks_minus(first, view.lookahead) <= frontier.frontier)
	{
		Shape shape;
		Access access;
		Query *batch = slice_batch_query(relid, &shape, &access);

		if (access == ACCESS_ALL)
		{
			ErrorData *error;

			shape_require(&shape, get_rel_name(relid));
			/* kept rows are known up to what the view's rows look ahead to */
			error = shape.keyed == NULL && !layers_has(&shape) &&
							reach_begin(&shape, first) > frontier.frontier
						? NULL
						: try_recompute(&view, &shape, batch, written, frontier.frontier);
			if (error)
				retreat(&view, &shape, reach_begin(&shape, first), error);
		}
		else
			start_anew(&view, &frontier);
		CommandCounterIncrement();
	}
	error_context_stack = where.previous;
	PopActiveSnapshot();
}

/* The table of a view's lower layer. */
static void
truncate_lower_layer(const ContinuousView *view)
{
	ContinuousView store = *view;
	Shape shape;
	Access access;

	(void) slice_batch_query(view->relid, &shape, &access);
	if (!layers_has(&shape))
		return;
	store.mat = linitial_oid(view_states(view->relid));
	materialised_truncate(&store);
}

void
correct_truncated(Oid relid)
{
	ContinuousView view;
	Frontier frontier;
	Keyed *keyed;
	KeyedTouched all = {0};
	KeyedLog *log = NULL;

	if (!begin_correction(relid, &view, &frontier))
		return;
	keyed = keyed_log_of_view(&view);
	if (keyed)
		log = keyed_log_begin(&view, keyed, &all);
	else
		change_log_truncated(&view);
	materialised_truncate(&view);
	truncate_lower_layer(&view);
	keyed_log_end(log);
	materialised_corrected(relid, frontier.frontier, -frontier.rows, NULL, 0);
	PopActiveSnapshot();
	CommandCounterIncrement();
}

void
correct_restart(Oid relid)
{
	ContinuousView view;
	Frontier frontier;

	if (!begin_correction(relid, &view, &frontier))
		return;
	start_anew(&view, &frontier);
	PopActiveSnapshot();
	CommandCounterIncrement();
}
