#include "netif/frame.h"

#include <linux/if_ether.h>
#include <string.h>

enum {
	ARP_BYTES = 46, /* padded to the Ethernet minimum */
	ICMP6_BYTES = 24, /* without the option */
	OPTION_BYTES = 8,
	IP6_BYTES = 40,
};

static uint8_t *begin(uint8_t *f, const uint8_t dst[6], const uint8_t src[6],
		      uint16_t proto)
{
	memset(f, 0, NETIF_FRAME_MAX_BYTES);
	memcpy(f, dst, 6);
	memcpy(f + 6, src, 6);
	f[12] = (uint8_t)(proto >> 8);
	f[13] = (uint8_t)proto;
	return f + ETH_HLEN;
}

size_t netif_frame_arp(uint8_t out[NETIF_FRAME_MAX_BYTES], const uint8_t mac[6],
		       uint8_t op, const uint8_t sender[4],
		       const uint8_t target[4])
{
	static const uint8_t broadcast[6] = {255, 255, 255, 255, 255, 255};
	static const uint8_t head[7] = {0, 1, 0x08, 0, 6, 4, 0};
	uint8_t *a = begin(out, broadcast, mac, ETH_P_ARP);

	memcpy(a, head, sizeof(head));
	a[7] = op;
	memcpy(a + 8, mac, 6);
	memcpy(a + 14, sender, 4);
	/* Linux takes a reply for gratuitous only with its own MAC here. */
	if (op == NETIF_ARP_REPLY)
		memcpy(a + 18, mac, 6);
	memcpy(a + 24, target, 4);
	return ETH_HLEN + ARP_BYTES;
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

size_t netif_frame_nd(uint8_t out[NETIF_FRAME_MAX_BYTES], const uint8_t mac[6],
		      uint8_t type, const uint8_t src[16],
		      const uint8_t dst[16], const uint8_t target[16])
{
	static const uint8_t unspecified[16];
	const uint8_t to[6] = {0x33, 0x33, dst[12], dst[13], dst[14], dst[15]};
	uint8_t *ip6 = begin(out, to, mac, ETH_P_IPV6);
	uint8_t *icmp = ip6 + IP6_BYTES;
	uint8_t len = ICMP6_BYTES;
	uint16_t sum;

	if (memcmp(src, unspecified, sizeof(unspecified)) != 0) {
		icmp[24] = type == NETIF_ND_ADVERT ? 2 : 1;
		icmp[25] = 1;
		memcpy(icmp + 26, mac, 6);
		len += OPTION_BYTES;
	}
	ip6[0] = 0x60;
	ip6[5] = len;
	ip6[6] = 58;
	ip6[7] = 255;
	memcpy(ip6 + 8, src, 16);
	memcpy(ip6 + 24, dst, 16);
	icmp[0] = type;
	icmp[4] = type == NETIF_ND_ADVERT ? 0x20 : 0; /* override */
	memcpy(icmp + 8, target, 16);
	sum = icmp6_checksum(ip6, icmp, len);
	icmp[2] = (uint8_t)(sum >> 8);
	icmp[3] = (uint8_t)sum;
	return ETH_HLEN + IP6_BYTES + len;
}

size_t netif_frame_solicit(uint8_t out[NETIF_FRAME_MAX_BYTES],
			   const uint8_t mac[6], const uint8_t src[16],
			   const uint8_t target[16])
{
	uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff};

	memcpy(group + 13, target + 13, 3);
	return netif_frame_nd(out, mac, NETIF_ND_SOLICIT, src, group, target);
}
