/*
 * Two keepers against each other: the real arbitration, role machine, evidence,
 * fence and epochs of both nodes, on a simulated clock, network, corosync,
 * disk and kernel. One step is a millisecond; everything random comes from one
 * seed, so a run can be repeated.
 *
 * What is simulated and how: tests/unit/keeper/pair_world.h. Here: what a
 * keeper is made to believe it stands on.
 */
#ifndef TEST_PAIR_H
#define TEST_PAIR_H

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/gwprobe.h"
#include "sbcd/keeper/keeper_int.h"

enum {
	PATHS = 4, /* two HA links, two service networks */
	FIRST_SERVICE = 2,
	RING_FRAMES = 256, /* a NIC keeps so many, and drops the newest */
	NEWS_MAX = 128,
	TIMERS_MAX = 16,
	STATUS_MS = KEEPER_STATUS_MS,
};

struct frame {
	uint64_t due_ms; /* true time */
	uint8_t path, role, target;
	bool released; /* the guard's word */
	uint64_t epoch, boot_id;
	uint8_t token[HA_BEAT_TOKEN_SIZE];
};

struct frames {
	struct frame f[RING_FRAMES];
	unsigned first, len;
};

enum news_kind {
	NEWS_RING,
	NEWS_MEMBERS,
	NEWS_STATUS,
	NEWS_QUORUM,
	NEWS_WITNESS,
	NEWS_SYNC,
	NEWS_GO,
	NEWS_DISK,
};

/* What corosync and the disk thread tell a keeper's main loop. */
struct news {
	enum news_kind kind;
	uint64_t due_ms;
	bool yes;
	enum ha_peer_left left;
	uint64_t number;
	struct ha_status status;
};

struct loop_timer {
	struct node *owner;
	uint64_t deadline_ms; /* 0 = disarmed */
	loop_timer_fn *fn;
	void *ctx;
};

struct node {
	unsigned index;
	struct keeper *k; /* NULL: no keeper */
	struct config config;
	/* The machine. Its clock stands still while it is frozen. */
	uint64_t guest_ms;
	bool powered, frozen, stopped, starved, was_frozen;
	bool tx[PATHS], rx[PATHS];
	/* The kernel. */
	uint64_t hung_ms, deaf_ms, gate_until_ms;
	bool gate_fenced;
	uint8_t armed[HA_BEAT_TOKEN_SIZE];
	struct frames wire, socket;
	/* The beat thread. */
	struct beat_view view;
	bool hold, event;
	uint8_t role, target, token[HA_BEAT_TOKEN_SIZE];
	uint64_t epoch, next_beat_ms, next_renew_ms, tick_ms;
	/* The main loop. */
	struct loop_timer *timers[TIMERS_MAX];
	size_t timers_len;
	uint64_t go_ms, next_tick_ms, next_ask_ms, answered_ms, next_status_ms;
	struct news news[NEWS_MAX];
	unsigned news_first, news_len;
	struct ha_status status;
	/* The disk. */
	char disk[EPOCH_TEXT_SIZE], writing[EPOCH_TEXT_SIZE];
	uint64_t start_ms; /* true time at which the keeper starts, 0 = runs */
	/* corosync. */
	bool joint, member, peer_member, votes, quorate;
	uint64_t ring, lost_ms, verdict_ms;
	unsigned token_ms;
	uint64_t sync_ms;
	/* What is judged. */
	uint64_t opened_ms, last_epoch, heard_beat_ms;
};

struct timing {
	uint32_t beat_ms, silence_ms, lease_ms;
};

struct world {
	uint64_t now_ms, random;
	struct node node[2];
	struct node *current; /* whose code runs */
	const struct timing *timing;
	bool witness, with_witness, split;
	bool unsure; /* a node was without the witness once */
	bool deafened; /* a node could not hear once */
	unsigned vote, loss_percent;
	uint64_t connected_ms, ring, next_boot;
	unsigned merge_ms;
	/* What is judged. */
	uint64_t two_ms, two_told_ms, two_worst_ms, halves_ms;
	uint64_t nobody_ms;
	unsigned takeovers, fences;
	char wrong[256];
	bool verbose;
};

static struct world w;

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *fmt, ...)
{
	va_list ap;

	if (!w.verbose)
		return;
	printf("    %6" PRIu64 " ", w.now_ms);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static void wrong(const char *fmt, ...)
{
	va_list ap;

	if (w.wrong[0])
		return;
	va_start(ap, fmt);
	vsnprintf(w.wrong, sizeof(w.wrong), fmt, ap);
	va_end(ap);
	say("WRONG: %s", w.wrong);
}

static unsigned dice(unsigned n)
{
	w.random = w.random * UINT64_C(6364136223846793005) +
		   UINT64_C(1442695040888963407);
	return (unsigned)(w.random >> 33) % n;
}

static struct node *other(const struct node *n)
{
	return &w.node[1 - n->index];
}

static bool alive(const struct node *n)
{
	return n->powered && !n->frozen;
}

static bool runs(const struct node *n)
{
	return alive(n) && !n->stopped && n->k;
}

static bool gate_open(const struct node *n)
{
	return alive(n) && !n->gate_fenced && n->guest_ms < n->gate_until_ms;
}

static bool path_works(const struct node *from, unsigned path)
{
	return !w.split && from->tx[path] && other(from)->rx[path];
}

static uint32_t claim_after_ms(void)
{
	uint32_t lease_ms = w.timing->lease_ms + 2 * w.timing->beat_ms;

	return lease_ms > w.timing->silence_ms ? lease_ms
					       : w.timing->silence_ms;
}

static void frames_put(struct frames *q, const struct frame *f)
{
	if (q->len < RING_FRAMES)
		q->f[(q->first + q->len++) % RING_FRAMES] = *f;
}

static bool frames_get(struct frames *q, uint64_t now_ms, struct frame *out)
{
	if (!q->len || q->f[q->first].due_ms > now_ms)
		return false;
	*out = q->f[q->first];
	q->first = (q->first + 1) % RING_FRAMES;
	q->len--;
	return true;
}

static void tell(struct node *n, const struct news *news, unsigned delay_ms)
{
	struct news *to;

	if (!n->k || n->news_len == NEWS_MAX)
		return;
	to = &n->news[(n->news_first + n->news_len++) % NEWS_MAX];
	*to = *news;
	to->due_ms = w.now_ms + delay_ms;
}

/* ---- clock and timers ---------------------------------------------------- */
uint64_t clock_mono_ms(void)
{
	return w.current->guest_ms;
}

uint64_t clock_mono_ns(void)
{
	return clock_mono_ms() * 1000000;
}

uint64_t clock_wall_ms(void)
{
	return w.now_ms;
}

uint64_t clock_wall_ns(void)
{
	return w.now_ms * 1000000;
}

uint64_t clock_pair_ms(void)
{
	return w.now_ms;
}

int loop_timer_create(struct loop *loop, struct loop_timer **out,
		      loop_timer_fn *fn, void *ctx)
{
	struct node *n = w.current;
	struct loop_timer *t = calloc(1, sizeof(*t));

	if (!t || n->timers_len == TIMERS_MAX)
		abort();
	t->owner = n;
	t->fn = fn;
	t->ctx = ctx;
	n->timers[n->timers_len++] = t;
	*out = t;
	return 0;
}

void loop_timer_arm(struct loop_timer *t, uint64_t delay_ms)
{
	t->deadline_ms = t->owner->guest_ms + delay_ms;
}

void loop_timer_disarm(struct loop_timer *t)
{
	t->deadline_ms = 0;
}

bool loop_timer_armed(const struct loop_timer *t)
{
	return t->deadline_ms;
}

void loop_timer_destroy(struct loop_timer *t)
{
	free(t);
}

/* gwprobe.c is linked for its rules only. */
int loop_fd_add(struct loop *loop, struct loop_fd **out, int fd,
		uint32_t epoll_events, loop_fd_fn *fn, void *ctx)
{
	return -ENOSYS;
}

void loop_fd_remove(struct loop_fd *watch)
{
}

/* ---- the kernel ---------------------------------------------------------- */
/* Who opens beside an open gate must have had reason to think it shut. */
int netglue_gate_open(struct netglue *g, unsigned lease_ms)
{
	struct node *n = (struct node *)g;
	const struct node *p = other(n);

	if (gate_open(p) && !p->was_frozen && !w.split && n->heard_beat_ms &&
	    n->guest_ms - n->heard_beat_ms < claim_after_ms())
		wrong("node %u opens its gate beside an open one, heard "
		      "%" PRIu64 " ms ago",
		      n->index + 1, n->guest_ms - n->heard_beat_ms);
	n->gate_until_ms = n->guest_ms + lease_ms;
	n->opened_ms = w.now_ms;
	n->was_frozen = false;
	n->next_renew_ms = 0;
	say("node %u: gate open", n->index + 1);
	return 0;
}

int netglue_gate_close(struct netglue *g)
{
	struct node *n = (struct node *)g;

	if (gate_open(n))
		say("node %u: gate shut", n->index + 1);
	n->gate_until_ms = 0;
	return 0;
}

int netglue_fence_arm(struct netglue *g,
		      const uint8_t token[HA_BEAT_TOKEN_SIZE])
{
	struct node *n = (struct node *)g;

	memcpy(n->armed, token, HA_BEAT_TOKEN_SIZE);
	n->gate_fenced = false;
	return 0;
}

int netglue_fenced(struct netglue *g)
{
	return ((struct node *)g)->gate_fenced;
}

unsigned netglue_gateways(const struct netglue *g)
{
	return 2;
}

bool netglue_gateway_reachable(const struct netglue *g, uint64_t now_ms,
			       uint64_t peer_ms)
{
	return ((const struct node *)g)->answered_ms >
	       gwprobe_since_ms(now_ms, peer_ms, w.timing->beat_ms);
}

int netglue_take(struct netglue *g)
{
	return 0;
}

int netglue_release(struct netglue *g)
{
	return 0;
}

void netglue_announce(struct netglue *g)
{
}

/* ---- the beat thread's front --------------------------------------------- */
void beat_arm(struct beat *b, const uint8_t token[HA_BEAT_TOKEN_SIZE])
{
	((struct node *)b)->view.fenced = false;
}

void beat_fence(struct beat *b, uint8_t target,
		const uint8_t token[HA_BEAT_TOKEN_SIZE])
{
	struct node *n = (struct node *)b;

	n->target = token ? target : 0;
	if (token)
		memcpy(n->token, token, HA_BEAT_TOKEN_SIZE);
}

void beat_hold(struct beat *b, bool hold)
{
	struct node *n = (struct node *)b;

	n->hold = hold && !n->view.fenced;
	n->view.lapsed = false;
}

void beat_get_view(struct beat *b, struct beat_view *out)
{
	*out = ((struct node *)b)->view;
}

void beat_event_clear(struct beat *b)
{
	((struct node *)b)->event = false;
}

/* ---- the group ----------------------------------------------------------- */
static bool in_one_group(void)
{
	return w.node[0].joint && w.node[1].joint && w.connected_ms &&
	       w.node[0].member && w.node[1].member;
}

void keeper_publish(struct keeper *k)
{
	struct node *n = (struct node *)k->net;
	const struct roles *r = &k->roles;

	n->status = (struct ha_status){
		.node = k->node.id,
		.role = r->role,
		.in_sync = r->in_sync,
		.health = 100,
		.epoch = k->epoch.heard,
		.active_epoch = k->epoch.active,
		.boot_id = k->boot_id,
		.fence = {k->fence.own[0], k->fence.own[1]},
	};
	/* The thread sends a beat at once. */
	if (n->role != r->role || n->epoch != k->epoch.active)
		n->next_beat_ms = n->guest_ms;
	n->role = (uint8_t)r->role;
	n->epoch = k->epoch.active;
	n->next_status_ms = n->guest_ms + STATUS_MS;
	if (in_one_group())
		tell(other(n),
		     &(struct news){.kind = NEWS_STATUS, .status = n->status},
		     1 + dice(3));
}

int ha_engine_command(struct ha_engine *e, enum ha_command cmd, uint64_t arg)
{
	struct node *n = (struct node *)e;

	if (!in_one_group())
		return -ENOTCONN;
	if (cmd == HA_CMD_GO)
		tell(other(n), &(struct news){.kind = NEWS_GO, .number = arg},
		     1 + dice(3));
	return 0;
}

void keeper_write_epoch(struct keeper *k)
{
	struct node *n = (struct node *)k->net;

	if (k->epoch_busy)
		return;
	k->epoch_busy = true;
	epoch_format(&k->epoch, n->writing, sizeof(n->writing));
	tell(n, &(struct news){.kind = NEWS_DISK, .number = k->epoch.asked},
	     1 + dice(8));
}

void ha_engine_set_role(struct ha_engine *e, enum ha_role role, uint64_t epoch)
{
}

struct ha_store *ha_engine_store(struct ha_engine *e)
{
	return NULL;
}

size_t ha_store_count(const struct ha_store *s)
{
	return 0;
}

/* ---- planned, in one step ------------------------------------------------ */
void handover_go(struct keeper *k)
{
	role_shut_gate(k);
	((struct node *)k->net)->go_ms = clock_mono_ms();
	if (ha_engine_command(k->engine, HA_CMD_GO, k->roles.epoch))
		say("node %u: GO unsent", k->node.id);
}

void handover_on_role(struct keeper *k)
{
}

/* ---- what only watches --------------------------------------------------- */
int workers_send(struct workers *ws, enum hub_worker hw,
		 const struct link_message *m)
{
	return 0;
}

void workers_restart(struct workers *ws)
{
}

const char *workers_name(enum hub_worker hw)
{
	return "worker";
}

bool hub_is_replayed(const struct hub *h, enum hub_worker hw)
{
	return true;
}

bool hub_catch_up(struct hub *h, enum hub_worker hw)
{
	return true;
}

bool service_may_claim(struct keeper *k)
{
	return true;
}

bool service_peer_out(const struct keeper *k)
{
	return false;
}

uint32_t keeper_calls(const struct keeper *k)
{
	return 0;
}

void hub_serve(struct hub *h)
{
}

void hub_detach(struct hub *h, enum hub_worker hw)
{
}

void supervise_update_quiet(struct keeper *k)
{
}

void cdr_activate(struct cdr *c, uint64_t epoch)
{
}

void recorder_watch(struct keeper *k)
{
}

void recorder_go(struct keeper *k)
{
}

void recorder_claim(struct keeper *k, const char *reason)
{
	w.takeovers++;
	say("node %u: claim: %s", k->node.id, reason);
}

void recorder_taken(struct keeper *k)
{
}

void recorder_active(struct keeper *k)
{
}

void recorder_stop(struct keeper *k)
{
}

void house_put_config(struct keeper *k)
{
}

#endif
