/*
 * steady - a wall clock for timers: it does not jump when the system's clock
 * is set (after a pause or a snapshot, by an administrator), but follows it,
 * at most a tenth faster or slower than time passes. It never goes back.
 *
 * Layer: base. A struct belongs to one thread.
 */
#ifndef SBCD_BASE_STEADY_H
#define SBCD_BASE_STEADY_H

#include <stdint.h>

struct steady {
	uint64_t wall_ns, mono_ns; /* 0 = not asked yet */
};

/* What it says when the system's clocks say this. */
uint64_t steady_now_ns(struct steady *s, uint64_t wall_ns, uint64_t mono_ns);

#endif
