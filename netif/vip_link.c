/*
 * The MAC of a NIC, and the modes that differ in how they change it.
 */
#include <errno.h>
#include <string.h>

#include "netif/vip_priv.h"

int vip_link_set_mac(struct netif_nl *nl, int ifindex,
		     const uint8_t mac[NETIF_MAC_LEN])
{
	const struct ifinfomsg ifi = {.ifi_index = ifindex};
	struct netif_nlreq req;

	netif_nlreq_init(&req);
	netif_nlreq_begin(&req, RTM_SETLINK, 0, &ifi, sizeof(ifi));
	netif_nlreq_put(&req, IFLA_ADDRESS, mac, NETIF_MAC_LEN);
	return netif_nl_run(nl, &req);
}

int vip_link_set_up(struct netif_nl *nl, int ifindex, bool up)
{
	const struct ifinfomsg ifi = {
		.ifi_index = ifindex,
		.ifi_change = IFF_UP,
		.ifi_flags = up ? IFF_UP : 0,
	};
	struct netif_nlreq req;

	netif_nlreq_init(&req);
	netif_nlreq_begin(&req, RTM_SETLINK, 0, &ifi, sizeof(ifi));
	return netif_nl_run(nl, &req);
}

void vip_link_local_of(const uint8_t mac[NETIF_MAC_LEN], struct netif_ip *out)
{
	*out = (struct netif_ip){
		.family = AF_INET6,
		.prefix = 64,
		.bytes = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1],
			  mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]},
	};
}

/*
 * hv_netvsc refuses a change while the NIC is up. Down flushes routes and
 * IPv6 addresses: take and release set both after the MAC.
 */
static int set_mac_while_down(struct netif_vip *v,
			      const uint8_t mac[NETIF_MAC_LEN])
{
	int err, up_err;

	err = vip_link_set_up(&v->nl, v->ifindex, false);
	if (err)
		return err;
	err = v->set_mac(&v->nl, v->ifindex, mac);
	up_err = vip_link_set_up(&v->nl, v->ifindex, true);
	return err ? err : up_err;
}

static int change_mac(struct netif_vip *v, const uint8_t mac[NETIF_MAC_LEN])
{
	int err = v->set_mac(&v->nl, v->ifindex, mac);

	return err == -EBUSY ? set_mac_while_down(v, mac) : err;
}

static int set_mac_take(struct netif_vip *v)
{
	struct netif_link l;
	int err = netif_nl_link_get(&v->nl, NULL, v->ifindex, false, &l);

	if (err)
		return err;
	/* Setting the same MAC again would flush the neighbours. */
	if (!memcmp(l.mac, v->vmac, NETIF_MAC_LEN))
		return 0;
	return change_mac(v, v->vmac);
}

static int set_mac_release(struct netif_vip *v)
{
	struct netif_link l;
	int err = netif_nl_link_get(&v->nl, NULL, v->ifindex, false, &l);

	if (err)
		return err;
	/* Only what take did is undone. */
	if (memcmp(l.mac, v->vmac, NETIF_MAC_LEN) != 0 ||
	    !memcmp(l.mac, v->original_mac, NETIF_MAC_LEN))
		return 0;
	return change_mac(v, v->original_mac);
}

static const uint8_t *set_mac_expected(const struct netif_vip *v, bool taken)
{
	return taken ? v->vmac : v->original_mac;
}

const struct vip_ops vip_ops_set_mac = {
	.name = "set-mac",
	.take_mac = set_mac_take,
	.release_mac = set_mac_release,
	.expected_mac = set_mac_expected,
};

static int ip_only_mac(struct netif_vip *v)
{
	return 0;
}

static const uint8_t *ip_only_expected(const struct netif_vip *v, bool taken)
{
	return v->original_mac;
}

const struct vip_ops vip_ops_ip_only = {
	.name = "ip-only",
	.take_mac = ip_only_mac,
	.release_mac = ip_only_mac,
	.expected_mac = ip_only_expected,
};
