/*
 * sdp_secure - RTP and SRTP in descriptions: what a leg says of its streams,
 * and the plain description that is relayed between legs.
 *
 * Inside, a description is plain: one m-line a stream, RTP/AVP or RTP/AVPF,
 * and nothing of a key. sdp_secure_read() says how a peer secures its
 * streams, sdp_secure_fold() makes the plain description of what it said,
 * sdp_secure_unfold() makes what another peer is told. So no key of one leg
 * can reach another one.
 *
 * A stream that was offered both ways (egress-offer-format
 * simultaneous-best-effort) has a pair of m-lines on that leg for ever,
 * RTP/SAVP and RTP/AVP behind it. `pairs` (rec_dialog.sdp_pairs) has a bit
 * for each stream with a pair, from which every m-line's stream follows.
 *
 * Layer: sip. SIP worker, any thread. Needs no SIP stack. No state.
 */
#ifndef SBCD_SIP_SDP_SECURE_H
#define SBCD_SIP_SDP_SECURE_H

#include "sbcd/sip/sdes_negotiate.h"
#include "sbcd/sip/sdp_relay.h"

/* Bits; as a policy: what is allowed. */
enum sdp_security {
	SDP_SEC_OFF = 0,
	SDP_SEC_RTP = 1,
	SDP_SEC_SRTP = 2,
	SDP_SEC_ANY = 3,
};

struct sdp_secured {
	uint8_t security; /* of the m-line that is taken: RTP, SRTP; or off */
	bool both; /* an answer accepts both of a pair: SRTP is taken */
	bool refused; /* fold it as off; may be set by the caller too */
	struct sdes_lines lines; /* of SDP_SEC_SRTP */
};

/* Holds keys: sdp_secure_wipe(). */
struct sdp_secure {
	unsigned len; /* streams; more than SDP_STREAMS_MAX are not read */
	struct sdp_secured stream[SDP_STREAMS_MAX];
};

/* The first m-line of a stream. */
unsigned sdp_secure_slot(uint32_t pairs, unsigned stream);
/* How many streams so many m-lines are; a pair in half is one. */
unsigned sdp_secure_streams(uint32_t pairs, unsigned slots);

/*
 * An offer: each stream as `allowed` has it, others are `refused`. An answer
 * to `ours`: as `ours` offered it. 0; -EPROTO with `why` when an answer has
 * m-lines too few or too many or says what was not offered, or when an offer
 * lacks m-lines of before or leaves no stream that is not refused.
 */
int sdp_secure_read(const struct sdp *sdp, uint32_t pairs, unsigned allowed,
		    const struct sdp *ours, struct sdp_secure *out,
		    struct sdp_refusal *why)
	__attribute__((warn_unused_result));
void sdp_secure_wipe(struct sdp_secure *s);

/* 0, -ENOMEM or -ENOSPC. */
int sdp_secure_fold(struct sdp *sdp, uint32_t pairs, const struct sdp_secure *s)
	__attribute__((warn_unused_result));

/* How a stream goes to a leg. */
struct sdp_unfold {
	uint8_t security; /* RTP, SRTP; in an offer ANY: a pair, if it is new */
	uint16_t twin_port; /* of the RTP/AVP m-line of a pair that is open */
	const struct sdes_lines *lines; /* ours, of SRTP and ANY */
};

/*
 * An offer (`theirs` NULL): `known` streams of it are on this leg already;
 * new pairs are added to *pairs. An answer: m-lines and protocols are those
 * of `theirs`, the offer it answers or our answer to that before. 0, -ENOMEM,
 * -ENOSPC; -EPROTO when `theirs` has other streams.
 */
int sdp_secure_unfold(struct sdp *sdp, uint32_t *pairs,
		      const struct sdp_unfold *stream, unsigned len,
		      unsigned known, const struct sdp *theirs)
	__attribute__((warn_unused_result));

#endif
