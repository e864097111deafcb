#include "sbcd/sip/sdes_negotiate.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

enum { OUR_MKI_SIZE = 4 };

/* ---- reading ----------------------------------------------------------- */

void sdes_lines_read(const struct sdp *sdp, unsigned section,
		     struct sdes_lines *out)
{
	struct sdp_text value;
	unsigned iter = 0;

	memset(out, 0, sizeof(*out));
	while (out->seen < SDES_LINES_MAX &&
	       sdp_attr_next(sdp, section, "crypto", &iter, &value)) {
		enum sdes_reason reason =
			sdes_crypto_parse(value, &out->line[out->len]);

		out->seen++;
		if (reason == SDES_OK)
			out->len++;
		else if (out->reason == SDES_OK)
			out->reason = reason;
	}
}

void sdes_lines_wipe(struct sdes_lines *lines)
{
	OPENSSL_cleanse(lines, sizeof(*lines));
}

/* ---- rules ------------------------------------------------------------- */

static bool in_list(const struct sdes_policy *p, uint8_t suite)
{
	return memchr(p->suites, suite, p->suites_len) != NULL;
}

/* The first session parameter of `flags` that the profile does not take. */
static enum sdes_rule flags_rule(const struct sdes_policy *p, unsigned flags)
{
	unsigned bad = flags & ~(p->flags_offered | p->flags_ingress);

	if (bad & SDES_UNAUTHENTICATED_SRTP)
		return SDES_RULE_SRTP_AUTH;
	if (bad & SDES_UNENCRYPTED_SRTP)
		return SDES_RULE_SRTP_ENCRYPT;
	if (bad & SDES_UNENCRYPTED_SRTCP)
		return SDES_RULE_SRTCP_ENCRYPT;
	return SDES_RULE_NONE;
}

static int refuse(struct sdes_refusal *why, enum sdes_rule rule,
		  enum sdes_reason reason, uint8_t suite)
{
	if (why)
		*why = (struct sdes_refusal){rule, reason,
					     (enum sdes_suite)suite};
	return -EPROTO;
}

/* A description of which no line is understood. */
static int refuse_lines(struct sdes_refusal *why,
			const struct sdes_lines *lines)
{
	return refuse(why, lines->seen ? SDES_RULE_VOID : SDES_RULE_NO_LINE,
		      lines->reason, SDES_SUITE_NONE);
}

int sdes_choose(const struct sdes_policy *policy,
		const struct sdes_lines *offer, struct sdes_refusal *why)
{
	struct sdes_refusal best = {SDES_RULE_NONE, SDES_OK, SDES_SUITE_NONE};

	if (offer->len == 0)
		return refuse_lines(why, offer);
	for (unsigned i = 0; i < offer->len; i++) {
		const struct sdes_crypto *c = &offer->line[i];
		enum sdes_rule rule = in_list(policy, c->suite)
					      ? flags_rule(policy, c->flags)
					      : SDES_RULE_CRYPTO_LIST;

		if (rule == SDES_RULE_NONE)
			return (int)i;
		/* Of several the one that was nearest says most. */
		if (rule > best.rule)
			refuse(&best, rule, SDES_OK, c->suite);
	}
	return refuse(why, best.rule, SDES_OK, (uint8_t)best.suite);
}

/* ---- writing ----------------------------------------------------------- */

static void our_line(const struct sdes_policy *policy, uint8_t suite,
		     const uint8_t *key, uint32_t mki, struct sdes_crypto *out)
{
	memset(out, 0, sizeof(*out));
	out->suite = suite;
	out->key_size = (uint8_t)sdes_suite_key_size((enum sdes_suite)suite);
	memcpy(out->key, key, out->key_size);
	if (policy->lifetime) {
		out->lifetime = UINT64_C(1) << policy->lifetime;
		out->lifetime_power = true;
	}
	if (policy->mki) {
		out->mki = mki;
		out->mki_size = OUR_MKI_SIZE;
	}
}

void sdes_answer(const struct sdes_policy *policy,
		 const struct sdes_crypto *offered, const uint8_t *key,
		 uint32_t mki, struct sdes_crypto *out)
{
	our_line(policy, offered->suite, key, mki, out);
	out->tag = offered->tag;
	out->draft_name = offered->draft_name;
	out->flags = offered->flags;
}

unsigned sdes_offer(const struct sdes_policy *policy,
		    const uint8_t keys[][SDES_KEY_SIZE_MAX], uint32_t mki,
		    struct sdes_lines *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < policy->suites_len; i++) {
		struct sdes_crypto *c = &out->line[out->len];

		our_line(policy, policy->suites[i], keys[i], mki, c);
		c->tag = ++out->len;
		c->flags = (uint8_t)policy->flags_offered;
		if (sdes_suite_is_aead((enum sdes_suite)c->suite))
			c->flags &= SDES_UNENCRYPTED_SRTCP;
	}
	out->seen = out->len;
	return out->len;
}

/* ---- the answer to ours ------------------------------------------------ */

/* Index of the offered line an answer's line takes; -1 = none. */
static int taken_by(const struct sdes_lines *offer, const struct sdes_crypto *a)
{
	int found = -1;

	for (unsigned i = 0; i < offer->len; i++) {
		if (offer->line[i].suite != a->suite)
			continue;
		if (offer->line[i].tag == a->tag)
			return (int)i;
		if (found < 0)
			found = (int)i;
	}
	return found;
}

int sdes_match_answer(const struct sdes_policy *policy,
		      const struct sdes_lines *offer,
		      const struct sdes_lines *answer, struct sdes_crypto *peer,
		      struct sdes_refusal *why)
{
	const struct sdes_crypto *a = &answer->line[0];
	enum sdes_rule rule;
	unsigned changed;
	int n;

	if (answer->len == 0)
		return refuse_lines(why, answer);
	n = taken_by(offer, a);
	if (n < 0)
		return refuse(why, SDES_RULE_NOT_OFFERED, SDES_OK, a->suite);
	/* What was offered is to be repeated (RFC 4568 section 5.1.3); what the
	 * profile leaves to the peer may differ. */
	changed = a->flags ^ offer->line[n].flags;
	rule = flags_rule(policy, a->flags);
	if (rule != SDES_RULE_NONE)
		return refuse(why, rule, SDES_OK, a->suite);
	if (changed & ~policy->flags_ingress)
		return refuse(why, SDES_RULE_PARAMETERS, SDES_OK, a->suite);
	*peer = *a;
	return n;
}

/* ---- words ------------------------------------------------------------- */

const char *sdes_rule_option(enum sdes_rule rule)
{
	switch (rule) {
	case SDES_RULE_CRYPTO_LIST:
	case SDES_RULE_NOT_OFFERED:
		return "crypto-list";
	case SDES_RULE_SRTP_AUTH:
		return "srtp-auth";
	case SDES_RULE_SRTP_ENCRYPT:
		return "srtp-encrypt";
	case SDES_RULE_SRTCP_ENCRYPT:
		return "srtcp-encrypt";
	case SDES_RULE_PARAMETERS:
		return "use-ingress-session-params";
	default:
		return NULL;
	}
}

const char *sdes_refusal_text(const struct sdes_refusal *why)
{
	switch (why->rule) {
	case SDES_RULE_NO_LINE:
		return "RTP/SAVP without a=crypto";
	case SDES_RULE_VOID:
		return sdes_reason_text(why->reason);
	case SDES_RULE_CRYPTO_LIST:
		return "crypto suite is not in crypto-list";
	case SDES_RULE_SRTP_AUTH:
		return "UNAUTHENTICATED_SRTP while srtp-auth is enabled";
	case SDES_RULE_SRTP_ENCRYPT:
		return "UNENCRYPTED_SRTP while srtp-encrypt is enabled";
	case SDES_RULE_SRTCP_ENCRYPT:
		return "UNENCRYPTED_SRTCP while srtcp-encrypt is enabled";
	case SDES_RULE_NOT_OFFERED:
		return "answer with a crypto suite that was not offered";
	case SDES_RULE_PARAMETERS:
		return "answer changes the session parameters offered";
	case SDES_RULE_OUR_KEY:
		return "master key is the one we gave";
	case SDES_RULE_TURN:
		return "offer or answer out of turn";
	default:
		return "refused";
	}
}
