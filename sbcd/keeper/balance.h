/*
 * balance - should the active node hand over to its peer, and why? A healthier
 * peer takes over below the threshold; a node that drains gives away what it
 * can; the preferred node gets the calls back, if one is configured. Nothing
 * of it happens twice within the hold-down time. Pure.
 *
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_BALANCE_H
#define SBCD_KEEPER_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	/* Longer than the peer's word about its own health may take. */
	BALANCE_HOLD_MS = 1200,
	/* After an attempt that was called off. */
	BALANCE_RETRY_MS = 5000,
};

struct balance_rules {
	unsigned threshold; /* 0: health moves nothing */
	unsigned margin; /* the peer must be better by so much */
	uint64_t hold_down_ms;
	bool fail_back; /* the peer is preferred */
};

struct balance_facts {
	uint64_t now_ms;
	bool active;
	bool draining;
	bool peer_ready; /* a standby, in sync, not in maintenance */
	bool unlike; /* it has other certificates: what can wait, waits */
	bool moved; /* this node became active by a planned hand-over */
	unsigned own, peer; /* health */
};

enum balance_why {
	BALANCE_STAY = 0,
	BALANCE_DRAIN,
	BALANCE_HEALTH,
	BALANCE_FAIL_BACK,
};

/* Zero = a node that is not active. */
struct balance {
	enum balance_why why;
	uint64_t since_ms; /* `why` holds */
	uint64_t active_ms; /* since, 0 = is not */
	uint64_t held_down_ms; /* until then people's orders only */
	uint64_t retry_ms; /* and nothing at all */
};

/* Something but STAY: begin the hand-over now. */
enum balance_why balance_step(struct balance *b, const struct balance_rules *r,
			      const struct balance_facts *f);

#endif
