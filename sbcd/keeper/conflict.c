#include "sbcd/keeper/conflict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include "netif/conflict.h"
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/nifaddr.h"

enum { HEAR_BUDGET = 16 };

struct claim {
	uint8_t mac[NETIF_MAC_LEN];
	uint64_t last_ms; /* 0 = never */
	uint64_t count;
};

struct conflict {
	const struct config_nif *conf;
	struct netif_vip *vip;
	struct netif_conflict *ears;
	struct loop_fd *watches[NETIF_CONFLICT_FDS_MAX];
	struct claim claims[CONFIG_ADDRS_MAX];
	uint64_t owned_ms; /* since when; 0 = not owned */
	uint64_t defended_ms;
};

static void defend(struct conflict *c, uint64_t now_ms)
{
	if (!c->owned_ms ||
	    (c->defended_ms && now_ms - c->defended_ms < CONFLICT_DEFEND_MS))
		return;
	c->defended_ms = now_ms;
	if (netif_vip_announce(c->vip) <= 0)
		log_rated(LOG_WARNING,
			  "network-interface=%s event=announce-failed",
			  c->conf->name);
}

static void on_claim(void *ctx, size_t i, const uint8_t mac[NETIF_MAC_LEN])
{
	struct conflict *c = ctx;
	struct claim *claim = &c->claims[i];
	uint64_t now_ms = clock_mono_ms();
	char ip[ADDR_TEXT_SIZE], text[NETIF_MAC_STRLEN];

	if (netif_vip_mode(c->vip) == NETIF_VMAC_IP_ONLY &&
	    (!c->owned_ms || now_ms - c->owned_ms < CONFLICT_SETTLE_MS))
		return;
	memcpy(claim->mac, mac, NETIF_MAC_LEN);
	claim->last_ms = now_ms;
	claim->count++;
	log_rated(LOG_WARNING,
		  "network-interface=%s event=address-conflict address=%s "
		  "mac=%s see=\"show interfaces\"",
		  c->conf->name,
		  addr_format_ip(&c->conf->addrs[i], ip, sizeof(ip)),
		  netif_mac_format(mac, text, sizeof(text)));
	defend(c, now_ms);
}

static void on_frame(void *ctx, uint32_t events)
{
	struct conflict *c = ctx;

	netif_conflict_hear(c->ears, netif_vip_taken_mac(c->vip), HEAR_BUDGET,
			    on_claim, c);
}

int conflict_create(struct conflict **out, struct loop *loop,
		    const struct config_nif *conf, const char *nic,
		    struct netif_vip *vip)
{
	struct netif_ip addrs[CONFIG_ADDRS_MAX];
	int fds[NETIF_CONFLICT_FDS_MAX], err;
	struct conflict *c;
	size_t n = 0;

	*out = NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->conf = conf;
	c->vip = vip;
	err = nifaddr_list(addrs, conf->addrs, conf->addrs_len);
	if (!err)
		err = netif_conflict_create(&c->ears, nic, addrs,
					    conf->addrs_len);
	if (!err)
		n = netif_conflict_fds(c->ears, fds);
	for (size_t i = 0; i < n && !err; i++)
		err = loop_fd_add(loop, &c->watches[i], fds[i], EPOLLIN,
				  on_frame, c);
	if (err) {
		conflict_destroy(c);
		return err;
	}
	*out = c;
	return 0;
}

void conflict_destroy(struct conflict *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < NETIF_CONFLICT_FDS_MAX; i++)
		loop_fd_remove(c->watches[i]);
	netif_conflict_destroy(c->ears);
	free(c);
}

void conflict_owned(struct conflict *c, bool owned, uint64_t now_ms)
{
	if (!c)
		return;
	if (!owned)
		c->owned_ms = 0;
	else if (!c->owned_ms)
		c->owned_ms = now_ms;
}

bool conflict_present(const struct conflict *c, uint64_t now_ms)
{
	for (size_t i = 0; c && i < c->conf->addrs_len; i++) {
		uint64_t at = c->claims[i].last_ms;

		if (at && now_ms - at < CONFLICT_LASTS_MS)
			return true;
	}
	return false;
}

json_t *conflict_to_json(const struct conflict *c, uint64_t now_ms)
{
	json_t *list = json_array();
	char ip[ADDR_TEXT_SIZE], mac[NETIF_MAC_STRLEN];

	for (size_t i = 0; c && i < c->conf->addrs_len; i++) {
		const struct claim *claim = &c->claims[i];

		if (!claim->last_ms)
			continue;
		json_array_append_new(
			list, json_pack("{s:s,s:s,s:I,s:I}", "address",
					addr_format_ip(&c->conf->addrs[i], ip,
						       sizeof(ip)),
					"mac",
					netif_mac_format(claim->mac, mac,
							 sizeof(mac)),
					"claims", (json_int_t)claim->count,
					"last-heard-ms",
					(json_int_t)(now_ms - claim->last_ms)));
	}
	return list;
}
