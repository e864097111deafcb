/*
 * What arbitration is given to judge by: the group, the quorum, the witness,
 * the beats and the gateways, brought into struct ha_evidence.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/keeper_int.h"

enum {
	/* Longer than a ring change takes, shorter than two faults. */
	WITNESS_LOST_MS = 300,
	/*
	 * A peer's silence in which a gateway must have answered, or three
	 * silences if that is longer: a router answers ARP when it has time,
	 * and what it was asked first may be lost.
	 */
	RIGHT_MS = 300,
	RIGHT_SILENCES = 3,
	/* Beats that a peer may lose while this node can hear. */
	EARS_BEATS = 3,
};

static bool serves(uint8_t role)
{
	return role == HA_ROLE_ACTIVE || role == HA_ROLE_BECOMING_ACTIVE;
}

static void set_peer_role(struct ha_evidence *ev, enum ha_role role)
{
	if (!ev->peer_known || ev->peer_role != role)
		ev->peer_role_ms = clock_mono_ms();
	ev->peer_known = true;
	ev->peer_role = role;
}

/* ---- from the group ----------------------------------------------------- */
void role_on_members(struct keeper *k, bool self, bool peer,
		     enum ha_peer_left left)
{
	struct roles *r = &k->roles;
	struct ha_evidence *ev = &r->ev;
	uint64_t now_ms = clock_mono_ms();

	if (self && !ev->in_group && !ev->start_ms)
		ev->start_ms = now_ms;
	ev->in_group = self;
	if (peer && ev->peer_left != HA_LEFT_NOT) {
		ev->peer_left = HA_LEFT_NOT;
		ev->peer_known = false;
		ev->peer_go = false;
		ev->last_word_ms = now_ms;
		r->peer_released_word = false;
		log_notice("event=peer-joined");
		timeline_add(&k->timeline, "peer joined", "");
	} else if (!peer && ev->peer_left == HA_LEFT_NOT) {
		ev->peer_left = r->peer_released_word ? HA_LEFT_CLEAN : left;
		ev->peer_left_ms = now_ms;
		log_notice("event=peer-left how=%s",
			   ev->peer_left == HA_LEFT_CLEAN      ? "clean"
			   : ev->peer_left == HA_LEFT_PROCDOWN ? "procdown"
							       : "nodedown");
		timeline_add(&k->timeline, "peer left",
			     ev->peer_left == HA_LEFT_CLEAN	 ? "clean"
			     : ev->peer_left == HA_LEFT_PROCDOWN ? "procdown"
								 : "nodedown");
	}
}

/*
 * Between two nodes that see each other the witness's vote is not needed: it
 * is missed before it is. Alone, a vote that was given and is taken back
 * without a change of the ring is no verdict about a ring: the witness is gone.
 */
static void set_witness_dead(struct keeper *k, bool dead, const char *why)
{
	struct ha_evidence *ev = &k->roles.ev;

	if (!ev->witness_configured || ev->witness_known_dead == dead)
		return;
	ev->witness_known_dead = dead;
	log_msg(dead ? LOG_ERR : LOG_NOTICE,
		"event=witness known-dead=%s why=\"%s\"", dead ? "yes" : "no",
		why);
	timeline_add(&k->timeline, dead ? "witness lost" : "witness back", why);
}

void role_on_ring(struct keeper *k, uint64_t ring_seq)
{
	struct ha_evidence *ev = &k->roles.ev;

	if (ev->members_ring == ring_seq)
		return;
	ev->members_ring = ring_seq;
	ev->ring_ms = clock_mono_ms();
}

void role_on_quorum(struct keeper *k, bool quorate, uint64_t ring_seq)
{
	struct ha_evidence *ev = &k->roles.ev;
	bool same = ring_seq == ev->quorum_ring;

	if (ev->quorate != quorate || !same)
		log_notice("event=quorum quorate=%s ring=%" PRIu64,
			   quorate ? "yes" : "no", ring_seq);
	if (same && ev->quorate && !quorate)
		set_witness_dead(k, true, "its vote was lost");
	else if (quorate && ev->peer_left != HA_LEFT_NOT)
		set_witness_dead(k, false, "quorate with it");
	ev->quorate = quorate;
	ev->quorum_ring = ring_seq;
}

void role_on_witness(struct keeper *k, bool votes)
{
	struct roles *r = &k->roles;

	log_info("event=witness-vote votes=%s", votes ? "yes" : "no");
	if (votes)
		set_witness_dead(k, false, "it votes");
	r->witness_lost_ms = votes ? 0 : clock_mono_ms();
}

/* A vote that is missed for a moment, as when rings change, is not lost. */
static void judge_witness(struct keeper *k)
{
	struct roles *r = &k->roles;
	const struct ha_evidence *ev = &r->ev;

	if (r->witness_lost_ms && ev->in_group &&
	    ev->peer_left == HA_LEFT_NOT &&
	    ev->now_ms - r->witness_lost_ms >= WITNESS_LOST_MS &&
	    ev->now_ms - ev->ring_ms >= WITNESS_LOST_MS)
		set_witness_dead(k, true, "it casts no vote");
}

void role_on_corosync(struct keeper *k, bool up, const char *why)
{
	if (k->corosync_up == up)
		return;
	k->corosync_up = up;
	log_msg(up ? LOG_NOTICE : LOG_ERR, "event=corosync up=%s why=\"%s\"",
		up ? "yes" : "no", why ? why : "");
	timeline_add(&k->timeline, up ? "corosync up" : "corosync down",
		     why ? why : "");
	if (up)
		return;
	/* Its words were about a ring we are not in any more. */
	k->roles.ev.in_group = false;
	k->roles.ev.quorate = false;
	k->roles.ev.quorum_ring = 0;
}

void role_on_status(struct keeper *k, const struct ha_status *s)
{
	struct ha_evidence *ev = &k->roles.ev;

	if (!s)
		return; /* role_on_members() says how it left */
	epoch_heard(&k->epoch, s->epoch);
	epoch_heard(&k->epoch, s->active_epoch);
	set_peer_role(ev, s->role);
	ev->peer_epoch = s->epoch;
	ev->peer_active_epoch = s->active_epoch;
	ev->peer_calls = s->calls;
	k->roles.peer = *s;
}

/* ---- what is seen now ---------------------------------------------------- */
/* Beats say what the peer is: outside the group always, and that it serves
 * also ahead of the group, which may be a ring behind. */
static void take_beats(struct keeper *k, const struct beat_view *view)
{
	struct ha_evidence *ev = &k->roles.ev;
	bool out = ev->peer_left != HA_LEFT_NOT;
	bool fresh = ev->now_ms < ev->last_beat_ms + k->roles.rules.silence_ms;

	if (!view->peer_heard || ev->peer_released)
		return;
	if (out)
		epoch_heard(&k->epoch, view->peer_epoch);
	else if (!fresh || !serves(view->peer_role) ||
		 view->peer_epoch <= ev->peer_active_epoch)
		return;
	else
		epoch_heard(&k->epoch, view->peer_epoch);
	if (out && ev->last_beat_ms <= ev->peer_left_ms)
		return;
	set_peer_role(ev, view->peer_role);
	if (view->peer_epoch > ev->peer_active_epoch)
		ev->peer_active_epoch = view->peer_epoch;
}

static void note_idleness(struct keeper *k)
{
	struct ha_evidence *ev = &k->roles.ev;

	if (role_serves(k) || !ev->peer_known || serves(ev->peer_role))
		ev->idle_ms = 0;
	else if (!ev->idle_ms)
		ev->idle_ms = ev->now_ms;
}

static uint64_t right_ms(const struct ha_rules *rules)
{
	uint64_t ms = RIGHT_SILENCES * (uint64_t)rules->silence_ms;

	return ms > RIGHT_MS ? ms : RIGHT_MS;
}

/*
 * A node whose cable was just plugged in hears its gateway before the peer's
 * next beat: silence proves nothing until it has had time to be broken. One
 * that serves takes nothing from anybody; it keeps its right while the
 * gateways, just asked about the silence, have had no time to answer.
 */
static bool hears_gateway(struct keeper *k)
{
	struct roles *r = &k->roles;
	uint64_t now_ms = r->ev.now_ms, beat_ms = r->ev.last_beat_ms;
	bool hears = netglue_gateway_reachable(k->net, now_ms, beat_ms);

	if (role_serves(k)) {
		if (!hears && now_ms < beat_ms + right_ms(&r->rules))
			hears = netglue_gateway_reachable(k->net, now_ms, 0);
		return hears;
	}
	if (!hears) {
		r->ears_ms = 0;
		return false;
	}
	if (!r->ears_ms)
		r->ears_ms = now_ms;
	return now_ms >=
	       r->ears_ms + (uint64_t)EARS_BEATS * k->config->cluster.beat_ms;
}

void role_gather(struct keeper *k)
{
	struct ha_evidence *ev = &k->roles.ev;
	struct beat_view view;

	beat_get_view(k->beat, &view);
	ev->now_ms = clock_mono_ms();
	ev->role = k->roles.role;
	ev->own_epoch = k->epoch.heard;
	ev->own_active_epoch = k->epoch.active;
	ev->own_calls = keeper_calls(k);
	ev->last_beat_ms = 0;
	for (size_t i = 0; i < BEAT_PATHS_MAX; i++) {
		if (view.last_heard_ms[i] > ev->last_beat_ms)
			ev->last_beat_ms = view.last_heard_ms[i];
	}
	ev->gateway_reachable = hears_gateway(k);
	ev->peer_released = view.released_boot_id &&
			    view.released_boot_id == view.peer_boot_id;
	judge_witness(k);
	take_beats(k, &view);
	note_idleness(k);
}

/*
 * The moment a gateway answers counts, not the next tick: after it the silence
 * has to go on for EARS_BEATS, and all of it has to fit into silence_ms.
 */
void role_listen(struct keeper *k)
{
	if (!k->stopping && k->roles.rules.gateway && !k->roles.ears_ms &&
	    !role_serves(k))
		role_gather(k);
}

static const char *witness_word(const struct ha_evidence *ev)
{
	if (!ev->witness_configured)
		return "none";
	if (ev->witness_known_dead)
		return "lost";
	if (ev->quorum_ring < ev->members_ring)
		return "undecided";
	return ev->quorate ? "quorate" : "not quorate";
}

json_t *role_evidence_to_json(const struct keeper *k)
{
	const struct roles *r = &k->roles;
	const struct ha_evidence *ev = &r->ev;
	bool heard = ev->last_beat_ms &&
		     ev->now_ms - ev->last_beat_ms < r->rules.silence_ms;

	return json_pack("{s:b,s:s,s:b,s:b,s:s,s:s}", "to-be-active",
			 serves((uint8_t)r->role), "decision", r->decision,
			 "in-group", ev->in_group, "peer-heard", heard,
			 "witness", witness_word(ev), "gateway",
			 !r->rules.gateway	 ? "none"
			 : ev->gateway_reachable ? "answers"
						 : "silent");
}
