/*
 * A planned switchover between two media workers: what still arrives at the
 * old node is forwarded over the HA links; no packet is lost at any phase.
 */
#include "traffic.h"

#include "netif/gate.h"

static struct netif_gate *gates[2];

static void gate_make(unsigned i)
{
	const struct netif_gate_nic nics[] = {{.nic = "core"},
					      {.nic = "cloud"}};

	enter(nodes[i].ns);
	assert_int_equal(netif_gate_create(&gates[i], nics, 2), 0);
	enter(world.home);
}

static void gate_set(unsigned i, bool open)
{
	enter(nodes[i].ns);
	assert_int_equal(open ? netif_gate_open(gates[i], 0)
			      : netif_gate_close(gates[i]),
			 0);
	enter(world.home);
}

static int setup(void **state)
{
	world_setup(state);
	gate_make(0);
	gate_make(1);
	nodes[0].peer = &nodes[1];
	nodes[1].peer = &nodes[0];
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		enter(nodes[i].ns);
		netif_gate_destroy(gates[i]);
	}
	return world_teardown(state);
}

static void node_release(struct node *n)
{
	enter(n->ns);
	sh("ip addr del 10.10.0.10/24 dev core; "
	   "ip addr del fd00:10::10/64 dev core; "
	   "ip -6 route del local fd00:10::10 dev core table local; "
	   "ip addr del 10.20.0.10/24 dev cloud");
	enter(world.home);
}

static void call_up(unsigned i)
{
	struct rec_media r = record_of(port_of(i));

	r.flows[0].remote.port = (uint16_t)(30000 + i); /* behind NAT */
	r.flows[1].remote.port = (uint16_t)(7000 + i);
	put_media(&nodes[0], 1000 + i, &r);
	put_media(&nodes[1], 1000 + i, &r);
}

static void hear_both(unsigned ms)
{
	uint64_t end = clock_mono_ms() + ms;

	while (clock_mono_ms() < end) {
		listen_to(&nodes[0], 1);
		listen_to(&nodes[1], 1);
	}
}

static void both_up(uint64_t epoch)
{
	nodes[0].epoch = nodes[1].epoch = epoch;
	worker_start(&nodes[0]);
	worker_start(&nodes[1]);
	for (unsigned i = 0; i < STREAMS; i++)
		call_up(i);
	wait_applied(&nodes[0]);
	wait_applied(&nodes[1]);
	node_take(&nodes[0]);
	gate_set(0, true);
	node_activate(&nodes[0], epoch);
}

/* What the two keepers do, step by step. */
static void switchover(struct node *from, struct node *to, uint64_t epoch)
{
	unsigned f = from->id - 1, t = to->id - 1;

	tell_wait(from, LINK_QUIESCE, 0, LINK_QUIESCED);
	wait_applied(to);
	tell_wait(from, LINK_FORWARD, 0, LINK_FORWARDING);
	gate_set(f, false);
	/* GO */
	gate_set(t, true);
	node_take(to);
	node_activate(to, epoch);
	hear_both(100);
	node_release(from);
	worker_kill(from);
	from->epoch = to->epoch = epoch;
	worker_start(from);
}

static void no_packet_lost(unsigned rounds)
{
	struct traffic *t;
	struct tally c;
	uint64_t epoch = 7;

	both_up(epoch);
	t = traffic_start();
	hear_both(300);
	for (unsigned i = 0; i < rounds; i++) {
		switchover(&nodes[i & 1], &nodes[!(i & 1)], ++epoch);
		hear_both(100 + (unsigned)rand() % PERIOD_MS);
	}
	traffic_stop(t);
	c = traffic_count(t);
	print_message(
		"sent %u lost %u twice %u longest gap %u ms, "
		"forwarded %u + %u\n",
		c.sent, c.lost, c.twice, t->longest_gap_ms,
		(unsigned)counter_of(&nodes[0], COUNTER_media_forwarded_out),
		(unsigned)counter_of(&nodes[1], COUNTER_media_forwarded_out));
	assert_true(c.sent > 2 * STREAMS * 10);
	assert_int_equal(c.lost, 0);
	assert_int_equal(c.twice, 0);
	assert_int_equal(t->strange, 0);
	/* There was something to forward, and it all came over. */
	assert_true(counter_of(&nodes[0], COUNTER_media_forwarded_out) > 0);
	assert_int_equal(counter_of(&nodes[0], COUNTER_media_forwarded_out),
			 counter_of(&nodes[1], COUNTER_media_forwarded_in));
	assert_int_equal(counter_of(&nodes[1], COUNTER_media_forwarded_out),
			 counter_of(&nodes[0], COUNTER_media_forwarded_in));
	assert_int_equal(counter_of(&nodes[0], COUNTER_media_forward_bad), 0);
	assert_int_equal(counter_of(&nodes[1], COUNTER_media_forward_bad), 0);
	munmap(t, sizeof(*t));
}

static void test_no_packet_lost(void **state)
{
	no_packet_lost(4);
}

static void test_one_link_is_enough(void **state)
{
	enter(nodes[0].ns);
	sh("ip link set ha1 down");
	enter(world.home);
	no_packet_lost(2);
}

/* Called off: the node relays again as if nothing had been. */
static void test_called_off(void **state)
{
	struct traffic *t;
	unsigned lost_before;
	uint64_t tx;

	both_up(7);
	t = traffic_start();
	hear_both(200);
	tell_wait(&nodes[0], LINK_QUIESCE, 0, LINK_QUIESCED);
	tell_wait(&nodes[0], LINK_FORWARD, 0, LINK_FORWARDING);
	tx = counter_of(&nodes[0], COUNTER_media_tx_packets);
	hear_both(50);
	/* Nothing leaves while it forwards. */
	assert_int_equal(counter_of(&nodes[0], COUNTER_media_tx_packets), tx);
	node_activate(&nodes[0], 7);
	lost_before = t->sent[0][0];
	hear_both(200);
	traffic_stop(t);
	assert_true(counter_of(&nodes[0], COUNTER_media_tx_packets) > tx);
	for (unsigned k = lost_before + 1; k < t->sent[0][0]; k++)
		assert_int_equal(t->got[0][0][k], 1);
	munmap(t, sizeof(*t));
}

/* A crash: the standby knows where to send before anybody speaks. */
static void test_take_over_after_a_crash(void **state)
{
	int phone, pbx;
	uint8_t p[64], got[64];
	size_t n = rtp_make(p, 7, 1, 160, 20);
	struct rec_mstate m;

	both_up(7);
	phone = far_socket("10.10.0.50", 40000);
	pbx = far_socket("10.20.0.50", 7000);
	far_send(phone, "10.10.0.10", port_of(0), p, n);
	assert_int_equal(far_receive(pbx, got, sizeof(got), WAIT_MS, NULL), n);
	WAIT_FOR(&nodes[0], mstate_of(&nodes[1], 1000, &m));
	wait_applied(&nodes[1]);
	worker_kill(&nodes[0]);
	gate_set(0, false);
	node_release(&nodes[0]);
	gate_set(1, true);
	node_take(&nodes[1]);
	node_activate(&nodes[1], 8);
	far_send(pbx, "10.20.0.10", port_of(0), p, n);
	assert_int_equal(far_receive(phone, got, sizeof(got), WAIT_MS, NULL),
			 n);
	worker_start(&nodes[0]); /* teardown expects both */
	close(phone);
	close(pbx);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_no_packet_lost),
		T(test_one_link_is_enough),
		T(test_called_off),
		T(test_take_over_after_a_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
