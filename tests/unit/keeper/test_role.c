/* Claims, what they are judged by, and losing the role again. */
#include "tests/unit/keeper/role_fake.h"

/* ---- claims ------------------------------------------------------------- */
static void a_claim_goes_in_order(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	role_on_members(k, true, false, HA_LEFT_NODEDOWN);
	assert_string_equal(journal, "");
	k->roles.ev.peer_left_ms -= 1000;
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	assert_string_equal(journal, "BECOMING_ACTIVE open hold take serve "
				     "sip-activate media-activate ACTIVE ");
	/* A fence token of our own, and the peer's is said already. */
	assert_int_equal(arms_at_open, 1);
	assert_int_equal(said_to, 2);
	/* Above everything heard, with our id; no write was waited for. */
	assert_true(k->roles.epoch > 0x102);
	assert_int_equal(epoch_node(k->roles.epoch), 1);
	journal[0] = '\0';
	turn(f, 250);
	assert_string_equal(journal, "announce announce ");
}

static void a_claim_waits_for_no_worker(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	replayed[HUB_SIP] = false;
	worker_gone[HUB_MEDIA] = true;
	role_on_members(&f->k, true, false, HA_LEFT_PROCDOWN);
	f->k.roles.ev.peer_left_ms -= 1000;
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
}

/* The last words of the dead node are not lost on a worker that serves. */
static void a_sip_worker_serves_when_it_knows_all(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	behind[HUB_SIP] = behind[HUB_MEDIA] = true;
	role_on_members(&f->k, true, false, HA_LEFT_NODEDOWN);
	f->k.roles.ev.peer_left_ms -= 1000;
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
	assert_non_null(strstr(journal, "media-activate"));
	assert_null(strstr(journal, "sip-activate"));
	behind[HUB_SIP] = false;
	role_activate_worker(&f->k, HUB_SIP);
	assert_non_null(strstr(journal, "sip-activate"));
}

static void a_claim_does_not_wait_for_a_dead_disk(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	epoch_heard(&k->epoch, UINT64_C(100000) << 8 | 2);
	role_on_members(k, true, false, HA_LEFT_NODEDOWN);
	k->roles.ev.peer_left_ms -= 1000;
	role_evaluate(k);
	/* Nobody ticks here: that is no stall. */
	k->roles.rules.silence_ms = 60000;
	/* Nothing is reserved so high: written first, but not for ever. */
	assert_string_equal(journal, "write ");
	assert_int_equal(k->roles.role, HA_ROLE_BECOMING_ACTIVE);
	turn(f, 230);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	assert_true(k->roles.epoch > UINT64_C(100000) << 8);
	assert_true(k->disk_failed);
}

static void a_claim_goes_on_when_the_epoch_is_written(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	epoch_heard(&k->epoch, UINT64_C(100000) << 8 | 2);
	role_on_members(k, true, false, HA_LEFT_NODEDOWN);
	k->roles.ev.peer_left_ms -= 1000;
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_BECOMING_ACTIVE);
	reserve_epochs(k);
	role_epoch_written(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	assert_false(k->disk_failed);
}

static void a_gate_that_does_not_open_is_a_fault(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	gate_error = -EPERM;
	role_on_members(&f->k, true, false, HA_LEFT_NODEDOWN);
	f->k.roles.ev.peer_left_ms -= 1000;
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_FAULT);
	assert_string_equal(journal, "BECOMING_ACTIVE open FAULT drop close "
				     "release restart ");
}

static void released_word_makes_a_clean_leave(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	f->k.roles.peer_released_word = true;
	role_on_members(&f->k, true, false, HA_LEFT_PROCDOWN);
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
}

static void the_guards_word_counts_for_its_boot(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	beats.peer_heard = true;
	beats.peer_boot_id = 6;
	beats.released_boot_id = 5;
	role_on_members(&f->k, true, false, HA_LEFT_PROCDOWN);
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_STANDBY);
	beats.released_boot_id = 6;
	role_on_beats(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
}

static void sync_lost_with_the_peer_changes_nothing(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	role_on_sync(&f->k, false, "resync");
	assert_int_equal(f->k.roles.role, HA_ROLE_SYNCING);
	role_on_sync(&f->k, true, "snapshot");
	role_on_members(&f->k, true, false, HA_LEFT_NODEDOWN);
	role_on_sync(&f->k, false, "the donor is gone");
	assert_int_equal(f->k.roles.role, HA_ROLE_STANDBY);
}

static void after_standing_still_it_listens_first(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	role_on_members(&f->k, true, false, HA_LEFT_NODEDOWN);
	f->k.roles.ev.peer_left_ms -= 5000;
	f->k.roles.rules.silence_ms = 2000;
	f->k.roles.looked_ms -= 1001;
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_STANDBY);
	/* A silence, and as long again as it stood. */
	assert_true(f->k.roles.claim_from_ms >= f->k.roles.looked_ms + 3001);
	turn(f, 10);
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_STANDBY);
	f->k.roles.claim_from_ms = 0;
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
}

static void a_long_stall_is_not_waited_for_twice(void **state)
{
	struct fixture *f = *state;
	struct roles *r = &f->k.roles;

	become_standby(f);
	r->rules.silence_ms = 2000;
	r->looked_ms -= 30000;
	role_evaluate(&f->k);
	assert_true(r->claim_from_ms == r->reopen_from_ms + 8000);
	assert_true(r->reopen_from_ms == r->looked_ms + 2000);
	/* A shorter one follows: the first one's wait goes on. */
	r->claim_from_ms += 60000;
	r->looked_ms -= 1500;
	role_evaluate(&f->k);
	assert_true(r->claim_from_ms > r->looked_ms + 60000);
}

/* ---- evidence ----------------------------------------------------------- */
static void with_witness(struct fixture *f)
{
	f->k.roles.ev.witness_configured = true;
	f->k.roles.rules.witness = true;
	role_on_ring(&f->k, 8);
	role_on_quorum(&f->k, true, 8);
	role_on_witness(&f->k, true);
}

static void peer_crashes(struct fixture *f, uint64_t ring)
{
	role_on_ring(&f->k, ring);
	role_on_members(&f->k, true, false, HA_LEFT_NODEDOWN);
	f->k.roles.ev.peer_left_ms -= 1000;
	role_evaluate(&f->k);
}

static void a_claim_waits_for_the_verdict_of_its_ring(void **state)
{
	struct fixture *f = *state;

	become_standby(f);
	with_witness(f);
	peer_crashes(f, 12);
	assert_int_equal(f->k.roles.role, HA_ROLE_STANDBY);
	role_on_quorum(&f->k, false, 12);
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_STANDBY);
	role_on_quorum(&f->k, true, 12);
	role_evaluate(&f->k);
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
}

static void a_witness_lost_beforehand_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	with_witness(f);
	role_on_witness(k, false);
	role_evaluate(k);
	assert_false(k->roles.ev.witness_known_dead);
	/* For a moment only: rings change. */
	role_on_witness(k, true);
	k->roles.ev.ring_ms -= 5000;
	role_evaluate(k);
	assert_false(k->roles.ev.witness_known_dead);
	role_on_witness(k, false);
	k->roles.witness_lost_ms -= 5000;
	role_evaluate(k);
	assert_true(k->roles.ev.witness_known_dead);
	peer_crashes(f, 12);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	/* It comes back, alone with us, and its word counts again. */
	role_on_quorum(k, false, 12);
	role_on_quorum(k, true, 12);
	assert_false(k->roles.ev.witness_known_dead);
}

static void a_witness_that_dies_with_the_peer_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	with_witness(f);
	peer_crashes(f, 12);
	role_on_witness(k, false);
	k->roles.witness_lost_ms -= 5000;
	role_on_quorum(k, false, 12);
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_STANDBY);
}

static void a_vote_taken_back_is_no_verdict(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	with_witness(f);
	peer_crashes(f, 12);
	role_on_quorum(k, true, 12);
	role_on_quorum(k, false, 12);
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	/* A verdict is one. */
	role_on_ring(k, 16);
	role_on_quorum(k, true, 16);
	role_on_ring(k, 20);
	role_on_quorum(k, false, 20);
	role_evaluate(k);
	assert_int_not_equal(k->roles.role, HA_ROLE_ACTIVE);
}

static void a_rivals_beats_are_ahead_of_the_group(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	beats.peer_heard = true;
	beats.peer_role = HA_ROLE_BECOMING_ACTIVE;
	beats.peer_epoch = 1;
	beats.last_heard_ms[0] = clock_mono_ms() + 1000;
	role_on_beats(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	beats.peer_epoch = UINT64_C(0xffff) << 8 | 2;
	role_on_beats(k);
	assert_int_equal(k->roles.role, HA_ROLE_SYNCING);
}

/* ---- losing it ---------------------------------------------------------- */
static void yielding_goes_in_order(void **state)
{
	struct fixture *f = *state;

	become_active(f);
	peer_says(&f->k, HA_ROLE_ACTIVE, UINT64_C(0xffff) << 8 | 2);
	assert_int_equal(f->k.roles.role, HA_ROLE_SYNCING);
	assert_string_equal(journal, "RELINQUISHING drop close release "
				     "restart SYNCING ");
}

static void nothing_is_announced_after_yielding(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	role_on_members(k, true, true, HA_LEFT_NOT);
	peer_says(k, HA_ROLE_INIT, 0);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	peer_says(k, HA_ROLE_ACTIVE, UINT64_C(0xffff) << 8 | 2);
	turn(f, 250);
	assert_null(strstr(journal, "announce"));
}

static void a_lapsed_lease_is_reopened_without_a_rival(void **state)
{
	struct fixture *f = *state;

	become_active(f);
	/* However slow this machine is, it has not stood still. */
	f->k.roles.rules.silence_ms = 60000;
	beats.lapsed = true;
	role_on_beats(&f->k);
	assert_string_equal(journal, "");
	turn(f, 20);
	assert_string_equal(journal, "");
	turn(f, 40);
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
	assert_string_equal(journal, "open hold announce ");
}

static void a_lapsed_lease_stays_shut_beside_a_rival(void **state)
{
	struct fixture *f = *state;

	become_active(f);
	beats.lapsed = true;
	role_on_beats(&f->k);
	peer_says(&f->k, HA_ROLE_ACTIVE, UINT64_C(0xffff) << 8 | 2);
	turn(f, 60);
	assert_null(strstr(journal, "open"));
	assert_int_equal(f->k.roles.role, HA_ROLE_SYNCING);
}

/* Nobody has drawn the conclusion yet. */
static void a_rival_heard_during_a_lapse_counts(void **state)
{
	struct fixture *f = *state;
	const struct ha_status rival = {
		.node = 2,
		.role = HA_ROLE_ACTIVE,
		.epoch = UINT64_C(0xffff) << 8 | 2,
		.active_epoch = UINT64_C(0xffff) << 8 | 2,
	};

	become_active(f);
	beats.lapsed = true;
	role_on_beats(&f->k);
	role_on_status(&f->k, &rival);
	turn(f, 60);
	assert_null(strstr(journal, "open"));
	assert_int_equal(f->k.roles.role, HA_ROLE_SYNCING);
}

static void a_lapsed_lease_waits_for_the_loser_to_go(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	beats.lapsed = true;
	role_on_beats(k);
	beats.peer_heard = true;
	beats.peer_role = HA_ROLE_ACTIVE;
	beats.peer_epoch = 1;
	beats.last_heard_ms[0] = clock_mono_ms() + 1000;
	peer_says(k, HA_ROLE_ACTIVE, 1);
	turn(f, 100);
	assert_null(strstr(journal, "open"));
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	beats.peer_role = HA_ROLE_SYNCING;
	peer_says(k, HA_ROLE_SYNCING, 1);
	beats.last_heard_ms[0] = clock_mono_ms() + 2000;
	turn(f, 100);
	assert_non_null(strstr(journal, "open"));
}

static void a_stall_while_listening_starts_it_anew(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	beats.lapsed = true;
	role_on_beats(k);
	k->roles.looked_ms -= 60000;
	role_evaluate(k);
	k->roles.reopen_from_ms += 60000;
	turn(f, 100);
	assert_null(strstr(journal, "open"));
	/* A machine that stands still itself makes it start anew again. */
	for (int i = 0; i < 100 && !strstr(journal, "open"); i++) {
		k->roles.reopen_from_ms = 0;
		turn(f, 100);
	}
	assert_non_null(strstr(journal, "open"));
}

/* The peer claimed meanwhile, stopped, and has a lease: nothing is heard. */
static void a_lapsed_lease_is_reopened_in_silence_like_a_claim(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	k->roles.rules.lease_ms = 60000;
	beats.peer_heard = true;
	beats.peer_role = HA_ROLE_STANDBY;
	beats.last_heard_ms[0] = clock_mono_ms();
	beats.lapsed = true;
	role_on_beats(k);
	turn(f, 100);
	assert_null(strstr(journal, "open"));
	beats.last_heard_ms[0] -= 60000 + k->roles.rules.jitter_ms;
	turn(f, 100);
	assert_non_null(strstr(journal, "open"));
}

/* What keeps the right for a while opens nothing. */
static void a_lapsed_lease_needs_an_answer_since(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	k->roles.rules.gateway = true;
	k->roles.rules.silence_ms = 20000;
	gateway_answers = false;
	gateway_answered = true;
	beats.peer_heard = true;
	beats.peer_role = HA_ROLE_STANDBY;
	beats.last_heard_ms[0] = clock_mono_ms() - 30000;
	beats.lapsed = true;
	role_on_beats(k);
	turn(f, 100);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	assert_null(strstr(journal, "open"));
	gateway_answers = true;
	turn(f, 100);
	assert_non_null(strstr(journal, "open"));
	gateway_answers = gateway_answered = false;
}

static void after_a_stall_it_listens_as_long_as_a_lease(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;
	uint64_t now_ms;

	become_standby(f);
	k->roles.rules.silence_ms = 2000;
	k->roles.rules.lease_ms = 90000;
	k->roles.looked_ms -= 50000;
	now_ms = clock_mono_ms();
	role_evaluate(k);
	assert_true(k->roles.claim_from_ms >=
		    now_ms + 90000 + k->roles.rules.jitter_ms);
}

static void a_stall_before_the_gate_is_listened_out(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	k->roles.rules.silence_ms = 60000;
	epoch_heard(&k->epoch, UINT64_C(100000) << 8 | 2);
	role_on_members(k, true, false, HA_LEFT_NODEDOWN);
	k->roles.ev.peer_left_ms -= 100000;
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_BECOMING_ACTIVE);
	reserve_epochs(k);
	k->roles.looked_ms -= 50000;
	role_epoch_written(k);
	assert_int_equal(k->roles.role, HA_ROLE_BECOMING_ACTIVE);
	assert_null(strstr(journal, "open"));
	role_evaluate(k);
	assert_null(strstr(journal, "open"));
	k->roles.claim_from_ms = 0;
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
}

static void a_gateway_just_heard_proves_nothing(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	k->roles.rules.gateway = true;
	gateway_answers = true;
	k->config->cluster.beat_ms = 20000;
	role_evaluate(k);
	assert_false(k->roles.ev.gateway_reachable);
	k->roles.ears_ms -= 60000;
	role_evaluate(k);
	assert_true(k->roles.ev.gateway_reachable);
	gateway_answers = false;
	role_evaluate(k);
	/* Its answer is noticed in the turn that hears it. */
	role_listen(k);
	assert_int_equal(k->roles.ears_ms, 0);
	gateway_answers = true;
	role_listen(k);
	assert_int_not_equal(k->roles.ears_ms, 0);
	assert_false(k->roles.ev.gateway_reachable);
}

static void the_peers_death_leaves_time_to_ask(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	k->roles.rules.gateway = true;
	k->roles.rules.silence_ms = 60000;
	gateway_answers = false;
	gateway_answered = true;
	beats.peer_heard = true;
	beats.peer_role = HA_ROLE_STANDBY;
	beats.last_heard_ms[0] = clock_mono_ms();
	role_on_members(k, true, false, HA_LEFT_PROCDOWN);
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	/* They were asked, and say nothing. */
	k->roles.rules.silence_ms = 1;
	beats.last_heard_ms[0] -= 1000;
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_SYNCING);
}

/* ---- fence -------------------------------------------------------------- */
static void the_fenced_one_lets_go(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	arms = 0;
	beats.fenced = true;
	role_on_beats(k);
	assert_int_equal(k->roles.role, HA_ROLE_SYNCING);
	assert_string_equal(journal, "RELINQUISHING drop close release restart "
				     "SYNCING ");
	/* Said aloud, it is worth nothing any more. */
	assert_int_equal(arms, 1);
	assert_false(beats.fenced);
	assert_int_equal(k->fence.fell, 1);
	role_on_beats(k);
	assert_int_equal(k->fence.fell, 1);
}

/* Maintenance: nothing makes it claim, and nobody waits for it to. */
static void in_maintenance_it_does_not_claim(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	may_claim = false;
	role_on_members(k, true, false, HA_LEFT_NODEDOWN);
	k->roles.ev.peer_left_ms -= 1000;
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_STANDBY);
	may_claim = true;
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
}

static void a_peer_in_maintenance_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	role_on_members(k, true, true, HA_LEFT_NOT);
	/* Its epoch is higher: the calls were there. */
	peer_says(k, HA_ROLE_INIT, 0x102);
	assert_int_equal(k->roles.role, HA_ROLE_INIT);
	peer_out = true;
	k->roles.ev.peer_role_ms -= 2000;
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
}

/* But as long as it serves, it serves. */
static void a_peer_that_serves_is_never_out(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	peer_out = true;
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_STANDBY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(in_maintenance_it_does_not_claim),
		T(a_peer_in_maintenance_is_not_waited_for),
		T(a_peer_that_serves_is_never_out),
		T(a_claim_goes_in_order),
		T(a_claim_waits_for_no_worker),
		T(a_sip_worker_serves_when_it_knows_all),
		T(a_claim_does_not_wait_for_a_dead_disk),
		T(a_claim_goes_on_when_the_epoch_is_written),
		T(a_gate_that_does_not_open_is_a_fault),
		T(released_word_makes_a_clean_leave),
		T(the_guards_word_counts_for_its_boot),
		T(sync_lost_with_the_peer_changes_nothing),
		T(after_standing_still_it_listens_first),
		T(a_long_stall_is_not_waited_for_twice),
		T(a_claim_waits_for_the_verdict_of_its_ring),
		T(a_witness_lost_beforehand_is_not_waited_for),
		T(a_witness_that_dies_with_the_peer_is_waited_for),
		T(a_vote_taken_back_is_no_verdict),
		T(a_rivals_beats_are_ahead_of_the_group),
		T(yielding_goes_in_order),
		T(nothing_is_announced_after_yielding),
		T(a_lapsed_lease_is_reopened_without_a_rival),
		T(a_lapsed_lease_stays_shut_beside_a_rival),
		T(a_rival_heard_during_a_lapse_counts),
		T(a_lapsed_lease_waits_for_the_loser_to_go),
		T(a_stall_while_listening_starts_it_anew),
		T(a_lapsed_lease_is_reopened_in_silence_like_a_claim),
		T(a_lapsed_lease_needs_an_answer_since),
		T(after_a_stall_it_listens_as_long_as_a_lease),
		T(a_stall_before_the_gate_is_listened_out),
		T(a_gateway_just_heard_proves_nothing),
		T(the_peers_death_leaves_time_to_ask),
		T(the_fenced_one_lets_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
