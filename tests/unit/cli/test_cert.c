/* sbcctl cert: requests, their keys, and what is said of certificates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>
#include <pwd.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/unit/cli/ctl_run.h"

static const char *const all_files[] = {"conf",	     "node.conf", "edge.key",
					"edge.pem",  "ca.pem",	  "ca.key",
					"other.key", "ca.crl"};

static const char *file(const char *name)
{
	static char text[8][64];
	static unsigned next;
	char *p = text[next++ % 8];

	snprintf(p, sizeof(text[0]), "%s/%s", dir, name);
	return p;
}

static void write_text(const char *name, const char *text)
{
	FILE *f = fopen(file(name), "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	fclose(f);
}

static char *read_text(const char *path, size_t size)
{
	char *text = calloc(1, size);
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_true(fread(text, 1, size - 1, f) > 0);
	fclose(f);
	return text;
}

/* The example with a profile whose files are in our directory. */
static void write_config(const char *options)
{
	char *text = read_text("conf/sbcd.conf.example", 65536);
	FILE *f = fopen(file("conf"), "w");

	fprintf(f,
		"%s\ntls-profile \"mine\" {\n"
		"end-entity-certificate = \"%s\"\n"
		"trusted-ca-certificates = {\"%s\"}\n%s}\n",
		text, file("edge.pem"), file("ca.pem"), options);
	fclose(f);
	free(text);
}

static int setup(void **state)
{
	char *text, *user, key[128];
	FILE *f;

	strcpy(dir, "/tmp/ctl-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(key, sizeof(key), "private-key = \"%s\"\n", file("edge.key"));
	write_config(key);
	text = read_text("conf/node.conf.example", 65536);
	user = strstr(text, "user = \"sbcd\"");
	assert_non_null(user);
	*user = '\0';
	f = fopen(file("node.conf"), "w");
	fprintf(f, "%suser = \"nobody\"%s", text,
		user + strlen("user = \"sbcd\""));
	fclose(f);
	free(text);
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < sizeof(all_files) / sizeof(all_files[0]); i++)
		unlink(file(all_files[i]));
	free(printed);
	printed = NULL;
	return rmdir(dir);
}

static int cert(const char *words)
{
	char line[400];

	snprintf(line, sizeof(line), "--config %s --node %s %s", file("conf"),
		 file("node.conf"), words);
	return ctl(line);
}

static bool exists(const char *name)
{
	return !access(file(name), F_OK);
}

static EVP_PKEY *key_of(const char *name)
{
	FILE *f = fopen(file(name), "r");
	EVP_PKEY *key;

	assert_non_null(f);
	key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	fclose(f);
	assert_non_null(key);
	return key;
}

/* What was printed. */
static X509_REQ *request(void)
{
	const char *begin = strstr(printed, "-----BEGIN CERTIFICATE REQUEST");
	BIO *bio;
	X509_REQ *req;

	assert_non_null(begin);
	bio = BIO_new_mem_buf(begin, -1);
	req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
	BIO_free(bio);
	assert_non_null(req);
	return req;
}

static void expect_extension(X509_REQ *req, int nid, const char *text)
{
	STACK_OF(X509_EXTENSION) *all = X509_REQ_get_extensions(req);
	BIO *bio = BIO_new(BIO_s_mem());
	int at = X509v3_get_ext_by_NID(all, nid, -1);
	char *data;
	long size;

	assert_true(at >= 0);
	assert_int_equal(X509V3_EXT_print(bio, X509v3_get_ext(all, at), 0, 0),
			 1);
	size = BIO_get_mem_data(bio, &data);
	assert_int_equal(size, strlen(text));
	assert_memory_equal(data, text, size);
	BIO_free(bio);
	sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
}

static void a_request_has_names_and_a_key_of_its_own(void **state)
{
	struct stat st;
	X509_REQ *req;
	EVP_PKEY *key;
	char cn[64];

	umask(0);
	assert_int_equal(
		cert("cert csr mine sbc.example.net *.voice.example.net"),
		CTL_OK);
	assert_null(strstr(printed, "PRIVATE"));
	assert_int_equal(stat(file("edge.key"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	if (!geteuid())
		assert_int_equal(st.st_uid, getpwnam("nobody")->pw_uid);
	key = key_of("edge.key");
	assert_int_equal(EVP_PKEY_get_base_id(key), EVP_PKEY_RSA);
	assert_int_equal(EVP_PKEY_get_bits(key), 2048);
	req = request();
	assert_int_equal(X509_REQ_check_private_key(req, key), 1);
	assert_int_equal(X509_REQ_verify(req, key), 1);
	assert_true(X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(req),
					      NID_commonName, cn,
					      sizeof(cn)) > 0);
	assert_string_equal(cn, "sbc.example.net");
	expect_extension(req, NID_subject_alt_name,
			 "DNS:sbc.example.net, DNS:*.voice.example.net");
	expect_extension(
		req, NID_ext_key_usage,
		"TLS Web Server Authentication, TLS Web Client Authentication");
	X509_REQ_free(req);
	EVP_PKEY_free(key);
}

static void a_key_is_never_written_over(void **state)
{
	char *before, *after;
	X509_REQ *req;
	EVP_PKEY *key;

	assert_int_equal(cert("--ec cert csr mine a.example.net"), CTL_OK);
	before = read_text(file("edge.key"), 4096);
	assert_int_equal(cert("cert csr mine a.example.net"), CTL_FAILED);
	assert_non_null(strstr(printed, "edge.key is there already"));
	after = read_text(file("edge.key"), 4096);
	assert_string_equal(before, after);
	free(after);

	/* the same key again, with another name */
	assert_int_equal(cert("--keep-key cert csr mine b.example.net"),
			 CTL_OK);
	after = read_text(file("edge.key"), 4096);
	assert_string_equal(before, after);
	key = key_of("edge.key");
	assert_int_equal(EVP_PKEY_get_base_id(key), EVP_PKEY_EC);
	req = request();
	assert_int_equal(X509_REQ_verify(req, key), 1);
	expect_extension(req, NID_subject_alt_name, "DNS:b.example.net");
	X509_REQ_free(req);
	EVP_PKEY_free(key);
	free(before);
	free(after);
}

static void a_key_may_be_made_elsewhere(void **state)
{
	char line[128];

	snprintf(line, sizeof(line),
		 "-o json --ec --key %s cert csr mine a.example.net",
		 file("other.key"));
	assert_int_equal(cert(line), CTL_OK);
	assert_false(exists("edge.key"));
	assert_true(exists("other.key"));
	assert_non_null(strstr(printed, "\"key-file\": \"/tmp/ctl-test-"));
	assert_null(strstr(printed, "PRIVATE"));
	/* nowhere to put it */
	assert_int_equal(cert("--key /nonexistent/key cert csr mine a.b"),
			 CTL_FAILED);
	assert_non_null(strstr(printed, "/nonexistent/key: No such file"));
}

static void names_have_to_be_names(void **state)
{
	static const char *const bad[] = {"sbc",
					  "192.0.2.1",
					  "a..example.net",
					  ".example.net",
					  "a.-b.example.net",
					  "a.example.net,DNS:b.net",
					  "*.*.example.net",
					  "a.*.net",
					  "*.net.",
					  "a_b.example.net",
					  "fd00::1",
					  "*",
					  NULL};
	char line[128];

	for (const char *const *b = bad; *b; b++) {
		snprintf(line, sizeof(line), "cert csr mine ok.example.net %s",
			 *b);
		assert_int_equal(cert(line), CTL_FAILED);
		assert_non_null(strstr(printed, "is no host name"));
		assert_non_null(strstr(printed, *b));
		assert_false(exists("edge.key"));
	}
}

static void a_request_needs_a_profile(void **state)
{
	assert_int_equal(cert("cert csr nobodys a.example.net"), CTL_FAILED);
	assert_non_null(strstr(printed, "there is no tls-profile 'nobodys'"));
	write_config("");
	assert_int_equal(cert("cert csr mine a.example.net"), CTL_FAILED);
	assert_non_null(strstr(printed, "give it a private-key = FILE"));
	assert_false(exists("edge.pem"));
	write_text("conf", "cluster {");
	assert_int_equal(cert("cert csr mine a.example.net"), CTL_FAILED);
	assert_int_equal(cert("cert show"), CTL_FAILED);
}

static void root_has_to_know_whose_the_key_is(void **state)
{
	if (geteuid())
		skip();
	unlink(file("node.conf"));
	assert_int_equal(cert("cert csr mine a.example.net"), CTL_FAILED);
	assert_non_null(strstr(printed, "node.conf: No such file"));
	assert_false(exists("edge.key"));
}

static void usage_is_told(void **state)
{
	static const char *const bad[] = {"cert",
					  "cert csr",
					  "cert csr mine",
					  "cert show mine",
					  "cert shwo",
					  "cert reload now",
					  "--keep-key show calls",
					  NULL};

	for (const char *const *b = bad; *b; b++) {
		assert_int_equal(cert(*b), CTL_USAGE);
		assert_non_null(strstr(printed, "exit codes:"));
	}
}

/* ---- cert show ------------------------------------------------------------
 */

static void add_names(X509 *x, const char *names)
{
	X509_EXTENSION *e =
		X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* PEM file `name` of `cn`, by itself, valid from one day to another. */
static void make(const char *name, const char *cn, EVP_PKEY *key, long from,
		 long to)
{
	X509 *x = X509_new();
	FILE *f = fopen(file(name), "a");

	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), from * 86400L);
	X509_gmtime_adj(X509_getm_notAfter(x), to * 86400L + 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	add_names(x, "DNS:sbc.example.net,IP:192.0.2.1,DNS:b\x1b.example.net");
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509(f, x), 1);
	fclose(f);
	X509_free(x);
}

static void make_key(const char *name, EVP_PKEY *key, mode_t mode)
{
	FILE *f = fopen(file(name), "w");

	assert_int_equal(
		PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	assert_int_equal(chmod(file(name), mode), 0);
}

/* One row of `cert show`; the caller's. */
static json_t *row(size_t i, int code)
{
	json_t *all, *one;

	assert_int_equal(cert("-o json cert show"), code);
	all = json_loads(printed, 0, NULL);
	one = json_incref(
		json_array_get(json_object_get(all, "certificates"), i));
	assert_non_null(one);
	json_decref(all);
	return one;
}

static void expect(size_t i, int code, const char *member, const char *text)
{
	json_t *one = row(i, code);

	assert_string_equal(json_string_value(json_object_get(one, member)),
			    text);
	json_decref(one);
}

static void expect_problem(size_t i, int code, const char *text)
{
	json_t *one = row(i, code);
	const char *problem =
		json_string_value(json_object_get(one, "problem"));

	assert_non_null(problem);
	assert_non_null(strstr(problem, text));
	json_decref(one);
}

static void certificates_are_shown(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	json_t *one;

	make_key("edge.key", key, 0600);
	make("edge.pem", "sbc.example.net", key, -1, 90);
	make("edge.pem", "between", other, -1, 90);
	make("ca.pem", "a root, of \x1b\x7f", other, -1, 900);

	expect(0, CTL_OK, "kind", "own");
	expect(0, CTL_OK, "subject", "CN=sbc.example.net");
	expect(0, CTL_OK, "issuer", "CN=sbc.example.net");
	expect(0, CTL_OK, "key", "matches");
	expect(0, CTL_OK, "problem", "");
	expect(1, CTL_OK, "kind", "chain");
	expect(1, CTL_OK, "key", "-");
	expect(2, CTL_OK, "kind", "trusted");
	expect(2, CTL_OK, "subject", "CN=a root\\, of \\1B\\7F");
	expect(2, CTL_OK, "file", file("ca.pem"));
	one = row(0, CTL_OK);
	assert_int_equal(json_array_size(json_object_get(one, "names")), 2);
	assert_string_equal(json_string_value(json_array_get(
				    json_object_get(one, "names"), 1)),
			    "b?.example.net");
	json_decref(one);
	assert_int_equal(cert("cert show"), CTL_OK);
	assert_non_null(strstr(printed, "sbc.example.net, b?.example.net"));
	assert_null(strstr(printed, "PRIVATE"));
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void dates_are_looked_at(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	static const struct {
		long from, to;
		int code;
		const char *problem;
	} cases[] = {
		{-90, -1, CTL_FAILED, "expired"},
		{1, 90, CTL_FAILED, "not yet valid"},
		{-90, 29, CTL_OK, "expires in 29 days"},
	};

	make_key("edge.key", key, 0600);
	make("ca.pem", "root", key, -1, 90);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unlink(file("edge.pem"));
		make("edge.pem", "sbc", key, cases[i].from, cases[i].to);
		expect(0, cases[i].code, "problem", cases[i].problem);
	}
	EVP_PKEY_free(key);
}

static void keys_are_looked_at(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");

	make("edge.pem", "sbc", key, -1, 90);
	make("ca.pem", "root", key, -1, 90);
	expect(0, CTL_FAILED, "key", "unreadable");
	expect_problem(0, CTL_FAILED, "edge.key: No such file");
	make_key("edge.key", other, 0600);
	expect(0, CTL_FAILED, "key", "differs");
	expect_problem(0, CTL_FAILED, "is another one's");
	make_key("edge.key", key, 0640);
	expect(0, CTL_OK, "key", "matches");
	make_key("edge.key", key, 0644);
	expect_problem(0, CTL_FAILED, "is open to everybody");
	write_text("edge.key", "no key");
	expect(0, CTL_FAILED, "key", "unreadable");
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void files_may_be_anything(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char *pem;

	make_key("edge.key", key, 0600);
	make("ca.pem", "root", key, -1, 90);
	/* the request is out, the certificate has not come yet */
	expect(0, CTL_FAILED, "key", "there");
	expect_problem(0, CTL_FAILED, "No such file");
	write_text("edge.pem", "");
	expect_problem(0, CTL_FAILED, "no certificate in it");
	write_text("edge.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n"
			       "-----END CERTIFICATE-----\n");
	assert_int_equal(cert("cert show"), CTL_FAILED);
	/* the second one of two ends in the middle */
	unlink(file("edge.pem"));
	make("edge.pem", "sbc", key, -1, 90);
	make("edge.pem", "between", key, -1, 90);
	pem = read_text(file("edge.pem"), 8192);
	pem[strlen(pem) - 100] = '\0';
	write_text("edge.pem", pem);
	free(pem);
	expect(0, CTL_FAILED, "key", "matches");
	expect(1, CTL_FAILED, "kind", "chain");
	assert_int_equal(cert("cert show"), CTL_FAILED);
	EVP_PKEY_free(key);
}

/* Of `cn`, which was asked for its revocations `from` and speaks again `to`. */
static void make_crl(const char *cn, EVP_PKEY *key, long from, long to)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *last = X509_gmtime_adj(NULL, from * 86400L);
	ASN1_TIME *next = X509_gmtime_adj(NULL, to * 86400L);
	X509_NAME *name = X509_NAME_new();
	FILE *f = fopen(file("ca.crl"), "w");

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
				   (const unsigned char *)cn, -1, -1, 0);
	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, name);
	X509_CRL_set1_lastUpdate(crl, last);
	X509_CRL_set1_nextUpdate(crl, next);
	assert_true(X509_CRL_sign(crl, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509_CRL(f, crl), 1);
	fclose(f);
	X509_NAME_free(name);
	ASN1_TIME_free(last);
	ASN1_TIME_free(next);
	X509_CRL_free(crl);
}

static void revocation_lists_are_shown(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char options[256];

	snprintf(options, sizeof(options),
		 "private-key = \"%s\"\ncrl-files = {\"%s\"}\n",
		 file("edge.key"), file("ca.crl"));
	write_config(options);
	make_key("edge.key", key, 0600);
	make("edge.pem", "sbc", key, -1, 90);
	make("ca.pem", "root", key, -1, 90);
	expect_problem(2, CTL_FAILED, "No such file");
	make_crl("root", key, -10, 20);
	expect(2, CTL_OK, "kind", "crl");
	expect(2, CTL_OK, "issuer", "CN=root");
	expect(2, CTL_OK, "problem", "");
	make_crl("root", key, -10, -1);
	expect(2, CTL_FAILED, "problem", "expired");
	write_text("ca.crl", "");
	expect_problem(2, CTL_FAILED, "no revocation list in it");
	EVP_PKEY_free(key);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_has_names_and_a_key_of_its_own),
		TEST(a_key_is_never_written_over),
		TEST(a_key_may_be_made_elsewhere),
		TEST(names_have_to_be_names),
		TEST(a_request_needs_a_profile),
		TEST(root_has_to_know_whose_the_key_is),
		TEST(usage_is_told),
		TEST(certificates_are_shown),
		TEST(dates_are_looked_at),
		TEST(keys_are_looked_at),
		TEST(files_may_be_anything),
		TEST(revocation_lists_are_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
