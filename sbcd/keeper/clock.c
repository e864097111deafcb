/*
 * The clock of the pair as the keeper's processes are told it.
 */
#include <stdatomic.h>
#include "sbcd/base/clock.h"
#include "sbcd/keeper/keeper_int.h"

void clock_turn(struct keeper *k)
{
	uint64_t mono_ns = clock_mono_ns();
	uint64_t now_ns = pairclock_now_ns(&k->clock, role_serves(k),
					   clock_wall_ns(), mono_ns);
	int64_t offset_ns = (int64_t)(now_ns - mono_ns);

	atomic_store_explicit(&k->clock_offset_ns, offset_ns,
			      memory_order_relaxed);
	if (k->workers)
		workers_set_clock(k->workers, offset_ns);
}

void clock_on_status(struct keeper *k, const struct ha_status *s)
{
	pairclock_hear(&k->clock, s, role_serves(k), clock_wall_ns(),
		       clock_mono_ns());
	clock_turn(k);
}

void clock_stamp(struct keeper *k, struct ha_status *s)
{
	s->wall_ms = clock_wall_ms();
	s->clock_ms = clock_pair_ms();
}
