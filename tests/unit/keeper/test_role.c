/*
 * Role glue and planned switchover with everything below them faked: what is
 * done, and in which order, is written into one journal.
 */
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
static int gate_error;
static bool gateway_answers;
/* The fence: our tokens, and whose is said. */
static int arms, arms_at_open;
static uint8_t said_to;
static char last_error[256];
static int replies, errors;

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
	return gateway_answers;
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

static void turn(struct fixture *f, uint64_t ms)
{
	loop_timer_arm(f->timer, ms);
	loop_run(f->k.loop);
}

static void reserve_epochs(struct keeper *k)
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
	gate_error = replies = errors = 0;
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

static void peer_says(struct keeper *k, enum ha_role role, uint64_t epoch)
{
	struct ha_status s = {
		.node = 2,
		.role = role,
		.epoch = epoch,
		.active_epoch = epoch,
		.fence = {0x0001020304050607, 0x08090a0b0c0d0e0f},
	};

	role_on_status(k, &s);
	role_evaluate(k);
}

static void become_standby(struct fixture *f)
{
	struct keeper *k = &f->k;

	role_on_members(k, true, true, HA_LEFT_NOT);
	peer_says(k, HA_ROLE_ACTIVE, 0x102);
	role_on_sync(k, true, "snapshot");
	assert_int_equal(k->roles.role, HA_ROLE_STANDBY);
	journal[0] = '\0';
}

static void become_active(struct fixture *f)
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

/* ---- claims ------------------------------------------------------------- */
static void a_claim_goes_in_order(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	role_on_members(k, true, false, HA_LEFT_NODEDOWN);
	assert_string_equal(journal, "");
	k->roles.ev.peer_left_ms -= 1000;
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	assert_string_equal(journal, "BECOMING_ACTIVE open hold take serve "
				     "sip-activate media-activate ACTIVE ");
	/* A fence token of our own, and the peer's is said already. */
	assert_int_equal(arms_at_open, 1);
	assert_int_equal(said_to, 2);
	/* Above everything heard, with our id; no write was waited for. */
	assert_true(k->roles.epoch > 0x102);
	assert_int_equal(epoch_node(k->roles.epoch), 1);
	journal[0] = '\0';
	turn(f, 250);
	assert_string_equal(journal, "announce announce ");
}

static void a_claim_waits_for_no_worker(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	replayed[HUB_SIP] = false;
	worker_gone[HUB_MEDIA] = true;
	role_on_members(&f->k, true, false, HA_LEFT_PROCDOWN);
	f->k.roles.ev.peer_left_ms -= 1000;
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
}

static void a_claim_does_not_wait_for_a_dead_disk(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	epoch_heard(&k->epoch, UINT64_C(100000) << 8 | 2);
	role_on_members(k, true, false, HA_LEFT_NODEDOWN);
	k->roles.ev.peer_left_ms -= 1000;
	role_evaluate(k);
	/* Nothing is reserved so high: written first, but not for ever. */
	assert_string_equal(journal, "write ");
	assert_int_equal(k->roles.role, HA_ROLE_BECOMING_ACTIVE);
	turn(f, 230);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	assert_true(k->roles.epoch > UINT64_C(100000) << 8);
	assert_true(k->disk_failed);
}

static void a_claim_goes_on_when_the_epoch_is_written(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	epoch_heard(&k->epoch, UINT64_C(100000) << 8 | 2);
	role_on_members(k, true, false, HA_LEFT_NODEDOWN);
	k->roles.ev.peer_left_ms -= 1000;
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_BECOMING_ACTIVE);
	reserve_epochs(k);
	role_epoch_written(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	assert_false(k->disk_failed);
}

static void a_gate_that_does_not_open_is_a_fault(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	gate_error = -EPERM;
	role_on_members(&f->k, true, false, HA_LEFT_NODEDOWN);
	f->k.roles.ev.peer_left_ms -= 1000;
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_FAULT);
	assert_string_equal(journal, "BECOMING_ACTIVE open FAULT drop close "
				     "release restart ");
}

static void released_word_makes_a_clean_leave(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	f->k.roles.peer_released_word = true;
	role_on_members(&f->k, true, false, HA_LEFT_PROCDOWN);
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
}

static void the_guards_word_counts_for_its_boot(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	beats.peer_heard = true;
	beats.peer_boot_id = 6;
	beats.released_boot_id = 5;
	role_on_members(&f->k, true, false, HA_LEFT_PROCDOWN);
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_STANDBY);
	beats.released_boot_id = 6;
	role_on_beats(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
}

static void sync_lost_with_the_peer_changes_nothing(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	role_on_sync(&f->k, false, "resync");
	assert_int_equal(f->k.roles.role, HA_ROLE_SYNCING);
	role_on_sync(&f->k, true, "snapshot");
	role_on_members(&f->k, true, false, HA_LEFT_NODEDOWN);
	role_on_sync(&f->k, false, "the donor is gone");
	assert_int_equal(f->k.roles.role, HA_ROLE_STANDBY);
}

static void after_standing_still_it_listens_first(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	role_on_members(&f->k, true, false, HA_LEFT_NODEDOWN);
	f->k.roles.ev.peer_left_ms -= 5000;
	f->k.roles.rules.silence_ms = 2000;
	f->k.roles.looked_ms -= 1001;
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_STANDBY);
	turn(f, 10);
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_STANDBY);
	f->k.roles.claim_from_ms -= 2000;
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
}

/* ---- evidence ----------------------------------------------------------- */
static void with_witness(struct fixture *f)
{
	f->k.roles.ev.witness_configured = true;
	f->k.roles.rules.witness = true;
	role_on_ring(&f->k, 8);
	role_on_quorum(&f->k, true, 8);
	role_on_witness(&f->k, true);
}

static void peer_crashes(struct fixture *f, uint64_t ring)
{
	role_on_ring(&f->k, ring);
	role_on_members(&f->k, true, false, HA_LEFT_NODEDOWN);
	f->k.roles.ev.peer_left_ms -= 1000;
	role_evaluate(&f->k);
}

static void a_claim_waits_for_the_verdict_of_its_ring(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	with_witness(f);
	peer_crashes(f, 12);
	assert_int_equal(f->k.roles.role, HA_ROLE_STANDBY);
	role_on_quorum(&f->k, false, 12);
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_STANDBY);
	role_on_quorum(&f->k, true, 12);
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
}

static void a_witness_lost_beforehand_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	with_witness(f);
	role_on_witness(k, false);
	role_evaluate(k);
	assert_false(k->roles.ev.witness_known_dead);
	/* For a moment only: rings change. */
	role_on_witness(k, true);
	k->roles.ev.ring_ms -= 5000;
	role_evaluate(k);
	assert_false(k->roles.ev.witness_known_dead);
	role_on_witness(k, false);
	k->roles.witness_lost_ms -= 5000;
	role_evaluate(k);
	assert_true(k->roles.ev.witness_known_dead);
	peer_crashes(f, 12);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	/* It comes back, alone with us, and its word counts again. */
	role_on_quorum(k, false, 12);
	role_on_quorum(k, true, 12);
	assert_false(k->roles.ev.witness_known_dead);
}

static void a_witness_that_dies_with_the_peer_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	with_witness(f);
	peer_crashes(f, 12);
	role_on_witness(k, false);
	k->roles.witness_lost_ms -= 5000;
	role_on_quorum(k, false, 12);
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_STANDBY);
}

static void a_vote_taken_back_is_no_verdict(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	with_witness(f);
	peer_crashes(f, 12);
	role_on_quorum(k, true, 12);
	role_on_quorum(k, false, 12);
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	/* A verdict is one. */
	role_on_ring(k, 16);
	role_on_quorum(k, true, 16);
	role_on_ring(k, 20);
	role_on_quorum(k, false, 20);
	role_evaluate(k);
	assert_int_not_equal(k->roles.role, HA_ROLE_ACTIVE);
}

static void a_rivals_beats_are_ahead_of_the_group(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	beats.peer_heard = true;
	beats.peer_role = HA_ROLE_BECOMING_ACTIVE;
	beats.peer_epoch = 1;
	beats.last_heard_ms[0] = clock_mono_ms() + 1000;
	role_on_beats(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	beats.peer_epoch = UINT64_C(0xffff) << 8 | 2;
	role_on_beats(k);
	assert_int_equal(k->roles.role, HA_ROLE_SYNCING);
}

/* ---- losing it ---------------------------------------------------------- */
static void yielding_goes_in_order(void **state)
{
	struct fixture *f = *state;

	become_active(f);
	peer_says(&f->k, HA_ROLE_ACTIVE, UINT64_C(0xffff) << 8 | 2);
	assert_int_equal(f->k.roles.role, HA_ROLE_SYNCING);
	assert_string_equal(journal, "RELINQUISHING drop close release "
				     "restart SYNCING ");
}

static void nothing_is_announced_after_yielding(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	role_on_members(k, true, true, HA_LEFT_NOT);
	peer_says(k, HA_ROLE_INIT, 0);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	peer_says(k, HA_ROLE_ACTIVE, UINT64_C(0xffff) << 8 | 2);
	turn(f, 250);
	assert_null(strstr(journal, "announce"));
}

static void a_lapsed_lease_is_reopened_without_a_rival(void **state)
{
	struct fixture *f = *state;

	become_active(f);
	beats.lapsed = true;
	role_on_beats(&f->k);
	assert_string_equal(journal, "");
	turn(f, 20);
	assert_string_equal(journal, "");
	turn(f, 40);
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
	assert_string_equal(journal, "open hold announce ");
}

static void a_lapsed_lease_stays_shut_beside_a_rival(void **state)
{
	struct fixture *f = *state;

	become_active(f);
	beats.lapsed = true;
	role_on_beats(&f->k);
	peer_says(&f->k, HA_ROLE_ACTIVE, UINT64_C(0xffff) << 8 | 2);
	turn(f, 60);
	assert_null(strstr(journal, "open"));
	assert_int_equal(f->k.roles.role, HA_ROLE_SYNCING);
}

/* Nobody has drawn the conclusion yet. */
static void a_rival_heard_during_a_lapse_counts(void **state)
{
	struct fixture *f = *state;
	const struct ha_status rival = {
		.node = 2,
		.role = HA_ROLE_ACTIVE,
		.epoch = UINT64_C(0xffff) << 8 | 2,
		.active_epoch = UINT64_C(0xffff) << 8 | 2,
	};

	become_active(f);
	beats.lapsed = true;
	role_on_beats(&f->k);
	role_on_status(&f->k, &rival);
	turn(f, 60);
	assert_null(strstr(journal, "open"));
	assert_int_equal(f->k.roles.role, HA_ROLE_SYNCING);
}

/* ---- planned switchover ------------------------------------------------- */
static void switchover_goes_in_order(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	flushed = false;
	handover_request(k, 1, false);
	assert_string_equal(journal, "sip-quiesce media-quiesce ");
	handover_on_worker(k, HUB_SIP, LINK_QUIESCED);
	/* Not its time yet. */
	handover_on_worker(k, HUB_MEDIA, LINK_FORWARDING);
	flushed = true;
	handover_turn(k);
	assert_int_equal(k->handover.phase, HANDOVER_QUIESCING);
	flushed = false;
	handover_on_worker(k, HUB_MEDIA, LINK_QUIESCED);
	assert_int_equal(k->handover.phase, HANDOVER_FLUSHING);
	flushed = true;
	handover_turn(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	handover_on_worker(k, HUB_MEDIA, LINK_FORWARDING);
	assert_string_equal(journal, "sip-quiesce media-quiesce media-forward "
				     "RELINQUISHING drop close GO ");
	/* The peer serves; what is under way is forwarded a little longer. */
	peer_says(k, HA_ROLE_ACTIVE, UINT64_C(0xffff) << 8 | 2);
	turn(f, 50);
	assert_null(strstr(journal, "release"));
	turn(f, 80);
	assert_string_equal(journal + strlen("sip-quiesce media-quiesce "
					     "media-forward RELINQUISHING "
					     "drop close GO "),
			    "release restart SYNCING ");
	assert_int_equal(replies, 1);
	assert_int_equal(k->handover.phase, HANDOVER_NONE);
}

static void switchover_lets_go_without_the_peer(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	handover_request(k, 1, false);
	handover_on_worker(k, HUB_SIP, LINK_QUIESCED);
	handover_on_worker(k, HUB_MEDIA, LINK_QUIESCED);
	handover_on_worker(k, HUB_MEDIA, LINK_FORWARDING);
	turn(f, 200);
	assert_int_equal(k->roles.role, HA_ROLE_RELINQUISHING);
	turn(f, 150);
	assert_int_equal(k->roles.role, HA_ROLE_SYNCING);
	assert_int_equal(errors, 1);
}

static void switchover_is_called_off(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	flushed = false;
	handover_request(k, 1, false);
	handover_on_worker(k, HUB_SIP, LINK_QUIESCED);
	handover_on_worker(k, HUB_MEDIA, LINK_QUIESCED);
	journal[0] = '\0';
	turn(f, 550);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	assert_string_equal(journal, "sip-activate media-activate REFUSED ");
	assert_int_equal(errors, 1);
	assert_non_null(strstr(last_error, "acknowledge"));
	/* And it may be tried again. */
	handover_request(k, 2, false);
	assert_int_equal(errors, 1);
}

static void switchover_without_a_sip_worker(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	replayed[HUB_SIP] = false;
	assert_null(handover_begin(k, "storm", false));
	assert_string_equal(journal, "media-quiesce ");
	/* The other one dies now. */
	worker_gone[HUB_MEDIA] = true;
	handover_on_worker_death(k, HUB_MEDIA);
	assert_int_equal(k->roles.role, HA_ROLE_RELINQUISHING);
}

static void switchover_is_refused(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	role_on_sync(k, false, "missed acks");
	handover_request(k, 1, false);
	assert_non_null(strstr(last_error, "not in sync"));
	assert_string_equal(journal, "");
	handover_request(k, 2, true);
	assert_non_null(strstr(journal, "sip-quiesce"));
	assert_int_equal(errors, 1);
	handover_request(k, 3, true);
	assert_non_null(strstr(last_error, "under way"));
}

static void switchover_needs_a_peer(void **state)
{
	struct fixture *f = *state;

	become_active(f);
	role_on_members(&f->k, true, false, HA_LEFT_NODEDOWN);
	handover_request(&f->k, 1, true);
	assert_non_null(strstr(last_error, "absent"));
}

static void the_standby_asks(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	handover_request(k, 1, false);
	assert_string_equal(journal, "ASK ");
	handover_on_command(k, HA_CMD_REFUSED, 2);
	assert_non_null(strstr(last_error, "not in sync"));
	handover_request(k, 2, false);
	role_on_go(k, 0x102);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	assert_int_equal(replies, 1);
	assert_int_equal(errors, 1);
}

static void the_active_is_asked(void **state)
{
	struct fixture *f = *state;

	become_active(f);
	handover_on_command(&f->k, HA_CMD_SWITCHOVER_ASK, 0);
	assert_string_equal(journal, "sip-quiesce media-quiesce ");
	journal[0] = '\0';
	handover_on_command(&f->k, HA_CMD_SWITCHOVER_ASK, 0);
	assert_string_equal(journal, "REFUSED ");
}

static void go_in_the_wrong_role_is_nothing(void **state)
{
	struct fixture *f = *state;

	become_active(f);
	role_on_go(&f->k, 5);
	assert_string_equal(journal, "");
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- fence -------------------------------------------------------------- */
static void the_fenced_one_lets_go(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	arms = 0;
	beats.fenced = true;
	role_on_beats(k);
	assert_int_equal(k->roles.role, HA_ROLE_SYNCING);
	assert_string_equal(journal, "RELINQUISHING drop close release restart "
				     "SYNCING ");
	/* Said aloud, it is worth nothing any more. */
	assert_int_equal(arms, 1);
	assert_false(beats.fenced);
	assert_int_equal(k->fence.fell, 1);
	role_on_beats(k);
	assert_int_equal(k->fence.fell, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_claim_goes_in_order),
		T(a_claim_waits_for_no_worker),
		T(a_claim_does_not_wait_for_a_dead_disk),
		T(a_claim_goes_on_when_the_epoch_is_written),
		T(a_gate_that_does_not_open_is_a_fault),
		T(released_word_makes_a_clean_leave),
		T(the_guards_word_counts_for_its_boot),
		T(sync_lost_with_the_peer_changes_nothing),
		T(after_standing_still_it_listens_first),
		T(a_claim_waits_for_the_verdict_of_its_ring),
		T(a_witness_lost_beforehand_is_not_waited_for),
		T(a_witness_that_dies_with_the_peer_is_waited_for),
		T(a_vote_taken_back_is_no_verdict),
		T(a_rivals_beats_are_ahead_of_the_group),
		T(yielding_goes_in_order),
		T(nothing_is_announced_after_yielding),
		T(a_lapsed_lease_is_reopened_without_a_rival),
		T(a_lapsed_lease_stays_shut_beside_a_rival),
		T(a_rival_heard_during_a_lapse_counts),
		T(switchover_goes_in_order),
		T(switchover_lets_go_without_the_peer),
		T(switchover_is_called_off),
		T(switchover_without_a_sip_worker),
		T(switchover_is_refused),
		T(switchover_needs_a_peer),
		T(the_standby_asks),
		T(the_active_is_asked),
		T(go_in_the_wrong_role_is_nothing),
		T(the_fenced_one_lets_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
