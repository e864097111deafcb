/*
 * SRTP through the relay: plain on the side of the PBX, SRTP on the other.
 * The other side is libsrtp2.
 */
#include "srtp_relay_test.h"

static void both_ways(void **state)
{
	static const uint8_t suites[] = {
		SRTP_AES_CM_128_HMAC_SHA1_80, SRTP_AES_CM_128_HMAC_SHA1_32,
		SRTP_AES_256_CM_HMAC_SHA1_80, SRTP_AEAD_AES_128_GCM,
		SRTP_AEAD_AES_256_GCM};

	for (unsigned i = 0; i < sizeof(suites); i++) {
		record.keys_len = 0;
		msrtp_destroy(peer_rx);
		msrtp_destroy(peer_tx);
		with_suite(suites[i]);
		plain(1);
		plain(2);
		run_on(core, 0);
		assert_int_equal(sent_len, 2);
		assert_true(sent[0].size > 32);
		assert_int_equal(heard(0, false), 1);
		assert_int_equal(heard(1, false), 2);
		secure(7);
		secure(8);
		run_on(cloud, 0);
		assert_int_equal(sent_len, 2);
		assert_int_equal(sent[1].size, 32);
		assert_int_equal(sent[1].data[3], 8);
		report();
		run_on(core, 0);
		assert_int_equal(sent_len, 1);
		assert_int_equal(heard(0, true), 8);
	}
	assert_int_equal(counted(COUNTER_media_srtp_rx), 2 * sizeof(suites));
	assert_int_equal(counted(COUNTER_media_srtp_tx), 3 * sizeof(suites));
}

static void what_is_not_authentic(void **state)
{
	struct media_packet *p = secure(1);

	p->data[20] ^= 1;
	p->source = addr_of("10.20.0.66", 6666);
	p = secure(2);
	p->size = 15;
	run_on(cloud, 0);
	assert_int_equal(sent_len, 0);
	/* Nothing is learned of it either. */
	assert_int_equal(stream->flows[1].latch.state, LATCH_NONE);
	assert_int_equal(stream->flows[1].rx.packets, 0);
	assert_int_equal(counted(COUNTER_media_srtp_rx_bad_tag) +
				 counted(COUNTER_media_srtp_rx_malformed),
			 2);
	assert_int_equal(stream->flows[1].srtp_refused, 2);
	/* Replayed. */
	p = secure(3);
	memcpy(buffers[1], p->data, p->size);
	arrives(&pbx, "10.20.0.10", 20000)->size = p->size;
	run_on(cloud, 0);
	assert_int_equal(sent_len, 1);
	assert_int_equal(counted(COUNTER_media_srtp_rx_replayed), 1);
	/* Plain RTP is no SRTP. */
	rtp(&pbx, "10.20.0.10", 20000, 4);
	run_on(cloud, 0);
	assert_int_equal(sent_len, 0);
}

static void nothing_twice(void **state)
{
	plain(1010);
	plain(1011);
	plain(1010);
	run_on(core, 0);
	assert_int_equal(sent_len, 2);
	assert_int_equal(counted(COUNTER_media_srtp_tx_repeated), 1);
	assert_int_equal(heard(0, false), 1010);
	assert_int_equal(heard(1, false), 1011);
	/* It begins anew: three are lost, then its numbers go on. */
	for (uint16_t seq = 1; seq <= 6; seq++) {
		plain(seq);
		run_on(core, seq);
		assert_int_equal(sent_len, seq > 3);
		if (seq > 3)
			assert_int_equal(heard(0, false), 1011 + seq - 3);
	}
	assert_int_equal(counted(COUNTER_media_srtp_tx_restarted), 1);
	assert_true(stream->put_wanted);
	/* Not again at once. */
	for (uint16_t seq = 1; seq <= 6; seq++) {
		plain((uint16_t)(65342 + seq));
		run_on(core, 10);
		assert_int_equal(sent_len, 0);
	}
}

/* Two branches of a fork, both of one SSRC and near the same numbers: what the
 * other side gets is one row of them. */
static void two_forks_with_one_ssrc(void **state)
{
	struct addr fork = addr_of("10.10.0.51", 7100);
	unsigned once[400] = {0}, n = 0;

	record.flows_len = 3;
	record.flows[2] = record.flows[0];
	record.flows[2].leg = 3;
	record.flows[2].local.port = 20004;
	record.flows[2].remote = fork;
	install(&record);
	for (uint16_t seq = 100; seq < 300; seq++) {
		plain(seq);
		rtp(&fork, "10.10.0.10", 20004, (uint16_t)(seq + seq % 7 - 3));
		run_on(core, seq);
		for (unsigned i = 0; i < sent_len; i++) {
			int number;

			if (!addr_equal_ip(&sent[i].to, &pbx))
				continue;
			number = heard(i, false);
			assert_true(number >= 97 && number < 400);
			assert_int_equal(once[number]++, 0);
			n++;
		}
	}
	assert_true(n >= 200);
	assert_int_equal(n + counted(COUNTER_media_srtp_tx_repeated), 400);
}

static void over_a_take_over(void **state)
{
	uint32_t before = 0;

	for (unsigned node = 0; node < 4; node++) {
		uint16_t seq = (uint16_t)(65500 + 20 * node);

		for (unsigned i = 0; i < 15; i++)
			plain((uint16_t)(seq + i));
		run_on(core, 0);
		assert_int_equal(sent_len, 15);
		for (unsigned i = 0; i < 15; i++)
			assert_int_equal(heard(i, false), (uint16_t)(seq + i));
		secure(seq);
		secure((uint16_t)(seq + 1));
		run_on(cloud, 0);
		assert_int_equal(sent_len, 2);
		report();
		run_on(core, 0);
		assert_int_equal(heard(0, true), 8);
		if (node)
			assert_true(rtcp_index(0) > before + SRTP_RTCP_MARGIN);
		before = rtcp_index(0);
		take_over();
	}
	/* What was sent before does not come again. */
	plain(65510);
	run_on(core, 0);
	assert_int_equal(sent_len, 0);
	assert_int_equal(counted(COUNTER_media_srtp_tx_repeated), 1);
}

/* The node before us may have sent under SSRCs that it did not tell of. */
static void unknown_ssrcs_after_a_take_over(void **state)
{
	for (uint32_t node = 1; node < 4; node++) {
		take_over();
		report();
		run_on(core, 0);
		assert_int_equal(sent_len, 1);
		assert_int_equal(heard(0, true), 8);
		assert_true(rtcp_index(0) > node * SRTP_RTCP_MARGIN);
	}
}

/* The node before us died before it put anything: of a stream, and of a key
 * that a stream was given. */
static void nothing_is_known(void **state)
{
	for (unsigned rekey = 0; rekey < 2; rekey++) {
		report();
		run_on(core, 0);
		assert_int_equal(rtcp_index(0), 1);
		plain(100);
		run_on(core, 0);
		assert_int_equal(sent_len, 1);
		install(&record);
		media_stream_activate(stream, at_ms(0), 0);
		media_stream_take_over(stream);
		assert_true(stream->reserve);
		report();
		plain(102);
		run_on(core, 0);
		assert_int_equal(sent_len, 2);
		assert_true(rtcp_index(0) > SRTP_RTCP_MARGIN);
		/* It may have been sent with something else in it. */
		plain(100);
		run_on(core, 0);
		assert_int_equal(sent_len, 0);
		if (rekey)
			break;
		/* The standby knows of the old key. */
		take_over();
		record.keys[0].use = KEY_TX_BEFORE;
		add_key(KEY_TX, NEXT, SRTP_AES_CM_128_HMAC_SHA1_80);
		install(&record);
	}
}

/* Far ahead of the others goes nobody at once: a forged packet does not count,
 * and a source that means it is renumbered. */
static void far_ahead(void **state)
{
	static const uint16_t forged[] = {100 + 3001, 100 + 30000, 100 + 32768,
					  100 + 50000, 100 - 130};

	plain(100);
	run_on(core, 0);
	for (unsigned i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		plain(forged[i]);
		run_on(core, 0);
		assert_int_equal(sent_len, 0);
		plain((uint16_t)(101 + i));
		run_on(core, 0);
		assert_int_equal(heard(0, false), 101 + i);
	}
	for (uint16_t seq = 40000; seq < 40006; seq++) {
		plain(seq);
		run_on(core, 0);
		assert_int_equal(sent_len, seq >= 40003);
		if (sent_len)
			assert_int_equal(heard(0, false), 106 + seq - 40003);
	}
}

/* A source that begins anew lower, just when a node dies. */
static void restart_over_a_take_over(void **state)
{
	static struct rec_mstate m, told;
	int first, last;

	plain(1000);
	run_on(core, 0);
	media_stream_export(stream, &m, at_ms(0), 1);
	for (uint16_t seq = 1001; seq < 1400; seq++) {
		plain(seq);
		run_on(core, 0);
	}
	install(&record);
	media_stream_restore(stream, &m, at_ms(0));
	media_stream_activate(stream, at_ms(0), 0);
	media_stream_take_over(stream);
	for (uint16_t seq = 1; seq <= 3; seq++) {
		plain(seq);
		run_on(core, 0);
		assert_int_equal(sent_len, 0);
	}
	/* Not before the next node knows how they are shifted. */
	assert_true(stream->reserve);
	reserve_ready = false;
	plain(4);
	run_on(core, 0);
	assert_int_equal(sent_len, 0);
	media_stream_export(stream, &told, at_ms(0), 1);
	reserve_ready = true;
	media_relay_release(&relay, at_ms(0));
	assert_int_equal(sent_len, 1);
	first = heard(0, false);
	assert_true(first > 1400);
	/* The next one dies before it says more. */
	for (uint16_t seq = 5; seq < 4000; seq++) {
		plain(seq);
		run_on(core, 0);
		assert_int_equal(sent_len, 1);
	}
	last = heard(0, false);
	install(&record);
	media_stream_restore(stream, &told, at_ms(0));
	media_stream_activate(stream, at_ms(0), 0);
	media_stream_take_over(stream);
	plain(4000);
	run_on(core, 0);
	assert_int_equal(sent_len, 1);
	assert_int_equal(heard(0, false), last + 1);
	take_over();
	plain(4001);
	run_on(core, 0);
	assert_int_equal(heard(0, false), last + 2);
}

static void forwarded(uint16_t seq)
{
	plain(seq);
	packets[packets_len - 1].forwarded = true;
	run_on(core, 0);
}

/* What the other node forwards may come behind what arrives here; nothing
 * else that it may have sent goes out again. */
static void forwarded_late(void **state)
{
	plain(10);
	run_on(core, 0);
	take_over();
	forwarded(11);
	assert_int_equal(heard(0, false), 11);
	plain(14);
	run_on(core, 0);
	assert_int_equal(heard(0, false), 14);
	forwarded(13);
	assert_int_equal(sent_len, 1);
	assert_int_equal(heard(0, false), 13);
	for (uint16_t seq = 14; seq >= 9; seq--) {
		plain(seq);
		run_on(core, 0);
		assert_int_equal(sent_len, 0);
		if (seq == 12)
			continue;
		forwarded(seq);
		assert_int_equal(sent_len, 0);
	}
	forwarded(12);
	assert_int_equal(sent_len, 1);
	forwarded(15);
	assert_int_equal(sent_len, 1);
	plain(15);
	run_on(core, 0);
	assert_int_equal(sent_len, 0);
	/* Far ahead there is but the window. */
	plain(200);
	run_on(core, 0);
	forwarded(199);
	assert_int_equal(sent_len, 1);
	forwarded(199);
	assert_int_equal(sent_len, 0);
}

static void release(uint64_t ms)
{
	sent_len = read_len = 0;
	media_relay_release(&relay, at_ms(ms));
}

static void nothing_before_it_is_told(void **state)
{
	plain(1);
	run_on(core, 0);
	assert_int_equal(reserves, 0);
	take_over();
	reserve_ready = false;
	plain(2);
	report();
	run_on(core, 0);
	assert_int_equal(sent_len, 0);
	assert_true(reserves > 0);
	/* The plain side does not wait. */
	secure(1);
	run_on(cloud, 0);
	assert_int_equal(sent_len, 1);
	release(0);
	assert_int_equal(sent_len, 0);
	/* What waited is not overtaken, and nothing is lost. */
	reserve_ready = true;
	plain(3);
	run_on(core, 0);
	assert_int_equal(sent_len, 0);
	release(0);
	assert_int_equal(sent_len, 3);
	assert_int_equal(heard(0, false), 2);
	assert_int_equal(heard(1, true), 8);
	assert_int_equal(heard(2, false), 3);
	assert_int_equal(counted(COUNTER_media_srtp_tx_delayed), 3);
	assert_int_equal(counted(COUNTER_media_srtp_tx_held), 0);
	/* Nor may it be too long ago. */
	reserve_ready = false;
	stream->packets_since_put = MEDIA_HELD_PACKETS;
	plain(4);
	run_on(core, 0);
	assert_int_equal(sent_len, 0);
}

/* Some of two streams wait: each in its order, late ones not at all. */
static void what_waits(void **state)
{
	take_over();
	reserve_ready = false;
	plain(1);
	run_on(core, 0);
	plain(2);
	run_on(core, RELAY_HELD_MS);
	release(RELAY_HELD_MS);
	assert_int_equal(relay.held_len, 2);
	reserve_ready = true;
	release(RELAY_HELD_MS + 1);
	assert_int_equal(sent_len, 1);
	assert_int_equal(heard(0, false), 2);
	assert_int_equal(counted(COUNTER_media_srtp_tx_held), 1);
	plain(3);
	run_on(core, RELAY_HELD_MS + 1);
	assert_int_equal(heard(0, false), 3);
	/* There is an end to it. */
	stream->reserve = true;
	reserve_ready = false;
	for (unsigned i = 0; i <= RELAY_HELD_MAX; i++) {
		plain((uint16_t)(4 + i));
		run_on(core, RELAY_HELD_MS + 1);
	}
	assert_int_equal(relay.held_len, RELAY_HELD_MAX);
	assert_int_equal(counted(COUNTER_media_srtp_tx_held), 2);
}

/* A record comes, or the call ends, while packets wait. */
static void what_waits_when_its_stream_goes(void **state)
{
	struct media_stream *old;

	take_over();
	reserve_ready = false;
	plain(1);
	plain(2);
	run_on(core, 0);
	old = stream;
	media_stream_release(old);
	stream = stream_with(&nifs, &record, relay.srtp, at_ms(0));
	media_relay_moved(&relay, old, stream);
	media_stream_inherit(stream, old, at_ms(0));
	media_stream_free(old);
	media_stream_claim(stream);
	release(0);
	assert_int_equal(relay.held_len, 2);
	reserve_ready = true;
	release(0);
	assert_int_equal(sent_len, 2);
	assert_int_equal(heard(0, false), 1);
	assert_int_equal(heard(1, false), 2);
	stream->reserve = true;
	reserve_ready = false;
	plain(3);
	run_on(core, 0);
	assert_int_equal(relay.held_len, 1);
	media_relay_moved(&relay, stream, NULL);
	assert_int_equal(relay.held_len, 0);
	stream->held = false;
	reserve_ready = true;
	release(0);
	assert_int_equal(sent_len, 0);
	assert_int_equal(counted(COUNTER_media_srtp_tx_held), 1);
}

/* A source that leaves numbers out is followed by numbers, not by packets. */
static void numbers_are_told(void **state)
{
	plain(1);
	run_on(core, 0);
	media_stream_put_done(stream, at_ms(0));
	for (uint16_t seq = 2001; seq < 8192; seq += 2000) {
		plain(seq);
		run_on(core, 0);
		assert_false(stream->put_wanted);
	}
	plain(8193);
	run_on(core, 0);
	assert_true(stream->put_wanted);
}

/* Who watches the life of a key hears of it in time. */
static void short_lives(void **state)
{
	static const struct {
		uint64_t life;
		unsigned packets;
	} t[] = {{0, MEDIA_PUT_PACKETS},
		 {UINT64_C(1) << 48, MEDIA_PUT_PACKETS},
		 {1 << 17, MEDIA_PUT_PACKETS},
		 {1 << 16, 4096},
		 {1 << 12, 256},
		 {100, 64}};

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		record.keys[0].lifetime = t[i].life;
		install(&record);
		media_stream_put_done(stream, at_ms(0));
		stream->packets_since_put = t[i].packets - 1;
		assert_false(media_stream_put_due(stream, at_ms(0)));
		plain(1);
		run_on(core, 0);
		assert_true(media_stream_put_due(stream, at_ms(0)) ||
			    t[i].packets == MEDIA_PUT_PACKETS);
		stream->put_wanted = false;
		assert_true(media_stream_put_due(stream, at_ms(0)));
		assert_int_equal(relay.changed_len, 1);
	}
}

/* One side has offered; its key is chosen with the other one's answer. */
static void nothing_before_the_answer(void **state)
{
	const struct addr remote[2] = {record.flows[0].remote,
				       record.flows[1].remote};

	for (unsigned silent = 0; silent < 2; silent++) {
		struct rec_flow *f = &record.flows[silent];

		record.keys_len = 0;
		memset(&f->remote, 0, sizeof(f->remote));
		f->direction = FLOW_INACTIVE;
		f->latch = true;
		install(&record);
		plain(1);
		report();
		run_on(core, 0);
		assert_int_equal(sent_len, 0);
		assert_int_equal(counted(COUNTER_media_rx_held),
				 2 * (silent + 1));
		f->remote = remote[silent];
		f->direction = FLOW_SENDRECV;
	}
	install(&record);
	report();
	run_on(core, 1);
	assert_int_equal(sent_len, 1);
}

static void bad_records(void **state)
{
	struct media_stream_params p = {
		.nifs = &nifs, .now_ns = at_ms(0), .srtp = relay.srtp};
	struct ha_key key = {.id = 1, .sub = 1, .kind = REC_MEDIA};
	static struct rec_mstate m;
	struct media_stream *s;

	/* Positions of nobody, and nonsense. */
	m.srtp_len = REC_SRTP_MAX;
	for (unsigned i = 0; i < REC_SRTP_MAX; i++)
		m.srtp[i] = (struct rec_srtp){.leg = 2,
					      .number = OURS,
					      .sent = true,
					      .rtp = true,
					      .index = UINT64_MAX,
					      .rtcp_index = UINT32_MAX};
	media_stream_restore(stream, &m, at_ms(0));
	/* Where the key stands is not known: it is not used. */
	plain(1);
	run_on(core, 0);
	assert_int_equal(sent_len, 0);
	assert_int_equal(counted(COUNTER_media_srtp_tx_refused), 1);
	record.keys[0].key.size--;
	assert_int_equal(media_stream_build(&s, &key, &record, &p), -EINVAL);
	record.keys[0].suite = 99;
	assert_int_equal(media_stream_build(&s, &key, &record, &p), -EINVAL);
	p.srtp = NULL;
	assert_int_equal(media_stream_build(&s, &key, &record, &p), -ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		S(both_ways),
		S(what_is_not_authentic),
		S(nothing_twice),
		S(two_forks_with_one_ssrc),
		S(over_a_take_over),
		S(unknown_ssrcs_after_a_take_over),
		S(nothing_is_known),
		S(far_ahead),
		S(restart_over_a_take_over),
		S(forwarded_late),
		S(nothing_before_it_is_told),
		S(what_waits),
		S(what_waits_when_its_stream_goes),
		S(numbers_are_told),
		S(short_lives),
		S(nothing_before_the_answer),
		S(bad_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
