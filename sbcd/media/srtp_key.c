/* SHA-1's state in the middle of a message has no other interface. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "sbcd/media/srtp_key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>
#include "sbcd/media/srtp_memory.h"

enum {
	LABEL_ENCRYPTION = 0,
	LABEL_AUTHENTICATION = 1,
	LABEL_SALT = 2,
	LABEL_RTCP = 3, /* added to the others */
	SALT_SIZE = 14,
	SALT_SIZE_AEAD = 12,
	AUTH_KEY_SIZE = 20,
	AUTH_TAG_SIZE = 10,
	AUTH_TAG_SIZE_32 = 4,
};

/* ---- windows -------------------------------------------------------------
 */

enum srtp_result msrtp_window_check(const struct msrtp_window *w,
				    uint64_t index)
{
	uint64_t behind;

	if (index > w->highest)
		return SRTP_OK;
	behind = w->highest - index;
	if (behind >= SRTP_WINDOW)
		return SRTP_TOO_OLD;
	if (w->bits[behind / 64] >> behind % 64 & 1)
		return SRTP_REPEATED;
	return SRTP_OK;
}

void msrtp_window_add(struct msrtp_window *w, uint64_t index)
{
	uint64_t by;

	if (index <= w->highest) {
		by = w->highest - index;
		if (by < SRTP_WINDOW)
			w->bits[by / 64] |= (uint64_t)1 << by % 64;
		return;
	}
	by = index - w->highest;
	if (by >= SRTP_WINDOW) {
		w->bits[0] = w->bits[1] = 0;
	} else if (by >= 64) {
		w->bits[1] = w->bits[0] << (by - 64);
		w->bits[0] = 0;
	} else {
		w->bits[1] = w->bits[1] << by | w->bits[0] >> (64 - by);
		w->bits[0] <<= by;
	}
	w->bits[0] |= 1;
	w->highest = index;
}

void msrtp_window_close(struct msrtp_window *w, uint64_t index)
{
	if (index > w->highest)
		w->highest = index;
	memset(w->bits, 0xff, sizeof(w->bits));
}

/* ---- streams -------------------------------------------------------------
 */

static size_t more_size(void)
{
	return (SRTP_STREAMS_MAX - SRTP_STREAMS_INLINE) *
	       sizeof(struct msrtp_stream);
}

struct msrtp_stream *msrtp_stream_at(const struct msrtp_key *k, unsigned n)
{
	if (n < SRTP_STREAMS_INLINE)
		return (struct msrtp_stream *)&k->streams[n];
	return &k->more[n - SRTP_STREAMS_INLINE];
}

struct msrtp_stream *msrtp_stream_find(struct msrtp_key *k, uint32_t ssrc)
{
	for (unsigned i = 0; i < k->streams_len; i++) {
		struct msrtp_stream *s = msrtp_stream_at(k, i);

		if (s->ssrc == ssrc)
			return s;
	}
	return NULL;
}

struct msrtp_stream *msrtp_stream_add(struct msrtp_key *k, uint32_t ssrc)
{
	struct msrtp_stream *s;

	if (k->streams_len == SRTP_STREAMS_MAX)
		return NULL;
	if (k->streams_len >= SRTP_STREAMS_INLINE && !k->more)
		k->more = msrtp_memory_alloc(more_size());
	if (k->streams_len >= SRTP_STREAMS_INLINE && !k->more)
		return NULL;
	s = msrtp_stream_at(k, k->streams_len++);
	*s = (struct msrtp_stream){.ssrc = ssrc};
	if (k->rtcp_base)
		msrtp_window_close(&s->rtcp_window, k->rtcp_base);
	/* Somebody else may have begun it. */
	s->restored = k->rtcp_base && k->direction == SRTP_SEND;
	return s;
}

void msrtp_streams_forget(struct msrtp_key *k)
{
	k->streams_len = 0;
}

/* ---- key derivation ------------------------------------------------------
 */

int msrtp_key_derive(const uint8_t *master, size_t key_size,
		     const uint8_t *salt, size_t salt_size, uint8_t label,
		     uint8_t *out, size_t size)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t iv[16] = {0};
	int n, err = -EIO;

	if (!c)
		return -ENOMEM;
	/* An AEAD's shorter salt has zeros at its end (RFC 7714 11). */
	memcpy(iv, salt, salt_size);
	iv[7] ^= label;
	memset(out, 0, size);
	if (EVP_EncryptInit_ex(
		    c, key_size == 32 ? EVP_aes_256_ctr() : EVP_aes_128_ctr(),
		    NULL, master, iv) &&
	    EVP_EncryptUpdate(c, out, &n, out, (int)size))
		err = 0;
	explicit_bzero(iv, sizeof(iv));
	EVP_CIPHER_CTX_free(c); /* wipes */
	return err;
}

static void hmac_half(const uint8_t key[AUTH_KEY_SIZE], uint8_t pad,
		      uint32_t out[5])
{
	uint8_t block[SHA_CBLOCK];
	SHA_CTX c;

	memset(block, pad, sizeof(block));
	for (unsigned i = 0; i < AUTH_KEY_SIZE; i++)
		block[i] ^= key[i];
	SHA1_Init(&c);
	SHA1_Transform(&c, block);
	out[0] = c.h0;
	out[1] = c.h1;
	out[2] = c.h2;
	out[3] = c.h3;
	out[4] = c.h4;
	explicit_bzero(&c, sizeof(c));
	explicit_bzero(block, sizeof(block));
}

static int session_derive(struct msrtp_session *s, const struct msrtp_params *p,
			  uint8_t base)
{
	size_t salt_size = s->aead ? SALT_SIZE_AEAD : SALT_SIZE;
	const uint8_t *salt = p->key + s->key_size;
	uint8_t auth[AUTH_KEY_SIZE];
	int err;

	err = msrtp_key_derive(p->key, s->key_size, salt, salt_size,
			       (uint8_t)(base + LABEL_ENCRYPTION), s->key,
			       s->key_size);
	if (!err)
		err = msrtp_key_derive(p->key, s->key_size, salt, salt_size,
				       (uint8_t)(base + LABEL_SALT), s->salt,
				       salt_size);
	if (!err && !s->aead) {
		err = msrtp_key_derive(p->key, s->key_size, salt, salt_size,
				       (uint8_t)(base + LABEL_AUTHENTICATION),
				       auth, sizeof(auth));
		if (!err) {
			hmac_half(auth, 0x36, s->ipad);
			hmac_half(auth, 0x5c, s->opad);
		}
		explicit_bzero(auth, sizeof(auth));
	}
	return err;
}

/* ---- keys ----------------------------------------------------------------
 */

static const struct {
	uint8_t key_size, salt_size, tag_size;
} suites[SRTP_SUITES] = {
	[SRTP_AES_CM_128_HMAC_SHA1_80] = {16, SALT_SIZE, AUTH_TAG_SIZE},
	[SRTP_AES_CM_128_HMAC_SHA1_32] = {16, SALT_SIZE, AUTH_TAG_SIZE_32},
	[SRTP_AES_256_CM_HMAC_SHA1_80] = {32, SALT_SIZE, AUTH_TAG_SIZE},
	[SRTP_AES_256_CM_HMAC_SHA1_32] = {32, SALT_SIZE, AUTH_TAG_SIZE_32},
	[SRTP_AEAD_AES_128_GCM] = {16, SALT_SIZE_AEAD, SRTP_TAG_MAX},
	[SRTP_AEAD_AES_256_GCM] = {32, SALT_SIZE_AEAD, SRTP_TAG_MAX},
};

bool msrtp_suite_is_aead(enum srtp_suite suite)
{
	return suite == SRTP_AEAD_AES_128_GCM || suite == SRTP_AEAD_AES_256_GCM;
}

size_t msrtp_suite_key_size(enum srtp_suite suite)
{
	if ((unsigned)suite >= SRTP_SUITES)
		return 0;
	return (size_t)suites[suite].key_size + suites[suite].salt_size;
}

static bool params_valid(const struct msrtp_params *p)
{
	enum {
		FLAGS = SRTP_UNENCRYPTED_SRTP | SRTP_UNENCRYPTED_SRTCP |
			SRTP_UNAUTHENTICATED_SRTP
	};

	if (!msrtp_suite_key_size(p->suite) ||
	    p->key_size != msrtp_suite_key_size(p->suite) ||
	    p->flags & ~FLAGS || p->mki_size > SRTP_MKI_SIZE_MAX ||
	    p->direction > SRTP_RECEIVE)
		return false;
	/* An MKI of its size, or two keys could carry the same one. */
	if (p->mki_size < 8 && p->mki >> 8 * p->mki_size)
		return false;
	/* RFC 7714 section 14.3. */
	return !msrtp_suite_is_aead(p->suite) ||
	       !(p->flags &
		 (SRTP_UNENCRYPTED_SRTP | SRTP_UNAUTHENTICATED_SRTP));
}

static void session_init(struct msrtp_session *s, unsigned suite, bool rtcp,
			 unsigned flags)
{
	s->aead = msrtp_suite_is_aead(suite);
	s->key_size = suites[suite].key_size;
	s->tag_size = suites[suite].tag_size;
	if (rtcp) {
		/* RFC 4568 section 6.2.2: never the short one; and RFC 3711
		 * section 3.4: never none. */
		if (!s->aead)
			s->tag_size = AUTH_TAG_SIZE;
		s->encrypted = !(flags & SRTP_UNENCRYPTED_SRTCP);
		return;
	}
	s->encrypted = !(flags & SRTP_UNENCRYPTED_SRTP);
	if (flags & SRTP_UNAUTHENTICATED_SRTP)
		s->tag_size = 0;
}

int msrtp_key_expand(struct msrtp_engine *e, struct msrtp_key *k)
{
	return e->ops->key_expand ? e->ops->key_expand(e, k) : 0;
}

int msrtp_key_create(struct msrtp_key **out, struct msrtp_engine *e,
		     const struct msrtp_params *p)
{
	struct msrtp_key *k;
	int err;

	if (!params_valid(p))
		return -EINVAL;
	k = msrtp_memory_alloc(sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->suite = p->suite;
	k->flags = p->flags;
	k->direction = p->direction;
	k->mki = p->mki;
	k->mki_size = p->mki_size;
	session_init(&k->rtp, p->suite, false, p->flags);
	session_init(&k->rtcp, p->suite, true, p->flags);
	err = session_derive(&k->rtp, p, 0);
	if (!err)
		err = session_derive(&k->rtcp, p, LABEL_RTCP);
	if (!err)
		err = msrtp_key_expand(e, k);
	if (!err && e->ops->key_start)
		err = e->ops->key_start(e, k, p);
	if (err) {
		msrtp_memory_free(k, sizeof(*k));
		return err;
	}
	k->ops = e->ops;
	*out = k;
	return 0;
}

void msrtp_key_destroy(struct msrtp_key *k)
{
	if (!k)
		return;
	if (k->ops->key_stop)
		k->ops->key_stop(k);
	msrtp_memory_free(k->more, more_size());
	msrtp_memory_free(k, sizeof(*k));
}

bool msrtp_key_same(const struct msrtp_key *a, const struct msrtp_key *b)
{
	return a->rtp.aead == b->rtp.aead &&
	       a->rtp.key_size == b->rtp.key_size &&
	       !CRYPTO_memcmp(a->rtp.key, b->rtp.key, sizeof(a->rtp.key)) &&
	       !CRYPTO_memcmp(a->rtp.salt, b->rtp.salt, sizeof(a->rtp.salt));
}

bool msrtp_key_equal(const struct msrtp_key *a, const struct msrtp_key *b)
{
	return msrtp_key_same(a, b) && a->suite == b->suite &&
	       a->flags == b->flags && a->mki == b->mki &&
	       a->mki_size == b->mki_size;
}

void msrtp_key_adopt(struct msrtp_key *k, const struct msrtp_key *from)
{
	k->suite = from->suite;
	k->flags = from->flags;
	k->mki = from->mki;
	k->mki_size = from->mki_size;
	session_init(&k->rtp, k->suite, false, k->flags);
	session_init(&k->rtcp, k->suite, true, k->flags);
}
