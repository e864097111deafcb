/*
 * sdes_negotiate - which a=crypto line is taken, and what is said in return
 * (RFC 4568 section 5.1), by the rules of an sdes-profile.
 *
 * A refusal names the rule of the profile that refused, so that the log, the
 * Warning header and `config check` can name the option to change.
 *
 * Layer: sip. SIP worker, any thread. Needs no SIP stack. No state; keys are
 * given by the caller.
 */
#ifndef SBCD_SIP_SDES_NEGOTIATE_H
#define SBCD_SIP_SDES_NEGOTIATE_H

#include "sbcd/sip/sdes.h"

/* An sdes-profile. */
struct sdes_policy {
	uint8_t suites[SDES_SUITES]; /* crypto-list, in order */
	unsigned suites_len;
	/* enum sdes_flag: of what is disabled, so offered and accepted; and of
	 * use-ingress-session-params, accepted and mirrored */
	unsigned flags_offered, flags_ingress;
	bool mki; /* ours carry one */
	uint8_t lifetime; /* n of 2^n in ours, 0 = left out */
};

/* In the order in which a line gets ahead. */
enum sdes_rule {
	SDES_RULE_NONE = 0,
	SDES_RULE_NO_LINE, /* RTP/SAVP without a=crypto */
	SDES_RULE_VOID, /* no line is understood: `reason` */
	SDES_RULE_CRYPTO_LIST,
	SDES_RULE_SRTP_AUTH,
	SDES_RULE_SRTP_ENCRYPT,
	SDES_RULE_SRTCP_ENCRYPT,
	SDES_RULE_NOT_OFFERED, /* an answer with a suite we did not offer */
	SDES_RULE_PARAMETERS, /* an answer that changes what we offered */
	SDES_RULE_OUR_KEY, /* the peer gives our own key as its own */
	SDES_RULE_TURN, /* an answer without offer, an offer into ours */
};

struct sdes_refusal {
	enum sdes_rule rule;
	enum sdes_reason reason; /* of SDES_RULE_VOID */
	enum sdes_suite suite; /* of the line, NONE when there is none */
};

/* The lines of one m-line that are understood. */
struct sdes_lines {
	unsigned len;
	unsigned seen; /* with the void ones */
	enum sdes_reason reason; /* of the first void one */
	struct sdes_crypto line[SDES_LINES_MAX];
};

/* The a=crypto lines of a section, SDES_LINES_MAX of them at most. */
void sdes_lines_read(const struct sdp *sdp, unsigned section,
		     struct sdes_lines *out);
void sdes_lines_wipe(struct sdes_lines *lines);

/*
 * Answering: the offerer's first line that the profile allows (it names them
 * in its order of preference). Its index, or -EPROTO with `why`.
 */
int sdes_choose(const struct sdes_policy *policy,
		const struct sdes_lines *offer, struct sdes_refusal *why)
	__attribute__((warn_unused_result));
/*
 * Our line in return: tag, suite and session parameters of `offered`, our
 * `key` of sdes_suite_key_size() bytes. `mki`: number of the key, from 1.
 */
void sdes_answer(const struct sdes_policy *policy,
		 const struct sdes_crypto *offered, const uint8_t *key,
		 uint32_t mki, struct sdes_crypto *out);

/*
 * Offering: a line for each suite of the profile, tags from 1, keys taken
 * from `keys`, SDES_KEY_SIZE_MAX bytes a line. How many.
 */
unsigned sdes_offer(const struct sdes_policy *policy,
		    const uint8_t keys[][SDES_KEY_SIZE_MAX], uint32_t mki,
		    struct sdes_lines *out);
/*
 * The line of `offer` that the answer takes, by suite: a tag that was
 * renumbered is tolerated where the suite is there once. Its index, the
 * peer's line in `*peer`; or -EPROTO with `why`.
 */
int sdes_match_answer(const struct sdes_policy *policy,
		      const struct sdes_lines *offer,
		      const struct sdes_lines *answer, struct sdes_crypto *peer,
		      struct sdes_refusal *why)
	__attribute__((warn_unused_result));

/* "srtp-auth": the option of the profile that decided; NULL when none did. */
const char *sdes_rule_option(enum sdes_rule rule);
/* One sentence for a log line or a Warning; never NULL. */
const char *sdes_refusal_text(const struct sdes_refusal *why);

#endif
