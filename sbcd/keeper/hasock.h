/*
 * hasock - the UDP sockets on the HA links: beats, and media forwarded in a
 * planned switchover. Each is bound to this node's address of the link and
 * connected to the peer's, so that nobody else's datagrams arrive.
 *
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_HASOCK_H
#define SBCD_KEEPER_HASOCK_H

#include "sbcd/config/config.h"
#include "sbcd/keeper/netglue.h"

struct hasock {
	int beat[CONFIG_HA_LINKS_MAX];
	int forward[CONFIG_HA_LINKS_MAX];
	struct addr forward_peer[CONFIG_HA_LINKS_MAX];
	size_t len;
};

void hasock_init(struct hasock *s);
int hasock_open(struct hasock *s, const struct config *c,
		const struct config_node *n)
	__attribute__((warn_unused_result));
void hasock_close(struct hasock *s);
int hasock_forward_fds(const struct hasock *s, const char *key_hex,
		       netglue_fds_fn *fn, void *ctx)
	__attribute__((warn_unused_result));

#endif
