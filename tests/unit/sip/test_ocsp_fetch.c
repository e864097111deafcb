/* ocsp_fetch: a responder's answer comes, whatever else others send. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>

#include <openssl/ocsp.h>

#include "sbcd/sip/ocsp_fetch.h"
#include "tests/unit/sip/ocsp_server.h"

enum { WAIT_MS = 60000 };

static struct server server;
static struct ocsp_fetch_result result;

/* A request of OCSP that is none of a certificate: nobody looks at it here. */
static const uint8_t request[] = {0x30, 0x46, 0x30, 0x44, 0x30, 0x42};

static uint8_t der[TLS_OCSP_REQUEST_MAX_BYTES];
static size_t der_size;

static int setup(void **state)
{
	OCSP_REQUEST *r = OCSP_REQUEST_new();
	unsigned char *at = der;

	der_size = (size_t)i2d_OCSP_REQUEST(r, &at);
	OCSP_REQUEST_free(r);
	server = server_start();
	return 0;
}

static int teardown(void **state)
{
	server_stop(&server);
	return 0;
}

static bool take(struct ocsp_fetch *f)
{
	struct pollfd p = {.fd = ocsp_fetch_fd(f), .events = POLLIN};

	return poll(&p, 1, WAIT_MS) == 1 && ocsp_fetch_take(f, &result);
}

static struct tls_ocsp_url url_of(const char *host, uint16_t port)
{
	struct tls_ocsp_url u = {.port = port, .path = "/status?x"};

	snprintf(u.host, sizeof(u.host), "%s", host);
	return u;
}

static void serve(enum serve how, size_t size)
{
	/* DER, as far as its length goes */
	memset(server.s->body, 'x', sizeof(server.s->body));
	server.s->body[0] = 0x30;
	server.s->body[1] = 0x82;
	server.s->body[2] = (uint8_t)((size - 4) >> 8);
	server.s->body[3] = (uint8_t)(size - 4);
	server.s->size = size;
	server.s->how = how;
}

static void answers(void **state)
{
	static const struct {
		enum serve how;
		size_t size;
		int err;
	} c[] = {
		{SERVE_ANSWER, 1000, 0},
		{SERVE_ANSWER, TLS_OCSP_RESPONSE_MAX_BYTES, 0},
		{SERVE_NO_LENGTH, 1000, 0},
		{SERVE_ANSWER, TLS_OCSP_RESPONSE_MAX_BYTES + 1, -EPROTO},
		{SERVE_NO_LENGTH, TLS_OCSP_RESPONSE_MAX_BYTES + 1, -EPROTO},
		{SERVE_HUGE, 30000, -EPROTO},
		{SERVE_LIE, 1000, -EPROTO},
		{SERVE_HEADERS, 100, -EMSGSIZE},
		{SERVE_LINE, 100, -EPROTO},
		{SERVE_GARBAGE, 100, -EPROTO},
		{SERVE_HTML, 100, -EPROTO},
		{SERVE_REDIRECT, 100, -EPROTO},
		{SERVE_ERROR, 100, -EPROTO},
		{SERVE_CLOSE, 100, -EPROTO},
		{SERVE_SHORT, 100, -EPROTO},
		{SERVE_SILENCE, 100, -ETIMEDOUT},
		{SERVE_DRIP, 100, -ETIMEDOUT},
	};
	struct tls_ocsp_url u = url_of("127.0.0.1", server.port);
	struct ocsp_fetch *f;

	assert_int_equal(ocsp_fetch_create(&f), 0);
	assert_false(ocsp_fetch_take(f, &result));
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		serve(c[i].how, c[i].size);
		assert_int_equal(ocsp_fetch_ask(f, i + 1, &u, der, der_size),
				 0);
		assert_true(take(f));
		print_message("%u, %zu bytes: %d\n", c[i].how, c[i].size,
			      result.err);
		assert_true(result.token == i + 1);
		assert_int_equal(result.err, c[i].err);
		if (result.err)
			continue;
		assert_int_equal(result.size, c[i].size);
		assert_memory_equal(result.data, server.s->body, c[i].size);
	}
	assert_int_equal(server_asked(&server), sizeof(c) / sizeof(c[0]));
	assert_non_null(strstr(server.s->request, "POST /status?x HTTP/1."));
	assert_non_null(strstr(server.s->request, "Host: 127.0.0.1:"));
	assert_non_null(strstr(server.s->request,
			       "Content-Type: application/ocsp-request"));
	ocsp_fetch_destroy(f);
}

static void nobody_there(void **state)
{
	struct tls_ocsp_url u = url_of("127.0.0.1", 1);
	struct ocsp_fetch *f;

	assert_int_equal(ocsp_fetch_create(&f), 0);
	assert_int_equal(ocsp_fetch_ask(f, 1, &u, der, der_size), 0);
	assert_true(take(f));
	assert_int_equal(result.err, -EHOSTUNREACH);
	u = url_of("256.256.256.256", 80);
	assert_int_equal(ocsp_fetch_ask(f, 2, &u, der, der_size), 0);
	assert_true(take(f));
	assert_int_equal(result.err, -EHOSTUNREACH);
	/* what is no request is not sent */
	u = url_of("127.0.0.1", server.port);
	assert_int_equal(ocsp_fetch_ask(f, 3, &u, request, sizeof(request)), 0);
	assert_true(take(f));
	assert_true(result.err < 0);
	ocsp_fetch_destroy(f);
}

/* One that says nothing holds up none but itself. */
static void side_by_side(void **state)
{
	struct server other = server_start();
	struct tls_ocsp_url slow = url_of("127.0.0.1", server.port);
	struct tls_ocsp_url good = url_of("127.0.0.1", other.port);
	struct ocsp_fetch *f;

	serve(SERVE_SILENCE, 100);
	memcpy(other.s, server.s, sizeof(*other.s));
	other.s->how = SERVE_ANSWER;
	assert_int_equal(ocsp_fetch_create(&f), 0);
	assert_int_equal(ocsp_fetch_ask(f, 1, &slow, der, der_size), 0);
	assert_int_equal(ocsp_fetch_ask(f, 2, &good, der, der_size), 0);
	assert_true(take(f));
	assert_true(result.token == 2 && !result.err);
	assert_true(take(f));
	assert_true(result.token == 1);
	assert_int_equal(result.err, -ETIMEDOUT);
	ocsp_fetch_destroy(f);
	server_stop(&other);
}

static void no_more_than_so_many(void **state)
{
	struct tls_ocsp_url u = url_of("127.0.0.1", server.port);
	struct ocsp_fetch *f;

	serve(SERVE_ANSWER, 100);
	assert_int_equal(ocsp_fetch_create(&f), 0);
	for (uint64_t i = 0; i < OCSP_FETCH_JOBS_MAX; i++)
		assert_int_equal(ocsp_fetch_ask(f, i, &u, der, der_size), 0);
	assert_int_equal(ocsp_fetch_ask(f, 99, &u, der, der_size), -EBUSY);
	for (unsigned i = 0; i < OCSP_FETCH_JOBS_MAX; i++) {
		assert_true(take(f));
		assert_int_equal(result.err, 0);
	}
	assert_false(ocsp_fetch_take(f, &result));
	assert_int_equal(ocsp_fetch_ask(f, 99, &u, der, der_size), 0);
	assert_true(take(f));
	assert_true(result.token == 99);
	ocsp_fetch_destroy(f);
}

/* In the middle of everything. */
static void destroyed(void **state)
{
	struct tls_ocsp_url u = url_of("127.0.0.1", server.port);
	struct ocsp_fetch *f;

	serve(SERVE_SILENCE, 100);
	for (unsigned round = 0; round < 20; round++) {
		assert_int_equal(ocsp_fetch_create(&f), 0);
		for (uint64_t i = 0; i < round; i++)
			assert_int_equal(
				ocsp_fetch_ask(f, i, &u, der, der_size), 0);
		ocsp_fetch_destroy(f);
	}
	ocsp_fetch_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(side_by_side),
		cmocka_unit_test(no_more_than_so_many),
		cmocka_unit_test(destroyed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
