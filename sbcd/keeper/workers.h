/*
 * workers - the supervisor: starts the SIP and the media worker without
 * rights, watches them, starts them again with back-off, and speaks to them
 * over their links.
 *
 * Works without an init system. A worker never goes from active to standby:
 * workers_restart() kills and starts both anew; that is not counted as a
 * crash. The counters page of a worker outlives it.
 *
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_WORKERS_H
#define SBCD_KEEPER_WORKERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "sbcd/base/counters.h"
#include "sbcd/base/loop.h"
#include "sbcd/keeper/hub.h"

struct workers;

struct worker_death {
	enum hub_worker who;
	bool wanted; /* the keeper killed it */
	/* Not killed by somebody else (operator, out of memory). */
	bool of_its_work;
	int status; /* as waitpid() gives it */
	uint64_t ran_ms;
	uint32_t restart_ms; /* starts again after this time */
	bool storm; /* dies too often */
	/* What it was busy with, if it died of its work. */
	enum counters_busy busy;
	uint8_t what[COUNTERS_BUSY_SIZE];
	size_t what_size;
};

struct workers_ops {
	/* A new process: give it configuration and descriptors. */
	void (*started)(void *ctx, enum hub_worker w);
	void (*message)(void *ctx, enum hub_worker w,
			const struct link_message *m);
	void (*died)(void *ctx, const struct worker_death *d);
	/* It sent something no worker sends; dropped. */
	void (*malformed)(void *ctx, enum hub_worker w);
};

struct workers_params {
	struct loop *loop;
	const char *node_name;
	const char *run_dir;
	int log_level;
	uid_t uid;
	gid_t gid;
	const struct workers_ops *ops;
	void *ctx;
};

int workers_create(struct workers **out, const struct workers_params *p)
	__attribute__((warn_unused_result));
/* Kills and waits (SIGKILL cannot be refused). */
void workers_destroy(struct workers *ws);

/* Starts both; also what stopped for good. */
void workers_start(struct workers *ws);
/* Kills both and starts them as soon as they are gone. */
void workers_restart(struct workers *ws);
void workers_kill(struct workers *ws, enum hub_worker w);
/* Kills one that hangs: a crash, of what it is busy with. */
void workers_condemn(struct workers *ws, enum hub_worker w);

/* -EPIPE: it is not running. Otherwise as link_send(). */
int workers_send(struct workers *ws, enum hub_worker w,
		 const struct link_message *m)
	__attribute__((warn_unused_result));
/* Arms EPOLLOUT where something waits. At the end of each loop turn. */
void workers_turn_end(struct workers *ws);

bool workers_running(const struct workers *ws, enum hub_worker w);
pid_t workers_pid(const struct workers *ws, enum hub_worker w);
/* Deaths nobody asked for. */
uint64_t workers_crashes(const struct workers *ws, enum hub_worker w);
bool workers_storm(const struct workers *ws, enum hub_worker w,
		   uint64_t now_ms);
size_t workers_queued_bytes(const struct workers *ws, enum hub_worker w);
/* For clock_pair_ms() in both. */
void workers_set_clock(struct workers *ws, int64_t offset_ns);
const struct counters *workers_counters(const struct workers *ws,
					enum hub_worker w);
const char *workers_name(enum hub_worker w);

#endif
