/* Planned switchover, step by step. */
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
