/* Failover reports: order, bounds, the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/keeper/flight.h"

static struct flight *f;
static uint64_t dropped;

static int setup(void **state)
{
	return flight_create(&f);
}

static int teardown(void **state)
{
	flight_destroy(f);
	return 0;
}

static bool add(uint64_t epoch, bool complete)
{
	struct rec_failover r = {
		.epoch = epoch,
		.complete = complete,
		.decided_us = 100250,
		.calls_lost = 1,
		.lost_len = 1,
		.lost[0].call = 0xc0ffee,
	};

	strcpy(r.node, "sbc-b");
	strcpy(r.cause, "silence on all paths");
	return flight_add(f, &r, &dropped);
}

static void test_order_and_count(void **state)
{
	assert_true(add(20, false));
	assert_true(add(10, true));
	assert_true(add(30, true));
	assert_false(add(30, true)); /* nothing new */
	assert_int_equal(flight_len(f), 3);
	assert_int_equal(flight_get(f, 0)->epoch, 10);
	assert_int_equal(flight_get(f, 2)->epoch, 30);
	assert_int_equal(flight_count_after(f, 0), 3);
	assert_int_equal(flight_count_after(f, 10), 2);
	assert_int_equal(flight_count_after(f, 29), 1);
	assert_int_equal(flight_count_after(f, 30), 0);
	/* What was measured is not taken back. */
	assert_true(add(20, true));
	assert_false(add(20, false));
	assert_true(flight_get(f, 1)->complete);
	assert_null(flight_get(f, 3));
}

static void test_bound(void **state)
{
	for (uint64_t epoch = 10; epoch < 10 + FLIGHT_REPORTS_MAX; epoch++) {
		assert_true(add(epoch, true));
		assert_int_equal(dropped, 0);
	}
	assert_true(add(1000, true));
	assert_int_equal(dropped, 10);
	assert_int_equal(flight_len(f), FLIGHT_REPORTS_MAX);
	assert_int_equal(flight_get(f, 0)->epoch, 11);
	/* Older than all there are: it is the one that goes. */
	assert_false(add(5, true));
	assert_int_equal(dropped, 5);
	assert_int_equal(flight_get(f, 0)->epoch, 11);
}

static void test_file(void **state)
{
	struct flight *again;
	struct buf b;

	buf_init(&b, FLIGHT_FILE_MAX_BYTES);
	for (uint64_t epoch = 1; epoch < 20; epoch++)
		add(epoch, epoch & 1);
	assert_int_equal(flight_encode(f, &b), 0);
	for (size_t cut = 0; cut <= b.size; cut++) {
		assert_int_equal(flight_create(&again), 0);
		/* Cut between two reports it is shorter, not broken. */
		if (flight_decode(again, b.data, cut))
			assert_true(cut < b.size);
		assert_true(flight_len(again) <= 19);
		if (cut == b.size) {
			assert_int_equal(flight_len(again), 19);
			assert_string_equal(flight_get(again, 7)->cause,
					    "silence on all paths");
		}
		flight_destroy(again);
	}
	b.data[0] ^= 1;
	assert_int_equal(flight_decode(f, b.data, b.size), -EBADMSG);
	buf_finish(&b);
}

static void test_json(void **state)
{
	json_t *list, *o;

	add(1, true);
	add(2, false);
	list = flight_to_json(f, 1);
	assert_int_equal(json_array_size(list), 1);
	o = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(o, "epoch")),
			    "0000000000000002");
	assert_true(json_real_value(json_object_get(o, "decided-after")) ==
		    100.2);
	assert_true(json_is_null(json_object_get(o, "first-packet-after")));
	assert_int_equal(json_array_size(json_object_get(o, "lost-calls")), 1);
	json_decref(list);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_order_and_count),
		T(test_bound),
		T(test_file),
		T(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
