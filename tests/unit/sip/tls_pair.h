/*
 * tls_pair - connections of TLS that speak to each other in memory, and the
 * certificates for them: setup() and teardown() of the group.
 */
#ifndef TESTS_UNIT_SIP_TLS_PAIR_H
#define TESTS_UNIT_SIP_TLS_PAIR_H

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

static __attribute__((unused)) void make_list(const char *name, EVP_PKEY *ca,
					      int days, bool revoke);

static __attribute__((unused)) int setup(void **state)
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
static __attribute__((unused)) void make_list(const char *name, EVP_PKEY *ca,
					      int days, bool revoke)
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

static __attribute__((unused)) int teardown(void **state)
{
	unlink(path("none", "crl"));
	unlink(path("all", "crl"));
	unlink(path("stale", "crl"));
	remove_all(certs, sizeof(certs) / sizeof(certs[0]));
	return 0;
}

static __attribute__((unused)) struct tls_profile *
listed(const char *cert, enum tls_version version, bool mutual, const char *crl)
{
	const char *root = path("root", "crt"),
		   *list = path(crl ? crl : "none", "crl");
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

static __attribute__((unused)) struct tls_profile *
profile(const char *cert, enum tls_version version, bool mutual)
{
	return listed(cert, version, mutual, NULL);
}

static __attribute__((unused)) struct tls_conn *
conn(const struct tls_profile *p, bool server, const char *const *hosts,
     unsigned hosts_len)
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
static __attribute__((unused)) bool carry(struct tls_conn *from,
					  struct tls_conn *to, size_t step)
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
static __attribute__((unused)) void shake(struct tls_conn *a,
					  struct tls_conn *b, size_t step)
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

static __attribute__((unused)) struct pair paired(enum tls_version version)
{
	struct pair p = {.cp = profile("pbx", version, true),
			 .sp = profile("cloud", version, true)};

	p.c = conn(p.cp, false, NULL, 0);
	p.s = conn(p.sp, true, NULL, 0);
	return p;
}

static __attribute__((unused)) void unpair(struct pair *p)
{
	tls_conn_destroy(p->c);
	tls_conn_destroy(p->s);
	tls_profile_destroy(p->cp);
	tls_profile_destroy(p->sp);
}

static __attribute__((unused)) void open_pair(struct pair *p)
{
	shake(p->c, p->s, SIZE_MAX);
	assert_int_equal(tls_conn_state(p->c), TLS_CONN_OPEN);
	assert_int_equal(tls_conn_state(p->s), TLS_CONN_OPEN);
}

static __attribute__((unused)) void says(struct tls_conn *from,
					 struct tls_conn *to, const char *text)
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

#endif
