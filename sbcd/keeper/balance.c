#include "sbcd/keeper/balance.h"

#include <string.h>

static enum balance_why judge(const struct balance_rules *r,
			      const struct balance_facts *f)
{
	if (!f->peer_ready)
		return BALANCE_STAY;
	if (f->draining && f->peer > f->own && !f->unlike)
		return BALANCE_DRAIN;
	if (f->own < r->threshold && f->peer >= f->own + r->margin)
		return BALANCE_HEALTH;
	if (r->fail_back && !f->unlike && f->peer >= f->own &&
	    f->peer >= r->threshold)
		return BALANCE_FAIL_BACK;
	return BALANCE_STAY;
}

static uint64_t hold_ms(const struct balance_rules *r, enum balance_why why)
{
	return why == BALANCE_DRAIN	  ? 0
	       : why == BALANCE_FAIL_BACK ? r->hold_down_ms
					  : BALANCE_HOLD_MS;
}

enum balance_why balance_step(struct balance *b, const struct balance_rules *r,
			      const struct balance_facts *f)
{
	enum balance_why why = judge(r, f);

	if (!f->active) {
		memset(b, 0, sizeof(*b));
		return BALANCE_STAY;
	}
	if (!b->active_ms) {
		b->active_ms = f->now_ms;
		/* What the peer gave away it does not get back at once. */
		if (f->moved)
			b->held_down_ms = f->now_ms + r->hold_down_ms;
	}
	if (why != b->why) {
		b->why = why;
		b->since_ms = f->now_ms;
	}
	if (!why || f->now_ms - b->since_ms < hold_ms(r, why))
		return BALANCE_STAY;
	if (f->now_ms < b->retry_ms ||
	    (why != BALANCE_DRAIN && f->now_ms < b->held_down_ms))
		return BALANCE_STAY;
	b->retry_ms = f->now_ms + BALANCE_RETRY_MS;
	return why;
}
