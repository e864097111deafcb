/*
 * Events of links, addresses and neighbours; lost events; counters.
 */
#include "netns.h"

#include "netif/link.h"
#include "netif/monitor.h"

struct seen {
	struct netif_link_event link;
	struct netif_addr_event addr;
	struct netif_neigh_event neigh;
	unsigned links, addrs, neighs, resyncs;
};

static void on_link(void *arg, const struct netif_link_event *ev)
{
	struct seen *s = arg;

	s->link = *ev;
	s->links++;
}

static void on_addr(void *arg, const struct netif_addr_event *ev)
{
	struct seen *s = arg;

	s->addr = *ev;
	s->addrs++;
}

static void on_neigh(void *arg, const struct netif_neigh_event *ev)
{
	struct seen *s = arg;

	s->neigh = *ev;
	s->neighs++;
}

static void on_resync(void *arg)
{
	struct seen *s = arg;

	s->resyncs++;
}

static const struct netif_monitor_ops ALL = {on_link, on_addr, on_neigh,
					     on_resync};

typedef bool seen_fn(const struct seen *s);

/* Dispatches until the condition holds. */
static void until(struct netif_monitor *m, const struct seen *s, seen_fn *fn)
{
	struct pollfd p = {.fd = netif_monitor_fd(m), .events = POLLIN};
	uint64_t end = now_us() + DEADLINE_MS * 1000;

	while (!fn(s)) {
		if (now_us() > end)
			fail_msg("the event did not come");
		if (poll(&p, 1, 50) == 1)
			assert_true(netif_monitor_dispatch(m, 1) > 0);
	}
}

static bool svc_down(const struct seen *s)
{
	return !strcmp(s->link.name, "svc") && !s->link.up;
}

static bool svc_up(const struct seen *s)
{
	return !strcmp(s->link.name, "svc") && s->link.up && s->link.carrier;
}

static bool svc_no_carrier(const struct seen *s)
{
	return !strcmp(s->link.name, "svc") && s->link.up && !s->link.carrier;
}

static bool svc_mac(const struct seen *s)
{
	return !strcmp(s->link.name, "svc") && s->link.mac[5] == 0x42;
}

static bool svc_gone(const struct seen *s)
{
	return !strcmp(s->link.name, "svc") && s->link.removed;
}

static void link_events(void **state)
{
	struct seen s = {0};
	struct netif_monitor *m;
	int svc = (int)if_nametoindex("svc");

	assert_int_equal(netif_monitor_create(&m, &ALL, &s), 0);
	assert_int_equal(netif_monitor_dispatch(m, 100), 0);
	sh("ip link set svc down");
	until(m, &s, svc_down);
	assert_int_equal(s.link.ifindex, svc);
	sh("ip link set svc up");
	until(m, &s, svc_up);
	/* The far end goes: administratively up, but no carrier. */
	ns_far();
	sh("ip link set peer down");
	ns_near();
	until(m, &s, svc_no_carrier);
	sh("ip link set svc address 02:00:00:00:00:42");
	until(m, &s, svc_mac);
	sh("ip link del svc");
	until(m, &s, svc_gone);
	assert_int_equal(s.resyncs, 0);
	netif_monitor_destroy(m);
	netif_monitor_destroy(NULL);
}

static bool v4_added(const struct seen *s)
{
	struct netif_ip want = ip_of("10.10.0.10/24");

	return !s->addr.removed && netif_ip_equal(&s->addr.ip, &want);
}

static bool v4_removed(const struct seen *s)
{
	struct netif_ip want = ip_of("10.10.0.10/24");

	return s->addr.removed && netif_ip_equal(&s->addr.ip, &want);
}

static bool v6_removed(const struct seen *s)
{
	struct netif_ip want = ip_of("fd00:10::10/64");

	return s->addr.removed && netif_ip_equal(&s->addr.ip, &want);
}

static void addr_events(void **state)
{
	struct seen s = {0};
	struct netif_monitor *m;

	assert_int_equal(netif_monitor_create(&m, &ALL, &s), 0);
	sh("ip addr add 10.10.0.10/24 dev svc");
	until(m, &s, v4_added);
	assert_int_equal(s.addr.ifindex, (int)if_nametoindex("svc"));
	sh("ip addr del 10.10.0.10/24 dev svc");
	until(m, &s, v4_removed);
	sh("ip addr add fd00:10::10/64 dev svc nodad && "
	   "ip addr del fd00:10::10/64 dev svc");
	until(m, &s, v6_removed);
	netif_monitor_destroy(m);
}

static bool neigh_known(const struct seen *s)
{
	struct netif_ip want = ip_of("10.10.0.60");

	return !s->neigh.removed && s->neigh.has_mac &&
	       s->neigh.mac[5] == 0x60 &&
	       netif_ip_same_host(&s->neigh.ip, &want);
}

static bool neigh_removed(const struct seen *s)
{
	struct netif_ip want = ip_of("10.10.0.60");

	return s->neigh.removed && netif_ip_same_host(&s->neigh.ip, &want);
}

static void neigh_events(void **state)
{
	struct seen s = {0};
	struct netif_monitor *m;

	assert_int_equal(netif_monitor_create(&m, &ALL, &s), 0);
	sh("ip neigh add 10.10.0.60 lladdr 02:00:00:00:00:60 dev svc");
	until(m, &s, neigh_known);
	sh("ip neigh del 10.10.0.60 dev svc");
	until(m, &s, neigh_removed);
	sh("ip neigh add 10.10.0.60 lladdr 02:00:00:00:00:60 dev svc");
	until(m, &s, neigh_known);
	sh("ip neigh change 10.10.0.60 dev svc nud failed");
	until(m, &s, neigh_removed);
	netif_monitor_destroy(m);
}

static void only_what_is_wanted(void **state)
{
	const struct netif_monitor_ops addr_only = {.addr = on_addr};
	struct seen s = {0};
	struct netif_monitor *m;

	assert_int_equal(netif_monitor_create(&m, &addr_only, &s), 0);
	sh("ip link set svc down; ip link set svc up; "
	   "ip neigh add 10.10.0.60 lladdr 02:00:00:00:00:60 dev svc; "
	   "ip addr add 10.10.0.10/24 dev svc");
	until(m, &s, v4_added);
	assert_int_equal(s.links + s.neighs, 0);
	netif_monitor_destroy(m);
}

static bool resynced(const struct seen *s)
{
	return s->resyncs == 1;
}

static void lost_events_resync(void **state)
{
	int small = 4096;
	struct seen s = {0};
	struct netif_monitor *m;

	assert_int_equal(netif_monitor_create(&m, &ALL, &s), 0);
	setsockopt(netif_monitor_fd(m), SOL_SOCKET, SO_RCVBUF, &small,
		   sizeof(small));
	sh("for i in $(seq 100); do echo link set svc address "
	   "02:00:00:00:01:$((10 + i %% 80)); done | ip -batch -");
	until(m, &s, resynced);
	/* What was queued is older than what a resync reads. */
	assert_int_equal(s.links, 0);
	/* It goes on working, and says it once. */
	sh("ip addr add 10.10.0.10/24 dev svc");
	until(m, &s, v4_added);
	assert_int_equal(s.resyncs, 1);
	netif_monitor_destroy(m);
}

static void budget_is_kept(void **state)
{
	const struct netif_monitor_ops link_only = {.link = on_link};
	struct seen s = {0};
	struct netif_monitor *m;

	assert_int_equal(netif_monitor_create(&m, &link_only, &s), 0);
	sh("for i in $(seq 20); do echo link set svc address "
	   "02:00:00:00:01:$((10 + i)); done | ip -batch -");
	assert_int_equal(netif_monitor_dispatch(m, 3), 3);
	assert_int_equal(s.links, 3);
	assert_true(netif_monitor_dispatch(m, 1000) >= 17);
	assert_int_equal(netif_monitor_dispatch(m, 1000), 0);
	netif_monitor_destroy(m);
}

static void link_read(void **state)
{
	struct netif_link l, after;
	int tx = packet_open(false);

	sh("ip link set svc address 02:00:00:00:00:42");
	assert_int_equal(netif_link_get("svc", &l), 0);
	assert_string_equal(l.name, "svc");
	assert_int_equal(l.ifindex, (int)if_nametoindex("svc"));
	assert_true(l.up && l.carrier);
	assert_int_equal(l.mac[5], 0x42);
	assert_int_equal(l.mtu, 1500);
	for (uint8_t i = 0; i < 10; i++)
		frame_send(tx, "svc", NULL, TEST_ETHERTYPE, i);
	assert_int_equal(netif_link_get("svc", &after), 0);
	assert_true(after.counters.tx_packets >= l.counters.tx_packets + 10);
	assert_true(after.counters.tx_bytes >= l.counters.tx_bytes + 600);
	assert_int_equal(netif_link_get("nonic", &l), -ENODEV);
	assert_int_equal(netif_link_get("a-name-that-is-too-long", &l),
			 -ENODEV);
	assert_int_equal(netif_link_get("", &l), -ENODEV);
	close(tx);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(link_events),	      NET_TEST(addr_events),
		NET_TEST(neigh_events),	      NET_TEST(only_what_is_wanted),
		NET_TEST(lost_events_resync), NET_TEST(budget_is_kept),
		NET_TEST(link_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
