/*
 * grid.c: the event times at which the windows of a GROUP BY can be.
 *
 *        |         |         |         |           e.g. each whole minute
 *   ─────┼─────────┼────x────┼─────────┼────▶ event time
 *      floor(x) ───┘         └─── ceiling(x); end(x) is a tick before it
 *
 * Rows of the view have event times on the grid only. So a frontier that has passed one may go on to the tick before the next;
 * what is asked from x on begins at ceiling(x), and what is asked up to x ends at floor(x). A grid may have more times than there are
 * windows, never fewer: where in doubt (near the ends of what a type holds) every tick counts as one.
 */
#include "tidemark.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/datetime.h"
#include "view/grid.h"

bool
grid_is_coarse(const Grid *grid)
{
	return grid->size > 1 || grid->months > 0;
}

/* ---- months ------------------------------------------------------------------------------------------ */

/* The month that a day (since 2000-01-01) is in, counted from January of the year 0. */
static int
month_of_day(int day)
{
	int year;
	int month;
	int day_of_month;

	j2date(day + POSTGRES_EPOCH_JDATE, &year, &month, &day_of_month);
	return year * MONTHS_PER_YEAR + month - 1;
}

static int
first_day_of_month(int number)
{
	int year = number / MONTHS_PER_YEAR;
	int month = number % MONTHS_PER_YEAR;

	if (month < 0)
	{
		month += MONTHS_PER_YEAR;
		year--;
	}
	return date2j(year, month + 1, 1) - POSTGRES_EPOCH_JDATE;
}

/* The first ticks of the month of the grid that t is in, and of the next one; false near the ends of time. */
static bool
month_bounds(const Grid *grid, Oid type, Ticks t, Ticks *first, Ticks *next)
{
	int64 unit = type == DATEOID ? 1 : USECS_PER_DAY;
	int64 day = t / unit - (t % unit < 0);
	int64 margin = (int64) grid->months * 31;
	int number;

	if (day - margin < DATETIME_MIN_JULIAN - POSTGRES_EPOCH_JDATE ||
		day + margin >= TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
		return false;
	number = month_of_day((int) day);
	number -= (number % grid->months + grid->months) % grid->months;
	*first = first_day_of_month(number) * unit;
	*next = first_day_of_month(number + grid->months) * unit;
	return true;
}

/* ---- any ----------------------------------------------------------------------------------------------- */

/* The times of the grid at or before t, and after t; false where every tick is one. */
static bool
around(const Grid *grid, Oid type, Ticks t, Ticks *before, Ticks *after)
{
	int64 distance;

	if (t == TICKS_MIN || t == TICKS_MAX)
		return false;
	if (grid->months > 0)
		return month_bounds(grid, type, t, before, after);
	if (grid->size <= 1 || pg_sub_s64_overflow(t, grid->origin, &distance))
		return false;
	distance %= grid->size;
	if (distance < 0)
		distance += grid->size;
	*before = ticks_minus(t, distance);
	*after = ticks_plus(t, grid->size - distance);
	return true;
}

Ticks
grid_floor(const Grid *grid, Oid type, Ticks t)
{
	Ticks before;
	Ticks after;

	return around(grid, type, t, &before, &after) ? before : t;
}

Ticks
grid_ceiling(const Grid *grid, Oid type, Ticks t)
{
	Ticks before;
	Ticks after;

	if (!around(grid, type, t, &before, &after) || before == t)
		return t;
	return after;
}

Ticks
grid_end(const Grid *grid, Oid type, Ticks t)
{
	Ticks before;
	Ticks after;

	return around(grid, type, t, &before, &after) ? ticks_minus(after, 1) : t;
}

bool
grid_is_part(const Grid *part, const Grid *whole)
{
	int64 distance;

	if (whole->months > 0)
		return part->months > 0 && part->months % whole->months == 0;
	if (whole->size <= 1)
		return true;
	if (part->months > 0)
		return USECS_PER_DAY % whole->size == 0 && whole->origin % whole->size == 0;
	return part->size % whole->size == 0 && part->size > 0 &&
		   !pg_sub_s64_overflow(part->origin, whole->origin, &distance) &&
		   distance % whole->size == 0;
}
