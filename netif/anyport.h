/*
 * Media sockets: one UDP socket per shard and address family receives a
 * whole range of ports of the virtual addresses of a NIC (BPF sk_lookup),
 * and raw sockets that send from a virtual address.
 *
 * Guarantees:
 * - Only UDP that arrives on this NIC, for one of the given addresses and a
 *   port of its range, is steered; everything else (SIP 5060...) finds its
 *   socket as usual.
 * - May be opened while the addresses are not owned; they start to receive
 *   when the address is there.
 * - Steering lasts as long as the handle, or a duplicate of the link's fd in
 *   any process; sockets live as long as any duplicate.
 *
 * A datagram's destination comes with it: IP_ORIGDSTADDR (struct sockaddr_in)
 * or IPV6_ORIGDSTADDR (struct sockaddr_in6) control message.
 *
 * Layer: netif (library). Process: keeper opens, media worker uses the fds
 * (needs no privilege). Thread: any, one at a time per handle.
 */
#ifndef NETIF_ANYPORT_H
#define NETIF_ANYPORT_H

#include <stddef.h>
#include <stdint.h>

#include "netif/addr.h"

struct netif_anyport;

enum {
	NETIF_ANYPORT_SHARDS_MAX = 64,
	NETIF_ANYPORT_ADDRS_MAX = 32,
	/* Ranges of one address. */
	NETIF_ANYPORT_RANGES_MAX = 8,
};

/* Ports lo..hi (both included) of an address. */
struct netif_anyport_range {
	struct netif_ip addr; /* prefix is not used */
	uint16_t lo;
	uint16_t hi;
};

struct netif_anyport_params {
	const char *nic;
	/* Ranges of one address must not overlap. */
	const struct netif_anyport_range *ranges;
	size_t ranges_len;
	unsigned shards; /* 1..NETIF_ANYPORT_SHARDS_MAX */
	unsigned rcvbuf_bytes; /* per socket; 0 = leave the default */
};

/*
 * Which shard gets a port of a range that starts at lo: four ports in a row,
 * counted from lo, stay together, so that RTP and RTCP of a stream (p, p + 1)
 * and of its neighbour (p + 2, p + 3) meet in one thread.
 */
static inline unsigned netif_anyport_shard(uint16_t lo, uint16_t port,
					   unsigned shards)
{
	return ((unsigned)(port - lo) >> 2) % shards;
}

/*
 * Opens shards sockets for every family in ranges[] and attaches the
 * program to the current network namespace. -ENODEV, -EINVAL, -ENOMEM, or
 * -errno of socket and BPF calls.
 */
int netif_anyport_create(struct netif_anyport **out,
			 const struct netif_anyport_params *p)
	__attribute__((warn_unused_result));

/* Closes the handle's own fds: duplicates go on. NULL is legal. */
void netif_anyport_destroy(struct netif_anyport *a);

/* Socket of a shard and family; still owned by the handle. -ENOENT. */
int netif_anyport_fd(const struct netif_anyport *a, unsigned shard,
		     uint8_t family);

/* The attachment; hand a duplicate to whom steering shall outlive. */
int netif_anyport_link_fd(const struct netif_anyport *a);

unsigned netif_anyport_shards(const struct netif_anyport *a);

/*
 * A socket that sends whole IP packets (header included, IPv4 or IPv6) with
 * source vip out of nic, routed by the rules for vip; it need not be owned
 * yet. Non-blocking, close-on-exec, receives nothing. sndbuf_bytes 0 = leave
 * the default.
 *
 * IPv4: the kernel fills in total length, header checksum and a zero id.
 * IPv6: the packet is sent as it is. sendmsg() needs the destination in
 * msg_name in both cases, with port 0.
 * The routing is that of the bound address; the source in the packet is not
 * looked at: one socket per address.
 *
 * Returns the fd or -errno.
 */
int netif_raw_open(const char *nic, const struct netif_ip *vip,
		   unsigned sndbuf_bytes) __attribute__((warn_unused_result));

#endif
