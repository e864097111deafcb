/* The B2BUA with a fake stack and a fake clock. */
#include "fake.h"

static void call_and_bye(void **state)
{
	established();
	assert_int_equal(ha_store_count(fake.store), 4);
	assert_int_equal(ask(METHOD_BYE, 'a', 2, NULL), 0);
	expect_sent("< 200 a");
	expect_sent("> BYE 2 z");
	respond(METHOD_BYE, 'z', 200, NULL);
	expect_gone();
}

static void rejected(void **state)
{
	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 486, NULL);
	expect_sent("< 486 a");
	expect_gone();
}

/* A 302 with this Contact. */
static void redirected_to(const char *contact)
{
	struct call_message m = message(METHOD_INVITE, 'z', 0, NULL);
	struct txn *t = txn_find(leg_at('z'), TXN_CLIENT, METHOD_INVITE);

	assert_non_null(t);
	m.cseq = t->cseq;
	m.status = 302;
	m.reason = "Moved Temporarily";
	m.to_tag = "tz";
	m.contact = contact;
	b2bua_response(fake.b, t, &m);
}

static void redirected(void **state)
{
	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 180, NULL);
	expect_sent("< 180 a");
	redirected_to("sip:worker@um.example.net:5066");
	expect_sent("> again INVITE 2 z sip:worker@um.example.net:5066");
	/* The next node goes on with that one. */
	fake_take_over();
	respond(METHOD_INVITE, 'z', 200, "answer");
	expect_sent("< 200 a");
	acknowledge('a', 1, NULL);
	expect_sent("ACK 2 cloud");
}

static void redirected_for_ever(void **state)
{
	char sent[64];

	assert_int_equal(place("offer"), 0);
	for (unsigned i = 2; i <= 6; i++) {
		redirected_to("sip:worker@um.example.net");
		snprintf(sent, sizeof(sent),
			 "> again INVITE %u z sip:worker@um.example.net", i);
		expect_sent(sent);
	}
	redirected_to("sip:worker@um.example.net");
	expect_sent("< 302 a");
	expect_gone();
}

static void redirected_to_a_stranger(void **state)
{
	assert_int_equal(place("offer"), 0);
	redirected_to("sip:stranger@192.0.2.1");
	expect_sent("< 302 a");
	expect_gone();
}

static void nobody_answers(void **state)
{
	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 180, NULL);
	turn(59000);
	expect_sent("< 180 a");
	expect_silence();
	turn(1000);
	expect_sent("< 408 a");
	expect_sent("CANCEL z");
	respond(METHOD_INVITE, 'z', 487, NULL);
	expect_gone();
}

/* Neither a 1xx nor a final response ever comes. */
static void callee_is_dead(void **state)
{
	assert_int_equal(place("offer"), 0);
	turn(60000);
	expect_sent("< 408 a");
	expect_silence();
	turn(B2BUA_T1X64_MS);
	expect_gone();
}

static void answer_is_repeated(void **state)
{
	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 200, "answer");
	expect_sent("< 200 a");
	turn(499);
	assert_int_equal(fake.retransmits, 0);
	turn(1);
	assert_int_equal(fake.retransmits, 1);
	turn(1000);
	assert_int_equal(fake.retransmits, 2);
	turn(2000);
	turn(4000);
	turn(4000);
	assert_int_equal(fake.retransmits, 5);
	acknowledge('a', 1, NULL);
	turn(20000);
	assert_int_equal(fake.retransmits, 5);
	assert_int_equal(only_call()->state, CALL_ESTABLISHED);
}

static void ack_never_comes(void **state)
{
	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 200, "answer");
	turn(B2BUA_T1X64_MS);
	expect_sent("ACK 1 cloud");
	expect_sent("> BYE 1 a");
	expect_sent("> BYE 2 z");
	respond(METHOD_BYE, 'a', 200, NULL);
	respond(METHOD_BYE, 'z', 481, NULL);
	expect_gone();
}

static void maximum_duration(void **state)
{
	established();
	turn(3599000);
	expect_silence();
	turn(1000);
	expect_sent("> BYE 1 a");
	expect_sent("> BYE 2 z");
	respond(METHOD_BYE, 'a', 200, NULL);
	respond(METHOD_BYE, 'z', 200, NULL);
	expect_gone();
}

static void byes_unanswered(void **state)
{
	established();
	assert_int_equal(ask(METHOD_BYE, 'z', 9, NULL), 0);
	expect_sent("< 200 z");
	expect_sent("> BYE 1 a");
	turn(60000);
	expect_gone();
}

static void bye_crosses_bye(void **state)
{
	established();
	assert_int_equal(ask(METHOD_BYE, 'a', 2, NULL), 0);
	assert_int_equal(ask(METHOD_BYE, 'z', 7, NULL), 0);
	expect_sent("< 200 a");
	expect_sent("> BYE 2 z");
	expect_sent("< 200 z");
	respond(METHOD_BYE, 'z', 481, NULL);
	expect_gone();
}

static void held_until_committed(void **state)
{
	fake.hold = true;
	assert_int_equal(place("offer"), 0);
	assert_int_equal(fake.tokens_len, 1);
	assert_true(fake.sent[0].token != 0);
	fake_release_tokens();
	assert_true(fake.sent[0].token == 0);
	fake.hold = true;
	respond(METHOD_INVITE, 'z', 180, NULL);
	assert_true(fake.sent[1].token != 0);
	fake_release_tokens();
	/* Nothing new in it: nothing to wait for. */
	fake.hold = true;
	respond(METHOD_INVITE, 'z', 180, NULL);
	assert_true(fake.sent[2].token == 0);
	respond(METHOD_INVITE, 'z', 200, "answer");
	assert_true(fake.sent[3].token != 0);
	fake_release_tokens();
	acknowledge('a', 1, NULL);
	fake.hold = true;
	/* Both the answer to a BYE and the other BYE wait for one commit. */
	assert_int_equal(ask(METHOD_BYE, 'a', 2, NULL), 0);
	assert_true(fake.sent[fake.sent_len - 1].token != 0);
	assert_true(fake.sent[fake.sent_len - 2].token ==
		    fake.sent[fake.sent_len - 1].token);
	fake_release_tokens();
	respond(METHOD_BYE, 'z', 200, NULL);
	expect_gone();
}

static void records_cannot_be_put(void **state)
{
	fake.fail_put = -ENOBUFS;
	assert_int_equal(place("offer"), 0);
	assert_true(fake.sent[0].token == 0);
	respond(METHOD_INVITE, 'z', 486, NULL);
	expect_sent("< 486 a");
	fake.fail_put = 0;
	expect_gone();
}

static void stack_refuses_the_request(void **state)
{
	fake.fail_request = -ENOMEM;
	assert_int_equal(place("offer"), 500);
	expect_gone();
	fake.fail_request = 0;
	established();
	fake.fail_request = -ENOMEM;
	assert_int_equal(ask(METHOD_INFO, 'a', 2, NULL), 500);
	assert_int_equal(ask(METHOD_BYE, 'a', 3, NULL), 0);
	expect_gone();
}

static void reinvite_passes(void **state)
{
	established();
	assert_int_equal(ask(METHOD_INVITE, 'z', 5, "hold"), 0);
	expect_sent("> INVITE 1 a");
	respond(METHOD_INVITE, 'a', 200, "held");
	expect_sent("< 200 z");
	/* Not before its own ACK. */
	assert_int_equal(ask(METHOD_INVITE, 'z', 6, "hold"), 491);
	acknowledge('z', 5, NULL);
	expect_sent("ACK 1 core");
	assert_int_equal(ask(METHOD_INVITE, 'a', 2, "resume"), 0);
	expect_sent("> INVITE 2 z");
	respond(METHOD_INVITE, 'z', 488, NULL);
	expect_sent("< 488 a");
	assert_int_equal(only_call()->state, CALL_ESTABLISHED);
}

static void glare(void **state)
{
	established();
	assert_int_equal(ask(METHOD_INVITE, 'a', 2, "x"), 0);
	assert_int_equal(ask(METHOD_INVITE, 'z', 5, "y"), 491);
	assert_int_equal(ask(METHOD_INVITE, 'a', 3, "x"), 500);
	assert_int_equal(ask(METHOD_UPDATE, 'z', 6, "y"), 491);
	/* An UPDATE without an offer is no matter of glare. */
	assert_int_equal(ask(METHOD_UPDATE, 'z', 7, NULL), 0);
}

static void old_cseq(void **state)
{
	established();
	assert_int_equal(ask(METHOD_INFO, 'a', 9, NULL), 0);
	assert_int_equal(ask(METHOD_INFO, 'a', 8, NULL), 500);
}

/* RFC 3261 section 12.2.1.2: 481 to a re-INVITE ends the call. */
static void dialog_lost_over_there(void **state)
{
	established();
	assert_int_equal(ask(METHOD_INVITE, 'a', 2, "x"), 0);
	respond(METHOD_INVITE, 'z', 481, NULL);
	expect_sent("< 481 a");
	expect_sent("> BYE 1 a");
	expect_sent("> BYE 3 z");
	respond(METHOD_BYE, 'a', 200, NULL);
	respond(METHOD_BYE, 'z', 481, NULL);
	expect_gone();
}

static void answer_of_no_use(void **state)
{
	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 200, "bad");
	expect_sent("ACK 1 cloud");
	expect_sent("> BYE 2 z");
	expect_sent("< 488 a");
	respond(METHOD_BYE, 'z', 200, NULL);
	expect_gone();
	assert_int_equal(place("bad offer"), 488);
	expect_gone();
}

static void delayed_offer_without_answer(void **state)
{
	assert_int_equal(place(NULL), 0);
	respond(METHOD_INVITE, 'z', 200, "offer");
	expect_sent("< 200 a");
	acknowledge('a', 1, NULL);
	expect_sent("ACK 1 cloud");
	expect_sent("> BYE 1 a");
	expect_sent("> BYE 2 z");
	respond(METHOD_BYE, 'a', 200, NULL);
	respond(METHOD_BYE, 'z', 200, NULL);
	expect_gone();
}

static void delayed_offer(void **state)
{
	assert_int_equal(place(NULL), 0);
	respond(METHOD_INVITE, 'z', 200, "offer");
	acknowledge('a', 1, "answer");
	expect_sent("ACK 1 cloud sdp");
	assert_int_equal(only_call()->state, CALL_ESTABLISHED);
}

static void cancel_and_answer_cross(void **state)
{
	struct txn *server;

	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 180, NULL);
	server = txn_find(leg_at('a'), TXN_SERVER, METHOD_INVITE);
	b2bua_cancel(fake.b, server);
	expect_sent("< 487 a");
	expect_sent("CANCEL z");
	respond(METHOD_INVITE, 'z', 200, "answer");
	expect_sent("ACK 1 cloud");
	expect_sent("> BYE 2 z");
	respond(METHOD_BYE, 'z', 200, NULL);
	expect_gone();
}

static void ports_run_out(void **state)
{
	int n = 0, status;
	struct call_answer answer = {0};

	for (;; n++) {
		struct call_message m = message(METHOD_INVITE, 'a', 1, "o");
		char id[16];

		snprintf(id, sizeof(id), "call-%d", n);
		m.call_id = id;
		status = b2bua_invite(fake.b, &m,
				      config_agent_find(fake.config, "pbx"),
				      &fake, &answer);
		if (status)
			break;
		fake.handles++;
	}
	assert_int_equal(status, 503);
	assert_int_equal(n, 25);
}

static void no_route(void **state)
{
	struct call_message m = message(METHOD_INVITE, 'a', 1, "o");
	struct call_answer answer = {0};

	m.request_user = "999";
	assert_int_equal(b2bua_invite(fake.b, &m,
				      config_agent_find(fake.config, "pbx"),
				      &fake, &answer),
			 404);
	expect_gone();
}

static void same_invite_twice(void **state)
{
	assert_int_equal(place("offer"), 0);
	assert_int_equal(place("offer"), 482);
	only_call();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fake_up, fake_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(call_and_bye),
		CASE(rejected),
		CASE(redirected),
		CASE(redirected_for_ever),
		CASE(redirected_to_a_stranger),
		CASE(nobody_answers),
		CASE(callee_is_dead),
		CASE(answer_is_repeated),
		CASE(ack_never_comes),
		CASE(maximum_duration),
		CASE(byes_unanswered),
		CASE(bye_crosses_bye),
		CASE(held_until_committed),
		CASE(records_cannot_be_put),
		CASE(stack_refuses_the_request),
		CASE(reinvite_passes),
		CASE(glare),
		CASE(old_cseq),
		CASE(dialog_lost_over_there),
		CASE(answer_of_no_use),
		CASE(delayed_offer_without_answer),
		CASE(delayed_offer),
		CASE(cancel_and_answer_cross),
		CASE(ports_run_out),
		CASE(no_route),
		CASE(same_invite_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
