#include "sbcd/media/packet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <string.h>

/* Adds in memory order; the carry folds, so 64 bits at a time are right. */
uint32_t packet_sum(uint32_t sum, const uint8_t *data, size_t size)
{
	uint64_t acc = sum, word;
	uint32_t half;
	uint16_t quarter;

	for (; size >= 8; size -= 8, data += 8) {
		memcpy(&word, data, 8);
		acc += word & 0xffffffff;
		acc += word >> 32;
	}
	if (size >= 4) {
		memcpy(&half, data, 4);
		acc += half;
		size -= 4;
		data += 4;
	}
	if (size >= 2) {
		memcpy(&quarter, data, 2);
		acc += quarter;
		size -= 2;
		data += 2;
	}
	if (size) {
		uint8_t last[2] = {*data, 0};

		memcpy(&quarter, last, 2);
		acc += quarter;
	}
	acc = (acc & 0xffffffff) + (acc >> 32);
	acc = (acc & 0xffffffff) + (acc >> 32);
	return (uint32_t)acc;
}

uint16_t packet_sum_finish(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t add(uint32_t sum, uint32_t more)
{
	sum += more;
	return sum + (sum < more);
}

static void build_udp(uint8_t *out, const struct packet_headers *h,
		      size_t ip_size)
{
	struct udphdr udp = {
		.source = htons(h->from_port),
		.dest = htons(h->to->port),
		.len = htons((uint16_t)(sizeof(udp) + h->payload_size)),
	};
	uint32_t sum = packet_sum(0, h->from->ip, ip_size);

	sum = packet_sum(sum, h->to->ip, ip_size);
	sum = add(sum, htons(IPPROTO_UDP));
	sum = add(sum, udp.len);
	sum = packet_sum(sum, (const uint8_t *)&udp, sizeof(udp));
	sum = packet_sum(sum, h->payload, h->payload_size);
	udp.check = packet_sum_finish(sum);
	/* Zero would mean "no checksum". */
	if (!udp.check)
		udp.check = 0xffff;
	memcpy(out, &udp, sizeof(udp));
}

static size_t build_v4(uint8_t *out, const struct packet_headers *h)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tos = h->tos,
		.tot_len = htons((uint16_t)(sizeof(ip) + sizeof(struct udphdr) +
					    h->payload_size)),
		.ttl = PACKET_TTL,
		.protocol = IPPROTO_UDP,
	};

	memcpy(&ip.saddr, h->from->ip, 4);
	memcpy(&ip.daddr, h->to->ip, 4);
	ip.check = packet_sum_finish(
		packet_sum(0, (const uint8_t *)&ip, sizeof(ip)));
	memcpy(out, &ip, sizeof(ip));
	build_udp(out + sizeof(ip), h, 4);
	return sizeof(ip) + sizeof(struct udphdr);
}

static size_t build_v6(uint8_t *out, const struct packet_headers *h)
{
	struct ip6_hdr ip = {0};

	ip.ip6_flow = htonl(6u << 28 | (uint32_t)h->tos << 20);
	ip.ip6_plen =
		htons((uint16_t)(sizeof(struct udphdr) + h->payload_size));
	ip.ip6_nxt = IPPROTO_UDP;
	ip.ip6_hlim = PACKET_TTL;
	memcpy(&ip.ip6_src, h->from->ip, 16);
	memcpy(&ip.ip6_dst, h->to->ip, 16);
	memcpy(out, &ip, sizeof(ip));
	build_udp(out + sizeof(ip), h, 16);
	return sizeof(ip) + sizeof(struct udphdr);
}

size_t packet_build_headers(uint8_t *out, const struct packet_headers *h)
{
	if (h->from->family != h->to->family ||
	    h->payload_size > PACKET_PAYLOAD_MAX_BYTES)
		return 0;
	if (h->from->family == ADDR_V4)
		return build_v4(out, h);
	if (h->from->family == ADDR_V6)
		return build_v6(out, h);
	return 0;
}
