#include "sbcd/config/config.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>

#include "sbcd/config/schema.h"

struct node_build {
	const struct parsed *parsed;
	struct config_node *node;
	cfg_t *section;
};

static void build_ha_list(struct node_build *b, const char *option,
			  struct addr *list)
{
	unsigned n = cfg_size(b->section, option);
	int line = parsed_option_line(b->parsed, b->section, option);

	if (n < 1 || n > CONFIG_HA_LINKS_MAX) {
		parsed_error(b->parsed, line,
			     "%s must be one or two addresses, like "
			     "{\"10.99.1.1\", \"10.99.2.1\"}",
			     option);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		const char *text = cfg_getnstr(b->section, option, i);
		const char *bad = "write an IP address";

		if (!addr_parse_ip(&list[i], text, 0))
			bad = config_check_unicast(&list[i]);
		if (bad)
			parsed_error(b->parsed, line, "%s '%.64s': %s", option,
				     text, bad);
	}
}

static void build_ha(struct node_build *b)
{
	struct config_node *n = b->node;
	unsigned len = cfg_size(b->section, "ha-address");
	int line = parsed_option_line(b->parsed, b->section, "ha-peer");

	build_ha_list(b, "ha-address", n->ha_addrs);
	build_ha_list(b, "ha-peer", n->ha_peers);
	if (len != cfg_size(b->section, "ha-peer")) {
		parsed_error(b->parsed, line,
			     "ha-peer needs as many addresses as ha-address");
		return;
	}
	if (len > CONFIG_HA_LINKS_MAX)
		return;
	n->ha_len = len;
	for (size_t i = 0; i < len; i++) {
		if (n->ha_addrs[i].family != n->ha_peers[i].family)
			parsed_error(b->parsed, line,
				     "HA link %zu has addresses of two "
				     "families; use one",
				     i + 1);
		else if (addr_equal_ip(&n->ha_addrs[i], &n->ha_peers[i]))
			parsed_error(b->parsed, line,
				     "HA link %zu has the same address at both "
				     "ends",
				     i + 1);
		if (i && addr_equal_ip(&n->ha_addrs[0], &n->ha_addrs[i]))
			parsed_error(b->parsed, line,
				     "both HA links have the same address; use "
				     "two networks");
	}
}

static void build_nics(struct node_build *b)
{
	struct config_node *n = b->node;
	unsigned len = cfg_size(b->section, "nic");

	for (unsigned i = 0; i < len; i++) {
		cfg_t *sec = cfg_getnsec(b->section, "nic", i);
		const char *name = cfg_getstr(sec, "name");
		int line = parsed_section_line(sec);

		if (n->nics_len == CONFIG_NIFS_MAX) {
			parsed_error(b->parsed, line,
				     "too many nic sections, at most %d",
				     CONFIG_NIFS_MAX);
			return;
		}
		if (!name || !*name || strlen(name) >= sizeof(n->nics[0].nic)) {
			parsed_error(b->parsed, line,
				     "nic '%s' needs name = NAME of at most "
				     "%zu characters",
				     cfg_title(sec),
				     sizeof(n->nics[0].nic) - 1);
			continue;
		}
		snprintf(n->nics[n->nics_len].nif, sizeof(n->nics[0].nif), "%s",
			 cfg_title(sec));
		snprintf(n->nics[n->nics_len].nic, sizeof(n->nics[0].nic), "%s",
			 name);
		n->nics_len++;
	}
}

static void build_node(struct node_build *b)
{
	static const char *const paths[] = {"run-dir", "state-dir",
					    "cluster-key-file", NULL};
	struct config_node *n = b->node;

	parsed_fill(schema_find(schema_node, "node"), b->section, n);
	if (!n->name[0])
		parsed_error(b->parsed, parsed_section_line(b->section),
			     "the node needs name = NAME");
	if (!n->id)
		parsed_error(b->parsed, parsed_section_line(b->section),
			     "the node needs id = 1 or id = 2");
	for (const char *const *p = paths; *p; p++)
		if (cfg_getstr(b->section, *p)[0] != '/')
			parsed_error(
				b->parsed,
				parsed_option_line(b->parsed, b->section, *p),
				"%s must be an absolute path", *p);
	build_ha(b);
	build_nics(b);
}

int config_node_parse(struct config_node *out, const char *text,
		      const char *file, struct config_errors *errors)
{
	struct config_node node = {0};
	struct node_build b = {.node = &node};
	struct parsed *p = NULL;
	unsigned n;
	int err;

	memset(errors, 0, sizeof(*errors));
	err = parsed_create(&p, schema_node, text, file, errors);
	if (err)
		return -EINVAL;
	b.parsed = p;
	n = cfg_size(parsed_root(p), "node");
	if (n != 1) {
		cfg_t *second = cfg_getnsec(parsed_root(p), "node", 1);

		parsed_error(p, second ? parsed_section_line(second) : 1,
			     "there must be one node section, not %u", n);
	} else if (!errors->count) {
		b.section = cfg_getnsec(parsed_root(p), "node", 0);
		build_node(&b);
	}
	parsed_destroy(p);
	if (errors->count)
		return -EINVAL;
	*out = node;
	return 0;
}

int config_node_user(const struct config_node *n, uid_t *uid, gid_t *gid)
{
	const struct passwd *pw = n->user[0] ? getpwnam(n->user) : NULL;

	if (!pw)
		pw = getpwnam("nobody");
	if (!pw || !pw->pw_uid)
		return -ENOENT;
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}

/* ---- both together ---------------------------------------------------------
 */

static void check_links(const struct config *c, const struct config_node *n,
			struct config_errors *errors)
{
	for (size_t i = 0; i < c->nifs_len; i++) {
		const struct config_nif *nif = &c->nifs[i];

		for (size_t k = 0; k < nif->addrs_len; k++)
			for (size_t l = 0; l < n->ha_len; l++)
				if (config_in_subnet(&n->ha_addrs[l],
						     &nif->addrs[k],
						     nif->prefixes[k]))
					config_error(
						errors, "sbcd.conf", nif->line,
						"HA link %zu of this node lies "
						"in a subnet of "
						"network-interface '%s'; HA "
						"links need networks of their "
						"own",
						l + 1, nif->name);
	}
}

int config_check(const struct config *c, const struct config_node *n,
		 struct config_errors *errors)
{
	memset(errors, 0, sizeof(*errors));
	if (strcmp(c->cluster.peers[n->id - 1], n->name) != 0)
		config_error(errors, "node.conf", 1,
			     "node '%s' with id %u is not peer %u of the "
			     "cluster, which is '%s'; correct name, id or "
			     "peers",
			     n->name, n->id, n->id,
			     c->cluster.peers[n->id - 1]);
	for (size_t i = 0; i < n->nics_len; i++)
		if (!config_nif_find(c, n->nics[i].nif))
			config_error(errors, "node.conf", 1,
				     "nic '%s': there is no such "
				     "network-interface in sbcd.conf; correct "
				     "the name",
				     n->nics[i].nif);
	for (size_t i = 0; i < c->nifs_len; i++)
		for (size_t k = 0; k < i; k++)
			if (!strcmp(config_node_nic(n, &c->nifs[i]),
				    config_node_nic(n, &c->nifs[k])))
				config_error(errors, "node.conf", 1,
					     "network-interfaces '%s' and '%s' "
					     "both use nic '%s' on this node; "
					     "every one needs its own",
					     c->nifs[k].name, c->nifs[i].name,
					     config_node_nic(n, &c->nifs[i]));
	check_links(c, n, errors);
	return errors->count ? -EINVAL : 0;
}
