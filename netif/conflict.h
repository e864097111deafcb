/*
 * Does somebody else say that an address of ours is his? ARP of any kind with
 * our address as sender (RFC 5227, 2.4), neighbour advertisements of it, and
 * solicitations from :: for it (RFC 4862, 5.4.3), heard on one NIC past the IP
 * stack, so that a standby hears them too.
 *
 * Guarantees: no call blocks; only frames about these addresses leave the
 * kernel's filter; what is heard is checked again.
 *
 * Layer: netif (library). Process: keeper. Thread: one at a time per handle.
 */
#ifndef NETIF_CONFLICT_H
#define NETIF_CONFLICT_H

#include <stddef.h>
#include <stdint.h>

#include "netif/addr.h"

struct netif_conflict;

enum { NETIF_CONFLICT_ADDRS_MAX = 16, NETIF_CONFLICT_FDS_MAX = 2 };

/* `mac` says it has address i of the list. */
typedef void netif_conflict_fn(void *ctx, size_t i,
			       const uint8_t mac[NETIF_MAC_LEN]);

/* Copies the list (1..16). -ENODEV, -EINVAL, -ENOMEM, -errno. */
int netif_conflict_create(struct netif_conflict **out, const char *nic,
			  const struct netif_ip *addrs, size_t addrs_len)
	__attribute__((warn_unused_result));
void netif_conflict_destroy(struct netif_conflict *c);

/* For epoll, EPOLLIN: one for each family; how many. */
size_t netif_conflict_fds(const struct netif_conflict *c,
			  int fds[NETIF_CONFLICT_FDS_MAX]);

/*
 * Reads at most `budget` frames a family; fn hears of those that are not
 * from `own`, the MAC with which the pair itself speaks of the addresses.
 */
void netif_conflict_hear(struct netif_conflict *c,
			 const uint8_t own[NETIF_MAC_LEN], unsigned budget,
			 netif_conflict_fn *fn, void *ctx);

#endif
