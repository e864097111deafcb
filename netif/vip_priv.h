/*
 * Inside of a virtual address handle; shared by the vip_*.c files only.
 *
 * Layer: netif (library), internal. Process: keeper, guard. Thread: as in
 * vip.h.
 */
#ifndef NETIF_VIP_PRIV_H
#define NETIF_VIP_PRIV_H

#include <limits.h>
#include <net/if.h>

#include "netif/nl.h"
#include "netif/vip.h"

struct netif_vip;

/* One table per mode: how the NIC gets and loses the virtual MAC. */
struct vip_ops {
	const char *name;
	/* Both idempotent; 0 or -errno. */
	int (*take_mac)(struct netif_vip *v);
	int (*release_mac)(struct netif_vip *v);
	/* What the NIC shall carry now. */
	const uint8_t *(*expected_mac)(const struct netif_vip *v, bool taken);
};

extern const struct vip_ops vip_ops_set_mac;
extern const struct vip_ops vip_ops_ip_only;

struct netif_vip {
	char nic[IF_NAMESIZE];
	int ifindex;
	enum netif_vmac_mode mode;
	const struct vip_ops *ops;
	uint8_t vmac[NETIF_MAC_LEN];
	uint8_t original_mac[NETIF_MAC_LEN];
	bool leftover;
	/* As configured; the link-local one of IPv6 comes last. */
	struct netif_ip addrs[NETIF_VIP_ADDRS_MAX + 1];
	size_t addrs_len;
	size_t own_len; /* without the link-local address */
	struct netif_ip gateways[NETIF_VIP_GATEWAYS_MAX];
	size_t gateways_len;
	uint32_t table_id;
	char run_dir[PATH_MAX];
	struct netif_nl nl;
	int packet_fd; /* AF_PACKET, sends only; -1 when only releasing */
	int group_fd; /* member of the IPv6 groups; -1 before prepare */
	/* Sets the MAC of a live NIC; replaced by tests of the EBUSY path. */
	int (*set_mac)(struct netif_nl *nl, int ifindex,
		       const uint8_t mac[NETIF_MAC_LEN]);
};

/* vip_link.c */
int vip_link_set_mac(struct netif_nl *nl, int ifindex,
		     const uint8_t mac[NETIF_MAC_LEN]);
int vip_link_set_up(struct netif_nl *nl, int ifindex, bool up);
void vip_link_local_of(const uint8_t mac[NETIF_MAC_LEN], struct netif_ip *out);

/* vip_route.c */
int vip_sysctl_prepare(const struct netif_vip *v);
int vip_routes_install(struct netif_vip *v);
int vip_rules_install(struct netif_vip *v);
int vip_routes_remove(struct netif_vip *v);
int vip_rules_remove(struct netif_vip *v);

/* vip_addr.c */
int vip_groups_join(struct netif_vip *v);
int vip_addrs_add(struct netif_vip *v);
int vip_addrs_del(struct netif_vip *v);
/* Removes a link-local address the kernel made from the original MAC. */
int vip_addrs_drop_link_local(struct netif_vip *v);
int vip_addrs_check(struct netif_vip *v, bool taken,
		    struct netif_vip_report *out);

/* vip_announce.c: number of frames sent or -errno. */
int vip_announce_open(void);
int vip_announce_send(struct netif_vip *v);

/* neigh.c: installs gateways and the on-link part of list. */
int vip_neighs_install(struct netif_vip *v, const struct netif_neigh *list,
		       size_t len);

/* runfile.c: what a run file says. */
struct vip_runfile {
	pid_t owner;
	char nic[IF_NAMESIZE];
	enum netif_vmac_mode mode;
	uint8_t original_mac[NETIF_MAC_LEN];
	uint8_t vmac[NETIF_MAC_LEN];
	struct netif_ip addrs[NETIF_VIP_ADDRS_MAX + 1];
	size_t addrs_len;
};
int vip_runfile_write(const struct netif_vip *v);
int vip_runfile_remove(const char *run_dir, const char *nic);
/* 0, -ENOENT, -EBADMSG (not one of ours, or damaged), -errno. */
int vip_runfile_read(const char *run_dir, const char *nic,
		     struct vip_runfile *out);
/* "NAME.mac" to NAME; false when the file is none of ours. */
bool vip_runfile_nic(const char *file, char nic[IF_NAMESIZE]);

#endif
