/* Derived names: the reference vectors of SipHash, separation, labels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "sbcd/call/token.h"

static struct token_key key;

static void reference_vectors(void **state)
{
	uint8_t in[16];

	for (unsigned i = 0; i < 16; i++) {
		key.bytes[i] = (uint8_t)i;
		in[i] = (uint8_t)i;
	}
	/* From the SipHash paper and its reference implementation. */
	assert_true(token_hash(&key, in, 0) == 0x726fdb47dd0e0e31);
	assert_true(token_hash(&key, in, 1) == 0x74f839c593dc67fd);
	assert_true(token_hash(&key, in, 8) == 0x93f5f5799a932462);
	assert_true(token_hash(&key, in, 15) == 0xa129ca6149be45e5);
}

static void parts_are_separated(void **state)
{
	const char *ab_c[] = {"ab", "c"}, *a_bc[] = {"a", "bc"};
	const char *with_null[] = {"ab", NULL}, *with_empty[] = {"ab", ""};
	struct token_seed x, y;
	char text[TOKEN_TEXT_SIZE], other[TOKEN_TEXT_SIZE];

	token_seed(&key, &x, ab_c, 2);
	token_seed(&key, &y, a_bc, 2);
	assert_true(x.hi != y.hi && x.lo != y.lo);
	token_seed(&key, &x, with_null, 2);
	token_seed(&key, &y, with_empty, 2);
	assert_true(x.hi == y.hi && x.lo == y.lo);
	assert_string_equal(token_text(&key, &x, "tag", text),
			    token_text(&key, &y, "tag", other));
	assert_string_not_equal(text, token_text(&key, &x, "branch", other));
	assert_int_equal(strlen(text), 32);
	assert_true(token_number(&key, &x, "call") != 0);
	assert_true(token_number(&key, &x, "call") ==
		    token_number(&key, &y, "call"));
	assert_true(token_number(&key, &x, "call") !=
		    token_number(&key, &x, "sdp"));
}

static void key_matters(void **state)
{
	const char *parts[] = {"x"};
	struct token_key other = key;
	struct token_seed a, b;

	other.bytes[15] ^= 1;
	token_seed(&key, &a, parts, 1);
	token_seed(&other, &b, parts, 1);
	assert_true(a.hi != b.hi && a.lo != b.lo);
}

static void keys_are_parsed(void **state)
{
	struct token_key k;

	assert_int_equal(
		token_key_parse(&k, "000102030405060708090A0b0c0d0e0f7777"), 0);
	assert_int_equal(k.bytes[10], 10);
	assert_int_equal(k.bytes[15], 15);
	assert_int_equal(token_key_parse(&k, "0001"), -EINVAL);
	assert_int_equal(token_key_parse(&k, ""), -EINVAL);
	assert_int_equal(
		token_key_parse(&k, "0001020304050607080g0a0b0c0d0e0f"),
		-EINVAL);
	assert_int_equal(k.bytes[15], 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reference_vectors),
		cmocka_unit_test(parts_are_separated),
		cmocka_unit_test(key_matters),
		cmocka_unit_test(keys_are_parsed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
