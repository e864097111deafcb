/* tls-profile: what is read and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sbcd/config/schema.h"
#include "sbcd/config/tls.h"

static struct config_errors errors;
static struct config_tls tls;

static const struct section_spec schema[] = {
	{.name = "tls-profile",
	 .titled = true,
	 .options = schema_tls_options,
	 .help = "-"},
	END,
};

#define CERT		 " end-entity-certificate = \"/c.pem\"\n"
#define PROFILE(options) "tls-profile \"p\" {\n" CERT options "}\n"

static void build(const char *text)
{
	struct parsed *p = NULL;

	memset(&errors, 0, sizeof(errors));
	memset(&tls, 0, sizeof(tls));
	if (!parsed_create(&p, schema, text, "f", &errors))
		config_build_tls(p, parsed_root(p), &tls);
	parsed_destroy(p);
}

static void good(const char *text)
{
	build(text);
	if (errors.count)
		fail_msg("%s", errors.text);
}

static void bad(const char *text, const char *line, const char *what)
{
	build(text);
	if (errors.count != 1 || strncmp(errors.text, line, strlen(line)) ||
	    !strstr(errors.text, what))
		fail_msg("%u errors, not '%s…%s': %s", errors.count, line, what,
			 errors.text);
}

static void defaults(void **state)
{
	const struct config_tls_profile *t;

	good(PROFILE(""));
	t = config_tls_find(&tls, "p");
	assert_non_null(t);
	assert_null(config_tls_find(&tls, "q"));
	assert_int_equal(t->line, 1);
	assert_string_equal(t->certificate, "/c.pem");
	assert_string_equal(t->key, "/c.pem");
	assert_int_equal(t->trusted_len, 0);
	assert_string_equal(t->ciphers, "DEFAULT");
	assert_int_equal(t->verify_depth, 10);
	assert_int_equal(t->version, CONFIG_TLS_1_2);
	assert_int_equal(t->peer_eku, CONFIG_PEER_EKU_CLIENT);
	assert_false(t->mutual || t->wildcard);
	assert_false(t->status_check || t->ignore_dead_responder);
	assert_false(config_tls_is_old(t));
}

/* The profile that worked, as administrators know it, and the rest. */
static void every_option(void **state)
{
	const struct config_tls_profile *t = &tls.profiles[0];

	good(PROFILE(" private-key = \"/k.pem\"\n"
		     " trusted-ca-certificates = {\"/a.pem\", \"/b.pem\"}\n"
		     " crl-files = {\"/r.pem\"}\n"
		     " cipher-list = ALL\n verify-depth = 3\n"
		     " mutual-authenticate = enabled\n"
		     " tls-version = compatibility\n"
		     " minimum-version = tlsv11\n"
		     " maximum-version = tlsv12\n peer-eku = server\n"
		     " wildcard-names = enabled\n"
		     " cert-status-check = enabled\n"
		     " ignore-dead-responder = enabled\n"));
	assert_string_equal(t->key, "/k.pem");
	assert_int_equal(t->trusted_len, 2);
	assert_string_equal(t->trusted[1], "/b.pem");
	assert_int_equal(t->crls_len, 1);
	assert_string_equal(t->crls[0], "/r.pem");
	assert_string_equal(t->ciphers, "ALL");
	assert_int_equal(t->verify_depth, 3);
	assert_int_equal(t->version, CONFIG_TLS_COMPATIBILITY);
	assert_int_equal(config_tls_line(t, "tls-version"), 9);
	assert_int_equal(config_tls_line(t, "no-such-option"), t->line);
	assert_int_equal(config_tls_line(t, NULL), t->line);
	assert_int_equal(t->minimum, CONFIG_TLS_1_1);
	assert_int_equal(t->maximum, CONFIG_TLS_1_2);
	assert_int_equal(t->peer_eku, CONFIG_PEER_EKU_SERVER);
	assert_true(t->mutual && t->wildcard);
	assert_true(t->status_check && t->ignore_dead_responder);
}

static void versions(void **state)
{
	static const struct {
		const char *text;
		enum config_tls_version version;
		bool old;
	} v[] = {
		{PROFILE(" tls-version = tlsv1\n"), CONFIG_TLS_1_0, true},
		{PROFILE(" tls-version = tlsv11\n"), CONFIG_TLS_1_1, true},
		{PROFILE(" tls-version = tlsv12\n"), CONFIG_TLS_1_2, false},
		{PROFILE(" tls-version = tlsv13\n"), CONFIG_TLS_1_3, false},
		{PROFILE(" tls-version = compatibility\n"),
		 CONFIG_TLS_COMPATIBILITY, true},
		/* still understands a hello of SSLv2 */
		{PROFILE(" tls-version = compatibility\n"
			 " minimum-version = tlsv12\n"),
		 CONFIG_TLS_COMPATIBILITY, true},
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		good(v[i].text);
		assert_int_equal(tls.profiles[0].version, v[i].version);
		assert_int_equal(config_tls_is_old(&tls.profiles[0]), v[i].old);
	}
}

static void what_is_refused(void **state)
{
	static const struct {
		const char *text, *line, *what;
	} cases[] = {
		{"\ntls-profile \"p\" { }\n",
		 "f:2:", "needs end-entity-certificate = FILE"},
		{"tls-profile \"p\" {\n end-entity-certificate = \"c.pem\"\n}",
		 "f:2:", "'c.pem' is no absolute path"},
		{PROFILE(" private-key = \"k.pem\"\n"),
		 "f:3:", "private-key 'k.pem' is no absolute path"},
		{PROFILE(" trusted-ca-certificates = {\"/a\", \"b\"}\n"),
		 "f:3:", "'b' is no absolute path"},
		{PROFILE(" crl-files = {\"r\"}\n"),
		 "f:3:", "crl-files 'r' is no absolute path"},
		{PROFILE(" mutual-authenticate = enabled\n"),
		 "f:3:", "needs trusted-ca-certificates = {FILE}"},
		{PROFILE(" cipher-list = \"ALL:@SECLEVEL=0\"\n"),
		 "f:3:", "leave @SECLEVEL out"},
		{PROFILE(" cipher-list = \"\"\n"),
		 "f:3:", "write DEFAULT or ALL"},
		{PROFILE(" tls-version = sslv3\n"), "f:3:", "compatibility"},
		{PROFILE(" tls-version = tlsv13\n minimum-version = tlsv12\n"),
		 "f:4:", "is of tls-version = compatibility"},
		{PROFILE(" maximum-version = tlsv13\n"),
		 "f:3:", "is of tls-version = compatibility"},
		{PROFILE(" tls-version = compatibility\n\n"
			 " minimum-version = tlsv13\n"
			 " maximum-version = tlsv12\n"),
		 "f:5:", "minimum-version is above maximum-version"},
		{PROFILE(" ignore-dead-responder = enabled\n"),
		 "f:3:", "is of cert-status-check = enabled"},
		{PROFILE(" verify-depth = 11\n"), "f:3:", "verify-depth"},
		{PROFILE(" peer-eku = both\n"), "f:3:", "server"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		bad(cases[i].text, cases[i].line, cases[i].what);
}

static void too_much(void **state)
{
	char text[16384], path[2 * CONFIG_PATH_SIZE];
	size_t len = 0;

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	snprintf(text, sizeof(text),
		 "tls-profile \"p\" {\n" CERT
		 " trusted-ca-certificates = {\"%s\"}\n}\n",
		 path);
	bad(text, "f:3:", "is too long, at most 255");
	snprintf(text, sizeof(text),
		 "tls-profile \"p\" {\n end-entity-certificate = \"%s\"\n}\n",
		 path);
	bad(text, "f:2:", "is too long, at most 255");
	len = (size_t)snprintf(text, sizeof(text),
			       "tls-profile \"p\" {\n" CERT
			       " trusted-ca-certificates = {\"/a\"");
	for (int i = 0; i < CONFIG_TLS_TRUSTED_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					", \"/b\"");
	snprintf(text + len, sizeof(text) - len, "}\n}\n");
	bad(text, "f:3:", "17 files");
	len = 0;
	for (int i = 0; i <= CONFIG_TLS_PROFILES_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"tls-profile \"p%d\" {" CERT "}\n", i);
	bad(text, "f:65:", "too many tls-profile sections, at most 32");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(every_option),
		cmocka_unit_test(versions), cmocka_unit_test(what_is_refused),
		cmocka_unit_test(too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
