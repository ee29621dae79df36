/*
 * exact_statistics.h: exact variances, covariances, correlation and regression of floats:
 * independent of the order of the inputs, invertible, O(1) a value.
 */
#ifndef TIDEMARK_AGGREGATE_EXACT_STATISTICS_H
#define TIDEMARK_AGGREGATE_EXACT_STATISTICS_H

#include "aggregate/exact_number.h"

/* Which result: PostgreSQL's aggregates of these names. */
typedef enum ExactStatistic
{
	/* of one variable */
	EXACT_VAR_POP,
	EXACT_VAR_SAMP,
	EXACT_STDDEV_POP,
	EXACT_STDDEV_SAMP,
	/* of pairs (y, x) */
	EXACT_COVAR_POP,
	EXACT_COVAR_SAMP,
	EXACT_CORR,
	EXACT_REGR_AVGX,
	EXACT_REGR_AVGY,
	EXACT_REGR_SXX,
	EXACT_REGR_SYY,
	EXACT_REGR_SXY,
	EXACT_REGR_R2,
	EXACT_REGR_SLOPE,
	EXACT_REGR_INTERCEPT
} ExactStatistic;

/* The sums that are kept: those of one variable come first. */
typedef enum ExactMoment
{
	EXACT_X,
	EXACT_XX,
	EXACT_Y,
	EXACT_YY,
	EXACT_XY
} ExactMoment;

#define EXACT_MOMENTS(variables) ((variables) == 1 ? EXACT_XX + 1 : EXACT_XY + 1)

/*
 * The sums of a multiset of numbers, or of pairs: 104 and 200 bytes, and no others for most data.
 * As long as exact_statistics_size says. Not to be copied by assignment: it may own memory.
 */
typedef struct ExactStatistics
{
	MemoryContext context;		/* where more is allocated, if it ever must be */
	int64 count;				/* all values, or pairs */
	int32 variables;			/* 1 or 2 */
	ExactSpecials *specials[2]; /* of x and of y: of which these are not in the sums */
	ExactNumber moment[FLEXIBLE_ARRAY_MEMBER];
} ExactStatistics;

/* Bytes of a struct for one variable, or two. */
extern Size exact_statistics_size(int variables);

/* Makes it that of nothing; what it may have to allocate later will be in context. */
extern void exact_statistics_init(ExactStatistics *statistics, MemoryContext context,
								  int variables);

/* Frees what was allocated, not the struct. */
extern void exact_statistics_free(ExactStatistics *statistics);

/* Adds a value, or takes away one that was added before. */
extern void exact_statistics_step(ExactStatistics *statistics, float8 x, bool subtract);

/* The same for a pair; y first, as PostgreSQL's aggregates have it. */
extern void exact_statistics_step_pair(ExactStatistics *statistics, float8 y, float8 x,
									   bool subtract);

/* Adds all that other has, which is of as many variables. */
extern void exact_statistics_merge(ExactStatistics *statistics, const ExactStatistics *other);

/*
 * A result, of the right number of variables: the number that the mathematical formula gives for
 * these inputs, rounded once, to nearest. False when SQL says null. Raises PostgreSQL's error when
 * that is out of range.
 */
extern bool exact_statistics_result(const ExactStatistics *statistics, ExactStatistic which,
									float8 *result);

/*
 * To bytes and from them, network byte order. Equal multisets give equal bytes. Reading raises an
 * error when buf holds something else, or another number of variables than empty has.
 */
extern void exact_statistics_write(const ExactStatistics *statistics, StringInfo buf);
extern ExactStatistics *exact_statistics_read_new(MemoryContext context, StringInfo buf);
extern void exact_statistics_read(ExactStatistics *empty, StringInfo buf);

#endif
