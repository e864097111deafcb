/*
 * srtpwatch: listens on a lab's switch to what the nodes send under SRTP and
 * says whether an index was used twice.
 *
 * usage: srtpwatch --mac MAC... --port PORT... [--to IPV4]...
 *
 * Runs in the switch's namespace. Frames that come in at the named ports with
 * one of the MAC addresses as source are looked at, whichever node sent them;
 * with --to only what goes to those addresses.
 * Lines on standard input:
 *
 *   key SUITE BASE64 IPV4 PORT   what goes to that RTP port may be under it;
 *                                what came before is judged then
 *   report                       one line of JSON
 *
 *   keys, streams, rtp, rtcp     packets that are authentic under a key
 *   reused                       index with two different packets: 0, or a
 *                                two-time pad; reuses[]: the first of them
 *   repeats                      the very same packet again
 *   unknown                      to a port with keys, under none of them
 *   plain                        to a port nobody told a key of
 *   roc_max, capture_drops
 */
#include "srtpwatch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	MACS_MAX = 8,
	TOS_MAX = 8,
	PORTS_MAX = 16,
	BATCH = 64,
	FRAME_BYTES = 14 + 60 + 8 + SW_PACKET_BYTES,
	LINE_BYTES = 512,
	UNKNOWNS_MAX = 8,
	HEAD_BYTES = 24,
};

static uint8_t macs[MACS_MAX][6];
static size_t macs_len;
static uint32_t tos[TOS_MAX]; /* network order */
static size_t tos_len;
static const char *ports[PORTS_MAX];
static unsigned int port_index[PORTS_MAX];
static size_t ports_len;
static struct sw_judge *judge;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* ---- capture --------------------------------------------------------------
 */

/* IPv4 and UDP that comes in; the rest is looked at above. */
static int attach_filter(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 5, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 3),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, FRAME_BYTES),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {.filter = code,
				  .len = sizeof(code) / sizeof(*code)};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog))
		       ? -errno
		       : 0;
}

static int open_capture(void)
{
	struct sockaddr_ll any = {.sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL)};
	int size = 32 << 20, err;
	/* Protocol 0: nothing arrives before the filter is in place. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	err = attach_filter(fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (!err && bind(fd, (struct sockaddr *)&any, sizeof(any)))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* A node that boots anew comes back with a new device of the old name. */
static int port_of(int ifindex)
{
	static int stranger;
	char name[IF_NAMESIZE];

	for (size_t i = 0; i < ports_len; i++)
		if (port_index[i] == (unsigned int)ifindex)
			return (int)i;
	if (ifindex == stranger || !if_indextoname((unsigned int)ifindex, name))
		return -1;
	for (size_t i = 0; i < ports_len; i++)
		if (!strcmp(ports[i], name)) {
			port_index[i] = (unsigned int)ifindex;
			return (int)i;
		}
	stranger = ifindex;
	return -1;
}

static bool is_ours(const uint8_t *frame)
{
	for (size_t i = 0; i < macs_len; i++)
		if (!memcmp(macs[i], frame + 6, 6))
			return true;
	return false;
}

static bool is_wanted(uint32_t ip)
{
	for (size_t i = 0; i < tos_len; i++)
		if (tos[i] == ip)
			return true;
	return !tos_len;
}

static void frame_in(const uint8_t *f, size_t size, int ifindex)
{
	struct sw_packet p = {.at_ns = now_ns()};
	size_t ip, total;
	int port;

	if (size < 14 + 20 + 8 || !is_ours(f))
		return;
	port = port_of(ifindex);
	ip = 4u * (f[14] & 15u);
	total = (size_t)f[16] << 8 | f[17];
	if (port < 0 || ip < 20 || total < ip + 8 || 14 + total > size ||
	    f[14 + 9] != IPPROTO_UDP)
		return;
	p.where = (uint16_t)port;
	memcpy(&p.ip, f + 30, 4);
	if (!is_wanted(p.ip))
		return;
	p.port = (uint16_t)(f[14 + ip + 2] << 8 | f[14 + ip + 3]);
	p.data = f + 14 + ip + 8;
	p.size = total - ip - 8;
	sw_judge_packet(judge, &p);
}

static void drain(int fd)
{
	static uint8_t data[BATCH][FRAME_BYTES];
	struct sockaddr_ll from[BATCH];
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	int n;

	do {
		for (int i = 0; i < BATCH; i++) {
			iov[i].iov_base = data[i];
			iov[i].iov_len = sizeof(data[i]);
			msg[i].msg_hdr = (struct msghdr){
				.msg_name = &from[i],
				.msg_namelen = sizeof(from[i]),
				.msg_iov = &iov[i],
				.msg_iovlen = 1,
			};
		}
		n = recvmmsg(fd, msg, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			frame_in(data[i], msg[i].msg_len, from[i].sll_ifindex);
	} while (n == BATCH);
}

/* ---- what is said ---------------------------------------------------------
 */

static json_t *reuses(void)
{
	const struct sw_reuse *r;
	size_t n = sw_judge_reuses(judge, &r);
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			out, json_pack("{s:I, s:I, s:b, s:I, s:I, s:s}", "key",
				       (json_int_t)r[i].key, "ssrc",
				       (json_int_t)r[i].ssrc, "rtcp", r[i].rtcp,
				       "index", (json_int_t)r[i].index, "at_ns",
				       (json_int_t)r[i].at_ns, "port",
				       ports[r[i].where]));
	return out;
}

/* Where it went, and its first bytes. */
static json_t *unknowns(void)
{
	const struct sw_packet *p[UNKNOWNS_MAX];
	size_t n = sw_judge_unknowns(judge, p, UNKNOWNS_MAX);
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct in_addr to = {p[i]->ip};
		char head[2 * HEAD_BYTES + 1] = "";

		for (size_t b = 0; b < HEAD_BYTES && b < p[i]->size; b++)
			sprintf(head + 2 * b, "%02x", p[i]->data[b]);
		json_array_append_new(
			out, json_pack("{s:s, s:i, s:I, s:s, s:I, s:s}", "to",
				       inet_ntoa(to), "to_port", p[i]->port,
				       "at_ns", (json_int_t)p[i]->at_ns, "head",
				       head, "size", (json_int_t)p[i]->size,
				       "port", ports[p[i]->where]));
	}
	return out;
}

static void print_report(int fd)
{
	struct tpacket_stats st = {0};
	socklen_t size = sizeof(st);
	static uint64_t drops;
	struct sw_report r;
	json_t *o;

	drain(fd);
	getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &st, &size);
	drops += st.tp_drops;
	sw_judge_report(judge, &r);
	o = json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:o, s:o}",
		"keys", (json_int_t)r.keys, "streams", (json_int_t)r.streams,
		"rtp", (json_int_t)r.rtp, "rtcp", (json_int_t)r.rtcp, "repeats",
		(json_int_t)r.repeats, "reused", (json_int_t)r.reused,
		"unknown", (json_int_t)r.unknown, "plain", (json_int_t)r.plain,
		"roc_max", (json_int_t)r.roc_max, "capture_drops",
		(json_int_t)drops, "reuses", reuses(), "unknowns", unknowns());
	json_dumpf(o, stdout, JSON_COMPACT);
	printf("\n");
	fflush(stdout);
	json_decref(o);
}

static void line_in(char *line, int fd)
{
	char suite[64], base64[128], ip[64];
	struct in_addr a;
	unsigned int port;

	if (!strcmp(line, "report")) {
		print_report(fd);
	} else if (sscanf(line, "key %63s %127s %63s %u", suite, base64, ip,
			  &port) != 4 ||
		   !inet_aton(ip, &a) || port > UINT16_MAX ||
		   sw_judge_key(judge, suite, base64, a.s_addr,
				(uint16_t)port)) {
		fprintf(stderr, "srtpwatch: bad line: %s\n", line);
		exit(2);
	}
	explicit_bzero(base64, sizeof(base64));
}

/* False: that was the end. */
static bool commands(int fd)
{
	static char text[LINE_BYTES];
	static size_t len;
	ssize_t n = read(STDIN_FILENO, text + len, sizeof(text) - len);
	char *end;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	len += (size_t)n;
	while ((end = memchr(text, '\n', len))) {
		*end = 0;
		line_in(text, fd);
		len -= (size_t)(end + 1 - text);
		memmove(text, end + 1, len);
	}
	if (len == sizeof(text)) {
		fprintf(stderr, "srtpwatch: line too long\n");
		exit(2);
	}
	return true;
}

static int run(void)
{
	struct pollfd pfd[2] = {{.fd = open_capture(), .events = POLLIN},
				{.fd = STDIN_FILENO, .events = POLLIN}};

	if (pfd[0].fd < 0) {
		fprintf(stderr, "srtpwatch: %s\n", strerror(-pfd[0].fd));
		return 1;
	}
	printf("{\"ready\": true}\n");
	fflush(stdout);
	for (;;) {
		poll(pfd, 2, -1);
		drain(pfd[0].fd);
		if (pfd[1].revents && !commands(pfd[0].fd))
			return 0;
	}
}

static void add_mac(const char *text)
{
	unsigned int b[6];

	if (macs_len == MACS_MAX ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3],
		   &b[4], &b[5]) != 6) {
		fprintf(stderr, "srtpwatch: bad address: %s\n", text);
		exit(2);
	}
	for (int i = 0; i < 6; i++)
		macs[macs_len][i] = (uint8_t)b[i];
	macs_len++;
}

static void add_port(const char *name)
{
	unsigned int index = if_nametoindex(name);

	if (ports_len == PORTS_MAX || !index) {
		fprintf(stderr, "srtpwatch: no port %s\n", name);
		exit(2);
	}
	port_index[ports_len] = index;
	ports[ports_len++] = name;
}

static void add_to(const char *text)
{
	struct in_addr a;

	if (tos_len == TOS_MAX || !inet_aton(text, &a)) {
		fprintf(stderr, "srtpwatch: bad address: %s\n", text);
		exit(2);
	}
	tos[tos_len++] = a.s_addr;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"mac", 1, NULL, 'm'},
		{"port", 1, NULL, 'p'},
		{"to", 1, NULL, 't'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		if (c == 'm')
			add_mac(optarg);
		else if (c == 'p')
			add_port(optarg);
		else if (c == 't')
			add_to(optarg);
		else
			return 2;
	if (!macs_len || !ports_len || sw_judge_create(&judge)) {
		fprintf(stderr, "usage: srtpwatch --mac MAC... --port PORT... "
				"[--to IPV4]...\n");
		return 2;
	}
	return run();
}
