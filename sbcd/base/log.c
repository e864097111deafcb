#include "sbcd/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbcd/base/clock.h"

enum { NAME_SIZE = 64, RATE_MILLI = 1000 };

/* Written by log_init() before there are threads, then only read. */
static char log_node[NAME_SIZE] = "-";
static char log_proc[NAME_SIZE] = "-";
static int log_level = LOG_INFO;
static bool log_is_socket;

static _Atomic uint64_t dropped;

/*
 * O_NONBLOCK belongs to the open file description, which we share with
 * whoever started us. A pipe can be opened a second time for a description of
 * our own, which takes the place of standard error, also for the processes we
 * start (they may lack the right to do it); a socket takes MSG_DONTWAIT; a
 * file or terminal is left alone.
 */
static void own_stderr(void)
{
	struct stat st;
	int fd;

	log_is_socket = false;
	if (fstat(STDERR_FILENO, &st) < 0)
		return;
	if (S_ISSOCK(st.st_mode)) {
		log_is_socket = true;
		return;
	}
	if (!S_ISFIFO(st.st_mode))
		return;
	fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	dup2(fd, STDERR_FILENO);
	close(fd);
}

void log_init(const char *node, const char *proc, int level)
{
	struct sigaction sa;

	snprintf(log_node, sizeof(log_node), "%s", node);
	snprintf(log_proc, sizeof(log_proc), "%s", proc);
	log_level = level;
	own_stderr();
	/* The death of the log's reader is no reason to die. */
	if (sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL) {
		sa.sa_handler = SIG_IGN;
		sigaction(SIGPIPE, &sa, NULL);
	}
}

static void write_line(const char *line, size_t size)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t n;

	if (log_is_socket) {
		n = send(STDERR_FILENO, line, size,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
	} else {
		/* POLLOUT on a pipe: a line of PIPE_BUF bytes fits. */
		if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
			n = -1;
		else
			n = write(STDERR_FILENO, line, size);
	}
	if (n != (ssize_t)size)
		atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
}

void log_msg(int priority, const char *fmt, ...)
{
	char line[PIPE_BUF < 4096 ? PIPE_BUF : 4096];
	int saved_errno = errno;
	size_t head, size;
	va_list ap;
	int n;

	if (priority > log_level)
		return;
	n = snprintf(line, sizeof(line), "<%d>node=%s proc=%s ", priority,
		     log_node, log_proc);
	head = (size_t)n;
	va_start(ap, fmt);
	n = vsnprintf(line + head, sizeof(line) - head, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	size = head + (size_t)n;
	if (size > sizeof(line) - 1)
		size = sizeof(line) - 1;
	/* What a peer sent must not be able to start a line of its own. */
	for (size_t i = head; i < size; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[size++] = '\n';
	write_line(line, size);
	errno = saved_errno;
}

bool log_rate_pass(struct log_rate *rate)
{
	uint64_t now = clock_mono_ns();
	uint64_t gained;

	if (!rate->started) {
		rate->started = true;
		rate->tokens_milli = LOG_RATE_BURST * RATE_MILLI;
		rate->last_ns = now;
	}
	gained = (now - rate->last_ns) / 1000000u;
	if (gained) {
		rate->last_ns += gained * 1000000u;
		gained += rate->tokens_milli;
		if (gained > LOG_RATE_BURST * RATE_MILLI)
			gained = LOG_RATE_BURST * RATE_MILLI;
		rate->tokens_milli = (uint32_t)gained;
	}
	if (rate->tokens_milli < RATE_MILLI) {
		rate->suppressed++;
		return false;
	}
	rate->tokens_milli -= RATE_MILLI;
	if (rate->suppressed) {
		log_msg(LOG_NOTICE, "suppressed=%u lines like the next one",
			rate->suppressed);
		rate->suppressed = 0;
	}
	return true;
}

uint64_t log_dropped(void)
{
	return atomic_load_explicit(&dropped, memory_order_relaxed);
}
