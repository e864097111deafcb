/* Names in certificates: RFC 5922 section 7, RFC 6125 section 6.4. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sbcd/sip/tls_name.h"

#define NAME(k, t)                                                             \
	{                                                                      \
		TLS_NAME_##k, t, sizeof(t) - 1                                 \
	}

static void one_name(void **state)
{
	static const struct {
		struct tls_name name;
		const char *host;
		bool exact, wildcard; /* the answer without and with them */
	} c[] = {
		{NAME(DNS, "pbx.example.net"), "pbx.example.net", 1, 1},
		{NAME(DNS, "PBX.Example.NET"), "pbx.eXample.net", 1, 1},
		{NAME(CN, "pbx.example.net"), "pbx.example.net", 1, 1},
		{NAME(DNS, "pbx.example.net"), "pbx.example.ne", 0, 0},
		{NAME(DNS, "pbx.example.ne"), "pbx.example.net", 0, 0},
		{NAME(DNS, "pbx.example.net"), "example.net", 0, 0},
		{NAME(DNS, "example.net"), "pbx.example.net", 0, 0},
		{NAME(DNS, "pbx.example.net\0.evil.org"), "pbx.example.net", 0,
		 0},
		{NAME(DNS, "pbx.example.net\0"), "pbx.example.net", 0, 0},
		{NAME(DNS, ""), "", 0, 0},
		{NAME(DNS, ""), "pbx.example.net", 0, 0},
		{NAME(DNS, "10.0.0.1"), "10.0.0.1", 1, 1},

		{NAME(DNS, "*.example.net"), "pbx.example.net", 0, 1},
		{NAME(CN, "*.example.net"), "pbx.example.net", 0, 1},
		{NAME(DNS, "*.EXAMPLE.net"), "pbx.example.NET", 0, 1},
		{NAME(DNS, "*.example.net"), "a.pbx.example.net", 0, 0},
		{NAME(DNS, "*.example.net"), "example.net", 0, 0},
		{NAME(DNS, "*.example.net"), ".example.net", 0, 0},
		{NAME(DNS, "*.example.net\0x"), "pbx.example.net", 0, 0},
		{NAME(DNS, "*.net"), "example.net", 0, 0},
		{NAME(DNS, "*"), "net", 0, 0},
		{NAME(DNS, "*.*.example.net"), "a.b.example.net", 0, 0},
		{NAME(DNS, "p*.example.net"), "pbx.example.net", 0, 0},
		{NAME(DNS, "*bx.example.net"), "pbx.example.net", 0, 0},
		{NAME(DNS, "pbx.*.net"), "pbx.example.net", 0, 0},
		{NAME(DNS, "*.example.net"), "*.example.net", 0, 0},
		{NAME(DNS, "*.0.0.1"), "10.0.0.1", 0, 0},

		{NAME(URI, "sip:example.net"), "example.net", 1, 1},
		{NAME(URI, "SIP:Example.net"), "example.net", 1, 1},
		{NAME(URI, "sips:example.net"), "example.net", 0, 0},
		{NAME(URI, "https:example.net"), "example.net", 0, 0},
		{NAME(URI, "example.net"), "example.net", 0, 0},
		{NAME(URI, "sip:"), "", 0, 0},
		{NAME(URI, "sip"), "sip", 0, 0},
		{NAME(URI, "sip:bob@example.net"), "example.net", 0, 0},
		{NAME(URI, "sip:example.net:5061"), "example.net", 0, 0},
		{NAME(URI, "sip:example.net;lr"), "example.net", 0, 0},
		{NAME(URI, "sip:*.example.net"), "pbx.example.net", 0, 0},
	};

	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		print_message("%s, %s\n", c[i].name.text, c[i].host);
		assert_int_equal(tls_name_matches(&c[i].name, c[i].host, false),
				 c[i].exact);
		assert_int_equal(tls_name_matches(&c[i].name, c[i].host, true),
				 c[i].wildcard);
	}
}

static void cn_only_without_other_names(void **state)
{
	static const struct tls_name alone[] = {NAME(CN, "pbx.example.net")};
	static const struct tls_name dns[] = {
		NAME(CN, "pbx.example.net"),
		NAME(DNS, "other.example.net"),
	};
	static const struct tls_name uri[] = {
		NAME(CN, "pbx.example.net"),
		NAME(URI, "sip:example.net"),
	};
	const char *hosts[] = {"pbx.example.net"};

	assert_int_equal(tls_name_find(alone, 1, hosts, 1, true, NULL), 0);
	assert_int_equal(tls_name_find(dns, 2, hosts, 1, true, NULL), -ENOENT);
	assert_int_equal(tls_name_find(uri, 2, hosts, 1, true, NULL), -ENOENT);
}

static void which_name_means_which_host(void **state)
{
	static const struct tls_name names[] = {
		NAME(CN, "other.example.org"),
		NAME(DNS, "first.example.net"),
		NAME(DNS, "*.example.com"),
	};
	const char *hosts[] = {"sip.example.org", "sip.example.com"};
	unsigned host = 7;

	assert_int_equal(tls_name_find(names, 3, hosts, 2, false, &host),
			 -ENOENT);
	assert_int_equal(host, 7);
	assert_int_equal(tls_name_find(names, 3, hosts, 2, true, &host), 2);
	assert_int_equal(host, 1);
	assert_int_equal(tls_name_find(names, 3, hosts, 0, true, &host),
			 -ENOENT);
	assert_int_equal(tls_name_find(NULL, 0, hosts, 2, true, &host),
			 -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_name),
		cmocka_unit_test(cn_only_without_other_names),
		cmocka_unit_test(which_name_means_which_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
