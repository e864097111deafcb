#include "sbcd/base/clock.h"

#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

static const _Atomic int64_t *pair_offset;
static int64_t first_offset_ns;

static uint64_t now_ns(clockid_t id)
{
	struct timespec ts;

	/* Cannot fail for these two clocks. */
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

uint64_t clock_mono_ms(void)
{
	return now_ns(CLOCK_MONOTONIC) / 1000000u;
}

uint64_t clock_wall_ns(void)
{
	return now_ns(CLOCK_REALTIME);
}

uint64_t clock_wall_ms(void)
{
	return now_ns(CLOCK_REALTIME) / 1000000u;
}

void clock_pair_follow(const _Atomic int64_t *offset_ns)
{
	first_offset_ns = (int64_t)(clock_wall_ns() - clock_mono_ns());
	pair_offset = offset_ns;
}

uint64_t clock_pair_ms(void)
{
	int64_t offset_ns;

	if (!pair_offset)
		return clock_wall_ms();
	offset_ns = atomic_load_explicit(pair_offset, memory_order_relaxed);
	if (!offset_ns)
		offset_ns = first_offset_ns;
	return (clock_mono_ns() + (uint64_t)offset_ns) / 1000000u;
}
