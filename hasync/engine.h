/*
 * engine - replication between two nodes over a totally ordered, reliable
 * multicast (CPG): batching, acknowledgements, snapshot to a joiner, resync.
 *
 * Pure: bytes in, bytes out, injected clock; no file descriptor, no thread.
 * Two engines wired back to back make a complete test. It owns the store.
 *
 * Guarantees: a record applied here is applied in the group's total order; a
 * `sync` put is reported committed when the peer's engine has applied it, or
 * after commit_timeout_ms, or at once when the peer is absent or not in sync;
 * a frame of an older epoch never changes anything; a joiner contributes no
 * records and keeps its old store until SYNC_END proves the new one.
 *
 * Layer: hasync. Keeper main thread.
 */
#ifndef HASYNC_ENGINE_H
#define HASYNC_ENGINE_H

#include <stddef.h>
#include "hasync/key.h"
#include "hasync/role.h"
#include "hasync/store.h"

struct ha_engine;

enum { HA_PRINTS_MAX = 32 };

/* What a node says about itself, on change and every status_interval_ms. */
struct ha_status {
	uint8_t node;
	enum ha_role role;
	bool in_sync;
	uint8_t health; /* 0..100 */
	uint32_t calls;
	uint64_t epoch; /* highest it has stored */
	uint64_t active_epoch; /* epoch of its last activation, 0 = never */
	uint64_t boot_id;
	uint64_t config_digest;
	/* Said by the peer, it shuts this node's gate; 0, 0 = none. */
	uint64_t fence[2];
	/* Filled in as it leaves, ms: the system's clock, and the clock that
	 * deadlines in records go by (sbcd/keeper/pairclock.h); 0 = unsaid. */
	uint64_t wall_ms, clock_ms;
	/* Fingerprints of what both nodes have to have and is not replicated,
	 * in an order that they agree on; 0 = unsaid. */
	uint64_t prints[HA_PRINTS_MAX];
	char name[32];
	char version[32];
};

/* Commands between keepers that must be in order with the records. */
enum ha_command {
	HA_CMD_SWITCHOVER_ASK = 1, /* standby -> active: please hand over */
	HA_CMD_GO = 2, /* old active -> new: everything is flushed, take */
	HA_CMD_REFUSED = 3, /* answer to ASK, arg = reason */
	HA_CMD_RELEASED = 4, /* old active: MAC and addresses are off */
	HA_CMD_CDR_WRITTEN = 5, /* standby: has all up to arg on its disk */
};

struct ha_engine_ops {
	/* Hand one frame to the group. -EAGAIN: asked again later. */
	int (*send)(void *ctx, const void *frame, size_t size);
	/* A record of the peer was applied (item->deleted for a tombstone). */
	void (*applied)(void *ctx, const struct ha_item *item);
	/* A sync put is safe, or its deadline passed (timed_out). */
	void (*committed)(void *ctx, uint64_t token, bool timed_out);
	/* The peer's status arrived or it is gone (status NULL). */
	void (*peer_status)(void *ctx, const struct ha_status *status);
	/* This node's view of "peer holds all we have" (donor side) or "we
	 * hold all the donor has" (joiner side) changed. */
	void (*sync_changed)(void *ctx, bool in_sync, const char *reason);
	void (*command)(void *ctx, uint8_t from, enum ha_command cmd,
			uint64_t arg);
	/* Something hostile or broken was dropped; for a rate-limited log. */
	void (*dropped)(void *ctx, uint8_t from, const char *why);
	/* Monotonic us, for stats.lag_us only. NULL: measured in the steps
	 * of ha_engine_flush()'s clock. */
	uint64_t (*now_us)(void *ctx);
	/* Sets the clocks of a status that leaves now. May be NULL. */
	void (*stamp)(void *ctx, struct ha_status *status);
};

struct ha_engine_params {
	uint8_t node; /* 1 or 2 */
	uint64_t boot_id;
	uint64_t epoch; /* highest stored epoch at start */
	uint32_t commit_timeout_ms; /* 20 */
	uint32_t batch_ms; /* 2 */
	/* Between two batches that somebody waits for: the first leaves at
	 * once, those after it share a frame. */
	uint32_t gap_ms; /* 5; 0 = one a turn */
	uint32_t batch_bytes; /* 32768 */
	uint32_t status_interval_ms; /* 500 */
	uint32_t snapshot_bytes_per_s;
	uint32_t missed_acks_max; /* 3 */
	/* Towards a peer that is slow or stuck; over it, it is given up and
	 * resynced later. 0 = 8 MB. */
	uint32_t queue_max_bytes;
	const struct ha_engine_ops *ops;
	void *ctx;
};

int ha_engine_create(struct ha_engine **out, const struct ha_engine_params *p)
	__attribute__((warn_unused_result));
void ha_engine_destroy(struct ha_engine *e);
struct ha_store *ha_engine_store(struct ha_engine *e);

/* ---- records (a local writer) ----------------------------------------- */
enum { HA_PUT_SYNC = 1 << 0 };
/*
 * Stores, queues for the peer. With HA_PUT_SYNC `committed(token)` follows
 * exactly once, possibly before this returns. -EPERM unless this node is the
 * writer now (role ACTIVE, or BECOMING_ACTIVE with its new epoch; in
 * RELINQUISHING still, until GO was queued) and while an active with a higher
 * epoch is known, -EMSGSIZE, -ENOMEM.
 */
int ha_engine_put(struct ha_engine *e, const struct ha_key *key,
		  const void *value, size_t size, unsigned flags,
		  uint64_t token) __attribute__((warn_unused_result));
int ha_engine_delete(struct ha_engine *e, const struct ha_key *key,
		     unsigned flags, uint64_t token)
	__attribute__((warn_unused_result));

/* ---- the group ---------------------------------------------------------- */
/* A frame of the group in total order, our own too. Hostile bytes are
 * dropped and reported. */
void ha_engine_receive(struct ha_engine *e, uint8_t from, const void *frame,
		       size_t size);
/* The group has changed: the peer is or is not a member. */
void ha_engine_membership(struct ha_engine *e, bool self, bool peer);
/*
 * Our role or epoch changed (the role machine decides, the engine obeys).
 * For BECOMING_ACTIVE and ACTIVE `epoch` is the one of this activation, above
 * ha_engine_epoch() before, and already durable. No callback but committed().
 */
void ha_engine_set_role(struct ha_engine *e, enum ha_role role, uint64_t epoch);
/* Highest epoch stored or heard from anybody: a new one must be greater. */
uint64_t ha_engine_epoch(const struct ha_engine *e);
/* node, role, in_sync, boot_id and, while active, active_epoch are filled in
 * by the engine. */
void ha_engine_set_status(struct ha_engine *e, const struct ha_status *own);
/* -ENOTCONN no peer, -EAGAIN too many waiting. */
int ha_engine_command(struct ha_engine *e, enum ha_command cmd, uint64_t arg)
	__attribute__((warn_unused_result));

/* ---- pacing -------------------------------------------------------------- */
/* Sends what is due. Call at the end of each loop turn and at the deadline. */
void ha_engine_flush(struct ha_engine *e, uint64_t now_ms);
/* Monotonic ms of the next thing to do, UINT64_MAX = nothing. */
uint64_t ha_engine_deadline_ms(const struct ha_engine *e);
/* True when the peer has acked everything put so far, or when there is no
 * peer or nothing was put here: then, when nothing waits to be sent. */
bool ha_engine_flushed(const struct ha_engine *e);

struct ha_engine_stats {
	uint64_t frames_sent, frames_received, frames_dropped;
	uint64_t records_sent, records_applied, records_stale;
	uint64_t snapshots_sent, snapshots_received, resyncs;
	uint64_t commits, commit_timeouts;
	uint64_t bytes_sent;
	uint32_t lag_us; /* put -> ack of the last acked frame */
	uint32_t unacked_frames;
	bool in_sync;
	bool peer_present;
	/* Highest that each node speaks, 0 = not heard; of frames sent now. */
	uint8_t own_wire_version, peer_wire_version, wire_version;
};
void ha_engine_get_stats(const struct ha_engine *e,
			 struct ha_engine_stats *out);

#endif
