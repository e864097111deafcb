/*
 * sdes - one a=crypto line: SDP security descriptions (RFC 4568) with the
 * suites of RFC 4568, 6188 and 7714.
 *
 * Parses what a peer says, strictly: a line that is not wholly understood is
 * void (with a reason), never half used. Writes ours. Which line is taken is
 * decided in sdes_negotiate.h.
 *
 * Structs here hold master keys: wipe them with sdes_crypto_wipe(), never log
 * or print them.
 *
 * Layer: sip. SIP worker, any thread. Needs no SIP stack. No state.
 */
#ifndef SBCD_SIP_SDES_H
#define SBCD_SIP_SDES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "sbcd/record/kinds.h" /* enum sdes_suite, sdes_flag */
#include "sbcd/sip/sdp.h"

enum {
	SDES_KEY_SIZE_MAX = 46, /* master key and salt */
	SDES_LINES_MAX = 16, /* of one m-line; more are not looked at */
	SDES_LINE_SIZE = 256, /* room for one of ours, without CRLF */
	SDES_TAG_MAX = 999999999,
	SDES_MKI_SIZE_MAX = 128, /* RFC 4568 section 6.1 */
};

enum sdes_reason {
	SDES_OK = 0,
	SDES_MALFORMED, /* not of the form of RFC 4568 section 9.1 */
	SDES_BAD_TAG,
	SDES_UNKNOWN_SUITE,
	SDES_BAD_KEY_METHOD, /* not inline: */
	SDES_MANY_KEYS, /* several master keys in one line */
	SDES_BAD_KEY, /* no base64, or not the suite's length */
	SDES_BAD_LIFETIME,
	SDES_BAD_MKI,
	SDES_BAD_KDR, /* a key derivation rate other than 0 */
	SDES_BAD_WSH,
	SDES_FEC,
	SDES_UNKNOWN_PARAMETER,
	SDES_TWICE, /* a session parameter is there twice */
	SDES_AEAD_PARAMETER, /* an AEAD suite without encryption or tag */
	SDES_TOO_LONG,
};

struct sdes_crypto {
	uint32_t tag; /* 0..SDES_TAG_MAX */
	uint8_t suite; /* enum sdes_suite */
	bool draft_name; /* "AES_CM_256_…": echoed as it came */
	uint8_t flags; /* enum sdes_flag */
	uint8_t key_size;
	uint8_t key[SDES_KEY_SIZE_MAX]; /* master key, then salt */
	uint64_t lifetime; /* packets, 0 = not said: 2^48 (SRTCP 2^31) */
	bool lifetime_power; /* written as 2^n */
	uint8_t mki_size; /* bytes at the end of a packet, 0 = none */
	uint64_t mki;
};

/* The name in SDP; NULL for what is none. */
const char *sdes_suite_name(enum sdes_suite suite);
/* SDES_SUITE_NONE when unknown; without case, drafts' spelling too. */
enum sdes_suite sdes_suite_find(const char *name, size_t size);
/* Master key and salt, in bytes; 0 for what is no suite. */
size_t sdes_suite_key_size(enum sdes_suite suite);
bool sdes_suite_is_aead(enum sdes_suite suite);
/* For a log line or a Warning. */
const char *sdes_reason_text(enum sdes_reason reason);
/* "UNAUTHENTICATED_SRTP"; NULL for what is not one flag. */
const char *sdes_flag_name(enum sdes_flag flag);

/*
 * The value of an a=crypto line (what follows the colon). `out` is written
 * only on SDES_OK.
 */
enum sdes_reason sdes_crypto_parse(struct sdp_text value,
				   struct sdes_crypto *out)
	__attribute__((warn_unused_result));
/* Bytes written without a NUL behind them counted, or -ENOSPC, -EINVAL. */
ssize_t sdes_crypto_print(const struct sdes_crypto *c, char *buf, size_t size)
	__attribute__((warn_unused_result));
void sdes_crypto_wipe(struct sdes_crypto *c);
/* Is it the same key: suite, key and salt? RFC 4568 section 7.1.4. */
bool sdes_same_key(const struct sdes_crypto *a, const struct sdes_crypto *b);

#endif
