/* tls_config: the files of a configuration, looked at before it is used. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "sbcd/sip/tls_config.h"
#include "sbcd/sip/tls_profile.h"
#include "tests/unit/sip/tls_certs.h"

static struct config_errors errors;

static int setup(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");

	umask(0027);
	assert_non_null(mkdtemp(dir));
	make("root", NULL, NULL, 100, key);
	make("ours", "root", "serverAuth,clientAuth", 90, key);
	make("short", "root", "serverAuth,clientAuth", 10, key);
	make("old", "root", "serverAuth,clientAuth", -1, key);
	make("foreign", "root", "serverAuth,clientAuth", 90, other);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"root", "ours", "short", "old",
					    "foreign"};

	remove_all(names, sizeof(names) / sizeof(names[0]));
	return 0;
}

/* Its result; what it says begins with the line of `option` and what is
 * wanted, or is nothing. */
static void check(const char *cert, const char *key, int want,
		  const char *option, const char *what)
{
	struct config_tls tls = {.profiles_len = 1};
	struct config_tls_profile *p = &tls.profiles[0];
	struct config c = {.tls = &tls};
	char begin[128] = "";
	int err;

	for (int i = 0; i < CONFIG_TLS_OPTIONS_MAX; i++)
		p->lines[i] = 20 + i;
	if (what)
		snprintf(begin, sizeof(begin), "f:%d: %s",
			 config_tls_line(p, option), what);
	strcpy(p->name, "edge");
	strcpy(p->ciphers, "DEFAULT");
	p->line = 7;
	p->version = CONFIG_TLS_1_2;
	p->verify_depth = 5;
	snprintf(p->certificate, sizeof(p->certificate), "%s",
		 path(cert, "crt"));
	snprintf(p->key, sizeof(p->key), "%s", path(key, "key"));
	snprintf(p->trusted[0], sizeof(p->trusted[0]), "%s",
		 path("root", "crt"));
	p->trusted_len = 1;
	err = tls_config_check(&c, "f", (int64_t)time(NULL), &errors);
	if (err != want ||
	    (what ? strncmp(errors.text, begin, strlen(begin)) != 0
		  : errors.count != 0))
		fail_msg("%d, not %d '%s': %s", err, want, begin, errors.text);
}

static void good_files(void **state)
{
	check("ours", "ours", 0, NULL, NULL);
}

static void a_certificate_that_runs_out(void **state)
{
	check("short", "short", 0, "end-entity-certificate",
	      "warning: certificate '/CN=short' of tls-profile 'edge' "
	      "expires in ");
	check("old", "old", 0, "end-entity-certificate",
	      "warning: certificate '/CN=old' of tls-profile 'edge' has "
	      "expired");
}

static void files_that_do_not_do(void **state)
{
	check("ours", "none", -EINVAL, "private-key", "tls-profile edge: ");
	assert_non_null(strstr(errors.text, "none.key"));
	check("none", "ours", -EINVAL, "end-entity-certificate", "");
	assert_non_null(strstr(errors.text, "none.crt"));
	check("ours", "foreign", -EINVAL, "private-key", "");
}

static void a_key_for_everybody(void **state)
{
	assert_int_equal(chmod(path("ours", "key"), 0644), 0);
	check("ours", "ours", -EINVAL, "private-key", "private key '");
	assert_non_null(strstr(errors.text, "chmod 640"));
	assert_int_equal(chmod(path("ours", "key"), 0640), 0);
	check("ours", "ours", 0, NULL, NULL);
}

static void who_reads_the_key(void **state)
{
	struct config_tls tls = {.profiles_len = 1};
	struct config_tls_profile *p = &tls.profiles[0];
	const struct config_node node = {.user = "nobody"};
	struct config c = {.tls = &tls};
	uid_t uid;
	gid_t gid;

	if (geteuid())
		skip();
	assert_int_equal(config_node_user(&node, &uid, &gid), 0);
	strcpy(p->name, "edge");
	p->line = 7;
	strcpy(p->certificate, path("ours", "crt"));
	strcpy(p->key, path("ours", "key"));
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(chmod(p->certificate, 0644), 0);
	assert_int_equal(chmod(p->key, 0640), 0);

	/* root's group is not one of the workers', whoever checks */
	assert_int_equal(tls_config_check_access(&c, "f", &node, &errors),
			 -EINVAL);
	assert_int_equal(errors.count, 1);
	assert_non_null(strstr(errors.text, "f:7: '"));
	assert_non_null(strstr(errors.text, "ours.key' of tls-profile 'edge' "
					    "cannot be read"));
	assert_non_null(strstr(errors.text, "Permission denied"));
	assert_int_equal(chown(p->key, 0, gid), 0);
	assert_int_equal(tls_config_check_access(&c, "f", &node, &errors), 0);
	assert_int_equal(errors.count, 0);
	assert_int_equal(chown(p->key, uid, 0), 0);
	assert_int_equal(chmod(p->key, 0600), 0);
	assert_int_equal(tls_config_check_access(&c, "f", &node, &errors), 0);

	/* a directory on the way, and each of the other files */
	assert_int_equal(chmod(dir, 0700), 0);
	assert_int_equal(tls_config_check_access(&c, "f", &node, &errors),
			 -EINVAL);
	assert_int_equal(errors.count, 2);
	assert_int_equal(chmod(dir, 0755), 0);
	strcpy(p->trusted[0], path("root", "crt"));
	p->trusted_len = 1;
	assert_int_equal(chmod(p->trusted[0], 0600), 0);
	assert_int_equal(tls_config_check_access(&c, "f", &node, &errors),
			 -EINVAL);
	p->trusted_len = 0;
	strcpy(p->crls[0], path("root", "crt"));
	p->crls_len = 1;
	assert_int_equal(tls_config_check_access(&c, "f", &node, &errors),
			 -EINVAL);
	assert_int_equal(chmod(p->crls[0], 0644), 0);
	assert_int_equal(tls_config_check_access(&c, "f", &node, &errors), 0);
	/* we are who we were */
	assert_int_equal(geteuid(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_files),
		cmocka_unit_test(a_certificate_that_runs_out),
		cmocka_unit_test(files_that_do_not_do),
		cmocka_unit_test(a_key_for_everybody),
		cmocka_unit_test(who_reads_the_key),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
