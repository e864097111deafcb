#include "sbcd/sip/secure.h"

#include <errno.h>
#include <string.h>

#include "sbcd/base/log.h"
#include "sbcd/sip/sip_int.h"

/* ---- which rules hold ------------------------------------------------------
 */

/* Who is at the other end, by name: addresses change, and may be shared. */
static const struct config_agent *agent_of(const struct sip_worker *w,
					   const struct rec_call *r,
					   const struct leg *l)
{
	for (unsigned i = 0; i < r->legs_len && i < REC_LEGS_MAX; i++)
		if (r->legs[i].leg == l->sub && r->legs[i].agent[0])
			return config_agent_find(w->config, r->legs[i].agent);
	return NULL;
}

static bool is_configured(const struct sip_worker *w)
{
	return w->config->security->policies_len > 0;
}

static void find_policy(struct sip_worker *w, const struct rec_call *r,
			const struct leg *l, const struct rec_dialog *d,
			struct secure_leg *out)
{
	const struct sip_agent *a = agent_find(w, d->sip_interface);

	memset(out, 0, sizeof(*out));
	out->agent = agent_of(w, r, l);
	if (a)
		out->policy = config_media_sec_of(a->sif->realm, out->agent);
}

bool secure_open(struct sip_worker *w, struct leg *const *legs,
		 struct rec_dialog *const *d, unsigned len, bool reinvite,
		 struct secure_leg *out)
{
	static const struct config_media_sec rtp = {
		.inbound = CONFIG_MEDIA_RTP, .outbound = CONFIG_MEDIA_RTP};
	struct rec_call r;
	bool any = false;

	if (!is_configured(w) || call_load(legs[0]->call, &r))
		return false;
	for (unsigned i = 0; i < len; i++) {
		struct secure_leg *s = &out[i];

		find_policy(w, &r, legs[i], d[i], s);
		any |= s->policy != NULL;
		media_security_of(s->policy ? s->policy : &rtp, &s->security);
		s->security.profile.rekey &= reinvite;
		s->sdes.security = &s->security;
		s->sdes.leg = legs[i]->sub;
		s->sdes.dialog = d[i];
		s->sdes.now_ms = b2bua_now(w->b2bua);
	}
	return any;
}

static bool slot_is_on(const struct sdp *sdp, unsigned slot)
{
	struct sdp_media m;

	return !sdp_media_get(sdp, slot, &m) && m.port;
}

uint32_t secure_streams_on(const void *text, size_t size, uint32_t pairs)
{
	uint32_t on = 0;
	struct sdp *sdp;

	if (sdp_parse(&sdp, text, size, NULL))
		return 0;
	for (unsigned i = 0; i < SDP_STREAMS_MAX; i++) {
		unsigned slot = sdp_secure_slot(pairs, i);

		if (slot_is_on(sdp, slot) ||
		    ((pairs >> i & 1) && slot_is_on(sdp, slot + 1)))
			on |= UINT32_C(1) << i;
	}
	sdp_destroy(sdp);
	return on;
}

/* ---- the end of an exchange -------------------------------------------------
 */

static bool has_keys(const struct rec_media *m)
{
	bool any = m->keys_len > 0;

	for (unsigned i = 0; i < m->flows_len; i++)
		any |= m->flows[i].sdes_state != SDES_IDLE;
	return any;
}

static void end_exchange(struct rec_media *m, uint64_t now_ms,
			 enum call_exchange how)
{
	for (unsigned i = 0; i < m->flows_len; i++) {
		struct sdes_side side = {
			.media = m, .leg = m->flows[i].leg, .now_ms = now_ms};

		if (how == EXCHANGE_DONE)
			sdes_media_confirm(&side);
		else if (how == EXCHANGE_REFUSED)
			sdes_media_refuse(&side);
		else
			(void)sdes_media_expire(&side);
	}
}

/* What a peer has been told and refused was never said, but for its version:
 * that does not come again with another text. */
static void end_descriptions(struct leg *l, enum call_exchange how)
{
	struct rec_dialog d;

	if (how == EXCHANGE_LATER || leg_load(l, &d) || !d.agreed_sdp.size)
		return;
	if (how == EXCHANGE_REFUSED) {
		d.local_sdp = d.agreed_sdp;
		d.sdp_pairs = d.agreed_pairs;
		d.sdp_plain = d.agreed_plain;
		d.sdp_version++;
	}
	d.agreed_sdp.size = 0;
	if (leg_store(l, &d))
		log_rated(LOG_ERR, "event=dialog-store result=failed");
}

void secure_exchanged(void *ctx, struct call *c, enum call_exchange how)
{
	struct sip_worker *w = ctx;
	struct rec_media m;

	if (!is_configured(w))
		return;
	for (unsigned i = 0; i < c->streams_len; i++) {
		if (stream_load(c, i, &m) || !has_keys(&m))
			continue;
		end_exchange(&m, b2bua_now(w->b2bua), how);
		if (stream_store(c, i, &m))
			log_rated(LOG_ERR, "event=media-store result=failed");
	}
	explicit_bzero(&m, sizeof(m));
	for (unsigned i = 0; i < c->legs_len; i++)
		end_descriptions(c->legs[i], how);
}

/* ---- keys that are used up --------------------------------------------------
 */

enum {
	/* The media worker counts for us so often. */
	COUNTED_PACKETS = 8192,
};

static struct rec_key *key_sent_with(struct rec_media *m, uint16_t leg)
{
	for (unsigned i = 0; i < m->keys_len; i++)
		if (m->keys[i].leg == leg && m->keys[i].use == KEY_TX)
			return &m->keys[i];
	return NULL;
}

static void offer_is_due(struct call *c, uint16_t sub)
{
	struct leg *l = leg_find_sub(c, sub);
	struct rec_dialog d;

	if (!l || l->offer_due || leg_load(l, &d))
		return;
	d.offer_due = true;
	if (leg_store(l, &d))
		log_rated(LOG_ERR, "event=dialog-store result=failed");
	log_info("event=key-worn call=%016llx leg=%u",
		 (unsigned long long)c->id, sub);
}

/* A key is good for so many packets (RFC 3711 section 9.2). Those before it was
 * first seen in use are not known: no more than what is left when it is worn.
 */
static int count(struct call *c, struct rec_key *k, uint64_t sent,
		 bool *changed)
{
	uint64_t used;

	if (!k->begun) {
		k->begun = sent + 1;
		*changed = true;
	}
	used = sent + 1 > k->begun ? sent + 1 - k->begun : 0;
	if (used >= k->lifetime)
		return -ENOKEY;
	if (sdes_media_worn(k,
			    used + media_keys_told_after(k, COUNTED_PACKETS)))
		offer_is_due(c, k->leg);
	return 0;
}

int secure_counted(void *ctx, struct call *c, unsigned sub,
		   const struct rec_mstate *state)
{
	struct sip_worker *w = ctx;
	bool changed = false;
	struct rec_media m;
	int err = 0;

	if (!is_configured(w) || stream_load(c, sub, &m))
		return 0;
	for (unsigned i = 0; i < m.flows_len && i < state->flows_len; i++) {
		struct rec_key *k = key_sent_with(&m, m.flows[i].leg);

		if (k && k->lifetime && !err)
			err = count(c, k, state->flows[i].tx_packets, &changed);
	}
	if (changed && stream_store(c, sub, &m))
		log_rated(LOG_ERR, "event=media-store result=failed");
	explicit_bzero(&m, sizeof(m));
	return err;
}

/* ---- for people -------------------------------------------------------------
 */

static const char *name_or_dash(const char *name)
{
	return name && *name ? name : "-";
}

void secure_log_refused(struct sip_worker *w, const struct secure_leg *s,
			const struct call *c, bool offer,
			const struct sdp_refusal *why)
{
	const struct config_media_sec *m = s->policy;
	const struct config_sdes_profile *p = m ? m->profile : NULL;

	counters_add(w->counters,
		     offer ? COUNTER_sip_offers_refused
			   : COUNTER_sip_answers_refused,
		     1);
	log_notice("event=media-refused call=%016llx agent=%s what=%s "
		   "media-sec-policy=%s policy-line=%d sdes-profile=%s "
		   "profile-line=%d why=\"%s\"",
		   (unsigned long long)c->id,
		   name_or_dash(s->agent ? s->agent->name : NULL),
		   offer ? "offer" : "answer", name_or_dash(m ? m->name : NULL),
		   m ? m->line : 0, name_or_dash(p ? p->name : NULL),
		   p ? p->line : 0, why->text);
}

/* 488 and its relatives: it is the description they do not like. */
static bool is_about_media(uint16_t status)
{
	return status == 488 || status == 606 || status == 415 || status == 406;
}

static bool offered_srtp(const struct rec_dialog *d)
{
	return memmem(d->local_sdp.data, d->local_sdp.size, "a=crypto:", 9);
}

void secure_offer_refused(void *ctx, const struct leg *l, uint16_t status)
{
	struct sip_worker *w = ctx;
	const struct config_sdes_profile *p;
	const char *weak;
	struct rec_dialog d;
	struct secure_leg s;
	struct rec_call r;

	if (!is_configured(w) || !is_about_media(status) ||
	    call_load(l->call, &r) || leg_load(l, &d))
		return;
	find_policy(w, &r, l, &d, &s);
	p = s.policy ? s.policy->profile : NULL;
	if (!p || !offered_srtp(&d))
		return;
	weak = config_sdes_weak_option(p);
	log_notice("event=offer-refused call=%016llx agent=%s status=%u "
		   "media-sec-policy=%s policy-line=%d sdes-profile=%s "
		   "profile-line=%d option=%s option-line=%d hint=\"%s%s\"",
		   (unsigned long long)l->call->id,
		   name_or_dash(s.agent ? s.agent->name : NULL), status,
		   s.policy->name, s.policy->line, p->name, p->line,
		   name_or_dash(weak), p->flags_line,
		   weak ? weak : "look at mode, crypto-list",
		   weak ? " = disabled is said in our offer: enable it" : "");
}
