#include "sbcd/base/steady.h"

enum { SLEW_DIVISOR = 10 };

uint64_t steady_now_ns(struct steady *s, uint64_t wall_ns, uint64_t mono_ns)
{
	uint64_t elapsed = mono_ns - s->mono_ns;
	uint64_t due = s->wall_ns + elapsed, most = elapsed / SLEW_DIVISOR;

	if (!s->mono_ns)
		due = wall_ns;
	else if (wall_ns > due)
		due += wall_ns - due < most ? wall_ns - due : most;
	else
		due -= due - wall_ns < most ? due - wall_ns : most;
	s->wall_ns = due;
	s->mono_ns = mono_ns;
	return due;
}
