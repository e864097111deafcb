#include "sbcd/config/schema.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* Profiles of the cluster's timing, in the order of enum config_timing. */
static const struct {
	uint32_t beat_ms, silence_ms, lease_ms, cold_start_ms;
} profiles[] = {
	[TIMING_FAST] = {10, 100, 200, 5000},
	[TIMING_RELAXED] = {100, 1000, 2000, 10000},
};

static const char *const timing_options[] = {"beat-ms", "silence-ms",
					     "lease-ms", "cold-start-ms", NULL};

static void build_timing(struct config_build *b, cfg_t *sec)
{
	struct config_cluster *c = &b->config->cluster;
	const struct parsed *p = b->parsed;

	if (c->timing != TIMING_CUSTOM) {
		for (const char *const *o = timing_options; *o; o++)
			if (parsed_given(p, sec, *o))
				parsed_error(p, parsed_option_line(p, sec, *o),
					     "%s is set by the timing profile; "
					     "write timing = custom to choose "
					     "it",
					     *o);
		c->beat_ms = profiles[c->timing].beat_ms;
		c->silence_ms = profiles[c->timing].silence_ms;
		c->lease_ms = profiles[c->timing].lease_ms;
		c->cold_start_ms = profiles[c->timing].cold_start_ms;
		return;
	}
	if (c->silence_ms < 3 * c->beat_ms)
		parsed_error(p, parsed_option_line(p, sec, "silence-ms"),
			     "silence-ms must be at least three times beat-ms, "
			     "%u or more",
			     3 * c->beat_ms);
	if (c->lease_ms < 3 * c->beat_ms)
		parsed_error(p, parsed_option_line(p, sec, "lease-ms"),
			     "lease-ms must be at least three times beat-ms, "
			     "%u or more",
			     3 * c->beat_ms);
	if (c->cold_start_ms < 2 * c->silence_ms)
		parsed_error(p, parsed_option_line(p, sec, "cold-start-ms"),
			     "cold-start-ms must be at least twice silence-ms, "
			     "%u or more",
			     2 * c->silence_ms);
}

static void build_peers(struct config_build *b, cfg_t *sec)
{
	struct config_cluster *c = &b->config->cluster;
	int line = parsed_option_line(b->parsed, sec, "peers");

	if (cfg_size(sec, "peers") != 2) {
		parsed_error(b->parsed, line,
			     "peers must be the two node names, like "
			     "{\"sbc-a\", \"sbc-b\"}");
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		const char *name = cfg_getnstr(sec, "peers", i);

		if (!*name || strlen(name) >= CONFIG_NAME_SIZE ||
		    strpbrk(name, " /:=\"'"))
			parsed_error(b->parsed, line,
				     "'%.64s' is no node name; use letters, "
				     "digits and '-'",
				     name);
		snprintf(c->peers[i], sizeof(c->peers[i]), "%s", name);
	}
	if (*c->preferred && strcmp(c->preferred, c->peers[0]) != 0 &&
	    strcmp(c->preferred, c->peers[1]) != 0)
		parsed_error(b->parsed,
			     parsed_option_line(b->parsed, sec, "preferred"),
			     "preferred must be one of peers, '%s' or '%s'",
			     c->peers[0], c->peers[1]);
	if (!strcmp(c->peers[0], c->peers[1]))
		parsed_error(b->parsed, line,
			     "peers are both '%s'; they must be two nodes",
			     c->peers[0]);
}

static void build_cluster(struct config_build *b)
{
	const struct section_spec *spec = schema_find(schema_sbcd, "cluster");
	struct config_cluster *c = &b->config->cluster;
	cfg_t *sec;

	if (cfg_size(b->root, "cluster") != 1) {
		sec = cfg_getnsec(b->root, "cluster", 1);
		parsed_error(b->parsed, sec ? parsed_section_line(sec) : 1,
			     "there must be one cluster section, not %u",
			     cfg_size(b->root, "cluster"));
		return;
	}
	sec = cfg_getnsec(b->root, "cluster", 0);
	parsed_fill(spec, sec, c);
	if (!c->name[0])
		parsed_error(b->parsed, parsed_section_line(sec),
			     "the cluster needs name = NAME");
	build_peers(b, sec);
	build_timing(b, sec);
	if (c->beat_port == c->forward_port)
		parsed_error(
			b->parsed,
			parsed_option_line(b->parsed, sec, "forward-port"),
			"beat-port and forward-port are both %u; they must "
			"differ",
			c->beat_port);
}

/* ---- network-interface -----------------------------------------------------
 */

static const struct config_nif *owner_of(const struct config *c,
					 const struct addr *a)
{
	for (size_t i = 0; i < c->nifs_len; i++)
		for (size_t k = 0; k < c->nifs[i].addrs_len; k++)
			if (addr_equal_ip(&c->nifs[i].addrs[k], a))
				return &c->nifs[i];
	return NULL;
}

static void add_address(struct config_build *b, cfg_t *sec,
			struct config_nif *n, const char *text)
{
	int line = parsed_option_line(b->parsed, sec, "address");
	const struct config_nif *other;
	struct addr a;
	uint8_t prefix;
	const char *bad = config_parse_prefix(text, &a, &prefix);

	if (bad) {
		parsed_error(b->parsed, line, "address '%.64s': %s", text, bad);
		return;
	}
	other = owner_of(b->config, &a);
	if (other) {
		parsed_error(b->parsed, line,
			     "address '%s' is also that of network-interface "
			     "'%s' in line %d; every address may be used once",
			     text, other->name, other->line);
		return;
	}
	for (size_t i = 0; i < n->addrs_len; i++) {
		if (!addr_equal_ip(&n->addrs[i], &a))
			continue;
		parsed_error(b->parsed, line,
			     "address '%s' is given twice; keep one", text);
		return;
	}
	n->addrs[n->addrs_len] = a;
	n->prefixes[n->addrs_len++] = prefix;
}

static void build_addresses(struct config_build *b, cfg_t *sec,
			    struct config_nif *n)
{
	unsigned len = cfg_size(sec, "address");

	if (len < 1 || len > CONFIG_ADDRS_MAX) {
		parsed_error(b->parsed,
			     parsed_option_line(b->parsed, sec, "address"),
			     "network-interface '%s' needs 1 to %d addresses, "
			     "like address = {\"10.10.0.10/24\"}",
			     n->name, CONFIG_ADDRS_MAX);
		return;
	}
	for (unsigned i = 0; i < len; i++)
		add_address(b, sec, n, cfg_getnstr(sec, "address", i));
}

static const char *check_gateway(const struct config_nif *n,
				 const struct addr *a)
{
	bool in_subnet = false;
	const char *bad = config_check_unicast(a);

	if (bad)
		return bad;
	for (size_t i = 0; i < n->gateways_len; i++)
		if (n->gateways[i].family == a->family)
			return "there is already one of this address family; "
			       "keep one";
	for (size_t i = 0; i < n->addrs_len; i++) {
		if (addr_equal_ip(&n->addrs[i], a))
			return "this is our own address, not the router's";
		in_subnet |= config_in_subnet(a, &n->addrs[i], n->prefixes[i]);
	}
	if (!in_subnet)
		return "it is in no subnet of this interface's addresses and "
		       "could not be reached";
	return NULL;
}

static void build_gateways(struct config_build *b, cfg_t *sec,
			   struct config_nif *n)
{
	int line = parsed_option_line(b->parsed, sec, "gateway");

	for (unsigned i = 0; i < cfg_size(sec, "gateway"); i++) {
		const char *text = cfg_getnstr(sec, "gateway", i);
		struct addr a;
		const char *bad;

		if (addr_parse_ip(&a, text, 0))
			bad = "write an IP address";
		else
			bad = check_gateway(n, &a);
		if (bad)
			parsed_error(b->parsed, line, "gateway '%.64s': %s",
				     text, bad);
		else
			n->gateways[n->gateways_len++] = a;
	}
}

static void build_mac(struct config_build *b, cfg_t *sec, struct config_nif *n)
{
	const char *text = cfg_getstr(sec, "virtual-mac");
	int line = parsed_option_line(b->parsed, sec, "virtual-mac");
	const char *bad = NULL;

	if (!strcmp(text, "auto")) {
		const uint8_t mac[6] = {0x02,
					0x5b,
					0xc0,
					0x00,
					b->config->cluster.id,
					(uint8_t)(b->config->nifs_len + 1)};

		memcpy(n->virtual_mac, mac, sizeof(mac));
	} else {
		bad = config_parse_mac(text, n->virtual_mac);
		if (!bad && n->vmac_mode == VMAC_IP_ONLY)
			bad = "with vmac-mode = ip-only there is none; leave "
			      "it out";
	}
	for (size_t i = 0; i < b->config->nifs_len && !bad; i++)
		if (!memcmp(b->config->nifs[i].virtual_mac, n->virtual_mac, 6))
			bad = "another network-interface has the same; every "
			      "one needs its own";
	if (bad)
		parsed_error(b->parsed, line, "virtual-mac '%.64s': %s", text,
			     bad);
}

static void build_nif(struct config_build *b, cfg_t *sec)
{
	struct config *c = b->config;
	struct config_nif *n = &c->nifs[c->nifs_len];

	parsed_fill(schema_find(schema_sbcd, "network-interface"), sec, n);
	snprintf(n->name, sizeof(n->name), "%s", cfg_title(sec));
	n->line = parsed_section_line(sec);
	if (!n->nic[0])
		parsed_error(b->parsed, n->line,
			     "network-interface '%s' needs nic = NAME",
			     n->name);
	for (size_t i = 0; i < c->nifs_len; i++)
		if (!strcmp(c->nifs[i].nic, n->nic))
			parsed_error(b->parsed,
				     parsed_option_line(b->parsed, sec, "nic"),
				     "nic '%s' is also that of "
				     "network-interface '%s'; every one needs "
				     "its own",
				     n->nic, c->nifs[i].name);
	build_mac(b, sec, n);
	build_addresses(b, sec, n);
	/* A broken address would only make the gateway look broken. */
	if (n->addrs_len == cfg_size(sec, "address"))
		build_gateways(b, sec, n);
	c->nifs_len++;
}

/* ---- realm -----------------------------------------------------------------
 */

static void check_pool(struct config_build *b, const struct config_realm *r,
		       int line)
{
	for (size_t i = 0; i < b->config->realms_len; i++) {
		const struct config_realm *o = &b->config->realms[i];

		if (o->nif != r->nif || o->port_last < r->port_first ||
		    o->port_first > r->port_last)
			continue;
		parsed_error(b->parsed, line,
			     "steering-pool %u-%u overlaps %u-%u of realm '%s' "
			     "on the same network-interface; choose other "
			     "ports",
			     r->port_first, r->port_last, o->port_first,
			     o->port_last, o->name);
	}
}

static void build_realm(struct config_build *b, cfg_t *sec)
{
	struct config *c = b->config;
	struct config_realm *r = &c->realms[c->realms_len];
	const char *nif = cfg_getstr(sec, "network-interface");
	const char *pool = cfg_getstr(sec, "steering-pool");
	int line = parsed_option_line(b->parsed, sec, "steering-pool");
	const char *bad;

	r->guard_initial_ms = c->media.guard_initial_ms;
	r->guard_subsequent_ms = c->media.guard_subsequent_ms;
	parsed_fill(schema_find(schema_sbcd, "realm"), sec, r);
	snprintf(r->name, sizeof(r->name), "%s", cfg_title(sec));
	r->line = parsed_section_line(sec);
	r->nif = nif ? config_nif_find(c, nif) : NULL;
	r->media_sec = config_build_media_sec(b, sec);
	if (!nif)
		parsed_error(b->parsed, r->line,
			     "realm '%s' needs network-interface = NAME",
			     r->name);
	else if (!r->nif)
		parsed_error(
			b->parsed,
			parsed_option_line(b->parsed, sec, "network-interface"),
			"there is no network-interface '%s'; define it or "
			"correct the name",
			nif);
	bad = pool ? config_parse_pool(pool, &r->port_first, &r->port_last)
		   : "it is missing, write steering-pool = \"20000-39999\"";
	if (bad)
		parsed_error(b->parsed, line, "steering-pool of realm '%s': %s",
			     r->name, bad);
	else if (r->nif)
		check_pool(b, r, line);
	c->realms_len++;
}

static void build_cdr(struct config_build *b)
{
	struct config_cdr *cdr = &b->config->cdr;
	unsigned n = cfg_size(b->root, "cdr");
	const struct section_spec *spec = schema_find(schema_sbcd, "cdr");
	cfg_t *section;

	parsed_fill(spec, NULL, cdr);
	if (!n)
		return;
	if (n > 1)
		parsed_error(
			b->parsed,
			parsed_section_line(cfg_getnsec(b->root, "cdr", 1)),
			"there may be one cdr section; merge them");
	section = cfg_getnsec(b->root, "cdr", 0);
	parsed_fill(spec, section, cdr);
	if (strlen(cfg_getstr(section, "directory")) >= sizeof(cdr->directory))
		parsed_error(
			b->parsed,
			parsed_option_line(b->parsed, section, "directory"),
			"directory is too long, at most %zu characters",
			sizeof(cdr->directory) - 1);
	else if (cdr->directory[0] && cdr->directory[0] != '/')
		parsed_error(
			b->parsed,
			parsed_option_line(b->parsed, section, "directory"),
			"'%.64s' is no absolute path; write "
			"\"/var/log/sbcd\"",
			cdr->directory);
}

static void build_media_manager(struct config_build *b)
{
	unsigned n = cfg_size(b->root, "media-manager");
	const struct section_spec *spec =
		schema_find(schema_sbcd, "media-manager");

	parsed_fill(spec, NULL, &b->config->media);
	if (n > 1)
		parsed_error(b->parsed,
			     parsed_section_line(
				     cfg_getnsec(b->root, "media-manager", 1)),
			     "there may be one media-manager section; merge "
			     "them");
	else if (n)
		parsed_fill(spec, cfg_getnsec(b->root, "media-manager", 0),
			    &b->config->media);
}

void config_build_networks(struct config_build *b)
{
	build_cluster(b);
	build_media_manager(b);
	build_cdr(b);
	config_build_each(b, "network-interface", CONFIG_NIFS_MAX, build_nif);
	config_build_each(b, "realm", CONFIG_REALMS_MAX, build_realm);
}
