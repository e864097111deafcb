/* What is said of TLS before the first connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sbcd/config/config.h"
#include "sbcd/config/lint.h"

static struct config_errors errors;

/* Line 10 is the listener's profile, 11 the client's; `what` NULL: nothing is
 * to be said. */
static void lint(const char *host, const char *listener, const char *client,
		 const char *what)
{
	char text[4096];
	struct config *c;
	unsigned n;

	snprintf(
		text, sizeof(text),
		"cluster { name = \"edge\" peers = {\"a\", \"b\"} }\n"
		"network-interface \"n\" { nic = eth1 "
		"address = {\"10.0.0.2/24\"} }\n"
		"realm \"r\" { network-interface = n "
		"steering-pool = \"6000-6999\" }\n"
		"sip-interface \"s\" { realm = r "
		"port tls { tls-profile = in } }\n"
		"session-agent \"peer\" { realm = r host = \"%s\" "
		"address = \"10.0.0.3\"\n"
		"transport = tls tls-profile = out media-sec-policy = m }\n"
		"local-policy { from-realm = r next-hop = peer }\n"
		"media-sec-policy \"m\" { inbound { mode = srtp profile = p } "
		"outbound { mode = srtp profile = p } }\n"
		"sdes-profile \"p\" { crypto-list = "
		"{AES_CM_128_HMAC_SHA1_80} reset-roc-on-rekey = enabled }\n"
		"tls-profile \"in\" { end-entity-certificate = \"/a.pem\" %s }\n"
		"tls-profile \"out\" { end-entity-certificate = \"/a.pem\" "
		"trusted-ca-certificates = {\"/r.pem\"} %s }\n",
		host, listener, client);
	if (config_parse(&c, text, "f", &errors))
		fail_msg("%s", errors.text);
	n = config_lint(c, "f", &errors);
	if (n != (what != NULL) || (what && !strstr(errors.text, what)))
		fail_msg("%u warnings, not '%s': %s", n, what ? what : "",
			 errors.text);
	config_destroy(c);
}

static const char mutual[] = "trusted-ca-certificates = {\"/r.pem\"} "
			     "mutual-authenticate = enabled ";

static void v2_hello_of_exchange(void **state)
{
	static const char um[] = "1a2b.um.outlook.com";
	static const char what[] =
		"f:10: warning: Exchange Unified Messaging ('peer') opens "
		"connections of its own, for re-INVITEs and NOTIFYs, with a "
		"hello in SSLv2's format; write tls-version = compatibility "
		"in tls-profile 'in'";

	lint(um, "", "", what);
	lint(um, "tls-version = tlsv13", "", what);
	lint("um.example.net", "", "", NULL);
	/* And what that costs. */
	lint(um, "tls-version = compatibility", "",
	     "f:10: warning: ports with tls-profile 'in' take what is below");
}

static void certificate_of_teams(void **state)
{
	static const char teams[] = "sip.pstnhub.microsoft.com";
	static const char out[] = "wildcard-names = enabled";
	char in[256];

	lint(teams, "", out, NULL);
	lint(teams, "", "",
	     "f:11: warning: the certificate of Microsoft Teams ('peer') "
	     "names it by a wildcard; write wildcard-names = enabled in "
	     "tls-profile 'out'");
	snprintf(in, sizeof(in), "%s wildcard-names = enabled", mutual);
	lint(teams, in, out,
	     "f:10: warning: the certificate of Microsoft Teams ('peer') is "
	     "for servers alone; write peer-eku = server");
	snprintf(in, sizeof(in), "%s peer-eku = server", mutual);
	lint(teams, in, out, "f:10: warning: the certificate of Microsoft");
	snprintf(in, sizeof(in), "%s peer-eku = any wildcard-names = enabled",
		 mutual);
	lint(teams, in, out, NULL);
}

static void profiles_of_nobody(void **state)
{
	lint("um.example.net",
	     "}\ntls-profile \"third\" { "
	     "end-entity-certificate = \"/c.pem\"",
	     "", "f:11: warning: nothing uses tls-profile 'third'");
	lint("um.example.net", "tls-version = tlsv11", "",
	     "f:10: warning: ports with tls-profile 'in' take what is below");
	/* As a client it is the peer's affair. */
	lint("um.example.net", "", "tls-version = tlsv11", NULL);
}

static void client_that_trusts_nobody(void **state)
{
	lint("um.example.net", "",
	     "}\ntls-profile \"in2\" { "
	     "end-entity-certificate = \"/c.pem\" }\n"
	     "session-agent \"two\" { realm = r "
	     "host = \"b.example.net\" "
	     "address = \"10.0.0.4\" transport = tls "
	     "media-sec-policy = m tls-profile = in2 ",
	     "f:12: warning: tls-profile 'in2' connects to session agents and "
	     "trusts nobody");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v2_hello_of_exchange),
		cmocka_unit_test(certificate_of_teams),
		cmocka_unit_test(profiles_of_nobody),
		cmocka_unit_test(client_that_trusts_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
