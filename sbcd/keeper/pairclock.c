#include "sbcd/keeper/pairclock.h"

enum { NS_PER_MS = 1000000, SKEWED_MIN = 3 };

/* A word of the peer that waited somewhere says too early a time: what is
 * later is taken, what is earlier only when no delay explains it. */
static const uint64_t late_ns = UINT64_C(2000) * NS_PER_MS;

uint64_t pairclock_now_ns(struct pairclock *c, bool serves, uint64_t wall_ns,
			  uint64_t mono_ns)
{
	if (serves)
		c->following = false;
	if (c->following)
		wall_ns = c->steady.wall_ns + (mono_ns - c->steady.mono_ns);
	return steady_now_ns(&c->steady, wall_ns, mono_ns);
}

static void note_skew(struct pairclock *c, uint64_t theirs_ms, uint64_t wall_ns)
{
	int64_t ms = (int64_t)(theirs_ms - wall_ns / NS_PER_MS);

	c->skew_ms = ms;
	if (ms <= PAIRCLOCK_SKEW_MS && ms >= -PAIRCLOCK_SKEW_MS)
		c->skewed = 0;
	else if (c->skewed < SKEWED_MIN)
		c->skewed++;
}

void pairclock_hear(struct pairclock *c, const struct ha_status *s, bool serves,
		    uint64_t wall_ns, uint64_t mono_ns)
{
	uint64_t now_ns = pairclock_now_ns(c, serves, wall_ns, mono_ns);
	uint64_t theirs_ns = s->clock_ms * NS_PER_MS;

	if (s->wall_ms)
		note_skew(c, s->wall_ms, wall_ns);
	if (serves || s->role != HA_ROLE_ACTIVE || !s->clock_ms ||
	    s->clock_ms > INT64_MAX / NS_PER_MS)
		return;
	c->following = true;
	if (theirs_ns > now_ns || now_ns - theirs_ns > late_ns)
		c->steady.wall_ns = theirs_ns;
}

bool pairclock_skewed(const struct pairclock *c)
{
	return c->skewed >= SKEWED_MIN;
}
