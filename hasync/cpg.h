/*
 * cpg - the only place that talks to corosync: libcpg, libquorum in a thread
 * of its own, because a hung corosync can block cpg_mcast_joined() for
 * seconds. The main thread posts frames into a bounded queue and gets
 * deliveries through an event fd.
 *
 * When corosync goes away the thread reports `down` and reconnects with
 * back-off for ever.
 *
 * Layer: hasync. ha_cpg_*() are called by the keeper's main thread; callbacks
 * run inside ha_cpg_dispatch(), in the same thread.
 */
#ifndef HASYNC_CPG_H
#define HASYNC_CPG_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include "hasync/role.h"

struct ha_cpg;

struct ha_cpg_ops {
	void (*deliver)(void *ctx, uint8_t from, const void *frame,
			size_t size);
	/* Membership of the group. `peer_left` says why when the peer is no
	 * longer a member. ring_seq orders it against quorum(): a change of
	 * the ring is reported with the new ring's number. Repeats happen. */
	void (*members)(void *ctx, bool self, bool peer,
			enum ha_peer_left peer_left, uint64_t ring_seq);
	void (*quorum)(void *ctx, bool quorate, uint64_t ring_seq);
	/* Each change of whether the witness votes; only with params.witness */
	void (*witness)(void *ctx, bool votes);
	/* corosync itself is gone (false) or back (true). */
	void (*link)(void *ctx, bool up, const char *why);
};

struct ha_cpg_params {
	const char *group; /* "sbcd:<cluster name>" */
	uint8_t node; /* must equal corosync's nodeid: -EXDEV reported
			 through link(false, …) when it does not */
	bool witness; /* corosync has a quorum device */
	size_t queue_frames; /* bound of each direction */
	const struct ha_cpg_ops *ops;
	void *ctx;
};

int ha_cpg_create(struct ha_cpg **out, const struct ha_cpg_params *p)
	__attribute__((warn_unused_result));
/* Leaves the group, joins the thread (bounded wait). */
void ha_cpg_destroy(struct ha_cpg *c);
/* Readable when ha_cpg_dispatch() has something to do. */
int ha_cpg_fd(const struct ha_cpg *c);
void ha_cpg_dispatch(struct ha_cpg *c);
/* Copies the frame. -EAGAIN: queue full; -ENOTCONN: no corosync; -EMSGSIZE:
 * above HA_FRAME_MAX_BYTES (wire.h). */
int ha_cpg_send(struct ha_cpg *c, const void *frame, size_t size)
	__attribute__((warn_unused_result));
size_t ha_cpg_queued(const struct ha_cpg *c);

#endif
