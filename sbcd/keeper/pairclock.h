/*
 * pairclock - the one clock that deadlines and times in records go by. Who
 * serves follows its system's clock, without jumping (base/steady.h); who does
 * not serve follows the node that does. So a system clock that is set, or that
 * is wrong on one of the nodes, ends no call: no timer fires early or never.
 *
 * Also notes how far apart the nodes' system clocks are. Pure.
 *
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_PAIRCLOCK_H
#define SBCD_KEEPER_PAIRCLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include "hasync/engine.h"
#include "sbcd/base/steady.h"

enum { PAIRCLOCK_SKEW_MS = 1000 };

struct pairclock {
	struct steady steady;
	bool following; /* the peer serves and has said its time */
	int64_t skew_ms; /* the peer's system clock minus ours */
	unsigned skewed; /* statuses in a row that said too much of it */
};

/* What time it is, ns. Called often: it is followed in small steps. */
uint64_t pairclock_now_ns(struct pairclock *c, bool serves, uint64_t wall_ns,
			  uint64_t mono_ns);
/* A status of the peer arrived. */
void pairclock_hear(struct pairclock *c, const struct ha_status *s, bool serves,
		    uint64_t wall_ns, uint64_t mono_ns);
/* The system clocks differ by too much, and not because one word was late. */
bool pairclock_skewed(const struct pairclock *c);

#endif
