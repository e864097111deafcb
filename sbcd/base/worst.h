/*
 * worst - the largest value seen in the last hour, minute by minute.
 *
 * Pure; the caller passes the time and holds its lock, if it needs one.
 *
 * Layer: base. Any thread.
 */
#ifndef SBCD_BASE_WORST_H
#define SBCD_BASE_WORST_H

#include <stdint.h>

enum { WORST_MINUTES = 60 };

/* All zero is empty. */
struct worst {
	uint64_t minute[WORST_MINUTES]; /* which one a place is of */
	uint32_t value[WORST_MINUTES];
};

void worst_note(struct worst *w, uint64_t now_ms, uint64_t value);
/* 0 = nothing was noted in this hour. */
uint32_t worst_get(const struct worst *w, uint64_t now_ms);

#endif
