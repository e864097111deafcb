/*
 * Packet sockets that hear ARP or neighbour discovery about given addresses
 * on one NIC, past the IP stack: a classic BPF filter lets nothing else in.
 *
 * Layer: netif (library), internal. Process: keeper. Thread: any (no state).
 */
#ifndef NETIF_FILTER_H
#define NETIF_FILTER_H

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netif/addr.h"

enum {
	NETIF_FILTER_ADDRS_MAX = 16,
	NETIF_FILTER_CODE_MAX = 16 + NETIF_FILTER_ADDRS_MAX * 9,
	/* Where things are in a frame. */
	NETIF_ARP_OP_AT = ETH_HLEN + 6,
	NETIF_ARP_SENDER_MAC_AT = ETH_HLEN + 8,
	NETIF_ARP_SENDER_AT = ETH_HLEN + 14,
	NETIF_ARP_END = ETH_HLEN + 28,
	NETIF_IP6_NEXT_AT = ETH_HLEN + 6,
	NETIF_IP6_HOPS_AT = ETH_HLEN + 7,
	NETIF_IP6_SOURCE_AT = ETH_HLEN + 8,
	NETIF_ICMP6_TYPE_AT = ETH_HLEN + 40,
	NETIF_ICMP6_TARGET_AT = ETH_HLEN + 48,
	NETIF_ND_END = ETH_HLEN + 64,
};

struct netif_filter {
	struct sock_filter code[NETIF_FILTER_CODE_MAX];
	unsigned short len;
};

void netif_filter_begin(struct netif_filter *f);
/* Drops what has another value there; size is 1, 2 or 4 bytes. */
void netif_filter_require(struct netif_filter *f, unsigned size, uint32_t at,
			  uint32_t value);
/* Accepts when the address there is this one; at most
 * NETIF_FILTER_ADDRS_MAX of them. */
void netif_filter_accept_address(struct netif_filter *f, uint32_t at,
				 const struct netif_ip *ip);
/*
 * Ends the filter (the rest is dropped) and opens a non-blocking socket behind
 * it, for ARP or else IPv6; frames this node sends are not heard. The fd or
 * -errno.
 */
int netif_filter_open(struct netif_filter *f, int ifindex, bool arp);

#endif
