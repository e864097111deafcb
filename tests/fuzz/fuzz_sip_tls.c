/*
 * What a stranger sends to a TLS port, or a server that we call: whatever it
 * is, nobody is let in, and what is kept of it stays within the bounds.
 *
 * Input: a byte of choices, then what is fed. With bit 0 we are the client,
 * bit 1: TLS 1.2 alone, bit 2: in pieces, bit 3: after a good hello of ours
 * with its bytes changed by the input.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "sbcd/sip/tls_conn.h"
#include "sbcd/sip/tls_profile.h"

enum {
	AS_CLIENT = 1,
	OLD = 2,
	PIECES = 4,
	HELLO = 8,
	PIECE_BYTES = 7,
	HELLO_BYTES = 1024,
	SENT_BYTES = 17
};

static struct tls_profile *profiles[2];

static void check(int ok)
{
	if (!ok)
		abort();
}

static void make_certificate(const char *file, const char *key_file)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	FILE *f;

	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	check(X509_sign(x, key, EVP_sha256()) > 0);
	f = fopen(file, "w");
	check(f && PEM_write_X509(f, x) == 1);
	fclose(f);
	f = fopen(key_file, "w");
	check(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void start(void)
{
	char dir[] = "/tmp/fuzz_sip_tls.XXXXXX", cert[64], key[64];
	const char *trusted = cert;
	struct tls_profile_params params = {
		.name = "p",
		.certificate = cert,
		.key = key,
		.trusted = &trusted,
		.trusted_len = 1,
		.cipher_list = "ALL",
		.mutual = true,
	};
	struct tls_profile_error err;

	check(mkdtemp(dir) != NULL);
	snprintf(cert, sizeof(cert), "%s/crt", dir);
	snprintf(key, sizeof(key), "%s/key", dir);
	make_certificate(cert, key);
	check(!tls_profile_create(&profiles[0], &params, &err));
	params.version = TLS_VERSION_1_2;
	check(!tls_profile_create(&profiles[1], &params, &err));
	unlink(cert);
	unlink(key);
	rmdir(dir);
}

static int feed(struct tls_conn *c, const uint8_t *data, size_t size)
{
	const void *out;
	char got[256];
	int err;

	if (size > tls_conn_room(c)) {
		check(tls_conn_feed(c, data, size) == -ENOBUFS ||
		      tls_conn_state(c) == TLS_CONN_FAILED);
		return -1;
	}
	err = tls_conn_feed(c, data, size);
	check(err == 0 || err == -EPROTO);
	check((err != 0) == (tls_conn_state(c) == TLS_CONN_FAILED));
	/* a random message cannot complete a handshake */
	check(tls_conn_state(c) != TLS_CONN_OPEN);
	check(tls_conn_read(c, got, sizeof(got)) < 0);
	check(tls_conn_write(c, got, sizeof(got)) < 0);
	check(tls_conn_output(c, &out) <= TLS_CONN_OUT_MAX);
	tls_conn_sent(c, SENT_BYTES);
	return err;
}

/* A hello of a client of ours with some of its bytes changed. */
static void feed_hello(struct tls_conn *c, const uint8_t *data, size_t size)
{
	struct tls_conn_params params = {.profile = profiles[0]};
	uint8_t bytes[HELLO_BYTES];
	struct tls_conn *client;
	const void *hello;
	size_t len;

	check(!tls_conn_create(&client, &params));
	len = tls_conn_output(client, &hello);
	check(len && len <= sizeof(bytes));
	memcpy(bytes, hello, len);
	tls_conn_destroy(client);
	for (size_t i = 0; i + 2 < size; i += 3)
		bytes[(data[i] << 8 | data[i + 1]) % len] ^= data[i + 2];
	feed(c, bytes, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_conn_params params = {.deadline_ms = 1};
	struct tls_conn *c;
	size_t step;
	uint8_t how;

	if (!profiles[0])
		start();
	if (!size)
		return 0;
	how = *data++;
	size--;
	params.profile = profiles[how & OLD ? 1 : 0];
	params.server = !(how & AS_CLIENT);
	params.sni = params.server ? NULL : "sip.example.net";
	check(!tls_conn_create(&c, &params));
	if (how & HELLO && params.server) {
		feed_hello(c, data, size);
		size = 0;
	}
	step = how & PIECES ? PIECE_BYTES : size;
	while (size) {
		size_t n = size < step ? size : step;

		if (feed(c, data, n))
			break;
		data += n;
		size -= n;
	}
	check(tls_conn_feed_end(c) == -EPROTO);
	check(tls_conn_reason(c) < TLS_REASON_LEN);
	tls_conn_destroy(c);
	return 0;
}
