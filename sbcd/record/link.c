#include "sbcd/record/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Out of memory only costs the coalescing of one message. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#include "sbcd/base/buf.h"

/*
 * A datagram is one or more messages; only the first may have fds. A message:
 * type, flags, kind, writer, sub, pad, token, id, epoch, generation, size, the
 * value, and a NUL.
 */
enum { HEAD_SIZE = 4 + 2 + 2 + 8 + 8 + 8 + 8 + 4 };
enum { BUNDLE_BYTES = 32 * 1024 };
enum { CONTROL_SIZE = CMSG_SPACE(LINK_FDS_MAX * sizeof(int)) };

/* Compared as bytes: no padding that could differ. */
struct queue_key {
	uint64_t id;
	uint32_t sub;
	uint32_t kind;
};

struct queued {
	struct queued *prev, *next;
	UT_hash_handle hh; /* only while `replaceable` */
	struct queue_key key;
	bool replaceable;
	size_t size;
	size_t fds_len;
	int *fds; /* owned duplicates, NULL without */
	uint8_t data[]; /* the message as it goes out */
};

struct link {
	int fd;
	bool refuse_fds;
	struct queued *queue;
	struct queued *by_key;
	size_t queued_bytes;
	uint8_t *bundle; /* what link_flush() sends; empty while there is a
			  * queue. NULL: everything is sent at once. */
	size_t bundle_size;
	uint8_t *in; /* LINK_MESSAGE_MAX_BYTES */
	size_t in_at, in_size; /* not read yet */
};

int link_create(struct link **out, int fd)
{
	struct link *l = calloc(1, sizeof(*l));
	int flags;

	if (!l)
		return -ENOMEM;
	l->in = malloc(LINK_MESSAGE_MAX_BYTES);
	if (!l->in) {
		free(l);
		return -ENOMEM;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		int err = -errno;

		free(l->in);
		free(l);
		return err;
	}
	l->fd = fd;
	*out = l;
	return 0;
}

static void queued_free(struct link *l, struct queued *q)
{
	if (q->replaceable)
		HASH_DEL(l->by_key, q);
	DL_DELETE(l->queue, q);
	l->queued_bytes -= q->size;
	for (size_t i = 0; i < q->fds_len; i++)
		close(q->fds[i]);
	free(q->fds);
	free(q);
}

void link_destroy(struct link *l)
{
	if (!l)
		return;
	while (l->queue)
		queued_free(l, l->queue);
	close(l->fd);
	free(l->bundle);
	free(l->in);
	free(l);
}

int link_gather(struct link *l)
{
	if (!l->bundle)
		l->bundle = malloc(BUNDLE_BYTES);
	return l->bundle ? 0 : -ENOMEM;
}

int link_socketpair(int fds[2])
{
	const int size = LINK_SOCKET_BUFFER_BYTES;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       0, pair) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		/* The forced form needs a capability and ignores the system's
		 * limit; without it we live with what we are given. */
		if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &size,
			       sizeof(size)) < 0 &&
		    setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size,
			       sizeof(size)) < 0)
			continue;
	}
	fds[0] = pair[0];
	fds[1] = pair[1];
	return 0;
}

int link_fd(const struct link *l)
{
	return l->fd;
}

void link_refuse_fds(struct link *l)
{
	l->refuse_fds = true;
}

void link_message_close_fds(struct link_message *m)
{
	for (size_t i = 0; i < m->fds_len; i++)
		close(m->fds[i]);
	m->fds_len = 0;
}

/* ---- out -------------------------------------------------------------------
 */

static void put_head(struct buf *b, const struct link_message *m)
{
	buf_put_u8(b, m->type);
	buf_put_u8(b, m->flags);
	buf_put_u8(b, m->key.kind);
	buf_put_u8(b, m->version.writer);
	buf_put_u16(b, m->key.sub);
	buf_put_u16(b, 0);
	buf_put_u64(b, m->token);
	buf_put_u64(b, m->key.id);
	buf_put_u64(b, m->version.epoch);
	buf_put_u64(b, m->version.generation);
	buf_put_u32(b, (uint32_t)m->size);
}

/* 0, -EAGAIN, -EPIPE or a lasting error. */
static int transmit(int fd, struct iovec *iov, size_t iov_len, const int *fds,
		    size_t fds_len)
{
	_Alignas(struct cmsghdr) char control[CONTROL_SIZE];
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = iov_len};
	ssize_t n;

	if (fds_len) {
		struct cmsghdr *c;

		memset(control, 0, sizeof(control));
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(fds_len * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds_len * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fds_len * sizeof(int));
	}
	do {
		n = sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	switch (errno) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
	case ETOOMANYREFS: /* too many fds in flight */
		return -EAGAIN;
	case ECONNRESET:
	case ENOTCONN:
		return -EPIPE;
	default:
		return -errno;
	}
}

static bool is_replaceable(const struct link_message *m)
{
	if (m->fds_len || m->flags & LINK_F_SYNC)
		return false;
	return m->type == LINK_RECORD || (m->type == LINK_PUT && !m->token);
}

/* A newer whole value makes the one that still waits pointless. */
static void drop_replaced(struct link *l, const struct queue_key *key)
{
	struct queued *old;

	HASH_FIND(hh, l->by_key, key, sizeof(*key), old);
	if (old)
		queued_free(l, old);
}

static int dup_fds(struct queued *q, const struct link_message *m)
{
	if (!m->fds_len)
		return 0;
	q->fds = calloc(m->fds_len, sizeof(int));
	if (!q->fds)
		return -ENOMEM;
	for (size_t i = 0; i < m->fds_len; i++) {
		q->fds[i] = fcntl(m->fds[i], F_DUPFD_CLOEXEC, 0);
		if (q->fds[i] < 0) {
			int err = -errno;

			while (i--)
				close(q->fds[i]);
			free(q->fds);
			q->fds = NULL;
			return err;
		}
	}
	q->fds_len = m->fds_len;
	return 0;
}

static struct queued *queued_new(const struct link *l, size_t size)
{
	struct queued *q;

	if (size > LINK_QUEUE_MAX_BYTES - l->queued_bytes) {
		errno = ENOBUFS;
		return NULL;
	}
	q = calloc(1, sizeof(*q) + size);
	if (!q) {
		errno = ENOMEM;
		return NULL;
	}
	q->size = size;
	return q;
}

static void queued_append(struct link *l, struct queued *q)
{
	DL_APPEND(l->queue, q);
	l->queued_bytes += q->size;
}

static size_t message_size(const struct link_message *m)
{
	return HEAD_SIZE + m->size + 1;
}

static void put_message(uint8_t *out, const struct buf *head,
			const struct link_message *m)
{
	memcpy(out, head->data, head->size);
	if (m->size)
		memcpy(out + head->size, m->value, m->size);
	out[head->size + m->size] = '\0';
}

static int enqueue(struct link *l, const struct link_message *m,
		   const struct buf *head)
{
	struct queued *q = queued_new(l, message_size(m));
	int err;

	if (!q)
		return -errno;
	err = dup_fds(q, m);
	if (err) {
		free(q);
		return err;
	}
	q->key.id = m->key.id;
	q->key.sub = m->key.sub;
	q->key.kind = m->key.kind;
	put_message(q->data, head, m);
	queued_append(l, q);
	if (is_replaceable(m))
		HASH_ADD(hh, l->by_key, key, sizeof(q->key), q);
	q->replaceable = q->hh.tbl != NULL;
	return 0;
}

/* Sends the bundle, or makes it the first of the queue. */
static int flush_bundle(struct link *l)
{
	struct iovec iov = {.iov_base = l->bundle, .iov_len = l->bundle_size};
	struct queued *q;
	int err;

	if (!l->bundle_size)
		return 0;
	err = transmit(l->fd, &iov, 1, NULL, 0);
	if (err == -EAGAIN) {
		q = queued_new(l, l->bundle_size);
		if (!q)
			return -errno;
		memcpy(q->data, l->bundle, l->bundle_size);
		queued_append(l, q);
		err = 0;
	}
	if (!err)
		l->bundle_size = 0;
	return err;
}

static int bundle(struct link *l, const struct link_message *m,
		  const struct buf *head)
{
	put_message(l->bundle + l->bundle_size, head, m);
	l->bundle_size += message_size(m);
	return 0;
}

static int send_now(struct link *l, const struct link_message *m,
		    const struct buf *head)
{
	static char nul;
	struct iovec iov[3] = {
		{.iov_base = head->data, .iov_len = head->size},
		{.iov_base = (void *)(uintptr_t)m->value, .iov_len = m->size},
		{.iov_base = &nul, .iov_len = 1},
	};

	return transmit(l->fd, iov, 3, m->fds, m->fds_len);
}

int link_send(struct link *l, const struct link_message *m)
{
	struct queue_key key = {m->key.id, m->key.sub, m->key.kind};
	bool gather = l->bundle && !m->fds_len;
	uint8_t raw[HEAD_SIZE];
	struct buf head = {
		.data = raw, .capacity = HEAD_SIZE, .limit = HEAD_SIZE};
	int err;

	if (m->size > LINK_MESSAGE_MAX_BYTES - HEAD_SIZE - 1)
		return -EMSGSIZE;
	if (m->fds_len > LINK_FDS_MAX)
		return -EINVAL;
	if (l->queue || !gather ||
	    message_size(m) > BUNDLE_BYTES - l->bundle_size) {
		err = link_flush(l);
		if (err)
			return err;
	}
	put_head(&head, m);
	if (!l->queue) {
		if (gather && message_size(m) <= BUNDLE_BYTES)
			return bundle(l, m, &head);
		err = send_now(l, m, &head);
		if (err != -EAGAIN)
			return err;
	}
	if (m->type == LINK_RECORD || m->type == LINK_PUT)
		drop_replaced(l, &key);
	return enqueue(l, m, &head);
}

bool link_pending(const struct link *l)
{
	return l->queue || l->bundle_size;
}

size_t link_queued_bytes(const struct link *l)
{
	return l->queued_bytes + l->bundle_size;
}

int link_flush(struct link *l)
{
	while (l->queue) {
		struct queued *q = l->queue;
		struct iovec iov = {.iov_base = q->data, .iov_len = q->size};
		int err = transmit(l->fd, &iov, 1, q->fds, q->fds_len);

		if (err == -EAGAIN)
			return 0;
		if (err)
			return err;
		queued_free(l, q);
	}
	return flush_bundle(l);
}

/* ---- in --------------------------------------------------------------------
 */

static bool type_known(uint8_t type)
{
	return (type >= LINK_CONFIG && type <= LINK_DRAIN) ||
	       (type >= LINK_HELLO && type <= LINK_FORWARDING);
}

/* The message at the start; false when there is none that is whole. */
static bool parse(struct link_message *m, uint8_t *data, size_t size)
{
	struct reader r;
	uint32_t value_size;

	reader_init(&r, data, size);
	m->type = reader_u8(&r);
	m->flags = reader_u8(&r);
	m->key.kind = reader_u8(&r);
	m->version.writer = reader_u8(&r);
	m->key.sub = reader_u16(&r);
	reader_u16(&r);
	m->token = reader_u64(&r);
	m->key.id = reader_u64(&r);
	m->version.epoch = reader_u64(&r);
	m->version.generation = reader_u64(&r);
	value_size = reader_u32(&r);
	if (r.failed || value_size >= reader_left(&r) || !type_known(m->type))
		return false;
	m->size = value_size;
	m->value = r.at;
	data[HEAD_SIZE + value_size] = '\0';
	return true;
}

/* Takes every fd that arrived, so that none is lost track of. */
static void take_fds(struct link_message *m, struct msghdr *mh)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (m->fds_len < LINK_FDS_MAX)
				m->fds[m->fds_len++] = fd;
			else
				close(fd);
		}
	}
}

bool link_buffered(const struct link *l)
{
	return l->in_at < l->in_size;
}

/* 1, or -EBADMSG: then the rest of the datagram cannot be trusted either. */
static int next_message(struct link *l, struct link_message *m)
{
	if (!parse(m, l->in + l->in_at, l->in_size - l->in_at)) {
		l->in_at = l->in_size = 0;
		link_message_close_fds(m);
		return -EBADMSG;
	}
	l->in_at += message_size(m);
	return 1;
}

int link_receive(struct link *l, struct link_message *m)
{
	_Alignas(struct cmsghdr) char control[CONTROL_SIZE];
	struct iovec iov = {.iov_base = l->in,
			    .iov_len = LINK_MESSAGE_MAX_BYTES};
	struct msghdr mh = {.msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control)};
	ssize_t n;

	m->fds_len = 0;
	if (link_buffered(l))
		return next_message(l, m);
	do {
		n = recvmsg(l->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -EPIPE;
	take_fds(m, &mh);
	/* An empty message cannot be told from the end and is never sent. */
	if (n == 0) {
		link_message_close_fds(m);
		return -EPIPE;
	}
	if (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ||
	    (l->refuse_fds && m->fds_len)) {
		link_message_close_fds(m);
		return -EBADMSG;
	}
	l->in_at = 0;
	l->in_size = (size_t)n;
	return next_message(l, m);
}
