/*
 * fsm - the states of a two-party call and what each event makes of them. A
 * pure table: the caller runs the actions.
 *
 * Layer: call. Any thread, no state.
 */
#ifndef SBCD_CALL_FSM_H
#define SBCD_CALL_FSM_H

#include "sbcd/record/kinds.h"

enum call_event {
	CALL_EV_PROVISIONAL = 0, /* 101-199 from the callee */
	CALL_EV_ANSWER, /* 2xx from the callee */
	CALL_EV_REJECT, /* 3xx-6xx from the callee, or it cannot be reached */
	CALL_EV_ACK, /* of our 2xx, from the caller */
	CALL_EV_CANCEL, /* from the caller */
	CALL_EV_BYE_CALLER,
	CALL_EV_BYE_CALLEE,
	CALL_EV_RING_TIMEOUT, /* nobody answered */
	CALL_EV_ACK_TIMEOUT, /* 64*T1 after our 2xx */
	CALL_EV_STOP, /* maximum duration, no media, administrator */
	CALL_EV_MAX
};

enum {
	CALL_ACT_FORWARD = 1 << 0, /* the response goes to the caller */
	CALL_ACT_ACK_CALLEE = 1 << 1, /* its 2xx */
	CALL_ACT_REJECT_CALLER = 1 << 2, /* final response to its INVITE */
	CALL_ACT_CANCEL_CALLEE = 1 << 3,
	CALL_ACT_BYE_CALLER = 1 << 4, /* after its ACK, if that is missing */
	CALL_ACT_BYE_CALLEE = 1 << 5,
};

struct call_step {
	uint8_t next; /* enum rec_call_state */
	uint8_t actions;
};

struct call_step call_fsm_step(uint8_t state, enum call_event event);
const char *call_state_name(uint8_t state);
const char *call_event_name(enum call_event event);

#endif
