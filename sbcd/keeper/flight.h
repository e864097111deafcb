/*
 * flight - the flight recorder's reports: one for each change of the active
 * node, on both nodes, in order of their epochs.
 *
 * Pure: no descriptor, no clock. The keeper replicates and stores them
 * (recorder.c).
 *
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_FLIGHT_H
#define SBCD_KEEPER_FLIGHT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sbcd/base/buf.h"
#include "sbcd/record/kinds.h"

enum {
	FLIGHT_REPORTS_MAX = 128,
	FLIGHT_FILE_MAX_BYTES = FLIGHT_REPORTS_MAX * 4096,
};

struct flight;

int flight_create(struct flight **out) __attribute__((warn_unused_result));
void flight_destroy(struct flight *f);
/*
 * True when something changed. A complete report is never replaced by an
 * incomplete one of the same epoch. When there are too many the oldest goes
 * (which may be the new one); its epoch is *dropped then, else 0.
 */
bool flight_add(struct flight *f, const struct rec_failover *r,
		uint64_t *dropped);
size_t flight_len(const struct flight *f);
/* 0 = the oldest. */
const struct rec_failover *flight_get(const struct flight *f, size_t i);
/* Changes of the active node after this epoch began. */
unsigned flight_count_after(const struct flight *f, uint64_t epoch);

/* The file: what encode() wrote, or -EBADMSG; then those before the damage
 * were taken. */
int flight_encode(const struct flight *f, struct buf *out)
	__attribute__((warn_unused_result));
int flight_decode(struct flight *f, const void *data, size_t size)
	__attribute__((warn_unused_result));

/* Newest first, at most `max`. Times in ms since the last word of the node
 * that was active before; null = did not happen. */
json_t *flight_to_json(const struct flight *f, size_t max);

#endif
