/*
 * guard - what stands between the network and the stack; see guard.c
 *
 * Layer: sip. SIP worker, su_root thread. Knows nothing of the stack's types.
 */
#ifndef SBCD_SIP_GUARD_H
#define SBCD_SIP_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sbcd/base/addr.h"
#include "sbcd/base/counters.h"
#include "sbcd/record/kinds.h"

void guard_init(struct counters *counters, const uint8_t key[16]);
/* Before this the sockets are deaf: what comes in is read and dropped. */
void guard_listen(bool on);
/* Nothing is sent any more. */
void guard_mute(void);
/* Monotonic: when the first bytes came since it listens, 0 = none yet; `tls`:
 * of these, inside a TLS connection. */
uint64_t guard_first_us(bool tls);
/* A record of an input that killed a worker; NULL: it is over. */
void guard_quarantine(unsigned slot, const struct rec_quarantine *r);
/* Says that this call is being built from its records; 0: done. */
void guard_building(uint64_t id);
/* The input is done with. */
void guard_idle(void);

/*
 * For a transport that has bytes of its own to show to the stack, taken out of
 * what came by `fd`. How many of them may be shown now: one message, or a part
 * of it; when the worker dies, we know of which. 0: it is deaf, they are to be
 * dropped. -ECONNRESET: they killed a worker before.
 */
ssize_t guard_input(int fd, const void *data, size_t size)
	__attribute__((warn_unused_result));

/* Stream sockets made from now on accept at most `max` connections at a time
 * each, `per_source` of these from one address; 0 = no bound. */
void guard_cap(uint32_t max, uint32_t per_source);
/* Datagram sockets made until now take no notice of ICMP errors. For the stack
 * one of them ends every transaction with that peer, a BYE too; but it may be
 * one ARP request that got lost, or forged. Silence is what counts. */
void guard_no_errors(void);
/* Connections the stack opens have ports of this node's half: none of them
 * is one its peer still has a connection with, as whoever was active before
 * has left it. */
void guard_ports(unsigned node);
/* Hears of connections the stack opens. `opened` gives them an id, 0 = of no
 * interest; `closed` follows. NULL ends it. */
struct guard_conn_ops {
	uint64_t (*opened)(void *ctx, const struct addr *local,
			   const struct addr *remote);
	void (*closed)(void *ctx, uint64_t id);
};
void guard_watch(const struct guard_conn_ops *ops, void *ctx);

#endif
