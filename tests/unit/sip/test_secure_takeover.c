/*
 * The worker is killed in the middle of an exchange of keys, and another one
 * gets its records: peers and records agree on the keys afterwards.
 */
#include "harness_secure.h"

static char kept_key[256];

static void established(void **state)
{
	establish_out();
	in_use(1, our_key, KEY_A);
	kill_and_replace();
	in_use(1, our_key, KEY_A);
	/* And from there on it works as before. */
	reinvite(&b, &pbx, srtp_text(40000, "1 " SUITE KEY_B, NULL),
		 sdp_text("10.10.0.50", 30000, ""));
	in_use(1, our_key, KEY_B);
	bye(&a, &um);
}

static void offer_sent(void **state)
{
	char *inv;

	invite();
	note_key(um.msg);
	kill_and_replace();
	/* The INVITE again, word for word: with the key on record. */
	expect(&um, "INVITE");
	inv = keep(um.msg);
	assert_string_equal(key_in(inv), our_key);
	answer_to(&um, inv, 200, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 200, "INVITE");
	is_plain(pbx.msg);
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	in_use(1, our_key, KEY_A);
	bye(&a, &um);
}

static void answer_received(void **state)
{
	char *inv;

	invite();
	note_key(um.msg);
	inv = keep(um.msg);
	answer_to(&um, inv, 200, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 200, "INVITE");
	kill_and_replace();
	media_read();
	assert_int_equal(media.flows[1].sdes_state, SDES_ANSWERED);
	assert_true(same_as(key_of(1, KEY_TX), our_key));
	assert_true(same_as(key_of(1, KEY_RX), KEY_A));
	/* Before the ACK. */
	expect_status(&pbx, 200, "INVITE");
	is_plain(pbx.msg);
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	in_use(1, our_key, KEY_A);
	bye(&a, &um);
}

/* Our answer left with the 200: its repetition says the same. */
static void our_answer_sent(void **state)
{
	char *inv;

	call_in(srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect(&pbx, "INVITE");
	dlg_accept(&b, &pbx);
	inv = keep(pbx.msg);
	answer_to(&pbx, inv, 200, "callee", NULL,
		  sdp_text("10.10.0.50", 30000, ""));
	expect_status(&um, 200, "INVITE");
	note_key(um.msg);
	kill_and_replace();
	expect_status(&um, 200, "INVITE");
	assert_string_equal(key_in(um.msg), our_key);
	learn(&a);
	ack(&a, NULL);
	expect(&pbx, "ACK");
	in_use(0, our_key, KEY_A);
	bye(&b, &um);
}

/* Its answer, with our key, is in the ACK. */
static void answer_in_the_ack(void **state)
{
	char *inv;

	dlg_new(&a, &pbx, "2000");
	request(&a, "INVITE", NULL, NULL);
	expect(&um, "INVITE");
	inv = keep(um.msg);
	answer_to(&um, inv, 200, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	keeper.hold = true;
	ack(&a, sdp_text("10.10.0.50", 30000, ""));
	expect_nothing(&um, "a key that is not on record");
	keeper_release();
	expect(&um, "ACK");
	note_key(um.msg);
	kill_and_replace();
	/* It did not get there. */
	answer_to(&um, inv, 200, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect(&um, "ACK");
	assert_string_equal(key_in(um.msg), our_key);
	in_use(1, our_key, KEY_A);
	bye(&a, &um);
}

/* A re-INVITE is under way; um changes its key in the answer. */
static void reinvite_pending(void **state)
{
	establish_out();
	snprintf(kept_key, sizeof(kept_key), "%s", our_key);
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "INVITE");
	note_key(um.msg);
	/* Until the answer the old ones hold. */
	media_read();
	assert_true(same_as(key_of(1, KEY_TX), kept_key));
	kill_and_replace();
	expect(&um, "INVITE");
	assert_string_equal(key_in(um.msg), our_key);
	answer_to(&um, keep(um.msg), 200, NULL, NULL,
		  srtp_text(40000, "1 " SUITE KEY_B, NULL));
	expect_status(&pbx, 200, "INVITE");
	kill_and_replace();
	expect_status(&pbx, 200, "INVITE");
	ack(&a, NULL);
	expect(&um, "ACK");
	in_use(1, our_key, KEY_B);
	assert_true(same_as(key_of(1, KEY_RX_OLD), KEY_A));
	bye(&a, &um);
}

static int up_rekey(void **state)
{
	return up_with("srtp", "srtp-rekey-on-re-invite = enabled");
}

static void reinvite_refused(void **state)
{
	establish_out();
	snprintf(kept_key, sizeof(kept_key), "%s", our_key);
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "INVITE");
	note_key(um.msg);
	assert_string_not_equal(our_key, kept_key);
	kill_and_replace();
	expect(&um, "INVITE");
	assert_string_equal(key_in(um.msg), our_key);
	answer_to(&um, keep(um.msg), 488, NULL, NULL, NULL);
	expect_status(&pbx, 488, "INVITE");
	ack(&a, NULL);
	in_use(1, kept_key, KEY_A);
	bye(&a, &um);
}

/* ---- the map of m-lines
 * ------------------------------------------------------
 */

static int up_pair(void **state)
{
	return up_with("any", "egress-offer-format = "
			      "simultaneous-best-effort");
}

static unsigned m_lines(const char *msg)
{
	unsigned n = 0;

	for (const char *at = body(msg); (at = strstr(at, "\nm=")); at++)
		n++;
	return n;
}

/* um took SRTP of the first pair; a second stream is offered as a pair, and is
 * refused with all there is. */
static void second_stream_offered(void)
{
	invite();
	note_key(um.msg);
	answer_to(
		&um, keep(um.msg), 200, "callee", NULL,
		srtp_text(40000, "1 " SUITE KEY_A, "m=audio 0 RTP/AVP 8\r\n"));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	in_use(1, our_key, KEY_A);
	request(&a, "INVITE", NULL,
		sdp_text("10.10.0.50", 30000, "m=audio 30002 RTP/AVP 8\r\n"));
	expect(&um, "INVITE");
	assert_int_equal(m_lines(um.msg), 4);
}

static void second_stream_refused(void)
{
	answer_to(&um, keep(um.msg), 488, NULL, NULL, NULL);
	expect_status(&pbx, 488, "INVITE");
	ack(&a, NULL);
	run_ms(50);
	in_use(1, our_key, KEY_A);
}

/* Two m-lines are what um knows: a third one is a stream of its own. */
static void um_offers_a_stream(void)
{
	request(&b, "INVITE", NULL,
		srtp_text(40000, "1 " SUITE KEY_A,
			  "m=audio 0 RTP/AVP 8\r\n"
			  "m=audio 40004 RTP/SAVP 8\r\n"
			  "a=crypto:1 " SUITE KEY_C "\r\n"));
	expect(&pbx, "INVITE");
	assert_int_equal(m_lines(pbx.msg), 2);
	is_plain(pbx.msg);
	answer_to(&pbx, keep(pbx.msg), 200, NULL, NULL,
		  sdp_text("10.10.0.50", 30000, "m=audio 30002 RTP/AVP 8\r\n"));
	expect_status(&um, 200, "INVITE");
	assert_int_equal(m_lines(um.msg), 3);
	ack(&b, NULL);
	expect(&pbx, "ACK");
	bye(&a, &um);
}

static void refused_pair_is_none(void **state)
{
	second_stream_offered();
	second_stream_refused();
	um_offers_a_stream();
}

static void refused_pair_is_none_on_another_node(void **state)
{
	second_stream_offered();
	kill_and_replace();
	expect(&um, "INVITE");
	assert_int_equal(m_lines(um.msg), 4);
	second_stream_refused();
	um_offers_a_stream();
}

static void refused_pair_is_forgotten_before_a_loss(void **state)
{
	second_stream_offered();
	second_stream_refused();
	kill_and_replace();
	in_use(1, our_key, KEY_A);
	um_offers_a_stream();
}

static uint64_t version_in(const char *msg)
{
	unsigned long long session, version;
	const char *o = strstr(body(msg), "o=");

	assert_non_null(o);
	assert_int_equal(sscanf(o, "o=%*s %llu %llu", &session, &version), 2);
	return version;
}

/* What is offered next is neither what was refused, nor has its version. */
static void after_a_refusal(void **state)
{
	uint64_t version;

	second_stream_offered();
	version = version_in(um.msg);
	second_stream_refused();
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "INVITE");
	assert_int_equal(m_lines(um.msg), 2);
	assert_true(version_in(um.msg) > version);
	answer_to(
		&um, keep(um.msg), 200, NULL, NULL,
		srtp_text(40000, "1 " SUITE KEY_A, "m=audio 0 RTP/AVP 8\r\n"));
	expect_status(&pbx, 200, "INVITE");
	ack(&a, NULL);
	expect(&um, "ACK");
	um_offers_a_stream();
}

/* The offer of ours that a fork makes necessary. */
static void own_offer_pending(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 183, "other", NULL,
		  srtp_text(40002, "1 " SUITE KEY_B, NULL));
	expect_status(&pbx, 183, "INVITE");
	answer_to(&um, inv, 200, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 200, "INVITE");
	kill_and_replace();
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	expect(&um, "INVITE");
	note_key(um.msg);
	inv = keep(um.msg);
	kill_and_replace();
	expect(&um, "INVITE");
	assert_string_equal(header(um.msg, "Via"), header(inv, "Via"));
	assert_string_equal(key_in(um.msg), our_key);
	answer_to(&um, keep(um.msg), 200, NULL, NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect(&um, "ACK");
	in_use(1, our_key, KEY_A);
	bye(&a, &um);
}

/* It was due, and nothing of it had been put. */
static void own_offer_due(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 183, "other", NULL,
		  srtp_text(40002, "1 " SUITE KEY_B, NULL));
	expect_status(&pbx, 183, "INVITE");
	answer_to(&um, inv, 200, "callee", NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	expect(&um, "INVITE");
	inv = keep(um.msg);
	/* Glare: it waits for some seconds, the new node as well. */
	answer_to(&um, inv, 491, NULL, NULL, NULL);
	expect(&um, "ACK");
	kill_and_replace();
	run_ms(2000);
	expect(&um, "INVITE");
	note_key(um.msg);
	answer_to(&um, keep(um.msg), 200, NULL, NULL,
		  srtp_text(40000, "1 " SUITE KEY_A, NULL));
	expect(&um, "ACK");
	in_use(1, our_key, KEY_A);
	bye(&a, &um);
}

/* ---- records that are not what we would write
 * -------------------------------- */

static void rewrite(void (*change)(void))
{
	struct ha_key key = media_read();
	struct ha_version v = {keeper.epoch, ++keeper.generation, 1};
	struct buf out;

	buf_init(&out, 65536);
	change();
	assert_int_equal(record_encode(REC_MEDIA, &media, &out), 0);
	assert_true(ha_store_put(keeper.store, &key, &v, out.data, out.size) >=
		    0);
	buf_finish(&out);
}

static void short_key(void)
{
	media.keys[0].key.size = 3;
}

static void a_bad_record_ends_its_call(void **state)
{
	establish_out();
	in_use(1, our_key, KEY_A);
	keeper_kill();
	rewrite(short_key);
	keeper_start(true);
	keeper_wait_active();
	expect(&pbx, "BYE");
	assert_non_null(strstr(header(pbx.msg, "Reason"),
			       "Keys of its media were not usable"));
	answer_to(&pbx, keep(pbx.msg), 200, NULL, NULL, NULL);
	expect(&um, "BYE");
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	keeper_expect_records(0);
	assert_int_equal(counters_get(keeper.counters, COUNTER_sip_keys_bad),
			 1);
	assert_non_null(strstr(keeper_query("{\"cmd\":\"takeover\"}"),
			       "keys of its media were not usable"));
}

/* The streams of a re-INVITE were put, the node died before the rest was. */
static void half_offered(void)
{
	media.flows[1].sdes_state = SDES_OFFERED;
	media.flows[0].sdes_state = SDES_RECEIVED;
}

static void half_an_exchange_has_not_been(void **state)
{
	establish_out();
	in_use(1, our_key, KEY_A);
	keeper_kill();
	rewrite(half_offered);
	keeper_start(true);
	keeper_wait_active();
	run_ms(100);
	in_use(1, our_key, KEY_A);
	reinvite(&b, &pbx, srtp_text(40000, "1 " SUITE KEY_B, NULL),
		 sdp_text("10.10.0.50", 30000, ""));
	in_use(1, our_key, KEY_B);
	bye(&a, &um);
}

#define CASE(up, name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(up_srtp, established),
		CASE(up_srtp, offer_sent),
		CASE(up_srtp, answer_received),
		CASE(up_srtp, our_answer_sent),
		CASE(up_srtp, answer_in_the_ack),
		CASE(up_srtp, reinvite_pending),
		CASE(up_rekey, reinvite_refused),
		CASE(up_pair, refused_pair_is_none),
		CASE(up_pair, refused_pair_is_none_on_another_node),
		CASE(up_pair, refused_pair_is_forgotten_before_a_loss),
		CASE(up_pair, after_a_refusal),
		CASE(up_srtp, own_offer_pending),
		CASE(up_srtp, own_offer_due),
		CASE(up_srtp, a_bad_record_ends_its_call),
		CASE(up_srtp, half_an_exchange_has_not_been),
	};

	if (stage_network(NULL))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
