/*
 * keeper_int - the one object of the keeper process, shared by the files that
 * make it up: keeper.c (start, stop, wiring), role.c, handover.c, recorder.c,
 * commands.c, house.c. Everything here belongs to the main thread; other
 * threads have their own objects (beat, disk, cpg).
 *
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_KEEPER_INT_H
#define SBCD_KEEPER_KEEPER_INT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "hasync/beat.h"
#include "hasync/cpg.h"
#include "hasync/engine.h"
#include "hasync/role.h"
#include "sbcd/base/loop.h"
#include "sbcd/config/config.h"
#include "sbcd/keeper/balance.h"
#include "sbcd/keeper/beat.h"
#include "sbcd/keeper/cdr.h"
#include "sbcd/keeper/control.h"
#include "sbcd/keeper/disk.h"
#include "sbcd/keeper/epoch.h"
#include "sbcd/keeper/flight.h"
#include "sbcd/keeper/guard.h"
#include "sbcd/keeper/health.h"
#include "sbcd/keeper/hub.h"
#include "sbcd/keeper/netglue.h"
#include "sbcd/keeper/pairclock.h"
#include "sbcd/keeper/pulse.h"
#include "sbcd/keeper/timeline.h"
#include "sbcd/keeper/workers.h"

enum {
	KEEPER_WAITERS_MAX = 8, /* control clients waiting for a hand-over */
	KEEPER_QUERIES_MAX = 16, /* questions to workers under way */
	KEEPER_STATUS_MS = 500, /* at least so often in the group */
	KEEPER_KEY_HEX_SIZE = 2 * HA_BEAT_KEY_SIZE + 1,
};

enum handover_phase {
	HANDOVER_NONE = 0,
	HANDOVER_QUIESCING, /* workers put their last state */
	HANDOVER_FLUSHING, /* the peer acknowledges everything */
	HANDOVER_FORWARDING, /* media leaves by the HA link */
	HANDOVER_GONE, /* GO said: waiting for the peer to serve */
};

struct handover {
	enum handover_phase phase;
	bool force;
	bool waiting[HUB_WORKERS]; /* for QUIESCED or FORWARDING */
	uint64_t begun_us, quiesced_us, flushed_us, forwarding_us, go_us;
	uint64_t peer_active_ms; /* monotonic, 0 = not yet */
	struct loop_timer *timer;
	/* Control requests that are answered when it is over. */
	uint64_t waiters[KEEPER_WAITERS_MAX];
	size_t waiters_len;
	/* This node asked its active peer. */
	bool asked;
	struct loop_timer *ask_timer;
};

struct roles {
	enum ha_role role;
	uint64_t since_wall_ms;
	struct ha_evidence ev;
	struct ha_rules rules;
	uint64_t epoch; /* we serve, or served, under it; 0 = never */
	uint32_t todo; /* actions under way, enum ha_action */
	bool running; /* inside run_actions() */
	uint64_t claim_us;
	uint64_t looked_ms; /* last arbitration */
	/* We stood still: no claim, no lapsed lease reopened before. */
	uint64_t claim_from_ms, reopen_from_ms;
	uint64_t lapsed_ms; /* listening since, before a lease is reopened */
	uint64_t ears_ms; /* gateways answer since; 0 = none does */
	const char *decision; /* the last one's reason, static string */
	uint64_t witness_lost_ms; /* it casts no vote since; 0 = it does */
	struct loop_timer *recheck, *announce, *epoch_wait, *lapse;
	unsigned announced;
	struct ha_status peer; /* last heard */
	bool peer_released_word; /* HA_CMD_RELEASED since it joined */
	bool in_sync;
	char sync_reason[64];
};

struct fence {
	uint64_t own[2]; /* shuts this node's gate; the peer is told it */
	bool saying; /* the peer's, with every beat */
	bool peer_went; /* it said GO, before which its gate is shut */
	bool fallen; /* our own was said, and is not renewed yet */
	unsigned fell; /* how often this node was fenced */
};

/* A take-over being recorded. */
struct recorder {
	bool recording, asked;
	bool waiting[HUB_WORKERS]; /* for an answer */
	uint64_t heard_us, suspected_us, go_us; /* monotonic, 0 = none */
	uint64_t since_ns; /* heard, until the media worker knows it */
	struct rec_failover now, scratch;
	struct loop_timer *timer;
	bool dirty, busy; /* of the file */
};

/* What people want of this node; kept in the state directory. */
enum service_state {
	SERVICE_ON = 0,
	SERVICE_DRAIN, /* no new calls; hands over when it can */
	SERVICE_MAINTENANCE, /* never active, unless forced */
};

struct service {
	enum service_state state;
	uint64_t go_ms; /* the peer's last GO, 0 = never */
	struct balance balance;
};

/* Fingerprints of the tls-profiles, in the configuration's order. */
struct prints {
	uint64_t own[HA_PRINTS_MAX]; /* the SIP worker's word; 0 = not said */
	size_t differ; /* that are others on the peer ... */
	const char *profile; /* ... and the first of them, with both */
	uint64_t here, there;
};

struct query {
	uint64_t token, control_id; /* token 0 = free */
	unsigned missing; /* answers outstanding */
	bool alone; /* only the SIP worker is asked */
	json_t *answer;
	struct loop_timer *timer;
};

struct keeper {
	struct config *config;
	struct config_node node;
	char *config_text;
	char *worker_text; /* node.conf and the worker's secret */
	/* Of the cluster key, and while that is changed of the other one. */
	uint8_t beat_key[HA_BEAT_KEY_SIZE], other_beat_key[HA_BEAT_KEY_SIZE];
	bool has_other_key;
	char forward_key[2 * KEEPER_KEY_HEX_SIZE]; /* one or two */
	uint64_t boot_id;
	struct pairclock clock;
	_Atomic int64_t clock_offset_ns; /* ours is read by all our threads */
	bool check_only;

	int lock_fd, signal_fd;
	struct loop *loop;
	struct loop_fd *signal_watch, *disk_watch, *beat_watch, *cpg_watch;
	struct loop_timer *tick, *house, *engine_timer, *hub_timer;
	bool stopping;

	struct netglue *net;
	struct disk *disk;
	struct epoch epoch;
	uint64_t epoch_writing; /* `asked` of the write under way */
	bool epoch_busy, disk_failed;
	struct beat *beat;
	struct ha_cpg *cpg;
	bool corosync_up;
	struct ha_engine *engine;
	struct hub *hub;
	struct workers *workers;
	struct control *control;

	pid_t guard_pid;
	int guard_fd;
	bool guard_armed;
	struct loop_fd *guard_watch;
	struct loop_timer *guard_timer;

	struct roles roles;
	struct handover handover;
	struct timeline timeline;
	struct fence fence;
	struct flight *flight;
	struct recorder recorder;
	struct cdr *cdr;
	struct cdr_disk *cdr_disk;
	struct loop_fd *cdr_watch;
	struct health health;
	struct service service;
	unsigned replay_crashes[HUB_WORKERS];
	uint64_t ping_ms[HUB_WORKERS]; /* unanswered since, 0 = none */
	struct pulse media_pulse;
	unsigned agents_down, agent_groups_down; /* the SIP worker's word */
	int64_t certificates_end_s; /* likewise: the first one; 0 = none */
	struct prints prints;
	struct query queries[KEEPER_QUERIES_MAX];
	uint64_t next_token;
	bool quiet;
	uint64_t house_turns;
	uint64_t commit_timeouts_seen, commit_timeout_ms;
	uint64_t watchdog_ms; /* 0 = systemd wants none */
	uint64_t handover_storm_ms;
};

/* ---- keeper.c ----------------------------------------------------------- */
/* Writes the epoch file when it must change and no write is under way. */
void keeper_write_epoch(struct keeper *k);
/* Tells everybody (engine, beats) what this node is. */
void keeper_publish(struct keeper *k);
uint32_t keeper_calls(const struct keeper *k);

/* ---- role.c, evidence.c -------------------------------------------------- */
int role_create(struct keeper *k) __attribute__((warn_unused_result));
void role_destroy(struct keeper *k);
bool role_serves(const struct keeper *k);
void role_event(struct keeper *k, enum ha_event event, const char *reason);
/* Arbitration with what is known now. */
void role_evaluate(struct keeper *k);
void role_on_members(struct keeper *k, bool self, bool peer,
		     enum ha_peer_left left);
/* Before role_on_members() of that ring. */
void role_on_ring(struct keeper *k, uint64_t ring_seq);
void role_on_quorum(struct keeper *k, bool quorate, uint64_t ring_seq);
void role_on_witness(struct keeper *k, bool votes);
void role_on_corosync(struct keeper *k, bool up, const char *why);
void role_on_status(struct keeper *k, const struct ha_status *s);
void role_on_sync(struct keeper *k, bool in_sync, const char *reason);
void role_on_go(struct keeper *k, uint64_t epoch);
void role_on_beats(struct keeper *k);
/* Brings the evidence up to date. */
void role_gather(struct keeper *k);
/* Each loop turn: has a gateway just begun to answer? */
void role_listen(struct keeper *k);
/* What the last arbitration saw, for people. */
json_t *role_evidence_to_json(const struct keeper *k);
/* An action that could not be finished at once is finished now. */
void role_action_done(struct keeper *k, enum ha_action action);
void role_epoch_written(struct keeper *k);
void role_activate_worker(struct keeper *k, enum hub_worker w);
/* Nothing leaves any more: lease let go, gate closed, no announcements. */
void role_shut_gate(struct keeper *k);
/* Clean stop: gate, MAC/IP, then the word to the peer. */
void role_release_all(struct keeper *k);

/* ---- fence.c ------------------------------------------------------------ */
/* A new token, and the effect of an old one ends: only for a node that begins
 * a role with its gate shut. */
void fence_renew(struct keeper *k);
/* Decides whether the peer has to be fenced: after each change, each tick. */
void fence_turn(struct keeper *k);
/* Our token was said. */
void fence_fell(struct keeper *k);
/* Asks the kernel whether it was. */
void fence_check(struct keeper *k);
json_t *fence_to_json(const struct keeper *k);

/* ---- handover.c --------------------------------------------------------- */
int handover_create(struct keeper *k) __attribute__((warn_unused_result));
void handover_destroy(struct keeper *k);
/* NULL, or why it is refused. Starts a planned hand-over to the peer. */
const char *handover_begin(struct keeper *k, const char *reason, bool force);
/* For sbcctl, on either node: answers `id` when it is over. */
void handover_request(struct keeper *k, uint64_t id, bool force);
void handover_on_command(struct keeper *k, enum ha_command cmd, uint64_t arg);
/* QUIESCED or FORWARDING from a worker; a worker died. */
void handover_on_worker(struct keeper *k, enum hub_worker w, uint8_t type);
void handover_on_worker_death(struct keeper *k, enum hub_worker w);
/* Each loop turn: is the peer through? */
void handover_turn(struct keeper *k);
/* HA_ACT_QUIESCE: gate shut, GO. */
void handover_go(struct keeper *k);
/* The role changed: whoever waits for it is answered. */
void handover_on_role(struct keeper *k);

/* ---- supervise.c -------------------------------------------------------- */
extern const struct workers_ops supervise_workers_ops;
extern const struct hub_ops supervise_hub_ops;
#define SUPERVISE_PING_TOKEN (UINT64_C(1) << 63)
void supervise_update_quiet(struct keeper *k);
/* Every second: a worker that does not answer any more is ended. */
/* Each 100 ms, and each second. */
void supervise_pulse(struct keeper *k);
void supervise_ping(struct keeper *k);
bool supervise_worker_ready(const struct keeper *k, enum hub_worker w);

/* ---- service.c ---------------------------------------------------------- */
/* At start: what people wanted before. */
int service_load(struct keeper *k);
const char *service_name(enum service_state s);
/* NULL, or why it is refused. */
const char *service_set(struct keeper *k, enum service_state s);
/* A new SIP worker, or a new state: does it take new calls? */
void service_tell(struct keeper *k);
/* Arbitration says claim: do we want to? */
bool service_may_claim(struct keeper *k);
/* The peer is in maintenance: it will not become active by itself. */
bool service_peer_out(const struct keeper *k);
/* After each assessment: does the active node hand over? */
void service_turn(struct keeper *k);

/* ---- prints.c ----------------------------------------------------------- */
/* The SIP worker's word, and the peer's at every turn. */
void prints_on_pong(struct keeper *k, const json_t *said);
void prints_turn(struct keeper *k);
/* The peer has our records and our certificates. What saves calls asks for
 * the records alone. */
bool prints_in_sync(const struct keeper *k);
void prints_reason(const struct keeper *k, char *buf, size_t size);
/* `show tls` to the SIP worker, with what the peer has; to be freed, NULL. */
char *prints_question(const struct keeper *k) __attribute__((malloc));

/* ---- poison.c ----------------------------------------------------------- */
/* BUSY_INPUT of a dead SIP worker: both nodes refuse it from now on. */
void poison_input(struct keeper *k, const void *what, size_t size);
/* Every second: what is over is forgotten. */
void poison_turn(struct keeper *k);

/* ---- recorder.c --------------------------------------------------------- */
#define RECORDER_TOKEN (UINT64_C(1) << 61)
int recorder_create(struct keeper *k) __attribute__((warn_unused_result));
void recorder_destroy(struct keeper *k);
/* A report of the peer. */
void recorder_applied(struct keeper *k, const struct ha_item *item);
/* Each arbitration: is the active silent? */
void recorder_watch(struct keeper *k);
/* In this order: GO heard, claim decided, MAC and addresses taken, a worker
 * active, this node ACTIVE; and no longer serving. */
void recorder_go(struct keeper *k);
void recorder_claim(struct keeper *k, const char *reason);
void recorder_taken(struct keeper *k);
void recorder_worker_active(struct keeper *k, enum hub_worker w);
void recorder_active(struct keeper *k);
void recorder_stop(struct keeper *k);
void recorder_on_reply(struct keeper *k, enum hub_worker w, const void *text,
		       size_t size);
/* Every 100 ms: the file. */
void recorder_turn(struct keeper *k);

/* ---- cdr_glue.c --------------------------------------------------------- */
int cdr_glue_create(struct keeper *k) __attribute__((warn_unused_result));
void cdr_glue_destroy(struct keeper *k);
void cdr_glue_turn(struct keeper *k, uint64_t now_ms);
void cdr_glue_assess(struct keeper *k, struct health_facts *f, uint64_t now_ms);
json_t *cdr_glue_counters(struct keeper *k);

/* ---- clock.c ------------------------------------------------------------ */
/* At start and every 100 ms: the clock of the pair, for us and the workers. */
void clock_turn(struct keeper *k);
void clock_on_status(struct keeper *k, const struct ha_status *s);
void clock_stamp(struct keeper *k, struct ha_status *s);

/* ---- house.c ------------------------------------------------------------ */
/* Every 100 ms: health, status, read-back, files, watchdog. */
void house_turn(struct keeper *k);
void house_config_applied(struct keeper *k);
/* The active's configuration becomes a record. */
void house_put_config(struct keeper *k);

/* ---- commands.c --------------------------------------------------------- */
control_fn commands_run;
void commands_on_reply(struct keeper *k, enum hub_worker w, uint64_t token,
		       const void *text, size_t size);
void commands_destroy(struct keeper *k);

#endif
