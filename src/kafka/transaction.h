/*
 * transaction.h: a producer's transactions, and a position that is committed with them.
 */
#ifndef TIDEMARK_KAFKA_TRANSACTION_H
#define TIDEMARK_KAFKA_TRANSACTION_H

#include "kafka/producer.h"

/* What is kept as the committed offset of a consumer group: a number that grows, and a text. */
typedef struct KafkaPosition
{
	int64 number; /* -1: there is none */
	char *text;
} KafkaPosition;

/*
 * Ends what an earlier producer of the same id has left: its transaction is completed if it was about to be committed,
 * else aborted; from then on that producer can do no more. False, with *error, when the broker doesn't answer in time.
 */
extern bool kafka_transactions_init(KafkaProducer *producer, int timeout_ms, char **error);

/*
 * The position that the last committed transaction left in the group. Call it after kafka_transactions_init, which
 * lets none be undecided. palloc'd. False, with *error, when the broker doesn't answer in time.
 */
extern bool kafka_position_read(Oid foreign_table, Oid userid, const char *group,
								KafkaPosition *position, int timeout_ms, char **error);

/* What is sent from here on is seen by read_committed consumers when it's committed, all or nothing. */
extern void kafka_transaction_begin(KafkaProducer *producer);

/*
 * Commits what was sent, and the position with it. Any error that is raised leaves the transaction undecided: close
 * the producer, open another and ask it for the position.
 */
extern void kafka_transaction_commit(KafkaProducer *producer, const char *group,
									 const KafkaPosition *position);

#endif
