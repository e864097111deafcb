#include "sbcd/config/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool config_in_subnet(const struct addr *a, const struct addr *net,
		      uint8_t prefix)
{
	if (a->family != net->family)
		return false;
	for (unsigned bit = 0; bit < prefix; bit++) {
		uint8_t mask = (uint8_t)(0x80 >> (bit & 7));

		if ((a->ip[bit / 8] ^ net->ip[bit / 8]) & mask)
			return false;
	}
	return true;
}

const char *config_check_unicast(const struct addr *a)
{
	if (addr_is_unspecified(a))
		return "the unspecified address names nobody";
	if (a->family == ADDR_V4) {
		if (a->ip[0] == 0 || a->ip[0] == 127 || a->ip[0] >= 224)
			return "this is not a unicast address of a host";
		return NULL;
	}
	if (a->ip[0] == 0xff)
		return "this is a multicast address";
	if (a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80)
		return "a link-local address cannot be used, take a global or "
		       "unique local one";
	for (unsigned i = 0; i < 15; i++)
		if (a->ip[i])
			return NULL;
	return "the loopback address cannot be used";
}

/* All host bits equal to `value`. */
static bool host_bits_are(const struct addr *a, uint8_t prefix, bool value)
{
	unsigned bits = a->family == ADDR_V4 ? 32 : 128;

	for (unsigned bit = prefix; bit < bits; bit++)
		if (!!(a->ip[bit / 8] & 0x80 >> (bit & 7)) != value)
			return false;
	return true;
}

const char *config_parse_prefix(const char *text, struct addr *addr,
				uint8_t *prefix)
{
	static const char *const form =
		"write an address with its prefix length, like "
		"\"10.10.0.10/24\" or \"fd00:10::10/64\"";
	const char *slash = strchr(text, '/');
	char ip[ADDR_TEXT_SIZE], *end;
	unsigned long n;
	const char *bad;

	if (!slash || (size_t)(slash - text) >= sizeof(ip) || slash[1] < '0' ||
	    slash[1] > '9')
		return form;
	memcpy(ip, text, (size_t)(slash - text));
	ip[slash - text] = '\0';
	n = strtoul(slash + 1, &end, 10);
	if (*end || end - slash > 4 || addr_parse_ip(addr, ip, 0))
		return form;
	if (n < 1 || n > (addr->family == ADDR_V4 ? 32 : 128))
		return "the prefix length does not fit the address";
	*prefix = (uint8_t)n;
	bad = config_check_unicast(addr);
	if (bad)
		return bad;
	if (addr->family == ADDR_V4 && n < 31 &&
	    (host_bits_are(addr, *prefix, false) ||
	     host_bits_are(addr, *prefix, true)))
		return "this is the network's or its broadcast address, not a "
		       "host's";
	return NULL;
}

const char *config_parse_mac(const char *text, uint8_t mac[6])
{
	unsigned b[6];
	int used = 0;

	if (strlen(text) != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2],
		   &b[3], &b[4], &b[5], &used) != 6 ||
	    used != 17)
		return "write auto or six bytes like \"02:5b:c0:00:01:01\"";
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
	if (mac[0] & 1)
		return "this is a multicast address; the first byte must be "
		       "even, like 02";
	if (!(mac[0] & 2))
		return "this is not locally administered; the first byte must "
		       "have bit 1 set, like 02";
	return NULL;
}

static bool parse_port(const char **at, unsigned long *out)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	*out = strtoul(*at, &end, 10);
	*at = end;
	return *out <= 65535;
}

const char *config_parse_pool(const char *text, uint16_t *first, uint16_t *last)
{
	unsigned long a, b;
	const char *at = text;

	if (!parse_port(&at, &a) || *at++ != '-' || !parse_port(&at, &b) || *at)
		return "write two ports like \"20000-39999\"";
	if (a < 1024)
		return "ports below 1024 are not for media";
	if (a % 2 || b % 2 == 0)
		return "the first port must be even and the last odd: RTP and "
		       "RTCP go in pairs";
	if (b < a + 7)
		return "the last port must be at least 7 above the first, so "
		       "that each node has two pairs";
	*first = (uint16_t)a;
	*last = (uint16_t)b;
	return NULL;
}
