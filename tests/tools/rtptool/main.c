#include "rtptool.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

static const char usage[] =
	"usage: rtptool peer --control PATH [--pps N] [--gap-ms N]\n"
	"       rtptool peer --addr A --base-port P --count N [--remote A\n"
	"               --remote-base P] [--duration S] [--control PATH]\n"
	"       rtptool echo --addr A --ports LO-HI [--duration S]\n"
	"       rtptool ctl PATH JSON\n"
	"Without --remote a stream answers to where packets come from.\n";

enum { TAG_TIMER = 1, TAG_SIGNAL = 2 };

struct loop {
	int epoll, timer, sig;
	struct rt_control *control;
};

static int loop_add(struct loop *l, int fd, unsigned long tag)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = tag};

	return fd < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno
								     : 0;
}

static int loop_init(struct loop *l, struct rt_engine *e)
{
	long tick_ns = (long)e->opt.tick_us * 1000;
	struct itimerspec its = {.it_interval.tv_nsec = tick_ns,
				 .it_value.tv_nsec = tick_ns};
	sigset_t set;
	int rc;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	l->sig = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	rc = loop_add(l, l->timer, TAG_TIMER);
	if (!rc)
		rc = loop_add(l, l->sig, TAG_SIGNAL);
	if (!rc && e->opt.control_path)
		rc = rt_control_create(&l->control, e, l->epoll,
				       e->opt.control_path);
	if (!rc && timerfd_settime(l->timer, 0, &its, NULL))
		rc = -errno;
	return rc;
}

/* Missed ticks are made up, but not more than a second of them. */
static void loop_timer(struct loop *l, struct rt_engine *e)
{
	unsigned int ticks_s = 1000000u / e->opt.tick_us;
	unsigned int drain = e->opt.drain_ms * 1000 / e->opt.tick_us;
	uint64_t passed = 0;

	if (read(l->timer, &passed, sizeof(passed)) != sizeof(passed))
		return;
	if (passed > ticks_s)
		passed = ticks_s;
	for (uint64_t i = 0; i < passed; i++) {
		rt_engine_tick(e);
		if (!drain || e->tick % drain == 0)
			rt_engine_drain(e);
	}
}

static void loop_run(struct loop *l, struct rt_engine *e)
{
	uint64_t end = 0;
	struct epoll_event ev[16];

	if (e->opt.duration_s)
		end = rt_now_ns() + e->opt.duration_s * 1000000000ull;
	while (!e->stop && (!end || rt_now_ns() < end)) {
		int n = epoll_wait(l->epoll, ev, 16, -1);

		for (int i = 0; i < n; i++)
			if (ev[i].data.u64 == TAG_TIMER)
				loop_timer(l, e);
			else if (ev[i].data.u64 == TAG_SIGNAL)
				e->stop = true;
			else
				rt_control_event(l->control, ev[i].data.ptr);
	}
	/* What is still in flight within this machine. */
	usleep(50000);
	rt_engine_drain(e);
}

static int add_static(struct rt_engine *e)
{
	for (unsigned int i = 0; i < e->opt.count; i++) {
		struct rt_stream_params p = {
			.id = i,
			.expect = UINT32_MAX,
			.addr = e->opt.addr,
			.port = e->opt.base_port + 2 * i,
			.remote = e->opt.remote,
			.remote_port = e->opt.remote_base + 2 * i,
			.symmetric = !e->opt.remote,
			.sending = true,
			.rtcp = true,
		};
		int rc = rt_stream_add(e, &p);

		if (rc) {
			fprintf(stderr, "rtptool: stream %u: %s\n", i,
				strerror(-rc));
			return rc;
		}
	}
	return 0;
}

static int peer_run(const struct rt_options *opt)
{
	struct rt_engine e;
	struct loop l = {0};
	json_t *report;
	int rc = rt_engine_init(&e, opt);

	if (!rc && opt->count)
		rc = add_static(&e);
	if (!rc)
		rc = loop_init(&l, &e);
	if (rc) {
		fprintf(stderr, "rtptool: %s\n", strerror(-rc));
		return 1;
	}
	loop_run(&l, &e);
	if (!opt->quiet) {
		report = rt_report(&e, true);
		json_dumpf(report, stdout,
			   JSON_INDENT(1) | JSON_REAL_PRECISION(9));
		printf("\n");
		json_decref(report);
	}
	rt_control_destroy(l.control);
	rt_engine_finish(&e);
	return 0;
}

enum {
	OPT_CONTROL = 256,
	OPT_PPS,
	OPT_TICK,
	OPT_DRAIN,
	OPT_GAP,
	OPT_ADDR,
	OPT_REMOTE,
	OPT_BASE,
	OPT_RBASE,
	OPT_COUNT,
	OPT_DURATION,
	OPT_PORTS,
	OPT_QUIET
};

static const struct option options[] = {
	{"control", 1, NULL, OPT_CONTROL},   {"pps", 1, NULL, OPT_PPS},
	{"tick-us", 1, NULL, OPT_TICK},	     {"drain-ms", 1, NULL, OPT_DRAIN},
	{"gap-ms", 1, NULL, OPT_GAP},	     {"addr", 1, NULL, OPT_ADDR},
	{"remote", 1, NULL, OPT_REMOTE},     {"base-port", 1, NULL, OPT_BASE},
	{"remote-base", 1, NULL, OPT_RBASE}, {"count", 1, NULL, OPT_COUNT},
	{"duration", 1, NULL, OPT_DURATION}, {"ports", 1, NULL, OPT_PORTS},
	{"quiet", 0, NULL, OPT_QUIET},	     {NULL, 0, NULL, 0},
};

static unsigned int number(const char *text, unsigned int max)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*end || !*text || v > max) {
		fprintf(stderr, "rtptool: bad number: %s\n", text);
		exit(2);
	}
	return (unsigned int)v;
}

static void parse_option(struct rt_options *o, int c)
{
	switch (c) {
	case OPT_CONTROL:
		o->control_path = optarg;
		break;
	case OPT_PPS:
		o->pps = number(optarg, 1000);
		break;
	case OPT_TICK:
		o->tick_us = number(optarg, 20000);
		break;
	case OPT_DRAIN:
		o->drain_ms = number(optarg, 1000);
		break;
	case OPT_GAP:
		o->gap_limit_ms = number(optarg, 100000);
		break;
	case OPT_ADDR:
		o->addr = optarg;
		break;
	case OPT_REMOTE:
		o->remote = optarg;
		break;
	case OPT_BASE:
		o->base_port = number(optarg, 65534);
		break;
	case OPT_RBASE:
		o->remote_base = number(optarg, 65534);
		break;
	case OPT_COUNT:
		o->count = number(optarg, RT_STREAMS_MAX);
		break;
	case OPT_DURATION:
		o->duration_s = number(optarg, 86400);
		break;
	case OPT_PORTS:
		if (sscanf(optarg, "%u-%u", &o->lo, &o->hi) != 2 ||
		    o->lo > o->hi || !o->lo || o->hi > 65535)
			exit(2);
		break;
	case OPT_QUIET:
		o->quiet = true;
		break;
	default:
		fputs(usage, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct rt_options opt = {
		.pps = 50, .tick_us = 1000, .drain_ms = 5, .gap_limit_ms = 60};
	const char *mode = argc > 1 ? argv[1] : "";
	int c;

	if (!strcmp(mode, "ctl") && argc == 4)
		return rt_control_client(argv[2], argv[3]);
	while ((c = getopt_long(argc - 1, argv + 1, "", options, NULL)) >= 0)
		parse_option(&opt, c);
	if (!opt.pps || !opt.tick_us)
		goto bad;
	if (!strcmp(mode, "peer") && (opt.control_path || opt.addr))
		return peer_run(&opt);
	if (!strcmp(mode, "echo") && opt.addr && opt.lo)
		return rt_echo_run(&opt);
bad:
	fputs(usage, stderr);
	return 2;
}
