/* Opinion scores and the distribution of gaps. */
#include "media_test.h"

#include "sbcd/media/gaps.h"
#include "sbcd/media/mos.h"

enum { G711 = 0, G729 = 18, DYNAMIC = 111 };

static void test_mos_of_good_calls(void **state)
{
	assert_int_equal(mos_e_model(0, 0, 0, G711), 0);
	/* G.107 with its defaults: R = 93.2 less the delay's share. */
	assert_in_range(mos_e_model(1000, 0, 0, G711), 435, 442);
	assert_int_equal(mos_e_model(1000, 0, 0, DYNAMIC),
			 mos_e_model(1000, 0, 0, G711));
	assert_in_range(mos_e_model(1000, 0, 0, G729), 400, 415);
}

static void test_mos_falls(void **state)
{
	uint16_t last = 500;

	for (uint64_t lost = 0; lost <= 1000; lost += 50) {
		uint16_t mos = mos_e_model(1000 - lost / 2, lost, 0, G711);

		assert_true(mos < last || mos == 100);
		assert_true(mos >= 100);
		last = mos;
	}
	/* 5 % lost: about 3.9 with concealment. */
	assert_in_range(mos_e_model(950, 50, 0, G711), 370, 410);
	assert_true(mos_e_model(1000, 0, 200000, G711) <
		    mos_e_model(1000, 0, 5000, G711));
	assert_int_equal(mos_e_model(1, UINT32_MAX, UINT32_MAX, G729), 100);
}

static void test_percentiles(void **state)
{
	struct gaps g = {.flows = 0}, other = {.silent = 3};

	assert_int_equal(gaps_percentile_us(&g, 50), 0);
	for (unsigned ms = 1; ms <= 100; ms++)
		gaps_add(&g, ms * 1000 - 500);
	assert_int_equal(g.flows, 100);
	assert_int_equal(g.min_us, 500);
	assert_int_equal(g.max_us, 99500);
	assert_int_equal(gaps_percentile_us(&g, 50), 50000);
	assert_int_equal(gaps_percentile_us(&g, 99), 99000);
	assert_int_equal(gaps_percentile_us(&g, 100), 99500);
	gaps_add(&other, 300 * 1000);
	gaps_add(&other, 200 * 1000000ull);
	gaps_merge(&g, &other);
	assert_int_equal(g.flows, 102);
	assert_int_equal(g.silent, 3);
	assert_int_equal(g.min_us, 500);
	assert_int_equal(gaps_percentile_us(&g, 100), 200 * 1000000ull);
	/* 300 ms: in the steps of 16 ms. */
	assert_int_equal(gaps_percentile_us(&g, 99), 304 * 1000);
}

static void test_one_flow(void **state)
{
	struct gaps g = {.flows = 0};

	gaps_add(&g, 280400);
	assert_int_equal(gaps_percentile_us(&g, 50), 280400);
	assert_int_equal(gaps_percentile_us(&g, 99), 280400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mos_of_good_calls),
		cmocka_unit_test(test_mos_falls),
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_one_flow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
