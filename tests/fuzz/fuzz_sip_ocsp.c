/*
 * What a responder, or a server that staples, sends: nothing that was not
 * signed by the issuer counts, and no URL but a sane one is called.
 *
 * Input: a byte of choices, then bytes. Bit 0: they are a URL; bit 1: they
 * change bytes of a good response, else they are one.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>

#include "sbcd/sip/tls_ocsp.h"

enum { AS_URL = 1, CHANGE = 2, GOOD_BYTES = 4096 };

static struct tls_ocsp_subject subject;
static uint8_t good[GOOD_BYTES];
static size_t good_size;
static const int64_t now_s = 1760000000;

static void check(int ok)
{
	if (!ok)
		abort();
}

static X509 *make(const char *name, X509 *issuer, EVP_PKEY *key, EVP_PKEY *by)
{
	X509 *x = X509_new();

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), issuer ? 2 : 1);
	ASN1_TIME_set(X509_getm_notBefore(x), (time_t)now_s - 86400);
	ASN1_TIME_set(X509_getm_notAfter(x), (time_t)now_s + 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x));
	X509_set_pubkey(x, key);
	check(X509_sign(x, by, EVP_sha256()) > 0);
	return x;
}

static void start(void)
{
	EVP_PKEY *ca = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	ASN1_TIME *since = ASN1_TIME_set(NULL, (time_t)now_s - 60);
	ASN1_TIME *until = ASN1_TIME_set(NULL, (time_t)now_s + 3600);
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	unsigned char *at = good;
	OCSP_RESPONSE *r;
	OCSP_CERTID *id;

	subject.issuer = make("ca", NULL, ca, ca);
	subject.cert = make("peer", subject.issuer, key, ca);
	ASN1_TIME_to_generalizedtime(since, &since);
	ASN1_TIME_to_generalizedtime(until, &until);
	id = OCSP_cert_to_id(EVP_sha1(), subject.cert, subject.issuer);
	check(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL,
				     since, until) != NULL);
	check(OCSP_basic_sign(basic, subject.issuer, ca, EVP_sha256(), NULL,
			      0) == 1);
	r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	check(i2d_OCSP_RESPONSE(r, NULL) <= GOOD_BYTES);
	good_size = (size_t)i2d_OCSP_RESPONSE(r, &at);
	OCSP_RESPONSE_free(r);
	OCSP_CERTID_free(id);
	OCSP_BASICRESP_free(basic);
	ASN1_TIME_free(since);
	ASN1_TIME_free(until);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca);
}

static void url(const uint8_t *data, size_t size)
{
	struct tls_ocsp_url u;

	if (tls_ocsp_url_parse((const char *)data, size, &u))
		return;
	check(u.port && u.host[0] && u.path[0] == '/');
	check(strlen(u.host) < sizeof(u.host));
	check(strlen(u.path) < sizeof(u.path));
	check(!strpbrk(u.host, " \r\n@/") && !strpbrk(u.path, " \r\n#"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[GOOD_BYTES], how;
	struct tls_ocsp_answer a;
	int err;

	if (!good_size)
		start();
	if (!size)
		return 0;
	how = *data++;
	size--;
	if (how & AS_URL) {
		url(data, size);
		return 0;
	}
	if (!(how & CHANGE)) {
		err = tls_ocsp_check(&subject, data, size, now_s, &a);
		check(err < 0);
		return 0;
	}
	memcpy(bytes, good, good_size);
	for (size_t i = 0; i + 2 < size; i += 3)
		bytes[(data[i] << 8 | data[i + 1]) % good_size] ^= data[i + 2];
	err = tls_ocsp_check(&subject, bytes, good_size, now_s, &a);
	/* what is not signed may be changed, what it says is the same */
	if (!err)
		check(a.status == TLS_OCSP_GOOD && a.since_s == now_s - 60 &&
		      a.until_s == now_s + 3600);
	return 0;
}
