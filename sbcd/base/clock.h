/*
 * clock - the two clocks of the product. Monotonic time paces things inside
 * one process; wall-clock milliseconds travel in records (timers are absolute
 * deadlines there, armed only on the active node).
 *
 * Layer: base. Any process, any thread.
 */
#ifndef SBCD_BASE_CLOCK_H
#define SBCD_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
uint64_t clock_wall_ns(void);
uint64_t clock_wall_ms(void);

/*
 * The clock of the pair: times and deadlines in records go by it. It does not
 * jump when a system's clock is set, and both nodes say the same. The keeper
 * tells it (sbcd/keeper/pairclock.h) as what must be added to the monotonic
 * clock; while that is 0, as at the call of clock_pair_follow(). In a process
 * without that call, the system's. One call at start, then any thread.
 */
void clock_pair_follow(const _Atomic int64_t *offset_ns);
uint64_t clock_pair_ms(void);

#endif
