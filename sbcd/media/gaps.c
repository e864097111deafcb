#include "sbcd/media/gaps.h"

static unsigned bucket_of(uint64_t us)
{
	uint64_t ms = us / 1000, b;

	if (ms < GAPS_FINE)
		return (unsigned)ms;
	b = GAPS_FINE + (ms - GAPS_FINE) / GAPS_COARSE_MS;
	return b < GAPS_BUCKETS ? (unsigned)b : GAPS_BUCKETS - 1;
}

static uint64_t end_of_us(unsigned b)
{
	if (b < GAPS_FINE)
		return (uint64_t)(b + 1) * 1000;
	if (b == GAPS_BUCKETS - 1)
		return UINT64_MAX;
	return (uint64_t)(GAPS_FINE + (b + 1 - GAPS_FINE) * GAPS_COARSE_MS) *
	       1000;
}

void gaps_add(struct gaps *g, uint64_t us)
{
	g->buckets[bucket_of(us)]++;
	if (!g->flows || us < g->min_us)
		g->min_us = us;
	if (us > g->max_us)
		g->max_us = us;
	g->flows++;
}

void gaps_merge(struct gaps *g, const struct gaps *other)
{
	for (unsigned b = 0; b < GAPS_BUCKETS; b++)
		g->buckets[b] += other->buckets[b];
	if (other->flows && (!g->flows || other->min_us < g->min_us))
		g->min_us = other->min_us;
	if (other->max_us > g->max_us)
		g->max_us = other->max_us;
	g->flows += other->flows;
	g->silent += other->silent;
}

uint64_t gaps_percentile_us(const struct gaps *g, unsigned percent)
{
	uint64_t rank = ((uint64_t)g->flows * percent + 99) / 100, seen = 0;

	for (unsigned b = 0; b < GAPS_BUCKETS && rank; b++) {
		seen += g->buckets[b];
		if (seen >= rank)
			return end_of_us(b) < g->max_us ? end_of_us(b)
							: g->max_us;
	}
	return 0;
}
