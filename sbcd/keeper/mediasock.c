#include "sbcd/keeper/mediasock.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "netif/anyport.h"
#include "sbcd/base/worker.h"
#include "sbcd/keeper/nifaddr.h"
#include "sbcd/record/link.h"

enum {
	SOCKET_BUFFER_BYTES = 4 * 1024 * 1024,
};

_Static_assert(2 * (int)WORKER_SHARDS_MAX + (int)CONFIG_ADDRS_MAX <=
		       (int)LINK_FDS_MAX,
	       "two families and the raw sockets fit one message");

struct mediasock {
	struct netif_anyport *anyport;
	int fds[LINK_FDS_MAX];
	size_t fds_len;
	size_t raw_first; /* fds from here on are ours, not anyport's */
	char *json;
};

struct pool {
	uint16_t first, last;
};

unsigned mediasock_shards(const struct config *c)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (c->media.threads)
		return c->media.threads > WORKER_SHARDS_MAX ? WORKER_SHARDS_MAX
							    : c->media.threads;
	if (cores < 1)
		return 1;
	return cores > WORKER_SHARDS_AUTO_MAX ? WORKER_SHARDS_AUTO_MAX
					      : (unsigned)cores;
}

/* The distinct pools of the realms on this interface. */
static size_t pools_of(const struct config *c, const struct config_nif *nif,
		       struct pool *out)
{
	size_t n = 0;

	for (size_t i = 0; i < c->realms_len; i++) {
		const struct config_realm *r = &c->realms[i];
		size_t k = 0;

		if (r->nif != nif || !r->port_first)
			continue;
		while (k < n && (out[k].first != r->port_first ||
				 out[k].last != r->port_last))
			k++;
		if (k < n || n == NETIF_ANYPORT_RANGES_MAX)
			continue;
		out[n].first = r->port_first;
		out[n].last = r->port_last;
		n++;
	}
	return n;
}

static int open_anyport(struct mediasock *m, const struct config *c,
			const struct config_nif *nif, const char *nic,
			const struct pool *pools, size_t pools_len)
{
	struct netif_anyport_range
		ranges[CONFIG_ADDRS_MAX * NETIF_ANYPORT_RANGES_MAX];
	struct netif_anyport_params p = {
		.nic = nic,
		.ranges = ranges,
		.shards = mediasock_shards(c),
		.rcvbuf_bytes = SOCKET_BUFFER_BYTES,
	};

	for (size_t a = 0; a < nif->addrs_len; a++) {
		for (size_t k = 0; k < pools_len; k++) {
			struct netif_anyport_range *r = &ranges[p.ranges_len++];
			int err = nifaddr_of(&r->addr, &nif->addrs[a]);

			if (err)
				return err;
			r->lo = pools[k].first;
			r->hi = pools[k].last;
		}
	}
	return netif_anyport_create(&m->anyport, &p);
}

static int add_fd(struct mediasock *m, int fd, json_t *list, json_t *what)
{
	if (m->fds_len == LINK_FDS_MAX) {
		json_decref(what);
		return -E2BIG;
	}
	m->fds[m->fds_len++] = fd;
	return json_array_append_new(list, what) ? -ENOMEM : 0;
}

static int list_anyports(struct mediasock *m, const struct config_nif *nif,
			 const struct pool *pool, json_t *list)
{
	static const struct {
		uint8_t family;
		uint8_t af;
	} families[] = {{ADDR_V4, AF_INET}, {ADDR_V6, AF_INET6}};
	unsigned shards = netif_anyport_shards(m->anyport);
	char text[ADDR_TEXT_SIZE];

	for (size_t f = 0; f < 2; f++) {
		const struct addr *a =
			config_nif_address(nif, families[f].family);

		for (unsigned s = 0; a && s < shards; s++) {
			int fd =
				netif_anyport_fd(m->anyport, s, families[f].af);
			int err;

			if (fd < 0)
				return fd;
			err = add_fd(
				m, fd, list,
				json_pack("{s:s,s:i,s:i,s:s,s:i,s:i}", "kind",
					  "anyport", "family",
					  (int)families[f].family, "shard",
					  (int)s, "address",
					  addr_format_ip(a, text, sizeof(text)),
					  "port-first", (int)pool->first,
					  "port-last", (int)pool->last));
			m->raw_first = m->fds_len;
			if (err)
				return err;
		}
	}
	return 0;
}

static int list_raws(struct mediasock *m, const struct config_nif *nif,
		     const char *nic, json_t *list)
{
	for (size_t i = 0; i < nif->addrs_len; i++) {
		const struct addr *a = &nif->addrs[i];
		char text[ADDR_TEXT_SIZE];
		struct netif_ip ip;
		int fd, err = nifaddr_of(&ip, a);

		if (err)
			return err;
		fd = netif_raw_open(nic, &ip, SOCKET_BUFFER_BYTES);
		if (fd < 0)
			return fd;
		err = add_fd(m, fd, list,
			     json_pack("{s:s,s:i,s:s}", "kind", "raw", "family",
				       (int)a->family, "address",
				       addr_format_ip(a, text, sizeof(text))));
		if (err)
			return err;
	}
	return 0;
}

static int describe(struct mediasock *m, const struct config *c,
		    const struct config_nif *nif, const char *nic,
		    const struct pool *pool)
{
	json_t *list = json_array();
	json_t *root;
	int err = list_anyports(m, nif, pool, list);

	if (!err)
		err = list_raws(m, nif, nic, list);
	root = json_pack("{s:s,s:s,s:i,s:o}", "purpose", "media",
			 "network-interface", nif->name, "shards",
			 (int)mediasock_shards(c), "fds", list);
	if (!err && root)
		m->json = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	if (!err && !m->json)
		err = -ENOMEM;
	return err;
}

int mediasock_open(struct mediasock **out, const struct config *c,
		   const struct config_nif *nif, const char *nic)
{
	struct pool pools[NETIF_ANYPORT_RANGES_MAX];
	size_t pools_len = pools_of(c, nif, pools);
	struct mediasock *m;
	int err;

	if (!pools_len)
		return 0;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	err = open_anyport(m, c, nif, nic, pools, pools_len);
	if (!err)
		err = describe(m, c, nif, nic, &pools[0]);
	if (err) {
		mediasock_close(m);
		return err;
	}
	*out = m;
	return 0;
}

void mediasock_close(struct mediasock *m)
{
	if (!m)
		return;
	for (size_t i = m->raw_first; i < m->fds_len; i++)
		close(m->fds[i]);
	netif_anyport_destroy(m->anyport);
	free(m->json);
	free(m);
}

const char *mediasock_json(const struct mediasock *m)
{
	return m->json;
}

const int *mediasock_fds(const struct mediasock *m)
{
	return m->fds;
}

size_t mediasock_len(const struct mediasock *m)
{
	return m->fds_len;
}
