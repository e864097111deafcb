/*
 * The gate, seen from the far side. That something does not come is shown by
 * a mark sent after it that does come.
 */
#include "netns.h"

#include <limits.h>
#include <pthread.h>
#include <sys/wait.h>

#include "netif/gate.h"

static const uint8_t VMAC[6] = {0x02, 0x5b, 0xc0, 0x00, 0x01, 0x01};

enum { PORT = 7777 };

static struct netif_gate *gate_new(void)
{
	struct netif_gate_nic nic = {.nic = "svc"};
	struct netif_gate *g = NULL;

	memcpy(nic.vmac, VMAC, 6);
	assert_int_equal(netif_gate_create(&g, &nic, 1), 0);
	return g;
}

static bool passes(int tx, int cap, uint8_t mark)
{
	uint8_t buf[2048];
	size_t n;

	(void)frame_send(tx, "svc", NULL, TEST_ETHERTYPE, mark);
	/* veth hands over within the send call: one look is enough. */
	while ((n = capture_next(cap, buf, sizeof(buf), 20))) {
		if (is_mark(buf, n, &mark))
			return true;
	}
	return false;
}

/* Everything a closed gate has to stop. */
static void send_all_kinds(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(PORT)};
	uint8_t ip[32] = {0x45, [8] = 64, [9] = 17};
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_halen = 6};
	int fd;

	fd = packet_open(false);
	frame_send(fd, "svc", NULL, TEST_ETHERTYPE, 1);
	frame_send(fd, "svc", NULL, ETH_P_ARP, 2);
	close(fd);
	fd = packet_open(true);
	frame_send(fd, "svc", NULL, TEST_ETHERTYPE, 3);
	close(fd);
	fd = socket(AF_PACKET, SOCK_DGRAM, 0);
	ll.sll_ifindex = (int)if_nametoindex("svc");
	ll.sll_protocol = htons(TEST_ETHERTYPE);
	memset(ll.sll_addr, 0xff, 6);
	(void)!sendto(fd, "\4", 1, 0, (struct sockaddr *)&ll, sizeof(ll));
	close(fd);
	/* ARP by the kernel for an unknown neighbour. */
	inet_pton(AF_INET, "10.10.0.77", &to.sin_addr);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	(void)!sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
	/* IP to a known one. */
	inet_pton(AF_INET, "10.10.0.50", &to.sin_addr);
	(void)!sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
	close(fd);
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	memcpy(ip + 16, &to.sin_addr, 4);
	to.sin_port = 0;
	(void)!sendto(fd, ip, sizeof(ip), 0, (struct sockaddr *)&to,
		      sizeof(to));
	close(fd);
}

static void address_and_neighbour(void)
{
	sh("ip addr add 10.10.0.10/24 dev svc && "
	   "ip addr add fd00:10::10/64 dev svc nodad");
	wait_v6("svc", 1);
	ns_far();
	sh("ip neigh replace 10.10.0.10 dev peer lladdr 02:5b:c0:00:01:01");
	ns_near();
	sh("ip link set svc address 02:5b:c0:00:01:01 && "
	   "ip neigh replace 10.10.0.50 dev svc lladdr 02:00:00:00:00:50");
}

/* How many frames came before the mark. */
static int frames_before_mark(int cap, uint8_t mark)
{
	uint64_t end = now_us() + DEADLINE_MS * 1000;
	uint8_t buf[2048];
	int n = 0;

	while (now_us() < end) {
		size_t len = capture_next(cap, buf, sizeof(buf), 50);

		if (len && is_mark(buf, len, &mark))
			return n;
		n += len != 0;
	}
	fail_msg("the mark did not come");
	return -1;
}

static void closed_drops_everything(void **state)
{
	struct netif_gate_stats st;
	struct netif_gate *g;
	int cap, tx = packet_open(false);

	address_and_neighbour();
	g = gate_new();
	cap = capture_open("peer");
	assert_int_equal(netif_gate_is_open(g), 0);
	send_all_kinds();
	assert_int_equal(netif_gate_stats_get(g, &st), 0);
	assert_true(st.dropped_packets >= 6);
	assert_int_equal(st.passed_packets, 0);
	assert_int_equal(netif_gate_open(g, 0), 0);
	assert_int_equal(netif_gate_is_open(g), 1);
	frame_send(tx, "svc", NULL, TEST_ETHERTYPE, 9);
	assert_int_equal(frames_before_mark(cap, 9), 0);
	/* Open, the same kinds all come: the test can see them. */
	send_all_kinds();
	frame_send(tx, "svc", NULL, TEST_ETHERTYPE, 10);
	assert_true(frames_before_mark(cap, 10) >= 6);
	assert_int_equal(netif_gate_stats_get(g, &st), 0);
	assert_true(st.passed_packets >= 6);
	/* And closed again. */
	assert_int_equal(netif_gate_close(g), 0);
	assert_int_equal(netif_gate_close(g), 0);
	send_all_kinds();
	assert_false(passes(tx, cap, 11));
	netif_gate_destroy(g);
	assert_true(passes(tx, cap, 12));
	close(tx);
	close(cap);
}

static void lease_expires(void **state)
{
	struct netif_gate *g = gate_new();
	int cap = capture_open("peer"), tx = packet_open(false);
	uint64_t t0, end;

	t0 = now_us();
	end = t0 + DEADLINE_MS * 1000;
	/* Long enough for a machine that stalls before the first packet. */
	assert_int_equal(netif_gate_open(g, 1500), 0);
	assert_true(passes(tx, cap, 1));
	while (passes(tx, cap, 2)) {
		if (now_us() > end)
			fail_msg("the lease does not run out");
	}
	assert_true(now_us() - t0 >= 1450000);
	assert_int_equal(netif_gate_is_open(g), 0);
	/* Run out is run out. */
	assert_int_equal(netif_gate_renew(g, 100), -ENOENT);
	assert_false(passes(tx, cap, 3));
	assert_int_equal(netif_gate_open(g, 0), 0);
	assert_true(passes(tx, cap, 4));
	assert_int_equal(netif_gate_close(g), 0);
	assert_int_equal(netif_gate_renew(g, 0), -ENOENT);
	assert_false(passes(tx, cap, 5));
	netif_gate_destroy(g);
	close(tx);
	close(cap);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void renew_extends(void **state)
{
	static uint64_t cost[200000];
	struct netif_gate *g = gate_new();
	int cap = capture_open("peer"), tx = packet_open(false);
	uint64_t end = now_us() + 3000000;
	size_t n = 0;

	/* Twice the length of the lease. */
	assert_int_equal(netif_gate_open(g, 1500), 0);
	while (now_us() < end && n < 200000) {
		uint64_t t0 = now_us();

		assert_int_equal(netif_gate_renew(g, 1500), 0);
		cost[n++] = now_us() - t0;
		if (n % 50 == 0)
			assert_true(passes(tx, cap, 1));
	}
	qsort(cost, n, sizeof(cost[0]), by_value);
	print_message("renew: %zu times, p50 %u us, p99 %u us, max %u us\n", n,
		      (unsigned)cost[n / 2], (unsigned)cost[n * 99 / 100],
		      (unsigned)cost[n - 1]);
	assert_true(now_us() >= end);
	netif_gate_destroy(g);
	close(tx);
	close(cap);
}

/*
 * A guard: another process that knows nothing of the handle. It shuts once
 * for every byte it reads and answers with the microseconds it took, 0 for a
 * failure.
 */
static void guard_main(int fd)
{
	struct netif_gate_shutter *s;
	char c;

	if (netif_gate_shutter_create(&s))
		_exit(1);
	while (read(fd, &c, 1) == 1) {
		uint64_t t0 = now_us();
		int err = c == 's' ? netif_gate_shutter_shut(s)
				   : netif_gate_shut_all();
		unsigned cost = err ? 0 : (unsigned)(now_us() - t0) + 1;

		if (write(fd, &cost, sizeof(cost)) != sizeof(cost))
			break;
	}
	netif_gate_shutter_destroy(s);
	_exit(0);
}

static unsigned guard_shut(int fd, char how)
{
	unsigned cost = 0;

	assert_int_equal(write(fd, &how, 1), 1);
	assert_int_equal(read(fd, &cost, sizeof(cost)), sizeof(cost));
	assert_int_not_equal(cost, 0);
	return cost;
}

/* The cost is printed, not asserted: the design wants less than 2 ms. */
static void guard_shuts(void **state)
{
	int cap = capture_open("peer"), tx = packet_open(false), fds[2];
	unsigned best[2] = {UINT_MAX, UINT_MAX};
	struct netif_gate *g;
	int status;
	pid_t pid;

	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), errno);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		guard_main(fds[1]);
	}
	close(fds[1]);
	/* Nothing to shut is fine. */
	guard_shut(fds[0], 's');
	guard_shut(fds[0], 'a');
	g = gate_new();
	for (int i = 0; i < 20; i++) {
		unsigned cost;

		assert_int_equal(netif_gate_open(g, 0), 0);
		assert_true(passes(tx, cap, 1));
		cost = guard_shut(fds[0], i & 1 ? 's' : 'a');
		best[i & 1] = cost < best[i & 1] ? cost : best[i & 1];
		assert_false(passes(tx, cap, 2));
		assert_int_equal(netif_gate_renew(g, 100), -ENOENT);
		assert_false(passes(tx, cap, 3));
	}
	print_message("shut: %u us; shut_all: %u us\n", best[1], best[0]);
	netif_gate_destroy(g);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(tx);
	close(cap);
}

static void leftover_is_replaced(void **state)
{
	struct netif_gate *g = gate_new();
	int cap = capture_open("peer"), tx = packet_open(false);

	assert_int_equal(netif_gate_open(g, 0), 0);
	assert_int_equal(netif_gate_quiet(g, true), 0);
	/* The keeper is gone; the table stays. */
	netif_gate_detach(g);
	assert_true(passes(tx, cap, 1));
	g = gate_new();
	assert_int_equal(netif_gate_is_open(g), 0);
	assert_false(passes(tx, cap, 2));
	assert_int_equal(lines_of("nft list tables"), 1);
	assert_int_equal(lines_of("nft list table netdev sbcd | grep 'tcp "
				  "flags'"),
			 0);
	assert_int_equal(netif_gate_open(g, 0), 0);
	assert_true(passes(tx, cap, 3));
	netif_gate_detach(g);
	assert_int_equal(netif_gate_remove_all(), 0);
	assert_int_equal(netif_gate_remove_all(), 0);
	assert_int_equal(lines_of("nft list tables"), 0);
	close(tx);
	close(cap);
}

/* A TCP and a UDP knock on a closed port from the far side. */
static void knock(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(PORT)};
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons(PORT)};
	int fd;

	inet_pton(AF_INET, "10.10.0.10", &to.sin_addr);
	inet_pton(AF_INET6, "fd00:10::10", &to6.sin6_addr);
	ns_far();
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	(void)connect(fd, (struct sockaddr *)&to, sizeof(to));
	close(fd);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	(void)!sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
	close(fd);
	fd = socket(AF_INET6, SOCK_DGRAM, 0);
	(void)!sendto(fd, "x", 1, 0, (struct sockaddr *)&to6, sizeof(to6));
	close(fd);
	ns_near();
}

/* Bits: 1 RST, 2 ICMP unreachable, 4 ICMPv6 unreachable; until the mark. */
static unsigned answers_until_mark(int cap, uint8_t mark)
{
	uint64_t end = now_us() + DEADLINE_MS * 1000;
	unsigned seen = 0;
	uint8_t f[2048];

	while (now_us() < end) {
		size_t n = capture_next(cap, f, sizeof(f), 50);

		if (n && is_mark(f, n, &mark))
			return seen;
		if (n >= 54 && f[12] == 8 && f[13] == 0 && f[23] == 6 &&
		    (f[47] & 4))
			seen |= 1;
		if (n >= 42 && f[12] == 8 && f[13] == 0 && f[23] == 1 &&
		    f[34] == 3)
			seen |= 2;
		if (n >= 62 && f[12] == 0x86 && f[20] == 58 && f[54] == 1)
			seen |= 4;
	}
	fail_msg("the mark did not come");
	return 0;
}

static void quiet_keeps_rejections_in(void **state)
{
	struct netif_gate_stats st;
	struct netif_gate *g;
	int cap, tx = packet_open(false);

	address_and_neighbour();
	sh("ip -6 neigh replace fd00:10::50 dev svc lladdr 02:00:00:00:00:50");
	sh("echo 0 > /proc/sys/net/ipv6/icmp/ratelimit");
	ns_far();
	sh("ip -6 neigh replace fd00:10::10 dev peer lladdr 02:5b:c0:00:01:01");
	ns_near();
	g = gate_new();
	cap = capture_open("peer");
	assert_int_equal(netif_gate_open(g, 0), 0);
	knock();
	frame_send(tx, "svc", NULL, TEST_ETHERTYPE, 1);
	/* The kernel never says unreachable, a closed port may reset. */
	assert_int_equal(answers_until_mark(cap, 1), 1);
	assert_int_equal(netif_gate_quiet(g, true), 0);
	assert_int_equal(netif_gate_quiet(g, true), 0);
	knock();
	frame_send(tx, "svc", NULL, TEST_ETHERTYPE, 2);
	assert_int_equal(answers_until_mark(cap, 2), 0);
	assert_int_equal(netif_gate_stats_get(g, &st), 0);
	assert_int_equal(st.quieted_packets, 5);
	/* It survives close and open. */
	assert_int_equal(netif_gate_close(g), 0);
	assert_int_equal(netif_gate_open(g, 0), 0);
	knock();
	frame_send(tx, "svc", NULL, TEST_ETHERTYPE, 3);
	assert_int_equal(answers_until_mark(cap, 3), 0);
	assert_int_equal(netif_gate_quiet(g, false), 0);
	knock();
	frame_send(tx, "svc", NULL, TEST_ETHERTYPE, 4);
	assert_int_equal(answers_until_mark(cap, 4), 1);
	netif_gate_destroy(g);
	close(tx);
	close(cap);
}

static bool type_passes(int tx, int cap, const uint8_t *src, uint16_t type)
{
	uint8_t buf[2048];
	size_t n;

	(void)frame_send(tx, "svc", src, type, 1);
	while ((n = capture_next(cap, buf, sizeof(buf), 20))) {
		if (is_ethertype(buf, n, &type))
			return true;
	}
	return false;
}

static void exemptions(void **state)
{
	struct netif_gate *g = gate_new();
	int cap = capture_open("peer"), tx = packet_open(false);

	assert_false(type_passes(tx, cap, NULL, 0x88b5));
	assert_int_equal(
		netif_gate_exempt(g, NETIF_GATE_EXEMPT_PREFLIGHT, true), 0);
	assert_int_equal(
		netif_gate_exempt(g, NETIF_GATE_EXEMPT_PREFLIGHT, true), 0);
	assert_true(type_passes(tx, cap, NULL, 0x88b5));
	assert_false(type_passes(tx, cap, NULL, 0x88b6));
	assert_false(passes(tx, cap, 1));
	/* Never with the virtual MAC as the source. */
	assert_false(type_passes(tx, cap, VMAC, 0x88b5));
	assert_int_equal(netif_gate_exempt(g, NETIF_GATE_EXEMPT_BEAT, true), 0);
	assert_true(type_passes(tx, cap, NULL, 0x88b6));
	assert_int_equal(
		netif_gate_exempt(g, NETIF_GATE_EXEMPT_PREFLIGHT, false), 0);
	assert_int_equal(
		netif_gate_exempt(g, NETIF_GATE_EXEMPT_PREFLIGHT, false), 0);
	assert_false(type_passes(tx, cap, NULL, 0x88b5));
	assert_true(type_passes(tx, cap, NULL, 0x88b6));

	assert_int_equal(netif_gate_exempt(g, 0x0800, true), -EINVAL);
	netif_gate_destroy(g);
	close(tx);
	close(cap);
}

static void several_nics(void **state)
{
	const struct netif_gate_nic nics[] = {{.nic = "svc"}, {.nic = "mgmt"}};
	const struct netif_gate_nic none[] = {{.nic = "svc"}, {.nic = "nonic"}};
	const struct netif_gate_nic evil[] = {{.nic = "x\" }"}};
	int c1 = capture_open("peer"), c2 = capture_open("mpeer");
	int tx = packet_open(false);
	struct netif_gate *g = NULL;
	uint8_t mark = 2;

	assert_int_equal(netif_gate_create(&g, none, 2), -ENODEV);
	assert_int_equal(netif_gate_create(&g, evil, 1), -EINVAL);
	assert_int_equal(netif_gate_create(&g, nics, 0), -EINVAL);
	assert_null(g);
	assert_int_equal(netif_gate_create(&g, nics, 2), 0);
	assert_false(passes(tx, c1, 1));
	assert_int_equal(netif_gate_open(g, 1000), 0);
	assert_int_equal(netif_gate_renew(g, 1000), 0);
	assert_true(passes(tx, c1, 2));
	frame_send(tx, "mgmt", NULL, TEST_ETHERTYPE, mark);
	assert_true(capture_wait(c2, is_mark, &mark, NULL));
	netif_gate_destroy(g);
	netif_gate_destroy(NULL);
	netif_gate_detach(NULL);
	close(c1);
	close(c2);
	close(tx);
}

struct renewer {
	struct netif_gate *gate;
	unsigned renewed, refused;
	int odd;
	int stop;
};

static void *renewer_main(void *arg)
{
	struct renewer *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		int err = netif_gate_renew(r->gate, 60);

		if (!err)
			r->renewed++;
		else if (err == -ENOENT)
			r->refused++;
		else
			r->odd = err;
	}
	return NULL;
}

/* A close is never undone by a renew of the beat thread. */
static void close_wins_over_renew(void **state)
{
	int cap = capture_open("peer"), tx = packet_open(false);
	struct renewer r = {.gate = gate_new()};
	pthread_t thread;

	assert_int_equal(netif_gate_open(r.gate, 60), 0);
	assert_int_equal(pthread_create(&thread, NULL, renewer_main, &r), 0);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(netif_gate_open(r.gate, 60), 0);
		assert_true(netif_gate_quiet(r.gate, i & 1) == 0);
		assert_int_equal(netif_gate_close(r.gate), 0);
		assert_int_equal(netif_gate_is_open(r.gate), 0);
	}
	assert_false(passes(tx, cap, 1));
	__atomic_store_n(&r.stop, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_int_equal(r.odd, 0);
	assert_true(r.renewed > 0);
	assert_true(r.refused > 0);
	netif_gate_destroy(r.gate);
	close(tx);
	close(cap);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(closed_drops_everything),
		NET_TEST(lease_expires),
		NET_TEST(renew_extends),
		NET_TEST(guard_shuts),
		NET_TEST(leftover_is_replaced),
		NET_TEST(quiet_keeps_rejections_in),
		NET_TEST(exemptions),
		NET_TEST(several_nics),
		NET_TEST(close_wins_over_renew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
