/*
 * tls_ocsp - the status of certificates (RFC 6960): what is asked, of whom,
 * and whether an answer counts.
 *
 * An answer counts if it is about that very certificate, signed by its issuer
 * or by whom the issuer has appointed for it (RFC 6960 4.2.2.2), and of a date
 * that is not too old. Whoever calls has verified the chain: neither URL nor
 * issuer are taken from a certificate that has not been.
 *
 * What a responder or a peer sends is hostile: it is bounded, and nothing of
 * it is kept but what was checked.
 *
 * Layer: sip. Any thread. No state, no clock, no I/O.
 */
#ifndef SBCD_SIP_TLS_OCSP_H
#define SBCD_SIP_TLS_OCSP_H

#include <stddef.h>
#include <stdint.h>

struct x509_st;

enum {
	TLS_OCSP_RESPONSE_MAX_BYTES = 16 * 1024,
	TLS_OCSP_REQUEST_MAX_BYTES = 512,
	TLS_OCSP_SKEW_S = 300,
	/* An answer that does not say when there will be news. */
	TLS_OCSP_NO_NEXT_S = 3600,
	TLS_OCSP_HOST_SIZE = 256,
	TLS_OCSP_PATH_SIZE = 512,
	TLS_OCSP_ID_BYTES = 32,
};

/* Whose status, and who signed it. Borrowed. */
struct tls_ocsp_subject {
	struct x509_st *cert, *issuer;
};

enum tls_ocsp_status {
	TLS_OCSP_GOOD = 0,
	TLS_OCSP_REVOKED,
	TLS_OCSP_UNKNOWN, /* the responder has never heard of it */
};

struct tls_ocsp_answer {
	enum tls_ocsp_status status;
	int64_t since_s, until_s; /* wall clock */
};

/* Where the responder is: http, and nothing that is more than a place. */
struct tls_ocsp_url {
	char host[TLS_OCSP_HOST_SIZE]; /* a name or address, no brackets */
	uint16_t port;
	char path[TLS_OCSP_PATH_SIZE];
};

/*
 * 0; -EBADMSG: no response at all; -EAGAIN: the responder says that it cannot
 * answer; -EACCES: signed by nobody who may; -ENOENT: not about this one;
 * -ESTALE: of another day; -ENOMEM.
 */
int tls_ocsp_check(const struct tls_ocsp_subject *s, const void *response,
		   size_t size, int64_t wall_s, struct tls_ocsp_answer *out)
	__attribute__((warn_unused_result));
/* A name for the certificate; 0 or -ENOMEM. */
int tls_ocsp_id(const struct tls_ocsp_subject *s,
		uint8_t out[TLS_OCSP_ID_BYTES])
	__attribute__((warn_unused_result));
/* DER; 0, -ENOMEM or -EMSGSIZE. */
int tls_ocsp_request(const struct tls_ocsp_subject *s,
		     uint8_t out[TLS_OCSP_REQUEST_MAX_BYTES], size_t *size)
	__attribute__((warn_unused_result));
/* The first of the certificate that is one; 0 or -ENOENT. */
int tls_ocsp_url(const struct x509_st *cert, struct tls_ocsp_url *out)
	__attribute__((warn_unused_result));
/* 0, or -EINVAL: none of ours. */
int tls_ocsp_url_parse(const char *text, size_t size, struct tls_ocsp_url *out)
	__attribute__((warn_unused_result));

#endif
