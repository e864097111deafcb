/* Which source a flow believes. */
#include "media_test.h"

#include "sbcd/media/latch.h"

static struct addr signalled, natted, rogue, unknown;
static struct latch_rule rule;

static int setup(void **state)
{
	signalled = addr_of("10.10.0.50", 7000);
	natted = addr_of("198.51.100.7", 31234);
	rogue = addr_of("203.0.113.9", 7000);
	memset(&unknown, 0, sizeof(unknown));
	rule.allowed = true;
	rule.signalled = &signalled;
	rule.silence_ns = 1000ull * MS;
	return 0;
}

/* Check, learn when told to; true when the packet is believed. */
static bool packet(struct latch *l, const struct addr *from, uint64_t ms)
{
	switch (latch_check(l, &rule, from, at_ms(ms))) {
	case LATCH_REFUSE:
		return false;
	case LATCH_LEARN:
		latch_learn(l, &rule, from, at_ms(ms));
		return true;
	case LATCH_ACCEPT:
		l->last_ns = at_ms(ms);
		return true;
	}
	return false;
}

static void test_first_source_is_held(void **state)
{
	struct latch l = {0};

	assert_true(packet(&l, &natted, 0));
	assert_true(addr_equal(&l.learned, &natted));
	for (unsigned ms = 20; ms < 5000; ms += 20) {
		assert_true(packet(&l, &natted, ms));
		assert_false(packet(&l, &rogue, ms));
	}
	/* The same host, another port: another source. */
	natted.port++;
	assert_false(packet(&l, &natted, 5000));
}

static void test_signalled_is_preferred(void **state)
{
	struct latch l = {0};

	assert_true(packet(&l, &rogue, 0));
	assert_int_equal(l.state, LATCH_GUESSED);
	assert_true(packet(&l, &signalled, 1));
	assert_true(addr_equal(&l.learned, &signalled));
	assert_int_equal(l.state, LATCH_HELD);
	assert_false(packet(&l, &rogue, 2));
}

static void test_silence_ends_it(void **state)
{
	struct latch l = {0};

	assert_true(packet(&l, &signalled, 0));
	assert_false(packet(&l, &natted, 999));
	assert_true(packet(&l, &natted, 1000));
	assert_true(addr_equal(&l.learned, &natted));
}

static void test_restored_source_only(void **state)
{
	struct latch l = {0};

	latch_restore(&l, &natted, at_ms(0));
	assert_int_equal(l.state, LATCH_RESTORED);
	/* Not even the signalled address, until a second has passed. */
	assert_false(packet(&l, &signalled, 10));
	assert_false(packet(&l, &rogue, 999));
	assert_true(packet(&l, &natted, 999));
	assert_false(packet(&l, &signalled, 1998));
	assert_true(packet(&l, &signalled, 1999));
	/* Nothing replicated: as if new. */
	latch_restore(&l, &unknown, at_ms(0));
	assert_true(packet(&l, &rogue, 0));
}

static void test_without_latching(void **state)
{
	struct latch l = {0};

	rule.allowed = false;
	assert_false(packet(&l, &natted, 0));
	assert_true(packet(&l, &signalled, 1));
	assert_int_equal(l.state, LATCH_NONE);
	rule.signalled = &unknown;
	assert_false(packet(&l, &signalled, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_first_source_is_held, setup),
		cmocka_unit_test_setup(test_signalled_is_preferred, setup),
		cmocka_unit_test_setup(test_silence_ends_it, setup),
		cmocka_unit_test_setup(test_restored_source_only, setup),
		cmocka_unit_test_setup(test_without_latching, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
