/*
 * tport_tls - our TLS as a transport of the stack's, in place of its own
 *
 * The stack brings sockets, queues, timers and the parser; tls_conn the
 * protocol; here is only what ties them: bytes of the socket to tls_conn,
 * what it understood to the parser, what the stack sends to it. The one
 * header of the stack's that is not installed comes from its Debian source
 * package (`make deps`), of exactly the installed version.
 *
 * Layer: sip. SIP worker, su_root thread.
 */
#ifndef SBCD_SIP_TPORT_TLS_H
#define SBCD_SIP_TPORT_TLS_H

#include <stdbool.h>

struct addr;
struct tls_link;
struct tport_s;

/*
 * Once a process, before the first agent. -EPROTO: the library is another one
 * than this was built for; -ENOMEM.
 */
int tport_tls_register(void) __attribute__((warn_unused_result));

/* A step of one handshake that waits for its turn, when there is nothing else
 * to do. True: there are more. */
bool tport_tls_turn(void);

/* NULL: not over TLS, or closed. */
struct tls_link *tport_tls_link(const struct tport_s *tp);

/*
 * Connects from this port of ours, TCP or TLS, with nothing to send yet. 0 does
 * not say that it will succeed.
 */
int tport_open(struct tport_s *primary, const struct addr *to)
	__attribute__((warn_unused_result));

#endif
