#include "rtptool.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { RX_BATCH = 16, EVENTS = 256, CONTROL_BYTES = 128 };

static uint32_t random_u32(void)
{
	uint32_t v = 0;

	if (getrandom(&v, sizeof(v), 0) != sizeof(v))
		abort();
	return v;
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

int rt_engine_init(struct rt_engine *e, const struct rt_options *opt)
{
	struct rlimit lim;

	memset(e, 0, sizeof(*e));
	e->opt = *opt;
	e->origin = random_u32();
	e->nslots = 1000000u / opt->pps / opt->tick_us;
	if (!e->nslots)
		return -EINVAL;
	e->slots = calloc(e->nslots, sizeof(*e->slots));
	if (!e->slots)
		return -ENOMEM;
	e->data_epoll = epoll_create1(EPOLL_CLOEXEC);
	if (e->data_epoll < 0) {
		free(e->slots);
		return -errno;
	}
	/* Two sockets a stream. */
	if (!getrlimit(RLIMIT_NOFILE, &lim)) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	return 0;
}

void rt_engine_finish(struct rt_engine *e)
{
	while (e->len)
		rt_stream_remove(e, e->streams[e->len - 1]);
	free(e->streams);
	free(e->slots);
	close(e->data_epoll);
}

struct rt_stream *rt_engine_find(struct rt_engine *e, uint32_t id)
{
	for (size_t i = 0; i < e->len; i++)
		if (e->streams[i]->id == id)
			return e->streams[i];
	return NULL;
}

void rt_stream_set_remote(struct rt_stream *s, const union rt_addr *remote)
{
	s->remote = *remote;
	s->have_remote = true;
	s->rtcp.remote = *remote;
	if (!s->rtcp.mux)
		rt_addr_set_port(&s->rtcp.remote, rt_addr_port(remote) + 1);
}

/* The low bit of the tag tells the RTCP socket from the RTP one. */
static int watch(struct rt_engine *e, int fd, struct rt_stream *s, bool rtcp)
{
	struct epoll_event ev = {
		.events = EPOLLIN,
		.data.u64 = (uint64_t)(uintptr_t)s | (rtcp ? 1 : 0),
	};

	return epoll_ctl(e->data_epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int stream_open(struct rt_engine *e, struct rt_stream *s)
{
	union rt_addr rtcp = s->local;
	int rc;

	s->fd = rt_socket(&s->local);
	if (s->fd < 0)
		return s->fd;
	rc = watch(e, s->fd, s, false);
	if (rc)
		goto err_rtp;
	if (!s->rtcp.enabled || s->rtcp.mux)
		return 0;
	rt_addr_set_port(&rtcp, rt_addr_port(&s->local) + 1);
	rc = s->rtcp_fd = rt_socket(&rtcp);
	if (rc < 0)
		goto err_rtp;
	rc = watch(e, s->rtcp_fd, s, true);
	if (!rc)
		return 0;
	close(s->rtcp_fd);
err_rtp:
	close(s->fd);
	return rc;
}

static int engine_grow(struct rt_engine *e)
{
	size_t room = e->room ? 2 * e->room : 64;
	struct rt_stream **v;

	if (e->len < e->room)
		return 0;
	if (e->len >= RT_STREAMS_MAX)
		return -ENOSPC;
	v = realloc(e->streams, room * sizeof(*v));
	if (!v)
		return -ENOMEM;
	e->streams = v;
	e->room = room;
	return 0;
}

static void xform_destroy(struct rt_xform *x)
{
	if (x->ops && x->ops->destroy)
		x->ops->destroy(x->ctx);
}

int rt_stream_add(struct rt_engine *e, const struct rt_stream_params *p)
{
	struct rt_stream *s;
	union rt_addr remote;
	int rc;

	if (rt_engine_find(e, p->id))
		return -EEXIST;
	rc = engine_grow(e);
	if (rc)
		return rc;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->id = p->id;
	s->expect = p->expect;
	s->symmetric = p->symmetric;
	s->sending = p->sending;
	s->payload_type = (uint8_t)(p->payload_type & 0x7f);
	s->ssrc = random_u32();
	s->ts0 = random_u32();
	s->seq0 = (uint16_t)random_u32();
	s->fd = s->rtcp_fd = -1;
	s->rtcp.enabled = p->rtcp;
	s->rtcp.mux = p->rtcp_mux;
	s->rtcp.rtt_ms = -1;
	rc = rt_addr_parse(&s->local, p->addr, p->port);
	if (!rc && p->remote) {
		rc = rt_addr_parse(&remote, p->remote, p->remote_port);
		if (!rc)
			rt_stream_set_remote(s, &remote);
	}
	if (!rc && p->srtp_tx)
		rc = rt_srtp_set(&s->tx_xform, p->srtp_tx, true);
	if (!rc && p->srtp_rx)
		rc = rt_srtp_set(&s->rx_xform, p->srtp_rx, false);
	if (!rc)
		rc = stream_open(e, s);
	if (rc) {
		xform_destroy(&s->tx_xform);
		xform_destroy(&s->rx_xform);
		free(s);
		return rc;
	}
	s->slot = random_u32() % e->nslots;
	s->next_rtcp_tick = random_u32() % (1000000u / e->opt.tick_us);
	s->next = e->slots[s->slot];
	e->slots[s->slot] = s;
	e->streams[e->len++] = s;
	return 0;
}

void rt_stream_remove(struct rt_engine *e, struct rt_stream *s)
{
	struct rt_stream **pp = &e->slots[s->slot];

	while (*pp != s)
		pp = &(*pp)->next;
	*pp = s->next;
	for (size_t i = 0; i < e->len; i++)
		if (e->streams[i] == s)
			e->streams[i] = e->streams[--e->len];
	close(s->fd);
	if (s->rtcp_fd >= 0)
		close(s->rtcp_fd);
	xform_destroy(&s->tx_xform);
	xform_destroy(&s->rx_xform);
	free(s);
}

static void stream_send(struct rt_engine *e, struct rt_stream *s)
{
	static uint8_t packet[RT_PACKET_BYTES];
	size_t size = RT_HEADER_BYTES + RT_PAYLOAD_BYTES;
	uint8_t *p = packet + RT_HEADER_BYTES;
	uint16_t seq = (uint16_t)(s->seq0 + s->next_seq);
	uint32_t ts = s->ts0 + (uint32_t)s->next_seq * RT_PAYLOAD_BYTES;

	packet[0] = 0x80;
	packet[1] = (uint8_t)(s->payload_type | (s->next_seq ? 0 : 0x80));
	packet[2] = (uint8_t)(seq >> 8);
	packet[3] = (uint8_t)seq;
	put32(packet + 4, ts);
	put32(packet + 8, s->ssrc);
	put32(p, RT_MAGIC);
	put32(p + 4, e->origin);
	put32(p + 8, s->id);
	put32(p + 12, 1000000u / e->opt.pps);
	put64(p + 16, s->next_seq++);
	put64(p + 24, rt_now_ns());
	memset(p + RT_PROBE_BYTES, 0xd5, RT_PAYLOAD_BYTES - RT_PROBE_BYTES);
	if (s->tx_xform.ops &&
	    s->tx_xform.ops->protect(s->tx_xform.ctx, packet, &size,
				     sizeof(packet), false)) {
		s->send_errors++;
		return;
	}
	s->sent++;
	s->octets += RT_PAYLOAD_BYTES;
	/* ICMP errors of an earlier packet come here once: try again. */
	for (int i = 0; i < 3; i++)
		if (sendto(s->fd, packet, size, 0, &s->remote.sa,
			   rt_addr_size(&s->remote)) >= 0)
			return;
		else if (errno != ECONNREFUSED && errno != EHOSTUNREACH)
			break;
	s->send_errors++;
}

void rt_engine_tick(struct rt_engine *e)
{
	unsigned int ticks_s = 1000000u / e->opt.tick_us;
	struct rt_stream *s;

	for (s = e->slots[e->tick % e->nslots]; s; s = s->next) {
		if (!s->have_remote)
			continue;
		if (s->sending)
			stream_send(e, s);
		if (s->rtcp.enabled && e->tick % ticks_s / e->nslots ==
					       s->next_rtcp_tick / e->nslots)
			rt_rtcp_send(e, s);
	}
	e->tick++;
}

static void stream_receive(struct rt_engine *e, struct rt_stream *s,
			   uint8_t *data, size_t size,
			   const union rt_addr *from, uint64_t now_ns)
{
	const uint8_t *p = data + RT_HEADER_BYTES;
	struct rt_probe probe;

	if (size >= 8 && data[1] >= 192 && data[1] <= 223) {
		rt_rtcp_receive(s, data, size, from, now_ns);
		return;
	}
	if (s->rx_xform.ops &&
	    s->rx_xform.ops->unprotect(s->rx_xform.ctx, data, &size, false)) {
		s->rx.unprotect_failed++;
		return;
	}
	if (size < RT_HEADER_BYTES + RT_PROBE_BYTES || data[0] != 0x80 ||
	    get32(p) != RT_MAGIC) {
		s->rx.malformed++;
		return;
	}
	probe = (struct rt_probe){
		.origin = get32(p + 4),
		.id = get32(p + 8),
		.period_us = get32(p + 12),
		.seq = get64(p + 16),
		.sent_ns = get64(p + 24),
	};
	if (s->expect != UINT32_MAX && probe.id != s->expect) {
		s->rx.foreign++;
		return;
	}
	if (!rt_addr_equal(&s->from, from)) {
		if (s->from.sa.sa_family)
			s->source_changes++;
		s->from = *from;
		if (s->symmetric)
			rt_stream_set_remote(s, from);
	}
	rt_rx_packet(&s->rx, &probe, now_ns,
		     (uint64_t)e->opt.gap_limit_ms * 1000);
}

static uint64_t arrival_ns(const struct rt_engine *e, struct msghdr *m,
			   struct rt_stream *s, uint64_t now_ns)
{
	uint64_t t = now_ns;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct timespec ts;
		uint32_t drops;

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&ts, CMSG_DATA(c), sizeof(ts));
			t = (uint64_t)((int64_t)ts.tv_sec * 1000000000 +
				       ts.tv_nsec + e->mono_minus_real_ns);
		} else if (c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&drops, CMSG_DATA(c), sizeof(drops));
			s->local_drops = drops;
		}
	}
	return t;
}

static void socket_drain(struct rt_engine *e, struct rt_stream *s, int fd)
{
	static uint8_t data[RX_BATCH][RT_PACKET_BYTES];
	static uint8_t control[RX_BATCH][CONTROL_BYTES]
		__attribute__((aligned(8)));
	union rt_addr from[RX_BATCH];
	struct mmsghdr msg[RX_BATCH];
	struct iovec iov[RX_BATCH];
	uint64_t now_ns = rt_now_ns();
	int n;

	do {
		for (int i = 0; i < RX_BATCH; i++) {
			iov[i].iov_base = data[i];
			iov[i].iov_len = sizeof(data[i]);
			msg[i].msg_hdr = (struct msghdr){
				.msg_name = &from[i],
				.msg_namelen = sizeof(from[i]),
				.msg_iov = &iov[i],
				.msg_iovlen = 1,
				.msg_control = control[i],
				.msg_controllen = sizeof(control[i]),
			};
		}
		n = recvmmsg(fd, msg, RX_BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++) {
			uint64_t t = arrival_ns(e, &msg[i].msg_hdr, s, now_ns);

			if (fd == s->rtcp_fd)
				rt_rtcp_receive(s, data[i], msg[i].msg_len,
						&from[i], t);
			else
				stream_receive(e, s, data[i], msg[i].msg_len,
					       &from[i], t);
		}
	} while (n == RX_BATCH);
}

void rt_engine_drain(struct rt_engine *e)
{
	struct epoll_event ev[EVENTS];
	struct timespec real;
	int n;

	clock_gettime(CLOCK_REALTIME, &real);
	e->mono_minus_real_ns =
		(int64_t)rt_now_ns() -
		((int64_t)real.tv_sec * 1000000000 + real.tv_nsec);
	do {
		n = epoll_wait(e->data_epoll, ev, EVENTS, 0);
		for (int i = 0; i < n; i++) {
			uint64_t tag = ev[i].data.u64;
			struct rt_stream *s = (void *)(uintptr_t)(tag & ~1ull);

			socket_drain(e, s, tag & 1 ? s->rtcp_fd : s->fd);
		}
	} while (n == EVENTS);
}
