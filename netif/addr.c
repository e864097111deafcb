#include "netif/addr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

size_t netif_ip_len(const struct netif_ip *ip)
{
	switch (ip->family) {
	case AF_INET:
		return 4;
	case AF_INET6:
		return 16;
	default:
		return 0;
	}
}

static int prefix_parse(const char *text, unsigned max, uint8_t *out)
{
	unsigned v = 0;
	size_t i;

	for (i = 0; text[i]; i++) {
		if (i == 3 || !isdigit((unsigned char)text[i]))
			return -EINVAL;
		v = v * 10 + (unsigned)(text[i] - '0');
	}
	if (i == 0 || v > max)
		return -EINVAL;
	*out = (uint8_t)v;
	return 0;
}

int netif_ip_parse(struct netif_ip *out, const char *text)
{
	struct netif_ip ip = {0};
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);

	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (inet_pton(AF_INET, host, ip.bytes) == 1)
		ip.family = AF_INET;
	else if (inet_pton(AF_INET6, host, ip.bytes) == 1)
		ip.family = AF_INET6;
	else
		return -EINVAL;
	ip.prefix = (uint8_t)(netif_ip_len(&ip) * 8);
	if (slash && prefix_parse(slash + 1, ip.prefix, &ip.prefix))
		return -EINVAL;
	*out = ip;
	return 0;
}

char *netif_ip_format_host(const struct netif_ip *ip, char *buf, size_t size)
{
	if (!netif_ip_len(ip) ||
	    !inet_ntop(ip->family, ip->bytes, buf, (socklen_t)size))
		snprintf(buf, size, "?");
	return buf;
}

char *netif_ip_format(const struct netif_ip *ip, char *buf, size_t size)
{
	char host[INET6_ADDRSTRLEN];

	snprintf(buf, size, "%s/%u",
		 netif_ip_format_host(ip, host, sizeof(host)), ip->prefix);
	return buf;
}

bool netif_ip_same_host(const struct netif_ip *a, const struct netif_ip *b)
{
	size_t len = netif_ip_len(a);

	return a->family == b->family && len &&
	       memcmp(a->bytes, b->bytes, len) == 0;
}

bool netif_ip_equal(const struct netif_ip *a, const struct netif_ip *b)
{
	return netif_ip_same_host(a, b) && a->prefix == b->prefix;
}

socklen_t netif_ip_to_sockaddr(const struct netif_ip *ip, uint16_t port,
			       struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (ip->family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, ip->bytes, 4);
		return sizeof(*in);
	}
	if (ip->family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, ip->bytes, 16);
		return sizeof(*in6);
	}
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int netif_mac_parse(uint8_t out[NETIF_MAC_LEN], const char *text)
{
	uint8_t mac[NETIF_MAC_LEN];

	for (size_t i = 0; i < NETIF_MAC_LEN; i++, text += 3) {
		int hi = hex_digit(text[0]);
		int lo = hi < 0 ? -1 : hex_digit(text[1]);
		char end = lo < 0 ? '?' : text[2];

		if (lo < 0)
			return -EINVAL;
		if (i + 1 < NETIF_MAC_LEN ? end != ':' && end != '-' : end)
			return -EINVAL;
		mac[i] = (uint8_t)(hi << 4 | lo);
	}
	memcpy(out, mac, sizeof(mac));
	return 0;
}

char *netif_mac_format(const uint8_t mac[NETIF_MAC_LEN], char *buf, size_t size)
{
	snprintf(buf, size, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		 mac[2], mac[3], mac[4], mac[5]);
	return buf;
}

bool netif_mac_is_usable(const uint8_t mac[NETIF_MAC_LEN])
{
	static const uint8_t zero[NETIF_MAC_LEN];

	return !(mac[0] & 1) && memcmp(mac, zero, sizeof(zero)) != 0;
}
