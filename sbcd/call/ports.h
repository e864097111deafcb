/*
 * ports - hands out pairs of media ports (even = RTP, odd = RTCP) of the
 * steering pools.
 *
 * The pool is split by node (base/worker.h): this node only hands out its own
 * half, so a new active never gives away a port the dead one just used. A
 * freed pair rests for PORTS_REST_MS and the one that rested longest goes
 * first. All pairs of a stream are of the same shard (of media threads, however
 * many there are).
 * Occupancy is rebuilt from media records: ports_take() is what a record
 * says, whichever node chose the port.
 *
 * Layer: call. SIP worker, su_root thread.
 */
#ifndef SBCD_CALL_PORTS_H
#define SBCD_CALL_PORTS_H

#include <stddef.h>
#include <stdint.h>

enum { PORTS_REST_MS = 30000, PORTS_SHARDS_MAX = 64 };

/* One steering pool. */
struct ports;

/* `first`..`last` inclusive; odd bounds are moved inwards. -EINVAL when no
 * pair is left. */
int ports_create(struct ports **out, uint16_t first, uint16_t last,
		 unsigned node, unsigned shards)
	__attribute__((warn_unused_result));
void ports_destroy(struct ports *p);

/*
 * The RTP port of a free pair of this node, of shard `shard`. -EAGAIN when none
 * has rested long enough. The pair is
 * set aside until ports_take() (in use) or ports_put() (not needed).
 */
int ports_get(struct ports *p, int shard, uint64_t now_ms)
	__attribute__((warn_unused_result));
/* A record says this pair is in use. Ports outside the pool are ignored. A
 * pair may be taken more than once; it is free when all gave it back. */
void ports_take(struct ports *p, uint16_t port);
void ports_put(struct ports *p, uint16_t port, uint64_t now_ms);

int ports_shard(const struct ports *p, uint16_t port);
size_t ports_used(const struct ports *p);
/* The shard in which both have most free pairs, and rested ones. */
int ports_best_shard(const struct ports *p, const struct ports *other,
		     uint64_t now_ms);

#endif
