/*
 * watermark.h: how far a stream's event time has come.
 */
#ifndef TIDEMARK_STREAM_WATERMARK_H
#define TIDEMARK_STREAM_WATERMARK_H

#include "stream/event_time.h"

/*
 * What ingestion knows of the stream's watermark, from ingest_partition as committed (greatest event time minus allowed
 * delay, the least over the partitions, idle ones aside), and as read in the calling transaction's snapshot.
 * False when the stream has no ingestion; TICKS_MIN when some partition holds it back from the start. *arrived (may be NULL): the
 * same without the delay: up to there have all partitions come, so that rows behind it are out of order in their own.
 */
extern bool watermark_of_ingestion(Oid stream, Ticks *watermark, Ticks *arrived);

#endif
