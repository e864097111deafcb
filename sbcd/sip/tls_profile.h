/*
 * tls_profile - a tls-profile as OpenSSL's contexts, one for each role
 *
 * Guarantees: ciphers without authentication or encryption are off whatever
 * cipher-list says; lowest and highest version are explicit; security level
 * 0 only where the version asks for it (compatibility, and TLS 1.0 and 1.1,
 * which sign with SHA-1); no renegotiation; no early data; an SSLv2-format
 * hello is refused unless the version is compatibility. As client we always
 * verify the server.
 *
 * OpenSSL verifies no chain on resumption: that is the connection's to do.
 * Where the status of certificates is asked for, a session whose certificate's
 * issuer is not at hand is not resumed: in a full handshake it is shown.
 *
 * Layer: sip. The SIP thread; reads files, so at load time only.
 */
#ifndef SBCD_SIP_TLS_PROFILE_H
#define SBCD_SIP_TLS_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sbcd/sip/tls_ocsp.h"

struct ssl_ctx_st;

enum tls_version {
	TLS_VERSION_COMPATIBILITY = 0, /* from minimum to maximum */
	TLS_VERSION_1_0,
	TLS_VERSION_1_1,
	TLS_VERSION_1_2,
	TLS_VERSION_1_3,
};

/* What a client's certificate has to be for. A server's: TLS servers. */
enum tls_peer_eku {
	TLS_PEER_EKU_CLIENT = 0,
	TLS_PEER_EKU_SERVER,
	TLS_PEER_EKU_ANY, /* a server's too */
};

enum {
	TLS_DEPTH_MAX = 10,
	TLS_TICKET_KEYS_MAX = 3,
	TLS_TICKET_LIFE_S = 3600,
	TLS_CERTIFICATES_MAX_BYTES = 64 * 1024, /* of a peer, in all */
};

struct tls_profile_params {
	const char *name;
	const char *certificate; /* PEM: ours, then what leads to the root */
	const char *key; /* PEM, without passphrase */
	const char *const *trusted; /* PEM files */
	unsigned trusted_len;
	/*
	 * PEM files. Where there are any, the issuer of every certificate we
	 * are shown needs one here that is not out of date.
	 */
	const char *const *crls;
	unsigned crls_len;
	unsigned verify_depth; /* certificates between peer's and root */
	const char *cipher_list;
	enum tls_version version;
	enum tls_version minimum, maximum; /* of compatibility; 0: 1.0, 1.3 */
	enum tls_peer_eku peer_eku;
	bool mutual; /* as server: ask for a certificate, insist on it */
	bool status_check; /* of a peer's certificate, see tls_conn.h */
	bool ignore_dead_responder; /* then no answer is a good one */
};

/* The first one seals; the rest still open what they sealed. */
struct tls_ticket_keys {
	unsigned len;
	struct tls_ticket_key {
		uint8_t name[16];
		uint8_t aes[32];
		uint8_t hmac[32];
	} key[TLS_TICKET_KEYS_MAX];
};

struct tls_profile_error {
	char text[512]; /* profile, option, file, reason */
	const char *option; /* NULL: none of them */
};

/* Of our own chain, what is the first to run out. */
struct tls_expiry {
	int64_t wall_s; /* since 1970 */
	char subject[128];
};

struct tls_profile;

/*
 * 0, -EINVAL (the parameters or a file; `err` says which and why) or
 * -ENOMEM. Nothing of `params` is kept.
 */
int tls_profile_create(struct tls_profile **out,
		       const struct tls_profile_params *params,
		       struct tls_profile_error *err)
	__attribute__((warn_unused_result));
/* After the last connection of its contexts. Wipes the ticket keys. */
void tls_profile_destroy(struct tls_profile *p);
/*
 * Contexts made anew; as create. On failure the old ones serve on. Running
 * connections keep theirs.
 */
int tls_profile_reload(struct tls_profile *p,
		       const struct tls_profile_params *params,
		       struct tls_profile_error *err)
	__attribute__((warn_unused_result));
/*
 * Both nodes of a pair are given the same. Without keys, as at first, there
 * are no tickets. -EINVAL: more than there is room for.
 */
int tls_profile_set_ticket_keys(struct tls_profile *p,
				const struct tls_ticket_keys *keys)
	__attribute__((warn_unused_result));

/*
 * Of all it was made from: our chain, whose key has been seen to fit, the trust
 * list, the CRLs. Equal contents, equal numbers, on both nodes, whose releases
 * may differ; never 0.
 */
uint64_t tls_profile_print(const struct tls_profile *p);

/* 0, or -EINVAL: a date that is none. */
int tls_profile_expiry(const struct tls_profile *p, struct tls_expiry *out)
	__attribute__((warn_unused_result));

/*
 * The OCSP response on our certificate, for clients that want one; 0 bytes, as
 * at first: none. A copy is kept over reloads: what was fetched for another
 * certificate is to be taken back. -ENOMEM, -EMSGSIZE.
 */
int tls_profile_set_staple(struct tls_profile *p, const void *response,
			   size_t size) __attribute__((warn_unused_result));
/* Our certificate and its issuer, borrowed until the next reload. -ENOENT: the
 * issuer is neither in its file nor trusted. */
int tls_profile_own(const struct tls_profile *p, struct tls_ocsp_subject *out)
	__attribute__((warn_unused_result));
bool tls_profile_checks_status(const struct tls_profile *p);
bool tls_profile_ignores_dead_responder(const struct tls_profile *p);
/* Who is trusted and has signed this certificate, to be freed; NULL: nobody. */
struct x509_st *tls_profile_issuer(struct ssl_ctx_st *ctx,
				   struct x509_st *cert);

/* Borrowed until the next reload: SSL_new takes a reference of its own. */
struct ssl_ctx_st *tls_profile_server(const struct tls_profile *p);
struct ssl_ctx_st *tls_profile_client(const struct tls_profile *p);

#endif
