/*
 * rtp - what the relay must understand of RTP and RTCP: which of the two a
 * datagram is, its fixed header, the 48-bit index of a packet and the
 * statistics of one received stream.
 *
 * Guarantees: pure functions over bytes that may be hostile; nothing is read
 * past the given size; the index of a stream never goes back.
 *
 * Layer: media. Media worker, the thread that owns the flow.
 */
#ifndef SBCD_MEDIA_RTP_H
#define SBCD_MEDIA_RTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RTP_HEADER_BYTES = 12,
	RTCP_HEADER_BYTES = 8,
	/* RFC 3550 appendix A.1: a longer jump is a restart, not a loss. */
	RTP_MAX_DROPOUT = 3000,
	RTP_MAX_MISORDER = 100,
};

enum rtp_class {
	RTP_CLASS_BAD = 0, /* neither, or broken */
	RTP_CLASS_RTP = 1,
	RTP_CLASS_RTCP = 2,
};

struct rtp_header {
	uint8_t payload_type;
	bool marker;
	uint16_t seq;
	uint32_t timestamp;
	uint32_t ssrc;
	size_t bytes; /* header with CSRCs and extension */
};

/* RTP on an RTP port; RTCP there too when its type says so (RFC 5761 4). */
enum rtp_class rtp_classify(const uint8_t *data, size_t size, bool rtcp_port);
/* -EBADMSG: too short for what it announces, or not version 2. */
int rtp_parse(struct rtp_header *out, const uint8_t *data, size_t size)
	__attribute__((warn_unused_result));
/* RTCP or SRTCP: version, type and length of the first packet. */
bool rtcp_valid(const uint8_t *data, size_t size);

/* RFC 3711 appendix A: the 48-bit index ROC||seq closest to `highest`. */
uint64_t rtp_index_guess(uint64_t highest, uint16_t seq);
/* Clock of a static payload type (RFC 3551), else that of the medium. */
uint32_t rtp_clock_hz(uint8_t payload_type, char media);

enum rtp_stats_state {
	RTP_STATS_EMPTY = 0, /* nothing received */
	RTP_STATS_RESTORED = 1, /* ssrc and index come from a record */
	RTP_STATS_RUNNING = 2,
};

/* Received RTP of one flow. All numbers are totals of the call. */
struct rtp_stats {
	uint8_t state; /* enum rtp_stats_state */
	char media; /* 'a', 'v' … for the clock */
	uint16_t retry_seq;
	bool retry;
	uint8_t payload_type; /* of the last packet */
	uint32_t ssrc;
	uint64_t index; /* highest, 48 bit */
	uint64_t base; /* index where this count began */
	uint64_t received; /* since base */
	uint64_t packets;
	uint64_t bytes; /* of RTP, header included */
	uint64_t lost_before; /* in counts that ended */
	uint32_t jitter_q4; /* RFC 3550 A.8, in timestamp units * 16 */
	uint32_t transit;
	uint32_t timestamp;
	uint32_t clock_hz;
};

enum { /* what rtp_stats_update() saw */
       RTP_SAW_NEW_SSRC = 1 << 0,
       RTP_SAW_WRAP = 1 << 1,
       RTP_SAW_RESTART = 1 << 2,
       RTP_SAW_LATE = 1 << 3, /* older than the highest */
};

/* Counts one packet; returns RTP_SAW_ bits. */
unsigned rtp_stats_update(struct rtp_stats *s, const struct rtp_header *h,
			  size_t size, uint64_t now_ns);
uint64_t rtp_stats_lost(const struct rtp_stats *s);
uint32_t rtp_stats_jitter_us(const struct rtp_stats *s);
/* Continues what another node or process counted. */
void rtp_stats_restore(struct rtp_stats *s, uint32_t ssrc, uint64_t index,
		       uint64_t packets, uint64_t bytes, uint64_t lost);

#endif
