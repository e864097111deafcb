/* tls_conn: two engines back to back, and one against plain OpenSSL. */
#include "tests/unit/sip/tls_pair.h"

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
