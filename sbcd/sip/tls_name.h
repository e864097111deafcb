/*
 * tls_name - does a certificate name the peer it has to name?
 *
 * RFC 5922 section 7 with two liberties: CN counts when the certificate has
 * no DNS or URI name of its own, and a wildcard for one label counts where
 * the tls-profile allows it.
 *
 * Names come from certificates, so from anybody: they may hold any byte.
 *
 * Layer: sip. Any thread. Needs neither SIP stack nor OpenSSL. No state.
 */
#ifndef SBCD_SIP_TLS_NAME_H
#define SBCD_SIP_TLS_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum tls_name_kind {
	TLS_NAME_DNS, /* subjectAltName, dNSName */
	TLS_NAME_URI, /* subjectAltName, uniformResourceIdentifier */
	TLS_NAME_CN, /* the subject's common name */
};

/* As it is in the certificate: counted, not terminated. */
struct tls_name {
	enum tls_name_kind kind;
	const char *text;
	size_t size;
};

/*
 * Does this name alone mean `host`, a host name without wildcard or final
 * dot? Without case. Of URIs only sip: followed by nothing but a host.
 */
bool tls_name_matches(const struct tls_name *name, const char *host,
		      bool wildcard);
/*
 * The first of a certificate's names that means one of `hosts`: its index,
 * or -ENOENT. `*host` (may be NULL) is the index of what it means.
 */
int tls_name_find(const struct tls_name *names, unsigned names_len,
		  const char *const *hosts, unsigned hosts_len, bool wildcard,
		  unsigned *host) __attribute__((warn_unused_result));

#endif
