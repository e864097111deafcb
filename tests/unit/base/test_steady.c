#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sbcd/base/steady.h"

enum { SECOND = 1000000000 };
static const uint64_t start = 1700000000ull * SECOND;

static struct steady s;

static int up(void **state)
{
	s = (struct steady){0};
	assert_int_equal(steady_now_ns(&s, start, 5), start);
	return 0;
}

static void follows(void **state)
{
	for (uint64_t t = 1; t < 100; t++)
		assert_int_equal(
			steady_now_ns(&s, start + t * SECOND, 5 + t * SECOND),
			start + t * SECOND);
}

static void set_forward(void **state)
{
	uint64_t hour = 3600ull * SECOND;

	assert_int_equal(steady_now_ns(&s, start + SECOND + hour, 5 + SECOND),
			 start + SECOND + SECOND / 10);
	/* It gets there, and stays. */
	assert_int_equal(steady_now_ns(&s, start + 11 * hour, 5 + 10 * hour),
			 start + 11 * hour);
	assert_int_equal(steady_now_ns(&s, start + 12 * hour, 5 + 11 * hour),
			 start + 12 * hour);
}

static void set_back(void **state)
{
	uint64_t hour = 3600ull * SECOND, before = start, now;

	for (uint64_t t = 1; t <= 10; t++) {
		now = steady_now_ns(&s, start - hour + t * SECOND,
				    5 + t * SECOND);
		assert_int_equal(now - before, SECOND - SECOND / 10);
		before = now;
	}
	assert_int_equal(steady_now_ns(&s, start + 10 * hour, 5 + 11 * hour),
			 start + 10 * hour);
}

static void asked_twice_at_once(void **state)
{
	assert_int_equal(steady_now_ns(&s, start + SECOND, 5), start);
	assert_int_equal(steady_now_ns(&s, start - SECOND, 5), start);
}

#define CASE(name) cmocka_unit_test_setup(name, up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(follows),
		CASE(set_forward),
		CASE(set_back),
		CASE(asked_twice_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
