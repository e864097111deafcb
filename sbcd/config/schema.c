#include "sbcd/config/schema.h"

#include <string.h>
#include <syslog.h>

#include "sbcd/record/kinds.h"

static const struct option_choice timings[] = {
	{"fast", TIMING_FAST, false},
	{"relaxed", TIMING_RELAXED, false},
	{"custom", TIMING_CUSTOM, false},
	{NULL, 0, false},
};

static const struct option_choice vmac_modes[] = {
	{"auto", VMAC_AUTO, false},
	{"set-mac", VMAC_SET_MAC, false},
	{"macvlan", VMAC_MACVLAN, true},
	{"ip-only", VMAC_IP_ONLY, false},
	{NULL, 0, false},
};

static const struct option_choice transports[] = {
	{"udp", TRANSPORT_UDP, false},
	{"tcp", TRANSPORT_TCP, false},
	{"tls", TRANSPORT_TLS, false},
	{NULL, 0, false},
};

static const struct option_choice srtp_engines[] = {
	{"auto", SRTP_ENGINE_AUTO, false},
	{"openssl", SRTP_ENGINE_OPENSSL, false},
	{"ipsec-mb", SRTP_ENGINE_IPSEC_MB, false},
	{"libsrtp2", SRTP_ENGINE_LIBSRTP2, false},
	{NULL, 0, false},
};

static const struct option_choice cdr_formats[] = {
	{"both", CDR_FORMAT_BOTH, false},
	{"json", CDR_FORMAT_JSON, false},
	{"csv", CDR_FORMAT_CSV, false},
	{"none", CDR_FORMAT_NONE, false},
	{NULL, 0, false},
};

static const struct option_choice cdr_rotations[] = {
	{"never", CDR_ROTATE_NEVER, false},
	{"hourly", CDR_ROTATE_HOURLY, false},
	{"daily", CDR_ROTATE_DAILY, false},
	{NULL, 0, false},
};

static const struct option_choice log_levels[] = {
	{"err", LOG_ERR, false},       {"warning", LOG_WARNING, false},
	{"notice", LOG_NOTICE, false}, {"info", LOG_INFO, false},
	{"debug", LOG_DEBUG, false},   {NULL, 0, false},
};

static const struct option_spec cluster_options[] = {
	{.name = "name",
	 .type = OPT_NAME,
	 TARGET(config_cluster, name),
	 .help = "name of the pair, shown to people"},
	{.name = "id",
	 .type = OPT_UINT,
	 .def = "1",
	 .min = 1,
	 .max = 255,
	 TARGET(config_cluster, id),
	 .help = "fifth byte of automatic virtual MACs; give every pair on "
		 "one LAN its own"},
	{.name = "peers",
	 .type = OPT_LIST,
	 NO_TARGET,
	 .help = "names of node 1 and node 2, as in their node.conf"},
	{.name = "timing",
	 .type = OPT_ENUM,
	 .def = "fast",
	 .choices = timings,
	 TARGET(config_cluster, timing),
	 .help = "fast: beat-ms 10, silence-ms 100, lease-ms 200, "
		 "cold-start-ms 5000. relaxed, for hosts that migrate or "
		 "snapshot the machines: 100, 1000, 2000, 10000. custom: the "
		 "four options below"},
	{.name = "beat-ms",
	 .type = OPT_UINT,
	 .def = "10",
	 .min = 5,
	 .max = 1000,
	 TARGET(config_cluster, beat_ms),
	 .help = "period of heartbeats on every path"},
	{.name = "silence-ms",
	 .type = OPT_UINT,
	 .def = "100",
	 .min = 30,
	 .max = 60000,
	 TARGET(config_cluster, silence_ms),
	 .help = "silence on all paths before a node counts as dead"},
	{.name = "lease-ms",
	 .type = OPT_UINT,
	 .def = "200",
	 .min = 20,
	 .max = 60000,
	 TARGET(config_cluster, lease_ms),
	 .help = "the gate of an active node shuts this long after its last "
		 "renewal"},
	{.name = "cold-start-ms",
	 .type = OPT_UINT,
	 .def = "5000",
	 .min = 100,
	 .max = 600000,
	 TARGET(config_cluster, cold_start_ms),
	 .help = "how long a starting node waits for its peer"},
	{.name = "witness",
	 .type = OPT_TEXT,
	 .def = "",
	 TARGET(config_cluster, witness),
	 .help = "address of the quorum witness; nothing = none"},
	{.name = "beat-port",
	 .type = OPT_UINT,
	 .def = "5420",
	 .min = 1024,
	 .max = 65535,
	 TARGET(config_cluster, beat_port),
	 .help = "UDP port of heartbeats on the HA links"},
	{.name = "forward-port",
	 .type = OPT_UINT,
	 .def = "5421",
	 .min = 1024,
	 .max = 65535,
	 TARGET(config_cluster, forward_port),
	 .help = "UDP port of media forwarded in a planned switchover"},
	{.name = "health-threshold",
	 .type = OPT_UINT,
	 .def = "75",
	 .max = 100,
	 TARGET(config_cluster, health_threshold),
	 .help = "an active node with fewer points hands over to a peer that "
		 "is better; 0 = never"},
	{.name = "health-margin",
	 .type = OPT_UINT,
	 .def = "15",
	 .min = 1,
	 .max = 100,
	 TARGET(config_cluster, health_margin),
	 .help = "points by which the peer must be better"},
	{.name = "hold-down",
	 .type = OPT_UINT,
	 .def = "60",
	 .max = 86400,
	 .scale = 1000,
	 TARGET(config_cluster, hold_down_ms),
	 .help = "seconds after a switchover in which health and fail-back "
		 "cause no other one"},
	{.name = "preferred",
	 .type = OPT_TEXT,
	 .def = "",
	 TARGET(config_cluster, preferred),
	 .help = "node that gets the calls back when it has been well for "
		 "hold-down; nothing = no fail-back"},
	END,
};

static const struct option_spec nif_options[] = {
	{.name = "nic",
	 .type = OPT_NAME,
	 TARGET(config_nif, nic),
	 .help = "interface of the operating system, dedicated and without "
		 "addresses; node.conf may name another one"},
	{.name = "vmac-mode",
	 .type = OPT_ENUM,
	 .def = "auto",
	 .choices = vmac_modes,
	 TARGET(config_nif, vmac_mode),
	 .help = "set-mac: the active node's NIC takes the virtual MAC; "
		 "ip-only: addresses move alone, announced by ARP and ND; "
		 "auto: set-mac"},
	{.name = "virtual-mac",
	 .type = OPT_TEXT,
	 .def = "auto",
	 NO_TARGET,
	 .help = "locally administered unicast address, or auto: "
		 "02:5b:c0:00:<cluster id>:<number of this section>"},
	{.name = "address",
	 .type = OPT_LIST,
	 NO_TARGET,
	 .help = "virtual addresses with prefix length"},
	{.name = "gateway",
	 .type = OPT_LIST,
	 .def = "",
	 NO_TARGET,
	 .help = "at most one next hop an address family"},
	END,
};

static const struct option_spec realm_options[] = {
	{.name = "network-interface",
	 .type = OPT_NAME,
	 NO_TARGET,
	 .help = "where its traffic goes"},
	{.name = "steering-pool",
	 .type = OPT_TEXT,
	 NO_TARGET,
	 .help = "media ports \"first-last\": first even, last odd; each node "
		 "uses one half"},
	{.name = "symmetric-latching",
	 .type = OPT_BOOL,
	 .def = "enabled",
	 TARGET(config_realm, symmetric_latching),
	 .help = "send media to where it comes from, whatever was signalled"},
	{.name = "initial-guard-timer",
	 .type = OPT_UINT,
	 .def = "",
	 .max = 86400,
	 .scale = 1000,
	 TARGET(config_realm, guard_initial_ms),
	 .help = "as in media-manager, for this realm"},
	{.name = "subsq-guard-timer",
	 .type = OPT_UINT,
	 .def = "",
	 .max = 86400,
	 .scale = 1000,
	 TARGET(config_realm, guard_subsequent_ms),
	 .help = "as in media-manager, for this realm"},
	{.name = "dscp-media",
	 .type = OPT_UINT,
	 .def = "46",
	 .max = 63,
	 TARGET(config_realm, dscp_media),
	 .help = "code point of RTP and RTCP we send"},
	{.name = "dscp-sip",
	 .type = OPT_UINT,
	 .def = "24",
	 .max = 63,
	 TARGET(config_realm, dscp_sip),
	 .help = "code point of SIP we send"},
	{.name = "media-sec-policy",
	 .type = OPT_NAME,
	 .def = "",
	 NO_TARGET,
	 .help = "RTP or SRTP; nothing = RTP"},
	END,
};

static const struct option_spec port_options[] = {
	{.name = "port",
	 .type = OPT_UINT,
	 .def = "5060",
	 .min = 1,
	 .max = 65535,
	 TARGET(config_sip_port, port),
	 .help = "port number; of port tls 5061 where it is not said"},
	{.name = "tls-profile",
	 .type = OPT_NAME,
	 .def = "",
	 NO_TARGET,
	 .help = "how who connects to it is met; port tls needs one"},
	END,
};

static const struct section_spec sip_interface_sections[] = {
	{.name = "port",
	 .titled = true,
	 .options = port_options,
	 .help = "where SIP is listened to; the title is the transport: udp, "
		 "tcp or tls"},
	END,
};

static const struct option_spec sip_interface_options[] = {
	{.name = "realm",
	 .type = OPT_NAME,
	 NO_TARGET,
	 .help = "the realm it serves, one interface a realm"},
	{.name = "tcp-max-connections",
	 .type = OPT_UINT,
	 .def = "1000",
	 .min = 1,
	 .max = 65000,
	 TARGET(config_sip_interface, tcp_connections_max),
	 .help = "connections at a time to its port tcp, and as many to its "
		 "port tls"},
	{.name = "connections-per-source",
	 .type = OPT_UINT,
	 .def = "100",
	 .min = 1,
	 .max = 65000,
	 TARGET(config_sip_interface, per_source_max),
	 .help = "of these, from one address"},
	{.name = "tls-handshake-timeout",
	 .type = OPT_UINT,
	 .def = "5",
	 .min = 1,
	 .max = 60,
	 .scale = 1000,
	 TARGET(config_sip_interface, tls_handshake_ms),
	 .help = "seconds a TLS handshake may take"},
	{.name = "tcp-idle-timeout",
	 .type = OPT_UINT,
	 .def = "600",
	 .min = 10,
	 .max = 86400,
	 .scale = 1000,
	 TARGET(config_sip_interface, tcp_idle_ms),
	 .help = "seconds without a message before a connection is closed"},
	END,
};

static const struct option_spec agent_options[] = {
	{.name = "realm",
	 .type = OPT_NAME,
	 NO_TARGET,
	 .help = "where the agent is"},
	{.name = "host",
	 .type = OPT_TEXT,
	 TARGET(config_agent, host),
	 .help = "address or name; it stands in request URIs"},
	{.name = "address",
	 .type = OPT_TEXT,
	 .def = "",
	 NO_TARGET,
	 .help = "IP address, needed when host is a name"},
	{.name = "port",
	 .type = OPT_UINT,
	 .def = "5060",
	 .min = 1,
	 .max = 65535,
	 NO_TARGET,
	 .help = "port number; with transport = tls 5061 where it is not said"},
	{.name = "transport",
	 .type = OPT_ENUM,
	 .def = "udp",
	 .choices = transports,
	 TARGET(config_agent, transport),
	 .help = "how requests are sent to it"},
	{.name = "tls-profile",
	 .type = OPT_NAME,
	 .def = "",
	 NO_TARGET,
	 .help = "how we connect to it; transport = tls needs one"},
	{.name = "tls-names",
	 .type = OPT_LIST,
	 .def = "",
	 NO_TARGET,
	 .help = "host names, of which its certificate has to name one; "
		 "nothing = host"},
	{.name = "ping-interval",
	 .type = OPT_UINT,
	 .def = "0",
	 .max = 3600,
	 TARGET(config_agent, ping_interval_s),
	 .help = "seconds between OPTIONS; 0 = none"},
	{.name = "max-sessions",
	 .type = OPT_UINT,
	 .def = "0",
	 .max = 1000000,
	 TARGET(config_agent, max_sessions),
	 .help = "calls at a time; 0 = no limit of its own"},
	{.name = "media-sec-policy",
	 .type = OPT_NAME,
	 .def = "",
	 NO_TARGET,
	 .help = "RTP or SRTP; nothing = as its realm"},
	END,
};

static const struct option_spec policy_options[] = {
	{.name = "from-realm",
	 .type = OPT_NAME,
	 NO_TARGET,
	 .help = "realm the call comes from"},
	{.name = "from",
	 .type = OPT_TEXT,
	 .def = "*",
	 TARGET(config_policy, from),
	 .help = "calling user: exact, or a beginning with a '*' behind"},
	{.name = "to",
	 .type = OPT_TEXT,
	 .def = "*",
	 TARGET(config_policy, to),
	 .help = "called user, likewise; the most specific policy wins"},
	{.name = "next-hop",
	 .type = OPT_NAME,
	 NO_TARGET,
	 .help = "session-agent the call goes to"},
	{.name = "other-methods",
	 .type = OPT_LIST,
	 .def = "",
	 NO_TARGET,
	 .help = "requests outside calls that go there too: NOTIFY, MESSAGE, "
		 "OPTIONS for a user"},
	END,
};

static const struct option_spec sip_config_options[] = {
	{.name = "max-forwards-min",
	 .type = OPT_UINT,
	 .def = "1",
	 .max = 70,
	 TARGET(config_sip_options, max_forwards_min),
	 .help = "a request that arrives with less is answered 483"},
	{.name = "ring-timeout",
	 .type = OPT_UINT,
	 .def = "180",
	 .min = 10,
	 .max = 3600,
	 .scale = 1000,
	 TARGET(config_sip_options, ring_timeout_ms),
	 .help = "seconds a call may ring (timer C of RFC 3261)"},
	{.name = "max-call-duration",
	 .type = OPT_UINT,
	 .def = "0",
	 .max = 604800,
	 .scale = 1000,
	 TARGET(config_sip_options, max_call_ms),
	 .help = "seconds before an answered call is ended; 0 = never"},
	{.name = "max-calls",
	 .type = OPT_UINT,
	 .def = "10000",
	 .min = 1,
	 .max = 100000,
	 TARGET(config_sip_options, max_calls),
	 .help = "calls at a time; more are answered 503"},
	END,
};

static const struct option_spec media_manager_options[] = {
	{.name = "threads",
	 .type = OPT_UINT,
	 .def = "0",
	 .max = 32,
	 TARGET(config_media_options, threads),
	 .help = "media threads; 0 = one a core, at most 4"},
	{.name = "srtp-engine",
	 .type = OPT_ENUM,
	 .def = "auto",
	 .choices = srtp_engines,
	 TARGET(config_media_options, srtp_engine),
	 .help = "what encrypts; auto = the fastest that runs on this machine. "
		 "libsrtp2 is for comparisons: no SRTP call survives a "
		 "failover with it"},
	{.name = "initial-guard-timer",
	 .type = OPT_UINT,
	 .def = "300",
	 .max = 86400,
	 .scale = 1000,
	 TARGET(config_media_options, guard_initial_ms),
	 .help = "seconds without a first packet before the call is ended; "
		 "0 = never"},
	{.name = "subsq-guard-timer",
	 .type = OPT_UINT,
	 .def = "300",
	 .max = 86400,
	 .scale = 1000,
	 TARGET(config_media_options, guard_subsequent_ms),
	 .help = "seconds of later silence before the call is ended; "
		 "0 = never"},
	END,
};

static const struct option_spec cdr_options[] = {
	{.name = "directory",
	 .type = OPT_TEXT,
	 .def = "",
	 TARGET(config_cdr, directory),
	 .help = "where each node writes the records of all calls; nothing = "
		 "cdr in its state-dir"},
	{.name = "format",
	 .type = OPT_ENUM,
	 .def = "both",
	 .choices = cdr_formats,
	 TARGET(config_cdr, format),
	 .help = "json: cdr.jsonl, one object a line; csv: cdr.csv"},
	{.name = "rotate",
	 .type = OPT_ENUM,
	 .def = "daily",
	 .choices = cdr_rotations,
	 TARGET(config_cdr, rotate),
	 .help = "when a file is closed and named after the time (UTC)"},
	{.name = "rotate-size",
	 .type = OPT_UINT,
	 .def = "256",
	 .max = 4096,
	 TARGET(config_cdr, rotate_mb),
	 .help = "megabytes at which it is closed as well; 0 = never"},
	{.name = "keep-files",
	 .type = OPT_UINT,
	 .def = "0",
	 .max = 100000,
	 TARGET(config_cdr, keep_files),
	 .help = "closed files of each format that are kept; 0 = all"},
	{.name = "sync",
	 .type = OPT_BOOL,
	 .def = "enabled",
	 TARGET(config_cdr, sync),
	 .help = "a record counts as written when the disk has it"},
	END,
};

const struct section_spec schema_sbcd[] = {
	{.name = "cluster",
	 .options = cluster_options,
	 .help = "the pair; exactly one"},
	{.name = "network-interface",
	 .titled = true,
	 .options = nif_options,
	 .help = "a service network: its NIC, virtual MAC and addresses"},
	{.name = "realm",
	 .titled = true,
	 .options = realm_options,
	 .help = "one side of the SBC"},
	{.name = "sip-interface",
	 .titled = true,
	 .options = sip_interface_options,
	 .sections = sip_interface_sections,
	 .help = "SIP in a realm"},
	{.name = "session-agent",
	 .titled = true,
	 .options = agent_options,
	 .help = "a peer: PBX, trunk, service"},
	{.name = "local-policy",
	 .options = policy_options,
	 .help = "where calls go"},
	{.name = "media-sec-policy",
	 .titled = true,
	 .options = schema_media_sec_options,
	 .sections = schema_media_sec_sections,
	 .help = "RTP or SRTP"},
	{.name = "sdes-profile",
	 .titled = true,
	 .options = schema_sdes_options,
	 .help = "how SRTP keys are exchanged in SDP (RFC 4568)"},
	{.name = "tls-profile",
	 .titled = true,
	 .options = schema_tls_options,
	 .help = "our certificate, whom we trust, and which TLS we speak"},
	{.name = "sip-config",
	 .options = sip_config_options,
	 .help = "limits of signalling; at most one"},
	{.name = "media-manager",
	 .options = media_manager_options,
	 .help = "limits of media; at most one"},
	{.name = "cdr",
	 .options = cdr_options,
	 .help = "call detail records; at most one"},
	END,
};

static const struct option_spec nic_options[] = {
	{.name = "name",
	 .type = OPT_NAME,
	 NO_TARGET,
	 .help = "the interface on this node"},
	END,
};

static const struct section_spec node_sections[] = {
	{.name = "nic",
	 .titled = true,
	 .options = nic_options,
	 .help = "the title is a network-interface of sbcd.conf"},
	END,
};

static const struct option_spec node_options[] = {
	{.name = "name",
	 .type = OPT_NAME,
	 TARGET(config_node, name),
	 .help = "this node, as in the cluster's peers"},
	{.name = "id",
	 .type = OPT_UINT,
	 .min = 1,
	 .max = 2,
	 TARGET(config_node, id),
	 .help = "1 or 2: its place in the cluster's peers and its nodeid in "
		 "corosync.conf"},
	{.name = "run-dir",
	 .type = OPT_TEXT,
	 .def = "/run/sbcd",
	 TARGET(config_node, run_dir),
	 .help = "control socket and state that a reboot may lose"},
	{.name = "state-dir",
	 .type = OPT_TEXT,
	 .def = "/var/lib/sbcd",
	 TARGET(config_node, state_dir),
	 .help = "state that survives a reboot"},
	{.name = "user",
	 .type = OPT_NAME,
	 .def = "sbcd",
	 TARGET(config_node, user),
	 .help = "whom the workers run as"},
	{.name = "ha-address",
	 .type = OPT_LIST,
	 NO_TARGET,
	 .help = "our addresses on the HA links, one or two"},
	{.name = "ha-peer",
	 .type = OPT_LIST,
	 NO_TARGET,
	 .help = "the peer's addresses, in the same order"},
	{.name = "cluster-key-file",
	 .type = OPT_TEXT,
	 .def = "/etc/sbcd/cluster.key",
	 TARGET(config_node, cluster_key_file),
	 .help = "the pair's secret, the same on both nodes, mode 0600"},
	{.name = "log-level",
	 .type = OPT_ENUM,
	 .def = "info",
	 .choices = log_levels,
	 TARGET(config_node, log_level),
	 .help = "least urgent message that is logged"},
	END,
};

const struct section_spec schema_node[] = {
	{.name = "node",
	 .options = node_options,
	 .sections = node_sections,
	 .help = "facts of this node; exactly one"},
	END,
};

const char *const schema_later[] = {
	"srtp-engine",
	"session-group",
	"steering-pools",
	NULL,
};

const struct section_spec *schema_find(const struct section_spec *list,
				       const char *name)
{
	for (; list && list->name; list++)
		if (!strcmp(list->name, name))
			return list;
	return NULL;
}

/* ---- the printed reference -------------------------------------------------
 */

static void print_kind(FILE *out, const struct option_spec *o)
{
	const char *sep = "";

	switch (o->type) {
	case OPT_UINT:
		fprintf(out, "%u..%u", o->min, o->max);
		break;
	case OPT_BOOL:
		fprintf(out, "enabled | disabled");
		break;
	case OPT_ENUM:
		for (const struct option_choice *c = o->choices; c->name; c++) {
			if (c->later)
				continue;
			fprintf(out, "%s%s", sep, c->name);
			sep = " | ";
		}
		break;
	case OPT_LIST:
		fprintf(out, "list");
		break;
	case OPT_NAME:
		fprintf(out, "name");
		break;
	default:
		fprintf(out, "text");
		break;
	}
}

static void print_option(FILE *out, const struct option_spec *o,
			 const char *indent)
{
	const char *quote =
		o->type == OPT_TEXT || o->type == OPT_NAME ? "\"" : "";

	fprintf(out, "%s# %s [", indent, o->help);
	print_kind(out, o);
	fprintf(out, "]\n");
	if (!o->def)
		fprintf(out, "%s# %s = (required)\n", indent, o->name);
	else if (!o->def[0])
		fprintf(out, "%s# %s = (nothing)\n", indent, o->name);
	else
		fprintf(out, "%s%s = %s%s%s\n", indent, o->name, quote, o->def,
			quote);
}

static void print_sections(FILE *out, const struct section_spec *list,
			   unsigned depth)
{
	const char *outer = depth ? "\t" : "";
	const char *inner = depth ? "\t\t" : "\t";

	for (; list && list->name; list++) {
		fprintf(out, "%s# %s\n%s%s%s {\n", outer, list->help, outer,
			list->name, list->titled ? " \"NAME\"" : "");
		for (const struct option_spec *o = list->options; o->name; o++)
			print_option(out, o, inner);
		print_sections(out, list->sections, depth + 1);
		fprintf(out, "%s}\n%s", outer, depth ? "" : "\n");
	}
}

void config_print_defaults(FILE *out)
{
	fprintf(out, "# ---- sbcd.conf: one for both nodes ----\n\n");
	print_sections(out, schema_sbcd, 0);
	fprintf(out, "# ---- node.conf: facts of one node ----\n\n");
	print_sections(out, schema_node, 0);
}
