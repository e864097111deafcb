#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/keeper_int.h"

enum {
	TIE_GRACE_MS = 1000,
	/* Three times the interval at which an idle keeper says its status. */
	MUTE_MS = 3 * KEEPER_STATUS_MS,
	/* Above corosync's sync_timeout for a witness. */
	VERDICT_MS = 3000,
	/* A disk that does not write an epoch within this time is passed. */
	EPOCH_WAIT_MS = 200,
	/* Between the last beat heard and the last renewal behind it. */
	JITTER_BEATS = 2,
	/* Beats to listen for after a lapsed lease, before it is reopened. */
	LAPSE_BEATS = 3,
	STALL_SILENCES = 4,
};

/* When announcements are repeated after the first one. */
static const unsigned announce_ms[] = {50, 150, 800, 2000};

static void run_actions(struct keeper *k);

bool role_serves(const struct keeper *k)
{
	return k->roles.role == HA_ROLE_ACTIVE ||
	       k->roles.role == HA_ROLE_BECOMING_ACTIVE;
}

static uint64_t now_us(void)
{
	return clock_mono_ns() / 1000;
}

/* ---- actions ------------------------------------------------------------ */
void role_shut_gate(struct keeper *k)
{
	int err;

	beat_hold(k->beat, false);
	loop_timer_disarm(k->roles.announce);
	loop_timer_disarm(k->roles.lapse);
	err = netglue_gate_close(k->net);
	if (err)
		/* The lease is not renewed any more and shuts it. */
		log_err("event=gate-close-failed error=\"%s\"", strerror(-err));
}

/* True: done. False: role_epoch_written() goes on. */
static bool act_new_epoch(struct keeper *k)
{
	struct roles *r = &k->roles;
	int err = epoch_next(&k->epoch, &r->epoch);

	if (err && !loop_timer_armed(r->epoch_wait)) {
		keeper_write_epoch(k);
		loop_timer_arm(r->epoch_wait, EPOCH_WAIT_MS);
	}
	if (err)
		return false;
	loop_timer_disarm(r->epoch_wait);
	return true;
}

static void on_epoch_wait(void *ctx)
{
	struct keeper *k = ctx;

	if (!(k->roles.todo & HA_ACT_NEW_EPOCH))
		return;
	k->roles.epoch = epoch_next_unreserved(&k->epoch);
	k->disk_failed = true;
	log_err("event=epoch-not-durable epoch=%016" PRIx64
		" after-ms=%d: the disk does not answer",
		k->roles.epoch, EPOCH_WAIT_MS);
	role_action_done(k, HA_ACT_NEW_EPOCH);
}

void role_epoch_written(struct keeper *k)
{
	if (!(k->roles.todo & HA_ACT_NEW_EPOCH))
		return;
	if (act_new_epoch(k))
		role_action_done(k, HA_ACT_NEW_EPOCH);
}

static void on_announce(void *ctx)
{
	struct keeper *k = ctx;
	struct roles *r = &k->roles;

	netglue_announce(k->net);
	if (r->announced < sizeof(announce_ms) / sizeof(announce_ms[0]))
		loop_timer_arm(r->announce, announce_ms[r->announced++]);
}

static int act_take(struct keeper *k)
{
	struct roles *r = &k->roles;
	uint64_t start_us = now_us();
	int err;

	/* Whatever was said to the role before is over. */
	fence_renew(k);
	fence_turn(k);
	/* Records may be written from here on, under the new epoch. */
	ha_engine_set_role(k->engine, r->role, r->epoch);
	cdr_activate(k->cdr, r->epoch);
	keeper_publish(k);
	/* Without a gate that opens all else is useless. */
	err = netglue_gate_open(k->net, k->config->cluster.lease_ms);
	if (err) {
		log_err("event=gate-open-failed error=\"%s\"", strerror(-err));
		return err;
	}
	beat_hold(k->beat, true);
	/* An interface that fails is repaired by the read-back. */
	err = netglue_take(k->net);
	log_notice("event=taken epoch=%016" PRIx64 " claim-us=%" PRIu64
		   " take-us=%" PRIu64 " error=\"%s\"",
		   r->epoch, start_us - r->claim_us, now_us() - start_us,
		   err ? strerror(-err) : "none");
	recorder_taken(k);
	r->announced = 0;
	loop_timer_arm(r->announce, announce_ms[r->announced++]);
	return 0;
}

void role_activate_worker(struct keeper *k, enum hub_worker w)
{
	struct link_message m = {
		.type = LINK_ACTIVATE,
		.token = k->roles.epoch,
	};
	int err;

	if (w == HUB_MEDIA && k->recorder.since_ns) {
		m.value = &k->recorder.since_ns;
		m.size = sizeof(k->recorder.since_ns);
	}

	/* A SIP worker that serves takes no more of these records from
	 * anybody: what the dead node said last has to be there before. Media
	 * does not wait; it knows its streams but for the latest. */
	if (!hub_catch_up(k->hub, w) &&
	    (w == HUB_SIP || !hub_is_replayed(k->hub, w)))
		return;
	err = workers_send(k->workers, w, &m);
	if (err)
		log_warn("worker=%s event=activate-unsent error=\"%s\"",
			 workers_name(w), strerror(-err));
}

/* Who has been silent for so long has no lease any more. */
static uint64_t claim_wait_ms(const struct ha_rules *rules)
{
	uint64_t lease_ms = (uint64_t)rules->lease_ms + rules->jitter_ms;

	return lease_ms > rules->silence_ms ? lease_ms : rules->silence_ms;
}

/*
 * This process, or the whole machine, stood still: all that looks like the
 * peer's silence is our own deafness. What is queued is listened to first.
 * Stalls below half a silence leave more than half of it to be real. What
 * stopped us (storage, a backup, a busy host) may hold the peer a little
 * longer: a claim waits for it as long again, up to STALL_SILENCES.
 */
static void notice_own_stall(struct keeper *k)
{
	struct roles *r = &k->roles;
	uint64_t now_ms = clock_mono_ms(), silence_ms = r->rules.silence_ms;
	uint64_t stall_ms = r->looked_ms ? now_ms - r->looked_ms : 0;
	uint64_t heard_ms = now_ms + claim_wait_ms(&r->rules);

	r->looked_ms = now_ms;
	if (stall_ms <= silence_ms / 2)
		return;
	log_warn("event=stood-still ms=%" PRIu64, stall_ms);
	if (stall_ms > STALL_SILENCES * silence_ms)
		stall_ms = STALL_SILENCES * silence_ms;
	/* A second, shorter stall does not cut the first one's wait. */
	if (r->reopen_from_ms < heard_ms)
		r->reopen_from_ms = heard_ms;
	if (r->claim_from_ms < heard_ms + stall_ms)
		r->claim_from_ms = heard_ms + stall_ms;
}

/* False: not finished, somebody calls role_action_done(). */
static bool run_action(struct keeper *k, uint32_t action)
{
	switch ((enum ha_action)action) {
	case HA_ACT_SHUT_GATE:
		role_shut_gate(k);
		return true;
	case HA_ACT_QUIESCE:
		handover_go(k);
		return false;
	case HA_ACT_RELEASE:
		if (netglue_release(k->net))
			log_err("event=release-incomplete");
		return true;
	case HA_ACT_RESTART_WORKERS:
		hub_detach(k->hub, HUB_SIP);
		hub_detach(k->hub, HUB_MEDIA);
		workers_restart(k->workers);
		return true;
	case HA_ACT_NEW_EPOCH:
		return act_new_epoch(k);
	case HA_ACT_TAKE:
		/* The decision is as old as the stall; what is queued may
		 * say that it is void. role_evaluate() goes on. */
		notice_own_stall(k);
		if (clock_mono_ms() < k->roles.claim_from_ms)
			return false;
		if (act_take(k)) {
			k->roles.todo = 0;
			role_event(k, HA_EV_CLAIM_FAILED, "gate");
			return false;
		}
		return true;
	case HA_ACT_ACTIVATE:
		hub_serve(k->hub);
		role_activate_worker(k, HUB_SIP);
		role_activate_worker(k, HUB_MEDIA);
		supervise_update_quiet(k);
		return true;
	case HA_ACT_JOIN: /* the engine joins by its role */
	case HA_ACT_NONE:
		break;
	}
	return true;
}

static void actions_finished(struct keeper *k)
{
	if (k->roles.role == HA_ROLE_BECOMING_ACTIVE)
		role_event(k, HA_EV_CLAIMED, "taken");
	else if (k->roles.role == HA_ROLE_RELINQUISHING)
		role_event(k, HA_EV_RELEASED, "released");
}

static void run_actions(struct keeper *k)
{
	struct roles *r = &k->roles;

	while (r->todo) {
		uint32_t action = r->todo & -r->todo;

		if (!run_action(k, action))
			return;
		r->todo &= ~action;
	}
	actions_finished(k);
}

void role_action_done(struct keeper *k, enum ha_action action)
{
	if (!(k->roles.todo & action))
		return;
	k->roles.todo &= ~(uint32_t)action;
	run_actions(k);
}

/* ---- transitions -------------------------------------------------------- */
static void change_role(struct keeper *k, enum ha_role next,
			enum ha_event event, const char *reason)
{
	struct roles *r = &k->roles;
	char what[TIMELINE_TEXT_SIZE];

	snprintf(what, sizeof(what), "%s -> %s", ha_role_name(r->role),
		 ha_role_name(next));
	timeline_add(&k->timeline, what, reason);
	log_notice("event=role from=%s to=%s cause=%s reason=\"%s\" "
		   "epoch=%016" PRIx64 " peer=%s in-sync=%s",
		   ha_role_name(r->role), ha_role_name(next),
		   ha_event_name(event), reason, r->epoch,
		   ha_role_name(r->ev.peer_role), r->in_sync ? "yes" : "no");
	/* The gate is shut; a token that did it has done its work. */
	if (next == HA_ROLE_SYNCING &&
	    (r->role == HA_ROLE_RELINQUISHING || r->role == HA_ROLE_FAULT))
		fence_renew(k);
	r->role = next;
	if (!role_serves(k)) {
		cdr_activate(k->cdr, 0);
		recorder_stop(k);
	}
	r->since_wall_ms = clock_wall_ms();
	if (next != HA_ROLE_STANDBY)
		r->ev.peer_go = false;
	if (next == HA_ROLE_ACTIVE)
		r->ev.synced_once = true;
}

void role_event(struct keeper *k, enum ha_event event, const char *reason)
{
	struct roles *r = &k->roles;
	struct ha_step step = ha_role_step(r->role, event);

	if (!step.legal) {
		log_info("event=role-refused role=%s cause=%s reason=\"%s\"",
			 ha_role_name(r->role), ha_event_name(event), reason);
		return;
	}
	if (step.next == r->role && !step.actions)
		return;
	if (event == HA_EV_CLAIM) {
		r->claim_us = now_us();
		recorder_claim(k, reason);
	}
	if (step.next != r->role)
		change_role(k, step.next, event, reason);
	/* The epoch of a claim is not known yet: act_take() says it. */
	if (!(step.actions & HA_ACT_NEW_EPOCH)) {
		ha_engine_set_role(k->engine, r->role,
				   role_serves(k) ? r->epoch : k->epoch.heard);
		keeper_publish(k);
	}
	loop_timer_disarm(r->epoch_wait);
	r->todo = step.actions;
	run_actions(k);
	if (r->role == HA_ROLE_ACTIVE && event == HA_EV_CLAIMED) {
		house_put_config(k);
		recorder_active(k);
	}
	handover_on_role(k);
}

static void on_recheck(void *ctx)
{
	role_evaluate(ctx);
}

/* A claim that waits before its gate. */
static bool role_takes(const struct roles *r)
{
	return r->role == HA_ROLE_BECOMING_ACTIVE &&
	       (r->todo & -r->todo) == HA_ACT_TAKE;
}

static bool peer_serves(enum ha_role role)
{
	return role == HA_ROLE_ACTIVE || role == HA_ROLE_BECOMING_ACTIVE ||
	       role == HA_ROLE_RELINQUISHING;
}

void role_evaluate(struct keeper *k)
{
	struct roles *r = &k->roles;
	struct ha_evidence ev;
	struct ha_decision d;

	if (k->stopping)
		return;
	notice_own_stall(k);
	role_gather(k);
	recorder_watch(k);
	if (r->role == HA_ROLE_INIT && r->ev.peer_known &&
	    r->ev.peer_left == HA_LEFT_NOT &&
	    (r->ev.peer_role == HA_ROLE_ACTIVE ||
	     r->ev.peer_role == HA_ROLE_BECOMING_ACTIVE)) {
		role_event(k, HA_EV_PEER_ACTIVE, "the peer is active");
		r->ev.role = r->role;
	}
	ev = r->ev;
	/* In maintenance it does not claim: nobody waits for it to. */
	if (service_peer_out(k) && !peer_serves(ev.peer_role))
		ev.peer_role = HA_ROLE_FAULT;
	d = ha_arbitrate(&ev, &r->rules);
	r->decision = d.reason;
	if (d.verdict == HA_CLAIM && !service_may_claim(k))
		d.verdict = HA_STAY;
	if (d.verdict == HA_CLAIM && r->ev.now_ms < r->claim_from_ms) {
		loop_timer_arm(r->recheck, r->claim_from_ms - r->ev.now_ms);
		return;
	}
	if (d.verdict == HA_CLAIM)
		role_event(k, HA_EV_CLAIM, d.reason);
	else if (d.verdict == HA_YIELD)
		role_event(k, HA_EV_YIELD, d.reason);
	if (role_takes(r) && d.recheck_ms > r->claim_from_ms)
		d.recheck_ms = r->claim_from_ms;
	if (d.recheck_ms == UINT64_MAX)
		loop_timer_disarm(r->recheck);
	else
		loop_timer_arm(r->recheck, d.recheck_ms > r->ev.now_ms
						   ? d.recheck_ms - r->ev.now_ms
						   : 1);
	if (role_takes(r) && r->ev.now_ms >= r->claim_from_ms)
		run_actions(k);
}

/* ---- news ---------------------------------------------------------------- */
void role_on_sync(struct keeper *k, bool in_sync, const char *reason)
{
	struct roles *r = &k->roles;

	if (r->in_sync != in_sync)
		log_notice("event=sync in-sync=%s reason=\"%s\" records=%zu",
			   in_sync ? "yes" : "no", reason,
			   ha_store_count(ha_engine_store(k->engine)));
	r->in_sync = in_sync;
	snprintf(r->sync_reason, sizeof(r->sync_reason), "%s", reason);
	if (role_serves(k) || r->role == HA_ROLE_RELINQUISHING ||
	    r->role == HA_ROLE_INIT)
		return;
	if (in_sync) {
		r->ev.synced_once = true;
		role_event(k, HA_EV_SYNCED, reason);
	} else if (r->ev.peer_left == HA_LEFT_NOT) {
		/* When the active is gone our store is the best there is. */
		role_event(k, HA_EV_SYNC_LOST, reason);
	}
}

void role_on_go(struct keeper *k, uint64_t epoch)
{
	epoch_heard(&k->epoch, epoch);
	recorder_go(k);
	k->roles.ev.peer_go = true;
	k->fence.peer_went = true;
	role_evaluate(k);
}

/*
 * What made the lease run out may have given the peer reason to claim. It is
 * opened again only by a node that has listened since then without standing
 * still once more, and hears no peer that serves: that one still has to learn
 * that it must yield. One that hears nothing waits as long as for a claim (a
 * peer that claimed and stopped has a lease), and asks a gateway meanwhile:
 * an answer from before the silence may be of another world.
 */
static bool may_reopen(const struct keeper *k)
{
	const struct roles *r = &k->roles;
	const struct ha_evidence *ev = &r->ev;
	bool rival =
		ev->peer_known && (ev->peer_role == HA_ROLE_ACTIVE ||
				   ev->peer_role == HA_ROLE_BECOMING_ACTIVE);

	if (ev->now_ms < r->reopen_from_ms)
		return false;
	if (ev->last_beat_ms > r->lapsed_ms)
		return !rival;
	if (ev->now_ms < ev->last_beat_ms + claim_wait_ms(&r->rules))
		return false;
	return !r->rules.gateway ||
	       netglue_gateway_reachable(k->net, ev->now_ms, ev->last_beat_ms);
}

static void listen_after_lapse(struct keeper *k)
{
	loop_timer_arm(k->roles.lapse,
		       (uint64_t)LAPSE_BEATS * k->config->cluster.beat_ms);
}

/* The lease ran out under a serving node: the host was stopped or starved. */
static void on_lapse_over(void *ctx)
{
	struct keeper *k = ctx;
	int err;

	role_evaluate(k);
	if (!role_serves(k))
		return;
	if (!may_reopen(k)) {
		k->roles.lapsed_ms = k->roles.ev.now_ms;
		listen_after_lapse(k);
		return;
	}
	err = netglue_gate_open(k->net, k->config->cluster.lease_ms);
	beat_hold(k->beat, true);
	log_warn("event=lease-reopened error=\"%s\"",
		 err ? strerror(-err) : "none");
	k->roles.announced = 0;
	loop_timer_arm(k->roles.announce, 1);
}

void role_on_beats(struct keeper *k)
{
	struct beat_view view;

	beat_event_clear(k->beat);
	beat_get_view(k->beat, &view);
	if (view.fenced)
		fence_fell(k);
	if (view.lapsed && role_serves(k) &&
	    !loop_timer_armed(k->roles.lapse)) {
		log_err("event=lease-lapsed renewals=%" PRIu64
			" stalls=%" PRIu64,
			view.renewals, view.stalls);
		timeline_add(&k->timeline, "lease lapsed",
			     "the main loop or the host stood still");
		k->roles.lapsed_ms = clock_mono_ms();
		listen_after_lapse(k);
	}
	role_evaluate(k);
}

/* ---- the rest ----------------------------------------------------------- */
void role_release_all(struct keeper *k)
{
	int err;

	role_shut_gate(k);
	err = netglue_release(k->net);
	log_notice("event=released role=%s error=\"%s\"",
		   ha_role_name(k->roles.role), err ? strerror(-err) : "none");
	if (!err && k->roles.ev.in_group &&
	    ha_engine_command(k->engine, HA_CMD_RELEASED, k->roles.epoch))
		log_info("event=released-word-unsent");
}

int role_create(struct keeper *k)
{
	const struct config_cluster *c = &k->config->cluster;
	struct roles *r = &k->roles;
	int err;

	r->role = HA_ROLE_INIT;
	r->since_wall_ms = clock_wall_ms();
	r->ev.node = k->node.id;
	r->ev.peer_node = (uint8_t)(3 - k->node.id);
	r->ev.peer_left = HA_LEFT_NEVER;
	r->ev.witness_configured = c->witness[0] != '\0';
	r->rules.silence_ms = c->silence_ms;
	r->rules.lease_ms = c->lease_ms;
	r->rules.cold_start_ms = c->cold_start_ms;
	r->rules.tie_grace_ms = TIE_GRACE_MS;
	r->rules.mute_ms = MUTE_MS;
	r->rules.jitter_ms = JITTER_BEATS * c->beat_ms;
	r->rules.verdict_ms = VERDICT_MS;
	r->rules.witness = r->ev.witness_configured;
	r->rules.gateway = netglue_gateways(k->net) > 0;
	r->decision = "just started";
	r->epoch = k->epoch.active;
	snprintf(r->sync_reason, sizeof(r->sync_reason), "just started");
	err = loop_timer_create(k->loop, &r->recheck, on_recheck, k);
	if (!err)
		err = loop_timer_create(k->loop, &r->announce, on_announce, k);
	if (!err)
		err = loop_timer_create(k->loop, &r->epoch_wait, on_epoch_wait,
					k);
	if (!err)
		err = loop_timer_create(k->loop, &r->lapse, on_lapse_over, k);
	return err;
}

void role_destroy(struct keeper *k)
{
	loop_timer_destroy(k->roles.recheck);
	loop_timer_destroy(k->roles.announce);
	loop_timer_destroy(k->roles.epoch_wait);
	loop_timer_destroy(k->roles.lapse);
}
