#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "sbcd/keeper/backoff.h"

static void doubles_up_to_the_last(void **state)
{
	struct backoff b = {0};
	uint32_t expected = BACKOFF_FIRST_MS;
	uint64_t now_ms = 1000;

	for (int i = 0; i < 12; i++) {
		backoff_started(&b, now_ms);
		now_ms += 5;
		assert_int_equal(backoff_died(&b, now_ms), expected);
		expected *= 2;
		if (expected > BACKOFF_LAST_MS)
			expected = BACKOFF_LAST_MS;
		now_ms += expected;
	}
	assert_int_equal(expected, BACKOFF_LAST_MS);
}

static void starts_afresh_after_a_stable_run(void **state)
{
	struct backoff b = {0};

	backoff_started(&b, 1000);
	assert_int_equal(backoff_died(&b, 1001), BACKOFF_FIRST_MS);
	backoff_started(&b, 1021);
	assert_int_equal(backoff_died(&b, 1022), 2 * BACKOFF_FIRST_MS);
	backoff_started(&b, 2000);
	assert_int_equal(backoff_died(&b, 2000 + BACKOFF_STABLE_MS - 1),
			 4 * BACKOFF_FIRST_MS);
	backoff_started(&b, 20000);
	assert_int_equal(backoff_died(&b, 20000 + BACKOFF_STABLE_MS),
			 BACKOFF_FIRST_MS);
}

static void three_deaths_in_a_minute_are_a_storm(void **state)
{
	struct backoff b = {0};

	backoff_died(&b, 1000);
	backoff_died(&b, 2000);
	assert_false(backoff_storm(&b, 2000));
	backoff_died(&b, 3000);
	assert_true(backoff_storm(&b, 3000));
	assert_true(backoff_storm(&b, 1000 + BACKOFF_STORM_MS - 1));
	assert_false(backoff_storm(&b, 1000 + BACKOFF_STORM_MS));
	/* Two old and one new are none. */
	backoff_died(&b, 200000);
	assert_false(backoff_storm(&b, 200000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_up_to_the_last),
		cmocka_unit_test(starts_afresh_after_a_stable_run),
		cmocka_unit_test(three_deaths_in_a_minute_are_a_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
