/*
 * store - the record store of one node: key -> (version, value), tombstones
 * included. Newest version wins; applying is idempotent. Values are opaque
 * bytes. Memory is exact: header + value, one allocation a record.
 *
 * Layer: hasync. Keeper main thread.
 */
#ifndef HASYNC_STORE_H
#define HASYNC_STORE_H

#include <stddef.h>
#include "hasync/key.h"

struct ha_store;

struct ha_item {
	struct ha_key key;
	struct ha_version version;
	const void *value; /* valid until the item is next written */
	size_t size;
	bool deleted; /* a tombstone: value NULL, size 0 */
};

int ha_store_create(struct ha_store **out) __attribute__((warn_unused_result));
void ha_store_destroy(struct ha_store *s);

/*
 * 1 when applied, 0 when what is stored is as new or newer (nothing changed),
 * -ENOMEM, -EMSGSIZE. The value is copied.
 */
int ha_store_put(struct ha_store *s, const struct ha_key *key,
		 const struct ha_version *version, const void *value,
		 size_t size) __attribute__((warn_unused_result));
/* The same for a deletion: leaves a tombstone. */
int ha_store_delete(struct ha_store *s, const struct ha_key *key,
		    const struct ha_version *version, uint64_t now_ms)
	__attribute__((warn_unused_result));

/* False when absent; tombstones are found too (item.deleted). */
bool ha_store_get(const struct ha_store *s, const struct ha_key *key,
		  struct ha_item *out);

typedef bool ha_store_visit_fn(void *ctx, const struct ha_item *item);
/* Every record, tombstones too, in order of key; stops when fn says false.
 * fn must not change the store. */
void ha_store_foreach(const struct ha_store *s, ha_store_visit_fn *fn,
		      void *ctx);
/* Next record with a key greater than *after (NULL = the first), for paced
 * walks over a store that changes between the steps. False at the end. */
bool ha_store_next(const struct ha_store *s, const struct ha_key *after,
		   struct ha_item *out);

/* Live records; of one kind. */
size_t ha_store_count(const struct ha_store *s);
size_t ha_store_count_kind(const struct ha_store *s, uint8_t kind);
size_t ha_store_tombstones(const struct ha_store *s);
size_t ha_store_bytes(const struct ha_store *s);

/* Order-independent digest over (key, version, deleted) of live records. */
uint64_t ha_store_digest(const struct ha_store *s);

/*
 * Mark everything, renew by put/delete/touch, then drop what stayed marked:
 * a joiner's store at the end of a snapshot. fn sees each live record
 * dropped.
 *
 * A record still marked gives way to any version: the donor's copy is the
 * truth even where an ex-active holds a later generation. A put of the very
 * version that is stored only renews it and returns 0.
 */
void ha_store_mark_all(struct ha_store *s);
/* Forget the marks; everything stays. */
void ha_store_unmark_all(struct ha_store *s);
/* Digest and number of the live records renewed so far: what would be left
 * after a sweep. All of them when nothing is marked. */
uint64_t ha_store_digest_renewed(const struct ha_store *s);
size_t ha_store_count_renewed(const struct ha_store *s);
void ha_store_touch(struct ha_store *s, const struct ha_key *key);
size_t ha_store_sweep(struct ha_store *s, ha_store_visit_fn *fn, void *ctx);

/* Drops tombstones older than `age_ms` (all members have acked them). */
size_t ha_store_reap(struct ha_store *s, uint64_t now_ms, uint64_t age_ms);

#endif
