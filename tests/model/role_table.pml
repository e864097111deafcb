/* Printed from hasync/role.c by print_table.c: do not edit. */
#define INIT 0
#define SYNCING 1
#define STANDBY 2
#define BECOMING_ACTIVE 3
#define ACTIVE 4
#define RELINQUISHING 5
#define FAULT 6
#define EV_PEER_ACTIVE 0
#define EV_SYNCED 1
#define EV_SYNC_LOST 2
#define EV_CLAIM 3
#define EV_CLAIM_ABORT 4
#define EV_CLAIMED 5
#define EV_CLAIM_FAILED 6
#define EV_YIELD 7
#define EV_HANDOVER 8
#define EV_RELEASED 9
#define EV_FAULT 10
#define EV_REPAIRED 11
#define ACT_SHUT_GATE 1
#define ACT_QUIESCE 2
#define ACT_RELEASE 4
#define ACT_NEW_EPOCH 16
#define ACT_TAKE 32
inline role_step(xrole, xstep)
{
	acts = 0;
	if
	:: xrole == INIT && xstep == EV_PEER_ACTIVE -> xrole = SYNCING; acts = 128
	:: xrole == INIT && xstep == EV_CLAIM -> xrole = BECOMING_ACTIVE; acts = 112
	:: xrole == INIT && xstep == EV_FAULT -> xrole = FAULT; acts = 0
	:: xrole == SYNCING && xstep == EV_SYNCED -> xrole = STANDBY; acts = 0
	:: xrole == SYNCING && xstep == EV_CLAIM -> xrole = BECOMING_ACTIVE; acts = 112
	:: xrole == SYNCING && xstep == EV_FAULT -> xrole = FAULT; acts = 0
	:: xrole == STANDBY && xstep == EV_SYNC_LOST -> xrole = SYNCING; acts = 128
	:: xrole == STANDBY && xstep == EV_CLAIM -> xrole = BECOMING_ACTIVE; acts = 112
	:: xrole == STANDBY && xstep == EV_FAULT -> xrole = FAULT; acts = 0
	:: xrole == BECOMING_ACTIVE && xstep == EV_CLAIM_ABORT -> xrole = RELINQUISHING; acts = 13
	:: xrole == BECOMING_ACTIVE && xstep == EV_CLAIMED -> xrole = ACTIVE; acts = 0
	:: xrole == BECOMING_ACTIVE && xstep == EV_CLAIM_FAILED -> xrole = FAULT; acts = 13
	:: xrole == BECOMING_ACTIVE && xstep == EV_YIELD -> xrole = RELINQUISHING; acts = 13
	:: xrole == BECOMING_ACTIVE && xstep == EV_FAULT -> xrole = FAULT; acts = 13
	:: xrole == ACTIVE && xstep == EV_YIELD -> xrole = RELINQUISHING; acts = 13
	:: xrole == ACTIVE && xstep == EV_HANDOVER -> xrole = RELINQUISHING; acts = 2
	:: xrole == ACTIVE && xstep == EV_FAULT -> xrole = FAULT; acts = 13
	:: xrole == RELINQUISHING && xstep == EV_RELEASED -> xrole = SYNCING; acts = 128
	:: xrole == RELINQUISHING && xstep == EV_FAULT -> xrole = FAULT; acts = 13
	:: xrole == FAULT && xstep == EV_REPAIRED -> xrole = SYNCING; acts = 128
	:: else -> skip
	fi
}
