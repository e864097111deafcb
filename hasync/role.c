#include "hasync/role.h"

#include <stddef.h>

enum {
	/* Nothing more leaves this node, and its workers start afresh. */
	LET_GO = HA_ACT_SHUT_GATE | HA_ACT_RELEASE | HA_ACT_RESTART_WORKERS,
	SEIZE = HA_ACT_NEW_EPOCH | HA_ACT_TAKE | HA_ACT_ACTIVATE,
};

struct cell {
	uint8_t legal;
	uint8_t next;
	uint16_t actions;
};

#define TO(role, acts)                                                         \
	{                                                                      \
		.legal = 1, .next = HA_ROLE_##role, .actions = (acts)          \
	}

/*
 * Facts about the peer and about synchronism may arrive in any role (they
 * race with our own steps) and change nothing where they do not matter.
 * Orders and results are refused where they make no sense.
 */
/* clang-format off: one cell a line */
static const struct cell table[HA_ROLE_COUNT][HA_EV_COUNT] =
	{
		[HA_ROLE_INIT] =
			{
				[HA_EV_PEER_ACTIVE] = TO(SYNCING, HA_ACT_JOIN),
				[HA_EV_CLAIM] = TO(BECOMING_ACTIVE, SEIZE),
				[HA_EV_FAULT] = TO(FAULT, 0),
			},
		[HA_ROLE_SYNCING] =
			{
				[HA_EV_PEER_ACTIVE] = TO(SYNCING, 0),
				[HA_EV_SYNCED] = TO(STANDBY, 0),
				[HA_EV_SYNC_LOST] = TO(SYNCING, 0),
				[HA_EV_CLAIM] = TO(BECOMING_ACTIVE, SEIZE),
				[HA_EV_FAULT] = TO(FAULT, 0),
			},
		[HA_ROLE_STANDBY] =
			{
				[HA_EV_PEER_ACTIVE] = TO(STANDBY, 0),
				[HA_EV_SYNCED] = TO(STANDBY, 0),
				[HA_EV_SYNC_LOST] = TO(SYNCING, HA_ACT_JOIN),
				[HA_EV_CLAIM] = TO(BECOMING_ACTIVE, SEIZE),
				[HA_EV_FAULT] = TO(FAULT, 0),
			},
		[HA_ROLE_BECOMING_ACTIVE] =
			{
				[HA_EV_PEER_ACTIVE] = TO(BECOMING_ACTIVE, 0),
				[HA_EV_SYNCED] = TO(BECOMING_ACTIVE, 0),
				[HA_EV_SYNC_LOST] = TO(BECOMING_ACTIVE, 0),
				[HA_EV_CLAIM_ABORT] = TO(RELINQUISHING, LET_GO),
				[HA_EV_CLAIMED] = TO(ACTIVE, 0),
				[HA_EV_CLAIM_FAILED] = TO(FAULT, LET_GO),
				[HA_EV_YIELD] = TO(RELINQUISHING, LET_GO),
				[HA_EV_FAULT] = TO(FAULT, LET_GO),
			},
		[HA_ROLE_ACTIVE] =
			{
				[HA_EV_PEER_ACTIVE] = TO(ACTIVE, 0),
				[HA_EV_SYNCED] = TO(ACTIVE, 0),
				[HA_EV_SYNC_LOST] = TO(ACTIVE, 0),
				[HA_EV_YIELD] = TO(RELINQUISHING, LET_GO),
				/* The quiesce procedure shuts the gate in its
				   time. */
				[HA_EV_HANDOVER] =
					TO(RELINQUISHING, HA_ACT_QUIESCE),
				[HA_EV_FAULT] = TO(FAULT, LET_GO),
			},
		[HA_ROLE_RELINQUISHING] =
			{
				[HA_EV_PEER_ACTIVE] = TO(RELINQUISHING, 0),
				[HA_EV_SYNCED] = TO(RELINQUISHING, 0),
				[HA_EV_SYNC_LOST] = TO(RELINQUISHING, 0),
				[HA_EV_RELEASED] = TO(SYNCING, HA_ACT_JOIN),
				[HA_EV_FAULT] = TO(FAULT, LET_GO),
			},
		[HA_ROLE_FAULT] =
			{
				[HA_EV_PEER_ACTIVE] = TO(FAULT, 0),
				[HA_EV_SYNCED] = TO(FAULT, 0),
				[HA_EV_SYNC_LOST] = TO(FAULT, 0),
				[HA_EV_RELEASED] = TO(FAULT, 0),
				[HA_EV_FAULT] = TO(FAULT, 0),
				[HA_EV_REPAIRED] = TO(SYNCING, HA_ACT_JOIN),
			},
};
/* clang-format on */

struct ha_step ha_role_step(enum ha_role role, enum ha_event event)
{
	const struct cell *c;

	if ((unsigned)role >= HA_ROLE_COUNT || (unsigned)event >= HA_EV_COUNT)
		return (struct ha_step){.next = role};
	c = &table[role][event];
	if (!c->legal)
		return (struct ha_step){.next = role};
	return (struct ha_step){
		.next = (enum ha_role)c->next,
		.actions = c->actions,
		.legal = true,
	};
}

const char *ha_role_name(enum ha_role role)
{
	static const char *const names[HA_ROLE_COUNT] = {
		[HA_ROLE_INIT] = "INIT",
		[HA_ROLE_SYNCING] = "SYNCING",
		[HA_ROLE_STANDBY] = "STANDBY",
		[HA_ROLE_BECOMING_ACTIVE] = "BECOMING_ACTIVE",
		[HA_ROLE_ACTIVE] = "ACTIVE",
		[HA_ROLE_RELINQUISHING] = "RELINQUISHING",
		[HA_ROLE_FAULT] = "FAULT",
	};

	return (unsigned)role < HA_ROLE_COUNT ? names[role] : "unknown";
}

const char *ha_event_name(enum ha_event event)
{
	static const char *const names[HA_EV_COUNT] = {
		[HA_EV_PEER_ACTIVE] = "peer-active",
		[HA_EV_SYNCED] = "synced",
		[HA_EV_SYNC_LOST] = "sync-lost",
		[HA_EV_CLAIM] = "claim",
		[HA_EV_CLAIM_ABORT] = "claim-abort",
		[HA_EV_CLAIMED] = "claimed",
		[HA_EV_CLAIM_FAILED] = "claim-failed",
		[HA_EV_YIELD] = "yield",
		[HA_EV_HANDOVER] = "handover",
		[HA_EV_RELEASED] = "released",
		[HA_EV_FAULT] = "fault",
		[HA_EV_REPAIRED] = "repaired",
	};

	return (unsigned)event < HA_EV_COUNT ? names[event] : "unknown";
}
