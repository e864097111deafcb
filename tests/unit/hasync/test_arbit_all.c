/* Who must be active: what must never be, in all combinations of evidence. */
#include "hasync/role.h"

#include "arbit_rules.h"
#include "cm.h"

/*
 * Everything at once: what is absurd must still be answered; and whatever the
 * combination, no claim while the peer's lease may run, none beside nobody
 * without a proof, and no right to go on without one.
 */
enum {
	ALL_BITS = 24,
	ALL_PRIME = 3, /* every third one: 5.6 million, in a second */
};

static struct ha_evidence combination(uint32_t i, struct ha_rules *r)
{
	static const uint64_t ages[] = {1, LEASE + 10, SILENCE + 50, 0};
	struct ha_evidence ev = quiet();

	*r = rules;
	r->jitter_ms = 20;
	ev.role = (enum ha_role)(i % 8);
	ev.peer_role = (enum ha_role)(i >> 3 & 7);
	ev.peer_left = (enum ha_peer_left)(i >> 6 & 7);
	ev.in_group = i >> 9 & 1;
	ev.peer_known = i >> 10 & 1;
	ev.peer_released = i >> 11 & 1;
	ev.quorate = i >> 12 & 1;
	ev.witness_known_dead = i >> 13 & 1;
	r->witness = i >> 14 & 1;
	r->gateway = i >> 15 & 1;
	ev.peer_go = i >> 16 & 1;
	ev.gateway_reachable = i >> 17 & 1;
	ev.idle_ms = i >> 18 & 1 ? 2000 : 0;
	ev.quorum_ring = 4;
	ev.members_ring = i >> 19 & 1 ? 8 : 4;
	ev.last_beat_ms = ages[i >> 20 & 3] ? ev.now_ms - ages[i >> 20 & 3] : 0;
	ev.peer_left_ms = i >> 22 & 1 ? ev.now_ms - 1 : 1500;
	r->mute_ms = i >> 23 & 1 ? 1500 : 0;
	ev.last_word_ms = 3000;
	return ev;
}

static void check_claim(const struct ha_evidence *ev, const struct ha_rules *r)
{
	bool deciding = r->witness && !ev->witness_known_dead;
	bool verdict = ev->quorum_ring >= ev->members_ring && ev->quorate;
	bool member = ev->peer_left == HA_LEFT_NOT;
	bool idle = ev->peer_known && ev->peer_role < HA_ROLE_BECOMING_ACTIVE;
	bool heard = ev->last_beat_ms &&
		     ev->last_beat_ms + SILENCE > ev->now_ms &&
		     (member || ev->last_beat_ms > ev->peer_left_ms);

	idle |= ev->peer_known && ev->peer_role >= HA_ROLE_FAULT;
	assert_true(ev->in_group && ev->role <= HA_ROLE_STANDBY);
	if (ev->peer_go && ev->role != HA_ROLE_INIT)
		return;
	/* The lease. A peer that speaks now says itself whether it serves. */
	if (!ev->peer_released && ev->peer_left != HA_LEFT_CLEAN &&
	    !(idle && (member || heard)))
		assert_true(ev->last_beat_ms + LEASE + 20 <= ev->now_ms);
	/* The proof that it is not we who are cut off. */
	if (!member && deciding && !verdict)
		assert_true(ev->peer_left == HA_LEFT_NODEDOWN &&
			    ev->quorum_ring < ev->members_ring &&
			    ev->last_beat_ms && r->gateway &&
			    ev->gateway_reachable);
	if (!member && !deciding && r->gateway)
		assert_true(ev->gateway_reachable);
	if (!member)
		return;
	assert_true(ev->peer_known);
	if (idle || ev->peer_released)
		return;
	assert_true(ev->last_beat_ms &&
		    ev->last_beat_ms + SILENCE <= ev->now_ms);
	if (!r->mute_ms)
		assert_true(r->gateway && ev->gateway_reachable);
}

static void check_right(const struct ha_evidence *ev, const struct ha_rules *r,
			enum ha_verdict verdict)
{
	bool deciding = r->witness && !ev->witness_known_dead && ev->in_group;
	bool judged = ev->quorum_ring >= ev->members_ring;
	bool member = ev->peer_left == HA_LEFT_NOT && ev->in_group;
	bool recent =
		ev->last_beat_ms && ev->last_beat_ms + SILENCE > ev->now_ms;
	bool heard = recent && ev->last_beat_ms > ev->peer_left_ms;
	bool right = member || recent;

	if (ev->peer_known && (member || heard) &&
	    (ev->peer_role == HA_ROLE_ACTIVE ||
	     ev->peer_role == HA_ROLE_BECOMING_ACTIVE)) {
		assert_int_equal(verdict, HA_YIELD); /* 3 against 5 */
		return;
	}
	if (!right && deciding && judged)
		right = ev->quorate;
	else if (!right && r->gateway)
		right = ev->gateway_reachable;
	else if (!right)
		right = !deciding;
	assert_int_equal(verdict, right ? HA_STAY : HA_YIELD);
}

static void all_combinations(void **state)
{
	for (uint32_t i = 0; i < 1u << ALL_BITS; i += ALL_PRIME) {
		struct ha_rules r;
		struct ha_evidence ev = combination(i, &r);
		struct ha_decision d = ha_arbitrate(&ev, &r);

		assert_non_null(d.reason);
		if (d.recheck_ms != UINT64_MAX)
			assert_true(d.verdict == HA_STAY &&
				    d.recheck_ms > ev.now_ms);
		if (d.verdict == HA_CLAIM)
			check_claim(&ev, &r);
		if (ev.role == HA_ROLE_ACTIVE ||
		    ev.role == HA_ROLE_BECOMING_ACTIVE)
			check_right(&ev, &r, d.verdict);
		else
			assert_int_not_equal(d.verdict, HA_YIELD);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_combinations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
