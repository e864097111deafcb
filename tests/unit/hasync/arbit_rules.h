/*
 * The rules and the undisturbed evidence that tests of arbitration begin with.
 */
#ifndef TESTS_ARBIT_RULES_H
#define TESTS_ARBIT_RULES_H

#include "hasync/role.h"

enum { SILENCE = 100, LEASE = 60, COLD = 3000, GRACE = 50 };

static const struct ha_rules rules = {
	.silence_ms = SILENCE,
	.lease_ms = LEASE,
	.cold_start_ms = COLD,
	.tie_grace_ms = GRACE,
};

/* A standby beside a healthy active, long after the start. */
static inline struct ha_evidence quiet(void)
{
	return (struct ha_evidence){
		.now_ms = 100000,
		.start_ms = 1000,
		.role = HA_ROLE_STANDBY,
		.node = 2,
		.in_group = true,
		.synced_once = true,
		.peer_left = HA_LEFT_NOT,
		.peer_known = true,
		.peer_role = HA_ROLE_ACTIVE,
		.peer_epoch = 5,
		.peer_active_epoch = 5,
		.own_epoch = 5,
		.own_active_epoch = 3,
		.peer_node = 1,
		.last_beat_ms = 99995,
	};
}

#endif
