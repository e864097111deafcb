/*
 * Who used a MAC or IPv4 address as source, on which switch port, and when.
 *
 * An IPv4 address is used by who sends packets from it, and by who says in ARP
 * that it has it. Fed with one frame after the other in order of time; keeps
 * counters, activity intervals, changes of owner, and the time during which two
 * ports used the address at once. Pure: no I/O.
 */
#ifndef WATCH_H
#define WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

enum {
	WATCH_PORTS_MAX = 16,
	WATCH_KEYS_MAX = 8,
	WATCH_INTERVALS_MAX = 256,
	WATCH_CHANGES_MAX = 1024,
	WATCH_DOUBLES_MAX = 64,
};

struct watch_interval {
	uint64_t from_ns, to_ns;
	uint64_t frames;
};

/* One address on one port. */
struct watch_seen {
	uint64_t frames, arp, garp, na, ipv4, ipv6, other;
	uint64_t first_ns, last_ns;
	uint64_t intervals_count;
	struct watch_interval intervals[WATCH_INTERVALS_MAX];
};

struct watch_change {
	int from, to; /* ports; from is -1 for the first owner */
	uint64_t last_ns; /* last frame of the old owner */
	uint64_t first_ns; /* first frame of the new one */
	uint64_t frames; /* of the new one until the next change */
};

/* Two owners at once: `late` still sent after `early` had begun. */
struct watch_double {
	int early, late;
	uint64_t from_ns, to_ns;
};

/* An address that is watched: a MAC, or an IPv4 address in its first bytes. */
struct watch_key {
	bool ipv4;
	uint8_t bytes[6];
	int owner;
	uint64_t owner_since_ns;
	uint64_t changes_count, doubles_count, double_ns;
	struct watch_change changes[WATCH_CHANGES_MAX];
	struct watch_double doubles[WATCH_DOUBLES_MAX];
	struct watch_seen seen[WATCH_PORTS_MAX];
};

struct watch {
	uint64_t join_ns; /* a longer silence ends an interval */
	uint64_t window_ns; /* a return within it is double-active */
	size_t ports_len, keys_len;
	const char *ports[WATCH_PORTS_MAX];
	struct watch_key keys[WATCH_KEYS_MAX];
};

/* frame: at least 14 bytes; port: index into ports. */
void watch_frame(struct watch *w, int port, const uint8_t *frame, size_t size,
		 uint64_t now_ns);
json_t *watch_report(const struct watch *w, uint64_t now_ns);

#endif
