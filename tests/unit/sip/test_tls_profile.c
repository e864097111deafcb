/* tls_profile and tls_reason: two contexts back to back over memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "sbcd/config/tls.h"
#include "sbcd/sip/tls_profile.h"
#include "sbcd/sip/tls_reason.h"
#include "tests/unit/sip/tls_certs.h"
#include "tests/unit/sip/tls_run.h"

_Static_assert((int)CONFIG_TLS_COMPATIBILITY == TLS_VERSION_COMPATIBILITY &&
		       (int)CONFIG_TLS_1_0 == TLS_VERSION_1_0 &&
		       (int)CONFIG_TLS_1_3 == TLS_VERSION_1_3 &&
		       (int)CONFIG_PEER_EKU_CLIENT == TLS_PEER_EKU_CLIENT &&
		       (int)CONFIG_PEER_EKU_ANY == TLS_PEER_EKU_ANY,
	       "as configured");

static int setup(void **state)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048), *ca = EVP_EC_gen("P-256");
	EVP_PKEY *other = EVP_EC_gen("P-256");

	assert_non_null(mkdtemp(dir));
	make("root", NULL, NULL, 100, ca);
	make("foreign", NULL, NULL, 100, other);
	make("both", "root", "serverAuth,clientAuth", 100, rsa);
	make("server", "root", "serverAuth", 100, rsa);
	make("client", "root", "clientAuth", 100, other);
	make("old", "root", "serverAuth,clientAuth", -1, rsa);
	make("stranger", "foreign", "serverAuth,clientAuth", 100, rsa);
	make("mid", "root", NULL, 100, ca);
	make("low", "mid", NULL, 100, ca);
	make("near", "mid", "serverAuth,clientAuth", 100, rsa);
	make("far", "low", "serverAuth,clientAuth", 100, rsa);
	append("near", "mid");
	append("far", "low");
	append("far", "mid");
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ca);
	EVP_PKEY_free(other);
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {
		"root",	    "foreign", "both", "server", "client", "old",
		"stranger", "mid",     "low",  "near",	 "far"};

	remove_all(names, sizeof(names) / sizeof(names[0]));
	return 0;
}

static void copy_file(const char *from, const char *to, const char *end)
{
	FILE *in = fopen(path(from, end), "r"),
	     *out = fopen(path(to, end), "w");
	char data[8192];
	size_t n = fread(data, 1, sizeof(data), in);

	assert_int_equal(fwrite(data, 1, n, out), n);
	fclose(in);
	fclose(out);
}

/* NAME.crl, which revokes nothing. */
static void make_crl(const char *name)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, 0);
	FILE *f = fopen(path(name, "key"), "r");
	EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	X509 *x;

	fclose(f);
	f = fopen(path(name, "crt"), "r");
	x = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(x));
	X509_CRL_set1_lastUpdate(crl, now);
	X509_CRL_set1_nextUpdate(crl, X509_gmtime_adj(now, 86400));
	assert_true(X509_CRL_sign(crl, key, EVP_sha256()) > 0);
	f = fopen(path(name, "crl"), "w");
	assert_int_equal(PEM_write_X509_CRL(f, crl), 1);
	fclose(f);
	ASN1_TIME_free(now);
	X509_CRL_free(crl);
	X509_free(x);
	EVP_PKEY_free(key);
}

struct spec {
	const char *cert, *ciphers;
	enum tls_version version;
	enum tls_peer_eku eku;
	const char *name;
};

static int try_profile(struct tls_profile **p, const struct spec *s,
		       const char *key, struct tls_profile_error *err)
{
	const char *root = path("root", "crt");
	struct tls_profile_params params = {
		.name = s->name ? s->name : "p1",
		.certificate = path(s->cert, "crt"),
		.key = path(key, "key"),
		.trusted = &root,
		.trusted_len = 1,
		.verify_depth = 1,
		.cipher_list = s->ciphers ? s->ciphers : "ALL",
		.version = s->version,
		.peer_eku = s->eku,
		.mutual = true,
	};

	return tls_profile_create(p, &params, err);
}

static struct tls_profile *profile(const struct spec *s)
{
	struct tls_profile_error err;
	struct tls_profile *p = NULL;

	if (try_profile(&p, s, s->cert, &err))
		fail_msg("%s", err.text);
	return p;
}

static const struct {
	const char *what;
	struct spec client, server;
	bool done;
	int of_client, of_server; /* reasons, -1: not asked */
} pairs[] = {
	{"good", {"both"}, {"both"}, true, -1, -1},
	{"RSA and EC", {"client"}, {"server"}, true, -1, -1},
	{"client has expired",
	 {"old"},
	 {"both"},
	 false,
	 -1,
	 TLS_REASON_EXPIRED},
	{"server has expired",
	 {"both"},
	 {"old"},
	 false,
	 TLS_REASON_EXPIRED,
	 TLS_REASON_PEER_REFUSED_CERTIFICATE},
	{"one between", {"near"}, {"both"}, true, -1, -1},
	{"two between",
	 {"far"},
	 {"both"},
	 false,
	 -1,
	 TLS_REASON_CHAIN_TOO_LONG},
	{"foreign CA",
	 {"stranger"},
	 {"both"},
	 false,
	 -1,
	 TLS_REASON_UNKNOWN_CA},
	{"foreign server",
	 {"both"},
	 {"stranger"},
	 false,
	 TLS_REASON_UNKNOWN_CA,
	 -1},
	{"serverAuth only",
	 {"server"},
	 {"both"},
	 false,
	 -1,
	 TLS_REASON_PURPOSE},
	{"serverAuth wanted",
	 {"server"},
	 {"both", .eku = TLS_PEER_EKU_SERVER},
	 true,
	 -1,
	 -1},
	{"clientAuth not wanted",
	 {"client"},
	 {"both", .eku = TLS_PEER_EKU_SERVER},
	 false,
	 -1,
	 TLS_REASON_PURPOSE},
	{"any use",
	 {"server"},
	 {"both", .eku = TLS_PEER_EKU_ANY},
	 true,
	 -1,
	 -1},
	{"a client is no server",
	 {"both"},
	 {"client"},
	 false,
	 TLS_REASON_PURPOSE,
	 -1},
	{"versions differ",
	 {"both", .version = TLS_VERSION_1_2},
	 {"both", .version = TLS_VERSION_1_3},
	 false,
	 TLS_REASON_VERSION,
	 TLS_REASON_VERSION},
	{"TLS 1.0 alone",
	 {"both", .version = TLS_VERSION_1_0},
	 {"both", .version = TLS_VERSION_1_0},
	 true,
	 -1,
	 -1},
	{"TLS 1.1 of compatibility",
	 {"both", .version = TLS_VERSION_1_1},
	 {"both"},
	 true,
	 -1,
	 -1},
	{"TLS 1.3 alone",
	 {"both", .version = TLS_VERSION_1_3},
	 {"both"},
	 true,
	 -1,
	 -1},
	{"ciphers differ",
	 {"both", "AES128-GCM-SHA256", TLS_VERSION_1_2},
	 {"both", "AES256-GCM-SHA384", TLS_VERSION_1_2},
	 false,
	 -1,
	 TLS_REASON_CIPHER},
};

static void handshakes(void **state)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct tls_profile *a = profile(&pairs[i].client);
		struct tls_profile *b = profile(&pairs[i].server);
		struct outcome o =
			run(tls_profile_client(a), tls_profile_server(b), NULL);

		print_message("%s: %d %d %d\n", pairs[i].what, o.done, o.client,
			      o.server);
		assert_int_equal(o.done, pairs[i].done);
		if (pairs[i].of_client != -1)
			assert_int_equal(o.client, pairs[i].of_client);
		if (pairs[i].of_server != -1)
			assert_int_equal(o.server, pairs[i].of_server);
		SSL_SESSION_free(o.session);
		tls_profile_destroy(a);
		tls_profile_destroy(b);
	}
}

/* A server without certificate must not satisfy a client of ALL. */
static void anonymous_server(void **state)
{
	struct tls_profile *p = profile(&(struct spec){"both"});
	SSL_CTX *s = SSL_CTX_new(TLS_server_method());
	struct outcome o;

	SSL_CTX_set_max_proto_version(s, TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_set_cipher_list(s, "aNULL:@SECLEVEL=0"), 1);
	o = run(tls_profile_client(p), s, NULL);
	assert_false(o.done);
	assert_int_equal(o.server, TLS_REASON_CIPHER);
	SSL_CTX_free(s);
	tls_profile_destroy(p);
}

static void no_client_certificate(void **state)
{
	struct tls_profile *p = profile(&(struct spec){"both"});
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	struct outcome o = run(c, tls_profile_server(p), NULL);

	assert_false(o.done);
	assert_int_equal(o.server, TLS_REASON_NO_CERTIFICATE);
	SSL_CTX_free(c);
	tls_profile_destroy(p);
}

/* What the server says to `size` bytes: the first of its answer. */
static enum tls_reason feed(struct tls_profile *p, const uint8_t *bytes,
			    int size, uint8_t *first)
{
	SSL *s = SSL_new(tls_profile_server(p));
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	enum tls_reason reason = TLS_REASON_LEN;
	bool done = false;

	BIO_write(in, bytes, size);
	SSL_set_bio(s, in, out);
	SSL_set_accept_state(s);
	BIO_set_mem_eof_return(in, -1);
	step(s, &reason, &done);
	assert_false(done);
	*first = 0;
	BIO_read(out, first, 1);
	SSL_free(s);
	return reason;
}

static void v2_hello(void **state)
{
	static const uint8_t hello[2 + 9 + 6 + 16] = {
		0x80, 31, 1, 3,	   3, 0, 6,    0, 0, 0,
		16,   0,  0, 0x2f, 0, 0, 0x35, 1, 2, 3,
	};
	struct tls_profile *strict =
		profile(&(struct spec){"both", .version = TLS_VERSION_1_0});
	struct tls_profile *open = profile(&(struct spec){"both"});
	uint8_t first;

	assert_int_equal(feed(strict, hello, sizeof(hello), &first),
			 TLS_REASON_V2_HELLO);
	assert_int_equal(first, 21); /* an alert */
	assert_int_equal(feed(open, hello, sizeof(hello), &first),
			 TLS_REASON_LEN);
	assert_int_equal(first, 22); /* a ServerHello */
	assert_int_equal(feed(open, (const uint8_t *)"OPTIONS sip:a SIP/2.0",
			      21, &first),
			 TLS_REASON_NOT_TLS);
	tls_profile_destroy(strict);
	tls_profile_destroy(open);
}

/* The second node has the keys and takes up what the first one sealed. */
static void resumption(void **state)
{
	static const enum tls_version v[] = {TLS_VERSION_1_2, TLS_VERSION_1_3};
	struct tls_ticket_keys keys = {1, {{"a", "b", "c"}}};
	struct tls_ticket_keys next = {2, {{"x", "y", "z"}, {"a", "b", "c"}}};
	struct tls_ticket_keys gone = {1, {{"x", "y", "z"}}};

	for (int i = 0; i < 2; i++) {
		struct spec s = {"both", .version = v[i]};
		struct spec t = {"both", .version = v[i], .name = "p2"};
		struct tls_profile *a = profile(&s), *b = profile(&s);
		struct tls_profile *other = profile(&t);
		SSL_CTX *client = tls_profile_client(a);
		struct outcome o, first;

		o = run(client, tls_profile_server(a), NULL);
		assert_true(o.done);
		assert_false(SSL_SESSION_has_ticket(o.session));
		SSL_SESSION_free(o.session);
		assert_int_equal(tls_profile_set_ticket_keys(a, &keys), 0);
		assert_int_equal(tls_profile_set_ticket_keys(other, &keys), 0);
		assert_int_equal(tls_profile_set_ticket_keys(b, &next), 0);
		first = run(client, tls_profile_server(a), NULL);
		assert_true(first.done && !first.resumed);
		o = run(client, tls_profile_server(b), first.session);
		assert_true(o.done && o.resumed);
		SSL_SESSION_free(o.session);
		o = run(client, tls_profile_server(other), first.session);
		assert_false(o.resumed);
		SSL_SESSION_free(o.session);
		assert_int_equal(tls_profile_set_ticket_keys(b, &gone), 0);
		o = run(client, tls_profile_server(b), first.session);
		assert_false(o.resumed);
		SSL_SESSION_free(o.session);
		SSL_SESSION_free(first.session);
		tls_profile_destroy(a);
		tls_profile_destroy(b);
		tls_profile_destroy(other);
	}
}

static void load_errors(void **state)
{
	static const struct {
		struct spec spec;
		const char *key, *says;
	} c[] = {
		{{"none"}, "both", "end-entity-certificate"},
		{{"none"}, "both", "none.crt: No such file"},
		{{"both"}, "none", "private-key"},
		{{"both"}, "client", "private-key"},
		{{"server"}, "root", "private-key"},
		{{"both", "nonsense"}, "both", "cipher-list nonsense"},
		{{"both", "aNULL"}, "both", "cipher-list aNULL"},
		{{"both", "ALL:@SECLEVEL=0"}, "both", "cipher-list"},
		{{"both", .version = 9}, "both", "tls-version"},
		{{"both", .eku = 9}, "both", "peer-eku"},
	};

	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct tls_profile_error err;
		struct tls_profile *p = NULL;

		assert_int_equal(try_profile(&p, &c[i].spec, c[i].key, &err),
				 -EINVAL);
		print_message("%s\n", err.text);
		assert_non_null(strstr(err.text, c[i].says));
		assert_null(p);
	}
}

static void failed_reload_changes_nothing(void **state)
{
	struct tls_profile *p = profile(&(struct spec){"both"});
	SSL_CTX *client = tls_profile_client(p),
		*server = tls_profile_server(p);
	const char *trusted[] = {path("root", "crt"), path("root", "key")};
	struct tls_profile_params params = {
		.name = "p1",
		.certificate = path("both", "crt"),
		.key = path("both", "key"),
		.trusted = trusted,
		.trusted_len = 2,
		.cipher_list = "ALL",
		.mutual = true,
	};
	struct tls_profile_error err;

	assert_int_equal(tls_profile_reload(p, &params, &err), -EINVAL);
	assert_non_null(strstr(err.text, "root.key"));
	assert_ptr_equal(tls_profile_client(p), client);
	assert_ptr_equal(tls_profile_server(p), server);
	params.trusted_len = 1;
	assert_int_equal(tls_profile_reload(p, &params, &err), 0);
	assert_ptr_not_equal(tls_profile_client(p), client);
	assert_ptr_not_equal(tls_profile_server(p), server);
	tls_profile_destroy(p);
}

/* Equal contents wherever they lie; and each of them counts. */
static void prints(void **state)
{
	char root[128], foreign[128], crl[128];
	const char *roots[] = {root, foreign}, *crls[] = {crl};
	struct tls_profile_params a = {
		.name = "p1",
		.certificate = path("near", "crt"),
		.key = path("near", "key"),
		.trusted = roots,
		.trusted_len = 1,
		.crls = crls,
		.cipher_list = "ALL",
		.mutual = true,
	};
	struct tls_profile_error err;
	struct tls_profile *p;
	uint64_t was, copy;

	strcpy(root, path("root", "crt"));
	strcpy(foreign, path("foreign", "crt"));
	strcpy(crl, path("root", "crl"));
	make_crl("root");
	assert_int_equal(tls_profile_create(&p, &a, &err), 0);
	was = tls_profile_print(p);
	assert_true(was);
	assert_int_equal(tls_profile_reload(p, &a, &err), 0);
	assert_true(tls_profile_print(p) == was);
	/* The same chain by another path. */
	copy_file("near", "near2", "crt");
	copy_file("near", "near2", "key");
	a.certificate = path("near2", "crt");
	a.key = path("near2", "key");
	assert_int_equal(tls_profile_reload(p, &a, &err), 0);
	assert_true(tls_profile_print(p) == was);
	/* What leads to the root is part of it. */
	append("near2", "low");
	assert_int_equal(tls_profile_reload(p, &a, &err), 0);
	assert_true(tls_profile_print(p) != was);
	copy_file("near", "near2", "crt");
	a.trusted_len = 2;
	assert_int_equal(tls_profile_reload(p, &a, &err), 0);
	copy = tls_profile_print(p);
	assert_true(copy != was);
	a.trusted_len = 1;
	a.crls_len = 1;
	assert_int_equal(tls_profile_reload(p, &a, &err), 0);
	assert_true(tls_profile_print(p) != was);
	assert_true(tls_profile_print(p) != copy);
	/* One that fails says what still serves. */
	copy = tls_profile_print(p);
	a.key = path("client", "key");
	assert_int_equal(tls_profile_reload(p, &a, &err), -EINVAL);
	assert_true(tls_profile_print(p) == copy);
	/* Another certificate of the same key. */
	a.key = path("both", "key");
	a.certificate = path("both", "crt");
	assert_int_equal(tls_profile_reload(p, &a, &err), 0);
	was = tls_profile_print(p);
	a.certificate = path("server", "crt");
	assert_int_equal(tls_profile_reload(p, &a, &err), 0);
	assert_true(tls_profile_print(p) != was);
	tls_profile_destroy(p);
	unlink(path("near2", "crt"));
	unlink(path("near2", "key"));
	unlink(path("root", "crl"));
}

static void every_reason_has_a_text(void **state)
{
	for (int i = 0; i < TLS_REASON_LEN; i++) {
		assert_non_null(tls_reason_text(i)->name);
		assert_non_null(tls_reason_text(i)->rule);
	}
	assert_ptr_equal(tls_reason_text(TLS_REASON_LEN), tls_reason_text(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshakes),
		cmocka_unit_test(anonymous_server),
		cmocka_unit_test(no_client_certificate),
		cmocka_unit_test(v2_hello),
		cmocka_unit_test(resumption),
		cmocka_unit_test(load_errors),
		cmocka_unit_test(failed_reload_changes_nothing),
		cmocka_unit_test(prints),
		cmocka_unit_test(every_reason_has_a_text),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
