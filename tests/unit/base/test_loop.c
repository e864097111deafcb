/* The event loop: timers in order, safe removal, wake-ups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/loop.h"

static struct loop *loop;
static char order[256];
static unsigned turns;

static int setup(void **state)
{
	order[0] = '\0';
	turns = 0;
	return loop_create(&loop);
}

static int teardown(void **state)
{
	loop_destroy(loop);
	return 0;
}

static void note(void *ctx)
{
	strcat(order, ctx);
}

static void stop(void *ctx)
{
	loop_stop(loop, 7);
}

static struct loop_timer *timer(loop_timer_fn *fn, void *ctx)
{
	struct loop_timer *t;

	assert_int_equal(loop_timer_create(loop, &t, fn, ctx), 0);
	assert_false(loop_timer_armed(t));
	return t;
}

static void timers_fire_in_order(void **state)
{
	struct loop_timer *a = timer(note, (char[]){"a"}),
			  *b = timer(note, (char[]){"b"}),
			  *c = timer(note, (char[]){"c"}),
			  *d = timer(note, (char[]){"d"}),
			  *end = timer(stop, NULL);
	uint64_t before = clock_mono_ms();

	loop_timer_arm(c, 20);
	loop_timer_arm(a, 5);
	loop_timer_arm(d, 10);
	loop_timer_arm(b, 1);
	loop_timer_arm(b, 12); /* moves it */
	loop_timer_arm(end, 30);
	loop_timer_disarm(d);
	loop_timer_disarm(d);
	assert_true(loop_timer_armed(a));
	assert_int_equal(loop_run(loop), 7);
	assert_string_equal(order, "abc");
	assert_false(loop_timer_armed(a));
	assert_in_range(clock_mono_ms() - before, 30, 5000);
	assert_true(loop_now_ms(loop) >= before);
	loop_timer_destroy(a);
	loop_timer_destroy(b);
	loop_timer_destroy(c);
	loop_timer_destroy(d);
	loop_timer_destroy(end);
	loop_timer_destroy(NULL);
}

static uint64_t last_deadline;
static unsigned fired;

struct timed {
	struct loop_timer *t;
	uint64_t due;
};

static void check_order(void *ctx)
{
	struct timed *x = ctx;

	/* 20 ms of slack: they were armed at slightly different times. */
	assert_true(x->due + 4 >= last_deadline);
	if (x->due > last_deadline)
		last_deadline = x->due;
	fired++;
}

/* The heap against a seeded mix of arming, moving and disarming. */
static void many_timers_keep_order(void **state)
{
	enum { N = 500 };
	static struct timed all[N];
	struct loop_timer *end = timer(stop, NULL);
	unsigned seed = 4711, armed = 0;

	last_deadline = fired = 0;
	for (int i = 0; i < N; i++)
		all[i].t = timer(check_order, &all[i]);
	for (int i = 0; i < 4 * N; i++) {
		struct timed *x = &all[rand_r(&seed) % N];

		x->due = (uint64_t)rand_r(&seed) % 40 + 1;
		if (x->due % 7 == 0)
			loop_timer_disarm(x->t);
		else
			loop_timer_arm(x->t, x->due * 5);
	}
	for (int i = 0; i < N; i++)
		armed += loop_timer_armed(all[i].t);
	loop_timer_arm(end, 300);
	loop_run(loop);
	assert_int_equal(fired, armed);
	for (int i = 0; i < N; i++)
		loop_timer_destroy(all[i].t);
	loop_timer_destroy(end);
}

static struct loop_timer *self;

static void again(void *ctx)
{
	if (++fired < 50)
		loop_timer_arm(self, 0);
	else
		loop_stop(loop, 0);
}

static void count_turn(void *ctx)
{
	turns++;
}

/* A timer that arms itself with no delay does not starve the others. */
static void rearmed_timers_take_turns(void **state)
{
	fired = 0;
	loop_set_turn_end(loop, count_turn, NULL);
	self = timer(again, NULL);
	loop_timer_arm(self, 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(fired, 50);
	assert_true(turns >= 50);
	loop_timer_destroy(self);
}

static void destroy_self(void *ctx)
{
	loop_timer_destroy(self);
	loop_stop(loop, 3);
}

static void a_timer_may_destroy_itself(void **state)
{
	self = timer(destroy_self, NULL);
	loop_timer_arm(self, 1);
	assert_int_equal(loop_run(loop), 3);
}

static int pipes[2][2];
static struct loop_fd *watches[2];

static void on_readable(void *ctx, uint32_t events)
{
	char c;
	int *fds = ctx;

	assert_true(events & EPOLLIN);
	assert_int_equal(read(fds[0], &c, 1), 1);
	strncat(order, &c, 1);
	if (c == 'x')
		loop_stop(loop, 0);
}

/* Removes both, also the one whose event is already in hand. */
static void remove_both(void *ctx, uint32_t events)
{
	fired++;
	loop_fd_remove(watches[0]);
	loop_fd_remove(watches[1]);
	loop_fd_remove(watches[1]);
}

static void open_pipes(loop_fd_fn *fn)
{
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe(pipes[i]), 0);
		assert_int_equal(loop_fd_add(loop, &watches[i], pipes[i][0],
					     EPOLLIN, fn, pipes[i]),
				 0);
	}
}

static void close_pipes(void)
{
	for (int i = 0; i < 2; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
}

static void descriptors_are_watched(void **state)
{
	struct loop_fd *unused;

	open_pipes(on_readable);
	assert_int_equal(write(pipes[0][1], "ab", 2), 2);
	/* Muted until modified. */
	assert_int_equal(loop_fd_modify(watches[1], 0), 0);
	assert_int_equal(write(pipes[1][1], "zx", 2), 2);
	loop_wake(loop);
	self = timer(stop, NULL);
	loop_timer_arm(self, 20);
	assert_int_equal(loop_run(loop), 7);
	assert_string_equal(order, "ab");
	assert_int_equal(loop_fd_modify(watches[1], EPOLLIN), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "abzx");
	assert_int_equal(loop_fd_add(loop, &unused, pipes[0][0], EPOLLIN,
				     on_readable, NULL),
			 -EEXIST);
	assert_int_equal(
		loop_fd_add(loop, &unused, -1, EPOLLIN, on_readable, NULL),
		-EBADF);
	loop_fd_remove(watches[0]);
	loop_fd_remove(watches[1]);
	loop_fd_remove(NULL);
	loop_timer_destroy(self);
	close_pipes();
}

static void removal_inside_a_callback(void **state)
{
	fired = 0;
	open_pipes(remove_both);
	assert_int_equal(write(pipes[0][1], "a", 1), 1);
	assert_int_equal(write(pipes[1][1], "b", 1), 1);
	self = timer(stop, NULL);
	loop_timer_arm(self, 10);
	assert_int_equal(loop_run(loop), 7);
	assert_int_equal(fired, 1);
	loop_timer_destroy(self);
	close_pipes();
}

static void *wake_later(void *unused)
{
	usleep(5000);
	loop_wake(loop);
	return NULL;
}

static void stop_on_turn(void *ctx)
{
	loop_stop(loop, 9);
}

static void other_threads_wake_it(void **state)
{
	pthread_t thread;

	loop_set_turn_end(loop, stop_on_turn, NULL);
	assert_int_equal(pthread_create(&thread, NULL, wake_later, NULL), 0);
	assert_int_equal(loop_run(loop), 9);
	pthread_join(thread, NULL);
	/* Asked to stop before it runs: it does not run. */
	loop_stop(loop, 4);
	assert_int_equal(loop_run(loop), 4);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(timers_fire_in_order),
		TEST(many_timers_keep_order),
		TEST(rearmed_timers_take_turns),
		TEST(a_timer_may_destroy_itself),
		TEST(descriptors_are_watched),
		TEST(removal_inside_a_callback),
		TEST(other_threads_wake_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
