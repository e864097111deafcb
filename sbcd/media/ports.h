/*
 * ports - the network-interfaces, their steered addresses and port ranges,
 * and the flow that owns each port. Receiving a packet costs one index into
 * an array; taking over opens nothing and grows nothing.
 *
 * An interface and an endpoint, once added, live until the end of the worker:
 * relay threads keep pointers to them. A slot belongs to the thread of its
 * shard, so no lock is needed; the set of endpoints is published with a
 * release store.
 *
 * Layer: media. Control thread adds, relay threads look up.
 */
#ifndef SBCD_MEDIA_PORTS_H
#define SBCD_MEDIA_PORTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "sbcd/base/addr.h"
#include "sbcd/record/kinds.h"

struct media_flow;

enum {
	MEDIA_NIFS_MAX = 16,
	MEDIA_ENDPOINTS_MAX = 32, /* of one interface */
};

/* A raw socket: what is sent from one address leaves through it. */
struct media_out {
	int fd;
	unsigned index; /* unique in the worker */
};

/* One address with one range of ports. */
struct media_endpoint {
	struct addr ip; /* port 0 */
	uint16_t port_first, port_last;
	unsigned shards;
	const struct media_out *out; /* NULL: nothing can be sent */
	struct media_flow **slots; /* port_last - port_first + 1 */
};

struct media_nif {
	char name[REC_NAME_SIZE];
	uint64_t name_hash; /* the same on both nodes */
	_Atomic unsigned endpoints_len;
	struct media_endpoint *endpoints[MEDIA_ENDPOINTS_MAX];
};

struct media_nifs {
	_Atomic unsigned len;
	struct media_nif *nifs[MEDIA_NIFS_MAX];
};

void media_nifs_finish(struct media_nifs *n);
/* Finds or adds. -ENOSPC, -ENOMEM, -EEXIST (another name has this hash). */
int media_nifs_add(struct media_nifs *n, const char *name,
		   struct media_nif **out) __attribute__((warn_unused_result));
struct media_nif *media_nifs_find(const struct media_nifs *n, const char *name);
struct media_nif *media_nifs_find_hash(const struct media_nifs *n,
				       uint64_t name_hash);
uint64_t media_nif_hash(const char *name);

/* -EEXIST when the range overlaps one of this address, -EINVAL, -ENOSPC. */
int media_nif_add(struct media_nif *n, const struct addr *ip,
		  uint16_t port_first, uint16_t port_last, unsigned shards,
		  const struct media_out *out)
	__attribute__((warn_unused_result));
/* The endpoint that has this address and port; NULL: not ours. */
struct media_endpoint *media_nif_endpoint(const struct media_nif *n,
					  const struct addr *local);
unsigned media_endpoint_shard(const struct media_endpoint *e, uint16_t port);

/* ---- owner thread of the shard only ---------------------------------------
 */
struct media_flow *media_endpoint_flow(const struct media_endpoint *e,
				       uint16_t port);
/* Newest wins. False when the port is out of the range. */
bool media_endpoint_claim(struct media_endpoint *e, uint16_t port,
			  struct media_flow *f);
/* Only if it is still this flow's. */
bool media_endpoint_release(struct media_endpoint *e, uint16_t port,
			    const struct media_flow *f);

#endif
