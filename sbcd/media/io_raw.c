#include "sbcd/media/io.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "sbcd/media/packet.h"

enum {
	SLOT_BYTES = MEDIA_PAYLOAD_MAX_BYTES + MEDIA_TAIL_BYTES,
	CONTROL_BYTES = 128,
	OUTS_MAX = 256,
};

/* What waits for one raw socket. */
struct out_queue {
	int fd;
	unsigned len;
	struct mmsghdr messages[MEDIA_BATCH];
	struct iovec iov[MEDIA_BATCH][2];
	struct sockaddr_storage to[MEDIA_BATCH];
	uint8_t headers[MEDIA_BATCH][PACKET_HEADER_MAX_BYTES];
};

struct io_raw {
	struct media_io base;
	struct media_packet packets[MEDIA_BATCH];
	struct mmsghdr messages[MEDIA_BATCH];
	struct iovec iov[MEDIA_BATCH];
	struct sockaddr_in6 from[MEDIA_BATCH];
	union {
		char bytes[CONTROL_BYTES];
		struct cmsghdr align;
	} control[MEDIA_BATCH];
	struct out_queue *queues[OUTS_MAX];
	unsigned waiting[OUTS_MAX]; /* indexes of queues with len > 0 */
	unsigned waiting_len;
	uint8_t slots[MEDIA_BATCH][SLOT_BYTES];
};

static struct io_raw *raw_of(struct media_io *io)
{
	return (struct io_raw *)io;
}

static int raw_create(struct media_io **out)
{
	struct io_raw *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->base.ops = &media_io_raw;
	for (unsigned i = 0; i < MEDIA_BATCH; i++) {
		struct msghdr *m = &r->messages[i].msg_hdr;

		r->packets[i].data = r->slots[i];
		r->iov[i].iov_base = r->slots[i];
		r->iov[i].iov_len = MEDIA_PAYLOAD_MAX_BYTES;
		m->msg_iov = &r->iov[i];
		m->msg_iovlen = 1;
		m->msg_name = &r->from[i];
		m->msg_control = r->control[i].bytes;
	}
	*out = &r->base;
	return 0;
}

static void raw_destroy(struct media_io *io)
{
	struct io_raw *r = raw_of(io);

	if (!r)
		return;
	for (unsigned i = 0; i < OUTS_MAX; i++)
		free(r->queues[i]);
	free(r);
}

static void read_control(struct media_packet *p, struct msghdr *m)
{
	struct sockaddr_in6 local;
	struct timespec ts;

	memset(&p->local, 0, sizeof(p->local));
	p->stamp_ms = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if ((c->cmsg_level == IPPROTO_IP &&
		     c->cmsg_type == IP_ORIGDSTADDR &&
		     c->cmsg_len >= CMSG_LEN(sizeof(struct sockaddr_in))) ||
		    (c->cmsg_level == IPPROTO_IPV6 &&
		     c->cmsg_type == IPV6_ORIGDSTADDR &&
		     c->cmsg_len >= CMSG_LEN(sizeof(struct sockaddr_in6)))) {
			memset(&local, 0, sizeof(local));
			memcpy(&local, CMSG_DATA(c),
			       c->cmsg_level == IPPROTO_IP
				       ? sizeof(struct sockaddr_in)
				       : sizeof(local));
			if (addr_from_sockaddr(&p->local,
					       (struct sockaddr *)&local))
				p->local.family = ADDR_NONE;
		} else if (c->cmsg_level == SOL_SOCKET &&
			   c->cmsg_type == SCM_TIMESTAMPNS &&
			   c->cmsg_len >= CMSG_LEN(sizeof(ts))) {
			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			p->stamp_ms = (uint64_t)ts.tv_sec * 1000 +
				      (uint64_t)ts.tv_nsec / 1000000;
		}
	}
}

static int raw_receive(struct media_io *io, int fd,
		       struct media_packet **packets)
{
	struct io_raw *r = raw_of(io);
	int n;

	for (unsigned i = 0; i < MEDIA_BATCH; i++) {
		struct msghdr *m = &r->messages[i].msg_hdr;

		m->msg_namelen = sizeof(r->from[i]);
		m->msg_controllen = CONTROL_BYTES;
	}
	n = recvmmsg(fd, r->messages, MEDIA_BATCH, MSG_DONTWAIT, NULL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		struct media_packet *p = &r->packets[i];
		struct msghdr *m = &r->messages[i].msg_hdr;

		p->size = r->messages[i].msg_len;
		p->truncated = m->msg_flags & MSG_TRUNC;
		read_control(p, m);
		if (!m->msg_namelen ||
		    addr_from_sockaddr(&p->source,
				       (struct sockaddr *)&r->from[i]))
			p->local.family = ADDR_NONE;
	}
	*packets = r->packets;
	return n;
}

static void queue_flush(struct io_raw *r, struct out_queue *q)
{
	unsigned at = 0;

	while (at < q->len) {
		int n = sendmmsg(q->fd, q->messages + at, q->len - at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			r->base.tx_packets += (unsigned)n;
			at += (unsigned)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		/* A full socket refuses all the rest, else one is at fault. */
		if (errno == EAGAIN || errno == EBADF) {
			r->base.tx_errors += q->len - at;
			break;
		}
		r->base.tx_errors++;
		at++;
	}
	q->len = 0;
}

static void raw_flush(struct media_io *io)
{
	struct io_raw *r = raw_of(io);

	for (unsigned i = 0; i < r->waiting_len; i++)
		queue_flush(r, r->queues[r->waiting[i]]);
	r->waiting_len = 0;
}

static struct out_queue *queue_of(struct io_raw *r, const struct media_out *out)
{
	struct out_queue *q;

	if (out->index >= OUTS_MAX)
		return NULL;
	q = r->queues[out->index];
	if (q)
		return q;
	q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->fd = out->fd;
	for (unsigned i = 0; i < MEDIA_BATCH; i++) {
		struct msghdr *m = &q->messages[i].msg_hdr;

		m->msg_name = &q->to[i];
		m->msg_iov = q->iov[i];
		m->msg_iovlen = 2;
		q->iov[i][0].iov_base = q->headers[i];
	}
	r->queues[out->index] = q;
	return q;
}

static void raw_send(struct media_io *io, const struct media_tx *tx)
{
	struct io_raw *r = raw_of(io);
	struct packet_headers h = {
		.from = tx->from,
		.from_port = tx->from_port,
		.to = tx->to,
		.tos = tx->tos,
		.payload = tx->payload,
		.payload_size = tx->size,
	};
	struct out_queue *q = tx->out ? queue_of(r, tx->out) : NULL;
	struct addr to = *tx->to;
	unsigned i;
	size_t size;

	if (q && q->len == MEDIA_BATCH)
		queue_flush(r, q);
	size = q ? packet_build_headers(q->headers[q->len], &h) : 0;
	if (!size) {
		r->base.tx_errors++;
		return;
	}
	i = q->len;
	to.port = 0; /* a raw socket takes it for a protocol number */
	q->messages[i].msg_hdr.msg_namelen = addr_to_sockaddr(&to, &q->to[i]);
	q->iov[i][0].iov_len = size;
	/* sendmsg() does not write through it. */
	q->iov[i][1].iov_base = (void *)(uintptr_t)tx->payload;
	q->iov[i][1].iov_len = tx->size;
	if (!q->len++) {
		for (unsigned w = 0; w < r->waiting_len; w++)
			if (r->waiting[w] == tx->out->index)
				return;
		r->waiting[r->waiting_len++] = tx->out->index;
	}
}

const struct media_io_ops media_io_raw = {
	.name = "raw",
	.create = raw_create,
	.destroy = raw_destroy,
	.receive = raw_receive,
	.send = raw_send,
	.flush = raw_flush,
};
