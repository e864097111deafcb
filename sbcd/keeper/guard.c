#include "sbcd/keeper/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "netif/gate.h"
#include "netif/vip.h"
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/spawn.h"

enum {
	FD_KEEPER = 3,
	FD_PARAMS = 4,
	FD_LOCK = 5,
	FD_BEAT = 6, /* and following */
	ARM_TIMEOUT_MS = 2000,
};

static const char word_armed = 'A';
static const char word_dismissed = 'D';

/* ---- keeper side -------------------------------------------------------- */
static int params_fd(const struct guard_params *p)
{
	int fd = memfd_create("sbcd-guard", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (pwrite(fd, p, sizeof(*p), 0) != (ssize_t)sizeof(*p)) {
		close(fd);
		return -EIO;
	}
	return fd;
}

int guard_is_armed(int fd)
{
	char word;
	ssize_t n = recv(fd, &word, 1, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return n && word == word_armed ? 1 : -ECHILD;
}

static int wait_armed(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int armed;

	if (poll(&pfd, 1, ARM_TIMEOUT_MS) <= 0)
		return -ETIMEDOUT;
	armed = guard_is_armed(fd);
	return armed < 0 ? armed : 0;
}

pid_t guard_launch(const struct guard_params *p, int *fd_out)
{
	static const char *const argv[] = {"sbcd", "--worker", "guard", NULL};
	struct spawn_params sp = {.argv = argv, .oom_score_adj = -1000};
	int pair[2], params, lock, err;
	pid_t pid;

	if (p->paths_len > GUARD_PATHS_MAX)
		return -EINVAL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	params = params_fd(p);
	if (params < 0) {
		err = params;
		goto err_pair;
	}
	lock = p->lock_fd >= 0 ? p->lock_fd : params;
	sp.fds[sp.fds_len++] = pair[1];
	sp.fds[sp.fds_len++] = params;
	sp.fds[sp.fds_len++] = lock;
	for (size_t i = 0; i < p->paths_len; i++)
		sp.fds[sp.fds_len++] = p->paths[i].fd;
	pid = spawn(&sp);
	if (pid < 0) {
		err = pid;
		goto err_params;
	}
	close(params);
	close(pair[1]);
	*fd_out = pair[0];
	return pid;

err_params:
	close(params);
err_pair:
	close(pair[0]);
	close(pair[1]);
	return err;
}

pid_t guard_start(const struct guard_params *p, int *fd_out)
{
	int fd, err;
	pid_t pid = guard_launch(p, &fd);

	if (pid < 0)
		return pid;
	err = wait_armed(fd);
	if (err) {
		kill(pid, SIGKILL);
		close(fd);
		return err;
	}
	*fd_out = fd;
	return pid;
}

void guard_dismiss(int fd)
{
	if (send(fd, &word_dismissed, 1, MSG_NOSIGNAL) < 0)
		log_warn("guard=gone error=\"%s\"", strerror(errno));
}

/* ---- the process -------------------------------------------------------- */
struct guard {
	struct guard_params p;
	struct netif_gate *gate; /* NULL: made when it is needed */
	uint8_t words[GUARD_REPEATS][HA_BEAT_SIZE];
};

static int prepare(struct guard *g)
{
	struct ha_beat beat = {.type = HA_BEAT_RELEASED};
	int err;

	if (pread(FD_PARAMS, &g->p, sizeof(g->p), 0) != (ssize_t)sizeof(g->p))
		return -EIO;
	close(FD_PARAMS);
	beat.node = g->p.node;
	beat.boot_id = g->p.boot_id;
	for (unsigned i = 0; i < GUARD_REPEATS; i++) {
		beat.sequence = GUARD_SEQUENCE_BASE + i;
		err = ha_beat_encode(&beat, g->p.key, g->words[i]);
		if (err)
			return err;
	}
	explicit_bzero(g->p.key, sizeof(g->p.key));
	err = netif_gate_attach(&g->gate);
	if (err)
		log_warn("gate=unprepared error=\"%s\"", strerror(-err));
	return 0;
}

static int shut_gate(struct guard *g)
{
	if (g->gate && !netif_gate_close(g->gate))
		return 0;
	return netif_gate_shut_all();
}

/* Nothing may page in or wait for a processor when it matters. */
static void get_ready(void)
{
	struct sched_param rr = {.sched_priority = 5};
	static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE,
				      SIGQUIT};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	if (sched_setscheduler(0, SCHED_RR, &rr))
		log_info("guard=no-realtime error=\"%s\"", strerror(errno));
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		log_info("guard=not-locked error=\"%s\"", strerror(errno));
}

/* True when the keeper said good-bye, false when it vanished. */
static bool wait_keeper(void)
{
	char word = 0;
	ssize_t n;

	do {
		n = read(FD_KEEPER, &word, 1);
	} while (n < 0 && errno == EINTR);
	return n == 1 && word == word_dismissed;
}

static void send_words(const struct guard *g, unsigned i)
{
	for (size_t path = 0; path < g->p.paths_len; path++) {
		const struct beat_path *p = &g->p.paths[path];
		const void *to = p->to_len ? &p->to : NULL;

		/* Lost words are why there are several. */
		if (sendto(FD_BEAT + (int)path, g->words[i], HA_BEAT_SIZE,
			   MSG_DONTWAIT | MSG_NOSIGNAL, to, p->to_len) < 0)
			continue;
	}
}

static void clean_up(struct guard *g)
{
	static const struct timespec pause = {
		.tv_nsec = GUARD_REPEAT_MS * 1000000L,
	};
	uint64_t start_ns = clock_mono_ns(), shut_ns, released_ns;
	ssize_t released;
	int err = shut_gate(g);

	shut_ns = clock_mono_ns();
	released = netif_vip_release_leftovers(g->p.run_dir, g->p.keeper);
	released_ns = clock_mono_ns();
	if (!err && released >= 0) {
		for (unsigned i = 0; i < GUARD_REPEATS; i++) {
			if (i)
				nanosleep(&pause, NULL);
			send_words(g, i);
		}
	}
	log_warn("keeper=gone gate=%d gate-us=%llu released=%zd "
		 "release-us=%llu",
		 err, (unsigned long long)(shut_ns - start_ns) / 1000, released,
		 (unsigned long long)(released_ns - shut_ns) / 1000);
}

int guard_main(void)
{
	static struct guard g;
	int err = prepare(&g);

	log_init(g.p.name, "guard", g.p.log_level);
	if (err) {
		log_err("guard=unprepared error=\"%s\"", strerror(-err));
		return 1;
	}
	get_ready();
	if (write(FD_KEEPER, &word_armed, 1) != 1)
		return 1;
	if (!wait_keeper())
		clean_up(&g);
	return 0;
}
