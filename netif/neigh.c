/*
 * Neighbour entries: snapshot and installation.
 */
#include <errno.h>
#include <linux/neighbour.h>
#include <string.h>

#include "netif/vip_priv.h"

enum {
	/* States in which the kernel would send to the entry's address. */
	NEIGH_USABLE = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE |
		       NUD_PERMANENT,
};

struct neigh_look {
	int ifindex;
	struct netif_neigh *out;
	size_t cap;
	size_t len;
};

static void look_start(void *arg)
{
	struct neigh_look *look = arg;

	look->len = 0;
}

static void look_each(void *arg, struct nlmsghdr *nlh)
{
	const struct ndmsg *ndm = nlmsg_data(nlh);
	struct nlattr *tb[NDA_MAX + 1];
	struct neigh_look *look = arg;
	struct netif_neigh n;

	if (nlh->nlmsg_type != RTM_NEWNEIGH ||
	    nlmsg_parse(nlh, sizeof(*ndm), tb, NDA_MAX, NULL) < 0 ||
	    ndm->ndm_ifindex != look->ifindex ||
	    !(ndm->ndm_state & NEIGH_USABLE))
		return;
	if (!netif_nl_attr_ip(tb[NDA_DST], ndm->ndm_family, &n.ip) ||
	    !netif_nl_attr_mac(tb[NDA_LLADDR], n.mac))
		return;
	if (look->len < look->cap)
		look->out[look->len] = n;
	look->len++;
}

ssize_t netif_neigh_list(const char *nic, struct netif_neigh *out, size_t cap)
{
	struct neigh_look look = {.out = out, .cap = cap};
	const struct ndmsg ndm = {.ndm_family = AF_UNSPEC};
	const struct netif_nl_dump dump = {
		.start = look_start,
		.each = look_each,
		.arg = &look,
	};
	struct netif_nlreq req;
	struct netif_nl nl;
	int err;

	look.ifindex = (int)if_nametoindex(nic);
	if (!look.ifindex)
		return -ENODEV;
	err = netif_nl_open(&nl, false);
	if (err)
		return err;
	netif_nlreq_init(&req);
	netif_nlreq_begin(&req, RTM_GETNEIGH, NLM_F_DUMP, &ndm, sizeof(ndm));
	/* The kernel takes the index as an attribute, not from the header. */
	netif_nlreq_put_u32(&req, NDA_IFINDEX, (uint32_t)look.ifindex);
	err = netif_nl_dump(&nl, &req, &dump);
	netif_nl_close(&nl);
	return err ? err : (ssize_t)look.len;
}

static void neigh_msg(struct netif_nlreq *req, int ifindex,
		      const struct netif_ip *ip, const uint8_t *mac, bool probe)
{
	struct ndmsg ndm = {
		.ndm_family = ip->family,
		.ndm_ifindex = ifindex,
	};

	if (mac)
		ndm.ndm_state = probe ? NUD_PROBE : NUD_STALE;
	else
		ndm.ndm_flags = NTF_USE; /* resolve as if it were used */
	netif_nlreq_begin(req, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &ndm,
			  sizeof(ndm));
	netif_nlreq_put(req, NDA_DST, ip->bytes, netif_ip_len(ip));
	if (mac)
		netif_nlreq_put(req, NDA_LLADDR, mac, NETIF_MAC_LEN);
}

static int neigh_flush_if_full(struct netif_nl *nl, struct netif_nlreq *req)
{
	return netif_nlreq_is_full(req) ? netif_nl_run(nl, req) : 0;
}

int netif_neigh_install(const char *nic, const struct netif_neigh *list,
			size_t len, bool probe)
{
	int ifindex = (int)if_nametoindex(nic);
	struct netif_nlreq req;
	struct netif_nl nl;
	int err, first;

	if (!ifindex)
		return -ENODEV;
	first = netif_nl_open(&nl, false);
	if (first)
		return first;
	netif_nlreq_init(&req);
	for (size_t i = 0; i < len; i++) {
		neigh_msg(&req, ifindex, &list[i].ip, list[i].mac, probe);
		err = neigh_flush_if_full(&nl, &req);
		if (err && !first)
			first = err;
	}
	err = netif_nl_run(&nl, &req);
	netif_nl_close(&nl);
	return first ? first : err;
}

static bool is_on_link(const struct netif_vip *v, const struct netif_ip *ip)
{
	for (size_t i = 0; i < v->own_len; i++) {
		const struct netif_ip *a = &v->addrs[i];
		unsigned whole = a->prefix / 8, rest = a->prefix % 8;

		if (a->family != ip->family ||
		    memcmp(a->bytes, ip->bytes, whole) != 0)
			continue;
		if (!rest ||
		    (a->bytes[whole] ^ ip->bytes[whole]) >> (8 - rest) == 0)
			return true;
	}
	return false;
}

static bool is_gateway(const struct netif_vip *v, const struct netif_ip *ip)
{
	for (size_t i = 0; i < v->gateways_len; i++) {
		if (netif_ip_same_host(&v->gateways[i], ip))
			return true;
	}
	return false;
}

static const uint8_t *mac_of(const struct netif_neigh *list, size_t len,
			     const struct netif_ip *ip)
{
	for (size_t i = 0; i < len; i++) {
		if (netif_ip_same_host(&list[i].ip, ip))
			return list[i].mac;
	}
	return NULL;
}

int vip_neighs_install(struct netif_vip *v, const struct netif_neigh *list,
		       size_t len)
{
	struct netif_nlreq req;
	int err, first = 0;

	netif_nlreq_init(&req);
	/* Gateways first: everything behind them waits. */
	for (size_t i = 0; i < v->gateways_len; i++)
		neigh_msg(&req, v->ifindex, &v->gateways[i],
			  mac_of(list, len, &v->gateways[i]), true);
	for (size_t i = 0; i < len; i++) {
		if (is_gateway(v, &list[i].ip) || !is_on_link(v, &list[i].ip))
			continue;
		neigh_msg(&req, v->ifindex, &list[i].ip, list[i].mac, false);
		err = neigh_flush_if_full(&v->nl, &req);
		if (err && !first)
			first = err;
	}
	err = netif_nl_run(&v->nl, &req);
	return first ? first : err;
}
