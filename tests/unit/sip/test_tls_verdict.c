/* tls_conn, while the status of a certificate is asked for. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "sbcd/sip/tls_conn.h"
#include "sbcd/sip/tls_ocsp.h"
#include "sbcd/sip/tls_profile.h"
#include "tests/unit/sip/ocsp_make.h"

enum { DEADLINE_MS = 5000, VERDICT_MS = 3000 };

static const char *const certs[] = {"root", "mid", "near", "far", "self"};
static const char both[] = "serverAuth,clientAuth";
static const struct tls_ticket_keys keys = {1, {{"a", "b", "c"}}};
static int64_t today;

static int setup(void **state)
{
	EVP_PKEY *ca = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");

	assert_non_null(mkdtemp(dir));
	today = (int64_t)time(NULL);
	make("root", NULL, NULL, 100, ca);
	make("mid", "root", NULL, 100, ca);
	make("near", "root", both, 100, key);
	make("far", "mid", both, 100, key);
	append("far", "mid");
	make("self", NULL, both, 100, key);
	EVP_PKEY_free(ca);
	EVP_PKEY_free(key);
	return 0;
}

static int teardown(void **state)
{
	remove_all(certs, sizeof(certs) / sizeof(certs[0]));
	return 0;
}

/* One that has the status of its peers checked, or not. */
static struct tls_profile *profile(const char *cert, bool checks,
				   enum tls_version version)
{
	const char *trusted[] = {path("root", "crt"), path("self", "crt")};
	struct tls_profile_params params = {
		.name = "p",
		.certificate = path(cert, "crt"),
		.key = path(cert, "key"),
		.trusted = trusted,
		.trusted_len = 2,
		.verify_depth = 2,
		.cipher_list = "ALL",
		.version = version,
		.mutual = true,
		.status_check = checks,
	};
	struct tls_profile_error err;
	struct tls_profile *p = NULL;

	if (tls_profile_create(&p, &params, &err))
		fail_msg("%s", err.text);
	assert_int_equal(tls_profile_checks_status(p), checks);
	assert_int_equal(tls_profile_set_ticket_keys(p, &keys), 0);
	return p;
}

static struct tls_conn *conn(const struct tls_profile *p, bool server,
			     const struct tls_session *session)
{
	struct tls_conn_params params = {
		.profile = p,
		.server = server,
		.deadline_ms = DEADLINE_MS,
		.verdict_ms = VERDICT_MS,
		.wall_s = today,
		.session = session,
	};
	struct tls_conn *c = NULL;

	assert_int_equal(tls_conn_create(&c, &params), 0);
	return c;
}

static bool carry(struct tls_conn *from, struct tls_conn *to)
{
	const void *data;
	size_t size = tls_conn_output(from, &data);

	if (size)
		assert_int_not_equal(tls_conn_feed(to, data, size), -ENOBUFS);
	tls_conn_sent(from, size);
	return size > 0;
}

struct pair {
	struct tls_profile *checking, *plain;
	struct tls_conn *c, *peer; /* `c` is whose verdict is awaited */
};

static void talk(struct pair *p)
{
	bool more;

	do {
		more = carry(p->c, p->peer);
		more |= carry(p->peer, p->c);
	} while (more);
}

static struct pair paired(const char *peer, bool server,
			  enum tls_version version)
{
	struct pair p = {.checking = profile("near", true, version),
			 .plain = profile(peer, false, version)};

	p.c = conn(p.checking, server, NULL);
	p.peer = conn(p.plain, !server, NULL);
	talk(&p);
	return p;
}

static void unpair(struct pair *p)
{
	tls_conn_destroy(p->c);
	tls_conn_destroy(p->peer);
	tls_profile_destroy(p->checking);
	tls_profile_destroy(p->plain);
}

static void is_about(const struct tls_conn *c, const char *cert,
		     const char *issuer)
{
	X509 *a = load_cert(cert), *b = load_cert(issuer);
	struct tls_ocsp_subject s;

	tls_conn_subject(c, &s);
	assert_int_equal(X509_cmp(s.cert, a), 0);
	assert_int_equal(X509_cmp(s.issuer, b), 0);
	X509_free(a);
	X509_free(b);
}

/* In both roles, of both versions, whatever CAs are between. */
static void nothing_before_the_verdict(void **state)
{
	for (unsigned i = 0; i < 16; i++) {
		bool server = i & 1, ok = i & 2;
		const char *peer = i & 4 ? "far" : "near";
		struct pair p =
			paired(peer, server,
			       i & 8 ? TLS_VERSION_1_2 : TLS_VERSION_1_3);
		char got[16];

		assert_int_equal(tls_conn_state(p.c), TLS_CONN_VERDICT);
		assert_true(tls_conn_is_opening(p.c));
		assert_int_equal(tls_conn_state(p.peer), TLS_CONN_OPEN);
		is_about(p.c, peer, i & 4 ? "mid" : "root");
		/* it may say what it likes */
		assert_int_equal(tls_conn_write(p.peer, "OPTIONS", 7), 7);
		talk(&p);
		assert_int_equal(tls_conn_read(p.c, got, sizeof(got)), -EAGAIN);
		assert_int_equal(tls_conn_write(p.c, "x", 1), -EAGAIN);
		assert_int_equal(tls_conn_state(p.c), TLS_CONN_VERDICT);
		assert_int_equal(tls_conn_verdict(p.c, ok, TLS_REASON_REVOKED),
				 ok ? 0 : -EPROTO);
		assert_int_equal(tls_conn_read(p.c, got, sizeof(got)),
				 ok ? 7 : -EPROTO);
		assert_int_equal(tls_conn_state(p.c),
				 ok ? TLS_CONN_OPEN : TLS_CONN_FAILED);
		if (!ok) {
			assert_int_equal(tls_conn_reason(p.c),
					 TLS_REASON_REVOKED);
			/* the peer is told that it is over */
			talk(&p);
			assert_int_equal(
				tls_conn_read(p.peer, got, sizeof(got)), 0);
		}
		/* it is given once */
		assert_int_equal(tls_conn_verdict(p.c, !ok, 0),
				 ok ? 0 : -EPROTO);
		assert_int_equal(tls_conn_state(p.c),
				 ok ? TLS_CONN_OPEN : TLS_CONN_FAILED);
		unpair(&p);
	}
}

/* Meanwhile the peer can make us keep no more than at any other time. */
static void bounded(void **state)
{
	struct pair p = paired("near", true, TLS_VERSION_1_3);
	static const char block[16384];
	const void *data;
	size_t size, taken = 0;
	char got[16];

	for (unsigned i = 0; i < 16; i++) {
		(void)!tls_conn_write(p.peer, block, sizeof(block));
		size = tls_conn_output(p.peer, &data);
		if (size > tls_conn_room(p.c))
			size = tls_conn_room(p.c);
		assert_int_equal(tls_conn_feed(p.c, data, size), 0);
		tls_conn_sent(p.peer, size);
		taken += size;
	}
	assert_int_equal(tls_conn_room(p.c), 0);
	assert_int_equal(taken, TLS_CONN_IN_MAX);
	assert_int_equal(tls_conn_feed(p.c, block, 1), -ENOBUFS);
	assert_int_equal(tls_conn_verdict(p.c, true, 0), 0);
	assert_int_equal(tls_conn_read(p.c, got, sizeof(got)), sizeof(got));
	unpair(&p);
}

static void deadline(void **state)
{
	struct pair p = paired("near", true, TLS_VERSION_1_3);

	assert_int_equal(tls_conn_expire(p.c, DEADLINE_MS + VERDICT_MS - 1), 0);
	assert_int_equal(tls_conn_expire(p.c, DEADLINE_MS + VERDICT_MS),
			 -ETIMEDOUT);
	assert_int_equal(tls_conn_state(p.c), TLS_CONN_FAILED);
	/* too late */
	assert_int_equal(tls_conn_verdict(p.c, true, 0), -EPROTO);
	unpair(&p);
	/* the peer does not wait for it */
	p = paired("near", true, TLS_VERSION_1_3);
	assert_int_equal(tls_conn_feed_end(p.c), 0);
	assert_int_equal(tls_conn_verdict(p.c, true, 0), 0);
	assert_int_equal(tls_conn_read(p.c, (char[1]){0}, 1), 0);
	unpair(&p);
}

/* One that is trusted by itself has nobody who could revoke it. */
static void trusted_itself(void **state)
{
	for (unsigned server = 0; server < 2; server++) {
		struct pair p = paired("self", server, TLS_VERSION_1_3);

		assert_int_equal(tls_conn_state(p.c), TLS_CONN_OPEN);
		unpair(&p);
	}
}

static void staple(void **state)
{
	struct ocsp_spec spec = {"near", .since_s = today,
				 .until_s = today + 3600};
	struct tls_profile *server = profile("near", false, TLS_VERSION_1_3);
	uint8_t der[4096];
	size_t size = ocsp_make(&spec, der, sizeof(der));

	for (unsigned i = 0; i < 3; i++) {
		struct pair p = {.checking = profile("near", true,
						     TLS_VERSION_1_2 + (i & 1)),
				 .plain = profile("near", false, 0)};
		struct tls_ocsp_answer a;
		struct tls_ocsp_subject s;
		const void *got;

		assert_int_equal(tls_profile_own(p.plain, &s), 0);
		if (i < 2)
			assert_int_equal(
				tls_profile_set_staple(p.plain, der, size), 0);
		p.c = conn(p.checking, false, NULL);
		p.peer = conn(p.plain, true, NULL);
		talk(&p);
		assert_int_equal(tls_conn_state(p.c), TLS_CONN_VERDICT);
		assert_int_equal(tls_conn_staple(p.c, &got), i < 2 ? size : 0);
		if (i < 2) {
			assert_memory_equal(got, der, size);
			assert_int_equal(
				tls_ocsp_check(&s, got, size, today, &a), 0);
		}
		unpair(&p);
	}
	assert_int_equal(tls_profile_set_staple(server, der, 0), 0);
	assert_int_equal(tls_profile_set_staple(
				 server, der, TLS_OCSP_RESPONSE_MAX_BYTES + 1),
			 -EMSGSIZE);
	tls_profile_destroy(server);
}

/* Who has signed our own: in its file, or among the trusted. */
static void own_issuer(void **state)
{
	static const char *const c[][2] = {{"near", "root"}, {"far", "mid"}};

	for (unsigned i = 0; i < 2; i++) {
		struct tls_profile *p = profile(c[i][0], false, 0);
		X509 *issuer = load_cert(c[i][1]);
		struct tls_ocsp_subject s;

		assert_int_equal(tls_profile_own(p, &s), 0);
		assert_int_equal(X509_cmp(s.issuer, issuer), 0);
		X509_free(issuer);
		tls_profile_destroy(p);
	}
}

/* A ticket is no way around it, and who signed the certificate is known, or
 * there is a full handshake. */
static void resumed(void **state)
{
	for (unsigned i = 0; i < 8; i++) {
		bool server = i & 1, near = i & 2;
		enum tls_version v = i & 4 ? TLS_VERSION_1_2 : TLS_VERSION_1_3;
		const char *cert = near ? "near" : "far";
		struct pair p = paired(cert, server, v);
		struct tls_conn *client = server ? p.peer : p.c;
		struct tls_session *session;
		char got[1];

		assert_int_equal(tls_conn_verdict(p.c, true, 0), 0);
		assert_int_equal(tls_conn_read(client, got, 1), -EAGAIN);
		session = tls_conn_session(client);
		assert_non_null(session);
		tls_conn_close(p.c);
		tls_conn_close(p.peer);
		tls_conn_destroy(p.c);
		tls_conn_destroy(p.peer);
		p.c = conn(p.checking, server, server ? NULL : session);
		p.peer = conn(p.plain, !server, server ? session : NULL);
		talk(&p);
		assert_int_equal(tls_conn_state(p.c), TLS_CONN_VERDICT);
		assert_int_equal(tls_conn_info(p.c)->resumed, near);
		is_about(p.c, cert, near ? "root" : "mid");
		assert_int_equal(
			tls_conn_verdict(p.c, false, TLS_REASON_NO_STATUS),
			-EPROTO);
		assert_int_equal(tls_conn_reason(p.c), TLS_REASON_NO_STATUS);
		tls_session_free(session);
		unpair(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_before_the_verdict),
		cmocka_unit_test(bounded),
		cmocka_unit_test(deadline),
		cmocka_unit_test(trusted_itself),
		cmocka_unit_test(staple),
		cmocka_unit_test(own_issuer),
		cmocka_unit_test(resumed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
