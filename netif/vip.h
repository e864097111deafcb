/*
 * Virtual MAC and virtual addresses of one NIC: take, announce, release,
 * read back.
 *
 * Guarantees:
 * - Before the first change of a take, RUN_DIR/<nic>.mac is written
 *   atomically; it says what to undo and is removed by a complete release.
 *   A process that knows only RUN_DIR can undo it
 *   (netif_vip_release_leftovers).
 * - Release works from any half-done state, and again: addresses first, then
 *   the MAC, so that no frame ever carries the original MAC with a virtual
 *   address.
 * - Everything happens in the caller's network namespace at the time of
 *   netif_vip_create(); no program is executed, no call waits for a packet.
 * - take: about 0.2 ms a NIC.
 *
 * The gate (netif/gate.h) is not touched. Order to become active: open the
 * gate, then take (its announcements and next-hop probes must get out);
 * to leave: close the gate, then release.
 *
 * Layer: netif (library). Process: keeper; guard for the leftovers.
 * Thread: one at a time per handle; different handles are independent.
 */
#ifndef NETIF_VIP_H
#define NETIF_VIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "netif/addr.h"

struct netif_vip;

/* Pinned: the values appear in run files and records. */
enum netif_vmac_mode {
	NETIF_VMAC_SET_MAC = 1, /* the NIC itself carries the virtual MAC */
	NETIF_VMAC_MACVLAN = 2, /* not implemented: -EOPNOTSUPP */
	NETIF_VMAC_IP_ONLY = 3, /* addresses and gratuitous ARP only */
	NETIF_VMAC_AUTO = 4, /* what preflight proves; -EOPNOTSUPP */
};

enum {
	/* Per NIC, link-local address not counted. */
	NETIF_VIP_ADDRS_MAX = 32,
	NETIF_VIP_GATEWAYS_MAX = 8,
	/* Rules "from VIP lookup T" and "from VIP unreachable". */
	NETIF_VIP_RULE_LOOKUP = 1100,
	NETIF_VIP_RULE_UNREACHABLE = 1101,
};

struct netif_vip_params {
	const char *nic;
	enum netif_vmac_mode mode;
	uint8_t vmac[NETIF_MAC_LEN]; /* SET_MAC only */
	/* Prefix length = that of the network: 10.10.0.10/24. */
	const struct netif_ip *addrs;
	size_t addrs_len;
	const struct netif_ip *gateways; /* default routers; may be none */
	size_t gateways_len;
	uint32_t table_id; /* routing table of this NIC; not 0, 253-255 */
	const char *run_dir;
};

/* A neighbour (ARP/ND) entry: who answers for ip. */
struct netif_neigh {
	struct netif_ip ip; /* prefix is not used */
	uint8_t mac[NETIF_MAC_LEN];
};

/* What a read-back found. */
struct netif_vip_report {
	bool as_expected;
	bool up; /* the NIC is administratively up */
	bool carrier; /* information only, no part of as_expected */
	bool mac_ok; /* vmac when taken, the original one when not */
	uint8_t mac_seen[NETIF_MAC_LEN];
	unsigned missing; /* addresses that should be there and are not */
	unsigned lingering; /* addresses of ours that should be gone */
	unsigned foreign; /* addresses of somebody else: information only */
	char text[256]; /* what differs, "" when as expected */
};

/*
 * Resolves the NIC and reads its original MAC: from RUN_DIR/<nic>.mac when a
 * previous run left one, else the MAC it has now (its permanent one when it
 * already carries vmac). Copies all of *p. Changes nothing.
 * -ENODEV, -EINVAL, -EOPNOTSUPP (mode), -ENOMEM, or -errno from netlink.
 */
int netif_vip_create(struct netif_vip **out, const struct netif_vip_params *p)
	__attribute__((warn_unused_result));

/* Frees the handle. Releases nothing, removes no route. NULL is legal. */
void netif_vip_destroy(struct netif_vip *v);

int netif_vip_ifindex(const struct netif_vip *v);
const char *netif_vip_nic(const struct netif_vip *v);
enum netif_vmac_mode netif_vip_mode(const struct netif_vip *v);
/* The MAC frames carry when taken. */
const uint8_t *netif_vip_taken_mac(const struct netif_vip *v);
const uint8_t *netif_vip_original_mac(const struct netif_vip *v);
/* create() found a run file: call netif_vip_release() before prepare(). */
bool netif_vip_has_leftover(const struct netif_vip *v);

/*
 * Makes the node ready to own the addresses, without owning them: sysctls
 * (accept_ra 0, addr_gen_mode none, arp_ignore, arp_announce, nonlocal bind),
 * NIC up, routing table (connected and gateway routes) and for every address
 * the rules "lookup T", then "unreachable", so that a packet with a virtual
 * source leaves by this NIC or not at all. Also "oif NIC lookup T" for
 * sockets bound to the device only. Idempotent: call it at start, and again
 * when the NIC came back (link down flushes the routes). Kept on a standby.
 */
int netif_vip_prepare(struct netif_vip *v) __attribute__((warn_unused_result));

/* Removes rules and routes of prepare(); sysctls stay. Idempotent. */
int netif_vip_unprepare(struct netif_vip *v);

/*
 * Run file, MAC (live; on EBUSY down, set, up and the routes again: then the
 * link needs its time, announce again when the monitor says carrier),
 * addresses, announcement, next hops: every gateway and every entry of
 * neigh[0..neigh_len) for this NIC's networks is installed, usable at once,
 * and confirmed by probes in the background. Gateways that are not in
 * neigh[] are asked for. IPv6: a link-local address made from the MAC comes
 * and goes with the addresses, because the kernel can not probe neighbours
 * without one.
 * On an error everything that could be done is done; release undoes it.
 * Idempotent.
 */
int netif_vip_take(struct netif_vip *v, const struct netif_neigh *neigh,
		   size_t neigh_len) __attribute__((warn_unused_result));

/*
 * Gratuitous ARP (request and reply form), unsolicited NA for every address,
 * and a request for every gateway. For repeats: 0, 100, 500 ms, 1, 2 s...
 * The number of frames sent, or -errno when none could be.
 */
int netif_vip_announce(struct netif_vip *v);

/*
 * Addresses off, then the original MAC, then the run file. Goes on after an
 * error and returns the first one; the run file stays when something failed.
 */
int netif_vip_release(struct netif_vip *v) __attribute__((warn_unused_result));

/* Compares the kernel's state with taken or not taken. 0 or -errno (unread).*/
int netif_vip_verify(struct netif_vip *v, bool taken,
		     struct netif_vip_report *out)
	__attribute__((warn_unused_result));

/*
 * Releases what the run files in run_dir describe, for all NICs, and removes
 * the files. owner = process id of the keeper whose files are meant, 0 = any:
 * a guard passes its keeper's, so that a late guard can not take the
 * addresses away from the next keeper. Serialised by a lock file.
 * Returns the number of NICs released, or the first -errno after trying all.
 * An unreadable or damaged file is skipped and reported as -EBADMSG; a NIC
 * that is gone counts as released.
 */
ssize_t netif_vip_release_leftovers(const char *run_dir, pid_t owner)
	__attribute__((warn_unused_result));

/*
 * The usable neighbour entries of a NIC (snapshot to be replicated).
 * Fills at most cap entries and returns how many there are, or -errno.
 */
ssize_t netif_neigh_list(const char *nic, struct netif_neigh *out, size_t cap)
	__attribute__((warn_unused_result));

/*
 * Installs entries: used at once, confirmed when used (probe = false) or by
 * an immediate unicast probe (probe = true). Replaces older entries. Returns
 * 0, or the first -errno after trying all.
 */
int netif_neigh_install(const char *nic, const struct netif_neigh *list,
			size_t len, bool probe)
	__attribute__((warn_unused_result));

/* "set-mac", "macvlan", "ip-only", "auto". parse: 0 or -EINVAL. */
const char *netif_vmac_mode_name(enum netif_vmac_mode mode);
int netif_vmac_mode_parse(enum netif_vmac_mode *out, const char *text)
	__attribute__((warn_unused_result));

#endif
