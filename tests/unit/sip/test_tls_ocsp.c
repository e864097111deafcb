/* tls_ocsp: which answers of a responder count, and where one may be. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "sbcd/sip/tls_ocsp.h"
#include "tests/unit/sip/ocsp_make.h"

enum { HOUR = 3600, DAY = 24 * HOUR };
#define GOOD	V_OCSP_CERTSTATUS_GOOD
#define REVOKED V_OCSP_CERTSTATUS_REVOKED
#define UNKNOWN V_OCSP_CERTSTATUS_UNKNOWN

static const char *const certs[] = {"root",  "mid",	  "other",  "peer",
				    "deep",  "responder", "former", "plain",
				    "alien", "aia",	  "noaia"};
static int64_t today;
static uint8_t response[2 * TLS_OCSP_RESPONSE_MAX_BYTES];

static int setup(void **state)
{
	EVP_PKEY *ca = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	EVP_PKEY *ca2 = EVP_EC_gen("P-256");

	assert_non_null(mkdtemp(dir));
	today = (int64_t)time(NULL);
	make("root", NULL, NULL, 100, ca);
	make("mid", "root", NULL, 100, ca2);
	make("other", NULL, NULL, 100, key);
	make("peer", "root", "serverAuth,clientAuth", 100, key);
	make("deep", "mid", "serverAuth,clientAuth", 100, key);
	make("responder", "root", "OCSPSigning", 100, key);
	make("former", "root", "OCSPSigning", -1, key);
	make("plain", "root", "serverAuth,clientAuth", 100, key);
	make("alien", "other", "OCSPSigning", 100, key);
	make("noaia", "root", "serverAuth", 100, key);
	aia = "caIssuers;URI:http://a.example.net/,"
	      "OCSP;URI:https://b.example.net/,"
	      "OCSP;URI:http://ocsp.example.net:8080/x/y?z";
	make("aia", "root", "serverAuth", 100, key);
	aia = NULL;
	EVP_PKEY_free(ca);
	EVP_PKEY_free(ca2);
	EVP_PKEY_free(key);
	return 0;
}

static int teardown(void **state)
{
	remove_all(certs, sizeof(certs) / sizeof(certs[0]));
	return 0;
}

static int check(const char *cert, const char *issuer, size_t size,
		 struct tls_ocsp_answer *out)
{
	struct tls_ocsp_subject s = {load_cert(cert), load_cert(issuer)};
	int err;

	memset(out, 0x55, sizeof(*out));
	err = tls_ocsp_check(&s, response, size, today, out);
	X509_free(s.cert);
	X509_free(s.issuer);
	return err;
}

/* Dates are from today on. */
static const struct {
	const char *what;
	struct ocsp_spec spec;
	int err;
	enum tls_ocsp_status status;
} cases[] = {
	{"good", {"peer", .since_s = 0, .until_s = DAY}, 0},
	{"revoked",
	 {"peer", .status = REVOKED, .since_s = 0, .until_s = DAY},
	 0,
	 TLS_OCSP_REVOKED},
	{"unknown",
	 {"peer", .status = UNKNOWN, .since_s = 0, .until_s = DAY},
	 0,
	 TLS_OCSP_UNKNOWN},
	{"named by SHA-256",
	 {"peer", .since_s = 0, .until_s = DAY, .sha256 = true},
	 0},
	{"its own certificate is left out",
	 {"peer", .since_s = 0, .until_s = DAY, .bare = true},
	 0},
	{"an appointed responder",
	 {"peer", .signer = "responder", .since_s = 0, .until_s = DAY},
	 0},
	{"nobody appointed it",
	 {"peer", .signer = "plain", .since_s = 0, .until_s = DAY},
	 -EACCES},
	{"it no longer is",
	 {"peer", .signer = "former", .since_s = 0, .until_s = DAY},
	 -EACCES},
	{"appointed by another",
	 {"peer", .signer = "alien", .since_s = 0, .until_s = DAY},
	 -EACCES},
	{"another signs as if it were",
	 {"peer", .signer = "other", .since_s = 0, .until_s = DAY,
	  .bare = true},
	 -EACCES},
	{"the certificate itself says so",
	 {"peer", .signer = "peer", .since_s = 0, .until_s = DAY},
	 -EACCES},
	{"about another one",
	 {"peer", .serial = 4711, .since_s = 0, .until_s = DAY},
	 -ENOENT},
	{"about one of another issuer",
	 {"peer", .issuer = "mid", .signer = "root", .since_s = 0,
	  .until_s = DAY},
	 -EACCES},
	{"below a CA in between",
	 {"deep", "mid", .since_s = 0, .until_s = DAY},
	 0},
	{"its root is not its issuer",
	 {"deep", "mid", .signer = "root", .since_s = 0, .until_s = DAY},
	 -EACCES},
	{"out of date", {"peer", .since_s = -DAY, .until_s = -HOUR}, -ESTALE},
	{"of tomorrow", {"peer", .since_s = HOUR, .until_s = DAY}, -ESTALE},
	{"clocks differ a little", {"peer", .since_s = 200, .until_s = DAY}, 0},
	{"the other way", {"peer", .since_s = -DAY, .until_s = -200}, 0},
	{"no word of news", {"peer", .since_s = -60}, 0},
	{"nor for long", {"peer", .since_s = -3 * HOUR}, -ESTALE},
	{"ends before it begins",
	 {"peer", .since_s = 0, .until_s = -100},
	 -EBADMSG},
	{"later",
	 {"peer", .since_s = 0, .refused = OCSP_RESPONSE_STATUS_TRYLATER},
	 -EAGAIN},
	{"not for you",
	 {"peer", .since_s = 0, .refused = OCSP_RESPONSE_STATUS_UNAUTHORIZED},
	 -EAGAIN},
};

static void answers(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ocsp_spec s = cases[i].spec;
		const char *issuer = !strcmp(s.cert, "deep") ? "mid" : "root";
		struct tls_ocsp_answer a;
		size_t size;
		int err;

		s.since_s += today;
		if (s.until_s)
			s.until_s += today;
		size = ocsp_make(&s, response, sizeof(response));
		err = check(s.cert, issuer, size, &a);
		print_message("%s: %d\n", cases[i].what, err);
		assert_int_equal(err, cases[i].err);
		if (err)
			continue;
		assert_int_equal(a.status, cases[i].status);
		assert_true(a.since_s == s.since_s);
		if (!s.until_s)
			s.until_s = s.since_s + TLS_OCSP_NO_NEXT_S;
		assert_true(a.until_s == s.until_s);
	}
}

/* Each byte changed, each length: refused, or it says what it said. */
static void damaged(void **state)
{
	struct ocsp_spec s = {"peer", .since_s = today, .until_s = today + DAY};
	size_t size = ocsp_make(&s, response, sizeof(response));
	struct tls_ocsp_subject who = {load_cert("peer"), load_cert("root")};
	struct tls_ocsp_answer a;

	for (size_t i = 0; i < size; i++) {
		uint8_t was = response[i];

		assert_int_not_equal(
			tls_ocsp_check(&who, response, i, today, &a), 0);
		response[i] ^= 0xff;
		/* what of the signer's certificate is not signed may change:
		 * it is the issuer's, which we have */
		if (!tls_ocsp_check(&who, response, size, today, &a))
			assert_int_equal(a.status, TLS_OCSP_GOOD);
		response[i] = was;
	}
	assert_int_equal(tls_ocsp_check(&who, response, size, today, &a), 0);
	response[size] = 0;
	assert_int_equal(tls_ocsp_check(&who, response, size + 1, today, &a),
			 -EBADMSG);
	assert_int_equal(
		tls_ocsp_check(&who, response, sizeof(response), today, &a),
		-EBADMSG);
	X509_free(who.cert);
	X509_free(who.issuer);
}

static void requests(void **state)
{
	struct tls_ocsp_subject peer = {load_cert("peer"), load_cert("root")};
	struct tls_ocsp_subject deep = {load_cert("deep"), load_cert("mid")};
	uint8_t der[TLS_OCSP_REQUEST_MAX_BYTES], a[TLS_OCSP_ID_BYTES],
		b[TLS_OCSP_ID_BYTES];
	const unsigned char *at = der;
	OCSP_CERTID *id;
	OCSP_REQUEST *r;
	size_t size;

	assert_int_equal(tls_ocsp_request(&peer, der, &size), 0);
	r = d2i_OCSP_REQUEST(NULL, &at, (long)size);
	assert_non_null(r);
	assert_int_equal(OCSP_request_onereq_count(r), 1);
	id = OCSP_cert_to_id(EVP_sha1(), peer.cert, peer.issuer);
	assert_int_equal(
		OCSP_id_cmp(id, OCSP_onereq_get0_id(
					OCSP_request_onereq_get0(r, 0))),
		0);
	assert_int_equal(tls_ocsp_id(&peer, a), 0);
	assert_int_equal(tls_ocsp_id(&deep, b), 0);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_int_equal(tls_ocsp_id(&peer, b), 0);
	assert_memory_equal(a, b, sizeof(a));
	OCSP_CERTID_free(id);
	OCSP_REQUEST_free(r);
	X509_free(peer.cert);
	X509_free(peer.issuer);
	X509_free(deep.cert);
	X509_free(deep.issuer);
}

static void urls(void **state)
{
	static const struct {
		const char *text, *host, *path;
		unsigned port; /* 0: refused */
	} c[] = {
		{"http://ocsp.example.net", "ocsp.example.net", "/", 80},
		{"HTTP://ocsp.example.net/", "ocsp.example.net", "/", 80},
		{"http://a:8080/b/c?d=e%20", "a", "/b/c?d=e%20", 8080},
		{"http://10.0.0.1:65535/", "10.0.0.1", "/", 65535},
		{"http://[fd00::1]:81/x", "fd00::1", "/x", 81},
		{"http://[fd00::1]", "fd00::1", "/", 80},
		{.text = "https://ocsp.example.net/"},
		{.text = "ftp://ocsp.example.net/"},
		{.text = "file:///etc/passwd"},
		{.text = "http://"},
		{.text = "http:///"},
		{.text = "http://:80/"},
		{.text = "http://a:/"},
		{.text = "http://a:0/"},
		{.text = "http://a:65536/"},
		{.text = "http://a:100000/"},
		{.text = "http://a:8o/"},
		{.text = "http://a:80:80/"},
		{.text = "http://user@a/"},
		{.text = "http://user:pw@a/"},
		{.text = "http://a b/"},
		{.text = "http://a_b/"},
		{.text = "http://a/b c"},
		{.text = "http://a/b\r\nX: y"},
		{.text = "http://a\r\n/"},
		{.text = "http://a/#b"},
		{.text = "http://a/\xc3\xa4"},
		{.text = "http://[fd00::1/"},
		{.text = "http://[fd00::1]x/"},
		{.text = "http://[10.0.0.1]/"},
		{.text = "http://[]/"},
		{.text = "http://fd00::1/"},
		{.text = ""},
	};
	char text[1024] = "http://";
	struct tls_ocsp_url u;

	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		int err = tls_ocsp_url_parse(c[i].text, strlen(c[i].text), &u);

		print_message("%s: %d\n", c[i].text, err);
		assert_int_equal(err, c[i].port ? 0 : -EINVAL);
		if (err)
			continue;
		assert_string_equal(u.host, c[i].host);
		assert_string_equal(u.path, c[i].path);
		assert_int_equal(u.port, c[i].port);
	}
	memset(text + 7, 'a', TLS_OCSP_HOST_SIZE);
	assert_int_equal(tls_ocsp_url_parse(text, 7 + TLS_OCSP_HOST_SIZE, &u),
			 -EINVAL);
	text[8] = '/';
	memset(text + 9, 'b', TLS_OCSP_PATH_SIZE);
	assert_int_equal(tls_ocsp_url_parse(text, 8 + TLS_OCSP_PATH_SIZE, &u),
			 -EINVAL);
	assert_int_equal(
		tls_ocsp_url_parse(text, 8 + TLS_OCSP_PATH_SIZE - 1, &u), 0);
}

static void url_of_a_certificate(void **state)
{
	X509 *with = load_cert("aia"), *without = load_cert("noaia");
	struct tls_ocsp_url u;

	assert_int_equal(tls_ocsp_url(with, &u), 0);
	assert_string_equal(u.host, "ocsp.example.net");
	assert_int_equal(u.port, 8080);
	assert_string_equal(u.path, "/x/y?z");
	assert_int_equal(tls_ocsp_url(without, &u), -ENOENT);
	X509_free(with);
	X509_free(without);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(damaged),
		cmocka_unit_test(requests),
		cmocka_unit_test(urls),
		cmocka_unit_test(url_of_a_certificate),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
