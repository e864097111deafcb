/*
 * Phones of both sides: a process in the far namespace that sends numbered
 * RTP, 50 packets a second a stream and direction at random phases, and
 * counts what comes back.
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include "worker_harness.h"

#include <stdatomic.h>
#include <sys/epoll.h>

enum {
	STREAMS = 40,
	PACKETS_MAX = 3000, /* a stream and direction: one minute */
	PERIOD_MS = 20,
	LINGER_MS = 400, /* after the last packet was sent */
};

enum { TO_CLOUD = 0, TO_CORE = 1, WAYS = 2 };

struct traffic {
	_Atomic int stop;
	_Atomic unsigned started;
	unsigned sent[WAYS][STREAMS];
	uint8_t got[WAYS][STREAMS][PACKETS_MAX];
	unsigned longest_gap_ms;
	unsigned strange; /* from the wrong address, or no RTP of ours */
	pid_t pid;
};

static UNUSED uint16_t port_of(unsigned stream)
{
	return (uint16_t)(PORT_FIRST + 4 * stream);
}

struct phones { /* of the traffic process */
	struct traffic *t;
	int fds[WAYS][STREAMS]; /* sends that way */
	uint64_t next_ms[WAYS][STREAMS];
	uint64_t last_rx_ms[WAYS][STREAMS];
	int epoll_fd;
};

static void phones_open(struct phones *p)
{
	p->epoll_fd = epoll_create1(0);
	for (unsigned way = 0; way < WAYS; way++) {
		for (unsigned i = 0; i < STREAMS; i++) {
			struct epoll_event e = {
				.events = EPOLLIN,
				.data.u32 = way * STREAMS + i,
			};
			/* Core phones sit behind NAT: another port. */
			uint16_t port =
				(uint16_t)((way == TO_CLOUD ? 40000 : 7000) +
					   i);

			p->fds[way][i] = far_socket(
				way == TO_CLOUD ? "10.10.0.50" : "10.20.0.50",
				port);
			epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, p->fds[way][i],
				  &e);
			/* Until they spoke nobody knows where they are. */
			p->next_ms[way][i] = clock_mono_ms() +
					     (unsigned)rand() % PERIOD_MS +
					     (way == TO_CORE) * 3 * PERIOD_MS;
		}
	}
}

static void phones_send(struct phones *p, uint64_t now_ms)
{
	for (unsigned way = 0; way < WAYS; way++) {
		for (unsigned i = 0; i < STREAMS; i++) {
			unsigned *seq = &p->t->sent[way][i];
			uint8_t data[172];
			size_t n;

			if (now_ms < p->next_ms[way][i] || *seq == PACKETS_MAX)
				continue;
			n = rtp_make(data, 100 * way + i, (uint16_t)*seq,
				     *seq * 160, 160);
			far_send(p->fds[way][i],
				 way == TO_CLOUD ? "10.10.0.10" : "10.20.0.10",
				 port_of(i), data, n);
			++*seq;
			p->next_ms[way][i] += PERIOD_MS;
		}
	}
}

/* A socket that sends one way hears the other. */
static void phone_hears(struct phones *p, unsigned socket_way, unsigned i)
{
	unsigned way = socket_way == TO_CLOUD ? TO_CORE : TO_CLOUD;
	struct traffic *t = p->t;
	uint64_t now_ms = clock_mono_ms();
	uint8_t data[512];
	struct addr from;
	size_t n = far_receive(p->fds[socket_way][i], data, sizeof(data), 0,
			       &from);
	unsigned seq = (unsigned)(data[2] << 8 | data[3]);

	if (n != 172 || seq >= PACKETS_MAX || from.port != port_of(i) ||
	    data[11] != (uint8_t)(100 * way + i)) {
		t->strange++;
		return;
	}
	if (t->got[way][i][seq] < 255)
		t->got[way][i][seq]++;
	if (p->last_rx_ms[way][i] &&
	    now_ms - p->last_rx_ms[way][i] > t->longest_gap_ms)
		t->longest_gap_ms = (unsigned)(now_ms - p->last_rx_ms[way][i]);
	p->last_rx_ms[way][i] = now_ms;
}

static void traffic_run(struct traffic *t)
{
	static struct phones p;
	uint64_t until_ms = 0;

	p.t = t;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	srand((unsigned)clock_mono_ns());
	phones_open(&p);
	for (;;) {
		struct epoll_event e[64];
		int n = epoll_wait(p.epoll_fd, e, 64, 1);
		uint64_t now_ms = clock_mono_ms();

		for (int i = 0; i < n; i++)
			phone_hears(&p, e[i].data.u32 / STREAMS,
				    e[i].data.u32 % STREAMS);
		if (atomic_load(&t->stop) && !until_ms)
			until_ms = now_ms + LINGER_MS;
		if (!until_ms)
			phones_send(&p, now_ms);
		else if (now_ms >= until_ms)
			_exit(0);
		atomic_store(&t->started, 1);
	}
}

static UNUSED struct traffic *traffic_start(void)
{
	struct traffic *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	pid_t pid;

	assert_true(t != MAP_FAILED);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		traffic_run(t);
	t->pid = pid;
	while (!atomic_load(&t->started))
		usleep(1000);
	return t;
}

static UNUSED void traffic_stop(struct traffic *t)
{
	int status;

	atomic_store(&t->stop, 1);
	assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
}

struct tally {
	unsigned sent, lost, twice;
};

static UNUSED struct tally traffic_count(const struct traffic *t)
{
	struct tally c = {0};

	for (unsigned way = 0; way < WAYS; way++) {
		for (unsigned i = 0; i < STREAMS; i++) {
			c.sent += t->sent[way][i];
			for (unsigned k = 0; k < t->sent[way][i]; k++) {
				c.lost += !t->got[way][i][k];
				c.twice += t->got[way][i][k] > 1;
			}
		}
	}
	return c;
}

#endif
