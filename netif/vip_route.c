/*
 * Policy routing and sysctls of a service NIC: a packet with a virtual
 * source leaves by its NIC or not at all, whether the address is owned or
 * not.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "netif/vip_priv.h"

enum { ROUTE_METRIC = 100 };

struct sysctl_want {
	const char *path; /* %s = NIC */
	const char *value;
	bool v6;
};

static const struct sysctl_want WANTED[] = {
	/* Answer for an address only on the NIC that has it. */
	{"net/ipv4/conf/%s/arp_ignore", "1", false},
	{"net/ipv4/conf/%s/arp_announce", "2", false},
	/* Announcements are ours, at our time. */
	{"net/ipv4/conf/%s/arp_notify", "0", false},
	{"net/ipv4/conf/%s/accept_redirects", "0", false},
	{"net/ipv4/ip_nonlocal_bind", "1", false},
	/* First: with IPv6 off the NIC has no other entry that works. */
	{"net/ipv6/conf/%s/disable_ipv6", "0", true},
	/* No address but ours: none from routers, none from the MAC. */
	{"net/ipv6/conf/%s/accept_ra", "0", true},
	{"net/ipv6/conf/%s/autoconf", "0", true},
	{"net/ipv6/conf/%s/addr_gen_mode", "1", true},
	{"net/ipv6/conf/%s/ndisc_notify", "0", true},
	{"net/ipv6/conf/%s/accept_redirects", "0", true},
	{"net/ipv6/ip_nonlocal_bind", "1", true},
};

static bool has_family(const struct netif_vip *v, uint8_t family)
{
	for (size_t i = 0; i < v->own_len; i++) {
		if (v->addrs[i].family == family)
			return true;
	}
	return false;
}

static int sysctl_write(const char *path, const char *value)
{
	char now[32] = "";
	size_t len = strlen(value);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int err = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, now, sizeof(now) - 1);
	/* Writing addr_gen_mode anew would make the kernel act again. */
	if (n == (ssize_t)len + 1 && !strncmp(now, value, len))
		goto out;
	if (pwrite(fd, value, len, 0) != (ssize_t)len)
		err = -errno;
out:
	close(fd);
	return err;
}

int vip_sysctl_prepare(const struct netif_vip *v)
{
	bool v6 = has_family(v, AF_INET6);

	for (size_t i = 0; i < sizeof(WANTED) / sizeof(WANTED[0]); i++) {
		const struct sysctl_want *w = &WANTED[i];
		char rel[128], path[160];
		int err;

		if (w->v6 && !v6 && strstr(w->path, "disable_ipv6"))
			continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(rel, sizeof(rel), w->path, v->nic);
#pragma GCC diagnostic pop
		snprintf(path, sizeof(path), "/proc/sys/%s", rel);
		err = sysctl_write(path, w->value);
		/* A kernel without IPv6 is fine for an IPv4 network. */
		if (err && !(w->v6 && !v6))
			return err;
	}
	return 0;
}

static void network_of(const struct netif_ip *ip, struct netif_ip *out)
{
	*out = *ip;
	for (unsigned i = 0; i < sizeof(out->bytes); i++) {
		unsigned left = ip->prefix > i * 8 ? ip->prefix - i * 8 : 0;

		if (left < 8)
			out->bytes[i] &= (uint8_t)(0xff00u >> left);
	}
}

/* dst NULL = default route by gateway. */
static void route_msg(struct netif_nlreq *req, const struct netif_vip *v,
		      int type, const struct netif_ip *dst,
		      const struct netif_ip *gateway, uint32_t metric)
{
	const struct netif_ip *any = dst ? dst : gateway;
	int flags = type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_REPLACE : 0;
	const struct rtmsg rt = {
		.rtm_family = any->family,
		.rtm_dst_len = dst ? dst->prefix : 0,
		.rtm_table = RT_TABLE_UNSPEC,
		.rtm_protocol = NETIF_RTPROT,
		.rtm_type = RTN_UNICAST,
		.rtm_scope = dst && dst->family == AF_INET ? RT_SCOPE_LINK
							   : RT_SCOPE_UNIVERSE,
		/* Reachable by decree: no address has to be owned for it. */
		.rtm_flags = gateway ? RTNH_F_ONLINK : 0,
	};

	netif_nlreq_begin(req, type, flags, &rt, sizeof(rt));
	netif_nlreq_put_u32(req, RTA_TABLE, v->table_id);
	netif_nlreq_put_u32(req, RTA_OIF, (uint32_t)v->ifindex);
	netif_nlreq_put_u32(req, RTA_PRIORITY, metric);
	if (dst)
		netif_nlreq_put(req, RTA_DST, dst->bytes, netif_ip_len(dst));
	if (gateway)
		netif_nlreq_put(req, RTA_GATEWAY, gateway->bytes,
				netif_ip_len(gateway));
}

static void routes_msgs(struct netif_nlreq *req, const struct netif_vip *v,
			int type)
{
	for (size_t i = 0; i < v->own_len; i++) {
		struct netif_ip net;

		network_of(&v->addrs[i], &net);
		route_msg(req, v, type, &net, NULL, ROUTE_METRIC);
	}
	for (size_t i = 0; i < v->gateways_len; i++)
		route_msg(req, v, type, NULL, &v->gateways[i],
			  ROUTE_METRIC + (uint32_t)i);
}

int vip_routes_install(struct netif_vip *v)
{
	struct netif_nlreq req;

	netif_nlreq_init(&req);
	routes_msgs(&req, v, RTM_NEWROUTE);
	return netif_nl_run(&v->nl, &req);
}

int vip_routes_remove(struct netif_vip *v)
{
	struct netif_nlreq req;

	netif_nlreq_init(&req);
	req.fine[0] = -ESRCH;
	routes_msgs(&req, v, RTM_DELROUTE);
	return netif_nl_run(&v->nl, &req);
}

/* from NULL: "oif NIC lookup T". */
static void rule_msg(struct netif_nlreq *req, const struct netif_vip *v,
		     int type, uint8_t family, const struct netif_ip *from,
		     uint8_t action)
{
	int flags = type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0;
	const uint8_t protocol = NETIF_RTPROT;
	const struct fib_rule_hdr frh = {
		.family = family,
		.src_len = from ? (uint8_t)(netif_ip_len(from) * 8) : 0,
		.action = action,
	};

	netif_nlreq_begin(req, type, flags, &frh, sizeof(frh));
	netif_nlreq_put(req, FRA_PROTOCOL, &protocol, sizeof(protocol));
	if (action == FR_ACT_TO_TBL) {
		netif_nlreq_put_u32(req, FRA_TABLE, v->table_id);
		netif_nlreq_put_u32(req, FRA_PRIORITY, NETIF_VIP_RULE_LOOKUP);
	} else {
		netif_nlreq_put_u32(req, FRA_PRIORITY,
				    NETIF_VIP_RULE_UNREACHABLE);
	}
	if (from)
		netif_nlreq_put(req, FRA_SRC, from->bytes, netif_ip_len(from));
	else
		netif_nlreq_put(req, FRA_OIFNAME, v->nic, strlen(v->nic) + 1);
}

/* Each fits: 2 * NETIF_VIP_ADDRS_MAX + 2 <= NETIF_NLREQ_MSGS_MAX. */
static int rules_run(struct netif_vip *v, int type, int fine)
{
	struct netif_nlreq req;

	netif_nlreq_init(&req);
	req.fine[0] = fine;
	for (size_t i = 0; i < v->own_len; i++) {
		const struct netif_ip *ip = &v->addrs[i];

		rule_msg(&req, v, type, ip->family, ip, FR_ACT_TO_TBL);
		rule_msg(&req, v, type, ip->family, ip, FR_ACT_UNREACHABLE);
	}
	if (has_family(v, AF_INET))
		rule_msg(&req, v, type, AF_INET, NULL, FR_ACT_TO_TBL);
	if (has_family(v, AF_INET6))
		rule_msg(&req, v, type, AF_INET6, NULL, FR_ACT_TO_TBL);
	return netif_nl_run(&v->nl, &req);
}

int vip_rules_install(struct netif_vip *v)
{
	return rules_run(v, RTM_NEWRULE, -EEXIST);
}

int vip_rules_remove(struct netif_vip *v)
{
	return rules_run(v, RTM_DELRULE, -ENOENT);
}
