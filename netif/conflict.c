#include "netif/conflict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netif/ears.h"
#include "netif/frame.h"

struct netif_conflict {
	struct netif_ears ears; /* about the addresses */
};

/* ---- start and end ------------------------------------------------------ */
int netif_conflict_create(struct netif_conflict **out, const char *nic,
			  const struct netif_ip *addrs, size_t addrs_len)
{
	struct netif_conflict *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	err = netif_ears_open(&c->ears, nic, addrs, addrs_len,
			      NETIF_CONFLICT_ADDRS_MAX, false);
	if (err) {
		free(c);
		return err;
	}
	*out = c;
	return 0;
}

void netif_conflict_destroy(struct netif_conflict *c)
{
	if (!c)
		return;
	netif_ears_close(&c->ears);
	free(c);
}

size_t netif_conflict_fds(const struct netif_conflict *c,
			  int fds[NETIF_CONFLICT_FDS_MAX])
{
	return netif_ears_fds(&c->ears, fds);
}

/* ---- hearing ------------------------------------------------------------ */
struct claims {
	const struct netif_ip *addrs;
	const uint8_t *own;
	netif_conflict_fn *fn;
	void *ctx;
};

/* Who says in this frame that the address is his; NULL: nobody does. */
static const uint8_t *claimant(const uint8_t *f, uint8_t family)
{
	static const uint8_t nobody[16];

	if (family == AF_INET)
		return f + NETIF_ARP_SENDER_MAC_AT;
	if (f[NETIF_ICMP6_TYPE_AT] == NETIF_ND_ADVERT ||
	    (f[NETIF_ICMP6_TYPE_AT] == NETIF_ND_SOLICIT &&
	     !memcmp(f + NETIF_IP6_SOURCE_AT, nobody, sizeof(nobody))))
		return f + NETIF_SOURCE_MAC_AT;
	return NULL;
}

static void on_frame(void *ctx, size_t i, const uint8_t *frame)
{
	const struct claims *c = ctx;
	const uint8_t *mac = claimant(frame, c->addrs[i].family);

	if (mac && memcmp(mac, c->own, NETIF_MAC_LEN) != 0)
		c->fn(c->ctx, i, mac);
}

void netif_conflict_hear(struct netif_conflict *c,
			 const uint8_t own[NETIF_MAC_LEN], unsigned budget,
			 netif_conflict_fn *fn, void *ctx)
{
	struct claims claims = {c->ears.addrs, own, fn, ctx};

	netif_ears_hear(&c->ears, budget, on_frame, &claims);
}
