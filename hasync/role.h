/*
 * role - the role state machine of a node, as a table, and the arbitration
 * rules that feed it, as pure functions with the time passed in.
 *
 * Layer: hasync. Keeper main thread. No side effects.
 */
#ifndef HASYNC_ROLE_H
#define HASYNC_ROLE_H

#include <stdbool.h>
#include <stdint.h>

/* Values travel between nodes: never renumber. */
enum ha_role {
	HA_ROLE_INIT = 0,
	HA_ROLE_SYNCING = 1,
	HA_ROLE_STANDBY = 2,
	HA_ROLE_BECOMING_ACTIVE = 3,
	HA_ROLE_ACTIVE = 4,
	HA_ROLE_RELINQUISHING = 5,
	HA_ROLE_FAULT = 6,
	HA_ROLE_COUNT
};

enum ha_event {
	HA_EV_PEER_ACTIVE = 0, /* an active peer is in the group */
	HA_EV_SYNCED, /* our store equals the active's */
	HA_EV_SYNC_LOST, /* it no longer does */
	HA_EV_CLAIM, /* arbitration: we must become active */
	HA_EV_CLAIM_ABORT, /* revoked before it was done */
	HA_EV_CLAIMED, /* epoch durable, MAC/IP up, gate open */
	HA_EV_CLAIM_FAILED, /* netlink or disk refused */
	HA_EV_YIELD, /* a rightful active exists, or we lost the
			right to be active */
	HA_EV_HANDOVER, /* planned switchover starts here */
	HA_EV_RELEASED, /* MAC/IP off, gate shut, workers restarted */
	HA_EV_FAULT, /* health says: this node cannot serve */
	HA_EV_REPAIRED,
	HA_EV_COUNT
};

/* Actions are bits; the caller runs them in the order of their value. */
enum ha_action {
	HA_ACT_NONE = 0,
	HA_ACT_SHUT_GATE = 1 << 0,
	HA_ACT_QUIESCE = 1 << 1, /* stop SIP input, flush, forward media, GO */
	HA_ACT_RELEASE = 1 << 2, /* addresses and MAC off */
	/* A worker never goes from active to standby. */
	HA_ACT_RESTART_WORKERS = 1 << 3,
	HA_ACT_NEW_EPOCH = 1 << 4, /* durable before anything is sent */
	HA_ACT_TAKE = 1 << 5, /* gate open, MAC/IP, announce */
	HA_ACT_ACTIVATE = 1 << 6, /* workers */
	HA_ACT_JOIN = 1 << 7, /* ask for a snapshot */
};

struct ha_step {
	enum ha_role next;
	uint32_t actions;
	bool legal; /* false: the pair is refused, nothing changes */
};

struct ha_step ha_role_step(enum ha_role role, enum ha_event event);
const char *ha_role_name(enum ha_role role);
const char *ha_event_name(enum ha_event event);

/* ---- arbitration --------------------------------------------------------- */
enum ha_peer_left {
	HA_LEFT_NOT = 0, /* it is a member */
	HA_LEFT_NEVER, /* never seen since we started */
	HA_LEFT_PROCDOWN, /* its keeper ended, its node lives */
	HA_LEFT_NODEDOWN, /* its node left the ring */
	HA_LEFT_CLEAN, /* it said RELEASED before it left */
};

struct ha_evidence {
	uint64_t now_ms; /* monotonic */
	uint64_t start_ms; /* when this node's keeper joined the group */
	enum ha_role role;
	uint8_t node;
	bool in_group; /* we are a member and the group answers */
	bool synced_once; /* our store has been equal to an active's */
	enum ha_peer_left peer_left;
	uint64_t peer_left_ms;
	/* Its status was heard since it joined the group: peer_role, epochs
	 * and calls are its own words. While false a member might be active,
	 * so nothing is claimed beside it. */
	bool peer_known;
	enum ha_role peer_role; /* last known */
	uint64_t peer_role_ms; /* when peer_role last changed, 0 = long ago */
	uint64_t peer_epoch, peer_active_epoch;
	uint64_t own_epoch, own_active_epoch;
	uint32_t peer_calls, own_calls;
	uint8_t peer_node;
	/* Beats: last time any path carried one of the peer's. */
	uint64_t last_beat_ms;
	/* Last frame of its keeper through the group; it has to send one
	 * often enough (see rules.mute_ms). */
	uint64_t last_word_ms;
	/* Since when this node has seen nobody serve; 0 = somebody does, or
	 * not known. */
	uint64_t idle_ms;
	bool peer_released; /* the peer's guard said: MAC/IP off, gate shut,
			       for the boot id we knew */
	/* Right to be active. */
	bool witness_configured;
	/* It was without its vote before the peer went, or was lost on a ring
	 * it had decided already: its silence is no verdict. */
	bool witness_known_dead;
	/* The quorum's last word, the ring it is about, and the ring of the
	 * membership above: an older ring's word is about another world. */
	bool quorate;
	uint64_t quorum_ring, members_ring;
	uint64_t ring_ms; /* when members_ring began */
	/* On any service network; while the peer is silent: one has answered
	 * since it fell silent. */
	bool gateway_reachable;
	bool peer_go; /* planned: the old active sent GO */
};

struct ha_rules {
	uint32_t silence_ms; /* T: all paths silent so long */
	uint32_t lease_ms; /* egress lease of an active */
	/* A beat, its way, and the lease's own grain: what may lie between
	   the last beat heard and the last renewal of its sender. */
	uint32_t jitter_ms;
	uint32_t cold_start_ms; /* wait for the peer at start */
	uint32_t tie_grace_ms; /* nobody active for so long: tie-break */
	/* A member that sends neither beats nor frames for so long hangs;
	   0 = such a member is waited for. */
	uint32_t mute_ms;
	/* An active without gateways to ask waits so long for a verdict. */
	uint32_t verdict_ms;
	bool witness; /* a claim beside nobody needs its quorate */
	/* Gateways are probed: without a witness a claim beside nobody needs
	   one that answers, and so does an active that hears nobody. */
	bool gateway;
};

enum ha_verdict { HA_STAY = 0, HA_CLAIM, HA_YIELD };

struct ha_decision {
	enum ha_verdict verdict;
	const char *reason; /* static string, always set */
	uint64_t recheck_ms; /* monotonic; UINT64_MAX = on the next event */
};

/*
 * What this node must do now. Deterministic. Of a serving node it is also its
 * right to be active: HA_STAY has it, HA_YIELD has not.
 */
struct ha_decision ha_arbitrate(const struct ha_evidence *ev,
				const struct ha_rules *rules);

#endif
