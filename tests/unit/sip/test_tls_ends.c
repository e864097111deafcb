/* tls_conn: handshakes that end before their time, and how that is explained.
 */
#include "tests/unit/sip/tls_pair.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(truncated),
		cmocka_unit_test(closed_at_the_certificate),
		cmocka_unit_test(refused_when_open),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
