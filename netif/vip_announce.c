/*
 * Gratuitous ARP, unsolicited neighbour advertisements, and questions to the
 * gateways: frames that tell switch and neighbours where the addresses are.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netif/frame.h"
#include "netif/vip_priv.h"

enum {
	/* Two a v4 address, one a v6 address, one a gateway. */
	FRAMES_MAX = 2 * NETIF_VIP_ADDRS_MAX + NETIF_VIP_GATEWAYS_MAX,
};

struct frames {
	unsigned len;
	uint8_t data[FRAMES_MAX][NETIF_FRAME_MAX_BYTES];
	size_t size[FRAMES_MAX];
};

static void frame_arp(struct frames *fs, const uint8_t mac[6], uint8_t op,
		      const uint8_t *sender, const uint8_t *target)
{
	fs->size[fs->len] =
		netif_frame_arp(fs->data[fs->len], mac, op, sender, target);
	fs->len++;
}

static void frames_for_addr(struct frames *fs, const uint8_t mac[6],
			    const struct netif_ip *ip)
{
	static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};

	if (ip->family == AF_INET) {
		frame_arp(fs, mac, NETIF_ARP_REQUEST, ip->bytes, ip->bytes);
		frame_arp(fs, mac, NETIF_ARP_REPLY, ip->bytes, ip->bytes);
	} else {
		fs->size[fs->len] =
			netif_frame_nd(fs->data[fs->len], mac, NETIF_ND_ADVERT,
				       ip->bytes, all_nodes, ip->bytes);
		fs->len++;
	}
}

/* Asks from our first address of the family; the kernel hears the answer. */
static void frames_for_gateway(struct frames *fs, const struct netif_vip *v,
			       const uint8_t mac[6],
			       const struct netif_ip *gateway)
{
	const struct netif_ip *from = NULL;

	for (size_t i = 0; i < v->own_len && !from; i++) {
		if (v->addrs[i].family == gateway->family)
			from = &v->addrs[i];
	}
	if (!from)
		return;
	if (gateway->family == AF_INET) {
		frame_arp(fs, mac, NETIF_ARP_REQUEST, from->bytes,
			  gateway->bytes);
	} else {
		fs->size[fs->len] = netif_frame_solicit(
			fs->data[fs->len], mac, from->bytes, gateway->bytes);
		fs->len++;
	}
}

int vip_announce_open(void)
{
	/* Protocol 0: it sends and never receives. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int vip_announce_send(struct netif_vip *v)
{
	const uint8_t *mac = netif_vip_taken_mac(v);
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = v->ifindex,
		.sll_halen = ETH_ALEN,
	};
	struct mmsghdr mm[FRAMES_MAX];
	struct iovec iov[FRAMES_MAX];
	unsigned sent = 0;
	struct frames fs;

	fs.len = 0;
	for (size_t i = 0; i < v->own_len; i++)
		frames_for_addr(&fs, mac, &v->addrs[i]);
	for (size_t i = 0; i < v->gateways_len; i++)
		frames_for_gateway(&fs, v, mac, &v->gateways[i]);
	memset(mm, 0, sizeof(mm));
	for (unsigned i = 0; i < fs.len; i++) {
		iov[i].iov_base = fs.data[i];
		iov[i].iov_len = fs.size[i];
		mm[i].msg_hdr.msg_iov = &iov[i];
		mm[i].msg_hdr.msg_iovlen = 1;
		mm[i].msg_hdr.msg_name = &to;
		mm[i].msg_hdr.msg_namelen = sizeof(to);
	}
	while (sent < fs.len) {
		int n = sendmmsg(v->packet_fd, mm + sent, fs.len - sent, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return sent ? (int)sent : -errno;
		sent += (unsigned)n;
	}
	return (int)sent;
}
