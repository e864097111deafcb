/*
 * haprobe - hasync by hand.
 *
 *   haprobe cpg NODE GROUP   joins GROUP as NODE; prints each event as a line
 *                            of JSON; obeys lines on stdin:
 *       send COUNT SIZE [FIRST]   numbered frames, as fast as they are taken
 *       stall MS                  does not dispatch for so long
 *       stats                     what was received so far
 *       quit
 *   haprobe bench            what two engines back to back cost
 *
 * A frame of `send` is a number of 8 bytes and filling; the receiver checks
 * that numbers of a sender rise by one.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hasync/cpg.h"
#include "hasync/wire.h"
#include "tests/tools/haprobe/haprobe.h"

enum { QUEUE_FRAMES = 256, LINE_SIZE = 128 };

struct probe {
	struct ha_cpg *cpg;
	uint64_t received[HA_NODE_MAX + 1], last[HA_NODE_MAX + 1];
	uint64_t bytes, bad;
	uint64_t next, left; /* to send */
	size_t size;
	uint64_t again, lost;
	uint64_t stall_until_ms;
	bool quit;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void on_deliver(void *ctx, uint8_t from, const void *frame, size_t size)
{
	struct probe *p = ctx;
	uint64_t number;

	if (from > HA_NODE_MAX || size < sizeof(number)) {
		p->bad++;
		return;
	}
	memcpy(&number, frame, sizeof(number));
	if (p->received[from] && number != p->last[from] + 1)
		p->bad++;
	p->last[from] = number;
	p->received[from]++;
	p->bytes += size;
}

static const char *left_name(enum ha_peer_left left)
{
	static const char *const names[] = {"not", "never", "procdown",
					    "nodedown", "clean"};

	return names[left];
}

static void on_members(void *ctx, bool self, bool peer, enum ha_peer_left left,
		       uint64_t ring_seq)
{
	printf("{\"event\":\"members\",\"self\":%s,\"peer\":%s,"
	       "\"left\":\"%s\",\"ring\":%" PRIu64 ",\"ms\":%" PRIu64 "}\n",
	       self ? "true" : "false", peer ? "true" : "false",
	       left_name(left), ring_seq, now_ms());
}

static void on_quorum(void *ctx, bool quorate, uint64_t ring_seq)
{
	printf("{\"event\":\"quorum\",\"quorate\":%s,\"ring\":%" PRIu64
	       ",\"ms\":%" PRIu64 "}\n",
	       quorate ? "true" : "false", ring_seq, now_ms());
}

static void on_link(void *ctx, bool up, const char *why)
{
	printf("{\"event\":\"link\",\"up\":%s,\"why\":\"%s\",\"ms\":%" PRIu64
	       "}\n",
	       up ? "true" : "false", why, now_ms());
}

static const struct ha_cpg_ops ops = {
	.deliver = on_deliver,
	.members = on_members,
	.quorum = on_quorum,
	.link = on_link,
};

static void print_stats(const struct probe *p)
{
	printf("{\"event\":\"stats\",\"from1\":%" PRIu64 ",\"from2\":%" PRIu64
	       ",\"bytes\":%" PRIu64 ",\"bad\":%" PRIu64 ",\"left\":%" PRIu64
	       ",\"again\":%" PRIu64 ",\"lost\":%" PRIu64
	       ",\"queued\":%zu,\"ms\":%" PRIu64 "}\n",
	       p->received[1], p->received[2], p->bytes, p->bad, p->left,
	       p->again, p->lost, ha_cpg_queued(p->cpg), now_ms());
}

static void obey(struct probe *p, const char *line)
{
	unsigned long long a, b, c = 1;
	int n = sscanf(line, "send %llu %llu %llu", &a, &b, &c);

	if (n >= 2) {
		p->left = a;
		p->size = b;
		p->next = c;
	} else if (sscanf(line, "stall %llu", &a) == 1) {
		p->stall_until_ms = now_ms() + a;
	} else if (!strcmp(line, "stats")) {
		print_stats(p);
	} else {
		p->quit = true;
	}
}

static void read_orders(struct probe *p)
{
	static char buf[LINE_SIZE * 8];
	static size_t used;
	ssize_t n = read(0, buf + used, sizeof(buf) - 1 - used);
	char *line = buf;
	char *end;

	if (n <= 0) {
		p->quit = true;
		return;
	}
	used += (size_t)n;
	buf[used] = '\0';
	while ((end = strchr(line, '\n'))) {
		*end = '\0';
		obey(p, line);
		line = end + 1;
	}
	used -= (size_t)(line - buf);
	memmove(buf, line, used);
}

static void send_frames(struct probe *p)
{
	static uint8_t frame[HA_FRAME_MAX_BYTES + 1];

	while (p->left) {
		int rc;

		memcpy(frame, &p->next, sizeof(p->next));
		rc = ha_cpg_send(p->cpg, frame, p->size);
		if (rc == -EAGAIN) {
			p->again++;
			return;
		}
		if (rc) {
			p->lost++;
			printf("{\"event\":\"refused\",\"error\":\"%s\"}\n",
			       strerror(-rc));
			p->left = 0;
			return;
		}
		p->next++;
		p->left--;
	}
}

static int run_cpg(const char *node, const char *group)
{
	struct probe p = {0};
	struct ha_cpg_params params = {
		.group = group,
		.node = (uint8_t)atoi(node),
		.queue_frames = QUEUE_FRAMES,
		.ops = &ops,
		.ctx = &p,
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (ha_cpg_create(&p.cpg, &params))
		return 1;
	while (!p.quit) {
		bool stalled = now_ms() < p.stall_until_ms;
		struct pollfd fds[2] = {
			{.fd = 0, .events = POLLIN},
			{.fd = stalled ? -1 : ha_cpg_fd(p.cpg),
			 .events = POLLIN},
		};

		if (poll(fds, 2, p.left || stalled ? 1 : -1) < 0)
			break;
		if (fds[0].revents)
			read_orders(&p);
		if (fds[1].revents)
			ha_cpg_dispatch(p.cpg);
		send_frames(&p);
	}
	ha_cpg_destroy(p.cpg);
	printf("{\"event\":\"end\"}\n");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "cpg"))
		return run_cpg(argv[2], argv[3]);
	if (argc == 2 && !strcmp(argv[1], "bench"))
		return haprobe_bench();
	fprintf(stderr, "usage: haprobe cpg NODE GROUP | haprobe bench\n");
	return 2;
}
