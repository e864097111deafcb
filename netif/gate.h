/*
 * Egress gate: what leaves a service NIC, leaves while a lease runs.
 *
 * nftables table "netdev sbcd" with one egress base chain per NIC. Closed, it
 * drops every frame the NIC would send: ARP, kernel RST and ICMP, raw
 * sockets, AF_PACKET with and without PACKET_QDISC_BYPASS. (AF_XDP transmit
 * goes past it: never use it without an equal gate.)
 *
 * Guarantees:
 * - Closed from the moment create() makes it; leftovers of a previous run are
 *   replaced in the same transaction, there is no open moment between.
 * - The lease is a set element with a timeout: it runs out in the kernel,
 *   whatever happens to this process.
 * - Renew extends a running lease only. Once it ran out or the gate was
 *   closed, renew fails with -ENOENT and the gate stays closed until open();
 *   so a renewing thread can not undo another thread's close.
 *
 * - A fence token that arrives shuts it in the kernel, before any process
 *   runs, and it stays shut, whoever opens or renews, until arm(): the host
 *   may have been stopped together with its clocks, and what it missed waits
 *   in the NIC's queue.
 *
 * Layer: netif (library). Process: keeper; guard for the shutter.
 * Thread: netif_gate_renew() may run in a thread of its own, concurrently
 * with everything else but destroy; all other functions in one thread.
 */
#ifndef NETIF_GATE_H
#define NETIF_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netif/addr.h"

struct netif_gate;

#define NETIF_GATE_TABLE "sbcd"

struct netif_gate_nic {
	const char *nic;
	/*
	 * While the gate is closed no exemption lets a frame with this source
	 * out (it would move the switch's entry away from the active node).
	 * All zero: no such check.
	 */
	uint8_t vmac[NETIF_MAC_LEN];
	/*
	 * Questions to these may leave a closed gate, when they come from
	 * nobody: ARP from 0.0.0.0, solicitations from :: (netif/probe.h).
	 */
	const struct netif_ip *gateways;
	size_t gateways_len; /* at most 8 */
};

/* What may leave while the gate is closed; nothing by default. */
enum netif_gate_exemption {
	NETIF_GATE_EXEMPT_PREFLIGHT = 0x88b5, /* ethertype of probe frames */
	NETIF_GATE_EXEMPT_BEAT = 0x88b6, /* ethertype of heartbeats */
};

struct netif_gate_stats {
	uint64_t passed_packets, passed_bytes; /* while open */
	uint64_t dropped_packets, dropped_bytes;
	uint64_t quieted_packets; /* RST/unreachable kept in by quiet */
	uint64_t tokens; /* frames with our fence token */
};

/*
 * Makes the table, gate closed, for nics_len NICs (1..32). -ENODEV when one
 * is missing, -EOPNOTSUPP without kernel support, -ENOMEM.
 */
int netif_gate_create(struct netif_gate **out,
		      const struct netif_gate_nic *nics, size_t nics_len)
	__attribute__((warn_unused_result));

/*
 * A handle on the table somebody else made, good for netif_gate_close() and
 * netif_gate_detach(). Everything that takes time (library, caches, first
 * use) is done here, so that the close is fast: a guard makes it ahead.
 * Changes nothing. -ENOENT: there is no table.
 */
int netif_gate_attach(struct netif_gate **out)
	__attribute__((warn_unused_result));

/* Removes the table: from then on nothing is filtered. NULL is legal. */
void netif_gate_destroy(struct netif_gate *g);

/* Frees the handle and leaves the table as it is. NULL is legal. */
void netif_gate_detach(struct netif_gate *g);

/* Opens all NICs for lease_ms; 0 = without end. Also restarts the lease. A
 * fenced gate stays shut. */
int netif_gate_open(struct netif_gate *g, unsigned lease_ms)
	__attribute__((warn_unused_result));

/* Restarts a running lease; -ENOENT when it is not running (see above). */
int netif_gate_renew(struct netif_gate *g, unsigned lease_ms)
	__attribute__((warn_unused_result));

/* Closes now. Idempotent. */
int netif_gate_close(struct netif_gate *g) __attribute__((warn_unused_result));

/* 1 open, 0 closed or fenced (all NICs alike), -errno unread. */
int netif_gate_is_open(struct netif_gate *g);

/*
 * A worker is away: keep kernel TCP RST in, although the gate is open.
 * Survives open and close. ICMP and ICMPv6 destination unreachable never
 * pass: between the death of the process that holds the media sockets and the
 * shutting of the gate the kernel would answer RTP with them.
 */
int netif_gate_quiet(struct netif_gate *g, bool on)
	__attribute__((warn_unused_result));

/* Lets a kind of frame out while the gate is closed, or no longer. */
int netif_gate_exempt(struct netif_gate *g, enum netif_gate_exemption what,
		      bool on) __attribute__((warn_unused_result));

/* ---- fence --------------------------------------------------------------- */
enum { NETIF_GATE_TOKEN_LEN = 16, NETIF_GATE_LINKS_MAX = 8 };

/*
 * From now on every beat that comes in on the NICs of the gate is looked at in
 * the kernel (ingress chains of the same table), at this offset. Once, before
 * the first arm().
 */
int netif_gate_watch(struct netif_gate *g, uint16_t token_at)
	__attribute__((warn_unused_result));

/*
 * And those that come by UDP on this link; once a link, the port being the
 * same for all, in effect at once. -ENODEV.
 */
int netif_gate_watch_link(struct netif_gate *g, const char *nic, uint16_t port)
	__attribute__((warn_unused_result));

/*
 * The token that shuts this gate from now on, instead of the one before; not
 * all zero. Ends the effect of an earlier one: only for a node that starts
 * its role afresh.
 */
int netif_gate_arm(struct netif_gate *g,
		   const uint8_t token[NETIF_GATE_TOKEN_LEN])
	__attribute__((warn_unused_result));

/* 1 a token shut it, 0 not, -errno unread. */
int netif_gate_is_fenced(struct netif_gate *g);

/* Sums over all NICs since create. */
int netif_gate_stats_get(struct netif_gate *g, struct netif_gate_stats *out)
	__attribute__((warn_unused_result));

/*
 * For a process that has no handle: closes whatever gate there is in this
 * network namespace. 0 also when there is none. Closed after 0.6 ms, but
 * closing the netlink socket makes it return some 10 ms later; who is in a
 * hurry (the guard) prepares a shutter ahead.
 */
int netif_gate_shut_all(void) __attribute__((warn_unused_result));

/*
 * All that shutting needs, opened ahead: shut takes 0.1 ms and can be
 * repeated. It needs no gate to exist when it is created.
 */
struct netif_gate_shutter;
int netif_gate_shutter_create(struct netif_gate_shutter **out)
	__attribute__((warn_unused_result));
int netif_gate_shutter_shut(struct netif_gate_shutter *s)
	__attribute__((warn_unused_result));
void netif_gate_shutter_destroy(struct netif_gate_shutter *s);

/* Removes a gate somebody left: for uninstallation and tests. */
int netif_gate_remove_all(void);

#endif
