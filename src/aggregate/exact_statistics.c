/*
 * exact_statistics.c: exact variances, covariances, correlation and regression of floats.
 *
 * PostgreSQL updates a mean and a sum of squared differences with every value (Youngs and Cramer).
 * That is good, but rounds at each step: the result depends on the order, and no step can be taken
 * back. The schoolbook's sums of x, x * x and x * y have neither fault if they are kept without
 * error, which exact_number.c does, and then there is no cancellation to be afraid of:
 *
 *     N * Sxx - Sx * Sx  =  N * N * the population's variance
 *     N * Sxy - Sx * Sy  =  N * N * its covariance
 *
 * are integers (in units of 2^-2200), computed as such, and so are numerator and denominator of
 * every result: a ratio, or the square root of one (a standard deviation; the correlation, with
 * its sign). big_number.c rounds it, once. So
 * - every result is the float that is nearest to the true value for these inputs;
 * - it depends on no order, and values that have left a window have left no trace;
 * - what is constant has the variance 0 and no correlation, exactly then;
 * - a result is out of range only if the true value is: not for squares on the way.
 *
 * NaN and the infinities are counted for each variable. As in PostgreSQL, they make everything
 * NaN that depends on the variable's differences, but null where the other variable is constant
 * and the result therefore undefined.
 */
#include "tidemark.h"

#include "libpq/pqformat.h"
#include "utils/float.h"

#include "aggregate/exact_statistics.h"

/* A variable's place in specials[]. */
enum
{
	X,
	Y
};

/* Is it a sum of values, not of products? */
static bool
is_linear(ExactMoment which)
{
	return which == EXACT_X || which == EXACT_Y;
}

Size
exact_statistics_size(int variables)
{
	return offsetof(ExactStatistics, moment) + EXACT_MOMENTS(variables) * sizeof(ExactNumber);
}

void
exact_statistics_init(ExactStatistics *statistics, MemoryContext context, int variables)
{
	memset(statistics, 0, exact_statistics_size(variables));
	statistics->context = context;
	statistics->variables = variables;
}

void
exact_statistics_free(ExactStatistics *statistics)
{
	for (int i = 0; i < EXACT_MOMENTS(statistics->variables); i++)
		exact_number_free(&statistics->moment[i]);
	exact_specials_free(&statistics->specials[X]);
	exact_specials_free(&statistics->specials[Y]);
	statistics->count = 0;
}

/* ---------- values ---------- */

/* One variable's sums. False when the value is in none of them: it is zero, or special. */
static bool
step_variable(ExactStatistics *statistics, int variable, float8 value, FloatParts *parts,
			  bool subtract)
{
	ExactNumber *sum = &statistics->moment[variable == X ? EXACT_X : EXACT_Y];
	ExactNumber *squares = sum + 1;

	if (unlikely(!float_parts(value, parts)))
	{
		if (value != 0)
			exact_specials_step(&statistics->specials[variable], statistics->context, value,
								subtract);
		return false;
	}
	exact_number_add_float(sum, statistics->context, parts, subtract);
	exact_number_add_product(squares, statistics->context, parts, parts, subtract);
	return true;
}

void
exact_statistics_step(ExactStatistics *statistics, float8 x, bool subtract)
{
	FloatParts parts;

	statistics->count += subtract ? -1 : 1;
	(void) step_variable(statistics, X, x, &parts, subtract);
}

void
exact_statistics_step_pair(ExactStatistics *statistics, float8 y, float8 x, bool subtract)
{
	FloatParts x_parts;
	FloatParts y_parts;
	bool x_counts = step_variable(statistics, X, x, &x_parts, subtract);
	bool y_counts = step_variable(statistics, Y, y, &y_parts, subtract);

	statistics->count += subtract ? -1 : 1;
	if (x_counts && y_counts)
		exact_number_add_product(&statistics->moment[EXACT_XY], statistics->context, &x_parts,
								 &y_parts, subtract);
}

void
exact_statistics_merge(ExactStatistics *statistics, const ExactStatistics *other)
{
	Assert(statistics->variables == other->variables);
	statistics->count += other->count;
	for (int i = X; i <= Y; i++)
		exact_specials_merge(&statistics->specials[i], statistics->context, other->specials[i]);
	for (int i = 0; i < EXACT_MOMENTS(statistics->variables); i++)
		exact_number_merge(&statistics->moment[i], statistics->context, &other->moment[i]);
}

/* ---------- results ---------- */

static void
get_moment(const ExactStatistics *statistics, ExactMoment which, BigNumber *result)
{
	exact_number_get(&statistics->moment[which],
					 is_linear(which) ? EXACT_SUM_UNIT : EXACT_PRODUCT_UNIT, result);
}

/* N * Sab - Sa * Sb */
static void
centre(const ExactStatistics *statistics, ExactMoment product, ExactMoment a, ExactMoment b,
	   BigNumber *result)
{
	BigNumber first;
	BigNumber second;
	BigNumber minuend;
	BigNumber subtrahend;

	big_from_int64(&first, statistics->count);
	get_moment(statistics, product, &second);
	big_multiply(&first, &second, &minuend);
	get_moment(statistics, a, &first);
	get_moment(statistics, b, &second);
	big_multiply(&first, &second, &subtrahend);
	big_subtract(&minuend, &subtrahend, result);
}

static void
centre_xx(const ExactStatistics *statistics, BigNumber *result)
{
	centre(statistics, EXACT_XX, EXACT_X, EXACT_X, result);
}

static void
centre_yy(const ExactStatistics *statistics, BigNumber *result)
{
	centre(statistics, EXACT_YY, EXACT_Y, EXACT_Y, result);
}

static void
centre_xy(const ExactStatistics *statistics, BigNumber *result)
{
	centre(statistics, EXACT_XY, EXACT_X, EXACT_Y, result);
}

static bool
is_special(const ExactStatistics *statistics, int variable)
{
	return unlikely(statistics->specials[variable] != NULL);
}

/* Are there two different values, so far as we know? Otherwise the variable is a constant. */
static bool
varies(const ExactStatistics *statistics, int variable, const BigNumber *centred)
{
	return is_special(statistics, variable) || !big_is_zero(centred);
}

/* centred / (N * other), of which N or N - 1 is the other */
static float8
divide_by_counts(const ExactStatistics *statistics, const BigNumber *centred, int64 other,
				 bool root)
{
	BigNumber count;
	BigNumber factor;
	BigNumber divisor;

	big_from_int64(&count, statistics->count);
	big_from_int64(&factor, other);
	big_multiply(&count, &factor, &divisor);
	return root ? big_ratio_root(centred, &divisor) : big_ratio(centred, &divisor);
}

static float8
variance(const ExactStatistics *statistics, bool sample, bool root)
{
	BigNumber xx;

	if (is_special(statistics, X))
		return get_float8_nan();
	centre_xx(statistics, &xx);
	return divide_by_counts(statistics, &xx, statistics->count - sample, root);
}

static float8
covariance(const ExactStatistics *statistics, bool sample)
{
	BigNumber xy;

	if (is_special(statistics, X) || is_special(statistics, Y))
		return get_float8_nan();
	centre_xy(statistics, &xy);
	return divide_by_counts(statistics, &xy, statistics->count - sample, false);
}

static float8
average(const ExactStatistics *statistics, int variable)
{
	float8 special;
	BigNumber sum;
	BigNumber count;

	if (exact_specials_sum(statistics->specials[variable], &special))
		return special;
	get_moment(statistics, variable == X ? EXACT_X : EXACT_Y, &sum);
	big_from_int64(&count, statistics->count);
	return big_ratio(&sum, &count);
}

/* The sums of squared differences, which are N times the population's variance or covariance. */
static float8
differences(const ExactStatistics *statistics, ExactStatistic which)
{
	BigNumber centred;
	BigNumber count;

	if ((which != EXACT_REGR_SYY && is_special(statistics, X)) ||
		(which != EXACT_REGR_SXX && is_special(statistics, Y)))
		return get_float8_nan();
	if (which == EXACT_REGR_SXX)
		centre_xx(statistics, &centred);
	else if (which == EXACT_REGR_SYY)
		centre_yy(statistics, &centred);
	else
		centre_xy(statistics, &centred);
	big_from_int64(&count, statistics->count);
	return big_ratio(&centred, &count);
}

/* (-1)^sign * xy^2 / (xx * yy), for the correlation its root */
static float8
determination(const BigNumber *xx, const BigNumber *yy, const BigNumber *xy, bool root)
{
	BigNumber dividend;
	BigNumber divisor;

	big_multiply(xy, xy, &dividend);
	big_multiply(xx, yy, &divisor);
	if (!root)
		return big_ratio(&dividend, &divisor);
	dividend.negative = xy->negative;
	return big_ratio_root(&dividend, &divisor);
}

/* (Sy * xx - Sx * xy) / (N * xx) */
static float8
intercept(const ExactStatistics *statistics, const BigNumber *xx, const BigNumber *xy)
{
	BigNumber factor;
	BigNumber minuend;
	BigNumber subtrahend;
	BigNumber dividend;
	BigNumber divisor;

	get_moment(statistics, EXACT_Y, &factor);
	big_multiply(&factor, xx, &minuend);
	get_moment(statistics, EXACT_X, &factor);
	big_multiply(&factor, xy, &subtrahend);
	big_subtract(&minuend, &subtrahend, &dividend);
	big_from_int64(&factor, statistics->count);
	big_multiply(&factor, xx, &divisor);
	return big_ratio(&dividend, &divisor);
}

/*
 * What looks at both variables' spread. The order of the tests is that of PostgreSQL, and the
 * standard's: a vertical line has no regression, a horizontal one no correlation, but fits.
 */
static bool
regression(const ExactStatistics *statistics, ExactStatistic which, float8 *result)
{
	BigNumber xx;
	BigNumber yy;
	BigNumber xy;

	centre_xx(statistics, &xx);
	if (!varies(statistics, X, &xx))
		return false;
	if (which == EXACT_CORR || which == EXACT_REGR_R2)
	{
		centre_yy(statistics, &yy);
		if (!varies(statistics, Y, &yy))
		{
			*result = 1.0;
			return which == EXACT_REGR_R2;
		}
	}
	if (is_special(statistics, X) || is_special(statistics, Y))
	{
		*result = get_float8_nan();
		return true;
	}
	centre_xy(statistics, &xy);
	if (which == EXACT_REGR_SLOPE)
		*result = big_ratio(&xy, &xx);
	else if (which == EXACT_REGR_INTERCEPT)
		*result = intercept(statistics, &xx, &xy);
	else
		*result = determination(&xx, &yy, &xy, which == EXACT_CORR);
	return true;
}

bool
exact_statistics_result(const ExactStatistics *statistics, ExactStatistic which, float8 *result)
{
	bool sample = which == EXACT_VAR_SAMP || which == EXACT_STDDEV_SAMP ||
				  which == EXACT_COVAR_SAMP;

	if (statistics->count < (sample ? 2 : 1))
		return false;
	switch (which)
	{
		case EXACT_VAR_POP:
		case EXACT_VAR_SAMP:
			*result = variance(statistics, sample, false);
			return true;
		case EXACT_STDDEV_POP:
		case EXACT_STDDEV_SAMP:
			*result = variance(statistics, sample, true);
			return true;
		case EXACT_COVAR_POP:
		case EXACT_COVAR_SAMP:
			*result = covariance(statistics, sample);
			return true;
		case EXACT_REGR_AVGX:
			*result = average(statistics, X);
			return true;
		case EXACT_REGR_AVGY:
			*result = average(statistics, Y);
			return true;
		case EXACT_REGR_SXX:
		case EXACT_REGR_SYY:
		case EXACT_REGR_SXY:
			*result = differences(statistics, which);
			return true;
		case EXACT_CORR:
		case EXACT_REGR_R2:
		case EXACT_REGR_SLOPE:
		case EXACT_REGR_INTERCEPT:
			return regression(statistics, which, result);
	}
	pg_unreachable();
}

/* ---------- partial sums ---------- */

/*
 * The format: the number of variables (8 bits), the count (64 bits), then for each variable what
 * isn't in the sums, then the sums.
 */
void
exact_statistics_write(const ExactStatistics *statistics, StringInfo buf)
{
	pq_sendint8(buf, statistics->variables);
	pq_sendint64(buf, statistics->count);
	for (int i = 0; i < statistics->variables; i++)
		exact_specials_write(statistics->specials[i], buf);
	for (int i = 0; i < EXACT_MOMENTS(statistics->variables); i++)
		exact_number_write(&statistics->moment[i], buf);
}

static void
bad_bytes(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("invalid representation of exact statistics")));
}

static void
read_sums(ExactStatistics *empty, StringInfo buf)
{
	MemoryContext context = empty->context;

	empty->count = pq_getmsgint64(buf);
	if (empty->count < 0)
		bad_bytes();
	for (int i = 0; i < empty->variables; i++)
		exact_specials_read(&empty->specials[i], context, buf);
	for (int i = 0; i < EXACT_MOMENTS(empty->variables); i++)
		exact_number_read(&empty->moment[i], context,
						  is_linear(i) ? EXACT_SUM_PLACES : EXACT_PRODUCT_PLACES, buf);
}

ExactStatistics *
exact_statistics_read_new(MemoryContext context, StringInfo buf)
{
	int variables = pq_getmsgbyte(buf);
	ExactStatistics *statistics;

	if (variables != 1 && variables != 2)
		bad_bytes();
	statistics = MemoryContextAlloc(context, exact_statistics_size(variables));
	exact_statistics_init(statistics, context, variables);
	read_sums(statistics, buf);
	return statistics;
}

void
exact_statistics_read(ExactStatistics *empty, StringInfo buf)
{
	if (pq_getmsgbyte(buf) != empty->variables)
		bad_bytes();
	read_sums(empty, buf);
}
