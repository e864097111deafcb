/*
 * tls_conn - one TLS connection over memory: bytes in, bytes out
 *
 * No socket, no clock: the owner feeds what it read, takes what is to be
 * written and says what time it is. What the peer can make us keep is
 * bounded, both ways. The peer counts as known only after its certificate
 * was looked at by rules of ours, on a resumed session too: OpenSSL looks at
 * none there. A peer that closes without saying so has closed.
 *
 * Where the profile has the status of certificates checked, a handshake ends
 * in waiting for a verdict, on resumption too, and nothing is read or written
 * before it. A peer whose very certificate is in the trust list is spared.
 *
 * Once it has failed nothing is read from it and nothing written any more;
 * what there is to take (an alert) may still be sent.
 *
 * Layer: sip. The SIP thread.
 */
#ifndef SBCD_SIP_TLS_CONN_H
#define SBCD_SIP_TLS_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sbcd/sip/tls_reason.h"

struct tls_ocsp_subject;
struct tls_profile;
/* What a client takes from one connection into the next. */
struct tls_session;

enum {
	TLS_CONN_IN_MAX = 64 * 1024, /* fed and not yet understood */
	TLS_CONN_OUT_MAX = 256 * 1024, /* waiting to be taken */
	TLS_CONN_HOST_SIZE = 256,
	TLS_CONN_CERT_NAMES_MAX = 256, /* of a certificate; more: refused */
	TLS_CONN_NAMES_TEXT_SIZE = 200,
};

enum tls_conn_state {
	TLS_CONN_HANDSHAKE = 0,
	TLS_CONN_OPEN,
	TLS_CONN_CLOSED, /* by either side, in good order */
	TLS_CONN_FAILED,
	TLS_CONN_VERDICT, /* awaited, between handshake and open */
};

struct tls_conn_params {
	const struct tls_profile *profile;
	bool server;
	const char *sni; /* client: whom we want; NULL: not said */
	/*
	 * Whom the certificate has to name, one of them. None: any, but on a
	 * profile that asks for a certificate there has to be one.
	 */
	const char *const *hosts;
	unsigned hosts_len;
	bool wildcard; /* for one label, see tls_name.h */
	uint64_t deadline_ms; /* of the handshake; the owner's clock */
	uint32_t verdict_ms; /* for the verdict there is so much more */
	int64_t wall_s; /* since 1970: certificates of resumed sessions */
	const struct tls_session *session; /* client; NULL: a full handshake */
};

/* What is known once it is open, or awaits the verdict. */
struct tls_conn_info {
	const char *version, *cipher; /* live for ever */
	bool resumed;
	bool v2_hello; /* began with an SSLv2-format hello; sooner, too */
	bool certificate; /* the peer has one */
	int host; /* index into `hosts` of whom it names, -1: none asked */
	char sni[TLS_CONN_HOST_SIZE]; /* server: whom the peer wants, or "" */
	/* Whom the certificate names where it is none of `hosts`, as far as
	 * there is room; printable. Known sooner: when that is the reason. */
	char names[TLS_CONN_NAMES_TEXT_SIZE];
};

struct tls_conn;

/*
 * 0 or -ENOMEM, -EINVAL (a name that cannot be sent). `hosts` is borrowed
 * until the handshake is over; of the profile the context it has now.
 * A client has its hello to take.
 */
int tls_conn_create(struct tls_conn **out, const struct tls_conn_params *params)
	__attribute__((warn_unused_result));
void tls_conn_destroy(struct tls_conn *c);

/* How much may be fed now. */
size_t tls_conn_room(const struct tls_conn *c);
/*
 * Goes on with the handshake. 0; -ENOBUFS: more than there is room for,
 * nothing was taken; -EPROTO: it has failed, see tls_conn_reason().
 */
int tls_conn_feed(struct tls_conn *c, const void *data, size_t size)
	__attribute__((warn_unused_result));
/* The peer sends no more. As feed. */
int tls_conn_feed_end(struct tls_conn *c) __attribute__((warn_unused_result));

/*
 * What the peer said: a count, 0: it has closed, -EAGAIN: nothing now,
 * -EPROTO: failed.
 */
ssize_t tls_conn_read(struct tls_conn *c, void *out, size_t size)
	__attribute__((warn_unused_result));
/*
 * A count, less than `size` where there is no room; -EAGAIN: none at all, or
 * not open yet; -EPIPE: closed; -EPROTO: failed.
 */
ssize_t tls_conn_write(struct tls_conn *c, const void *data, size_t size)
	__attribute__((warn_unused_result));

/* What is to be sent; valid until the next call. */
size_t tls_conn_output(const struct tls_conn *c, const void **data);
/* So much of it was. */
void tls_conn_sent(struct tls_conn *c, size_t size);

/* While it awaits the verdict: on whom. Borrowed, as long as it lives. */
void tls_conn_subject(const struct tls_conn *c, struct tls_ocsp_subject *out);
/* The OCSP response that a server has sent with its certificate; 0: none. */
size_t tls_conn_staple(const struct tls_conn *c, const void **out);
/* 0: it is open now, and there may be something to read; -EPROTO: `why`. */
int tls_conn_verdict(struct tls_conn *c, bool ok, enum tls_reason why)
	__attribute__((warn_unused_result));

/* Says so to the peer. It may still be read what is here. */
void tls_conn_close(struct tls_conn *c);
/* What is not open by its deadline has failed: -ETIMEDOUT. */
int tls_conn_expire(struct tls_conn *c, uint64_t now_ms)
	__attribute__((warn_unused_result));

/* To be asked before the end: what the server has given until now. NULL:
 * nothing, or it was never open. The caller's. */
struct tls_session *tls_conn_session(const struct tls_conn *c);
void tls_session_free(struct tls_session *s);

/* In its handshake, or awaiting the verdict. */
bool tls_conn_is_opening(const struct tls_conn *c);
enum tls_conn_state tls_conn_state(const struct tls_conn *c);
/* Why it failed. */
enum tls_reason tls_conn_reason(const struct tls_conn *c);
/*
 * A client by TLS 1.3 is open before the server has looked at its certificate
 * (RFC 8446, 4.4.2.4): true until the server has said something good.
 */
bool tls_conn_may_be_refused(const struct tls_conn *c);
const struct tls_conn_info *tls_conn_info(const struct tls_conn *c);

#endif
