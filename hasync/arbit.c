/*
 * Who must be active: the lowest set of rules for two nodes.
 *
 * Rules are looked at from top to bottom; the first that fits decides. What
 * is missing (fast path on silence alone, egress lease, fence) has its place
 * in struct ha_evidence and in after_nodedown().
 */
#include <stddef.h>
#include "hasync/role.h"

static struct ha_decision decide(enum ha_verdict verdict, const char *reason)
{
	return (struct ha_decision){
		.verdict = verdict,
		.reason = reason,
		.recheck_ms = UINT64_MAX,
	};
}

static struct ha_decision wait_until(uint64_t ms, const char *reason)
{
	return (struct ha_decision){
		.verdict = HA_STAY,
		.reason = reason,
		.recheck_ms = ms,
	};
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool serves(enum ha_role role)
{
	return role == HA_ROLE_ACTIVE || role == HA_ROLE_BECOMING_ACTIVE;
}

/* A configured witness that is alive has the last word. Configured in either
 * place counts: erring this way leaves nobody active, not two. */
static bool witness_refuses(const struct ha_evidence *ev,
			    const struct ha_rules *rules)
{
	return (rules->witness || ev->witness_configured) &&
	       !ev->witness_known_dead && !ev->quorate;
}

static bool witness_decides(const struct ha_evidence *ev,
			    const struct ha_rules *rules)
{
	return (rules->witness || ev->witness_configured) &&
	       !ev->witness_known_dead;
}

/* ---- this node serves ---------------------------------------------------- */

/* Two actives: who has to go? */
static bool must_yield(const struct ha_evidence *ev)
{
	if (ev->own_active_epoch != ev->peer_active_epoch)
		return ev->own_active_epoch < ev->peer_active_epoch;
	if (ev->own_calls != ev->peer_calls)
		return ev->own_calls < ev->peer_calls;
	return ev->node > ev->peer_node;
}

/* The peer is there: a member, or out of the group but sending beats. */
static bool peer_alive(const struct ha_evidence *ev,
		       const struct ha_rules *rules)
{
	if (ev->peer_left == HA_LEFT_NOT)
		return true;
	return ev->peer_left != HA_LEFT_NEVER && ev->last_beat_ms &&
	       ev->last_beat_ms > ev->peer_left_ms &&
	       ev->now_ms < ev->last_beat_ms + rules->silence_ms;
}

static struct ha_decision while_serving(const struct ha_evidence *ev,
					const struct ha_rules *rules)
{
	if (!ev->in_group)
		return decide(HA_STAY, "no group: an active keeps serving");
	if (witness_refuses(ev, rules))
		return decide(HA_YIELD, "not quorate");
	if (ev->peer_known && serves(ev->peer_role) && peer_alive(ev, rules)) {
		if (must_yield(ev))
			return decide(HA_YIELD, "the peer is the rightful "
						"active");
		return decide(HA_STAY, "two actives: the peer must yield");
	}
	return decide(HA_STAY, "active");
}

/* ---- this node does not serve -------------------------------------------- */

/*
 * How much a node has to offer. A standby that was in sync holds the calls,
 * whatever a restarted ex-active's epoch was.
 */
static int rank(enum ha_role role)
{
	switch (role) {
	case HA_ROLE_STANDBY:
		return 3;
	case HA_ROLE_SYNCING:
		return 2;
	case HA_ROLE_INIT:
		return 1;
	default:
		return 0;
	}
}

/* Both nodes work this out from the same facts and agree. */
static bool wins_tie(const struct ha_evidence *ev)
{
	int own = rank(ev->role);
	int peer = rank(ev->peer_role);

	if (own != peer)
		return own > peer;
	if (ev->own_active_epoch != ev->peer_active_epoch)
		return ev->own_active_epoch > ev->peer_active_epoch;
	return ev->node < ev->peer_node;
}

/*
 * The peer's keeper hangs: its process is there, so corosync keeps it in the
 * group. It renews nothing, and its lease has run out when its last beat is
 * old enough. Beats alone may be filtered somewhere, frames alone may wait in
 * corosync: both must have stopped after having been heard.
 */
static struct ha_decision beside_server(const struct ha_evidence *ev,
					const struct ha_rules *rules,
					const char *why)
{
	uint64_t at;

	if (!rules->mute_ms || !ev->last_beat_ms || !ev->last_word_ms)
		return decide(HA_STAY, why);
	at = later(ev->last_beat_ms + rules->lease_ms + rules->silence_ms,
		   ev->last_word_ms + rules->mute_ms);
	if (ev->now_ms < at)
		return wait_until(at, why);
	if (witness_refuses(ev, rules))
		return decide(HA_STAY, "the peer hangs, but not quorate");
	return decide(HA_CLAIM, "the peer's keeper hangs, its lease ran out");
}

static struct ha_decision beside_member(const struct ha_evidence *ev,
					const struct ha_rules *rules)
{
	uint64_t at;

	if (!ev->peer_known)
		return decide(HA_STAY, "the peer has not said its role yet");
	if (serves(ev->peer_role))
		return beside_server(ev, rules, "the peer is active");
	if (ev->peer_role == HA_ROLE_RELINQUISHING)
		return beside_server(ev, rules, "the peer is releasing");
	if (!wins_tie(ev))
		return decide(HA_STAY, "nobody is active: the peer must be");
	if (witness_refuses(ev, rules))
		return decide(HA_STAY, "not quorate");
	/* At a cold start nothing was lost and nothing is in flight. */
	if (ev->role == HA_ROLE_INIT && ev->peer_role == HA_ROLE_INIT)
		return decide(HA_CLAIM, "cold start beside the peer");
	at = ev->peer_role_ms ? ev->peer_role_ms + rules->tie_grace_ms : 0;
	if (ev->now_ms < at)
		return wait_until(at, "nobody is active: grace");
	return decide(HA_CLAIM, "nobody is active");
}

static struct ha_decision after_procdown(const struct ha_evidence *ev,
					 const struct ha_rules *rules)
{
	uint64_t at;

	if (ev->peer_released)
		return decide(HA_CLAIM, "the peer's keeper ended, its guard "
					"released");
	/* Beats after it left: its keeper lives without the group and may
	 * still renew its lease. */
	at = later(ev->peer_left_ms, ev->last_beat_ms) + rules->lease_ms;
	if (ev->now_ms < at)
		return wait_until(at, "the peer's keeper ended: lease");
	return decide(HA_CLAIM, "the peer's keeper ended, its lease ran out");
}

static struct ha_decision after_nodedown(const struct ha_evidence *ev,
					 const struct ha_rules *rules)
{
	uint64_t at;

	if (ev->peer_released)
		return decide(HA_CLAIM, "the peer's node is down and released");
	at = (ev->last_beat_ms ? ev->last_beat_ms : ev->peer_left_ms) +
	     rules->silence_ms;
	if (ev->now_ms < at)
		return wait_until(at, "the peer's node is down: beats still");
	if (!witness_decides(ev, rules) && rules->gateway &&
	    !ev->gateway_reachable)
		return decide(HA_STAY, "the peer's node is down, but no "
				       "gateway answers here");
	return decide(HA_CLAIM, "the peer's node is down");
}

static struct ha_decision beside_absent(const struct ha_evidence *ev,
					const struct ha_rules *rules)
{
	uint64_t at;

	if (witness_refuses(ev, rules))
		return decide(HA_STAY, "not quorate");
	switch (ev->peer_left) {
	case HA_LEFT_CLEAN:
		return decide(HA_CLAIM, "the peer released and left");
	case HA_LEFT_PROCDOWN:
		return after_procdown(ev, rules);
	case HA_LEFT_NODEDOWN:
		return after_nodedown(ev, rules);
	case HA_LEFT_NEVER:
		at = later(ev->start_ms, ev->last_beat_ms) +
		     rules->cold_start_ms;
		if (ev->now_ms < at)
			return wait_until(at, "cold start: waiting for the "
					      "peer");
		return decide(HA_CLAIM, "cold start alone");
	case HA_LEFT_NOT:
		break;
	}
	return decide(HA_STAY, "how the peer left is not known");
}

struct ha_decision ha_arbitrate(const struct ha_evidence *ev,
				const struct ha_rules *rules)
{
	switch (ev->role) {
	case HA_ROLE_ACTIVE:
	case HA_ROLE_BECOMING_ACTIVE:
		return while_serving(ev, rules);
	case HA_ROLE_RELINQUISHING:
		return decide(HA_STAY, "releasing");
	case HA_ROLE_FAULT:
		return decide(HA_STAY, "faulty");
	case HA_ROLE_INIT:
	case HA_ROLE_SYNCING:
	case HA_ROLE_STANDBY:
		break;
	default:
		return decide(HA_STAY, "unknown role");
	}
	if (!ev->in_group)
		return decide(HA_STAY, "not in the group");
	if (ev->peer_go && ev->role != HA_ROLE_INIT)
		return decide(HA_CLAIM, "the peer handed over");
	if (ev->peer_left == HA_LEFT_NOT)
		return beside_member(ev, rules);
	return beside_absent(ev, rules);
}
