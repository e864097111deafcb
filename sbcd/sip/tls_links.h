/*
 * tls_links - TLS as this worker uses it: profiles as they are configured,
 * who may connect and whom we connect to, and what became of it
 *
 * An inbound connection of a listener with mutual-authenticate belongs to the
 * session agent its certificate names, whatever address it comes from; any
 * other to the session agent with that address. Every handshake that fails is
 * kept with its rule and the option that would change it, for `show tls`.
 *
 * Layer: sip. SIP worker, su_root thread. Knows nothing of the stack's types.
 */
#ifndef SBCD_SIP_TLS_LINKS_H
#define SBCD_SIP_TLS_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "sbcd/base/addr.h"

struct config_agent;
struct ocsp_word;
struct sip_agent;
struct sip_worker;
struct tls_conn;
struct tls_link;
struct tls_listener;
struct tls_profile;

/*
 * Profiles are made from their files. 0 or -errno, logged: without one of
 * them no worker is to serve.
 */
int tls_links_create(struct sip_worker *w) __attribute__((warn_unused_result));
void tls_links_destroy(struct sip_worker *w);
/*
 * Reads the files of all profiles again; connections go on with what they
 * have. NULL or why nothing was changed; live until the next call.
 */
const char *tls_links_reload(struct sip_worker *w);
/* When the first of our certificates runs out, since 1970; 0: there is none. */
int64_t tls_links_end_s(const struct sip_worker *w);
/* Fingerprints of the profiles, as they are configured one after the other. */
json_t *tls_links_prints(const struct sip_worker *w);
/* {"profiles", "connections", "failures"}; with the peer's fingerprints, an
 * array like ours, or NULL. */
json_t *tls_links_json(const struct sip_worker *w, const json_t *peer_prints);

/* The profiles, from 0 on; NULL: no more. */
struct tls_profile *tls_links_profile(const struct sip_worker *w, size_t i,
				      const char **name);
/* What was asked for a connection that awaits its verdict (tls_state.h). */
void tls_links_told(struct sip_worker *w, uint64_t token,
		    const struct ocsp_word *word);

/* A port of ours with this profile; -ENOENT: there is none of that name. */
int tls_listener_create(struct tls_listener **out, struct sip_agent *a,
			const char *profile)
	__attribute__((warn_unused_result));
/* Its links may live on, but not in a handshake. */
void tls_listener_destroy(struct tls_listener *l);

/*
 * Someone has connected. -EACCES: not from there, -ENOMEM; both logged.
 */
int tls_link_accept(struct tls_link **out, struct tls_listener *l,
		    const struct addr *from)
	__attribute__((warn_unused_result));
/* The session agent with TLS at this address; NULL: none, do not connect. */
const struct config_agent *tls_link_whom(const struct sip_agent *a,
					 const struct addr *to);
/* We connect to one of those. */
int tls_link_connect(struct tls_link **out, struct sip_agent *a,
		     const struct addr *to) __attribute__((warn_unused_result));
/* Over, in whatever state. Frees it and its connection. */
void tls_link_end(struct tls_link *l);

struct tls_conn *tls_link_conn(const struct tls_link *l);
/* Called when the connection has its verdict: it is open, or has failed. */
void tls_link_on_verdict(struct tls_link *l, void (*call)(void *ctx),
			 void *ctx);
/* Until when it has to be open; clock_mono_ms(). */
uint64_t tls_link_deadline_ms(const struct tls_link *l);
/* To be called after anything that may have changed the connection's state:
 * says so, once. */
void tls_link_look(struct tls_link *l);
/* Whose it is: known once it is open; NULL: by its address. */
const struct config_agent *tls_link_agent(const struct tls_link *l);

#endif
