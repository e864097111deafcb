/* When the active node hands over by itself: an injected clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "sbcd/keeper/balance.h"

enum { HOLD_DOWN = 60000, START = 1000000, STEP = 100 };

static struct balance b;
static struct balance_rules rules;
static struct balance_facts facts;

static int fresh(void **state)
{
	memset(&b, 0, sizeof(b));
	rules = (struct balance_rules){
		.threshold = 75,
		.margin = 15,
		.hold_down_ms = HOLD_DOWN,
	};
	facts = (struct balance_facts){
		.now_ms = START,
		.active = true,
		.peer_ready = true,
		.own = 100,
		.peer = 100,
	};
	return 0;
}

/* Steps for so long; how often it said `why`, and when it first did. */
static unsigned run(uint64_t ms, enum balance_why why, uint64_t *after_ms)
{
	uint64_t start = facts.now_ms;
	unsigned n = 0;

	for (; facts.now_ms < start + ms; facts.now_ms += STEP) {
		enum balance_why got = balance_step(&b, &rules, &facts);

		if (!got)
			continue;
		assert_int_equal(got, why);
		if (!n++ && after_ms)
			*after_ms = facts.now_ms - start;
	}
	return n;
}

static void healthy_stays(void **state)
{
	assert_int_equal(run(10 * HOLD_DOWN, BALANCE_STAY, NULL), 0);
	facts.own = 75;
	assert_int_equal(run(10 * HOLD_DOWN, BALANCE_STAY, NULL), 0);
}

static void a_healthier_peer_takes_over(void **state)
{
	uint64_t after_ms = 0;

	facts.own = 60;
	assert_int_equal(run(BALANCE_RETRY_MS, BALANCE_HEALTH, &after_ms), 1);
	assert_int_equal(after_ms, BALANCE_HOLD_MS);
	/* Called off: once more. */
	assert_int_equal(run(BALANCE_RETRY_MS, BALANCE_HEALTH, NULL), 1);
}

static void a_dip_is_not_enough(void **state)
{
	for (int i = 0; i < 20; i++) {
		facts.own = 60;
		assert_int_equal(run(BALANCE_HOLD_MS, BALANCE_STAY, NULL), 0);
		facts.own = 100;
		assert_int_equal(run(STEP, BALANCE_STAY, NULL), 0);
	}
}

static void both_sick_stays(void **state)
{
	facts.own = 60;
	for (facts.peer = 0; facts.peer < 75; facts.peer++)
		assert_int_equal(run(2 * BALANCE_HOLD_MS, BALANCE_STAY, NULL),
				 0);
}

static void an_unready_peer_is_left_alone(void **state)
{
	facts.peer_ready = false;
	facts.own = 10;
	facts.draining = true;
	rules.fail_back = true;
	assert_int_equal(run(2 * HOLD_DOWN, BALANCE_STAY, NULL), 0);
}

static void no_threshold_no_move(void **state)
{
	rules.threshold = 0;
	facts.own = 0;
	assert_int_equal(run(2 * HOLD_DOWN, BALANCE_STAY, NULL), 0);
}

/* What came by a switchover does not go back at once, however bad. */
static void held_down_after_a_switchover(void **state)
{
	uint64_t after_ms = 0;

	facts.moved = true;
	facts.own = 20;
	assert_int_equal(run(2 * HOLD_DOWN, BALANCE_HEALTH, &after_ms),
			 HOLD_DOWN / BALANCE_RETRY_MS);
	assert_int_equal(after_ms, HOLD_DOWN);
	/* By a crash it is another matter. */
	facts.active = false;
	run(STEP, BALANCE_STAY, NULL);
	facts.active = true;
	facts.moved = false;
	assert_int_equal(run(BALANCE_RETRY_MS, BALANCE_HEALTH, NULL), 1);
}

static void drain_is_at_once(void **state)
{
	uint64_t after_ms = 1;

	facts.moved = true;
	run(STEP, BALANCE_STAY, NULL);
	facts.draining = true;
	facts.own = 40;
	facts.peer = 50;
	assert_int_equal(run(BALANCE_RETRY_MS, BALANCE_DRAIN, &after_ms), 1);
	assert_int_equal(after_ms, 0);
	/* Two that drain do not play ball. */
	facts.peer = 40;
	assert_int_equal(run(2 * HOLD_DOWN, BALANCE_STAY, NULL), 0);
}

static void fail_back_only_if_configured(void **state)
{
	uint64_t after_ms = 0;

	assert_int_equal(run(2 * HOLD_DOWN, BALANCE_STAY, NULL), 0);
	rules.fail_back = true;
	facts.peer = 95;
	assert_int_equal(run(2 * HOLD_DOWN, BALANCE_STAY, NULL), 0);
	facts.peer = 100;
	assert_int_equal(run(HOLD_DOWN + STEP, BALANCE_FAIL_BACK, &after_ms),
			 1);
	assert_int_equal(after_ms, HOLD_DOWN);
	/* Well is well enough, better is no matter. */
	fresh(NULL);
	rules.fail_back = true;
	facts.own = facts.peer = 74;
	assert_int_equal(run(2 * HOLD_DOWN, BALANCE_STAY, NULL), 0);
}

/* Who comes to a peer with other certificates may be refused: that is for what
 * saves calls, and for nothing that can wait. */
static void other_certificates_wait(void **state)
{
	facts.unlike = true;
	facts.draining = true;
	facts.own = 40;
	facts.peer = 50;
	assert_int_equal(run(2 * HOLD_DOWN, BALANCE_STAY, NULL), 0);
	facts.draining = false;
	rules.fail_back = true;
	facts.own = facts.peer = 100;
	assert_int_equal(run(2 * HOLD_DOWN, BALANCE_STAY, NULL), 0);
	facts.own = 60;
	assert_int_equal(run(BALANCE_RETRY_MS, BALANCE_HEALTH, NULL), 1);
}

#define T(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(healthy_stays),
		T(a_healthier_peer_takes_over),
		T(a_dip_is_not_enough),
		T(both_sick_stays),
		T(an_unready_peer_is_left_alone),
		T(no_threshold_no_move),
		T(held_down_after_a_switchover),
		T(drain_is_at_once),
		T(fail_back_only_if_configured),
		T(other_certificates_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
