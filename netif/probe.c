#include "netif/probe.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "netif/ears.h"
#include "netif/frame.h"

struct netif_probe {
	struct netif_ears ears; /* about the gateways */
	uint64_t heard_ms[NETIF_PROBE_GATEWAYS_MAX];
};

/* ---- start and end ------------------------------------------------------ */
int netif_probe_create(struct netif_probe **out, const char *nic,
		       const struct netif_ip *gateways, size_t gateways_len)
{
	struct netif_probe *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	err = netif_ears_open(&p->ears, nic, gateways, gateways_len,
			      NETIF_PROBE_GATEWAYS_MAX, true);
	if (err) {
		free(p);
		return err;
	}
	*out = p;
	return 0;
}

void netif_probe_destroy(struct netif_probe *p)
{
	if (!p)
		return;
	netif_ears_close(&p->ears);
	free(p);
}

size_t netif_probe_fds(const struct netif_probe *p,
		       int fds[NETIF_PROBE_FDS_MAX])
{
	return netif_ears_fds(&p->ears, fds);
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
		.sll_ifindex = p->ears.ifindex,
		.sll_halen = ETH_ALEN,
	};
	unsigned sent = 0;

	for (size_t i = 0; i < p->ears.addrs_len; i++) {
		const struct netif_ip *gw = &p->ears.addrs[i];
		const uint8_t *from = sender_of(own, own_len, gw->family);
		uint8_t f[NETIF_FRAME_MAX_BYTES];
		size_t size;

		if (gw->family == AF_INET)
			size = netif_frame_arp(f, mac, NETIF_ARP_REQUEST, from,
					       gw->bytes);
		else
			size = netif_frame_solicit(f, mac, from, gw->bytes);
		if (sendto(netif_ears_fd(&p->ears, gw->family), f, size, 0,
			   (const struct sockaddr *)&to,
			   sizeof(to)) == (ssize_t)size)
			sent++;
	}
	return sent;
}

struct answer {
	struct netif_probe *p;
	uint64_t at_ms;
};

static void on_answer(void *ctx, size_t i, const uint8_t *frame)
{
	struct answer *a = ctx;

	a->p->heard_ms[i] = a->at_ms;
}

void netif_probe_hear(struct netif_probe *p, uint64_t at_ms, unsigned budget)
{
	struct answer a = {p, at_ms};

	netif_ears_hear(&p->ears, budget, on_answer, &a);
}

size_t netif_probe_len(const struct netif_probe *p)
{
	return p->ears.addrs_len;
}

uint64_t netif_probe_heard_ms(const struct netif_probe *p, size_t i)
{
	return i < p->ears.addrs_len ? p->heard_ms[i] : 0;
}
