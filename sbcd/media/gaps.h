/*
 * gaps - how long media was away over a take-over, as a histogram: 1 ms steps
 * up to 256 ms, 16 ms steps above, up to 4.3 s.
 *
 * Layer: media. Any thread, no state of its own.
 */
#ifndef SBCD_MEDIA_GAPS_H
#define SBCD_MEDIA_GAPS_H

#include <stdint.h>

enum { GAPS_FINE = 256, GAPS_COARSE_MS = 16, GAPS_BUCKETS = 512 };

struct gaps {
	uint32_t buckets[GAPS_BUCKETS]; /* the last one holds all above */
	uint32_t flows; /* measured */
	uint32_t silent; /* nothing came yet */
	uint64_t min_us, max_us;
};

void gaps_add(struct gaps *g, uint64_t us);
void gaps_merge(struct gaps *g, const struct gaps *other);
/* Upper end of the bucket that holds this share of the flows, at most the
 * maximum; 0 when there are none. */
uint64_t gaps_percentile_us(const struct gaps *g, unsigned percent);

#endif
