#include "netif/monitor.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netif/nl.h"

enum {
	MONITOR_RCVBUF_BYTES = 1 << 20,
	/* A storm must not turn it into a loop without end. */
	DRAIN_MAX = 4096,
};

struct netif_monitor {
	struct netif_nl nl;
	struct netif_monitor_ops ops;
	void *arg;
};

static int monitor_subscribe(struct netif_monitor *m)
{
	int err = 0;

	if (m->ops.link)
		err = netif_nl_join(&m->nl, RTNLGRP_LINK);
	if (!err && m->ops.addr)
		err = netif_nl_join(&m->nl, RTNLGRP_IPV4_IFADDR);
	if (!err && m->ops.addr)
		err = netif_nl_join(&m->nl, RTNLGRP_IPV6_IFADDR);
	if (!err && m->ops.neigh)
		err = netif_nl_join(&m->nl, RTNLGRP_NEIGH);
	return err;
}

int netif_monitor_create(struct netif_monitor **out,
			 const struct netif_monitor_ops *ops, void *arg)
{
	const int rcvbuf = MONITOR_RCVBUF_BYTES;
	struct netif_monitor *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	m->ops = *ops;
	m->arg = arg;
	err = netif_nl_open(&m->nl, true);
	if (err)
		goto err_free;
	/* Needs CAP_NET_ADMIN; without it the default has to do. */
	(void)setsockopt(m->nl.fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf,
			 sizeof(rcvbuf));
	err = monitor_subscribe(m);
	if (err)
		goto err_close;
	*out = m;
	return 0;

err_close:
	netif_nl_close(&m->nl);
err_free:
	free(m);
	return err;
}

void netif_monitor_destroy(struct netif_monitor *m)
{
	if (!m)
		return;
	netif_nl_close(&m->nl);
	free(m);
}

int netif_monitor_fd(const struct netif_monitor *m)
{
	return m->nl.fd;
}

static void deliver_link(struct netif_monitor *m, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = NLMSG_DATA(nlh);
	struct netif_link_event ev = {0};
	struct netif_link l;

	/* Bridge port messages come on the same group. */
	if (!netif_nl_link_parse(nlh, &l) || ifi->ifi_family != AF_UNSPEC)
		return;
	ev.ifindex = l.ifindex;
	memcpy(ev.name, l.name, sizeof(ev.name));
	ev.removed = nlh->nlmsg_type == RTM_DELLINK;
	ev.up = l.up;
	ev.carrier = l.carrier;
	memcpy(ev.mac, l.mac, sizeof(ev.mac));
	m->ops.link(m->arg, &ev);
}

static void deliver_addr(struct netif_monitor *m, const struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *ifa = NLMSG_DATA(nlh);
	const struct rtattr *tb[IFA_MAX + 1];
	struct netif_addr_event ev = {0};

	if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*ifa)))
		return;
	netif_nl_attrs(tb, IFA_MAX, IFA_RTA(ifa), IFA_PAYLOAD(nlh));
	if (!netif_nl_attr_ip(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS],
			      ifa->ifa_family, &ev.ip))
		return;
	ev.ip.prefix = ifa->ifa_prefixlen;
	ev.ifindex = (int)ifa->ifa_index;
	ev.removed = nlh->nlmsg_type == RTM_DELADDR;
	m->ops.addr(m->arg, &ev);
}

static void deliver_neigh(struct netif_monitor *m, const struct nlmsghdr *nlh)
{
	const struct ndmsg *ndm = NLMSG_DATA(nlh);
	const struct rtattr *tb[NDA_MAX + 1];
	struct netif_neigh_event ev = {0};

	if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*ndm)))
		return;
	netif_nl_attrs(
		tb, NDA_MAX,
		(const void *)((const char *)ndm + NLMSG_ALIGN(sizeof(*ndm))),
		NLMSG_PAYLOAD(nlh, sizeof(*ndm)));
	if (!netif_nl_attr_ip(tb[NDA_DST], ndm->ndm_family, &ev.ip))
		return;
	ev.ifindex = ndm->ndm_ifindex;
	ev.removed = nlh->nlmsg_type == RTM_DELNEIGH ||
		     (ndm->ndm_state & NUD_FAILED);
	if (tb[NDA_LLADDR] && RTA_PAYLOAD(tb[NDA_LLADDR]) == NETIF_MAC_LEN) {
		ev.has_mac = true;
		memcpy(ev.mac, RTA_DATA(tb[NDA_LLADDR]), NETIF_MAC_LEN);
	}
	m->ops.neigh(m->arg, &ev);
}

static void deliver(struct netif_monitor *m, const char *buf, size_t len)
{
	const struct nlmsghdr *h;
	size_t at = 0;

	while ((h = netif_nl_next(buf, len, &at))) {
		switch (h->nlmsg_type) {
		case RTM_NEWLINK:
		case RTM_DELLINK:
			if (m->ops.link)
				deliver_link(m, h);
			break;
		case RTM_NEWADDR:
		case RTM_DELADDR:
			if (m->ops.addr)
				deliver_addr(m, h);
			break;
		case RTM_NEWNEIGH:
		case RTM_DELNEIGH:
			if (m->ops.neigh)
				deliver_neigh(m, h);
			break;
		default:
			break;
		}
	}
}

/*
 * Events that are queued are older than what a resync reads: delivered after
 * it they would bring back the past.
 */
static void discard_queued(struct netif_monitor *m)
{
	char buf[1];

	for (int i = 0; i < DRAIN_MAX; i++) {
		if (recv(m->nl.fd, buf, sizeof(buf), 0) < 0 &&
		    errno != ENOBUFS && errno != EINTR)
			return;
	}
}

int netif_monitor_dispatch(struct netif_monitor *m, unsigned budget)
{
	_Alignas(struct nlmsghdr) char buf[32768];
	struct sockaddr_nl from;
	int done = 0;

	while ((unsigned)done < budget) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(m->nl.fd, buf, sizeof(buf), MSG_TRUNC,
				     (struct sockaddr *)&from, &len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && errno != ENOBUFS)
			return -errno;
		done++;
		if (n < 0 || (size_t)n > sizeof(buf)) {
			discard_queued(m);
			if (m->ops.resync)
				m->ops.resync(m->arg);
			break;
		}
		if (len == sizeof(from) && from.nl_pid == 0)
			deliver(m, buf, (size_t)n);
	}
	return done;
}
