#include "sbcd/config/security.h"
#include "sbcd/config/schema.h"

#include <string.h>

/* ---- schema ------------------------------------------------------------ */

static const struct option_choice offer_formats[] = {
	{"same-as-ingress", OFFER_SAME_AS_INGRESS, false},
	{"simultaneous-best-effort", OFFER_BOTH, false},
	{NULL, 0, false},
};

static const struct option_choice media_modes[] = {
	{"rtp", CONFIG_MEDIA_RTP, false},
	{"srtp", CONFIG_MEDIA_SRTP, false},
	{"any", CONFIG_MEDIA_ANY, false},
	{NULL, 0, false},
};

const struct option_spec schema_sdes_options[] = {
	{.name = "crypto-list",
	 .type = OPT_LIST,
	 .def = "",
	 NO_TARGET,
	 .help = "suites offered and accepted, in order; nothing = "
		 "AES_CM_128_HMAC_SHA1_80"},
	{.name = "srtp-auth",
	 .type = OPT_BOOL,
	 .def = "enabled",
	 TARGET(config_sdes_profile, srtp_auth),
	 .help = "disabled: offer and accept UNAUTHENTICATED_SRTP"},
	{.name = "srtp-encrypt",
	 .type = OPT_BOOL,
	 .def = "enabled",
	 TARGET(config_sdes_profile, srtp_encrypt),
	 .help = "disabled: offer and accept UNENCRYPTED_SRTP"},
	{.name = "srtcp-encrypt",
	 .type = OPT_BOOL,
	 .def = "enabled",
	 TARGET(config_sdes_profile, srtcp_encrypt),
	 .help = "disabled: offer and accept UNENCRYPTED_SRTCP"},
	{.name = "use-ingress-session-params",
	 .type = OPT_LIST,
	 .def = "",
	 NO_TARGET,
	 .help = "of srtp-auth, srtp-encrypt, srtcp-encrypt: where the peer "
		 "decides"},
	{.name = "mki",
	 .type = OPT_BOOL,
	 .def = "disabled",
	 TARGET(config_sdes_profile, mki),
	 .help = "our keys have a master key identifier"},
	{.name = "lifetime",
	 .type = OPT_UINT,
	 .def = "0",
	 .min = 0,
	 .max = 48,
	 TARGET(config_sdes_profile, lifetime),
	 .help = "n: our keys are good for 2^n packets; 0 = not said"},
	{.name = "egress-offer-format",
	 .type = OPT_ENUM,
	 .def = "same-as-ingress",
	 .choices = offer_formats,
	 TARGET(config_sdes_profile, offer_format),
	 .help = "what is offered where the outbound mode is any"},
	{.name = "srtp-rekey-on-re-invite",
	 .type = OPT_BOOL,
	 .def = "disabled",
	 TARGET(config_sdes_profile, rekey),
	 .help = "new keys in every re-INVITE"},
	{.name = "reset-roc-on-rekey",
	 .type = OPT_BOOL,
	 .def = "disabled",
	 TARGET(config_sdes_profile, reset_roc),
	 .help = "a new key begins at rollover counter 0, against RFC 3711"},
	{.name = "allow-insecure-keying",
	 .type = OPT_BOOL,
	 .def = "disabled",
	 TARGET(config_sdes_profile, allow_insecure),
	 .help = "also towards agents that are reached without TLS"},
	END,
};

static const struct option_spec media_sec_side_options[] = {
	{.name = "mode",
	 .type = OPT_ENUM,
	 .def = "rtp",
	 .choices = media_modes,
	 NO_TARGET,
	 .help = "what is accepted (inbound) and offered (outbound)"},
	{.name = "profile",
	 .type = OPT_NAME,
	 .def = "",
	 NO_TARGET,
	 .help = "sdes-profile of srtp and any"},
	END,
};

const struct section_spec schema_media_sec_sections[] = {
	{.name = "inbound",
	 .options = media_sec_side_options,
	 .help = "offers of the peers"},
	{.name = "outbound",
	 .options = media_sec_side_options,
	 .help = "offers to the peers"},
	END,
};

/* Sections of their own have options, if only none. */
const struct option_spec schema_media_sec_options[] = {END};

/* ---- sdes-profile ------------------------------------------------------ */

static const struct {
	const char *name;
	enum sdes_suite suite;
} suites[] = {
	{"AES_CM_128_HMAC_SHA1_80", SDES_AES_CM_128_HMAC_SHA1_80},
	{"AES_CM_128_HMAC_SHA1_32", SDES_AES_CM_128_HMAC_SHA1_32},
	{"AES_256_CM_HMAC_SHA1_80", SDES_AES_256_CM_HMAC_SHA1_80},
	{"AES_256_CM_HMAC_SHA1_32", SDES_AES_256_CM_HMAC_SHA1_32},
	{"AEAD_AES_128_GCM", SDES_AEAD_AES_128_GCM},
	{"AEAD_AES_256_GCM", SDES_AEAD_AES_256_GCM},
};

enum { SUITES = sizeof(suites) / sizeof(suites[0]) };

enum sdes_suite config_suite_find(const char *name)
{
	for (unsigned i = 0; i < SUITES; i++)
		if (!strcmp(suites[i].name, name))
			return suites[i].suite;
	return SDES_SUITE_NONE;
}

const char *config_sdes_weak_option(const struct config_sdes_profile *s)
{
	return !s->srtp_auth	   ? "srtp-auth"
	       : !s->srtp_encrypt  ? "srtp-encrypt"
	       : !s->srtcp_encrypt ? "srtcp-encrypt"
				   : NULL;
}

static bool is_aead(uint8_t suite)
{
	return suite == SDES_AEAD_AES_128_GCM || suite == SDES_AEAD_AES_256_GCM;
}

static void build_suites(const struct parsed *p, cfg_t *sec,
			 struct config_sdes_profile *s)
{
	int line = parsed_option_line(p, sec, "crypto-list");

	for (unsigned i = 0; i < cfg_size(sec, "crypto-list"); i++) {
		const char *name = cfg_getnstr(sec, "crypto-list", i);
		uint8_t suite = (uint8_t)config_suite_find(name);

		if (!suite)
			parsed_error(p, line,
				     "'%.64s' is no suite of crypto-list; use "
				     "AES_CM_128_HMAC_SHA1_80, _32, "
				     "AES_256_CM_HMAC_SHA1_80, _32, "
				     "AEAD_AES_128_GCM, AEAD_AES_256_GCM",
				     name);
		else if (memchr(s->suites, suite, s->suites_len))
			parsed_error(p, line,
				     "%s is in crypto-list twice; remove one",
				     name);
		else
			s->suites[s->suites_len++] = suite;
	}
	if (!cfg_size(sec, "crypto-list"))
		s->suites[s->suites_len++] = SDES_AES_CM_128_HMAC_SHA1_80;
}

/* A GCM packet has one tag for both: there is nothing to leave out. */
static void check_aead(const struct parsed *p, cfg_t *sec,
		       const struct config_sdes_profile *s)
{
	const char *option = !s->srtp_auth ? "srtp-auth" : "srtp-encrypt";

	if (s->srtp_auth && s->srtp_encrypt)
		return;
	for (size_t i = 0; i < s->suites_len; i++)
		if (is_aead(s->suites[i])) {
			parsed_error(p, parsed_option_line(p, sec, option),
				     "%s = disabled cannot be with an AEAD "
				     "suite; enable it or take "
				     "AEAD_AES_*_GCM out of crypto-list",
				     option);
			return;
		}
}

static void build_ingress(const struct parsed *p, cfg_t *sec,
			  struct config_sdes_profile *s)
{
	static const char option[] = "use-ingress-session-params";
	static const struct {
		const char *name;
		enum sdes_flag flag;
	} params[] = {
		{"srtp-auth", SDES_UNAUTHENTICATED_SRTP},
		{"srtp-encrypt", SDES_UNENCRYPTED_SRTP},
		{"srtcp-encrypt", SDES_UNENCRYPTED_SRTCP},
	};
	int line = parsed_option_line(p, sec, option);

	for (unsigned i = 0; i < cfg_size(sec, option); i++) {
		const char *name = cfg_getnstr(sec, option, i);
		uint8_t flag = 0;

		for (unsigned k = 0; k < 3; k++)
			if (!strcmp(params[k].name, name))
				flag = (uint8_t)params[k].flag;
		if (!flag)
			parsed_error(p, line,
				     "'%.64s' is no session parameter; use "
				     "srtp-auth, srtp-encrypt, srtcp-encrypt",
				     name);
		else if (s->ingress_params & flag)
			parsed_error(p, line, "%s is in %s twice; remove one",
				     name, option);
		s->ingress_params |= flag;
	}
}

static void build_profile(const struct parsed *p, cfg_t *sec,
			  struct config_sdes_profile *s)
{
	snprintf(s->name, sizeof(s->name), "%s", cfg_title(sec));
	s->line = parsed_section_line(sec);
	parsed_fill(schema_find(schema_sbcd, "sdes-profile"), sec, s);
	build_suites(p, sec, s);
	build_ingress(p, sec, s);
	check_aead(p, sec, s);
	if (config_sdes_weak_option(s))
		s->flags_line =
			parsed_option_line(p, sec, config_sdes_weak_option(s));
}

static const struct config_sdes_profile *
profile_find(const struct config_security *s, const char *name)
{
	for (size_t i = 0; i < s->profiles_len; i++)
		if (!strcmp(s->profiles[i].name, name))
			return &s->profiles[i];
	return NULL;
}

/* ---- media-sec-policy -------------------------------------------------- */

static uint8_t mode_of(const char *text)
{
	for (const struct option_choice *c = media_modes; c->name; c++)
		if (!strcmp(c->name, text))
			return (uint8_t)c->value;
	return CONFIG_MEDIA_RTP;
}

static uint8_t build_side(const struct parsed *p, cfg_t *sec, const char *side,
			  const struct config_security *s,
			  const struct config_sdes_profile **profile)
{
	unsigned n = cfg_size(sec, side);
	const char *mode, *name;
	cfg_t *one;

	*profile = NULL;
	if (n != 1) {
		parsed_error(p, parsed_section_line(sec),
			     "media-sec-policy needs one section %s; there "
			     "are %u",
			     side, n);
		return CONFIG_MEDIA_RTP;
	}
	one = cfg_getnsec(sec, side, 0);
	mode = cfg_getstr(one, "mode");
	name = cfg_getstr(one, "profile");
	if (*name) {
		*profile = profile_find(s, name);
		if (mode_of(mode) == CONFIG_MEDIA_RTP)
			parsed_error(p, parsed_option_line(p, one, "profile"),
				     "mode rtp uses no profile; leave it out "
				     "or write mode = srtp or any");
		else if (!*profile)
			parsed_error(p, parsed_option_line(p, one, "profile"),
				     "there is no sdes-profile '%s'; define it "
				     "or correct the name",
				     name);
	} else if (mode_of(mode) != CONFIG_MEDIA_RTP) {
		parsed_error(p, parsed_option_line(p, one, "mode"),
			     "mode %s needs profile = NAME of an sdes-profile",
			     mode);
	}
	return mode_of(mode);
}

static void build_policy(const struct parsed *p, cfg_t *sec,
			 const struct config_security *s,
			 struct config_media_sec *m)
{
	const struct config_sdes_profile *in, *out;

	snprintf(m->name, sizeof(m->name), "%s", cfg_title(sec));
	m->line = parsed_section_line(sec);
	m->inbound = build_side(p, sec, "inbound", s, &in);
	m->outbound = build_side(p, sec, "outbound", s, &out);
	m->profile = in ? in : out;
	/* A stream's keys go on whoever offers next. */
	if (in && out && in != out)
		parsed_error(p, m->line,
			     "inbound has sdes-profile '%s', outbound '%s'; "
			     "use one for both",
			     in->name, out->name);
	if (out && out->offer_format == OFFER_BOTH &&
	    m->outbound != CONFIG_MEDIA_ANY)
		parsed_error(p, m->line,
			     "sdes-profile '%s' (line %d) has "
			     "egress-offer-format = simultaneous-best-effort, "
			     "which needs outbound mode = any",
			     out->name, out->line);
}

/* ---- all of it --------------------------------------------------------- */

static unsigned sections(const struct parsed *p, cfg_t *root, const char *name,
			 unsigned max)
{
	unsigned n = cfg_size(root, name);

	if (n <= max)
		return n;
	parsed_error(p, parsed_section_line(cfg_getnsec(root, name, max)),
		     "too many %s sections, at most %u", name, max);
	return max;
}

void config_build_security(const struct parsed *p, cfg_t *root,
			   struct config_security *out)
{
	unsigned n;

	memset(out, 0, sizeof(*out));
	n = sections(p, root, "sdes-profile", CONFIG_SDES_PROFILES_MAX);
	for (unsigned i = 0; i < n; i++)
		build_profile(p, cfg_getnsec(root, "sdes-profile", i),
			      &out->profiles[out->profiles_len++]);
	n = sections(p, root, "media-sec-policy", CONFIG_MEDIA_SEC_MAX);
	for (unsigned i = 0; i < n; i++)
		build_policy(p, cfg_getnsec(root, "media-sec-policy", i), out,
			     &out->policies[out->policies_len++]);
}

const struct config_media_sec *
config_media_sec_find(const struct config_security *s, const char *name)
{
	for (size_t i = 0; i < s->policies_len; i++)
		if (!strcmp(s->policies[i].name, name))
			return &s->policies[i];
	return NULL;
}

const struct config_media_sec *config_media_sec_of(const struct config_realm *r,
						   const struct config_agent *a)
{
	return a && a->media_sec ? a->media_sec : r->media_sec;
}

const struct config_media_sec *
config_build_media_sec(const struct config_build *b, cfg_t *sec)
{
	static const char option[] = "media-sec-policy";
	const char *name = cfg_getstr(sec, option);
	const struct config_media_sec *m;

	if (!name || !*name)
		return NULL;
	m = config_media_sec_find(b->config->security, name);
	if (!m)
		parsed_error(b->parsed,
			     parsed_option_line(b->parsed, sec, option),
			     "there is no media-sec-policy '%s'; define it or "
			     "correct the name",
			     name);
	return m;
}

void config_check_agent_security(const struct parsed *p,
				 const struct config_media_sec *policy,
				 const struct config_agent *a)
{
	const struct config_sdes_profile *s = policy ? policy->profile : NULL;

	if (!s || s->allow_insecure || a->transport == TRANSPORT_TLS)
		return;
	parsed_error(p, a->line,
		     "session-agent '%s' is reached by %s, where everybody on "
		     "the way reads the keys of sdes-profile '%s'; write "
		     "transport = tls, or allow-insecure-keying = enabled "
		     "there (line %d)",
		     a->name, a->transport == TRANSPORT_TCP ? "tcp" : "udp",
		     s->name, s->line);
}
