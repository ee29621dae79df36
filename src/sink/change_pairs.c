/*
 * change_pairs.c: corrections of rows that have keys, as updates.
 *
 * A transaction's corrections are rows that went and rows that came. Of one key, a row that came and went again is struck out; the first row
 * that is left of those that went, and the first of those that came, are an update; and so on, if the key has several rows.
 * What is left over is deletes and inserts. Where nothing is left of a key (a row came and went), or where a key has very many
 * changes (it doesn't tell rows apart), the corrections are given as they are: each transaction that corrected something has a change.
 *
 * The order is that of each key's first correction. Memory goes with the transaction.
 */
#include "tidemark.h"

#include "utils/datum.h"
#include "utils/memutils.h"

#include "sink/change_pairs.h"

/* Changes of one key in one transaction that are paired. */
#define MOST_PAIRED 10000

typedef struct Correction
{
	FeedOp op;
	struct varlena *key;
	Datum row;
	int number; /* in the transaction */
	int first;	/* number of the key's first one */
} Correction;

struct ChangePairs
{
	MemoryContext context; /* of all that is in it */
	Correction *corrections;
	int n;
	int size; /* of the array; 0: there is none */
};

ChangePairs *
change_pairs_create(void)
{
	ChangePairs *pairs = palloc0(sizeof(ChangePairs));

	pairs->context = AllocSetContextCreate(CurrentMemoryContext, "tidemark change pairs",
										   ALLOCSET_DEFAULT_SIZES);
	return pairs;
}

void
change_pairs_add(ChangePairs *pairs, FeedOp op, Datum key, Datum row)
{
	MemoryContext old = MemoryContextSwitchTo(pairs->context);
	Correction *correction;

	if (pairs->size == 0)
	{
		pairs->size = 64;
		pairs->corrections = palloc(sizeof(Correction) * pairs->size);
	}
	if (pairs->n == pairs->size)
	{
		pairs->size *= 2;
		pairs->corrections = repalloc_huge(pairs->corrections, sizeof(Correction) * pairs->size);
	}
	correction = &pairs->corrections[pairs->n];
	*correction = (Correction){.op = op, .number = pairs->n};
	correction->key = (struct varlena *) DatumGetPointer(datumCopy(key, false, -1));
	correction->row = datumCopy(row, false, -1);
	pairs->n++;
	MemoryContextSwitchTo(old);
}

static int
compare_keys(const void *left, const void *right)
{
	const Correction *a = left;
	const Correction *b = right;
	int result;

	if (VARSIZE_ANY(a->key) != VARSIZE_ANY(b->key))
		return VARSIZE_ANY(a->key) < VARSIZE_ANY(b->key) ? -1 : 1;
	result = memcmp(a->key, b->key, VARSIZE_ANY(a->key));
	return result != 0 ? result : a->number - b->number;
}

static int
compare_first(const void *left, const void *right)
{
	const Correction *a = left;
	const Correction *b = right;

	return a->first != b->first ? a->first - b->first : a->number - b->number;
}

static bool
is_same_key(const Correction *a, const Correction *b)
{
	return VARSIZE_ANY(a->key) == VARSIZE_ANY(b->key) &&
		   memcmp(a->key, b->key, VARSIZE_ANY(a->key)) == 0;
}

/* Strikes out the last row of the list that is this one; false if there's none. */
static bool
strike_out(List **rows, Datum row)
{
	for (int i = list_length(*rows) - 1; i >= 0; i--)
	{
		if (!datumIsEqual(PointerGetDatum(list_nth(*rows, i)), row, false, -1))
			continue;
		*rows = list_delete_nth_cell(*rows, i);
		return true;
	}
	return false;
}

static void
put_as_they_are(const Correction *corrections, int n, void (*put)(const Change *change, void *arg),
				void *arg)
{
	for (int i = 0; i < n; i++)
	{
		Change change = {.op = corrections[i].op == FEED_DELETE ? "delete" : "insert",
						 .row = corrections[i].row};

		put(&change, arg);
	}
}

/* What is left of rows that went and rows that came. */
static void
put_pairs(List *went, List *came, void (*put)(const Change *change, void *arg), void *arg)
{
	for (int i = 0; i < Max(list_length(went), list_length(came)); i++)
	{
		Change change = {.op = "update"};

		if (i >= list_length(came))
			change.op = "delete";
		else if (i >= list_length(went))
			change.op = "insert";
		else
			change.old_row = PointerGetDatum(list_nth(went, i));
		change.row = PointerGetDatum(list_nth(i < list_length(came) ? came : went, i));
		put(&change, arg);
	}
}

/* The corrections of one key. */
static void
put_key(const Correction *corrections, int n, void (*put)(const Change *change, void *arg),
		void *arg)
{
	List *went = NIL;
	List *came = NIL;

	for (int i = 0; i < n && n <= MOST_PAIRED; i++)
	{
		Pointer row = DatumGetPointer(corrections[i].row);

		if (corrections[i].op != FEED_DELETE)
			came = lappend(came, row);
		else if (!strike_out(&came, corrections[i].row))
			went = lappend(went, row);
	}
	if (went == NIL && came == NIL)
		put_as_they_are(corrections, n, put, arg);
	else
		put_pairs(went, came, put, arg);
	list_free(went);
	list_free(came);
}

void
change_pairs_flush(ChangePairs *pairs, void (*put)(const Change *change, void *arg), void *arg)
{
	Correction *corrections = pairs->corrections;
	int n = pairs->n;

	if (n == 0)
		return;
	qsort(corrections, n, sizeof(Correction), compare_keys);
	for (int i = 0; i < n; i++)
		corrections[i].first = i > 0 && is_same_key(&corrections[i], &corrections[i - 1])
								   ? corrections[i - 1].first
								   : corrections[i].number;
	qsort(corrections, n, sizeof(Correction), compare_first);
	for (int i = 0, end; i < n; i = end)
	{
		for (end = i + 1; end < n && corrections[end].first == corrections[i].first;)
			end++;
		put_key(&corrections[i], end - i, put, arg);
	}
	pairs->n = pairs->size = 0;
	pairs->corrections = NULL;
	MemoryContextReset(pairs->context);
}
