#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sbcd/keeper/pairclock.h"

static const uint64_t ms = 1000000, hour = 3600ull * 1000 * 1000000;
static const uint64_t start = 1700000000ull * 1000 * 1000000;

static struct pairclock c;

static int up(void **state)
{
	c = (struct pairclock){0};
	assert_true(pairclock_now_ns(&c, false, start, ms) == start);
	return 0;
}

static void hear(enum ha_role role, uint64_t clock_ns, uint64_t their_wall_ns,
		 uint64_t wall_ns, uint64_t mono_ns)
{
	struct ha_status s = {
		.role = role,
		.clock_ms = clock_ns / ms,
		.wall_ms = their_wall_ns / ms,
	};

	pairclock_hear(&c, &s, false, wall_ns, mono_ns);
}

/* A standby an hour ahead or behind says what the active says, at once. */
static void standby_says_what_the_active_says(void **state)
{
	const int64_t off[] = {(int64_t)hour, -(int64_t)hour};

	for (int i = 0; i < 2; i++) {
		uint64_t theirs = start + (uint64_t)off[i];

		up(NULL);
		hear(HA_ROLE_ACTIVE, theirs, theirs, start + ms, 2 * ms);
		assert_true(pairclock_now_ns(&c, false, start + ms, 2 * ms) ==
			    theirs);
		/* ... and goes on from there, whatever its own clock does. */
		assert_true(pairclock_now_ns(&c, false, start + 9 * hour,
					     2 * ms + hour) == theirs + hour);
	}
}

/* It takes over: from where the pair was, towards its own clock slowly. */
static void an_heir_goes_on(void **state)
{
	uint64_t theirs = start + hour, now;

	hear(HA_ROLE_ACTIVE, theirs, theirs, start + ms, 2 * ms);
	now = pairclock_now_ns(&c, true, start + 101 * ms, 102 * ms);
	assert_true(now >= theirs + 90 * ms && now < theirs + 100 * ms);
	now = pairclock_now_ns(&c, true, start + 201 * ms, 202 * ms) - now;
	assert_true(now == 90 * ms);
}

static void the_active_follows_nobody(void **state)
{
	struct ha_status s = {.role = HA_ROLE_ACTIVE,
			      .clock_ms = (start + hour) / ms};

	pairclock_hear(&c, &s, true, start + ms, 2 * ms);
	assert_true(pairclock_now_ns(&c, true, start + ms, 2 * ms) ==
		    start + ms);
	/* A standby's time is nobody's either. */
	hear(HA_ROLE_STANDBY, start + hour, start, start + 2 * ms, 3 * ms);
	assert_true(pairclock_now_ns(&c, false, start + 2 * ms, 3 * ms) ==
		    start + 2 * ms);
}

static void a_late_word_sets_nothing_back(void **state)
{
	hear(HA_ROLE_ACTIVE, start + 1000 * ms, start, start, ms);
	hear(HA_ROLE_ACTIVE, start + 900 * ms, start, start, ms);
	assert_true(pairclock_now_ns(&c, false, start, ms) ==
		    start + 1000 * ms);
	hear(HA_ROLE_ACTIVE, start + 1001 * ms, start, start, ms);
	assert_true(pairclock_now_ns(&c, false, start, ms) ==
		    start + 1001 * ms);
}

/* An older version says no time; absurd ones are none. */
static void words_that_are_none(void **state)
{
	struct ha_status s = {.role = HA_ROLE_ACTIVE, .clock_ms = UINT64_MAX};

	pairclock_hear(&c, &s, false, start, ms);
	hear(HA_ROLE_ACTIVE, 0, 0, start, ms);
	assert_true(pairclock_now_ns(&c, false, start + ms, 2 * ms) ==
		    start + ms);
	assert_false(pairclock_skewed(&c));
}

static void skew_is_said_when_it_lasts(void **state)
{
	for (int i = 0; i < 3; i++) {
		assert_false(pairclock_skewed(&c));
		hear(HA_ROLE_STANDBY, 0, start - hour, start, ms);
	}
	assert_true(pairclock_skewed(&c));
	assert_true(c.skew_ms == -3600 * 1000);
	hear(HA_ROLE_STANDBY, 0, start - 900 * ms, start, ms);
	assert_false(pairclock_skewed(&c));
}

#define CASE(name) cmocka_unit_test_setup(name, up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(standby_says_what_the_active_says),
		CASE(an_heir_goes_on),
		CASE(the_active_follows_nobody),
		CASE(a_late_word_sets_nothing_back),
		CASE(words_that_are_none),
		CASE(skew_is_said_when_it_lasts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
