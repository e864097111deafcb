/* Offers and answers of keys by the rules of an sdes-profile. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sbcd/sip/sdes_negotiate.h"

#define KEY30 "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0e"
#define KEY28 "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHA=="
#define KEY46 "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLg=="
#define S80   "AES_CM_128_HMAC_SHA1_80"
#define S32   "AES_CM_128_HMAC_SHA1_32"

/* The field report's sdes1. */
static struct sdes_policy strict(void)
{
	return (struct sdes_policy){.suites = {SDES_AES_CM_128_HMAC_SHA1_80},
				    .suites_len = 1};
}

static struct sdes_lines lines_of(const char *const *crypto)
{
	struct sdes_lines lines;
	struct sdp *sdp;
	char text[4096];
	int n = snprintf(text, sizeof(text),
			 "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n"
			 "c=IN IP4 192.0.2.1\r\nt=0 0\r\n"
			 "m=audio 4000 RTP/SAVP 0\r\n");

	for (; *crypto; crypto++)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			      "a=crypto:%s\r\n", *crypto);
	assert_true((size_t)n < sizeof(text));
	assert_int_equal(sdp_parse(&sdp, text, (size_t)n, NULL), 0);
	sdes_lines_read(sdp, 0, &lines);
	sdp_destroy(sdp);
	return lines;
}

#define LINES(...) lines_of((const char *const[]){__VA_ARGS__, NULL})

static int choose(const struct sdes_policy *p, struct sdes_lines offer,
		  struct sdes_refusal *why)
{
	memset(why, 0, sizeof(*why));
	return sdes_choose(p, &offer, why);
}

static void the_offerer_prefers(void **state)
{
	struct sdes_policy p = {.suites = {SDES_AES_CM_128_HMAC_SHA1_80,
					   SDES_AES_CM_128_HMAC_SHA1_32},
				.suites_len = 2};
	struct sdes_refusal why;

	assert_int_equal(choose(&p,
				LINES("1 " S32 " inline:" KEY30,
				      "2 " S80 " inline:" KEY30),
				&why),
			 0);
	p = strict();
	assert_int_equal(choose(&p,
				LINES("1 " S32 " inline:" KEY30,
				      "2 " S80 " inline:" KEY30),
				&why),
			 1);
}

static void a_void_line_is_passed_over(void **state)
{
	struct sdes_policy p = strict();
	struct sdes_lines offer = LINES(
		"1 " S80 " inline:" KEY30 " KDR=4",
		"2 AEAD_AES_128_GCM inline:" KEY28 " UNAUTHENTICATED_SRTP",
		"3 FUTURE_SUITE inline:abc", "4 " S80 " inline:" KEY30);
	int n = sdes_choose(&p, &offer, NULL);

	assert_int_equal(offer.seen, 4);
	assert_int_equal(offer.len, 1);
	assert_int_equal(n, 0);
	assert_int_equal(offer.line[n].tag, 4);
}

static void lines_without_end(void **state)
{
	const char *many[SDES_LINES_MAX + 8] = {NULL};
	struct sdes_lines offer;

	for (unsigned i = 0; i < SDES_LINES_MAX + 7; i++)
		many[i] = "1 " S80 " inline:" KEY30;
	offer = lines_of(many);
	assert_int_equal(offer.seen, SDES_LINES_MAX);
	assert_int_equal(offer.len, SDES_LINES_MAX);
}

/* What each option of the profile refuses, and what it is called. */
static void refusals_name_the_rule(void **state)
{
	static const struct {
		const char *line;
		enum sdes_rule rule;
		const char *option;
	} t[] = {
		{"1 " S32 " inline:" KEY30, SDES_RULE_CRYPTO_LIST,
		 "crypto-list"},
		{"1 " S80 " inline:" KEY30 " UNAUTHENTICATED_SRTP",
		 SDES_RULE_SRTP_AUTH, "srtp-auth"},
		{"1 " S80 " inline:" KEY30 " UNENCRYPTED_SRTP",
		 SDES_RULE_SRTP_ENCRYPT, "srtp-encrypt"},
		{"1 " S80 " inline:" KEY30 " UNENCRYPTED_SRTCP",
		 SDES_RULE_SRTCP_ENCRYPT, "srtcp-encrypt"},
		{"1 " S80 " inline:" KEY28, SDES_RULE_VOID, NULL},
	};
	struct sdes_policy p = strict();
	struct sdes_refusal why;
	struct sdes_lines none = {0};

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const char *option;

		assert_int_equal(choose(&p, LINES(t[i].line), &why), -EPROTO);
		assert_int_equal(why.rule, t[i].rule);
		option = sdes_rule_option(why.rule);
		if (t[i].option)
			assert_string_equal(option, t[i].option);
		else
			assert_null(option);
		assert_true(strlen(sdes_refusal_text(&why)) > 10);
	}
	assert_int_equal(choose(&p, none, &why), -EPROTO);
	assert_int_equal(why.rule, SDES_RULE_NO_LINE);
	choose(&p, LINES("1 " S80 " inline:" KEY28), &why);
	assert_int_equal(why.reason, SDES_BAD_KEY);
}

static void the_nearest_line_is_named(void **state)
{
	struct sdes_policy p = strict();
	struct sdes_refusal why;

	assert_int_equal(
		choose(&p,
		       LINES("1 " S32 " inline:" KEY30,
			     "2 " S80 " inline:" KEY30 " UNAUTHENTICATED_SRTP",
			     "3 " S32 " inline:" KEY30),
		       &why),
		-EPROTO);
	assert_int_equal(why.rule, SDES_RULE_SRTP_AUTH);
	assert_int_equal(why.suite, SDES_AES_CM_128_HMAC_SHA1_80);
}

static void flags_that_are_taken(void **state)
{
	struct sdes_policy p = strict();
	struct sdes_refusal why;
	struct sdes_lines offer =
		LINES("5 " S80 " inline:" KEY30 " UNENCRYPTED_SRTP");
	uint8_t key[SDES_KEY_SIZE_MAX] = {9};
	struct sdes_crypto ours;

	p.flags_ingress = SDES_UNENCRYPTED_SRTP;
	assert_int_equal(choose(&p, offer, &why), 0);
	sdes_answer(&p, &offer.line[0], key, 1, &ours);
	assert_int_equal(ours.flags, SDES_UNENCRYPTED_SRTP);
	p = strict();
	p.flags_offered = SDES_UNENCRYPTED_SRTP;
	assert_int_equal(choose(&p, offer, &why), 0);
	/* Neither allows another one. */
	assert_int_equal(choose(&p,
				LINES("1 " S80 " inline:" KEY30
				      " UNENCRYPTED_SRTP UNENCRYPTED_SRTCP"),
				&why),
			 -EPROTO);
	assert_int_equal(why.rule, SDES_RULE_SRTCP_ENCRYPT);
}

static const char *printed(const struct sdes_crypto *c)
{
	static char out[SDES_LINE_SIZE];

	assert_true(sdes_crypto_print(c, out, sizeof(out)) > 0);
	return out;
}

static void what_we_answer(void **state)
{
	struct sdes_policy p = strict();
	struct sdes_lines offer =
		LINES("77 AES_CM_256_HMAC_SHA1_80 inline:" KEY46 "|2^31|1:1");
	struct sdes_crypto ours;
	uint8_t key[SDES_KEY_SIZE_MAX];

	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i + 1);
	/* Our own key; the draft's name as the peer spells it; no MKI and no
	 * lifetime unless the profile has one. */
	sdes_answer(&p, &offer.line[0], key, 1, &ours);
	assert_string_equal(printed(&ours),
			    "77 AES_CM_256_HMAC_SHA1_80 inline:" KEY46);
	p.mki = true;
	p.lifetime = 31;
	sdes_answer(&p, &offer.line[0], key, 3, &ours);
	assert_string_equal(printed(&ours),
			    "77 AES_CM_256_HMAC_SHA1_80 inline:" KEY46
			    "|2^31|3:4");
}

static struct sdes_lines offer_of(const struct sdes_policy *p)
{
	static uint8_t keys[SDES_SUITES][SDES_KEY_SIZE_MAX];
	struct sdes_lines out;

	for (unsigned i = 0; i < SDES_SUITES; i++)
		for (unsigned k = 0; k < SDES_KEY_SIZE_MAX; k++)
			keys[i][k] = (uint8_t)(k + 1);
	sdes_offer(p, (const uint8_t(*)[SDES_KEY_SIZE_MAX])keys, 1, &out);
	return out;
}

/* The third lesson of the field report. */
static void what_we_offer(void **state)
{
	struct sdes_policy p = strict();
	struct sdes_lines offer = offer_of(&p);

	assert_int_equal(offer.len, 1);
	assert_string_equal(printed(&offer.line[0]), "1 " S80 " inline:" KEY30);
	p.flags_offered = SDES_UNAUTHENTICATED_SRTP;
	offer = offer_of(&p);
	assert_string_equal(printed(&offer.line[0]),
			    "1 " S80 " inline:" KEY30 " UNAUTHENTICATED_SRTP");
	p = (struct sdes_policy){
		.suites = {SDES_AEAD_AES_128_GCM, SDES_AES_CM_128_HMAC_SHA1_32},
		.suites_len = 2,
		.flags_offered =
			SDES_UNAUTHENTICATED_SRTP | SDES_UNENCRYPTED_SRTCP,
	};
	offer = offer_of(&p);
	assert_int_equal(offer.len, 2);
	assert_string_equal(printed(&offer.line[0]),
			    "1 AEAD_AES_128_GCM inline:" KEY28
			    " UNENCRYPTED_SRTCP");
	assert_string_equal(printed(&offer.line[1]),
			    "2 " S32 " inline:" KEY30
			    " UNENCRYPTED_SRTCP UNAUTHENTICATED_SRTP");
}

static int match(const struct sdes_policy *p, const char *answer,
		 struct sdes_crypto *peer, struct sdes_refusal *why)
{
	struct sdes_lines offer = offer_of(p), a = LINES(answer);

	memset(why, 0, sizeof(*why));
	return sdes_match_answer(p, &offer, &a, peer, why);
}

static void answers_to_ours(void **state)
{
	struct sdes_policy p = {.suites = {SDES_AES_CM_128_HMAC_SHA1_80,
					   SDES_AES_CM_128_HMAC_SHA1_32},
				.suites_len = 2};
	struct sdes_refusal why;
	struct sdes_crypto peer;

	assert_int_equal(match(&p, "2 " S32 " inline:" KEY30, &peer, &why), 1);
	assert_int_equal(peer.suite, SDES_AES_CM_128_HMAC_SHA1_32);
	/* Renumbered. */
	assert_int_equal(
		match(&p, "1 " S32 " inline:" KEY30 "|2^31|1:1", &peer, &why),
		1);
	assert_int_equal(peer.mki_size, 1);
	assert_int_equal(match(&p, "9 " S80 " inline:" KEY30, &peer, &why), 0);
	assert_int_equal(
		match(&p, "1 AEAD_AES_128_GCM inline:" KEY28, &peer, &why),
		-EPROTO);
	assert_int_equal(why.rule, SDES_RULE_NOT_OFFERED);
	assert_int_equal(match(&p, "1 " S80 " inline:" KEY28, &peer, &why),
			 -EPROTO);
	assert_int_equal(why.rule, SDES_RULE_VOID);
	assert_int_equal(match(&p,
			       "1 " S80 " inline:" KEY30 " UNENCRYPTED_SRTP",
			       &peer, &why),
			 -EPROTO);
	assert_int_equal(why.rule, SDES_RULE_SRTP_ENCRYPT);
}

static void answers_repeat_the_parameters(void **state)
{
	struct sdes_policy p = strict();
	struct sdes_refusal why;
	struct sdes_crypto peer;

	p.flags_offered = SDES_UNAUTHENTICATED_SRTP;
	assert_int_equal(
		match(&p, "1 " S80 " inline:" KEY30 " UNAUTHENTICATED_SRTP",
		      &peer, &why),
		0);
	assert_int_equal(match(&p, "1 " S80 " inline:" KEY30, &peer, &why),
			 -EPROTO);
	assert_int_equal(why.rule, SDES_RULE_PARAMETERS);
	p.flags_ingress = SDES_UNAUTHENTICATED_SRTP;
	assert_int_equal(match(&p, "1 " S80 " inline:" KEY30, &peer, &why), 0);
	assert_int_equal(peer.flags, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_offerer_prefers),
		cmocka_unit_test(a_void_line_is_passed_over),
		cmocka_unit_test(lines_without_end),
		cmocka_unit_test(refusals_name_the_rule),
		cmocka_unit_test(the_nearest_line_is_named),
		cmocka_unit_test(flags_that_are_taken),
		cmocka_unit_test(what_we_answer),
		cmocka_unit_test(what_we_offer),
		cmocka_unit_test(answers_to_ours),
		cmocka_unit_test(answers_repeat_the_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
