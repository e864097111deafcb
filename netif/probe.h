/*
 * Does a gateway answer? ARP and neighbour solicitations on one NIC, sent and
 * heard past the IP stack, so that a standby, which has no address there, can
 * ask too.
 *
 * A node that owns addresses asks from them. One that does not asks from
 * 0.0.0.0 (RFC 5227, 2.1.1) or :: (RFC 4862, 5.4.2): nobody learns anything
 * from such a question, and the owner of the address answers it.
 *
 * Guarantees: no call blocks; only answers of the gateways asked for leave
 * the kernel's filter; what is heard is checked again.
 *
 * Layer: netif (library). Process: keeper. Thread: one at a time per handle.
 */
#ifndef NETIF_PROBE_H
#define NETIF_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "netif/addr.h"

struct netif_probe;

enum { NETIF_PROBE_GATEWAYS_MAX = 8, NETIF_PROBE_FDS_MAX = 2 };

/* Copies the list (1..8). -ENODEV, -EINVAL, -ENOMEM, -errno. */
int netif_probe_create(struct netif_probe **out, const char *nic,
		       const struct netif_ip *gateways, size_t gateways_len)
	__attribute__((warn_unused_result));
void netif_probe_destroy(struct netif_probe *p);

/* For epoll, EPOLLIN: one for each family that is asked for; how many. */
size_t netif_probe_fds(const struct netif_probe *p,
		       int fds[NETIF_PROBE_FDS_MAX]);

/*
 * Asks every gateway once. mac is what the NIC carries; own[0..own_len) are
 * the addresses this node owns there, none on a standby. The number of
 * questions that left.
 */
unsigned netif_probe_ask(struct netif_probe *p,
			 const uint8_t mac[NETIF_MAC_LEN],
			 const struct netif_ip *own, size_t own_len);

/* Reads at most budget frames; answers are noted as heard at at_ms. */
void netif_probe_hear(struct netif_probe *p, uint64_t at_ms, unsigned budget);

size_t netif_probe_len(const struct netif_probe *p);
/* When gateway i answered last; 0 = never. */
uint64_t netif_probe_heard_ms(const struct netif_probe *p, size_t i);

#endif
