#include "sbcd/base/worst.h"

enum { MINUTE_MS = 60000 };

/* Counted from 1: 0 is a place that was never used. */
static uint64_t minute_of(uint64_t now_ms)
{
	return now_ms / MINUTE_MS + 1;
}

void worst_note(struct worst *w, uint64_t now_ms, uint64_t value)
{
	uint64_t minute = minute_of(now_ms);
	unsigned i = minute % WORST_MINUTES;
	uint32_t v = value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;

	if (w->minute[i] == minute && w->value[i] >= v)
		return;
	w->minute[i] = minute;
	w->value[i] = v;
}

uint32_t worst_get(const struct worst *w, uint64_t now_ms)
{
	uint64_t minute = minute_of(now_ms);
	uint32_t worst = 0;

	for (unsigned i = 0; i < WORST_MINUTES; i++) {
		if (w->minute[i] && w->minute[i] + WORST_MINUTES > minute &&
		    w->value[i] > worst)
			worst = w->value[i];
	}
	return worst;
}
