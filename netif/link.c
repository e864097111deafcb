#include "netif/link.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <netinet/in.h>
#include <string.h>

#include "netif/nl.h"

#ifndef RTEXT_FILTER_SKIP_STATS
#define RTEXT_FILTER_SKIP_STATS (1 << 3)
#endif

enum {
	/* IFF_LOWER_UP; <linux/if.h> and <net/if.h> do not mix. */
	LINK_LOWER_UP = 1 << 16,
};

static void link_counters(const struct nlattr *nla, struct netif_counters *c)
{
	struct rtnl_link_stats64 s = {0};

	nla_memcpy(&s, nla, sizeof(s));
	*c = (struct netif_counters){
		.rx_packets = s.rx_packets,
		.tx_packets = s.tx_packets,
		.rx_bytes = s.rx_bytes,
		.tx_bytes = s.tx_bytes,
		.rx_errors = s.rx_errors,
		.tx_errors = s.tx_errors,
		.rx_dropped = s.rx_dropped,
		.tx_dropped = s.tx_dropped,
	};
}

bool netif_nl_link_parse(struct nlmsghdr *nlh, struct netif_link *out)
{
	/* The length of a hardware address depends on the kind of link. */
	static const struct nla_policy policy[IFLA_PERM_ADDRESS + 1] = {
		[IFLA_IFNAME] = {.type = NLA_STRING, .maxlen = IF_NAMESIZE},
		[IFLA_MTU] = {.type = NLA_U32},
	};
	const struct ifinfomsg *ifi = nlmsg_data(nlh);
	struct nlattr *tb[IFLA_PERM_ADDRESS + 1];
	struct netif_link l = {0};

	if (nlmsg_parse(nlh, sizeof(*ifi), tb, IFLA_PERM_ADDRESS, policy) < 0)
		return false;
	l.ifindex = ifi->ifi_index;
	l.up = ifi->ifi_flags & IFF_UP;
	l.carrier = ifi->ifi_flags & LINK_LOWER_UP;
	if (tb[IFLA_IFNAME])
		nla_strlcpy(l.name, tb[IFLA_IFNAME], sizeof(l.name));
	netif_nl_attr_mac(tb[IFLA_ADDRESS], l.mac);
	l.has_perm_mac = netif_nl_attr_mac(tb[IFLA_PERM_ADDRESS], l.perm_mac);
	if (tb[IFLA_MTU])
		l.mtu = nla_get_u32(tb[IFLA_MTU]);
	if (tb[IFLA_STATS64])
		link_counters(tb[IFLA_STATS64], &l.counters);
	*out = l;
	return true;
}

struct link_look {
	struct netif_link link;
	bool found;
};

static void link_each(void *arg, struct nlmsghdr *nlh)
{
	struct link_look *look = arg;

	look->found = netif_nl_link_parse(nlh, &look->link);
}

int netif_nl_link_get(struct netif_nl *nl, const char *name, int ifindex,
		      bool counters, struct netif_link *out)
{
	const struct ifinfomsg ifi = {.ifi_index = name ? 0 : ifindex};
	struct link_look look = {.found = false};
	struct netif_nlreq req;
	int err;

	netif_nlreq_init(&req);
	netif_nlreq_begin(&req, RTM_GETLINK, 0, &ifi, sizeof(ifi));
	if (name)
		netif_nlreq_put(&req, IFLA_IFNAME, name, strlen(name) + 1);
	netif_nlreq_put_u32(&req, IFLA_EXT_MASK,
			    counters ? 0 : RTEXT_FILTER_SKIP_STATS);
	err = netif_nl_get(nl, &req, link_each, &look);
	if (err)
		return err;
	if (!look.found)
		return -EBADMSG;
	*out = look.link;
	return 0;
}

int netif_link_get(const char *nic, struct netif_link *out)
{
	struct netif_nl nl;
	int err;

	if (!nic[0] || strlen(nic) >= IF_NAMESIZE)
		return -ENODEV;
	err = netif_nl_open(&nl, false);
	if (err)
		return err;
	err = netif_nl_link_get(&nl, nic, 0, true, out);
	netif_nl_close(&nl);
	return err;
}

static bool is_address(const struct sockaddr *sa, const struct netif_ip *ip)
{
	const void *bytes;

	if (!sa || sa->sa_family != ip->family)
		return false;
	if (ip->family == AF_INET)
		bytes = &((const struct sockaddr_in *)(const void *)sa)
				 ->sin_addr;
	else
		bytes = &((const struct sockaddr_in6 *)(const void *)sa)
				 ->sin6_addr;
	return !memcmp(bytes, ip->bytes, netif_ip_len(ip));
}

int netif_link_of_ip(const struct netif_ip *ip, char nic[IF_NAMESIZE])
{
	struct ifaddrs *list, *a;
	int err = -ENODEV;

	if (!netif_ip_len(ip))
		return -EINVAL;
	if (getifaddrs(&list))
		return -errno;
	for (a = list; a && err; a = a->ifa_next) {
		if (!is_address(a->ifa_addr, ip) ||
		    strlen(a->ifa_name) >= IF_NAMESIZE)
			continue;
		strcpy(nic, a->ifa_name);
		err = 0;
	}
	freeifaddrs(list);
	return err;
}
