/* tls-profile - see tls.h */
#include "sbcd/config/tls.h"
#include "sbcd/config/schema.h"

#include <assert.h>
#include <string.h>

/* ---- schema ------------------------------------------------------------ */

static const struct option_choice tls_versions[] = {
	{"tlsv1", CONFIG_TLS_1_0, false},
	{"tlsv11", CONFIG_TLS_1_1, false},
	{"tlsv12", CONFIG_TLS_1_2, false},
	{"tlsv13", CONFIG_TLS_1_3, false},
	{"compatibility", CONFIG_TLS_COMPATIBILITY, false},
	{NULL, 0, false},
};

/* compatibility is no end of a range */
static const struct option_choice tls_ends[] = {
	{"tlsv1", CONFIG_TLS_1_0, false},
	{"tlsv11", CONFIG_TLS_1_1, false},
	{"tlsv12", CONFIG_TLS_1_2, false},
	{"tlsv13", CONFIG_TLS_1_3, false},
	{NULL, 0, false},
};

static const struct option_choice peer_ekus[] = {
	{"client", CONFIG_PEER_EKU_CLIENT, false},
	{"server", CONFIG_PEER_EKU_SERVER, false},
	{"any", CONFIG_PEER_EKU_ANY, false},
	{NULL, 0, false},
};

const struct option_spec schema_tls_options[] = {
	{.name = "end-entity-certificate",
	 .type = OPT_TEXT,
	 TARGET(config_tls_profile, certificate),
	 .help = "PEM file: our certificate, then what leads to the root"},
	{.name = "private-key",
	 .type = OPT_TEXT,
	 .def = "",
	 TARGET(config_tls_profile, key),
	 .help = "PEM file of its key, without passphrase; nothing = in the "
		 "same file"},
	{.name = "trusted-ca-certificates",
	 .type = OPT_LIST,
	 .def = "",
	 NO_TARGET,
	 .help = "PEM files: where a peer's chain may end"},
	{.name = "crl-files",
	 .type = OPT_LIST,
	 .def = "",
	 NO_TARGET,
	 .help = "PEM files: revocation lists; with any, every issuer of a "
		 "peer's certificate needs one"},
	{.name = "cipher-list",
	 .type = OPT_TEXT,
	 .def = "DEFAULT",
	 TARGET(config_tls_profile, ciphers),
	 .help = "in OpenSSL's syntax, of TLS 1.2 and older; ciphers without "
		 "authentication or encryption are never used"},
	{.name = "verify-depth",
	 .type = OPT_UINT,
	 .def = "10",
	 .max = 10,
	 TARGET(config_tls_profile, verify_depth),
	 .help = "certificates between a peer's and the root"},
	{.name = "mutual-authenticate",
	 .type = OPT_BOOL,
	 .def = "disabled",
	 TARGET(config_tls_profile, mutual),
	 .help = "who connects to us needs a certificate"},
	{.name = "tls-version",
	 .type = OPT_ENUM,
	 .def = "tlsv12",
	 .choices = tls_versions,
	 TARGET(config_tls_profile, version),
	 .help = "exactly that one; compatibility: the highest both have, "
		 "and a hello in SSLv2's format is understood"},
	{.name = "minimum-version",
	 .type = OPT_ENUM,
	 .def = "tlsv1",
	 .choices = tls_ends,
	 TARGET(config_tls_profile, minimum),
	 .help = "where compatibility begins"},
	{.name = "maximum-version",
	 .type = OPT_ENUM,
	 .def = "tlsv13",
	 .choices = tls_ends,
	 TARGET(config_tls_profile, maximum),
	 .help = "where compatibility ends"},
	{.name = "peer-eku",
	 .type = OPT_ENUM,
	 .def = "client",
	 .choices = peer_ekus,
	 TARGET(config_tls_profile, peer_eku),
	 .help = "what the certificate of who connects to us is for"},
	{.name = "cert-status-check",
	 .type = OPT_BOOL,
	 .def = "disabled",
	 TARGET(config_tls_profile, status_check),
	 .help = "nobody is believed before OCSP has said that the "
		 "certificate was not revoked; ours is stapled"},
	{.name = "ignore-dead-responder",
	 .type = OPT_BOOL,
	 .def = "disabled",
	 TARGET(config_tls_profile, ignore_dead_responder),
	 .help = "of cert-status-check: a certificate whose status nobody "
		 "tells is good"},
	{.name = "wildcard-names",
	 .type = OPT_BOOL,
	 .def = "disabled",
	 TARGET(config_tls_profile, wildcard),
	 .help = "*.example.net in a peer's certificate stands for one label, "
		 "against RFC 5922"},
	END,
};

/* ---- tls-profile ------------------------------------------------------- */

static void check_path(const struct parsed *p, int line, const char *option,
		       const char *path)
{
	if (path[0] != '/')
		parsed_error(p, line,
			     "%s '%.64s' is no absolute path; write "
			     "\"/etc/sbcd/tls/…\"",
			     option, path);
}

static void build_files(const struct parsed *p, cfg_t *sec,
			struct config_tls_profile *t)
{
	if (!t->certificate[0]) {
		parsed_error(p, t->line,
			     "tls-profile '%s' needs end-entity-certificate = "
			     "FILE",
			     t->name);
		return;
	}
	check_path(p, parsed_option_line(p, sec, "end-entity-certificate"),
		   "end-entity-certificate", t->certificate);
	if (t->key[0])
		check_path(p, parsed_option_line(p, sec, "private-key"),
			   "private-key", t->key);
	else
		memcpy(t->key, t->certificate, sizeof(t->key));
}

/* How many there are; the first is at `out`. */
static size_t build_list(const struct parsed *p, cfg_t *sec, const char *option,
			 char out[CONFIG_TLS_TRUSTED_MAX][CONFIG_PATH_SIZE])
{
	int line = parsed_option_line(p, sec, option);
	unsigned n = cfg_size(sec, option);

	if (n > CONFIG_TLS_TRUSTED_MAX) {
		parsed_error(p, line,
			     "%u files in %s, at most %d; put several "
			     "certificates into one",
			     n, option, CONFIG_TLS_TRUSTED_MAX);
		return 0;
	}
	for (unsigned i = 0; i < n; i++) {
		const char *path = cfg_getnstr(sec, option, i);

		if (strlen(path) >= CONFIG_PATH_SIZE) {
			parsed_error(p, line,
				     "a path in %s is too long, at most %d "
				     "characters",
				     option, CONFIG_PATH_SIZE - 1);
			return 0;
		}
		check_path(p, line, option, path);
		strcpy(out[i], path);
	}
	return n;
}

static void build_trusted(const struct parsed *p, cfg_t *sec,
			  struct config_tls_profile *t)
{
	static const char option[] = "trusted-ca-certificates";

	t->trusted_len = build_list(p, sec, option, t->trusted);
	t->crls_len = build_list(p, sec, "crl-files", t->crls);
	if (t->mutual && !cfg_size(sec, option))
		parsed_error(p,
			     parsed_option_line(p, sec, "mutual-authenticate"),
			     "mutual-authenticate = enabled needs %s = {FILE}: "
			     "without it no certificate is good",
			     option);
}

static void check_versions(const struct parsed *p, cfg_t *sec,
			   struct config_tls_profile *t)
{
	static const char *const ends[] = {"minimum-version",
					   "maximum-version"};

	for (unsigned i = 0; i < 2; i++)
		if (t->version != CONFIG_TLS_COMPATIBILITY &&
		    parsed_given(p, sec, ends[i]))
			parsed_error(p, parsed_option_line(p, sec, ends[i]),
				     "%s is of tls-version = compatibility; "
				     "any other one is exactly that version",
				     ends[i]);
	if (t->minimum > t->maximum)
		parsed_error(p, parsed_option_line(p, sec, ends[0]),
			     "%s is above %s", ends[0], ends[1]);
}

static void check_status(const struct parsed *p, cfg_t *sec,
			 const struct config_tls_profile *t)
{
	static const char option[] = "ignore-dead-responder";

	if (t->ignore_dead_responder && !t->status_check)
		parsed_error(p, parsed_option_line(p, sec, option),
			     "%s is of cert-status-check = enabled: without "
			     "it no responder is asked",
			     option);
}

static void check_ciphers(const struct parsed *p, cfg_t *sec,
			  const struct config_tls_profile *t)
{
	int line = parsed_option_line(p, sec, "cipher-list");

	if (!t->ciphers[0])
		parsed_error(p, line,
			     "cipher-list is empty; write DEFAULT or ALL");
	else if (strcasestr(t->ciphers, "@SECLEVEL"))
		parsed_error(p, line,
			     "cipher-list sets no security level: tls-version "
			     "does; leave @SECLEVEL out");
}

static void set_lines(const struct parsed *p, cfg_t *sec,
		      struct config_tls_profile *t)
{
	const struct option_spec *o = schema_tls_options;

	for (unsigned i = 0; o[i].name; i++) {
		assert(i < CONFIG_TLS_OPTIONS_MAX);
		t->lines[i] = parsed_option_line(p, sec, o[i].name);
	}
}

static void build_profile(const struct parsed *p, cfg_t *sec,
			  struct config_tls_profile *t)
{
	const struct section_spec spec = {.options = schema_tls_options};

	snprintf(t->name, sizeof(t->name), "%s", cfg_title(sec));
	t->line = parsed_section_line(sec);
	set_lines(p, sec, t);
	parsed_fill(&spec, sec, t);
	build_files(p, sec, t);
	build_trusted(p, sec, t);
	check_versions(p, sec, t);
	check_ciphers(p, sec, t);
	check_status(p, sec, t);
}

void config_build_tls(const struct parsed *p, cfg_t *root,
		      struct config_tls *out)
{
	unsigned n = cfg_size(root, "tls-profile");

	memset(out, 0, sizeof(*out));
	if (n > CONFIG_TLS_PROFILES_MAX) {
		cfg_t *sec = cfg_getnsec(root, "tls-profile",
					 CONFIG_TLS_PROFILES_MAX);

		parsed_error(p, parsed_section_line(sec),
			     "too many tls-profile sections, at most %d",
			     CONFIG_TLS_PROFILES_MAX);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		build_profile(p, cfg_getnsec(root, "tls-profile", i),
			      &out->profiles[out->profiles_len++]);
}

/* ---- look-ups ---------------------------------------------------------- */

const struct config_tls_profile *config_tls_find(const struct config_tls *t,
						 const char *name)
{
	for (size_t i = 0; i < t->profiles_len; i++)
		if (!strcmp(t->profiles[i].name, name))
			return &t->profiles[i];
	return NULL;
}

int config_tls_line(const struct config_tls_profile *p, const char *option)
{
	const struct option_spec *o = schema_tls_options;

	for (unsigned i = 0; option && o[i].name; i++)
		if (!strcmp(o[i].name, option) && p->lines[i])
			return p->lines[i];
	return p->line;
}

bool config_tls_is_old(const struct config_tls_profile *p)
{
	return p->version < CONFIG_TLS_1_2;
}

unsigned config_old_tls_ports(const struct config *c)
{
	unsigned n = 0;

	for (size_t i = 0; i < c->sip_interfaces_len; i++) {
		const struct config_sip_interface *s = &c->sip_interfaces[i];

		for (size_t k = 0; k < s->ports_len; k++)
			n += s->ports[k].tls &&
			     config_tls_is_old(s->ports[k].tls);
	}
	return n;
}
