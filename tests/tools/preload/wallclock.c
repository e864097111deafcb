/*
 * wallclock - LD_PRELOAD: the wall clock of one program, as many seconds off
 * as the file named by WALLCLOCK_FILE says (a binary int64_t, mapped: a step
 * is seen at the next call, and costs none). A namespace cannot have a
 * CLOCK_REALTIME of its own; this is how one node's clock is set in the lab.
 *
 * What the kernel says of the wall clock follows too: its time stamps on
 * packets. Waits until a point of wall-clock time are not followed: sbcd has
 * none.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *off_s;

static int (*real_gettime)(clockid_t id, struct timespec *ts);
static int (*real_recvmmsg)(int fd, struct mmsghdr *v, unsigned n, int flags,
			    struct timespec *timeout);
static ssize_t (*real_recvmsg)(int fd, struct msghdr *m, int flags);

__attribute__((constructor)) static void map(void)
{
	const char *path = getenv("WALLCLOCK_FILE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p;

	real_gettime = (int (*)(clockid_t, struct timespec *))dlsym(
		RTLD_NEXT, "clock_gettime");
	real_recvmmsg =
		(int (*)(int, struct mmsghdr *, unsigned, int,
			 struct timespec *))dlsym(RTLD_NEXT, "recvmmsg");
	real_recvmsg = (ssize_t(*)(int, struct msghdr *, int))dlsym(RTLD_NEXT,
								    "recvmsg");
	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*off_s), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		off_s = p;
}

static int64_t off(void)
{
	return off_s ? *off_s : 0;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	/* Another library's constructor may ask before ours has run. */
	int rc = real_gettime ? real_gettime(id, ts)
			      : (int)syscall(SYS_clock_gettime, id, ts);

	if (!rc && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += off();
	return rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec ts;

	(void)tz;
	if (clock_gettime(CLOCK_REALTIME, &ts))
		return -1;
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (out)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

static void restamp(struct msghdr *m)
{
	struct timespec ts;

	if (!off())
		return;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET ||
		    h->cmsg_type != SCM_TIMESTAMPNS ||
		    h->cmsg_len < CMSG_LEN(sizeof(ts)))
			continue;
		memcpy(&ts, CMSG_DATA(h), sizeof(ts));
		ts.tv_sec += off();
		memcpy(CMSG_DATA(h), &ts, sizeof(ts));
	}
}

int recvmmsg(int fd, struct mmsghdr *v, unsigned n, int flags,
	     struct timespec *timeout)
{
	int got = real_recvmmsg(fd, v, n, flags, timeout);

	for (int i = 0; i < got; i++)
		restamp(&v[i].msg_hdr);
	return got;
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t got = real_recvmsg(fd, m, flags);

	if (got >= 0)
		restamp(m);
	return got;
}
