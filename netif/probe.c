#include "netif/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netif/filter.h"
#include "netif/frame.h"

enum {
	SLOT_V4 = 0,
	SLOT_V6 = 1,
};

struct netif_probe {
	int ifindex;
	int fds[NETIF_PROBE_FDS_MAX]; /* by slot, -1 = family not asked for */
	struct netif_ip gateways[NETIF_PROBE_GATEWAYS_MAX];
	uint64_t heard_ms[NETIF_PROBE_GATEWAYS_MAX];
	size_t gateways_len;
};

/* ---- start and end ------------------------------------------------------ */
static int slot_open(struct netif_probe *p, int slot)
{
	bool v4 = slot == SLOT_V4;
	struct netif_filter f;

	if (p->fds[slot] >= 0)
		return 0;
	netif_filter_begin(&f);
	if (v4) {
		netif_filter_require(&f, 2, NETIF_ARP_OP_AT, NETIF_ARP_REPLY);
	} else {
		netif_filter_require(&f, 1, NETIF_IP6_NEXT_AT, 58);
		netif_filter_require(&f, 1, NETIF_ICMP6_TYPE_AT,
				     NETIF_ND_ADVERT);
	}
	for (size_t i = 0; i < p->gateways_len; i++) {
		const struct netif_ip *ip = &p->gateways[i];

		if ((ip->family == AF_INET) == v4)
			netif_filter_accept_address(&f,
						    v4 ? NETIF_ARP_SENDER_AT
						       : NETIF_ICMP6_TARGET_AT,
						    ip);
	}
	p->fds[slot] = netif_filter_open(&f, p->ifindex, v4);
	return p->fds[slot] < 0 ? p->fds[slot] : 0;
}

int netif_probe_create(struct netif_probe **out, const char *nic,
		       const struct netif_ip *gateways, size_t gateways_len)
{
	struct netif_probe *p;
	int err = 0;

	if (!gateways_len || gateways_len > NETIF_PROBE_GATEWAYS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < gateways_len; i++) {
		if (!netif_ip_len(&gateways[i]))
			return -EINVAL;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->fds[SLOT_V4] = p->fds[SLOT_V6] = -1;
	p->ifindex = (int)if_nametoindex(nic);
	memcpy(p->gateways, gateways, gateways_len * sizeof(gateways[0]));
	p->gateways_len = gateways_len;
	if (!p->ifindex)
		err = -ENODEV;
	for (size_t i = 0; i < gateways_len && !err; i++)
		err = slot_open(p, gateways[i].family == AF_INET ? SLOT_V4
								 : SLOT_V6);
	if (err) {
		netif_probe_destroy(p);
		return err;
	}
	*out = p;
	return 0;
}

void netif_probe_destroy(struct netif_probe *p)
{
	if (!p)
		return;
	for (int slot = 0; slot < NETIF_PROBE_FDS_MAX; slot++) {
		if (p->fds[slot] >= 0)
			close(p->fds[slot]);
	}
	free(p);
}

size_t netif_probe_fds(const struct netif_probe *p,
		       int fds[NETIF_PROBE_FDS_MAX])
{
	size_t n = 0;

	for (int slot = 0; slot < NETIF_PROBE_FDS_MAX; slot++) {
		if (p->fds[slot] >= 0)
			fds[n++] = p->fds[slot];
	}
	return n;
}

/* ---- asking and hearing ------------------------------------------------- */
static const uint8_t *sender_of(const struct netif_ip *own, size_t own_len,
				uint8_t family)
{
	static const uint8_t nobody[16];

	for (size_t i = 0; i < own_len; i++) {
		if (own[i].family == family)
			return own[i].bytes;
	}
	return nobody;
}

unsigned netif_probe_ask(struct netif_probe *p,
			 const uint8_t mac[NETIF_MAC_LEN],
			 const struct netif_ip *own, size_t own_len)
{
	const struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = p->ifindex,
		.sll_halen = ETH_ALEN,
	};
	unsigned sent = 0;

	for (size_t i = 0; i < p->gateways_len; i++) {
		const struct netif_ip *gw = &p->gateways[i];
		const uint8_t *from = sender_of(own, own_len, gw->family);
		uint8_t f[NETIF_FRAME_MAX_BYTES];
		int slot = gw->family == AF_INET ? SLOT_V4 : SLOT_V6;
		size_t size;

		if (slot == SLOT_V4)
			size = netif_frame_arp(f, mac, NETIF_ARP_REQUEST, from,
					       gw->bytes);
		else
			size = netif_frame_solicit(f, mac, from, gw->bytes);
		if (sendto(p->fds[slot], f, size, 0,
			   (const struct sockaddr *)&to,
			   sizeof(to)) == (ssize_t)size)
			sent++;
	}
	return sent;
}

/* Offset of the address that answers, 0 when it is no answer. */
static size_t answer_at(const uint8_t *f, size_t len, int slot)
{
	if (slot == SLOT_V4)
		return len >= NETIF_ARP_END && !f[NETIF_ARP_OP_AT] &&
				       f[NETIF_ARP_OP_AT + 1] == NETIF_ARP_REPLY
			       ? NETIF_ARP_SENDER_AT
			       : 0;
	/* 255: it has passed no router (RFC 4861, 7.1.2). */
	return len >= NETIF_ND_END && f[NETIF_IP6_NEXT_AT] == 58 &&
			       f[NETIF_IP6_HOPS_AT] == 255 &&
			       f[NETIF_ICMP6_TYPE_AT] == NETIF_ND_ADVERT
		       ? NETIF_ICMP6_TARGET_AT
		       : 0;
}

static void note(struct netif_probe *p, const uint8_t *f, size_t len, int slot,
		 uint64_t at_ms)
{
	size_t at = answer_at(f, len, slot);

	for (size_t i = 0; i < p->gateways_len && at; i++) {
		const struct netif_ip *gw = &p->gateways[i];

		if ((gw->family == AF_INET) == (slot == SLOT_V4) &&
		    !memcmp(f + at, gw->bytes, netif_ip_len(gw)))
			p->heard_ms[i] = at_ms;
	}
}

void netif_probe_hear(struct netif_probe *p, uint64_t at_ms, unsigned budget)
{
	uint8_t f[128];

	for (int slot = 0; slot < NETIF_PROBE_FDS_MAX; slot++) {
		for (unsigned i = 0; i < budget && p->fds[slot] >= 0; i++) {
			ssize_t n = recv(p->fds[slot], f, sizeof(f), 0);

			/* ENETDOWN is said once and goes away. */
			if (n < 0)
				break;
			note(p, f, (size_t)n, slot, at_ms);
		}
	}
}

size_t netif_probe_len(const struct netif_probe *p)
{
	return p->gateways_len;
}

uint64_t netif_probe_heard_ms(const struct netif_probe *p, size_t i)
{
	return i < p->gateways_len ? p->heard_ms[i] : 0;
}
