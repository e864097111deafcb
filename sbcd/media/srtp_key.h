/*
 * srtp_key - what is behind an SRTP context: a master key with its session
 * keys and streams, and the ops table of an engine.
 *
 * Guarantees: a stream's window never opens again for an index it refused.
 *
 * Layer: media; for sbcd/media/srtp*.c and their tests. The thread of the
 * engine that is passed.
 */
#ifndef SBCD_MEDIA_SRTP_KEY_H
#define SBCD_MEDIA_SRTP_KEY_H

#include "sbcd/media/srtp.h"

enum {
	SRTP_BURST_MAX = 64,
	SRTP_TAG_MAX = 16,
	SRTP_STREAMS_INLINE = 3, /* the usual call needs no more */
	SRTP_INDEX_BITS = 48,
	SRTCP_INDEX_MAX = 0x7fffffff,
};

#define SRTP_INDEX_MAX (((uint64_t)1 << SRTP_INDEX_BITS) - 1)

/* Which of the last SRTP_WINDOW indexes were there. All zero: none. */
struct msrtp_window {
	uint64_t highest;
	uint64_t bits[SRTP_WINDOW / 64]; /* bit n: highest - n */
};

/* SRTP_OK: not yet; SRTP_REPEATED, SRTP_TOO_OLD. */
enum srtp_result msrtp_window_check(const struct msrtp_window *w,
				    uint64_t index);
void msrtp_window_add(struct msrtp_window *w, uint64_t index);
/* Nothing up to `index` is accepted any more. */
void msrtp_window_close(struct msrtp_window *w, uint64_t index);

struct msrtp_stream {
	uint32_t ssrc;
	bool used, rtp;
	bool restored; /* no packet was sent or received since the import */
	struct msrtp_window rtp_window, rtcp_window;
	/* Sent since the import, of the numbers right behind it. */
	uint64_t imported, handed; /* bit n: imported + 1 + n */
	uint64_t candidate; /* unauthenticated: index in another ROC, or 0 */
	uint64_t pending; /* receiving: highest index in the burst, or 0 */
};

/* Session keys, of RTP or of RTCP. */
struct msrtp_session {
	uint8_t key[32];
	uint8_t salt[16]; /* 14 bytes, 12 of an AEAD; then zero */
	uint32_t ipad[5], opad[5]; /* SHA-1 after the key's block of HMAC */
	uint8_t key_size;
	bool aead, encrypted;
	uint8_t tag_size; /* 0: unauthenticated */
	void *expanded; /* the engine's form of the key */
};

struct msrtp_key {
	uint8_t suite, flags, direction, mki_size;
	uint64_t mki;
	struct msrtp_session rtp, rtcp;
	uint32_t rtcp_base; /* SRTCP of new streams begins behind it */
	unsigned unknown; /* packets of new streams in the burst */
	unsigned streams_len;
	struct msrtp_stream streams[SRTP_STREAMS_INLINE];
	struct msrtp_stream *more; /* SRTP_STREAMS_MAX - _INLINE of them */
	const struct msrtp_engine_ops *ops;
	void *reference; /* libsrtp2's session */
};

/* One packet for a cipher: data[0..clear) stays, data[clear..end) is
 * encrypted. AES-CM authenticates data[0..end) and extra, an AEAD's
 * associated data are data[0..clear) and extra. */
struct msrtp_job {
	const struct msrtp_session *session;
	uint8_t *data;
	uint32_t clear, end;
	uint8_t iv[16];
	uint8_t extra[4];
	uint8_t extra_size;
	uint8_t tag[SRTP_TAG_MAX]; /* out of seal, into open */
	bool ok;
	/* of the burst, not of the cipher */
	struct msrtp_packet *packet;
	struct msrtp_stream *stream; /* NULL: not known yet */
	uint8_t *tag_at;
	uint32_t ssrc;
	uint64_t index;
};

struct msrtp_engine;

struct msrtp_engine_ops {
	const char *name;
	int (*start)(struct msrtp_engine *e);
	void (*stop)(struct msrtp_engine *e);
	/* Session keys are derived. Each may be NULL. */
	int (*key_start)(struct msrtp_engine *e, struct msrtp_key *k,
			 const struct msrtp_params *p);
	/* Sets `expanded` of the session keys; again when they changed. */
	int (*key_expand)(struct msrtp_engine *e, struct msrtp_key *k);
	void (*key_stop)(struct msrtp_key *k);
	/* Packets with their key; at most SRTP_BURST_MAX. */
	void (*protect)(struct msrtp_engine *e, struct msrtp_packet *p,
			size_t n);
	void (*unprotect)(struct msrtp_engine *e, struct msrtp_packet *p,
			  size_t n);
	/* What msrtp_burst_protect() and _unprotect() run on; NULL without
	 * them. Encryption is in place; sets tag (seal) and ok. */
	void (*seal)(struct msrtp_engine *e, struct msrtp_job *jobs, size_t n);
	void (*open)(struct msrtp_engine *e, struct msrtp_job *jobs, size_t n);
};

/* AES-CM_128, AES-CM_256, GCM_128, GCM_256 */
enum { SRTP_CIPHERS = 4 };

struct msrtp_engine {
	const struct msrtp_engine_ops *ops;
	uint64_t counts[SRTP_RESULTS];
	void *ciphers[SRTP_CIPHERS]; /* OpenSSL's */
	void *managers; /* ipsec-mb's */
	struct msrtp_job jobs[SRTP_BURST_MAX];
	uint8_t copy[SRTP_PACKET_SIZE_MAX]; /* of a packet tried twice */
	uint8_t copy_burst[SRTP_PACKET_SIZE_MAX];
};

extern const struct msrtp_engine_ops msrtp_engine_ipsec_mb;
extern const struct msrtp_engine_ops msrtp_engine_openssl;
extern const struct msrtp_engine_ops msrtp_engine_reference;

/* The OpenSSL parts, for other engines too. */
int msrtp_openssl_start(struct msrtp_engine *e);
void msrtp_openssl_stop(struct msrtp_engine *e);
void msrtp_openssl_seal(struct msrtp_engine *e, struct msrtp_job *jobs,
			size_t n);
void msrtp_openssl_open(struct msrtp_engine *e, struct msrtp_job *jobs,
			size_t n);

/* Bursts over seal and open. */
void msrtp_burst_protect(struct msrtp_engine *e, struct msrtp_packet *p,
			 size_t n);
void msrtp_burst_unprotect(struct msrtp_engine *e, struct msrtp_packet *p,
			   size_t n);

int msrtp_key_create(struct msrtp_key **out, struct msrtp_engine *e,
		     const struct msrtp_params *p)
	__attribute__((warn_unused_result));
void msrtp_key_destroy(struct msrtp_key *k);
/* After session keys were written from outside: vectors are of those. */
int msrtp_key_expand(struct msrtp_engine *e, struct msrtp_key *k)
	__attribute__((warn_unused_result));
struct msrtp_key *msrtp_key_of(const struct msrtp *s);
/* The same cipher under the same key and salt? */
bool msrtp_key_same(const struct msrtp_key *a, const struct msrtp_key *b);
/* Suite, flags and MKI of `from`, whose bytes are the same. */
void msrtp_key_adopt(struct msrtp_key *k, const struct msrtp_key *from);
/* Is it the key with the same parameters, too? */
bool msrtp_key_equal(const struct msrtp_key *a, const struct msrtp_key *b);
/* RFC 3711 section 4.3.3 with a key derivation rate of 0. -EIO. */
int msrtp_key_derive(const uint8_t *master, size_t key_size,
		     const uint8_t *salt, size_t salt_size, uint8_t label,
		     uint8_t *out, size_t size)
	__attribute__((warn_unused_result));

struct msrtp_stream *msrtp_stream_find(struct msrtp_key *k, uint32_t ssrc);
struct msrtp_stream *msrtp_stream_at(const struct msrtp_key *k, unsigned n);
/* NULL: SRTP_STREAMS_MAX, or no memory. */
struct msrtp_stream *msrtp_stream_add(struct msrtp_key *k, uint32_t ssrc);
void msrtp_streams_forget(struct msrtp_key *k);

#endif
