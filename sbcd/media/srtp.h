/*
 * srtp - SRTP and SRTCP (RFC 3711, 6188, 7714) in bursts, behind one ops
 * table: engine "openssl", "ipsec-mb" where the CPU suits it, and
 * "libsrtp2", the reference. (It owns the prefix srtp_: here it is msrtp_.)
 *
 * A context (struct msrtp) is one direction of one m-line: a master key and
 * the streams (SSRCs) under it. Guarantees:
 *  - Sending: no (key, SSRC, index) encrypts twice. The window belongs to
 *    the key, not to who speaks: repeated and old numbers are refused, also
 *    those from before a restore, also when the suite or the MKI changed and
 *    the bytes of the key did not.
 *  - Receiving: nothing is passed twice; a stream begins only with an
 *    authenticated packet (where the session has authentication); a packet
 *    that is refused changes nothing but counters.
 *  - Keys live in memory that no core dump holds, are wiped with their
 *    context, and leave this module in no form.
 *
 * Engine "libsrtp2" has no way to set an SRTCP index or a replay window, so
 * msrtp_import() and a re-key that keeps the ROC are -ENOTSUP there: calls do
 * not survive a failover with it; nor does it change suite, flags or MKI of
 * a key, or know an MKI with tags of different sizes. Each packet is alone.
 *
 * Layer: media. An engine belongs to one thread; so does a context once
 * packets run through it, with any engine of the kind that made it.
 */
#ifndef SBCD_MEDIA_SRTP_H
#define SBCD_MEDIA_SRTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The values travel in records. */
enum srtp_suite {
	SRTP_SUITE_NONE = 0,
	SRTP_AES_CM_128_HMAC_SHA1_80 = 1,
	SRTP_AES_CM_128_HMAC_SHA1_32 = 2, /* its SRTCP tag has 80 bits */
	SRTP_AES_256_CM_HMAC_SHA1_80 = 3,
	SRTP_AES_256_CM_HMAC_SHA1_32 = 4,
	SRTP_AEAD_AES_128_GCM = 5,
	SRTP_AEAD_AES_256_GCM = 6,
	SRTP_SUITES
};

/* Session parameters of RFC 4568 section 6.3; they travel too. */
enum srtp_flag {
	SRTP_UNENCRYPTED_SRTP = 1 << 0,
	SRTP_UNENCRYPTED_SRTCP = 1 << 1,
	SRTP_UNAUTHENTICATED_SRTP = 1 << 2,
};

enum {
	SRTP_KEY_SIZE_MAX = 46, /* master key and salt */
	SRTP_MKI_SIZE_MAX = 128,
	/* SRTCP index, MKI and tag behind a packet. */
	SRTP_TRAILER_MAX = 4 + SRTP_MKI_SIZE_MAX + 16,
	SRTP_PACKET_SIZE_MAX = 2048, /* trailer included */
	/* SSRCs under one key. More than these are refused. */
	SRTP_STREAMS_MAX = 64,
	SRTP_WINDOW = 128,
	SRTP_OLD_KEY_MS = 5000,
};

enum srtp_direction { SRTP_SEND = 0, SRTP_RECEIVE = 1 };

enum srtp_result {
	SRTP_OK = 0,
	SRTP_MALFORMED, /* header or size */
	SRTP_NO_ROOM, /* for the trailer */
	SRTP_BAD_MKI, /* of no key we have */
	SRTP_BAD_TAG, /* not authentic */
	SRTP_REPEATED, /* this index was there before */
	SRTP_TOO_OLD, /* behind the window, or before a restore */
	SRTP_MANY_STREAMS, /* SRTP_STREAMS_MAX */
	SRTP_EXHAUSTED, /* 2^48 packets, or 2^31 of SRTCP: needs a new key */
	SRTP_BAD_FLAG, /* SRTCP: encrypted or not, against what was agreed */
	SRTP_ENGINE_FAILED, /* the crypto library refused */
	SRTP_RESULTS
};

struct msrtp_params {
	uint8_t suite; /* enum srtp_suite */
	uint8_t flags; /* enum srtp_flag */
	uint8_t direction; /* enum srtp_direction */
	uint8_t mki_size; /* bytes at the end of a packet, 0 = none */
	uint64_t mki;
	const uint8_t *key; /* master key, then salt */
	size_t key_size;
};

struct msrtp;
struct msrtp_engine;

struct msrtp_packet {
	struct msrtp *context;
	uint8_t *data;
	uint32_t size; /* in and out */
	uint32_t room; /* at data; size + SRTP_TRAILER_MAX is always enough */
	bool rtcp;
	bool forwarded; /* to be sent: the node before did not send it */
	uint8_t result; /* enum srtp_result; else data is not to be used */
	struct msrtp_key *key; /* of the engine */
};

/* ---- engines -------------------------------------------------------------
 */

/*
 * By name; NULL: the best that runs on this machine. -ENOENT: no such name;
 * -ENOTSUP: not on this CPU.
 */
int msrtp_engine_create(struct msrtp_engine **out, const char *name)
	__attribute__((warn_unused_result));
/* After the contexts it made, or those of another engine of the kind. */
void msrtp_engine_destroy(struct msrtp_engine *e);
const char *msrtp_engine_name(const struct msrtp_engine *e);
/* The n-th name there is; NULL behind the last. */
const char *msrtp_engine_list(unsigned n);
/* Packets with this result so far; SRTP_OK too. */
uint64_t msrtp_engine_count(const struct msrtp_engine *e, enum srtp_result r);
const char *msrtp_result_name(enum srtp_result r);

/* In place; every packet gets a result. Contexts and engine are of a kind. */
void msrtp_protect(struct msrtp_engine *e, struct msrtp_packet *packets,
		   size_t n);
/* `now_ns` of any steady clock, the one given to msrtp_rekey(). */
void msrtp_unprotect(struct msrtp_engine *e, struct msrtp_packet *packets,
		     size_t n, uint64_t now_ns);

/* ---- contexts ------------------------------------------------------------
 */

/* Master key and salt in bytes; 0 for what is no suite. */
size_t msrtp_suite_key_size(enum srtp_suite suite);
bool msrtp_suite_is_aead(enum srtp_suite suite);
/* Bytes that protect adds, at most. */
size_t msrtp_overhead(const struct msrtp *s, bool rtcp);

/*
 * -EINVAL: suite, key size, MKI size; AEAD without encryption or tag.
 * -ENOTSUP: the engine cannot do these parameters.
 */
int msrtp_create(struct msrtp **out, struct msrtp_engine *e,
		 const struct msrtp_params *p)
	__attribute__((warn_unused_result));
void msrtp_destroy(struct msrtp *s);

/*
 * A new offer or answer. The same key and salt: streams, ROC and windows
 * stay, suite, flags and MKI become those of `p`; returns 0. Other bytes: a
 * new key; returns 1. A receiver goes on with the old key for
 * SRTP_OLD_KEY_MS or until the first packet under the new one. `keep_roc`:
 * SSRCs known under the old key go on with their index, else at ROC 0. Back to
 * the key before the last: its streams and windows are still there, a sender's
 * too; an own key older than that must never come back.
 * -EINVAL, -ENOTSUP, -ENOMEM: as it was.
 */
int msrtp_rekey(struct msrtp *s, struct msrtp_engine *e,
		const struct msrtp_params *p, bool keep_roc, uint64_t now_ns)
	__attribute__((warn_unused_result));

/* ---- continuity: what is replicated of a stream --------------------------
 */

struct msrtp_position {
	uint32_t ssrc;
	bool rtp; /* an RTP packet was there: `index` counts */
	uint64_t index; /* 48 bit, the highest used */
	uint32_t rtcp_index; /* 31 bit, the highest used; 0 = none */
};

/* How far the positions may be behind. */
struct msrtp_margin {
	uint32_t rtp; /* packets, < 32768 */
	uint32_t rtcp;
};

/* At most SRTP_STREAMS_MAX; returns how many were written. Of the key that
 * is in use, not of the one before. */
size_t msrtp_export(const struct msrtp *s, struct msrtp_position *out,
		    size_t max);
/*
 * Goes on where another node was, in a context no packet went through; what
 * was imported before is forgotten.
 * Everything up to index + margin is refused from then on; a sender's SRTCP
 * goes on behind rtcp_index + margin. What is exported afterwards includes
 * the margins: put it before the first packet, so that a second crash begins
 * behind them. A margin counts numbers, not packets: where a source jumps
 * further than that, and where an SSRC is new, put before that packet leaves.
 * A receiver wants margins of 0; until the first authentic packet it tries
 * the next ROC as well.
 * -EINVAL: positions nobody exports; -EBUSY: in use; -ENOTSUP: the reference.
 */
int msrtp_import(struct msrtp *s, const struct msrtp_position *positions,
		 size_t n, const struct msrtp_margin *margin)
	__attribute__((warn_unused_result));
/*
 * Sending: SSRCs that are new from now on begin their SRTCP behind `base`.
 * What another node began and nobody knows of is left out so. -EINVAL,
 * -ENOTSUP.
 */
int msrtp_set_rtcp_base(struct msrtp *s, uint32_t base)
	__attribute__((warn_unused_result));
uint32_t msrtp_rtcp_base(const struct msrtp *s);

#endif
