#include "netif/conflict.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netif/filter.h"
#include "netif/frame.h"

enum { SLOT_V4 = 0, SLOT_V6 = 1, SOURCE_MAC_AT = 6 };

struct netif_conflict {
	int ifindex;
	int fds[NETIF_CONFLICT_FDS_MAX]; /* by slot, -1 = no such address */
	struct netif_ip addrs[NETIF_CONFLICT_ADDRS_MAX];
	size_t addrs_len;
};

/* ---- start and end ------------------------------------------------------ */
static int slot_open(struct netif_conflict *c, int slot)
{
	bool v4 = slot == SLOT_V4;
	struct netif_filter f;

	if (c->fds[slot] >= 0)
		return 0;
	netif_filter_begin(&f);
	if (!v4)
		netif_filter_require(&f, 1, NETIF_IP6_NEXT_AT, 58);
	for (size_t i = 0; i < c->addrs_len; i++) {
		if ((c->addrs[i].family == AF_INET) == v4)
			netif_filter_accept_address(&f,
						    v4 ? NETIF_ARP_SENDER_AT
						       : NETIF_ICMP6_TARGET_AT,
						    &c->addrs[i]);
	}
	c->fds[slot] = netif_filter_open(&f, c->ifindex, v4);
	return c->fds[slot] < 0 ? c->fds[slot] : 0;
}

int netif_conflict_create(struct netif_conflict **out, const char *nic,
			  const struct netif_ip *addrs, size_t addrs_len)
{
	struct netif_conflict *c;
	int err = 0;

	if (!addrs_len || addrs_len > NETIF_CONFLICT_ADDRS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < addrs_len; i++) {
		if (!netif_ip_len(&addrs[i]))
			return -EINVAL;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fds[SLOT_V4] = c->fds[SLOT_V6] = -1;
	c->ifindex = (int)if_nametoindex(nic);
	memcpy(c->addrs, addrs, addrs_len * sizeof(addrs[0]));
	c->addrs_len = addrs_len;
	if (!c->ifindex)
		err = -ENODEV;
	for (size_t i = 0; i < addrs_len && !err; i++)
		err = slot_open(c,
				addrs[i].family == AF_INET ? SLOT_V4 : SLOT_V6);
	if (err) {
		netif_conflict_destroy(c);
		return err;
	}
	*out = c;
	return 0;
}

void netif_conflict_destroy(struct netif_conflict *c)
{
	if (!c)
		return;
	for (int slot = 0; slot < NETIF_CONFLICT_FDS_MAX; slot++) {
		if (c->fds[slot] >= 0)
			close(c->fds[slot]);
	}
	free(c);
}

size_t netif_conflict_fds(const struct netif_conflict *c,
			  int fds[NETIF_CONFLICT_FDS_MAX])
{
	size_t n = 0;

	for (int slot = 0; slot < NETIF_CONFLICT_FDS_MAX; slot++) {
		if (c->fds[slot] >= 0)
			fds[n++] = c->fds[slot];
	}
	return n;
}

/* ---- hearing ------------------------------------------------------------ */
/* Who claims an address there; NULL: nobody does. *at: where it stands. */
static const uint8_t *claimant(const uint8_t *f, size_t len, int slot,
			       size_t *at)
{
	static const uint8_t nobody[16];

	if (slot == SLOT_V4) {
		*at = NETIF_ARP_SENDER_AT;
		return len >= NETIF_ARP_END ? f + NETIF_ARP_SENDER_MAC_AT
					    : NULL;
	}
	*at = NETIF_ICMP6_TARGET_AT;
	/* 255: it has passed no router (RFC 4861, 7.1). */
	if (len < NETIF_ND_END - 8 || f[NETIF_IP6_NEXT_AT] != 58 ||
	    f[NETIF_IP6_HOPS_AT] != 255)
		return NULL;
	if (f[NETIF_ICMP6_TYPE_AT] == NETIF_ND_ADVERT ||
	    (f[NETIF_ICMP6_TYPE_AT] == NETIF_ND_SOLICIT &&
	     !memcmp(f + NETIF_IP6_SOURCE_AT, nobody, sizeof(nobody))))
		return f + SOURCE_MAC_AT;
	return NULL;
}

void netif_conflict_hear(struct netif_conflict *c,
			 const uint8_t own[NETIF_MAC_LEN], unsigned budget,
			 netif_conflict_fn *fn, void *ctx)
{
	uint8_t f[128];

	for (int slot = 0; slot < NETIF_CONFLICT_FDS_MAX; slot++) {
		for (unsigned k = 0; k < budget && c->fds[slot] >= 0; k++) {
			ssize_t n = recv(c->fds[slot], f, sizeof(f), 0);
			const uint8_t *mac;
			size_t at;

			/* ENETDOWN is said once and goes away. */
			if (n < 0)
				break;
			mac = claimant(f, (size_t)n, slot, &at);
			if (!mac || !memcmp(mac, own, NETIF_MAC_LEN))
				continue;
			for (size_t i = 0; i < c->addrs_len; i++) {
				const struct netif_ip *ip = &c->addrs[i];

				if ((ip->family == AF_INET) ==
					    (slot == SLOT_V4) &&
				    !memcmp(f + at, ip->bytes,
					    netif_ip_len(ip)))
					fn(ctx, i, mac);
			}
		}
	}
}
