/* Records in, calls out: following, taking over, whatever is missing. */
#include "fake.h"

static void established_goes_on(void **state)
{
	established();
	fake_take_over();
	expect_silence();
	assert_int_equal(only_call()->state, CALL_ESTABLISHED);
	assert_int_equal(ask(METHOD_INFO, 'a', 2, NULL), 0);
	/* Numbers the other node may have used are left out, once. */
	expect_sent("> INFO 12 z");
	respond(METHOD_INFO, 'z', 200, NULL);
	assert_int_equal(ask(METHOD_BYE, 'a', 3, NULL), 0);
	expect_sent("> BYE 13 z");
	respond(METHOD_BYE, 'z', 200, NULL);
	expect_gone();
}

static void ringing_goes_on(void **state)
{
	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 180, NULL);
	fake_take_over();
	expect_sent("restore INVITE s a");
	expect_sent("restore INVITE c z");
	respond(METHOD_INVITE, 'z', 200, "answer");
	expect_sent("< 200 a");
	acknowledge('a', 1, NULL);
	expect_sent("ACK 1 cloud");
	assert_int_equal(only_call()->state, CALL_ESTABLISHED);
}

static void ring_timer_goes_on(void **state)
{
	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 180, NULL);
	turn(40000);
	fake_take_over();
	turn(15000);
	expect_sent("restore INVITE c z");
	expect_silence();
	turn(5000);
	expect_sent("< 408 a");
}

static void duration_timer_goes_on(void **state)
{
	established();
	turn(3000000);
	fake_take_over();
	turn(599000);
	expect_silence();
	turn(1000);
	expect_sent("> BYE 11 a");
	expect_sent("> BYE 12 z");
}

static void answered_goes_on(void **state)
{
	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 200, "answer");
	fake_take_over();
	expect_sent("restore INVITE s a");
	expect_sent("again a");
	turn(500);
	expect_sent("again a");
	acknowledge('a', 1, NULL);
	expect_sent("ACK 1 cloud");
	turn(10000);
	expect_silence();
}

/* The ACK came, and the node died before it could say so. */
static void acknowledged_untold(void **state)
{
	struct ha_key key = {0};
	struct ha_item item;

	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 200, "answer");
	key = (struct ha_key){only_call()->id, 0, REC_TXN};
	assert_true(ha_store_get(fake.store, &key, &item));
	assert_int_equal(fake_del(NULL, &key), 0);
	fake_take_over();
	expect_sent("ACK 1 cloud");
	assert_int_equal(only_call()->state, CALL_ESTABLISHED);
}

static void ending_goes_on(void **state)
{
	established();
	assert_int_equal(ask(METHOD_BYE, 'a', 2, NULL), 0);
	fake_take_over();
	expect_sent("> BYE 13 z");
	respond(METHOD_BYE, 'z', 481, NULL);
	expect_gone();
}

static void cancelled_goes_on(void **state)
{
	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 180, NULL);
	b2bua_cancel(fake.b, txn_find(leg_at('a'), TXN_SERVER, METHOD_INVITE));
	fake_take_over();
	/* The INVITE follows when it is known to be no news. */
	expect_sent("CANCEL z");
	b2bua_cancelled(fake.b,
			txn_find(leg_at('z'), TXN_CLIENT, METHOD_INVITE), 200);
	expect_sent("restore INVITE c z");
	respond(METHOD_INVITE, 'z', 487, NULL);
	expect_gone();
}

static void cancelled_before_a_response(void **state)
{
	assert_int_equal(place("offer"), 0);
	b2bua_cancel(fake.b, txn_find(leg_at('a'), TXN_SERVER, METHOD_INVITE));
	fake_take_over();
	expect_sent("restore INVITE c z");
	respond(METHOD_INVITE, 'z', 180, NULL);
	expect_sent("CANCEL z");
	respond(METHOD_INVITE, 'z', 487, NULL);
	expect_gone();
}

static void reinvite_goes_on(void **state)
{
	established();
	assert_int_equal(ask(METHOD_INVITE, 'z', 5, "hold"), 0);
	fake_take_over();
	expect_sent("restore INVITE s z");
	expect_sent("restore INVITE c a");
	respond(METHOD_INVITE, 'a', 200, "held");
	expect_sent("< 200 z");
	acknowledge('z', 5, NULL);
	expect_sent("ACK 1 core");
}

static bool copy_of(enum call_method method, char side, uint32_t cseq,
		    const char *branch)
{
	struct call_message m = message(method, side, cseq, NULL);

	m.branch = branch;
	return b2bua_is_copy(leg_at(side), &m);
}

/* What the node before us was asked comes once more. */
static void copies_are_known(void **state)
{
	established();
	assert_int_equal(ask(METHOD_INVITE, 'z', 5, "hold"), 0);
	fake_take_over();
	assert_true(copy_of(METHOD_INVITE, 'z', 5, "z9hG4bKx"));
	/* The same number is not enough while it is not answered. */
	assert_false(copy_of(METHOD_INVITE, 'z', 5, "z9hG4bKy"));
	assert_false(copy_of(METHOD_UPDATE, 'z', 5, "z9hG4bKx"));
	assert_false(copy_of(METHOD_INVITE, 'z', 6, "z9hG4bKx"));
	respond(METHOD_INVITE, 'a', 200, "held");
	assert_true(copy_of(METHOD_INVITE, 'z', 5, "z9hG4bKx"));
	fake_take_over();
	assert_true(copy_of(METHOD_INVITE, 'z', 5, "z9hG4bKx"));
	acknowledge('z', 5, NULL);
	fake_take_over();
	/* It has its answer, and so have those before it. */
	assert_true(copy_of(METHOD_INVITE, 'z', 5, "z9hG4bKx"));
	assert_true(copy_of(METHOD_INVITE, 'z', 4, "z9hG4bKw"));
	assert_false(copy_of(METHOD_INVITE, 'z', 6, "z9hG4bKz"));
	assert_false(copy_of(METHOD_INFO, 'z', 5, "z9hG4bKx"));
}

/* One that was refused is asked again: its answer may have been lost. */
static void refused_is_no_copy(void **state)
{
	established();
	assert_int_equal(ask(METHOD_INVITE, 'a', 2, "hold"), 0);
	respond(METHOD_INVITE, 'z', 488, NULL);
	fake_take_over();
	assert_false(copy_of(METHOD_INVITE, 'a', 2, "z9hG4bKx"));
	assert_true(copy_of(METHOD_INVITE, 'a', 1, "z9hG4bKx"));
}

static void the_first_invite_too(void **state)
{
	struct call_message m = message(METHOD_INVITE, 'a', 1, "offer");

	assert_null(b2bua_find_caller(fake.b, &m));
	assert_int_equal(place("offer"), 0);
	assert_ptr_equal(b2bua_find_caller(fake.b, &m), leg_at('a'));
	assert_true(copy_of(METHOD_INVITE, 'a', 1, "z9hG4bKx"));
	respond(METHOD_INVITE, 'z', 200, "answer");
	acknowledge('a', 1, NULL);
	fake_take_over();
	assert_ptr_equal(b2bua_find_caller(fake.b, &m), leg_at('a'));
	assert_true(copy_of(METHOD_INVITE, 'a', 1, "z9hG4bKx"));
}

/* To the far side an INFO that is sent again is the very same. */
static void info_keeps_its_number(void **state)
{
	established();
	assert_int_equal(ask(METHOD_INFO, 'a', 2, NULL), 0);
	expect_sent("> INFO 2 z");
	fake_take_over();
	assert_int_equal(ask(METHOD_INFO, 'a', 2, NULL), 0);
	expect_sent("> INFO 2 z");
	respond(METHOD_INFO, 'z', 200, NULL);
	expect_sent("< 200 a");
	assert_int_equal(ask(METHOD_INFO, 'a', 3, NULL), 0);
	expect_sent("> INFO 13 z");
}

/* Its number was used for something else since. */
static void info_gets_a_new_number(void **state)
{
	established();
	assert_int_equal(ask(METHOD_INFO, 'a', 2, NULL), 0);
	respond(METHOD_INFO, 'z', 200, NULL);
	assert_int_equal(ask(METHOD_INFO, 'a', 3, NULL), 0);
	respond(METHOD_INFO, 'z', 200, NULL);
	fake_take_over();
	assert_int_equal(ask(METHOD_INFO, 'a', 4, NULL), 0);
	expect_sent("> INFO 14 z");
	fake_take_over();
	assert_int_equal(ask(METHOD_BYE, 'a', 5, NULL), 0);
	expect_sent("> BYE 25 z");
}

/* The report of the take-over names this call, and no other. */
static void expect_lost(uint64_t id, const char *reason)
{
	struct b2bua_takeover t;

	b2bua_takeover(fake.b, &t);
	assert_int_equal(t.lost_count, reason ? 1 : 0);
	if (!reason)
		return;
	assert_true(t.lost[0].call == id);
	assert_string_equal(t.lost[0].reason, reason);
}

static void take_over_without(uint8_t kind, uint16_t sub)
{
	struct ha_key key = {only_call()->id, sub, kind};

	assert_int_equal(fake_del(NULL, &key), 0);
	fake_take_over();
}

static void what_is_lost_is_told(void **state)
{
	uint64_t id;

	established();
	fake_take_over();
	expect_lost(0, NULL);
	assert_int_equal(ask(METHOD_BYE, 'a', 2, NULL), 0);
	expect_sent("> BYE 12 z");
	respond(METHOD_BYE, 'z', 200, NULL);
	expect_gone();
	/* The leg to the callee was not there yet. */
	assert_int_equal(place("offer"), 0);
	id = only_call()->id;
	take_over_without(REC_DIALOG, 1);
	expect_lost(id, "its INVITE was not replicated yet");
	assert_int_equal(call_count(fake.b), 0);
	/* Its INVITE to the callee was not. */
	assert_int_equal(place("offer"), 0);
	id = only_call()->id;
	take_over_without(
		REC_TXN, txn_find(leg_at('z'), TXN_CLIENT, METHOD_INVITE)->sub);
	turn(B2BUA_RESTORE_TICK_MS);
	expect_lost(id, "one side of its INVITE was not replicated");
}

/* Records are put one after the other: any prefix may be what is left. */
static void every_prefix(void **state)
{
	struct ha_key keys[16];
	size_t len = 0;
	struct ha_item item;
	const struct ha_key *at = NULL;

	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 180, NULL);
	while (ha_store_next(fake.store, at, &item)) {
		keys[len] = item.key;
		at = &keys[len++];
	}
	assert_int_equal(len, 6);
	for (unsigned missing = 1; missing < 1u << len; missing++) {
		b2bua_destroy(fake.b);
		fake_create();
		for (size_t i = 0; i < len; i++) {
			if (missing & 1u << i)
				continue;
			assert_true(ha_store_get(fake.store, &keys[i], &item));
			assert_int_equal(b2bua_record(fake.b, &item.key,
						      item.value, item.size),
					 0);
		}
		b2bua_activate(fake.b, 1);
		/* Nobody answers: whatever it became, it ends. */
		for (int i = 0; i < 40; i++)
			turn(5000);
		assert_int_equal(call_count(fake.b), 0);
		assert_int_equal(fake.handles, 0);
		/* The store is needed again. */
		b2bua_destroy(fake.b);
		fake_create();
	}
}

static void broken_records(void **state)
{
	struct ha_key key = {42, 0, REC_CALL};

	for (uint8_t kind = REC_CALL; kind <= REC_MSTATE; kind++) {
		key.kind = kind;
		key.sub = 0;
		(void)!b2bua_record(fake.b, &key, "\xff\xff\xff", 3);
		key.sub = 60000;
		(void)!b2bua_record(fake.b, &key, "", 0);
	}
	b2bua_destroy(fake.b);
	fake_create();
	key.sub = 0;
	for (uint8_t kind = REC_CALL; kind <= REC_MEDIA; kind++) {
		key.kind = kind;
		(void)!b2bua_record(fake.b, &key, "\xff\xff\xff", 3);
		(void)!b2bua_record(fake.b, &key, "", 0);
	}
	key.kind = REC_TXN;
	assert_int_equal(b2bua_record(fake.b, &key, "garbage", 7), 0);
	b2bua_activate(fake.b, 1);
	turn(100);
	assert_int_equal(call_count(fake.b), 0);
}

static void deletions_are_followed(void **state)
{
	struct ha_item item;
	struct ha_key key = {0};
	struct b2bua_stats s;

	established();
	b2bua_destroy(fake.b);
	fake_create();
	ha_store_foreach(fake.store, fake_replay_one, NULL);
	b2bua_stats(fake.b, &s);
	assert_int_equal(s.calls, 1);
	assert_int_equal(s.legs, 2);
	assert_int_equal(s.ports, 2);
	while (ha_store_next(fake.store, &key, &item)) {
		key = item.key;
		assert_int_equal(b2bua_record(fake.b, &key, NULL, 0), 0);
	}
	b2bua_stats(fake.b, &s);
	assert_int_equal(s.calls + s.legs + s.ports + s.txns, 0);
}

static void what_cannot_be_restored_ends(void **state)
{
	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 180, NULL);
	fake.fail_restore = -EIO;
	fake_take_over();
	fake.fail_restore = 0;
	turn(100000);
	turn(100000);
	expect_gone();
}

static void many_are_paced(void **state)
{
	struct b2bua_stats s;
	struct call_answer answer = {0};

	/* Without SDP no ports are needed. */
	for (int i = 0; i < 120; i++) {
		struct call_message m = message(METHOD_INVITE, 'a', 1, NULL);
		char id[16];

		snprintf(id, sizeof(id), "call-%d", i);
		m.call_id = id;
		assert_int_equal(
			b2bua_invite(fake.b, &m,
				     config_agent_find(fake.config, "pbx"),
				     &fake, &answer),
			0);
		fake.handles++;
	}
	b2bua_destroy(fake.b);
	fake_create();
	ha_store_foreach(fake.store, fake_replay_one, NULL);
	b2bua_activate(fake.b, 1);
	b2bua_turn(fake.b);
	b2bua_stats(fake.b, &s);
	assert_int_equal(s.restoring, 120 - B2BUA_RESTORE_BATCH);
	b2bua_turn(fake.b);
	b2bua_stats(fake.b, &s);
	assert_int_equal(s.restoring, 120 - B2BUA_RESTORE_BATCH);
	turn(B2BUA_RESTORE_TICK_MS);
	turn(B2BUA_RESTORE_TICK_MS);
	b2bua_stats(fake.b, &s);
	assert_int_equal(s.restoring, 0);
}

/* A peer that is dead must not make the stack crawl. */
static void silent_peer_stops_restoring(void **state)
{
	struct b2bua_stats s;
	struct call_answer answer = {0};

	for (int i = 0; i < B2BUA_WAITING_MAX + 200; i++) {
		struct call_message m = message(METHOD_INVITE, 'a', 1, NULL);
		char id[16];

		snprintf(id, sizeof(id), "call-%d", i);
		m.call_id = id;
		fake.sent_len = 0;
		assert_int_equal(
			b2bua_invite(fake.b, &m,
				     config_agent_find(fake.config, "pbx"),
				     &fake, &answer),
			0);
		fake.handles++;
	}
	b2bua_destroy(fake.b);
	fake_create();
	ha_store_foreach(fake.store, fake_replay_one, NULL);
	b2bua_activate(fake.b, 1);
	for (int i = 0; i < 100; i++) {
		fake.sent_len = 0;
		turn(B2BUA_RESTORE_TICK_MS);
	}
	b2bua_stats(fake.b, &s);
	assert_in_range(s.restoring, 150, 200);
	/* They all ring out in the end. */
	for (int i = 0; i < 60; i++) {
		fake.sent_len = 0;
		for (int j = 0; j < 100; j++) {
			fake.sent_len = 0;
			turn(20);
		}
		turn(3000);
	}
	assert_int_equal(call_count(fake.b), 0);
}

/* A request for a call whose turn has not come: it is restored at once. */
static void early_caller_is_served(void **state)
{
	struct call_message m = message(METHOD_INVITE, 'a', 1, "offer");
	struct call_answer answer = {0};

	assert_int_equal(place("offer"), 0);
	b2bua_destroy(fake.b);
	fake_create();
	ha_store_foreach(fake.store, fake_replay_one, NULL);
	b2bua_activate(fake.b, 1);
	/* The INVITE again takes the place of the lost transaction. */
	assert_int_equal(b2bua_invite(fake.b, &m,
				      config_agent_find(fake.config, "pbx"),
				      &fake, &answer),
			 0);
	fake.handles++;
	expect_sent("restore INVITE c z");
	respond(METHOD_INVITE, 'z', 200, "answer");
	expect_sent("< 200 a");
	b2bua_destroy(fake.b);
	fake_create();
	ha_store_foreach(fake.store, fake_replay_one, NULL);
	b2bua_activate(fake.b, 1);
	assert_non_null(b2bua_find_invite(fake.b, &m));
	expect_sent("restore INVITE s a");
}

/* The next process gets all but this record, and the word to end the call. */
static void take_over_buried(uint8_t kind, uint16_t sub)
{
	struct ha_key key = {only_call()->id, sub, kind};
	uint64_t id = key.id;

	if (kind)
		assert_int_equal(fake_del(NULL, &key), 0);
	b2bua_destroy(fake.b);
	fake_create();
	ha_store_foreach(fake.store, fake_replay_one, NULL);
	b2bua_bury(fake.b, id);
	b2bua_activate(fake.b, 1);
	fake.built = 0;
	fake.now += B2BUA_RESTORE_TICK_MS;
	b2bua_turn(fake.b);
	assert_int_equal(fake.built, id);
	assert_int_equal(fake.building, 0);
}

static void buried_is_ended_on_both_sides(void **state)
{
	static const uint8_t kinds[] = {0, REC_CALL, REC_MEDIA};

	for (size_t i = 0; i < sizeof(kinds); i++) {
		uint64_t id;

		established();
		id = only_call()->id;
		take_over_buried(kinds[i], 0);
		expect_sent("> BYE 11 a");
		expect_sent("> BYE 12 z");
		respond(METHOD_BYE, 'a', 200, NULL);
		respond(METHOD_BYE, 'z', 200, NULL);
		expect_gone();
		expect_lost(id, "a worker died of its records");
	}
}

static void buried_without_a_dialog_tells_the_other(void **state)
{
	established();
	take_over_buried(REC_DIALOG, 0);
	expect_sent("> BYE 12 z");
	respond(METHOD_BYE, 'z', 200, NULL);
	expect_gone();
}

static void buried_while_ringing(void **state)
{
	assert_int_equal(place("offer"), 0);
	respond(METHOD_INVITE, 'z', 180, NULL);
	take_over_buried(REC_CALL, 0);
	expect_sent("restore INVITE s a");
	expect_sent("restore INVITE c z");
	expect_sent("< 500 a");
	respond(METHOD_INVITE, 'z', 180, NULL);
	expect_sent("CANCEL z");
	respond(METHOD_INVITE, 'z', 487, NULL);
	expect_gone();
}

/* The media worker died of it; this one knows the call. */
static void buried_alive(void **state)
{
	established();
	b2bua_bury(fake.b, only_call()->id + 1);
	expect_silence();
	b2bua_bury(fake.b, only_call()->id);
	expect_sent("> BYE 1 a");
	expect_sent("> BYE 2 z");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fake_up, fake_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(established_goes_on),
		CASE(ringing_goes_on),
		CASE(ring_timer_goes_on),
		CASE(duration_timer_goes_on),
		CASE(answered_goes_on),
		CASE(acknowledged_untold),
		CASE(ending_goes_on),
		CASE(cancelled_goes_on),
		CASE(cancelled_before_a_response),
		CASE(reinvite_goes_on),
		CASE(copies_are_known),
		CASE(refused_is_no_copy),
		CASE(the_first_invite_too),
		CASE(info_keeps_its_number),
		CASE(info_gets_a_new_number),
		CASE(what_is_lost_is_told),
		CASE(every_prefix),
		CASE(broken_records),
		CASE(deletions_are_followed),
		CASE(what_cannot_be_restored_ends),
		CASE(many_are_paced),
		CASE(silent_peer_stops_restoring),
		CASE(early_caller_is_served),
		CASE(buried_is_ended_on_both_sides),
		CASE(buried_without_a_dialog_tells_the_other),
		CASE(buried_while_ringing),
		CASE(buried_alive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
