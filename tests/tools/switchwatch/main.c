/*
 * switchwatch: the independent observer of a lab's switch.
 *
 * usage: switchwatch --mac MAC... --address IPV4... --port PORT...
 *                    [--join-ms N] [--window-ms N]
 *
 * Runs in the switch's namespace and listens to frames that come in at the
 * named ports with one of the MAC addresses as source, or with one of the IPv4
 * addresses as source of the packet or sender of the ARP message. SIGUSR1
 * prints a report as one line of JSON, SIGTERM and SIGINT print it and end. All
 * times are CLOCK_MONOTONIC in ns.
 *
 *   macs.MAC.owner            port that used the address last
 *   macs.MAC.ports.PORT       frames by kind (garp: gratuitous ARP, na:
 *                             unsolicited NA), first/last, activity intervals
 *                             (a silence over --join-ms, 100, ends one)
 *   macs.MAC.changes[]        each change of port, with the silence between
 *                             and the frames until the next change
 *   macs.MAC.double_active_ms sum over double_active[]: a port still sent
 *                             within --window-ms (500) of its last frame
 *                             although another one had begun
 *   addresses.IPV4            the same of an IPv4 address
 */
#include "watch.h"

#include <errno.h>
#include <getopt.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SNAP_BYTES = 64, BATCH = 64, STRANGERS = 64 };

static struct watch watch = {.join_ns = 100000000, .window_ns = 500000000};
static unsigned int port_index[WATCH_PORTS_MAX];

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static size_t filter_mac(struct sock_filter *code, const uint8_t *m)
{
	uint32_t head = (uint32_t)m[0] << 24 | (uint32_t)m[1] << 16 |
			(uint32_t)m[2] << 8 | m[3];
	uint32_t tail = (uint32_t)m[4] << 8 | m[5];
	const struct sock_filter block[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 6),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, head, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 10),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, tail, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SNAP_BYTES),
	};

	memcpy(code, block, sizeof(block));
	return sizeof(block) / sizeof(*block);
}

static size_t filter_ipv4(struct sock_filter *code, const uint8_t *a)
{
	uint32_t address = (uint32_t)a[0] << 24 | (uint32_t)a[1] << 16 |
			   (uint32_t)a[2] << 8 | a[3];
	const struct sock_filter block[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 26),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, address, 3, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_ARP, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 28),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, address, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SNAP_BYTES),
	};

	memcpy(code, block, sizeof(block));
	return sizeof(block) / sizeof(*block);
}

/*
 * Incoming frames whose source is one of the addresses. One socket for all
 * ports keeps the kernel's order between them.
 */
static int attach_filter(int fd)
{
	struct sock_filter code[4 + 8 * WATCH_KEYS_MAX];
	struct sock_fprog prog = {.filter = code};
	size_t n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS,
		(uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						 PACKET_OUTGOING, 0, 1);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	for (size_t i = 0; i < watch.keys_len; i++) {
		const struct watch_key *k = &watch.keys[i];

		n += k->ipv4 ? filter_ipv4(code + n, k->bytes)
			     : filter_mac(code + n, k->bytes);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	prog.len = (unsigned short)n;
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog))
		       ? -errno
		       : 0;
}

static int open_capture(void)
{
	struct sockaddr_ll any = {.sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL)};
	int one = 1, size = 8 << 20, rc;
	/* Protocol 0: nothing arrives before the filter is in place. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	rc = attach_filter(fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (!rc &&
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)))
		rc = -errno;
	if (!rc && bind(fd, (struct sockaddr *)&any, sizeof(any)))
		rc = -errno;
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

/*
 * A node that boots anew comes back with a new device of the old name. Who is
 * none of our ports (the bridge, the peers) is remembered, not asked again.
 */
static int port_of(int ifindex)
{
	static unsigned int strangers[STRANGERS], strangers_count;
	unsigned int index = (unsigned int)ifindex;
	char name[IF_NAMESIZE];

	for (size_t i = 0; i < watch.ports_len; i++)
		if (port_index[i] == index)
			return (int)i;
	for (size_t i = 0; i < STRANGERS; i++)
		if (strangers[i] == index)
			return -1;
	if (!if_indextoname(index, name))
		return -1;
	for (size_t i = 0; i < watch.ports_len; i++)
		if (!strcmp(watch.ports[i], name)) {
			port_index[i] = index;
			return (int)i;
		}
	strangers[strangers_count++ % STRANGERS] = index;
	return -1;
}

static void read_one(struct mmsghdr *m, const uint8_t *data,
		     const struct sockaddr_ll *from, int64_t offset_ns)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(&m->msg_hdr); c;
	     c = CMSG_NXTHDR(&m->msg_hdr, c)) {
		struct timespec ts;

		if (c->cmsg_level != SOL_SOCKET ||
		    c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&ts, CMSG_DATA(c), sizeof(ts));
		now_ns = (uint64_t)((int64_t)ts.tv_sec * 1000000000 +
				    ts.tv_nsec + offset_ns);
	}
	if (m->msg_len >= 14)
		watch_frame(&watch, port_of(from->sll_ifindex), data,
			    m->msg_len, now_ns);
}

static void drain(int fd)
{
	static uint8_t data[BATCH][SNAP_BYTES];
	static uint8_t control[BATCH][64] __attribute__((aligned(8)));
	struct sockaddr_ll from[BATCH];
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	int64_t offset_ns = (int64_t)clock_ns(CLOCK_MONOTONIC) -
			    (int64_t)clock_ns(CLOCK_REALTIME);
	int n;

	do {
		for (int i = 0; i < BATCH; i++) {
			iov[i].iov_base = data[i];
			iov[i].iov_len = SNAP_BYTES;
			msg[i].msg_hdr = (struct msghdr){
				.msg_name = &from[i],
				.msg_namelen = sizeof(from[i]),
				.msg_iov = &iov[i],
				.msg_iovlen = 1,
				.msg_control = control[i],
				.msg_controllen = sizeof(control[i]),
			};
		}
		n = recvmmsg(fd, msg, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			read_one(&msg[i], data[i], &from[i], offset_ns);
	} while (n == BATCH);
}

static void print_report(int fd)
{
	struct tpacket_stats st = {0};
	socklen_t size = sizeof(st);
	static uint64_t drops;
	json_t *o;

	drain(fd);
	getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &st, &size);
	drops += st.tp_drops;
	o = watch_report(&watch, clock_ns(CLOCK_MONOTONIC));
	json_object_set_new(o, "capture_drops",
			    json_integer((json_int_t)drops));
	json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
	printf("\n");
	fflush(stdout);
	json_decref(o);
}

static int run(void)
{
	struct signalfd_siginfo si;
	struct pollfd pfd[2];
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = open_capture();
	if (fd < 0) {
		fprintf(stderr, "switchwatch: %s\n", strerror(-fd));
		return 1;
	}
	pfd[0] = (struct pollfd){.fd = fd, .events = POLLIN};
	pfd[1] = (struct pollfd){.fd = signalfd(-1, &set, SFD_CLOEXEC),
				 .events = POLLIN};
	printf("{\"ready\": true}\n");
	fflush(stdout);
	for (;;) {
		poll(pfd, 2, -1);
		drain(fd);
		if (!(pfd[1].revents & POLLIN) ||
		    read(pfd[1].fd, &si, sizeof(si)) != sizeof(si))
			continue;
		print_report(fd);
		if (si.ssi_signo != SIGUSR1)
			return 0;
	}
}

static void add_key(const char *text, bool ipv4)
{
	struct watch_key *k = &watch.keys[watch.keys_len];
	unsigned int b[6] = {0};
	int n = ipv4 ? sscanf(text, "%3u.%3u.%3u.%3u", &b[0], &b[1], &b[2],
			      &b[3])
		     : sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1],
			      &b[2], &b[3], &b[4], &b[5]);

	if (watch.keys_len == WATCH_KEYS_MAX || n != (ipv4 ? 4 : 6)) {
		fprintf(stderr, "switchwatch: bad address: %s\n", text);
		exit(2);
	}
	for (int i = 0; i < 6; i++)
		k->bytes[i] = (uint8_t)b[i];
	k->ipv4 = ipv4;
	k->owner = -1;
	watch.keys_len++;
}

static void add_port(const char *name)
{
	unsigned int index = if_nametoindex(name);

	if (watch.ports_len == WATCH_PORTS_MAX || !index) {
		fprintf(stderr, "switchwatch: no port %s\n", name);
		exit(2);
	}
	port_index[watch.ports_len] = index;
	watch.ports[watch.ports_len++] = name;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"mac", 1, NULL, 'm'},	     {"address", 1, NULL, 'a'},
		{"port", 1, NULL, 'p'},	     {"join-ms", 1, NULL, 'j'},
		{"window-ms", 1, NULL, 'w'}, {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (c) {
		case 'm':
		case 'a':
			add_key(optarg, c == 'a');
			break;
		case 'p':
			add_port(optarg);
			break;
		case 'j':
			watch.join_ns = strtoull(optarg, NULL, 10) * 1000000;
			break;
		case 'w':
			watch.window_ns = strtoull(optarg, NULL, 10) * 1000000;
			break;
		default:
			return 2;
		}
	if (!watch.keys_len || !watch.ports_len) {
		fprintf(stderr, "usage: switchwatch --mac MAC... --address "
				"IPV4... --port PORT... [--join-ms N] "
				"[--window-ms N]\n");
		return 2;
	}
	return run();
}
