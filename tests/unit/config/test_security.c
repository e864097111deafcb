/* sdes-profile and media-sec-policy: what is read and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sbcd/config/lint.h"
#include "sbcd/config/schema.h"
#include "sbcd/config/security.h"

static struct config_errors errors;
static struct config_security security;

#define PROFILE(options) "sdes-profile \"p\" {\n" options "}\n"
#define POLICY(in, out)                                                        \
	"media-sec-policy \"m\" {\n inbound { " in " }\n outbound { " out      \
	" }\n}\n"

static struct parsed *built(const char *text)
{
	struct parsed *p = NULL;

	memset(&errors, 0, sizeof(errors));
	if (!parsed_create(&p, schema_sbcd, text, "f", &errors))
		config_build_security(p, parsed_root(p), &security);
	return p;
}

static void good(const char *text)
{
	parsed_destroy(built(text));
	if (errors.count)
		fail_msg("%s", errors.text);
}

static void bad(const char *text, const char *line, const char *what)
{
	parsed_destroy(built(text));
	if (errors.count != 1 || strncmp(errors.text, line, strlen(line)) ||
	    !strstr(errors.text, what))
		fail_msg("%u errors, not '%s…%s': %s", errors.count, line, what,
			 errors.text);
}

static void defaults(void **state)
{
	const struct config_sdes_profile *p = &security.profiles[0];

	good(PROFILE(""));
	assert_int_equal(security.profiles_len, 1);
	assert_string_equal(p->name, "p");
	assert_int_equal(p->suites_len, 1);
	assert_int_equal(p->suites[0], SDES_AES_CM_128_HMAC_SHA1_80);
	assert_true(p->srtp_auth && p->srtp_encrypt && p->srtcp_encrypt);
	assert_false(p->mki || p->rekey || p->reset_roc || p->allow_insecure);
	assert_int_equal(p->lifetime, 0);
	assert_int_equal(p->ingress_params, 0);
	assert_int_equal(p->offer_format, OFFER_SAME_AS_INGRESS);
}

static void every_option(void **state)
{
	const struct config_sdes_profile *p = &security.profiles[0];
	const struct config_media_sec *m;

	good(PROFILE(" crypto-list = {AES_256_CM_HMAC_SHA1_32, "
		     "AES_CM_128_HMAC_SHA1_32}\n"
		     " srtp-auth = disabled\n srtp-encrypt = disabled\n"
		     " srtcp-encrypt = disabled\n"
		     " use-ingress-session-params = {srtcp-encrypt, "
		     "srtp-auth}\n"
		     " mki = enabled\n lifetime = 31\n"
		     " egress-offer-format = simultaneous-best-effort\n"
		     " srtp-rekey-on-re-invite = enabled\n"
		     " reset-roc-on-rekey = enabled\n"
		     " allow-insecure-keying = enabled\n")
		     POLICY("mode = srtp profile = p",
			    "mode = any profile = p"));
	assert_int_equal(p->suites_len, 2);
	assert_int_equal(p->suites[0], SDES_AES_256_CM_HMAC_SHA1_32);
	assert_int_equal(p->suites[1], SDES_AES_CM_128_HMAC_SHA1_32);
	assert_false(p->srtp_auth || p->srtp_encrypt || p->srtcp_encrypt);
	assert_int_equal(p->ingress_params,
			 SDES_UNENCRYPTED_SRTCP | SDES_UNAUTHENTICATED_SRTP);
	assert_true(p->mki && p->rekey && p->reset_roc && p->allow_insecure);
	assert_int_equal(p->lifetime, 31);
	assert_int_equal(p->offer_format, OFFER_BOTH);
	m = config_media_sec_find(&security, "m");
	assert_non_null(m);
	assert_null(config_media_sec_find(&security, "n"));
	assert_int_equal(m->inbound, CONFIG_MEDIA_SRTP);
	assert_int_equal(m->outbound, CONFIG_MEDIA_ANY);
	assert_ptr_equal(m->profile, p);
	good(POLICY("", "mode = rtp"));
	assert_int_equal(security.policies[0].inbound, CONFIG_MEDIA_RTP);
	assert_null(security.policies[0].profile);
}

static void what_is_refused(void **state)
{
	static const struct {
		const char *text, *line, *what;
	} cases[] = {
		{PROFILE("\n crypto-list = {AES_CM_128}\n"),
		 "f:3:", "'AES_CM_128' is no suite of crypto-list; use"},
		{PROFILE(" crypto-list = {AEAD_AES_128_GCM, "
			 "AEAD_AES_128_GCM}\n"),
		 "f:2:", "twice; remove one"},
		{PROFILE(" crypto-list = {AEAD_AES_128_GCM}\n"
			 " srtp-auth = disabled\n"),
		 "f:3:", "srtp-auth = disabled cannot be with an AEAD"},
		{PROFILE(" srtp-encrypt = disabled\n crypto-list = "
			 "{AES_CM_128_HMAC_SHA1_80, AEAD_AES_256_GCM}\n"),
		 "f:2:", "srtp-encrypt = disabled cannot be with an AEAD"},
		{PROFILE(" use-ingress-session-params = {mki}\n"),
		 "f:2:", "'mki' is no session parameter; use srtp-auth"},
		{PROFILE(" use-ingress-session-params = {srtp-auth, "
			 "srtp-auth}\n"),
		 "f:2:", "twice; remove one"},
		{PROFILE(" lifetime = 49\n"), "f:2:", "from 0 to 48"},
		{PROFILE(" mki = 4\n"), "f:2:", "write enabled or disabled"},
		{PROFILE(" egress-offer-format = both\n"), "f:2:",
		 "choose one of same-as-ingress, simultaneous-best-effort"},
		{PROFILE("") POLICY("mode = srtp", "profile = p mode = srtp"),
		 "f:4:", "mode srtp needs profile = NAME"},
		{POLICY("mode = any profile = q", ""),
		 "f:2:", "there is no sdes-profile 'q'"},
		{PROFILE("") POLICY("profile = p", ""),
		 "f:4:", "mode rtp uses no profile"},
		{POLICY("mode = dtls", ""), "f:2:", "choose one of rtp, srtp"},
		{"media-sec-policy \"m\" { inbound { } }\n",
		 "f:1:", "needs one section outbound; there are 0"},
		{"media-sec-policy \"m\" { inbound { } outbound { } "
		 "outbound { } }\n",
		 "f:1:", "needs one section outbound; there are 2"},
		{PROFILE(" egress-offer-format = simultaneous-best-effort\n")
			 POLICY("", "mode = srtp profile = p"),
		 "f:4:", "needs outbound mode = any"},
		{PROFILE("") "sdes-profile \"q\" { }\n" POLICY(
			 "mode = srtp profile = p", "mode = srtp profile = q"),
		 "f:4:", "use one for both"},
		{PROFILE("") PROFILE(""), "f:3:", "duplicate"},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		bad(cases[i].text, cases[i].line, cases[i].what);
}

static void too_many(void **state)
{
	static char text[8192];
	size_t at = 0;

	for (unsigned i = 0; i <= CONFIG_SDES_PROFILES_MAX; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       "sdes-profile \"p%u\" { }\n", i);
	bad(text, "f:33:", "too many sdes-profile sections, at most 32");
	for (unsigned i = at = 0; i <= CONFIG_MEDIA_SEC_MAX; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       "media-sec-policy \"p%u\" { inbound { } "
				       "outbound { } }\n",
				       i);
	bad(text, "f:33:", "too many media-sec-policy sections, at most 32");
}

static void keys_over_readable_signalling(void **state)
{
	struct config_agent a = {.name = "um", .line = 7};
	struct parsed *p = built(PROFILE(
		"") "sdes-profile \"q\" {\n"
		    " allow-insecure-keying = enabled }\n" POLICY(
			    "mode = any profile = p",
			    "") "media-sec-policy \"n\" {\n inbound { }\n"
				" outbound { mode = srtp profile = q } }\n"
				"media-sec-policy \"r\" { inbound { } "
				"outbound { } }\n");

	assert_int_equal(errors.count, 0);
	for (unsigned transport = TRANSPORT_UDP; transport <= TRANSPORT_TLS;
	     transport++) {
		a.transport = (uint8_t)transport;
		config_check_agent_security(p, NULL, &a);
		config_check_agent_security(
			p, config_media_sec_find(&security, "n"), &a);
		config_check_agent_security(
			p, config_media_sec_find(&security, "r"), &a);
		assert_int_equal(errors.count, 0);
		config_check_agent_security(
			p, config_media_sec_find(&security, "m"), &a);
		assert_int_equal(errors.count, transport != TRANSPORT_TLS);
		if (errors.count)
			assert_non_null(strstr(
				errors.text,
				transport == TRANSPORT_UDP
					? "f:7: session-agent 'um' is reached "
					  "by udp"
					: "f:7: session-agent 'um' is reached "
					  "by tcp"));
		memset(&errors, 0, sizeof(errors));
	}
	parsed_destroy(p);
}

/* ---- in a whole configuration -------------------------------------------- */

#define PAIR                                                                   \
	"cluster { name = \"t\" peers = {\"a\", \"b\"} }\n"                    \
	"network-interface \"n\" { nic = \"n\" address = {\"10.20.0.10/24\"} " \
	"}\n"

static const char pair_end[] =
	"sip-interface \"s\" { realm = r port udp { } }\n"
	"local-policy { from-realm = r next-hop = um }\n";

/* Lines: 3 realm, 4 agent, 5.. `more`. */
static struct config *whole(const char *realm, const char *agent,
			    const char *more)
{
	static char text[8192];
	struct config *c = NULL;

	snprintf(text, sizeof(text),
		 PAIR
		 "realm \"r\" { network-interface = n %s "
		 "steering-pool = \"20000-29999\" }\n"
		 "session-agent \"um\" { realm = r address = \"10.20.0.50\" "
		 "%s }\n%s%s",
		 realm, agent, more, pair_end);
	(void)!config_parse(&c, text, "f", &errors);
	return c;
}

static const char insecure[] =
	"sdes-profile \"p\" { allow-insecure-keying = enabled }\n"
	"media-sec-policy \"m\" {\n"
	" inbound { mode = srtp profile = p }\n"
	" outbound { mode = srtp profile = p } }\n"
	"media-sec-policy \"x\" { inbound { mode = rtp } "
	"outbound { mode = rtp } }\n";

static const char host[] = "host = \"um.example.net\"";

static void an_agent_s_policy_is_before_its_realm_s(void **state)
{
	static const struct {
		const char *realm, *agent, *of_realm, *of_agent;
	} cases[] = {
		{"", "", NULL, NULL},
		{"media-sec-policy = m", "", "m", "m"},
		{"", "media-sec-policy = m", NULL, "m"},
		{"media-sec-policy = m", "media-sec-policy = x", "m", "x"},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char agent[128];
		struct config *c;
		const struct config_media_sec *r, *a;

		snprintf(agent, sizeof(agent), "%s %s", host, cases[i].agent);
		c = whole(cases[i].realm, agent, insecure);
		if (!c)
			fail_msg("%s", errors.text);
		r = config_media_sec_of(&c->realms[0], NULL);
		a = config_media_sec_of(&c->realms[0], &c->agents[0]);
		assert_int_equal(!r, !cases[i].of_realm);
		assert_int_equal(!a, !cases[i].of_agent);
		if (r)
			assert_string_equal(r->name, cases[i].of_realm);
		if (a)
			assert_string_equal(a->name, cases[i].of_agent);
		config_destroy(c);
	}
}

static void references_that_lead_nowhere(void **state)
{
	char agent[128];

	assert_null(whole("media-sec-policy = q", host, insecure));
	assert_string_equal(errors.text,
			    "f:3: there is no media-sec-policy 'q'; define it "
			    "or correct the name\n");
	snprintf(agent, sizeof(agent), "%s media-sec-policy = q", host);
	assert_null(whole("", agent, insecure));
	assert_non_null(strstr(errors.text, "f:4: there is no media-sec-policy "
					    "'q'; define it"));
	/* Point by point the builder's own mistakes are in the cases above;
	 * here: that it runs at all. */
	assert_null(whole("", host,
			  "sdes-profile \"p\" { crypto-list = {ROT13} }\n"));
	assert_non_null(strstr(errors.text, "f:5: 'ROT13' is no suite"));
}

static void keys_in_the_clear_by_way_of_the_realm(void **state)
{
	static const char strict[] =
		"sdes-profile \"p\" { }\nmedia-sec-policy \"m\" {\n inbound { "
		"}\n outbound { mode = srtp profile = p } }\n";

	assert_null(whole("media-sec-policy = m", host, strict));
	assert_non_null(strstr(errors.text, "f:4: session-agent 'um' is "
					    "reached by udp"));
	assert_non_null(strstr(errors.text, "(line 5)"));
}

/* ---- peers that are known --------------------------------------------------
 */

static void lint(const char *host_name, const char *profile, const char *what)
{
	char agent[128], more[1024];
	struct config *c;
	unsigned n;

	snprintf(agent, sizeof(agent), "host = \"%s\" media-sec-policy = %s",
		 host_name, profile ? "m" : "x");
	snprintf(more, sizeof(more),
		 "sdes-profile \"p\" { allow-insecure-keying = enabled\n%s }\n"
		 "media-sec-policy \"m\" {\n inbound { }\n"
		 " outbound { mode = srtp profile = p } }\n"
		 "media-sec-policy \"x\" { inbound { } outbound { } }\n",
		 profile ? profile : "");
	c = whole("", agent, more);
	if (!c)
		fail_msg("%s", errors.text);
	n = config_lint(c, "f", &errors);
	if (n != (what != NULL) || (what && !strstr(errors.text, what)))
		fail_msg("%u warnings, not '%s': %s", n, what ? what : "",
			 errors.text);
	config_destroy(c);
}

static void what_known_peers_do_not_take(void **state)
{
	static const char teams[] = "sip.pstnhub.microsoft.com",
			  um[] = "1a2b.um.outlook.com";

	lint("um.example.net", " srtp-auth = disabled", NULL);
	lint("notpstnhub.microsoft.com.example.net", " srtp-auth = disabled",
	     NULL);
	lint("xoutlook.com", " srtp-auth = disabled", NULL);
	lint(um, "", NULL);
	lint(teams, " reset-roc-on-rekey = enabled", NULL);
	lint(um, "\n\n srtp-auth = disabled",
	     "f:8: warning: with srtp-auth = disabled in sdes-profile 'p' our "
	     "offers say UNAUTHENTICATED_SRTP, and Exchange Unified Messaging "
	     "('um') answers 488; write srtp-auth = enabled");
	lint(um, " srtcp-encrypt = disabled", "f:6: warning: with srtcp-enc");
	lint(um, " crypto-list = {AES_CM_128_HMAC_SHA1_32}",
	     "f:5: warning: Exchange Unified Messaging ('um') knows AES_CM");
	lint(teams, "", "f:5: warning: Microsoft Teams ('um') begins at roll");
	lint(teams, NULL, "warning: Microsoft Teams ('um') takes SRTP alone");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(every_option),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(too_many),
		cmocka_unit_test(keys_over_readable_signalling),
		cmocka_unit_test(an_agent_s_policy_is_before_its_realm_s),
		cmocka_unit_test(references_that_lead_nowhere),
		cmocka_unit_test(keys_in_the_clear_by_way_of_the_realm),
		cmocka_unit_test(what_known_peers_do_not_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
