#include "rtptool.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { RTCP_SR = 200, RTCP_RR = 201, RTCP_SDES = 202, RTCP_BYE = 203 };

static void put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, sizeof(v));
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return ntohl(v);
}

/* NTP time stamp (RFC 3550 section 4), 32.32 fixed point. */
static uint64_t ntp_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ((uint64_t)ts.tv_sec + 2208988800ull) << 32 |
	       ((uint64_t)ts.tv_nsec << 32) / 1000000000ull;
}

/* One report block (RFC 3550 section 6.4.1); 24 bytes. */
static void put_block(const struct rt_stream *s, uint8_t *p)
{
	uint64_t lost = rt_rx_lost(&s->rx);
	uint64_t expected = rt_rx_expected(&s->rx);
	uint64_t delay_ns = 0;
	uint32_t fraction = 0;

	if (expected)
		fraction = (uint32_t)(lost * 255 / expected);
	if (s->rtcp.last_sr_ns)
		delay_ns = rt_now_ns() - s->rtcp.last_sr_ns;
	put32(p, s->rx.source);
	put32(p + 4, fraction << 24 | (uint32_t)(lost & 0x7fffff));
	put32(p + 8, (uint32_t)s->rx.next_seq);
	put32(p + 12, 0);
	put32(p + 16, s->rtcp.last_sr_mid);
	put32(p + 20, (uint32_t)(delay_ns * 65536 / 1000000000ull));
}

void rt_rtcp_send(struct rt_engine *e, struct rt_stream *s)
{
	uint8_t pkt[512];
	uint64_t ntp = ntp_now();
	size_t size, blocks = s->rx.locked ? 1 : 0;
	char cname[32];
	size_t cname_size, chunk;
	int fd = s->rtcp.mux ? s->fd : s->rtcp_fd;

	memset(pkt, 0, sizeof(pkt));
	size = 28 + 24 * blocks;
	put32(pkt, 0x80000000u | (uint32_t)blocks << 24 | RTCP_SR << 16 |
			   (uint32_t)(size / 4 - 1));
	put32(pkt + 4, s->ssrc);
	put32(pkt + 8, (uint32_t)(ntp >> 32));
	put32(pkt + 12, (uint32_t)ntp);
	put32(pkt + 16, s->ts0 + (uint32_t)s->next_seq * RT_PAYLOAD_BYTES);
	put32(pkt + 20, (uint32_t)s->sent);
	put32(pkt + 24, (uint32_t)s->octets);
	if (blocks)
		put_block(s, pkt + 28);
	snprintf(cname, sizeof(cname), "rtptool-%08x-%u", e->origin, s->id);
	cname_size = strlen(cname);
	/* SSRC, item, its end mark, padded to 32 bits. */
	chunk = (4 + 2 + cname_size + 1 + 3) & ~3ul;
	put32(pkt + size,
	      0x81000000u | RTCP_SDES << 16 | (uint32_t)(chunk / 4));
	put32(pkt + size + 4, s->ssrc);
	pkt[size + 8] = 1;
	pkt[size + 9] = (uint8_t)cname_size;
	memcpy(pkt + size + 10, cname, cname_size);
	size += 4 + chunk;
	if (s->tx_xform.ops &&
	    s->tx_xform.ops->protect(s->tx_xform.ctx, pkt, &size, sizeof(pkt),
				     true))
		return;
	if (sendto(fd, pkt, size, 0, &s->rtcp.remote.sa,
		   rt_addr_size(&s->rtcp.remote)) >= 0)
		s->rtcp.sent++;
}

static void receive_block(struct rt_stream *s, const uint8_t *p)
{
	uint32_t lsr = get32(p + 16), dlsr = get32(p + 20);
	uint32_t now = (uint32_t)(ntp_now() >> 16);

	s->rtcp.peer_fraction_lost = p[4];
	if (lsr)
		s->rtcp.rtt_ms =
			(double)(int32_t)(now - lsr - dlsr) * 1000 / 65536;
}

void rt_rtcp_receive(struct rt_stream *s, uint8_t *data, size_t size,
		     const union rt_addr *from, uint64_t now_ns)
{
	if (s->rx_xform.ops &&
	    s->rx_xform.ops->unprotect(s->rx_xform.ctx, data, &size, true)) {
		s->rtcp.unprotect_failed++;
		return;
	}
	s->rtcp.from = *from;
	s->rtcp.received++;
	while (size) {
		size_t len, blocks, head;

		if (size < 8 || data[0] >> 6 != 2)
			goto malformed;
		len = 4 * ((size_t)(data[2] << 8 | data[3]) + 1);
		blocks = data[0] & 31;
		head = data[1] == RTCP_SR ? 28 : 8;
		if (len > size || ((data[1] == RTCP_SR || data[1] == RTCP_RR) &&
				   len < head + 24 * blocks))
			goto malformed;
		if (data[1] == RTCP_SR) {
			s->rtcp.sr++;
			s->rtcp.last_sr_mid =
				get32(data + 8) << 16 | get32(data + 12) >> 16;
			s->rtcp.last_sr_ns = now_ns;
		} else if (data[1] == RTCP_RR) {
			s->rtcp.rr++;
		} else if (data[1] == RTCP_BYE) {
			s->rtcp.bye++;
		}
		if (blocks && (data[1] == RTCP_SR || data[1] == RTCP_RR))
			receive_block(s, data + head);
		data += len;
		size -= len;
	}
	return;

malformed:
	s->rtcp.malformed++;
}
