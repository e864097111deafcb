/*
 * beat - the real-time thread: sends this node's heartbeats, listens to the
 * peer's, and keeps the egress lease alive while it is told to hold it.
 *
 * It does nothing else, so that no disk, log or corosync can delay it; and it
 * stops beating and renewing when the main loop has not ticked for stall_ms.
 *
 * Two times, two purposes. lease_ms bounds how long a node transmits that
 * stands still as a whole: the lease is renewed before each beat is sent, so
 * it runs out at most one beat and lease_ms after the last beat the peer can
 * have heard (a paused machine, whose clocks stop too, is the fence's). It can
 * be short, because only this thread's lateness eats it. stall_ms bounds how
 * long a node speaks whose main loop alone hangs: beats and renewals go on, so
 * nobody takes over and audio, which is not the keeper's, flows; what waits is
 * decisions and the commits of calls. Its gate closes at most stall_ms +
 * lease_ms after the last tick. The keeper uses 250 ms, or the lease if that
 * is longer: ten times the worst turn of a loop that never blocks.
 *
 * Guarantees: beat_hold(false) before netif_gate_close(): the gate's own rule
 * (a closed lease cannot be renewed) makes the order of the two threads
 * irrelevant. Every datagram is checked for its key and replay window before
 * anything else; the rest is counted. A flood on one path costs at most
 * BEAT_PATH_BUDGET checks a beat, then the path waits for the next one; the
 * other paths are as before.
 *
 * Layer: keeper. beat_*() are called by the main thread.
 */
#ifndef SBCD_KEEPER_BEAT_H
#define SBCD_KEEPER_BEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include "hasync/beat.h"

enum {
	BEAT_PATHS_MAX = 18, /* HA links and service networks */
	/* Datagrams of one path that are looked at between two beats. */
	BEAT_PATH_BUDGET = 32,
};

struct beat;

/* One way to the peer: UDP on an HA link, frames on a service network. */
struct beat_path {
	/* Non-blocking; stays the caller's. */
	int fd;
	/* Where to send; to_len 0 = the socket is connected. */
	struct sockaddr_storage to;
	socklen_t to_len;
};

struct beat_params {
	uint8_t node, peer_node;
	uint64_t boot_id;
	/* Ours, and while keys are changed another one that is believed. */
	uint8_t key[HA_BEAT_KEY_SIZE], other_key[HA_BEAT_KEY_SIZE];
	bool has_other_key;
	uint32_t interval_ms, stall_ms, lease_ms;
	struct beat_path paths[BEAT_PATHS_MAX];
	size_t paths_len;
	/* Restarts a running lease: netif_gate_renew(). */
	int (*renew)(void *ctx, unsigned lease_ms);
	void *ctx;
};

struct beat_view {
	/* By path, in the order of beat_params. */
	uint64_t last_heard_ms[BEAT_PATHS_MAX]; /* monotonic, 0 = never */
	uint64_t path_received[BEAT_PATHS_MAX];
	uint64_t path_refused[BEAT_PATHS_MAX];
	bool peer_heard; /* one beat at least */
	uint8_t peer_role, peer_health;
	uint64_t peer_epoch, peer_boot_id;
	/* The guard of this boot of the peer said: gate shut, MAC/IP off. */
	uint64_t released_boot_id;
	bool lapsed; /* the lease ran out while it should be held */
	bool stalled; /* the main loop does not tick */
	bool fenced; /* our token was said; renews no more */
	uint64_t sent, received, refused, renewals, renew_errors;
	uint64_t stalls;
	uint32_t renew_max_us;
	/*
	 * The worst of the last hour, to choose a timing by: a silence of the
	 * peer on all paths that the same boot of it ended, how late a beat
	 * left here, how long the main loop did not tick.
	 */
	uint32_t silence_worst_ms, late_worst_ms, stall_worst_ms;
	bool realtime;
};

int beat_create(struct beat **out, const struct beat_params *p)
	__attribute__((warn_unused_result));
void beat_destroy(struct beat *b);

/* The main loop lives; from it. Cheap. */
void beat_tick(struct beat *b);
/* What the beats say. One is sent at once when the role changed. */
void beat_announce(struct beat *b, uint8_t role, uint8_t health,
		   uint64_t epoch);
/* Renew the lease from now on, or no longer. Clears `lapsed`. */
void beat_hold(struct beat *b, bool hold);

/* The token that ends this node's lease; clears `fenced`. */
void beat_arm(struct beat *b, const uint8_t token[HA_BEAT_TOKEN_SIZE]);
/* What beats say besides: the token of another node. NULL = nothing. */
void beat_fence(struct beat *b, uint8_t target,
		const uint8_t token[HA_BEAT_TOKEN_SIZE]);

void beat_get_view(struct beat *b, struct beat_view *out);
/* Readable after a RELEASED word, a change of the peer's role or boot, the
 * first beat after a silence, a lapsed lease, or our fence token;
 * beat_event_clear() then. */
int beat_event_fd(const struct beat *b);
void beat_event_clear(struct beat *b);

#endif
