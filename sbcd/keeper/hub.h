/*
 * hub - where records go: from a worker to the store (and so to the peer) and
 * to the other worker, from the peer to both workers, and from the store to a
 * worker that has just started.
 *
 * Guarantees: a worker never has more than LINK_WINDOW records it has not
 * acknowledged; what changes while it has no credit is remembered by key, and
 * the newest value is sent later; every record is sent at least once before
 * REPLAY_END. A sync put is reported COMMITTED once the engine says so and
 * the media worker has applied every media record put before it, or after
 * HUB_COMMIT_MS.
 *
 * It knows neither sockets nor processes: both are behind struct hub_ops.
 *
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_HUB_H
#define SBCD_KEEPER_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "hasync/store.h"
#include "sbcd/record/link.h"

struct hub;

enum hub_worker { HUB_SIP = 0, HUB_MEDIA = 1, HUB_WORKERS = 2 };

enum {
	HUB_COMMIT_MS = 20,
	HUB_COMMITS_MAX = 65536, /* outstanding; beyond it nobody waits */
	HUB_REPLAY_BUDGET = 256, /* records of a replay in one loop turn */
	HUB_BURIED_MAX = 64,
};

struct hub_ops {
	/* As ha_engine_put() and ha_engine_delete(). */
	int (*put)(void *ctx, const struct ha_key *key, const void *value,
		   size_t size, unsigned flags, uint64_t token);
	int (*del)(void *ctx, const struct ha_key *key, unsigned flags,
		   uint64_t token);
	/* As link_send(). An error keeps the record for the next turn. */
	int (*send)(void *ctx, enum hub_worker w, const struct link_message *m);
	/* REPLAY_END is on its way to the worker. */
	void (*replayed)(void *ctx, enum hub_worker w);
	/* A worker did what it may not; it was dropped. For the log. */
	void (*refused)(void *ctx, enum hub_worker w, const struct ha_key *key,
			const char *why);
};

int hub_create(struct hub **out, const struct ha_store *store,
	       const struct hub_ops *ops, void *ctx)
	__attribute__((warn_unused_result));
void hub_destroy(struct hub *h);

/* What a new worker is given of what there is. */
enum hub_replay {
	/* Its last ones died of it. Where this node may write, the calls of a
	 * SIP worker are deleted: nobody knows them any more. */
	HUB_REPLAY_NONE = 0,
	HUB_REPLAY_ALL = 1,
	/* Calls and dialogs only, buried all of them: to say BYE. */
	HUB_REPLAY_FAREWELL = 2,
};
/* The worker has its configuration: replay, then live. */
void hub_attach(struct hub *h, enum hub_worker w, enum hub_replay what);
/* This node serves from now on: what could not be deleted before is now. */
void hub_serve(struct hub *h);
/* It died. Forgets what it had not acknowledged. */
void hub_detach(struct hub *h, enum hub_worker w);
/* All of its replay was sent. */
bool hub_is_replayed(const struct hub *h, enum hub_worker w);
/* Sends what it can of the changes that wait. False when some still do, or
 * the replay does: ops->replayed() is called, again, when none does. */
bool hub_catch_up(struct hub *h, enum hub_worker w);
/* The replay was sent, and the worker has said that it took it. */
bool hub_has_applied(const struct hub *h, enum hub_worker w);

/* PUT, DELETE and APPLIED; other types are not for the hub. */
void hub_from_worker(struct hub *h, enum hub_worker w,
		     const struct link_message *m, uint64_t now_ms);
/* The peer's engine, or the keeper itself, changed this record. */
void hub_applied(struct hub *h, const struct ha_key *key);
/* ha_engine_ops.committed */
void hub_committed(struct hub *h, uint64_t token, bool timed_out);

/* Sends what can be sent. At the end of each loop turn and at the deadline. */
void hub_pump(struct hub *h, uint64_t now_ms);
/* Monotonic ms, UINT64_MAX = none. */
uint64_t hub_deadline_ms(const struct hub *h);

/*
 * A worker died of this record (kind 0: of this call). From now on the media
 * worker is not given the call, the SIP worker all of it but this record, and
 * the word to end it. The second time nobody is given any of it and, where
 * this node may write, it is deleted everywhere. Returns how many records
 * were deleted, -EINVAL when it belongs to no call.
 */
ssize_t hub_bury(struct hub *h, enum hub_worker w,
		 const struct ha_key *culprit);

/* Calls that hub_serve() is going to delete, because a worker died of them
 * twice. Returns how many; the ids of the first `max` are written. */
size_t hub_doomed(const struct hub *h, uint64_t *ids, size_t max);

struct hub_stats {
	uint64_t puts, deletes, refused, commits, commit_timeouts;
	uint64_t sent[HUB_WORKERS];
	size_t waiting[HUB_WORKERS]; /* changed, not sent yet */
	size_t unacked[HUB_WORKERS];
	size_t commits_pending;
};
void hub_get_stats(const struct hub *h, struct hub_stats *out);

#endif
