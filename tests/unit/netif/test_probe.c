/*
 * Gateways that answer and gateways that do not, asked by a node with and
 * without addresses, through an open and a closed gate.
 */
#include "netns.h"

#include "netif/frame.h"
#include "netif/gate.h"
#include "netif/probe.h"

static const uint8_t OWN[6] = {0x52, 0x54, 0, 0, 0, 7};
static const uint8_t VMAC[6] = {0x02, 0x5b, 0xc0, 0, 1, 1};

struct fixture {
	struct netif_ip gateways[3];
	struct netif_probe *probe;
	struct netif_gate *gate; /* closed */
	int cap;
};

/* The last one does not exist. */
static struct fixture fixture_new(void)
{
	struct fixture f = {
		.gateways = {ip_of("10.10.0.1"), ip_of("fd00:10::1"),
			     ip_of("10.10.0.99")},
	};
	struct netif_gate_nic nic = {
		.nic = "svc",
		.gateways = f.gateways,
		.gateways_len = 3,
	};

	sh("ip link set svc address 52:54:00:00:00:07");
	memcpy(nic.vmac, VMAC, 6);
	assert_int_equal(netif_gate_create(&f.gate, &nic, 1), 0);
	assert_int_equal(netif_probe_create(&f.probe, "svc", f.gateways, 3), 0);
	assert_int_equal(netif_probe_len(f.probe), 3);
	f.cap = capture_open("peer");
	return f;
}

static void fixture_end(struct fixture *f)
{
	netif_probe_destroy(f->probe);
	netif_gate_destroy(f->gate);
	close(f->cap);
}

/* Until gateway i was heard at `when`. */
static void hear_until(struct netif_probe *p, size_t i, uint64_t when)
{
	uint64_t end = now_us() + DEADLINE_MS * 1000;
	struct pollfd pfds[NETIF_PROBE_FDS_MAX];
	int fds[NETIF_PROBE_FDS_MAX];
	size_t n = netif_probe_fds(p, fds);

	assert_int_equal(n, 2);
	while (netif_probe_heard_ms(p, i) != when) {
		for (size_t k = 0; k < n; k++)
			pfds[k] = (struct pollfd){fds[k], POLLIN, 0};
		poll(pfds, n, 50);
		netif_probe_hear(p, when, 16);
		if (now_us() > end)
			fail_msg("gateway %zu does not answer", i);
	}
}

static bool is_question(const uint8_t *f, size_t len, const void *arg)
{
	return (f[12] == 8 && f[13] == 6) ||
	       (f[12] == 0x86 && f[13] == 0xdd && f[54] == NETIF_ND_SOLICIT);
}

static void a_standby_asks_from_nobody(void **state)
{
	static const uint8_t nobody[16];
	struct fixture f = fixture_new();
	uint8_t frame[2048];

	assert_int_equal(netif_probe_ask(f.probe, OWN, NULL, 0), 3);
	hear_until(f.probe, 0, 1);
	hear_until(f.probe, 1, 1);
	assert_int_equal(netif_probe_heard_ms(f.probe, 2), 0);
	assert_int_equal(netif_probe_heard_ms(f.probe, 3), 0);
	assert_true(capture_wait(f.cap, is_question, NULL, frame));
	assert_memory_equal(frame + 6, OWN, 6);
	assert_memory_equal(frame + 28, nobody, 4);
	assert_true(capture_wait(f.cap, is_question, NULL, frame));
	assert_memory_equal(frame + 6, OWN, 6);
	assert_memory_equal(frame + 22, nobody, 16);
	fixture_end(&f);
}

static void an_active_asks_from_its_addresses(void **state)
{
	const struct netif_ip own[] = {ip_of("10.10.0.10"),
				       ip_of("fd00:10::10")};
	struct fixture f = fixture_new();
	uint8_t frame[2048];

	sh("ip link set svc address 02:5b:c0:00:01:01 && "
	   "ip addr add 10.10.0.10/24 dev svc && "
	   "ip addr add fd00:10::10/64 dev svc nodad");
	wait_v6("svc", 1);
	/* Closed, questions from somebody stay in. */
	assert_int_equal(netif_gate_close(f.gate), 0);
	(void)netif_probe_ask(f.probe, VMAC, own, 2);
	assert_int_equal(netif_gate_open(f.gate, 0), 0);
	assert_int_equal(netif_probe_ask(f.probe, VMAC, own, 2), 3);
	hear_until(f.probe, 0, 5);
	hear_until(f.probe, 1, 5);
	assert_int_equal(netif_probe_heard_ms(f.probe, 2), 0);
	assert_true(capture_wait(f.cap, is_question, NULL, frame));
	assert_memory_equal(frame + 28, own[0].bytes, 4);
	assert_true(capture_wait(f.cap, is_question, NULL, frame));
	assert_memory_equal(frame + 22, own[1].bytes, 16);
	fixture_end(&f);
}

static void send_raw(const void *frame, size_t size)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_halen = 6};
	int fd = packet_open(true);

	ll.sll_ifindex = (int)if_nametoindex("svc");
	(void)!sendto(fd, frame, size, 0, (struct sockaddr *)&ll, sizeof(ll));
	close(fd);
}

/* A closed gate lets these questions out and no others. */
static void the_gate_knows_the_questions(void **state)
{
	static const uint8_t nobody[16];
	const struct netif_ip vip = ip_of("10.10.0.10"),
			      other = ip_of("10.10.0.50"),
			      vip6 = ip_of("fd00:10::10"),
			      other6 = ip_of("fd00:10::50");
	struct fixture f = fixture_new();
	uint8_t q[NETIF_FRAME_MAX_BYTES], frame[2048];
	const uint8_t *gw = f.gateways[0].bytes, *gw6 = f.gateways[1].bytes;

	send_raw(q, netif_frame_arp(q, OWN, NETIF_ARP_REQUEST, vip.bytes, gw));
	send_raw(q, netif_frame_arp(q, OWN, NETIF_ARP_REPLY, nobody, gw));
	send_raw(q, netif_frame_arp(q, OWN, NETIF_ARP_REQUEST, nobody,
				    other.bytes));
	send_raw(q, netif_frame_arp(q, VMAC, NETIF_ARP_REQUEST, nobody, gw));
	send_raw(q, netif_frame_solicit(q, OWN, vip6.bytes, gw6));
	send_raw(q, netif_frame_solicit(q, OWN, nobody, other6.bytes));
	send_raw(q, netif_frame_nd(q, OWN, NETIF_ND_ADVERT, nobody, gw6, gw6));
	send_raw(q, netif_frame_arp(q, OWN, NETIF_ARP_REQUEST, nobody, gw));
	send_raw(q, netif_frame_solicit(q, OWN, nobody, gw6));
	assert_true(capture_next(f.cap, frame, sizeof(frame), DEADLINE_MS) > 0);
	assert_int_equal(frame[13], 6);
	assert_memory_equal(frame + 28, nobody, 4);
	assert_memory_equal(frame + 38, gw, 4);
	assert_true(capture_next(f.cap, frame, sizeof(frame), DEADLINE_MS) > 0);
	assert_int_equal(frame[54], NETIF_ND_SOLICIT);
	assert_memory_equal(frame + 62, gw6, 16);
	fixture_end(&f);
}

static void strangers_are_not_heard(void **state)
{
	static const uint8_t far_mac[6] = {2, 0, 0, 0, 0, 9};
	const struct netif_ip other = ip_of("10.10.0.7"),
			      other6 = ip_of("fd00:10::7");
	struct fixture f = fixture_new();
	uint8_t q[NETIF_FRAME_MAX_BYTES];
	const uint8_t *gw = f.gateways[0].bytes, *gw6 = f.gateways[1].bytes,
		      *last = f.gateways[2].bytes;
	size_t n;

	say_far(q,
		netif_frame_arp(q, far_mac, NETIF_ARP_REPLY, other.bytes, gw));
	say_far(q, netif_frame_arp(q, far_mac, NETIF_ARP_REQUEST, gw, gw));
	(void)netif_frame_arp(q, far_mac, NETIF_ARP_REPLY, gw, gw);
	say_far(q, 30);
	say_far(q, netif_frame_nd(q, far_mac, NETIF_ND_ADVERT, gw6,
				  other6.bytes, other6.bytes));
	/* It came from behind a router. */
	n = netif_frame_nd(q, far_mac, NETIF_ND_ADVERT, gw6, gw6, gw6);
	q[21] = 64;
	say_far(q, n);
	/* The one that counts comes last. */
	say_far(q, netif_frame_arp(q, far_mac, NETIF_ARP_REPLY, last, last));
	hear_until(f.probe, 2, 7);
	assert_int_equal(netif_probe_heard_ms(f.probe, 0), 0);
	assert_int_equal(netif_probe_heard_ms(f.probe, 1), 0);
	fixture_end(&f);
}

static void what_cannot_be_asked(void **state)
{
	struct netif_ip gw[NETIF_PROBE_GATEWAYS_MAX + 1] = {ip_of("10.10.0.1")};
	struct netif_probe *p = NULL;

	assert_int_equal(netif_probe_create(&p, "svc", gw, 0), -EINVAL);
	assert_int_equal(netif_probe_create(&p, "svc", gw, 2), -EINVAL);
	for (size_t i = 1; i <= NETIF_PROBE_GATEWAYS_MAX; i++)
		gw[i] = gw[0];
	assert_int_equal(
		netif_probe_create(&p, "svc", gw, NETIF_PROBE_GATEWAYS_MAX + 1),
		-EINVAL);
	assert_int_equal(netif_probe_create(&p, "nonic", gw, 1), -ENODEV);
	assert_null(p);
	netif_probe_destroy(NULL);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(a_standby_asks_from_nobody),
		NET_TEST(an_active_asks_from_its_addresses),
		NET_TEST(the_gate_knows_the_questions),
		NET_TEST(strangers_are_not_heard),
		NET_TEST(what_cannot_be_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
