/*
 * timeline - the last changes of role with their reasons and distances in
 * time, for `show redundancy`.
 *
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_TIMELINE_H
#define SBCD_KEEPER_TIMELINE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum { TIMELINE_LEN = 32, TIMELINE_TEXT_SIZE = 96 };

struct timeline_entry {
	uint64_t wall_ms, mono_us;
	char what[TIMELINE_TEXT_SIZE];
	char reason[TIMELINE_TEXT_SIZE];
};

struct timeline {
	struct timeline_entry entries[TIMELINE_LEN];
	size_t next, len;
};

void timeline_add(struct timeline *t, const char *what, const char *reason);
/* Oldest first: [{"at-ms", "after-ms", "what", "reason"}]; after-ms is the
 * distance to the entry before. */
json_t *timeline_to_json(const struct timeline *t);

#endif
