/*
 * failover.pml - two nodes, a witness and two networks: who may transmit.
 *
 * What it is: the role table of hasync/role.c (role_table.pml is printed from
 * it), the arbitration rules of hasync/arbit.c, the egress lease, the fence
 * token and the epochs, in discrete ticks, with every interleaving of the two
 * nodes inside a tick. run.py checks it exhaustively; -DNO_LEASE, -DNO_FENCE
 * and -DNO_EPOCH each take one protection out and must fail.
 *
 * Ticks: one tick is one beat interval. LEASE ticks without a renewal close
 * the gate; SILENCE ticks without a beat on any path make a peer silent;
 * STALL ticks without a turn of the main loop stop beats and renewals.
 *
 * Faults (at most FAULTS present at a time, any number one after the other):
 * crash and boot of a node; death of a keeper (its guard releases) and its
 * restart; a stop of all processes of a node; a stop of the main loop only;
 * a pause of the whole machine, its clock included, for any time; a cut of
 * either direction of either node's port on either network; loss of the
 * beats of a tick (never of two in a row, nor around a cut); loss of the
 * witness.
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
 *
 * Left out: time finer than a tick (the order of two events inside a tick is
 * nondeterministic instead); the contents of records and their replication;
 * health and preference (they ask for a planned switchover, which is in);
 * a switch that breaks into two halves with a gateway in each (only a witness
 * helps there, see README); forged frames (beats and tokens are keyed); a
 * host that loses its disk and with it its epoch; corosync as a process of
 * its own: its membership is what the HA network and the machines allow.
 */
#include "role_table.pml"

#ifndef FAULTS
#define FAULTS 1
#endif
#define SILENCE 3
#define LEASE 2
#define STALL 1
#define LAPSE 2
#define EARS 3 /* ticks of hearing others that make silence a proof */
#define TIE 3 /* ticks without an active before one of two claims */
#define FENCE_BOUND 0
#define UNKNOWN 7 /* role of a peer never heard */
#define HEAL_BOUND 3
#define BOUND (SILENCE + LEASE + STALL)

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
	/* The kernel. */
	unsigned lease : 2; /* the gate is open while > 0 */
	unsigned fenced : 1;
	/* The keeper. */
	unsigned role : 3;
	unsigned taken : 1; /* this role opened its gate */
	unsigned stall : 2; /* ticks since the main loop ran */
	unsigned silent : 2; /* ticks since a beat, up to SILENCE */
	unsigned peer : 3; /* its role, as last heard */
	unsigned grace : 2; /* ticks in which nobody served */
	unsigned ears : 2; /* ticks in which others were heard */
	unsigned go : 1; /* the peer handed over to us */
	unsigned witness_dead : 1;
	/* Ports: HA and service network, both directions. */
	unsigned htx : 1;
	unsigned hrx : 1;
	unsigned stx : 1;
	unsigned srx : 1;
	/* Ranks, kept small by compress(). */
	unsigned epoch : 4; /* of its last activation; on disk */
	unsigned heard : 4; /* greatest epoch heard, on disk too */
	unsigned target : 4; /* the token held fences this activation */
};
Node n[2];
/* What waits in each node's receive ring, two frames deep. */
typedef Ring {
	unsigned used : 2;
	unsigned role0 : 3;
	unsigned role1 : 3;
	unsigned epoch0 : 4;
	unsigned epoch1 : 4;
	unsigned token0 : 4;
	unsigned token1 : 4;
};
Ring ring[2];
bit witness, vote, lost, calm;
unsigned both : 4;
unsigned both_path : 3;
/* Used within one tick, 0 between ticks. */
byte acts, faults, v, top, lossy, hit, me;

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
#define WELL(i)                                                                \
	(n[i].up && n[i].keeper && !n[i].stopped && !n[i].starved &&           \
	 !n[i].frozen && !CUT(i))
#define ON_WIRE(i) (ALIVE(i) && n[i].lease && n[i].stx)

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

/* A step of the role table and what it does. */
inline event(i, xevent)
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
		top = (n[i].epoch > n[i].heard -> n[i].epoch : n[i].heard);
		/* Greater than all heard, and the node's own. */
		n[i].epoch = top + 1 + ((top & 1) == i);
		n[i].heard = n[i].epoch; n[i].go = 0; n[i].grace = TIE
	:: else -> skip
	fi
}

/* ---- what the environment does ------------------------------------------- */
inline forget_keeper(i)
{
	n[i].role = INIT; n[i].taken = 0; n[i].stall = 0;
	n[i].silent = 0; n[i].peer = UNKNOWN; n[i].grace = 0; n[i].go = 0;
	n[i].witness_dead = 0; n[i].target = 0; n[i].stood = 0; n[i].ears = 0;
	n[i].starved = 0; n[i].was_frozen = 0; n[i].was_cut = 0;
}

/* The guard, or the end of the machine: nothing is sent any more. */
inline release(i)
{
	n[i].lease = 0; n[i].fenced = 0;
}

inline clear_ring(i)
{
	ring[i].used = 0; ring[i].role0 = 0; ring[i].role1 = 0;
	ring[i].epoch0 = 0; ring[i].epoch1 = 0;
	ring[i].token0 = 0; ring[i].token1 = 0;
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
		(1 - n[0].srx) + (1 - n[1].srx);
}

inline break_node(i)
{
	if
	:: n[i].up -> /* power loss */
		n[i].up = 0; n[i].keeper = 1; n[i].frozen = 0;
		n[i].stopped = 0;
		forget_keeper(i); release(i); clear_ring(i)
	:: ALIVE(i) && !n[i].stopped && n[i].keeper ->
		n[i].keeper = 0; forget_keeper(i); release(i)
	:: ALIVE(i) && n[i].keeper && !n[i].stopped -> n[i].stopped = 1
	:: ALIVE(i) && n[i].keeper && !n[i].starved -> n[i].starved = 1
	:: ALIVE(i) -> n[i].frozen = 1
	:: n[i].htx -> n[i].htx = 0
	:: n[i].hrx -> n[i].hrx = 0
	:: n[i].stx -> n[i].stx = 0
	:: n[i].srx -> n[i].srx = 0
#ifdef WITNESS
	:: i == 0 && witness -> witness = 0
#endif
	fi
}

inline repair_node(i)
{
	if
	:: !n[i].up -> n[i].up = 1
	:: !n[i].keeper -> n[i].keeper = 1
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

inline hand_over(i, j)
{
	if
	:: n[i].role == ACTIVE && n[i].lease > 0 && TOGETHER && n[i].keeper &&
	   n[j].keeper && !n[i].starved && !n[j].starved &&
	   n[j].role == STANDBY ->
		event(i, EV_HANDOVER);
		n[j].go = 1
	:: else -> skip
	fi
}

inline environment()
{
	count_faults();
#ifdef LIVE
	if
	:: !calm -> calm = 1
	:: true -> skip
	fi;
#endif
	if
	:: !calm || faults == 0 -> skip
	:: !calm && faults < FAULTS -> pick(); break_node(me)
	:: !calm && faults > 0 -> pick(); repair_node(me)
	:: calm && faults > 0 ->
		me = (WELL(0) && witness -> 1 : 0);
		repair_node(me)
	:: !calm -> pick(); hand_over(me, (1 - me))
	fi;
	if
	:: lossy = 0
	:: !lost && !CUT(0) && !CUT(1) && !calm -> lossy = 1
	fi;
	lost = lossy || CUT(0) || CUT(1);
#ifdef WITNESS
	/* ffsplit: the vote stays with whom the witness hears. */
	if
	:: TOGETHER && !calm -> vote = 0
	:: TOGETHER && !calm -> vote = 1
	:: !TOGETHER && !WITNESSED(vote) && WITNESSED(1 - vote) ->
		vote = 1 - vote
	:: else -> skip
	fi
#endif
}

/* ---- the kernel of a node ------------------------------------------------ */
inline recognise(i, xsecret)
{
#ifndef NO_FENCE
	if
	:: xsecret && xsecret == n[i].epoch && n[i].taken ->
		n[i].lease = 0; n[i].fenced = 1
	:: else -> skip
	fi
#else
	skip
#endif
}

inline kernel(i)
{
	if
	:: ring[i].used > 0 -> recognise(i, ring[i].token0)
	:: else -> skip
	fi;
	if
	:: ring[i].used > 1 -> recognise(i, ring[i].token1)
	:: else -> skip
	fi;
#ifndef NO_LEASE
	if
	:: n[i].lease > 0 -> n[i].lease = n[i].lease - 1
	:: else -> skip
	fi
#endif
}

/* A full ring drops what comes last. A running kernel sees the token on
 * arrival; what waits for a stopped process is but the beat. */
inline put(j, xrole, xepoch, xtoken)
{
	top = xtoken;
	if
	:: ALIVE(j) -> recognise(j, top); top = 0
	:: else -> skip
	fi;
	if
	:: ring[j].used == 0 ->
		ring[j].role0 = xrole; ring[j].epoch0 = xepoch; ring[j].token0 = top;
		ring[j].used = 1
	:: ring[j].used == 1 ->
		ring[j].role1 = xrole; ring[j].epoch1 = xepoch; ring[j].token1 = top;
		ring[j].used = 2
	:: else -> skip
	fi
}

/* ---- the keeper of a node ------------------------------------------------ */
inline hear(i, xrole, xepoch)
{
	n[i].silent = 0;
	if
	:: xepoch > n[i].heard -> n[i].heard = xepoch
	:: else -> skip
	fi;
	/* The token that fences this activation was agreed on CPG. */
	if
	:: SERVES(xrole) && TOGETHER && !SERVES(n[i].role) -> n[i].target = xepoch
	:: !SERVES(xrole) -> n[i].target = 0
	:: else -> skip
	fi;
	n[i].peer = xrole
}

/* The beat thread reads all that waits. */
inline listen(i)
{
	hit = ring[i].used > 0;
	if
	:: hit -> hear(i, ring[i].role0, ring[i].epoch0)
	:: else -> skip
	fi;
	if
	:: ring[i].used > 1 -> hear(i, ring[i].role1, ring[i].epoch1)
	:: else -> skip
	fi;
	if
	:: !hit && n[i].silent < SILENCE -> n[i].silent = n[i].silent + 1
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
	clear_ring(i);
	hit = 0
}

inline take(i)
{
	n[i].lease = LEASE; n[i].taken = 1; n[i].fenced = 0; n[i].grace = 0;
	n[i].was_frozen = 0; n[i].was_cut = 0
}

#define RIGHT(i) (n[i].silent < SILENCE || BACKED(i))

inline keep_lease(i)
{
	if
	/* A lapsed lease is reopened after listening for a while, and not
	 * beside a peer that still has to learn that it must yield. */
	:: n[i].lease > 0 || n[i].stood ||
	   (n[i].silent < SILENCE && SERVES(n[i].peer)) -> n[i].grace = 0
	:: else ->
		if
		:: n[i].grace < LAPSE -> n[i].grace = n[i].grace + 1
		:: n[i].grace == LAPSE &&
		   (n[i].ears == EARS || n[i].silent == 0) ->
			n[i].lease = LEASE; n[i].grace = 0
		:: else -> skip
		fi
	fi;
}

inline while_serving(i)
{
	hit = 1; /* a role is left for the next tick */
	if
	:: (n[i].silent < SILENCE && SERVES(n[i].peer) &&
	    NEWER(n[i].heard, n[i].epoch)) || REFUSED(i) || n[i].fenced ||
	   !RIGHT(i) ->
		event(i, EV_YIELD)
	:: else ->
		if
		/* After a stall the gate waits until it has listened. */
		:: n[i].role == BECOMING_ACTIVE && !n[i].taken && n[i].stood ->
			n[i].grace = 0
		:: n[i].role == BECOMING_ACTIVE && !n[i].taken &&
		   !n[i].stood && n[i].grace < TIE ->
			n[i].grace = n[i].grace + 1
		:: n[i].role == BECOMING_ACTIVE && !n[i].taken &&
		   !n[i].stood && n[i].grace == TIE -> take(i)
		:: n[i].role == BECOMING_ACTIVE && n[i].taken ->
			event(i, EV_CLAIMED)
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
	  (n[i].heard == 0 -> i == 0 : n[i].epoch == n[i].heard)))

inline while_waiting(i)
{
	if
	:: n[i].role == RELINQUISHING -> event(i, EV_RELEASED)
	:: n[i].role == FAULT -> event(i, EV_REPAIRED)
	:: n[i].go && n[i].role != INIT && n[i].role != RELINQUISHING &&
	   n[i].role != FAULT && !n[i].stood -> event(i, EV_CLAIM)
	:: else ->
		n[i].go = 0;
		if
		:: n[i].silent == SILENCE && n[i].ears == EARS && !REFUSED(i) &&
		   !n[i].stood -> event(i, EV_CLAIM)
		:: n[i].silent < SILENCE && SERVES(n[i].peer) ->
			n[i].grace = 0;
			if
			:: n[i].role == INIT -> event(i, EV_PEER_ACTIVE)
			:: n[i].role == SYNCING && TOGETHER ->
				event(i, EV_SYNCED)
			:: else -> skip
			fi
		:: n[i].silent < SILENCE && !SERVES(n[i].peer) &&
		   n[i].peer != UNKNOWN && n[i].peer != RELINQUISHING &&
		   WINS(i) && BACKED(i) && !REFUSED(i) && !n[i].stood ->
			if
			:: n[i].grace < TIE -> n[i].grace = n[i].grace + 1
			:: else -> event(i, EV_CLAIM)
			fi
		:: else -> n[i].grace = 0
		fi
	fi
}

#define SAYS(i) (SERVES(n[i].role) -> ACTIVE : n[i].role)

inline beat(i, j)
{
	if
	:: n[i].taken && n[i].lease > 0 && !n[i].fenced ->
		n[i].lease = LEASE
	:: else -> skip
	fi;
	if
	:: !lossy && n[j].up && PATH(i, j) ->
		if
		:: n[i].taken && n[i].target ->
			put(j, SAYS(i), n[i].epoch, n[i].target)
		:: else -> put(j, SAYS(i), n[i].epoch, 0)
		fi
	:: else -> skip
	fi
}

#define RUNS(i) (ALIVE(i) && n[i].keeper && !n[i].stopped)

/* Each d_step is at most as long as the tool allows. */
inline step(i, j)
{
	d_step {
		if
		:: ALIVE(i) -> kernel(i)
		:: else -> skip
		fi;
		if
		:: RUNS(i) -> listen(i)
		:: ALIVE(i) && !n[i].keeper -> clear_ring(i)
		:: else -> skip
		fi
	};
	d_step {
		if
		:: RUNS(i) && n[i].starved ->
			n[i].stall = (n[i].stall <= STALL -> n[i].stall + 1 :
							    n[i].stall)
		:: RUNS(i) && !n[i].starved && SERVES(n[i].role) ->
			while_serving(i)
		:: else -> skip
		fi
	};
	d_step {
		if
		:: RUNS(i) && !n[i].starved && !hit && !SERVES(n[i].role) ->
			while_waiting(i)
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
	(n[i].epoch > n[j].epoch && n[i].target == n[j].epoch &&               \
	 PATH(i, j) && !lossy && n[i].stall <= STALL && !n[i].stopped &&       \
	 n[i].keeper)

/* A counterexample is replayed with spin -t: one line a node and tick. */
inline print(i)
{
	printf("%d: up=%d frozen=%d stopped=%d keeper=%d starved=%d", i,
	       n[i].up, n[i].frozen, n[i].stopped, n[i].keeper, n[i].starved);
	printf(" role=%d lease=%d taken=%d fenced=%d silent=%d",
	       n[i].role, n[i].lease, n[i].taken, n[i].fenced,
	       n[i].silent);
	printf(" peer=%d epoch=%d heard=%d target=%d grace=%d stall=%d",
	       n[i].peer, n[i].epoch, n[i].heard, n[i].target, n[i].grace,
	       n[i].stall);
	printf(" ports=%d%d%d%d ring=%d was-frozen=%d stood=%d go=%d\n",
	       n[i].htx, n[i].hrx, n[i].stx, n[i].srx, ring[i].used,
	       n[i].was_frozen, n[i].stood, n[i].go)
}

inline judge()
{
	print(0);
	print(1);
	printf("-- first=%d lossy=%d witness=%d vote=%d calm=%d\n",
	       1 - me, lossy, witness, vote, calm);
	if
	:: TWO -> both = (both < 15 -> both + 1 : 15)
	:: else -> both = 0
	fi;
	if
	:: TWO && (FENCES(0, 1) || FENCES(1, 0)) ->
		both_path = (both_path < 7 -> both_path + 1 : 7)
	:: else -> both_path = 0
	fi;
	assert(!TWO || n[0].was_frozen || n[1].was_frozen ||
	       n[0].was_cut || n[1].was_cut);
	assert(both <= HEAL_BOUND || n[0].was_frozen || n[1].was_frozen);
	assert(both_path <= FENCE_BOUND);
	assert(both <= BOUND)
}

#define USES(v)                                                                \
	(n[0].epoch == v || n[1].epoch == v || n[0].heard == v ||              \
	 n[1].heard == v || n[0].target == v || n[1].target == v ||            \
	 (ring[0].used > 0 && (ring[0].epoch0 == v || ring[0].token0 == v)) ||  \
	 (ring[0].used > 1 && (ring[0].epoch1 == v || ring[0].token1 == v)) ||  \
	 (ring[1].used > 0 && (ring[1].epoch0 == v || ring[1].token0 == v)) ||  \
	 (ring[1].used > 1 && (ring[1].epoch1 == v || ring[1].token1 == v)))
#define LOWER(x)                                                               \
	if                                                                     \
	:: x > v -> x = x - 2                                                  \
	:: else -> skip                                                        \
	fi

/* Only the order of epochs matters: close gaps, two at a time because a
 * node's own epochs are all even or all odd. */
inline forget(i)
{
	/* Below what it has heard, an old epoch of its own means nothing. */
	if
	:: !SERVES(n[i].role) && n[i].epoch < n[i].heard -> n[i].epoch = 0
	:: else -> skip
	fi
}

inline compress()
{
	forget(0);
	forget(1);
	v = 1;
	do
	:: v < 13 ->
		if
		:: !USES(v) && !USES(v + 1) ->
			LOWER(n[0].epoch); LOWER(n[1].epoch);
			LOWER(n[0].heard); LOWER(n[1].heard);
			LOWER(n[0].target); LOWER(n[1].target);
			LOWER(ring[0].epoch0); LOWER(ring[0].epoch1);
			LOWER(ring[1].epoch0); LOWER(ring[1].epoch1);
			LOWER(ring[0].token0); LOWER(ring[0].token1);
			LOWER(ring[1].token0); LOWER(ring[1].token1)
		:: else -> skip
		fi;
		v = v + 1
	:: else -> break
	od;
	v = 0;
	assert(n[0].epoch < 12 && n[1].epoch < 12)
}

active proctype world()
{
	d_step {
		n[0].up = 1; n[1].up = 1; n[0].keeper = 1; n[1].keeper = 1;
		n[0].htx = 1; n[0].hrx = 1; n[0].stx = 1; n[0].srx = 1;
		n[1].htx = 1; n[1].hrx = 1; n[1].stx = 1; n[1].srx = 1;
		n[0].peer = UNKNOWN; n[1].peer = UNKNOWN;
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
			acts = 0; faults = 0; top = 0; lossy = 0; hit = 0;
			me = 0
		}
	   }
	od
}

#ifdef LIVE
/* When nothing breaks any more, somebody becomes active, and stays. */
#define SERVING (ON_WIRE(0) || ON_WIRE(1))
ltl live { [] (calm -> <> [] SERVING) }
#endif
