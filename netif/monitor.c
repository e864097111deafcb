#include "netif/monitor.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <netlink/errno.h>
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
	bool discarding; /* what comes now is read and forgotten */
};

int netif_monitor_fd(const struct netif_monitor *m)
{
	return nl_socket_get_fd(m->nl.sock);
}

static void deliver_link(struct netif_monitor *m, struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = nlmsg_data(nlh);
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

static void deliver_addr(struct netif_monitor *m, struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *ifa = nlmsg_data(nlh);
	struct nlattr *tb[IFA_MAX + 1];
	struct netif_addr_event ev = {0};

	if (nlmsg_parse(nlh, sizeof(*ifa), tb, IFA_MAX, NULL) < 0)
		return;
	if (!netif_nl_attr_ip(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS],
			      ifa->ifa_family, &ev.ip))
		return;
	ev.ip.prefix = ifa->ifa_prefixlen;
	ev.ifindex = (int)ifa->ifa_index;
	ev.removed = nlh->nlmsg_type == RTM_DELADDR;
	m->ops.addr(m->arg, &ev);
}

static void deliver_neigh(struct netif_monitor *m, struct nlmsghdr *nlh)
{
	const struct ndmsg *ndm = nlmsg_data(nlh);
	struct nlattr *tb[NDA_MAX + 1];
	struct netif_neigh_event ev = {0};

	if (nlmsg_parse(nlh, sizeof(*ndm), tb, NDA_MAX, NULL) < 0)
		return;
	if (!netif_nl_attr_ip(tb[NDA_DST], ndm->ndm_family, &ev.ip))
		return;
	ev.ifindex = ndm->ndm_ifindex;
	ev.removed = nlh->nlmsg_type == RTM_DELNEIGH ||
		     (ndm->ndm_state & NUD_FAILED);
	ev.has_mac = netif_nl_attr_mac(tb[NDA_LLADDR], ev.mac);
	m->ops.neigh(m->arg, &ev);
}

/*
 * Skips libnl's own handling: no event wants an answer, and none may make it
 * read on past the budget.
 */
static int on_event(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	struct netif_monitor *m = arg;

	if (m->discarding || nlmsg_get_src(msg)->nl_pid != 0)
		return NL_SKIP;
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (m->ops.link)
			deliver_link(m, nlh);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (m->ops.addr)
			deliver_addr(m, nlh);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		if (m->ops.neigh)
			deliver_neigh(m, nlh);
		break;
	default:
		break;
	}
	return NL_SKIP;
}

static int monitor_subscribe(struct netif_monitor *m)
{
	struct nl_sock *sock = m->nl.sock;
	int err = nl_socket_modify_cb(sock, NL_CB_MSG_IN, NL_CB_CUSTOM,
				      on_event, m);

	if (!err && m->ops.link)
		err = nl_socket_add_membership(sock, RTNLGRP_LINK);
	if (!err && m->ops.addr)
		err = nl_socket_add_memberships(sock, RTNLGRP_IPV4_IFADDR,
						RTNLGRP_IPV6_IFADDR, 0);
	if (!err && m->ops.neigh)
		err = nl_socket_add_membership(sock, RTNLGRP_NEIGH);
	return netif_nl_errno(err);
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
	(void)setsockopt(netif_monitor_fd(m), SOL_SOCKET, SO_RCVBUFFORCE,
			 &rcvbuf, sizeof(rcvbuf));
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

/* Dropped by the kernel (ENOBUFS), no memory, or longer than our buffer. */
static bool is_loss(int nlerr)
{
	return nlerr == -NLE_NOMEM || nlerr == -NLE_MSG_TRUNC;
}

/*
 * Events that are queued are older than what a resync reads: delivered after
 * it they would bring back the past.
 */
static void discard_queued(struct netif_monitor *m)
{
	int err = 0;

	m->discarding = true;
	for (int i = 0; i < DRAIN_MAX && (!err || is_loss(err)); i++)
		err = nl_recvmsgs_default(m->nl.sock);
	m->discarding = false;
}

int netif_monitor_dispatch(struct netif_monitor *m, unsigned budget)
{
	int done = 0;

	while ((unsigned)done < budget) {
		int err = nl_recvmsgs_default(m->nl.sock);

		if (err == -NLE_AGAIN)
			break;
		if (err < 0 && !is_loss(err))
			return netif_nl_errno(err);
		done++;
		if (err < 0) {
			discard_queued(m);
			if (m->ops.resync)
				m->ops.resync(m->arg);
			break;
		}
	}
	return done;
}
