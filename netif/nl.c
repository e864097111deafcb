#include "netif/nl.h"

#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef RTEXT_FILTER_SKIP_STATS
#define RTEXT_FILTER_SKIP_STATS (1 << 3)
#endif

enum {
	/* The kernel answers within the send call; this only bounds a bug. */
	ANSWER_TIMEOUT_S = 2,
	DUMP_TRIES = 5,
	RECV_BYTES = 32768,
	/* IFF_LOWER_UP; <linux/if.h> and <net/if.h> do not mix. */
	LINK_LOWER_UP = 1 << 16,
};

int netif_nl_open(struct netif_nl *nl, bool nonblocking)
{
	const struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	const struct timeval tv = {.tv_sec = ANSWER_TIMEOUT_S};
	const int one = 1;
	int fd, err;

	fd = socket(AF_NETLINK,
		    SOCK_RAW | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0),
		    NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0)
		goto err_close;
	/* Errors need not carry the request back; dumps filter strictly. */
	if (setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one)) < 0)
		goto err_close;
	if (setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one,
		       sizeof(one)) < 0)
		goto err_close;
	/* Without an address of its own a socket hears no event. */
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0)
		goto err_close;
	nl->fd = fd;
	nl->seq = 1;
	return 0;

err_close:
	err = -errno;
	close(fd);
	return err;
}

void netif_nl_close(struct netif_nl *nl)
{
	if (nl->fd >= 0)
		close(nl->fd);
	nl->fd = -1;
}

int netif_nl_join(struct netif_nl *nl, unsigned group)
{
	const int g = (int)group;

	if (setsockopt(nl->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &g,
		       sizeof(g)) < 0)
		return -errno;
	return 0;
}

void netif_nlreq_init(struct netif_nlreq *req)
{
	req->msg = NULL;
	req->used = 0;
	req->count = 0;
	req->overflow = false;
}

bool netif_nlreq_has_room(const struct netif_nlreq *req)
{
	return req->count < NETIF_NLREQ_MSGS_MAX &&
	       sizeof(req->buf) - req->used >= 256;
}

void *netif_nlreq_begin(struct netif_nlreq *req, uint16_t type, uint16_t flags,
			size_t len)
{
	size_t size = NLMSG_SPACE(len);

	if (size > sizeof(req->buf) - req->used ||
	    req->count == NETIF_NLREQ_MSGS_MAX) {
		/* Nothing of an overflown request is ever sent. */
		req->overflow = true;
		req->used = 0;
		req->count = 0;
	}
	req->msg = (struct nlmsghdr *)(void *)(req->buf + req->used);
	memset(req->msg, 0, size);
	req->msg->nlmsg_len = (uint32_t)NLMSG_LENGTH(len);
	req->msg->nlmsg_type = type;
	req->msg->nlmsg_flags = flags | NLM_F_REQUEST | NLM_F_ACK;
	req->used += size;
	req->count++;
	return NLMSG_DATA(req->msg);
}

void netif_nlreq_put(struct netif_nlreq *req, uint16_t attr, const void *data,
		     size_t len)
{
	size_t size = RTA_SPACE(len);
	struct rtattr *rta;

	if (!req->msg || size > sizeof(req->buf) - req->used) {
		req->overflow = true;
		return;
	}
	rta = (struct rtattr *)(void *)(req->buf + req->used);
	memset(rta, 0, size);
	rta->rta_type = attr;
	rta->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(rta), data, len);
	req->used += size;
	req->msg->nlmsg_len =
		(uint32_t)(req->buf + req->used - (char *)req->msg);
}

void netif_nlreq_put_u32(struct netif_nlreq *req, uint16_t attr, uint32_t value)
{
	netif_nlreq_put(req, attr, &value, sizeof(value));
}

static int nl_send(struct netif_nl *nl, const void *buf, size_t len)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t n;

	do
		n = sendto(nl->fd, buf, len, 0,
			   (const struct sockaddr *)&kernel, sizeof(kernel));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static ssize_t nl_recv(struct netif_nl *nl, void *buf, size_t size)
{
	struct sockaddr_nl from;
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	struct msghdr mh = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t n;

	for (;;) {
		mh.msg_namelen = sizeof(from);
		n = recvmsg(nl->fd, &mh, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (mh.msg_flags & MSG_TRUNC)
			return -EMSGSIZE;
		if (mh.msg_namelen == sizeof(from) && from.nl_pid == 0)
			return n;
	}
}

const struct nlmsghdr *netif_nl_next(const char *buf, size_t len, size_t *at)
{
	const struct nlmsghdr *h = (const void *)(buf + *at);
	size_t left = len > *at ? len - *at : 0;

	if (left < sizeof(*h) || h->nlmsg_len < sizeof(*h) ||
	    h->nlmsg_len > left)
		return NULL;
	*at += NLMSG_ALIGN(h->nlmsg_len);
	return h;
}

static int nl_error_of(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = NLMSG_DATA(nlh);

	return nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*e)) ? -EBADMSG : e->error;
}

int netif_nl_run(struct netif_nl *nl, struct netif_nlreq *req, int *errs)
{
	_Alignas(struct nlmsghdr) char buf[RECV_BYTES];
	uint32_t first = nl->seq;
	unsigned left = req->count;
	int err = 0;

	if (req->overflow)
		return -EMSGSIZE;
	if (!left)
		return 0;
	for (size_t at = 0; at < req->used;) {
		struct nlmsghdr *nlh = (void *)(req->buf + at);

		nlh->nlmsg_seq = nl->seq++;
		at += NLMSG_ALIGN(nlh->nlmsg_len);
	}
	for (unsigned i = 0; errs && i < left; i++)
		errs[i] = -ETIMEDOUT;
	err = nl_send(nl, req->buf, req->used);
	if (err)
		return err;
	while (left) {
		ssize_t n = nl_recv(nl, buf, sizeof(buf));
		const struct nlmsghdr *h;
		size_t at = 0;

		if (n < 0)
			return (int)n;
		while ((h = netif_nl_next(buf, (size_t)n, &at))) {
			uint32_t i = h->nlmsg_seq - first;
			int e;

			if (h->nlmsg_type != NLMSG_ERROR || i >= req->count)
				continue;
			e = nl_error_of(h);
			if (errs)
				errs[i] = e;
			if (e && !err)
				err = e;
			left--;
		}
	}
	return err;
}

/* 1: more to come; 0: done; -errno. */
static int dump_datagram(const struct netif_nl_dump *dump, uint32_t seq,
			 const char *buf, size_t len)
{
	const struct nlmsghdr *h;
	bool torn = false;
	size_t at = 0;

	while ((h = netif_nl_next(buf, len, &at))) {
		if (h->nlmsg_seq != seq)
			continue;
		torn |= h->nlmsg_flags & NLM_F_DUMP_INTR;
		if (h->nlmsg_type == NLMSG_DONE)
			return torn ? -EINTR : 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return nl_error_of(h);
		dump->each(dump->arg, h);
	}
	return torn ? -EINTR : 1;
}

static int dump_once(struct netif_nl *nl, const struct netif_nl_dump *dump)
{
	_Alignas(struct nlmsghdr) char buf[RECV_BYTES];
	struct nlmsghdr *h = (void *)buf;
	uint32_t seq = nl->seq++;
	bool torn = false;
	int err;

	memset(buf, 0, NLMSG_SPACE(dump->payload_len));
	h->nlmsg_len = (uint32_t)NLMSG_LENGTH(dump->payload_len);
	h->nlmsg_type = dump->type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = seq;
	memcpy(NLMSG_DATA(h), dump->payload, dump->payload_len);
	err = nl_send(nl, buf, h->nlmsg_len);
	if (err)
		return err;
	dump->start(dump->arg);
	for (;;) {
		ssize_t n = nl_recv(nl, buf, sizeof(buf));

		if (n < 0)
			return (int)n;
		err = dump_datagram(dump, seq, buf, (size_t)n);
		/* A torn dump is read to its end, then done again. */
		if (err == -EINTR)
			torn = true;
		else if (err < 0)
			return err;
		else if (err == 0)
			return torn ? -EINTR : 0;
	}
}

int netif_nl_dump(struct netif_nl *nl, const struct netif_nl_dump *dump)
{
	int err = -EINTR;

	for (int i = 0; i < DUMP_TRIES && err == -EINTR; i++)
		err = dump_once(nl, dump);
	return err;
}

void netif_nl_attrs(const struct rtattr **tb, unsigned max,
		    const struct rtattr *rta, size_t len)
{
	int left = (int)len;

	memset(tb, 0, (max + 1) * sizeof(*tb));
	for (; RTA_OK(rta, left); rta = RTA_NEXT(rta, left)) {
		unsigned type = rta->rta_type & NLA_TYPE_MASK;

		if (type <= max)
			tb[type] = rta;
	}
}

bool netif_nl_attr_ip(const struct rtattr *rta, uint8_t family,
		      struct netif_ip *out)
{
	struct netif_ip ip = {.family = family};
	size_t len = netif_ip_len(&ip);

	if (!rta || !len || RTA_PAYLOAD(rta) != len)
		return false;
	memcpy(ip.bytes, RTA_DATA(rta), len);
	ip.prefix = (uint8_t)(len * 8);
	*out = ip;
	return true;
}

static void link_counters(const struct rtattr *rta, struct netif_counters *c)
{
	struct rtnl_link_stats64 s = {0};
	size_t len = RTA_PAYLOAD(rta);

	memcpy(&s, RTA_DATA(rta), len < sizeof(s) ? len : sizeof(s));
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

bool netif_nl_link_parse(const struct nlmsghdr *nlh, struct netif_link *out)
{
	const struct ifinfomsg *ifi = NLMSG_DATA(nlh);
	const struct rtattr *tb[IFLA_PERM_ADDRESS + 1];
	struct netif_link l = {0};

	if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*ifi)))
		return false;
	netif_nl_attrs(tb, IFLA_PERM_ADDRESS, IFLA_RTA(ifi), IFLA_PAYLOAD(nlh));
	l.ifindex = ifi->ifi_index;
	l.up = ifi->ifi_flags & IFF_UP;
	l.carrier = ifi->ifi_flags & LINK_LOWER_UP;
	if (tb[IFLA_IFNAME] && RTA_PAYLOAD(tb[IFLA_IFNAME]) <= IF_NAMESIZE)
		memcpy(l.name, RTA_DATA(tb[IFLA_IFNAME]),
		       RTA_PAYLOAD(tb[IFLA_IFNAME]));
	l.name[IF_NAMESIZE - 1] = '\0';
	if (tb[IFLA_ADDRESS] && RTA_PAYLOAD(tb[IFLA_ADDRESS]) == NETIF_MAC_LEN)
		memcpy(l.mac, RTA_DATA(tb[IFLA_ADDRESS]), NETIF_MAC_LEN);
	if (tb[IFLA_PERM_ADDRESS] &&
	    RTA_PAYLOAD(tb[IFLA_PERM_ADDRESS]) == NETIF_MAC_LEN) {
		l.has_perm_mac = true;
		memcpy(l.perm_mac, RTA_DATA(tb[IFLA_PERM_ADDRESS]),
		       NETIF_MAC_LEN);
	}
	if (tb[IFLA_MTU] && RTA_PAYLOAD(tb[IFLA_MTU]) == sizeof(l.mtu))
		memcpy(&l.mtu, RTA_DATA(tb[IFLA_MTU]), sizeof(l.mtu));
	if (tb[IFLA_STATS64])
		link_counters(tb[IFLA_STATS64], &l.counters);
	*out = l;
	return true;
}

int netif_nl_link_get(struct netif_nl *nl, const char *name, int ifindex,
		      bool counters, struct netif_link *out)
{
	_Alignas(struct nlmsghdr) char buf[RECV_BYTES];
	struct netif_nlreq req;
	struct ifinfomsg *ifi;
	uint32_t seq = nl->seq++;
	int err;

	netif_nlreq_init(&req);
	ifi = netif_nlreq_begin(&req, RTM_GETLINK, 0, sizeof(*ifi));
	if (name)
		netif_nlreq_put(&req, IFLA_IFNAME, name, strlen(name) + 1);
	else
		ifi->ifi_index = ifindex;
	netif_nlreq_put_u32(&req, IFLA_EXT_MASK,
			    counters ? 0 : RTEXT_FILTER_SKIP_STATS);
	req.msg->nlmsg_flags = NLM_F_REQUEST;
	req.msg->nlmsg_seq = seq;
	err = nl_send(nl, req.buf, req.used);
	if (err)
		return err;
	for (;;) {
		ssize_t n = nl_recv(nl, buf, sizeof(buf));
		const struct nlmsghdr *h;
		size_t at = 0;

		if (n < 0)
			return (int)n;
		h = netif_nl_next(buf, (size_t)n, &at);
		if (!h || h->nlmsg_seq != seq)
			continue;
		if (h->nlmsg_type == NLMSG_ERROR) {
			err = nl_error_of(h);
			return err ? err : -EBADMSG;
		}
		return netif_nl_link_parse(h, out) ? 0 : -EBADMSG;
	}
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
