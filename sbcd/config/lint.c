#include "sbcd/config/lint.h"

#include <string.h>
#include <strings.h>

#include "sbcd/config/schema.h"
#include "sbcd/config/security.h"
#include "sbcd/config/tls.h"

static const struct known_peer {
	const char *domain, *name;
	bool resets_roc;
	bool v2_hello; /* begins with one where it connects to us */
	bool server_eku, wildcard; /* of its certificate */
} known_peers[] = {
	{.domain = "pstnhub.microsoft.com",
	 .name = "Microsoft Teams",
	 .resets_roc = true,
	 .server_eku = true,
	 .wildcard = true},
	{.domain = "outlook.com",
	 .name = "Exchange Unified Messaging",
	 .v2_hello = true},
};

enum { KNOWN_PEERS = sizeof(known_peers) / sizeof(known_peers[0]) };

static const struct known_peer *peer_of(const char *host)
{
	size_t size = strlen(host);

	for (unsigned i = 0; i < KNOWN_PEERS; i++) {
		const struct known_peer *p = &known_peers[i];
		size_t len = strlen(p->domain);

		if (size >= len && !strcasecmp(host + size - len, p->domain) &&
		    (size == len || host[size - len - 1] == '.'))
			return p;
	}
	return NULL;
}

struct lint {
	const char *file;
	struct config_errors *out;
	const struct config_agent *agent;
	const struct known_peer *peer;
};

static void lint_suites(const struct lint *l,
			const struct config_sdes_profile *s)
{
	if (!memchr(s->suites, SDES_AES_CM_128_HMAC_SHA1_80, s->suites_len))
		config_error(l->out, l->file, s->line,
			     "warning: %s ('%s') knows AES_CM_128_HMAC_SHA1_80 "
			     "alone, and it is not in the crypto-list of "
			     "sdes-profile '%s'; add it",
			     l->peer->name, l->agent->name, s->name);
}

static void lint_profile(const struct lint *l,
			 const struct config_sdes_profile *s)
{
	const char *weak = config_sdes_weak_option(s);

	if (weak)
		config_error(l->out, l->file, s->flags_line,
			     "warning: with %s = disabled in sdes-profile "
			     "'%s' our offers say %s, and %s ('%s') answers "
			     "488; write %s = enabled",
			     weak, s->name,
			     !s->srtp_auth	? "UNAUTHENTICATED_SRTP"
			     : !s->srtp_encrypt ? "UNENCRYPTED_SRTP"
						: "UNENCRYPTED_SRTCP",
			     l->peer->name, l->agent->name, weak);
	lint_suites(l, s);
	if (l->peer->resets_roc && !s->reset_roc)
		config_error(l->out, l->file, s->line,
			     "warning: %s ('%s') begins at rollover counter 0 "
			     "with every new key; write reset-roc-on-rekey = "
			     "enabled in sdes-profile '%s'",
			     l->peer->name, l->agent->name, s->name);
}

/* How it meets us when it is the one that connects. */
static void lint_listener(const struct lint *l,
			  const struct config_tls_profile *t)
{
	if (l->peer->v2_hello && t->version != CONFIG_TLS_COMPATIBILITY)
		config_error(l->out, l->file, config_tls_line(t, "tls-version"),
			     "warning: %s ('%s') opens connections of its own, "
			     "for re-INVITEs and NOTIFYs, with a hello in "
			     "SSLv2's format; write tls-version = "
			     "compatibility in tls-profile '%s'",
			     l->peer->name, l->agent->name, t->name);
	if (!t->mutual)
		return;
	if (l->peer->server_eku && t->peer_eku == CONFIG_PEER_EKU_CLIENT)
		config_error(l->out, l->file, t->line,
			     "warning: the certificate of %s ('%s') is for "
			     "servers alone; write peer-eku = server in "
			     "tls-profile '%s'",
			     l->peer->name, l->agent->name, t->name);
	if (l->peer->wildcard && !t->wildcard)
		config_error(l->out, l->file, t->line,
			     "warning: the certificate of %s ('%s') names it "
			     "by a wildcard; write wildcard-names = enabled "
			     "in tls-profile '%s'",
			     l->peer->name, l->agent->name, t->name);
}

static void lint_tls_peer(const struct lint *l, const struct config *c)
{
	const struct config_sip_interface *s =
		config_sip_interface_of_realm(c, l->agent->realm);

	if (!l->agent->tls)
		return;
	for (size_t i = 0; s && i < s->ports_len; i++)
		if (s->ports[i].tls)
			lint_listener(l, s->ports[i].tls);
	if (l->peer->wildcard && !l->agent->tls->wildcard)
		config_error(l->out, l->file, l->agent->tls->line,
			     "warning: the certificate of %s ('%s') names it "
			     "by a wildcard; write wildcard-names = enabled "
			     "in tls-profile '%s'",
			     l->peer->name, l->agent->name,
			     l->agent->tls->name);
}

/* Used by ports, by agents? */
static void uses_of(const struct config *c, const struct config_tls_profile *t,
		    bool *listens, bool *connects)
{
	*listens = *connects = false;
	for (size_t i = 0; i < c->sip_interfaces_len; i++)
		for (size_t k = 0; k < c->sip_interfaces[i].ports_len; k++)
			*listens |= c->sip_interfaces[i].ports[k].tls == t;
	for (size_t i = 0; i < c->agents_len; i++)
		*connects |= c->agents[i].tls == t;
}

static void lint_tls_profiles(const struct config *c, const char *file,
			      struct config_errors *out)
{
	bool listens, connects;

	for (size_t i = 0; i < c->tls->profiles_len; i++) {
		const struct config_tls_profile *t = &c->tls->profiles[i];

		uses_of(c, t, &listens, &connects);
		if (!listens && !connects)
			config_error(out, file, t->line,
				     "warning: nothing uses tls-profile '%s'; "
				     "name it in a port tls or session-agent, "
				     "or leave it out",
				     t->name);
		else if (listens && config_tls_is_old(t))
			config_error(out, file,
				     config_tls_line(t, "tls-version"),
				     "warning: ports with tls-profile '%s' "
				     "take what is below TLS 1.2, from "
				     "addresses of session agents alone; "
				     "write tls-version = tlsv12 if no peer "
				     "needs it",
				     t->name);
		if (connects && !t->trusted_len)
			config_error(out, file, t->line,
				     "warning: tls-profile '%s' connects to "
				     "session agents and trusts nobody; write "
				     "trusted-ca-certificates = {FILE}",
				     t->name);
	}
}

unsigned config_lint(const struct config *c, const char *file,
		     struct config_errors *out)
{
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < c->agents_len; i++) {
		struct lint l = {.file = file,
				 .out = out,
				 .agent = &c->agents[i],
				 .peer = peer_of(c->agents[i].host)};
		const struct config_media_sec *m =
			config_media_sec_of(l.agent->realm, l.agent);

		if (!l.peer)
			continue;
		if (!m || !(m->outbound & CONFIG_MEDIA_SRTP))
			config_error(out, file, m ? m->line : l.agent->line,
				     "warning: %s ('%s') takes SRTP alone; "
				     "%s mode = srtp",
				     l.peer->name, l.agent->name,
				     m ? "write outbound"
				       : "give it a media-sec-policy with "
					 "outbound");
		else
			lint_profile(&l, m->profile);
		lint_tls_peer(&l, c);
	}
	lint_tls_profiles(c, file, out);
	return out->count;
}
