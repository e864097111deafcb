/* When an exchange of offer and answer is over, and offers of our own. */
#include "fake.h"

/* What has been told since the last look. */
static void told(const char *what)
{
	assert_string_equal(fake.exchanges, what);
	memset(fake.exchanges, 0, sizeof(fake.exchanges));
}

static void over_by_ack_or_refusal(void **state)
{
	established();
	told("D");
	assert_int_equal(ask(METHOD_INVITE, 'a', 2, "offer"), 0);
	respond(METHOD_INVITE, 'z', 200, "answer");
	told("");
	acknowledge('a', 2, NULL);
	told("D");
	assert_int_equal(ask(METHOD_INVITE, 'z', 7, "offer"), 0);
	respond(METHOD_INVITE, 'a', 488, NULL);
	told("488aR");
	/* Nobody else would know of its end. */
	assert_int_equal(ask(METHOD_UPDATE, 'a', 3, "offer"), 0);
	respond(METHOD_UPDATE, 'z', 200, "answer");
	told("D");
	assert_int_equal(ask(METHOD_UPDATE, 'a', 4, "offer"), 0);
	respond(METHOD_UPDATE, 'z', 504, NULL);
	told("504zR");
	/* No exchange. */
	assert_int_equal(ask(METHOD_UPDATE, 'a', 5, NULL), 0);
	respond(METHOD_UPDATE, 'z', 500, NULL);
	assert_int_equal(ask(METHOD_INFO, 'a', 6, NULL), 0);
	respond(METHOD_INFO, 'z', 200, NULL);
	told("");
}

static void what_cannot_be_sent_has_not_been(void **state)
{
	established();
	told("D");
	fake.fail_request = -ENOMEM;
	assert_int_equal(ask(METHOD_INVITE, 'a', 2, "offer"), 500);
	told("R");
	assert_int_equal(ask(METHOD_INVITE, 'a', 3, "bad"), 488);
	told("");
}

static void delayed(const char *in_ack)
{
	assert_int_equal(place(NULL), 0);
	respond(METHOD_INVITE, 'z', 200, "offer");
	acknowledge('a', 1, in_ack);
}

/* The answer in an ACK leaves when it is on record. */
static void answer_in_the_ack(void **state)
{
	assert_int_equal(place(NULL), 0);
	respond(METHOD_INVITE, 'z', 200, "offer");
	expect_sent("< 200 a");
	fake.hold = true;
	acknowledge('a', 1, "answer");
	expect_sent("ACK 1 cloud sdp");
	assert_true(fake.sent[fake.seen - 1].token != 0);
	told("D");
	fake_release_tokens();
	assert_int_equal(fake.sent[fake.seen - 1].token, 0);
}

static void no_answer_in_the_ack(void **state)
{
	delayed("bad");
	told("R");
	expect_sent("> BYE 1 a");
	expect_sent("> BYE 2 z");
}

/* An offer in a reliable 1xx, the answer in its PRACK: that is all. */
static void answer_in_a_prack(void **state)
{
	struct call_message m;

	assert_int_equal(place(NULL), 0);
	m = message(METHOD_INVITE, 'z', 1, "offer");
	m.status = 183;
	m.reason = "Reason";
	m.to_tag = "tz";
	m.has_rseq = true;
	m.contact = "sip:z@10.20.0.50:5060";
	b2bua_response(fake.b, txn_find(leg_at('z'), TXN_CLIENT, METHOD_INVITE),
		       &m);
	expect_sent("< 183 a");
	assert_int_equal(ask(METHOD_PRACK, 'a', 2, "answer"), 0);
	expect_sent("> PRACK 2 z");
	respond(METHOD_PRACK, 'z', 200, NULL);
	told("D");
	/* It survives the node. */
	fake_take_over();
	/* A description that comes again is none: "bad" would end the call. */
	respond(METHOD_INVITE, 'z', 200, "bad");
	expect_sent("< 200 a");
	acknowledge('a', 1, NULL);
	expect_sent("ACK 1 cloud");
	assert_int_equal(only_call()->state, CALL_ESTABLISHED);
}

/* ---- offers of our own
 * ------------------------------------------------------- */

/* A call whose callee took both m-lines of a pair. */
static void offer_due(void)
{
	assert_int_equal(place("offer"), 0);
	expect_sent("> INVITE 1 z");
	respond(METHOD_INVITE, 'z', 200, "both");
	expect_sent("< 200 a");
	turn(100);
	expect_silence();
	acknowledge('a', 1, NULL);
	expect_sent("ACK 1 cloud");
	told("D");
}

static void own_offer(void **state)
{
	offer_due();
	turn(0);
	expect_sent("> INVITE 2 z");
	respond(METHOD_INVITE, 'z', 100, NULL);
	/* Neither side's offers meet it. */
	assert_int_equal(ask(METHOD_INVITE, 'z', 7, "offer"), 491);
	assert_int_equal(ask(METHOD_INVITE, 'a', 2, "offer"), 491);
	respond(METHOD_INVITE, 'z', 200, "answer");
	expect_sent("ACK 2 cloud");
	told("D");
	turn(60000);
	expect_silence();
	assert_int_equal(ask(METHOD_INVITE, 'a', 3, "offer"), 0);
}

static void own_offer_waits(void **state)
{
	offer_due();
	assert_int_equal(ask(METHOD_INVITE, 'a', 2, "offer"), 0);
	expect_sent("> INVITE 2 z");
	turn(0);
	expect_silence();
	respond(METHOD_INVITE, 'z', 200, "answer");
	expect_sent("< 200 a");
	acknowledge('a', 2, NULL);
	expect_sent("ACK 2 cloud");
	turn(2099);
	expect_silence();
	turn(1901);
	expect_sent("> INVITE 3 z");
	respond(METHOD_INVITE, 'z', 491, NULL);
	told("DR");
	turn(2099);
	expect_silence();
	turn(1901);
	expect_sent("> INVITE 4 z");
	/* What else it may be answered with is the last word. */
	respond(METHOD_INVITE, 'z', 488, NULL);
	told("488zR");
	turn(60000);
	expect_silence();
	assert_int_equal(only_call()->state, CALL_ESTABLISHED);
}

static void own_offer_cannot_be_made(void **state)
{
	fake.fail_reoffer = -ENOMEM;
	offer_due();
	turn(0);
	turn(60000);
	expect_silence();
	told("");
}

/* A second branch answers too: it gets a BYE, and the first one new keys. */
static void another_branch(void **state)
{
	struct call_message m;

	established();
	m = message(METHOD_INVITE, 'z', 1, "answer");
	m.status = 200;
	m.to_tag = "other";
	b2bua_stray_2xx(fake.b, leg_at('z'), &m);
	expect_sent("ACK 1 cloud");
	expect_sent("> BYE 2 z");
	turn(0);
	expect_sent("> INVITE 3 z");
	respond(METHOD_INVITE, 'z', 200, "answer");
	expect_sent("ACK 3 cloud");
}

static void own_offer_cannot_be_sent(void **state)
{
	offer_due();
	fake.fail_request = -ENOMEM;
	turn(0);
	turn(60000);
	expect_silence();
	told("R");
	fake.fail_request = 0;
	assert_int_equal(ask(METHOD_BYE, 'a', 2, NULL), 0);
	respond(METHOD_BYE, 'z', 200, NULL);
	expect_gone();
}

static void own_offer_unusable(void **state)
{
	offer_due();
	turn(0);
	expect_sent("> INVITE 2 z");
	respond(METHOD_INVITE, 'z', 200, "bad");
	expect_sent("ACK 2 cloud");
	told("R");
	expect_sent("> BYE 1 a");
	expect_sent("> BYE 3 z");
	respond(METHOD_BYE, 'a', 200, NULL);
	respond(METHOD_BYE, 'z', 200, NULL);
	expect_gone();
}

static void own_offer_finds_nobody(void **state)
{
	offer_due();
	turn(0);
	expect_sent("> INVITE 2 z");
	respond(METHOD_INVITE, 'z', 481, NULL);
	expect_sent("> BYE 1 a");
}

static void own_offer_and_bye(void **state)
{
	offer_due();
	turn(0);
	expect_sent("> INVITE 2 z");
	respond(METHOD_INVITE, 'z', 100, NULL);
	assert_int_equal(ask(METHOD_BYE, 'a', 2, NULL), 0);
	expect_sent("< 200 a");
	expect_sent("CANCEL z");
	respond(METHOD_INVITE, 'z', 487, NULL);
	respond(METHOD_BYE, 'z', 200, NULL);
	expect_gone();
}

static void own_offer_of_another_node(void **state)
{
	offer_due();
	fake_take_over();
	expect_sent("> INVITE 12 z");
	fake_take_over();
	expect_sent("restore INVITE c z");
	respond(METHOD_INVITE, 'z', 200, "answer");
	expect_sent("ACK 12 cloud");
	told("D");
	turn(60000);
	expect_silence();
}

/* A re-INVITE that a dead node has put in half: no reason to end the call. */
static void the_other_half_is_lost(void **state)
{
	established();
	assert_int_equal(ask(METHOD_INVITE, 'a', 2, "offer"), 0);
	expect_sent("> INVITE 2 z");
	{
		struct txn *t =
			txn_find(leg_at('a'), TXN_SERVER, METHOD_INVITE);
		struct ha_key key = {only_call()->id, t->sub, REC_TXN};

		assert_int_equal(fake_del(NULL, &key), 0);
	}
	fake_take_over();
	respond(METHOD_INVITE, 'z', 200, "answer");
	expect_sent("ACK 2 cloud");
	assert_int_equal(only_call()->state, CALL_ESTABLISHED);
	assert_int_equal(ask(METHOD_INVITE, 'a', 3, "offer"), 0);
}

/* ---- keys that run out
 * ------------------------------------------------------- */

static void old_key(uint64_t until_ms)
{
	struct call *c = only_call();
	struct rec_media m;

	assert_int_equal(stream_load(c, 0, &m), 0);
	m.keys_len = 1;
	m.keys[0].suite = SDES_AES_CM_128_HMAC_SHA1_80;
	m.keys[0].use = KEY_RX_OLD;
	m.keys[0].until_ms = until_ms;
	assert_int_equal(stream_store(c, 0, &m), 0);
	store_flush(c);
}

static void keys_run_out(void **state)
{
	established();
	told("D");
	old_key(fake.now + 5000);
	acknowledge('a', 1, NULL);
	fake_take_over();
	turn(4000);
	told("");
	turn(1000);
	told("L");
	turn(5000);
	told("");
}

static void counted(uint16_t flows_len)
{
	struct ha_key key = {only_call()->id, 0, REC_MSTATE};
	struct rec_mstate m = {.flows_len = flows_len};
	struct buf value;

	buf_init(&value, 4096);
	assert_int_equal(record_encode(REC_MSTATE, &m, &value), 0);
	assert_int_equal(b2bua_record(fake.b, &key, value.data, value.size), 0);
	buf_finish(&value);
}

static void keys_wear(void **state)
{
	established();
	counted(0);
	turn(0);
	expect_silence();
	counted(1);
	turn(0);
	expect_sent("> INVITE 2 z");
	respond(METHOD_INVITE, 'z', 200, "answer");
	expect_sent("ACK 2 cloud");
	counted(2);
	expect_sent("> BYE 1 a");
	expect_sent("> BYE 3 z");
	counted(2);
	respond(METHOD_BYE, 'a', 200, NULL);
	respond(METHOD_BYE, 'z', 200, NULL);
	expect_gone();
}

/* ---- records that are not ours
 * ------------------------------------------------- */

static void bad_keys_end_their_call(void **state)
{
	struct b2bua_takeover t;

	established();
	old_key(fake.now + 5000);
	{
		struct call *c = only_call();
		struct rec_media m;

		assert_int_equal(stream_load(c, 0, &m), 0);
		m.keys[0].suite = SDES_SUITE_NONE;
		assert_int_equal(stream_store(c, 0, &m), 0);
		store_flush(c);
	}
	fake_take_over();
	expect_sent("> BYE 11 a");
	expect_sent("> BYE 12 z");
	b2bua_takeover(fake.b, &t);
	assert_int_equal(t.lost_count, 1);
	assert_string_equal(t.lost[0].reason,
			    "keys of its media were not usable");
}

static void open_exchange(uint8_t sdes_state)
{
	struct call *c = only_call();
	struct rec_media m;

	assert_int_equal(stream_load(c, 0, &m), 0);
	m.flows[1].sdes_state = sdes_state;
	assert_int_equal(stream_store(c, 0, &m), 0);
	store_flush(c);
}

static void half_an_exchange(void **state)
{
	established();
	told("D");
	open_exchange(SDES_OFFERED);
	fake_take_over();
	told("R");
	/* That which is seen through is none. */
	assert_int_equal(ask(METHOD_INVITE, 'a', 2, "offer"), 0);
	open_exchange(SDES_RECEIVED);
	fake_take_over();
	told("");
	respond(METHOD_INVITE, 'z', 200, "answer");
	acknowledge('a', 2, NULL);
	told("D");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fake_up, fake_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(over_by_ack_or_refusal),
		CASE(what_cannot_be_sent_has_not_been),
		CASE(answer_in_the_ack),
		CASE(no_answer_in_the_ack),
		CASE(answer_in_a_prack),
		CASE(own_offer),
		CASE(own_offer_waits),
		CASE(own_offer_cannot_be_made),
		CASE(another_branch),
		CASE(own_offer_cannot_be_sent),
		CASE(own_offer_unusable),
		CASE(own_offer_finds_nobody),
		CASE(own_offer_and_bye),
		CASE(own_offer_of_another_node),
		CASE(the_other_half_is_lost),
		CASE(keys_run_out),
		CASE(keys_wear),
		CASE(bad_keys_end_their_call),
		CASE(half_an_exchange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
