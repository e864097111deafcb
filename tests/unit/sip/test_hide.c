/* Finding addresses and host names in text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sbcd/sip/hide.h"

static void add(struct hide_set *set, const char *text, int rc)
{
	int got = hide_add(set, text, strlen(text));

	if (got != rc)
		print_message("%s: %d\n", text, got);
	assert_int_equal(got, rc);
}

static void fill(struct hide_set *set)
{
	hide_init(set);
	add(set, "10.0.0.5", 0);
	add(set, "[fd00:10::50]", 0);
	add(set, "pbx.example.net.", 0);
}

static void finds_hidden_things(void **state)
{
	static const struct {
		const char *text, *hit;
	} cases[] = {
		{"10.0.0.5", "10.0.0.5"},
		{"sip:x@10.0.0.5:5060;lr", "10.0.0.5"},
		{"host10.0.0.5x", "10.0.0.5"},
		{"a=x:010.000.000.005", "010.000.000.005"},
		{"the end is 10.0.0.5.", "10.0.0.5"},
		{"..10.0.0.5", "10.0.0.5"},
		{"sip:x%4010.0.0.5", "10.0.0.5"},
		{"%3a%2010.0.0.5", "10.0.0.5"},
		{"::ffff:10.0.0.5", "::ffff:10.0.0.5"},
		{"::ffff:a00:5", "::ffff:a00:5"},
		{"1.2.3.4:10.0.0.5", "10.0.0.5"},
		{"<sip:[fd00:10::50]:5060>", "fd00:10::50"},
		{"FD00:10:0:0:0:0:0:50", "FD00:10:0:0:0:0:0:50"},
		{"a=X-addr:fd00:10::50", "fd00:10::50"},
		{"a=X-face:fd00:10::50", "fd00:10::50"},
		{"fd00:10::50:5060", "fd00:10::50"},
		{"at fd00:10::50.", "fd00:10::50"},
		{"fd00:10::51 10.0.0.5:fd00:10::50", "10.0.0.5"},
		{"PBX.Example.Net", "PBX.Example.Net"},
		{"a.pbx.example.net;x", "pbx.example.net"},
		{"sip:x%40pbx.example.net", "pbx.example.net"},
		{"pbx.example.net.", "pbx.example.net"},
	};
	struct hide_set set;

	fill(&set);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hide_hit hit = {0, 0};
		size_t size = strlen(cases[i].text);

		if (!hide_find(&set, false, cases[i].text, size, &hit) ||
		    hit.size != strlen(cases[i].hit))
			print_message("%s\n", cases[i].text);
		assert_true(hide_find(&set, false, cases[i].text, size, NULL));
		assert_int_equal(hit.size, strlen(cases[i].hit));
		assert_memory_equal(cases[i].text + hit.start, cases[i].hit,
				    hit.size);
	}
}

static void leaves_other_things(void **state)
{
	static const char *const texts[] = {
		"",
		":",
		"::",
		"%",
		"%4",
		"10.0.0",
		"10.0.0.55",
		"110.0.0.5",
		"10.0.0.5.1",
		"10.0.0.256",
		"fd00:10::5",
		"fd00:11::50",
		"pbx.example.network",
		"mypbx.example.net",
		"my-pbx.example.net",
		"pbx.example.net.au",
		"example.net",
		"1000.0.0.5",
		"0010.0.0.5",
		"0.0.0.0",
	};
	struct hide_set set;

	fill(&set);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (hide_find(&set, false, texts[i], strlen(texts[i]), NULL))
			print_message("%s\n", texts[i]);
		assert_false(hide_find(&set, false, texts[i], strlen(texts[i]),
				       NULL));
	}
	assert_false(hide_find(NULL, false, "10.0.0.5", 8, NULL));
}

static void finds_any_literal(void **state)
{
	static const struct {
		const char *text;
		bool found;
	} cases[] = {
		{"192.0.2.77", true},
		{"x=[2001:db8::1]:5", true},
		{"X-addr:2001:db8::1", true},
		{"X-bad:1:2:3:4:5:6:7:8", true},
		{"0.0.0.0", false},
		{"::", false},
		{"foo::bar", false},
		{"12:34:56", false},
		{"sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B",
		 false},
		{"version 1.2.3", false},
		{"pbx.example.net", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool found = hide_find(NULL, true, cases[i].text,
				       strlen(cases[i].text), NULL);

		if (found != cases[i].found)
			print_message("%s\n", cases[i].text);
		assert_int_equal(found, cases[i].found);
	}
}

static void checks_what_is_added(void **state)
{
	struct hide_set set;
	char text[300];

	fill(&set);
	add(&set, "", -EINVAL);
	add(&set, "-", -EINVAL);
	add(&set, "ab", -EINVAL);
	add(&set, "1.2.3", -EINVAL);
	add(&set, "a b.c", -EINVAL);
	add(&set, "a:b.c", -EINVAL);
	add(&set, "[10.0.0.5]", -EINVAL);
	add(&set, "[fd00::1", -EINVAL);
	memset(text, 'a', sizeof(text));
	assert_int_equal(hide_add(&set, text, HIDE_NAME_SIZE), -EINVAL);
	assert_int_equal(hide_add(&set, text, HIDE_NAME_SIZE - 1), 0);
	assert_int_equal(set.names_len, 2);
	/* Again, or nothing. */
	add(&set, "PBX.example.net", 0);
	add(&set, "fd00:10:0::50", 0);
	add(&set, "::ffff:10.0.0.5", 0);
	add(&set, "0.0.0.0", 0);
	add(&set, "::", 0);
	assert_int_equal(set.names_len, 2);
	assert_int_equal(set.addrs_len, 2);
	for (unsigned i = 2; i < HIDE_ADDRS_MAX; i++) {
		snprintf(text, sizeof(text), "10.1.0.%u", i);
		add(&set, text, 0);
	}
	add(&set, "10.2.0.1", -ENOSPC);
	for (unsigned i = 2; i < HIDE_NAMES_MAX; i++) {
		snprintf(text, sizeof(text), "h%u.example.net", i);
		add(&set, text, 0);
	}
	add(&set, "one.too.many", -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_hidden_things),
		cmocka_unit_test(leaves_other_things),
		cmocka_unit_test(finds_any_literal),
		cmocka_unit_test(checks_what_is_added),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
