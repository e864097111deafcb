/* Streams and flows: building, updates, replicated state, silence. */
#include "media_test.h"

#include "sbcd/record/record.h"

static struct media_nifs nifs;
static const struct media_out out = {.fd = -1, .index = 0};

static int setup(void **state)
{
	nifs_fill(&nifs, 2, &out);
	return 0;
}

static int teardown(void **state)
{
	media_nifs_finish(&nifs);
	return 0;
}

static int build(const struct rec_media *r)
{
	struct ha_key key = {.id = 1};
	struct media_stream_params p = {.nifs = &nifs, .now_ns = at_ms(0)};
	struct media_stream *s = NULL;
	int err = media_stream_build(&s, &key, r, &p);

	media_stream_free(s);
	return err;
}

static void test_build(void **state)
{
	struct rec_media r = record_of(20004);
	struct media_stream *s = stream_of(&nifs, &r, at_ms(0));

	assert_int_equal(s->flows_len, 2);
	assert_int_equal(s->shard, 1);
	assert_true(addr_equal(&s->flows[0].to, &r.flows[0].remote));
	assert_int_equal(s->flows[0].to_rtcp.port, 7001);
	assert_int_equal(media_flow_rtcp_port(&s->flows[0]), 20005);
	assert_int_equal(media_stream_claim(s), 4);
	assert_ptr_equal(media_endpoint_flow(s->flows[1].endpoint, 20005),
			 &s->flows[1]);
	assert_int_equal(media_stream_release(s), 4);
	assert_null(media_endpoint_flow(s->flows[1].endpoint, 20005));
	media_stream_free(s);

	r.flows[0].remote_rtcp = addr_of("10.10.0.51", 9999);
	r.flows[1].rtcp_mux = true;
	s = stream_of(&nifs, &r, at_ms(0));
	assert_true(addr_equal(&s->flows[0].to_rtcp, &r.flows[0].remote_rtcp));
	assert_true(addr_equal(&s->flows[1].to_rtcp, &r.flows[1].remote));
	assert_int_equal(media_flow_rtcp_port(&s->flows[1]), 20004);
	media_stream_free(s);
}

static void test_refuse_nonsense(void **state)
{
	struct rec_media good = record_of(20004), r;

	assert_int_equal(build(&good), 0);
	r = good;
	r.flows_len = 0;
	assert_int_equal(build(&r), -EINVAL);
	r.flows_len = REC_FLOWS_MAX + 1;
	assert_int_equal(build(&r), -EINVAL);
	r = good;
	strcpy(r.flows[1].network_interface, "nowhere");
	assert_int_equal(build(&r), -EINVAL);
	r = good;
	r.flows[1].local.port = 20400; /* behind the pool */
	assert_int_equal(build(&r), -EINVAL);
	r = good;
	r.flows[1].local = addr_of("10.20.0.11", 20004);
	assert_int_equal(build(&r), -EINVAL);
	r = good;
	r.flows[1].local.port = 20008; /* another shard */
	assert_int_equal(build(&r), -EINVAL);
	r = good;
	r.flows[0].local.port = 20003; /* its RTCP is another shard's */
	assert_int_equal(build(&r), -EINVAL);
	r = good;
	r.flows[0].remote = addr_of("fd00::1", 7000);
	assert_int_equal(build(&r), -EINVAL);
	r = good;
	r.flows[0].remote_rtcp = addr_of("fd00::1", 7000);
	assert_int_equal(build(&r), -EINVAL);
	r = good;
	r.flows[0].direction = 4;
	assert_int_equal(build(&r), -EINVAL);
	/* A flow without an address waits for one. */
	r = good;
	memset(&r.flows[1].local, 0, sizeof(r.flows[1].local));
	assert_int_equal(build(&r), 0);
	/* The last port of the pool: no RTCP, but RTP. */
	r = good;
	r.flows[0].local.port = r.flows[1].local.port = 20399;
	assert_int_equal(build(&r), 0);
}

static void receive(struct media_flow *f, const struct addr *from, uint64_t ms)
{
	if (media_flow_check_source(f, from, false, at_ms(ms)) == LATCH_LEARN)
		media_flow_learn(f, from, false, at_ms(ms));
	f->latch.last_ns = at_ms(ms);
	f->last_rtp_ns = at_ms(ms);
	f->heard = true;
}

static void test_learned_address_is_used(void **state)
{
	struct rec_media r = record_of(20000);
	struct media_stream *s = stream_of(&nifs, &r, at_ms(0));
	struct media_flow *f = &s->flows[0];
	struct addr nat = addr_of("198.51.100.1", 31000);
	struct addr nat_rtcp = addr_of("198.51.100.1", 31777);
	struct addr other = addr_of("203.0.113.1", 31001);

	receive(f, &nat, 0);
	assert_true(addr_equal(&f->to, &nat));
	assert_int_equal(f->to_rtcp.port, 31001);
	assert_true(s->put_wanted);
	/* RTCP: only from that host, its port is learned apart. */
	assert_int_equal(media_flow_check_source(f, &other, true, at_ms(1)),
			 LATCH_REFUSE);
	assert_int_equal(media_flow_check_source(f, &nat_rtcp, true, at_ms(1)),
			 LATCH_LEARN);
	media_flow_learn(f, &nat_rtcp, true, at_ms(1));
	assert_true(addr_equal(&f->to_rtcp, &nat_rtcp));
	assert_true(addr_equal(&f->to, &nat));
	media_stream_free(s);
}

static void test_rtcp_without_latching(void **state)
{
	struct rec_media r = record_of(20000);
	struct media_stream *s;
	struct addr rtcp = addr_of("10.10.0.50", 7001);

	r.flows[0].latch = false;
	s = stream_of(&nifs, &r, at_ms(0));
	assert_int_equal(
		media_flow_check_source(&s->flows[0], &rtcp, true, at_ms(0)),
		LATCH_ACCEPT);
	rtcp.port++;
	assert_int_equal(
		media_flow_check_source(&s->flows[0], &rtcp, true, at_ms(0)),
		LATCH_REFUSE);
	media_stream_free(s);
}

static struct media_stream *update(struct media_stream *old,
				   const struct rec_media *r, uint64_t ms)
{
	struct media_stream *s = stream_of(&nifs, r, at_ms(ms));

	media_stream_inherit(s, old, at_ms(ms));
	media_stream_free(old);
	return s;
}

static void test_update_inherits(void **state)
{
	struct rec_media r = record_of(20000);
	struct media_stream *s = stream_of(&nifs, &r, at_ms(0));
	struct addr nat = addr_of("198.51.100.1", 31000);

	receive(&s->flows[0], &nat, 0);
	s->flows[0].rx.packets = 5;
	s->flows[0].tx_packets = 6;
	/* The same addresses again (session refresh, hold): nothing moves. */
	r.flows[0].direction = FLOW_INACTIVE;
	s = update(s, &r, 1000);
	assert_true(addr_equal(&s->flows[0].to, &nat));
	assert_int_equal(s->flows[0].rx.packets, 5);
	assert_int_equal(s->flows[0].tx_packets, 6);
	assert_true(s->flows[0].heard);
	/* The peer moved: what was learned is history, and that is told. */
	media_stream_put_done(s, at_ms(1000));
	r.flows[0].remote = addr_of("10.10.0.60", 7100);
	s = update(s, &r, 2000);
	assert_true(addr_equal(&s->flows[0].to, &r.flows[0].remote));
	assert_int_equal(s->flows[0].latch.state, LATCH_NONE);
	assert_true(s->put_wanted);
	/* Other ports are another flow. */
	r.flows[0].local.port = r.flows[1].local.port = 20016;
	s = update(s, &r, 3000);
	assert_int_equal(s->flows[0].rx.packets, 0);
	media_stream_free(s);
}

static void test_answer_confirms_early_latch(void **state)
{
	struct rec_media r = record_of(20000);
	struct addr none = {0}, remote = r.flows[0].remote;
	struct addr nat = addr_of("198.51.100.1", 31000);
	struct media_stream *s;

	/* Early media before the SDP answer: remote not signalled yet. */
	r.flows[0].remote = none;
	s = stream_of(&nifs, &r, at_ms(0));
	assert_int_equal(s->flows[0].to.family, 0);
	receive(&s->flows[0], &remote, 0);
	r.flows[0].remote = remote;
	s = update(s, &r, 100);
	assert_int_equal(s->flows[0].latch.state, LATCH_HELD);
	media_stream_free(s);

	r.flows[0].remote = none;
	s = stream_of(&nifs, &r, at_ms(0));
	receive(&s->flows[0], &nat, 0);
	r.flows[0].remote = remote;
	s = update(s, &r, 100);
	assert_int_equal(s->flows[0].latch.state, LATCH_GUESSED);
	assert_true(addr_equal(&s->flows[0].to, &nat));
	/* Held by 0.0.0.0 and resumed: still the same peer. */
	r.flows[0].remote = addr_of("0.0.0.0", 7000);
	s = update(s, &r, 200);
	r.flows[0].remote = remote;
	s = update(s, &r, 300);
	assert_true(addr_equal(&s->flows[0].to, &nat));
	media_stream_free(s);
}

static void test_state_survives(void **state)
{
	struct rec_media r = record_of(20000);
	struct media_stream *s = stream_of(&nifs, &r, at_ms(0));
	struct addr nat = addr_of("198.51.100.1", 31000);
	struct addr rogue = addr_of("203.0.113.1", 31000);
	struct rec_mstate m, back;
	struct rtp_header h = {.ssrc = 7, .seq = 65535};
	struct buf b;

	receive(&s->flows[0], &nat, 40);
	rtp_stats_update(&s->flows[0].rx, &h, 172, at_ms(40));
	h.seq = 0;
	rtp_stats_update(&s->flows[0].rx, &h, 172, at_ms(60));
	s->flows[0].rtcp_packets = 3;
	media_stream_export(s, &m, at_ms(100), 1700000000000);
	assert_true(m.flows[0].last_rx_ms == 1700000000000 - 60);
	assert_true(m.flows[1].last_rx_ms == 0);
	media_stream_free(s);

	/* As a record, to the other node. */
	buf_init(&b, 4096);
	assert_int_equal(record_encode(REC_MSTATE, &m, &b), 0);
	assert_int_equal(record_decode(REC_MSTATE, b.data, b.size, &back), 0);
	buf_finish(&b);

	s = stream_of(&nifs, &r, at_ms(0));
	media_stream_restore(s, &back, at_ms(5000));
	media_stream_activate(s, at_ms(9000), 0);
	assert_true(addr_equal(&s->flows[0].to, &nat));
	assert_true(s->flows[0].rx.index == 1 << 16);
	assert_int_equal(s->flows[0].rx.packets, 2);
	assert_int_equal(s->flows[0].rtcp_packets, 3);
	/* The second of silence begins at activation. */
	assert_int_equal(media_flow_check_source(&s->flows[0], &rogue, false,
						 at_ms(9999)),
			 LATCH_REFUSE);
	assert_int_equal(
		media_flow_check_source(&s->flows[0], &nat, false, at_ms(9999)),
		LATCH_ACCEPT);
	assert_int_equal(media_flow_check_source(&s->flows[0], &rogue, false,
						 at_ms(10000)),
			 LATCH_LEARN);
	assert_int_equal(s->flows[1].latch.state, LATCH_NONE);
	media_stream_free(s);
}

static void test_restore_nonsense(void **state)
{
	struct rec_media r = record_of(20000);
	struct media_stream *s = stream_of(&nifs, &r, at_ms(0));
	struct rec_mstate m = {.flows_len = 4, .guard = 200};

	m.flows[0].learned = addr_of("fd00::1", 5); /* other family */
	m.flows[0].index = UINT64_MAX;
	m.flows[0].rx_packets = 1;
	media_stream_restore(s, &m, at_ms(0));
	assert_true(addr_equal(&s->flows[0].to, &r.flows[0].remote));
	assert_true(s->flows[0].rx.index == 0xffffffffffff);
	media_stream_free(s);
	/* Latching was switched off: what was learned does not count. */
	r.flows[0].latch = false;
	m.flows[0].learned = addr_of("198.51.100.1", 5);
	s = stream_of(&nifs, &r, at_ms(0));
	media_stream_restore(s, &m, at_ms(0));
	assert_true(addr_equal(&s->flows[0].to, &r.flows[0].remote));
	media_stream_free(s);
}

static void test_put_pacing(void **state)
{
	struct rec_media r = record_of(20000);
	struct media_stream *s = stream_of(&nifs, &r, at_ms(0));

	media_stream_put_done(s, at_ms(0));
	s->put_wanted = true;
	assert_false(media_stream_put_due(s, at_ms(249)));
	assert_true(media_stream_put_due(s, at_ms(250)));
	media_stream_put_done(s, at_ms(250));
	/* Nothing came: nothing to say, for ever. */
	assert_false(media_stream_put_due(s, at_ms(1000000)));
	s->packets_since_put = 1;
	assert_false(media_stream_put_due(s, at_ms(10249)));
	assert_true(media_stream_put_due(s, at_ms(10250)));
	s->packets_since_put = 8192;
	assert_true(media_stream_put_due(s, at_ms(300)));
	media_stream_free(s);
}

static void test_guard(void **state)
{
	struct rec_media r = record_of(20000);
	struct media_stream *s = stream_of(&nifs, &r, at_ms(0));
	struct addr a = r.flows[0].remote, b = r.flows[1].remote;

	media_stream_put_done(s, at_ms(0));
	assert_false(media_stream_guard(s, at_ms(29999)));
	assert_true(media_stream_guard(s, at_ms(30000)));
	assert_int_equal(s->guard, GUARD_INITIAL);
	assert_true(s->put_wanted);
	/* Said once. */
	assert_false(media_stream_guard(s, at_ms(40000)));
	/* Both come: quiet again; one stops: reported as subsequent. */
	receive(&s->flows[0], &a, 40000);
	receive(&s->flows[1], &b, 40000);
	assert_true(media_stream_guard(s, at_ms(40000)));
	assert_int_equal(s->guard, GUARD_QUIET);
	receive(&s->flows[0], &a, 49999);
	assert_false(media_stream_guard(s, at_ms(49999)));
	assert_true(media_stream_guard(s, at_ms(50000)));
	assert_int_equal(s->guard, GUARD_SUBSEQUENT);
	/* RTCP shows that a peer that suppresses silence is alive. */
	s->flows[1].last_rtcp_ns = at_ms(50001);
	receive(&s->flows[0], &a, 50001);
	assert_true(media_stream_guard(s, at_ms(50001)));
	assert_int_equal(s->guard, GUARD_QUIET);
	media_stream_free(s);
}

static void test_guard_rests_on_hold(void **state)
{
	struct rec_media r = record_of(20000);
	struct media_stream *s = stream_of(&nifs, &r, at_ms(0));
	struct addr a = r.flows[0].remote, b = r.flows[1].remote;

	receive(&s->flows[0], &a, 0);
	receive(&s->flows[1], &b, 0);
	r.flows[0].direction = FLOW_INACTIVE;
	r.flows[1].direction = FLOW_INACTIVE;
	s = update(s, &r, 5000);
	assert_false(media_stream_guard(s, at_ms(3600000)));
	r.flows[0].direction = FLOW_SENDRECV;
	r.flows[1].direction = FLOW_SENDONLY; /* hears, does not talk */
	s = update(s, &r, 3600000);
	assert_false(media_stream_guard(s, at_ms(3609999)));
	assert_true(media_stream_guard(s, at_ms(3610000)));
	receive(&s->flows[0], &a, 3610000);
	media_stream_guard(s, at_ms(3610000));
	assert_int_equal(s->guard, GUARD_QUIET);
	media_stream_free(s);
	/* Take-over: the silence before it was not ours. */
	r = record_of(20000);
	s = stream_of(&nifs, &r, at_ms(0));
	media_stream_activate(s, at_ms(100000), 0);
	assert_false(media_stream_guard(s, at_ms(129999)));
	assert_true(media_stream_guard(s, at_ms(130000)));
	media_stream_free(s);
	/* 0 = never. */
	r.guard_initial_ms = 0;
	s = stream_of(&nifs, &r, at_ms(0));
	assert_false(media_stream_guard(s, at_ms(999999999)));
	media_stream_free(s);
}

static void test_newest_owns_the_port(void **state)
{
	struct rec_media r = record_of(20000);
	struct media_stream *old = stream_of(&nifs, &r, at_ms(0));
	struct media_stream *s = stream_of(&nifs, &r, at_ms(0));

	assert_int_equal(media_stream_claim(old), 4);
	assert_int_equal(media_stream_claim(s), 4);
	/* The end of the old one does not take the port from the new one. */
	assert_int_equal(media_stream_release(old), 0);
	assert_ptr_equal(media_endpoint_flow(s->flows[0].endpoint, 20000),
			 &s->flows[0]);
	assert_int_equal(media_stream_release(s), 4);
	media_stream_free(old);
	media_stream_free(s);
}

static void test_ports(void **state)
{
	struct media_nif *nif;
	struct addr ip = addr_of("10.10.0.10", 0);
	struct media_endpoint *e;

	assert_int_equal(media_nifs_add(&nifs, "core", &nif), 0);
	assert_int_equal(media_nif_add(nif, &ip, 20399, 20500, 2, &out),
			 -EEXIST);
	assert_int_equal(media_nif_add(nif, &ip, 20400, 20500, 2, &out), 0);
	assert_int_equal(media_nif_add(nif, &ip, 30000, 29999, 2, &out),
			 -EINVAL);
	ip.port = 20400;
	e = media_nif_endpoint(nif, &ip);
	assert_non_null(e);
	assert_int_equal(e->port_first, 20400);
	ip.port = 20501;
	assert_null(media_nif_endpoint(nif, &ip));
	assert_null(media_endpoint_flow(e, 20399));
	assert_null(media_endpoint_flow(e, 20501));
	assert_null(media_nifs_find(&nifs, "nowhere"));
	assert_ptr_equal(media_nifs_find_hash(&nifs, media_nif_hash("core")),
			 nif);
	assert_int_equal(media_nifs_add(&nifs, "", &nif), -EINVAL);
	/* Four ports in a row share a shard. */
	assert_int_equal(media_endpoint_shard(e, 20400), 0);
	assert_int_equal(media_endpoint_shard(e, 20403), 0);
	assert_int_equal(media_endpoint_shard(e, 20404), 1);
	assert_int_equal(media_endpoint_shard(e, 20408), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_build),
		T(test_refuse_nonsense),
		T(test_learned_address_is_used),
		T(test_rtcp_without_latching),
		T(test_update_inherits),
		T(test_answer_confirms_early_latch),
		T(test_state_survives),
		T(test_restore_nonsense),
		T(test_put_pacing),
		T(test_guard),
		T(test_guard_rests_on_hold),
		T(test_newest_owns_the_port),
		T(test_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
