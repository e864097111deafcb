#include "sbcd/keeper/netglue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "netif/ether.h"
#include "netif/gate.h"
#include "netif/link.h"
#include "netif/monitor.h"
#include "netif/vip.h"
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/conflict.h"
#include "sbcd/keeper/gwprobe.h"
#include "sbcd/keeper/hasock.h"
#include "sbcd/keeper/mediasock.h"
#include "sbcd/keeper/nifaddr.h"

enum {
	TABLE_BASE = 1000, /* routing tables 1000, 1001, ... */
	MONITOR_BUDGET = 64,
};

struct glue_nif {
	const struct config_nif *conf;
	const char *nic;
	struct netif_vip *vip;
	struct mediasock *media;
	struct beat_path beat; /* fd -1 = none */
	struct gwprobe *probe; /* NULL: no gateway */
	struct conflict *conflict;
	bool carrier;
	bool verified; /* the last read-back agreed */
	char verdict[256];
};

struct netglue {
	const struct config *conf;
	const struct config_node *node;
	struct netif_gate *gate;
	struct glue_nif nifs[CONFIG_NIFS_MAX];
	size_t nifs_len;
	struct hasock ha;
	bool watched[CONFIG_HA_LINKS_MAX]; /* tokens there are recognised */
	struct netif_monitor *monitor;
	struct loop_fd *monitor_watch;
	bool owned;
};

/* ---- start -------------------------------------------------------------- */
static int ip_of(struct netif_ip *out, const struct addr *a, uint8_t prefix)
{
	int err = nifaddr_of(out, a);

	if (err)
		return err;
	out->prefix = prefix;
	return 0;
}

static enum netif_vmac_mode mode_of(const struct config_nif *nif)
{
	switch (nif->vmac_mode) {
	case VMAC_IP_ONLY:
		return NETIF_VMAC_IP_ONLY;
	case VMAC_MACVLAN:
		return NETIF_VMAC_MACVLAN;
	case VMAC_AUTO:
	case VMAC_SET_MAC:
	default:
		return NETIF_VMAC_SET_MAC;
	}
}

static int vip_open(struct netglue *g, struct glue_nif *nif, size_t index)
{
	struct netif_ip addrs[CONFIG_ADDRS_MAX], gws[CONFIG_ADDRS_MAX];
	const struct config_nif *c = nif->conf;
	struct netif_vip_params p = {
		.nic = nif->nic,
		.mode = mode_of(c),
		.addrs = addrs,
		.addrs_len = c->addrs_len,
		.gateways = gws,
		.gateways_len = c->gateways_len,
		.table_id = TABLE_BASE + (uint32_t)index,
		.run_dir = g->node->run_dir,
	};
	int err = 0;

	memcpy(p.vmac, c->virtual_mac, sizeof(p.vmac));
	for (size_t i = 0; i < c->addrs_len && !err; i++)
		err = ip_of(&addrs[i], &c->addrs[i], c->prefixes[i]);
	for (size_t i = 0; i < c->gateways_len && !err; i++)
		err = ip_of(&gws[i], &c->gateways[i],
			    c->gateways[i].family == ADDR_V4 ? 32 : 128);
	if (!err)
		err = netif_vip_create(&nif->vip, &p);
	if (!err && netif_vip_has_leftover(nif->vip))
		err = netif_vip_release(nif->vip);
	if (err)
		log_err("network-interface=%s nic=%s event=unusable "
			"error=\"%s\"",
			c->name, nif->nic, strerror(-err));
	return err;
}

static int gate_make(struct netglue *g)
{
	struct netif_ip gws[CONFIG_NIFS_MAX][CONFIG_ADDRS_MAX];
	struct netif_gate_nic nics[CONFIG_NIFS_MAX];
	int err = 0;

	memset(nics, 0, sizeof(nics));
	for (size_t i = 0; i < g->nifs_len && !err; i++) {
		const struct config_nif *c = g->nifs[i].conf;

		for (size_t k = 0; k < c->gateways_len && !err; k++)
			err = ip_of(&gws[i][k], &c->gateways[k], 0);
		nics[i].gateways = gws[i];
		nics[i].gateways_len = c->gateways_len;
		nics[i].nic = g->nifs[i].nic;
		/* With addresses only there is no MAC to keep in. */
		if (mode_of(c) != NETIF_VMAC_IP_ONLY)
			memcpy(nics[i].vmac, c->virtual_mac,
			       sizeof(nics[i].vmac));
	}
	if (!err)
		err = netif_gate_create(&g->gate, nics, g->nifs_len);
	if (err)
		log_err("event=gate-unusable error=\"%s\"", strerror(-err));
	return err;
}

/* An HA link may come up after us: until then its tokens wait for us. */
static void fence_watch_links(struct netglue *g)
{
	for (size_t i = 0; i < g->node->ha_len; i++) {
		char nic[IF_NAMESIZE];
		struct netif_ip ip;
		int err;

		if (g->watched[i] || ip_of(&ip, &g->node->ha_addrs[i], 0) ||
		    netif_link_of_ip(&ip, nic))
			continue;
		err = netif_gate_watch_link(g->gate, nic,
					    g->conf->cluster.beat_port);
		g->watched[i] = !err;
		log_msg(err ? LOG_ERR : LOG_INFO,
			"ha-link=%zu nic=%s event=fence-watched error=\"%s\"",
			i + 1, nic, err ? strerror(-err) : "none");
	}
}

/* The kernel looks for fence tokens where beats come in. */
static int fence_watch(struct netglue *g)
{
	int err = netif_gate_watch(g->gate, HA_BEAT_TOKEN_AT);

	if (err)
		log_err("event=fence-unusable error=\"%s\"", strerror(-err));
	else
		fence_watch_links(g);
	return err;
}

/* The peer is heard on the service networks too. */
static int beats_open(struct netglue *g)
{
	uint8_t group[NETIF_MAC_LEN];
	int err = netif_gate_exempt(g->gate, NETIF_GATE_EXEMPT_BEAT, true);

	netif_ether_group(g->conf->cluster.id, group);
	for (size_t i = 0; i < g->nifs_len && !err; i++) {
		struct beat_path *p = &g->nifs[i].beat;

		p->fd = netif_ether_open(g->nifs[i].nic, NETIF_GATE_EXEMPT_BEAT,
					 group, &p->to, &p->to_len);
		err = p->fd < 0 ? p->fd : 0;
	}
	if (err)
		log_err("event=service-beats-unusable error=\"%s\"",
			strerror(-err));
	return err;
}

int netglue_create(struct netglue **out, const struct config *c,
		   const struct config_node *n)
{
	struct netglue *g = calloc(1, sizeof(*g));
	ssize_t left;
	int err;

	if (!g)
		return -ENOMEM;
	g->conf = c;
	g->node = n;
	hasock_init(&g->ha);
	g->nifs_len = c->nifs_len;
	for (size_t i = 0; i < c->nifs_len; i++) {
		g->nifs[i].conf = &c->nifs[i];
		g->nifs[i].nic = config_node_nic(n, &c->nifs[i]);
		g->nifs[i].beat.fd = -1;
		strcpy(g->nifs[i].verdict, "unread");
	}
	/* The gate first: while leftovers go nothing may leave. */
	err = gate_make(g);
	if (err)
		goto err_object;
	left = netif_vip_release_leftovers(n->run_dir, 0);
	if (left)
		log_warn("event=leftovers-released count=%zd", left);
	for (size_t i = 0; i < g->nifs_len && !err; i++)
		err = vip_open(g, &g->nifs[i], i);
	if (!err)
		err = beats_open(g);
	if (!err)
		err = hasock_open(&g->ha, c, n);
	if (!err)
		err = fence_watch(g);
	if (err)
		goto err_object;
	*out = g;
	return 0;

err_object:
	netglue_destroy(g);
	return err;
}

void netglue_destroy(struct netglue *g)
{
	if (!g)
		return;
	if (g->gate && netif_gate_close(g->gate))
		log_err("event=gate-close-failed");
	if (g->owned && netglue_release(g))
		log_err("event=release-failed");
	loop_fd_remove(g->monitor_watch);
	netif_monitor_destroy(g->monitor);
	for (size_t i = 0; i < g->nifs_len; i++) {
		mediasock_close(g->nifs[i].media);
		gwprobe_destroy(g->nifs[i].probe);
		conflict_destroy(g->nifs[i].conflict);
		if (g->nifs[i].beat.fd >= 0)
			close(g->nifs[i].beat.fd);
		if (g->nifs[i].vip)
			netif_vip_unprepare(g->nifs[i].vip);
		netif_vip_destroy(g->nifs[i].vip);
	}
	hasock_close(&g->ha);
	netif_gate_detach(g->gate);
	free(g);
}

static void read_back(struct netglue *g, struct glue_nif *nif)
{
	struct netif_vip_report r;
	int err = netif_vip_verify(nif->vip, g->owned, &r);

	nif->verified = !err && r.as_expected;
	snprintf(nif->verdict, sizeof(nif->verdict), "%s",
		 err		 ? strerror(-err)
		 : r.as_expected ? "ok"
				 : r.text);
}

/* ---- netlink events ----------------------------------------------------- */
static void carrier_now(struct netglue *g, struct glue_nif *nif, bool carrier)
{
	if (nif->carrier == carrier)
		return;
	nif->carrier = carrier;
	if (!carrier) {
		log_warn("network-interface=%s nic=%s event=carrier-lost",
			 nif->conf->name, nif->nic);
		return;
	}
	log_notice("network-interface=%s nic=%s event=carrier-back",
		   nif->conf->name, nif->nic);
	/* A link that went down took the routes with it. */
	if (netif_vip_prepare(nif->vip))
		log_err("network-interface=%s event=prepare-failed",
			nif->conf->name);
	if (g->owned) {
		int err = netif_vip_take(nif->vip, NULL, 0);

		if (err)
			log_err("network-interface=%s event=take-failed "
				"error=\"%s\"",
				nif->conf->name, strerror(-err));
	}
}

static void on_link(void *arg, const struct netif_link_event *ev)
{
	struct netglue *g = arg;

	for (size_t i = 0; i < g->nifs_len; i++) {
		if (!strcmp(g->nifs[i].nic, ev->name))
			carrier_now(g, &g->nifs[i],
				    ev->carrier && !ev->removed);
	}
}

static void read_carriers(struct netglue *g)
{
	struct netif_link link;

	for (size_t i = 0; i < g->nifs_len; i++) {
		int err = netif_link_get(g->nifs[i].nic, &link);

		carrier_now(g, &g->nifs[i], !err && link.carrier);
	}
}

static void on_resync(void *arg)
{
	read_carriers(arg);
}

static void on_monitor(void *ctx, uint32_t events)
{
	struct netglue *g = ctx;

	if (netif_monitor_dispatch(g->monitor, MONITOR_BUDGET) >= 0)
		return;
	log_err("event=netlink-monitor-lost");
	loop_fd_remove(g->monitor_watch);
	g->monitor_watch = NULL;
}

static int monitor_open(struct netglue *g, struct loop *loop)
{
	static const struct netif_monitor_ops ops = {
		.link = on_link,
		.resync = on_resync,
	};
	int err = netif_monitor_create(&g->monitor, &ops, g);

	if (err)
		return err;
	return loop_fd_add(loop, &g->monitor_watch,
			   netif_monitor_fd(g->monitor), EPOLLIN, on_monitor,
			   g);
}

int netglue_prepare(struct netglue *g, struct loop *loop)
{
	int err = 0;

	for (size_t i = 0; i < g->nifs_len; i++) {
		struct glue_nif *nif = &g->nifs[i];

		err = netif_vip_prepare(nif->vip);
		if (!err)
			err = mediasock_open(&nif->media, g->conf, nif->conf,
					     nif->nic);
		if (!err)
			err = gwprobe_create(&nif->probe, loop, nif->conf,
					     nif->nic);
		if (!err)
			err = conflict_create(&nif->conflict, loop, nif->conf,
					      nif->nic, nif->vip);
		if (err) {
			log_err("network-interface=%s nic=%s "
				"event=prepare-failed error=\"%s\"",
				nif->conf->name, nif->nic, strerror(-err));
			return err;
		}
	}
	err = monitor_open(g, loop);
	if (err) {
		log_err("event=netlink-monitor-failed error=\"%s\"",
			strerror(-err));
		return err;
	}
	/* They start as "no carrier": the first reading is no event. */
	for (size_t i = 0; i < g->nifs_len; i++) {
		g->nifs[i].carrier = true;
		read_back(g, &g->nifs[i]);
	}
	read_carriers(g);
	return 0;
}

size_t netglue_beat_paths(const struct netglue *g, struct beat_path *paths,
			  size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < g->ha.len && n < max; i++)
		paths[n++] = (struct beat_path){.fd = g->ha.beat[i]};
	for (size_t i = 0; i < g->nifs_len && n < max; i++)
		paths[n++] = g->nifs[i].beat;
	return n;
}

const char *netglue_path_name(const struct netglue *g, size_t path)
{
	static const char *const links[CONFIG_HA_LINKS_MAX] = {"ha1", "ha2"};

	if (path < g->ha.len)
		return links[path];
	path -= g->ha.len;
	return path < g->nifs_len ? g->nifs[path].conf->name : NULL;
}

int netglue_media_fds(struct netglue *g, const char *forward_key_hex,
		      netglue_fds_fn *fn, void *ctx)
{
	for (size_t i = 0; i < g->nifs_len; i++) {
		const struct mediasock *m = g->nifs[i].media;
		int err;

		if (!m)
			continue;
		err = fn(ctx, mediasock_json(m), mediasock_fds(m),
			 mediasock_len(m));
		if (err)
			return err;
	}
	return hasock_forward_fds(&g->ha, forward_key_hex, fn, ctx);
}

/* ---- gateways ----------------------------------------------------------- */
void netglue_probe_gateways(struct netglue *g, uint64_t now_ms,
			    uint64_t peer_ms)
{
	bool urgent = gwprobe_urgent(now_ms, peer_ms, g->conf->cluster.beat_ms);

	for (size_t i = 0; i < g->nifs_len; i++) {
		struct glue_nif *nif = &g->nifs[i];

		gwprobe_turn(nif->probe, now_ms, urgent,
			     g->owned ? netif_vip_taken_mac(nif->vip)
				      : netif_vip_original_mac(nif->vip),
			     g->owned);
	}
}

bool netglue_gateway_reachable(const struct netglue *g, uint64_t now_ms,
			       uint64_t peer_ms)
{
	uint64_t since_ms =
		gwprobe_since_ms(now_ms, peer_ms, g->conf->cluster.beat_ms);
	size_t answered = 0;

	for (size_t i = 0; i < g->nifs_len; i++)
		answered += gwprobe_answered(g->nifs[i].probe, since_ms);
	return answered > 0;
}

unsigned netglue_gateways(const struct netglue *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->nifs_len; i++)
		n += gwprobe_len(g->nifs[i].probe);
	return (unsigned)n;
}

unsigned netglue_gateways_lost(const struct netglue *g, uint64_t now_ms)
{
	size_t n = 0;

	/* A NIC without carrier counts as such already. */
	for (size_t i = 0; i < g->nifs_len; i++) {
		if (g->nifs[i].carrier)
			n += gwprobe_lost(g->nifs[i].probe, now_ms);
	}
	return (unsigned)n;
}

unsigned netglue_conflicts(const struct netglue *g, uint64_t now_ms)
{
	unsigned n = 0;

	for (size_t i = 0; i < g->nifs_len; i++)
		n += conflict_present(g->nifs[i].conflict, now_ms);
	return n;
}

/* ---- taking and releasing ----------------------------------------------- */
int netglue_gate_open(struct netglue *g, unsigned lease_ms)
{
	return netif_gate_open(g->gate, lease_ms);
}

int netglue_take(struct netglue *g)
{
	int first = 0;

	/* Whatever fails, the rest is taken: a node that owns three of four
	 * interfaces carries more calls than one that owns none. */
	g->owned = true;
	for (size_t i = 0; i < g->nifs_len; i++) {
		struct glue_nif *nif = &g->nifs[i];
		int err = netif_vip_take(nif->vip, NULL, 0);

		conflict_owned(nif->conflict, true, clock_mono_ms());
		if (err) {
			log_err("network-interface=%s event=take-failed "
				"error=\"%s\"",
				nif->conf->name, strerror(-err));
			if (!first)
				first = err;
		}
	}
	return first;
}

void netglue_announce(struct netglue *g)
{
	for (size_t i = 0; i < g->nifs_len; i++) {
		if (netif_vip_announce(g->nifs[i].vip) <= 0)
			log_rated(LOG_WARNING,
				  "network-interface=%s event=announce-failed",
				  g->nifs[i].conf->name);
	}
}

int netglue_gate_close(struct netglue *g)
{
	return netif_gate_close(g->gate);
}

int netglue_fence_arm(struct netglue *g,
		      const uint8_t token[HA_BEAT_TOKEN_SIZE])
{
	return netif_gate_arm(g->gate, token);
}

int netglue_fenced(struct netglue *g)
{
	return netif_gate_is_fenced(g->gate);
}

int netglue_renew(void *ctx, unsigned lease_ms)
{
	struct netglue *g = ctx;

	return netif_gate_renew(g->gate, lease_ms);
}

int netglue_release(struct netglue *g)
{
	int first = 0;

	for (size_t i = 0; i < g->nifs_len; i++) {
		int err = netif_vip_release(g->nifs[i].vip);

		conflict_owned(g->nifs[i].conflict, false, 0);
		if (!err)
			continue;
		log_err("network-interface=%s event=release-failed "
			"error=\"%s\"",
			g->nifs[i].conf->name, strerror(-err));
		if (!first)
			first = err;
	}
	g->owned = false;
	return first;
}

void netglue_quiet(struct netglue *g, bool on)
{
	int err = netif_gate_quiet(g->gate, on);

	if (err)
		log_rated(LOG_WARNING, "event=gate-quiet-failed error=\"%s\"",
			  strerror(-err));
}

bool netglue_owned(const struct netglue *g)
{
	return g->owned;
}

unsigned netglue_verify(struct netglue *g)
{
	unsigned wrong = 0;

	fence_watch_links(g);
	for (size_t i = 0; i < g->nifs_len; i++) {
		struct glue_nif *nif = &g->nifs[i];
		int err;

		read_back(g, nif);
		if (nif->verified)
			continue;
		wrong++;
		err = g->owned ? netif_vip_take(nif->vip, NULL, 0)
			       : netif_vip_release(nif->vip);
		log_rated(LOG_ERR,
			  "network-interface=%s event=not-as-it-should "
			  "what=\"%s\" repaired=%s",
			  nif->conf->name, nif->verdict, err ? "no" : "yes");
	}
	return wrong;
}

unsigned netglue_carriers_lost(const struct netglue *g)
{
	unsigned n = 0;

	for (size_t i = 0; i < g->nifs_len; i++)
		n += !g->nifs[i].carrier;
	return n;
}

unsigned netglue_unverified(const struct netglue *g)
{
	unsigned n = 0;

	for (size_t i = 0; i < g->nifs_len; i++)
		n += !g->nifs[i].verified;
	return n;
}

size_t netglue_len(const struct netglue *g)
{
	return g->nifs_len;
}

static json_t *addresses(const struct config_nif *c)
{
	json_t *list = json_array();
	char text[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < c->addrs_len; i++)
		json_array_append_new(
			list, json_sprintf("%s/%u",
					   addr_format_ip(&c->addrs[i], text,
							  sizeof(text)),
					   c->prefixes[i]));
	return list;
}

json_t *netglue_to_json(struct netglue *g)
{
	json_t *list = json_array();
	uint64_t now_ms = clock_mono_ms();
	int open = netif_gate_is_open(g->gate);

	for (size_t i = 0; i < g->nifs_len; i++) {
		struct glue_nif *nif = &g->nifs[i];
		char mac[NETIF_MAC_STRLEN];

		read_back(g, nif);
		json_array_append_new(
			list,
			json_pack(
				"{s:s,s:s,s:s,s:s,s:b,s:s,s:b,s:o,s:o,s:o,s:s}",
				"name", nif->conf->name, "nic", nif->nic,
				"mode",
				netif_vmac_mode_name(netif_vip_mode(nif->vip)),
				"virtual-mac",
				netif_mac_format(netif_vip_taken_mac(nif->vip),
						 mac, sizeof(mac)),
				"owned", g->owned, "gate",
				open > 0 ? "open" : "closed", "carrier",
				nif->carrier, "addresses", addresses(nif->conf),
				"gateways", gwprobe_to_json(nif->probe, now_ms),
				"conflicts",
				conflict_to_json(nif->conflict, now_ms),
				"verify", nif->verdict));
	}
	return list;
}
