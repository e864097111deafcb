/*
 * tls_reason - why a handshake failed, in the words of our configuration
 *
 * OpenSSL says which of its lines gave up; an administrator needs the rule
 * and the option of tls-profile that would change it. Foreign error codes
 * are mapped here and nowhere else.
 *
 * Layer: sip. Any thread. No state.
 */
#ifndef SBCD_SIP_TLS_REASON_H
#define SBCD_SIP_TLS_REASON_H

enum tls_reason {
	TLS_REASON_OTHER = 0,
	TLS_REASON_NO_CERTIFICATE,
	TLS_REASON_EXPIRED,
	TLS_REASON_NOT_YET_VALID,
	TLS_REASON_UNKNOWN_CA,
	TLS_REASON_CHAIN_TOO_LONG,
	TLS_REASON_PURPOSE,
	TLS_REASON_SIGNATURE,
	TLS_REASON_WEAK,
	TLS_REASON_OVERSIZED,
	TLS_REASON_V2_HELLO,
	TLS_REASON_VERSION,
	TLS_REASON_CIPHER,
	TLS_REASON_NOT_TLS,
	TLS_REASON_TRUNCATED,
	TLS_REASON_PEER_REFUSED_CERTIFICATE,
	TLS_REASON_PEER_REFUSED,
	TLS_REASON_NAME, /* tls_conn's own: no error of OpenSSL's */
	TLS_REASON_TIMEOUT, /* likewise */
	TLS_REASON_REVOKED,
	TLS_REASON_NO_CRL,
	TLS_REASON_STATUS_UNKNOWN, /* ocsp_desk's own, like the next */
	TLS_REASON_NO_STATUS,
	TLS_REASON_CLOSED_AT_CERTIFICATE, /* tls_conn's own */
	TLS_REASON_STRANGER, /* tls_links's own */
	TLS_REASON_LEN
};

struct tls_reason_text {
	const char *name; /* one word, for counters */
	const char *rule; /* what was broken, a clause */
	const char *option; /* of tls-profile; NULL: none would change it */
};

/* Never NULL; what is no reason reads as TLS_REASON_OTHER. */
const struct tls_reason_text *tls_reason_text(enum tls_reason reason);

/*
 * The reason in an error of OpenSSL's queue (ERR_get_error) and in the
 * verdict on the peer's chain (SSL_get_verify_result; X509_V_OK: none).
 * The verdict counts only if the error is that of a refused certificate.
 */
enum tls_reason tls_reason_of(unsigned long error, long verdict);

#endif
