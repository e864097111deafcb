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

#endif
