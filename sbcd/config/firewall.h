/*
 * firewall - the packet filter of a node, as nftables takes it: closed but for
 * what the configuration says.
 *
 * It is a table of its own: nothing of others is touched, and loaded again it
 * replaces itself in one transaction. The daemon's gate is another one, and
 * decides whether this node may speak at all.
 *
 * Layer: config. Any process.
 */
#ifndef SBCD_CONFIG_FIREWALL_H
#define SBCD_CONFIG_FIREWALL_H

#include <stdio.h>

struct config;
struct config_node;

/* Errors of the stream are the caller's to look for. */
void config_firewall_print(FILE *out, const struct config *c,
			   const struct config_node *n);

#endif
