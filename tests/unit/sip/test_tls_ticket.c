/* tls_ticket: two nodes that share its record, and a peer's sessions. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/ssl.h>

#include "sbcd/record/record.h"
#include "sbcd/sip/tls_profile.h"
#include "sbcd/sip/tls_ticket.h"
#include "tests/unit/sip/tls_certs.h"
#include "tests/unit/sip/tls_run.h"

enum { LIFE_MS = TLS_TICKET_LIFE_S * 1000 };
static const uint64_t start_ms = 1760000000000;

static const char *const names[] = {"office", "carrier"};
static const enum tls_version versions[] = {TLS_VERSION_1_2, TLS_VERSION_1_3};
enum { PROFILES = 2 };

struct node {
	struct tls_ticket *t;
	struct tls_profile *profiles[PROFILES];
	struct rec_ticket put; /* the last */
	unsigned puts;
	uint8_t next; /* what is random */
	bool deaf, dull;
};

static int get_random(void *ctx, void *out, size_t size)
{
	struct node *n = ctx;

	if (n->dull)
		return -EIO;
	memset(out, ++n->next, size);
	return 0;
}

/* By the wire, as to the other node. */
static int put(void *ctx, const struct rec_ticket *r)
{
	struct node *n = ctx;
	struct buf value;

	if (n->deaf)
		return -ENOBUFS;
	buf_init(&value, 4096);
	assert_int_equal(record_encode(REC_TICKET, r, &value), 0);
	assert_int_equal(
		record_decode(REC_TICKET, value.data, value.size, &n->put), 0);
	buf_finish(&value);
	n->puts++;
	return 0;
}

static const struct tls_ticket_ops ops = {.random = get_random, .put = put};

static struct tls_profile *profile(const char *name, enum tls_version version)
{
	const char *root = path("root", "crt");
	struct tls_profile_params params = {
		.name = name,
		.certificate = path("both", "crt"),
		.key = path("both", "key"),
		.trusted = &root,
		.trusted_len = 1,
		.verify_depth = 1,
		.cipher_list = "ALL",
		.version = version,
		.mutual = true,
	};
	struct tls_profile_error err;
	struct tls_profile *p = NULL;

	if (tls_profile_create(&p, &params, &err))
		fail_msg("%s", err.text);
	return p;
}

static struct node node_up(enum tls_version version, uint8_t seed)
{
	struct node n = {.next = seed};

	for (unsigned i = 0; i < PROFILES; i++)
		n.profiles[i] = profile(names[i], version);
	return n;
}

/* After `n` is where it stays: its address is the ctx. */
static void node_start(struct node *n)
{
	assert_int_equal(tls_ticket_create(&n->t, &ops, n), 0);
}

static void node_apply(struct node *n, uint64_t now)
{
	for (unsigned i = 0; i < PROFILES; i++)
		assert_int_equal(
			tls_ticket_apply(n->t, n->profiles[i], names[i], now),
			0);
}

static void node_turn(struct node *n, uint64_t now, int want)
{
	assert_int_equal(tls_ticket_turn(n->t, now), want);
	if (want)
		node_apply(n, now);
}

static void node_restore(struct node *n, const struct rec_ticket *r,
			 uint64_t now)
{
	assert_int_equal(tls_ticket_restore(n->t, r), 0);
	node_apply(n, now);
}

static void node_down(struct node *n)
{
	tls_ticket_destroy(n->t);
	for (unsigned i = 0; i < PROFILES; i++)
		tls_profile_destroy(n->profiles[i]);
}

static SSL_SESSION *session_with(const struct node *n, unsigned which,
				 SSL_CTX *client)
{
	struct outcome o =
		run(client, tls_profile_server(n->profiles[which]), NULL);

	assert_true(o.done && !o.resumed);
	return o.session;
}

static bool resumes(const struct node *n, unsigned which, SSL_CTX *client,
		    SSL_SESSION *session)
{
	struct outcome o =
		run(client, tls_profile_server(n->profiles[which]), session);

	assert_true(o.done);
	SSL_SESSION_free(o.session);
	return o.resumed;
}

/* The node dies; its peers go on where they were, each where it was. */
static void across_a_take_over(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct node a = node_up(versions[i], 0),
			    b = node_up(versions[i], 100);
		struct tls_profile *peer = profile("peer", versions[i]);
		SSL_CTX *client = tls_profile_client(peer);
		SSL_SESSION *session;

		node_start(&a);
		node_start(&b);
		session = session_with(&a, 0, client);
		assert_false(SSL_SESSION_has_ticket(session));
		SSL_SESSION_free(session);
		node_turn(&a, start_ms, 1);
		node_restore(&b, &a.put, start_ms);
		session = session_with(&a, 0, client);
		assert_true(SSL_SESSION_has_ticket(session));
		assert_true(resumes(&a, 0, client, session));
		/* b becomes active, and makes no key of its own */
		node_turn(&b, start_ms + 1000, 0);
		assert_int_equal(b.puts, 0);
		assert_true(resumes(&b, 0, client, session));
		assert_false(resumes(&b, 1, client, session));
		assert_false(resumes(&a, 1, client, session));
		SSL_SESSION_free(session);
		tls_profile_destroy(peer);
		node_down(&a);
		node_down(&b);
	}
}

/* Not even where contexts would take each other's sessions. */
static void profiles_have_keys_of_their_own(void **state)
{
	struct node n = node_up(TLS_VERSION_1_2, 0);
	struct tls_profile *peer = profile("peer", TLS_VERSION_1_2);
	SSL_CTX *client = tls_profile_client(peer);
	SSL_SESSION *session;

	node_start(&n);
	node_turn(&n, start_ms, 1);
	for (unsigned i = 0; i < PROFILES; i++)
		assert_int_equal(SSL_CTX_set_session_id_context(
					 tls_profile_server(n.profiles[i]),
					 (const unsigned char *)"same", 4),
				 1);
	session = session_with(&n, 0, client);
	assert_true(resumes(&n, 0, client, session));
	assert_false(resumes(&n, 1, client, session));
	/* while with the keys of the other it would */
	assert_int_equal(
		tls_ticket_apply(n.t, n.profiles[1], names[0], start_ms), 0);
	assert_true(resumes(&n, 1, client, session));
	SSL_SESSION_free(session);
	tls_profile_destroy(peer);
	node_down(&n);
}

static void keys_turn(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct node a = node_up(versions[i], 0),
			    b = node_up(versions[i], 100);
		struct tls_profile *peer = profile("peer", versions[i]);
		SSL_CTX *client = tls_profile_client(peer);
		SSL_SESSION *first, *second;

		node_start(&a);
		node_start(&b);
		node_turn(&a, start_ms, 1);
		first = session_with(&a, 0, client);
		node_turn(&a, start_ms + LIFE_MS - 1, 0);
		/* sealed with the next one, and with the one before */
		node_turn(&a, start_ms + LIFE_MS, 1);
		assert_int_equal(a.put.keys_len, 2);
		assert_true(a.put.keys[0].created_ms == start_ms + LIFE_MS);
		second = session_with(&a, 0, client);
		assert_true(resumes(&a, 0, client, first));
		node_restore(&b, &a.put, start_ms + LIFE_MS);
		assert_true(resumes(&b, 0, client, first));
		assert_true(resumes(&b, 0, client, second));
		/* the ticket's life after it sealed the last, it is gone */
		node_turn(&b, start_ms + 2 * LIFE_MS, 1);
		assert_int_equal(b.put.keys_len, 2);
		assert_false(resumes(&b, 0, client, first));
		assert_true(resumes(&b, 0, client, second));
		/* on a node that was restored and is not active yet, too */
		node_apply(&a, start_ms + 2 * LIFE_MS);
		assert_false(resumes(&a, 0, client, first));
		/* after a long sleep nothing is as it was */
		node_turn(&b, start_ms + 9 * (uint64_t)LIFE_MS, 1);
		assert_int_equal(b.put.keys_len, 1);
		assert_false(resumes(&b, 0, client, second));
		SSL_SESSION_free(first);
		SSL_SESSION_free(second);
		tls_profile_destroy(peer);
		node_down(&a);
		node_down(&b);
	}
}

/* A key that the other node will never hear of seals nothing. */
static void what_fails_changes_nothing(void **state)
{
	struct node n = node_up(TLS_VERSION_1_3, 0);
	struct tls_profile *peer = profile("peer", TLS_VERSION_1_3);
	SSL_CTX *client = tls_profile_client(peer);
	SSL_SESSION *session;

	node_start(&n);
	n.deaf = true;
	assert_int_equal(tls_ticket_turn(n.t, start_ms), -ENOBUFS);
	node_apply(&n, start_ms);
	session = session_with(&n, 0, client);
	assert_false(SSL_SESSION_has_ticket(session));
	SSL_SESSION_free(session);
	n.deaf = false;
	n.dull = true;
	assert_int_equal(tls_ticket_turn(n.t, start_ms), -EIO);
	assert_int_equal(n.puts, 0);
	n.dull = false;
	node_turn(&n, start_ms, 1);
	n.deaf = true;
	assert_int_equal(tls_ticket_turn(n.t, start_ms + LIFE_MS), -ENOBUFS);
	n.deaf = false;
	node_turn(&n, start_ms + LIFE_MS, 1);
	assert_int_equal(n.put.keys_len, 2);
	tls_profile_destroy(peer);
	node_down(&n);
}

static void hostile_records(void **state)
{
	struct node n = node_up(TLS_VERSION_1_3, 0);
	struct rec_ticket good, r;

	node_start(&n);
	node_turn(&n, start_ms, 1);
	node_turn(&n, start_ms + LIFE_MS, 1);
	good = n.put;
	r = good;
	r.keys_len = REC_TICKET_KEYS_MAX + 1;
	assert_int_equal(tls_ticket_restore(n.t, &r), -EBADMSG);
	r = good;
	r.keys[1].secret.size--;
	assert_int_equal(tls_ticket_restore(n.t, &r), -EBADMSG);
	r = good;
	r.keys[1].created_ms = r.keys[0].created_ms + 1;
	assert_int_equal(tls_ticket_restore(n.t, &r), -EBADMSG);
	/* the good ones are still there */
	node_turn(&n, start_ms + LIFE_MS + 1, 0);
	/* one from a time to come, as after a clock that was wrong */
	r = good;
	r.keys[0].created_ms = UINT64_MAX;
	assert_int_equal(tls_ticket_restore(n.t, &r), 0);
	node_turn(&n, start_ms + LIFE_MS + 1, 1);
	assert_int_equal(n.put.keys_len, 2);
	assert_true(n.put.keys[0].created_ms == start_ms + LIFE_MS + 1);
	/* gone: then there is a new one */
	node_restore(&n, NULL, start_ms);
	node_turn(&n, start_ms, 1);
	assert_int_equal(n.put.keys_len, 1);
	node_down(&n);
}

static int setup(void **state)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048), *ca = EVP_EC_gen("P-256");

	assert_non_null(mkdtemp(dir));
	make("root", NULL, NULL, 100, ca);
	make("both", "root", "serverAuth,clientAuth", 100, rsa);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ca);
	return 0;
}

static int teardown(void **state)
{
	static const char *const made[] = {"root", "both"};

	remove_all(made, 2);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(across_a_take_over),
		cmocka_unit_test(profiles_have_keys_of_their_own),
		cmocka_unit_test(keys_turn),
		cmocka_unit_test(what_fails_changes_nothing),
		cmocka_unit_test(hostile_records),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
