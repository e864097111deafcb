/*
 * mediasock - the media sockets of one network-interface: any-port sockets
 * for the steering pools of its realms and a raw socket for each address.
 *
 * Layer: keeper. Main thread.
 */
#ifndef SBCD_KEEPER_MEDIASOCK_H
#define SBCD_KEEPER_MEDIASOCK_H

#include <stddef.h>
#include "sbcd/config/config.h"

struct mediasock;

/* *out stays NULL when no realm of the interface has a steering pool. */
int mediasock_open(struct mediasock **out, const struct config *c,
		   const struct config_nif *nif, const char *nic)
	__attribute__((warn_unused_result));
void mediasock_close(struct mediasock *m);
/* The LINK_FDS description, and the descriptors it describes by index. */
const char *mediasock_json(const struct mediasock *m);
const int *mediasock_fds(const struct mediasock *m);
size_t mediasock_len(const struct mediasock *m);
/* Media threads = shards: configured, else one a core, at most four. */
unsigned mediasock_shards(const struct config *c);

#endif
