/*
 * addr - an IP address with a UDP/TCP port as a plain value that can stand in
 * a record. Family 0 means "none".
 *
 * Layer: base. Any process, any thread.
 */
#ifndef SBCD_BASE_ADDR_H
#define SBCD_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDR_NONE = 0, ADDR_V4 = 4, ADDR_V6 = 6 };
enum { ADDR_TEXT_SIZE = 64 };

struct addr {
	uint8_t family; /* ADDR_NONE, ADDR_V4, ADDR_V6 */
	uint16_t port; /* host byte order */
	uint8_t ip[16]; /* v4 in the first four bytes, the rest zero */
};

/* "10.0.0.1" or "fd00::1" or "[fd00::1]"; -EINVAL otherwise. */
int addr_parse_ip(struct addr *out, const char *text, uint16_t port)
	__attribute__((warn_unused_result));
/* "10.0.0.1:5060", "[fd00::1]:5060". Returns `buf`. */
const char *addr_format(const struct addr *a, char *buf, size_t size);
/* Without the port and without brackets. Returns `buf`. */
const char *addr_format_ip(const struct addr *a, char *buf, size_t size);

/* -EAFNOSUPPORT for anything but AF_INET/AF_INET6; v4-mapped becomes v4. */
int addr_from_sockaddr(struct addr *out, const struct sockaddr *sa)
	__attribute__((warn_unused_result));
/* Returns the length to pass to the kernel, 0 for ADDR_NONE. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out);

bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_equal_ip(const struct addr *a, const struct addr *b);
/* 0.0.0.0 or ::, RFC 3264 section 8.4's old way to say "on hold". */
bool addr_is_unspecified(const struct addr *a);

#endif
