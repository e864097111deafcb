#include "netif/nl.h"

#include <errno.h>
#include <netlink/errno.h>
#include <string.h>
#include <sys/time.h>

enum {
	/* The kernel answers within the send call; this only bounds a bug. */
	ANSWER_TIMEOUT_S = 2,
	DUMP_TRIES = 5,
	RECV_BYTES = 32768,
	/* An answer takes about 1 KiB of the socket's memory until read. */
	SOCKET_BYTES = NETIF_NLREQ_MSGS_MAX * 2048,
	/* The longest request of ours is a route of 96 bytes. */
	MSG_BYTES = 256,
};

int netif_nl_errno(int nlerr)
{
	if (nlerr >= 0)
		return 0;
	switch (-nlerr) {
	case NLE_INTR:
	case NLE_DUMP_INTR:
		return -EINTR;
	case NLE_BAD_SOCK:
		return -EBADF;
	case NLE_AGAIN:
		return -ETIMEDOUT;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_EXIST: /* of bind() only: answers do not come here */
		return -EADDRINUSE;
	case NLE_INVAL:
		return -EINVAL;
	case NLE_PERM:
		return -EPERM;
	case NLE_NOACCESS:
		return -EACCES;
	case NLE_AF_NOSUPPORT:
		return -EAFNOSUPPORT;
	case NLE_PROTO_MISMATCH:
		return -EPROTONOSUPPORT;
	case NLE_MSGSIZE:
	case NLE_MSG_TRUNC:
		return -EMSGSIZE;
	case NLE_FAILURE:
		/* A system call failed in a way libnl has no code for. */
		return errno ? -errno : -EIO;
	default:
		return -EBADMSG;
	}
}

/* What libnl has no function for. */
static int socket_options(int fd)
{
	const struct timeval tv = {.tv_sec = ANSWER_TIMEOUT_S};
	const int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0)
		return -errno;
	/* Errors need not carry the request back; dumps filter strictly. */
	if (setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one)) < 0)
		return -errno;
	if (setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one,
		       sizeof(one)) < 0)
		return -errno;
	return 0;
}

int netif_nl_open(struct netif_nl *nl, bool nonblocking)
{
	struct nl_sock *sock = nl_socket_alloc();
	int err;

	if (!sock)
		return -ENOMEM;
	err = netif_nl_errno(nl_connect(sock, NETLINK_ROUTE));
	if (err)
		goto err_free;
	/* nl_connect() made it too small for the answers of a full request. */
	err = netif_nl_errno(
		nl_socket_set_buffer_size(sock, SOCKET_BYTES, SOCKET_BYTES));
	if (err)
		goto err_free;
	/* Known, it saves looking at the length of every datagram first. */
	err = netif_nl_errno(nl_socket_set_msg_buf_size(sock, RECV_BYTES));
	if (err)
		goto err_free;
	if (nonblocking)
		err = netif_nl_errno(nl_socket_set_nonblocking(sock));
	if (!err)
		err = socket_options(nl_socket_get_fd(sock));
	if (err)
		goto err_free;
	nl->sock = sock;
	return 0;

err_free:
	nl_socket_free(sock);
	return err;
}

void netif_nl_close(struct netif_nl *nl)
{
	nl_socket_free(nl->sock);
	nl->sock = NULL;
}

void netif_nlreq_init(struct netif_nlreq *req)
{
	req->count = 0;
	req->err = 0;
	memset(req->fine, 0, sizeof(req->fine));
}

bool netif_nlreq_is_full(const struct netif_nlreq *req)
{
	return req->count == NETIF_NLREQ_MSGS_MAX;
}

static void nlreq_clear(struct netif_nlreq *req)
{
	while (req->count)
		nlmsg_free(req->msgs[--req->count]);
	req->err = 0;
}

void netif_nlreq_begin(struct netif_nlreq *req, int type, int flags,
		       const void *fixed, size_t len)
{
	struct nl_msg *msg;

	if (req->err)
		return;
	if (netif_nlreq_is_full(req)) {
		req->err = -EMSGSIZE;
		return;
	}
	msg = nlmsg_alloc_size(MSG_BYTES);
	if (!msg) {
		req->err = -ENOMEM;
		return;
	}
	req->msgs[req->count++] = msg;
	if (!nlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, type, (int)len, flags))
		req->err = -EMSGSIZE;
	else
		memcpy(nlmsg_data(nlmsg_hdr(msg)), fixed, len);
}

void netif_nlreq_put(struct netif_nlreq *req, int attr, const void *data,
		     size_t len)
{
	/* The one thing that can go wrong is that it does not fit. */
	if (!req->err &&
	    nla_put(req->msgs[req->count - 1], attr, (int)len, data) < 0)
		req->err = -EMSGSIZE;
}

void netif_nlreq_put_u32(struct netif_nlreq *req, int attr, uint32_t value)
{
	netif_nlreq_put(req, attr, &value, sizeof(value));
}

/* What the requests sent together have been answered so far. */
struct answers {
	const struct netif_nlreq *req;
	uint32_t first_seq;
	unsigned left;
	int err; /* the first one that is not fine */
	bool torn; /* a dump that saw a change on its way */
	void (*each)(void *arg, struct nlmsghdr *nlh); /* may be NULL */
	void *arg;
};

static bool is_fine(const struct netif_nlreq *req, int err)
{
	for (unsigned i = 0; i < NETIF_NLREQ_FINE_MAX; i++) {
		if (req->fine[i] == err)
			return true;
	}
	return err == 0;
}

static int answered(struct answers *a, int err)
{
	if (!a->err && !is_fine(a->req, err))
		a->err = err;
	return --a->left ? NL_SKIP : NL_STOP;
}

/* Only the kernel's answers to these requests go on to the others. */
static int on_any(struct nl_msg *msg, void *arg)
{
	const struct answers *a = arg;
	uint32_t i = nlmsg_hdr(msg)->nlmsg_seq - a->first_seq;

	return nlmsg_get_src(msg)->nl_pid == 0 && i < a->req->count ? NL_OK
								    : NL_SKIP;
}

static int on_torn(struct nl_msg *msg, void *arg)
{
	struct answers *a = arg;

	a->torn = true;
	return NL_OK;
}

static int on_valid(struct nl_msg *msg, void *arg)
{
	struct answers *a = arg;

	if (a->each)
		a->each(a->arg, nlmsg_hdr(msg));
	return NL_OK;
}

static int on_ack(struct nl_msg *msg, void *arg)
{
	return answered(arg, 0);
}

/* The end of a dump says how it went. */
static int on_finish(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *nlh = nlmsg_hdr(msg);
	int err = 0;

	if (nlmsg_datalen(nlh) >= (int)sizeof(err))
		memcpy(&err, nlmsg_data(nlh), sizeof(err));
	return answered(arg, err);
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
	return answered(arg, e->error);
}

static int answers_wait(struct nl_sock *sock, struct answers *a)
{
	int err;

	nl_socket_modify_cb(sock, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, on_any, a);
	nl_socket_modify_cb(sock, NL_CB_DUMP_INTR, NL_CB_CUSTOM, on_torn, a);
	nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, on_valid, a);
	nl_socket_modify_cb(sock, NL_CB_ACK, NL_CB_CUSTOM, on_ack, a);
	nl_socket_modify_cb(sock, NL_CB_FINISH, NL_CB_CUSTOM, on_finish, a);
	nl_socket_modify_err_cb(sock, NL_CB_CUSTOM, on_error, a);
	while (a->left) {
		err = nl_recvmsgs_default(sock);
		if (err < 0 && a->left)
			return netif_nl_errno(err);
	}
	return a->err;
}

static int nlreq_send(struct nl_sock *sock, struct netif_nlreq *req,
		      uint32_t *first_seq)
{
	struct iovec iov[NETIF_NLREQ_MSGS_MAX];
	int n;

	for (unsigned i = 0; i < req->count; i++) {
		struct nlmsghdr *nlh = nlmsg_hdr(req->msgs[i]);

		nl_complete_msg(sock, req->msgs[i]);
		iov[i].iov_base = nlh;
		iov[i].iov_len = NLMSG_ALIGN(nlh->nlmsg_len);
	}
	*first_seq = nlmsg_hdr(req->msgs[0])->nlmsg_seq;
	do
		n = nl_send_iovec(sock, req->msgs[0], iov, req->count);
	while (n == -NLE_INTR);
	return netif_nl_errno(n);
}

/* The request stays, to be sent again. */
static int nlreq_exchange(struct netif_nl *nl, struct netif_nlreq *req,
			  void (*each)(void *arg, struct nlmsghdr *nlh),
			  void *arg)
{
	struct answers a = {
		.req = req,
		.left = req->count,
		.each = each,
		.arg = arg,
	};
	int err;

	if (req->err || !req->count)
		return req->err;
	err = nlreq_send(nl->sock, req, &a.first_seq);
	if (!err)
		err = answers_wait(nl->sock, &a);
	return !err && a.torn ? -EINTR : err;
}

int netif_nl_get(struct netif_nl *nl, struct netif_nlreq *req,
		 void (*each)(void *arg, struct nlmsghdr *nlh), void *arg)
{
	int err = nlreq_exchange(nl, req, each, arg);

	nlreq_clear(req);
	return err;
}

int netif_nl_run(struct netif_nl *nl, struct netif_nlreq *req)
{
	return netif_nl_get(nl, req, NULL, NULL);
}

int netif_nl_dump(struct netif_nl *nl, struct netif_nlreq *req,
		  const struct netif_nl_dump *dump)
{
	int err = -EINTR;

	for (int i = 0; i < DUMP_TRIES && err == -EINTR; i++) {
		dump->start(dump->arg);
		err = nlreq_exchange(nl, req, dump->each, dump->arg);
	}
	nlreq_clear(req);
	return err;
}

bool netif_nl_attr_ip(const struct nlattr *nla, uint8_t family,
		      struct netif_ip *out)
{
	struct netif_ip ip = {.family = family};
	size_t len = netif_ip_len(&ip);

	if (!nla || !len || nla_len(nla) != (int)len)
		return false;
	memcpy(ip.bytes, nla_data(nla), len);
	ip.prefix = (uint8_t)(len * 8);
	*out = ip;
	return true;
}

bool netif_nl_attr_mac(const struct nlattr *nla, uint8_t mac[NETIF_MAC_LEN])
{
	if (!nla || nla_len(nla) != NETIF_MAC_LEN)
		return false;
	memcpy(mac, nla_data(nla), NETIF_MAC_LEN);
	return true;
}
