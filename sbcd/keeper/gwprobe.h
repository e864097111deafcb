/*
 * gwprobe - are the gateways of a network-interface there? Asked once a
 * second, from both nodes, and every few milliseconds while the peer is
 * silent: whoever wants to take over has to know now that its own side of the
 * network is alive.
 *
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_GWPROBE_H
#define SBCD_KEEPER_GWPROBE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "netif/addr.h"
#include "sbcd/base/loop.h"
#include "sbcd/config/config.h"

enum {
	GWPROBE_ASK_MS = 1000,
	GWPROBE_URGENT_MS = 20,
	GWPROBE_LOST_MS = 3500, /* three questions without an answer */
	GWPROBE_URGENT_FOR_MS = 3000,
	/* Beats that may be missing before the peer counts as silent: more
	 * than get lost, and few enough to ask before anything is decided. */
	GWPROBE_SILENT_BEATS = 2,
};

/*
 * peer_ms: when the peer was heard last on any path, 0 = never. Whether to
 * ask often, because it fell silent and a decision is near.
 */
bool gwprobe_urgent(uint64_t now_ms, uint64_t peer_ms, uint32_t beat_ms);
/*
 * The answer to a question asked after this proves that a gateway is there.
 * While the peer is silent one from before proves nothing: both may have been
 * behind the switch that failed.
 */
uint64_t gwprobe_since_ms(uint64_t now_ms, uint64_t peer_ms, uint32_t beat_ms);

struct gwprobe;

/* *out is NULL when the interface has no gateway. */
int gwprobe_create(struct gwprobe **out, struct loop *loop,
		   const struct config_nif *conf, const char *nic)
	__attribute__((warn_unused_result));
void gwprobe_destroy(struct gwprobe *p); /* NULL is legal, also below */

/* Asks when it is due; mac is what the NIC carries now. */
void gwprobe_turn(struct gwprobe *p, uint64_t now_ms, bool urgent,
		  const uint8_t mac[NETIF_MAC_LEN], bool owned);

size_t gwprobe_len(const struct gwprobe *p);
/* How many have answered a question asked after since_ms. */
size_t gwprobe_answered(const struct gwprobe *p, uint64_t since_ms);
/* How many are given up. None in the first seconds. */
size_t gwprobe_lost(const struct gwprobe *p, uint64_t now_ms);
/* [{"address", "last-heard-ms"}] */
json_t *gwprobe_to_json(const struct gwprobe *p, uint64_t now_ms);

#endif
