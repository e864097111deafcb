/*
 * Engine "openssl": EVP ciphers and SHA-1 from the middle of HMAC's two
 * halves. One cipher context a thread is keyed for each packet: that costs
 * less than fetching a context of the packet's own from memory, and no keys
 * lie about in the heap between bursts.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "sbcd/media/srtp_key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

enum { GCM_IV_BYTES = 12 };

static unsigned cipher_of(const struct msrtp_session *s)
{
	return (s->aead ? 2u : 0u) + (s->key_size == 32 ? 1u : 0u);
}

void msrtp_openssl_stop(struct msrtp_engine *e)
{
	for (unsigned i = 0; i < SRTP_CIPHERS; i++)
		EVP_CIPHER_CTX_free(e->ciphers[i]);
}

int msrtp_openssl_start(struct msrtp_engine *e)
{
	static const char *const names[SRTP_CIPHERS] = {
		"AES-128-CTR", "AES-256-CTR", "AES-128-GCM", "AES-256-GCM"};

	for (unsigned i = 0; i < SRTP_CIPHERS; i++) {
		EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, names[i], NULL);
		int ok;

		e->ciphers[i] = EVP_CIPHER_CTX_new();
		ok = c && e->ciphers[i] &&
		     EVP_EncryptInit_ex(e->ciphers[i], c, NULL, NULL, NULL);
		EVP_CIPHER_free(c); /* the context holds a reference */
		if (!ok) {
			msrtp_openssl_stop(e);
			return -EIO;
		}
	}
	return 0;
}

/* Takes the last packet's key out of the contexts. */
static void forget(struct msrtp_engine *e, unsigned used)
{
	static const uint8_t zero[32];

	for (unsigned i = 0; i < SRTP_CIPHERS; i++)
		if (used >> i & 1)
			(void)EVP_EncryptInit_ex(e->ciphers[i], NULL, NULL,
						 zero, NULL);
}

/* ---- AES-CM and HMAC-SHA1 ------------------------------------------------
 */

static void sha_resume(SHA_CTX *c, const uint32_t h[5])
{
	memset(c, 0, sizeof(*c));
	c->h0 = h[0];
	c->h1 = h[1];
	c->h2 = h[2];
	c->h3 = h[3];
	c->h4 = h[4];
	c->Nl = SHA_CBLOCK * 8; /* bits so far */
}

static void hmac(const struct msrtp_job *j, uint8_t out[SHA_DIGEST_LENGTH])
{
	SHA_CTX c;

	sha_resume(&c, j->session->ipad);
	SHA1_Update(&c, j->data, j->end);
	SHA1_Update(&c, j->extra, j->extra_size);
	SHA1_Final(out, &c);
	sha_resume(&c, j->session->opad);
	SHA1_Update(&c, out, SHA_DIGEST_LENGTH);
	SHA1_Final(out, &c);
	explicit_bzero(&c, sizeof(c)); /* stands for the key */
}

static bool counter_mode(struct msrtp_engine *e, const struct msrtp_job *j)
{
	EVP_CIPHER_CTX *c = e->ciphers[cipher_of(j->session)];
	uint8_t *at = j->data + j->clear;
	int n;

	if (j->clear == j->end)
		return true;
	return EVP_EncryptInit_ex(c, NULL, NULL, j->session->key, j->iv) &&
	       EVP_EncryptUpdate(c, at, &n, at, (int)(j->end - j->clear));
}

static void cm_seal(struct msrtp_engine *e, struct msrtp_job *j)
{
	uint8_t tag[SHA_DIGEST_LENGTH];

	j->ok = counter_mode(e, j);
	if (!j->session->tag_size)
		return;
	hmac(j, tag);
	memcpy(j->tag, tag, j->session->tag_size);
}

static void cm_open(struct msrtp_engine *e, struct msrtp_job *j)
{
	uint8_t tag[SHA_DIGEST_LENGTH];

	if (j->session->tag_size) {
		hmac(j, tag);
		j->ok = !CRYPTO_memcmp(j->tag, tag, j->session->tag_size);
		if (!j->ok)
			return;
	}
	j->ok = counter_mode(e, j);
}

/* ---- AES-GCM -------------------------------------------------------------
 */

static bool gcm(struct msrtp_engine *e, struct msrtp_job *j, int enc)
{
	EVP_CIPHER_CTX *c = e->ciphers[cipher_of(j->session)];
	uint8_t *at = j->data + j->clear;
	int n;

	if (!EVP_CipherInit_ex(c, NULL, NULL, j->session->key, j->iv, enc) ||
	    !EVP_CipherUpdate(c, NULL, &n, j->data, (int)j->clear))
		return false;
	if (j->extra_size &&
	    !EVP_CipherUpdate(c, NULL, &n, j->extra, j->extra_size))
		return false;
	if (!enc && !EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SRTP_TAG_MAX,
					 j->tag))
		return false;
	if (j->end > j->clear &&
	    !EVP_CipherUpdate(c, at, &n, at, (int)(j->end - j->clear)))
		return false;
	if (EVP_CipherFinal_ex(c, j->data + j->end, &n) <= 0)
		return false;
	return !enc || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG,
					   SRTP_TAG_MAX, j->tag) > 0;
}

/* ---- the engine ----------------------------------------------------------
 */

void msrtp_openssl_seal(struct msrtp_engine *e, struct msrtp_job *jobs,
			size_t n)
{
	unsigned used = 0;

	for (size_t i = 0; i < n; i++) {
		if (jobs[i].session->aead)
			jobs[i].ok = gcm(e, &jobs[i], 1);
		else
			cm_seal(e, &jobs[i]);
		used |= 1u << cipher_of(jobs[i].session);
	}
	forget(e, used);
}

void msrtp_openssl_open(struct msrtp_engine *e, struct msrtp_job *jobs,
			size_t n)
{
	unsigned used = 0;

	for (size_t i = 0; i < n; i++) {
		if (jobs[i].session->aead)
			jobs[i].ok = gcm(e, &jobs[i], 0);
		else
			cm_open(e, &jobs[i]);
		used |= 1u << cipher_of(jobs[i].session);
	}
	forget(e, used);
}

const struct msrtp_engine_ops msrtp_engine_openssl = {
	.name = "openssl",
	.start = msrtp_openssl_start,
	.stop = msrtp_openssl_stop,
	.protect = msrtp_burst_protect,
	.unprotect = msrtp_burst_unprotect,
	.seal = msrtp_openssl_seal,
	.open = msrtp_openssl_open,
};
