/*
 * tls_certs - certificates for tests of TLS, made anew in a directory.
 */
#ifndef TESTS_UNIT_SIP_TLS_CERTS_H
#define TESTS_UNIT_SIP_TLS_CERTS_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static char dir[] = "/tmp/test_tls.XXXXXX";

/* What is said of its responder in each that is made, as openssl.cnf has it. */
static const char *aia;

static const char *path(const char *name, const char *end)
{
	static char text[8][128];
	static unsigned next;
	char *p = text[next++ % 8];

	snprintf(p, sizeof(text[0]), "%s/%s.%s", dir, name, end);
	return p;
}

static void extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* NAME.crt and NAME.key, signed by `issuer` (NULL: by itself), which names
 * `alt` too (NULL: CN alone, which is NAME). */
static void make_named(const char *name, const char *issuer, const char *eku,
		       int days, EVP_PKEY *key, const char *alt)
{
	X509 *x = X509_new(), *ca = NULL;
	EVP_PKEY *by = key;
	FILE *f;

	if (issuer) {
		f = fopen(path(issuer, "crt"), "r");
		ca = PEM_read_X509(f, NULL, NULL, NULL);
		fclose(f);
		f = fopen(path(issuer, "key"), "r");
		by = PEM_read_PrivateKey(f, NULL, NULL, NULL);
		fclose(f);
	}
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -10 * 86400L);
	X509_gmtime_adj(X509_getm_notAfter(x), days * 86400L);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(ca ? ca : x));
	X509_set_pubkey(x, key);
	extend(x, NID_basic_constraints,
	       eku ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (eku)
		extend(x, NID_ext_key_usage, eku);
	if (alt)
		extend(x, NID_subject_alt_name, alt);
	if (aia)
		extend(x, NID_info_access, aia);
	assert_true(X509_sign(x, by, EVP_sha256()) > 0);
	f = fopen(path(name, "crt"), "w");
	assert_int_equal(PEM_write_X509(f, x), 1);
	fclose(f);
	f = fopen(path(name, "key"), "w");
	assert_int_equal(
		PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	if (issuer) {
		X509_free(ca);
		EVP_PKEY_free(by);
	}
	X509_free(x);
}

static void make(const char *name, const char *issuer, const char *eku,
		 int days, EVP_PKEY *key)
{
	make_named(name, issuer, eku, days, key, NULL);
}

/* What leads from a certificate to its root. */
__attribute__((unused)) static void append(const char *name, const char *issuer)
{
	FILE *from = fopen(path(issuer, "crt"), "r");
	FILE *to = fopen(path(name, "crt"), "a");
	X509 *x = PEM_read_X509(from, NULL, NULL, NULL);

	assert_int_equal(PEM_write_X509(to, x), 1);
	X509_free(x);
	fclose(from);
	fclose(to);
}

static void remove_all(const char *const *names, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unlink(path(names[i], "crt"));
		unlink(path(names[i], "key"));
	}
	rmdir(dir);
}

#endif
