#include "sbcd/base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static size_t ip_size(uint8_t family)
{
	return family == ADDR_V4 ? 4 : family == ADDR_V6 ? 16 : 0;
}

static void from_in6(struct addr *out, const struct in6_addr *in6)
{
	if (IN6_IS_ADDR_V4MAPPED(in6)) {
		out->family = ADDR_V4;
		memcpy(out->ip, in6->s6_addr + 12, 4);
		return;
	}
	out->family = ADDR_V6;
	memcpy(out->ip, in6->s6_addr, 16);
}

int addr_parse_ip(struct addr *out, const char *text, uint16_t port)
{
	char bare[INET6_ADDRSTRLEN];
	size_t len = strlen(text);
	struct addr a = {.port = port};
	struct in6_addr in6;

	if (inet_pton(AF_INET, text, a.ip) == 1) {
		a.family = ADDR_V4;
		*out = a;
		return 0;
	}
	memset(a.ip, 0, sizeof(a.ip));
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(bare))
		return -EINVAL;
	memcpy(bare, text, len);
	bare[len] = '\0';
	if (inet_pton(AF_INET6, bare, &in6) != 1)
		return -EINVAL;
	from_in6(&a, &in6);
	*out = a;
	return 0;
}

const char *addr_format_ip(const struct addr *a, char *buf, size_t size)
{
	int af = a->family == ADDR_V6 ? AF_INET6 : AF_INET;

	if (!size)
		return buf;
	if (!ip_size(a->family))
		snprintf(buf, size, "none");
	else if (!inet_ntop(af, a->ip, buf, (socklen_t)size))
		buf[0] = '\0';
	return buf;
}

const char *addr_format(const struct addr *a, char *buf, size_t size)
{
	char ip[INET6_ADDRSTRLEN];

	addr_format_ip(a, ip, sizeof(ip));
	if (a->family == ADDR_V6)
		snprintf(buf, size, "[%s]:%u", ip, a->port);
	else if (a->family == ADDR_V4)
		snprintf(buf, size, "%s:%u", ip, a->port);
	else
		snprintf(buf, size, "%s", ip);
	return buf;
}

int addr_from_sockaddr(struct addr *out, const struct sockaddr *sa)
{
	struct addr a = {0};

	if (sa->sa_family == AF_INET) {
		struct sockaddr_in sin;

		memcpy(&sin, sa, sizeof(sin));
		a.family = ADDR_V4;
		a.port = ntohs(sin.sin_port);
		memcpy(a.ip, &sin.sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 sin6;

		memcpy(&sin6, sa, sizeof(sin6));
		a.port = ntohs(sin6.sin6_port);
		from_in6(&a, &sin6.sin6_addr);
	} else {
		return -EAFNOSUPPORT;
	}
	*out = a;
	return 0;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6};
	struct sockaddr_in sin = {.sin_family = AF_INET};

	memset(out, 0, sizeof(*out));
	if (a->family == ADDR_V4) {
		sin.sin_port = htons(a->port);
		memcpy(&sin.sin_addr, a->ip, 4);
		memcpy(out, &sin, sizeof(sin));
		return sizeof(sin);
	}
	if (a->family == ADDR_V6) {
		sin6.sin6_port = htons(a->port);
		memcpy(&sin6.sin6_addr, a->ip, 16);
		memcpy(out, &sin6, sizeof(sin6));
		return sizeof(sin6);
	}
	return 0;
}

bool addr_equal_ip(const struct addr *a, const struct addr *b)
{
	return a->family == b->family &&
	       memcmp(a->ip, b->ip, ip_size(a->family)) == 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->port == b->port && addr_equal_ip(a, b);
}

bool addr_is_unspecified(const struct addr *a)
{
	static const uint8_t zero[16];

	return ip_size(a->family) &&
	       memcmp(a->ip, zero, ip_size(a->family)) == 0;
}
