#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "sbcd/keeper/disk.h"

static char dir[] = "/tmp/sbcd-disk-XXXXXX";
static int done_errors[128];
static size_t done_len;

static void on_done(void *ctx, int err, uint64_t took_us)
{
	done_errors[done_len++] = err;
}

static void wait_done(struct disk *d, size_t n)
{
	struct pollfd pfd = {.fd = disk_fd(d), .events = POLLIN};

	while (done_len < n) {
		assert_int_equal(poll(&pfd, 1, 5000), 1);
		disk_dispatch(d);
	}
}

static void read_back(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t n;

	assert_non_null(f);
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	fclose(f);
}

static void writes_in_order(void **state)
{
	struct disk *d;
	char path[64], text[32];

	done_len = 0;
	snprintf(path, sizeof(path), "%s/file", dir);
	assert_int_equal(disk_create(&d, 100), 0);
	for (int i = 0; i < 20; i++) {
		int n = snprintf(text, sizeof(text), "value %d", i);

		assert_int_equal(disk_write_file(d, path, text, (size_t)n,
						 on_done, NULL),
				 0);
	}
	wait_done(d, 20);
	read_back(path, text, sizeof(text));
	assert_string_equal(text, "value 19");
	assert_int_equal(disk_stalled_ms(d, UINT64_MAX), 0);
	disk_destroy(d, 1000);
	unlink(path);
}

static void errors_are_reported_and_change_nothing(void **state)
{
	struct disk *d;
	char path[64];

	done_len = 0;
	snprintf(path, sizeof(path), "%s/none/file", dir);
	assert_int_equal(disk_create(&d, 100), 0);
	assert_int_equal(disk_write_file(d, path, "x", 1, on_done, NULL), 0);
	wait_done(d, 1);
	assert_int_equal(done_errors[0], -ENOENT);
	disk_destroy(d, 1000);
}

static void the_queue_is_bounded(void **state)
{
	struct disk *d;
	char fifo[64], path[80];
	int err = 0;

	/* A fifo nobody reads holds the thread in open(). */
	snprintf(fifo, sizeof(fifo), "%s/stuck.new", dir);
	snprintf(path, sizeof(path), "%s/stuck", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(disk_create(&d, 4), 0);
	for (int i = 0; i < 4; i++)
		err |= disk_write_file(d, path, "x", 1, NULL, NULL);
	assert_int_equal(err, 0);
	assert_int_equal(disk_write_file(d, path, "x", 1, NULL, NULL),
			 -ENOBUFS);
	assert_true(disk_stalled_ms(d, UINT64_MAX) > 0);
	/* A clean stop does not wait for it for ever. */
	disk_destroy(d, 50);
	unlink(fifo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_in_order),
		cmocka_unit_test(errors_are_reported_and_change_nothing),
		cmocka_unit_test(the_queue_is_bounded),
	};
	int failed;

	if (!mkdtemp(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return failed;
}
