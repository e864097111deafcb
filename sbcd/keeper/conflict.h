/*
 * conflict - does a stranger answer for a virtual address of this interface?
 *
 * Who yields: never this pair to a stranger. Its active node announces the
 * address again at once and then at most every ten seconds (RFC 5227, 2.4,
 * third way: calls are on it), and the conflict is an alarm. Two nodes of the
 * pair that both own the address are arbitration's business: with a virtual
 * MAC they look alike here; with ip-only a peer that has just handed over
 * still speaks for a moment.
 *
 * What was heard is this node's own and in no record: the peer listens to the
 * same network itself, and a stranger that goes on speaks again after a
 * restart.
 *
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_CONFLICT_H
#define SBCD_KEEPER_CONFLICT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "netif/vip.h"
#include "sbcd/base/loop.h"
#include "sbcd/config/config.h"

enum {
	CONFLICT_DEFEND_MS = 10000,
	CONFLICT_SETTLE_MS = 3000, /* ip-only: the peer may still speak */
	CONFLICT_LASTS_MS = 60000, /* counts as present for so long */
};

struct conflict;

/* vip outlives it. */
int conflict_create(struct conflict **out, struct loop *loop,
		    const struct config_nif *conf, const char *nic,
		    struct netif_vip *vip) __attribute__((warn_unused_result));
void conflict_destroy(struct conflict *c); /* NULL is legal, also below */

/* This node has taken the addresses, or given them back. */
void conflict_owned(struct conflict *c, bool owned, uint64_t now_ms);

bool conflict_present(const struct conflict *c, uint64_t now_ms);
/* [{"address", "mac", "claims", "last-heard-ms"}] */
json_t *conflict_to_json(const struct conflict *c, uint64_t now_ms);

#endif
