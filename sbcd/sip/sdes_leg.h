/*
 * sdes_leg - descriptions that come from a leg and go to it, by the
 * media-sec-policy and the sdes-profile that hold there.
 *
 * What comes in is made plain (sdp_secure.h) and its keys go into the
 * streams' records (sdes_media.h); what goes out gets protocols and lines of
 * our own. Between the two there is the relay (sdp_relay.h), which sees no
 * key. All state is in the records of the dialog and of its streams.
 *
 * A refusal has warn-code 302, 307 or 399 and names the rule: for the Warning
 * of a 488, or the log and a BYE when it was an answer.
 *
 * Layer: sip. SIP worker, any thread. Needs no SIP stack. No state.
 */
#ifndef SBCD_SIP_SDES_LEG_H
#define SBCD_SIP_SDES_LEG_H

#include "sbcd/config/security.h"
#include "sbcd/sip/sdes_media.h"
#include "sbcd/sip/sdp_secure.h"

struct media_security {
	uint8_t inbound, outbound; /* enum sdp_security: what is allowed */
	bool both; /* egress-offer-format simultaneous-best-effort */
	const char *profile_name;
	struct sdes_profile profile;
};

/* As it is configured; *out points into `m`. */
void media_security_of(const struct config_media_sec *m,
		       struct media_security *out);

struct sdes_leg {
	const struct media_security *security;
	uint16_t leg;
	/* local_sdp: last sent, from which the m-lines of ours follow;
	 * remote_sdp: the peer's offer that is to be answered; sdp_pairs,
	 * sdp_plain. A call that is tried anew (another target, a challenge)
	 * begins without them. */
	struct rec_dialog *dialog;
	/* With a flow of this leg each; NULL: that stream is plain or off. */
	struct rec_media *stream[SDP_STREAMS_MAX];
	int (*random)(void *ctx, uint8_t *out, size_t size);
	void *random_ctx;
	uint64_t now_ms;
};

/* How the streams of a description are secured. */
struct sdes_heard {
	unsigned len;
	uint8_t security[SDP_STREAMS_MAX]; /* enum sdp_security */
	/* After the ACK an offer is due: of a pair both were accepted and one
	 * is to be turned off, or two branches know our key. */
	bool offer_due;
};

struct sdes_text {
	const char *in;
	size_t in_size;
	char *out; /* not `in` */
	size_t size;
};

/*
 * An offer or answer of the peer as a plain description. Bytes written;
 * -EPROTO when it is refused, -EINVAL and -E2BIG when it cannot be read, then
 * `why` is filled; -ENOMEM, -ENOSPC. A stream of an offer that is refused
 * alone is off. After a refused offer the keys are as before; after a refused
 * answer sdes_leg_refuse() makes them so.
 */
ssize_t sdes_leg_receive(const struct sdes_leg *l, bool offer,
			 const struct sdes_text *text, struct sdes_heard *heard,
			 struct sdp_refusal *why)
	__attribute__((warn_unused_result));

struct sdes_send {
	bool offer;
	bool rekey; /* new keys, whatever the profile says */
	const struct sdes_heard *ingress; /* of the other leg; may be NULL */
	const uint16_t *twin_ports; /* by stream; may be NULL without pairs */
};

/*
 * A plain description as the peer gets it. Bytes written; *version is that of
 * its o= line, by dialog->sdp_version and local_sdp. -EPROTO out of turn,
 * -EINVAL, -EIO, -ENOMEM, -ENOSPC: then sdes_leg_refuse() makes the keys those
 * of before.
 */
ssize_t sdes_leg_send(const struct sdes_leg *l, const struct sdes_send *how,
		      const struct sdes_text *text, uint64_t *version)
	__attribute__((warn_unused_result));

/*
 * A description that a leg has sent or got, as a plain one; of a pair that is
 * open both ways the first m-line that is `allowed`. Bytes written, -EINVAL,
 * -E2BIG, -ENOMEM, -ENOSPC.
 */
ssize_t sdes_leg_plain(uint32_t pairs, unsigned allowed,
		       const struct sdes_text *text)
	__attribute__((warn_unused_result));

/* For all streams, as in sdes_media.h. */
void sdes_leg_confirm(const struct sdes_leg *l);
void sdes_leg_refuse(const struct sdes_leg *l);
void sdes_leg_end(const struct sdes_leg *l);

#endif
