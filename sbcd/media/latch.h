/*
 * latch - which source a flow believes. A peer behind NAT does not send from
 * the address it signalled; the first source seen is learned and then held:
 * others are refused until it has been silent for a while, so that nobody
 * who sprays packets at our ports can take a call's audio.
 *
 * Guarantees: pure, the clock is given.
 *
 * Layer: media. Media worker, the thread that owns the flow.
 */
#ifndef SBCD_MEDIA_LATCH_H
#define SBCD_MEDIA_LATCH_H

#include <stdbool.h>
#include <stdint.h>
#include "sbcd/base/addr.h"

enum latch_state {
	LATCH_NONE = 0,
	LATCH_GUESSED =
		1, /* not the signalled address: that one may take over */
	LATCH_HELD = 2, /* the signalled address */
	LATCH_RESTORED = 3, /* replicated: only silence ends it */
};

struct latch {
	struct addr learned; /* family 0 unless state > LATCH_NONE */
	uint8_t state; /* enum latch_state */
	uint64_t last_ns; /* last packet from it; take-over when restored */
};

enum latch_verdict {
	LATCH_REFUSE = 0,
	LATCH_ACCEPT = 1,
	LATCH_LEARN = 2, /* accept and latch_learn() */
};

struct latch_rule {
	bool allowed; /* false: only the signalled address is right */
	const struct addr *signalled; /* family 0 = unknown */
	uint64_t silence_ns;
};

enum latch_verdict latch_check(const struct latch *l,
			       const struct latch_rule *rule,
			       const struct addr *source, uint64_t now_ns);
void latch_learn(struct latch *l, const struct latch_rule *rule,
		 const struct addr *source, uint64_t now_ns);
void latch_restore(struct latch *l, const struct addr *learned,
		   uint64_t now_ns);
void latch_clear(struct latch *l);

#endif
