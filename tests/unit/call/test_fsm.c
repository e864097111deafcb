/* Every pair of state and event of the call table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sbcd/call/fsm.h"

#define STATES (CALL_ENDING + 1)

/* next state and actions, as the head comment of fsm.c would say it */
static const char *const expected[STATES][CALL_EV_MAX] = {
	/* provisional, answer, reject, ack, cancel, bye-a, bye-z, ring, ackto,
	 * stop */
	[0] = {"-", "-", "-", "-", "-", "-", "-", "-", "-", "-"},
	[CALL_TRYING] = {"2F", "3F", "5R", "-", "5RC", "5RC", "5RC", "5RC", "-",
			 "5RC"},
	[CALL_RINGING] = {"2F", "3F", "5R", "-", "5RC", "5RC", "5RC", "5RC",
			  "-", "5RC"},
	[CALL_ANSWERED] = {"-", "-", "-", "4K", "-", "5Kz", "5Ka", "-", "5Kaz",
			   "5Kaz"},
	[CALL_ESTABLISHED] = {"-", "-", "-", "-", "-", "5z", "5a", "-", "5az",
			      "5az"},
	[CALL_ENDING] = {"-", "5Kz", "-", "-", "-", "-", "-", "-", "-", "-"},
};

static void every_pair(void **state)
{
	static const struct {
		char letter;
		int action;
	} letters[] = {
		{'F', CALL_ACT_FORWARD},       {'K', CALL_ACT_ACK_CALLEE},
		{'R', CALL_ACT_REJECT_CALLER}, {'C', CALL_ACT_CANCEL_CALLEE},
		{'a', CALL_ACT_BYE_CALLER},    {'z', CALL_ACT_BYE_CALLEE},
	};

	for (int s = 0; s < STATES; s++)
		for (int e = 0; e < CALL_EV_MAX; e++) {
			const char *want = expected[s][e];
			struct call_step step =
				call_fsm_step((uint8_t)s, (enum call_event)e);
			int actions = 0;

			for (size_t i = 0;
			     i < sizeof(letters) / sizeof(letters[0]); i++)
				if (strchr(want, letters[i].letter))
					actions |= letters[i].action;
			if (*want == '-') {
				assert_int_equal(step.next, s);
				assert_int_equal(step.actions, 0);
				continue;
			}
			if (step.next != want[0] - '0' ||
			    step.actions != actions)
				fail_msg("%s + %s", call_state_name((uint8_t)s),
					 call_event_name((enum call_event)e));
		}
}

static void strangers_change_nothing(void **state)
{
	struct call_step step = call_fsm_step(77, CALL_EV_STOP);

	assert_int_equal(step.next, 77);
	assert_int_equal(step.actions, 0);
	step = call_fsm_step(CALL_RINGING, CALL_EV_MAX);
	assert_int_equal(step.next, CALL_RINGING);
	assert_string_equal(call_state_name(77), "?");
	assert_string_equal(call_event_name(CALL_EV_MAX), "?");
}

/* Whatever is not over can be stopped, and no end leads back. */
static void every_call_can_end(void **state)
{
	for (uint8_t s = CALL_TRYING; s < CALL_ENDING; s++)
		assert_int_equal(call_fsm_step(s, CALL_EV_STOP).next,
				 CALL_ENDING);
	for (int e = 0; e < CALL_EV_MAX; e++)
		assert_int_equal(
			call_fsm_step(CALL_ENDING, (enum call_event)e).next,
			CALL_ENDING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair),
		cmocka_unit_test(strangers_change_nothing),
		cmocka_unit_test(every_call_can_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
