/*
 * A planned switchover loses no packet: the SIP worker stops reading and both
 * workers put their last state; the peer acknowledges everything; the media
 * worker sends what still arrives over the HA link; only then the gate shuts
 * and the peer is told to GO. Until GO everything can be called off.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/keeper_int.h"

enum {
	QUIESCE_MS = 500,
	FLUSH_MS = 500,
	FORWARDING_MS = 100,
	PEER_ACTIVE_MS = 300,
	/* What is under way in the switches still arrives here so long. */
	FORWARD_MS = 100,
	ASK_MS = 3000,
	POLL_MS = 5,
};

/* HA_CMD_REFUSED: why. Values travel. */
enum refusal { REFUSED_STATE = 1, REFUSED_SYNC = 2, REFUSED_ABORTED = 3 };

static uint64_t now_us(void)
{
	return clock_mono_ns() / 1000;
}

static const char *active_name(const struct keeper *k)
{
	uint8_t node = role_serves(k) ? k->node.id : k->roles.ev.peer_node;

	return k->config->cluster.peers[node - 1];
}

static void answer_waiters(struct keeper *k, const char *error)
{
	struct handover *h = &k->handover;

	for (size_t i = 0; i < h->waiters_len; i++) {
		if (error)
			control_error(k->control, h->waiters[i],
				      CONTROL_REFUSED, "%s", error);
		else
			control_reply(k->control, h->waiters[i],
				      json_pack("{s:s,s:s,s:s}", "node",
						k->node.name, "role",
						ha_role_name(k->roles.role),
						"active", active_name(k)));
	}
	h->waiters_len = 0;
}

static void tell(struct keeper *k, enum hub_worker w, uint8_t type)
{
	struct link_message m = {.type = type};

	k->handover.waiting[w] = !workers_send(k->workers, w, &m);
}

static bool waits(const struct handover *h)
{
	return h->waiting[HUB_SIP] || h->waiting[HUB_MEDIA];
}

static void call_off(struct keeper *k, const char *why)
{
	struct handover *h = &k->handover;

	log_warn("event=switchover-called-off phase=%d why=\"%s\"",
		 (int)h->phase, why);
	timeline_add(&k->timeline, "switchover called off", why);
	h->phase = HANDOVER_NONE;
	h->waiting[HUB_SIP] = h->waiting[HUB_MEDIA] = false;
	loop_timer_disarm(h->timer);
	/* Workers take input again: the same word as after a replay. */
	role_activate_worker(k, HUB_SIP);
	role_activate_worker(k, HUB_MEDIA);
	if (ha_engine_command(k->engine, HA_CMD_REFUSED, REFUSED_ABORTED))
		log_info("event=refusal-unsent");
	answer_waiters(k, why);
}

static void enter_forwarding(struct keeper *k)
{
	struct handover *h = &k->handover;

	h->phase = HANDOVER_FORWARDING;
	h->flushed_us = now_us();
	tell(k, HUB_MEDIA, LINK_FORWARD);
	loop_timer_arm(h->timer, FORWARDING_MS);
	handover_turn(k);
}

static void enter_flushing(struct keeper *k)
{
	k->handover.phase = HANDOVER_FLUSHING;
	k->handover.quiesced_us = now_us();
	loop_timer_arm(k->handover.timer, FLUSH_MS);
	handover_turn(k);
}

static void leave_forwarding(struct keeper *k)
{
	k->handover.forwarding_us = now_us();
	loop_timer_disarm(k->handover.timer);
	/* From here there is no way back. */
	role_event(k, HA_EV_HANDOVER, "planned switchover");
}

/* Nobody would take what is let go: the peer has died, or knows too little. */
static bool pointless(const struct keeper *k)
{
	const struct handover *h = &k->handover;

	return h->phase != HANDOVER_NONE && h->phase != HANDOVER_GONE &&
	       (k->roles.ev.peer_left != HA_LEFT_NOT ||
		(!k->roles.in_sync && !h->force));
}

void handover_turn(struct keeper *k)
{
	struct handover *h = &k->handover;

	if (pointless(k)) {
		call_off(k, "the peer is gone or not in sync any more");
		return;
	}
	switch (h->phase) {
	case HANDOVER_QUIESCING:
		if (!waits(h))
			enter_flushing(k);
		break;
	case HANDOVER_FLUSHING:
		if (ha_engine_flushed(k->engine))
			enter_forwarding(k);
		break;
	case HANDOVER_FORWARDING:
		if (!waits(h))
			leave_forwarding(k);
		break;
	case HANDOVER_GONE:
	case HANDOVER_NONE:
		break;
	}
}

static bool peer_serves(struct keeper *k)
{
	struct beat_view view;

	if (k->roles.peer.role == HA_ROLE_ACTIVE &&
	    k->roles.peer.active_epoch > k->roles.epoch)
		return true;
	beat_get_view(k->beat, &view);
	return view.peer_role == HA_ROLE_ACTIVE &&
	       view.peer_epoch > k->roles.epoch;
}

static void finish(struct keeper *k)
{
	struct handover *h = &k->handover;
	uint64_t done_us;

	if (netglue_release(k->net))
		log_err("event=release-incomplete");
	hub_detach(k->hub, HUB_SIP);
	hub_detach(k->hub, HUB_MEDIA);
	workers_restart(k->workers);
	done_us = now_us();
	log_notice("event=switchover peer-active=%s quiesce-us=%" PRIu64
		   " flush-us=%" PRIu64 " forward-us=%" PRIu64 " go-us=%" PRIu64
		   " total-us=%" PRIu64,
		   h->peer_active_ms ? "yes" : "no",
		   h->quiesced_us - h->begun_us, h->flushed_us - h->quiesced_us,
		   h->forwarding_us - h->flushed_us, done_us - h->go_us,
		   done_us - h->begun_us);
	h->phase = HANDOVER_NONE;
	role_action_done(k, HA_ACT_QUIESCE);
	answer_waiters(k, h->peer_active_ms ? NULL
					    : "released, but the peer did not "
					      "become active in time");
}

static void poll_gone(struct keeper *k)
{
	struct handover *h = &k->handover;
	uint64_t since_us = now_us() - h->go_us;
	uint64_t now_ms = clock_mono_ms();

	if (!h->peer_active_ms && peer_serves(k))
		h->peer_active_ms = now_ms;
	if ((h->peer_active_ms && since_us >= FORWARD_MS * 1000) ||
	    since_us >= PEER_ACTIVE_MS * 1000)
		finish(k);
	else
		loop_timer_arm(h->timer, POLL_MS);
}

static void on_timer(void *ctx)
{
	struct keeper *k = ctx;
	struct handover *h = &k->handover;

	switch (h->phase) {
	case HANDOVER_QUIESCING:
		if (h->force)
			enter_flushing(k);
		else
			call_off(k, "a worker did not come to rest");
		break;
	case HANDOVER_FLUSHING:
		if (h->force)
			enter_forwarding(k);
		else
			call_off(k, "the peer did not acknowledge in time");
		break;
	case HANDOVER_FORWARDING:
		/* A few packets are lost, that is all. */
		log_warn("event=switchover-without-forwarding");
		leave_forwarding(k);
		break;
	case HANDOVER_GONE:
		poll_gone(k);
		break;
	case HANDOVER_NONE:
		break;
	}
}

void handover_go(struct keeper *k)
{
	struct handover *h = &k->handover;

	role_shut_gate(k);
	if (ha_engine_command(k->engine, HA_CMD_GO, k->roles.epoch))
		/* The peer takes over all the same when we have released. */
		log_err("event=go-unsent");
	ha_engine_flush(k->engine, clock_mono_ms());
	h->phase = HANDOVER_GONE;
	h->go_us = now_us();
	h->peer_active_ms = 0;
	loop_timer_arm(h->timer, POLL_MS);
}

const char *handover_begin(struct keeper *k, const char *reason, bool force)
{
	struct handover *h = &k->handover;

	if (k->roles.role != HA_ROLE_ACTIVE)
		return "this node is not active";
	if (h->phase != HANDOVER_NONE)
		return "a switchover is under way";
	if (k->roles.ev.peer_left != HA_LEFT_NOT || !k->roles.ev.peer_known)
		return "the peer is absent";
	if (k->roles.peer.role != HA_ROLE_STANDBY &&
	    !(force && k->roles.peer.role == HA_ROLE_SYNCING))
		return "the peer is not ready to take over";
	if (!k->roles.peer.health && !force)
		return "the peer is in maintenance or unfit (use force)";
	if (!k->roles.in_sync && !force)
		return "the nodes are not in sync (use force)";
	log_notice("event=switchover-begins reason=\"%s\" force=%s", reason,
		   force ? "yes" : "no");
	timeline_add(&k->timeline, "switchover begins", reason);
	h->phase = HANDOVER_QUIESCING;
	h->force = force;
	h->begun_us = now_us();
	for (int w = 0; w < HUB_WORKERS; w++) {
		h->waiting[w] = false;
		if (hub_is_replayed(k->hub, (enum hub_worker)w))
			tell(k, (enum hub_worker)w, LINK_QUIESCE);
	}
	loop_timer_arm(h->timer, QUIESCE_MS);
	handover_turn(k);
	return NULL;
}

void handover_on_worker(struct keeper *k, enum hub_worker w, uint8_t type)
{
	struct handover *h = &k->handover;
	uint8_t expected = h->phase == HANDOVER_QUIESCING    ? LINK_QUIESCED
			   : h->phase == HANDOVER_FORWARDING ? LINK_FORWARDING
							     : 0;

	if (!expected || type != expected)
		return;
	h->waiting[w] = false;
	handover_turn(k);
}

void handover_on_worker_death(struct keeper *k, enum hub_worker w)
{
	k->handover.waiting[w] = false;
	handover_turn(k);
}

/* ---- asked by people ---------------------------------------------------- */
static void on_ask_timer(void *ctx)
{
	struct keeper *k = ctx;

	k->handover.asked = false;
	answer_waiters(k, "the active node did not hand over in time");
}

/* By people: whoever comes to a peer without our certificates finds others. */
static const char *unlike(const struct keeper *k, bool force)
{
	return k->prints.differ && !force
		       ? "the nodes have not loaded the same certificates, see "
			 "show tls (use force)"
		       : NULL;
}

static const char *ask_peer(struct keeper *k, bool force)
{
	struct handover *h = &k->handover;

	if (k->roles.role != HA_ROLE_STANDBY &&
	    !(force && k->roles.role == HA_ROLE_SYNCING))
		return "this node is not ready to take over";
	if (k->service.state == SERVICE_MAINTENANCE && !force)
		return "this node is in maintenance (use force)";
	if (k->roles.peer.role != HA_ROLE_ACTIVE ||
	    k->roles.ev.peer_left != HA_LEFT_NOT)
		return "there is no active peer";
	if (unlike(k, force))
		return unlike(k, force);
	if (ha_engine_command(k->engine, HA_CMD_SWITCHOVER_ASK, force))
		return "the peer cannot be asked";
	h->asked = true;
	loop_timer_arm(h->ask_timer, ASK_MS);
	return NULL;
}

void handover_request(struct keeper *k, uint64_t id, bool force)
{
	struct handover *h = &k->handover;
	const char *why;

	if (h->waiters_len == KEEPER_WAITERS_MAX) {
		control_error(k->control, id, CONTROL_REFUSED,
			      "too many switchovers asked for");
		return;
	}
	h->waiters[h->waiters_len++] = id;
	if (k->roles.role != HA_ROLE_ACTIVE)
		why = ask_peer(k, force);
	else if (!(why = unlike(k, force)))
		why = handover_begin(k, "asked by the operator", force);
	if (!why)
		return;
	h->waiters_len--;
	control_error(k->control, id, CONTROL_REFUSED, "%s", why);
}

void handover_on_command(struct keeper *k, enum ha_command cmd, uint64_t arg)
{
	struct handover *h = &k->handover;
	const char *why;

	if (cmd == HA_CMD_SWITCHOVER_ASK) {
		why = unlike(k, arg & 1);
		if (!why)
			why = handover_begin(k, "asked by the peer", arg & 1);
		if (!why)
			return;
		log_warn("event=switchover-refused why=\"%s\"", why);
		if (ha_engine_command(k->engine, HA_CMD_REFUSED,
				      prints_in_sync(k) ? REFUSED_STATE
							: REFUSED_SYNC))
			log_info("event=refusal-unsent");
	} else if (cmd == HA_CMD_REFUSED && h->asked) {
		h->asked = false;
		loop_timer_disarm(h->ask_timer);
		answer_waiters(k,
			       arg == REFUSED_SYNC
				       ? "the nodes are not in sync (use force)"
			       : arg == REFUSED_ABORTED
				       ? "the active node called it off"
				       : "the active node refused");
	}
}

void handover_on_role(struct keeper *k)
{
	struct handover *h = &k->handover;

	if (h->asked && k->roles.role == HA_ROLE_ACTIVE) {
		h->asked = false;
		loop_timer_disarm(h->ask_timer);
		answer_waiters(k, NULL);
	}
	/* Demoted in the middle of the preparations. */
	if (h->phase != HANDOVER_NONE && k->roles.role != HA_ROLE_ACTIVE &&
	    k->roles.role != HA_ROLE_RELINQUISHING) {
		h->phase = HANDOVER_NONE;
		loop_timer_disarm(h->timer);
		answer_waiters(k, "the role changed meanwhile");
	}
}

int handover_create(struct keeper *k)
{
	int err = loop_timer_create(k->loop, &k->handover.timer, on_timer, k);

	if (!err)
		err = loop_timer_create(k->loop, &k->handover.ask_timer,
					on_ask_timer, k);
	return err;
}

void handover_destroy(struct keeper *k)
{
	loop_timer_destroy(k->handover.timer);
	loop_timer_destroy(k->handover.ask_timer);
}
