#include "sbcd/keeper/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	FIRST_FD = 3,
	PARKED_FD = 100, /* above everything the child keeps */
};

/*
 * From here to exec only async-signal-safe calls: other threads of the keeper
 * may hold any lock of the C library. The system calls for ids are raw for the
 * same reason: glibc's wrappers talk to all threads.
 */
static bool place_fds(const struct spawn_params *p)
{
	int parked[SPAWN_FDS_MAX];

	for (size_t i = 0; i < p->fds_len; i++) {
		parked[i] = fcntl(p->fds[i], F_DUPFD_CLOEXEC, PARKED_FD);
		if (parked[i] < 0)
			return false;
	}
	for (size_t i = 0; i < p->fds_len; i++) {
		if (dup2(parked[i], FIRST_FD + (int)i) < 0)
			return false;
	}
	/* close_range() is in kernel 5.9 and glibc 2.34. */
	return !close_range(FIRST_FD + (unsigned)p->fds_len, ~0U, 0);
}

static void write_oom_score(int adj)
{
	char text[16];
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	int n = 0;
	unsigned v = adj < 0 ? (unsigned)-adj : (unsigned)adj;
	char digits[8];
	int d = 0;

	if (fd < 0)
		return;
	do {
		digits[d++] = (char)('0' + v % 10);
		v /= 10;
	} while (v && d < (int)sizeof(digits));
	if (adj < 0)
		text[n++] = '-';
	while (d)
		text[n++] = digits[--d];
	/* Best effort: a container may forbid it. */
	if (write(fd, text, (size_t)n) < 0)
		n = 0;
	close(fd);
}

/* Best effort: a wrong priority is slow, no priority is dead. */
static void set_priority(int nice)
{
	static const struct sched_param ordinary = {.sched_priority = 0};

	if (sched_setscheduler(0, SCHED_OTHER, &ordinary) ||
	    setpriority(PRIO_PROCESS, 0, nice))
		return;
}

static bool drop_rights(const struct spawn_params *p, pid_t parent)
{
	static const struct rlimit no_core = {0, 0};
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	for (int cap = 0; cap <= 63; cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return false;
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) ||
	    setrlimit(RLIMIT_CORE, &no_core) ||
	    syscall(SYS_setgroups, 0, NULL) ||
	    syscall(SYS_setresgid, p->gid, p->gid, p->gid) ||
	    syscall(SYS_setresuid, p->uid, p->uid, p->uid) ||
	    syscall(SYS_capset, &header, none) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return false;
	/* After the change of ids, which clears it. The parent may have died
	 * before it was set. */
	return !prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) &&
	       getppid() == parent;
}

static void reset_signals(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int s = 1; s < NSIG; s++) {
		if (s != SIGKILL && s != SIGSTOP)
			sigaction(s, &dfl, NULL);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child(const struct spawn_params *p, pid_t parent)
	__attribute__((noreturn));
static void child(const struct spawn_params *p, pid_t parent)
{
	int null;

	reset_signals();
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || !place_fds(p))
		_exit(126);
	write_oom_score(p->oom_score_adj);
	set_priority(p->nice);
	if (p->worker) {
		if (!drop_rights(p, parent))
			_exit(126);
	} else {
		setsid();
	}
	execv("/proc/self/exe", (char *const *)p->argv);
	_exit(126);
}

pid_t spawn(const struct spawn_params *p)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid)
		child(p, parent);
	return pid;
}
