/*
 * hide - finds the network addresses and host names that must not cross from
 * one side of the SBC to the other, in SDP lines and header values alike.
 *
 * An address is compared by value: "fd00::50" is found when it is written
 * "FD00:0:0:0:0:0:0:50", "10.0.0.5" when written "::ffff:10.0.0.5". A host
 * name is compared without case and at word boundaries; a sub-domain of a
 * hidden name is found too. When in doubt it says "found". Encoded forms
 * (base64, percent-escaped dots) are not decoded.
 *
 * A set is bounded and holds no pointers.
 *
 * Layer: sip. SIP worker, any thread, one owner. Needs no SIP stack.
 */
#ifndef SBCD_SIP_HIDE_H
#define SBCD_SIP_HIDE_H

#include <stdbool.h>
#include <stddef.h>
#include "sbcd/base/addr.h"

enum { HIDE_ADDRS_MAX = 32, HIDE_NAMES_MAX = 16, HIDE_NAME_SIZE = 256 };

struct hide_set {
	unsigned addrs_len;
	unsigned names_len;
	struct addr addrs[HIDE_ADDRS_MAX]; /* port is not looked at */
	char names[HIDE_NAMES_MAX][HIDE_NAME_SIZE];
};

/* Where something was found; brackets around an IPv6 address excluded. */
struct hide_hit {
	size_t start;
	size_t size;
};

void hide_init(struct hide_set *set);
/*
 * Adds "10.0.0.5", "fd00::5", "[fd00::5]" or a host name. 0 also when it was
 * there already or is 0.0.0.0 or ::, which tell nothing; -EINVAL when it is
 * neither an address nor a name of at least three characters; -ENOSPC.
 */
int hide_add(struct hide_set *set, const char *text, size_t size)
	__attribute__((warn_unused_result));

/*
 * The first hidden thing in `text`. With `any_literal` every IP address in
 * it counts, except 0.0.0.0 and ::. `set` and `hit` may be NULL.
 */
bool hide_find(const struct hide_set *set, bool any_literal, const char *text,
	       size_t size, struct hide_hit *hit);

#endif
