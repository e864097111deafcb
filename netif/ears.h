/*
 * Packet sockets that hear ARP and neighbour discovery about given addresses
 * on one NIC, past the IP stack: a classic BPF filter lets nothing else in.
 *
 * Layer: netif (library), internal. Process: keeper. Thread: one at a time per
 * handle.
 */
#ifndef NETIF_EARS_H
#define NETIF_EARS_H

#include <linux/if_ether.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netif/addr.h"

enum {
	NETIF_EARS_ADDRS_MAX = 16,
	NETIF_EARS_FDS_MAX = 2, /* one a family */
	/* Where things are in a frame. */
	NETIF_SOURCE_MAC_AT = ETH_ALEN,
	NETIF_ARP_OP_AT = ETH_HLEN + 6,
	NETIF_ARP_SENDER_MAC_AT = ETH_HLEN + 8,
	NETIF_IP6_SOURCE_AT = ETH_HLEN + 8,
	NETIF_ICMP6_TYPE_AT = ETH_HLEN + 40,
};

struct netif_ears {
	int ifindex;
	int fds[NETIF_EARS_FDS_MAX]; /* by family, -1 = none of its addresses */
	struct netif_ip addrs[NETIF_EARS_ADDRS_MAX];
	size_t addrs_len;
	bool answers;
};

/*
 * Hears ARP with one of these (1..max of them, max <= 16) as sender, and
 * neighbour discovery with one as target; with `answers`, ARP replies and
 * advertisements alone. Frames this node sends are not heard.
 * -ENODEV, -EINVAL, -errno; closed again after an error.
 */
int netif_ears_open(struct netif_ears *e, const char *nic,
		    const struct netif_ip *addrs, size_t len, size_t max,
		    bool answers) __attribute__((warn_unused_result));
void netif_ears_close(struct netif_ears *e);

/* For epoll, EPOLLIN; how many. */
size_t netif_ears_fds(const struct netif_ears *e, int fds[NETIF_EARS_FDS_MAX]);
/* The socket for that family, -1 = none: also to send with. */
int netif_ears_fd(const struct netif_ears *e, uint8_t family);

/* A whole frame that is about addrs[i]; IPv6: it has passed no router. */
typedef void netif_ears_fn(void *ctx, size_t i, const uint8_t *frame);

/* Reads at most `budget` frames a family. Never blocks. */
void netif_ears_hear(struct netif_ears *e, unsigned budget, netif_ears_fn *fn,
		     void *ctx);

#endif
