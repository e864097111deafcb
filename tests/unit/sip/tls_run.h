/*
 * tls_run - a handshake of two contexts over memory. Layer: tests.
 */
#ifndef TESTS_UNIT_SIP_TLS_RUN_H
#define TESTS_UNIT_SIP_TLS_RUN_H

#include <stdbool.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "sbcd/sip/tls_reason.h"

struct outcome {
	bool done, resumed;
	enum tls_reason client, server;
	SSL_SESSION *session;
};

static bool step(SSL *ssl, enum tls_reason *reason, bool *done)
{
	char byte;
	int n = SSL_do_handshake(ssl);

	if (n == 1) {
		*done = true;
		n = SSL_read(ssl, &byte, 1); /* tickets and late alerts */
	}
	if (SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ)
		return true;
	*reason = tls_reason_of(ERR_peek_error(), SSL_get_verify_result(ssl));
	ERR_clear_error();
	return false;
}

static struct outcome run(SSL_CTX *client, SSL_CTX *server, SSL_SESSION *again)
{
	struct outcome o = {.client = -1, .server = -1};
	SSL *c = SSL_new(client), *s = SSL_new(server);
	bool c_done = false, s_done = false, c_ok = true, s_ok = true;
	BIO *cb, *sb;

	assert_int_equal(BIO_new_bio_pair(&cb, 1 << 17, &sb, 1 << 17), 1);
	SSL_set_bio(c, cb, cb);
	SSL_set_bio(s, sb, sb);
	SSL_set_connect_state(c);
	SSL_set_accept_state(s);
	if (again)
		SSL_set_session(c, again);
	for (int i = 0; i < 20; i++) {
		if (c_ok)
			c_ok = step(c, &o.client, &c_done);
		if (s_ok)
			s_ok = step(s, &o.server, &s_done);
	}
	o.done = c_done && s_done && c_ok && s_ok;
	o.resumed = SSL_session_reused(s);
	if (o.done) {
		o.session = SSL_get1_session(c);
		SSL_shutdown(c);
	}
	SSL_free(c);
	SSL_free(s);
	return o;
}

#endif
