#include "sbcd/keeper/workers.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sbcd/base/log.h"
#include "sbcd/keeper/backoff.h"
#include "sbcd/keeper/pidfile.h"
#include "sbcd/keeper/spawn.h"

enum {
	RECEIVE_BUDGET = 512, /* messages of one worker in one turn */
	MEDIA_NICE = -5, /* late media is lost media */
};

struct worker {
	struct workers *ws;
	enum hub_worker who;
	pid_t pid; /* 0 = none */
	int pid_fd;
	struct loop_fd *pid_watch, *link_watch;
	struct link *link;
	bool want_write;
	bool killed; /* by us */
	bool condemned; /* by us, for hanging */
	struct loop_timer *restart;
	struct backoff backoff;
	uint64_t crashes;
	struct counters *counters;
	int counters_fd;
};

struct workers {
	struct workers_params p;
	bool stopping;
	struct worker each[HUB_WORKERS];
};

const char *workers_name(enum hub_worker w)
{
	return w == HUB_SIP ? "sip" : "media";
}

static void start_one(struct worker *wk);

static void forget_process(struct worker *wk)
{
	loop_fd_remove(wk->pid_watch);
	loop_fd_remove(wk->link_watch);
	link_destroy(wk->link);
	if (wk->pid_fd >= 0)
		close(wk->pid_fd);
	wk->pid_watch = NULL;
	wk->link_watch = NULL;
	wk->link = NULL;
	wk->pid_fd = -1;
	wk->pid = 0;
	wk->want_write = false;
}

/* Not by a signal that others send to what works well. */
static bool died_of_its_work(const struct worker *wk, int status)
{
	return wk->condemned || !WIFSIGNALED(status) ||
	       (WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM);
}

static void fill_death(struct worker *wk, struct worker_death *d, int status)
{
	uint64_t now_ms = loop_now_ms(wk->ws->p.loop);

	memset(d, 0, sizeof(*d));
	d->who = wk->who;
	d->wanted = wk->killed;
	d->status = status;
	d->ran_ms = now_ms - wk->backoff.started_ms;
	d->what_size = sizeof(d->what);
	d->busy = counters_get_busy(wk->counters, d->what, &d->what_size);
	counters_set_busy(wk->counters, BUSY_NOTHING, NULL, 0);
	d->of_its_work = died_of_its_work(wk, status);
	if (!d->of_its_work)
		d->busy = BUSY_NOTHING;
	if (d->wanted)
		return;
	wk->crashes++;
	d->restart_ms = backoff_died(&wk->backoff, now_ms);
	d->storm = backoff_storm(&wk->backoff, now_ms);
}

static void reap(struct worker *wk, int status)
{
	struct worker_death d;

	forget_process(wk);
	pidfile_remove(wk->ws->p.run_dir, workers_name(wk->who));
	fill_death(wk, &d, status);
	wk->killed = wk->condemned = false;
	wk->ws->p.ops->died(wk->ws->p.ctx, &d);
	if (wk->ws->stopping)
		return;
	if (d.restart_ms)
		loop_timer_arm(wk->restart, d.restart_ms);
	else
		start_one(wk);
}

/* Its end of the link is closed: whatever it still does is of no use. */
static void link_lost(struct worker *wk)
{
	loop_fd_remove(wk->link_watch);
	wk->link_watch = NULL;
	kill(wk->pid, SIGKILL);
}

static void on_link_event(void *ctx, uint32_t events)
{
	struct worker *wk = ctx;
	struct workers *ws = wk->ws;
	struct link_message m;
	pid_t pid = wk->pid;

	if (events & EPOLLOUT && link_flush(wk->link)) {
		link_lost(wk);
		return;
	}
	if (!(events & ~(uint32_t)EPOLLOUT))
		return;
	for (unsigned i = 0; i < RECEIVE_BUDGET || link_buffered(wk->link);
	     i++) {
		int n = link_receive(wk->link, &m);

		if (!n)
			return;
		if (n == -EBADMSG) {
			ws->p.ops->malformed(ws->p.ctx, wk->who);
			continue;
		}
		if (n < 0) {
			link_lost(wk);
			return;
		}
		ws->p.ops->message(ws->p.ctx, wk->who, &m);
		/* The callback may have ended this process. */
		if (wk->pid != pid || !wk->link_watch)
			return;
	}
}

static void on_exit_event(void *ctx, uint32_t events)
{
	struct worker *wk = ctx;
	int status;

	if (waitpid(wk->pid, &status, WNOHANG) != wk->pid)
		return;
	/* What it put before it died is as good as any other put. */
	while (wk->link_watch && !wk->killed)
		on_link_event(wk, EPOLLIN);
	reap(wk, status);
}

static pid_t run(struct worker *wk, int link_fd_child)
{
	const char *const argv[] = {"sbcd", "--worker", workers_name(wk->who),
				    NULL};
	struct spawn_params sp = {
		.argv = argv,
		.fds = {link_fd_child, wk->counters_fd},
		.fds_len = 2,
		.worker = true,
		.uid = wk->ws->p.uid,
		.gid = wk->ws->p.gid,
		.oom_score_adj = wk->who == HUB_SIP ? 200 : 100,
		.nice = wk->who == HUB_SIP ? 0 : MEDIA_NICE,
	};

	return spawn(&sp);
}

static int watch(struct worker *wk)
{
	struct loop *loop = wk->ws->p.loop;
	int err;

	wk->pid_fd = (int)syscall(SYS_pidfd_open, wk->pid, 0);
	if (wk->pid_fd < 0)
		return -errno;
	err = loop_fd_add(loop, &wk->link_watch, link_fd(wk->link), EPOLLIN,
			  on_link_event, wk);
	if (err)
		return err;
	return loop_fd_add(loop, &wk->pid_watch, wk->pid_fd, EPOLLIN,
			   on_exit_event, wk);
}

static int try_start(struct worker *wk)
{
	int pair[2], err;

	err = link_socketpair(pair);
	if (err)
		return err;
	err = link_create(&wk->link, pair[0]);
	if (err) {
		close(pair[0]);
		close(pair[1]);
		return err;
	}
	link_refuse_fds(wk->link);
	err = link_gather(wk->link);
	if (err) {
		close(pair[1]);
		forget_process(wk);
		return err;
	}
	wk->pid = run(wk, pair[1]);
	close(pair[1]);
	if (wk->pid < 0) {
		err = wk->pid;
		wk->pid = 0;
		forget_process(wk);
		return err;
	}
	err = watch(wk);
	if (err) {
		/* Just started and not yet known to anybody. */
		kill(wk->pid, SIGKILL);
		waitpid(wk->pid, NULL, 0);
		forget_process(wk);
	}
	return err;
}

static void start_one(struct worker *wk)
{
	struct workers *ws = wk->ws;
	uint64_t now_ms = loop_now_ms(ws->p.loop);
	int err;

	if (wk->pid || ws->stopping)
		return;
	loop_timer_disarm(wk->restart);
	backoff_started(&wk->backoff, now_ms);
	err = try_start(wk);
	if (err) {
		log_err("worker=%s event=start-failed error=\"%s\"",
			workers_name(wk->who), strerror(-err));
		loop_timer_arm(wk->restart, backoff_died(&wk->backoff, now_ms));
		return;
	}
	pidfile_write(ws->p.run_dir, workers_name(wk->who), wk->pid);
	ws->p.ops->started(ws->p.ctx, wk->who);
}

static void on_restart(void *ctx)
{
	start_one(ctx);
}

/* ---- from outside ------------------------------------------------------- */
int workers_create(struct workers **out, const struct workers_params *p)
{
	struct workers *ws = calloc(1, sizeof(*ws));
	char level[12];
	int err = 0;

	if (!ws)
		return -ENOMEM;
	ws->p = *p;
	for (int i = 0; i < HUB_WORKERS; i++) {
		ws->each[i].ws = ws;
		ws->each[i].who = (enum hub_worker)i;
		ws->each[i].pid_fd = -1;
		ws->each[i].counters_fd = -1;
	}
	/* The worker finds the rest of what it must know in its environment:
	 * how to sign its log lines. */
	snprintf(level, sizeof(level), "%d", p->log_level);
	if (setenv("SBCD_NODE", p->node_name, 1) ||
	    setenv("SBCD_LOG_LEVEL", level, 1))
		err = -errno;
	for (int i = 0; i < HUB_WORKERS && !err; i++) {
		struct worker *wk = &ws->each[i];

		err = counters_create(&wk->counters, &wk->counters_fd);
		if (!err)
			err = loop_timer_create(p->loop, &wk->restart,
						on_restart, wk);
	}
	if (err) {
		workers_destroy(ws);
		return err;
	}
	*out = ws;
	return 0;
}

void workers_destroy(struct workers *ws)
{
	if (!ws)
		return;
	ws->stopping = true;
	for (int i = 0; i < HUB_WORKERS; i++) {
		if (ws->each[i].pid)
			kill(ws->each[i].pid, SIGKILL);
	}
	for (int i = 0; i < HUB_WORKERS; i++) {
		struct worker *wk = &ws->each[i];

		if (wk->pid)
			waitpid(wk->pid, NULL, 0);
		forget_process(wk);
		pidfile_remove(ws->p.run_dir, workers_name(wk->who));
		loop_timer_destroy(wk->restart);
		counters_destroy(wk->counters);
		if (wk->counters_fd >= 0)
			close(wk->counters_fd);
	}
	free(ws);
}

void workers_start(struct workers *ws)
{
	for (int i = 0; i < HUB_WORKERS; i++)
		start_one(&ws->each[i]);
}

void workers_kill(struct workers *ws, enum hub_worker w)
{
	struct worker *wk = &ws->each[w];

	if (!wk->pid || wk->killed)
		return;
	wk->killed = true;
	kill(wk->pid, SIGKILL);
	/* What it wrote before is of the time before: nobody reads it. */
	loop_fd_remove(wk->link_watch);
	wk->link_watch = NULL;
}

void workers_condemn(struct workers *ws, enum hub_worker w)
{
	struct worker *wk = &ws->each[w];

	if (!wk->pid)
		return;
	wk->condemned = true;
	kill(wk->pid, SIGKILL);
}

void workers_restart(struct workers *ws)
{
	for (int i = 0; i < HUB_WORKERS; i++) {
		struct worker *wk = &ws->each[i];

		wk->backoff.next_ms = 0;
		if (wk->pid)
			workers_kill(ws, wk->who);
		else
			start_one(wk);
	}
}

int workers_send(struct workers *ws, enum hub_worker w,
		 const struct link_message *m)
{
	struct worker *wk = &ws->each[w];

	if (!wk->link || !wk->link_watch)
		return -EPIPE;
	return link_send(wk->link, m);
}

void workers_turn_end(struct workers *ws)
{
	for (int i = 0; i < HUB_WORKERS; i++) {
		struct worker *wk = &ws->each[i];
		bool want;

		if (!wk->link_watch)
			continue;
		if (link_flush(wk->link)) {
			link_lost(wk);
			continue;
		}
		want = link_pending(wk->link);
		if (want == wk->want_write)
			continue;
		if (loop_fd_modify(wk->link_watch,
				   want ? EPOLLIN | EPOLLOUT : EPOLLIN))
			continue;
		wk->want_write = want;
	}
}

bool workers_running(const struct workers *ws, enum hub_worker w)
{
	return ws->each[w].pid && ws->each[w].link_watch;
}

pid_t workers_pid(const struct workers *ws, enum hub_worker w)
{
	return ws->each[w].pid;
}

uint64_t workers_crashes(const struct workers *ws, enum hub_worker w)
{
	return ws->each[w].crashes;
}

bool workers_storm(const struct workers *ws, enum hub_worker w, uint64_t now_ms)
{
	return backoff_storm(&ws->each[w].backoff, now_ms);
}

size_t workers_queued_bytes(const struct workers *ws, enum hub_worker w)
{
	return ws->each[w].link ? link_queued_bytes(ws->each[w].link) : 0;
}

void workers_set_clock(struct workers *ws, int64_t offset_ns)
{
	for (int i = 0; i < HUB_WORKERS; i++)
		atomic_store_explicit(counters_clock(ws->each[i].counters),
				      offset_ns, memory_order_relaxed);
}

const struct counters *workers_counters(const struct workers *ws,
					enum hub_worker w)
{
	return ws->each[w].counters;
}
