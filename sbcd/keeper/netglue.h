/*
 * netglue - the configuration's network-interfaces as netif objects: virtual
 * MAC and addresses, one egress gate over all service NICs, media sockets,
 * the UDP sockets on the HA links for beats and forwarding, and the sockets
 * for beats on the service networks.
 *
 * Media sockets are opened once and held by the keeper, so that they outlive
 * a media worker; workers get duplicates.
 *
 * Layer: keeper. Main thread, but netglue_renew() runs in the beat thread.
 */
#ifndef SBCD_KEEPER_NETGLUE_H
#define SBCD_KEEPER_NETGLUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sbcd/base/loop.h"
#include "sbcd/config/config.h"
#include "sbcd/keeper/beat.h"

struct netglue;

/*
 * Releases what an earlier run left, closes the gate, opens the sockets on
 * the HA links. Nothing is owned and nothing can leave afterwards. Logs what
 * is wrong.
 */
int netglue_create(struct netglue **out, const struct config *c,
		   const struct config_node *n)
	__attribute__((warn_unused_result));
/* Releases what is owned and removes the routes. The gate stays, and shut. */
void netglue_destroy(struct netglue *g);

/* Policy routes, media sockets, netlink events. */
int netglue_prepare(struct netglue *g, struct loop *loop)
	__attribute__((warn_unused_result));

/* Ways to the peer: the HA links, then the service networks. */
size_t netglue_beat_paths(const struct netglue *g, struct beat_path *paths,
			  size_t max);
/* "ha1", "ha2", or the network-interface; NULL past the last one. */
const char *netglue_path_name(const struct netglue *g, size_t path);

/*
 * What the media worker needs, message by message: JSON and descriptors as
 * described in sbcd/base/worker.h. Stops at the first error of fn.
 */
typedef int netglue_fds_fn(void *ctx, const char *json, const int *fds,
			   size_t fds_len);
int netglue_media_fds(struct netglue *g, const char *forward_key_hex,
		      netglue_fds_fn *fn, void *ctx)
	__attribute__((warn_unused_result));

/* ---- gateways ----------------------------------------------------------- */
/*
 * Asks the gateways when it is due: every tick. peer_ms is when the peer was
 * heard last on any path (0 = never); while it is silent they are asked more
 * often.
 */
void netglue_probe_gateways(struct netglue *g, uint64_t now_ms,
			    uint64_t peer_ms);
/* One at least answers; while the peer is silent: has answered since. */
bool netglue_gateway_reachable(const struct netglue *g, uint64_t now_ms,
			       uint64_t peer_ms);
unsigned netglue_gateways(const struct netglue *g);
/* How many do not answer any more, on NICs with carrier. */
unsigned netglue_gateways_lost(const struct netglue *g, uint64_t now_ms);

/* ---- taking and releasing ----------------------------------------------- */
/* MAC, addresses, announcement; the gate must be open. On an error what
 * could be done is done: release undoes it. */
int netglue_take(struct netglue *g) __attribute__((warn_unused_result));
void netglue_announce(struct netglue *g);
int netglue_gate_close(struct netglue *g) __attribute__((warn_unused_result));
int netglue_gate_open(struct netglue *g, unsigned lease_ms)
	__attribute__((warn_unused_result));
/* The token that shuts the gate from now on; ends the effect of the last. */
int netglue_fence_arm(struct netglue *g,
		      const uint8_t token[HA_BEAT_TOKEN_SIZE])
	__attribute__((warn_unused_result));
/* 1 a token shut the gate, 0 not, -errno. */
int netglue_fenced(struct netglue *g);
/* ctx is the struct netglue: for beat_params.renew. */
int netglue_renew(void *ctx, unsigned lease_ms);
/* Addresses, then the MAC; not the gate. */
int netglue_release(struct netglue *g) __attribute__((warn_unused_result));
void netglue_quiet(struct netglue *g, bool on);
bool netglue_owned(const struct netglue *g);

/*
 * Compares with the kernel and repairs what differs; logs it. Returns the
 * number of interfaces that are not as they should be, before the repair.
 */
unsigned netglue_verify(struct netglue *g);

/* Interfaces without carrier; with a failed read-back. */
unsigned netglue_carriers_lost(const struct netglue *g);
unsigned netglue_unverified(const struct netglue *g);
/* Interfaces with an address that a stranger answers for. */
unsigned netglue_conflicts(const struct netglue *g, uint64_t now_ms);
size_t netglue_len(const struct netglue *g);

/* [{"name", "nic", "mode", "virtual-mac", "owned", "gate", …}] */
json_t *netglue_to_json(struct netglue *g);

#endif
