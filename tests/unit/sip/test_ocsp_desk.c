/* ocsp_desk: who is told what, when, and what the other node goes on with. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include <poll.h>

#include "sbcd/sip/ocsp_desk.h"
#include "tests/unit/sip/ocsp_make.h"
#include "tests/unit/sip/ocsp_server.h"

enum {
	WAIT_MS = 60000,
	HOUR = 3600,
	DAY = 24 * HOUR,
	/* in a response: a byte of what is signed, whatever lengths vary */
	SIGNED = 60,
};
#define GOOD	V_OCSP_CERTSTATUS_GOOD
#define REVOKED V_OCSP_CERTSTATUS_REVOKED
#define UNKNOWN V_OCSP_CERTSTATUS_UNKNOWN

static const char *const certs[] = {"root", "other", "peer", "mute", "real"};
static struct server server;
static int64_t today;
static EVP_PKEY *ca, *key;

/* ---- one desk, and what it has said ---------------------------------------
 */

static struct {
	struct ocsp_desk *d;
	struct ocsp_now now;
	struct ocsp_word word;
	unsigned told, puts, deletes;
	uint64_t token; /* the last that was told */
	uint64_t id; /* the last record's */
	struct rec_ocsp record;
} desk;

static void told(void *ctx, uint64_t token, const struct ocsp_word *word)
{
	desk.told++;
	desk.token = token;
	desk.word = *word;
}

static void put(void *ctx, uint64_t id, const struct rec_ocsp *r)
{
	desk.id = id;
	if (r) {
		desk.record = *r;
		desk.puts++;
	} else {
		desk.deletes++;
	}
}

static const struct ocsp_desk_ops ops = {.told = told, .put = put};

static void desk_open(void)
{
	struct rec_ocsp r = desk.record;
	uint64_t id = desk.id;

	memset(&desk, 0, sizeof(desk));
	desk.record = r;
	desk.id = id;
	desk.now = (struct ocsp_now){1000000, today};
	assert_int_equal(ocsp_desk_create(&desk.d, &ops, NULL), 0);
}

/* Not before the server has seen what it was asked since: nothing of that
 * comes when others count. */
static void desk_close(unsigned asked)
{
	uint64_t until_s = (uint64_t)time(NULL) + WAIT_MS / 1000;

	while (server_asked(&server) < asked && (uint64_t)time(NULL) < until_s)
		usleep(1000);
	assert_int_equal(server_asked(&server), asked);
	ocsp_desk_destroy(desk.d);
	server.s->asked = 0;
}

static void pass(int64_t s)
{
	desk.now.mono_ms += (uint64_t)s * 1000;
	desk.now.wall_s += s;
}

static struct tls_ocsp_subject subject(const char *cert)
{
	return (struct tls_ocsp_subject){load_cert(cert), load_cert("root")};
}

static void release(struct tls_ocsp_subject *s)
{
	X509_free(s->cert);
	X509_free(s->issuer);
}

struct staple {
	const uint8_t *data;
	size_t size;
};

static int ask_with(uint64_t token, const char *cert, bool ignore_dead,
		    struct staple staple)
{
	struct ocsp_question q = {
		.token = token,
		.subject = subject(cert),
		.staple = staple.data,
		.staple_size = staple.size,
		.ignore_dead = ignore_dead,
	};
	int err = ocsp_desk_ask(desk.d, &q, &desk.now, &desk.word);

	release(&q.subject);
	return err;
}

static int ask(uint64_t token, const char *cert, bool ignore_dead)
{
	return ask_with(token, cert, ignore_dead, (struct staple){NULL, 0});
}

/* Until so many have been told since the desk was opened. */
static void wait_told(unsigned count)
{
	struct pollfd p = {.fd = ocsp_desk_fd(desk.d), .events = POLLIN};

	while (desk.told < count) {
		if (poll(&p, 1, WAIT_MS) != 1)
			fail_msg("nobody was told");
		ocsp_desk_turn(desk.d, &desk.now);
	}
	assert_int_equal(desk.told, count);
}

static void serve(const struct ocsp_spec *spec)
{
	server.s->how = SERVE_ANSWER;
	server.s->size =
		ocsp_make(spec, server.s->body, sizeof(server.s->body));
}

static struct ocsp_spec peer_is(int status)
{
	return (struct ocsp_spec){"peer", .status = status,
				  .since_s = today - HOUR,
				  .until_s = today + DAY / 2};
}

/* ---- asked of a responder -------------------------------------------------
 */

static void answers(void **state)
{
	static const struct {
		int status;
		bool ok;
		enum tls_reason why;
	} c[] = {
		{GOOD, true, 0},
		{REVOKED, false, TLS_REASON_REVOKED},
		{UNKNOWN, false, TLS_REASON_STATUS_UNKNOWN},
	};

	for (size_t i = 0; i < 2 * sizeof(c) / sizeof(c[0]); i++) {
		struct ocsp_spec s = peer_is(c[i / 2].status);
		bool ignore = i & 1; /* changes nothing: it is not dead */

		serve(&s);
		desk_open();
		assert_int_equal(ask(7, "peer", ignore), -EINPROGRESS);
		wait_told(1);
		assert_true(desk.token == 7);
		for (unsigned again = 0; again < 2; again++) {
			assert_int_equal(desk.word.ok, c[i / 2].ok);
			if (!desk.word.ok)
				assert_int_equal(desk.word.why, c[i / 2].why);
			/* from then on at once */
			assert_int_equal(ask(8, "peer", ignore), 0);
		}
		assert_int_equal(server_asked(&server), 1);
		assert_int_equal(desk.puts, 1);
		desk_close(1);
	}
}

/* What is no answer is none, whoever it is of. */
static void no_answer(void **state)
{
	struct ocsp_spec forged = peer_is(GOOD), stale = peer_is(GOOD);
	struct ocsp_spec another = peer_is(GOOD), later = peer_is(GOOD);
	const struct {
		enum serve how;
		const struct ocsp_spec *spec;
	} c[] = {
		{SERVE_ANSWER, &forged},  {SERVE_ANSWER, &stale},
		{SERVE_ANSWER, &another}, {SERVE_ANSWER, &later},
		{SERVE_ANSWER, NULL},	  {SERVE_GARBAGE, NULL},
		{SERVE_HUGE, NULL},	  {SERVE_CLOSE, NULL},
	};

	forged.signer = "other";
	stale.until_s = today - HOUR / 2;
	another.serial = 4711;
	later.refused = OCSP_RESPONSE_STATUS_TRYLATER;
	for (size_t i = 0; i < 2 * sizeof(c) / sizeof(c[0]); i++) {
		bool ignore = i & 1;

		if (c[i / 2].spec)
			serve(c[i / 2].spec);
		server.s->how = c[i / 2].how;
		if (!c[i / 2].spec)
			memset(server.s->body, 0x30, server.s->size);
		desk_open();
		assert_int_equal(ask(1, "peer", ignore), -EINPROGRESS);
		wait_told(1);
		assert_int_equal(desk.word.ok, ignore);
		assert_int_equal(desk.word.why, TLS_REASON_NO_STATUS);
		/* not asked again for a while, then yes */
		assert_int_equal(ask(2, "peer", ignore), 0);
		assert_int_equal(desk.word.ok, ignore);
		assert_int_equal(server_asked(&server), 1);
		pass(OCSP_DESK_AGAIN_MS / 1000);
		assert_int_equal(ask(3, "peer", ignore), -EINPROGRESS);
		wait_told(2);
		assert_int_equal(desk.puts, 0);
		desk_close(2);
	}
}

static void no_responder(void **state)
{
	desk_open();
	assert_int_equal(ask(1, "mute", false), 0);
	assert_false(desk.word.ok);
	assert_int_equal(desk.word.why, TLS_REASON_NO_STATUS);
	assert_int_equal(ask(1, "mute", true), 0);
	assert_true(desk.word.ok);
	desk_close(0);
}

static void several_wait_for_one(void **state)
{
	struct ocsp_spec s = peer_is(GOOD);

	serve(&s);
	desk_open();
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(ask(i, "peer", false), -EINPROGRESS);
	ocsp_desk_forget(desk.d, 2);
	wait_told(2);
	assert_int_equal(server_asked(&server), 1);
	desk_close(1);
	/* no more than there is room for */
	desk_open();
	for (uint64_t i = 1; i <= OCSP_DESK_WAITERS_MAX; i++)
		assert_int_equal(ask(i, "peer", false), -EINPROGRESS);
	assert_int_equal(ask(99, "peer", false), 0);
	assert_false(desk.word.ok);
	desk_close(1);
}

static void given_up(void **state)
{
	server.s->how = SERVE_SILENCE;
	desk_open();
	assert_int_equal(ask(1, "peer", false), -EINPROGRESS);
	assert_int_equal(ask(2, "peer", true), -EINPROGRESS);
	desk.now.mono_ms += OCSP_DESK_WAIT_MS - 1;
	ocsp_desk_turn(desk.d, &desk.now);
	assert_int_equal(desk.told, 0);
	desk.now.mono_ms++;
	ocsp_desk_turn(desk.d, &desk.now);
	assert_int_equal(desk.told, 2);
	assert_true(desk.token == 2 && desk.word.ok);
	assert_int_equal(ask(3, "peer", false), 0);
	assert_false(desk.word.ok);
	assert_int_equal(desk.word.why, TLS_REASON_NO_STATUS);
	desk_close(1);
}

static void out_of_date(void **state)
{
	struct ocsp_spec s = peer_is(GOOD);

	serve(&s);
	desk_open();
	assert_int_equal(ask(1, "peer", false), -EINPROGRESS);
	wait_told(1);
	pass(DAY / 2 + TLS_OCSP_SKEW_S);
	assert_int_equal(ask(2, "peer", false), 0);
	assert_true(desk.word.ok);
	assert_int_equal(desk.deletes, 0);
	pass(1);
	ocsp_desk_turn(desk.d, &desk.now);
	assert_int_equal(desk.deletes, 1);
	assert_int_equal(ask(3, "peer", false), -EINPROGRESS);
	desk_close(2);
	/* and however long it would like to be good */
	s.until_s = today + 100 * DAY;
	serve(&s);
	desk_open();
	assert_int_equal(ask(1, "peer", false), -EINPROGRESS);
	wait_told(1);
	pass(OCSP_DESK_KEEP_S);
	assert_int_equal(ask(2, "peer", false), 0);
	pass(1);
	assert_int_equal(ask(3, "peer", false), -EINPROGRESS);
	desk_close(2);
}

/* ---- stapled ---------------------------------------------------------------
 */

static void with_a_staple(void **state)
{
	struct ocsp_spec good = peer_is(GOOD), bad = peer_is(REVOKED);
	struct ocsp_spec forged = peer_is(GOOD);
	uint8_t der[4096], worse[4096];
	size_t size = ocsp_make(&good, der, sizeof(der));
	struct staple staple = {der, size};

	serve(&bad);
	desk_open();
	assert_int_equal(ask_with(1, "peer", false, staple), 0);
	assert_true(desk.word.ok);
	assert_int_equal(server_asked(&server), 0);
	assert_int_equal(desk.puts, 1);
	desk_close(0);
	/* one that counts for nothing is as none: the responder is asked */
	forged.signer = "other";
	staple.size = ocsp_make(&forged, der, sizeof(der));
	desk_open();
	assert_int_equal(ask_with(1, "peer", false, staple), -EINPROGRESS);
	wait_told(1);
	assert_int_equal(desk.word.why, TLS_REASON_REVOKED);
	/* what a peer shows does not undo that */
	staple.size = ocsp_make(&good, der, sizeof(der));
	assert_int_equal(ask_with(2, "peer", false, staple), 0);
	assert_false(desk.word.ok);
	desk_close(1);
	/* and what it shows of being revoked is enough */
	staple = (struct staple){worse, ocsp_make(&bad, worse, sizeof(worse))};
	desk_open();
	assert_int_equal(ask_with(1, "peer", true, staple), 0);
	assert_false(desk.word.ok);
	assert_int_equal(desk.word.why, TLS_REASON_REVOKED);
	desk_close(0);
}

/* The answer that nobody waits for comes to be. */
static bool staple_is(bool want, const struct ocsp_spec *spec)
{
	struct tls_ocsp_subject own = subject("peer");
	const uint8_t *data;
	uint8_t der[4096];
	size_t size, len = spec ? ocsp_make(spec, der, sizeof(der)) : 0;
	bool have = !ocsp_desk_staple(desk.d, &own, &desk.now, &data, &size);

	release(&own);
	/* the signature is another one each time */
	return have == want &&
	       (!have || !spec || (size > len - 16 && size < len + 16));
}

static void wait_asked(unsigned count)
{
	struct pollfd p = {.fd = ocsp_desk_fd(desk.d), .events = POLLIN};

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	ocsp_desk_turn(desk.d, &desk.now);
	assert_int_equal(server_asked(&server), count);
}

static void of_our_own(void **state)
{
	struct ocsp_spec s = peer_is(GOOD);

	serve(&s);
	desk_open();
	assert_true(staple_is(false, NULL));
	wait_asked(1);
	assert_true(staple_is(true, &s));
	/* half of its time over it is asked for again, and goes on meanwhile */
	pass(DAY / 4 + TLS_OCSP_SKEW_S / 2 - 1);
	assert_true(staple_is(true, &s));
	assert_int_equal(server_asked(&server), 1);
	pass(1);
	assert_true(staple_is(true, &s));
	wait_asked(2);
	assert_true(staple_is(true, &s));
	/* the responder is dead: till the end of its time */
	server.s->how = SERVE_CLOSE;
	pass(DAY / 8 + 200);
	assert_true(staple_is(true, &s));
	wait_asked(3);
	assert_true(staple_is(true, &s));
	pass(DAY / 8);
	assert_true(staple_is(false, NULL));
	desk_close(4);
	/* what is no recommendation is not shown */
	s = peer_is(REVOKED);
	serve(&s);
	desk_open();
	assert_true(staple_is(false, NULL));
	wait_asked(1);
	assert_true(staple_is(false, NULL));
	desk_close(1);
}

/* ---- the other node --------------------------------------------------------
 */

static void across_a_take_over(void **state)
{
	struct ocsp_spec s = peer_is(GOOD);
	struct rec_ocsp bad;

	serve(&s);
	desk_open();
	assert_int_equal(ask(1, "peer", false), -EINPROGRESS);
	wait_told(1);
	desk_close(1);
	/* the node is dead, and so is the responder */
	server.s->how = SERVE_CLOSE;
	desk_open();
	assert_int_equal(ocsp_desk_restore(desk.d, desk.id, &desk.record), 0);
	assert_int_equal(desk.puts + desk.deletes, 0);
	assert_int_equal(ask(2, "peer", false), 0);
	assert_true(desk.word.ok);
	/* in its time, which goes on */
	pass(DAY / 2 + TLS_OCSP_SKEW_S + 1);
	assert_int_equal(ask(3, "peer", false), -EINPROGRESS);
	assert_int_equal(desk.deletes, 1);
	desk_close(1);
	/* deleted there */
	desk_open();
	assert_int_equal(ocsp_desk_restore(desk.d, desk.id, &desk.record), 0);
	assert_int_equal(ocsp_desk_restore(desk.d, desk.id, NULL), 0);
	assert_int_equal(ask(2, "peer", false), -EINPROGRESS);
	desk_close(1);
	/* it is looked at as what comes from anybody is */
	bad = desk.record;
	bad.response.data[SIGNED] ^= 1;
	desk_open();
	assert_int_equal(ocsp_desk_restore(desk.d, desk.id, &bad), 0);
	assert_int_equal(ask(2, "peer", false), -EINPROGRESS);
	assert_int_equal(desk.deletes, 1);
	bad = desk.record;
	assert_int_equal(ocsp_desk_restore(desk.d, desk.id + 1, &bad),
			 -EBADMSG);
	bad.certificate.size--;
	assert_int_equal(ocsp_desk_restore(desk.d, desk.id, &bad), -EBADMSG);
	bad = desk.record;
	bad.response.size = 0;
	assert_int_equal(ocsp_desk_restore(desk.d, desk.id, &bad), -EBADMSG);
	bad = desk.record;
	bad.until_s = UINT64_MAX;
	assert_int_equal(ocsp_desk_restore(desk.d, desk.id, &bad), -EBADMSG);
	desk_close(1);
}

/* Of many peers the ones that were seen last are known. */
static void bounded(void **state)
{
	const unsigned many = OCSP_DESK_CERTIFICATES_MAX + 44;
	struct ocsp_spec s = peer_is(GOOD);
	struct tls_ocsp_subject who = subject("peer");
	uint8_t der[4096];

	desk_open();
	for (unsigned i = 1; i <= many; i++) {
		struct ocsp_question q = {.token = i, .staple = der};

		s.serial = (long)i;
		q.staple_size = ocsp_make(&s, der, sizeof(der));
		q.subject = who;
		ASN1_INTEGER_set(X509_get_serialNumber(who.cert), (long)i);
		assert_int_equal(
			ocsp_desk_ask(desk.d, &q, &desk.now, &desk.word), 0);
		assert_true(desk.word.ok);
	}
	assert_int_equal(desk.puts, many);
	assert_int_equal(desk.deletes, 44);
	desk_close(0);
	/* records of more than that do not grow it either, nor are deleted
	 * by who is not active */
	desk_open();
	for (unsigned i = 0; i < many; i++) {
		desk.record.certificate.data[0] = (uint8_t)i;
		desk.record.certificate.data[1] = (uint8_t)(i >> 8);
		memcpy(&desk.id, desk.record.certificate.data, sizeof(desk.id));
		assert_int_equal(
			ocsp_desk_restore(desk.d, desk.id, &desk.record), 0);
	}
	assert_int_equal(desk.deletes, 0);
	pass(100 * DAY);
	ocsp_desk_turn(desk.d, &desk.now);
	assert_int_equal(desk.deletes, OCSP_DESK_CERTIFICATES_MAX);
	desk_close(0);
	release(&who);
}

/* ---- a responder that others have made -------------------------------------
 */

/* `openssl ocsp` with that index: its process, and where it listens. */
static pid_t real_start(const char *index, unsigned *port)
{
	char line[256] = "";
	FILE *f = fopen(path("real", "index"), "w");
	int fds[2];
	pid_t pid;

	fputs(index, f);
	fclose(f);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		execlp("openssl", "openssl", "ocsp", "-port", "0", "-nmin", "5",
		       "-index", path("real", "index"), "-CA",
		       path("root", "crt"), "-rsigner", path("root", "crt"),
		       "-rkey", path("root", "key"), NULL);
		_exit(127);
	}
	close(fds[1]);
	f = fdopen(fds[0], "r");
	while (!*port && fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, "ACCEPT ");

		at = at ? strrchr(at, ':') : NULL;
		if (!at || sscanf(at + 1, "%u", port) != 1)
			*port = 0;
	}
	if (!*port)
		fail_msg("openssl ocsp has not begun: %s", line);
	fclose(f);
	return pid;
}

static void a_real_responder(void **state)
{
	static const struct {
		const char *index;
		bool ok;
		enum tls_reason why;
	} c[] = {
		{"V\t491231235959Z\t\t01\tunknown\t/CN=real\n", true, 0},
		{"R\t491231235959Z\t240101000000Z\t01\tunknown\t/CN=real\n",
		 false, TLS_REASON_REVOKED},
		{"V\t491231235959Z\t\t02\tunknown\t/CN=real\n", false,
		 TLS_REASON_STATUS_UNKNOWN},
	};

	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		unsigned port = 0;
		char text[64];
		pid_t pid = real_start(c[i].index, &port);

		snprintf(text, sizeof(text), "OCSP;URI:http://127.0.0.1:%u",
			 port);
		aia = text;
		make("real", "root", "serverAuth,clientAuth", 100, key);
		aia = NULL;
		desk_open();
		assert_int_equal(ask(1, "real", false), -EINPROGRESS);
		wait_told(1);
		assert_int_equal(desk.word.ok, c[i].ok);
		if (!c[i].ok)
			assert_int_equal(desk.word.why, c[i].why);
		desk_close(0);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		unlink(path("real", "index"));
	}
}

static int setup(void **state)
{
	char text[64];

	server = server_start();
	ca = EVP_EC_gen("P-256");
	key = EVP_EC_gen("P-256");
	today = (int64_t)time(NULL);
	assert_non_null(mkdtemp(dir));
	make("root", NULL, NULL, 100, ca);
	make("other", NULL, NULL, 100, key);
	make("mute", "root", "serverAuth,clientAuth", 100, key);
	snprintf(text, sizeof(text), "OCSP;URI:http://127.0.0.1:%u/",
		 server.port);
	aia = text;
	make("peer", "root", "serverAuth,clientAuth", 100, key);
	aia = NULL;
	return 0;
}

static int teardown(void **state)
{
	remove_all(certs, sizeof(certs) / sizeof(certs[0]));
	EVP_PKEY_free(ca);
	EVP_PKEY_free(key);
	server_stop(&server);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(no_answer),
		cmocka_unit_test(no_responder),
		cmocka_unit_test(several_wait_for_one),
		cmocka_unit_test(given_up),
		cmocka_unit_test(out_of_date),
		cmocka_unit_test(with_a_staple),
		cmocka_unit_test(of_our_own),
		cmocka_unit_test(across_a_take_over),
		cmocka_unit_test(bounded),
		cmocka_unit_test(a_real_responder),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
