/*
 * tls_ticket - the keys that tickets of TLS sessions are sealed with, the same
 * on both nodes: a peer takes up its session with whoever is active.
 *
 * The active makes a key, seals with it for TLS_TICKET_LIFE_S and keeps it as
 * long again, for a ticket lives so long. Profiles have keys of their own,
 * derived from it and their name: a ticket of one opens no other.
 *
 * State: REC_TICKET, put before a key is used; the standby and a worker that
 * is started anew restore it. Should the node die before the peer has a new
 * key, tickets sealed with it are not understood: those peers shake hands in
 * full. The older keys the peer has.
 *
 * Layer: sip. The SIP thread.
 */
#ifndef SBCD_SIP_TLS_TICKET_H
#define SBCD_SIP_TLS_TICKET_H

#include <stddef.h>
#include <stdint.h>

#include "sbcd/record/kinds.h"
#include "sbcd/sip/tls_profile.h"

struct tls_ticket_ops {
	/* Fills `out` with what nobody can guess; 0 or -errno. */
	int (*random)(void *ctx, void *out, size_t size);
	/* The record has changed; 0 or -errno: then it is as it was. */
	int (*put)(void *ctx, const struct rec_ticket *r);
};

struct tls_ticket;

int tls_ticket_create(struct tls_ticket **out, const struct tls_ticket_ops *ops,
		      void *ctx) __attribute__((warn_unused_result));
/* Wipes the keys. */
void tls_ticket_destroy(struct tls_ticket *t);

/* What the record says; NULL: it is gone. Apply it then. -EBADMSG: it is none,
 * nothing has changed. */
int tls_ticket_restore(struct tls_ticket *t, const struct rec_ticket *r)
	__attribute__((warn_unused_result));
/*
 * On the active, after each record was restored, then now and then: makes and
 * drops keys. `wall_ms` is the clock of the pair. 0: nothing to do; 1: they
 * have changed, apply them; -errno of random or put, to be tried again.
 */
int tls_ticket_turn(struct tls_ticket *t, uint64_t wall_ms)
	__attribute__((warn_unused_result));
/* The keys of the profile with that name, all that are good now. */
int tls_ticket_apply(const struct tls_ticket *t, struct tls_profile *p,
		     const char *name, uint64_t wall_ms)
	__attribute__((warn_unused_result));

#endif
