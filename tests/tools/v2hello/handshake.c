/* The handshake; RFC 5246 section 7, its appendix E.2 for the hello. */
#include <stdio.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "tests/tools/v2hello/v2hello.h"

enum message {
	SERVER_HELLO = 2,
	CERTIFICATE = 11,
	CERTIFICATE_REQUEST = 13,
	SERVER_HELLO_DONE = 14,
	CERTIFICATE_VERIFY = 15,
	CLIENT_KEY_EXCHANGE = 16,
	FINISHED = 20,
};

enum {
	RANDOM = 32,
	SECRET = 48,
	AES_KEY = 16,
	VERIFY_DATA = 12,
	LOG_MAX = 1 << 17,
	MESSAGE_HEADER = 4,
	AES128_SHA = 0x002f,
	RSA_SHA256 = 0x0401,
};

struct shake {
	struct v2_link *l;
	uint8_t log[LOG_MAX]; /* every message so far */
	size_t log_len;
	uint8_t in[LOG_MAX]; /* what is not taken yet */
	size_t in_len, in_at;
	uint8_t randoms[2 * RANDOM]; /* ours, theirs */
	uint8_t secret[SECRET]; /* pre-master, then master */
	EVP_PKEY *theirs;
	int asked; /* for our certificate */
};

static void note(struct shake *s, const uint8_t *data, size_t size)
{
	if (size > sizeof(s->log) - s->log_len)
		v2_fail("a handshake without end");
	memcpy(s->log + s->log_len, data, size);
	s->log_len += size;
}

static void put(uint8_t *to, size_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static size_t get(const uint8_t *from, int bytes)
{
	size_t value = 0;

	for (int i = 0; i < bytes; i++)
		value = value << 8 | from[i];
	return value;
}

static void send_message(struct shake *s, enum message type,
			 const uint8_t *body, size_t size)
{
	uint8_t text[V2_TEXT_MAX] = {(uint8_t)type};

	if (size > sizeof(text) - MESSAGE_HEADER)
		v2_fail("a message of %zu bytes", size);
	put(text + 1, size, 3);
	memcpy(text + MESSAGE_HEADER, body, size);
	note(s, text, MESSAGE_HEADER + size);
	v2_record_send(s->l, V2_HANDSHAKE, text, MESSAGE_HEADER + size);
}

static void more(struct shake *s)
{
	uint8_t record[V2_RECORD_MAX];
	size_t size;
	int type = v2_record_receive(s->l, record, &size);

	if (type < 0)
		v2_fail("closed in the handshake");
	if (type == V2_ALERT && size == 2)
		v2_fail("alert %d", record[1]);
	if (type != V2_HANDSHAKE)
		v2_fail("type %d in the handshake", type);
	if (size > sizeof(s->in) - s->in_len)
		v2_fail("a handshake without end");
	memcpy(s->in + s->in_len, record, size);
	s->in_len += size;
}

/* The next message's type; its body is at *body until the next call. */
static int next(struct shake *s, const uint8_t **body, size_t *size)
{
	const uint8_t *at = s->in + s->in_at;

	while (s->in_len - s->in_at < MESSAGE_HEADER ||
	       s->in_len - s->in_at < MESSAGE_HEADER + get(at + 1, 3))
		more(s);
	*size = get(at + 1, 3);
	*body = at + MESSAGE_HEADER;
	s->in_at += MESSAGE_HEADER + *size;
	return at[0];
}

static void hello(struct shake *s)
{
	uint8_t text[2 + 9 + 3 + RANDOM] = {0x80, sizeof(text) - 2, 1};

	put(text + 3, s->l->version, 2);
	put(text + 5, 3, 2); /* one suite of three bytes */
	put(text + 7, 0, 2); /* no session */
	put(text + 9, RANDOM, 2);
	put(text + 11, AES128_SHA, 3);
	if (RAND_bytes(s->randoms, RANDOM) != 1)
		v2_fail("no random bytes");
	memcpy(text + 14, s->randoms, RANDOM);
	note(s, text + 2, sizeof(text) - 2);
	v2_write_all(s->l->fd, text, sizeof(text));
}

static void take_hello(struct shake *s, const uint8_t *body, size_t size)
{
	size_t session;

	if (size < 2 + RANDOM + 1)
		v2_fail("a short ServerHello");
	session = body[2 + RANDOM];
	if (get(body, 2) != s->l->version)
		v2_fail("version %04zx", get(body, 2));
	if (size < 2 + RANDOM + 1 + session + 2 ||
	    get(body + 2 + RANDOM + 1 + session, 2) != AES128_SHA)
		v2_fail("another suite");
	memcpy(s->randoms + RANDOM, body + 2, RANDOM);
}

static void take_certificate(struct shake *s, const uint8_t *body, size_t size)
{
	const uint8_t *at = body + 6;
	X509 *x = NULL;

	if (size > 6 && get(body + 3, 3) <= size - 6)
		x = d2i_X509(NULL, &at, (long)get(body + 3, 3));
	s->theirs = x ? X509_get_pubkey(x) : NULL;
	X509_free(x);
	if (!s->theirs || EVP_PKEY_get_base_id(s->theirs) != EVP_PKEY_RSA)
		v2_fail("the server has no RSA key");
}

static void server_flight(struct shake *s)
{
	const uint8_t *body;
	size_t size;
	int type;

	do {
		type = next(s, &body, &size);
		note(s, body - MESSAGE_HEADER, MESSAGE_HEADER + size);
		if (type == SERVER_HELLO)
			take_hello(s, body, size);
		else if (type == CERTIFICATE)
			take_certificate(s, body, size);
		else if (type == CERTIFICATE_REQUEST)
			s->asked = 1;
		else if (type != SERVER_HELLO_DONE)
			v2_fail("message %d", type);
	} while (type != SERVER_HELLO_DONE);
	if (!s->theirs || !s->asked)
		v2_fail("the server does not ask for a certificate");
}

static void send_chain(struct shake *s, const char *chain)
{
	uint8_t text[V2_TEXT_MAX - MESSAGE_HEADER], *at = text + 3;
	FILE *f = fopen(chain, "r");
	X509 *x;

	if (!f)
		v2_fail("cannot read %s", chain);
	while ((x = PEM_read_X509(f, NULL, NULL, NULL))) {
		int size = i2d_X509(x, NULL);
		uint8_t *der = at + 3;

		if (size <= 0 || size > text + sizeof(text) - der)
			v2_fail("%s is too large", chain);
		put(at, (size_t)size, 3);
		i2d_X509(x, &der);
		at = der;
		X509_free(x);
	}
	fclose(f);
	put(text, (size_t)(at - text) - 3, 3);
	send_message(s, CERTIFICATE, text, (size_t)(at - text));
}

static void send_secret(struct shake *s)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(s->theirs, NULL);
	uint8_t text[2 + 1024];
	size_t size = sizeof(text) - 2;

	if (RAND_bytes(s->secret, SECRET) != 1)
		v2_fail("no random bytes");
	put(s->secret, s->l->version, 2);
	if (!ctx || EVP_PKEY_encrypt_init(ctx) <= 0 ||
	    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) <= 0 ||
	    EVP_PKEY_encrypt(ctx, text + 2, &size, s->secret, SECRET) <= 0)
		v2_fail("cannot encrypt to the server's key");
	EVP_PKEY_CTX_free(ctx);
	put(text, size, 2);
	send_message(s, CLIENT_KEY_EXCHANGE, text, 2 + size);
}

static const EVP_MD *digest(const struct shake *s)
{
	return s->l->version == 0x0303 ? EVP_sha256() : EVP_md5_sha1();
}

static void send_proof(struct shake *s, const char *path)
{
	FILE *f = fopen(path, "r");
	EVP_PKEY *key = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t text[4 + 1024], *at = text;
	size_t size = sizeof(text) - 4;

	if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
		v2_fail("%s is no RSA key", path);
	if (s->l->version == 0x0303) {
		put(at, RSA_SHA256, 2);
		at += 2;
	}
	if (!EVP_DigestSignInit(ctx, NULL, digest(s), NULL, key) ||
	    !EVP_DigestSign(ctx, at + 2, &size, s->log, s->log_len))
		v2_fail("cannot sign");
	put(at, size, 2);
	send_message(s, CERTIFICATE_VERIFY, text,
		     (size_t)(at - text) + 2 + size);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	fclose(f);
}

/* RFC 5246 section 5; RFC 2246 section 5 with MD5-SHA1. */
static void prf(const struct shake *s, const char *label, const uint8_t *seed,
		size_t seed_len, uint8_t *out, size_t size)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	const char *md = EVP_MD_get0_name(digest(s));
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
						 (char *)md, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET,
						  (void *)s->secret, SECRET),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED,
						  (void *)label, strlen(label)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED,
						  (void *)seed, seed_len),
		OSSL_PARAM_construct_end(),
	};

	if (!ctx || EVP_KDF_derive(ctx, out, size, params) <= 0)
		v2_fail("TLS1-PRF");
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

struct keys {
	uint8_t client_mac[V2_MAC], server_mac[V2_MAC];
	uint8_t client_key[AES_KEY], server_key[AES_KEY];
	uint8_t client_iv[AES_KEY], server_iv[AES_KEY];
};

static struct keys derive(struct shake *s)
{
	uint8_t master[SECRET], swapped[2 * RANDOM];
	struct keys k;

	prf(s, "master secret", s->randoms, sizeof(s->randoms), master, SECRET);
	memcpy(s->secret, master, SECRET);
	memcpy(swapped, s->randoms + RANDOM, RANDOM);
	memcpy(swapped + RANDOM, s->randoms, RANDOM);
	prf(s, "key expansion", swapped, sizeof(swapped), (uint8_t *)&k,
	    sizeof(k));
	return k;
}

static void finished(const struct shake *s, const char *label, uint8_t *out)
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned size;

	EVP_Digest(s->log, s->log_len, hash, &size, digest(s), NULL);
	prf(s, label, hash, size, out, VERIFY_DATA);
}

static void finish(struct shake *s, const struct keys *k)
{
	uint8_t data[VERIFY_DATA], record[V2_RECORD_MAX];
	const uint8_t *body;
	size_t size;
	int type;

	v2_record_send(s->l, V2_CCS, "\1", 1);
	v2_way_encrypt(&s->l->out, 1, k->client_mac, k->client_key,
		       k->client_iv);
	finished(s, "client finished", data);
	send_message(s, FINISHED, data, sizeof(data));
	type = v2_record_receive(s->l, record, &size);
	if (type == V2_ALERT && size == 2)
		v2_fail("alert %d", record[1]);
	if (type != V2_CCS)
		v2_fail("the server does not begin to encrypt");
	v2_way_encrypt(&s->l->in, 0, k->server_mac, k->server_key,
		       k->server_iv);
	finished(s, "server finished", data);
	if (next(s, &body, &size) != FINISHED || size != VERIFY_DATA ||
	    memcmp(body, data, VERIFY_DATA))
		v2_fail("the server's Finished is wrong");
}

void v2_handshake(struct v2_link *l, const char *chain, const char *key)
{
	static struct shake s;
	struct keys k;

	s.l = l;
	hello(&s);
	server_flight(&s);
	send_chain(&s, chain);
	send_secret(&s);
	send_proof(&s, key);
	k = derive(&s);
	finish(&s, &k);
	EVP_PKEY_free(s.theirs);
}
