/*
 * window_arguments.c: what our window functions are called with.
 *
 * They see each row of a partition once, in the window's order, and keep what they have to know of those before it in the partition's
 * memory. So the rows before the current one are given back as it goes: a partition of any length takes no more memory for that.
 */
#include "tidemark.h"

#include "aggregate/window_arguments.h"

bool
window_arguments(WindowObject window, const char *name, int n, Datum *values)
{
	bool any_is_null = false;

	if (!WindowObjectIsValid(window))
		elog(ERROR, "%s called in non-window context", name);
	for (int i = 0; i < n; i++)
	{
		bool isnull;

		values[i] = WinGetFuncArgCurrent(window, i, &isnull);
		any_is_null |= isnull;
	}
	WinSetMarkPosition(window, WinGetCurrentPosition(window));
	return !any_is_null;
}
