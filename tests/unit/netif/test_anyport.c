/*
 * Any-port sockets: the right shard, the destination that was meant, and
 * nothing taken that is not media. Raw sockets that send from an address.
 */
#include "netns.h"

#include <sys/wait.h>

#include "netif/anyport.h"
#include "netif/vip.h"

#ifndef IPV6_ORIGDSTADDR
#define IPV6_ORIGDSTADDR 74
#endif

enum { LO = 20000, HI = 20999, SHARDS = 3 };

static struct netif_anyport *anyport_new(void)
{
	const struct netif_anyport_range ranges[] = {
		{ip_of("10.10.0.10"), LO, HI},
		{ip_of("10.10.0.10"), 30000, 30003},
		{ip_of("10.10.0.11"), 25001, 25999},
		{ip_of("fd00:10::10"), LO, HI},
	};
	const struct netif_anyport_params p = {
		.nic = "svc",
		.ranges = ranges,
		.ranges_len = 4,
		.shards = SHARDS,
		.rcvbuf_bytes = 4 << 20,
	};
	struct netif_anyport *a = NULL;

	assert_int_equal(netif_anyport_create(&a, &p), 0);
	return a;
}

static void own_addresses(void)
{
	sh("ip addr add 10.10.0.10/24 dev svc && "
	   "ip addr add 10.10.0.11/24 dev svc && "
	   "ip addr add fd00:10::10/64 dev svc nodad");
	wait_v6("svc", 1);
}

static int far_socket(uint8_t family)
{
	int fd;

	ns_far();
	fd = socket(family, SOCK_DGRAM, 0);
	assert_true(fd >= 0);
	ns_near();
	return fd;
}

static void send_to(int fd, const char *ip, uint16_t port, uint32_t mark)
{
	struct netif_ip to = ip_of(ip);
	struct sockaddr_storage ss;
	socklen_t len = netif_ip_to_sockaddr(&to, port, &ss);

	assert_int_equal(
		sendto(fd, &mark, sizeof(mark), 0, (struct sockaddr *)&ss, len),
		sizeof(mark));
}

/* The port the datagram was sent to, by its control message; 0 = none. */
static uint16_t original_port(struct msghdr *mh, const struct netif_ip *want)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level == IPPROTO_IP &&
		    c->cmsg_type == IP_ORIGDSTADDR) {
			const struct sockaddr_in *in = (void *)CMSG_DATA(c);

			assert_memory_equal(&in->sin_addr, want->bytes, 4);
			return ntohs(in->sin_port);
		}
		if (c->cmsg_level == IPPROTO_IPV6 &&
		    c->cmsg_type == IPV6_ORIGDSTADDR) {
			const struct sockaddr_in6 *in6 = (void *)CMSG_DATA(c);

			assert_memory_equal(&in6->sin6_addr, want->bytes, 16);
			return ntohs(in6->sin6_port);
		}
	}
	return 0;
}

/* Waits for a datagram; its mark, and the port it was sent to. */
static bool receive(int fd, const char *ip, uint32_t *mark, uint16_t *port,
		    int ms)
{
	_Alignas(struct cmsghdr) char control[128];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct iovec iov = {.iov_base = mark, .iov_len = sizeof(*mark)};
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct netif_ip want = ip_of(ip);

	if (poll(&p, 1, ms) != 1 || recvmsg(fd, &mh, 0) != sizeof(*mark))
		return false;
	*port = original_port(&mh, &want);
	return true;
}

/* All ports of a row come to the shard of the formula, in order. */
static void check_ports(struct netif_anyport *a, const char *ip, uint16_t lo,
			uint16_t first, uint16_t last)
{
	uint8_t family = ip_of(ip).family;
	int tx = far_socket(family);

	for (uint16_t port = first; port <= last; port++) {
		unsigned shard = netif_anyport_shard(lo, port, SHARDS);
		int fd = netif_anyport_fd(a, shard, family);
		uint32_t mark = 0;
		uint16_t got = 0;

		assert_true(fd >= 0);
		send_to(tx, ip, port, port * 7u);
		if (!receive(fd, ip, &mark, &got, DEADLINE_MS))
			fail_msg("%s port %u not in shard %u", ip, port, shard);
		assert_int_equal(got, port);
		assert_int_equal(mark, port * 7u);
	}
	close(tx);
}

static void shard_formula(void **state)
{
	/* RTP, RTCP and the neighbouring pair are together. */
	for (uint16_t port = 20000; port < 20064; port += 4) {
		unsigned s = netif_anyport_shard(20000, port, 7);

		for (uint16_t i = 1; i < 4; i++)
			assert_int_equal(
				netif_anyport_shard(20000, port + i, 7), s);
		assert_int_equal(s, (port - 20000u) / 4 % 7);
	}
	assert_int_equal(netif_anyport_shard(20002, 20005, 64), 0);
	assert_int_equal(netif_anyport_shard(20002, 20006, 64), 1);
	assert_int_equal(netif_anyport_shard(1, 65535, 1), 0);
}

static void owned_receives(void **state)
{
	struct netif_anyport *a;

	own_addresses();
	a = anyport_new();
	assert_int_equal(netif_anyport_shards(a), SHARDS);
	check_ports(a, "10.10.0.10", LO, LO, LO + 29);
	check_ports(a, "10.10.0.10", LO, HI - 3, HI);
	check_ports(a, "10.10.0.10", 30000, 30000, 30003);
	check_ports(a, "10.10.0.11", 25001, 25001, 25030);
	check_ports(a, "fd00:10::10", LO, LO, LO + 29);
	check_ports(a, "fd00:10::10", LO, HI - 3, HI);
	netif_anyport_destroy(a);
	netif_anyport_destroy(NULL);
}

static void opened_before_owned(void **state)
{
	struct netif_anyport *a = anyport_new();

	own_addresses();
	check_ports(a, "10.10.0.10", LO, LO, LO + 12);
	check_ports(a, "fd00:10::10", LO, LO, LO + 12);
	/* Away and back: nothing has to be opened again. */
	sh("ip addr flush dev svc");
	own_addresses();
	check_ports(a, "10.10.0.10", LO, LO, LO + 12);
	check_ports(a, "fd00:10::10", LO, LO, LO + 12);
	netif_anyport_destroy(a);
}

static int bound(const char *ip, uint16_t port)
{
	struct netif_ip addr = ip_of(ip);
	struct sockaddr_storage ss;
	socklen_t len = netif_ip_to_sockaddr(&addr, port, &ss);
	int fd = socket(addr.family, SOCK_DGRAM | SOCK_NONBLOCK, 0), one = 1;

	if (addr.family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, &one,
			   sizeof(one));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_ORIGDSTADDR, &one,
			   sizeof(one));
	assert_return_code(bind(fd, (struct sockaddr *)&ss, len), errno);
	return fd;
}

static void steals_nothing(void **state)
{
	static const struct {
		const char *ip;
		uint16_t port;
	} others[] = {
		{"10.10.0.10", 5060},	{"fd00:10::10", 5060},
		{"10.10.0.10", LO - 1}, {"10.10.0.10", HI + 1},
		{"10.10.0.10", 30004},	{"10.10.0.11", LO},
		{"10.10.0.11", 25000},	{"fd00:10::10", 30000},
	};
	struct netif_anyport *a;
	int tx4 = far_socket(AF_INET), tx6 = far_socket(AF_INET6);

	own_addresses();
	a = anyport_new();
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		int fd = bound(others[i].ip, others[i].port);
		uint32_t mark = 0;
		uint16_t port;

		send_to(ip_of(others[i].ip).family == AF_INET ? tx4 : tx6,
			others[i].ip, others[i].port, 99);
		if (!receive(fd, others[i].ip, &mark, &port, DEADLINE_MS))
			fail_msg("%s:%u was taken", others[i].ip,
				 others[i].port);
		assert_int_equal(mark, 99);
		close(fd);
	}
	netif_anyport_destroy(a);
	close(tx4);
	close(tx6);
}

/* TCP on a media port, and the same address by another NIC. */
static void only_udp_of_the_nic(void **state)
{
	struct netif_ip vip = ip_of("10.10.0.10");
	struct netif_anyport *a;
	struct sockaddr_storage ss;
	socklen_t len = netif_ip_to_sockaddr(&vip, LO + 8, &ss);
	int tcp, client, other, tx;
	uint32_t mark;
	uint16_t port;

	own_addresses();
	a = anyport_new();
	tcp = socket(AF_INET, SOCK_STREAM, 0);
	assert_return_code(bind(tcp, (struct sockaddr *)&ss, len), errno);
	assert_return_code(listen(tcp, 1), errno);
	ns_far();
	client = socket(AF_INET, SOCK_STREAM, 0);
	assert_return_code(connect(client, (struct sockaddr *)&ss, len), errno);
	sh("ip route add 10.10.0.10/32 via 192.168.9.1");
	ns_near();
	other = bound("10.10.0.10", LO + 8);
	tx = far_socket(AF_INET);
	send_to(tx, "10.10.0.10", LO + 8, 42);
	assert_true(receive(other, "10.10.0.10", &mark, &port, DEADLINE_MS));
	assert_int_equal(mark, 42);
	netif_anyport_destroy(a);
	close(tcp);
	close(client);
	close(other);
	close(tx);
}

/* The steering goes on in a process that has no right to anything. */
static void unprivileged_worker(void **state)
{
	struct netif_anyport *a;
	int fds[2], status, tx, link;
	pid_t pid;
	char c;

	own_addresses();
	a = anyport_new();
	assert_return_code(pipe(fds), errno);
	link = dup(netif_anyport_link_fd(a));
	assert_true(link >= 0);
	pid = fork();
	if (pid == 0) {
		int fd = netif_anyport_fd(a, 0, AF_INET);
		uint32_t mark = 0;
		uint16_t port = 0;

		if (setgid(65534) || setuid(65534))
			_exit(2);
		if (write(fds[1], "r", 1) != 1)
			_exit(3);
		if (!receive(fd, "10.10.0.10", &mark, &port, DEADLINE_MS))
			_exit(4);
		_exit(port == LO + 1 && mark == 5 ? 0 : 5);
	}
	assert_int_equal(read(fds[0], &c, 1), 1);
	/* The keeper's handle may go: the duplicates hold it all. */
	netif_anyport_destroy(a);
	tx = far_socket(AF_INET);
	send_to(tx, "10.10.0.10", LO + 1, 5);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(link);
	close(tx);
	close(fds[0]);
	close(fds[1]);
}

/* A new keeper opens while somebody still holds the old ones. */
static void twice(void **state)
{
	struct netif_anyport *a, *b;

	own_addresses();
	a = anyport_new();
	b = anyport_new();
	netif_anyport_destroy(a);
	check_ports(b, "10.10.0.10", LO, LO, LO + 12);
	netif_anyport_destroy(b);
}

static void refused_params(void **state)
{
	const struct netif_anyport_range good = {ip_of("10.10.0.10"), LO, HI},
					 bad = {ip_of("10.10.0.10"), HI, LO};
	struct netif_anyport_range many[NETIF_ANYPORT_RANGES_MAX + 1];
	struct netif_anyport_params p = {
		.nic = "nonic",
		.ranges = &good,
		.ranges_len = 1,
		.shards = 1,
	};
	struct netif_anyport *a = NULL;

	assert_int_equal(netif_anyport_create(&a, &p), -ENODEV);
	p.nic = "svc";
	p.shards = 0;
	assert_int_equal(netif_anyport_create(&a, &p), -EINVAL);
	p.shards = NETIF_ANYPORT_SHARDS_MAX + 1;
	assert_int_equal(netif_anyport_create(&a, &p), -EINVAL);
	p.shards = 1;
	p.ranges = &bad;
	assert_int_equal(netif_anyport_create(&a, &p), -EINVAL);
	for (unsigned i = 0; i <= NETIF_ANYPORT_RANGES_MAX; i++)
		many[i] = (struct netif_anyport_range){
			ip_of("10.10.0.10"), (uint16_t)(LO + i * 10),
			(uint16_t)(LO + i * 10 + 5)};
	p.ranges = many;
	p.ranges_len = NETIF_ANYPORT_RANGES_MAX + 1;
	assert_int_equal(netif_anyport_create(&a, &p), -ENOSPC);
	assert_null(a);
	p.ranges_len = NETIF_ANYPORT_RANGES_MAX;
	assert_int_equal(netif_anyport_create(&a, &p), 0);
	assert_int_equal(netif_anyport_fd(a, 0, AF_INET6), -ENOENT);
	assert_int_equal(netif_anyport_fd(a, 1, AF_INET), -ENOENT);
	assert_int_equal(netif_anyport_fd(a, 0, AF_UNIX), -ENOENT);
	netif_anyport_destroy(a);
}

/* Whole packets, header by us; the far side gets them as UDP. */
static void raw_send(const char *src, const char *dst)
{
	struct netif_ip s = ip_of(src), d = ip_of(dst);
	size_t head = s.family == AF_INET ? 20 : 40, n = netif_ip_len(&s);
	uint8_t pkt[64] = {0};
	struct sockaddr_storage to, from;
	socklen_t len = netif_ip_to_sockaddr(&d, 6000, &to), from_len;
	struct pollfd p = {.events = POLLIN};
	uint32_t sum = 17 + 12;
	uint16_t word;
	int raw, rx;

	ns_far();
	rx = socket(s.family, SOCK_DGRAM, 0);
	assert_return_code(bind(rx, (struct sockaddr *)&to, len), errno);
	ns_near();
	if (s.family == AF_INET) {
		pkt[0] = 0x45;
		pkt[8] = 64;
		pkt[9] = IPPROTO_UDP;
		memcpy(pkt + 12, s.bytes, 4);
		memcpy(pkt + 16, d.bytes, 4);
	} else {
		pkt[0] = 0x60;
		pkt[5] = 12;
		pkt[6] = IPPROTO_UDP;
		pkt[7] = 64;
		memcpy(pkt + 8, s.bytes, 16);
		memcpy(pkt + 24, d.bytes, 16);
	}
	pkt[head] = 20004 >> 8;
	pkt[head + 1] = 20004 & 0xff;
	pkt[head + 2] = 6000 >> 8;
	pkt[head + 3] = 6000 & 0xff;
	pkt[head + 5] = 12;
	memcpy(pkt + head + 8, "ping", 4);
	for (size_t i = head - 2 * n; i < head + 12; i += 2)
		sum += (uint32_t)(pkt[i] << 8 | pkt[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	word = htons((uint16_t)~sum);
	memcpy(pkt + head + 6, &word, 2);

	raw = netif_raw_open("svc", &s, 1 << 20);
	assert_return_code(raw, -raw);
	len = netif_ip_to_sockaddr(&d, 0, &to);
	assert_int_equal(
		sendto(raw, pkt, head + 12, 0, (struct sockaddr *)&to, len),
		head + 12);
	p.fd = rx;
	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	from_len = sizeof(from);
	assert_int_equal(recvfrom(rx, pkt, sizeof(pkt), 0,
				  (struct sockaddr *)&from, &from_len),
			 4);
	assert_memory_equal(pkt, "ping", 4);
	netif_ip_to_sockaddr(&s, 20004, &to);
	if (s.family == AF_INET6)
		((struct sockaddr_in6 *)&from)->sin6_flowinfo = 0;
	assert_memory_equal(&from, &to, from_len);
	close(raw);
	close(rx);
}

static void raw_sends_from_the_vip(void **state)
{
	struct netif_ip vip = ip_of("10.10.0.10"), none = {0};

	own_addresses();
	raw_send("10.10.0.10", "10.10.0.50");
	raw_send("10.10.0.11", "10.10.0.50");
	raw_send("fd00:10::10", "fd00:10::50");
	assert_int_equal(netif_raw_open("nonic", &vip, 0), -ENODEV);
	assert_int_equal(netif_raw_open("svc", &none, 0), -EINVAL);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_setup, net_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shard_formula),
		NET_TEST(owned_receives),
		NET_TEST(opened_before_owned),
		NET_TEST(steals_nothing),
		NET_TEST(only_udp_of_the_nic),
		NET_TEST(unprivileged_worker),
		NET_TEST(twice),
		NET_TEST(refused_params),
		NET_TEST(raw_sends_from_the_vip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
