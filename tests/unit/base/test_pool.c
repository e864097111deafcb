/* Memory of calls: never shared, dense, and given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sbcd/base/pool.h"

enum { OBJECTS = 4000, SLAB_BYTES = 65536 };

static struct {
	uint8_t *p;
	size_t size;
	uint8_t fill;
} live[OBJECTS];

static void check(unsigned i)
{
	for (size_t k = 0; k < live[i].size; k++)
		assert_int_equal(live[i].p[k], live[i].fill);
}

static void drop(unsigned i)
{
	check(i);
	pool_free(live[i].p, live[i].size);
	live[i].p = NULL;
}

static void nobody_shares_memory(void **state)
{
	size_t before = pool_slabs();

	srandom(7);
	for (unsigned n = 0; n < 100000; n++) {
		unsigned i = (unsigned)random() % OBJECTS;

		if (live[i].p) {
			drop(i);
			continue;
		}
		live[i].size = (size_t)random() % 2400;
		live[i].fill = (uint8_t)n;
		live[i].p = pool_alloc(live[i].size);
		assert_non_null(live[i].p);
		/* What another left there is not seen. */
		for (size_t k = 0; k < live[i].size; k++)
			assert_int_equal(live[i].p[k], 0);
		memset(live[i].p, live[i].fill, live[i].size);
	}
	for (unsigned i = 0; i < OBJECTS; i++)
		if (live[i].p)
			drop(i);
	/* At most one of each size is kept. */
	assert_in_range(pool_slabs(), before, before + 32);
	pool_free(NULL, 100);
}

/* What stays of a burst takes the room of what stays. */
static void what_stays_is_dense(void **state)
{
	enum { STAY = 300, GO = 900 };
	size_t before = pool_slabs();
	static void *stay[OBJECTS], *go[OBJECTS];

	for (unsigned i = 0; i < OBJECTS; i++) {
		stay[i] = pool_alloc(STAY);
		go[i] = pool_alloc(GO);
		assert_non_null(stay[i]);
		assert_non_null(go[i]);
		memset(stay[i], 1, STAY);
		memset(go[i], 2, GO);
	}
	for (unsigned i = 0; i < OBJECTS; i++)
		pool_free(go[i], GO);
	assert_in_range(pool_slabs(), before,
			before + 2 + OBJECTS * 320 / (SLAB_BYTES - 640));
	/* Half of them, every second: the room is used again. */
	for (unsigned i = 0; i < OBJECTS; i += 2)
		pool_free(stay[i], STAY);
	for (unsigned i = 0; i < OBJECTS; i += 2)
		stay[i] = pool_alloc(STAY);
	assert_in_range(pool_slabs(), before,
			before + 2 + OBJECTS * 320 / (SLAB_BYTES - 640));
	for (unsigned i = 0; i < OBJECTS; i++)
		pool_free(stay[i], STAY);
	assert_in_range(pool_slabs(), before, before + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_shares_memory),
		cmocka_unit_test(what_stays_is_dense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
