/*
 * Who must be active: the rules for two nodes, with or without a witness.
 *
 * Rules are looked at from top to bottom; the first that fits decides. What a
 * node may not see is taken for the worse: a claim needs a proof that the
 * peer's lease has run out, a serving node needs a proof that it is still
 * wanted.
 *
 * The bound. A peer that stopped or died transmits for at most lease_ms after
 * its last beat, so it is replaced after silence_ms and never before
 * lease_ms + jitter_ms. A peer that lives but is not heard by this node (all
 * ways cut, or the ways from it) is replaced as well; both then serve until
 * it hears of the higher epoch (one beat, when the cut was one-way or is
 * healed), until its gateways no longer answer, or until the witness's
 * verdict on the new ring. Without a witness two nodes that are cut off from
 * each other on every path while both reach a gateway both serve: only a
 * witness can tell them apart.
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

/* Serves, or did a moment ago: its gate may still be open. */
static bool may_transmit(enum ha_role role)
{
	return serves(role) || role == HA_ROLE_RELINQUISHING;
}

/* ---- the witness and the gateways ---------------------------------------- */

/* Configured in either place counts: erring this way leaves nobody active,
 * not two. */
static bool witness_decides(const struct ha_evidence *ev,
			    const struct ha_rules *rules)
{
	return (rules->witness || ev->witness_configured) &&
	       !ev->witness_known_dead;
}

/* It has spoken about the membership we see, not about an earlier one. */
static bool has_verdict(const struct ha_evidence *ev)
{
	return ev->quorum_ring >= ev->members_ring;
}

/* NULL: this node may claim beside an absent peer; or why not. */
static const char *refusal(const struct ha_evidence *ev,
			   const struct ha_rules *rules)
{
	if (witness_decides(ev, rules)) {
		if (!has_verdict(ev))
			return "the witness has not decided yet";
		return ev->quorate ? NULL : "not quorate";
	}
	if (rules->gateway && !ev->gateway_reachable)
		return "no gateway answers here";
	return NULL;
}

/* ---- the peer ------------------------------------------------------------ */

/* When a peer that stopped after its last beat has lost its lease. */
static uint64_t silent_at(const struct ha_evidence *ev,
			  const struct ha_rules *rules)
{
	uint64_t from = ev->last_beat_ms ? ev->last_beat_ms : ev->peer_left_ms;

	return from +
	       later(rules->silence_ms, rules->lease_ms + rules->jitter_ms);
}

static bool heard(const struct ha_evidence *ev, const struct ha_rules *rules)
{
	return ev->last_beat_ms &&
	       ev->now_ms < ev->last_beat_ms + rules->silence_ms;
}

/* The peer is there: a member, or out of the group but sending beats. */
static bool peer_alive(const struct ha_evidence *ev,
		       const struct ha_rules *rules)
{
	if (ev->peer_left == HA_LEFT_NOT && ev->in_group)
		return true;
	return ev->last_beat_ms > ev->peer_left_ms && heard(ev, rules);
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

/* The peer is not heard of: what else says that we are wanted? */
static struct ha_decision right_alone(const struct ha_evidence *ev,
				      const struct ha_rules *rules)
{
	bool witness = witness_decides(ev, rules) && ev->in_group;
	uint64_t at = ev->ring_ms + rules->verdict_ms;

	if (witness && has_verdict(ev))
		return ev->quorate ? decide(HA_STAY, "active: quorate")
				   : decide(HA_YIELD, "not quorate");
	if (rules->gateway)
		return ev->gateway_reachable
			       ? decide(HA_STAY, "active: a gateway answers")
			       : decide(HA_YIELD,
					"no right to be active: neither peer, "
					"nor witness, nor gateway");
	if (!witness)
		return decide(HA_STAY, "active: nobody else to ask");
	if (ev->now_ms < at)
		return wait_until(at, "active: awaiting the witness");
	return decide(HA_YIELD, "the witness gave no verdict");
}

static struct ha_decision while_serving(const struct ha_evidence *ev,
					const struct ha_rules *rules)
{
	bool alive = peer_alive(ev, rules);

	if (alive && ev->peer_known && serves(ev->peer_role)) {
		if (must_yield(ev))
			return decide(HA_YIELD, "the peer is the rightful "
						"active");
		return decide(HA_STAY, "two actives: the peer must yield");
	}
	/* Nodes that hear each other need no third opinion. */
	if (alive)
		return decide(HA_STAY, "active: the peer is there");
	/* It left the group a moment ago, its next beat is due: a ring that
	 * flaps may come with a verdict before that. */
	if (heard(ev, rules))
		return wait_until(ev->last_beat_ms + rules->silence_ms,
				  "active: the peer was there just now");
	return right_alone(ev, rules);
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

/* Nobody serves, and the peer says so itself. */
static struct ha_decision beside_idle(const struct ha_evidence *ev,
				      const struct ha_rules *rules)
{
	bool member = ev->peer_left == HA_LEFT_NOT;
	const char *no = refusal(ev, rules);
	uint64_t at;

	/* A node that cannot claim (deaf, not quorate) wins ties as well:
	 * after a while the other one stops waiting for it. */
	if (!wins_tie(ev)) {
		if (!ev->idle_ms)
			return decide(HA_STAY,
				      "nobody is active: the peer must be");
		at = ev->idle_ms + 4 * (uint64_t)rules->tie_grace_ms;
		if (ev->now_ms < at)
			return wait_until(at, "nobody is active: the peer "
					      "must be");
	}
	/* Beside a member there is nothing to prove: it is heard. */
	if (no && (!member || (witness_decides(ev, rules) && !ev->quorate)))
		return decide(HA_STAY, no);
	/* At a cold start nothing was lost and nothing is in flight. */
	if (member && ev->role == HA_ROLE_INIT && ev->peer_role == HA_ROLE_INIT)
		return decide(HA_CLAIM, "cold start beside the peer");
	at = ev->peer_role_ms ? ev->peer_role_ms + rules->tie_grace_ms : 0;
	if (ev->now_ms < at)
		return wait_until(at, "nobody is active: grace");
	return decide(HA_CLAIM, "nobody is active");
}

/*
 * The fast path: silence on every path, long before the group notices. The
 * silence may be this node's own deafness, so a gateway must have answered
 * during it. The verdict on the ring that follows confirms or revokes.
 */
static struct ha_decision on_silence(const struct ha_evidence *ev,
				     const struct ha_rules *rules,
				     const char *why)
{
	uint64_t at = silent_at(ev, rules);

	if (!rules->gateway || !ev->last_beat_ms)
		return decide(HA_STAY, why);
	if (ev->now_ms < at)
		return wait_until(at, why);
	if (!ev->gateway_reachable)
		return decide(HA_STAY, "the peer is silent, but no gateway "
				       "has answered since");
	return decide(HA_CLAIM, "the peer is silent on all paths");
}

/*
 * The peer's keeper hangs: its process is there, so corosync keeps it in the
 * group. It renews nothing, and its lease has run out when its last beat is
 * old enough. Beats alone may be filtered somewhere, frames alone may wait in
 * corosync: both must have stopped after having been heard.
 */
static struct ha_decision on_hanging(const struct ha_evidence *ev,
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
	if (witness_decides(ev, rules) && !(has_verdict(ev) && ev->quorate))
		return decide(HA_STAY, "the peer hangs, but not quorate");
	return decide(HA_CLAIM, "the peer's keeper hangs, its lease ran out");
}

/* A member that serves, as far as it has said. */
static struct ha_decision beside_server(const struct ha_evidence *ev,
					const struct ha_rules *rules,
					const char *why)
{
	struct ha_decision fast, slow;

	if (ev->peer_released)
		return decide(HA_CLAIM, "the peer's guard released");
	fast = on_silence(ev, rules, why);
	if (fast.verdict == HA_CLAIM)
		return fast;
	slow = on_hanging(ev, rules, why);
	if (slow.verdict == HA_CLAIM)
		return slow;
	if (slow.recheck_ms < fast.recheck_ms)
		fast.recheck_ms = slow.recheck_ms;
	return fast;
}

static struct ha_decision beside_member(const struct ha_evidence *ev,
					const struct ha_rules *rules)
{
	if (!ev->peer_known)
		return decide(HA_STAY, "the peer has not said its role yet");
	if (serves(ev->peer_role))
		return beside_server(ev, rules, "the peer is active");
	if (ev->peer_role == HA_ROLE_RELINQUISHING)
		return beside_server(ev, rules, "the peer is releasing");
	return beside_idle(ev, rules);
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
	at = later(ev->peer_left_ms, ev->last_beat_ms) + rules->lease_ms +
	     rules->jitter_ms;
	if (ev->now_ms < at)
		return wait_until(at, "the peer's keeper ended: lease");
	return decide(HA_CLAIM, "the peer's keeper ended, its lease ran out");
}

static struct ha_decision after_nodedown(const struct ha_evidence *ev,
					 const struct ha_rules *rules)
{
	uint64_t at = silent_at(ev, rules);

	if (ev->peer_released)
		return decide(HA_CLAIM, "the peer's node is down and released");
	if (ev->now_ms < at)
		return wait_until(at, "the peer's node is down: beats still");
	return decide(HA_CLAIM, "the peer's node is down");
}

static struct ha_decision cold_start(const struct ha_evidence *ev,
				     const struct ha_rules *rules)
{
	uint64_t at =
		later(ev->start_ms, ev->last_beat_ms) + rules->cold_start_ms;

	if (ev->now_ms < at)
		return wait_until(at, "cold start: waiting for the peer");
	return decide(HA_CLAIM, "cold start alone");
}

static struct ha_decision beside_absent(const struct ha_evidence *ev,
					const struct ha_rules *rules)
{
	struct ha_decision d;
	const char *no;

	/* Out of the group, but its beats say that it does not serve. */
	if (ev->peer_known && peer_alive(ev, rules) &&
	    !may_transmit(ev->peer_role))
		return beside_idle(ev, rules);
	switch (ev->peer_left) {
	case HA_LEFT_CLEAN:
		d = decide(HA_CLAIM, "the peer released and left");
		break;
	case HA_LEFT_PROCDOWN:
		d = after_procdown(ev, rules);
		break;
	case HA_LEFT_NODEDOWN:
		d = after_nodedown(ev, rules);
		break;
	case HA_LEFT_NEVER:
		d = cold_start(ev, rules);
		break;
	case HA_LEFT_NOT:
	default:
		return decide(HA_STAY, "how the peer left is not known");
	}
	no = refusal(ev, rules);
	if (d.verdict != HA_CLAIM || !no)
		return d;
	/* A moment before the ring changed silence was enough. The verdict may
	 * take the witness as long as it needs to miss the peer as well. */
	if (ev->peer_left == HA_LEFT_NODEDOWN && !has_verdict(ev))
		return on_silence(ev, rules, no);
	return decide(HA_STAY, no);
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
