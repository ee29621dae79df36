/*
 * sliding_statistics.c: variances, covariances, correlation and regression of floats over a moving
 * window.
 *
 * A window's state is the ExactStatistics of its rows, which has an exact inverse: whatever passed
 * through leaves nothing behind, and the result is the one that exact_stddev_samp, exact_corr and
 * so on give over the same rows in any order. PostgreSQL's own aggregates are taken for the exact
 * ones here, as they are in every query over a stream.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"

#include "aggregate/exact_statistics.h"
#include "aggregate/planner.h"
#include "aggregate/sliding_method.h"

typedef struct SlidingStatistics
{
	SlidingAggregate base;
	int variables;
	ExactStatistic which;
} SlidingStatistics;

static const struct
{
	const char *name;
	int variables;
	ExactStatistic which;
} statistics_by_name[] = {
	{"exact_var_pop", 1, EXACT_VAR_POP},
	{"exact_var_samp", 1, EXACT_VAR_SAMP},
	{"exact_stddev_pop", 1, EXACT_STDDEV_POP},
	{"exact_stddev_samp", 1, EXACT_STDDEV_SAMP},
	{"exact_covar_pop", 2, EXACT_COVAR_POP},
	{"exact_covar_samp", 2, EXACT_COVAR_SAMP},
	{"exact_corr", 2, EXACT_CORR},
	{"exact_regr_avgx", 2, EXACT_REGR_AVGX},
	{"exact_regr_avgy", 2, EXACT_REGR_AVGY},
	{"exact_regr_sxx", 2, EXACT_REGR_SXX},
	{"exact_regr_syy", 2, EXACT_REGR_SYY},
	{"exact_regr_sxy", 2, EXACT_REGR_SXY},
	{"exact_regr_r2", 2, EXACT_REGR_R2},
	{"exact_regr_slope", 2, EXACT_REGR_SLOPE},
	{"exact_regr_intercept", 2, EXACT_REGR_INTERCEPT},
};

static void *
create(SlidingAggregate *aggregate, MemoryContext context)
{
	int variables = ((SlidingStatistics *) aggregate)->variables;
	ExactStatistics *state = MemoryContextAlloc(context, exact_statistics_size(variables));

	exact_statistics_init(state, context, variables);
	return state;
}

static void
destroy(SlidingAggregate *aggregate, void *state)
{
	exact_statistics_free(state);
	pfree(state);
}

static inline void
step(SlidingAggregate *aggregate, void *state, const NullableDatum *args, bool subtract)
{
	if (args[0].isnull)
		return;
	if (aggregate->argument_types[0] == FLOAT4OID)
		exact_statistics_step(state, DatumGetFloat4(args[0].value), subtract);
	else if (aggregate->nargs == 1)
		exact_statistics_step(state, DatumGetFloat8(args[0].value), subtract);
	else if (!args[1].isnull)
		exact_statistics_step_pair(state, DatumGetFloat8(args[0].value),
								   DatumGetFloat8(args[1].value), subtract);
}

static void
add(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	step(aggregate, state, args, false);
}

static void
evict(SlidingAggregate *aggregate, void *state, const NullableDatum *args)
{
	step(aggregate, state, args, true);
}

static Datum
result(SlidingAggregate *aggregate, void *state, bool *isnull)
{
	float8 value = 0.0;

	*isnull = !exact_statistics_result(state, ((SlidingStatistics *) aggregate)->which, &value);
	return *isnull ? (Datum) 0 : Float8GetDatum(value);
}

static bool
save(SlidingAggregate *aggregate, void *state, StringInfo buf)
{
	exact_statistics_write(state, buf);
	return true;
}

static void
load(SlidingAggregate *aggregate, void *empty_state, StringInfo buf)
{
	exact_statistics_read(empty_state, buf);
}

static const SlidingMethod exact_statistics = {
	"exact statistics", 'v', false, false, create, destroy, add, evict, result, save, load};

SlidingAggregate *
sliding_statistics_prepare(const SlidingAggregate *call)
{
	const char *name = aggregate_exact_name(call->function);
	SlidingStatistics *aggregate;

	for (int i = 0; name != NULL && i < lengthof(statistics_by_name); i++)
		if (strcmp(name, statistics_by_name[i].name) == 0)
		{
			aggregate = (SlidingStatistics *) sliding_make(call, sizeof(SlidingStatistics),
														   &exact_statistics);
			aggregate->variables = statistics_by_name[i].variables;
			aggregate->which = statistics_by_name[i].which;
			return &aggregate->base;
		}
	return NULL;
}
