/* firewall - see firewall.h */
#include "sbcd/config/firewall.h"

#include "sbcd/config/config.h"
#include "sbcd/record/kinds.h"

/* What corosync takes, one port a link, and some reserve. */
enum { COROSYNC_FIRST = 5405, COROSYNC_LAST = 5412, SSH_PORT = 22 };

static const char *ip_word(const struct addr *a)
{
	return a->family == ADDR_V6 ? "ip6" : "ip";
}

static const char *nic_of(const struct config_realm *r,
			  const struct config_node *n)
{
	return config_node_nic(n, r->nif);
}

static void print_nics(FILE *out, const struct config *c,
		       const struct config_node *n)
{
	fputs("\tset service_nics {\n\t\ttype ifname\n\t\telements = {", out);
	for (size_t i = 0; i < c->nifs_len; i++)
		fprintf(out, "%s \"%s\"", i ? "," : "",
			config_node_nic(n, &c->nifs[i]));
	fputs(" }\n\t}\n\n", out);
}

/* One rule for each virtual address of a network. */
static void print_for_addresses(FILE *out, const struct config_nif *nif,
				const char *nic, const char *rest)
{
	char ip[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < nif->addrs_len; i++)
		fprintf(out, "\t\tiifname \"%s\" %s daddr %s %s\n", nic,
			ip_word(&nif->addrs[i]),
			addr_format_ip(&nif->addrs[i], ip, sizeof(ip)), rest);
}

/*
 * Ahead of what drops: this node knows nothing of the connections of the one
 * that had the address before, in either direction, and whoever has one with
 * it is to learn that from the first segment.
 */
static void print_resets(FILE *out, const struct config *c,
			 const struct config_node *n)
{
	fputs("\t\t# Connections of the node before us are reset at once.\n",
	      out);
	for (size_t i = 0; i < c->nifs_len; i++)
		print_for_addresses(
			out, &c->nifs[i], config_node_nic(n, &c->nifs[i]),
			"tcp flags & (syn | rst) == 0 ct state != established "
			"reject with tcp reset");
	fputc('\n', out);
}

static void print_ports(FILE *out, const struct config *c,
			const struct config_node *n)
{
	char rest[64];

	fputs("\t\t# SIP and media.\n", out);
	for (size_t i = 0; i < c->sip_interfaces_len; i++) {
		const struct config_sip_interface *s = &c->sip_interfaces[i];

		for (size_t k = 0; k < s->ports_len; k++) {
			snprintf(rest, sizeof(rest), "%s dport %u accept",
				 s->ports[k].transport == TRANSPORT_UDP ? "udp"
									: "tcp",
				 s->ports[k].port);
			print_for_addresses(out, s->realm->nif,
					    nic_of(s->realm, n), rest);
		}
	}
	for (size_t i = 0; i < c->realms_len; i++) {
		const struct config_realm *r = &c->realms[i];

		if (!r->port_last)
			continue;
		snprintf(rest, sizeof(rest), "udp dport %u-%u accept",
			 r->port_first, r->port_last);
		print_for_addresses(out, r->nif, nic_of(r, n), rest);
	}
	fputc('\n', out);
}

static void print_ha(FILE *out, const struct config *c,
		     const struct config_node *n)
{
	char own[ADDR_TEXT_SIZE], peer[ADDR_TEXT_SIZE];

	fputs("\t\t# HA: corosync, heartbeats, packets in a handover; from the "
	      "peer alone.\n",
	      out);
	for (size_t i = 0; i < n->ha_len; i++) {
		const struct addr *a = &n->ha_addrs[i];

		addr_format_ip(a, own, sizeof(own));
		addr_format_ip(&n->ha_peers[i], peer, sizeof(peer));
		fprintf(out,
			"\t\t%s saddr %s %s daddr %s udp dport { %d-%d, %u, %u "
			"} accept\n"
			"\t\t%s daddr %s drop\n",
			ip_word(a), peer, ip_word(a), own, COROSYNC_FIRST,
			COROSYNC_LAST, c->cluster.beat_port,
			c->cluster.forward_port, ip_word(a), own);
	}
	fputc('\n', out);
}

static void print_input(FILE *out, const struct config *c,
			const struct config_node *n)
{
	fputs("\tchain input {\n"
	      "\t\ttype filter hook input priority filter; policy drop;\n"
	      "\t\tiifname \"lo\" accept\n\n",
	      out);
	print_resets(out, c, n);
	fputs("\t\ticmp type { echo-request, destination-unreachable, "
	      "time-exceeded, parameter-problem } accept\n"
	      "\t\ticmpv6 type { echo-request, destination-unreachable, "
	      "packet-too-big, time-exceeded, parameter-problem, "
	      "nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query } "
	      "accept\n"
	      "\t\tct state invalid drop\n"
	      "\t\tct state established,related accept\n\n",
	      out);
	print_ports(out, c, n);
	fputs("\t\tiifname @service_nics drop\n\n", out);
	print_ha(out, c, n);
	fprintf(out,
		"\t\t# Management: any other network.\n"
		"\t\ticmpv6 type nd-router-advert accept\n"
		"\t\ttcp dport %d accept\n"
		"\t}\n\n",
		SSH_PORT);
}

static void print_output(FILE *out, const struct config *c,
			 const struct config_node *n)
{
	char ip[ADDR_TEXT_SIZE];

	fputs("\t# On service networks the virtual addresses alone speak. What "
	      "the node asks\n"
	      "\t# for itself (OCSP, names, time) leaves by the others.\n"
	      "\tchain output {\n"
	      "\t\ttype filter hook output priority filter; policy accept;\n"
	      "\t\toifname != @service_nics accept\n"
	      "\t\ticmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, "
	      "mld-listener-report, mld2-listener-report } accept\n",
	      out);
	for (size_t i = 0; i < c->nifs_len; i++) {
		const struct config_nif *nif = &c->nifs[i];

		for (size_t k = 0; k < nif->addrs_len; k++)
			fprintf(out, "\t\toifname \"%s\" %s saddr %s accept\n",
				config_node_nic(n, nif),
				ip_word(&nif->addrs[k]),
				addr_format_ip(&nif->addrs[k], ip, sizeof(ip)));
	}
	fputs("\t\tdrop\n\t}\n", out);
}

void config_firewall_print(FILE *out, const struct config *c,
			   const struct config_node *n)
{
	fprintf(out,
		"#!/usr/sbin/nft -f\n"
		"# The firewall of node %s, made from its configuration by\n"
		"# sbcctl config firewall FILE NODE-FILE: after a change make "
		"it again.\n"
		"add table inet sbcd_firewall\n"
		"delete table inet sbcd_firewall\n"
		"table inet sbcd_firewall {\n",
		n->name);
	print_nics(out, c, n);
	fputs("\t# Media has no connections, and the peer node knows none of "
	      "ours.\n"
	      "\tchain untracked_in {\n"
	      "\t\ttype filter hook prerouting priority raw; policy accept;\n"
	      "\t\tiifname @service_nics meta l4proto udp notrack\n"
	      "\t}\n\n"
	      "\tchain untracked_out {\n"
	      "\t\ttype filter hook output priority raw; policy accept;\n"
	      "\t\toifname @service_nics meta l4proto udp notrack\n"
	      "\t}\n\n",
	      out);
	print_input(out, c, n);
	fputs("\tchain forward {\n"
	      "\t\ttype filter hook forward priority filter; policy drop;\n"
	      "\t}\n\n",
	      out);
	print_output(out, c, n);
	fputs("}\n", out);
}
