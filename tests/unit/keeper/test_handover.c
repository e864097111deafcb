/* Planned switchover, step by step. */
#include "sbcd/config/tls.h"
#include "tests/unit/keeper/role_fake.h"

/* ---- planned switchover ------------------------------------------------- */
static void switchover_goes_in_order(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	flushed = false;
	handover_request(k, 1, false);
	assert_string_equal(journal, "sip-quiesce media-quiesce ");
	handover_on_worker(k, HUB_SIP, LINK_QUIESCED);
	/* Not its time yet. */
	handover_on_worker(k, HUB_MEDIA, LINK_FORWARDING);
	flushed = true;
	handover_turn(k);
	assert_int_equal(k->handover.phase, HANDOVER_QUIESCING);
	flushed = false;
	handover_on_worker(k, HUB_MEDIA, LINK_QUIESCED);
	assert_int_equal(k->handover.phase, HANDOVER_FLUSHING);
	flushed = true;
	handover_turn(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	handover_on_worker(k, HUB_MEDIA, LINK_FORWARDING);
	assert_string_equal(journal, "sip-quiesce media-quiesce media-forward "
				     "RELINQUISHING drop close GO ");
	/* The peer serves; what is under way is forwarded a little longer. */
	peer_says(k, HA_ROLE_ACTIVE, UINT64_C(0xffff) << 8 | 2);
	turn(f, 50);
	assert_null(strstr(journal, "release"));
	turn(f, 80);
	assert_string_equal(journal + strlen("sip-quiesce media-quiesce "
					     "media-forward RELINQUISHING "
					     "drop close GO "),
			    "release restart SYNCING ");
	assert_int_equal(replies, 1);
	assert_int_equal(k->handover.phase, HANDOVER_NONE);
}

static void switchover_lets_go_without_the_peer(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	handover_request(k, 1, false);
	handover_on_worker(k, HUB_SIP, LINK_QUIESCED);
	handover_on_worker(k, HUB_MEDIA, LINK_QUIESCED);
	handover_on_worker(k, HUB_MEDIA, LINK_FORWARDING);
	turn(f, 200);
	assert_int_equal(k->roles.role, HA_ROLE_RELINQUISHING);
	turn(f, 150);
	assert_int_equal(k->roles.role, HA_ROLE_SYNCING);
	assert_int_equal(errors, 1);
}

static void switchover_is_called_off(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	flushed = false;
	handover_request(k, 1, false);
	handover_on_worker(k, HUB_SIP, LINK_QUIESCED);
	handover_on_worker(k, HUB_MEDIA, LINK_QUIESCED);
	journal[0] = '\0';
	turn(f, 550);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	assert_string_equal(journal, "sip-activate media-activate REFUSED ");
	assert_int_equal(errors, 1);
	assert_non_null(strstr(last_error, "acknowledge"));
	/* And it may be tried again. */
	handover_request(k, 2, false);
	assert_int_equal(errors, 1);
}

static void switchover_without_a_sip_worker(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	replayed[HUB_SIP] = false;
	assert_null(handover_begin(k, "storm", false));
	assert_string_equal(journal, "media-quiesce ");
	/* The other one dies now. */
	worker_gone[HUB_MEDIA] = true;
	handover_on_worker_death(k, HUB_MEDIA);
	assert_int_equal(k->roles.role, HA_ROLE_RELINQUISHING);
}

static void switchover_is_refused(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	role_on_sync(k, false, "missed acks");
	handover_request(k, 1, false);
	assert_non_null(strstr(last_error, "not in sync"));
	assert_string_equal(journal, "");
	handover_request(k, 2, true);
	assert_non_null(strstr(journal, "sip-quiesce"));
	assert_int_equal(errors, 1);
	handover_request(k, 3, true);
	assert_non_null(strstr(last_error, "under way"));
}

static void switchover_needs_a_peer(void **state)
{
	struct fixture *f = *state;

	become_active(f);
	role_on_members(&f->k, true, false, HA_LEFT_NODEDOWN);
	handover_request(&f->k, 1, true);
	assert_non_null(strstr(last_error, "absent"));
}

/* The peer dies before GO: what was prepared is undone. */
static void switchover_to_the_dead_is_called_off(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	for (int in_sync = 0; in_sync < 2; in_sync++) {
		if (!in_sync)
			become_active(f);
		else
			role_on_sync(k, true, "again");
		journal[0] = '\0';
		flushed = false;
		handover_request(k, 1, false);
		handover_on_worker(k, HUB_SIP, LINK_QUIESCED);
		handover_on_worker(k, HUB_MEDIA, LINK_QUIESCED);
		assert_int_equal(k->handover.phase, HANDOVER_FLUSHING);
		if (in_sync)
			role_on_members(k, true, false, HA_LEFT_NODEDOWN);
		else
			role_on_sync(k, false, "acks missed");
		/* Without a peer there is nothing to wait for. */
		flushed = true;
		handover_turn(k);
		assert_int_equal(k->handover.phase, HANDOVER_NONE);
		assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
		assert_non_null(strstr(last_error, "gone"));
		assert_string_equal(journal,
				    "sip-quiesce media-quiesce sip-activate "
				    "media-activate REFUSED ");
	}
}

static void switchover_to_maintenance_is_forced(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	k->roles.peer.health = 0;
	handover_request(k, 1, false);
	assert_non_null(strstr(last_error, "maintenance"));
	assert_string_equal(journal, "");
	handover_request(k, 2, true);
	assert_string_equal(journal, "sip-quiesce media-quiesce ");
}

static void maintenance_does_not_ask(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	k->service.state = SERVICE_MAINTENANCE;
	handover_request(k, 1, false);
	assert_non_null(strstr(last_error, "maintenance"));
	handover_request(k, 2, true);
	assert_string_equal(journal, "ASK ");
}

static void the_standby_asks(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	handover_request(k, 1, false);
	assert_string_equal(journal, "ASK ");
	handover_on_command(k, HA_CMD_REFUSED, 2);
	assert_non_null(strstr(last_error, "not in sync"));
	handover_request(k, 2, false);
	role_on_go(k, 0x102);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
	assert_int_equal(replies, 1);
	assert_int_equal(errors, 1);
}

static void the_active_is_asked(void **state)
{
	struct fixture *f = *state;

	become_active(f);
	handover_on_command(&f->k, HA_CMD_SWITCHOVER_ASK, 0);
	assert_string_equal(journal, "sip-quiesce media-quiesce ");
	journal[0] = '\0';
	handover_on_command(&f->k, HA_CMD_SWITCHOVER_ASK, 0);
	assert_string_equal(journal, "REFUSED ");
}

/* ---- certificates -------------------------------------------------------- */
static struct config_tls two_profiles;

/* What both nodes say of their two profiles. */
static void prints(struct fixture *f, const char *own, uint64_t one,
		   uint64_t two)
{
	json_t *said = json_loads(own, 0, NULL);

	strcpy(two_profiles.profiles[0].name, "edge");
	strcpy(two_profiles.profiles[1].name, "core");
	two_profiles.profiles_len = 2;
	f->config.tls = &two_profiles;
	f->k.roles.peer.prints[0] = one;
	f->k.roles.peer.prints[1] = two;
	prints_on_pong(&f->k, said);
	json_decref(said);
}

static void assert_reason(struct fixture *f, const char *part)
{
	char text[256];

	prints_reason(&f->k, text, sizeof(text));
	assert_non_null(strstr(text, part));
}

static void other_certificates_are_not_in_sync(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	/* Not said yet, here or there: nothing is known to be wrong. */
	prints(f, "{}", 1, 2);
	assert_true(prints_in_sync(k));
	prints(f, "{\"prints\":[\"1\",\"2\"]}", 0, 0);
	assert_true(prints_in_sync(k));
	prints(f, "{\"prints\":[\"1\",\"fedcba9876543210\"]}", 1,
	       0xfedcba9876543210);
	assert_true(prints_in_sync(k));
	assert_reason(f, "joined");
	prints(f, "{\"prints\":[\"1\",\"2\"]}", 1, 3);
	assert_false(prints_in_sync(k));
	assert_reason(f, "tls-profile core:");
	assert_true(k->prints.here == 2 && k->prints.there == 3);
	/* The records are: nothing of theirs has changed. */
	assert_true(k->roles.in_sync);
	/* Of another configuration nothing is compared. */
	f->config.digest = 7;
	prints_turn(k);
	assert_true(prints_in_sync(k));
	f->config.digest = 0;
	prints_turn(k);
	assert_false(prints_in_sync(k));
	/* Nor with nobody. */
	role_on_members(k, true, false, HA_LEFT_NODEDOWN);
	prints_turn(k);
	assert_int_equal(k->prints.differ, 0);
}

static void other_certificates_refuse_people(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	prints(f, "{\"prints\":[\"1\",\"2\"]}", 9, 2);
	handover_request(k, 1, false);
	assert_int_equal(errors, 1);
	assert_non_null(strstr(last_error, "certificates"));
	handover_on_command(k, HA_CMD_SWITCHOVER_ASK, 0);
	assert_string_equal(journal, "REFUSED ");
	assert_int_equal(k->handover.phase, HANDOVER_NONE);
	/* What the node decides for its calls' sake goes on. */
	assert_null(handover_begin(k, "the peer is healthier", false));
}

static void other_certificates_may_be_forced(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_active(f);
	prints(f, "{\"prints\":[\"1\",\"2\"]}", 9, 2);
	handover_request(k, 1, true);
	assert_int_equal(k->handover.phase, HANDOVER_QUIESCING);
	assert_int_equal(errors, 0);
}

static void other_certificates_do_not_stop_a_take_over(void **state)
{
	struct fixture *f = *state;
	struct keeper *k = &f->k;

	become_standby(f);
	prints(f, "{\"prints\":[\"1\",\"2\"]}", 9, 2);
	assert_false(prints_in_sync(k));
	handover_request(k, 1, false);
	assert_int_equal(errors, 1);
	assert_non_null(strstr(last_error, "certificates"));
	assert_int_equal(k->roles.role, HA_ROLE_STANDBY);
	role_on_members(k, true, false, HA_LEFT_NODEDOWN);
	k->roles.ev.peer_left_ms -= 1000;
	role_evaluate(k);
	assert_int_equal(k->roles.role, HA_ROLE_ACTIVE);
}

static void go_in_the_wrong_role_is_nothing(void **state)
{
	struct fixture *f = *state;

	become_active(f);
	role_on_go(&f->k, 5);
	assert_string_equal(journal, "");
	assert_int_equal(f->k.roles.role, HA_ROLE_ACTIVE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(switchover_goes_in_order),
		T(switchover_lets_go_without_the_peer),
		T(switchover_is_called_off),
		T(switchover_without_a_sip_worker),
		T(switchover_is_refused),
		T(switchover_needs_a_peer),
		T(switchover_to_the_dead_is_called_off),
		T(switchover_to_maintenance_is_forced),
		T(maintenance_does_not_ask),
		T(the_standby_asks),
		T(the_active_is_asked),
		T(go_in_the_wrong_role_is_nothing),
		T(other_certificates_are_not_in_sync),
		T(other_certificates_refuse_people),
		T(other_certificates_may_be_forced),
		T(other_certificates_do_not_stop_a_take_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
