/* Log lines: form, levels, rate, and a reader that does not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"

static int saved_stderr, reader, other_end;
static char got[65536];

static void redirect(int fds[2])
{
	reader = fds[0];
	other_end = dup(fds[1]);
	saved_stderr = dup(STDERR_FILENO);
	fflush(stderr);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	log_init("sbc-a", "test", LOG_INFO);
}

static void to_pipe(void)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	redirect(fds);
}

static void restore(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(other_end);
	if (reader >= 0)
		close(reader);
}

static const char *read_all(void)
{
	size_t len = 0;
	ssize_t n;

	fcntl(reader, F_SETFL, O_NONBLOCK);
	while ((n = read(reader, got + len, sizeof(got) - 1 - len)) > 0)
		len += (size_t)n;
	got[len] = '\0';
	return got;
}

static void lines_have_their_form(void **state)
{
	to_pipe();
	errno = EXDEV;
	log_err("event=%s n=%d", "x", 5);
	assert_int_equal(errno, EXDEV);
	log_info("event=y");
	log_debug("event=not-printed");
	read_all();
	restore();
	assert_string_equal(got, "<3>node=sbc-a proc=test event=x n=5\n"
				 "<6>node=sbc-a proc=test event=y\n");
}

static void a_line_is_one_line(void **state)
{
	char long_text[9000];

	to_pipe();
	log_info("from=%s", "a\r\n<0>node=evil\x1b[31m\x7f\tz");
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	log_info("%s", long_text);
	read_all();
	restore();
	assert_non_null(strstr(got, "from=a?\?<0>node=evil?[31m?\?z\n"));
	assert_null(strchr(got, '\x1b'));
	assert_ptr_equal(strchr(strchr(got, '\n') + 1, '\n') + 1,
			 got + strlen(got));
	assert_true(strlen(got) < 2 * PIPE_BUF);
}

static void stuck(void)
{
	uint64_t before = log_dropped(), start = clock_mono_ms();

	/* Far more than any pipe or socket holds: hangs when it blocks. */
	alarm(20);
	for (int i = 0; i < 30000; i++)
		log_info("line %d of a log that nobody reads any more, with "
			 "some text behind it",
			 i);
	alarm(0);
	assert_true(log_dropped() > before);
	assert_in_range(clock_mono_ms() - start, 0, 15000);
}

static void a_full_pipe_does_not_block(void **state)
{
	to_pipe();
	stuck();
	/* Whole lines only, and on it goes when somebody reads. */
	read_all();
	assert_int_equal(got[strlen(got) - 1], '\n');
	log_info("event=again");
	read_all();
	restore();
	assert_string_equal(got, "<6>node=sbc-a proc=test event=again\n");
}

/* The other holders of the pipe keep their blocking mode. */
static void shared_description_is_not_touched(void **state)
{
	int flags, own_flags;

	to_pipe();
	flags = fcntl(other_end, F_GETFL);
	own_flags = fcntl(STDERR_FILENO, F_GETFL);
	restore();
	assert_int_equal(flags & O_NONBLOCK, 0);
	assert_int_equal(own_flags & O_NONBLOCK, O_NONBLOCK);
}

/* Where a description of our own could not be had. */
static void a_blocking_pipe_does_not_block(void **state)
{
	to_pipe();
	dup2(other_end, STDERR_FILENO);
	stuck();
	restore();
}

static void a_full_socket_does_not_block(void **state)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	redirect(fds);
	stuck();
	read_all();
	restore();
	assert_non_null(strstr(got, "proc=test line 0"));
}

static void a_dead_reader_does_not_kill(void **state)
{
	uint64_t before = log_dropped();

	to_pipe();
	close(reader);
	reader = -1;
	log_info("event=x");
	restore();
	assert_true(log_dropped() > before);
}

static void files_are_written(void **state)
{
	char path[] = "/tmp/log-test-XXXXXX";
	int fds[2] = {-1, mkstemp(path)};

	fds[0] = open(path, O_RDONLY);
	redirect(fds);
	log_info("event=x");
	read_all();
	restore();
	unlink(path);
	assert_string_equal(got, "<6>node=sbc-a proc=test event=x\n");
}

static void the_rate_is_limited(void **state)
{
	struct log_rate rate = {0};
	unsigned passed = 0;

	to_pipe();
	for (int i = 0; i < 1000; i++)
		passed += log_rate_pass(&rate);
	assert_in_range(passed, LOG_RATE_BURST, LOG_RATE_BURST + 1);
	/* Three seconds later: three more, and what was left out is told. */
	rate.last_ns -= 3000000000u;
	for (int i = 0; i < 1000; i++)
		passed += log_rate_pass(&rate);
	read_all();
	restore();
	assert_in_range(passed, LOG_RATE_BURST + 3, LOG_RATE_BURST + 5);
	assert_non_null(strstr(got, "suppressed=99"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_have_their_form),
		cmocka_unit_test(a_line_is_one_line),
		cmocka_unit_test(a_full_pipe_does_not_block),
		cmocka_unit_test(a_blocking_pipe_does_not_block),
		cmocka_unit_test(shared_description_is_not_touched),
		cmocka_unit_test(a_full_socket_does_not_block),
		cmocka_unit_test(a_dead_reader_does_not_kill),
		cmocka_unit_test(files_are_written),
		cmocka_unit_test(the_rate_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
