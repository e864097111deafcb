/*
 * failover.pml - two nodes, a witness and two networks: who may transmit.
 *
 * What it is: the role table of hasync/role.c (role_table.pml is printed from
 * it), the arbitration rules of hasync/arbit.c, the egress lease, the fence
 * token and the epochs, in discrete ticks, with both orders of the two nodes
 * inside a tick. run.py checks it exhaustively; -DNO_LEASE, -DNO_FENCE,
 * -DNO_EPOCH and -DNO_LEASE_WAIT each take one protection out and must fail.
 *
 * Ticks: one tick is one beat interval. LEASE ticks without a renewal close
 * the gate; SILENCE ticks without a beat on any path make a peer silent, and
 * after CLAIM_AT (never before LEASE + JITTER) it is replaced; STALL ticks
 * without a turn of the main loop stop beats and renewals. The lease is
 * shorter than the silence (2, 3), or longer (-DLEASE=4 -DSILENCE=3).
 *
 * Faults (at most FAULTS present at a time, any number one after the other;
 * KINDS chooses among them): crash and boot of a node, death of a keeper (its
 * guard releases and says so) and its restart (CRASHES); a stop of all
 * processes of a node, a stop of the main loop only (STOPS); a pause of the
 * whole machine, its clock included, for any time (PAUSES); a cut of either
 * direction of either node's port on either network (CUTS); loss of the
 * witness (VOTES); and always loss of the beats of a tick, never of two in a
 * row, nor around a cut, and with the longer lease once a silence.
 *
 * Safety, counted in ticks in which frames of both nodes reach the service
 * network:
 *  - none at all, unless the old active was paused as a whole machine, or its
 *    way to the service network came back from a cut;
 *  - at most HEAL_BOUND after such a cut: the claim and the healing crossed,
 *    and the next beats settle it;
 *  - at most FENCE_BOUND after a pause, while a way from the new active to
 *    the old one exists and a token was agreed: it reaches the kernel;
 *  - at most BOUND in any case.
 * Liveness (-DLIVE, without the assertions): from the moment when nothing
 * changes any more, whatever is broken then, and one node is well (it runs,
 * its ports work; with a witness it is quorate or knows the witness for dead),
 * some gate is open for ever.
 *
 * Fewer states, the same behaviour: what a running process is sent it hears at
 * once, so a ring holds frames of a stopped node only; of two frames that wait
 * the last role, the greatest epoch and whether a token was among them is
 * kept; only the order of epochs counts; a state and its mirror image are one.
 *
 * Not covered, for it does not hold: with a witness and two cuts at once a
 * node whose own cut took the witness's vote from it takes the witness for
 * dead and claims on its gateway's answer, while the other one, quorate, is
 * deaf to it (FAULTS=2 KINDS=24 WITNESS shows it; README, Limits).
 *
 * Left out: time finer than a tick (the order of two events inside a tick is
 * nondeterministic instead), so two faults begin at least a tick apart; three
 * faults at once; the contents of records and their replication; health and
 * preference (they ask for a planned switchover, which is in); a switch that
 * breaks into two halves with a gateway in each (only a witness helps there,
 * see README); how long the witness takes for its verdict, which a silent
 * peer's successor does not wait for; how old a gateway's answer is; forged
 * frames (beats and tokens are keyed); a host that loses its disk and with it
 * its epoch; corosync as a process of its own: its membership is what the HA
 * network and the machines allow. That the loser of a tie claims after a
 * while is in the liveness model only: its claim and one of a winner whose cut
 * was just healed may cross. Those are in tests/unit/keeper/test_pair.c, with the keepers' own code, by
 * random schedules and not exhaustively.
 */
#include "role_table.pml"

#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef LEASE
#define LEASE 2
#endif
#ifndef SILENCE
#define SILENCE 3
#endif
#ifndef JITTER
#define JITTER 1 /* between the last beat heard and the renewal behind it */
#endif
#define STALL 1
#define LAPSE 2
#define EARS 3 /* ticks of hearing others that make silence a proof */
#define TIE 3 /* ticks without an active before one of two claims */
#ifdef LIVE
#define LOSER 7 /* and before the other one does */
#define WAITS(i) (WINS(i) -> TIE : LOSER)
#define CLAIMS(i) true
#else
#define WAITS(i) TIE
#define CLAIMS(i) WINS(i)
#endif
#if defined(NO_LEASE_WAIT) || SILENCE >= LEASE + JITTER
#define CLAIM_AT SILENCE
#else
#define CLAIM_AT (LEASE + JITTER)
#endif
/* A longer wait is as little made up of losses as a short one. */
#if CLAIM_AT > SILENCE
#define LOSS_BEGINS (n[0].silent == 0 && n[1].silent == 0)
#else
#define LOSS_BEGINS true
#endif
#define UNKNOWN 7 /* role of a peer never heard */
#define FENCE_BOUND 0
#define HEAL_BOUND 3
#define BOUND (CLAIM_AT + LEASE + STALL)

/* Kinds of faults, as bits of KINDS. */
#define CRASHES 1
#define STOPS 2
#define PAUSES 4
#define CUTS 8
#define VOTES 16
#ifndef KINDS
#define KINDS 31
#endif

typedef Node {
	/* The machine and its processes. */
	unsigned up : 1;
	unsigned frozen : 1; /* the machine: nothing runs, no clock */
	unsigned stopped : 1; /* all processes; the kernel goes on */
	unsigned keeper : 1;
	unsigned starved : 1; /* the main loop only */
	unsigned was_frozen : 1; /* since it became active */
	unsigned was_cut : 1; /* its way to the service network, likewise */
	unsigned stood : 1; /* the main loop has not run since a stop */
	/* The kernel: gate, and what waits in the receive ring. */
	unsigned lease : 3; /* the gate is open while > 0 */
	unsigned fenced : 1;
	unsigned token : 1; /* ours, not seen yet: the machine is paused */
	unsigned waiting : 2; /* frames, two deep */
	unsigned ring_role : 3; /* of the last of them, UNKNOWN: it was read */
	unsigned ring_epoch : 3;
	/* The keeper. */
	unsigned role : 3;
	unsigned taken : 1; /* this role opened its gate */
	unsigned stall : 2; /* ticks since the main loop ran */
	unsigned silent : 3; /* ticks since a beat, up to CLAIM_AT */
	unsigned peer : 3; /* its role, as last heard */
	unsigned grace : 3; /* ticks in which nobody served */
	unsigned ears : 2; /* ticks in which others were heard */
	unsigned go : 1; /* the peer handed over, or its guard released */
	unsigned agreed : 1; /* holds the token of the peer's activation */
	unsigned judged : 1; /* alone, the witness was for it */
	unsigned witness_dead : 1; /* known to be */
	/* Ports: HA and service network, both directions. */
	unsigned htx : 1;
	unsigned hrx : 1;
	unsigned stx : 1;
	unsigned srx : 1;
	/* Ranks, kept dense by compress(). */
	unsigned epoch : 3; /* of its last activation; on disk */
	unsigned heard : 3; /* greatest epoch known, on disk too */
};
Node n[2];
bit witness, vote, lost, calm;
bit low; /* who has the lower id, until there is an epoch */
unsigned both : 4;
unsigned both_path : 3;
/* Used within one tick, 0 between ticks. */
byte acts, faults, v, top, hit, said, said_epoch;
bit lossy, me, together, high;

#define SERVES(r) (r == BECOMING_ACTIVE || r == ACTIVE)
#define ALIVE(i) (n[i].up && !n[i].frozen)
#define COROSYNC(i) (ALIVE(i) && !n[i].stopped)
#define HA(i, j) (n[i].htx && n[j].hrx)
#define SVC(i, j) (n[i].stx && n[j].srx)
#define PATH(i, j) (HA(i, j) || SVC(i, j))
#define GATEWAY(i) (n[i].stx && n[i].srx)
#define TOGETHER (COROSYNC(0) && COROSYNC(1) && HA(0, 1) && HA(1, 0))
#define WITNESSED(i) (witness && COROSYNC(i) && n[i].htx && n[i].hrx)
#define QUORATE(i) (TOGETHER || (WITNESSED(i) && vote == i))
#define CUT(i) (!n[i].htx || !n[i].hrx || !n[i].stx || !n[i].srx)
#define RUNS(i) (ALIVE(i) && n[i].keeper && !n[i].stopped)
#define WELL(i) (RUNS(i) && !n[i].starved && !CUT(i))
#define OPEN(i) (ALIVE(i) && n[i].lease)
#define ON_WIRE(i) (OPEN(i) && n[i].stx)

/* The witness, where there is one and it lives, has the last word. */
#ifdef WITNESS
#define REFUSED(i) (!n[i].witness_dead && !QUORATE(i))
#define BACKED(i) (n[i].witness_dead -> GATEWAY(i) : QUORATE(i))
#else
#define REFUSED(i) false
#define BACKED(i) GATEWAY(i)
#endif

#ifdef NO_EPOCH
#define NEWER(a, b) false
#else
#define NEWER(a, b) (a > b)
#endif

/* ---- epochs: only their order counts ------------------------------------- */
#define LIFT(x)                                                                \
	if                                                                     \
	:: x > top -> x = x + 1                                                \
	:: else -> skip                                                        \
	fi
#define LOWER(x)                                                               \
	if                                                                     \
	:: x > v -> x = x - 1                                                  \
	:: else -> skip                                                        \
	fi
#define USES(v)                                                                \
	(n[0].epoch == v || n[1].epoch == v || n[0].heard == v ||              \
	 n[1].heard == v || n[0].ring_epoch == v || n[1].ring_epoch == v)

/*
 * Greater than all it has heard. Of what the peer made meanwhile, the first
 * may be smaller or greater, by node id; the rest is greater.
 */
inline new_epoch(i, j)
{
	top = n[i].heard;
	if
	:: high && n[j].epoch > top -> top = n[j].epoch
	:: else -> skip
	fi;
	LIFT(n[j].epoch); LIFT(n[j].heard);
	LIFT(n[i].ring_epoch); LIFT(n[j].ring_epoch);
	n[i].epoch = top + 1; n[i].heard = top + 1;
	n[j].agreed = 0
}

inline compress()
{
	/* Below what it has heard, an old epoch of its own means nothing. */
	if
	:: !SERVES(n[0].role) && n[0].epoch < n[0].heard -> n[0].epoch = 0
	:: else -> skip
	fi;
	if
	:: !SERVES(n[1].role) && n[1].epoch < n[1].heard -> n[1].epoch = 0
	:: else -> skip
	fi;
	v = 1;
	do
	:: v < n[0].heard || v < n[1].heard ->
		if
		:: !USES(v) ->
			LOWER(n[0].epoch); LOWER(n[1].epoch);
			LOWER(n[0].heard); LOWER(n[1].heard);
			LOWER(n[0].ring_epoch); LOWER(n[1].ring_epoch)
		:: else -> v = v + 1
		fi
	:: else -> break
	od;
	assert(n[0].heard < 6 && n[1].heard < 6)
}

/* A step of the role table and what it does. */
inline event(i, j, xevent)
{
	role_step(n[i].role, xevent);
	if
	:: acts & (ACT_SHUT_GATE | ACT_QUIESCE) ->
		n[i].lease = 0; n[i].taken = 0;
		n[i].fenced = 0; n[i].was_frozen = 0; n[i].was_cut = 0
	:: else -> skip
	fi;
	if
	:: acts & ACT_NEW_EPOCH ->
		new_epoch(i, j);
		n[i].go = 0; n[i].grace = CLAIM_AT
	:: else -> skip
	fi
}

/* ---- what the environment does ------------------------------------------- */
inline forget_keeper(i)
{
	n[i].role = INIT; n[i].taken = 0; n[i].stall = 0;
	n[i].silent = 0; n[i].peer = UNKNOWN; n[i].grace = 0; n[i].go = 0;
	n[i].witness_dead = 0; n[i].judged = 0; n[i].agreed = 0;
	n[i].stood = 0; n[i].ears = 0; n[i].starved = 0;
	n[i].was_frozen = 0; n[i].was_cut = 0;
	/* The guard, or the end of the machine: nothing is sent any more. */
	n[i].lease = 0; n[i].fenced = 0;
	n[i].token = 0; n[i].waiting = 0; n[i].ring_role = UNKNOWN;
	n[i].ring_epoch = 0
}

inline count_faults()
{
	faults = (1 - witness) + (1 - n[0].up) + (1 - n[1].up) +
		n[0].frozen + n[1].frozen + n[0].stopped + n[1].stopped +
		(1 - n[0].keeper) + (1 - n[1].keeper) +
		n[0].starved + n[1].starved +
		(1 - n[0].htx) + (1 - n[1].htx) +
		(1 - n[0].hrx) + (1 - n[1].hrx) +
		(1 - n[0].stx) + (1 - n[1].stx) +
		(1 - n[0].srx) + (1 - n[1].srx)
}

inline break_node(i, j)
{
	if
	:: (KINDS & CRASHES) && n[i].up -> /* power loss */
		n[i].up = 0; n[i].keeper = 1; n[i].frozen = 0;
		n[i].stopped = 0;
		forget_keeper(i)
	:: (KINDS & CRASHES) && ALIVE(i) && !n[i].stopped && n[i].keeper ->
		/* Its guard says that it has released. */
		if
		:: SERVES(n[i].role) && !SERVES(n[j].role) && RUNS(j) &&
		   PATH(i, j) -> n[j].go = 1
		:: skip
		fi;
		n[i].keeper = 0;
		forget_keeper(i)
	:: (KINDS & STOPS) && ALIVE(i) && n[i].keeper && !n[i].stopped ->
		n[i].stopped = 1
	:: (KINDS & STOPS) && RUNS(i) && !n[i].starved -> n[i].starved = 1
	:: (KINDS & PAUSES) && ALIVE(i) -> n[i].frozen = 1
	:: (KINDS & CUTS) && n[i].htx -> n[i].htx = 0
	:: (KINDS & CUTS) && n[i].hrx -> n[i].hrx = 0
	:: (KINDS & CUTS) && n[i].stx -> n[i].stx = 0
	:: (KINDS & CUTS) && n[i].srx -> n[i].srx = 0
#ifdef WITNESS
	:: (KINDS & VOTES) && i == 0 && witness -> witness = 0
#endif
	:: else -> skip
	fi
}

inline repair_node(i, j)
{
	if
	:: !n[i].up -> n[i].up = 1; n[j].go = 0
	:: !n[i].keeper -> n[i].keeper = 1; n[j].go = 0
	:: n[i].stopped && !n[i].frozen -> n[i].stopped = 0; n[i].stood = 1
	:: n[i].starved && !n[i].frozen -> n[i].starved = 0; n[i].stood = 1
	:: n[i].frozen -> n[i].frozen = 0; n[i].was_frozen = 1;
		n[i].stood = 1
	:: !n[i].htx -> n[i].htx = 1
	:: !n[i].hrx -> n[i].hrx = 1
	:: !n[i].stx -> n[i].stx = 1; n[i].was_cut = 1
	:: !n[i].srx -> n[i].srx = 1
	:: i == 0 && !witness -> witness = 1
	:: else -> skip
	fi
}

inline pick()
{
	if
	:: me = 0
	:: me = 1
	fi
}

#define MAY_HAND_OVER(i, j)                                                    \
	(n[i].role == ACTIVE && n[i].lease > 0 && TOGETHER && n[i].keeper &&   \
	 n[j].keeper && !n[i].starved && !n[j].starved && n[j].role == STANDBY)

inline environment()
{
	count_faults();
	together = TOGETHER;
#ifdef LIVE
	if
	:: !calm -> calm = 1
	:: true -> skip
	fi;
#endif
	if
	:: skip
	:: !calm && faults < FAULTS -> pick(); break_node(me, (1 - me))
	:: !calm && faults > 0 -> pick(); repair_node(me, (1 - me))
	:: !calm && MAY_HAND_OVER(0, 1) -> event(0, 1, EV_HANDOVER); n[1].go = 1
	:: !calm && MAY_HAND_OVER(1, 0) -> event(1, 0, EV_HANDOVER); n[0].go = 1
	fi;
	if
	:: lossy = 0
	:: !lost && !CUT(0) && !CUT(1) && !calm && LOSS_BEGINS -> lossy = 1
	fi;
	lost = lossy || CUT(0) || CUT(1);
	if
	:: high = 0
	:: n[0].heard != n[1].heard -> high = 1
	fi;
#ifdef WITNESS
	/* ffsplit: the vote stays with whom the witness hears. */
	if
	:: together && !TOGETHER -> vote = 0
	:: together && !TOGETHER -> vote = 1
	:: else -> skip
	fi;
	if
	:: TOGETHER -> vote = 0
	:: !TOGETHER && !WITNESSED(vote) && WITNESSED(1 - vote) ->
		vote = 1 - vote
	:: else -> skip
	fi;
	/* Missed, sooner or later, while nobody needs it. */
	if
	:: !TOGETHER || witness || !calm ||
	   ((n[0].witness_dead || !RUNS(0)) &&
	    (n[1].witness_dead || !RUNS(1))) -> skip
	:: TOGETHER && !witness && !n[0].witness_dead && RUNS(0) ->
		n[0].witness_dead = 1
	:: TOGETHER && !witness && !n[1].witness_dead && RUNS(1) ->
		n[1].witness_dead = 1
	fi
#endif
}

/* ---- a node -------------------------------------------------------------- */
inline fence(i)
{
#ifndef NO_FENCE
	n[i].lease = 0; n[i].fenced = 1
#else
	skip
#endif
}

inline kernel(i)
{
	if
	:: n[i].token -> n[i].token = 0; fence(i)
	:: else -> skip
	fi;
#ifndef NO_LEASE
	if
	:: n[i].lease > 0 -> n[i].lease = n[i].lease - 1
	:: else -> skip
	fi
#endif
}

inline hear(i, j, xrole, xepoch)
{
	n[i].silent = 0;
	if
	:: xepoch > n[i].heard -> n[i].heard = xepoch
	:: else -> skip
	fi;
	/* The token that fences this activation was agreed on CPG. */
	if
	:: SERVES(xrole) && TOGETHER && !SERVES(n[i].role) &&
	   xepoch == n[j].epoch -> n[i].agreed = 1
	:: else -> skip
	fi;
	n[i].peer = xrole
}

/* The beat thread. What came while it ran was heard at once. */
inline listen(i, j)
{
	hit = n[i].waiting > 0;
	if
	:: n[i].ring_role != UNKNOWN ->
		hear(i, j, n[i].ring_role, n[i].ring_epoch)
	:: else -> skip
	fi;
	n[i].waiting = 0; n[i].ring_role = UNKNOWN; n[i].ring_epoch = 0;
	if
	:: !hit && n[i].silent < CLAIM_AT -> n[i].silent = n[i].silent + 1
	:: else -> skip
	fi;
	/* Silence proves something while others are heard. */
	if
	:: n[i].silent == 0 || !BACKED(i) || n[i].stood || n[i].lease > 0 ->
		n[i].ears = 0
	:: else ->
		if
		:: n[i].ears < EARS -> n[i].ears = n[i].ears + 1
		:: else -> skip
		fi
	fi;
	hit = 0
}

/* A full ring drops what comes last. A running kernel sees the token on
 * arrival; what waits for a stopped process is but the beat. */
inline deliver(i, j)
{
	if
	:: n[i].taken && n[i].agreed && n[j].taken &&
	   n[i].epoch > n[j].epoch ->
		if
		:: ALIVE(j) -> fence(j)
		:: !ALIVE(j) && n[j].waiting < 2 -> n[j].token = 1
		:: else -> skip
		fi
	:: else -> skip
	fi;
	if
	:: RUNS(j) -> n[j].waiting = 1; hear(j, i, said, said_epoch)
	:: !RUNS(j) && n[j].keeper && n[j].waiting < 2 ->
		n[j].waiting = n[j].waiting + 1;
		n[j].ring_role = said;
		if
		:: n[j].ring_epoch < said_epoch -> n[j].ring_epoch = said_epoch
		:: else -> skip
		fi
	:: else -> skip
	fi
}

inline take(i)
{
	n[i].lease = LEASE; n[i].taken = 1; n[i].fenced = 0; n[i].grace = 0;
	n[i].was_frozen = 0; n[i].was_cut = 0
}

#define HEARD(i) (n[i].silent < SILENCE)
#define RIGHT(i) (HEARD(i) || BACKED(i))

inline keep_lease(i)
{
	if
	/* A lapsed lease is reopened after listening for a while, as long as
	 * for a claim when nothing is heard, and not beside a peer that still
	 * has to learn that it must yield. */
	:: n[i].lease > 0 || n[i].stood || (HEARD(i) && SERVES(n[i].peer)) ->
		n[i].grace = 0
	:: else ->
		if
		:: n[i].grace < LAPSE -> n[i].grace = n[i].grace + 1
		:: n[i].grace >= LAPSE &&
		   ((n[i].ears == EARS && n[i].silent == CLAIM_AT) ||
		    n[i].silent == 0) ->
			n[i].lease = LEASE; n[i].grace = 0
		:: else -> skip
		fi
	fi
}

inline while_serving(i, j)
{
	hit = 1; /* a role is left for the next tick */
	if
	:: (HEARD(i) && SERVES(n[i].peer) &&
	    NEWER(n[i].heard, n[i].epoch)) || REFUSED(i) || n[i].fenced ||
	   !RIGHT(i) ->
		event(i, j, EV_YIELD)
	:: else ->
		if
		/* After a stall the gate waits until it has listened. */
		:: n[i].role == BECOMING_ACTIVE && !n[i].taken && n[i].stood ->
			n[i].grace = 0
		:: n[i].role == BECOMING_ACTIVE && !n[i].taken &&
		   !n[i].stood && n[i].grace < CLAIM_AT ->
			n[i].grace = n[i].grace + 1
		:: n[i].role == BECOMING_ACTIVE && !n[i].taken &&
		   !n[i].stood && n[i].grace == CLAIM_AT -> take(i)
		:: n[i].role == BECOMING_ACTIVE && n[i].taken ->
			event(i, j, EV_CLAIMED)
		:: n[i].role == ACTIVE -> keep_lease(i)
		fi
	fi
}

#define RANK(r) (r == STANDBY -> 3 : (r == SYNCING -> 2 : (r == INIT -> 1 : 0)))
#define OWN_RANK(i) RANK(n[i].role)
#define PEER_RANK(i) RANK(n[i].peer)
#define WINS(i)                                                                \
	(OWN_RANK(i) > PEER_RANK(i) ||                                         \
	 (OWN_RANK(i) == PEER_RANK(i) &&                                       \
	  (n[i].heard == 0 -> i == low : n[i].epoch == n[i].heard)))

inline while_waiting(i, j)
{
	if
	:: n[i].role == RELINQUISHING -> event(i, j, EV_RELEASED)
	:: n[i].role == FAULT -> event(i, j, EV_REPAIRED)
	:: n[i].go && n[i].role != INIT && n[i].role != RELINQUISHING &&
	   n[i].role != FAULT && !n[i].stood -> event(i, j, EV_CLAIM)
	:: else ->
		n[i].go = 0;
		if
		:: n[i].silent == CLAIM_AT && n[i].ears == EARS &&
		   !REFUSED(i) && !n[i].stood -> event(i, j, EV_CLAIM)
		:: HEARD(i) && SERVES(n[i].peer) ->
			n[i].grace = 0;
			if
			:: n[i].role == INIT -> event(i, j, EV_PEER_ACTIVE)
			:: n[i].role == SYNCING && TOGETHER ->
				event(i, j, EV_SYNCED)
			:: else -> skip
			fi
		:: HEARD(i) && !SERVES(n[i].peer) &&
		   n[i].peer != UNKNOWN && n[i].peer != RELINQUISHING &&
		   CLAIMS(i) && BACKED(i) && !REFUSED(i) && !n[i].stood ->
			if
			:: n[i].grace < WAITS(i) ->
				n[i].grace = n[i].grace + 1
			:: else -> event(i, j, EV_CLAIM)
			fi
		:: else -> n[i].grace = 0
		fi
	fi
}

/* What the quorum has said about a node alone, and took back. */
inline heed_witness(i)
{
#ifdef WITNESS
	if
	:: TOGETHER && witness -> n[i].witness_dead = 0; n[i].judged = 0
	:: TOGETHER && !witness -> n[i].judged = 0
	:: !TOGETHER && QUORATE(i) -> n[i].judged = 1; n[i].witness_dead = 0
	:: else ->
		if
		:: n[i].judged -> n[i].witness_dead = 1; n[i].judged = 0
		:: else -> skip
		fi
	fi
#else
	skip
#endif
}

#define SAYS(i) (SERVES(n[i].role) -> ACTIVE : n[i].role)
#define SAID_EPOCH(i) (SERVES(n[i].role) -> n[i].epoch : n[i].heard)

inline beat(i, j)
{
	if
	:: n[i].taken && n[i].lease > 0 && !n[i].fenced ->
		n[i].lease = LEASE
	:: else -> skip
	fi;
	if
	:: !lossy && n[j].up && PATH(i, j) ->
		said = SAYS(i);
		said_epoch = SAID_EPOCH(i);
		deliver(i, j)
	:: else -> skip
	fi
}

/* Each d_step is at most as long as the tool allows. */
inline step(i, j)
{
	d_step {
		if
		:: ALIVE(i) -> kernel(i)
		:: else -> skip
		fi;
		if
		:: RUNS(i) -> heed_witness(i); listen(i, j)
		:: else -> skip
		fi
	};
	d_step {
		if
		:: RUNS(i) && n[i].starved ->
			n[i].stall = (n[i].stall <= STALL -> n[i].stall + 1 :
							    n[i].stall)
		:: RUNS(i) && !n[i].starved && SERVES(n[i].role) ->
			while_serving(i, j)
		:: else -> skip
		fi
	};
	d_step {
		if
		:: RUNS(i) && !n[i].starved && !hit && !SERVES(n[i].role) ->
			while_waiting(i, j)
		:: else -> skip
		fi;
		if
		:: RUNS(i) && !n[i].starved -> n[i].stall = 0; n[i].stood = 0
		:: else -> skip
		fi
	};
	d_step {
		if
		:: RUNS(i) && n[i].stall <= STALL -> beat(i, j)
		:: else -> skip
		fi
	}
}

/* ---- what must hold ------------------------------------------------------ */
#define TWO (ON_WIRE(0) && ON_WIRE(1))
#define FENCES(i, j)                                                           \
	(n[i].epoch > n[j].epoch && n[i].agreed && PATH(i, j) && !lossy &&     \
	 n[i].stall <= STALL && !n[i].stopped && n[i].keeper)

/* A counterexample is replayed with spin -t: one line a node and tick. */
inline print(i)
{
	printf("%d: up=%d frozen=%d stopped=%d keeper=%d starved=%d", i,
	       n[i].up, n[i].frozen, n[i].stopped, n[i].keeper, n[i].starved);
	printf(" role=%d lease=%d taken=%d fenced=%d silent=%d",
	       n[i].role, n[i].lease, n[i].taken, n[i].fenced,
	       n[i].silent);
	printf(" peer=%d epoch=%d heard=%d agreed=%d grace=%d stall=%d",
	       n[i].peer, n[i].epoch, n[i].heard, n[i].agreed, n[i].grace,
	       n[i].stall);
	printf(" ports=%d%d%d%d ring=%d was-frozen=%d stood=%d go=%d",
	       n[i].htx, n[i].hrx, n[i].stx, n[i].srx, n[i].waiting,
	       n[i].was_frozen, n[i].stood, n[i].go);
	printf(" ears=%d judged=%d witness-dead=%d\n", n[i].ears, n[i].judged,
	       n[i].witness_dead)
}

inline judge()
{
	print(0);
	print(1);
	printf("-- first=%d lossy=%d witness=%d vote=%d calm=%d both=%d\n",
	       1 - me, lossy, witness, vote, calm, both);
	if
	:: TWO -> both = (both < 15 -> both + 1 : 15)
	:: else -> both = 0
	fi;
	if
	:: TWO && (FENCES(0, 1) || FENCES(1, 0)) ->
		both_path = (both_path < 7 -> both_path + 1 : 7)
	:: else -> both_path = 0
	fi;
#ifndef LIVE
	assert(!TWO || n[0].was_frozen || n[1].was_frozen ||
	       n[0].was_cut || n[1].was_cut);
	assert(both <= HEAL_BOUND || n[0].was_frozen || n[1].was_frozen);
	assert(both_path <= FENCE_BOUND);
	assert(both <= BOUND)
#else
	both = 0;
	both_path = 0
#endif
}

/* ---- fewer states, the same behaviour ------------------------------------ */
inline tidy(i)
{
	/* Not looked at any more, until it is set anew. */
	if
	:: !HEARD(i) -> n[i].peer = UNKNOWN
	:: else -> skip
	fi;
	if
	:: !n[i].taken -> n[i].was_frozen = 0; n[i].was_cut = 0
	:: else -> skip
	fi;
	if
	:: n[i].role == RELINQUISHING || n[i].role == FAULT -> n[i].grace = 0
	:: else -> skip
	fi;
	/* Its next activation has another token. */
	if
	:: !SERVES(n[i].role) -> n[1 - i].agreed = 0
	:: else -> skip
	fi
}

#define SWAP(f) v = n[0].f; n[0].f = n[1].f; n[1].f = v
#define KEY(i)                                                                 \
	((((((((n[i].role * 8 + n[i].epoch) * 8 + n[i].heard) * 2 +            \
	      n[i].up) * 2 + n[i].frozen) * 4 + n[i].silent) * 2 +             \
	   n[i].htx * 2 + n[i].hrx) * 4 + n[i].stx * 2 + n[i].srx) * 4 +       \
	 n[i].lease)

/* The nodes differ by nothing but their ids: a state and its mirror image
 * are one. */
inline mirror()
{
	if
	:: KEY(0) < KEY(1) ->
		printf("-- 0 and 1 change names\n");
		SWAP(up); SWAP(frozen); SWAP(stopped); SWAP(keeper);
		SWAP(starved); SWAP(was_frozen); SWAP(was_cut); SWAP(stood);
		SWAP(lease); SWAP(fenced); SWAP(token); SWAP(waiting);
		SWAP(ring_role); SWAP(ring_epoch); SWAP(role); SWAP(taken);
		SWAP(stall); SWAP(silent); SWAP(peer); SWAP(grace);
		SWAP(ears); SWAP(go); SWAP(agreed); SWAP(judged);
		SWAP(witness_dead); SWAP(htx); SWAP(hrx); SWAP(stx);
		SWAP(srx); SWAP(epoch); SWAP(heard);
		low = 1 - low;
#ifdef WITNESS
		if
		:: !TOGETHER -> vote = 1 - vote
		:: else -> skip
		fi
#endif
	:: else -> skip
	fi;
	if
	:: n[0].heard || n[1].heard -> low = 0
	:: else -> skip
	fi
}

active proctype world()
{
	d_step {
		n[0].up = 1; n[1].up = 1; n[0].keeper = 1; n[1].keeper = 1;
		n[0].htx = 1; n[0].hrx = 1; n[0].stx = 1; n[0].srx = 1;
		n[1].htx = 1; n[1].hrx = 1; n[1].stx = 1; n[1].srx = 1;
		n[0].peer = UNKNOWN; n[1].peer = UNKNOWN;
		n[0].ring_role = UNKNOWN; n[1].ring_role = UNKNOWN;
		witness = 1
	}
	do
	:: atomic {
		environment();
		pick();
		step(me, (1 - me));
		me = 1 - me;
		step(me, (1 - me));
		d_step {
			judge();
			compress();
			tidy(0);
			tidy(1);
			mirror();
			acts = 0; faults = 0; top = 0; said = 0; said_epoch = 0; lossy = 0; hit = 0;
			me = 0; v = 0; together = 0; high = 0
		}
	   }
	od
}

#ifdef LIVE
/* When nothing changes any more and one node is well, somebody becomes
 * active, and stays. */
#ifdef WITNESS
#define HEALTHY(i) (WELL(i) && (n[i].witness_dead || QUORATE(i)))
#else
#define HEALTHY(i) WELL(i)
#endif
#define SERVED (OPEN(0) || OPEN(1) || !(HEALTHY(0) || HEALTHY(1)))
ltl live { [] (calm -> <> [] SERVED) }
#endif
