/*
 * A keeper and two peers around a real SIP worker process, in a network
 * namespace of its own: 10.10.0.10 and 10.20.0.10 (fd00:10::10, fd00:20::10)
 * are the worker's, .50 are the peers'. The keeper keeps records, commits at
 * once (or when told), can kill the worker and replay into a new one.
 */
#ifndef TEST_SIP_HARNESS_H
#define TEST_SIP_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hasync/store.h"
#include "sbcd/base/addr.h"
#include "sbcd/base/clock.h"
#include "sbcd/base/counters.h"
#include "sbcd/base/log.h"
#include "sbcd/record/kinds.h"
#include "sbcd/record/link.h"
#include "sbcd/record/record.h"
#include "sbcd/sip/worker.h"

#define UNUSED __attribute__((unused))

enum {
	WAIT_MS = 3000,
	QUIET_MS = 250,
	TEXT_SIZE = 65536,
	PARKED_MAX = 64,
	CONNS_MAX = 4
};

/* ---- the keeper -----------------------------------------------------------
 */

static struct {
	pid_t pid;
	struct link *link;
	struct ha_store *store;
	struct counters *counters;
	int counters_fd;
	uint64_t generation, epoch;
	bool active;
	bool hold; /* commits wait for keeper_release() */
	uint64_t held[PARKED_MAX];
	size_t held_len;
	bool activated, quiesced;
	char reply[16384];
	unsigned syncs;
} keeper;

static const char *conf_extra = "", *conf_cloud = ""; /* more of the realm */

static UNUSED const char *conf_text(void)
{
	static char text[8192];

	snprintf(
		text, sizeof(text),
		"cluster { name = \"t\" peers = {\"a\", \"b\"} }\n"
		"network-interface \"core\" { nic = \"lo\"\n"
		" address = {\"10.10.0.10/24\", \"fd00:10::10/64\"}\n"
		" gateway = {\"10.10.0.1\", \"fd00:10::1\"} }\n"
		"network-interface \"cloud\" { nic = \"lo2\"\n"
		" address = {\"10.20.0.10/24\", \"fd00:20::10/64\"}\n"
		" gateway = {\"10.20.0.1\", \"fd00:20::1\"} }\n"
		"realm \"core\" { network-interface = core\n"
		" steering-pool = \"20000-59999\" }\n"
		"realm \"cloud\" { network-interface = cloud\n"
		" steering-pool = \"20000-59999\" %s }\n"
		"sip-interface \"core\" { realm = core port udp { } port tcp { } }\n"
		"sip-interface \"cloud\" { realm = cloud port udp { } port tcp { } }\n"
		"session-agent \"pbx\" { realm = core host = \"10.10.0.50\" }\n"
		"session-agent \"pbx6\" { realm = core host = \"fd00:10::50\" }\n"
		"session-agent \"um\" { realm = cloud host = \"um.example.net\"\n"
		" address = \"10.20.0.50\" }\n"
		"session-agent \"umtcp\" { realm = cloud host = \"10.20.0.51\"\n"
		" transport = tcp }\n"
		"session-agent \"um6\" { realm = cloud host = \"fd00:20::50\" }\n"
		"local-policy { from-realm = core to = \"7*\" next-hop = umtcp }\n"
		"local-policy { from-realm = core to = \"6*\" next-hop = um6 }\n"
		"local-policy { from-realm = core to = \"2*\" next-hop = um }\n"
		"local-policy { from-realm = cloud to = \"*\" next-hop = pbx }\n"
		"%s",
		conf_cloud, conf_extra);
	return text;
}

static const char node_text[] =
	"node { name = \"a\" id = 1 run-dir = \"/tmp\" state-dir = \"/tmp\"\n"
	" ha-address = {\"10.99.1.1\"} ha-peer = {\"10.99.1.2\"}\n"
	" cluster-key-file = \"/tmp/key\" }\n"
	"# worker-secret "
	"000102030405060708090a0b0c0d0e0f"
	"101112131415161718191a1b1c1d1e1f\n";

static UNUSED void keeper_send(struct link_message *m)
{
	assert_int_equal(link_send(keeper.link, m), 0);
}

static UNUSED void keeper_config(void)
{
	const char *text = conf_text();
	int fd = memfd_create("conf", MFD_CLOEXEC);
	struct link_message m = {.type = LINK_CONFIG,
				 .value = node_text,
				 .size = sizeof(node_text) - 1,
				 .fds_len = 1};

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	m.fds[0] = fd;
	keeper_send(&m);
	close(fd);
}

static UNUSED void keeper_activate(void)
{
	struct link_message m = {.type = LINK_ACTIVATE,
				 .token = ++keeper.epoch};

	keeper.active = true;
	keeper_send(&m);
}

static UNUSED bool keeper_replay_one(void *ctx, const struct ha_item *item)
{
	struct link_message m = {.type = LINK_RECORD,
				 .key = item->key,
				 .version = item->version,
				 .value = item->value,
				 .size = item->size,
				 .token = ++*(uint64_t *)ctx};

	if (!item->deleted)
		keeper_send(&m);
	return true;
}

/* There with the address sanitizer only. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static UNUSED int keeper_worker(void)
{
	int code = sip_worker_main();

	if (__lsan_do_recoverable_leak_check &&
	    __lsan_do_recoverable_leak_check())
		code = 23;
	return code;
}

/* Forks a worker, gives it the configuration and every record. */
static UNUSED void keeper_start(bool activate)
{
	struct link_message end = {.type = LINK_REPLAY_END};
	uint64_t seq = 0;
	int fds[2];

	assert_int_equal(link_socketpair(fds), 0);
	keeper.pid = fork();
	assert_true(keeper.pid >= 0);
	if (!keeper.pid) {
		int page = dup(keeper.counters_fd);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		page = fcntl(page, F_DUPFD, 10);
		fds[1] = fcntl(fds[1], F_DUPFD, 10);
		dup2(fds[1], LINK_WORKER_FD);
		dup2(page, LINK_COUNTERS_FD);
		for (int fd = 5; fd < 64; fd++)
			close(fd);
		log_init("a", "sip",
			 getenv("SIP_TEST_LOG") ? atoi(getenv("SIP_TEST_LOG"))
						: LOG_ERR);
		_exit(keeper_worker());
	}
	close(fds[1]);
	assert_int_equal(link_create(&keeper.link, fds[0]), 0);
	keeper.active = keeper.activated = false;
	keeper.held_len = 0;
	keeper_config();
	ha_store_foreach(keeper.store, keeper_replay_one, &seq);
	end.token = ++seq;
	keeper_send(&end);
	if (activate)
		keeper_activate();
}

static UNUSED void keeper_kill(void)
{
	int status;

	if (!keeper.pid)
		return;
	kill(keeper.pid, SIGKILL);
	waitpid(keeper.pid, &status, 0);
	link_destroy(keeper.link);
	keeper.link = NULL;
	keeper.pid = 0;
}

/* The worker dies by an abort of its own. */
static UNUSED void keeper_expect_crash(void)
{
	struct pollfd p = {.fd = link_fd(keeper.link)}; /* POLLHUP */
	int status;

	if (poll(&p, 1, WAIT_MS) != 1)
		fail_msg("the worker lives on");
	assert_int_equal(waitpid(keeper.pid, &status, 0), keeper.pid);
	link_destroy(keeper.link);
	keeper.link = NULL;
	keeper.pid = 0;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* The worker ends by itself when its keeper is gone, and leaves nothing. */
static UNUSED void keeper_stop(void)
{
	int status;

	link_destroy(keeper.link);
	keeper.link = NULL;
	assert_int_equal(waitpid(keeper.pid, &status, 0), keeper.pid);
	keeper.pid = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static UNUSED void keeper_committed(uint64_t token)
{
	struct link_message m = {.type = LINK_COMMITTED, .token = token};

	keeper_send(&m);
}

static UNUSED void keeper_release(void)
{
	keeper.hold = false;
	for (size_t i = 0; i < keeper.held_len; i++)
		keeper_committed(keeper.held[i]);
	keeper.held_len = 0;
}

static UNUSED void keeper_handle(struct link_message *m)
{
	struct ha_version v = {keeper.epoch, ++keeper.generation, 1};

	switch (m->type) {
	case LINK_PUT:
		assert_true(ha_store_put(keeper.store, &m->key, &v, m->value,
					 m->size) >= 0);
		break;
	case LINK_DELETE:
		assert_true(ha_store_delete(keeper.store, &m->key, &v, 1) >= 0);
		break;
	case LINK_ACTIVATED:
		keeper.activated = true;
		break;
	case LINK_QUIESCED:
		keeper.quiesced = true;
		break;
	case LINK_REPLY:
		snprintf(keeper.reply, sizeof(keeper.reply), "%.*s",
			 (int)m->size, (const char *)m->value);
		break;
	default:
		break;
	}
	if ((m->type == LINK_PUT || m->type == LINK_DELETE) &&
	    (m->flags & LINK_F_SYNC) && m->token) {
		keeper.syncs++;
		if (!keeper.hold)
			keeper_committed(m->token);
		else if (keeper.held_len < PARKED_MAX)
			keeper.held[keeper.held_len++] = m->token;
	}
}

static UNUSED void keeper_pump(void)
{
	static struct link_message m;
	int n;

	while (keeper.link && (n = link_receive(keeper.link, &m)) > 0)
		keeper_handle(&m);
	if (keeper.link)
		(void)!link_flush(keeper.link);
}

/* Of calls: a connection may outlive them. */
static UNUSED size_t keeper_records(void)
{
	return ha_store_count(keeper.store) -
	       ha_store_count_kind(keeper.store, REC_CONN);
}

/* Waits until `fd` (or only the keeper, -1) has something, or time is up. */
static UNUSED bool wait_fd(int fd, uint64_t deadline_ms)
{
	for (;;) {
		uint64_t now = clock_mono_ms();
		struct pollfd p[2] = {{.fd = fd, .events = POLLIN},
				      {.events = POLLIN}};

		p[1].fd = keeper.link ? link_fd(keeper.link) : -1;
		keeper_pump();
		if (now >= deadline_ms)
			return false;
		if (poll(p, 2, (int)(deadline_ms - now)) < 0)
			return false;
		if (p[1].revents & (POLLHUP | POLLERR))
			fail_msg("the worker died");
		keeper_pump();
		if (p[0].revents)
			return true;
	}
}

static UNUSED void run_ms(unsigned ms)
{
	wait_fd(-1, clock_mono_ms() + ms);
}

static UNUSED void keeper_expect_records(size_t n)
{
	uint64_t deadline = clock_mono_ms() + WAIT_MS;

	while (keeper_records() != n && clock_mono_ms() < deadline)
		run_ms(10);
	assert_int_equal(keeper_records(), n);
}

static UNUSED void keeper_wait_active(void)
{
	uint64_t deadline = clock_mono_ms() + WAIT_MS;

	while (!keeper.activated && clock_mono_ms() < deadline)
		run_ms(5);
	assert_true(keeper.activated);
}

static UNUSED const char *keeper_query(const char *json)
{
	struct link_message m = {.type = LINK_QUERY,
				 .token = 77,
				 .value = json,
				 .size = strlen(json)};
	uint64_t deadline = clock_mono_ms() + WAIT_MS;

	keeper.reply[0] = '\0';
	keeper_send(&m);
	while (!keeper.reply[0] && clock_mono_ms() < deadline)
		run_ms(5);
	return keeper.reply;
}

/* ---- peers ------------------------------------------------------------------
 */

struct ua {
	const char *ip;
	const char *sbc; /* where it sends to */
	bool tcp;
	int fd; /* UDP, or the newest TCP connection (-1 = none) */
	int listener;
	struct conn {
		int fd;
		char in[TEXT_SIZE];
		size_t in_size;
	} conns[CONNS_MAX];
	size_t conns_len;
	char msg[TEXT_SIZE]; /* the last message received */
	unsigned cseq;
};

static UNUSED struct addr ip_port(const char *ip, uint16_t port)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(&a, ip, port), 0);
	return a;
}

static UNUSED int bound_socket(const char *ip, int type, uint16_t port)
{
	struct addr a = ip_port(ip, port);
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&a, &ss);
	int fd = socket(ss.ss_family, type | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, len))
		fail_msg("bind %s: %s", ip, strerror(errno));
	return fd;
}

static UNUSED void ua_open(struct ua *u, const char *ip, const char *sbc,
			   bool tcp)
{
	memset(u, 0, sizeof(*u));
	u->ip = ip;
	u->sbc = sbc;
	u->tcp = tcp;
	u->listener = u->fd = -1;
	u->cseq = 100;
	if (!tcp) {
		u->fd = bound_socket(ip, SOCK_DGRAM, 5060);
		return;
	}
	u->listener = bound_socket(ip, SOCK_STREAM, 5060);
	assert_int_equal(listen(u->listener, 8), 0);
}

static UNUSED void conn_close(struct ua *u, size_t i)
{
	close(u->conns[i].fd);
	u->conns[i] = u->conns[--u->conns_len];
	u->fd = u->conns_len ? u->conns[u->conns_len - 1].fd : -1;
}

static UNUSED void conn_add(struct ua *u, int fd)
{
	assert_true(fd >= 0);
	if (u->conns_len == CONNS_MAX)
		conn_close(u, 0);
	u->conns[u->conns_len].in_size = 0;
	u->conns[u->conns_len++].fd = u->fd = fd;
}

/* Every connection is gone. */
static UNUSED void ua_drop(struct ua *u)
{
	while (u->conns_len)
		conn_close(u, u->conns_len - 1);
}

static UNUSED void ua_close(struct ua *u)
{
	if (!u->tcp)
		close(u->fd);
	ua_drop(u);
	if (u->listener >= 0)
		close(u->listener);
	u->fd = u->listener = -1;
}

static UNUSED void ua_send(struct ua *u, const char *text)
{
	struct addr a = ip_port(u->sbc, 5060);
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&a, &ss);

	if (u->tcp && u->fd < 0) {
		int fd = bound_socket(u->ip, SOCK_STREAM, 0);

		assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
		conn_add(u, fd);
	}
	if (u->tcp)
		assert_true(send(u->fd, text, strlen(text), MSG_NOSIGNAL) > 0);
	else
		assert_true(sendto(u->fd, text, strlen(text), 0,
				   (struct sockaddr *)&ss, len) > 0);
}

/* Value of the n-th header of that name, in a static buffer; NULL. */
static UNUSED const char *header_n(const char *msg, const char *name,
				   unsigned n)
{
	static char values[8][4096];
	static unsigned turn;
	size_t len = strlen(name);
	const char *line = strstr(msg, "\r\n");
	char *out = values[turn++ % 8];

	for (; line && strncmp(line, "\r\n\r\n", 4);
	     line = strstr(line + 2, "\r\n")) {
		const char *at = line + 2, *end;

		if (strncasecmp(at, name, len) || at[len] != ':' || n--)
			continue;
		at += len + 1;
		at += strspn(at, " ");
		end = strstr(at, "\r\n");
		snprintf(out, 4096, "%.*s", (int)(end - at), at);
		return out;
	}
	return NULL;
}

static UNUSED const char *header(const char *msg, const char *name)
{
	return header_n(msg, name, 0);
}

static UNUSED const char *body(const char *msg)
{
	const char *at = strstr(msg, "\r\n\r\n");

	return at ? at + 4 : "";
}

static UNUSED size_t whole_size(const char *text, size_t size)
{
	char *end = memmem(text, size, "\r\n\r\n", 4);
	const char *length;

	if (!end)
		return 0;
	length = header(text, "Content-Length");
	size_t need = (size_t)(end + 4 - text) +
		      (length ? strtoul(length, NULL, 10) : 0);

	return need <= size ? need : 0;
}

static UNUSED bool conn_message(struct ua *u, struct conn *c)
{
	size_t n;

	c->in[c->in_size] = '\0';
	n = whole_size(c->in, c->in_size);
	if (!n)
		return false;
	memcpy(u->msg, c->in, n);
	u->msg[n] = '\0';
	c->in_size -= n;
	memmove(c->in, c->in + n, c->in_size);
	return true;
}

static UNUSED void conn_read(struct ua *u, size_t i)
{
	struct conn *c = &u->conns[i];
	ssize_t got = recv(c->fd, c->in + c->in_size,
			   TEXT_SIZE - 1 - c->in_size, MSG_DONTWAIT);

	if (got > 0)
		c->in_size += (size_t)got;
	else if (!got || errno != EAGAIN)
		conn_close(u, i);
}

static UNUSED bool tcp_receive(struct ua *u, uint64_t deadline)
{
	for (;;) {
		struct pollfd p = {.fd = u->listener, .events = POLLIN};

		for (size_t i = 0; i < u->conns_len; i++)
			if (conn_message(u, &u->conns[i]))
				return true;
		if (clock_mono_ms() >= deadline)
			return false;
		run_ms(5);
		if (poll(&p, 1, 0) == 1)
			conn_add(u, accept4(u->listener, NULL, NULL,
					    SOCK_CLOEXEC));
		for (size_t i = u->conns_len; i-- > 0;)
			conn_read(u, i);
	}
}

/* The next message; false when there is none in time. */
static UNUSED bool ua_receive(struct ua *u, unsigned ms)
{
	uint64_t deadline = clock_mono_ms() + ms;
	ssize_t n;

	if (u->tcp)
		return tcp_receive(u, deadline);
	if (!wait_fd(u->fd, deadline))
		return false;
	n = recv(u->fd, u->msg, TEXT_SIZE - 1, 0);
	if (n < 0)
		return false;
	u->msg[n] = '\0';
	return true;
}

static UNUSED int status_of(const char *msg)
{
	return strncmp(msg, "SIP/2.0 ", 8) ? 0 : atoi(msg + 8);
}

static UNUSED bool is_request(const char *msg, const char *method)
{
	size_t len = strlen(method);

	return !strncmp(msg, method, len) && msg[len] == ' ';
}

/* Waits for a request, passing over everything else. */
static UNUSED char *expect(struct ua *u, const char *method)
{
	uint64_t deadline = clock_mono_ms() + WAIT_MS;

	while (clock_mono_ms() < deadline)
		if (ua_receive(u, (unsigned)(deadline - clock_mono_ms())) &&
		    is_request(u->msg, method))
			return u->msg;
	fail_msg("%s: no %s, last was %.60s", u->ip, method, u->msg);
	return NULL;
}

/* Waits for a response to a method, passing over everything else. */
static UNUSED char *expect_status(struct ua *u, int status, const char *method)
{
	uint64_t deadline = clock_mono_ms() + WAIT_MS;

	while (clock_mono_ms() < deadline)
		if (ua_receive(u, (unsigned)(deadline - clock_mono_ms())) &&
		    status_of(u->msg) == status &&
		    strstr(header(u->msg, "CSeq"), method))
			return u->msg;
	fail_msg("%s: no %d to %s, last was %.60s", u->ip, status, method,
		 u->msg);
	return NULL;
}

static UNUSED void expect_nothing(struct ua *u, const char *what)
{
	if (ua_receive(u, QUIET_MS))
		fail_msg("%s: %s, got %.60s", u->ip, what, u->msg);
}

#include "harness_message.h"

/* ---- the stage
 * --------------------------------------------------------------------
 */

static UNUSED int stage_network(void **state)
{
	static const char *const cmds[] = {
		"ip link set lo up",
		"ip addr add 10.10.0.10/24 dev lo",
		"ip addr add 10.10.0.50/24 dev lo",
		"ip addr add 10.10.0.99/24 dev lo",
		"ip addr add 10.20.0.10/24 dev lo",
		"ip addr add 10.20.0.50/24 dev lo",
		"ip addr add 10.20.0.51/24 dev lo",
		"ip addr add fd00:10::10/64 dev lo nodad",
		"ip addr add fd00:10::50/64 dev lo nodad",
		"ip addr add fd00:20::10/64 dev lo nodad",
		"ip addr add fd00:20::50/64 dev lo nodad",
		/* The kernel delivers to them when a work queue has run. */
		"timeout 15 sh -c 'until [ $(ip -6 route show table local "
		"type local | grep -c \" fd00:\") = 4 ]; do :; done'",
	};

	if (unshare(CLONE_NEWNET))
		return -1;
	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++)
		if (system(cmds[i]))
			return -1;
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

static UNUSED int stage_up(void **state)
{
	memset(&keeper, 0, sizeof(keeper));
	if (ha_store_create(&keeper.store) ||
	    counters_create(&keeper.counters, &keeper.counters_fd))
		return -1;
	keeper_start(true);
	keeper_wait_active();
	return 0;
}

static UNUSED int stage_down(void **state)
{
	keeper_kill();
	ha_store_destroy(keeper.store);
	counters_destroy(keeper.counters);
	close(keeper.counters_fd);
	return 0;
}

#endif
