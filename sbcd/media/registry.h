/*
 * registry - the control thread's list of streams by record key, and which of
 * them the keeper holds an mstate record of.
 *
 * An entry without a stream is an orphan: an mstate record that came before
 * its media record in a replay, or whose media record is gone.
 *
 * Layer: media. Control thread.
 */
#ifndef SBCD_MEDIA_REGISTRY_H
#define SBCD_MEDIA_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include "hasync/key.h"
#include "sbcd/record/kinds.h"

struct media_stream;
struct media_thread;
struct media_registry;

struct media_entry {
	struct ha_key key; /* of the media record */
	struct media_stream *stream; /* relay thread's; NULL: orphan */
	struct media_thread *thread; /* that owns it */
	bool mstate_known; /* the keeper has an mstate record */
	struct rec_mstate *waiting; /* for its stream; NULL: none */
};

int media_registry_create(struct media_registry **out)
	__attribute__((warn_unused_result));
void media_registry_destroy(struct media_registry *r);
/* NULL when absent; kind of the key is not looked at. */
struct media_entry *media_registry_find(struct media_registry *r,
					const struct ha_key *key);
/* Finds or adds; NULL when out of memory. */
struct media_entry *media_registry_add(struct media_registry *r,
				       const struct ha_key *key);
void media_registry_remove(struct media_registry *r, struct media_entry *e);
/* Calls fn for each; fn may remove its entry. */
typedef void media_registry_fn(void *ctx, struct media_entry *e);
void media_registry_each(struct media_registry *r, media_registry_fn *fn,
			 void *ctx);
/* All entries, in no time; those with a stream, without one: counted. */
uint64_t media_registry_len(const struct media_registry *r);
uint64_t media_registry_streams(const struct media_registry *r);
uint64_t media_registry_orphans(const struct media_registry *r);

#endif
