/* Keys of RFC 3711, 6188 and 7714; nothing of sbcd, nothing of libsrtp2. */
#include "srtpwatch.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

enum { AUTH_BYTES = 20, GCM_SALT_BYTES = 12, GCM_TAG_BYTES = 16 };

struct sw_suite {
	const char *name;
	size_t key, salt; /* bytes of the master key and salt */
	size_t tag, rtcp_tag;
	bool gcm;
};

static const struct sw_suite suites[] = {
	{"AES_CM_128_HMAC_SHA1_80", 16, 14, 10, 10, false},
	{"AES_CM_128_HMAC_SHA1_32", 16, 14, 4, 10, false},
	{"AES_256_CM_HMAC_SHA1_80", 32, 14, 10, 10, false},
	{"AES_256_CM_HMAC_SHA1_32", 32, 14, 4, 10, false},
	{"AEAD_AES_128_GCM", 16, 12, 16, 16, true},
	{"AEAD_AES_256_GCM", 32, 12, 16, 16, true},
};

/* ---- session keys -------------------------------------------------------- */

static bool derive(const struct sw_crypt *c, uint8_t label, uint8_t *out,
		   size_t size)
{
	const struct sw_suite *s = c->suite;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t iv[16] = {0}, zero[32] = {0};
	int len;
	bool good;

	memcpy(iv, c->master + s->key, s->salt);
	iv[7] ^= label;
	good = ctx &&
	       EVP_EncryptInit_ex(ctx,
				  s->key == 16 ? EVP_aes_128_ctr()
					       : EVP_aes_256_ctr(),
				  NULL, c->master, iv) &&
	       EVP_EncryptUpdate(ctx, out, &len, zero, (int)size);
	EVP_CIPHER_CTX_free(ctx);
	return good;
}

static bool session(const struct sw_crypt *c, struct sw_session *s,
		    uint8_t label)
{
	return derive(c, label, s->key, c->suite->key) &&
	       derive(c, label + 1, s->auth, sizeof(s->auth)) &&
	       derive(c, label + 2, s->salt, c->suite->salt);
}

int sw_crypt_init(struct sw_crypt *c, const char *suite, const char *base64)
{
	uint8_t raw[SW_KEY_BYTES_MAX + 3];
	size_t len = strlen(base64), want;

	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (!strcmp(suites[i].name, suite))
			c->suite = &suites[i];
	if (!c->suite)
		return -EINVAL;
	want = c->suite->key + c->suite->salt;
	if (len != (want + 2) / 3 * 4 || len / 4 * 3 > sizeof(raw) ||
	    EVP_DecodeBlock(raw, (const uint8_t *)base64, (int)len) < 0)
		return -EINVAL;
	memcpy(c->master, raw, want);
	return session(c, &c->rtp, 0) && session(c, &c->rtcp, 3) ? 0 : -EIO;
}

/* ---- packets ------------------------------------------------------------- */

static void put32(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

/* Header with CSRCs and extension; 0: none. */
static size_t header_size(const uint8_t *data, size_t size)
{
	size_t n = 12 + 4u * (data[0] & 15u);

	if (data[0] & 16) {
		if (size < n + 4)
			return 0;
		n += 4 + 4u * ((size_t)data[n + 2] << 8 | data[n + 3]);
	}
	return n <= size ? n : 0;
}

static bool hmac_is(const struct sw_session *s, const uint8_t *data,
		    size_t size, const uint8_t *extra, size_t extra_size,
		    const uint8_t *tag, size_t tag_size)
{
	static uint8_t text[SW_PACKET_BYTES + 4];
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	if (size + extra_size > sizeof(text))
		return false;
	memcpy(text, data, size);
	memcpy(text + size, extra, extra_size);
	return HMAC(EVP_sha1(), s->auth, AUTH_BYTES, text, size + extra_size,
		    mac, &len) &&
	       !CRYPTO_memcmp(mac, tag, tag_size);
}

struct gcm {
	const uint8_t *key;
	size_t key_size;
	uint8_t iv[GCM_SALT_BYTES];
	const uint8_t *aad[2], *text, *tag;
	size_t aad_size[2], text_size;
};

static bool gcm_is(const struct gcm *g)
{
	static uint8_t out[SW_PACKET_BYTES];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t tag[GCM_TAG_BYTES];
	int len;
	bool good;

	memcpy(tag, g->tag, sizeof(tag));
	good = ctx && EVP_DecryptInit_ex(ctx,
					 g->key_size == 16 ? EVP_aes_128_gcm()
							   : EVP_aes_256_gcm(),
					 NULL, g->key, g->iv);
	for (int i = 0; good && i < 2; i++)
		good = !g->aad_size[i] ||
		       EVP_DecryptUpdate(ctx, NULL, &len, g->aad[i],
					 (int)g->aad_size[i]);
	good = good &&
	       EVP_DecryptUpdate(ctx, out, &len, g->text, (int)g->text_size) &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, sizeof(tag),
				   tag) &&
	       EVP_DecryptFinal_ex(ctx, out + len, &len) > 0;
	EVP_CIPHER_CTX_free(ctx);
	return good;
}

/* 00 00 SSRC ROC SEQ, or 00 00 SSRC 00 00 index; and the salt. */
static void gcm_iv(struct gcm *g, const struct sw_session *s,
		   const uint8_t *ssrc, uint64_t low48)
{
	memset(g->iv, 0, sizeof(g->iv));
	memcpy(g->iv + 2, ssrc, 4);
	for (int i = 0; i < 6; i++)
		g->iv[6 + i] = (uint8_t)(low48 >> (40 - 8 * i));
	for (int i = 0; i < GCM_SALT_BYTES; i++)
		g->iv[i] ^= s->salt[i];
}

bool sw_rtp_is(const struct sw_crypt *c, const uint8_t *data, size_t size,
	       uint32_t roc)
{
	const struct sw_suite *s = c->suite;
	size_t header = size < 12 ? 0 : header_size(data, size);
	struct gcm g = {.key = c->rtp.key, .key_size = s->key};
	uint8_t extra[4];

	if (!header || size < header + s->tag || size > SW_PACKET_BYTES)
		return false;
	if (!s->gcm) {
		put32(extra, roc);
		return hmac_is(&c->rtp, data, size - s->tag, extra,
			       sizeof(extra), data + size - s->tag, s->tag);
	}
	gcm_iv(&g, &c->rtp, data + 8,
	       (uint64_t)roc << 16 | (uint64_t)data[2] << 8 | data[3]);
	g.aad[0] = data;
	g.aad_size[0] = header;
	g.text = data + header;
	g.text_size = size - header - s->tag;
	g.tag = data + size - s->tag;
	return gcm_is(&g);
}

bool sw_rtcp_is(const struct sw_crypt *c, const uint8_t *data, size_t size,
		uint32_t *index)
{
	const struct sw_suite *s = c->suite;
	struct gcm g = {.key = c->rtcp.key, .key_size = s->key};
	const uint8_t *word;

	if (size < 8 + 4 + s->rtcp_tag || size > SW_PACKET_BYTES)
		return false;
	word = data + size - 4 - (s->gcm ? 0 : s->rtcp_tag);
	*index = get32(word) & 0x7fffffff;
	if (!s->gcm)
		return hmac_is(&c->rtcp, data, size - s->rtcp_tag, NULL, 0,
			       data + size - s->rtcp_tag, s->rtcp_tag);
	/* Not encrypted is nothing that is checked here. */
	if (!(word[0] & 0x80))
		return false;
	gcm_iv(&g, &c->rtcp, data + 4, *index);
	g.aad[0] = data;
	g.aad_size[0] = 8;
	g.aad[1] = word;
	g.aad_size[1] = 4;
	g.text = data + 8;
	g.text_size = size - 8 - 4 - s->rtcp_tag;
	g.tag = word - s->rtcp_tag;
	return gcm_is(&g);
}
