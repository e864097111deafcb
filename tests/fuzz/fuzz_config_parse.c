/*
 * Both configuration files: whatever is in them is refused with a message or
 * yields what the rest of the product may rely on.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config_errors errors;

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void check_config(const struct config *c)
{
	require(c->nifs_len && c->realms_len && c->sip_interfaces_len &&
		c->agents_len && c->policies_len);
	for (size_t i = 0; i < c->nifs_len; i++)
		require(c->nifs[i].addrs_len && c->nifs[i].nic[0] &&
			!(c->nifs[i].virtual_mac[0] & 1));
	for (size_t i = 0; i < c->realms_len; i++)
		require(c->realms[i].nif &&
			c->realms[i].port_first < c->realms[i].port_last);
	for (size_t i = 0; i < c->agents_len; i++)
		require(c->agents[i].realm && c->agents[i].address.family &&
			c->agents[i].address.port);
	for (size_t i = 0; i < c->policies_len; i++)
		require(c->policies[i].from_realm && c->policies[i].next_hop);
	config_route(c, c->policies[0].from_realm, "1", "2");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct config_node node;
	struct config *c = NULL;

	require(text != NULL);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (config_parse(&c, text, "fuzz", &errors)) {
		require(errors.count && errors.len &&
			strlen(errors.text) == errors.len);
	} else {
		check_config(c);
		config_destroy(c);
	}
	if (config_node_parse(&node, text, "fuzz", &errors))
		require(errors.count && errors.len);
	else
		require(node.name[0] && node.id && node.ha_len);
	free(text);
	return 0;
}
