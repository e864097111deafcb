/*
 * Whom to fence and when; what happens to who is fenced.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "sbcd/base/log.h"
#include "sbcd/keeper/keeper_int.h"

/* ---- the fakes ---------------------------------------------------------- */
static uint8_t armed[HA_BEAT_TOKEN_SIZE], said[HA_BEAT_TOKEN_SIZE], said_to;
static int arms, arm_error, yields;
static bool fenced;

int netglue_fence_arm(struct netglue *g,
		      const uint8_t token[HA_BEAT_TOKEN_SIZE])
{
	if (arm_error)
		return arm_error;
	memcpy(armed, token, sizeof(armed));
	arms++;
	fenced = false;
	return 0;
}

int netglue_fenced(struct netglue *g)
{
	return fenced;
}

void beat_arm(struct beat *b, const uint8_t token[HA_BEAT_TOKEN_SIZE])
{
	assert_memory_equal(armed, token, sizeof(armed));
}

void beat_fence(struct beat *b, uint8_t target,
		const uint8_t token[HA_BEAT_TOKEN_SIZE])
{
	said_to = token ? target : 0;
	if (token)
		memcpy(said, token, sizeof(said));
}

bool role_serves(const struct keeper *k)
{
	return k->roles.role == HA_ROLE_ACTIVE ||
	       k->roles.role == HA_ROLE_BECOMING_ACTIVE;
}

void role_event(struct keeper *k, enum ha_event event, const char *reason)
{
	assert_int_equal(event, HA_EV_YIELD);
	k->roles.role = HA_ROLE_RELINQUISHING;
	yields++;
}

/* ---- the fixture: active since 0x201, the peer since 0x102 --------------- */
static struct keeper k;

static int setup(void **state)
{
	memset(&k, 0, sizeof(k));
	memset(armed, 0, sizeof(armed));
	memset(said, 0, sizeof(said));
	said_to = 0;
	arms = arm_error = yields = 0;
	fenced = false;
	log_init("test", "fence", LOG_EMERG);
	k.roles.role = HA_ROLE_ACTIVE;
	k.roles.epoch = 0x201;
	k.roles.ev.peer_node = 2;
	k.roles.ev.peer_role = HA_ROLE_ACTIVE;
	k.roles.ev.peer_active_epoch = 0x102;
	k.roles.ev.peer_left = HA_LEFT_NODEDOWN;
	k.roles.peer.fence[0] = 0x0001020304050607;
	k.roles.peer.fence[1] = 0x08090a0b0c0d0e0f;
	return 0;
}

static bool says(void)
{
	fence_turn(&k);
	return said_to == 2;
}

static void a_new_active_says_it_until_the_old_one_is_none(void **state)
{
	static const enum ha_role over[] = {HA_ROLE_INIT, HA_ROLE_SYNCING,
					    HA_ROLE_STANDBY, HA_ROLE_FAULT};

	assert_true(says());
	for (int i = 0; i < HA_BEAT_TOKEN_SIZE; i++)
		assert_int_equal(said[i], i);
	/* It is back and does not know yet. */
	k.roles.ev.peer_left = HA_LEFT_NOT;
	assert_true(says());
	k.roles.ev.peer_role = HA_ROLE_RELINQUISHING;
	assert_true(says());
	for (size_t i = 0; i < sizeof(over) / sizeof(over[0]); i++) {
		k.roles.ev.peer_role = over[i];
		assert_false(says());
		k.roles.ev.peer_role = HA_ROLE_BECOMING_ACTIVE;
		assert_true(says());
	}
	/* Nor when we are active no more. */
	k.roles.role = HA_ROLE_RELINQUISHING;
	assert_false(says());
}

static void a_newer_token_replaces_the_old_one(void **state)
{
	assert_true(says());
	k.roles.peer.fence[0] = 0xff01020304050607;
	assert_true(says());
	assert_int_equal(said[0], 0xff);
}

static void who_let_go_is_left_alone(void **state)
{
	k.roles.ev.peer_left = HA_LEFT_CLEAN;
	assert_false(says());
	k.roles.ev.peer_left = HA_LEFT_PROCDOWN;
	assert_true(says());
	k.roles.ev.peer_released = true;
	assert_false(says());
}

static void who_handed_over_is_left_alone(void **state)
{
	k.fence.peer_went = true;
	assert_false(says());
	k.roles.ev.peer_role = HA_ROLE_RELINQUISHING;
	assert_false(says());
	/* Only that time. */
	k.roles.ev.peer_role = HA_ROLE_STANDBY;
	assert_false(says());
	k.roles.ev.peer_role = HA_ROLE_ACTIVE;
	assert_true(says());
}

/* Both may know the other's: one at most says it. */
static void only_the_later_activation_may(void **state)
{
	k.roles.ev.peer_active_epoch = 0x302;
	assert_false(says());
	k.roles.ev.peer_active_epoch = 0x201;
	assert_false(says());
	k.roles.ev.peer_active_epoch = 0x200;
	assert_true(says());
}

static void no_token_no_word(void **state)
{
	memset(k.roles.peer.fence, 0, sizeof(k.roles.peer.fence));
	assert_false(says());
	k.roles.peer.fence[1] = 1;
	assert_true(says());
	assert_int_equal(said[HA_BEAT_TOKEN_SIZE - 1], 1);
}

static void a_token_is_new_each_time(void **state)
{
	uint64_t before[2];
	uint8_t was[HA_BEAT_TOKEN_SIZE];

	fence_renew(&k);
	assert_int_equal(arms, 1);
	memcpy(before, k.fence.own, sizeof(before));
	memcpy(was, armed, sizeof(was));
	/* What the peer is told is what shuts us. */
	for (int i = 0; i < HA_BEAT_TOKEN_SIZE; i++)
		assert_int_equal(armed[i],
				 (uint8_t)(before[i / 8] >> (56 - i % 8 * 8)));
	fence_renew(&k);
	assert_memory_not_equal(armed, was, sizeof(was));
	/* The kernel refuses: the peer goes on knowing the one that works. */
	memcpy(before, k.fence.own, sizeof(before));
	arm_error = -5;
	fence_renew(&k);
	assert_memory_equal(k.fence.own, before, sizeof(before));
}

static void the_fenced_one_yields_once(void **state)
{
	fence_renew(&k);
	fence_fell(&k);
	fence_fell(&k);
	assert_int_equal(yields, 1);
	assert_int_equal(k.fence.fell, 1);
	/* Its gate is shut, the role begins anew. */
	fence_renew(&k);
	k.roles.role = HA_ROLE_ACTIVE;
	fence_fell(&k);
	assert_int_equal(yields, 2);
}

static void who_serves_not_needs_but_a_new_token(void **state)
{
	fence_renew(&k);
	k.roles.role = HA_ROLE_STANDBY;
	fence_fell(&k);
	assert_int_equal(yields, 0);
	assert_int_equal(arms, 2);
	k.roles.role = HA_ROLE_RELINQUISHING;
	fence_fell(&k);
	/* Not before its gate is shut. */
	assert_int_equal(arms, 2);
}

/* The beat was lost above the kernel. */
static void the_kernel_is_asked(void **state)
{
	fence_check(&k);
	assert_int_equal(yields, 0);
	fenced = true;
	fence_check(&k);
	assert_int_equal(yields, 1);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_new_active_says_it_until_the_old_one_is_none),
		T(a_newer_token_replaces_the_old_one),
		T(who_let_go_is_left_alone),
		T(who_handed_over_is_left_alone),
		T(only_the_later_activation_may),
		T(no_token_no_word),
		T(a_token_is_new_each_time),
		T(the_fenced_one_yields_once),
		T(who_serves_not_needs_but_a_new_token),
		T(the_kernel_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
