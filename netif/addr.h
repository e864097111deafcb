/*
 * Addresses as netif speaks them: IP address with prefix length, MAC.
 *
 * Guarantees: no allocation, no globals, no name resolution; output is
 * written only on success.
 *
 * Layer: netif (library). Process: any. Thread: any.
 */
#ifndef NETIF_ADDR_H
#define NETIF_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
	NETIF_MAC_LEN = 6,
	/* "ffff:...:255.255.255.255/128" and the terminator. */
	NETIF_IP_STRLEN = 56,
	NETIF_MAC_STRLEN = 18,
};

struct netif_ip {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t prefix; /* 0-32 or 0-128 */
	uint8_t bytes[16]; /* network order; IPv4 in the first four */
};

/*
 * "10.10.0.10", "10.10.0.10/24", "fd00:10::10/64". Without a prefix length
 * it is the full one (32 or 128). No zone, no host name. 0 or -EINVAL.
 */
int netif_ip_parse(struct netif_ip *out, const char *text)
	__attribute__((warn_unused_result));

/* Writes "ADDR/PREFIX" and returns buf; size should be NETIF_IP_STRLEN. */
char *netif_ip_format(const struct netif_ip *ip, char *buf, size_t size);

/* The same without the prefix length. */
char *netif_ip_format_host(const struct netif_ip *ip, char *buf, size_t size);

/* Family, prefix and bytes equal. */
bool netif_ip_equal(const struct netif_ip *a, const struct netif_ip *b);

/* Same host address, whatever the prefix length. */
bool netif_ip_same_host(const struct netif_ip *a, const struct netif_ip *b);

/* 4 or 16; 0 for an unknown family. */
size_t netif_ip_len(const struct netif_ip *ip);

/*
 * Fills a sockaddr_in or sockaddr_in6; port in host order.
 * Returns the length to pass to the kernel, 0 for an unknown family.
 */
socklen_t netif_ip_to_sockaddr(const struct netif_ip *ip, uint16_t port,
			       struct sockaddr_storage *out);

/* "02:5b:c0:00:01:01", also with '-'. 0 or -EINVAL. */
int netif_mac_parse(uint8_t out[NETIF_MAC_LEN], const char *text)
	__attribute__((warn_unused_result));

char *netif_mac_format(const uint8_t mac[NETIF_MAC_LEN], char *buf,
		       size_t size);

/* Unicast and not all zero: what a NIC may carry. */
bool netif_mac_is_usable(const uint8_t mac[NETIF_MAC_LEN]);

#endif
