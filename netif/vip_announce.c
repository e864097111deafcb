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

#include "netif/vip_priv.h"

enum {
	ARP_FRAME_BYTES = 60, /* padded to the Ethernet minimum */
	ND_FRAME_BYTES = 14 + 40 + 32,
	FRAME_BYTES = ND_FRAME_BYTES,
	/* Two a v4 address, one a v6 address, one a gateway. */
	FRAMES_MAX = 2 * NETIF_VIP_ADDRS_MAX + NETIF_VIP_GATEWAYS_MAX,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
	ICMP6_NS = 135,
	ICMP6_NA = 136,
};

struct frames {
	unsigned len;
	uint8_t data[FRAMES_MAX][FRAME_BYTES];
	uint16_t size[FRAMES_MAX];
};

static uint8_t *frame_begin(struct frames *fs, const uint8_t dst[6],
			    const uint8_t src[6], uint16_t proto, uint16_t size)
{
	uint8_t *f = fs->data[fs->len];

	memset(f, 0, FRAME_BYTES);
	memcpy(f, dst, 6);
	memcpy(f + 6, src, 6);
	f[12] = (uint8_t)(proto >> 8);
	f[13] = (uint8_t)proto;
	fs->size[fs->len++] = size;
	return f + ETH_HLEN;
}

static void frame_arp(struct frames *fs, const uint8_t mac[6], uint8_t op,
		      const uint8_t *sender, const uint8_t *target)
{
	static const uint8_t broadcast[6] = {255, 255, 255, 255, 255, 255};
	static const uint8_t head[7] = {0, 1, 0x08, 0, 6, 4, 0};
	uint8_t *a =
		frame_begin(fs, broadcast, mac, ETH_P_ARP, ARP_FRAME_BYTES);

	memcpy(a, head, sizeof(head));
	a[7] = op;
	memcpy(a + 8, mac, 6);
	memcpy(a + 14, sender, 4);
	/* Linux takes a reply for gratuitous only with its own MAC here. */
	if (op == ARP_REPLY)
		memcpy(a + 18, mac, 6);
	memcpy(a + 24, target, 4);
}

static uint16_t icmp6_checksum(const uint8_t *ip6, const uint8_t *icmp,
			       size_t len)
{
	uint32_t sum = (uint32_t)len + 58;

	for (size_t i = 8; i < 40; i += 2)
		sum += (uint32_t)(ip6[i] << 8 | ip6[i + 1]);
	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)(icmp[i] << 8 | icmp[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* RFC 4861, 4.3 and 4.4, with the one option (our link-layer address). */
static void frame_nd(struct frames *fs, const uint8_t mac[6], uint8_t type,
		     const uint8_t *src, const uint8_t *dst,
		     const uint8_t *target)
{
	const uint8_t to[6] = {0x33, 0x33, dst[12], dst[13], dst[14], dst[15]};
	uint8_t *ip6 = frame_begin(fs, to, mac, ETH_P_IPV6, ND_FRAME_BYTES);
	uint8_t *icmp = ip6 + 40;
	uint16_t sum;

	ip6[0] = 0x60;
	ip6[5] = 32;
	ip6[6] = 58;
	ip6[7] = 255;
	memcpy(ip6 + 8, src, 16);
	memcpy(ip6 + 24, dst, 16);
	icmp[0] = type;
	icmp[4] = type == ICMP6_NA ? 0x20 : 0; /* override */
	memcpy(icmp + 8, target, 16);
	icmp[24] = type == ICMP6_NA ? 2 : 1;
	icmp[25] = 1;
	memcpy(icmp + 26, mac, 6);
	sum = icmp6_checksum(ip6, icmp, 32);
	icmp[2] = (uint8_t)(sum >> 8);
	icmp[3] = (uint8_t)sum;
}

static void frames_for_addr(struct frames *fs, const uint8_t mac[6],
			    const struct netif_ip *ip)
{
	static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};

	if (ip->family == AF_INET) {
		frame_arp(fs, mac, ARP_REQUEST, ip->bytes, ip->bytes);
		frame_arp(fs, mac, ARP_REPLY, ip->bytes, ip->bytes);
	} else {
		frame_nd(fs, mac, ICMP6_NA, ip->bytes, all_nodes, ip->bytes);
	}
}

/* Asks from our first address of the family; the kernel hears the answer. */
static void frames_for_gateway(struct frames *fs, const struct netif_vip *v,
			       const uint8_t mac[6],
			       const struct netif_ip *gateway)
{
	uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff};
	const struct netif_ip *from = NULL;

	for (size_t i = 0; i < v->own_len && !from; i++) {
		if (v->addrs[i].family == gateway->family)
			from = &v->addrs[i];
	}
	if (!from)
		return;
	if (gateway->family == AF_INET) {
		frame_arp(fs, mac, ARP_REQUEST, from->bytes, gateway->bytes);
	} else {
		memcpy(group + 13, gateway->bytes + 13, 3);
		frame_nd(fs, mac, ICMP6_NS, from->bytes, group, gateway->bytes);
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
