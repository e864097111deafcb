#include "sbcd/keeper/keeper.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/files.h"
#include "sbcd/keeper/keeper_int.h"
#include "sbcd/keeper/pidfile.h"
#include "sbcd/keeper/spawn.h"
#include "sbcd/record/kinds.h"

enum {
	LOCK_WAIT_MS = 2000,
	TICK_MS = 10,
	SLOW_TURN_MS = 50,
	STALL_MS = 250, /* beat.h says why */
	HOUSE_MS = 100,
	GUARD_RESTART_MS = 100,
	DISK_QUEUE = 64,
	DISK_STOP_MS = 1000,
	CPG_QUEUE_FRAMES = 4096,
	SNAPSHOT_BYTES_PER_S = 20 * 1000 * 1000,
	COMMIT_TIMEOUT_MS = HUB_COMMIT_MS,
	BATCH_MS = 2,
	/* What corosync costs is rotations of its token, so frames, not
	 * bytes: 200 a second are enough. */
	GAP_MS = 5,
	BATCH_BYTES = 32768,
	MISSED_ACKS_MAX = 3,
	/* Turns of the loop a clean stop may take for its last words. */
	STOP_TURN_MS = 5,
	STOP_TURNS = 20,
	MAIN_PRIORITY = 2, /* below the beat thread */
	MAIN_NICE = -10,
};

uint32_t keeper_calls(const struct keeper *k)
{
	return (uint32_t)ha_store_count_kind(ha_engine_store(k->engine),
					     REC_CALL);
}

void keeper_publish(struct keeper *k)
{
	const struct roles *r = &k->roles;
	struct ha_status s = {
		.node = k->node.id,
		.role = r->role,
		.in_sync = r->in_sync,
		.health = (uint8_t)k->health.score,
		.calls = keeper_calls(k),
		.epoch = k->epoch.heard,
		.active_epoch = k->epoch.active,
		.boot_id = k->boot_id,
		.config_digest = k->config->digest,
		.fence = {k->fence.own[0], k->fence.own[1]},
	};

	memcpy(s.prints, k->prints.own, sizeof(s.prints));
	snprintf(s.name, sizeof(s.name), "%.31s", k->node.name);
	snprintf(s.version, sizeof(s.version), "%s", SBC_VERSION);
	ha_engine_set_status(k->engine, &s);
	beat_announce(k->beat, (uint8_t)r->role, (uint8_t)k->health.score,
		      k->epoch.active);
}

/* ---- the epoch file ----------------------------------------------------- */
static void on_epoch_written(void *ctx, int err, uint64_t took_us)
{
	struct keeper *k = ctx;

	k->epoch_busy = false;
	k->disk_failed = err != 0;
	if (err) {
		log_rated(LOG_ERR, "event=epoch-not-written error=\"%s\"",
			  strerror(-err));
		k->epoch.dirty = true;
		return;
	}
	log_debug("event=epoch-written took-us=%" PRIu64, took_us);
	epoch_written(&k->epoch, k->epoch_writing);
	role_epoch_written(k);
}

void keeper_write_epoch(struct keeper *k)
{
	char path[PATH_MAX], text[EPOCH_TEXT_SIZE];

	if (k->epoch_busy || !epoch_wants_write(&k->epoch))
		return;
	files_epoch_path(k, path, sizeof(path));
	epoch_format(&k->epoch, text, sizeof(text));
	k->epoch_writing = k->epoch.asked;
	if (disk_write_file(k->disk, path, text, strlen(text), on_epoch_written,
			    k)) {
		k->epoch.dirty = true;
		return;
	}
	k->epoch_busy = true;
}

static void on_disk(void *ctx, uint32_t events)
{
	struct keeper *k = ctx;

	disk_dispatch(k->disk);
}

/* ---- replication -------------------------------------------------------- */
static int engine_send(void *ctx, const void *frame, size_t size)
{
	struct keeper *k = ctx;

	return ha_cpg_send(k->cpg, frame, size);
}

static void engine_applied(void *ctx, const struct ha_item *item)
{
	struct keeper *k = ctx;

	epoch_heard(&k->epoch, item->version.epoch);
	if (item->key.kind == REC_CONFIG)
		house_config_applied(k);
	else if (item->key.kind == REC_CDR)
		cdr_applied(k->cdr, item);
	else if (item->key.kind == REC_FAILOVER)
		recorder_applied(k, item);
	hub_applied(k->hub, &item->key);
}

static void engine_committed(void *ctx, uint64_t token, bool timed_out)
{
	struct keeper *k = ctx;

	if (token & CDR_TOKEN)
		cdr_committed(k->cdr, token);
	else
		hub_committed(k->hub, token, timed_out);
}

static void engine_peer_status(void *ctx, const struct ha_status *s)
{
	struct keeper *k = ctx;

	role_on_status(k, s);
	if (s)
		clock_on_status(k, s);
	role_evaluate(k);
}

static void engine_sync_changed(void *ctx, bool in_sync, const char *reason)
{
	struct keeper *k = ctx;

	role_on_sync(k, in_sync, reason);
}

static void engine_command(void *ctx, uint8_t from, enum ha_command cmd,
			   uint64_t arg)
{
	struct keeper *k = ctx;

	if (from == k->node.id)
		return;
	switch (cmd) {
	case HA_CMD_GO:
		k->service.go_ms = clock_mono_ms();
		role_on_go(k, arg);
		break;
	case HA_CMD_RELEASED:
		k->roles.peer_released_word = true;
		break;
	case HA_CMD_CDR_WRITTEN:
		cdr_peer_written(k->cdr, arg);
		break;
	case HA_CMD_SWITCHOVER_ASK:
	case HA_CMD_REFUSED:
		handover_on_command(k, cmd, arg);
		break;
	default:
		log_rated(LOG_WARNING, "event=command-unknown cmd=%d",
			  (int)cmd);
		break;
	}
}

static void engine_stamp(void *ctx, struct ha_status *s)
{
	clock_stamp(ctx, s);
}

static void engine_dropped(void *ctx, uint8_t from, const char *why)
{
	log_rated(LOG_WARNING, "event=frame-dropped from=%u why=\"%s\"", from,
		  why);
}

static const struct ha_engine_ops engine_ops = {
	.send = engine_send,
	.applied = engine_applied,
	.committed = engine_committed,
	.peer_status = engine_peer_status,
	.sync_changed = engine_sync_changed,
	.command = engine_command,
	.stamp = engine_stamp,
	.dropped = engine_dropped,
};

static void cpg_deliver(void *ctx, uint8_t from, const void *frame, size_t size)
{
	struct keeper *k = ctx;

	if (from == k->roles.ev.peer_node)
		k->roles.ev.last_word_ms = clock_mono_ms();
	ha_engine_receive(k->engine, from, frame, size);
}

static void cpg_members(void *ctx, bool self, bool peer, enum ha_peer_left left,
			uint64_t ring_seq)
{
	struct keeper *k = ctx;

	role_on_ring(k, ring_seq);
	role_on_members(k, self, peer, left);
	ha_engine_membership(k->engine, self, peer);
	role_evaluate(k);
}

static void cpg_quorum(void *ctx, bool quorate, uint64_t ring_seq)
{
	struct keeper *k = ctx;

	role_on_quorum(k, quorate, ring_seq);
	role_evaluate(k);
}

static void cpg_witness(void *ctx, bool votes)
{
	struct keeper *k = ctx;

	role_on_witness(k, votes);
	role_evaluate(k);
}

static void cpg_link(void *ctx, bool up, const char *why)
{
	struct keeper *k = ctx;

	role_on_corosync(k, up, why);
	if (!up)
		ha_engine_membership(k->engine, false, false);
	role_evaluate(k);
}

static const struct ha_cpg_ops cpg_ops = {
	.deliver = cpg_deliver,
	.members = cpg_members,
	.quorum = cpg_quorum,
	.witness = cpg_witness,
	.link = cpg_link,
};

static void on_cpg(void *ctx, uint32_t events)
{
	struct keeper *k = ctx;

	ha_cpg_dispatch(k->cpg);
}

/* ---- the guard ---------------------------------------------------------- */
static void on_guard(void *ctx, uint32_t events);

static int run_guard(struct keeper *k,
		     pid_t (*run)(const struct guard_params *p, int *fd_out))
{
	struct guard_params p = {
		.node = k->node.id,
		.boot_id = k->boot_id,
		.log_level = k->node.log_level,
		.keeper = getpid(),
		.lock_fd = k->lock_fd,
	};
	pid_t pid;

	memcpy(p.key, k->beat_key, sizeof(p.key));
	snprintf(p.name, sizeof(p.name), "%.63s", k->node.name);
	snprintf(p.run_dir, sizeof(p.run_dir), "%s", k->node.run_dir);
	p.paths_len = netglue_beat_paths(k->net, p.paths, GUARD_PATHS_MAX);
	pid = run(&p, &k->guard_fd);
	explicit_bzero(&p, sizeof(p));
	if (pid < 0) {
		log_err("event=guard-not-started error=\"%s\"", strerror(-pid));
		return pid;
	}
	k->guard_pid = pid;
	pidfile_write(k->node.run_dir, "guard", pid);
	return loop_fd_add(k->loop, &k->guard_watch, k->guard_fd, EPOLLIN,
			   on_guard, k);
}

/* At start nothing goes on before it is armed. */
static int start_guard(struct keeper *k)
{
	int err = run_guard(k, guard_start);

	k->guard_armed = !err;
	return err;
}

/* Later the main loop must not wait: calls are up. */
static void on_guard_timer(void *ctx)
{
	struct keeper *k = ctx;

	/* The dead one is reaped first: its descriptors close before that. */
	if (k->guard_pid && !waitpid(k->guard_pid, NULL, WNOHANG)) {
		loop_timer_arm(k->guard_timer, 1);
		return;
	}
	k->guard_pid = 0;
	if (run_guard(k, guard_launch))
		loop_timer_arm(k->guard_timer, GUARD_RESTART_MS);
}

static void on_guard(void *ctx, uint32_t events)
{
	struct keeper *k = ctx;
	int armed = guard_is_armed(k->guard_fd);

	if (armed >= 0) {
		k->guard_armed |= armed;
		return;
	}
	loop_fd_remove(k->guard_watch);
	k->guard_watch = NULL;
	close(k->guard_fd);
	k->guard_fd = -1;
	k->guard_armed = false;
	log_err("event=guard-gone pid=%d", (int)k->guard_pid);
	kill(k->guard_pid, SIGKILL);
	loop_timer_arm(k->guard_timer, 1);
}

/* ---- the loop ----------------------------------------------------------- */
static void arm_deadline(struct loop_timer *t, uint64_t deadline_ms)
{
	uint64_t now_ms = clock_mono_ms();

	if (deadline_ms == UINT64_MAX)
		loop_timer_disarm(t);
	else
		loop_timer_arm(t,
			       deadline_ms > now_ms ? deadline_ms - now_ms : 0);
}

static void on_turn_end(void *ctx)
{
	struct keeper *k = ctx;
	uint64_t now_ms = clock_mono_ms();

	hub_pump(k->hub, now_ms);
	ha_engine_flush(k->engine, now_ms);
	handover_turn(k);
	role_listen(k);
	workers_turn_end(k->workers);
	arm_deadline(k->engine_timer, ha_engine_deadline_ms(k->engine));
	arm_deadline(k->hub_timer, hub_deadline_ms(k->hub));
	beat_tick(k->beat);
	now_ms = clock_mono_ms();
	/* Nothing here may block; whatever does is to be found. */
	if (now_ms - loop_now_ms(k->loop) >= SLOW_TURN_MS)
		log_rated(LOG_WARNING, "event=slow-turn ms=%" PRIu64,
			  now_ms - loop_now_ms(k->loop));
}

static void on_deadline(void *ctx)
{
	/* The end of this turn does the work. */
}

static void on_tick(void *ctx)
{
	struct keeper *k = ctx;

	beat_tick(k->beat);
	netglue_probe_gateways(k->net, clock_mono_ms(),
			       k->roles.ev.last_beat_ms);
	role_evaluate(k);
	fence_turn(k);
	loop_timer_arm(k->tick, TICK_MS);
}

static void on_house(void *ctx)
{
	struct keeper *k = ctx;

	house_turn(k);
	loop_timer_arm(k->house, HOUSE_MS);
}

static void on_beat(void *ctx, uint32_t events)
{
	role_on_beats(ctx);
}

static void on_signal(void *ctx, uint32_t events)
{
	struct keeper *k = ctx;
	struct signalfd_siginfo si;

	while (read(k->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGHUP) {
			log_notice("event=reload-ignored: restart to change "
				   "the configuration");
			continue;
		}
		log_notice("event=stop signal=%u", si.ssi_signo);
		loop_stop(k->loop, 0);
	}
}

/* ---- start -------------------------------------------------------------- */
static int watch_signals(struct keeper *k)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	k->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (k->signal_fd < 0)
		return -errno;
	return loop_fd_add(k->loop, &k->signal_watch, k->signal_fd, EPOLLIN,
			   on_signal, k);
}

static int make_timers(struct keeper *k)
{
	struct {
		struct loop_timer **timer;
		loop_timer_fn *fn;
	} timers[] = {
		{&k->tick, on_tick},
		{&k->house, on_house},
		{&k->engine_timer, on_deadline},
		{&k->hub_timer, on_deadline},
		{&k->guard_timer, on_guard_timer},
	};
	int err = 0;

	for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]) && !err; i++)
		err = loop_timer_create(k->loop, timers[i].timer, timers[i].fn,
					k);
	return err;
}

static int make_engine(struct keeper *k)
{
	struct ha_engine_params p = {
		.node = k->node.id,
		.boot_id = k->boot_id,
		.epoch = k->epoch.heard,
		.commit_timeout_ms = COMMIT_TIMEOUT_MS,
		.batch_ms = BATCH_MS,
		.gap_ms = GAP_MS,
		.batch_bytes = BATCH_BYTES,
		.status_interval_ms = KEEPER_STATUS_MS,
		.snapshot_bytes_per_s = SNAPSHOT_BYTES_PER_S,
		.missed_acks_max = MISSED_ACKS_MAX,
		.ops = &engine_ops,
		.ctx = k,
	};
	int err = ha_engine_create(&k->engine, &p);

	if (err)
		return err;
	return hub_create(&k->hub, ha_engine_store(k->engine),
			  &supervise_hub_ops, k);
}

static int make_workers(struct keeper *k)
{
	struct workers_params p = {
		.loop = k->loop,
		.node_name = k->node.name,
		.run_dir = k->node.run_dir,
		.log_level = k->node.log_level,
		.ops = &supervise_workers_ops,
		.ctx = k,
	};
	int err = config_node_user(&k->node, &p.uid, &p.gid);

	if (err) {
		log_err("user=%s event=unknown", k->node.user);
		return err;
	}
	err = workers_create(&k->workers, &p);
	if (err)
		return err;
	clock_pair_follow(&k->clock_offset_ns);
	clock_turn(k);
	return 0;
}

static int make_beat(struct keeper *k)
{
	const struct config_cluster *c = &k->config->cluster;
	struct beat_params p = {
		.node = k->node.id,
		.peer_node = (uint8_t)(3 - k->node.id),
		.boot_id = k->boot_id,
		.interval_ms = c->beat_ms,
		.lease_ms = c->lease_ms,
		.renew = netglue_renew,
		.ctx = k->net,
	};
	int err;

	p.stall_ms = c->lease_ms > STALL_MS ? c->lease_ms : STALL_MS;
	memcpy(p.key, k->beat_key, sizeof(p.key));
	memcpy(p.other_key, k->other_beat_key, sizeof(p.other_key));
	p.has_other_key = k->has_other_key;
	p.paths_len = netglue_beat_paths(k->net, p.paths, BEAT_PATHS_MAX);
	err = beat_create(&k->beat, &p);
	explicit_bzero(&p, sizeof(p));
	if (err)
		return err;
	return loop_fd_add(k->loop, &k->beat_watch, beat_event_fd(k->beat),
			   EPOLLIN, on_beat, k);
}

static int make_fence(struct keeper *k)
{
	fence_renew(k);
	return k->fence.own[0] || k->fence.own[1] ? 0 : -EIO;
}

static int join_group(struct keeper *k)
{
	char group[CONFIG_NAME_SIZE + 8];
	struct ha_cpg_params p = {
		.group = group,
		.node = k->node.id,
		.witness = k->config->cluster.witness[0] != '\0',
		.queue_frames = CPG_QUEUE_FRAMES,
		.ops = &cpg_ops,
		.ctx = k,
	};
	int err;

	snprintf(group, sizeof(group), "sbcd:%s", k->config->cluster.name);
	err = ha_cpg_create(&k->cpg, &p);
	if (err)
		return err;
	return loop_fd_add(k->loop, &k->cpg_watch, ha_cpg_fd(k->cpg), EPOLLIN,
			   on_cpg, k);
}

static int open_control(struct keeper *k)
{
	char path[sizeof(k->node.run_dir) + 16];

	snprintf(path, sizeof(path), "%s/sbcd.sock", k->node.run_dir);
	return control_create(&k->control, k->loop, path, commands_run, k);
}

static int open_disk(struct keeper *k)
{
	int err = disk_create(&k->disk, DISK_QUEUE);

	if (err)
		return err;
	return loop_fd_add(k->loop, &k->disk_watch, disk_fd(k->disk), EPOLLIN,
			   on_disk, k);
}

static int prepare_network(struct keeper *k)
{
	return netglue_prepare(k->net, k->loop);
}

static int open_network(struct keeper *k)
{
	return netglue_create(&k->net, k->config, &k->node);
}

/*
 * Roles, commits and the group's order must not wait for whoever else wants
 * the processors. The loop never waits for anything and does a bounded amount
 * of work; should it run wild, the kernel's real-time throttling and
 * corosync's and the beat thread's higher priority are above it. The CPG
 * thread, started next, inherits it; workers do not (spawn.c).
 */
static int take_priority(struct keeper *k)
{
	struct sched_param rr = {.sched_priority = MAIN_PRIORITY};

	if (sched_setscheduler(0, SCHED_RR, &rr) &&
	    setpriority(PRIO_PROCESS, 0, MAIN_NICE))
		log_info("event=no-priority error=\"%s\"", strerror(errno));
	return 0;
}

/* In this order; what each needs stands before it. */
static const struct {
	const char *what;
	int (*run)(struct keeper *k);
} start_steps[] = {
	{"signals", watch_signals},    {"timers", make_timers},
	{"network", open_network},     {"guard", start_guard},
	{"disk", open_disk},	       {"routes", prepare_network},
	{"engine", make_engine},       {"recorder", recorder_create},
	{"service", service_load},     {"cdr", cdr_glue_create},
	{"workers", make_workers},     {"beat", make_beat},
	{"fence", make_fence},	       {"roles", role_create},
	{"handover", handover_create}, {"control", open_control},
	{"priority", take_priority},   {"corosync", join_group},
};

static int start(struct keeper *k)
{
	for (size_t i = 0; i < sizeof(start_steps) / sizeof(start_steps[0]);
	     i++) {
		int err = start_steps[i].run(k);

		if (err) {
			log_err("event=start-failed step=%s error=\"%s\"",
				start_steps[i].what, strerror(-err));
			return err;
		}
	}
	workers_start(k->workers);
	loop_set_turn_end(k->loop, on_turn_end, k);
	loop_timer_arm(k->tick, 1);
	loop_timer_arm(k->house, 1);
	pidfile_write(k->node.run_dir, "sbcd", getpid());
	return 0;
}

/* ---- stop --------------------------------------------------------------- */
static void last_words(struct keeper *k)
{
	static const struct timespec pause = {
		.tv_nsec = STOP_TURN_MS * 1000000L,
	};

	/* The word that we released goes out in order with everything else;
	 * a corosync that does not take it is not waited for. */
	for (unsigned i = 0; i < STOP_TURNS; i++) {
		ha_engine_flush(k->engine, clock_mono_ms());
		ha_cpg_dispatch(k->cpg);
		if (!ha_cpg_queued(k->cpg) && ha_engine_flushed(k->engine))
			break;
		nanosleep(&pause, NULL);
	}
}

static void stop(struct keeper *k)
{
	k->stopping = true;
	sd_notify(0, "STOPPING=1");
	if (k->beat && k->net)
		role_release_all(k);
	if (k->cpg && k->engine && k->corosync_up)
		last_words(k);
	workers_destroy(k->workers);
	loop_fd_remove(k->cpg_watch);
	ha_cpg_destroy(k->cpg);
	control_destroy(k->control);
	commands_destroy(k);
	handover_destroy(k);
	role_destroy(k);
	loop_fd_remove(k->beat_watch);
	beat_destroy(k->beat);
	cdr_glue_destroy(k);
	recorder_destroy(k);
	hub_destroy(k->hub);
	ha_engine_destroy(k->engine);
	loop_fd_remove(k->disk_watch);
	disk_destroy(k->disk, DISK_STOP_MS);
	netglue_destroy(k->net);
	loop_fd_remove(k->guard_watch);
	if (k->guard_pid > 0) {
		if (k->guard_fd >= 0) {
			guard_dismiss(k->guard_fd);
			close(k->guard_fd);
		}
		waitpid(k->guard_pid, NULL, 0);
		pidfile_remove(k->node.run_dir, "guard");
	}
	pidfile_remove(k->node.run_dir, "sbcd");
	loop_fd_remove(k->signal_watch);
	loop_timer_destroy(k->tick);
	loop_timer_destroy(k->house);
	loop_timer_destroy(k->engine_timer);
	loop_timer_destroy(k->hub_timer);
	loop_timer_destroy(k->guard_timer);
	loop_destroy(k->loop);
	if (k->signal_fd >= 0)
		close(k->signal_fd);
	if (k->lock_fd >= 0)
		close(k->lock_fd);
}

static void free_files(struct keeper *k)
{
	config_destroy(k->config);
	free(k->config_text);
	if (k->worker_text)
		explicit_bzero(k->worker_text, strlen(k->worker_text));
	free(k->worker_text);
	explicit_bzero(k, sizeof(*k));
	free(k);
}

static int run(struct keeper *k)
{
	uint64_t watchdog_us = 0;
	int err;

	log_init(k->node.name, "keeper", k->node.log_level);
	k->lock_fd = pidfile_lock(k->node.run_dir, LOCK_WAIT_MS);
	if (k->lock_fd < 0) {
		log_err("run-dir=%s event=not-mine error=\"%s\"",
			k->node.run_dir, strerror(-k->lock_fd));
		return 1;
	}
	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
		k->watchdog_ms = watchdog_us / 3000;
	err = files_read_state(k);
	if (!err)
		err = loop_create(&k->loop);
	if (err)
		return 1;
	err = start(k);
	if (!err) {
		log_notice(
			"event=started version=%s node-id=%u boot=%016" PRIx64,
			SBC_VERSION, k->node.id, k->boot_id);
		sd_notify(0, "READY=1");
		err = loop_run(k->loop);
	}
	stop(k);
	log_notice("event=stopped");
	return err ? 1 : 0;
}

int keeper_main(const struct keeper_params *p)
{
	struct keeper *k = calloc(1, sizeof(*k));
	int code = 1;
	int err;

	if (!k)
		return 1;
	k->lock_fd = k->signal_fd = k->guard_fd = -1;
	err = files_read_config(k, p);
	if (p->check_only) {
		code = err ? 1 : 0;
		if (!err)
			printf("%s, %s: ok\n", p->config_file, p->node_file);
	} else if (!err && !files_read_key(k)) {
		code = run(k);
	}
	free_files(k);
	return code;
}
