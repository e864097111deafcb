/* Every pair of role and event, against a table written independently. */
#include "hasync/role.h"

#include <string.h>
#include "cm.h"

enum {
	GO_AWAY = HA_ACT_SHUT_GATE | HA_ACT_RELEASE | HA_ACT_RESTART_WORKERS,
	GRAB = HA_ACT_NEW_EPOCH | HA_ACT_TAKE | HA_ACT_ACTIVATE,
};

struct row {
	char next[HA_EV_COUNT + 1]; /* a letter per event; '-' is refused */
	uint32_t actions[HA_EV_COUNT];
};

/* i INIT, s SYNCING, t STANDBY, b BECOMING_ACTIVE, a ACTIVE,
 * r RELINQUISHING, f FAULT; columns in the order of enum ha_event. */
static const char letters[] = "istbarf";

/* clang-format off */
static const struct row want[HA_ROLE_COUNT] = {
	/*   PA  SD  SL  CL  CA  CD  CF  YI  HO  RE  FA  RP */
	{ "s--b------f-",
	  {HA_ACT_JOIN, 0, 0, GRAB, 0, 0, 0, 0, 0, 0, 0, 0}},
	{ "stsb------f-",
	  {0, 0, 0, GRAB, 0, 0, 0, 0, 0, 0, 0, 0}},
	{ "ttsb------f-",
	  {0, 0, HA_ACT_JOIN, GRAB, 0, 0, 0, 0, 0, 0, 0, 0}},
	{ "bbb-rafr--f-",
	  {0, 0, 0, 0, GO_AWAY, 0, GO_AWAY, GO_AWAY, 0, 0, GO_AWAY, 0}},
	{ "aaa----rr-f-",
	  {0, 0, 0, 0, 0, 0, 0, GO_AWAY, HA_ACT_QUIESCE, 0, GO_AWAY, 0}},
	{ "rrr------sf-",
	  {0, 0, 0, 0, 0, 0, 0, 0, 0, HA_ACT_JOIN, GO_AWAY, 0}},
	{ "fff------ffs",
	  {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, HA_ACT_JOIN}},
};
/* clang-format on */

static void every_pair(void **state)
{
	for (int role = 0; role < HA_ROLE_COUNT; role++) {
		for (int ev = 0; ev < HA_EV_COUNT; ev++) {
			struct ha_step s = ha_role_step((enum ha_role)role,
							(enum ha_event)ev);
			char c = want[role].next[ev];
			int next =
				c == '-' ? role
					 : (int)(strchr(letters, c) - letters);

			if (s.legal != (c != '-') || (int)s.next != next ||
			    s.actions != want[role].actions[ev])
				fail_msg("%s + %s gave %s %x",
					 ha_role_name((enum ha_role)role),
					 ha_event_name((enum ha_event)ev),
					 ha_role_name(s.next), s.actions);
		}
	}
}

static void numbers_are_pinned(void **state)
{
	assert_int_equal(HA_ROLE_INIT, 0);
	assert_int_equal(HA_ROLE_SYNCING, 1);
	assert_int_equal(HA_ROLE_STANDBY, 2);
	assert_int_equal(HA_ROLE_BECOMING_ACTIVE, 3);
	assert_int_equal(HA_ROLE_ACTIVE, 4);
	assert_int_equal(HA_ROLE_RELINQUISHING, 5);
	assert_int_equal(HA_ROLE_FAULT, 6);
}

/* Whatever happens, a node that has served leaves only through a release. */
static void leaving_always_shuts_the_gate(void **state)
{
	static const enum ha_role serving[] = {HA_ROLE_BECOMING_ACTIVE,
					       HA_ROLE_ACTIVE};

	for (int i = 0; i < 2; i++) {
		for (int ev = 0; ev < HA_EV_COUNT; ev++) {
			struct ha_step s =
				ha_role_step(serving[i], (enum ha_event)ev);

			if (s.next == HA_ROLE_ACTIVE ||
			    s.next == HA_ROLE_BECOMING_ACTIVE)
				continue;
			assert_true(s.next == HA_ROLE_RELINQUISHING ||
				    s.next == HA_ROLE_FAULT);
			assert_true(s.actions == GO_AWAY ||
				    s.actions == HA_ACT_QUIESCE);
		}
	}
}

static void nonsense_is_refused(void **state)
{
	assert_false(ha_role_step((enum ha_role)99, HA_EV_CLAIM).legal);
	assert_false(ha_role_step(HA_ROLE_INIT, (enum ha_event)99).legal);
	assert_string_equal(ha_role_name((enum ha_role)99), "unknown");
	assert_string_equal(ha_event_name((enum ha_event)99), "unknown");
	for (int i = 0; i < HA_ROLE_COUNT; i++)
		assert_string_not_equal(ha_role_name((enum ha_role)i),
					"unknown");
	for (int i = 0; i < HA_EV_COUNT; i++)
		assert_string_not_equal(ha_event_name((enum ha_event)i),
					"unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair),
		cmocka_unit_test(numbers_are_pinned),
		cmocka_unit_test(leaving_always_shuts_the_gate),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
