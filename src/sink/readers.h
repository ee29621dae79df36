/*
 * readers.h: which session reads which subscription, in shared memory; and waiting for changes.
 */
#ifndef TIDEMARK_SINK_READERS_H
#define TIDEMARK_SINK_READERS_H

#include "nodes/execnodes.h"
#include "sink/feed.h"

extern Size readers_shmem_size(void);
extern void readers_shmem_startup(void);

typedef enum ReaderClaim
{
	READER_BUSY, /* another session has changes that are not acknowledged, or reads now */
	READER_NEW,	 /* it is this session's now */
	READER_SAME	 /* it was before */
} ReaderClaim;

/*
 * Takes a subscription for this session, unless another one has it: until reader_leave, or until what reader_given says is acknowledged,
 * or until the transaction in which it was taken fails, or until the session ends. acknowledged: the position, as committed.
 */
extern ReaderClaim reader_take(int32 subscription, const FeedPosition *acknowledged);

/* Reading is over: this session has the changes up to there, and is to acknowledge them. */
extern void reader_given(int32 subscription, const FeedPosition *position);

/*
 * Reading is over, and nothing came of it: things are as before reader_take. Nobody is told: where nothing is, nobody else needs to look,
 * and two who wait would wake each other for ever.
 */
extern void reader_leave(int32 subscription, ReaderClaim claim);

/* At commit, sessions that wait for the subscription look again. */
extern void readers_tell_at_commit(void);

/*
 * The sessions that have subscriptions of this database: rows (subscription int4, pid int4, reads bool, frontier int8, seq int8). One that
 * doesn't read now has the changes up to there.
 */
extern void readers_list(ReturnSetInfo *result);

/* Tells whoever waits that a view's rows have changed, or that a subscription may be free; cheap. How often that was. */
extern void readers_signal(void);
extern uint64 readers_signals(void);

/* Waits until that has been done more often, or for so long. Interruptible. */
extern void readers_wait(uint64 signals, long timeout_ms);

#endif
