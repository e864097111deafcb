/*
 * Keys that change under a stream, here and over a take-over.
 */
#include "srtp_relay_test.h"

/* The same numbers are the same contexts, whatever else changed. */
static void an_update_changes_no_key(void **state)
{
	for (uint16_t i = 0; i < 40; i++) {
		uint16_t seq = (uint16_t)(65520 + i);

		plain(seq);
		run_on(core, 0);
		assert_int_equal(heard(0, false), seq);
		record.flows[1].direction =
			i % 2 ? FLOW_SENDRECV : FLOW_SENDONLY;
		update();
	}
	plain(5);
	run_on(core, 0);
	assert_int_equal(sent_len, 0);
}

static void rekeyed(void **state)
{
	struct msrtp *old_tx = peer_tx;

	for (uint16_t i = 0; i < 40; i++) {
		plain((uint16_t)(65520 + i));
		run_on(core, 0);
		assert_int_equal(heard(0, false), (uint16_t)(65520 + i));
	}
	/* New keys both ways; the peer's old one is good for a while. */
	record.keys[0].use = KEY_TX_BEFORE;
	record.keys[1].use = KEY_RX_OLD;
	add_key(KEY_TX, NEXT, SRTP_AEAD_AES_256_GCM);
	add_key(KEY_RX, NEXT + 1, SRTP_AEAD_AES_256_GCM);
	media_stream_put_done(stream, at_ms(0));
	update();
	assert_true(stream->put_wanted);
	msrtp_destroy(peer_rx);
	peer_rx = peer_context(NEXT, SRTP_AEAD_AES_256_GCM, SRTP_RECEIVE);
	secure(1);
	run_on(cloud, 0);
	assert_int_equal(sent_len, 1);
	peer_tx = peer_context(NEXT + 1, SRTP_AEAD_AES_256_GCM, SRTP_SEND);
	secure(2);
	run_on(cloud, 0);
	assert_int_equal(sent_len, 1);
	plain(100);
	run_on(core, 0);
	assert_int_equal(heard(0, false), 100);
	/* It is taken back: the key of before knows what it sent. */
	record.keys[2].use = KEY_OFFERED;
	record.keys[3].use = KEY_PROPOSED;
	record.keys[0].use = KEY_TX;
	record.keys[1].use = KEY_RX;
	update();
	msrtp_destroy(peer_tx);
	peer_tx = old_tx;
	plain(20);
	run_on(core, 0);
	assert_int_equal(sent_len, 0);
	secure(3);
	run_on(cloud, 0);
	assert_int_equal(sent_len, 1);
}

static struct msrtp *next_context(struct msrtp *old, uint32_t number,
				  enum srtp_direction direction)
{
	const struct msrtp_margin none = {0};
	struct msrtp *next =
		peer_context(number, SRTP_AEAD_AES_256_GCM, direction);
	struct msrtp_position at[SRTP_STREAMS_MAX];
	size_t n = msrtp_export(old, at, SRTP_STREAMS_MAX);

	assert_int_equal(n, 1);
	assert_int_equal(at[0].index >> 16, 2);
	assert_int_equal(msrtp_import(next, at, n, &none), 0);
	msrtp_destroy(old);
	return next;
}

/* New keys that go on from the ROC of the old ones, and the node dies before
 * it puts where they stand. The reference cannot go on: the peer is ours. */
static void rekeyed_just_before_a_take_over(void **state)
{
	enum { STEP = 2500, LAST = 53 * STEP };

	msrtp_destroy(peer_rx);
	msrtp_destroy(peer_tx);
	msrtp_engine_destroy(peer);
	peer = engine_of(NULL);
	peer_rx = peer_context(OURS, record.keys[0].suite, SRTP_RECEIVE);
	peer_tx = peer_context(THEIRS, record.keys[1].suite, SRTP_SEND);
	for (unsigned seq = STEP; seq <= LAST; seq += STEP) {
		plain((uint16_t)seq);
		run_on(core, 0);
		assert_int_equal(heard(0, false), (uint16_t)seq);
		secure((uint16_t)seq);
		run_on(cloud, 0);
		assert_int_equal(sent_len, 1);
	}
	record.keys[0].use = KEY_TX_BEFORE;
	record.keys[1].use = KEY_RX_OLD;
	add_key(KEY_TX, NEXT, SRTP_AEAD_AES_256_GCM);
	add_key(KEY_RX, NEXT + 1, SRTP_AEAD_AES_256_GCM);
	record.keys[2].after = OURS;
	record.keys[3].after = THEIRS;
	peer_rx = next_context(peer_rx, NEXT, SRTP_RECEIVE);
	peer_tx = next_context(peer_tx, NEXT + 1, SRTP_SEND);
	take_over();
	plain((uint16_t)(LAST + 5));
	run_on(core, 0);
	assert_int_equal(heard(0, false), (uint16_t)(LAST + 5));
	secure((uint16_t)(LAST + 5));
	run_on(cloud, 0);
	assert_int_equal(sent_len, 1);
	/* What the dead node sent. */
	plain((uint16_t)LAST);
	run_on(core, 0);
	assert_int_equal(sent_len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		S(an_update_changes_no_key),
		S(rekeyed),
		S(rekeyed_just_before_a_take_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
