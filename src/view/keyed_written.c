/*
 * keyed_written.c: which rows of the current transaction are known to be new to a view's states.
 *
 * The state of a sum can't be told whether it has a row already. Late rows that a statement has inserted can be added to it only if
 * they are known exactly. They are among those that this transaction has written at their event times (tidemark.written_here), and
 * are all of these unless an earlier statement of the transaction wrote there too. So the event times at which the
 * view has taken in rows of this transaction are remembered until its end. What a subtransaction wrote that is rolled back is
 * remembered as well, which costs a recomputation and no more.
 *
 * Rows that the transaction has written above the frontier are no such rows: the frontier doesn't pass them while it is open.
 */
#include "tidemark.h"

#include "access/xact.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "view/keyed_written.h"

typedef struct Taken
{
	Oid mat;	/* of the view */
	Ticks time; /* TICKS_MIN: any */
} Taken;

static HTAB *
taken_rows(void)
{
	static HTAB *taken = NULL;
	static TransactionId transaction = InvalidTransactionId;

	if (transaction != GetTopTransactionId())
	{
		HASHCTL control = {
			.keysize = sizeof(Taken), .entrysize = sizeof(Taken), .hcxt = TopTransactionContext};

		taken = hash_create("tidemark rows taken in", 64, &control,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		transaction = GetTopTransactionId();
	}
	return taken;
}

/* True if that is new. */
static bool
take(const ContinuousView *view, Ticks time, HASHACTION action)
{
	Taken key;
	bool found;

	memset(&key, 0, sizeof(key)); /* there may be padding */
	key.mat = view->mat;
	key.time = time;
	(void) hash_search(taken_rows(), &key, action, &found);
	return !found;
}

bool
keyed_written_are_new(const ContinuousView *view, const Ticks *times, int n)
{
	bool new = take(view, TICKS_MIN, HASH_FIND);

	for (int i = 0; i < n; i++)
		if (i == 0 || times[i] != times[i - 1])
			new &= take(view, times[i], HASH_ENTER);
	return new;
}

void
keyed_written_anywhere(const ContinuousView *view)
{
	(void) take(view, TICKS_MIN, HASH_ENTER);
}
