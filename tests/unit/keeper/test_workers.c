/*
 * The supervisor against real processes: this very program is the worker (it
 * is re-executed as "--worker sip|media") and does what the command file in
 * the environment says.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/counters.h"
#include "sbcd/config/config.h"
#include "sbcd/keeper/backoff.h"
#include "sbcd/keeper/spawn.h"
#include "sbcd/keeper/workers.h"

enum { LAST_WORDS = 600 };

/* ---- the worker --------------------------------------------------------- */
static void say(struct link *l, uint8_t type, const char *text)
{
	struct link_message m = {
		.type = type,
		.value = text,
		.size = strlen(text),
	};

	if (link_send(l, &m))
		_exit(9);
}

static void describe_rights(char *out, size_t size)
{
	char line[256];
	struct rlimit core;
	FILE *f = fopen("/proc/self/status", "r");
	int sig = 0;

	out[0] = '\0';
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Uid:", 4) || !strncmp(line, "Groups:", 7) ||
		    !strncmp(line, "Cap", 3) || !strncmp(line, "NoNew", 5))
			strncat(out, line, size - strlen(out) - 1);
	}
	getrlimit(RLIMIT_CORE, &core);
	prctl(PR_GET_PDEATHSIG, &sig);
	snprintf(line, sizeof(line),
		 "core=%d pdeathsig=%d open=", (int)core.rlim_cur, sig);
	strncat(out, line, size - strlen(out) - 1);
	for (int fd = 0; fd < 64; fd++) {
		/* The status file is ours. */
		if (f && fd == fileno(f))
			continue;
		if (fcntl(fd, F_GETFD) >= 0) {
			snprintf(line, sizeof(line), "%d,", fd);
			strncat(out, line, size - strlen(out) - 1);
		}
	}
}

static int worker(const char *kind)
{
	const char *todo = getenv("TEST_WORKER");
	struct counters *counters;
	char text[4096];
	struct link *l;

	if (link_create(&l, LINK_WORKER_FD) ||
	    counters_map(&counters, LINK_COUNTERS_FD))
		return 8;
	if (!strcmp(todo, "rights")) {
		describe_rights(text, sizeof(text));
		say(l, LINK_HELLO, text);
	} else if (!strcmp(todo, "crash")) {
		counters_add(counters, COUNTER_sip_rx_requests, 1);
		counters_set_busy(counters, BUSY_INPUT, "poison", 6);
		/* Put in the same breath, more than one turn of the loop
		 * reads: all must arrive. */
		for (int i = 0; i < LAST_WORDS; i++)
			say(l, LINK_PUT, "last words");
		abort();
	} else if (!strcmp(todo, "busy")) {
		counters_set_busy(counters, BUSY_INPUT, "poison", 6);
		say(l, LINK_HELLO, kind);
	} else if (!strcmp(todo, "mute")) {
		close(LINK_WORKER_FD);
	} else {
		say(l, LINK_HELLO, kind);
	}
	for (;;)
		pause();
}

/* ---- the test ----------------------------------------------------------- */
struct fixture {
	struct loop *loop;
	struct loop_timer *timer;
	struct workers *ws;
	char dir[64];
	int started[HUB_WORKERS];
	uint64_t started_ms[16]; /* of the SIP worker */
	int deaths;
	struct worker_death last[16];
	char text[4096];
	int puts;
	int want_deaths, want_hellos;
	int hellos;
};

static void check(struct fixture *f)
{
	if (f->deaths >= f->want_deaths && f->hellos >= f->want_hellos)
		loop_stop(f->loop, 1);
}

static void on_started(void *ctx, enum hub_worker w)
{
	struct fixture *f = ctx;

	if (w == HUB_SIP && f->started[w] < 16)
		f->started_ms[f->started[w]] = clock_mono_ms();
	f->started[w]++;
}

static void on_message(void *ctx, enum hub_worker w,
		       const struct link_message *m)
{
	struct fixture *f = ctx;

	if (w != HUB_SIP)
		return;
	if (m->type == LINK_PUT)
		f->puts++;
	if (m->type == LINK_HELLO) {
		snprintf(f->text, sizeof(f->text), "%s",
			 (const char *)m->value);
		f->hellos++;
	}
	check(f);
}

static void on_died(void *ctx, const struct worker_death *d)
{
	struct fixture *f = ctx;

	if (d->who != HUB_SIP)
		return;
	if (f->deaths < 16)
		f->last[f->deaths] = *d;
	f->deaths++;
	check(f);
}

static void on_malformed(void *ctx, enum hub_worker w)
{
	fail();
}

static const struct workers_ops ops = {
	.started = on_started,
	.message = on_message,
	.died = on_died,
	.malformed = on_malformed,
};

static void on_timer(void *ctx)
{
	loop_stop(((struct fixture *)ctx)->loop, 0);
}

/* True when what was wanted happened in time. */
static bool run_until(struct fixture *f, int deaths, int hellos, uint64_t ms)
{
	int code;

	f->want_deaths = deaths;
	f->want_hellos = hellos;
	loop_timer_arm(f->timer, ms);
	code = loop_run(f->loop);
	loop_timer_disarm(f->timer);
	return code;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct workers_params p = {.ops = &ops, .ctx = f, .node_name = "n"};
	const struct config_node node = {.user = "nobody"};

	assert_non_null(f);
	strcpy(f->dir, "/tmp/sbcd-workers-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(loop_create(&f->loop), 0);
	assert_int_equal(loop_timer_create(f->loop, &f->timer, on_timer, f), 0);
	p.loop = f->loop;
	p.run_dir = f->dir;
	assert_int_equal(config_node_user(&node, &p.uid, &p.gid), 0);
	assert_int_equal(workers_create(&f->ws, &p), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	workers_destroy(f->ws);
	loop_timer_destroy(f->timer);
	loop_destroy(f->loop);
	/* No pid file is left behind. */
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

static void a_worker_has_no_rights(void **state)
{
	struct fixture *f = *state;
	/* Of some library that does not set close-on-exec. */
	int stray = fcntl(STDIN_FILENO, F_DUPFD, 20);

	assert_true(stray >= 0);
	gid_t adm = 4;

	assert_int_equal(setgroups(1, &adm), 0);
	setenv("TEST_WORKER", "rights", 1);
	workers_start(f->ws);
	assert_int_equal(setgroups(0, NULL), 0);
	assert_true(run_until(f, 0, 1, 5000));
	close(stray);
	assert_non_null(strstr(f->text, "Uid:\t65534\t65534\t65534\t65534"));
	assert_non_null(strstr(f->text, "Groups:\t \n"));
	assert_non_null(strstr(f->text, "CapPrm:\t0000000000000000"));
	assert_non_null(strstr(f->text, "CapEff:\t0000000000000000"));
	assert_non_null(strstr(f->text, "CapBnd:\t0000000000000000"));
	assert_non_null(strstr(f->text, "CapAmb:\t0000000000000000"));
	assert_non_null(strstr(f->text, "NoNewPrivs:\t1"));
	assert_non_null(strstr(f->text, "core=0 pdeathsig=9"));
	/* Standard descriptors, link, counters: nothing of the keeper. */
	assert_string_equal(strstr(f->text, "open="), "open=0,1,2,3,4,");
}

static void crashes_are_seen_and_backed_off(void **state)
{
	struct fixture *f = *state;
	uint64_t gap_ms;

	setenv("TEST_WORKER", "crash", 1);
	workers_start(f->ws);
	/* Dead before the loop looks at any of it. */
	nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
	assert_true(run_until(f, 4, 0, 5000));
	assert_true(WIFSIGNALED(f->last[0].status));
	assert_int_equal(WTERMSIG(f->last[0].status), SIGABRT);
	assert_false(f->last[0].wanted);
	assert_int_equal(f->last[0].restart_ms, BACKOFF_FIRST_MS);
	assert_int_equal(f->last[1].restart_ms, 2 * BACKOFF_FIRST_MS);
	assert_int_equal(f->last[2].restart_ms, 4 * BACKOFF_FIRST_MS);
	assert_false(f->last[1].storm);
	assert_true(f->last[2].storm);
	assert_int_equal(f->last[0].busy, BUSY_INPUT);
	assert_int_equal(f->last[0].what_size, 6);
	assert_memory_equal(f->last[0].what, "poison", 6);
	gap_ms = f->started_ms[3] - f->started_ms[2];
	assert_true(gap_ms >= 4 * BACKOFF_FIRST_MS);
	/* What it put before it died was not lost, its page goes on. */
	assert_int_equal(f->puts, 4 * LAST_WORDS);
	assert_int_equal(counters_get(workers_counters(f->ws, HUB_SIP),
				      COUNTER_sip_rx_requests),
			 4);
	assert_int_equal(workers_crashes(f->ws, HUB_SIP), 4);
}

static void a_wanted_restart_is_no_crash(void **state)
{
	struct fixture *f = *state;
	pid_t before;

	setenv("TEST_WORKER", "idle", 1);
	workers_start(f->ws);
	assert_true(run_until(f, 0, 1, 5000));
	before = workers_pid(f->ws, HUB_SIP);
	workers_restart(f->ws);
	assert_false(workers_running(f->ws, HUB_SIP));
	assert_true(run_until(f, 1, 2, 5000));
	assert_true(f->last[0].wanted);
	assert_int_equal(f->last[0].restart_ms, 0);
	assert_true(workers_pid(f->ws, HUB_SIP) != before);
	assert_int_equal(workers_crashes(f->ws, HUB_SIP), 0);
	/* The other one in its own time. */
	for (int i = 0; i < 500 && f->started[HUB_MEDIA] < 2; i++)
		(void)run_until(f, INT_MAX, 0, 10);
	assert_int_equal(f->started[HUB_MEDIA], 2);
}

/* Whoever kills a worker says nothing about what it was reading. */
static void only_its_own_death_has_a_cause(void **state)
{
	static const int outside[] = {SIGKILL, SIGTERM};
	struct fixture *f = *state;

	setenv("TEST_WORKER", "busy", 1);
	workers_start(f->ws);
	for (int i = 0; i < 2; i++) {
		assert_true(run_until(f, i, 1 + i, 5000));
		kill(workers_pid(f->ws, HUB_SIP), outside[i]);
	}
	assert_true(run_until(f, 2, 3, 5000));
	workers_condemn(f->ws, HUB_SIP);
	assert_true(run_until(f, 3, 4, 5000));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(WTERMSIG(f->last[i].status), outside[i]);
		assert_int_equal(f->last[i].busy, BUSY_NOTHING);
	}
	assert_int_equal(WTERMSIG(f->last[2].status), SIGKILL);
	assert_int_equal(f->last[2].busy, BUSY_INPUT);
	/* All of them count, and are waited for. */
	assert_int_equal(workers_crashes(f->ws, HUB_SIP), 3);
	assert_int_equal(f->last[2].restart_ms, 4 * BACKOFF_FIRST_MS);
}

static void a_worker_that_hangs_up_is_ended(void **state)
{
	struct fixture *f = *state;

	setenv("TEST_WORKER", "mute", 1);
	workers_start(f->ws);
	assert_true(run_until(f, 1, 0, 5000));
	assert_int_equal(WTERMSIG(f->last[0].status), SIGKILL);
	assert_int_equal(workers_crashes(f->ws, HUB_SIP), 1);
}

static void a_dead_worker_takes_no_messages(void **state)
{
	struct fixture *f = *state;
	struct link_message m = {.type = LINK_QUIESCE};

	assert_int_equal(workers_send(f->ws, HUB_SIP, &m), -EPIPE);
	setenv("TEST_WORKER", "idle", 1);
	workers_start(f->ws);
	assert_int_equal(workers_send(f->ws, HUB_SIP, &m), 0);
	workers_kill(f->ws, HUB_SIP);
	assert_int_equal(workers_send(f->ws, HUB_SIP, &m), -EPIPE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(a_worker_has_no_rights),
		T(crashes_are_seen_and_backed_off),
		T(a_wanted_restart_is_no_crash),
		T(only_its_own_death_has_a_cause),
		T(a_worker_that_hangs_up_is_ended),
		T(a_dead_worker_takes_no_messages),
	};

	if (argc == 3 && !strcmp(argv[1], "--worker"))
		return worker(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
