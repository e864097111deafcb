/*
 * Frames of our own between two NICs, and what must not come through.
 */
#include "netns.h"

#include "netif/ether.h"
#include "netif/gate.h"

enum { TYPE = NETIF_GATE_EXEMPT_BEAT };

static const uint8_t VMAC[6] = {0x02, 0x5b, 0xc0, 0x00, 0x01, 0x01};

struct end {
	int fd;
	struct sockaddr_storage to;
	socklen_t to_len;
};

static struct end end_open(const char *nic, uint8_t cluster)
{
	uint8_t group[NETIF_MAC_LEN];
	struct end e;

	netif_ether_group(cluster, group);
	e.fd = netif_ether_open(nic, TYPE, group, &e.to, &e.to_len);
	assert_true(e.fd >= 0);
	return e;
}

/* Frames have a minimal length. */
static ssize_t say(const struct end *e, const char *text)
{
	char data[60] = "";

	strncpy(data, text, sizeof(data) - 1);
	return sendto(e->fd, data, sizeof(data), 0,
		      (const struct sockaddr *)&e->to, e->to_len);
}

/* What arrives first, as text. */
static const char *hear(const struct end *e)
{
	struct pollfd p = {.fd = e->fd, .events = POLLIN};
	static char buf[256];
	ssize_t n;

	memset(buf, 0, sizeof(buf));
	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	n = recv(e->fd, buf, sizeof(buf) - 1, 0);
	assert_true(n > 0);
	return buf;
}

static void only_the_group_is_heard(void **state)
{
	struct end near = end_open("svc", 1), other = end_open("svc", 2), far;
	int tx = packet_open(false), one;
	struct end wrong = near;

	ns_far();
	far = end_open("peer", 1);
	ns_near();
	assert_int_equal(say(&far, "to all of one"), 60);
	assert_string_equal(hear(&near), "to all of one");
	/* Another pair, another type, another destination: not ours. */
	assert_int_equal(say(&other, "pair two"), 60);
	((struct sockaddr_ll *)&wrong.to)->sll_protocol = htons(0x88b5);
	assert_int_equal(say(&wrong, "other type"), 60);
	frame_send(tx, "svc", NULL, TYPE, 'b');
	assert_int_equal(say(&near, "back"), 60);
	assert_string_equal(hear(&far), "back");
	/* Nor what we said ourselves. */
	one = (int)recv(near.fd, &wrong, 1, 0);
	assert_int_equal(one, -1);
	assert_int_equal(errno, EAGAIN);
	close(near.fd);
	close(other.fd);
	close(far.fd);
	close(tx);
}

static bool is_ours(const uint8_t *f, size_t len, const void *arg)
{
	return len >= 14 && f[12] == TYPE >> 8 && f[13] == (TYPE & 0xff) &&
	       !memcmp(f + 6, arg, 6);
}

/* A closed gate lets beats out, but never with the virtual MAC. */
static void source_is_what_the_nic_has(void **state)
{
	static const uint8_t own[6] = {0x52, 0x54, 0, 0, 0, 7};
	struct netif_gate_nic nic = {.nic = "svc"};
	struct netif_gate *g;
	int cap = capture_open("peer");
	uint8_t buf[2048];
	struct end e;
	size_t n;

	memcpy(nic.vmac, VMAC, 6);
	assert_int_equal(netif_gate_create(&g, &nic, 1), 0);
	assert_int_equal(netif_gate_exempt(g, NETIF_GATE_EXEMPT_BEAT, true), 0);
	e = end_open("svc", 1);
	sh("ip link set svc address 52:54:00:00:00:07");
	say(&e, "standby");
	assert_true(capture_wait(cap, is_ours, own, NULL));
	sh("ip link set svc address 02:5b:c0:00:01:01");
	say(&e, "not let go yet");
	assert_int_equal(netif_gate_open(g, 0), 0);
	say(&e, "active");
	assert_true(capture_wait(cap, is_ours, VMAC, buf));
	assert_string_equal(buf + 14, "active");
	while ((n = capture_next(cap, buf, sizeof(buf), 20)))
		assert_false(is_ours(buf, n, VMAC));
	netif_gate_destroy(g);
	close(e.fd);
	close(cap);
}

/* Down and up again (hv_netvsc does that to change a MAC). */
static void survives_a_link_that_goes_down(void **state)
{
	struct end near = end_open("svc", 1), far;
	struct pollfd p = {.fd = near.fd, .events = POLLIN};
	uint64_t end = now_us() + DEADLINE_MS * 1000;
	char c;

	ns_far();
	far = end_open("peer", 1);
	ns_near();
	sh("ip link set svc down && ip link set svc up");
	wait_link("svc");
	/* The error is said once. */
	assert_int_equal(recv(near.fd, &c, 1, 0), -1);
	assert_int_equal(errno, ENETDOWN);
	while (poll(&p, 1, 20) <= 0 && now_us() < end)
		(void)!say(&far, "again");
	assert_string_equal(hear(&near), "again");
	close(near.fd);
	close(far.fd);
}

static void no_such_nic(void **state)
{
	uint8_t group[NETIF_MAC_LEN];
	struct end e;

	netif_ether_group(1, group);
	assert_true(group[0] & 1);
	assert_int_equal(
		netif_ether_open("nonic", TYPE, group, &e.to, &e.to_len),
		-ENODEV);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(only_the_group_is_heard),
		NET_TEST(source_is_what_the_nic_has),
		NET_TEST(survives_a_link_that_goes_down),
		NET_TEST(no_such_nic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
