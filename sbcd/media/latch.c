#include "sbcd/media/latch.h"

#include <string.h>

enum latch_verdict latch_check(const struct latch *l,
			       const struct latch_rule *rule,
			       const struct addr *source, uint64_t now_ns)
{
	bool is_signalled =
		rule->signalled->family && addr_equal(source, rule->signalled);

	if (!rule->allowed)
		return is_signalled ? LATCH_ACCEPT : LATCH_REFUSE;
	if (l->state == LATCH_NONE)
		return LATCH_LEARN;
	if (addr_equal(source, &l->learned))
		return LATCH_ACCEPT;
	if (l->state == LATCH_GUESSED && is_signalled)
		return LATCH_LEARN;
	if (now_ns - l->last_ns >= rule->silence_ns && now_ns > l->last_ns)
		return LATCH_LEARN;
	return LATCH_REFUSE;
}

void latch_learn(struct latch *l, const struct latch_rule *rule,
		 const struct addr *source, uint64_t now_ns)
{
	l->learned = *source;
	l->last_ns = now_ns;
	l->state =
		rule->signalled->family && addr_equal(source, rule->signalled)
			? LATCH_HELD
			: LATCH_GUESSED;
}

void latch_restore(struct latch *l, const struct addr *learned, uint64_t now_ns)
{
	if (!learned->family) {
		latch_clear(l);
		return;
	}
	l->learned = *learned;
	l->state = LATCH_RESTORED;
	l->last_ns = now_ns;
}

void latch_clear(struct latch *l)
{
	memset(l, 0, sizeof(*l));
}
