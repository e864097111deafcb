/* What happens to a batch of packets, without sockets. */
#include "relay_test.h"

static void test_both_ways(void **state)
{
	rtp(&phone, "10.10.0.10", 20000, 1);
	rtp(&phone, "10.10.0.10", 20000, 2);
	run_on(core, 0);
	assert_int_equal(sent_len, 2);
	assert_int_equal(flushes, 1);
	assert_true(addr_equal(&sent[0].to, &pbx));
	assert_true(addr_equal_ip(&sent[0].from, &stream->flows[1].local));
	assert_int_equal(sent[0].from_port, 20000);
	assert_int_equal(sent[0].size, 32);
	assert_int_equal(sent[0].data[3], 1);
	assert_int_equal(sent[1].data[3], 2);

	rtp(&pbx, "10.20.0.10", 20000, 9);
	run_on(cloud, 0);
	assert_int_equal(sent_len, 1);
	assert_true(addr_equal(&sent[0].to, &phone));
	assert_int_equal(counted(COUNTER_media_rx_packets), 3);
	assert_int_equal(counted(COUNTER_media_tx_packets), 3);
	assert_int_equal(counted(COUNTER_media_latched), 2);
	assert_int_equal(stream->flows[0].rx.packets, 2);
	assert_int_equal(stream->flows[1].tx_packets, 2);
	assert_int_equal(stream->flows[1].tx_bytes, 64);
	assert_int_equal(relay.changed_len, 1);
}

static void rtcp(const struct addr *from, const char *ip, uint16_t port)
{
	struct media_packet *p = arrives(from, ip, port);

	p->size = (uint32_t)rtcp_make(p->data);
}

static void test_rtcp_goes_to_rtcp(void **state)
{
	struct addr phone_rtcp = addr_of("10.10.0.50", 7001);

	rtcp(&phone_rtcp, "10.10.0.10", 20001);
	run_on(core, 0);
	assert_int_equal(sent_len, 1);
	assert_int_equal(sent[0].from_port, 20001);
	assert_int_equal(sent[0].to.port, 7001);
	assert_int_equal(stream->flows[0].rtcp_packets, 1);
	assert_int_equal(stream->flows[0].rx.packets, 0);
	/* The other way: back to where it came from. */
	phone_rtcp = addr_of("10.20.0.50", 7055);
	rtcp(&phone_rtcp, "10.20.0.10", 20001);
	run_on(cloud, 0);
	assert_int_equal(sent[0].to.port, 7001);
}

static void test_rtcp_mux_on_one_side(void **state)
{
	record.flows[1].rtcp_mux = true;
	install(&record);
	rtcp(&phone, "10.10.0.10", 20001);
	run_on(core, 0);
	assert_int_equal(sent_len, 1);
	assert_int_equal(sent[0].from_port, 20000);
	assert_true(addr_equal(&sent[0].to, &pbx));
	/* Multiplexed in, port + 1 out. */
	rtp(&pbx, "10.20.0.10", 20000, 1);
	rtcp(&pbx, "10.20.0.10", 20000);
	run_on(cloud, 0);
	assert_int_equal(sent_len, 2);
	assert_int_equal(sent[0].from_port, 20000);
	assert_int_equal(sent[1].from_port, 20001);
}

static void test_wrong_source(void **state)
{
	rtp(&phone, "10.10.0.10", 20000, 1);
	rtp(&rogue, "10.10.0.10", 20000, 2);
	run_on(core, 0);
	assert_int_equal(sent_len, 1);
	assert_int_equal(counted(COUNTER_media_rx_wrong_source), 1);
	assert_int_equal(stream->flows[0].refused, 1);
	assert_int_equal(stream->flows[0].rx.packets, 1);
	/* Two strangers in one batch: one of them gets in, not both. */
	record.flows[0].remote.family = 0;
	install(&record);
	rtp(&rogue, "10.10.0.10", 20000, 1);
	rtp(&phone, "10.10.0.10", 20000, 2);
	run_on(core, 0);
	assert_int_equal(sent_len, 1);
	assert_int_equal(counted(COUNTER_media_rx_wrong_source), 2);
}

static void test_dropped_and_counted(void **state)
{
	struct media_packet *p;

	rtp(&phone, "10.10.0.10", 20100, 1); /* no call there */
	rtp(&phone, "10.10.0.99", 20000, 1); /* not our address */
	rtp(&phone, "10.10.0.10", 999, 1); /* not our port */
	p = arrives(&phone, "10.10.0.10", 20000);
	p->local.family = ADDR_NONE;
	rtp_make(p->data, 1, 1, 1, 20);
	p->size = 32;
	run_on(core, 0);
	assert_int_equal(sent_len, 0);
	assert_int_equal(counted(COUNTER_media_rx_no_flow), 4);

	p = arrives(&phone, "10.10.0.10", 20000);
	p->truncated = true;
	p->size = 1984;
	run_on(core, 0);
	assert_int_equal(counted(COUNTER_media_rx_too_long), 1);

	p = arrives(&phone, "10.10.0.10", 20000);
	p->size = 0;
	p = arrives(&phone, "10.10.0.10", 20000);
	p->size = 32;
	memset(p->data, 0, 32); /* like STUN */
	p = arrives(&phone, "10.10.0.10", 20001);
	p->size = (uint32_t)rtp_make(p->data, 1, 1, 1, 20);
	run_on(core, 0);
	assert_int_equal(counted(COUNTER_media_rx_malformed), 3);
	/* Nothing of this was learned. */
	assert_int_equal(stream->flows[0].latch.state, LATCH_NONE);
	assert_int_equal(counted(COUNTER_media_rx_packets), 8);
	assert_int_equal(sent_len, 0);
}

static void test_no_destination(void **state)
{
	record.flows[1].remote.family = 0;
	install(&record);
	rtp(&phone, "10.10.0.10", 20000, 1);
	run_on(core, 0);
	assert_int_equal(sent_len, 0);
	assert_int_equal(counted(COUNTER_media_tx_no_destination), 1);
	/* Once the far side was heard there is one. */
	rtp(&pbx, "10.20.0.10", 20000, 1);
	run_on(cloud, 1);
	rtp(&phone, "10.10.0.10", 20000, 2);
	run_on(core, 2);
	assert_int_equal(sent_len, 1);
}

static void test_directions(void **state)
{
	/* The phone holds the call with music: it talks, hears nothing. */
	record.flows[0].direction = FLOW_RECVONLY;
	record.flows[1].direction = FLOW_SENDONLY;
	install(&record);
	rtp(&phone, "10.10.0.10", 20000, 1);
	run_on(core, 0);
	assert_int_equal(sent_len, 1);
	rtp(&pbx, "10.20.0.10", 20000, 1);
	rtcp(&pbx, "10.20.0.10", 20001);
	run_on(cloud, 0);
	/* RTCP goes on. */
	assert_int_equal(sent_len, 1);
	assert_int_equal(sent[0].from_port, 20001);
	assert_int_equal(counted(COUNTER_media_rx_held), 1);
	/* It still counts as heard, and is learned. */
	assert_int_equal(stream->flows[1].rx.packets, 1);
	assert_int_equal(stream->flows[1].latch.state, LATCH_HELD);

	record.flows[0].direction = FLOW_INACTIVE;
	record.flows[1].direction = FLOW_INACTIVE;
	install(&record);
	rtp(&phone, "10.10.0.10", 20000, 1);
	run_on(core, 0);
	assert_int_equal(sent_len, 0);
}

static void test_three_flows(void **state)
{
	record.flows_len = 3;
	record.flows[2] = record.flows[1];
	record.flows[2].local.port = 20002;
	record.flows[2].remote.port = 7100;
	install(&record);
	rtp(&phone, "10.10.0.10", 20000, 1);
	run_on(core, 0);
	assert_int_equal(sent_len, 2);
	assert_int_equal(sent[0].to.port, 7000);
	assert_int_equal(sent[1].to.port, 7100);
	assert_int_equal(sent[1].from_port, 20002);
}

static void test_opaque_media(void **state)
{
	struct media_packet *p;

	record.media = 'i';
	install(&record);
	p = arrives(&phone, "10.10.0.10", 20000);
	p->size = 3; /* T.38 UDPTL: no RTP at all */
	memcpy(p->data, "\0\1\6", 3);
	p = arrives(&phone, "10.10.0.10", 20000);
	p->size = 0;
	run_on(core, 0);
	assert_int_equal(sent_len, 1);
	assert_int_equal(sent[0].size, 3);
	assert_int_equal(counted(COUNTER_media_rx_malformed), 1);
	assert_int_equal(stream->flows[0].rx.packets, 1);
}

static void test_stale(void **state)
{
	rtp(&phone, "10.10.0.10", 20000, 1);
	rtp(&phone, "10.10.0.10", 20000, 2);
	rtp(&phone, "10.10.0.10", 20000, 3);
	packets[0].stamp_ms = 999;
	packets[1].stamp_ms = 1000;
	packets[2].stamp_ms = 0; /* unknown */
	sent_len = read_len = 0;
	media_relay_batch(&relay, core, packets, 3, at_ms(0), 1000);
	assert_int_equal(sent_len, 2);
	assert_int_equal(counted(COUNTER_media_rx_stale), 1);
}

static unsigned forwarded;

static void take_forwarded(void *ctx, const struct media_packet *p)
{
	assert_ptr_equal(ctx, &forwarded);
	assert_ptr_equal(p->nif, core);
	forwarded++;
}

static void test_forward_instead(void **state)
{
	forwarded = 0;
	relay.forward = take_forwarded;
	relay.forward_ctx = &forwarded;
	rtp(&phone, "10.10.0.10", 20000, 1);
	rtp(&rogue, "10.10.0.10", 20100, 1); /* the peer judges */
	run_on(core, 0);
	assert_int_equal(forwarded, 2);
	assert_int_equal(sent_len, 0);
	assert_int_equal(stream->flows[0].rx.packets, 0);
	assert_int_equal(counted(COUNTER_media_forwarded_out), 2);
}

static void test_flood_of_changes(void **state)
{
	/* A peer that changes its SSRC with each packet is one change. */
	for (unsigned i = 0; i < MEDIA_BATCH; i++) {
		struct media_packet *p = arrives(&phone, "10.10.0.10", 20000);

		p->size = (uint32_t)rtp_make(p->data, i, 1, 1, 20);
	}
	run_on(core, 0);
	assert_int_equal(sent_len, MEDIA_BATCH);
	assert_int_equal(relay.changed_len, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_both_ways),
		T(test_rtcp_goes_to_rtcp),
		T(test_rtcp_mux_on_one_side),
		T(test_wrong_source),
		T(test_dropped_and_counted),
		T(test_no_destination),
		T(test_directions),
		T(test_three_flows),
		T(test_opaque_media),
		T(test_stale),
		T(test_forward_instead),
		T(test_flood_of_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
