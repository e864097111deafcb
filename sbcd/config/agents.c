#include "sbcd/config/schema.h"
#include "sbcd/config/security.h"
#include "sbcd/config/tls.h"

#include <stdlib.h>
#include <string.h>
#include <ctype.h>

#include "sbcd/record/kinds.h"

void config_build_each(struct config_build *b, const char *name, unsigned max,
		       void (*one)(struct config_build *b, cfg_t *section))
{
	unsigned n = cfg_size(b->root, name);

	if (n < 1)
		parsed_error(b->parsed, 1, "there is no %s section; write one",
			     name);
	for (unsigned i = 0; i < n; i++) {
		cfg_t *sec = cfg_getnsec(b->root, name, i);

		if (i == max) {
			parsed_error(b->parsed, parsed_section_line(sec),
				     "too many %s sections, at most %u", name,
				     max);
			return;
		}
		one(b, sec);
	}
}

/* The realm an option of `sec` names; NULL with an error. */
static const struct config_realm *ref_realm(struct config_build *b, cfg_t *sec,
					    const char *option)
{
	const char *name = cfg_getstr(sec, option);
	const struct config_realm *r;

	if (!name) {
		parsed_error(b->parsed, parsed_section_line(sec),
			     "%s needs %s = NAME", cfg_name(sec), option);
		return NULL;
	}
	r = config_realm_find(b->config, name);
	if (!r)
		parsed_error(b->parsed,
			     parsed_option_line(b->parsed, sec, option),
			     "there is no realm '%s'; define it or correct the "
			     "name",
			     name);
	return r;
}

/* The tls-profile that `sec` has to name if its transport is TLS, and only
 * then; NULL with an error. */
static const struct config_tls_profile *ref_tls(struct config_build *b,
						cfg_t *sec, uint8_t transport)
{
	const char *name = cfg_getstr(sec, "tls-profile");
	int line = parsed_option_line(b->parsed, sec, "tls-profile");
	const struct config_tls_profile *t;

	if (!*name) {
		if (transport == TRANSPORT_TLS)
			parsed_error(b->parsed, line,
				     "TLS needs tls-profile = NAME");
		return NULL;
	}
	if (transport != TRANSPORT_TLS) {
		parsed_error(b->parsed, line,
			     "tls-profile is of TLS; leave it out, or change "
			     "the transport");
		return NULL;
	}
	t = config_tls_find(b->config->tls, name);
	if (!t)
		parsed_error(b->parsed, line,
			     "there is no tls-profile '%s'; define it or "
			     "correct the name",
			     name);
	return t;
}

/* ---- sip-interface ---------------------------------------------------------
 */

static void check_port(struct config_build *b,
		       const struct config_sip_interface *s,
		       const struct config_sip_port *port, int line)
{
	const struct config *c = b->config;

	/* The pools of all realms on the same addresses. */
	for (size_t i = 0; i < c->realms_len; i++) {
		const struct config_realm *r = &c->realms[i];

		if (port->transport == TRANSPORT_UDP && r->nif &&
		    s->realm->nif == r->nif && port->port >= r->port_first &&
		    port->port <= r->port_last)
			parsed_error(b->parsed, line,
				     "port %u lies within steering-pool %u-%u "
				     "of realm '%s'; move one of them",
				     port->port, r->port_first, r->port_last,
				     r->name);
	}
	for (size_t i = 0; i < c->sip_interfaces_len; i++) {
		const struct config_sip_interface *o = &c->sip_interfaces[i];

		if (!o->realm || o->realm->nif != s->realm->nif)
			continue;
		for (size_t k = 0; k < o->ports_len; k++)
			if (o->ports[k].port == port->port &&
			    o->ports[k].transport == port->transport)
				parsed_error(
					b->parsed, line,
					"port %u is also used by "
					"sip-interface '%s' on the same "
					"network-interface; choose another",
					port->port, o->name);
	}
}

static void build_port(struct config_build *b, cfg_t *sec,
		       struct config_sip_interface *s)
{
	struct config_sip_port port = {0};
	const char *transport = cfg_title(sec);

	port.line = parsed_section_line(sec);
	parsed_fill(
		schema_find(schema_find(schema_sbcd, "sip-interface")->sections,
			    "port"),
		sec, &port);
	if (!strcmp(transport, "udp")) {
		port.transport = TRANSPORT_UDP;
	} else if (!strcmp(transport, "tcp")) {
		port.transport = TRANSPORT_TCP;
	} else if (!strcmp(transport, "tls")) {
		port.transport = TRANSPORT_TLS;
		if (!parsed_given(b->parsed, sec, "port"))
			port.port = 5061;
	} else {
		parsed_error(
			b->parsed, port.line,
			"'%s' is no transport; write port udp, port tcp or "
			"port tls",
			transport);
		return;
	}
	port.tls = ref_tls(b, sec, port.transport);
	if (s->realm && s->realm->nif)
		check_port(b, s, &port,
			   parsed_option_line(b->parsed, sec, "port"));
	s->ports[s->ports_len++] = port;
}

static void build_sip_interface(struct config_build *b, cfg_t *sec)
{
	struct config *c = b->config;
	struct config_sip_interface *s =
		&c->sip_interfaces[c->sip_interfaces_len];
	const struct config_sip_interface *other;
	unsigned ports = cfg_size(sec, "port");

	parsed_fill(schema_find(schema_sbcd, "sip-interface"), sec, s);
	snprintf(s->name, sizeof(s->name), "%s", cfg_title(sec));
	s->line = parsed_section_line(sec);
	s->realm = ref_realm(b, sec, "realm");
	other = s->realm ? config_sip_interface_of_realm(c, s->realm) : NULL;
	if (other && other != s)
		parsed_error(b->parsed,
			     parsed_option_line(b->parsed, sec, "realm"),
			     "realm '%s' already has sip-interface '%s'; add "
			     "the ports there",
			     s->realm->name, other->name);
	if (!ports)
		parsed_error(b->parsed, s->line,
			     "sip-interface '%s' listens nowhere; write port "
			     "udp { }",
			     s->name);
	for (unsigned i = 0; i < ports; i++)
		if (s->ports_len < sizeof(s->ports) / sizeof(s->ports[0]))
			build_port(b, cfg_getnsec(sec, "port", i), s);
	c->sip_interfaces_len++;
}

/* ---- session-agent ---------------------------------------------------------
 */

/* RFC 3261's hostname, a little wider. */
static bool is_host_name(const char *text)
{
	if (!isalnum((unsigned char)*text))
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("-._", *text))
			return false;
	return true;
}

static void build_agent_address(struct config_build *b, cfg_t *sec,
				struct config_agent *a)
{
	const char *address = cfg_getstr(sec, "address");
	const char *bad = NULL, *where = *address ? "address" : "host";
	const char *text = *address ? address : a->host;

	if (!a->host[0]) {
		parsed_error(b->parsed, a->line,
			     "session-agent '%s' needs host = NAME", a->name);
		return;
	}
	if (addr_parse_ip(&a->address, a->host, 0) && !is_host_name(a->host)) {
		parsed_error(b->parsed,
			     parsed_option_line(b->parsed, sec, "host"),
			     "'%.64s' is neither an IP address nor a host name",
			     a->host);
		return;
	}
	if (addr_parse_ip(&a->address, text, 0))
		bad = *address ? "it is no IP address"
			       : "it is a name, and names are not looked up; "
				 "add address = \"IP\"";
	else
		bad = config_check_unicast(&a->address);
	if (!bad && a->realm && a->realm->nif) {
		const struct config_nif *n = a->realm->nif;

		if (!config_nif_address(n, a->address.family))
			bad = "the realm's network-interface has no address of "
			      "that family; add one";
		for (size_t i = 0; i < n->addrs_len; i++)
			if (addr_equal_ip(&n->addrs[i], &a->address))
				bad = "it is our own address, calls would "
				      "come back";
	}
	if (bad)
		parsed_error(b->parsed,
			     parsed_option_line(b->parsed, sec, where),
			     "%s '%.64s' of session-agent '%s': %s", where,
			     text, a->name, bad);
}

static void check_agent_port(struct config_build *b, cfg_t *sec,
			     const struct config_agent *a)
{
	const struct config_sip_interface *s;
	bool found = false;

	if (!a->realm)
		return;
	s = config_sip_interface_of_realm(b->config, a->realm);
	for (size_t i = 0; s && i < s->ports_len; i++)
		found |= s->ports[i].transport == a->transport;
	if (!found)
		parsed_error(b->parsed,
			     parsed_option_line(b->parsed, sec, "transport"),
			     "no sip-interface of realm '%s' has a port for "
			     "the transport of session-agent '%s'; add one",
			     a->realm->name, a->name);
	for (size_t i = 0; i < b->config->agents_len; i++) {
		const struct config_agent *o = &b->config->agents[i];

		if (o->realm == a->realm && o->transport == a->transport &&
		    o->address.family && addr_equal(&o->address, &a->address))
			parsed_error(b->parsed, a->line,
				     "session-agent '%s' is the same peer as "
				     "'%s' in line %d; keep one",
				     a->name, o->name, o->line);
	}
}

/* Whom its certificate names. */
static void build_tls_names(struct config_build *b, cfg_t *sec,
			    struct config_agent *a)
{
	int line = parsed_option_line(b->parsed, sec, "tls-names");
	unsigned n = cfg_size(sec, "tls-names");
	struct addr ip;

	if (n > CONFIG_TLS_NAMES_MAX) {
		parsed_error(b->parsed, line, "%u tls-names, at most %d", n,
			     CONFIG_TLS_NAMES_MAX);
		return;
	}
	if (n && a->transport != TRANSPORT_TLS)
		parsed_error(b->parsed, line,
			     "tls-names is of transport = tls; leave it out");
	for (unsigned i = 0; i < n; i++) {
		const char *name = cfg_getnstr(sec, "tls-names", i);

		if (strlen(name) >= CONFIG_HOST_SIZE || !is_host_name(name) ||
		    !addr_parse_ip(&ip, name, 0)) {
			parsed_error(b->parsed, line,
				     "'%.64s' in tls-names is no host name; "
				     "write a whole one, as the peer's "
				     "certificate has it",
				     name);
			return;
		}
		strcpy(a->tls_names[a->tls_names_len++], name);
	}
	if (n || a->transport != TRANSPORT_TLS)
		return;
	if (!addr_parse_ip(&ip, a->host, 0))
		parsed_error(b->parsed, a->line,
			     "session-agent '%s' has TLS and no name: say whom "
			     "its certificate names with tls-names = {NAME}",
			     a->name);
	else
		strcpy(a->tls_names[a->tls_names_len++], a->host);
}

static void build_agent(struct config_build *b, cfg_t *sec)
{
	struct config_agent *a = &b->config->agents[b->config->agents_len];
	const char *port = cfg_getstr(sec, "port");

	parsed_fill(schema_find(schema_sbcd, "session-agent"), sec, a);
	snprintf(a->name, sizeof(a->name), "%s", cfg_title(sec));
	a->line = parsed_section_line(sec);
	a->realm = ref_realm(b, sec, "realm");
	build_agent_address(b, sec, a);
	a->address.port = (uint16_t)strtoul(port, NULL, 10);
	if (a->transport == TRANSPORT_TLS &&
	    !parsed_given(b->parsed, sec, "port"))
		a->address.port = 5061;
	a->tls = ref_tls(b, sec, a->transport);
	build_tls_names(b, sec, a);
	check_agent_port(b, sec, a);
	a->media_sec = config_build_media_sec(b, sec);
	if (a->realm)
		config_check_agent_security(
			b->parsed, config_media_sec_of(a->realm, a), a);
	b->config->agents_len++;
}

/* ---- local-policy ----------------------------------------------------------
 */

static void check_pattern(struct config_build *b, cfg_t *sec,
			  const char *option, const char *text)
{
	size_t len = strlen(text);
	const char *star = strchr(text, '*');

	if (!len || (star && star[1]) || strpbrk(text, " @<>\"'"))
		parsed_error(b->parsed,
			     parsed_option_line(b->parsed, sec, option),
			     "'%.64s' is no pattern for %s; write a user, the "
			     "beginning of one with '*' behind, or \"*\"",
			     text, option);
}

static void build_outside(struct config_build *b, cfg_t *sec,
			  struct config_policy *p)
{
	for (unsigned i = 0; i < cfg_size(sec, "other-methods"); i++) {
		const char *name = cfg_getnstr(sec, "other-methods", i);
		uint8_t bit = config_outside_bit(name);

		if (!bit)
			parsed_error(b->parsed,
				     parsed_option_line(b->parsed, sec,
							"other-methods"),
				     "'%.64s' is none of other-methods; write "
				     "NOTIFY, MESSAGE or OPTIONS",
				     name);
		p->outside |= bit;
	}
}

static void build_policy(struct config_build *b, cfg_t *sec)
{
	struct config *c = b->config;
	struct config_policy *p = &c->policies[c->policies_len];
	const char *hop = cfg_getstr(sec, "next-hop");

	parsed_fill(schema_find(schema_sbcd, "local-policy"), sec, p);
	p->line = parsed_section_line(sec);
	p->from_realm = ref_realm(b, sec, "from-realm");
	check_pattern(b, sec, "from", p->from);
	check_pattern(b, sec, "to", p->to);
	build_outside(b, sec, p);
	p->next_hop = hop ? config_agent_find(c, hop) : NULL;
	if (!hop)
		parsed_error(b->parsed, p->line,
			     "local-policy needs next-hop = NAME");
	else if (!p->next_hop)
		parsed_error(b->parsed,
			     parsed_option_line(b->parsed, sec, "next-hop"),
			     "there is no session-agent '%s'; define it or "
			     "correct the name",
			     hop);
	for (size_t i = 0; i < c->policies_len; i++) {
		const struct config_policy *o = &c->policies[i];

		if (p->from_realm && o->from_realm == p->from_realm &&
		    !strcmp(o->from, p->from) && !strcmp(o->to, p->to))
			parsed_error(b->parsed, p->line,
				     "this local-policy matches the same calls "
				     "as the one in line %d; keep one",
				     o->line);
	}
	c->policies_len++;
}

static void build_sip_config(struct config_build *b)
{
	const struct section_spec *spec =
		schema_find(schema_sbcd, "sip-config");
	unsigned n = cfg_size(b->root, "sip-config");

	parsed_fill(spec, NULL, &b->config->sip);
	if (n > 1)
		parsed_error(b->parsed,
			     parsed_section_line(
				     cfg_getnsec(b->root, "sip-config", 1)),
			     "there may be one sip-config section; merge them");
	else if (n)
		parsed_fill(spec, cfg_getnsec(b->root, "sip-config", 0),
			    &b->config->sip);
}

/* A certificate that anybody's authority signs proves nothing: it has to name
 * a session agent. */
static void check_mutual(struct config_build *b,
			 const struct config_sip_interface *s)
{
	bool named = false;

	for (size_t i = 0; i < b->config->agents_len; i++)
		named |= b->config->agents[i].realm == s->realm &&
			 b->config->agents[i].tls_names_len;
	for (size_t i = 0; i < s->ports_len && !named; i++)
		if (s->ports[i].tls && s->ports[i].tls->mutual)
			parsed_error(b->parsed, s->ports[i].line,
				     "tls-profile '%s' has mutual-authenticate "
				     "= enabled, and no session-agent of realm "
				     "'%s' has a name for a certificate to "
				     "prove; give one transport = tls",
				     s->ports[i].tls->name, s->realm->name);
}

void config_build_sip(struct config_build *b)
{
	struct config *c = b->config;

	c->agents = calloc(CONFIG_AGENTS_MAX, sizeof(*c->agents));
	c->policies = calloc(CONFIG_POLICIES_MAX, sizeof(*c->policies));
	if (!c->agents || !c->policies) {
		parsed_error(b->parsed, 1, "out of memory");
		return;
	}
	build_sip_config(b);
	config_build_each(b, "sip-interface", CONFIG_SIP_INTERFACES_MAX,
			  build_sip_interface);
	config_build_each(b, "session-agent", CONFIG_AGENTS_MAX, build_agent);
	config_build_each(b, "local-policy", CONFIG_POLICIES_MAX, build_policy);
	for (size_t i = 0; i < c->sip_interfaces_len; i++)
		if (c->sip_interfaces[i].realm)
			check_mutual(b, &c->sip_interfaces[i]);
}
