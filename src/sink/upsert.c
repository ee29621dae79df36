/*
 * upsert.c: corrections of rows that have keys: what is left of them, a record a key.
 *
 * A correction comes as rows that went and rows that came, in event-time order, several of them in a transaction. A key's row that was changed went
 * and came; one whose event time was changed may have come before it went. So it's not the last one that counts: of the rows of
 * a key that came, those that went again are struck out, by comparing them; if one is left, it's the key's present row, and if
 * none is, but one went that had not come here, the key is gone.
 *
 * This holds over all that a portion has, whose transactions are whole (sink/feed.c). Memory goes with that.
 */
#include "tidemark.h"

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "sink/upsert.h"

/* A key's corrections. */
typedef struct Entry
{
	OutgoingRecord record; /* of the key, without a payload */
	List *came;			   /* of UpsertRow */
	UpsertRow *went;	   /* the first that had not come here */
} Entry;

/* In the hash table: a key's bytes, and its entry. */
typedef struct KeyBytes
{
	const char *bytes;
	size_t len;
} KeyBytes;

typedef struct Slot
{
	KeyBytes key; /* hash key */
	Entry *entry;
} Slot;

struct UpsertBuffer
{
	MemoryContext context; /* of all that is in it */
	HTAB *keys;			   /* NULL: it is empty */
	List *entries;		   /* of Entry, in the order in which they came */
};

static uint32
hash_key(const void *key, Size size)
{
	const KeyBytes *bytes = key;

	return hash_bytes((const unsigned char *) bytes->bytes, (int) bytes->len);
}

static int
compare_keys(const void *left, const void *right, Size size)
{
	const KeyBytes *a = left;
	const KeyBytes *b = right;

	return a->len != b->len ? 1 : memcmp(a->bytes, b->bytes, a->len);
}

UpsertBuffer *
upsert_buffer_create(void)
{
	UpsertBuffer *buffer = palloc0(sizeof(UpsertBuffer));

	buffer->context =
		AllocSetContextCreate(CurrentMemoryContext, "tidemark upserts", ALLOCSET_DEFAULT_SIZES);
	return buffer;
}

static char *
copy_bytes(const char *bytes, size_t len)
{
	char *copy = bytes ? palloc(len + 1) : NULL;

	if (copy)
		memcpy(copy, bytes, len);
	return copy;
}

/* A record without its payload. */
static OutgoingRecord
copy_record(const OutgoingRecord *record)
{
	OutgoingRecord copy = *record;

	copy.key = copy_bytes(record->key, record->key_len);
	copy.payload = NULL;
	copy.payload_len = 0;
	copy.headers = palloc(sizeof(OutgoingHeader) * Max(record->n_headers, 1));
	for (int i = 0; i < record->n_headers; i++)
	{
		copy.headers[i] = record->headers[i];
		copy.headers[i].name = pstrdup(record->headers[i].name);
		copy.headers[i].value = copy_bytes(record->headers[i].value, record->headers[i].value_len);
	}
	return copy;
}

static Entry *
entry_of(UpsertBuffer *buffer, const OutgoingRecord *record)
{
	KeyBytes key = {record->key, record->key_len};
	bool found;
	Slot *slot;

	if (buffer->keys == NULL)
	{
		HASHCTL control = {.keysize = sizeof(KeyBytes),
						   .entrysize = sizeof(Slot),
						   .hash = hash_key,
						   .match = compare_keys,
						   .hcxt = buffer->context};

		buffer->keys = hash_create("tidemark upserts", 256, &control,
								   HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	}
	slot = hash_search(buffer->keys, &key, HASH_ENTER, &found);
	if (!found)
	{
		slot->entry = palloc0(sizeof(Entry));
		slot->entry->record = copy_record(record);
		slot->key.bytes = slot->entry->record.key;
		buffer->entries = lappend(buffer->entries, slot->entry);
	}
	return slot->entry;
}

static bool
is_row(const UpsertRow *row, const OutgoingRecord *record)
{
	return (row->bytes == NULL) == (record->payload == NULL) && row->len == record->payload_len &&
		   (row->bytes == NULL || memcmp(row->bytes, record->payload, row->len) == 0);
}

static UpsertRow *
copy_row(const OutgoingRecord *record)
{
	UpsertRow *row = palloc(sizeof(UpsertRow));

	row->bytes = copy_bytes(record->payload, record->payload_len);
	row->len = record->payload_len;
	return row;
}

/* Strikes out a row that came like this; false if there's none. */
static bool
strike_out(Entry *entry, const OutgoingRecord *record)
{
	ListCell *cell;

	foreach (cell, entry->came)
	{
		if (!is_row(lfirst(cell), record))
			continue;
		entry->came = list_delete_cell(entry->came, cell);
		return true;
	}
	return false;
}

void
upsert_buffer_add(UpsertBuffer *buffer, FeedOp op, const OutgoingRecord *record)
{
	MemoryContext old = MemoryContextSwitchTo(buffer->context);
	Entry *entry = entry_of(buffer, record);

	if (op != FEED_DELETE)
		entry->came = lappend(entry->came, copy_row(record));
	else if (!strike_out(entry, record) && entry->went == NULL)
		entry->went = copy_row(record);
	MemoryContextSwitchTo(old);
}

void
upsert_buffer_flush(UpsertBuffer *buffer, UpsertSender send, void *arg)
{
	ListCell *cell;

	if (buffer->keys == NULL)
		return;
	foreach (cell, buffer->entries)
	{
		Entry *entry = lfirst(cell);
		UpsertRow *present = entry->came ? llast(entry->came) : NULL;

		if (present == NULL && entry->went == NULL)
			continue;
		if (present)
		{
			entry->record.payload = present->bytes;
			entry->record.payload_len = present->len;
		}
		send(&entry->record, entry->went, present, arg);
	}
	buffer->keys = NULL;
	buffer->entries = NIL;
	MemoryContextReset(buffer->context);
}
