#include "sbcd/media/rtp.h"

#include <errno.h>

enum {
	RTP_VERSION = 2,
	RTCP_TYPE_FIRST = 192, /* = RTP payload types 64..95 with marker */
	RTCP_TYPE_LAST = 223,
};

static uint16_t get_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

int rtp_parse(struct rtp_header *out, const uint8_t *data, size_t size)
{
	size_t bytes = RTP_HEADER_BYTES;

	if (size < bytes || data[0] >> 6 != RTP_VERSION)
		return -EBADMSG;
	bytes += 4 * (data[0] & 0x0fu);
	if (data[0] & 0x10) {
		if (size < bytes + 4)
			return -EBADMSG;
		bytes += 4 + 4 * (size_t)get_u16(data + bytes + 2);
	}
	if (size < bytes)
		return -EBADMSG;
	out->payload_type = data[1] & 0x7f;
	out->marker = data[1] >> 7;
	out->seq = get_u16(data + 2);
	out->timestamp = get_u32(data + 4);
	out->ssrc = get_u32(data + 8);
	out->bytes = bytes;
	return 0;
}

bool rtcp_valid(const uint8_t *data, size_t size)
{
	return size >= RTCP_HEADER_BYTES && data[0] >> 6 == RTP_VERSION &&
	       data[1] >= RTCP_TYPE_FIRST && data[1] <= RTCP_TYPE_LAST &&
	       4 * ((size_t)get_u16(data + 2) + 1) <= size;
}

enum rtp_class rtp_classify(const uint8_t *data, size_t size, bool rtcp_port)
{
	struct rtp_header h;

	if (size < RTCP_HEADER_BYTES)
		return RTP_CLASS_BAD;
	if (rtcp_port ||
	    (data[1] >= RTCP_TYPE_FIRST && data[1] <= RTCP_TYPE_LAST))
		return rtcp_valid(data, size) ? RTP_CLASS_RTCP : RTP_CLASS_BAD;
	return rtp_parse(&h, data, size) ? RTP_CLASS_BAD : RTP_CLASS_RTP;
}

uint64_t rtp_index_guess(uint64_t highest, uint16_t seq)
{
	uint64_t roc = highest >> 16;
	uint16_t last = (uint16_t)highest;

	if (last < 0x8000) {
		if (seq - last > 0x8000 && roc > 0)
			roc--;
	} else if (last - 0x8000 > seq) {
		roc = (roc + 1) & 0xffffffff;
	}
	return roc << 16 | seq;
}

uint32_t rtp_clock_hz(uint8_t payload_type, char media)
{
	switch (payload_type) {
	case 6:
		return 16000;
	case 10:
	case 11:
		return 44100;
	case 14:
	case 25:
	case 26:
	case 28:
	case 31:
	case 32:
	case 33:
	case 34:
		return 90000;
	case 16:
		return 11025;
	case 17:
		return 22050;
	default:
		return media == 'v' ? 90000 : 8000;
	}
}

static void count_from(struct rtp_stats *s, uint64_t index)
{
	if (s->state == RTP_STATS_RUNNING)
		s->lost_before = rtp_stats_lost(s);
	s->base = index;
	s->received = 0;
	s->retry = false;
}

static void update_jitter(struct rtp_stats *s, const struct rtp_header *h,
			  uint64_t now_ns, bool first)
{
	uint32_t arrival, transit;
	int32_t d;

	/* A DTMF event and a video frame repeat their timestamp: no clock. */
	if (!first && h->timestamp == s->timestamp)
		return;
	s->clock_hz = rtp_clock_hz(h->payload_type, s->media);
	arrival = (uint32_t)(now_ns / 1000 * s->clock_hz / 1000000);
	transit = arrival - h->timestamp;
	d = (int32_t)(transit - s->transit);
	s->transit = transit;
	s->timestamp = h->timestamp;
	if (first)
		return;
	/* A jump of over ten seconds is a new clock, not jitter. */
	if (d == INT32_MIN || (uint32_t)(d < 0 ? -d : d) > 10 * s->clock_hz)
		return;
	if (d < 0)
		d = -d;
	s->jitter_q4 += (uint32_t)d - ((s->jitter_q4 + 8) >> 4);
}

/* A packet so far off the stream that the sender may have started anew. */
static unsigned update_jump(struct rtp_stats *s, const struct rtp_header *h,
			    uint64_t index)
{
	if (index > s->index) {
		/* The sender went on counting: its ROC is what it says. */
		unsigned wrap =
			index >> 16 != s->index >> 16 ? RTP_SAW_WRAP : 0;

		count_from(s, index);
		s->index = index;
		s->received = 1;
		return RTP_SAW_RESTART | wrap;
	}
	if (!s->retry || s->retry_seq != h->seq) {
		s->retry = true;
		s->retry_seq = (uint16_t)(h->seq + 1);
		return RTP_SAW_LATE;
	}
	/* Two in a row: it started again lower. Its index may not repeat. */
	index = (((s->index >> 16) + 1) & 0xffffffff) << 16 | h->seq;
	count_from(s, index - 1);
	s->index = index;
	s->received = 2;
	return RTP_SAW_RESTART | RTP_SAW_WRAP;
}

unsigned rtp_stats_update(struct rtp_stats *s, const struct rtp_header *h,
			  size_t size, uint64_t now_ns)
{
	bool first = s->state != RTP_STATS_RUNNING;
	unsigned saw = 0;
	uint64_t index;

	s->packets++;
	s->bytes += size;
	s->payload_type = h->payload_type;
	if (s->state == RTP_STATS_EMPTY || s->ssrc != h->ssrc) {
		count_from(s, h->seq);
		s->ssrc = h->ssrc;
		s->index = h->seq;
		s->received = 1;
		s->state = RTP_STATS_RUNNING;
		update_jitter(s, h, now_ns, true);
		return RTP_SAW_NEW_SSRC;
	}
	index = rtp_index_guess(s->index, h->seq);
	if (s->state == RTP_STATS_RESTORED) {
		/* What the peer received after it last told us is not lost. */
		count_from(s, index);
		s->state = RTP_STATS_RUNNING;
	} else if (index > s->index + RTP_MAX_DROPOUT ||
		   index + RTP_MAX_MISORDER < s->index) {
		return update_jump(s, h, index);
	}
	s->received++;
	s->retry = false;
	update_jitter(s, h, now_ns, first);
	if (index <= s->index)
		return saw | RTP_SAW_LATE;
	if (index >> 16 != s->index >> 16)
		saw |= RTP_SAW_WRAP;
	s->index = index;
	return saw;
}

uint64_t rtp_stats_lost(const struct rtp_stats *s)
{
	uint64_t expected;

	if (s->state != RTP_STATS_RUNNING || s->index < s->base)
		return s->lost_before;
	expected = s->index - s->base + 1;
	return s->lost_before +
	       (expected > s->received ? expected - s->received : 0);
}

uint32_t rtp_stats_jitter_us(const struct rtp_stats *s)
{
	if (!s->clock_hz)
		return 0;
	return (uint32_t)((uint64_t)(s->jitter_q4 >> 4) * 1000000 /
			  s->clock_hz);
}

void rtp_stats_restore(struct rtp_stats *s, uint32_t ssrc, uint64_t index,
		       uint64_t packets, uint64_t bytes, uint64_t lost)
{
	s->state = packets ? RTP_STATS_RESTORED : RTP_STATS_EMPTY;
	s->ssrc = ssrc;
	s->index = index & 0xffffffffffff;
	s->base = s->index;
	s->received = 0;
	s->packets = packets;
	s->bytes = bytes;
	s->lost_before = lost;
	s->retry = false;
}
