/*
 * The worker is killed and another one gets its records: that is a crash of
 * the worker, and a take-over by the other node, in one.
 */
#include "harness_call.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>

/* What TCP peers see of it: their connections are gone. */
static void take_over(void)
{
	run_ms(30);
	keeper_kill();
	ua_drop(&pbx);
	ua_drop(&um);
	keeper_start(true);
	keeper_wait_active();
	run_ms(100);
}

static unsigned cseq_of(const char *msg)
{
	return (unsigned)atoi(header(msg, "CSeq"));
}

static void established_caller_ends(void **state)
{
	establish();
	take_over();
	bye(&a, &um);
	assert_true(cseq_of(um.msg) >= 11);
}

static void established_callee_ends(void **state)
{
	establish();
	take_over();
	bye(&b, &pbx);
}

static void reinvites_after(void **state)
{
	unsigned first;

	establish();
	reinvite(&a, &um, sdp_text("10.10.0.50", 30000, "a=sendonly\r\n"),
		 sdp_text("10.20.0.50", 40000, "a=recvonly\r\n"));
	first = cseq_of(um.msg);
	take_over();
	reinvite(&a, &um, sdp_text("10.10.0.50", 30000, ""),
		 sdp_text("10.20.0.50", 40000, ""));
	/* What the dead one may have used is left out. */
	assert_true(cseq_of(um.msg) >= first + 10);
	reinvite(&b, &pbx, sdp_text("10.20.0.50", 40000, ""),
		 sdp_text("10.10.0.50", 30000, ""));
	take_over();
	reinvite(&b, &pbx, sdp_text("10.20.0.50", 40000, ""),
		 sdp_text("10.10.0.50", 30000, ""));
	bye(&a, &um);
}

static void ringing(void **state)
{
	char *inv, *again;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	take_over();
	/* To the callee it is a retransmission. */
	expect(&um, "INVITE");
	again = keep(um.msg);
	assert_string_equal(header(again, "Via"), header(inv, "Via"));
	assert_string_equal(header(again, "CSeq"), header(inv, "CSeq"));
	assert_string_equal(header(again, "From"), header(inv, "From"));
	answer_to(&um, again, 180, "callee", NULL, NULL);
	answer_to(&um, again, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	bye(&a, &um);
}

/* Its keeper has died, and it notices before it is killed for that. */
static void ends_without_a_word(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	run_ms(50);
	keeper_stop();
	expect_nothing(&pbx, "a word of a worker that ends");
	expect_nothing(&um, "a word of a worker that ends");
	keeper_start(true);
	keeper_wait_active();
}

static void ringing_then_cancelled(void **state)
{
	char *inv;

	invite();
	answer_to(&um, keep(um.msg), 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	take_over();
	expect(&um, "INVITE");
	inv = keep(um.msg);
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	run_ms(50);
	ua_send(&pbx, make_request(&a, "CANCEL", a.cseq, NULL, NULL));
	expect_status(&pbx, 200, "CANCEL");
	expect_status(&pbx, 487, "INVITE");
	expect(&um, "CANCEL");
	answer_to(&um, keep(um.msg), 200, "callee", NULL, NULL);
	answer_to(&um, inv, 487, "callee", NULL, NULL);
	expect(&um, "ACK");
	keeper_expect_records(0);
}

static void ringing_then_rejected(void **state)
{
	invite();
	answer_to(&um, keep(um.msg), 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	take_over();
	expect(&um, "INVITE");
	answer_to(&um, keep(um.msg), 603, "callee", NULL, NULL);
	expect(&um, "ACK");
	expect_status(&pbx, 603, "INVITE");
	keeper_expect_records(0);
}

/* The callee had answered while nobody was there. */
static void answered_in_between(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	run_ms(20);
	keeper_kill();
	ua_drop(&pbx);
	ua_drop(&um);
	keeper_start(true);
	keeper_wait_active();
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect(&um, "INVITE");
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	bye(&a, &um);
}

static void trying(void **state)
{
	char *inv;

	invite();
	take_over();
	expect(&um, "INVITE");
	inv = keep(um.msg);
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	bye(&b, &pbx);
}

static void ringing_without_an_offer(void **state)
{
	char *inv;

	dlg_new(&a, &pbx, tcp_peers ? "7000" : "2000");
	request(&a, "INVITE", "Accept: application/sdp\r\n", NULL);
	expect(&um, "INVITE");
	dlg_accept(&b, &um);
	answer_to(&um, keep(um.msg), 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	take_over();
	expect(&um, "INVITE");
	inv = keep(um.msg);
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	take_over();
	expect_status(&pbx, 200, "INVITE");
	ack(&a, sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "ACK");
	assert_non_null(strstr(body(um.msg), "c=IN IP4 10.20.0.10"));
	bye(&a, &um);
}

static void answer_unacked(void **state)
{
	char *inv, *ok;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	ok = keep(pbx.msg);
	take_over();
	expect_status(&pbx, 200, "INVITE");
	assert_string_equal(header(pbx.msg, "To"), header(ok, "To"));
	assert_string_equal(body(pbx.msg), body(ok));
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	bye(&a, &um);
}

static void early_media_and_prack(void **state)
{
	char *inv;

	dlg_new(&a, &pbx, tcp_peers ? "7000" : "2000");
	request(&a, "INVITE", "Supported: 100rel\r\n",
		sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "INVITE");
	dlg_accept(&b, &um);
	inv = keep(um.msg);
	answer_to(&um, inv, 183, "callee", "Require: 100rel\r\nRSeq: 5\r\n",
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 183, "INVITE");
	learn(&a);
	take_over();
	expect(&um, "INVITE");
	request(&a, "PRACK", "RAck: 5 11 INVITE\r\n", NULL);
	expect(&um, "PRACK");
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	expect_status(&pbx, 200, "PRACK");
	answer_to(&um, inv, 200, "callee", NULL, NULL);
	expect_status(&pbx, 200, "INVITE");
	a.cseq = 11;
	ack(&a, NULL);
	expect(&um, "ACK");
	a.cseq = 20;
	bye(&a, &um);
}

static void reinvite_pending(void **state)
{
	char *inv, *again;

	establish();
	request(&a, "INVITE", NULL, sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "INVITE");
	inv = keep(um.msg);
	take_over();
	expect(&um, "INVITE");
	again = keep(um.msg);
	assert_string_equal(header(again, "Via"), header(inv, "Via"));
	assert_string_equal(header(again, "CSeq"), header(inv, "CSeq"));
	answer_to(&um, again, 200, NULL, NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	ack(&a, NULL);
	expect(&um, "ACK");
	bye(&a, &um);
}

/* Answered and acknowledged before: whoever still sends it, waits for nothing
 * any more. */
static void late_copies(void **state)
{
	char *first, *again;

	dlg_new(&a, &pbx, tcp_peers ? "7000" : "2000");
	first = keep(make_request(&a, "INVITE", ++a.cseq, NULL,
				  sdp_text("10.10.0.50", 30000, "")));
	ua_send(&pbx, first);
	expect(&um, "INVITE");
	dlg_accept(&b, &um);
	answer_to(&um, keep(um.msg), 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	learn(&a);
	ack(&a, NULL);
	expect(&um, "ACK");
	again = keep(
		make_request(&a, "INVITE", ++a.cseq, NULL,
			     sdp_text("10.10.0.50", 30000, "a=sendonly\r\n")));
	ua_send(&pbx, again);
	expect(&um, "INVITE");
	answer_to(&um, keep(um.msg), 200, NULL, NULL,
		  sdp_text("10.20.0.50", 40000, "a=recvonly\r\n"));
	expect_status(&pbx, 200, "INVITE");
	ack(&a, NULL);
	expect(&um, "ACK");
	take_over();
	ua_send(&pbx, again);
	ua_send(&pbx, first);
	expect_nothing(&pbx, "a copy of what is over");
	expect_nothing(&um, "a copy of what is over");
	assert_int_equal(counters_get(keeper.counters, COUNTER_sip_rx_copies),
			 2);
	reinvite(&a, &um, sdp_text("10.10.0.50", 30000, ""),
		 sdp_text("10.20.0.50", 40000, ""));
	bye(&a, &um);
}

/* An INFO has no record; the far side takes the second for a copy. */
static void info_pending(void **state)
{
	char *info, *there;

	establish();
	info = keep(make_request(&a, "INFO", ++a.cseq,
				 "Content-Type: application/dtmf-relay\r\n",
				 "Signal=5\r\n"));
	ua_send(&pbx, info);
	expect(&um, "INFO");
	there = keep(um.msg);
	take_over();
	ua_send(&pbx, info);
	expect(&um, "INFO");
	assert_string_equal(header(um.msg, "Via"), header(there, "Via"));
	assert_string_equal(header(um.msg, "CSeq"), header(there, "CSeq"));
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	expect_status(&pbx, 200, "INFO");
	bye(&a, &um);
}

static void update_pending(void **state)
{
	establish();
	request(&b, "UPDATE", NULL, sdp_text("10.20.0.50", 40000, ""));
	expect(&pbx, "UPDATE");
	take_over();
	expect(&pbx, "UPDATE");
	answer_to(&pbx, keep(pbx.msg), 200, NULL, NULL,
		  sdp_text("10.10.0.50", 30000, ""));
	expect_status(&um, 200, "UPDATE");
	bye(&a, &um);
}

static void bye_pending(void **state)
{
	establish();
	request(&a, "BYE", NULL, NULL);
	expect_status(&pbx, 200, "BYE");
	expect(&um, "BYE");
	take_over();
	/* It is said again, with a number of its own. */
	expect(&um, "BYE");
	answer_to(&um, keep(um.msg), 481, NULL, NULL, NULL);
	keeper_expect_records(0);
}

/* The callee has been told to stop ringing, and nobody is there any more. */
static char *cancelled(void)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	ua_send(&pbx, make_request(&a, "CANCEL", a.cseq, NULL, NULL));
	expect_status(&pbx, 487, "INVITE");
	request(&a, "ACK", NULL, NULL);
	expect(&um, "CANCEL");
	return inv;
}

static void expect_next(struct ua *u, const char *method)
{
	assert_true(ua_receive(u, WAIT_MS));
	assert_true(is_request(u->msg, method));
}

/* The INVITE follows when the CANCEL has found it, not before: a callee that
 * has forgotten it would ring. */
static void cancel_pending(void **state)
{
	char *inv = cancelled();

	take_over();
	expect_next(&um, "CANCEL");
	answer_to(&um, keep(um.msg), 200, "callee", NULL, NULL);
	expect(&um, "INVITE");
	assert_string_equal(header(um.msg, "Via"), header(inv, "Via"));
	answer_to(&um, inv, 487, "callee", NULL, NULL);
	expect(&um, "ACK");
	keeper_expect_records(0);
}

static void cancel_forgotten(void **state)
{
	cancelled();
	take_over();
	expect_next(&um, "CANCEL");
	answer_to(&um, keep(um.msg), 481, "callee", NULL, NULL);
	expect_nothing(&um, "nothing rings anew");
}

/* It had been answered, so the CANCEL finds nothing. */
static void cancel_too_late(void **state)
{
	char *inv = cancelled();

	take_over();
	expect_next(&um, "CANCEL");
	answer_to(&um, keep(um.msg), 481, "callee", NULL, NULL);
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect(&um, "ACK");
	expect(&um, "BYE");
	answer_to(&um, keep(um.msg), 200, NULL, NULL, NULL);
	keeper_expect_records(0);
}

/* No response had come yet: a CANCEL has to wait for one. */
static void cancel_before_a_response(void **state)
{
	char *inv;

	invite();
	ua_send(&pbx, make_request(&a, "CANCEL", a.cseq, NULL, NULL));
	expect_status(&pbx, 487, "INVITE");
	request(&a, "ACK", NULL, NULL);
	take_over();
	expect(&um, "INVITE");
	inv = keep(um.msg);
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect(&um, "CANCEL");
	answer_to(&um, keep(um.msg), 200, "callee", NULL, NULL);
	answer_to(&um, inv, 487, "callee", NULL, NULL);
	expect(&um, "ACK");
	keeper_expect_records(0);
}

/* The end of the call is on record, its answer had not left. */
static void cancel_unanswered(void **state)
{
	invite();
	answer_to(&um, keep(um.msg), 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	keeper.hold = true;
	ua_send(&pbx, make_request(&a, "CANCEL", a.cseq, NULL, NULL));
	expect_status(&pbx, 200, "CANCEL");
	run_ms(30);
	keeper.hold = false;
	take_over();
	expect_status(&pbx, 487, "INVITE");
	expect(&um, "CANCEL");
}

static void rejection_unanswered(void **state)
{
	invite();
	keeper.hold = true;
	answer_to(&um, keep(um.msg), 486, "callee", NULL, NULL);
	expect(&um, "ACK");
	run_ms(30);
	keeper.hold = false;
	take_over();
	expect_status(&pbx, 486, "INVITE");
	expect_nothing(&um, "it is not called again");
}

/* ---- a caller that demands reliable responses, a callee that sends none */

static void prack(const char *rack)
{
	char extra[64];

	snprintf(extra, sizeof(extra), "RAck: %s\r\n", rack);
	request(&a, "PRACK", extra, NULL);
}

static char *invite_required(void)
{
	dlg_new(&a, &pbx, tcp_peers ? "7000" : "2000");
	request(&a, "INVITE", "Require: 100rel\r\n",
		sdp_text("10.10.0.50", 30000, ""));
	expect(&um, "INVITE");
	dlg_accept(&b, &um);
	return keep(um.msg);
}

static void required_unpracked(void **state)
{
	char *inv = invite_required();

	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	assert_string_equal(header(pbx.msg, "RSeq"), "1");
	assert_string_equal(header(pbx.msg, "Require"), "100rel");
	learn(&a);
	/* It is repeated, here and there, as the very same. */
	expect_status(&pbx, 180, "INVITE");
	take_over();
	expect_status(&pbx, 180, "INVITE");
	assert_string_equal(header(pbx.msg, "RSeq"), "1");
	expect(&um, "INVITE");
	prack("1 11 INVITE");
	expect_status(&pbx, 200, "PRACK");
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_nothing(&pbx, "the callee only repeats itself");
	answer_to(&um, inv, 183, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 183, "INVITE");
	assert_string_equal(header(pbx.msg, "RSeq"), "2");
	prack("2 11 INVITE");
	expect_status(&pbx, 200, "PRACK");
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	/* The callee never hears of PRACK. */
	expect_status(&pbx, 200, "INVITE");
	a.cseq = 11;
	ack(&a, NULL);
	expect_next(&um, "ACK");
	a.cseq = 20;
	bye(&a, &um);
}

static void required_and_pracked(void **state)
{
	char *inv = invite_required();

	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	learn(&a);
	prack("1 11 INVITE");
	expect_status(&pbx, 200, "PRACK");
	take_over();
	expect(&um, "INVITE");
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_nothing(&pbx, "it has been acknowledged");
	answer_to(&um, inv, 183, "callee", NULL, NULL);
	expect_status(&pbx, 183, "INVITE");
	assert_string_equal(header(pbx.msg, "RSeq"), "2");
	answer_to(&um, inv, 200, "callee", NULL,
		  sdp_text("10.20.0.50", 40000, ""));
	expect_status(&pbx, 200, "INVITE");
	a.cseq = 11;
	ack(&a, NULL);
	expect(&um, "ACK");
	a.cseq = 20;
	bye(&a, &um);
}

/* The same INVITE makes the same INVITE. */
static void same_names_on_any_node(void **state)
{
	char *text, *inv, *again;

	dlg_new(&a, &pbx, "2000");
	text = keep(make_request(&a, "INVITE", ++a.cseq, NULL,
				 sdp_text("10.10.0.50", 30000, "")));
	ua_send(&pbx, text);
	expect(&um, "INVITE");
	inv = keep(um.msg);
	keeper_kill();
	ha_store_destroy(keeper.store);
	assert_int_equal(ha_store_create(&keeper.store), 0);
	keeper_start(true);
	keeper_wait_active();
	ua_send(&pbx, text);
	expect(&um, "INVITE");
	again = keep(um.msg);
	assert_string_equal(header(again, "Via"), header(inv, "Via"));
	assert_string_equal(header(again, "Call-ID"), header(inv, "Call-ID"));
	assert_string_equal(header(again, "From"), header(inv, "From"));
	assert_string_equal(header(again, "CSeq"), header(inv, "CSeq"));
	answer_to(&um, again, 486, "callee", NULL, NULL);
	expect_status(&pbx, 486, "INVITE");
	keeper_expect_records(0);
}

/* The worker's connections go without a word, as those of a node that has lost
 * its power: the peers know nothing of it. */
static void vanish(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, keeper.pid, 0), on = 1;

	assert_true(pidfd >= 0);
	/* A delayed ACK of a peer would find out. */
	run_ms(300);
	kill(keeper.pid, SIGSTOP);
	for (int i = 3; i < 256; i++) {
		int fd = (int)syscall(SYS_pidfd_getfd, pidfd, i, 0);

		if (fd < 0)
			continue;
		/* One under repair sends nothing when it is closed. */
		(void)!setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on));
		close(fd);
	}
	close(pidfd);
	keeper_kill();
}

/* Of its first connection: where that comes from; 0: it is reset. */
static uint16_t port_of(const struct ua *u)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr from = {0};

	if (u->conns_len &&
	    !getpeername(u->conns[0].fd, (struct sockaddr *)&ss, &len) &&
	    addr_from_sockaddr(&from, (struct sockaddr *)&ss))
		fail();
	return from.port;
}

/* What the callee would answer on the old connection would be lost. */
static void half_open(void **state)
{
	uint64_t deadline = clock_mono_ms() + WAIT_MS;
	uint16_t port;

	establish();
	assert_int_equal(um.conns_len, 1);
	port = port_of(&um);
	vanish();
	keeper_start(true);
	keeper_wait_active();
	while ((um.conns_len != 1 || !port_of(&um) || port_of(&um) == port) &&
	       clock_mono_ms() < deadline)
		ua_receive(&um, 20);
	/* but there is a new one, though nothing was to be sent */
	assert_int_equal(um.conns_len, 1);
	assert_int_not_equal(port_of(&um), port);
	ua_drop(&pbx);
	bye(&b, &pbx);
}

/* And what it has answered there is lost: it is asked once more. */
static void half_open_while_it_rings(void **state)
{
	char *inv;

	invite();
	inv = keep(um.msg);
	answer_to(&um, inv, 180, "callee", NULL, NULL);
	expect_status(&pbx, 180, "INVITE");
	run_ms(20);
	vanish();
	ua_drop(&pbx);
	keeper_start(true);
	keeper_wait_active();
	for (int i = 0; i < 2; i++) {
		expect(&um, "INVITE");
		assert_string_equal(header(um.msg, "Via"), header(inv, "Via"));
	}
	answer_to(&um, inv, 486, "callee", NULL, NULL);
	expect_status(&pbx, 486, "INVITE");
}

static void replay_is_idempotent(void **state)
{
	establish();
	keeper_activate();
	keeper_activate();
	run_ms(50);
	bye(&a, &um);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, up, down)

static int run_all(const char *name)
{
	const struct CMUnitTest tests[] = {
		CASE(established_caller_ends),
		CASE(established_callee_ends),
		CASE(reinvites_after),
		CASE(ringing),
		CASE(ends_without_a_word),
		CASE(ringing_then_cancelled),
		CASE(ringing_then_rejected),
		CASE(answered_in_between),
		CASE(trying),
		CASE(ringing_without_an_offer),
		CASE(answer_unacked),
		CASE(early_media_and_prack),
		CASE(reinvite_pending),
		CASE(update_pending),
		CASE(bye_pending),
		CASE(late_copies),
		CASE(info_pending),
		CASE(cancel_pending),
		CASE(cancel_forgotten),
		CASE(cancel_too_late),
		CASE(cancel_before_a_response),
		CASE(cancel_unanswered),
		CASE(rejection_unanswered),
		CASE(required_unpracked),
		CASE(required_and_pracked),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(same_names_on_any_node),
		CASE(replay_is_idempotent),
	};
	const struct CMUnitTest streams[] = {
		CASE(half_open),
		CASE(half_open_while_it_rings),
	};
	int failed;

	if (stage_network(NULL))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	failed += run_all("udp");
	tcp_peers = true;
	failed += run_all("tcp");
	failed += cmocka_run_group_tests(streams, NULL, NULL);
	return failed;
}
