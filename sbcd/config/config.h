/*
 * config - sbcd.conf (one for both nodes, replicated) and node.conf (facts of
 * one node): parse -> validate -> immutable struct.
 *
 * Errors come as "file:line: what, and what would be right"; nothing is half
 * applied. Names are those SBC administrators know. The table of defaults is
 * also the reference documentation (config_print_defaults()).
 *
 * Layer: config. Any process; immutable after config_parse().
 */
#ifndef SBCD_CONFIG_CONFIG_H
#define SBCD_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include "sbcd/base/addr.h"

enum {
	CONFIG_NAME_SIZE = 64,
	CONFIG_NIFS_MAX = 16,
	CONFIG_ADDRS_MAX = 8,
	CONFIG_REALMS_MAX = 32,
	CONFIG_SIP_INTERFACES_MAX = 32,
	CONFIG_AGENTS_MAX = 512,
	CONFIG_POLICIES_MAX = 512,
	CONFIG_HA_LINKS_MAX = 2,
	CONFIG_TEXT_MAX_BYTES = 128 * 1024,
	CONFIG_TLS_NAMES_MAX = 8,
	CONFIG_HOST_SIZE = 256,
};

struct config_media_sec; /* security.h */
struct config_security;
struct config_tls; /* tls.h */
struct config_tls_profile;

enum config_timing { TIMING_FAST, TIMING_RELAXED, TIMING_CUSTOM };

struct config_cluster {
	char name[CONFIG_NAME_SIZE];
	char peers[2][CONFIG_NAME_SIZE]; /* node 1, node 2 */
	uint8_t id; /* part of automatic virtual MACs; one a LAN */
	enum config_timing timing;
	/* timing: filled from the profile, or given with timing = custom */
	uint32_t beat_ms; /* 10 */
	uint32_t silence_ms; /* 100 */
	uint32_t lease_ms; /* 200 */
	uint32_t cold_start_ms; /* 5000 */
	char witness[CONFIG_NAME_SIZE]; /* "" = none */
	uint16_t beat_port; /* 5420: corosync has 5405 to 5412 */
	uint16_t forward_port; /* 5421 */
	/* When the active node hands over by itself. */
	uint32_t health_threshold; /* 75 */
	uint32_t health_margin; /* 15 */
	uint32_t hold_down_ms; /* 60000 */
	char preferred[CONFIG_NAME_SIZE]; /* "" = no fail-back */
};

enum config_vmac_mode { VMAC_AUTO, VMAC_SET_MAC, VMAC_MACVLAN, VMAC_IP_ONLY };

struct config_nif { /* network-interface */
	char name[CONFIG_NAME_SIZE];
	int line;
	char nic[16]; /* node.conf may say otherwise: config_node_nic() */
	enum config_vmac_mode vmac_mode; /* auto behaves as set-mac for now */
	uint8_t virtual_mac[6]; /* "auto": 02:5b:c0:00:<cluster>:<index> */
	struct addr addrs[CONFIG_ADDRS_MAX]; /* port unused */
	uint8_t prefixes[CONFIG_ADDRS_MAX];
	size_t addrs_len;
	struct addr gateways[CONFIG_ADDRS_MAX];
	size_t gateways_len;
};

struct config_realm {
	char name[CONFIG_NAME_SIZE];
	int line;
	const struct config_nif *nif;
	/* steering-pool, inclusive; starts even, ends odd */
	uint16_t port_first, port_last;
	bool symmetric_latching;
	/* Silence before the first packet and later; 0 = never reported. */
	uint32_t guard_initial_ms, guard_subsequent_ms;
	uint8_t dscp_media, dscp_sip;
	const struct config_media_sec *media_sec; /* NULL: RTP */
};

struct config_sip_port {
	uint8_t transport; /* enum rec_transport values 1 udp 2 tcp 3 tls */
	uint16_t port;
	int line;
	const struct config_tls_profile *tls; /* of transport tls only */
};

struct config_sip_interface {
	char name[CONFIG_NAME_SIZE];
	int line;
	const struct config_realm *realm;
	struct config_sip_port ports[6];
	size_t ports_len;
	uint32_t tcp_connections_max; /* of each port, TLS too */
	uint32_t per_source_max; /* of these, from one address */
	uint32_t tcp_idle_ms;
	uint32_t tls_handshake_ms;
};

struct config_agent { /* session-agent */
	char name[CONFIG_NAME_SIZE];
	int line;
	const struct config_realm *realm;
	char host[CONFIG_HOST_SIZE]; /* goes into the R-URI and To */
	struct addr address; /* host when numeric, else `address`; with port */
	uint8_t transport;
	uint32_t ping_interval_s; /* 0 = no OPTIONS ping */
	uint32_t max_sessions; /* 0 = unlimited */
	const struct config_media_sec *media_sec; /* NULL: the realm's */
	/* transport tls: how we connect, and whom its certificate names, as
	 * server and as client; one of them is enough. */
	const struct config_tls_profile *tls;
	char tls_names[CONFIG_TLS_NAMES_MAX][CONFIG_HOST_SIZE];
	size_t tls_names_len;
};

/* Of local-policy: requests outside calls; bits. */
enum config_outside {
	OUTSIDE_NOTIFY = 1,
	OUTSIDE_OPTIONS = 2,
	OUTSIDE_MESSAGE = 4,
};

struct config_policy { /* local-policy */
	int line;
	const struct config_realm *from_realm;
	char from[256], to[256]; /* user part patterns: "*", "123*" … */
	const struct config_agent *next_hop;
	uint8_t outside; /* enum config_outside */
};

/* The bit of a method, 0: it never passes outside a call. */
uint8_t config_outside_bit(const char *method);

struct config_sip_options { /* sip-config */
	uint32_t max_forwards_min;
	uint32_t ring_timeout_ms; /* timer C */
	uint32_t max_call_ms; /* 0 = none */
	uint32_t max_calls;
};

enum srtp_engine_name {
	SRTP_ENGINE_AUTO = 0,
	SRTP_ENGINE_OPENSSL = 1,
	SRTP_ENGINE_IPSEC_MB = 2,
	SRTP_ENGINE_LIBSRTP2 = 3,
};

struct config_media_options { /* media-manager */
	uint32_t threads; /* 0 = one a core, at most 4 */
	uint8_t srtp_engine; /* enum srtp_engine_name */
	/* what realms that say nothing get */
	uint32_t guard_initial_ms, guard_subsequent_ms;
};

enum cdr_format {
	CDR_FORMAT_NONE = 0,
	CDR_FORMAT_JSON = 1,
	CDR_FORMAT_CSV = 2,
	CDR_FORMAT_BOTH = 3,
};
enum cdr_rotation { CDR_ROTATE_NEVER, CDR_ROTATE_HOURLY, CDR_ROTATE_DAILY };

struct config_cdr { /* cdr */
	char directory[256]; /* "" = "cdr" in the node's state-dir */
	uint8_t format; /* enum cdr_format */
	uint8_t rotate; /* enum cdr_rotation */
	uint32_t rotate_mb; /* 0 = by time alone */
	uint32_t keep_files; /* 0 = all */
	bool sync;
};

struct config {
	uint64_t digest; /* of the text */
	struct config_cluster cluster;
	struct config_nif nifs[CONFIG_NIFS_MAX];
	size_t nifs_len;
	struct config_realm realms[CONFIG_REALMS_MAX];
	size_t realms_len;
	struct config_sip_interface sip_interfaces[CONFIG_SIP_INTERFACES_MAX];
	size_t sip_interfaces_len;
	struct config_agent *agents; /* agents_len elements */
	size_t agents_len;
	struct config_policy *policies;
	size_t policies_len;
	struct config_sip_options sip;
	struct config_media_options media;
	struct config_cdr cdr;
	struct config_security *security;
	struct config_tls *tls;
};

struct config_node { /* node.conf */
	char name[CONFIG_NAME_SIZE];
	uint8_t id; /* 1 or 2; equals corosync's nodeid */
	char run_dir[108], state_dir[256];
	char user[32]; /* workers' user, default "sbcd"; falls back to nobody */
	struct addr ha_addrs[CONFIG_HA_LINKS_MAX];
	struct addr ha_peers[CONFIG_HA_LINKS_MAX];
	size_t ha_len;
	char cluster_key_file[256];
	int log_level;
	/* nic names that differ on this node: network-interface -> nic */
	struct {
		char nif[CONFIG_NAME_SIZE];
		char nic[16];
	} nics[CONFIG_NIFS_MAX];
	size_t nics_len;
};

/* Collected messages, one a line, "file:line: …". */
struct config_errors {
	char text[8192];
	size_t len;
	unsigned count;
};

/* `file` is only used in messages. -EINVAL with at least one error (-ENOMEM
 * too says so there). `errors` is started anew. One at a time: libconfuse's
 * scanner is global, a lock of ours guards it. */
int config_parse(struct config **out, const char *text, const char *file,
		 struct config_errors *errors)
	__attribute__((warn_unused_result));
void config_destroy(struct config *c);
int config_node_parse(struct config_node *out, const char *text,
		      const char *file, struct config_errors *errors)
	__attribute__((warn_unused_result));
/* Whole file, NUL terminated; caller frees. -EFBIG over 128 KB, -EINVAL for
 * no regular file or one with a NUL in it. */
int config_read_file(const char *path, char **text_out)
	__attribute__((warn_unused_result));
/* Cross checks of both: nic names, addresses. */
int config_check(const struct config *c, const struct config_node *n,
		 struct config_errors *errors)
	__attribute__((warn_unused_result));
/* The reference of sbcd.conf and node.conf, as commented configuration. */
void config_print_defaults(FILE *out);

/* Whom the workers run as: its user, else nobody. -ENOENT: there is neither,
 * or it is root. */
int config_node_user(const struct config_node *n, uid_t *uid, gid_t *gid)
	__attribute__((warn_unused_result));

/* The NIC of a network-interface on this node. */
const char *config_node_nic(const struct config_node *n,
			    const struct config_nif *nif);

/* Look-ups; NULL when absent. */
const struct config_nif *config_nif_find(const struct config *c,
					 const char *name);
const struct config_realm *config_realm_find(const struct config *c,
					     const char *name);
const struct config_sip_interface *
config_sip_interface_find(const struct config *c, const char *name);
const struct config_agent *config_agent_find(const struct config *c,
					     const char *name);
/* The SIP interface of a realm; the agent a source address belongs to (IP
 * and realm; port ignored, first one configured wins); the route for a call:
 * the most specific `to`, then the most specific `from`, then the first. */
const struct config_sip_interface *
config_sip_interface_of_realm(const struct config *c,
			      const struct config_realm *r);
const struct config_agent *config_agent_by_address(const struct config *c,
						   const struct config_realm *r,
						   const struct addr *a);
const struct config_policy *config_route(const struct config *c,
					 const struct config_realm *from,
					 const char *from_user,
					 const char *to_user);
/* First address of the interface in `family`, NULL when none. */
const struct addr *config_nif_address(const struct config_nif *n,
				      uint8_t family);

#endif
