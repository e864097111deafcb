#include "netif/anyport.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netif/anyport.skel.h"

#ifndef IPV6_RECVORIGDSTADDR
#define IPV6_RECVORIGDSTADDR 74
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

/* The layout of the maps in anyport.bpf.c. */
struct anyport_key {
	uint8_t addr[16];
};

struct anyport_value {
	struct {
		uint16_t lo, hi;
	} range[NETIF_ANYPORT_RANGES_MAX];
};

struct netif_anyport {
	unsigned shards;
	int fds[2][NETIF_ANYPORT_SHARDS_MAX]; /* IPv4, IPv6; -1 = none */
	struct anyport_bpf *skel;
	struct bpf_link *link;
};

static int family_slot(uint8_t family)
{
	return family == AF_INET ? 0 : family == AF_INET6 ? 1 : -1;
}

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno
								      : 0;
}

/* Bound to the device and to an address that need not be owned (yet). */
static int socket_bind(int fd, const char *nic, const struct netif_ip *ip,
		       uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t len = netif_ip_to_sockaddr(ip, port, &ss);
	int err;

	if (!len)
		return -EAFNOSUPPORT;
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, nic,
		       (socklen_t)strlen(nic) + 1) < 0)
		return -errno;
	if (ip->family == AF_INET)
		err = set_int(fd, IPPROTO_IP, IP_FREEBIND, 1);
	else
		err = set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
	if (err)
		return err;
	return bind(fd, (const struct sockaddr *)&ss, len) < 0 ? -errno : 0;
}

static int socket_options(int fd, uint8_t family, unsigned rcvbuf_bytes)
{
	int err;

	/* All shards, and those of an earlier run, share one port. */
	err = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!err && family == AF_INET)
		err = set_int(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, 1);
	if (!err && family == AF_INET6)
		err = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (!err && family == AF_INET6)
		err = set_int(fd, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 1);
	if (!err && rcvbuf_bytes)
		err = set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE,
			      (int)rcvbuf_bytes);
	return err;
}

static int open_shard(struct netif_anyport *a,
		      const struct netif_anyport_params *p,
		      const struct netif_anyport_range *r, unsigned shard)
{
	int fd = socket(r->addr.family,
			SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return -errno;
	/* Owned by the handle from here on, also on an error. */
	a->fds[family_slot(r->addr.family)][shard] = fd;
	err = socket_options(fd, r->addr.family, p->rcvbuf_bytes);
	return err ? err : socket_bind(fd, p->nic, &r->addr, r->lo);
}

/* One socket a shard for the family of r, unless there is one already. */
static int open_family(struct netif_anyport *a,
		       const struct netif_anyport_params *p,
		       const struct netif_anyport_range *r)
{
	int slot = family_slot(r->addr.family);

	if (a->fds[slot][0] >= 0)
		return 0;
	for (unsigned i = 0; i < a->shards; i++) {
		uint32_t key = (uint32_t)slot * NETIF_ANYPORT_SHARDS_MAX + i;
		uint64_t fd;
		int err = open_shard(a, p, r, i);

		if (err)
			return err;
		fd = (uint64_t)a->fds[slot][i];
		if (bpf_map_update_elem(bpf_map__fd(a->skel->maps.socks), &key,
					&fd, BPF_ANY))
			return -errno;
	}
	return 0;
}

static int map_range(struct netif_anyport *a,
		     const struct netif_anyport_range *r)
{
	int fd = bpf_map__fd(a->skel->maps.addrs);
	struct anyport_value value;
	struct anyport_key key = {{0}};
	unsigned i;

	if (r->addr.family == AF_INET) {
		key.addr[10] = key.addr[11] = 0xff;
		memcpy(key.addr + 12, r->addr.bytes, 4);
	} else {
		memcpy(key.addr, r->addr.bytes, 16);
	}
	if (bpf_map_lookup_elem(fd, &key, &value)) {
		for (i = 0; i < NETIF_ANYPORT_RANGES_MAX; i++) {
			value.range[i].lo = UINT16_MAX;
			value.range[i].hi = 0;
		}
	}
	for (i = 0; i < NETIF_ANYPORT_RANGES_MAX; i++) {
		if (value.range[i].lo > value.range[i].hi)
			break;
	}
	if (i == NETIF_ANYPORT_RANGES_MAX)
		return -ENOSPC;
	value.range[i].lo = r->lo;
	value.range[i].hi = r->hi;
	return bpf_map_update_elem(fd, &key, &value, BPF_ANY) ? -errno : 0;
}

static int load(struct netif_anyport *a, unsigned ifindex)
{
	int err;

	a->skel = anyport_bpf__open();
	if (!a->skel)
		return -errno;
	a->skel->rodata->ifindex = ifindex;
	a->skel->rodata->shards = a->shards;
	err = anyport_bpf__load(a->skel);
	return err < 0 ? err : 0;
}

static int attach(struct netif_anyport *a)
{
	int ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int err = 0;

	if (ns < 0)
		return -errno;
	a->link = bpf_program__attach_netns(a->skel->progs.anyport, ns);
	if (!a->link)
		err = -errno;
	close(ns);
	return err;
}

static int params_check(const struct netif_anyport_params *p)
{
	if (!p->nic || !p->nic[0] || strlen(p->nic) >= IF_NAMESIZE ||
	    !p->ranges_len || !p->shards ||
	    p->shards > NETIF_ANYPORT_SHARDS_MAX || p->rcvbuf_bytes > INT32_MAX)
		return -EINVAL;
	for (size_t i = 0; i < p->ranges_len; i++) {
		const struct netif_anyport_range *r = &p->ranges[i];

		if (!netif_ip_len(&r->addr) || !r->lo || r->lo > r->hi)
			return -EINVAL;
	}
	return 0;
}

int netif_anyport_create(struct netif_anyport **out,
			 const struct netif_anyport_params *p)
{
	struct netif_anyport *a;
	unsigned ifindex;
	int err;

	err = params_check(p);
	if (err)
		return err;
	ifindex = if_nametoindex(p->nic);
	if (!ifindex)
		return -ENODEV;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	memset(a->fds, 0xff, sizeof(a->fds));
	a->shards = p->shards;
	err = load(a, ifindex);
	for (size_t i = 0; !err && i < p->ranges_len; i++) {
		err = map_range(a, &p->ranges[i]);
		if (!err)
			err = open_family(a, p, &p->ranges[i]);
	}
	if (!err)
		err = attach(a);
	if (err) {
		netif_anyport_destroy(a);
		return err;
	}
	*out = a;
	return 0;
}

void netif_anyport_destroy(struct netif_anyport *a)
{
	if (!a)
		return;
	bpf_link__destroy(a->link);
	for (unsigned i = 0; i < a->shards; i++) {
		for (int slot = 0; slot < 2; slot++) {
			if (a->fds[slot][i] >= 0)
				close(a->fds[slot][i]);
		}
	}
	anyport_bpf__destroy(a->skel);
	free(a);
}

int netif_anyport_fd(const struct netif_anyport *a, unsigned shard,
		     uint8_t family)
{
	int slot = family_slot(family);

	if (slot < 0 || shard >= a->shards || a->fds[slot][shard] < 0)
		return -ENOENT;
	return a->fds[slot][shard];
}

int netif_anyport_link_fd(const struct netif_anyport *a)
{
	return bpf_link__fd(a->link);
}

unsigned netif_anyport_shards(const struct netif_anyport *a)
{
	return a->shards;
}

int netif_raw_open(const char *nic, const struct netif_ip *vip,
		   unsigned sndbuf_bytes)
{
	int fd, err = 0;

	if (!netif_ip_len(vip) || sndbuf_bytes > INT32_MAX)
		return -EINVAL;
	/* IPPROTO_RAW: the header comes from us, in both families. */
	fd = socket(vip->family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    IPPROTO_RAW);
	if (fd < 0)
		return -errno;
	if (sndbuf_bytes)
		err = set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE,
			      (int)sndbuf_bytes);
	if (!err)
		err = socket_bind(fd, nic, vip, 0);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}
