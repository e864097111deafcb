/*
 * Role glue and planned switchover with everything below them faked: what is
 * done, and in which order, is written into one journal.
 */
#ifndef TEST_ROLE_FAKE_H
#define TEST_ROLE_FAKE_H

#include <errno.h>
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
#include "sbcd/keeper/keeper_int.h"

static char journal[4096];
static struct beat_view beats;
static bool flushed, replayed[HUB_WORKERS], worker_gone[HUB_WORKERS];
static bool behind[HUB_WORKERS]; /* it was not sent all changes */
static int gate_error;
static bool gateway_answers; /* since the peer fell silent */
static bool gateway_answered; /* in the last seconds */
/* The fence: our tokens, and whose is said. */
static int arms, arms_at_open;
static uint8_t said_to;
static char last_error[256];
static int replies, errors;
static bool may_claim, peer_out;

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	size_t len = strlen(journal);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(journal + len, sizeof(journal) - len, fmt, ap);
	va_end(ap);
	strncat(journal, " ", sizeof(journal) - strlen(journal) - 1);
}

/* ---- the fakes ---------------------------------------------------------- */
int netglue_gate_open(struct netglue *g, unsigned lease_ms)
{
	note("open");
	arms_at_open = arms;
	return gate_error;
}

int netglue_gate_close(struct netglue *g)
{
	note("close");
	return 0;
}

unsigned netglue_gateways(const struct netglue *g)
{
	return 0;
}

bool netglue_gateway_reachable(const struct netglue *g, uint64_t now_ms,
			       uint64_t peer_ms)
{
	return gateway_answers || (!peer_ms && gateway_answered);
}

int netglue_fence_arm(struct netglue *g,
		      const uint8_t token[HA_BEAT_TOKEN_SIZE])
{
	arms++;
	return 0;
}

int netglue_fenced(struct netglue *g)
{
	return 0;
}

void beat_arm(struct beat *b, const uint8_t token[HA_BEAT_TOKEN_SIZE])
{
	beats.fenced = false;
}

void beat_fence(struct beat *b, uint8_t target,
		const uint8_t token[HA_BEAT_TOKEN_SIZE])
{
	said_to = token ? target : 0;
}

int netglue_take(struct netglue *g)
{
	note("take");
	return 0;
}

int netglue_release(struct netglue *g)
{
	note("release");
	return 0;
}

void netglue_announce(struct netglue *g)
{
	note("announce");
}

void beat_hold(struct beat *b, bool hold)
{
	note(hold ? "hold" : "drop");
	beats.lapsed = false;
}

void beat_get_view(struct beat *b, struct beat_view *out)
{
	*out = beats;
}

void beat_event_clear(struct beat *b)
{
}

int workers_send(struct workers *ws, enum hub_worker w,
		 const struct link_message *m)
{
	static const char *const names[] = {"sip", "media"};

	if (worker_gone[w])
		return -EPIPE;
	if (m->type == LINK_ACTIVATE)
		note("%s-activate", names[w]);
	else if (m->type == LINK_QUIESCE)
		note("%s-quiesce", names[w]);
	else if (m->type == LINK_FORWARD)
		note("%s-forward", names[w]);
	return 0;
}

void workers_restart(struct workers *ws)
{
	note("restart");
}

const char *workers_name(enum hub_worker w)
{
	return w == HUB_SIP ? "sip" : "media";
}

bool hub_is_replayed(const struct hub *h, enum hub_worker w)
{
	return replayed[w];
}

bool hub_catch_up(struct hub *h, enum hub_worker w)
{
	return replayed[w] && !behind[w];
}

bool service_may_claim(struct keeper *k)
{
	return may_claim;
}

bool service_peer_out(const struct keeper *k)
{
	return peer_out;
}

void hub_serve(struct hub *h)
{
	note("serve");
}

void hub_detach(struct hub *h, enum hub_worker w)
{
	replayed[w] = false;
}

void supervise_update_quiet(struct keeper *k)
{
}

void ha_engine_set_role(struct ha_engine *e, enum ha_role role, uint64_t epoch)
{
	note("%s", ha_role_name(role));
}

int ha_engine_command(struct ha_engine *e, enum ha_command cmd, uint64_t arg)
{
	static const char *const names[] = {"?", "ASK", "GO", "REFUSED",
					    "RELEASED"};

	note("%s", names[cmd]);
	return 0;
}

void ha_engine_flush(struct ha_engine *e, uint64_t now_ms)
{
}

bool ha_engine_flushed(const struct ha_engine *e)
{
	return flushed;
}

struct ha_store *ha_engine_store(struct ha_engine *e)
{
	return NULL;
}

size_t ha_store_count(const struct ha_store *s)
{
	return 0;
}

void keeper_publish(struct keeper *k)
{
}

void keeper_write_epoch(struct keeper *k)
{
	note("write");
}

uint32_t keeper_calls(const struct keeper *k)
{
	return 0;
}

/* What only watches; tested in test_flight.c and test_cdr.c. */
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

void control_reply(struct control *c, uint64_t id, json_t *data)
{
	json_decref(data);
	replies++;
}

void control_error(struct control *c, uint64_t id, enum control_code code,
		   const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last_error, sizeof(last_error), fmt, ap);
	va_end(ap);
	errors++;
}

/* ---- the fixture -------------------------------------------------------- */
struct fixture {
	struct keeper k;
	struct config config;
	struct loop_timer *timer;
};

static void on_timer(void *ctx)
{
	loop_stop(((struct fixture *)ctx)->k.loop, 0);
}

static inline void turn(struct fixture *f, uint64_t ms)
{
	loop_timer_arm(f->timer, ms);
	loop_run(f->k.loop);
}

static inline void reserve_epochs(struct keeper *k)
{
	char text[EPOCH_TEXT_SIZE];

	epoch_format(&k->epoch, text, sizeof(text));
	epoch_written(&k->epoch, k->epoch.asked);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct keeper *k = &f->k;

	assert_non_null(f);
	log_init("test", "role", LOG_EMERG);
	memset(&beats, 0, sizeof(beats));
	journal[0] = '\0';
	flushed = true;
	replayed[HUB_SIP] = replayed[HUB_MEDIA] = true;
	worker_gone[HUB_SIP] = worker_gone[HUB_MEDIA] = false;
	behind[HUB_SIP] = behind[HUB_MEDIA] = false;
	gate_error = replies = errors = 0;
	may_claim = true;
	peer_out = false;
	last_error[0] = '\0';
	said_to = 0;
	arms = arms_at_open = 0;
	f->config.cluster.beat_ms = 10;
	f->config.cluster.silence_ms = 100;
	f->config.cluster.lease_ms = 200;
	f->config.cluster.cold_start_ms = 5000;
	k->config = &f->config;
	k->node.id = 1;
	strcpy(k->node.name, "sbc-a");
	epoch_init(&k->epoch, 1);
	reserve_epochs(k);
	assert_int_equal(loop_create(&k->loop), 0);
	assert_int_equal(loop_timer_create(k->loop, &f->timer, on_timer, f), 0);
	assert_int_equal(role_create(k), 0);
	assert_int_equal(handover_create(k), 0);
	role_on_corosync(k, true, "test");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	handover_destroy(&f->k);
	role_destroy(&f->k);
	loop_timer_destroy(f->timer);
	loop_destroy(f->k.loop);
	free(f);
	return 0;
}

static inline void peer_says(struct keeper *k, enum ha_role role,
			     uint64_t epoch)
{
	struct ha_status s = {
		.node = 2,
		.role = role,
		.health = 100,
		.epoch = epoch,
		.active_epoch = epoch,
		.fence = {0x0001020304050607, 0x08090a0b0c0d0e0f},
	};

	role_on_status(k, &s);
	role_evaluate(k);
}

static inline void become_standby(struct fixture *f)
{
	struct keeper *k = &f->k;

	role_on_members(k, true, true, HA_LEFT_NOT);
	peer_says(k, HA_ROLE_ACTIVE, 0x102);
	role_on_sync(k, true, "snapshot");
	assert_int_equal(k->roles.role, HA_ROLE_STANDBY);
	journal[0] = '\0';
}

static inline void become_active(struct fixture *f)
{
	struct keeper *k = &f->k;

	role_on_members(k, true, true, HA_LEFT_NOT);
	peer_says(k, HA_ROLE_INIT, 0);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	peer_says(k, HA_ROLE_STANDBY, 0);
	role_on_sync(k, true, "joined");
	loop_timer_disarm(k->roles.announce);
	journal[0] = '\0';
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
