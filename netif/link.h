/*
 * What a NIC is and has counted, read once from the kernel.
 *
 * Layer: netif (library). Process: keeper, guard. Thread: any; every call
 * opens and closes its own netlink socket.
 */
#ifndef NETIF_LINK_H
#define NETIF_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "netif/addr.h"

struct netif_counters {
	uint64_t rx_packets, tx_packets;
	uint64_t rx_bytes, tx_bytes;
	uint64_t rx_errors, tx_errors;
	uint64_t rx_dropped, tx_dropped;
};

struct netif_link {
	int ifindex;
	char name[IF_NAMESIZE];
	uint8_t mac[NETIF_MAC_LEN];
	bool has_perm_mac; /* virtual devices have none */
	uint8_t perm_mac[NETIF_MAC_LEN];
	bool up; /* administratively */
	bool carrier; /* operationally: a cable and a partner */
	uint32_t mtu;
	struct netif_counters counters;
};

/* 0, -ENODEV, or another -errno from netlink. */
int netif_link_get(const char *nic, struct netif_link *out)
	__attribute__((warn_unused_result));

/* The NIC that has this address now; -ENODEV when none has. */
int netif_link_of_ip(const struct netif_ip *ip, char nic[IF_NAMESIZE])
	__attribute__((warn_unused_result));

#endif
