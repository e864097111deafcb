/*
 * backoff - when to start a worker again after it died, and whether it dies
 * too often. Pure; the time is passed in.
 *
 * The first restart follows after BACKOFF_FIRST_MS, every further one after
 * twice as long up to BACKOFF_LAST_MS; a worker that ran BACKOFF_STABLE_MS
 * starts afresh.
 *
 * Layer: keeper. Any thread, one owner.
 */
#ifndef SBCD_KEEPER_BACKOFF_H
#define SBCD_KEEPER_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

enum {
	BACKOFF_FIRST_MS = 20,
	BACKOFF_LAST_MS = 5000,
	BACKOFF_STABLE_MS = 10000,
	/* So many deaths within BACKOFF_STORM_MS are a storm. */
	BACKOFF_STORM_DEATHS = 3,
	BACKOFF_STORM_MS = 60000,
};

struct backoff {
	uint32_t next_ms; /* delay of the next restart, 0 = the first */
	uint64_t started_ms;
	uint64_t deaths;
	uint64_t recent_ms[BACKOFF_STORM_DEATHS]; /* ring of death times */
};

void backoff_started(struct backoff *b, uint64_t now_ms);
/* Returns how long to wait before the next start. */
uint32_t backoff_died(struct backoff *b, uint64_t now_ms);
/* True while the last BACKOFF_STORM_DEATHS deaths are all recent. */
bool backoff_storm(const struct backoff *b, uint64_t now_ms);

#endif
