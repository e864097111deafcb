#include "sbcd/call/fsm.h"

#define FORWARD CALL_ACT_FORWARD
#define ACK	CALL_ACT_ACK_CALLEE
#define REJECT	CALL_ACT_REJECT_CALLER
#define CANCEL	CALL_ACT_CANCEL_CALLEE
#define BYE_A	CALL_ACT_BYE_CALLER
#define BYE_B	CALL_ACT_BYE_CALLEE

/* A missing entry ({0, 0}) means: nothing happens. */
static const struct call_step table[CALL_ENDING + 1][CALL_EV_MAX] = {
	[CALL_TRYING] =
		{
			[CALL_EV_PROVISIONAL] = {CALL_RINGING, FORWARD},
			[CALL_EV_ANSWER] = {CALL_ANSWERED, FORWARD},
			[CALL_EV_REJECT] = {CALL_ENDING, REJECT},
			[CALL_EV_CANCEL] = {CALL_ENDING, REJECT | CANCEL},
			[CALL_EV_BYE_CALLER] = {CALL_ENDING, REJECT | CANCEL},
			[CALL_EV_BYE_CALLEE] = {CALL_ENDING, REJECT | CANCEL},
			[CALL_EV_RING_TIMEOUT] = {CALL_ENDING, REJECT | CANCEL},
			[CALL_EV_STOP] = {CALL_ENDING, REJECT | CANCEL},
		},
	[CALL_RINGING] =
		{
			[CALL_EV_PROVISIONAL] = {CALL_RINGING, FORWARD},
			[CALL_EV_ANSWER] = {CALL_ANSWERED, FORWARD},
			[CALL_EV_REJECT] = {CALL_ENDING, REJECT},
			[CALL_EV_CANCEL] = {CALL_ENDING, REJECT | CANCEL},
			[CALL_EV_BYE_CALLER] = {CALL_ENDING, REJECT | CANCEL},
			[CALL_EV_BYE_CALLEE] = {CALL_ENDING, REJECT | CANCEL},
			[CALL_EV_RING_TIMEOUT] = {CALL_ENDING, REJECT | CANCEL},
			[CALL_EV_STOP] = {CALL_ENDING, REJECT | CANCEL},
		},
	[CALL_ANSWERED] =
		{
			[CALL_EV_ACK] = {CALL_ESTABLISHED, ACK},
			[CALL_EV_BYE_CALLER] = {CALL_ENDING, ACK | BYE_B},
			[CALL_EV_BYE_CALLEE] = {CALL_ENDING, ACK | BYE_A},
			[CALL_EV_ACK_TIMEOUT] = {CALL_ENDING,
						 ACK | BYE_A | BYE_B},
			[CALL_EV_STOP] = {CALL_ENDING, ACK | BYE_A | BYE_B},
		},
	[CALL_ESTABLISHED] =
		{
			[CALL_EV_BYE_CALLER] = {CALL_ENDING, BYE_B},
			[CALL_EV_BYE_CALLEE] = {CALL_ENDING, BYE_A},
			[CALL_EV_ACK_TIMEOUT] = {CALL_ENDING, BYE_A | BYE_B},
			[CALL_EV_STOP] = {CALL_ENDING, BYE_A | BYE_B},
		},
	[CALL_ENDING] =
		{
			/* Its 200 crossed our CANCEL. */
			[CALL_EV_ANSWER] = {CALL_ENDING, ACK | BYE_B},
		},
};

struct call_step call_fsm_step(uint8_t state, enum call_event event)
{
	struct call_step none = {state, 0};

	if (state > CALL_ENDING || event >= CALL_EV_MAX ||
	    !table[state][event].next)
		return none;
	return table[state][event];
}

const char *call_state_name(uint8_t state)
{
	static const char *const names[] = {
		[0] = "none",
		[CALL_TRYING] = "trying",
		[CALL_RINGING] = "ringing",
		[CALL_ANSWERED] = "answered",
		[CALL_ESTABLISHED] = "established",
		[CALL_ENDING] = "ending",
	};

	return state <= CALL_ENDING ? names[state] : "?";
}

const char *call_event_name(enum call_event event)
{
	static const char *const names[CALL_EV_MAX] = {
		[CALL_EV_PROVISIONAL] = "provisional",
		[CALL_EV_ANSWER] = "answer",
		[CALL_EV_REJECT] = "reject",
		[CALL_EV_ACK] = "ack",
		[CALL_EV_CANCEL] = "cancel",
		[CALL_EV_BYE_CALLER] = "bye-caller",
		[CALL_EV_BYE_CALLEE] = "bye-callee",
		[CALL_EV_RING_TIMEOUT] = "ring-timeout",
		[CALL_EV_ACK_TIMEOUT] = "ack-timeout",
		[CALL_EV_STOP] = "stop",
	};

	return event < CALL_EV_MAX ? names[event] : "?";
}
