#include "sbcd/keeper/gwprobe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include "netif/probe.h"
#include "sbcd/base/clock.h"
#include "sbcd/keeper/nifaddr.h"

enum { HEAR_BUDGET = 16 };

struct gwprobe {
	const struct config_nif *conf;
	struct netif_probe *probe;
	struct loop_fd *watches[NETIF_PROBE_FDS_MAX];
	struct netif_ip own[CONFIG_ADDRS_MAX];
	uint64_t start_ms, asked_ms;
};

static bool silent(uint64_t now_ms, uint64_t peer_ms, uint32_t beat_ms)
{
	return peer_ms &&
	       now_ms > peer_ms + (uint64_t)GWPROBE_SILENT_BEATS * beat_ms;
}

bool gwprobe_urgent(uint64_t now_ms, uint64_t peer_ms, uint32_t beat_ms)
{
	return silent(now_ms, peer_ms, beat_ms) &&
	       now_ms - peer_ms < GWPROBE_URGENT_FOR_MS;
}

uint64_t gwprobe_since_ms(uint64_t now_ms, uint64_t peer_ms, uint32_t beat_ms)
{
	uint64_t since_ms =
		now_ms > GWPROBE_LOST_MS ? now_ms - GWPROBE_LOST_MS : 0;

	if (silent(now_ms, peer_ms, beat_ms)) {
		peer_ms += (uint64_t)GWPROBE_SILENT_BEATS * beat_ms;
		return peer_ms > since_ms ? peer_ms : since_ms;
	}
	return since_ms;
}

/* An answer is as old as its question, however late it is read. */
static void on_answer(void *ctx, uint32_t events)
{
	struct gwprobe *p = ctx;

	netif_probe_hear(p->probe, p->asked_ms, HEAR_BUDGET);
}

int gwprobe_create(struct gwprobe **out, struct loop *loop,
		   const struct config_nif *conf, const char *nic)
{
	struct netif_ip gws[CONFIG_ADDRS_MAX];
	int fds[NETIF_PROBE_FDS_MAX], err;
	struct gwprobe *p;
	size_t n = 0;

	*out = NULL;
	if (!conf->gateways_len)
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->conf = conf;
	p->start_ms = clock_mono_ms();
	err = nifaddr_list(p->own, conf->addrs, conf->addrs_len);
	if (!err)
		err = nifaddr_list(gws, conf->gateways, conf->gateways_len);
	if (!err)
		err = netif_probe_create(&p->probe, nic, gws,
					 conf->gateways_len);
	if (!err)
		n = netif_probe_fds(p->probe, fds);
	for (size_t i = 0; i < n && !err; i++)
		err = loop_fd_add(loop, &p->watches[i], fds[i], EPOLLIN,
				  on_answer, p);
	if (err) {
		gwprobe_destroy(p);
		return err;
	}
	*out = p;
	return 0;
}

void gwprobe_destroy(struct gwprobe *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < NETIF_PROBE_FDS_MAX; i++)
		loop_fd_remove(p->watches[i]);
	netif_probe_destroy(p->probe);
	free(p);
}

void gwprobe_turn(struct gwprobe *p, uint64_t now_ms, bool urgent,
		  const uint8_t mac[NETIF_MAC_LEN], bool owned)
{
	uint64_t every_ms = urgent ? GWPROBE_URGENT_MS : GWPROBE_ASK_MS;

	if (!p || (p->asked_ms && now_ms - p->asked_ms < every_ms))
		return;
	/* What waits here answers an earlier question. */
	netif_probe_hear(p->probe, p->asked_ms, HEAR_BUDGET);
	p->asked_ms = now_ms;
	(void)netif_probe_ask(p->probe, mac, p->own,
			      owned ? p->conf->addrs_len : 0);
}

size_t gwprobe_len(const struct gwprobe *p)
{
	return p ? netif_probe_len(p->probe) : 0;
}

size_t gwprobe_answered(const struct gwprobe *p, uint64_t since_ms)
{
	size_t n = 0;

	for (size_t i = 0; i < gwprobe_len(p); i++)
		n += netif_probe_heard_ms(p->probe, i) > since_ms;
	return n;
}

size_t gwprobe_lost(const struct gwprobe *p, uint64_t now_ms)
{
	if (!p || now_ms - p->start_ms < GWPROBE_LOST_MS)
		return 0;
	return gwprobe_len(p) - gwprobe_answered(p, now_ms - GWPROBE_LOST_MS);
}

json_t *gwprobe_to_json(const struct gwprobe *p, uint64_t now_ms)
{
	json_t *list = json_array();
	char text[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < gwprobe_len(p); i++) {
		uint64_t at = netif_probe_heard_ms(p->probe, i);

		json_array_append_new(
			list, json_pack("{s:s,s:I}", "address",
					addr_format_ip(&p->conf->gateways[i],
						       text, sizeof(text)),
					"last-heard-ms",
					at ? (json_int_t)(now_ms - at) : -1));
	}
	return list;
}
