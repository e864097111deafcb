/*
 * The virtual addresses of a NIC: add, remove, look.
 */
#include <errno.h>
#include <linux/if_addr.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "netif/vip_priv.h"

static void addr_msg(struct netif_nlreq *req, int type, int flags, int ifindex,
		     const struct netif_ip *ip)
{
	struct ifaddrmsg ifa = {
		.ifa_family = ip->family,
		.ifa_prefixlen = ip->prefix,
		.ifa_index = (unsigned)ifindex,
	};

	/* Owned at once: nobody waits for duplicate address detection. */
	if (ip->family == AF_INET6 && type == RTM_NEWADDR) {
		ifa.ifa_flags = IFA_F_NODAD;
		if (ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80)
			ifa.ifa_scope = RT_SCOPE_LINK;
	}
	netif_nlreq_begin(req, type, flags, &ifa, sizeof(ifa));
	netif_nlreq_put(req, IFA_LOCAL, ip->bytes, netif_ip_len(ip));
	netif_nlreq_put(req, IFA_ADDRESS, ip->bytes, netif_ip_len(ip));
}

/*
 * The kernel answers for a new IPv6 address at once, but makes the route
 * that delivers to it later, in a work queue that waits for the lock of all
 * network configuration. Until then packets count as somebody else's and are
 * lost: this route of our own is there when the answer is.
 */
static void local_route_msg(struct netif_nlreq *req, int type, int flags,
			    int ifindex, const struct netif_ip *ip)
{
	const struct rtmsg rt = {
		.rtm_family = ip->family,
		.rtm_dst_len = 128,
		.rtm_table = RT_TABLE_LOCAL,
		.rtm_protocol = NETIF_RTPROT,
		.rtm_type = RTN_LOCAL,
	};

	netif_nlreq_begin(req, type, flags, &rt, sizeof(rt));
	netif_nlreq_put(req, RTA_DST, ip->bytes, netif_ip_len(ip));
	netif_nlreq_put_u32(req, RTA_OIF, (uint32_t)ifindex);
}

static int group_join(int fd, int ifindex, const struct netif_ip *ip)
{
	struct ipv6_mreq mreq = {
		.ipv6mr_multiaddr.s6_addr = {0xff, 2, [11] = 1, [12] = 0xff},
		.ipv6mr_interface = (unsigned)ifindex,
	};

	memcpy(&mreq.ipv6mr_multiaddr.s6_addr[13], ip->bytes + 13, 3);
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &mreq,
		       sizeof(mreq)) < 0 &&
	    errno != EADDRINUSE)
		return -errno;
	return 0;
}

/*
 * The group in which neighbours ask for an IPv6 address (RFC 4291 2.7.1) is
 * joined by the same work queue: a question lost meanwhile comes again only
 * after a second.
 */
int vip_groups_join(struct netif_vip *v)
{
	for (size_t i = 0; i < v->addrs_len; i++) {
		int err;

		if (v->addrs[i].family != AF_INET6)
			continue;
		if (v->group_fd < 0)
			v->group_fd =
				socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (v->group_fd < 0)
			return -errno;
		err = group_join(v->group_fd, v->ifindex, &v->addrs[i]);
		if (err)
			return err;
	}
	return 0;
}

int vip_addrs_add(struct netif_vip *v)
{
	struct netif_nlreq req;

	netif_nlreq_init(&req);
	for (size_t i = 0; i < v->addrs_len; i++) {
		addr_msg(&req, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE,
			 v->ifindex, &v->addrs[i]);
		if (v->addrs[i].family == AF_INET6)
			local_route_msg(&req, RTM_NEWROUTE,
					NLM_F_CREATE | NLM_F_REPLACE,
					v->ifindex, &v->addrs[i]);
	}
	return netif_nl_run(&v->nl, &req);
}

static int local_routes_del(struct netif_vip *v, const struct netif_ip *list,
			    size_t len)
{
	struct netif_nlreq req;

	netif_nlreq_init(&req);
	req.fine[0] = -ESRCH;
	for (size_t i = 0; i < len; i++) {
		if (list[i].family == AF_INET6)
			local_route_msg(&req, RTM_DELROUTE, 0, v->ifindex,
					&list[i]);
	}
	return netif_nl_run(&v->nl, &req);
}

static int addrs_del(struct netif_vip *v, const struct netif_ip *list,
		     size_t len)
{
	struct netif_nlreq req;
	int err, route_err;

	netif_nlreq_init(&req);
	/* Not there is what we want. ENXIO: IPv6 is disabled. */
	req.fine[0] = -EADDRNOTAVAIL;
	req.fine[1] = -ENXIO;
	for (size_t i = 0; i < len; i++)
		addr_msg(&req, RTM_DELADDR, 0, v->ifindex, &list[i]);
	err = netif_nl_run(&v->nl, &req);
	route_err = local_routes_del(v, list, len);
	return err ? err : route_err;
}

int vip_addrs_del(struct netif_vip *v)
{
	return addrs_del(v, v->addrs, v->addrs_len);
}

int vip_addrs_drop_link_local(struct netif_vip *v)
{
	struct netif_ip ll;

	vip_link_local_of(v->original_mac, &ll);
	for (size_t i = 0; i < v->addrs_len; i++) {
		if (netif_ip_same_host(&v->addrs[i], &ll))
			return 0;
	}
	return addrs_del(v, &ll, 1);
}

struct addr_look {
	const struct netif_vip *v;
	bool found[NETIF_VIP_ADDRS_MAX + 1];
	unsigned foreign;
};

static void look_start(void *arg)
{
	struct addr_look *look = arg;

	memset(look->found, 0, sizeof(look->found));
	look->foreign = 0;
}

static void look_each(void *arg, struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *ifa = nlmsg_data(nlh);
	struct nlattr *tb[IFA_MAX + 1];
	struct addr_look *look = arg;
	struct netif_ip ip;

	if (nlh->nlmsg_type != RTM_NEWADDR ||
	    nlmsg_parse(nlh, sizeof(*ifa), tb, IFA_MAX, NULL) < 0 ||
	    (int)ifa->ifa_index != look->v->ifindex)
		return;
	if (!netif_nl_attr_ip(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS],
			      ifa->ifa_family, &ip))
		return;
	for (size_t i = 0; i < look->v->addrs_len; i++) {
		if (netif_ip_same_host(&ip, &look->v->addrs[i])) {
			look->found[i] = true;
			return;
		}
	}
	look->foreign++;
}

int vip_addrs_check(struct netif_vip *v, bool taken,
		    struct netif_vip_report *out)
{
	const struct ifaddrmsg ifa = {.ifa_index = (unsigned)v->ifindex};
	struct addr_look look = {.v = v};
	const struct netif_nl_dump dump = {
		.start = look_start,
		.each = look_each,
		.arg = &look,
	};
	char ip[NETIF_IP_STRLEN];
	struct netif_nlreq req;
	int err;

	netif_nlreq_init(&req);
	netif_nlreq_begin(&req, RTM_GETADDR, NLM_F_DUMP, &ifa, sizeof(ifa));
	err = netif_nl_dump(&v->nl, &req, &dump);
	if (err)
		return err;
	out->foreign = look.foreign;
	for (size_t i = 0; i < v->addrs_len; i++) {
		size_t at = strlen(out->text);

		if (look.found[i] == taken)
			continue;
		if (taken)
			out->missing++;
		else
			out->lingering++;
		snprintf(out->text + at, sizeof(out->text) - at, "%s%s %s",
			 at ? ", " : "", taken ? "missing" : "lingering",
			 netif_ip_format(&v->addrs[i], ip, sizeof(ip)));
	}
	return 0;
}
