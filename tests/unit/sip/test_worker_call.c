/* Calls through a real SIP worker process. */
#include "harness_call.h"

static void basic_call(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	hidden(inv, core_ips);
	assert_non_null(strstr(inv, "INVITE sip:2000@um.example.net"));
	assert_non_null(strstr(header(inv, "From"), "\"Alice\" <sip:alice@"));
	assert_string_equal(header(inv, "Max-Forwards"), "69");
	assert_non_null(strstr(body(inv), "m=audio 20"));
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	hidden(pbx.msg, cloud_ips);
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	hidden(pbx.msg, cloud_ips);
	assert_non_null(strstr(body(pbx.msg), "m=audio 20"));
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	hidden(um.msg, core_ips);
	assert_non_null(strstr(um.msg, "ACK sip:b@10.20.0.50:5060"));
	bye(&a, &um);
	expect_nothing(&um, "after the call");
	expect_nothing(&pbx, "after the call");
}

static void callee_ends(void **state)
{
	establish();
	bye(&b, &pbx);
}

static void rejected(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 486, "callee", "Retry-After: 7\r\n", NULL);
	expect_status(&pbx, 486, "INVITE");
	assert_string_equal(header(pbx.msg, "Retry-After"), "7");
	hidden(pbx.msg, cloud_ips);
	ack(&a, NULL);
	expect(&um, "ACK");
	keeper_expect_records(0);
}

/* To itself, for ever: after the fifth time the caller is told. */
static void redirected(void **state)
{
	char want[16], *inv;

	invite();
	for (unsigned i = 1; i <= 6; i++) {
		snprintf(want, sizeof(want), "%u INVITE", i);
		assert_string_equal(header(um.msg, "CSeq"), want);
		inv = keep(um.msg);
		answer_to(&um, inv, 302, "callee", NULL, NULL);
		if (i < 6)
			expect(&um, "INVITE");
	}
	expect_status(&pbx, 302, "INVITE");
	hidden(pbx.msg, cloud_ips);
	assert_null(header(pbx.msg, "Contact"));
	keeper_expect_records(0);
}

static void cancelled(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	ua_send(&pbx, make_request(&a, "CANCEL", a.cseq, NULL, NULL));
	expect_status(&pbx, 200, "CANCEL");
	expect_status(&pbx, 487, "INVITE");
	expect(&um, "CANCEL");
	assert_string_equal(header(um.msg, "Via"), header(inv, "Via"));
	answer_to(&um, keep(um.msg), 200, "callee", NULL, NULL);
	answer_to(&um, inv, 487, "callee", NULL, NULL);
	expect(&um, "ACK");
	keeper_expect_records(0);
}

static void cancel_waits_for_provisional(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	ua_send(&pbx, make_request(&a, "CANCEL", a.cseq, NULL, NULL));
	expect_status(&pbx, 487, "INVITE");
	run_ms(100);
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect(&um, "CANCEL");
	answer_to(&um, keep(um.msg), 200, "callee", NULL, NULL);
	answer_to(&um, inv, 487, "callee", NULL, NULL);
	expect(&um, "ACK");
	keeper_expect_records(0);
}

static void cancel_crosses_answer(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	ua_send(&pbx, make_request(&a, "CANCEL", a.cseq, NULL, NULL));
	expect_status(&pbx, 487, "INVITE");
	expect(&um, "CANCEL");
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect(&um, "ACK");
	expect(&um, "BYE");
	answer_to(&um, um.msg, 200, NULL, NULL, NULL);
	keeper_expect_records(0);
}

static void byes_cross(void **state)
{
	establish();
	request(&a, "BYE", NULL, NULL);
	request(&b, "BYE", NULL, NULL);
	expect_status(&pbx, 200, "BYE");
	/* Each side may or may not see the other's BYE before its answer. */
	run_ms(50);
	for (int i = 0; i < 2; i++) {
		struct ua *u = i ? &um : &pbx;

		while (ua_receive(u, 100))
			if (is_request(u->msg, "BYE"))
				answer_to(u, keep(u->msg), 200, NULL, NULL,
					  NULL);
	}
	keeper_expect_records(0);
}

static void hold_and_resume(void **state)
{
	establish();
	reinvite(&a, &um, sdp_text("10.10.0.50", 30000, "a=sendonly\r\n"),
		 sdp_text("10.20.0.50", 40000, "a=recvonly\r\n"));
	if (!strstr(body(pbx.msg), "a=recvonly"))
		fail_msg("%s", pbx.msg);
	hidden(pbx.msg, cloud_ips);
	reinvite(&b, &pbx, sdp_text("10.20.0.50", 40000, ""),
		 sdp_text("10.10.0.50", 30000, ""));
	hidden(um.msg, core_ips);
	bye(&b, &pbx);
}

static void reinvite_refused_changes_nothing(void **state)
{
	char *inv;

	establish();
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 31000, ""));
	expect(&um, "INVITE");
	inv = keep(um.msg);
	answer_to(&um, inv, 488, NULL, NULL, NULL);
	expect_status(&pbx, 488, "INVITE");
	bye(&a, &um);
}

static void glare(void **state)
{
	char *inv;

	establish();
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "INVITE");
	inv = keep(um.msg);
	request(&b, "INVITE", NULL, sdp_text("10.20.0.50", 40000, ""));
	expect_status(&um, 491, "INVITE");
	answer_to(&um, inv, 200, NULL, NULL, sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	ack(&a, NULL);
	expect(&um, "ACK");
	bye(&a, &um);
}

static void delayed_offer(void **state)
{
	char *inv;

	dlg_new(&a, &pbx, "2000");
	request(&a, "INVITE", NULL, NULL);
	expect(&um, "INVITE");
	dlg_accept(&b, &um);
	inv = keep(um.msg);
	assert_string_equal(body(inv), "");
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	assert_non_null(strstr(body(pbx.msg), "c=IN IP4 10.10.0.10"));
	learn(&a);
	ack(&a, sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "ACK");
	assert_non_null(strstr(body(um.msg), "c=IN IP4 10.20.0.10"));
	/* The answer comes again when the callee missed it. */
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect(&um, "ACK");
	assert_non_null(strstr(body(um.msg), "c=IN IP4 10.20.0.10"));
	bye(&a, &um);
}

static void delayed_reinvite(void **state)
{
	char *inv;

	establish();
	request(&b, "INVITE", NULL, NULL);
	expect(&pbx, "INVITE");
	inv = keep(pbx.msg);
	answer_to(&pbx, inv, 200, NULL, NULL,
		  sdp_text("10.10.0.50", 30000, ""));
	expect_status(&um, 200, "INVITE");
	assert_non_null(strstr(body(um.msg), "c=IN IP4 10.20.0.10"));
	ack(&b, sdp_text("10.20.0.50", 40000, ""));
	expect(&pbx, "ACK");
	assert_non_null(strstr(body(pbx.msg), "c=IN IP4 10.10.0.10"));
	bye(&a, &um);
}

static void prack_end_to_end(void **state)
{
	char *inv;
	const char *rack;

	dlg_new(&a, &pbx, "2000");
	request(&a, "INVITE", "Supported: 100rel\r\n",
		sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "INVITE");
	dlg_accept(&b, &um);
	inv = keep(um.msg);
	assert_string_equal(header(inv, "Supported"), "100rel");
	answer_to(&um, inv, 183, "callee", "Require: 100rel\r\nRSeq: 77\r\n",
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 183, "INVITE");
	assert_string_equal(header(pbx.msg, "RSeq"), "77");
	assert_string_equal(header(pbx.msg, "Require"), "100rel");
	learn(&a);
	request(&a, "PRACK", "RAck: 77 11 INVITE\r\n", NULL);
	expect(&um, "PRACK");
	rack = header(um.msg, "RAck");
	assert_int_equal(strncmp(rack, "77 ", 3), 0);
	assert_int_equal(atoi(rack + 3), atoi(header(inv, "CSeq")));
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	expect_status(&pbx, 200, "PRACK");
	answer_to(&um, inv, 200, "callee", NULL, NULL);
	expect_status(&pbx, 200, "INVITE");
	a.cseq = 11;
	ack(&a, NULL);
	expect(&um, "ACK");
	a.cseq = 13;
	bye(&a, &um);
}

static void update_and_info(void **state)
{
	establish();
	request(&b, "UPDATE", NULL,
		sdp_text("10.20.0.50", 40000, "a=inactive\r\n"));
	expect(&pbx, "UPDATE");
	hidden(pbx.msg, cloud_ips);
	answer_to(&pbx, keep(pbx.msg), 200, NULL, NULL,
		  sdp_text("10.10.0.50", 30000, "a=inactive\r\n"));
	expect_status(&um, 200, "UPDATE");
	hidden(um.msg, core_ips);
	request(&a, "INFO", "Content-Type: application/dtmf-relay\r\n",
		"Signal=5\r\n");
	expect(&um, "INFO");
	assert_string_equal(body(um.msg), "Signal=5\r\n");
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	expect_status(&pbx, 200, "INFO");
	bye(&a, &um);
}

static void options_answered(void **state)
{
	dlg_new(&a, &pbx, "ping");
	request(&a, "OPTIONS", NULL, NULL);
	expect_status(&pbx, 200, "OPTIONS");
	assert_non_null(strstr(header(pbx.msg, "Allow"), "INVITE"));
	assert_string_equal(header(pbx.msg, "Accept"), "application/sdp");
	assert_string_equal(header(pbx.msg, "Supported"), "100rel");
}

static void refuse(int status, const char *method, const char *extra,
		   const char *sdp)
{
	request(&a, method, extra, sdp);
	expect_status(&pbx, status, method);
	if (!strcmp(method, "INVITE"))
		ack(&a, NULL);
}

static void bad_requests(void **state)
{
	const char *sdp = sdp_text("10.10.0.50", 30000, "");

	dlg_new(&a, &pbx, "9999");
	refuse(404, "INVITE", NULL, sdp);
	dlg_new(&a, &pbx, "2000");
	refuse(405, "REGISTER", NULL, NULL);
	assert_non_null(strstr(header(pbx.msg, "Allow"), "INVITE"));
	refuse(501, "FROBNICATE", NULL, NULL);
	refuse(420, "INVITE", "Require: teleport\r\n", sdp);
	assert_string_equal(header(pbx.msg, "Unsupported"), "teleport");
	refuse(415, "INVITE", "Content-Type: text/plain\r\n", "hello");
	assert_string_equal(header(pbx.msg, "Accept"), "application/sdp");
}

static void more_bad_requests(void **state)
{
	const char *sdp = sdp_text("10.10.0.50", 30000, "");
	char text[TEXT_SIZE], *at;

	dlg_new(&a, &pbx, "2000");
	/* Too many hops. */
	snprintf(text, sizeof(text), "%s",
		 make_request(&a, "INVITE", 1, NULL, sdp));
	at = strstr(text, "Max-Forwards: 70");
	memcpy(at, "Max-Forwards: 00", 16);
	ua_send(&pbx, text);
	expect_status(&pbx, 483, "INVITE");
	/* Our own Via. */
	snprintf(text, sizeof(text), "%s",
		 make_request(&a, "INVITE", 2,
			      "Via: SIP/2.0/UDP 10.10.0.10;branch="
			      "z9hG4bK0123456789abcdef0123456789abcdef\r\n",
			      sdp));
	ua_send(&pbx, text);
	expect_status(&pbx, 482, "INVITE");
	/* What we do not speak. */
	snprintf(a.target, sizeof(a.target), "tel:+123");
	ua_send(&pbx, make_request(&a, "INVITE", 3, NULL, sdp));
	expect_status(&pbx, 416, "INVITE");
	/* No stream that can be relayed. */
	dlg_new(&a, &pbx, "2000");
	request(&a, "INVITE", NULL,
		"v=0\r\no=- 1 1 IN IP4 10.10.0.50\r\ns=-\r\n"
		"c=IN IP4 10.10.0.50\r\nt=0 0\r\nm=audio 5 FOO/BAR 0\r\n");
	expect_status(&pbx, 488, "INVITE");
	assert_non_null(header(pbx.msg, "Warning"));
	ack(&a, NULL);
	dlg_new(&a, &pbx, "2000");
	request(&a, "INVITE", NULL, "v=0\r\nnonsense\r\n");
	expect_status(&pbx, 488, "INVITE");
	assert_non_null(header(pbx.msg, "Warning"));
	ack(&a, NULL);
	/* Nobody's dialog. */
	snprintf(a.remote, sizeof(a.remote), "<sip:x@y>;tag=none");
	refuse(481, "BYE", NULL, NULL);
	refuse(481, "INVITE", NULL, sdp);
	refuse(481, "UPDATE", NULL, NULL);
	keeper_expect_records(0);
	expect_nothing(&um, "bad requests reach nobody");
}

static void strangers_are_refused(void **state)
{
	struct ua stranger;

	ua_open(&stranger, "10.10.0.99", "10.10.0.10", false);
	dlg_new(&a, &stranger, "2000");
	request(&a, "INVITE", NULL, sdp_text("10.10.0.99", 30000, ""));
	expect_status(&stranger, 403, "INVITE");
	assert_true(counters_get(keeper.counters,
				 COUNTER_sip_rx_unknown_source) > 0);
	ua_close(&stranger);
	expect_nothing(&um, "a stranger reaches nobody");
}

static void nothing_leaves_before_its_commit(void **state)
{
	char *inv;

	keeper.hold = true;
	dlg_new(&a, &pbx, "2000");
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	/* Not even the 100: the caller would not ask again. */
	expect_nothing(&pbx, "an uncommitted INVITE");
	assert_false(ua_receive(&um, 1));
	assert_true(keeper.held_len == 1);
	keeper_release();
	expect(&um, "INVITE");
	dlg_accept(&b, &um);
	expect_status(&pbx, 100, "INVITE");
	inv = keep(um.msg);
	keeper.hold = true;
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_nothing(&pbx, "an uncommitted 180");
	run_ms(50);
	keeper_release();
	expect_status(&pbx, 180, "INVITE");
	keeper.hold = true;
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_nothing(&pbx, "an uncommitted 200");
	keeper_release();
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	keeper.hold = true;
	request(&a, "BYE", NULL, NULL);
	expect_nothing(&um, "an uncommitted BYE");
	/* Time has passed already; much more and the worker gives up. */
	assert_false(ua_receive(&pbx, 1));
	keeper_release();
	expect(&um, "BYE");
	answer_to(&um, um.msg, 200, NULL, NULL, NULL);
	expect_status(&pbx, 200, "BYE");
	keeper_expect_records(0);
}

/* A keeper that never answers holds up a call for so long only. */
static void commit_never_answered(void **state)
{
	keeper.hold = true;
	dlg_new(&a, &pbx, "2000");
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect_nothing(&um, "an uncommitted INVITE");
	expect(&um, "INVITE");
	answer_to(&um, keep(um.msg), 486, "callee", NULL, NULL);
	expect_status(&pbx, 486, "INVITE");
	assert_true(counters_get(keeper.counters,
				 COUNTER_sip_commit_timeouts) >= 2);
	/* Late is no harm. */
	keeper_release();
	keeper_expect_records(0);
}

/* What a held response is made of must not die with its original. */
static void held_response_is_whole(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	keeper.hold = true;
	answer_to(&um, inv, 180, "callee", "X-Note: first\r\n", NULL);
	run_ms(30);
	answer_to(&um, inv, 603, "callee", NULL, NULL);
	run_ms(30);
	for (int i = 0; i < 50; i++) {
		dlg_new(&b, &um, "x");
		request(&b, "OPTIONS", NULL, NULL);
	}
	run_ms(50);
	keeper_release();
	expect_status(&pbx, 180, "INVITE");
	assert_int_equal(strncmp(pbx.msg, "SIP/2.0 180 Ringing\r\n", 21), 0);
	assert_string_equal(header(pbx.msg, "X-Note"), "first");
	expect_status(&pbx, 603, "INVITE");
	assert_int_equal(strncmp(pbx.msg, "SIP/2.0 603 Whatever\r\n", 22), 0);
}

static void answer_repeats_until_acked(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	expect_status(&pbx, 200, "INVITE");
	ack(&a, NULL);
	expect(&um, "ACK");
	run_ms(50);
	expect_nothing(&pbx, "an acknowledged 200");
	/* The callee missed our ACK. */
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect(&um, "ACK");
	bye(&a, &um);
}

/* The caller's ACK is missing when the callee hangs up. */
static void bye_waits_for_ack(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	request(&b, "BYE", NULL, NULL);
	expect_status(&um, 200, "BYE");
	/* RFC 3261 section 15: first its ACK. */
	expect_status(&pbx, 200, "INVITE");
	expect_status(&pbx, 200, "INVITE");
	ack(&a, NULL);
	expect(&pbx, "BYE");
	answer_to(&pbx, keep(pbx.msg), 200, NULL, NULL, NULL);
	keeper_expect_records(0);
}

/* Two phones behind the callee answered. */
static void second_fork_is_ended(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 180, "one", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	answer_to(&um, inv, 180, "two", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	assert_non_null(strstr(header(um.msg, "To"), "tag=callee"));
	answer_to(&um, inv, 200, "two", NULL,
		  sdp_text("10.20.0.50", 42000, ""));
	expect(&um, "ACK");
	assert_non_null(strstr(header(um.msg, "To"), "tag=two"));
	expect(&um, "BYE");
	assert_non_null(strstr(header(um.msg, "To"), "tag=two"));
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	bye(&a, &um);
}

/* With the address sanitizer this looks for leaks in the worker. */
static void ends_clean(void **state)
{
	for (int i = 0; i < 3; i++) {
		establish();
		reinvite(&a, &um, sdp_text("10.10.0.50", 30000, ""),
			 sdp_text("10.20.0.50", 40000, ""));
		bye(&a, &um);
	}
	establish();
	invite();
	answer_to(&um, um.msg, 180, "callee", NULL, NULL);
	run_ms(50);
	keeper.hold = true;
	answer_to(&um, um.msg, 183, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	run_ms(50);
	keeper_stop();
}

static void quiesce_answers(void **state)
{
	struct link_message m = {.type = LINK_QUIESCE};

	establish();
	keeper_send(&m);
	run_ms(150);
	assert_true(keeper.quiesced);
}

/* Beside it there may be connections. */
static void find_call(struct ha_item *out)
{
	struct ha_key at = {0};

	do {
		assert_true(ha_store_next(keeper.store, &at, out));
		at = out->key;
	} while (out->key.kind != REC_CALL);
}

static void media_timeout_ends_call(void **state)
{
	struct rec_mstate m = {.guard = GUARD_SUBSEQUENT};
	struct link_message rec = {.type = LINK_RECORD, .token = 1000};
	struct ha_item item;
	struct buf value;

	establish();
	find_call(&item);
	buf_init(&value, 4096);
	assert_int_equal(record_encode(REC_MSTATE, &m, &value), 0);
	rec.key = item.key;
	rec.key.kind = REC_MSTATE;
	rec.key.sub = 0;
	rec.value = value.data;
	rec.size = value.size;
	keeper_send(&rec);
	buf_finish(&value);
	expect(&um, "BYE");
	assert_non_null(strstr(header(um.msg, "Reason"), "Media timeout"));
	answer_to(&um, um.msg, 200, NULL, NULL, NULL);
	expect(&pbx, "BYE");
	answer_to(&pbx, pbx.msg, 200, NULL, NULL, NULL);
	keeper_expect_records(0);
}

static void query_shows_call(void **state)
{
	struct ha_item item;
	char text[64];

	establish();
	find_call(&item);
	snprintf(text, sizeof(text), "{\"cmd\":\"call\",\"id\":\"%016llx\"}",
		 (unsigned long long)item.key.id);
	keeper_query(text);
	assert_non_null(strstr(keeper.reply, "\"established\""));
	assert_non_null(strstr(keeper.reply, "10.20.0.50"));
	keeper_query("{\"cmd\":\"stats\"}");
	assert_non_null(strstr(keeper.reply, "\"calls\":1"));
	keeper_query("{\"cmd\":\"nonsense\"");
	assert_non_null(strstr(keeper.reply, "error"));
	bye(&a, &um);
	keeper_query("{\"cmd\":\"stats\"}");
	assert_non_null(strstr(keeper.reply, "\"calls\":0"));
	assert_non_null(strstr(keeper.reply, "\"ports\":0"));
	assert_non_null(strstr(keeper.reply, "\"transactions\":0"));
}

static void standby_is_deaf(void **state)
{
	keeper_kill();
	keeper_start(false);
	run_ms(200);
	dlg_new(&a, &pbx, "2000");
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect_nothing(&pbx, "a standby");
	keeper_activate();
	run_ms(50);
	request(&a, "OPTIONS", NULL, NULL);
	expect_status(&pbx, 200, "OPTIONS");
}

static void ipv6(void **state)
{
	struct ua pbx6, um6;
	char *inv;

	ua_open(&pbx6, "fd00:10::50", "fd00:10::10", false);
	ua_open(&um6, "fd00:20::50", "fd00:20::10", false);
	dlg_new(&a, &pbx6, "6000");
	request(&a, "INVITE", NULL, sdp_text("fd00:10::50", 30000, ""));
	expect(&um6, "INVITE");
	inv = keep(um6.msg);
	hidden(inv, core_ips);
	assert_non_null(strstr(body(inv), "c=IN IP6 fd00:20::10"));
	answer_to(&um6, inv, 200, "callee", NULL,
		  sdp_text("fd00:20::50", 40000, ""));
	expect_status(&pbx6, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um6, "ACK");
	bye(&a, &um6);
	ua_close(&pbx6);
	ua_close(&um6);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(basic_call),
		CASE(callee_ends),
		CASE(rejected),
		CASE(redirected),
		CASE(cancelled),
		CASE(cancel_waits_for_provisional),
		CASE(cancel_crosses_answer),
		CASE(byes_cross),
		CASE(hold_and_resume),
		CASE(reinvite_refused_changes_nothing),
		CASE(glare),
		CASE(delayed_offer),
		CASE(delayed_reinvite),
		CASE(prack_end_to_end),
		CASE(update_and_info),
		CASE(options_answered),
		CASE(bad_requests),
		CASE(more_bad_requests),
		CASE(strangers_are_refused),
		CASE(nothing_leaves_before_its_commit),
		CASE(commit_never_answered),
		CASE(held_response_is_whole),
		CASE(answer_repeats_until_acked),
		CASE(bye_waits_for_ack),
		CASE(second_fork_is_ended),
		CASE(ends_clean),
		CASE(quiesce_answers),
		CASE(media_timeout_ends_call),
		CASE(query_shows_call),
		CASE(standby_is_deaf),
		CASE(ipv6),
	};

	return cmocka_run_group_tests(tests, stage_network, NULL);
}
