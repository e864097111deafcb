#include "sbcd/media/ports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sbcd/base/worker.h"

uint64_t media_nif_hash(const char *name)
{
	uint64_t h = 0xcbf29ce484222325; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3;
	return h;
}

void media_nifs_finish(struct media_nifs *n)
{
	for (unsigned i = 0; i < n->len; i++) {
		for (unsigned j = 0; j < n->nifs[i]->endpoints_len; j++) {
			free(n->nifs[i]->endpoints[j]->slots);
			free(n->nifs[i]->endpoints[j]);
		}
		free(n->nifs[i]);
	}
	n->len = 0;
}

struct media_nif *media_nifs_find(const struct media_nifs *n, const char *name)
{
	unsigned len = atomic_load_explicit(&n->len, memory_order_acquire);

	for (unsigned i = 0; i < len; i++)
		if (!strcmp(n->nifs[i]->name, name))
			return n->nifs[i];
	return NULL;
}

struct media_nif *media_nifs_find_hash(const struct media_nifs *n,
				       uint64_t name_hash)
{
	unsigned len = atomic_load_explicit(&n->len, memory_order_acquire);

	for (unsigned i = 0; i < len; i++)
		if (n->nifs[i]->name_hash == name_hash)
			return n->nifs[i];
	return NULL;
}

int media_nifs_add(struct media_nifs *n, const char *name,
		   struct media_nif **out)
{
	struct media_nif *nif = media_nifs_find(n, name);
	uint64_t hash = media_nif_hash(name);

	if (nif) {
		*out = nif;
		return 0;
	}
	if (!*name || strlen(name) >= sizeof(nif->name))
		return -EINVAL;
	if (media_nifs_find_hash(n, hash))
		return -EEXIST;
	if (n->len == MEDIA_NIFS_MAX)
		return -ENOSPC;
	nif = calloc(1, sizeof(*nif));
	if (!nif)
		return -ENOMEM;
	memcpy(nif->name, name, strlen(name));
	nif->name_hash = hash;
	n->nifs[n->len] = nif;
	atomic_store_explicit(&n->len, n->len + 1, memory_order_release);
	*out = nif;
	return 0;
}

int media_nif_add(struct media_nif *n, const struct addr *ip,
		  uint16_t port_first, uint16_t port_last, unsigned shards,
		  const struct media_out *out)
{
	struct media_endpoint *e;

	if (!port_first || port_last < port_first || !shards ||
	    (ip->family != ADDR_V4 && ip->family != ADDR_V6))
		return -EINVAL;
	for (unsigned i = 0; i < n->endpoints_len; i++) {
		e = n->endpoints[i];
		if (addr_equal_ip(&e->ip, ip) && e->port_first <= port_last &&
		    port_first <= e->port_last)
			return -EEXIST;
	}
	if (n->endpoints_len == MEDIA_ENDPOINTS_MAX)
		return -ENOSPC;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->slots = calloc((size_t)(port_last - port_first) + 1,
			  sizeof(e->slots[0]));
	if (!e->slots) {
		free(e);
		return -ENOMEM;
	}
	e->ip = *ip;
	e->ip.port = 0;
	e->port_first = port_first;
	e->port_last = port_last;
	e->shards = shards;
	e->out = out;
	n->endpoints[n->endpoints_len] = e;
	atomic_store_explicit(&n->endpoints_len, n->endpoints_len + 1,
			      memory_order_release);
	return 0;
}

struct media_endpoint *media_nif_endpoint(const struct media_nif *n,
					  const struct addr *local)
{
	unsigned len =
		atomic_load_explicit(&n->endpoints_len, memory_order_acquire);

	for (unsigned i = 0; i < len; i++) {
		struct media_endpoint *e = n->endpoints[i];

		if (local->port >= e->port_first &&
		    local->port <= e->port_last && addr_equal_ip(&e->ip, local))
			return e;
	}
	return NULL;
}

unsigned media_endpoint_shard(const struct media_endpoint *e, uint16_t port)
{
	return worker_port_shard(port, e->port_first, e->shards);
}

struct media_flow *media_endpoint_flow(const struct media_endpoint *e,
				       uint16_t port)
{
	if (port < e->port_first || port > e->port_last)
		return NULL;
	return e->slots[port - e->port_first];
}

bool media_endpoint_claim(struct media_endpoint *e, uint16_t port,
			  struct media_flow *f)
{
	if (port < e->port_first || port > e->port_last)
		return false;
	e->slots[port - e->port_first] = f;
	return true;
}

bool media_endpoint_release(struct media_endpoint *e, uint16_t port,
			    const struct media_flow *f)
{
	if (media_endpoint_flow(e, port) != f)
		return false;
	e->slots[port - e->port_first] = NULL;
	return true;
}
