/*
 * Policy routing: what has a virtual source leaves by its NIC or not at all,
 * on the standby too, whatever socket sends it.
 */
#include "netns.h"

#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <sys/wait.h>

#include "netif/anyport.h"
#include "netif/link.h"
#include "netif/vip.h"

enum { MARK_PORT = 7777 };

static struct netif_vip *vip_new(bool gateways)
{
	struct netif_ip addrs[] = {ip_of("10.10.0.10/24"),
				   ip_of("fd00:10::10/64")};
	struct netif_ip gw[] = {ip_of("10.10.0.1"), ip_of("fd00:10::1")};
	struct netif_vip_params p = {
		.nic = "svc",
		.mode = NETIF_VMAC_SET_MAC,
		.vmac = {0x02, 0x5b, 0xc0, 0x00, 0x01, 0x01},
		.addrs = addrs,
		.addrs_len = 2,
		.gateways = gw,
		.gateways_len = gateways ? 2 : 0,
		.table_id = 4001,
		.run_dir = net.run_dir,
	};
	struct netif_vip *v = NULL;

	assert_int_equal(netif_vip_create(&v, &p), 0);
	return v;
}

/* Sends len bytes to dst; 0 or -errno. */
static int send_to(int fd, const char *dst, uint16_t port, const void *data,
		   size_t len)
{
	struct netif_ip ip = ip_of(dst);
	struct sockaddr_storage ss;
	socklen_t sl = netif_ip_to_sockaddr(&ip, port, &ss);

	return sendto(fd, data, len, 0, (struct sockaddr *)&ss, sl) < 0 ? -errno
									: 0;
}

/* An IPv4 or IPv6 packet with UDP to MARK_PORT, source and destination. */
static size_t packet(uint8_t *buf, const char *src, const char *dst)
{
	struct netif_ip s = ip_of(src), d = ip_of(dst);
	size_t head = s.family == AF_INET ? 20 : 40;

	memset(buf, 0, head + 12);
	if (s.family == AF_INET) {
		buf[0] = 0x45;
		buf[8] = 64;
		buf[9] = IPPROTO_UDP;
		memcpy(buf + 12, s.bytes, 4);
		memcpy(buf + 16, d.bytes, 4);
	} else {
		buf[0] = 0x60;
		buf[5] = 12;
		buf[6] = IPPROTO_UDP;
		buf[7] = 64;
		memcpy(buf + 8, s.bytes, 16);
		memcpy(buf + 24, d.bytes, 16);
	}
	buf[head] = 20000 >> 8;
	buf[head + 1] = 20000 & 0xff;
	buf[head + 2] = MARK_PORT >> 8;
	buf[head + 3] = MARK_PORT & 0xff;
	buf[head + 5] = 12;
	memcpy(buf + head + 8, "abcd", 4);
	return head + 12;
}

/* The packet above, or the question for the way to it. */
static bool is_ours(const uint8_t *f, size_t len, const void *arg)
{
	size_t head = f[13] == 0xdd ? 54 : 34;

	return len >= head + 8 && f[12] != 8 + 1 &&
	       f[head + 2] == MARK_PORT >> 8 &&
	       f[head + 3] == (MARK_PORT & 0xff);
}

struct watch {
	int svc, mgmt;
};

static struct watch watch_open(void)
{
	return (struct watch){capture_open("peer"), capture_open("mpeer")};
}

static void watch_close(struct watch *w)
{
	close(w->svc);
	close(w->mgmt);
}

/* Nothing of ours came by mgmt until this mark, sent after it. */
static bool mgmt_is_clean(struct watch *w)
{
	static uint8_t mark;
	int fd = packet_open(false);
	uint64_t end = now_us() + DEADLINE_MS * 1000;
	uint8_t buf[2048];
	bool clean = true, seen = false;

	mark++;
	assert_true(frame_send(fd, "mgmt", NULL, TEST_ETHERTYPE, mark) > 0);
	while (!seen && now_us() < end) {
		size_t n = capture_next(w->mgmt, buf, sizeof(buf), 50);

		if (n && is_ours(buf, n, NULL))
			clean = false;
		seen = n && is_mark(buf, n, &mark);
	}
	close(fd);
	assert_true(seen);
	return clean;
}

static void gateways_known(void)
{
	struct netif_neigh list[2] = {{.ip = ip_of("10.10.0.1")},
				      {.ip = ip_of("fd00:10::1")}};
	struct netif_link peer;

	ns_far();
	assert_int_equal(netif_link_get("peer", &peer), 0);
	ns_near();
	for (int i = 0; i < 2; i++)
		memcpy(list[i].mac, peer.mac, 6);
	assert_int_equal(netif_neigh_install("svc", list, 2, false), 0);
}

static int udp_bound(const char *addr)
{
	struct netif_ip ip = ip_of(addr);
	struct sockaddr_storage ss;
	socklen_t sl = netif_ip_to_sockaddr(&ip, 0, &ss);
	int fd = socket(ip.family, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_return_code(bind(fd, (struct sockaddr *)&ss, sl), errno);
	return fd;
}

static void off_link_leaves_by_the_nic(bool owned)
{
	static const char *const v4 = "203.0.113.9", *const v6 = "2001:db8::9";
	struct netif_ip vip4 = ip_of("10.10.0.10"), vip6 = ip_of("fd00:10::10");
	struct watch w = watch_open();
	uint8_t buf[2048];
	size_t len;
	int fd;

	gateways_known();
	fd = netif_raw_open("svc", &vip4, 1 << 20);
	assert_return_code(fd, -fd);
	len = packet(buf, "10.10.0.10", v4);
	assert_int_equal(send_to(fd, v4, 0, buf, len), 0);
	assert_true(capture_wait(w.svc, is_ours, NULL, buf));
	assert_memory_equal(buf + 26, vip4.bytes, 4);
	assert_true(mgmt_is_clean(&w));
	close(fd);

	fd = netif_raw_open("svc", &vip6, 1 << 20);
	assert_return_code(fd, -fd);
	len = packet(buf, "fd00:10::10", v6);
	assert_int_equal(send_to(fd, v6, 0, buf, len), 0);
	assert_true(capture_wait(w.svc, is_ours, NULL, buf));
	assert_memory_equal(buf + 22, vip6.bytes, 16);
	assert_memory_equal(buf + 54, "\x4e\x20\x1e\x61", 4);
	assert_true(mgmt_is_clean(&w));
	close(fd);

	/* The kernel itself refuses an IPv4 source that is not owned. */
	fd = udp_bound("10.10.0.10");
	assert_int_equal(send_to(fd, v4, MARK_PORT, "abcd", 4),
			 owned ? 0 : -ENETUNREACH);
	if (owned)
		assert_true(capture_wait(w.svc, is_ours, NULL, NULL));
	assert_true(mgmt_is_clean(&w));
	close(fd);

	fd = udp_bound("fd00:10::10");
	assert_int_equal(send_to(fd, v6, MARK_PORT, "abcd", 4), 0);
	assert_true(capture_wait(w.svc, is_ours, NULL, NULL));
	assert_true(mgmt_is_clean(&w));
	close(fd);
	watch_close(&w);
}

static void standby_stays_inside(void **state)
{
	struct netif_vip *v = vip_new(true);

	assert_int_equal(netif_vip_prepare(v), 0);
	off_link_leaves_by_the_nic(false);
	netif_vip_destroy(v);
}

static void active_stays_inside(void **state)
{
	struct netif_vip *v = vip_new(true);

	assert_int_equal(netif_vip_prepare(v), 0);
	assert_int_equal(netif_vip_take(v, NULL, 0), 0);
	off_link_leaves_by_the_nic(true);
	assert_int_equal(netif_vip_release(v), 0);
	/* And the sockets of an ex-active. */
	off_link_leaves_by_the_nic(false);
	netif_vip_destroy(v);
}

/* Why all this: without the rules the packet takes the management way. */
static void without_rules_it_leaks(void **state)
{
	struct watch w = watch_open();
	int fd;

	sh("echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind");
	fd = udp_bound("fd00:10::10");
	assert_int_equal(send_to(fd, "2001:db8::9", MARK_PORT, "abcd", 4), 0);
	/* The peer has to be known, or the packet would wait for it. */
	assert_true(capture_wait(w.mgmt, is_ours, NULL, NULL));
	close(fd);
	watch_close(&w);
}

static bool is_unreachable(int err)
{
	return err == -EHOSTUNREACH || err == -ENETUNREACH;
}

static void unreachable_rather_than_elsewhere(void **state)
{
	struct netif_vip *v = vip_new(false);
	int fd4, fd6;

	assert_int_equal(netif_vip_prepare(v), 0);
	fd4 = udp_bound("10.10.0.10");
	fd6 = udp_bound("fd00:10::10");
	/* No gateway: what is not on the link has no way. */
	assert_true(is_unreachable(
		send_to(fd4, "203.0.113.9", MARK_PORT, "abcd", 4)));
	assert_true(is_unreachable(
		send_to(fd6, "2001:db8::9", MARK_PORT, "abcd", 4)));
	/* On the management network, but not for these sources. */
	assert_true(is_unreachable(
		send_to(fd4, "192.168.9.2", MARK_PORT, "abcd", 4)));
	assert_true(is_unreachable(
		send_to(fd6, "fd00:9::2", MARK_PORT, "abcd", 4)));
	/* NIC down: no routes, the rule remains. */
	sh("ip link set svc down");
	assert_true(is_unreachable(
		send_to(fd4, "10.10.0.50", MARK_PORT, "abcd", 4)));
	assert_true(is_unreachable(
		send_to(fd6, "fd00:10::50", MARK_PORT, "abcd", 4)));
	close(fd4);
	close(fd6);
	netif_vip_destroy(v);
}

static int routing_lines(void)
{
	return lines_of("(ip rule; ip -6 rule; ip route show table 4001; "
			"ip -6 route show table 4001) 2>/dev/null");
}

static void prepare_is_idempotent(void **state)
{
	struct netif_vip *v = vip_new(true);
	int before, after;

	before = routing_lines();
	assert_int_equal(netif_vip_prepare(v), 0);
	after = routing_lines();
	assert_int_equal(after, before + 2 * 3 + 2 * 2);
	assert_int_equal(netif_vip_prepare(v), 0);
	assert_int_equal(routing_lines(), after);
	/* Down and up, as after a cable was pulled or a driver reset. */
	sh("ip link set svc down; ip link set svc up");
	assert_int_equal(netif_vip_prepare(v), 0);
	assert_int_equal(routing_lines(), after);
	assert_int_equal(netif_vip_unprepare(v), 0);
	assert_int_equal(routing_lines(), before);
	assert_int_equal(netif_vip_unprepare(v), 0);
	netif_vip_destroy(v);
}

static void sysctls(void **state)
{
	struct netif_vip *v = vip_new(true);

	assert_int_equal(netif_vip_prepare(v), 0);
	sh("cd /proc/sys/net && test \"$(cat ipv4/conf/svc/arp_ignore "
	   "ipv4/conf/svc/arp_announce ipv4/ip_nonlocal_bind "
	   "ipv6/ip_nonlocal_bind ipv6/conf/svc/accept_ra "
	   "ipv6/conf/svc/autoconf ipv6/conf/svc/addr_gen_mode | "
	   "tr -d '\\n')\" = 1211001");
	/* Nor is there an address from before. */
	assert_int_equal(lines_of("ip -o addr show dev svc"), 0);
	netif_vip_destroy(v);
}

static void sources_inside_a_prefix_only(void **state)
{
	struct watch w = watch_open();
	struct netif_vip *v = vip_new(true);
	int fd;

	/* Management traffic keeps its way. */
	assert_int_equal(netif_vip_prepare(v), 0);
	fd = udp_bound("192.168.9.1");
	assert_int_equal(send_to(fd, "203.0.113.9", MARK_PORT, "abcd", 4), 0);
	assert_true(capture_wait(w.mgmt, is_ours, NULL, NULL));
	close(fd);
	watch_close(&w);
	netif_vip_destroy(v);
}

static void device_bound_uses_the_table(void **state)
{
	struct watch w = watch_open();
	struct netif_vip *v = vip_new(true);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(netif_vip_prepare(v), 0);
	assert_int_equal(netif_vip_take(v, NULL, 0), 0);
	gateways_known();
	assert_return_code(
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "svc", 4), errno);
	assert_int_equal(send_to(fd, "203.0.113.9", MARK_PORT, "abcd", 4), 0);
	/* By the gateway, not asked for on the link. */
	assert_true(capture_wait(w.svc, is_ours, NULL, NULL));
	close(fd);
	watch_close(&w);
	netif_vip_destroy(v);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(standby_stays_inside),
		NET_TEST(active_stays_inside),
		NET_TEST(without_rules_it_leaks),
		NET_TEST(unreachable_rather_than_elsewhere),
		NET_TEST(prepare_is_idempotent),
		NET_TEST(sysctls),
		NET_TEST(sources_inside_a_prefix_only),
		NET_TEST(device_bound_uses_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
