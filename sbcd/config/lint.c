#include "sbcd/config/lint.h"

#include <string.h>
#include <strings.h>

#include "sbcd/config/schema.h"
#include "sbcd/config/security.h"

static const struct known_peer {
	const char *domain, *name;
	bool resets_roc;
} known_peers[] = {
	{"pstnhub.microsoft.com", "Microsoft Teams", true},
	{"outlook.com", "Exchange Unified Messaging", false},
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
	}
	return out->count;
}
