/*
 * secure - RTP or SRTP in the calls of this worker: which media-sec-policy
 * holds on a leg, and what is told to people when a peer or a rule refuses.
 *
 * Layer: sip. SIP worker, su_root thread.
 */
#ifndef SBCD_SIP_SECURE_H
#define SBCD_SIP_SECURE_H

#include "sbcd/call/b2bua.h"
#include "sbcd/sip/sdes_leg.h"

struct sip_worker;

/* A leg and the rules that hold on it. */
struct secure_leg {
	const struct config_agent *agent; /* NULL: none is known */
	const struct config_media_sec *policy; /* NULL: RTP */
	struct media_security security;
	struct sdes_leg sdes; /* streams are the caller's to fill in */
};

/*
 * Fills `len` of `out`, for `legs` with dialogs `d`. False: RTP on all of
 * them, and nothing else is configured; then nothing is filled. `reinvite`:
 * srtp-rekey-on-re-invite counts.
 */
bool secure_open(struct sip_worker *w, struct leg *const *legs,
		 struct rec_dialog *const *d, unsigned len, bool reinvite,
		 struct secure_leg *out);
/* Bits of the streams of this description that are on; 0 for what is none. */
uint32_t secure_streams_on(const void *text, size_t size, uint32_t pairs);

/* We refuse an offer or answer of that leg. */
void secure_log_refused(struct sip_worker *w, const struct secure_leg *s,
			const struct call *c, bool offer,
			const struct sdp_refusal *why);

/* call_ops */
void secure_exchanged(void *ctx, struct call *c, enum call_exchange how);
int secure_counted(void *ctx, struct call *c, unsigned sub,
		   const struct rec_mstate *m);
void secure_offer_refused(void *ctx, const struct leg *l, uint16_t status);

#endif
