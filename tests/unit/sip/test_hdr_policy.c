/* Which headers cross the B2BUA, and in what shape. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sbcd/sip/hdr_policy.h"

static struct hide_set hide;
static struct hdr_hosts hosts = {.hide = &hide, .own = "10.20.0.10"};

static int setup(void **state)
{
	hide_init(&hide);
	return hide_add(&hide, "10.10.0.50", 10) ||
	       hide_add(&hide, "fd00:10::50", 11) ||
	       hide_add(&hide, "pbx.example.net", 15);
}

static const char *const own[] = {
	"Via",
	"v",
	"Contact",
	"m",
	"Record-Route",
	"Route",
	"Call-ID",
	"i",
	"CSeq",
	"From",
	"f",
	"To",
	"t",
	"Max-Forwards",
	"Max-Breadth",
	"Server",
	"User-Agent",
	"Content-Length",
	"l",
	"Allow",
	"Supported",
	"k",
	"Require",
	"Proxy-Require",
	"Unsupported",
	"RAck",
	"RSeq",
	"Session-Expires",
	"x",
	"Min-SE",
	"Replaces",
	"Join",
	"Target-Dialog",
	"Refer-To",
	"r",
};
static const char *const drop[] = {
	"Authorization",
	"Authentication-Info",
	"Flow-Timer",
	"In-Reply-To",
	"n",
	"P-Access-Network-Info",
	"P-Charging-Function-Addresses",
	"P-Charging-Vector",
	"P-Visited-Network-ID",
	"Path",
	"Proxy-Authenticate",
	"Proxy-Authentication-Info",
	"Proxy-Authorization",
	"Security-Client",
	"Security-Server",
	"Security-Verify",
	"Service-Route",
	"WWW-Authenticate",
	"",
	"a b",
	"a:",
	"a\r\n",
};
static const char *const rewrite[] = {
	"P-Asserted-Identity",
	"Remote-Party-ID",
	"Diversion",
	"History-Info",
	"Referred-By",
	"b",
	"Warning",
	"Call-Info",
	"Alert-Info",
	"Error-Info",
	"P-Associated-URI",
	"P-Called-Party-ID",
	"P-Preferred-Identity",
	"P-Served-User",
	"Reply-To",
};
static const char *const pass[] = {
	"Date",
	"Timestamp",
	"Content-Type",
	"c",
	"Content-Disposition",
	"Content-Encoding",
	"e",
	"X-Anything",
	"User-to-User",
	"Reason",
	"Subject",
	"s",
	"Event",
	"o",
	"Allow-Events",
	"u",
	"Privacy",
	"Retry-After",
	"a",
	"d",
	"j",
	"y",
	"Identity",
	"Session-ID",
	"Zzz",
	"0",
	"MIME-Version",
};

static void check_list(const char *const *list, size_t len,
		       enum hdr_policy want)
{
	for (size_t i = 0; i < len; i++) {
		if (hdr_policy_classify(list[i]) != want)
			print_message("%s\n", list[i]);
		assert_int_equal(hdr_policy_classify(list[i]), want);
	}
}

static void classifies_every_header(void **state)
{
#define CHECK(list, want) check_list(list, sizeof(list) / sizeof(list[0]), want)

	CHECK(own, HDR_OWN);
	CHECK(drop, HDR_DROP);
	CHECK(rewrite, HDR_REWRITE_HOST);
	CHECK(pass, HDR_PASS);
	assert_int_equal(hdr_policy_classify("VIA"), HDR_OWN);
	assert_int_equal(hdr_policy_classify("p-asserted-IDENTITY"),
			 HDR_REWRITE_HOST);
}

static void rewrites_hosts(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", ""},
		{"<sip:+1555@10.10.0.50>", "<sip:+1555@10.20.0.10>"},
		{"\"A\" <sip:a@10.10.0.50:5060;user=phone>;screen=yes",
		 "\"A\" <sip:a@10.20.0.10;user=phone>;screen=yes"},
		{"<sip:[fd00:10::50]:5061>, <sip:[FD00:10:0::50]>",
		 "<sip:10.20.0.10>, <sip:10.20.0.10>"},
		{"<sip:a@PBX.example.net:5060>;reason=no-answer",
		 "<sip:a@10.20.0.10>;reason=no-answer"},
		{"<sip:a@node3.pbx.example.net>", "<sip:a@10.20.0.10>"},
		{"<sip:a@10.99.0.1>;x=[2001:db8::7]", /* not in the set */
		 "<sip:a@10.20.0.10>;x=10.20.0.10"},
		{"<sip:a%40pbx.example.net@example.com>",
		 "<sip:a%4010.20.0.10@example.com>"},
		{"399 10.10.0.50:5060 \"no route to 10.10.0.51.\"",
		 "399 10.20.0.10 \"no route to 10.20.0.10\""},
		{"<sip:a@example.com>;index=1.1",
		 "<sip:a@example.com>;index=1.1"},
		{"<tel:+15550100>", "<tel:+15550100>"},
		{"<http://ip-10.10.0.50.example.org/ring.wav>",
		 "<http://10.20.0.10/ring.wav>"},
	};
	char out[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ssize_t n = hdr_policy_rewrite(cases[i].in, &hosts, out,
					       sizeof(out));

		assert_string_equal(out, cases[i].out);
		assert_int_equal(n, strlen(out));
	}
}

/* A lamp's NOTIFY tells whose it is (RFC 3842). */
static void rewrites_bodies(void **state)
{
	static const char in[] = "Messages-Waiting: yes\r\n"
				 "Message-Account: sip:7@10.10.0.50\r\n"
				 "Voice-Message: 2/8 (0/2)\r\n";
	static const char want[] = "Messages-Waiting: yes\r\n"
				   "Message-Account: sip:7@10.20.0.10\r\n"
				   "Voice-Message: 2/8 (0/2)\r\n";
	char out[sizeof(in)];

	assert_int_equal(hdr_policy_rewrite_text(in, sizeof(in) - 1, &hosts,
						 out, sizeof(out)),
			 sizeof(want) - 1);
	assert_string_equal(out, want);
	assert_int_equal(hdr_policy_rewrite_text(in, sizeof(in) - 1, &hosts,
						 out, sizeof(in) - 1),
			 -ENOSPC);
	/* No more of it than there is. */
	assert_int_equal(hdr_policy_rewrite_text("10.10.0.50", 9, &hosts, out,
						 sizeof(out)),
			 10);
	assert_string_equal(out, "10.20.0.10");
}

static void rewrite_is_bounded(void **state)
{
	char out[64];

	memset(out, 'x', sizeof(out));
	assert_int_equal(hdr_policy_rewrite("a", &hosts, out, 0), -ENOSPC);
	assert_int_equal(hdr_policy_rewrite("ab", &hosts, out, 2), -ENOSPC);
	assert_int_equal(hdr_policy_rewrite("10.10.0.50", &hosts, out, 10),
			 -ENOSPC);
	assert_int_equal(out[10], 'x');
	assert_int_equal(hdr_policy_rewrite("10.10.0.50", &hosts, out, 11), 10);
	assert_int_equal(
		hdr_policy_rewrite("a\r\nVia: x", &hosts, out, sizeof(out)),
		-EINVAL);
}

static void applies_the_policy(void **state)
{
	char out[256];
#define APPLY(name, value)                                                     \
	hdr_policy_apply(name, value, &hosts, out, sizeof(out))

	assert_int_equal(APPLY("Via", "x"), -ENOENT);
	assert_int_equal(APPLY("Path", "<sip:a>"), -ENOENT);
	assert_int_equal(APPLY("X-Foo", "bar"), 3);
	assert_string_equal(out, "bar");
	assert_int_equal(APPLY("X-Foo", ""), 0);
	assert_string_equal(out, "");
	assert_int_equal(APPLY("X-Foo", "at 10.10.0.50"), -ENOENT);
	assert_int_equal(APPLY("X-Foo", "at 10.99.0.50"), -ENOENT);
	assert_int_equal(APPLY("X-Foo", "at PBX.example.net"), -ENOENT);
	assert_int_equal(APPLY("X-Foo", "a\nb"), -ENOENT);
	assert_int_equal(APPLY("Date", "Sat, 13 Nov 2010 23:29:00 GMT"), 29);
	assert_int_equal(APPLY("Timestamp", "54.21"), 5);
	assert_int_equal(APPLY("Warning", "399 10.10.0.50 \"x\""), 18);
	assert_string_equal(out, "399 10.20.0.10 \"x\"");
	assert_int_equal(APPLY("Warning", "399 x \"a\nb\""), -ENOENT);
	assert_int_equal(hdr_policy_apply("X-Foo", "bar", &hosts, out, 3),
			 -ENOSPC);
	assert_int_equal(hdr_policy_apply("Warning", "bar", &hosts, out, 3),
			 -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classifies_every_header),
		cmocka_unit_test(rewrites_hosts),
		cmocka_unit_test(rewrites_bodies),
		cmocka_unit_test(rewrite_is_bounded),
		cmocka_unit_test(applies_the_policy),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
