/* Media ports: whose they are, in what order, and how long they rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>

#include "sbcd/call/ports.h"

enum { FIRST = 20000, LAST = 20063, PAIRS = (LAST - FIRST + 1) / 2 };

static struct ports *create(unsigned node, unsigned shards)
{
	struct ports *p = NULL;

	assert_int_equal(ports_create(&p, FIRST, LAST, node, shards), 0);
	return p;
}

/* Everything this node may give out at `now_ms`. */
static size_t drain(struct ports *p, uint64_t now_ms, bool seen[PAIRS])
{
	size_t n = 0;
	int port;

	while ((port = ports_get(p, -1, now_ms)) >= 0) {
		assert_in_range(port, FIRST, LAST - 1);
		assert_int_equal(port % 2, 0);
		assert_false(seen[(port - FIRST) / 2]);
		seen[(port - FIRST) / 2] = true;
		ports_take(p, (uint16_t)port);
		n++;
	}
	assert_int_equal(port, -EAGAIN);
	return n;
}

static void nodes_share_no_port(void **state)
{
	bool seen[PAIRS] = {false};
	size_t n = 0;

	for (unsigned node = 1; node <= 2; node++) {
		struct ports *p = create(node, 3);

		n += drain(p, 1000, seen);
		ports_destroy(p);
	}
	assert_int_equal(n, PAIRS);
}

static void a_freed_port_rests(void **state)
{
	struct ports *p = create(1, 1);
	bool seen[PAIRS] = {false};
	size_t n = drain(p, 1000, seen);

	assert_int_equal(ports_used(p), n);
	for (unsigned i = 0; i < PAIRS; i++)
		if (seen[i])
			ports_put(p, (uint16_t)(FIRST + 2 * i), 2000);
	assert_int_equal(ports_used(p), 0);
	assert_int_equal(ports_get(p, -1, 2000), -EAGAIN);
	assert_int_equal(ports_get(p, -1, 2000 + PORTS_REST_MS - 1), -EAGAIN);
	assert_true(ports_get(p, -1, 2000 + PORTS_REST_MS) >= 0);
	ports_destroy(p);
}

static void longest_rest_goes_first(void **state)
{
	struct ports *p = create(1, 1);
	int a = ports_get(p, -1, 1000), b = ports_get(p, -1, 1000);
	bool seen[PAIRS] = {false};

	ports_take(p, (uint16_t)a);
	ports_take(p, (uint16_t)b);
	drain(p, 1000, seen);
	ports_put(p, (uint16_t)b, 2000);
	ports_put(p, (uint16_t)a, 3000);
	assert_int_equal(ports_get(p, -1, 2000 + PORTS_REST_MS), b);
	assert_int_equal(ports_get(p, -1, 2000 + PORTS_REST_MS), -EAGAIN);
	assert_int_equal(ports_get(p, -1, 3000 + PORTS_REST_MS), a);
	ports_destroy(p);
}

static void a_shared_port_is_free_after_the_last(void **state)
{
	struct ports *p = create(1, 1);
	int port = ports_get(p, -1, 1000);

	ports_take(p, (uint16_t)port);
	ports_take(p, (uint16_t)port);
	assert_int_equal(ports_used(p), 1);
	ports_put(p, (uint16_t)port, 1000);
	assert_int_equal(ports_used(p), 1);
	ports_put(p, (uint16_t)port, 1000);
	assert_int_equal(ports_used(p), 0);
	ports_destroy(p);
}

static void the_half_of_the_other_is_only_taken(void **state)
{
	struct ports *p = create(1, 2), *q = create(2, 2);
	int port = ports_get(q, -1, 1000);
	bool seen[PAIRS] = {false};

	ports_take(p, (uint16_t)port);
	assert_int_equal(ports_used(p), 1);
	ports_put(p, (uint16_t)port, 1000);
	drain(p, 1000 + PORTS_REST_MS, seen);
	assert_false(seen[(port - FIRST) / 2]);
	/* Not of the pool, or odd: nothing happens. */
	ports_take(p, 1);
	ports_take(p, LAST);
	ports_take(p, LAST + 1);
	ports_put(p, 65535, 1000);
	ports_destroy(p);
	ports_destroy(q);
}

static void shards_are_kept_apart(void **state)
{
	struct ports *p = create(1, 4);

	for (int shard = 0; shard < 4; shard++) {
		int port;

		while ((port = ports_get(p, shard, 1000)) >= 0)
			assert_int_equal(ports_shard(p, (uint16_t)port), shard);
	}
	assert_int_equal(ports_get(p, -1, 1000), -EAGAIN);
	assert_int_equal(ports_get(p, 4, 1000), -EAGAIN);
	ports_destroy(p);
}

static void bounds_move_inwards(void **state)
{
	struct ports *p = NULL;

	assert_int_equal(ports_create(&p, 20001, 20002, 1, 1), -EINVAL);
	assert_int_equal(ports_create(&p, 0, 0, 1, 1), -EINVAL);
	assert_int_equal(ports_create(&p, 65535, 65535, 1, 1), -EINVAL);
	assert_null(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_share_no_port),
		cmocka_unit_test(a_freed_port_rests),
		cmocka_unit_test(longest_rest_goes_first),
		cmocka_unit_test(a_shared_port_is_free_after_the_last),
		cmocka_unit_test(the_half_of_the_other_is_only_taken),
		cmocka_unit_test(shards_are_kept_apart),
		cmocka_unit_test(bounds_move_inwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
