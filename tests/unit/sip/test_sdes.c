/* a=crypto lines: RFC 4568, 6188, 7714. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sbcd/sip/sdes.h"

/* 30, 46, 28 and 44 bytes of 0x01, 0x02, … */
#define KEY30 "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0e"
#define KEY46 "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLg=="
#define KEY28 "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHA=="
#define KEY44 "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKyw="
#define S80   "AES_CM_128_HMAC_SHA1_80"

static enum sdes_reason parse(const char *text, struct sdes_crypto *c)
{
	struct sdp_text value = {text, strlen(text)};

	return sdes_crypto_parse(value, c);
}

static struct sdes_crypto parsed(const char *text)
{
	struct sdes_crypto c;
	enum sdes_reason reason = parse(text, &c);

	if (reason)
		print_message("%s: %s\n", text, sdes_reason_text(reason));
	assert_int_equal(reason, SDES_OK);
	return c;
}

static void assert_key(const struct sdes_crypto *c, unsigned size)
{
	assert_int_equal(c->key_size, size);
	for (unsigned i = 0; i < size; i++)
		assert_int_equal(c->key[i], i + 1);
}

static void every_suite(void **state)
{
	static const struct {
		const char *line;
		enum sdes_suite suite;
		unsigned size;
		bool aead;
	} t[] = {
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30,
		 SDES_AES_CM_128_HMAC_SHA1_80, 30, false},
		{"1 AES_CM_128_HMAC_SHA1_32 inline:" KEY30,
		 SDES_AES_CM_128_HMAC_SHA1_32, 30, false},
		{"1 AES_256_CM_HMAC_SHA1_80 inline:" KEY46,
		 SDES_AES_256_CM_HMAC_SHA1_80, 46, false},
		{"1 AES_256_CM_HMAC_SHA1_32 inline:" KEY46,
		 SDES_AES_256_CM_HMAC_SHA1_32, 46, false},
		{"1 AEAD_AES_128_GCM inline:" KEY28, SDES_AEAD_AES_128_GCM, 28,
		 true},
		{"1 AEAD_AES_256_GCM inline:" KEY44, SDES_AEAD_AES_256_GCM, 44,
		 true},
	};

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct sdes_crypto c = parsed(t[i].line);
		char out[SDES_LINE_SIZE];

		assert_int_equal(c.suite, t[i].suite);
		assert_key(&c, t[i].size);
		assert_int_equal(sdes_suite_is_aead(t[i].suite), t[i].aead);
		assert_int_equal(sdes_crypto_print(&c, out, sizeof(out)),
				 strlen(t[i].line));
		assert_string_equal(out, t[i].line);
	}
}

/* Each is written again as it came. */
static void everything_a_line_may_say(void **state)
{
	static const char *const t[] = {
		"1 " S80 " inline:" KEY30 "|2^20",
		"2 " S80 " inline:" KEY30 "|2^31|1:1",
		"999999999 " S80 " inline:" KEY30 "|2^48|1:4",
		"0 " S80 " inline:" KEY30 "|1048576|4294967295:4",
		"1 " S80 " inline:" KEY30 "|1:1",
		"1 " S80 " inline:" KEY30 "|18446744073709551615:8",
		"1 " S80 " inline:" KEY30 "|7:128",
		"1 " S80 " inline:" KEY30 " UNENCRYPTED_SRTP",
		"1 " S80 " inline:" KEY30 " UNENCRYPTED_SRTCP",
		"1 " S80 " inline:" KEY30 " UNAUTHENTICATED_SRTP",
		"1 " S80 " inline:" KEY30
		" UNENCRYPTED_SRTP UNENCRYPTED_SRTCP UNAUTHENTICATED_SRTP",
		"1 AEAD_AES_128_GCM inline:" KEY28 " UNENCRYPTED_SRTCP",
		"7 AES_CM_256_HMAC_SHA1_80 inline:" KEY46,
		"7 AES_CM_256_HMAC_SHA1_32 inline:" KEY46,
	};

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct sdes_crypto c = parsed(t[i]);
		char out[SDES_LINE_SIZE];

		assert_true(sdes_crypto_print(&c, out, sizeof(out)) > 0);
		assert_string_equal(out, t[i]);
	}
}

static void what_it_means(void **state)
{
	struct sdes_crypto c = parsed("3 " S80 " inline:" KEY30
				      "|2^31|258:2 UNAUTHENTICATED_SRTP");

	assert_int_equal(c.tag, 3);
	assert_int_equal(c.lifetime, 1U << 31);
	assert_int_equal(c.mki, 258);
	assert_int_equal(c.mki_size, 2);
	assert_int_equal(c.flags, SDES_UNAUTHENTICATED_SRTP);
	c = parsed("1 AES_CM_256_HMAC_SHA1_80 inline:" KEY46);
	assert_int_equal(c.suite, SDES_AES_256_CM_HMAC_SHA1_80);
	c = parsed("1 " S80 " inline:" KEY30);
	assert_int_equal(c.lifetime, 0);
	assert_int_equal(c.mki_size, 0);
	assert_int_equal(c.flags, 0);
}

static void tolerated(void **state)
{
	static const char *const t[] = {
		"1  " S80 "  inline:" KEY30 "  ",
		"1 aes_cm_128_hmac_sha1_80 INLINE:" KEY30,
		"1 AEAD_AES_128_GCM inline:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGR"
		"obHA",
		"1 " S80 " inline:" KEY30 " KDR=0",
		"1 " S80 " inline:" KEY30 " WSH=64",
		"1 " S80 " inline:" KEY30 " WSH=128 UNENCRYPTED_SRTCP",
		"1 " S80 " inline:" KEY30 " -SOMETHING=new",
		"1 " S80 " inline:" KEY30 " -a -b",
		"00000001 " S80 " inline:" KEY30,
	};

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		parsed(t[i]);
}

static const struct {
	const char *line;
	enum sdes_reason reason;
} malformed[] = {
	{"", SDES_MALFORMED},
	{" ", SDES_MALFORMED},
	{"1", SDES_MALFORMED},
	{"1 " S80, SDES_MALFORMED},
	{"1 " S80 " ", SDES_MALFORMED},
	{S80 " inline:" KEY30, SDES_MALFORMED},
	{"x " S80 " inline:" KEY30, SDES_BAD_TAG},
	{"-1 " S80 " inline:" KEY30, SDES_BAD_TAG},
	{"+1 " S80 " inline:" KEY30, SDES_BAD_TAG},
	{"1.0 " S80 " inline:" KEY30, SDES_BAD_TAG},
	{"1234567890 " S80 " inline:" KEY30, SDES_BAD_TAG},
	{"0x1 " S80 " inline:" KEY30, SDES_BAD_TAG},
	{"1 AES_CM_128_HMAC_SHA1_8 inline:" KEY30, SDES_UNKNOWN_SUITE},
	{"1 " S80 "0 inline:" KEY30, SDES_UNKNOWN_SUITE},
	{"1 F8_128_HMAC_SHA1_80 inline:" KEY30, SDES_UNKNOWN_SUITE},
	{"1 AES_192_CM_HMAC_SHA1_80 inline:" KEY30, SDES_UNKNOWN_SUITE},
	{"1 NULL_HMAC_SHA1_80 inline:" KEY30, SDES_UNKNOWN_SUITE},
	{"1\t" S80 "\tinline:" KEY30, SDES_MALFORMED},
	{"1 " S80 " " KEY30, SDES_BAD_KEY_METHOD},
	{"1 " S80 " inline" KEY30, SDES_BAD_KEY_METHOD},
	{"1 " S80 " uri:" KEY30, SDES_BAD_KEY_METHOD},
	{"1 " S80 " inline:", SDES_BAD_KEY},
	{"1 " S80 " inline: " KEY30, SDES_BAD_KEY},
	{"1 " S80 " inline:" KEY28, SDES_BAD_KEY},
	{"1 " S80 " inline:" KEY46, SDES_BAD_KEY},
	{"1 " S80 " inline:" KEY30 "A", SDES_BAD_KEY},
	{"1 " S80 " inline:" KEY30 "====", SDES_BAD_KEY},
	{"1 AES_256_CM_HMAC_SHA1_80 inline:" KEY30, SDES_BAD_KEY},
	{"1 AEAD_AES_128_GCM inline:" KEY30, SDES_BAD_KEY},
	{"1 AEAD_AES_256_GCM inline:" KEY46, SDES_BAD_KEY},
	{"1 " S80 " inline:QIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0e",
	 SDES_BAD_KEY},
	{"1 " S80 " inline:!QIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0e",
	 SDES_BAD_KEY},
	{"1 " S80 " inline:AQIDBAUGBwgJCgsMDQ4PEBES-xQVFhcYGRobHB0e",
	 SDES_BAD_KEY},
	{"1 " S80 " inline:=QIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0e",
	 SDES_BAD_KEY},
	{"1 AEAD_AES_128_GCM inline:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGR"
	 "obHA=A",
	 SDES_BAD_KEY},
	{"1 " S80 " inline:" KEY30 "|", SDES_BAD_LIFETIME},
	{"1 " S80 " inline:" KEY30 "|0", SDES_BAD_LIFETIME},
	{"1 " S80 " inline:" KEY30 "|2^", SDES_BAD_LIFETIME},
	{"1 " S80 " inline:" KEY30 "|2^49", SDES_BAD_LIFETIME},
	{"1 " S80 " inline:" KEY30 "|2^-1", SDES_BAD_LIFETIME},
	{"1 " S80 " inline:" KEY30 "|3^20", SDES_BAD_LIFETIME},
	{"1 " S80 " inline:" KEY30 "|281474976710657", SDES_BAD_LIFETIME},
	{"1 " S80 " inline:" KEY30 "|99999999999999999999999",
	 SDES_BAD_LIFETIME},
	{"1 " S80 " inline:" KEY30 "||1:1", SDES_BAD_LIFETIME},
	{"1 " S80 " inline:" KEY30 "|2^20|", SDES_BAD_MKI},
	{"1 " S80 " inline:" KEY30 "|2^20|1", SDES_BAD_MKI},
	{"1 " S80 " inline:" KEY30 "|1:", SDES_BAD_MKI},
	{"1 " S80 " inline:" KEY30 "|:1", SDES_BAD_MKI},
	{"1 " S80 " inline:" KEY30 "|1:0", SDES_BAD_MKI},
	{"1 " S80 " inline:" KEY30 "|1:129", SDES_BAD_MKI},
	{"1 " S80 " inline:" KEY30 "|256:1", SDES_BAD_MKI},
	{"1 " S80 " inline:" KEY30 "|18446744073709551616:9", SDES_BAD_MKI},
	{"1 " S80 " inline:" KEY30 "|1:1|2^20", SDES_BAD_MKI},
	{"1 " S80 " inline:" KEY30 "|2^20|1:1|x", SDES_BAD_MKI},
	{"1 " S80 " inline:" KEY30 "|a:1", SDES_BAD_MKI},
	{"1 " S80 " inline:" KEY30 ";inline:" KEY30, SDES_MANY_KEYS},
	{"1 " S80 " inline:" KEY30 "|2^20|1:1;inline:" KEY30 "|2^20|2:1",
	 SDES_MANY_KEYS},
	{"1 " S80 " inline:" KEY30 ";", SDES_MANY_KEYS},
	{"1 " S80 " inline:" KEY30 " KDR=1", SDES_BAD_KDR},
	{"1 " S80 " inline:" KEY30 " KDR=24", SDES_BAD_KDR},
	{"1 " S80 " inline:" KEY30 " KDR=", SDES_BAD_KDR},
	{"1 " S80 " inline:" KEY30 " WSH=63", SDES_BAD_WSH},
	{"1 " S80 " inline:" KEY30 " WSH=", SDES_BAD_WSH},
	{"1 " S80 " inline:" KEY30 " WSH=9999999", SDES_BAD_WSH},
	{"1 " S80 " inline:" KEY30 " FEC_ORDER=FEC_SRTP", SDES_FEC},
	{"1 " S80 " inline:" KEY30 " FEC_KEY=inline:" KEY30, SDES_FEC},
	{"1 " S80 " inline:" KEY30 " UNKNOWN", SDES_UNKNOWN_PARAMETER},
	{"1 " S80 " inline:" KEY30 " UNAUTHENTICATED_SRTPX",
	 SDES_UNKNOWN_PARAMETER},
	{"1 " S80 " inline:" KEY30 " WSH=64 WSH=64", SDES_TWICE},
	{"1 " S80 " inline:" KEY30 " UNENCRYPTED_SRTP UNENCRYPTED_SRTP",
	 SDES_TWICE},
	{"1 AEAD_AES_128_GCM inline:" KEY28 " UNAUTHENTICATED_SRTP",
	 SDES_AEAD_PARAMETER},
	{"1 AEAD_AES_256_GCM inline:" KEY44 " UNENCRYPTED_SRTP",
	 SDES_AEAD_PARAMETER},
};

enum { MALFORMED = sizeof(malformed) / sizeof(malformed[0]) };

static void malformed_lines_are_void(void **state)
{
	for (unsigned i = 0; i < MALFORMED; i++) {
		struct sdes_crypto c, before;
		enum sdes_reason reason;

		memset(&c, 0x5a, sizeof(c));
		before = c;
		reason = parse(malformed[i].line, &c);
		if (reason != malformed[i].reason)
			print_message("'%s': %s\n", malformed[i].line,
				      sdes_reason_text(reason));
		assert_int_equal(reason, malformed[i].reason);
		assert_memory_equal(&c, &before, sizeof(c));
		assert_non_null(sdes_reason_text(reason));
	}
}

static void long_lines_are_void(void **state)
{
	char line[8192];
	struct sdes_crypto c;
	int n = snprintf(line, sizeof(line), "1 " S80 " inline:" KEY30 " -");

	memset(line + n, 'x', 300);
	line[n + 300] = '\0';
	assert_int_equal(parse(line, &c), SDES_TOO_LONG);
	memset(line + n, ' ', sizeof(line) - (size_t)n - 1);
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(parse(line, &c), SDES_TOO_LONG);
}

static void no_room_to_write(void **state)
{
	struct sdes_crypto c =
		parsed("999999999 AES_256_CM_HMAC_SHA1_80 inline:" KEY46
		       "|281474976710656|18446744073709551615:128 "
		       "UNENCRYPTED_SRTP UNENCRYPTED_SRTCP "
		       "UNAUTHENTICATED_SRTP");
	char out[SDES_LINE_SIZE];
	ssize_t n = sdes_crypto_print(&c, out, sizeof(out));

	/* The longest there is fits. */
	assert_true(n > 0);
	for (size_t room = 0; room <= (size_t)n; room++)
		assert_int_equal(sdes_crypto_print(&c, out, room), -ENOSPC);
	assert_int_equal(sdes_crypto_print(&c, out, (size_t)n + 1), n);
	c.key_size = 30;
	assert_int_equal(sdes_crypto_print(&c, out, sizeof(out)), -EINVAL);
	c.suite = SDES_SUITES;
	assert_int_equal(sdes_crypto_print(&c, out, sizeof(out)), -EINVAL);
}

static void the_same_key(void **state)
{
	struct sdes_crypto a = parsed("1 " S80 " inline:" KEY30);
	struct sdes_crypto b = parsed("2 " S80 " inline:" KEY30 "|2^31|1:1");

	assert_true(sdes_same_key(&a, &b));
	b.key[29] ^= 1; /* the salt counts too */
	assert_false(sdes_same_key(&a, &b));
	b = parsed("1 AES_CM_128_HMAC_SHA1_32 inline:" KEY30);
	assert_false(sdes_same_key(&a, &b));
}

static void a_wiped_key_is_gone(void **state)
{
	static const struct sdes_crypto zero;
	struct sdes_crypto c = parsed("1 " S80 " inline:" KEY30);

	sdes_crypto_wipe(&c);
	assert_memory_equal(&c, &zero, sizeof(c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_suite),
		cmocka_unit_test(everything_a_line_may_say),
		cmocka_unit_test(what_it_means),
		cmocka_unit_test(tolerated),
		cmocka_unit_test(malformed_lines_are_void),
		cmocka_unit_test(long_lines_are_void),
		cmocka_unit_test(no_room_to_write),
		cmocka_unit_test(the_same_key),
		cmocka_unit_test(a_wiped_key_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
