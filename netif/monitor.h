/*
 * Netlink events: link, address, neighbour changes of this network
 * namespace, delivered by callback from a non-blocking fd.
 *
 * Guarantees: dispatch never blocks; when the kernel dropped events
 * (ENOBUFS), what is still queued is discarded and resync is called: the
 * caller reads the state anew. Callbacks may not destroy the monitor.
 *
 * Layer: netif (library). Process: keeper. Thread: that of dispatch.
 */
#ifndef NETIF_MONITOR_H
#define NETIF_MONITOR_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "netif/addr.h"

struct netif_monitor;

struct netif_link_event {
	int ifindex;
	char name[IF_NAMESIZE];
	bool removed; /* the NIC is gone; the rest is its last state */
	bool up;
	bool carrier;
	uint8_t mac[NETIF_MAC_LEN];
};

struct netif_addr_event {
	int ifindex;
	bool removed;
	struct netif_ip ip;
};

struct netif_neigh_event {
	int ifindex;
	bool removed; /* deleted or failed */
	struct netif_ip ip;
	bool has_mac;
	uint8_t mac[NETIF_MAC_LEN];
};

/* Any may be NULL; a group without its callback is not subscribed. */
struct netif_monitor_ops {
	void (*link)(void *arg, const struct netif_link_event *ev);
	void (*addr)(void *arg, const struct netif_addr_event *ev);
	void (*neigh)(void *arg, const struct netif_neigh_event *ev);
	void (*resync)(void *arg);
};

/* Copies *ops. 0 or -errno. */
int netif_monitor_create(struct netif_monitor **out,
			 const struct netif_monitor_ops *ops, void *arg)
	__attribute__((warn_unused_result));
void netif_monitor_destroy(struct netif_monitor *m);

/* For epoll, level triggered, EPOLLIN. */
int netif_monitor_fd(const struct netif_monitor *m);

/*
 * Delivers what is queued, at most budget (not 0) datagrams. Returns the number
 * of datagrams read (0: nothing was there), or -errno: the fd is useless.
 */
int netif_monitor_dispatch(struct netif_monitor *m, unsigned budget)
	__attribute__((warn_unused_result));

#endif
