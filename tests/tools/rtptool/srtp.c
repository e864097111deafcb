/* SRTP and SRTCP of one direction of a stream, by libsrtp2. */
#include "rtptool.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <srtp2/srtp.h>

enum { KEY_BYTES_MAX = 48, TRAILER_BYTES = SRTP_MAX_TRAILER_LEN };

struct xform {
	srtp_t session;
	uint8_t key[KEY_BYTES_MAX];
};

static const struct suite {
	const char *name;
	size_t key_bytes;
	void (*rtp)(srtp_crypto_policy_t *p);
	void (*rtcp)(srtp_crypto_policy_t *p); /* _32 keeps 80 bits there */
} suites[] = {
	{"AES_CM_128_HMAC_SHA1_80", 30, srtp_crypto_policy_set_rtp_default,
	 srtp_crypto_policy_set_rtp_default},
	{"AES_CM_128_HMAC_SHA1_32", 30,
	 srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32,
	 srtp_crypto_policy_set_rtp_default},
	{"AES_256_CM_HMAC_SHA1_80", 46,
	 srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80,
	 srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80},
	{"AES_256_CM_HMAC_SHA1_32", 46,
	 srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32,
	 srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80},
	{"AEAD_AES_128_GCM", 28, srtp_crypto_policy_set_aes_gcm_128_16_auth,
	 srtp_crypto_policy_set_aes_gcm_128_16_auth},
	{"AEAD_AES_256_GCM", 44, srtp_crypto_policy_set_aes_gcm_256_16_auth,
	 srtp_crypto_policy_set_aes_gcm_256_16_auth},
};

static int protect(void *ctx, uint8_t *packet, size_t *size, size_t room,
		   bool rtcp)
{
	struct xform *x = ctx;
	int n = (int)*size;

	if (*size + TRAILER_BYTES > room)
		return -ENOSPC;
	if (rtcp ? srtp_protect_rtcp(x->session, packet, &n)
		 : srtp_protect(x->session, packet, &n))
		return -EIO;
	*size = (size_t)n;
	return 0;
}

static int unprotect(void *ctx, uint8_t *packet, size_t *size, bool rtcp)
{
	struct xform *x = ctx;
	int n = (int)*size;

	if (rtcp ? srtp_unprotect_rtcp(x->session, packet, &n)
		 : srtp_unprotect(x->session, packet, &n))
		return -EBADMSG;
	*size = (size_t)n;
	return 0;
}

static void destroy(void *ctx)
{
	struct xform *x = ctx;

	srtp_dealloc(x->session);
	free(x);
}

static const struct rt_xform_ops srtp_ops = {
	.name = "srtp",
	.protect = protect,
	.unprotect = unprotect,
	.destroy = destroy,
};

/* "SUITE BASE64" */
static const struct suite *parse(const char *text, uint8_t *key)
{
	uint8_t raw[KEY_BYTES_MAX + 3];
	size_t name = strcspn(text, " "), len = strlen(text);
	const char *base64 = text + name + 1;

	if (name >= len || strlen(base64) % 4 ||
	    strlen(base64) / 4 * 3 > sizeof(raw) ||
	    EVP_DecodeBlock(raw, (const uint8_t *)base64, (int)strlen(base64)) <
		    0)
		return NULL;
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
		const struct suite *s = &suites[i];

		if (strlen(s->name) != name || memcmp(s->name, text, name))
			continue;
		if ((s->key_bytes + 2) / 3 != strlen(base64) / 4)
			return NULL;
		memcpy(key, raw, s->key_bytes);
		return s;
	}
	return NULL;
}

int rt_srtp_set(struct rt_xform *at, const char *text, bool sending)
{
	static bool ready;
	srtp_policy_t policy = {.window_size = 1024};
	uint8_t key[KEY_BYTES_MAX] = {0};
	const struct suite *suite;
	struct xform *x;

	suite = *text ? parse(text, key) : NULL;
	if (*text && !suite)
		return -EINVAL;
	/* The same key goes on where it is. */
	if (suite && at->ops == &srtp_ops &&
	    !memcmp(((struct xform *)at->ctx)->key, key, sizeof(key)))
		return 0;
	if (at->ops)
		at->ops->destroy(at->ctx);
	memset(at, 0, sizeof(*at));
	if (!suite)
		return 0;
	if (!ready && srtp_init())
		return -EIO;
	ready = true;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	memcpy(x->key, key, sizeof(key));
	suite->rtp(&policy.rtp);
	suite->rtcp(&policy.rtcp);
	policy.key = x->key;
	policy.ssrc.type = sending ? ssrc_any_outbound : ssrc_any_inbound;
	if (srtp_create(&x->session, &policy)) {
		free(x);
		return -EIO;
	}
	at->ops = &srtp_ops;
	at->ctx = x;
	return 0;
}
