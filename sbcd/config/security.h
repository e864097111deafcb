/*
 * security - sdes-profile and media-sec-policy as they are configured.
 *
 * Layer: config. Any process, any thread.
 */
#ifndef SBCD_CONFIG_SECURITY_H
#define SBCD_CONFIG_SECURITY_H

#include "sbcd/config/config.h"
#include "sbcd/record/kinds.h"

enum { CONFIG_SDES_PROFILES_MAX = 32, CONFIG_MEDIA_SEC_MAX = 32 };

/* Bits: what is allowed. */
enum config_media_mode {
	CONFIG_MEDIA_RTP = 1,
	CONFIG_MEDIA_SRTP = 2,
	CONFIG_MEDIA_ANY = 3,
};

enum config_offer_format { OFFER_SAME_AS_INGRESS, OFFER_BOTH };

struct config_sdes_profile { /* sdes-profile */
	char name[CONFIG_NAME_SIZE];
	int line;
	uint8_t suites[SDES_SUITES]; /* enum sdes_suite, in order */
	size_t suites_len;
	bool srtp_auth, srtp_encrypt, srtcp_encrypt;
	uint8_t ingress_params; /* enum sdes_flag: accepted and mirrored */
	bool mki;
	uint8_t lifetime; /* n of 2^n packets, 0 = not said */
	uint8_t offer_format; /* enum config_offer_format */
	bool rekey; /* new keys in every re-INVITE */
	bool reset_roc; /* a new key begins at ROC 0 */
	bool allow_insecure; /* also where signalling is readable */
	int flags_line; /* of the first option that weakens an offer, or 0 */
};

struct config_media_sec { /* media-sec-policy */
	char name[CONFIG_NAME_SIZE];
	int line;
	uint8_t inbound, outbound; /* enum config_media_mode */
	const struct config_sdes_profile *profile; /* NULL: RTP both ways */
};

struct config_security {
	struct config_sdes_profile profiles[CONFIG_SDES_PROFILES_MAX];
	size_t profiles_len;
	struct config_media_sec policies[CONFIG_MEDIA_SEC_MAX];
	size_t policies_len;
};

const struct config_media_sec *
config_media_sec_find(const struct config_security *s, const char *name);
/* Of the agent, else of its realm; NULL: RTP both ways. `a` may be NULL. */
const struct config_media_sec *
config_media_sec_of(const struct config_realm *r, const struct config_agent *a);
/* The option that puts UNAUTHENTICATED_SRTP and the like into our offers,
 * "srtp-auth"; NULL: there is none. */
const char *config_sdes_weak_option(const struct config_sdes_profile *s);
/* "AES_CM_128_HMAC_SHA1_80"; SDES_SUITE_NONE when it is none. */
enum sdes_suite config_suite_find(const char *name);

#endif
