#include "sbcd/keeper/backoff.h"

void backoff_started(struct backoff *b, uint64_t now_ms)
{
	b->started_ms = now_ms;
}

uint32_t backoff_died(struct backoff *b, uint64_t now_ms)
{
	uint32_t delay_ms;

	b->recent_ms[b->deaths % BACKOFF_STORM_DEATHS] = now_ms;
	b->deaths++;
	if (now_ms - b->started_ms >= BACKOFF_STABLE_MS)
		b->next_ms = 0;
	delay_ms = b->next_ms ? b->next_ms : BACKOFF_FIRST_MS;
	b->next_ms = delay_ms * 2;
	if (b->next_ms > BACKOFF_LAST_MS)
		b->next_ms = BACKOFF_LAST_MS;
	return delay_ms;
}

bool backoff_storm(const struct backoff *b, uint64_t now_ms)
{
	if (b->deaths < BACKOFF_STORM_DEATHS)
		return false;
	/* The slot that is overwritten next is the oldest. */
	return now_ms - b->recent_ms[b->deaths % BACKOFF_STORM_DEATHS] <
	       BACKOFF_STORM_MS;
}
