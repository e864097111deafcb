/*
 * tls_state - what of TLS both nodes share: the keys of session tickets and
 * what responders have said of certificates. Between the modules that know
 * how (tls_ticket, ocsp_desk) and the worker's profiles, records and clocks.
 *
 * Without a tls-profile there is none of it.
 *
 * Layer: sip. SIP worker, su_root thread.
 */
#ifndef SBCD_SIP_TLS_STATE_H
#define SBCD_SIP_TLS_STATE_H

#include <stddef.h>
#include <stdint.h>

struct ha_key;
struct ocsp_word;
struct sip_worker;
struct tls_conn;
struct tls_profile;

/* After tls_links_create(). 0 or -errno, logged. */
int tls_state_create(struct sip_worker *w) __attribute__((warn_unused_result));
/* Before tls_links_destroy(). */
void tls_state_destroy(struct sip_worker *w);
/* REC_TICKET or REC_OCSP from the keeper; -EBADMSG: not applicable. */
int tls_state_record(struct sip_worker *w, const struct ha_key *key,
		     const void *value, size_t size)
	__attribute__((warn_unused_result));
/* On the active: keys are turned, staples renewed, answers given up. */
void tls_state_turn(struct sip_worker *w);

/* Of a connection that awaits the verdict. 0: `out` says; -EINPROGRESS:
 * tls_links_told() will be called with the token. */
int tls_state_ask(struct sip_worker *w, uint64_t token,
		  const struct tls_conn *c, const struct tls_profile *p,
		  struct ocsp_word *out) __attribute__((warn_unused_result));
void tls_state_forget(struct sip_worker *w, uint64_t token);

#endif
