/* tls_conn: two engines back to back, and one against plain OpenSSL. */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "sbcd/sip/tls_conn.h"
#include "sbcd/sip/tls_profile.h"
#include "tests/unit/sip/tls_certs.h"

enum { DEADLINE_MS = 5000 };

static const char *const certs[] = {"root",   "other",	 "pbx", "cloud",  "cn",
				    "either", "strange", "mid", "chained"};
static const char both[] = "serverAuth,clientAuth";
static int64_t today;

static void make_list(const char *name, EVP_PKEY *ca, int days, bool revoke);

static int setup(void **state)
{
	EVP_PKEY *ca = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");

	assert_non_null(mkdtemp(dir));
	today = (int64_t)time(NULL);
	make("root", NULL, NULL, 100, ca);
	make("other", NULL, NULL, 100, key);
	make_named("pbx", "root", both, 100, key, "DNS:pbx.example.net");
	make_named("cloud", "root", both, 100, key,
		   "DNS:*.cloud.example.net,URI:sip:sip.example.net");
	make("cn", "root", both, 100, key);
	make_named("either", "root", both, 100, key,
		   "DNS:a.example.net,DNS:b.example.net");
	make("mid", "root", NULL, 50, ca);
	make("chained", "mid", both, 100, key);
	append("chained", "mid");
	make_named("strange", "other", both, 100, key, "DNS:pbx.example.net");
	make_list("none", ca, 10, false);
	make_list("all", ca, 10, true);
	make_list("stale", ca, -1, false);
	EVP_PKEY_free(ca);
	EVP_PKEY_free(key);
	return 0;
}

/* NAME.crl of the root, good until then; revokes all of its certificates,
 * which have the same number, or none. */
static void make_list(const char *name, EVP_PKEY *ca, int days, bool revoke)
{
	FILE *f = fopen(path("root", "crt"), "r");
	X509 *root = PEM_read_X509(f, NULL, NULL, NULL);
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *t = ASN1_TIME_new();

	fclose(f);
	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(root));
	X509_gmtime_adj(t, -10 * 86400L);
	X509_CRL_set1_lastUpdate(crl, t);
	if (revoke) {
		X509_REVOKED *r = X509_REVOKED_new();
		ASN1_INTEGER *number = ASN1_INTEGER_new();

		ASN1_INTEGER_set(number, 1);
		X509_REVOKED_set_serialNumber(r, number);
		X509_REVOKED_set_revocationDate(r, t);
		assert_int_equal(X509_CRL_add0_revoked(crl, r), 1);
		ASN1_INTEGER_free(number);
	}
	X509_gmtime_adj(t, days * 86400L);
	X509_CRL_set1_nextUpdate(crl, t);
	assert_true(X509_CRL_sign(crl, ca, EVP_sha256()) > 0);
	f = fopen(path(name, "crl"), "w");
	assert_int_equal(PEM_write_X509_CRL(f, crl), 1);
	fclose(f);
	ASN1_TIME_free(t);
	X509_CRL_free(crl);
	X509_free(root);
}

static int teardown(void **state)
{
	unlink(path("none", "crl"));
	unlink(path("all", "crl"));
	unlink(path("stale", "crl"));
	remove_all(certs, sizeof(certs) / sizeof(certs[0]));
	return 0;
}

static struct tls_profile *listed(const char *cert, enum tls_version version,
				  bool mutual, const char *crl)
{
	const char *root = path("root", "crt"), *list = path(crl, "crl");
	struct tls_profile_params params = {
		.name = "p1",
		.certificate = path(cert, "crt"),
		.key = path(cert, "key"),
		.trusted = &root,
		.trusted_len = 1,
		.crls = &list,
		.crls_len = crl ? 1 : 0,
		.verify_depth = 1,
		.cipher_list = "ALL",
		.version = version,
		.mutual = mutual,
	};
	struct tls_profile_error err;
	struct tls_profile *p = NULL;

	if (tls_profile_create(&p, &params, &err))
		fail_msg("%s", err.text);
	return p;
}

static struct tls_profile *profile(const char *cert, enum tls_version version,
				   bool mutual)
{
	return listed(cert, version, mutual, NULL);
}

static struct tls_conn *conn(const struct tls_profile *p, bool server,
			     const char *const *hosts, unsigned hosts_len)
{
	struct tls_conn_params params = {
		.profile = p,
		.server = server,
		.sni = server ? NULL : "pbx.example.net",
		.hosts = hosts,
		.hosts_len = hosts_len,
		.deadline_ms = DEADLINE_MS,
		.wall_s = today,
	};
	struct tls_conn *c = NULL;

	assert_int_equal(tls_conn_create(&c, &params), 0);
	return c;
}

/* What `from` has to send, at most `step` bytes at a time; were there any? */
static bool carry(struct tls_conn *from, struct tls_conn *to, size_t step)
{
	const void *data;
	size_t size = tls_conn_output(from, &data);

	if (!size)
		return false;
	if (size > step)
		size = step;
	if (size > tls_conn_room(to))
		size = tls_conn_room(to);
	if (tls_conn_feed(to, data, size) == -ENOBUFS)
		fail_msg("no room");
	tls_conn_sent(from, size);
	return size > 0;
}

/* Until neither has anything to say. */
static void shake(struct tls_conn *a, struct tls_conn *b, size_t step)
{
	uint8_t byte;
	bool more;

	do {
		more = carry(a, b, step);
		more |= carry(b, a, step);
	} while (more);
	/* what only comes to light when it is read: an alert to a client */
	if (tls_conn_read(a, &byte, 1) > 0 || tls_conn_read(b, &byte, 1) > 0)
		fail_msg("nobody has said anything yet");
}

struct pair {
	struct tls_profile *cp, *sp;
	struct tls_conn *c, *s;
};

static struct pair paired(enum tls_version version)
{
	struct pair p = {.cp = profile("pbx", version, true),
			 .sp = profile("cloud", version, true)};

	p.c = conn(p.cp, false, NULL, 0);
	p.s = conn(p.sp, true, NULL, 0);
	return p;
}

static void unpair(struct pair *p)
{
	tls_conn_destroy(p->c);
	tls_conn_destroy(p->s);
	tls_profile_destroy(p->cp);
	tls_profile_destroy(p->sp);
}

static void open_pair(struct pair *p)
{
	shake(p->c, p->s, SIZE_MAX);
	assert_int_equal(tls_conn_state(p->c), TLS_CONN_OPEN);
	assert_int_equal(tls_conn_state(p->s), TLS_CONN_OPEN);
}

static void says(struct tls_conn *from, struct tls_conn *to, const char *text)
{
	char got[64] = "";

	assert_int_equal(tls_conn_write(from, text, strlen(text)),
			 strlen(text));
	while (carry(from, to, SIZE_MAX))
		;
	assert_int_equal(tls_conn_read(to, got, sizeof(got)), strlen(text));
	assert_string_equal(got, text);
	assert_int_equal(tls_conn_read(to, got, sizeof(got)), -EAGAIN);
}

static void talk(void **state)
{
	for (int v = TLS_VERSION_COMPATIBILITY; v <= TLS_VERSION_1_3; v++)
		for (size_t step = 1; step < 4096; step = step * 7) {
			struct pair p = paired(v);

			assert_int_equal(tls_conn_write(p.c, "x", 1), -EAGAIN);
			shake(p.c, p.s, step);
			assert_int_equal(tls_conn_state(p.c), TLS_CONN_OPEN);
			assert_int_equal(tls_conn_state(p.s), TLS_CONN_OPEN);
			assert_string_equal(tls_conn_info(p.s)->sni,
					    "pbx.example.net");
			assert_true(tls_conn_info(p.s)->certificate);
			assert_false(tls_conn_info(p.s)->resumed);
			assert_false(tls_conn_info(p.s)->v2_hello);
			assert_string_equal(tls_conn_info(p.s)->cipher,
					    tls_conn_info(p.c)->cipher);
			says(p.c, p.s, "OPTIONS");
			says(p.s, p.c, "200 OK");
			unpair(&p);
		}
}

/* Neither side can make the other keep more than is said. */
static void bounds(void **state)
{
	static uint8_t block[2 * TLS_CONN_OUT_MAX], got[sizeof(block)];
	struct pair p = paired(TLS_VERSION_COMPATIBILITY);
	ssize_t taken, n;
	const void *data;
	size_t have = 0;

	open_pair(&p);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 31 >> 3);
	taken = tls_conn_write(p.c, block, sizeof(block));
	assert_true(taken > 0 && (size_t)taken < sizeof(block));
	assert_true(tls_conn_output(p.c, &data) <= TLS_CONN_OUT_MAX);
	assert_int_equal(tls_conn_write(p.c, block, 1), -EAGAIN);
	assert_int_equal(tls_conn_feed(p.s, block, TLS_CONN_IN_MAX + 1),
			 -ENOBUFS);
	while (carry(p.c, p.s, SIZE_MAX)) {
		assert_true(tls_conn_room(p.s) < TLS_CONN_IN_MAX);
		while ((n = tls_conn_read(p.s, got + have,
					  sizeof(got) - have)) > 0)
			have += (size_t)n;
		assert_int_equal(n, -EAGAIN);
	}
	assert_int_equal(have, taken);
	assert_memory_equal(got, block, have);
	assert_int_equal(tls_conn_room(p.s), TLS_CONN_IN_MAX);
	unpair(&p);
}

static void close_in_order(void **state)
{
	struct pair p = paired(TLS_VERSION_COMPATIBILITY);
	char got[8];

	open_pair(&p);
	assert_int_equal(tls_conn_write(p.c, "bye", 3), 3);
	tls_conn_close(p.c);
	assert_int_equal(tls_conn_write(p.c, "more", 4), -EPIPE);
	carry(p.c, p.s, SIZE_MAX);
	assert_int_equal(tls_conn_read(p.s, got, sizeof(got)), 3);
	assert_int_equal(tls_conn_read(p.s, got, sizeof(got)), 0);
	assert_int_equal(tls_conn_state(p.s), TLS_CONN_CLOSED);
	unpair(&p);
}

/* Many peers never say that they close. */
static void close_without_notice(void **state)
{
	for (int v = TLS_VERSION_1_2; v <= TLS_VERSION_1_3; v++) {
		struct pair p = paired(v);
		char got[8];

		open_pair(&p);
		assert_int_equal(tls_conn_write(p.c, "bye", 3), 3);
		carry(p.c, p.s, SIZE_MAX);
		assert_int_equal(tls_conn_feed_end(p.s), 0);
		assert_int_equal(tls_conn_read(p.s, got, sizeof(got)), 3);
		assert_int_equal(tls_conn_read(p.s, got, sizeof(got)), 0);
		assert_int_equal(tls_conn_state(p.s), TLS_CONN_CLOSED);
		unpair(&p);
	}
}

static void deadline(void **state)
{
	struct pair p = paired(TLS_VERSION_COMPATIBILITY);
	char got[8];

	carry(p.c, p.s, SIZE_MAX);
	assert_int_equal(tls_conn_expire(p.s, DEADLINE_MS - 1), 0);
	assert_int_equal(tls_conn_state(p.s), TLS_CONN_HANDSHAKE);
	assert_int_equal(tls_conn_expire(p.s, DEADLINE_MS), -ETIMEDOUT);
	assert_int_equal(tls_conn_state(p.s), TLS_CONN_FAILED);
	assert_int_equal(tls_conn_reason(p.s), TLS_REASON_TIMEOUT);
	assert_int_equal(tls_conn_read(p.s, got, sizeof(got)), -EPROTO);
	assert_int_equal(tls_conn_write(p.s, got, sizeof(got)), -EPROTO);
	assert_int_equal(tls_conn_feed(p.s, got, 1), -EPROTO);
	unpair(&p);
	p = paired(TLS_VERSION_COMPATIBILITY);
	open_pair(&p);
	assert_int_equal(tls_conn_expire(p.s, 10 * DEADLINE_MS), 0);
	says(p.c, p.s, "late");
	unpair(&p);
}

/* A handshake that ends after each of its bytes, and one of rubbish. */
static void truncated(void **state)
{
	struct tls_profile *p = profile("pbx", TLS_VERSION_1_2, true);
	size_t whole = 0;

	for (size_t cut = 0; !whole; cut += 13) {
		struct tls_conn *c = conn(p, false, NULL, 0);
		struct tls_conn *s = conn(p, true, NULL, 0);
		size_t fed = 0;
		const void *data;

		while (fed < cut) {
			size_t n = tls_conn_output(c, &data);

			n = n > cut - fed ? cut - fed : n;
			if (!n && !carry(s, c, SIZE_MAX))
				break;
			assert_int_equal(tls_conn_feed(s, data, n), 0);
			tls_conn_sent(c, n);
			fed += n;
		}
		if (tls_conn_state(s) == TLS_CONN_OPEN) {
			whole = fed;
		} else {
			bool silent = fed && !tls_conn_output(c, &data);

			assert_int_equal(tls_conn_feed_end(s), -EPROTO);
			assert_int_equal(
				tls_conn_reason(s),
				silent ? TLS_REASON_CLOSED_AT_CERTIFICATE
				       : TLS_REASON_TRUNCATED);
		}
		tls_conn_destroy(c);
		tls_conn_destroy(s);
	}
	assert_true(whole > 500);
	tls_profile_destroy(p);
}

/* A peer that does not like our certificate may go without a word. */
static void closed_at_the_certificate(void **state)
{
	struct tls_profile *p = profile("pbx", TLS_VERSION_1_2, true);
	struct tls_conn *c = conn(p, false, NULL, 0);
	struct tls_conn *s = conn(p, true, NULL, 0);

	while (carry(c, s, 20))
		;
	assert_int_equal(tls_conn_feed_end(s), -EPROTO);
	assert_int_equal(tls_conn_reason(s), TLS_REASON_CLOSED_AT_CERTIFICATE);
	tls_conn_destroy(s);
	/* It never came to ours. */
	assert_int_equal(tls_conn_feed_end(c), -EPROTO);
	assert_int_equal(tls_conn_reason(c), TLS_REASON_TRUNCATED);
	tls_conn_destroy(c);
	c = conn(p, false, NULL, 0);
	s = conn(p, true, NULL, 0);
	while (carry(c, s, SIZE_MAX))
		;
	while (carry(s, c, SIZE_MAX))
		;
	assert_int_equal(tls_conn_feed_end(c), -EPROTO);
	assert_int_equal(tls_conn_reason(c), TLS_REASON_CLOSED_AT_CERTIFICATE);
	tls_conn_destroy(c);
	tls_conn_destroy(s);
	tls_profile_destroy(p);
}

/* By TLS 1.3 a client is open before the server has seen its certificate. */
static void refused_when_open(void **state)
{
	static const struct tls_ticket_keys key = {1, {{"a", "b", "c"}}};
	struct tls_profile *p = profile("pbx", TLS_VERSION_1_3, true);
	char byte;

	assert_int_equal(tls_profile_set_ticket_keys(p, &key), 0);
	for (unsigned how = 0; how < 3; how++) {
		struct tls_conn *c = conn(p, false, NULL, 0);
		struct tls_conn *s = conn(p, true, NULL, 0);
		bool accepted = how == 2;

		while (carry(c, s, SIZE_MAX))
			;
		while (carry(s, c, SIZE_MAX))
			;
		assert_int_equal(tls_conn_state(c), TLS_CONN_OPEN);
		assert_true(tls_conn_may_be_refused(c));
		/* The ticket that a server sends when it is content. */
		while (accepted &&
		       (carry(c, s, SIZE_MAX) || carry(s, c, SIZE_MAX)))
			;
		if (how)
			assert_int_equal(tls_conn_read(c, &byte, 1), -EAGAIN);
		assert_int_equal(tls_conn_may_be_refused(c), !accepted);
		assert_int_equal(tls_conn_feed_end(c), accepted ? 0 : -EPROTO);
		if (!accepted)
			assert_int_equal(tls_conn_reason(c),
					 TLS_REASON_CLOSED_AT_CERTIFICATE);
		tls_conn_destroy(c);
		tls_conn_destroy(s);
	}
	tls_profile_destroy(p);
}

static const struct {
	const char *what, *cert, *hosts[2];
	bool wildcard;
	int host; /* -1: refused */
} named[] = {
	{"DNS", "pbx", {"pbx.example.net"}, false, 0},
	{"no such name", "pbx", {"cucm.example.net"}, false, -1},
	{"CN beside DNS", "pbx", {"pbx"}, false, -1},
	{"CN alone", "cn", {"cn"}, false, 0},
	{"URI", "cloud", {"sip.example.net"}, false, 0},
	{"wildcard", "cloud", {"a.cloud.example.net"}, true, 0},
	{"no wildcard", "cloud", {"a.cloud.example.net"}, false, -1},
	{"the second agent",
	 "pbx",
	 {"a.example.net", "PBX.example.net"},
	 false,
	 1},
	{"the second name", "either", {"b.example.net"}, false, 0},
};

/* Of the peer of either role. */
static void names(void **state)
{
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		for (int server = 0; server < 2; server++) {
			struct tls_profile *sp = profile(
				server ? "pbx" : named[i].cert, 0, true);
			struct tls_profile *cp = profile(
				server ? named[i].cert : "pbx", 0, true);
			struct tls_conn_params params = {
				.profile = server ? sp : cp,
				.server = server,
				.hosts = named[i].hosts,
				.hosts_len = named[i].hosts[1] ? 2 : 1,
				.wildcard = named[i].wildcard,
				.deadline_ms = DEADLINE_MS,
			};
			struct tls_conn *peer =
				conn(server ? cp : sp, !server, NULL, 0);
			struct tls_conn *c;
			char got[8];

			print_message("%s %d\n", named[i].what, server);
			assert_int_equal(tls_conn_create(&c, &params), 0);
			shake(c, peer, SIZE_MAX);
			assert_int_equal(tls_conn_info(c)->host, named[i].host);
			assert_int_equal(tls_conn_state(c),
					 named[i].host < 0 ? TLS_CONN_FAILED
							   : TLS_CONN_OPEN);
			assert_int_equal(tls_conn_reason(c),
					 named[i].host < 0 ? TLS_REASON_NAME
							   : TLS_REASON_OTHER);
			/* the other one is told */
			assert_int_equal(tls_conn_read(peer, got, sizeof(got)),
					 named[i].host < 0 ? 0 : -EAGAIN);
			tls_conn_destroy(c);
			tls_conn_destroy(peer);
			tls_profile_destroy(sp);
			tls_profile_destroy(cp);
		}
}

/* What OpenSSL refuses is explained, to both. */
static void refused(void **state)
{
	struct tls_profile *sp = profile("cloud", 0, true);
	struct tls_profile *cp = profile("strange", 0, true);
	struct tls_conn *c = conn(cp, false, NULL, 0);
	struct tls_conn *s = conn(sp, true, NULL, 0);

	shake(c, s, SIZE_MAX);
	assert_int_equal(tls_conn_state(s), TLS_CONN_FAILED);
	assert_int_equal(tls_conn_reason(s), TLS_REASON_UNKNOWN_CA);
	assert_int_equal(tls_conn_state(c), TLS_CONN_FAILED);
	assert_int_equal(tls_conn_reason(c),
			 TLS_REASON_PEER_REFUSED_CERTIFICATE);
	tls_conn_destroy(c);
	tls_conn_destroy(s);
	tls_profile_destroy(cp);
	tls_profile_destroy(sp);
}

static void revoked(void **state)
{
	static const struct {
		const char *crl;
		enum tls_conn_state state;
		enum tls_reason reason;
	} r[] = {
		{NULL, TLS_CONN_OPEN, TLS_REASON_OTHER},
		{"none", TLS_CONN_OPEN, TLS_REASON_OTHER},
		{"all", TLS_CONN_FAILED, TLS_REASON_REVOKED},
		{"stale", TLS_CONN_FAILED, TLS_REASON_NO_CRL},
	};

	for (size_t i = 0; i < 2 * sizeof(r) / sizeof(r[0]); i++) {
		bool server = i & 1;
		struct tls_profile *p = listed("cloud", 0, true, r[i / 2].crl);
		struct tls_profile *q = profile("pbx", 0, true);
		struct tls_conn *c = conn(p, server, NULL, 0);
		struct tls_conn *peer = conn(q, !server, NULL, 0);

		shake(c, peer, SIZE_MAX);
		assert_int_equal(tls_conn_state(c), r[i / 2].state);
		assert_int_equal(tls_conn_reason(c), r[i / 2].reason);
		tls_conn_destroy(c);
		tls_conn_destroy(peer);
		tls_profile_destroy(p);
		tls_profile_destroy(q);
	}
}

static void expiry(void **state)
{
	struct tls_profile *p = profile("pbx", 0, true);
	struct tls_expiry e;

	assert_int_equal(tls_profile_expiry(p, &e), 0);
	assert_string_equal(e.subject, "/CN=pbx");
	assert_in_range(e.wall_s, today + 100 * 86400L - 60,
			today + 100 * 86400L + 600);
	tls_profile_destroy(p);
	/* what leads to the root runs out first */
	p = profile("chained", 0, true);
	assert_int_equal(tls_profile_expiry(p, &e), 0);
	assert_string_equal(e.subject, "/CN=mid");
	assert_true(e.wall_s < today + 51 * 86400L);
	tls_profile_destroy(p);
}

/* ---- against plain OpenSSL ------------------------------------------------
 */

struct plain {
	SSL *ssl;
	BIO *in, *out;
};

static struct plain plain_client(SSL_CTX *ctx, SSL_SESSION *again)
{
	struct plain p = {SSL_new(ctx), BIO_new(BIO_s_mem()),
			  BIO_new(BIO_s_mem())};

	BIO_set_mem_eof_return(p.in, -1);
	SSL_set_bio(p.ssl, p.in, p.out);
	SSL_set_connect_state(p.ssl);
	if (again)
		SSL_set_session(p.ssl, again);
	return p;
}

static bool plain_carry(struct plain *p, struct tls_conn *s)
{
	char buf[8192];
	const void *data;
	size_t size;
	bool any = false;
	int n = BIO_read(p->out, buf, sizeof(buf));

	if (n > 0) {
		any = true;
		if (tls_conn_feed(s, buf, (size_t)n) == -ENOBUFS)
			fail_msg("no room");
	}
	size = tls_conn_output(s, &data);
	if (size) {
		any = true;
		BIO_write(p->in, data, (int)size);
		tls_conn_sent(s, size);
	}
	return any;
}

static void plain_shake(struct plain *p, struct tls_conn *s)
{
	char byte;

	do {
		SSL_do_handshake(p->ssl);
		if (SSL_is_init_finished(p->ssl))
			SSL_read(p->ssl, &byte, 1);
	} while (plain_carry(p, s));
	ERR_clear_error();
}

struct resume {
	const char *const *hosts;
	unsigned hosts_len;
	int64_t wall_s;
	bool refused;
	enum tls_reason reason;
	const char *crl; /* that came between */
};

static const struct tls_ticket_keys keys = {1, {{"a", "b", "c"}}};

static void resume(struct tls_profile *sp, struct tls_profile *cp,
		   enum tls_version version, const struct resume *r)
{
	struct tls_profile *now = NULL;
	struct tls_conn_params params = {
		.profile = sp,
		.server = true,
		.deadline_ms = DEADLINE_MS,
		.wall_s = today,
	};
	struct tls_conn *s;
	struct plain p = plain_client(tls_profile_client(cp), NULL);
	SSL_SESSION *session;

	assert_int_equal(tls_conn_create(&s, &params), 0);
	plain_shake(&p, s);
	assert_int_equal(tls_conn_state(s), TLS_CONN_OPEN);
	session = SSL_get1_session(p.ssl);
	SSL_shutdown(p.ssl);
	SSL_free(p.ssl);
	tls_conn_destroy(s);
	p = plain_client(tls_profile_client(cp), session);
	params.hosts = r->hosts;
	params.hosts_len = r->hosts_len;
	params.wall_s = r->wall_s;
	if (r->crl) {
		now = listed("cloud", version, true, r->crl);
		assert_int_equal(tls_profile_set_ticket_keys(now, &keys), 0);
		params.profile = now;
	}
	assert_int_equal(tls_conn_create(&s, &params), 0);
	plain_shake(&p, s);
	assert_true(tls_conn_info(s)->resumed);
	assert_true(tls_conn_info(s)->certificate);
	assert_int_equal(tls_conn_state(s),
			 r->refused ? TLS_CONN_FAILED : TLS_CONN_OPEN);
	assert_int_equal(tls_conn_reason(s), r->reason);
	SSL_free(p.ssl);
	SSL_SESSION_free(session);
	tls_conn_destroy(s);
	tls_profile_destroy(now);
}

/* A ticket spares the peer a signature, not the look at who it is. */
static void resumed_is_checked(void **state)
{
	static const char *const pbx[] = {"pbx.example.net"};
	static const char *const cucm[] = {"cucm.example.net"};
	const struct resume r[] = {
		{NULL, 0, today, false, TLS_REASON_OTHER},
		{pbx, 1, today, false, TLS_REASON_OTHER},
		{cucm, 1, today, true, TLS_REASON_NAME},
		{pbx, 1, today + 101 * 86400L, true, TLS_REASON_EXPIRED},
		{pbx, 1, today - 11 * 86400L, true, TLS_REASON_NOT_YET_VALID},
		{pbx, 1, today, false, TLS_REASON_OTHER, "none"},
		{pbx, 1, today, true, TLS_REASON_REVOKED, "all"},
	};

	for (int v = TLS_VERSION_1_2; v <= TLS_VERSION_1_3; v++) {
		struct tls_profile *sp = profile("cloud", v, true);
		struct tls_profile *cp = profile("pbx", v, true);

		assert_int_equal(tls_profile_set_ticket_keys(sp, &keys), 0);
		for (size_t i = 0; i < sizeof(r) / sizeof(r[0]); i++)
			resume(sp, cp, v, &r[i]);
		tls_profile_destroy(sp);
		tls_profile_destroy(cp);
	}
}

static void no_renegotiation(void **state)
{
	struct tls_profile *sp = profile("cloud", TLS_VERSION_1_2, true);
	struct tls_conn *s = conn(sp, true, NULL, 0);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct plain p;
	char got[8];

	assert_int_equal(SSL_CTX_use_certificate_file(ctx, path("pbx", "crt"),
						      SSL_FILETYPE_PEM),
			 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, path("pbx", "key"),
						     SSL_FILETYPE_PEM),
			 1);
	p = plain_client(ctx, NULL);
	plain_shake(&p, s);
	assert_int_equal(tls_conn_state(s), TLS_CONN_OPEN);
	assert_int_equal(SSL_renegotiate(p.ssl), 1);
	SSL_do_handshake(p.ssl);
	assert_true(plain_carry(&p, s));
	assert_int_equal(tls_conn_read(s, got, sizeof(got)), -EAGAIN);
	plain_carry(&p, s);
	assert_true(SSL_do_handshake(p.ssl) <= 0);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()),
			 SSL_R_NO_RENEGOTIATION);
	ERR_clear_error();
	SSL_free(p.ssl);
	SSL_CTX_free(ctx);
	tls_conn_destroy(s);
	tls_profile_destroy(sp);
}

static void v2_hello(void **state)
{
	static const uint8_t hello[2 + 9 + 6 + 16] = {
		0x80, 31, 1, 3,	   3, 0, 6,    0, 0, 0,
		16,   0,  0, 0x2f, 0, 0, 0x35, 1, 2, 3,
	};
	struct tls_profile *strict = profile("cloud", TLS_VERSION_1_2, true);
	struct tls_conn *s = conn(strict, true, NULL, 0);

	assert_int_equal(tls_conn_feed(s, hello, 2), 0);
	assert_false(tls_conn_info(s)->v2_hello);
	assert_int_equal(tls_conn_feed(s, hello + 2, sizeof(hello) - 2),
			 -EPROTO);
	assert_true(tls_conn_info(s)->v2_hello);
	assert_int_equal(tls_conn_reason(s), TLS_REASON_V2_HELLO);
	tls_conn_destroy(s);
	tls_profile_destroy(strict);
}

/* ---- no connection leaves anything behind ---------------------------------
 */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 300 }; /* the sanitizer counts what is left itself */
#else
enum { ROUNDS = 10000 };
#endif

static void one_good(const struct tls_profile *p)
{
	struct tls_conn *c = conn(p, false, NULL, 0);
	struct tls_conn *s = conn(p, true, NULL, 0);

	shake(c, s, SIZE_MAX);
	assert_int_equal(tls_conn_state(s), TLS_CONN_OPEN);
	tls_conn_destroy(c);
	tls_conn_destroy(s);
}

static void one_junk(const struct tls_profile *p, unsigned i)
{
	struct tls_conn *c = conn(p, false, NULL, 0);
	struct tls_conn *s = conn(p, true, NULL, 0);
	uint8_t bytes[512];
	const void *hello;
	size_t size = tls_conn_output(c, &hello);

	size = size < sizeof(bytes) ? size : sizeof(bytes);
	memcpy(bytes, hello, size);
	if (i & 1)
		bytes[i / 2 % size] ^= (uint8_t)(1 + i % 255);
	(void)!tls_conn_feed(s, bytes, i & 2 ? size : i % size);
	(void)!tls_conn_feed_end(s);
	assert_int_not_equal(tls_conn_state(s), TLS_CONN_OPEN);
	tls_conn_destroy(c);
	tls_conn_destroy(s);
}

static void memory_is_flat(void **state)
{
	struct tls_profile *p = profile("pbx", TLS_VERSION_1_3, false);
	size_t before = 0, after;

	for (unsigned i = 0; i < ROUNDS + ROUNDS / 10; i++) {
		if (i == ROUNDS / 10)
			before = mallinfo2().uordblks;
		one_good(p);
		one_junk(p, i);
	}
	after = mallinfo2().uordblks;
	print_message("%zu bytes, then %zu\n", before, after);
	assert_true(after < before + 32 * 1024);
	tls_profile_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(talk),
		cmocka_unit_test(bounds),
		cmocka_unit_test(close_in_order),
		cmocka_unit_test(close_without_notice),
		cmocka_unit_test(deadline),
		cmocka_unit_test(truncated),
		cmocka_unit_test(closed_at_the_certificate),
		cmocka_unit_test(refused_when_open),
		cmocka_unit_test(names),
		cmocka_unit_test(refused),
		cmocka_unit_test(revoked),
		cmocka_unit_test(expiry),
		cmocka_unit_test(resumed_is_checked),
		cmocka_unit_test(no_renegotiation),
		cmocka_unit_test(v2_hello),
		cmocka_unit_test(memory_is_flat),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
