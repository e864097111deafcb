/* The steering pool: halves, shards, rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "sbcd/base/worker.h"
#include "sbcd/call/ports.h"

static struct ports *make(unsigned first, unsigned last, unsigned node,
			  unsigned shards)
{
	struct ports *p = NULL;

	assert_int_equal(
		ports_create(&p, (uint16_t)first, (uint16_t)last, node, shards),
		0);
	return p;
}

static void halves_do_not_overlap(void **state)
{
	static int owner[65536];

	for (unsigned node = 1; node <= 2; node++) {
		struct ports *p = make(20000, 20099, node, 1);
		int port, n = 0;

		while ((port = ports_get(p, 0, 1)) > 0) {
			assert_int_equal(port & 1, 0);
			assert_int_equal(owner[port], 0);
			assert_int_equal(
				worker_port_node((unsigned)port, 20000), node);
			owner[port] = (int)node;
			ports_take(p, (uint16_t)port);
			n++;
		}
		assert_int_equal(port, -EAGAIN);
		assert_int_equal(n, 25);
		assert_int_equal(ports_used(p), 25);
		ports_destroy(p);
	}
}

static void a_freed_pair_rests(void **state)
{
	struct ports *p = make(20000, 20007, 1, 1);
	int a = ports_get(p, 0, 1000), b;

	ports_take(p, (uint16_t)a);
	b = ports_get(p, 0, 1000);
	ports_take(p, (uint16_t)b);
	assert_int_equal(ports_get(p, 0, 1000), -EAGAIN);
	ports_put(p, (uint16_t)b, 2000);
	ports_put(p, (uint16_t)a, 3000);
	assert_int_equal(ports_get(p, 0, 2000 + PORTS_REST_MS - 1), -EAGAIN);
	/* Oldest first. */
	assert_int_equal(ports_get(p, 0, 3000 + PORTS_REST_MS), b);
	assert_int_equal(ports_get(p, 0, 3000 + PORTS_REST_MS), a);
	ports_destroy(p);
}

static void shards_are_kept_apart(void **state)
{
	struct ports *p = make(20000, 20999, 2, 4);

	for (int shard = 0; shard < 4; shard++)
		for (int i = 0; i < 20; i++) {
			int port = ports_get(p, shard, 1);

			assert_true(port > 0);
			assert_int_equal(ports_shard(p, (uint16_t)port), shard);
			assert_int_equal(
				worker_port_shard((unsigned)port, 20000, 4),
				shard);
			ports_take(p, (uint16_t)port);
		}
	assert_int_equal(ports_get(p, 7, 1), -EAGAIN);
	ports_destroy(p);
}

static void records_decide_what_is_used(void **state)
{
	struct ports *p = make(20000, 20007, 1, 1);

	/* The other node's, ours, twice, and nobody's. */
	ports_take(p, 20002);
	ports_take(p, 20000);
	ports_take(p, 20000);
	ports_take(p, 4711);
	ports_take(p, 20001);
	assert_int_equal(ports_used(p), 2);
	assert_int_equal(ports_get(p, 0, 1), 20004);
	ports_put(p, 20004, 0);
	ports_put(p, 20000, 5);
	assert_int_equal(ports_used(p), 2);
	ports_put(p, 20000, 5);
	ports_put(p, 20002, 5);
	ports_put(p, 4711, 5);
	assert_int_equal(ports_used(p), 0);
	/* What belongs to the other node is not handed out. */
	assert_int_equal(ports_get(p, 0, 5 + PORTS_REST_MS), 20004);
	ports_take(p, 20004);
	assert_int_equal(ports_get(p, 0, 5 + PORTS_REST_MS), 20000);
	ports_take(p, 20000);
	assert_int_equal(ports_get(p, 0, 5 + PORTS_REST_MS), -EAGAIN);
	ports_destroy(p);
}

/* A node with another number of threads takes over: the ports of a stream are
 * of one thread there, too. */
static void one_class_is_one_thread_everywhere(void **state)
{
	unsigned classes = worker_port_classes(0);
	struct ports *a = make(20000, 29999, 1, classes);
	struct ports *b = make(40002, 45001, 1, classes);

	for (int i = 0; i < 500; i++) {
		int class = ports_best_shard(a, b, 1);
		int one = ports_get(a, class, 1), two = ports_get(b, class, 1);

		assert_true(one > 0 && two > 0);
		ports_take(a, (uint16_t)one);
		ports_take(b, (uint16_t)two);
		for (unsigned n = 1; n <= WORKER_SHARDS_AUTO_MAX; n++)
			assert_int_equal(
				worker_port_shard((unsigned)one, 20000, n),
				worker_port_shard((unsigned)two, 40002, n));
	}
	ports_destroy(a);
	ports_destroy(b);
	for (unsigned n = 1; n <= WORKER_SHARDS_MAX; n++)
		assert_int_equal(worker_port_classes(n) % n, 0);
	assert_int_equal(worker_port_classes(99), WORKER_SHARDS_MAX);
}

/* The smaller pool decides: all it has can be used. */
static void best_for_both(void **state)
{
	struct ports *a = make(20000, 20399, 1, WORKER_PORT_CLASSES);
	struct ports *b = make(40000, 40019, 1, WORKER_PORT_CLASSES);
	int class, one, two;

	for (int i = 0; i < 5; i++) {
		class = ports_best_shard(a, b, 1);
		one = ports_get(a, class, 1);
		two = ports_get(b, class, 1);
		assert_true(one > 0 && two > 0);
		ports_take(a, (uint16_t)one);
		ports_take(b, (uint16_t)two);
	}
	/* Both legs in one realm. */
	for (int i = 0; i < 22; i++) {
		class = ports_best_shard(a, a, 1);
		one = ports_get(a, class, 1);
		two = ports_get(a, class, 1);
		assert_true(one > 0 && two > 0);
	}
	ports_destroy(a);
	ports_destroy(b);
}

/* One that has not rested is none, whatever lies behind it. */
static void the_rested_go_first(void **state)
{
	struct ports *p = make(20000, 20047, 1, 12);
	int port[12];

	for (int s = 0; s < 12; s++)
		ports_take(p, (uint16_t)(port[s] = ports_get(p, s, 1)));
	for (int s = 0; s < 12; s++)
		ports_put(p, (uint16_t)port[s], s == 7 ? 1000 : 2000);
	for (int s = 0; s < 12; s++)
		assert_int_equal(ports_get(p, s, 1000 + PORTS_REST_MS) > 0,
				 s == 7);
	ports_put(p, (uint16_t)port[7], 1000);
	assert_int_equal(ports_best_shard(p, p, 1000 + PORTS_REST_MS), 0);
	ports_destroy(p);
	p = make(20000, 20095, 1, 12);
	for (int s = 0; s < 12; s++)
		for (int i = 0; i < 2; i++)
			(void)!ports_get(p, s, 1);
	ports_put(p, (uint16_t)(20000 + 4 * 3), 2000);
	ports_put(p, (uint16_t)(20000 + 4 * 15), 2000);
	assert_int_equal(ports_best_shard(p, p, 2000 + PORTS_REST_MS), 3);
	ports_destroy(p);
}

static void odd_bounds_move_inwards(void **state)
{
	struct ports *p = make(20001, 20006, 1, 1);
	int port = ports_get(p, 0, 1);

	assert_true(port >= 20002 && port <= 20004);
	ports_destroy(p);
	assert_int_equal(ports_create(&p, 20000, 20000, 1, 1), -EINVAL);
	assert_int_equal(ports_create(&p, 20001, 20002, 1, 1), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(halves_do_not_overlap),
		cmocka_unit_test(a_freed_pair_rests),
		cmocka_unit_test(shards_are_kept_apart),
		cmocka_unit_test(records_decide_what_is_used),
		cmocka_unit_test(one_class_is_one_thread_everywhere),
		cmocka_unit_test(best_for_both),
		cmocka_unit_test(the_rested_go_first),
		cmocka_unit_test(odd_bounds_move_inwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
