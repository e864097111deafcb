/*
 * sdp_relay - one offer or answer on its way through the B2BUA.
 *
 * First sdp_relay_read() says what the peer wants, stream by stream; then the
 * caller finds ports on the other leg; then sdp_relay_write() makes the
 * description for that leg: our addresses, nothing of the peer's. Slots never
 * vanish: an m-line that cannot be relayed goes on with port 0.
 *
 * A refusal carries a warn-code and text for the Warning header (RFC 3261
 * section 20.43) of a 488, or for the log and a BYE when it was an answer.
 *
 * Layer: sip. SIP worker, any thread. Needs no SIP stack. No state.
 */
#ifndef SBCD_SIP_SDP_RELAY_H
#define SBCD_SIP_SDP_RELAY_H

#include "sbcd/sip/sdp.h"

enum { SDP_STREAMS_MAX = 8, SDP_FORMATS_MAX = 32 };

enum sdp_slot {
	SDP_SLOT_OFF = 0, /* the peer says port 0 */
	SDP_SLOT_ON, /* relay it */
	SDP_SLOT_REFUSED, /* the peer wants it, we cannot: goes on as port 0 */
};

/* One m-line as the peer described it. */
struct sdp_stream {
	enum sdp_slot slot;
	unsigned warning; /* why it is SDP_SLOT_REFUSED: 304, 305 … */
	char media; /* as in rec_media: 'a', 'v', 'i', 'o' */
	enum sdp_proto proto;
	struct addr rtp; /* where the peer receives; family 0 = nowhere */
	struct addr rtcp; /* a=rtcp or rtp's port + 1; family 0 = nowhere */
	bool rtcp_mux;
	bool hold; /* c=0.0.0.0; folded into `direction` */
	enum sdp_direction direction; /* from the peer's point of view */
	uint16_t ptime_ms; /* 0 = not said */
	unsigned formats_len;
	struct sdp_format formats[SDP_FORMATS_MAX];
};

struct sdp_streams {
	unsigned media_count; /* m-lines; those over SDP_STREAMS_MAX are off */
	unsigned len;
	struct sdp_stream stream[SDP_STREAMS_MAX];
};

struct sdp_refusal {
	unsigned warning; /* warn-code: 300-399 */
	char text[96]; /* for the quoted part of Warning */
	struct sdp_error sdp; /* when it could not be parsed */
};

struct sdp_rules {
	unsigned protos; /* of enum sdp_proto; 0 = RTP/AVP and RTP/AVPF */
	bool video; /* relay m=video too, not only m=audio */
	/* For an answer: the streams of the offer as it reached this peer,
	 * rejected slots marked; NULL for an offer. */
	const struct sdp_streams *offer;
};

/*
 * 0; -EINVAL, -E2BIG or -ENOMEM when it is no usable description, -EPROTO
 * when it is one that cannot be relayed; then `why` is filled. An offer of
 * which at least one stream can be relayed is not refused, neither is one
 * that wants no stream at all. In an answer every stream it accepts must do.
 */
int sdp_relay_read(const char *buf, size_t size, const struct sdp_rules *rules,
		   struct sdp_streams *out, struct sdp_refusal *why)
	__attribute__((warn_unused_result));

/* Our side of a stream on the leg the description goes to. */
struct sdp_local {
	struct addr rtp; /* port 0: this slot is rejected */
	uint16_t rtcp_port; /* 0 = rtp.port + 1 */
};

struct sdp_relay_params {
	const char *in; /* as given to sdp_relay_read() */
	size_t in_size;
	const struct sdp_streams *streams; /* as it said */
	const struct sdp_local *local; /* streams->len of them */
	struct addr origin; /* our address for o= */
	uint64_t session_id; /* of this leg, never changes */
	uint64_t version; /* last sent on this leg */
	const char *last; /* last sent on this leg … */
	size_t last_size; /* … 0 = nothing yet */
	const struct hide_set *hide; /* more to hide; may be NULL */
	bool strip_rtcp_mux;
};

/*
 * Bytes written to `out`; `*version` is the one in its o= line: p->version
 * when nothing was sent yet or nothing changed, else one more. -EPROTO,
 * -EPERM (an m-line shows a hidden address), -ENOSPC, -ENOMEM: `why` filled.
 */
ssize_t sdp_relay_write(const struct sdp_relay_params *p, char *out,
			size_t size, uint64_t *version, struct sdp_refusal *why)
	__attribute__((warn_unused_result));

/* "Incompatible media format" of 305 and so on. */
const char *sdp_warning_text(unsigned warning);
/* The same direction seen from the other end. */
enum sdp_direction sdp_direction_reverse(enum sdp_direction d);

#endif
