/*
 * The world around two keepers: machines that can be paused, kernels with a
 * lease and a fence, four paths, corosync's membership and verdicts, gateways.
 *
 * Simplified: a frame takes one or two ms and does not overtake; membership
 * changes token_ms after contact was lost and merge_ms after it is back; a
 * join brings the standby in sync after a while; nothing is replicated.
 */
#ifndef TEST_PAIR_WORLD_H
#define TEST_PAIR_WORLD_H

#include "pair.h"

enum {
	TICK_MS = 10, /* of the keeper */
	GO_MS = 100, /* from GO to the end of a planned release */
	SYNC_MS = 80,
	WATCHDOG_MS = 3000, /* of systemd */
	COLD_START_MS = 2000,
};

/* ---- kernel and beat thread ---------------------------------------------- */
static void kernel_sees(struct node *n, const struct frame *f)
{
	if (f->target != n->index + 1 || n->gate_fenced ||
	    memcmp(f->token, n->armed, sizeof(f->token)) != 0)
		return;
	n->gate_fenced = true;
	w.fences++;
	say("node %u: fenced", n->index + 1);
}

static void take_beat(struct node *n, const struct frame *f)
{
	struct beat_view *v = &n->view;

	if (f->released) {
		n->event |= v->released_boot_id != f->boot_id;
		v->released_boot_id = f->boot_id;
		return;
	}
	n->event |=
		!v->peer_heard || v->peer_role != f->role ||
		v->peer_boot_id != f->boot_id ||
		n->guest_ms - v->last_heard_ms[f->path] > 5 * w.timing->beat_ms;
	v->peer_heard = true;
	v->peer_role = f->role;
	v->peer_epoch = f->epoch;
	v->peer_boot_id = f->boot_id;
	v->last_heard_ms[f->path] = n->guest_ms;
	n->heard_beat_ms = n->guest_ms;
	if (f->target == n->index + 1 && n->gate_fenced && !v->fenced) {
		v->fenced = true;
		n->hold = false;
		n->event = true;
	}
}

static void send_frames(struct node *n, bool released)
{
	struct node *p = other(n);
	struct frame f = {
		.role = n->role,
		.epoch = n->epoch,
		.boot_id = n->k->boot_id,
		.released = released,
		.target = released ? 0 : n->target,
	};

	memcpy(f.token, n->token, sizeof(f.token));
	for (unsigned i = 0; i < PATHS; i++) {
		if (!path_works(n, i) || !p->powered ||
		    dice(100) < w.loss_percent)
			continue;
		f.path = (uint8_t)i;
		f.due_ms = w.now_ms + 1 + dice(2);
		frames_put(&p->wire, &f);
	}
}

static void renew_lease(struct node *n)
{
	if (!n->hold || n->guest_ms < n->next_renew_ms)
		return;
	n->next_renew_ms = n->guest_ms + w.timing->lease_ms / 5;
	if (n->guest_ms < n->gate_until_ms) {
		n->gate_until_ms = n->guest_ms + w.timing->lease_ms;
	} else if (!n->view.lapsed) {
		n->view.lapsed = true;
		n->hold = false;
		n->event = true;
	}
}

static void beat_thread(struct node *n)
{
	uint32_t stall_ms = w.timing->lease_ms / 2;
	struct frame f;

	if (stall_ms < 5 * w.timing->beat_ms)
		stall_ms = 5 * w.timing->beat_ms;
	if (n->guest_ms >= n->next_beat_ms) {
		n->next_beat_ms = n->guest_ms + w.timing->beat_ms;
		if (n->guest_ms - n->tick_ms < stall_ms) {
			send_frames(n, false);
			renew_lease(n);
		}
	}
	while (frames_get(&n->socket, w.now_ms, &f))
		take_beat(n, &f);
}

/* ---- the main loop ------------------------------------------------------- */
static void forget_peer(struct node *n)
{
	n->k->roles.in_sync = false;
	n->sync_ms = 0;
}

static void hear_members(struct node *n, const struct news *m)
{
	role_on_members(n->k, true, m->yes, m->left);
	if (m->yes)
		keeper_publish(n->k);
	else
		role_on_sync(n->k, false, "alone");
	forget_peer(n);
}

static void hear_news(struct node *n, const struct news *m)
{
	struct keeper *k = n->k;

	switch (m->kind) {
	case NEWS_RING:
		role_on_ring(k, m->number);
		return;
	case NEWS_MEMBERS:
		hear_members(n, m);
		break;
	case NEWS_STATUS:
		if (!n->peer_member)
			return;
		k->roles.ev.last_word_ms = n->guest_ms;
		role_on_status(k, &m->status);
		break;
	case NEWS_QUORUM:
		role_on_quorum(k, m->yes, m->number);
		break;
	case NEWS_WITNESS:
		role_on_witness(k, m->yes);
		break;
	case NEWS_SYNC:
		role_on_sync(k, m->yes, "snapshot");
		break;
	case NEWS_GO:
		if (k->roles.role == HA_ROLE_STANDBY &&
		    m->number >= k->roles.ev.peer_active_epoch)
			role_on_go(k, m->number);
		return;
	case NEWS_DISK:
		memcpy(n->disk, n->writing, sizeof(n->disk));
		k->epoch_busy = false;
		epoch_written(&k->epoch, m->number);
		role_epoch_written(k);
		return;
	}
	role_evaluate(k);
}

static void ask_gateways(struct node *n)
{
	uint64_t last_ms = n->k->roles.ev.last_beat_ms;

	if (gwprobe_urgent(n->guest_ms, last_ms, w.timing->beat_ms) &&
	    n->next_ask_ms > n->guest_ms + GWPROBE_URGENT_MS)
		n->next_ask_ms = n->guest_ms + GWPROBE_URGENT_MS;
	if (n->guest_ms < n->next_ask_ms)
		return;
	n->next_ask_ms = n->guest_ms + GWPROBE_ASK_MS;
	for (unsigned i = FIRST_SERVICE; i < PATHS; i++) {
		if (n->tx[i] && n->rx[i])
			n->answered_ms = n->guest_ms + 1;
	}
}

static void on_tick(struct node *n)
{
	struct keeper *k = n->k;

	n->next_tick_ms = n->guest_ms + TICK_MS;
	n->tick_ms = n->guest_ms;
	ask_gateways(n);
	role_evaluate(k);
	fence_turn(k);
	fence_check(k);
	if (epoch_wants_write(&k->epoch))
		keeper_write_epoch(k);
	if (n->guest_ms >= n->next_status_ms)
		keeper_publish(k);
	if (k->roles.role == HA_ROLE_RELINQUISHING &&
	    k->roles.todo & HA_ACT_QUIESCE && n->guest_ms >= n->go_ms + GO_MS)
		role_action_done(k, HA_ACT_QUIESCE);
}

static void run_timers(struct node *n)
{
	for (size_t i = 0; i < n->timers_len; i++) {
		struct loop_timer *t = n->timers[i];

		if (!t->deadline_ms || t->deadline_ms > n->guest_ms)
			continue;
		t->deadline_ms = 0;
		t->fn(t->ctx);
	}
}

static void main_loop(struct node *n)
{
	bool timers_first = dice(2);
	uint64_t epoch = n->k->epoch.active;

	if (timers_first)
		run_timers(n);
	while (n->news_len && n->news[n->news_first].due_ms <= w.now_ms) {
		struct news m = n->news[n->news_first];

		n->news_first = (n->news_first + 1) % NEWS_MAX;
		n->news_len--;
		hear_news(n, &m);
	}
	if (n->event)
		role_on_beats(n->k);
	if (!timers_first)
		run_timers(n);
	if (n->guest_ms >= n->next_tick_ms)
		on_tick(n);
	n->tick_ms = n->guest_ms;
	if (n->k->epoch.active == epoch)
		return;
	if (n->k->epoch.active <= n->last_epoch ||
	    n->k->epoch.active == other(n)->last_epoch)
		wrong("node %u used an epoch again", n->index + 1);
	n->last_epoch = n->k->epoch.active;
}

/* ---- keeper and machine -------------------------------------------------- */
static void keeper_start(struct node *n)
{
	struct keeper *k = calloc(1, sizeof(*k));

	if (!k)
		abort();
	w.current = n;
	n->k = k;
	n->start_ms = 0;
	n->timers_len = n->news_len = 0;
	memset(&n->view, 0, sizeof(n->view));
	n->hold = n->event = false;
	n->role = n->target = 0;
	n->next_beat_ms = n->next_tick_ms = n->tick_ms = n->guest_ms;
	n->next_ask_ms = n->answered_ms = n->heard_beat_ms = 0;
	n->socket.len = 0;
	n->hung_ms = 0;
	n->starved = false;
	n->config.cluster.beat_ms = w.timing->beat_ms;
	n->config.cluster.silence_ms = w.timing->silence_ms;
	n->config.cluster.lease_ms = w.timing->lease_ms;
	n->config.cluster.cold_start_ms = COLD_START_MS;
	strcpy(n->config.cluster.witness, w.with_witness ? "10.0.0.3" : "");
	k->config = &n->config;
	k->node.id = (uint8_t)(n->index + 1);
	k->boot_id = ++w.next_boot;
	k->net = (struct netglue *)n;
	k->beat = (struct beat *)n;
	k->engine = (struct ha_engine *)n;
	epoch_init(&k->epoch, k->node.id);
	if (n->disk[0] && epoch_parse(&k->epoch, n->disk))
		wrong("the epoch file of node %u is unreadable", k->node.id);
	n->epoch = k->epoch.active;
	fence_renew(k);
	if (role_create(k))
		abort();
	role_on_corosync(k, true, "start");
	n->member = n->peer_member = false;
	n->sync_ms = 0;
	say("node %u: keeper starts", n->index + 1);
}

static void keeper_end(struct node *n)
{
	if (!n->k)
		return;
	w.current = n;
	role_destroy(n->k);
	free(n->k);
	n->k = NULL;
	n->member = n->peer_member = false;
	n->gate_until_ms = 0;
	n->news_len = n->timers_len = 0;
	n->socket.len = 0;
}

/* kill -9: the guard shuts the gate and says so. */
static void keeper_killed(struct node *n, unsigned back_ms)
{
	struct node *p = other(n);

	if (!alive(n) || n->stopped || !n->k)
		return;
	n->gate_until_ms = 0;
	send_frames(n, true);
	keeper_end(n);
	n->start_ms = w.now_ms + back_ms;
	if (p->joint && p->peer_member) {
		p->peer_member = false;
		tell(p,
		     &(struct news){.kind = NEWS_MEMBERS,
				    .left = HA_LEFT_PROCDOWN},
		     1 + dice(4));
	}
}

static void power_off(struct node *n)
{
	keeper_end(n);
	n->powered = n->frozen = n->stopped = n->starved = false;
	n->wire.len = 0;
	n->joint = n->votes = n->quorate = false;
	n->start_ms = 0;
}

static void power_on(struct node *n)
{
	n->powered = true;
	n->lost_ms = 0;
	n->ring = w.ring += 4;
	n->verdict_ms = w.now_ms + 100;
	n->start_ms = w.now_ms + 300 + dice(500);
}

static void node_turn(struct node *n)
{
	struct frame f;

	if (!alive(n))
		return;
	w.current = n;
	n->guest_ms++;
	n->deaf_ms = (n->tx[2] && n->rx[2]) || (n->tx[3] && n->rx[3])
			     ? 0
			     : n->deaf_ms + 1;
	while (frames_get(&n->wire, w.now_ms, &f)) {
		kernel_sees(n, &f);
		/* Of two gates one is heard of: it must end now. */
		if (w.two_ms && !f.released && !w.two_told_ms &&
		    other(n)->epoch > n->epoch && gate_open(n))
			w.two_told_ms = w.now_ms;
		if (n->k)
			frames_put(&n->socket, &f);
	}
	if (n->start_ms && !n->stopped && w.now_ms >= n->start_ms && !n->k)
		keeper_start(n);
	if (!runs(n))
		return;
	beat_thread(n);
	n->hung_ms = n->starved ? n->hung_ms + 1 : 0;
	if (n->hung_ms >= WATCHDOG_MS)
		keeper_killed(n, 1 + dice(400));
	else if (!n->starved)
		main_loop(n);
}

/* ---- corosync ------------------------------------------------------------ */
static bool ring_alive(const struct node *n)
{
	return alive(n) && !n->stopped;
}

static bool sees_witness(const struct node *n)
{
	return w.witness && ring_alive(n) && n->tx[0] && n->rx[0];
}

static void members(struct node *n, bool peer, enum ha_peer_left left)
{
	n->member = true;
	n->peer_member = peer;
	tell(n, &(struct news){.kind = NEWS_MEMBERS, .yes = peer, .left = left},
	     0);
}

static void new_ring(struct node *n, bool joint, uint64_t ring)
{
	bool had = n->joint && n->peer_member;

	n->joint = joint;
	n->ring = ring;
	n->lost_ms = 0;
	n->token_ms = 250 + dice(60);
	n->verdict_ms = w.now_ms + 20 + dice(130);
	n->votes = false;
	tell(n, &(struct news){.kind = NEWS_RING, .number = ring}, 0);
	if (had)
		members(n, false, HA_LEFT_NODEDOWN);
}

static void join_group(struct node *n)
{
	struct node *p = other(n);
	bool both = n->joint && p->joint && p->member;

	/* The group agrees on a join, or breaks first. */
	if (n->member || (n->joint && !w.connected_ms))
		return;
	tell(n, &(struct news){.kind = NEWS_RING, .number = n->ring}, 0);
	members(n, both, HA_LEFT_NOT);
	n->verdict_ms = w.now_ms + dice(30);
	n->votes = n->quorate = false;
	if (both && p->k)
		members(p, true, HA_LEFT_NOT);
}

static void merge(void)
{
	uint64_t ring = w.ring += 4;

	for (int i = 0; i < 2; i++)
		new_ring(&w.node[i], true, ring);
	for (int i = 0; i < 2; i++) {
		struct node *n = &w.node[i];

		if (n->member && other(n)->member)
			members(n, true, HA_LEFT_NOT);
	}
}

static void verdict(struct node *n)
{
	bool votes = w.with_witness && sees_witness(n) &&
		     (n->joint || w.vote == n->index);
	bool quorate = n->joint || votes;

	if (w.now_ms < n->verdict_ms || !n->k)
		return;
	if (n->verdict_ms || quorate != n->quorate)
		tell(n,
		     &(struct news){.kind = NEWS_QUORUM,
				    .yes = quorate,
				    .number = n->ring},
		     0);
	if (n->verdict_ms || votes != n->votes)
		tell(n, &(struct news){.kind = NEWS_WITNESS, .yes = votes}, 0);
	n->verdict_ms = 0;
	n->votes = votes;
	n->quorate = quorate;
}

static void synchronise(struct node *n)
{
	struct node *p = other(n);

	if (!n->k || !p->k || !in_one_group() || !n->peer_member ||
	    (n->k->roles.in_sync && n->k->roles.role == HA_ROLE_STANDBY) ||
	    !role_serves(p->k) || role_serves(n->k)) {
		n->sync_ms = 0;
		return;
	}
	if (++n->sync_ms % SYNC_MS)
		return;
	tell(n, &(struct news){.kind = NEWS_SYNC, .yes = true}, 0);
	tell(p, &(struct news){.kind = NEWS_SYNC, .yes = true}, 1);
}

static void corosync_turn(void)
{
	struct node *a = &w.node[0], *b = &w.node[1];
	bool contact = ring_alive(a) && ring_alive(b) &&
		       ((path_works(a, 0) && path_works(b, 0)) ||
			(path_works(a, 1) && path_works(b, 1)));

	w.connected_ms = contact ? w.connected_ms + 1 : 0;
	for (int i = 0; i < 2; i++) {
		struct node *n = &w.node[i];

		if (!ring_alive(n))
			continue;
		n->lost_ms = contact ? 0 : n->lost_ms + 1;
		if (n->joint && n->lost_ms >= n->token_ms)
			new_ring(n, false, w.ring += 4);
	}
	if (contact && !(a->joint && b->joint) && w.connected_ms >= w.merge_ms)
		merge();
	if (!(a->joint && b->joint) && !sees_witness(&w.node[w.vote]) &&
	    sees_witness(&w.node[1 - w.vote]))
		w.vote = 1 - w.vote;
	for (int i = 0; i < 2; i++) {
		struct node *n = &w.node[i];

		if (!ring_alive(n))
			continue;
		if (n->k)
			join_group(n);
		verdict(n);
		synchronise(n);
	}
}

#endif
