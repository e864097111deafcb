#include "sbcd/sip/sdes_leg.h"
#include "sbcd/sip/sdp_edit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { WARN_MISC = 399 };

/* The values of both are the same. */
_Static_assert((int)CONFIG_MEDIA_RTP == (int)SDP_SEC_RTP &&
		       (int)CONFIG_MEDIA_SRTP == (int)SDP_SEC_SRTP &&
		       (int)CONFIG_MEDIA_ANY == (int)SDP_SEC_ANY,
	       "modes are copied");

void media_security_of(const struct config_media_sec *m,
		       struct media_security *out)
{
	const struct config_sdes_profile *c = m->profile;
	struct sdes_policy *p = &out->profile.sdes;

	memset(out, 0, sizeof(*out));
	out->inbound = m->inbound;
	out->outbound = m->outbound;
	if (!c)
		return;
	out->both = c->offer_format == OFFER_BOTH;
	out->profile_name = c->name;
	out->profile.rekey = c->rekey;
	out->profile.roc_reset = c->reset_roc;
	memcpy(p->suites, c->suites, sizeof(p->suites));
	p->suites_len = (unsigned)c->suites_len;
	p->flags_ingress = c->ingress_params;
	if (!c->srtp_auth)
		p->flags_offered |= SDES_UNAUTHENTICATED_SRTP;
	if (!c->srtp_encrypt)
		p->flags_offered |= SDES_UNENCRYPTED_SRTP;
	if (!c->srtcp_encrypt)
		p->flags_offered |= SDES_UNENCRYPTED_SRTCP;
	p->mki = c->mki;
	p->lifetime = c->lifetime;
}

static struct sdes_side side_of(const struct sdes_leg *l, unsigned i)
{
	return (struct sdes_side){
		.media = l->stream[i],
		.leg = l->leg,
		.profile = &l->security->profile,
		.random = l->random,
		.random_ctx = l->random_ctx,
		.now_ms = l->now_ms,
	};
}

static int refuse_text(struct sdp_refusal *why, const char *text)
{
	why->warning = WARN_MISC;
	snprintf(why->text, sizeof(why->text), "%s", text);
	return -EPROTO;
}

static void explain(const struct sdes_leg *l, const struct sdes_refusal *rule,
		    struct sdp_refusal *why)
{
	const char *name = l->security->profile_name;

	why->warning = WARN_MISC;
	snprintf(why->text, sizeof(why->text), "sdes-profile %s: %s",
		 name ? name : "-", sdes_refusal_text(rule));
}

static int parse(struct sdp **out, const char *in, size_t size,
		 struct sdp_refusal *why)
{
	struct sdp_error err = {SDP_OK, 0};
	int rc = sdp_parse(out, in, size, &err);

	if (rc && why) {
		refuse_text(why, sdp_reason_text(err.reason));
		why->sdp = err;
	}
	return rc;
}

/* What we last sent; *out stays NULL when that is nothing of use. */
static int local_sdp(const struct sdes_leg *l, struct sdp **out)
{
	const struct rec_bytes_sdp *b = &l->dialog->local_sdp;
	int rc = sdp_parse(out, (const char *)b->data, b->size, NULL);

	return rc == -ENOMEM ? rc : 0;
}

/* Which of a pair is taken is remembered: offers say it again. */
static void note_taken(const struct sdes_leg *l, unsigned i, uint8_t security)
{
	struct rec_dialog *d = l->dialog;
	uint32_t bit = UINT32_C(1) << i;

	if ((d->sdp_pairs & bit) && security == SDP_SEC_RTP)
		d->sdp_plain |= bit;
	else
		d->sdp_plain &= ~bit;
}

/* ---- from the peer ----------------------------------------------------- */

static int take_offered(const struct sdes_leg *l, unsigned i,
			struct sdp_secured *s, struct sdp_refusal *why)
{
	bool srtp = s->security == SDP_SEC_SRTP && !s->refused;
	struct sdes_side side = side_of(l, i);
	struct sdes_refusal rule = {0};
	int rc;

	if (!side.media)
		return srtp ? refuse_text(why, "no media for the stream") : 0;
	rc = sdes_media_offered(&side, srtp ? &s->lines : NULL, &rule);
	if (rc != -EPROTO || !srtp)
		return rc;
	explain(l, &rule, why);
	s->refused = true;
	/* The others may go on, this one is off. */
	return rule.rule == SDES_RULE_TURN
		       ? rc
		       : sdes_media_offered(&side, NULL, &rule);
}

static int take_answered(const struct sdes_leg *l, unsigned i,
			 const struct sdp_secured *s, struct sdp_refusal *why)
{
	bool srtp = s->security == SDP_SEC_SRTP;
	struct sdes_side side = side_of(l, i);
	struct sdes_refusal rule = {0};
	int rc;

	if (!side.media)
		return srtp ? refuse_text(why, "no media for the stream") : 0;
	rc = sdes_media_answered(&side, srtp ? &s->lines : NULL, &rule);
	if (rc == -EPROTO)
		explain(l, &rule, why);
	return rc;
}

static int take_streams(const struct sdes_leg *l, bool offer,
			struct sdp_secure *said, struct sdes_heard *heard,
			struct sdp_refusal *why)
{
	unsigned on = 0, refused = 0, taken = 0;
	int rc = 0;

	for (; taken < said->len; taken++) {
		struct sdp_secured *s = &said->stream[taken];

		rc = offer ? take_offered(l, taken, s, why)
			   : take_answered(l, taken, s, why);
		if (rc)
			break;
		heard->security[taken] = s->refused ? SDP_SEC_OFF : s->security;
		on += heard->security[taken] != SDP_SEC_OFF;
		refused += s->refused;
		if (offer)
			continue;
		note_taken(l, taken, heard->security[taken]);
		heard->offer_due |= s->both;
		if (l->stream[taken])
			heard->offer_due |=
				sdes_media_rekey_due(l->stream[taken], l->leg);
	}
	heard->len = said->len;
	if (!rc && refused && !on)
		rc = -EPROTO;
	/* Not the others: an offer of ours may be under way. */
	while (rc && offer && taken-- > 0) {
		struct sdes_side side = side_of(l, taken);

		if (side.media)
			sdes_media_refuse(&side);
	}
	return rc;
}

static ssize_t receive(const struct sdes_leg *l, bool offer, struct sdp *sdp,
		       const struct sdes_text *text, struct sdes_heard *heard,
		       struct sdp_refusal *why)
{
	uint32_t pairs = l->dialog->sdp_pairs;
	struct sdp *ours = NULL;
	struct sdp_secure said;
	ssize_t rc = offer ? 0 : local_sdp(l, &ours);

	if (rc)
		return rc;
	if (!offer && !ours)
		return refuse_text(why, "Answer without an offer");
	rc = sdp_secure_read(sdp, pairs, l->security->inbound, ours, &said,
			     why);
	if (!rc)
		rc = take_streams(l, offer, &said, heard, why);
	if (!rc)
		rc = sdp_secure_fold(sdp, pairs, &said);
	if (!rc)
		rc = sdp_print(sdp, text->out, text->size);
	sdp_secure_wipe(&said);
	sdp_destroy(ours);
	return rc;
}

ssize_t sdes_leg_receive(const struct sdes_leg *l, bool offer,
			 const struct sdes_text *text, struct sdes_heard *heard,
			 struct sdp_refusal *why)
{
	struct sdp *sdp;
	ssize_t rc;

	memset(heard, 0, sizeof(*heard));
	memset(why, 0, sizeof(*why));
	rc = parse(&sdp, text->in, text->in_size, why);
	if (rc)
		return rc;
	rc = receive(l, offer, sdp, text, heard, why);
	sdp_destroy(sdp);
	return rc;
}

ssize_t sdes_leg_plain(uint32_t pairs, unsigned allowed,
		       const struct sdes_text *text)
{
	struct sdp_secure said;
	struct sdp_refusal why;
	struct sdp *sdp;
	ssize_t rc = parse(&sdp, text->in, text->in_size, NULL);

	if (rc)
		return rc;
	/* Whatever it was, it has been said. */
	if (sdp_secure_read(sdp, pairs, allowed, NULL, &said, &why))
		memset(&why, 0, sizeof(why));
	rc = sdp_secure_fold(sdp, pairs, &said);
	if (!rc)
		rc = sdp_print(sdp, text->out, text->size);
	sdp_secure_wipe(&said);
	sdp_destroy(sdp);
	return rc;
}

/* ---- to the peer ------------------------------------------------------- */

/* As which an m-line is on. */
static uint8_t slot_security(const struct sdp *sdp, unsigned slot)
{
	struct sdp_media m;

	if (sdp_media_get(sdp, slot, &m) || !m.port)
		return SDP_SEC_OFF;
	return m.kind & (SDP_RTP_SAVP | SDP_RTP_SAVPF) ? SDP_SEC_SRTP
						       : SDP_SEC_RTP;
}

/* What a stream is, or was offered as; off: neither yet. */
static uint8_t security_now(const struct sdes_leg *l, const struct sdp *last,
			    unsigned i)
{
	uint32_t pairs = l->dialog->sdp_pairs;
	unsigned slot = sdp_secure_slot(pairs, i);
	struct media_keys keys;
	uint8_t now;

	if (l->stream[i]) {
		media_keys_of(l->stream[i], l->leg, &keys);
		if (keys.tx)
			return SDP_SEC_SRTP;
	}
	if (!last)
		return SDP_SEC_OFF;
	if (l->dialog->sdp_plain >> i & 1)
		return SDP_SEC_RTP;
	now = slot_security(last, slot);
	if (pairs >> i & 1)
		now |= slot_security(last, slot + 1);
	return now;
}

static uint8_t security_of_offer(const struct sdes_leg *l,
				 const struct sdes_send *how,
				 const struct sdp *last, unsigned i)
{
	const struct media_security *policy = l->security;
	uint8_t now = security_now(l, last, i);

	if (now)
		return now;
	if (policy->outbound != SDP_SEC_ANY || policy->both)
		return policy->outbound;
	if (how->ingress && i < how->ingress->len && how->ingress->security[i])
		return how->ingress->security[i];
	return SDP_SEC_SRTP;
}

/* Security and lines of every stream, and their state moved on. */
static int prepare(const struct sdes_leg *l, const struct sdes_send *how,
		   const struct sdp *sdp, const struct sdp *last,
		   struct sdp_unfold *u, struct sdes_lines *lines, unsigned len)
{
	for (unsigned i = 0; i < len; i++) {
		struct sdes_side side = side_of(l, i);
		bool on = slot_security(sdp, i), srtp = false;
		int rc;

		u[i].lines = &lines[i];
		u[i].twin_port = how->twin_ports ? how->twin_ports[i] : 0;
		if (on && how->offer)
			u[i].security = security_of_offer(l, how, last, i);
		else if (on && side.media)
			srtp = sdes_media_is_srtp(side.media, l->leg);
		if (how->offer)
			srtp = u[i].security & SDP_SEC_SRTP;
		else if (on)
			u[i].security = srtp ? SDP_SEC_SRTP : SDP_SEC_RTP;
		if (!how->offer)
			note_taken(l, i, u[i].security);
		if (!side.media && srtp)
			return -EINVAL;
		if (!side.media)
			continue;
		rc = how->offer ? sdes_media_offer(&side, srtp, how->rekey,
						   &lines[i])
				: sdes_media_answer(&side, srtp, &lines[i]);
		if (rc)
			return rc;
	}
	return 0;
}

/* RFC 3264 section 8: a change of keys is a change too. */
static int set_version(const struct sdes_leg *l, struct sdp *sdp,
		       uint64_t *version)
{
	const struct rec_dialog *d = l->dialog;
	char host[ADDR_TEXT_SIZE];
	struct sdp_text text;
	struct addr origin;
	uint64_t last = d->sdp_version ? d->sdp_version : 1;
	int rc;

	if (!sdp_origin_address(sdp, &text) || text.size >= sizeof(host))
		return -EINVAL;
	memcpy(host, text.at, text.size);
	host[text.size] = '\0';
	if (addr_parse_ip(&origin, host, 0))
		return -EINVAL;
	rc = sdp_set_origin(sdp, d->sdp_session, last, &origin);
	if (rc)
		return rc;
	*version = sdp_next_version(sdp, (const char *)d->local_sdp.data,
				    d->local_sdp.size, last);
	return sdp_set_origin(sdp, d->sdp_session, *version, &origin);
}

static int unfold(const struct sdes_leg *l, const struct sdes_send *how,
		  struct sdp *sdp, const struct sdp *last,
		  const struct sdp *theirs, struct sdes_lines *lines)
{
	struct sdp_unfold u[SDP_STREAMS_MAX] = {0};
	uint32_t *pairs = &l->dialog->sdp_pairs;
	unsigned len = sdp_media_count(sdp), known = 0;
	int rc;

	if (len > SDP_STREAMS_MAX)
		len = SDP_STREAMS_MAX;
	if (last)
		known = sdp_secure_streams(*pairs, sdp_media_count(last));
	rc = prepare(l, how, sdp, last, u, lines, len);
	if (rc)
		return rc;
	return sdp_secure_unfold(sdp, pairs, u, len, known, theirs);
}

/* The peer's offer; after the first answer to it our answer has its form. */
static int offer_of_peer(const struct sdes_leg *l, struct sdp **out)
{
	const struct rec_bytes_sdp *b = l->dialog->remote_sdp.size
						? &l->dialog->remote_sdp
						: &l->dialog->local_sdp;

	return sdp_parse(out, (const char *)b->data, b->size, NULL);
}

ssize_t sdes_leg_send(const struct sdes_leg *l, const struct sdes_send *how,
		      const struct sdes_text *text, uint64_t *version)
{
	struct sdes_lines lines[SDP_STREAMS_MAX] = {0};
	struct sdp *sdp = NULL, *theirs = NULL, *last = NULL;
	ssize_t rc = parse(&sdp, text->in, text->in_size, NULL);

	if (!rc && !how->offer)
		rc = offer_of_peer(l, &theirs);
	if (!rc)
		rc = local_sdp(l, &last);
	if (!rc)
		rc = unfold(l, how, sdp, last, theirs, lines);
	if (!rc)
		rc = set_version(l, sdp, version);
	if (!rc)
		rc = sdp_print(sdp, text->out, text->size);
	explicit_bzero(lines, sizeof(lines));
	sdp_destroy(last);
	sdp_destroy(theirs);
	sdp_destroy(sdp);
	return rc;
}

/* ---- the end of an exchange -------------------------------------------- */

static void each(const struct sdes_leg *l,
		 void (*one)(const struct sdes_side *side))
{
	for (unsigned i = 0; i < SDP_STREAMS_MAX; i++) {
		struct sdes_side side = side_of(l, i);

		if (side.media)
			one(&side);
	}
}

void sdes_leg_confirm(const struct sdes_leg *l)
{
	each(l, sdes_media_confirm);
}

void sdes_leg_refuse(const struct sdes_leg *l)
{
	each(l, sdes_media_refuse);
}

void sdes_leg_end(const struct sdes_leg *l)
{
	each(l, sdes_media_end);
}
