/* Which silence of a thread proves that it hangs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "sbcd/keeper/pulse.h"

enum { PID = 4711, TURN_MS = 100 };

struct fixture {
	struct counters *c;
	struct pulse p;
	uint64_t now_ms;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	if (!f || counters_create(&f->c, &fd))
		return -1;
	close(fd);
	f->now_ms = 5000;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	counters_destroy(f->c);
	free(f);
	return 0;
}

static int turn_of(struct fixture *f, pid_t pid)
{
	f->now_ms += TURN_MS;
	return pulse_turn(&f->p, f->c, pid, f->now_ms);
}

/* How many turns of silence until somebody is said to hang, 0 = never. */
static unsigned silence(struct fixture *f)
{
	for (unsigned i = 1; i < 10 * PULSE_SILENT_TURNS; i++)
		if (turn_of(f, PID) >= 0)
			return i;
	return 0;
}

static void goes_round(struct fixture *f, unsigned thread)
{
	for (int i = 0; i < 3 * PULSE_SILENT_TURNS; i++) {
		counters_pulse(f->c, thread);
		assert_int_equal(turn_of(f, PID), -1);
	}
}

static void a_thread_that_stops_hangs(void **state)
{
	struct fixture *f = *state;

	goes_round(f, 1);
	assert_int_equal(silence(f), PULSE_SILENT_TURNS);
}

static void the_others_do_not_speak_for_it(void **state)
{
	struct fixture *f = *state;

	goes_round(f, 0);
	for (int i = 1; i < PULSE_SILENT_TURNS; i++) {
		counters_pulse(f->c, 1);
		assert_int_equal(turn_of(f, PID), -1);
	}
	counters_pulse(f->c, 1);
	assert_int_equal(turn_of(f, PID), 0);
}

/* Of a worker before, or there are not so many. */
static void a_thread_never_heard_of_does_not(void **state)
{
	struct fixture *f = *state;

	counters_pulse(f->c, 3);
	assert_int_equal(silence(f), 0);
	goes_round(f, 3);
	for (int i = 0; i < 3 * PULSE_SILENT_TURNS; i++)
		assert_int_equal(turn_of(f, PID + 1), -1);
	assert_int_equal(turn_of(f, 0), -1);
}

/* This process, or all of the machine, stood still. */
static void late_turns_prove_nothing(void **state)
{
	struct fixture *f = *state;

	goes_round(f, 0);
	for (int i = 0; i < 10 * PULSE_SILENT_TURNS; i++) {
		if (i % (PULSE_SILENT_TURNS - 1) == 0)
			f->now_ms += PULSE_TURN_MAX_MS;
		assert_int_equal(turn_of(f, PID), -1);
	}
	assert_int_not_equal(silence(f), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_thread_that_stops_hangs),
		T(the_others_do_not_speak_for_it),
		T(a_thread_never_heard_of_does_not),
		T(late_turns_prove_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
