#include "rtptool.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { BATCH = 32, EVENTS = 128 };

/* Sends everything that waits on one socket back where it came from. */
static uint64_t reflect(int fd, uint64_t *errors)
{
	static uint8_t data[BATCH][RT_PACKET_BYTES];
	union rt_addr from[BATCH];
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	uint64_t count = 0;
	int n, done;

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
		for (int i = 0; i < n; i++) {
			iov[i].iov_len = msg[i].msg_len;
			msg[i].msg_hdr.msg_flags = 0;
		}
		for (int i = 0; i < n; i += done) {
			done = sendmmsg(fd, msg + i, (unsigned int)(n - i), 0);
			if (done <= 0) {
				*errors += 1;
				done = 1;
			} else {
				count += (uint64_t)done;
			}
		}
	} while (n == BATCH);
	return count;
}

static int open_range(const struct rt_options *opt, int epoll)
{
	for (unsigned int port = opt->lo; port <= opt->hi; port++) {
		struct epoll_event ev = {.events = EPOLLIN};
		union rt_addr local;
		int rc = rt_addr_parse(&local, opt->addr, port);

		if (!rc)
			rc = ev.data.fd = rt_socket(&local);
		if (rc >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, rc, &ev))
			rc = -errno;
		if (rc < 0) {
			fprintf(stderr, "rtptool: %s port %u: %s\n", opt->addr,
				port, strerror(-rc));
			return rc;
		}
	}
	return 0;
}

int rt_echo_run(const struct rt_options *opt)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), sig;
	uint64_t count = 0, errors = 0, end = 0;
	struct epoll_event ev[EVENTS];
	struct rlimit lim;
	sigset_t set;
	bool stop = false;

	if (!getrlimit(RLIMIT_NOFILE, &lim)) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sig = signalfd(-1, &set, SFD_CLOEXEC);
	ev[0] = (struct epoll_event){.events = EPOLLIN, .data.fd = sig};
	if (epoll < 0 || sig < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, sig, &ev[0]) ||
	    open_range(opt, epoll))
		return 1;
	printf("{\"ready\": true}\n");
	fflush(stdout);
	if (opt->duration_s)
		end = rt_now_ns() + opt->duration_s * 1000000000ull;
	while (!stop && (!end || rt_now_ns() < end)) {
		int n = epoll_wait(epoll, ev, EVENTS, end ? 100 : -1);

		for (int i = 0; i < n; i++)
			if (ev[i].data.fd == sig)
				stop = true;
			else
				count += reflect(ev[i].data.fd, &errors);
	}
	printf("{\"echoed\": %llu, \"errors\": %llu}\n",
	       (unsigned long long)count, (unsigned long long)errors);
	return 0;
}
