#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "sbcd/keeper/epoch.h"

/* The file as it would be on disk. */
struct file {
	char text[EPOCH_TEXT_SIZE];
};

static void write_file(struct epoch *e, struct file *f)
{
	epoch_format(e, f->text, sizeof(f->text));
	epoch_written(e, e->asked);
}

static void nothing_without_a_reservation(void **state)
{
	struct epoch e;
	struct file f;
	uint64_t first, second;

	epoch_init(&e, 2);
	assert_int_equal(epoch_next(&e, &first), -EAGAIN);
	assert_true(epoch_wants_write(&e));
	/* Asked for is not yet durable. */
	epoch_format(&e, f.text, sizeof(f.text));
	assert_int_equal(epoch_next(&e, &first), -EAGAIN);
	epoch_written(&e, e.asked);
	assert_int_equal(epoch_next(&e, &first), 0);
	assert_int_equal(epoch_node(first), 2);
	assert_int_equal(epoch_next(&e, &second), 0);
	assert_true(second > first);
	assert_int_equal(e.active, second);
}

static void never_twice_whenever_it_crashes(void **state)
{
	struct file f = {""};
	uint64_t highest = 0;

	/* Every life activates some times, and its last file is old. */
	for (int life = 0; life < 20; life++) {
		struct epoch e;

		epoch_init(&e, 1);
		if (f.text[0])
			assert_int_equal(epoch_parse(&e, f.text), 0);
		write_file(&e, &f);
		for (int i = 0; i < life; i++) {
			uint64_t epoch;

			assert_int_equal(epoch_next(&e, &epoch), 0);
			assert_true(epoch > highest);
			highest = epoch;
		}
	}
}

static void above_what_was_heard(void **state)
{
	struct epoch e;
	struct file f;
	uint64_t epoch;

	epoch_init(&e, 1);
	write_file(&e, &f);
	epoch_heard(&e, UINT64_C(5000) << 8 | 2);
	/* The reservation does not reach there. */
	assert_int_equal(epoch_next(&e, &epoch), -EAGAIN);
	assert_true(epoch_wants_write(&e));
	write_file(&e, &f);
	assert_int_equal(epoch_next(&e, &epoch), 0);
	assert_int_equal(epoch, UINT64_C(5001) << 8 | 1);
	/* Lower ones change nothing, absurd ones are ignored. */
	epoch_heard(&e, UINT64_C(7) << 8 | 2);
	epoch_heard(&e, UINT64_MAX);
	assert_int_equal(e.heard, epoch);
}

static void a_block_is_renewed_in_time(void **state)
{
	struct epoch e;
	struct file f;
	uint64_t epoch;

	epoch_init(&e, 1);
	write_file(&e, &f);
	assert_false(epoch_wants_write(&e));
	for (int i = 0; i < EPOCH_BLOCK - EPOCH_BLOCK_LOW; i++)
		assert_int_equal(epoch_next(&e, &epoch), 0);
	assert_true(epoch_wants_write(&e));
	for (int i = 0; i < EPOCH_BLOCK_LOW; i++)
		assert_int_equal(epoch_next(&e, &epoch), 0);
	assert_int_equal(epoch_next(&e, &epoch), -EAGAIN);
	/* A dead disk does not stop it. */
	assert_true(epoch_next_unreserved(&e) > epoch);
}

static void a_damaged_file_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"heard=1 limit=2\n",
		"heard=1 limit=2 active=3",
		"heard=1 limit=2 active=3\nmore",
		"heard=zz limit=2 active=3\n",
		"heard=1 limit=ffffffffffffffff active=3\n",
	};
	struct epoch e, before;

	epoch_init(&e, 1);
	before = e;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(epoch_parse(&e, bad[i]), -EBADMSG);
		assert_memory_equal(&e, &before, sizeof(e));
	}
	assert_int_equal(epoch_parse(&e, "heard=0000000000000301 "
					 "limit=0000000000000040 "
					 "active=0000000000000201\n"),
			 0);
	assert_int_equal(e.heard, 0x301);
	assert_int_equal(e.active, 0x201);
	assert_int_equal(e.floor, 0x40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_without_a_reservation),
		cmocka_unit_test(never_twice_whenever_it_crashes),
		cmocka_unit_test(above_what_was_heard),
		cmocka_unit_test(a_block_is_renewed_in_time),
		cmocka_unit_test(a_damaged_file_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
