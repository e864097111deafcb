/*
 * key - how a replicated record is named and how two versions of it compare.
 *
 * Layer: hasync. Any thread.
 */
#ifndef HASYNC_KEY_H
#define HASYNC_KEY_H

#include <stdbool.h>
#include <stdint.h>

struct ha_key {
	uint64_t id; /* the call, or a hash for kinds that belong to none */
	uint16_t sub; /* leg, stream or transaction number */
	uint8_t kind; /* meaning is the caller's */
};

/* Compared as a whole: epoch, then generation, then writer. */
struct ha_version {
	uint64_t epoch;
	uint64_t generation;
	uint8_t writer; /* node id */
};

/* <0, 0, >0 like memcmp(). */
int ha_version_compare(const struct ha_version *a, const struct ha_version *b);
bool ha_key_equal(const struct ha_key *a, const struct ha_key *b);

enum {
	HA_NODE_MAX = 2,
	HA_VALUE_MAX_BYTES = 160 * 1024, /* hard limit of one record's value */
};

#endif
