/* Who must be active: each rule and its edge in time. */
#include "hasync/role.h"

#include "arbit_rules.h"
#include "cm.h"

static void expect(const struct ha_evidence *ev, const struct ha_rules *r,
		   enum ha_verdict verdict, uint64_t recheck_ms, int line)
{
	struct ha_decision d = ha_arbitrate(ev, r);

	if (d.verdict != verdict || d.recheck_ms != recheck_ms || !d.reason ||
	    !*d.reason)
		fail_msg("line %d: verdict %d recheck %llu \"%s\"", line,
			 d.verdict, (unsigned long long)d.recheck_ms,
			 d.reason ? d.reason : "");
}

#define STAY(ev)     expect(ev, &rules, HA_STAY, UINT64_MAX, __LINE__)
#define WAIT(ev, ms) expect(ev, &rules, HA_STAY, ms, __LINE__)
#define CLAIM(ev)    expect(ev, &rules, HA_CLAIM, UINT64_MAX, __LINE__)
#define YIELD(ev)    expect(ev, &rules, HA_YIELD, UINT64_MAX, __LINE__)

static void a_standby_beside_an_active_stays(void **state)
{
	struct ha_evidence ev = quiet();

	STAY(&ev);
	ev.peer_role = HA_ROLE_BECOMING_ACTIVE;
	STAY(&ev);
	ev.peer_role = HA_ROLE_RELINQUISHING;
	STAY(&ev);
	/* Silence alone is not the rule here. */
	ev.peer_role = HA_ROLE_ACTIVE;
	ev.last_beat_ms = 5;
	STAY(&ev);
}

static void a_hanging_keeper_is_replaced(void **state)
{
	enum { MUTE = 1500 };
	struct ha_evidence ev = quiet();
	struct ha_rules r = rules;

	r.mute_ms = MUTE;
	ev.last_beat_ms = 90000;
	ev.last_word_ms = 90200;
	ev.now_ms = 90200 + MUTE - 1;
	expect(&ev, &r, HA_STAY, 90200 + MUTE, __LINE__);
	ev.now_ms++;
	expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
	ev.peer_role = HA_ROLE_RELINQUISHING;
	expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
	/* Never before its lease has run out. */
	ev.peer_role = HA_ROLE_ACTIVE;
	ev.last_word_ms = 1000;
	ev.now_ms = 90000 + LEASE + SILENCE - 1;
	expect(&ev, &r, HA_STAY, 90000 + LEASE + SILENCE, __LINE__);
	/* It speaks one way, or was never heard the other: it lives. */
	ev.now_ms = 100000;
	ev.last_word_ms = 99999;
	expect(&ev, &r, HA_STAY, 99999 + MUTE, __LINE__);
	ev.last_word_ms = 1000;
	ev.last_beat_ms = 99999;
	expect(&ev, &r, HA_STAY, 99999 + LEASE + SILENCE, __LINE__);
	ev.last_beat_ms = 0;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	ev.last_beat_ms = 1000;
	ev.last_word_ms = 0;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	ev.last_word_ms = 1000;
	r.witness = true;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	ev.quorate = true;
	expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
}

static void process_down(void **state)
{
	struct ha_evidence ev = quiet();

	ev.peer_left = HA_LEFT_PROCDOWN;
	ev.peer_left_ms = 99990;
	ev.last_beat_ms = 99985;
	WAIT(&ev, 99990 + LEASE);
	ev.now_ms = 99990 + LEASE - 1;
	WAIT(&ev, 99990 + LEASE);
	ev.now_ms = 99990 + LEASE;
	CLAIM(&ev);
	/* Its guard's word is as good as the time. */
	ev.now_ms = 99991;
	ev.peer_released = true;
	CLAIM(&ev);
	/* It lives on beside a lost connection to its corosync. */
	ev.peer_released = false;
	ev.now_ms = 100500;
	ev.last_beat_ms = 100490;
	WAIT(&ev, 100490 + LEASE);
	ev.now_ms = 100490 + LEASE;
	CLAIM(&ev);
}

static void node_down(void **state)
{
	struct ha_evidence ev = quiet();

	ev.peer_left = HA_LEFT_NODEDOWN;
	ev.peer_left_ms = 99990;
	ev.last_beat_ms = 99950;
	WAIT(&ev, 99950 + SILENCE);
	ev.now_ms = 99950 + SILENCE - 1;
	WAIT(&ev, 99950 + SILENCE);
	ev.now_ms++;
	CLAIM(&ev);
	/* One path still carries beats: alive. */
	ev.last_beat_ms = ev.now_ms - 3;
	WAIT(&ev, ev.now_ms - 3 + SILENCE);
	ev.peer_released = true;
	CLAIM(&ev);
	/* No beats at all so far: counted from the loss. */
	ev.peer_released = false;
	ev.last_beat_ms = 0;
	ev.now_ms = 99990;
	WAIT(&ev, 99990 + SILENCE);
	ev.now_ms += SILENCE;
	CLAIM(&ev);
}

static void the_gateway_counts_when_asked_for(void **state)
{
	struct ha_evidence ev = quiet();
	struct ha_rules r = rules;

	r.gateway = true;
	ev.peer_left = HA_LEFT_NODEDOWN;
	ev.peer_left_ms = 90000;
	ev.last_beat_ms = 90000;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	ev.gateway_reachable = true;
	expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
	/* A living witness decides instead. */
	ev.gateway_reachable = false;
	r.witness = true;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	ev.quorate = true;
	expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
	ev.witness_known_dead = true;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
}

static void the_witness_has_the_last_word(void **state)
{
	static const enum ha_peer_left lefts[] = {
		HA_LEFT_NEVER, HA_LEFT_PROCDOWN, HA_LEFT_NODEDOWN,
		HA_LEFT_CLEAN};
	struct ha_rules r = rules;

	for (int where = 0; where < 2; where++) {
		for (unsigned i = 0; i < 4; i++) {
			struct ha_evidence ev = quiet();

			r.witness = where == 0;
			ev.witness_configured = where == 1;
			ev.peer_left = lefts[i];
			ev.last_beat_ms = ev.peer_left_ms = 2000;
			expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
			ev.quorate = true;
			expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
			ev.quorate = false;
			ev.witness_known_dead = true;
			expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
		}
	}
	/* An active that is not quorate goes. */
	struct ha_evidence ev = quiet();

	ev.role = HA_ROLE_ACTIVE;
	ev.own_active_epoch = 6;
	ev.peer_left = HA_LEFT_NODEDOWN;
	ev.last_beat_ms = 2000;
	ev.witness_configured = true;
	YIELD(&ev);
	ev.role = HA_ROLE_BECOMING_ACTIVE;
	YIELD(&ev);
	ev.witness_known_dead = true;
	STAY(&ev);
}

/* It has to miss the other node as well, which may take it a second. */
static void silence_does_not_wait_for_the_witness(void **state)
{
	struct ha_evidence ev = quiet();
	struct ha_rules r = rules;

	r.witness = r.gateway = true;
	ev.gateway_reachable = ev.quorate = true;
	ev.peer_left = HA_LEFT_NODEDOWN;
	ev.peer_left_ms = 90000;
	ev.members_ring = 8;
	ev.quorum_ring = 4;
	WAIT(&ev, ev.last_beat_ms + SILENCE);
	ev.last_beat_ms = 90000;
	expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
	ev.gateway_reachable = false;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	ev.gateway_reachable = true;
	ev.last_beat_ms = 0;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	/* Its keeper alone has ended: the witness is not slower then. */
	ev.last_beat_ms = 90000;
	ev.peer_left = HA_LEFT_PROCDOWN;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	/* What it says in the end counts. */
	ev.peer_left = HA_LEFT_NODEDOWN;
	ev.quorum_ring = 8;
	ev.quorate = false;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	ev.role = HA_ROLE_ACTIVE;
	expect(&ev, &r, HA_YIELD, UINT64_MAX, __LINE__);
}

static void left_cleanly(void **state)
{
	struct ha_evidence ev = quiet();

	ev.peer_left = HA_LEFT_CLEAN;
	ev.peer_left_ms = 100000;
	CLAIM(&ev);
	ev.role = HA_ROLE_SYNCING;
	CLAIM(&ev);
}

static void handed_over(void **state)
{
	struct ha_evidence ev = quiet();

	ev.peer_role = HA_ROLE_RELINQUISHING;
	STAY(&ev);
	ev.peer_go = true;
	CLAIM(&ev);
	ev.role = HA_ROLE_SYNCING; /* forced */
	CLAIM(&ev);
	ev.in_group = false;
	STAY(&ev);
}

static void without_corosync(void **state)
{
	for (int role = 0; role < HA_ROLE_COUNT; role++) {
		for (int left = 0; left <= HA_LEFT_CLEAN; left++) {
			struct ha_evidence ev = quiet();

			ev.role = (enum ha_role)role;
			ev.in_group = false;
			ev.peer_left = (enum ha_peer_left)left;
			ev.peer_active_epoch = 99;
			ev.last_beat_ms = 0;
			STAY(&ev);
		}
	}
}

static void cold_start_alone(void **state)
{
	struct ha_evidence ev = quiet();

	ev.role = HA_ROLE_INIT;
	ev.peer_left = HA_LEFT_NEVER;
	ev.peer_known = false;
	ev.peer_role = HA_ROLE_INIT;
	ev.last_beat_ms = 0;
	ev.start_ms = 99000;
	WAIT(&ev, 99000 + COLD);
	ev.now_ms = 99000 + COLD - 1;
	WAIT(&ev, 99000 + COLD);
	ev.now_ms++;
	CLAIM(&ev);
	/* Beats on any path: somebody is there, outside our group. */
	ev.last_beat_ms = ev.now_ms - 1;
	WAIT(&ev, ev.now_ms - 1 + COLD);
}

static void cold_start_together(void **state)
{
	struct ha_evidence ev = quiet();

	ev.role = HA_ROLE_INIT;
	ev.peer_role = HA_ROLE_INIT;
	ev.peer_role_ms = ev.now_ms; /* no grace at a cold start */
	ev.peer_known = false;
	STAY(&ev);
	ev.peer_known = true;
	/* Higher last active epoch: the peer, 5 against 3. */
	STAY(&ev);
	ev.own_active_epoch = 6;
	CLAIM(&ev);
	/* Then the lower id. */
	ev.own_active_epoch = 5;
	STAY(&ev);
	ev.node = 1;
	ev.peer_node = 2;
	CLAIM(&ev);
}

static void nobody_active(void **state)
{
	static const enum ha_role idle[] = {HA_ROLE_FAULT, HA_ROLE_INIT,
					    HA_ROLE_SYNCING, HA_ROLE_STANDBY};

	/* Rank: the later in the list, the more it has to offer. */
	for (int own = 1; own < 4; own++) {
		for (int peer = 0; peer < 4; peer++) {
			struct ha_evidence ev = quiet();

			ev.role = idle[own];
			ev.peer_role = idle[peer];
			ev.own_active_epoch = 3;
			ev.peer_active_epoch = 5;
			if (own > peer)
				CLAIM(&ev);
			else
				STAY(&ev);
			ev.own_active_epoch = 7;
			if (own >= peer)
				CLAIM(&ev);
			else
				STAY(&ev);
		}
	}
	struct ha_evidence ev = quiet();

	ev.peer_role = HA_ROLE_SYNCING;
	ev.peer_role_ms = 99980;
	WAIT(&ev, 99980 + GRACE);
	ev.now_ms = 99980 + GRACE;
	CLAIM(&ev);
	ev.peer_known = false;
	STAY(&ev);
}

static void two_actives(void **state)
{
	static const enum ha_role serving[] = {HA_ROLE_ACTIVE,
					       HA_ROLE_BECOMING_ACTIVE};

	for (int i = 0; i < 4; i++) {
		struct ha_evidence ev = quiet();

		ev.role = serving[i % 2];
		ev.peer_role = serving[i / 2];
		ev.own_calls = 1000;
		ev.own_active_epoch = 4; /* the peer has 5 */
		YIELD(&ev);
		ev.own_active_epoch = 6;
		STAY(&ev);
		ev.own_active_epoch = 5;
		ev.peer_calls = 1001;
		YIELD(&ev);
		ev.peer_calls = 999;
		STAY(&ev);
		ev.peer_calls = 1000;
		YIELD(&ev); /* node 2 */
		ev.node = 1;
		ev.peer_node = 2;
		STAY(&ev);
	}
}

static void an_active_alone_stays(void **state)
{
	struct ha_evidence ev = quiet();

	ev.role = HA_ROLE_ACTIVE;
	ev.own_active_epoch = 6;
	ev.peer_left = HA_LEFT_NODEDOWN;
	ev.peer_left_ms = 1000;
	ev.last_beat_ms = 1000;
	/* Its last word was "active", with a higher epoch even: it is gone. */
	ev.peer_active_epoch = 9;
	STAY(&ev);
	/* Out of the group, but its beats say so now. */
	ev.last_beat_ms = ev.now_ms - 1;
	YIELD(&ev);
	ev.peer_active_epoch = 5;
	STAY(&ev);
}

static void releasing_and_faulty_stay(void **state)
{
	static const enum ha_role roles[] = {HA_ROLE_RELINQUISHING,
					     HA_ROLE_FAULT};

	for (int r = 0; r < 2; r++) {
		for (int left = 0; left <= HA_LEFT_CLEAN; left++) {
			for (int peer = 0; peer < HA_ROLE_COUNT; peer++) {
				struct ha_evidence ev = quiet();

				ev.role = roles[r];
				ev.peer_role = (enum ha_role)peer;
				ev.peer_left = (enum ha_peer_left)left;
				ev.peer_go = true;
				ev.peer_released = true;
				ev.last_beat_ms = 0;
				STAY(&ev);
			}
		}
	}
}

/*
 * Two nodes that see the same group and each other's true state, all
 * combinations of roles, epochs and calls: never do both claim, never do both
 * yield, and where nobody is active one of them claims.
 */
static void both_sides_agree(void **state)
{
	for (int i = 0; i < HA_ROLE_COUNT * HA_ROLE_COUNT * 27; i++) {
		enum ha_role ra = (enum ha_role)(i % 7);
		enum ha_role rb = (enum ha_role)(i / 7 % 7);
		int k = i / 49;
		struct ha_evidence a = quiet(), b = quiet();
		enum ha_verdict va, vb;

		a.node = b.peer_node = 1;
		b.node = a.peer_node = 2;
		a.role = b.peer_role = ra;
		b.role = a.peer_role = rb;
		a.own_active_epoch = b.peer_active_epoch =
			(uint64_t)(4 + k % 3);
		b.own_active_epoch = a.peer_active_epoch = 5;
		a.own_calls = b.peer_calls = (uint32_t)(9 + k / 3 % 3);
		b.own_calls = a.peer_calls = 10;
		va = ha_arbitrate(&a, &rules).verdict;
		vb = ha_arbitrate(&b, &rules).verdict;
		assert_false(va == HA_CLAIM && vb == HA_CLAIM);
		assert_false(va == HA_YIELD && vb == HA_YIELD);
		bool sa = ra == HA_ROLE_ACTIVE || ra == HA_ROLE_BECOMING_ACTIVE;
		bool sb = rb == HA_ROLE_ACTIVE || rb == HA_ROLE_BECOMING_ACTIVE;

		if (sa && sb)
			assert_true(va == HA_YIELD || vb == HA_YIELD);
		else
			assert_true(va != HA_YIELD && vb != HA_YIELD);
		if (sa || sb)
			assert_true(va != HA_CLAIM && vb != HA_CLAIM);
		/* FAULT and RELINQUISHING have to become something else. */
		if (ra <= HA_ROLE_STANDBY && rb <= HA_ROLE_STANDBY)
			assert_true(va == HA_CLAIM || vb == HA_CLAIM);
	}
}

static void the_guards_word_needs_no_membership(void **state)
{
	struct ha_evidence ev = quiet();

	ev.peer_released = true;
	CLAIM(&ev);
	ev.role = HA_ROLE_SYNCING;
	CLAIM(&ev);
}

static void silence_on_all_paths(void **state)
{
	struct ha_evidence ev = quiet();
	struct ha_rules r = rules;

	r.jitter_ms = 20;
	ev.now_ms = ev.last_beat_ms + SILENCE;
	ev.gateway_reachable = true;
	/* Without gateways to ask it is membership that decides. */
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	r.gateway = true;
	expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
	ev.peer_role = HA_ROLE_RELINQUISHING;
	expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
	ev.now_ms--;
	expect(&ev, &r, HA_STAY, ev.last_beat_ms + SILENCE, __LINE__);
	/* However short the silence is set: never before the lease is over. */
	r.silence_ms = 30;
	expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
	ev.now_ms = ev.last_beat_ms + LEASE + 20 - 1;
	expect(&ev, &r, HA_STAY, ev.last_beat_ms + LEASE + 20, __LINE__);
	ev.now_ms++;
	expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
	/* Deaf oneself? Somebody else must have been heard meanwhile. */
	ev.gateway_reachable = false;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	/* It was never heard: silence says nothing. */
	ev.gateway_reachable = true;
	ev.last_beat_ms = 0;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	/* A witness has its say when the ring has changed. */
	ev.last_beat_ms = ev.now_ms - SILENCE;
	r.witness = true;
	expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
}

static void the_verdict_is_of_the_same_ring(void **state)
{
	struct ha_evidence ev = quiet();
	struct ha_rules r = rules;

	r.witness = true;
	ev.peer_left = HA_LEFT_NODEDOWN;
	ev.last_beat_ms = ev.peer_left_ms = 90000;
	ev.members_ring = 12;
	ev.quorum_ring = 8;
	ev.quorate = true; /* with the peer, on the old ring */
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	ev.quorum_ring = 12;
	expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
	ev.quorate = false;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	/* The active: revoked by it, and not before it. */
	ev.role = HA_ROLE_ACTIVE;
	expect(&ev, &r, HA_YIELD, UINT64_MAX, __LINE__);
	ev.quorum_ring = 8;
	r.verdict_ms = 3000;
	ev.ring_ms = ev.now_ms - 2999;
	expect(&ev, &r, HA_STAY, ev.now_ms + 1, __LINE__);
	ev.now_ms++;
	expect(&ev, &r, HA_YIELD, UINT64_MAX, __LINE__);
	/* Gateways speak for it meanwhile, but not against a verdict. */
	r.gateway = true;
	expect(&ev, &r, HA_YIELD, UINT64_MAX, __LINE__);
	ev.gateway_reachable = true;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	ev.quorum_ring = 12;
	expect(&ev, &r, HA_YIELD, UINT64_MAX, __LINE__);
	ev.quorate = true;
	ev.gateway_reachable = false;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	/* Who hears the peer needs no verdict. */
	ev.quorate = false;
	ev.peer_role = HA_ROLE_STANDBY;
	ev.last_beat_ms = ev.now_ms - 1;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
}

/* A ring that flaps: the verdict is there before the peer's next beat. */
static void a_beat_of_just_now_is_not_gone_yet(void **state)
{
	struct ha_evidence ev = quiet();
	struct ha_rules r = rules;

	r.witness = true;
	ev.role = HA_ROLE_ACTIVE;
	ev.peer_role = HA_ROLE_STANDBY;
	ev.peer_left = HA_LEFT_NODEDOWN;
	ev.peer_left_ms = ev.now_ms;
	ev.last_beat_ms = ev.now_ms - 8;
	expect(&ev, &r, HA_STAY, ev.last_beat_ms + SILENCE, __LINE__);
	/* It came. */
	ev.now_ms += 2;
	ev.last_beat_ms = ev.now_ms;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	/* It did not. */
	ev.last_beat_ms = ev.peer_left_ms - 8;
	ev.now_ms = ev.last_beat_ms + SILENCE;
	expect(&ev, &r, HA_YIELD, UINT64_MAX, __LINE__);
}

static void an_active_needs_a_right(void **state)
{
	struct ha_evidence ev = quiet();
	struct ha_rules r = rules;

	r.gateway = true;
	ev.role = HA_ROLE_ACTIVE;
	ev.peer_role = HA_ROLE_STANDBY;
	ev.peer_left = HA_LEFT_NODEDOWN;
	ev.peer_left_ms = 90000;
	for (int group = 0; group < 2; group++) {
		ev.in_group = group == 1;
		ev.gateway_reachable = false;
		ev.last_beat_ms = ev.now_ms - SILENCE;
		expect(&ev, &r, HA_YIELD, UINT64_MAX, __LINE__);
		ev.gateway_reachable = true;
		expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
		ev.gateway_reachable = false;
		ev.last_beat_ms++;
		expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	}
	/* A known dead witness is no right, and no refusal. */
	ev.last_beat_ms = 90000;
	r.witness = true;
	ev.quorate = true;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	ev.witness_known_dead = true;
	expect(&ev, &r, HA_YIELD, UINT64_MAX, __LINE__);
	ev.gateway_reachable = true;
	ev.quorate = false;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
}

/* It hears us, we do not hear it, or it hears nobody: it has let go and says
 * so by its beats; the group is of no help. */
static void the_peer_let_go_outside_the_group(void **state)
{
	struct ha_evidence ev = quiet();
	struct ha_rules r = rules;

	r.gateway = true;
	ev.gateway_reachable = true;
	ev.peer_left = HA_LEFT_NODEDOWN;
	ev.peer_left_ms = 90000;
	WAIT(&ev, ev.last_beat_ms + SILENCE);
	ev.peer_role = HA_ROLE_RELINQUISHING;
	WAIT(&ev, ev.last_beat_ms + SILENCE);
	ev.peer_role = HA_ROLE_SYNCING;
	ev.peer_role_ms = ev.now_ms - 10;
	expect(&ev, &r, HA_STAY, ev.peer_role_ms + GRACE, __LINE__);
	ev.peer_role_ms = ev.now_ms - GRACE;
	expect(&ev, &r, HA_CLAIM, UINT64_MAX, __LINE__);
	ev.gateway_reachable = false;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
	r.witness = true;
	ev.gateway_reachable = true;
	expect(&ev, &r, HA_STAY, UINT64_MAX, __LINE__);
}

static void the_loser_of_a_tie_waits_not_for_ever(void **state)
{
	struct ha_evidence ev = quiet();

	ev.role = HA_ROLE_SYNCING;
	ev.peer_role = HA_ROLE_STANDBY;
	STAY(&ev);
	ev.idle_ms = ev.now_ms - 4 * GRACE + 1;
	WAIT(&ev, ev.now_ms + 1);
	ev.now_ms++;
	CLAIM(&ev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_standby_beside_an_active_stays),
		cmocka_unit_test(a_hanging_keeper_is_replaced),
		cmocka_unit_test(process_down),
		cmocka_unit_test(node_down),
		cmocka_unit_test(the_gateway_counts_when_asked_for),
		cmocka_unit_test(the_witness_has_the_last_word),
		cmocka_unit_test(silence_does_not_wait_for_the_witness),
		cmocka_unit_test(left_cleanly),
		cmocka_unit_test(handed_over),
		cmocka_unit_test(without_corosync),
		cmocka_unit_test(cold_start_alone),
		cmocka_unit_test(cold_start_together),
		cmocka_unit_test(nobody_active),
		cmocka_unit_test(two_actives),
		cmocka_unit_test(an_active_alone_stays),
		cmocka_unit_test(releasing_and_faulty_stay),
		cmocka_unit_test(both_sides_agree),
		cmocka_unit_test(the_guards_word_needs_no_membership),
		cmocka_unit_test(silence_on_all_paths),
		cmocka_unit_test(the_verdict_is_of_the_same_ring),
		cmocka_unit_test(a_beat_of_just_now_is_not_gone_yet),
		cmocka_unit_test(an_active_needs_a_right),
		cmocka_unit_test(the_peer_let_go_outside_the_group),
		cmocka_unit_test(the_loser_of_a_tie_waits_not_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
