/*
 * worker - what the two kinds of worker process share with the keeper beyond
 * the link: how they are started and how file descriptors are described.
 *
 * The keeper re-executes its own binary as `sbcd --worker sip|media` with
 * fd 3 = link (record/link.h), fd 4 = counters page (base/counters.h), ids
 * already dropped, no capabilities, no_new_privs, PDEATHSIG set. The worker
 * waits for LINK_CONFIG, then LINK_FDS, then the replay.
 *
 * LINK_FDS carries JSON that describes the fds by index:
 *  media sockets, one message a network-interface:
 *   {"purpose":"media","network-interface":"core","shards":2,
 *    "fds":[{"kind":"anyport","family":4,"shard":0,"address":"10.10.0.10",
 *            "port-first":20000,"port-last":39999}, …
 *           {"kind":"raw","family":4,"address":"10.10.0.10"}]}
 *   element i of "fds" describes fd i; an any-port socket that serves several
 *   addresses or pools says "ranges":[{"address","port-first","port-last"},…]
 *   instead of its own three. Any-port sockets deliver
 *   IP_ORIGDSTADDR / IPV6_ORIGDSTADDR; raw sockets take whole IP packets.
 *  forwarding over the HA links (planned switchover):
 *   {"purpose":"forward","key":"<64 hex>[ <64 hex>]",
 *    "fds":[{"kind":"udp","peer":"10.99.1.2:5421"}, …]}
 *
 * Layer: base. Definitions only.
 */
#ifndef SBCD_BASE_WORKER_H
#define SBCD_BASE_WORKER_H

enum {
	WORKER_SHARDS_AUTO_MAX = 4, /* one a core */
	WORKER_SHARDS_MAX = 24, /* configured */
	/* A multiple of each number up to WORKER_SHARDS_AUTO_MAX. */
	WORKER_PORT_CLASSES = 12,
};

/* `threads` as configured: the same on both nodes, whose cores may differ. */
static inline unsigned worker_port_classes(unsigned threads)
{
	if (threads <= WORKER_SHARDS_AUTO_MAX)
		return WORKER_PORT_CLASSES;
	return threads < WORKER_SHARDS_MAX ? threads : WORKER_SHARDS_MAX;
}

/* Media ports: pair p = (port - port_first) / 2 of the steering pool. Even p
 * belong to node 1, odd p to node 2, so that a new active never hands out a
 * port the dead one just used; two neighbouring pairs share a shard (thread).
 * Every flow of a stream is on the same shard; the SIP worker takes ports of
 * one class, so it is, however many threads the node has that takes over. */
static inline unsigned worker_port_shard(unsigned port, unsigned port_first,
					 unsigned shards)
{
	return shards ? ((port - port_first) >> 2) % shards : 0;
}

static inline unsigned worker_port_node(unsigned port, unsigned port_first)
{
	return (((port - port_first) >> 1) & 1) + 1;
}

#endif
