/*
 * planner.c: queries over streams get exact sums and statistics of floats, and sliding aggregates.
 *
 * Exact sums. A continuous view is maintained with exact sums, and variances, correlations and so
 * on made of them, so its batch query has to use them too, or the two would differ in the last
 * bits. The view's definition stays as the user wrote it, with PostgreSQL's functions: we change
 * the planner's copy of a query, where one aggregate's OID takes the place of another's. The
 * argument and result types are the same, and nothing else in the tree depends on the function
 * before planning.
 *
 * A query is changed as a whole: where it reads a stream at one level, the sums of all its levels
 * are exact. So a view's query gives the same rows alone, within another query, and as the
 * maintainer runs it on a slice, also where it has a subquery over an ordinary table.
 *
 * Sliding aggregates. PostgreSQL computes an aggregate without an inverse anew over the whole frame
 * when the frame's start moves. Where sliding.h has a better method,
 *
 *     max(x) OVER w  becomes  sliding_window(NULL::numeric, 'max(numeric)'::regprocedure, x) OVER w
 *
 * which gives the same rows. As PostgreSQL does for its own inverses, we leave alone what has
 * volatile functions or subqueries in arguments or FILTER, and frames with EXCLUDE.
 *
 * Not seen from here: the body of a set-returning SQL function that the planner inlines later.
 *
 * The OIDs are looked up once and forgotten when any function of the database changes, as it does
 * when the extension is created or dropped. Only functions that belong to our extension count:
 * anybody may own a schema called tidemark in a database without it.
 */
#include "tidemark.h"

#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "aggregate/planner.h"
#include "aggregate/sliding.h"
#include "catalog.h"

typedef struct Replacement
{
	Oid stock;
	const char *name;
	int nargs;
	Oid argument_type; /* of each */
	Oid exact;		   /* looked up; InvalidOid when the database has no such function */
} Replacement;

static Replacement replacements[] = {
	{F_SUM_FLOAT8, "exact_sum", 1, FLOAT8OID, InvalidOid},
	{F_SUM_FLOAT4, "exact_sum", 1, FLOAT4OID, InvalidOid},
	{F_AVG_FLOAT8, "exact_avg", 1, FLOAT8OID, InvalidOid},
	{F_AVG_FLOAT4, "exact_avg", 1, FLOAT4OID, InvalidOid},
	{F_VAR_POP_FLOAT8, "exact_var_pop", 1, FLOAT8OID, InvalidOid},
	{F_VAR_POP_FLOAT4, "exact_var_pop", 1, FLOAT4OID, InvalidOid},
	{F_VAR_SAMP_FLOAT8, "exact_var_samp", 1, FLOAT8OID, InvalidOid},
	{F_VAR_SAMP_FLOAT4, "exact_var_samp", 1, FLOAT4OID, InvalidOid},
	{F_VARIANCE_FLOAT8, "exact_var_samp", 1, FLOAT8OID, InvalidOid},
	{F_VARIANCE_FLOAT4, "exact_var_samp", 1, FLOAT4OID, InvalidOid},
	{F_STDDEV_POP_FLOAT8, "exact_stddev_pop", 1, FLOAT8OID, InvalidOid},
	{F_STDDEV_POP_FLOAT4, "exact_stddev_pop", 1, FLOAT4OID, InvalidOid},
	{F_STDDEV_SAMP_FLOAT8, "exact_stddev_samp", 1, FLOAT8OID, InvalidOid},
	{F_STDDEV_SAMP_FLOAT4, "exact_stddev_samp", 1, FLOAT4OID, InvalidOid},
	{F_STDDEV_FLOAT8, "exact_stddev_samp", 1, FLOAT8OID, InvalidOid},
	{F_STDDEV_FLOAT4, "exact_stddev_samp", 1, FLOAT4OID, InvalidOid},
	{F_COVAR_POP, "exact_covar_pop", 2, FLOAT8OID, InvalidOid},
	{F_COVAR_SAMP, "exact_covar_samp", 2, FLOAT8OID, InvalidOid},
	{F_CORR, "exact_corr", 2, FLOAT8OID, InvalidOid},
	{F_REGR_AVGX, "exact_regr_avgx", 2, FLOAT8OID, InvalidOid},
	{F_REGR_AVGY, "exact_regr_avgy", 2, FLOAT8OID, InvalidOid},
	{F_REGR_SXX, "exact_regr_sxx", 2, FLOAT8OID, InvalidOid},
	{F_REGR_SYY, "exact_regr_syy", 2, FLOAT8OID, InvalidOid},
	{F_REGR_SXY, "exact_regr_sxy", 2, FLOAT8OID, InvalidOid},
	{F_REGR_R2, "exact_regr_r2", 2, FLOAT8OID, InvalidOid},
	{F_REGR_SLOPE, "exact_regr_slope", 2, FLOAT8OID, InvalidOid},
	{F_REGR_INTERCEPT, "exact_regr_intercept", 2, FLOAT8OID, InvalidOid},
};

static Oid sliding_window = InvalidOid; /* looked up likewise */

static bool looked_up = false; /* is what these say still true? */

static void
forget_oids(Datum arg, int cacheid, uint32 hashvalue)
{
	looked_up = false;
}

static Oid
find_function(Oid schema, Oid extension, const char *name, int nargs, const Oid *argument_types)
{
	Oid function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
								   PointerGetDatum(buildoidvector(argument_types, nargs)),
								   ObjectIdGetDatum(schema));

	if (!OidIsValid(function) || getExtensionOfObject(ProcedureRelationId, function) != extension)
		return InvalidOid;
	return function;
}

static void
look_up_oids(void)
{
	static const Oid sliding_window_arguments[] = {ANYELEMENTOID, REGPROCEDUREOID, ANYOID};
	static bool registered = false;
	Oid schema;
	Oid extension;

	if (looked_up)
		return;
	if (!registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, forget_oids, (Datum) 0);
		registered = true;
	}

	/* Set first: an invalidation that arrives meanwhile makes us look again. */
	looked_up = true;
	schema = get_namespace_oid(TIDEMARK_SCHEMA, true);
	extension = OidIsValid(schema) ? get_extension_oid("tidemark", true) : InvalidOid;
	sliding_window = InvalidOid;
	for (int i = 0; i < lengthof(replacements); i++)
		replacements[i].exact = InvalidOid;
	if (!OidIsValid(extension))
		return;
	for (int i = 0; i < lengthof(replacements); i++)
	{
		Oid arguments[] = {replacements[i].argument_type, replacements[i].argument_type};

		replacements[i].exact = find_function(schema, extension, replacements[i].name,
											  replacements[i].nargs, arguments);
	}
	sliding_window = find_function(schema, extension, "sliding_window",
								   lengthof(sliding_window_arguments), sliding_window_arguments);
}

/* ---------- exact sums ---------- */

static Replacement *
replacement_of(Oid function)
{
	for (int i = 0; i < lengthof(replacements); i++)
		if (replacements[i].stock == function)
			return &replacements[i];
	return NULL;
}

/* The place in node where it names its aggregate; NULL when it is no aggregate. */
static Oid *
aggregate_function(Node *node)
{
	if (IsA(node, Aggref))
		return &((Aggref *) node)->aggfnoid;
	if (IsA(node, WindowFunc))
		return &((WindowFunc *) node)->winfnoid;
	return NULL;
}

/* Does the tree have a sum or average that could be replaced? */
static bool
has_float_sum(Node *node, void *context)
{
	Oid *function;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_float_sum, context, 0);
	function = aggregate_function(node);
	if (function && replacement_of(*function))
		return true;
	return expression_tree_walker(node, has_float_sum, context);
}

static bool
reads_stream(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, reads_stream, context, QTW_EXAMINE_RTES_BEFORE);
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *entry = (RangeTblEntry *) node;

		return entry->rtekind == RTE_RELATION && stream_exists(entry->relid);
	}
	return expression_tree_walker(node, reads_stream, context);
}

static bool
replace_float_sums(Node *node, void *context)
{
	Oid *function;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, replace_float_sums, context, 0);
	function = aggregate_function(node);
	if (function)
	{
		Replacement *replacement = replacement_of(*function);

		if (replacement && OidIsValid(replacement->exact))
			*function = replacement->exact;
	}
	return expression_tree_walker(node, replace_float_sums, context);
}

const char *
aggregate_exact_name(Oid function)
{
	look_up_oids();
	for (int i = 0; i < lengthof(replacements); i++)
		if (OidIsValid(replacements[i].exact) &&
			(function == replacements[i].stock || function == replacements[i].exact))
			return replacements[i].name;
	return NULL;
}

/* ---------- sliding aggregates ---------- */

/* Does the start of this window function's frame move, and no row within the frame stay out? */
static bool
frame_slides(const Query *query, const WindowFunc *call)
{
	ListCell *cell;

	foreach (cell, query->windowClause)
	{
		WindowClause *window = lfirst_node(WindowClause, cell);

		if (window->winref == call->winref)
			return (window->frameOptions &
					(FRAMEOPTION_START_UNBOUNDED_PRECEDING | FRAMEOPTION_EXCLUSION)) == 0;
	}
	return false;
}

static bool
could_slide(const Query *query, WindowFunc *call)
{
	return call->winagg && call->winfnoid != sliding_window && frame_slides(query, call) &&
		   !contain_volatile_functions((Node *) call) && !contain_subplans((Node *) call);
}

/* query is the level at which node is; a query itself is of the level below. */
static bool
has_sliding(Node *node, void *query)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_sliding, node, 0);
	if (IsA(node, WindowFunc) && could_slide(query, (WindowFunc *) node))
		return true;
	return expression_tree_walker(node, has_sliding, query);
}

static void
let_slide(WindowFunc *call)
{
	Oid types[FUNC_MAX_ARGS];
	SlidingAggregate *aggregate;
	const char *why;
	int nargs = 0;
	ListCell *cell;

	foreach (cell, call->args)
		types[nargs++] = exprType(lfirst(cell));
	aggregate =
		sliding_prepare(call->winfnoid, call->inputcollid, nargs, types, call->wintype, &why);
	if (aggregate == NULL || !sliding_beats_stock(aggregate))
		return;

	call->args = lcons(makeConst(REGPROCEDUREOID, -1, InvalidOid, sizeof(Oid),
								 ObjectIdGetDatum(call->winfnoid), false, true),
					   call->args);
	call->args = lcons(makeNullConst(call->wintype, -1, call->wincollid), call->args);
	call->winfnoid = sliding_window;
	call->winstar = false;
}

static bool
replace_sliding(Node *node, void *query)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, replace_sliding, node, 0);
	if (IsA(node, WindowFunc) && could_slide(query, (WindowFunc *) node))
		let_slide((WindowFunc *) node);
	return expression_tree_walker(node, replace_sliding, query);
}

/* ---------- for queries ---------- */

void
aggregate_swap_exact_always(Query *query)
{
	if (!has_float_sum((Node *) query, NULL))
		return;
	look_up_oids();
	replace_float_sums((Node *) query, NULL);
}

void
aggregate_swap(Query *query)
{
	bool sums = tidemark_exact_float_sums && has_float_sum((Node *) query, NULL);
	bool slides = tidemark_sliding_aggregates && has_sliding((Node *) query, NULL);

	if (!sums && !slides)
		return;
	look_up_oids();
	if (!OidIsValid(sliding_window) || !reads_stream((Node *) query, NULL))
		return;
	if (sums)
		replace_float_sums((Node *) query, NULL);
	if (slides)
		replace_sliding((Node *) query, NULL);
}
