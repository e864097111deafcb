/*
 * pulse - do the threads of a worker still go round? Each bumps a cell of its
 * counters page at least every 100 ms (counters_pulse()); one that stands
 * still while this process runs on time hangs.
 *
 * A machine that stood still, a late turn and a new process begin anew, and a
 * thread counts from its first beat on.
 *
 * Pure: injected clock.
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_PULSE_H
#define SBCD_KEEPER_PULSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "sbcd/base/counters.h"

enum {
	PULSE_TURN_MAX_MS = 200, /* two turns further apart prove nothing */
	PULSE_SILENT_TURNS = 10, /* of 100 ms */
};

struct pulse {
	pid_t pid;
	uint64_t turn_ms; /* last turn, 0 = none */
	struct pulse_thread {
		uint64_t beats;
		uint8_t silent; /* turns; counts once `heard` */
		bool heard;
	} threads[COUNTERS_THREADS_MAX];
};

/* Each 100 ms, `pid` 0 when there is none to look at. The number of a thread
 * that hangs, or -1. */
int pulse_turn(struct pulse *p, const struct counters *c, pid_t pid,
	       uint64_t now_ms);

#endif
