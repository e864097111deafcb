/*
 * A small network for netif tests, new for every test:
 *
 *   near (the node)                     far (everybody else)
 *     svc   no address          <--->     peer  10.10.0.50, .1, fd00:10::50,
 * ::1 mgmt  192.168.9.1/24      <--->     mpeer 192.168.9.2, fd00:9::2
 *           fd00:9::1/64, default routes by .2 and ::2
 */
#ifndef TEST_NETNS_H
#define TEST_NETNS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "netif/addr.h"

#define UNUSED __attribute__((unused))

enum { DEADLINE_MS = 15000, TEST_ETHERTYPE = 0x88ff };

static struct {
	int home, near, far;
	char run_dir[64];
} net UNUSED = {-1, -1, -1, ""};

static UNUSED uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

__attribute__((format(printf, 1, 2))) static UNUSED void sh(const char *fmt,
							    ...)
{
	char cmd[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		fail_msg("failed: %s", cmd);
}

/* Number of lines a command prints. */
__attribute__((format(printf, 1, 2))) static UNUSED int
lines_of(const char *fmt, ...)
{
	char cmd[1024], line[1024];
	va_list ap;
	int n = 0;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	f = popen(cmd, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n++;
	pclose(f);
	return n;
}

static UNUSED int ns_current(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static UNUSED void ns_near(void)
{
	assert_return_code(setns(net.near, CLONE_NEWNET), errno);
}

static UNUSED void ns_far(void)
{
	assert_return_code(setns(net.far, CLONE_NEWNET), errno);
}

static UNUSED int ns_new(void)
{
	assert_return_code(unshare(CLONE_NEWNET), errno);
	sh("ip link set lo up");
	return ns_current();
}

/*
 * Until the kernel's link watcher has run, a NIC that came up drops what it
 * is given to send.
 */
static UNUSED void wait_link(const char *nic)
{
	uint64_t end = now_us() + DEADLINE_MS * 1000;

	while (!lines_of("ip -o link show dev %s | grep 'state UP'", nic)) {
		if (now_us() > end)
			fail_msg("%s does not come up", nic);
	}
}

/*
 * The kernel delivers to a new IPv6 address and joins its group only when a
 * work queue has run: until then the far side is deaf.
 */
static UNUSED void wait_v6(const char *nic, int addrs)
{
	uint64_t end = now_us() + DEADLINE_MS * 1000;

	while (lines_of("ip -6 route show table local dev %s type local | "
			"grep ' fd00:'",
			nic) != addrs) {
		if (now_us() > end)
			fail_msg("%s does not get its addresses", nic);
	}
}

/* A failed test or set-up may have stopped in any of the namespaces. */
static UNUSED void ns_home(void)
{
	if (net.home < 0)
		net.home = ns_current();
	assert_return_code(setns(net.home, CLONE_NEWNET), errno);
}

static UNUSED int net_setup(void **state)
{
	ns_home();
	net.far = ns_new();
	sh("echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad");
	net.near = ns_new();
	sh("ip link add svc type veth peer name peer netns /proc/%d/fd/%d && "
	   "ip link add mgmt type veth peer name mpeer netns /proc/%d/fd/%d && "
	   "ip addr add 192.168.9.1/24 dev mgmt && "
	   "ip addr add fd00:9::1/64 dev mgmt nodad && "
	   "ip link set svc up && ip link set mgmt up && ip route add default via 192.168.9.2 && "
	   "ip route add default via fd00:9::2",
	   getpid(), net.far, getpid(), net.far);
	ns_far();
	sh("ip addr add 10.10.0.50/24 dev peer && "
	   "ip addr add 10.10.0.1/24 dev peer && "
	   "ip addr add fd00:10::50/64 dev peer nodad && "
	   "ip addr add fd00:10::1/64 dev peer nodad && "
	   "ip addr add 192.168.9.2/24 dev mpeer && "
	   "ip addr add fd00:9::2/64 dev mpeer nodad && "
	   "ip link set peer up && ip link set mpeer up");
	wait_link("peer");
	wait_link("mpeer");
	wait_v6("peer", 2);
	wait_v6("mpeer", 1);
	ns_near();
	wait_link("svc");
	wait_link("mgmt");
	wait_v6("mgmt", 1);
	strcpy(net.run_dir, "/tmp/netif-test-XXXXXX");
	assert_non_null(mkdtemp(net.run_dir));
	return 0;
}

static UNUSED int net_teardown(void **state)
{
	ns_home();
	close(net.near);
	close(net.far);
	sh("rm -rf %s", net.run_dir);
	return 0;
}

static UNUSED struct netif_ip ip_of(const char *text)
{
	struct netif_ip ip;

	assert_int_equal(netif_ip_parse(&ip, text), 0);
	return ip;
}

/* A capture on a NIC of the far side: sees what arrives there. */
static UNUSED int capture_open(const char *nic)
{
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
	};
	int one = 1, size = 1 << 20, fd;

	ns_far();
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	ll.sll_ifindex = (int)if_nametoindex(nic);
	assert_int_not_equal(ll.sll_ifindex, 0);
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	assert_return_code(bind(fd, (const struct sockaddr *)&ll, sizeof(ll)),
			   errno);
	ns_near();
	return fd;
}

/* Next frame, or 0 when none came within ms. */
static UNUSED size_t capture_next(int fd, uint8_t *buf, size_t size, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n = recv(fd, buf, size, 0);

	if (n < 0 && poll(&p, 1, ms) == 1)
		n = recv(fd, buf, size, 0);
	return n > 0 ? (size_t)n : 0;
}

typedef bool frame_match(const uint8_t *frame, size_t len, const void *arg);

/* Waits for a frame; copies it to out (may be NULL). False at the deadline. */
static UNUSED bool capture_wait(int fd, frame_match *match, const void *arg,
				uint8_t out[2048])
{
	uint64_t end = now_us() + DEADLINE_MS * 1000;
	uint8_t buf[2048];

	while (now_us() < end) {
		size_t n = capture_next(fd, buf, sizeof(buf), 50);

		if (n && match(buf, n, arg)) {
			if (out)
				memcpy(out, buf, n);
			return true;
		}
	}
	return false;
}

static UNUSED int packet_open(bool qdisc_bypass)
{
	int one = 1, fd = socket(AF_PACKET, SOCK_RAW, 0);

	assert_true(fd >= 0);
	if (qdisc_bypass)
		assert_return_code(setsockopt(fd, SOL_PACKET,
					      PACKET_QDISC_BYPASS, &one,
					      sizeof(one)),
				   errno);
	return fd;
}

/* From the far side, as somebody there. */
static UNUSED void say_far(const void *frame, size_t size)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_halen = 6};
	int fd;

	ns_far();
	fd = packet_open(true);
	ll.sll_ifindex = (int)if_nametoindex("peer");
	assert_int_equal(
		sendto(fd, frame, size, 0, (struct sockaddr *)&ll, sizeof(ll)),
		size);
	close(fd);
	ns_near();
}

/* A frame of our own type with a mark in its first byte. */
static UNUSED int frame_send(int fd, const char *nic, const uint8_t *src,
			     uint16_t type, uint8_t mark)
{
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex(nic),
		.sll_halen = 6,
	};
	uint8_t f[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			 0x02, 0,    0,	   0,	 0,    0x77};

	if (src)
		memcpy(f + 6, src, 6);
	f[12] = (uint8_t)(type >> 8);
	f[13] = (uint8_t)type;
	f[14] = mark;
	/* A frame the gate drops fails with ENOBUFS or is lost silently. */
	return (int)sendto(fd, f, sizeof(f), 0, (struct sockaddr *)&ll,
			   sizeof(ll));
}

static UNUSED bool is_mark(const uint8_t *f, size_t len, const void *arg)
{
	return len >= 15 && f[12] == (TEST_ETHERTYPE >> 8) &&
	       f[13] == (TEST_ETHERTYPE & 0xff) &&
	       f[14] == *(const uint8_t *)arg;
}

static UNUSED bool is_ethertype(const uint8_t *f, size_t len, const void *arg)
{
	uint16_t type = *(const uint16_t *)arg;

	return len >= 14 && f[12] == type >> 8 && f[13] == (type & 0xff);
}

#endif
