/*
 * ocsp_make - responses of OCSP, good ones and others, with the certificates
 * of tls_certs.h. Layer: tests.
 */
#ifndef TESTS_UNIT_SIP_OCSP_MAKE_H
#define TESTS_UNIT_SIP_OCSP_MAKE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <openssl/ocsp.h>

#include "tests/unit/sip/tls_certs.h"

struct ocsp_spec {
	const char *cert, *issuer; /* NULL: "root" */
	const char *signer; /* NULL: the issuer */
	int status; /* V_OCSP_CERTSTATUS_… */
	int64_t since_s, until_s; /* 0: not said */
	long serial; /* 0: the certificate's */
	bool sha256; /* the id is of SHA-256, not of SHA-1 */
	bool bare; /* the signer's certificate is not in it */
	int refused; /* OCSP_RESPONSE_STATUS_…, then nothing else counts */
};

static X509 *load_cert(const char *name)
{
	FILE *f = fopen(path(name, "crt"), "r");
	X509 *x = PEM_read_X509(f, NULL, NULL, NULL);

	fclose(f);
	assert_non_null(x);
	return x;
}

static EVP_PKEY *load_key(const char *name)
{
	FILE *f = fopen(path(name, "key"), "r");
	EVP_PKEY *k = PEM_read_PrivateKey(f, NULL, NULL, NULL);

	fclose(f);
	assert_non_null(k);
	return k;
}

/* DER in `out`; its size. */
static size_t ocsp_make(const struct ocsp_spec *s, uint8_t *out, size_t size)
{
	const char *issuer_name = s->issuer ? s->issuer : "root";
	const char *signer_name = s->signer ? s->signer : issuer_name;
	X509 *cert = load_cert(s->cert), *issuer = load_cert(issuer_name);
	X509 *signer = load_cert(signer_name);
	EVP_PKEY *key = load_key(signer_name);
	ASN1_INTEGER *serial = ASN1_INTEGER_new();
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	ASN1_TIME *since = ASN1_TIME_set(NULL, (time_t)s->since_s);
	ASN1_TIME *until =
		s->until_s ? ASN1_TIME_set(NULL, (time_t)s->until_s) : NULL;
	bool revoked = s->status == V_OCSP_CERTSTATUS_REVOKED;
	unsigned char *at = out;
	OCSP_RESPONSE *r;
	OCSP_CERTID *id;
	int len;

	/* as responders do it: GENERALIZEDTIME */
	ASN1_TIME_to_generalizedtime(since, &since);
	if (until)
		ASN1_TIME_to_generalizedtime(until, &until);
	ASN1_INTEGER_set(serial, s->serial);
	id = OCSP_cert_id_new(s->sha256 ? EVP_sha256() : EVP_sha1(),
			      X509_get_subject_name(issuer),
			      X509_get0_pubkey_bitstr(issuer),
			      s->serial ? serial : X509_get_serialNumber(cert));
	assert_non_null(OCSP_basic_add1_status(
		basic, id, s->status,
		revoked ? OCSP_REVOKED_STATUS_UNSPECIFIED : 0,
		revoked ? since : NULL, since, until));
	assert_int_equal(OCSP_basic_sign(basic, signer, key, EVP_sha256(), NULL,
					 s->bare ? OCSP_NOCERTS : 0),
			 1);
	r = OCSP_response_create(s->refused, s->refused ? NULL : basic);
	len = i2d_OCSP_RESPONSE(r, NULL);
	assert_in_range(len, 1, size);
	assert_int_equal(i2d_OCSP_RESPONSE(r, &at), len);
	OCSP_RESPONSE_free(r);
	OCSP_CERTID_free(id);
	OCSP_BASICRESP_free(basic);
	ASN1_INTEGER_free(serial);
	ASN1_TIME_free(since);
	ASN1_TIME_free(until);
	EVP_PKEY_free(key);
	X509_free(signer);
	X509_free(issuer);
	X509_free(cert);
	return (size_t)len;
}

#endif
