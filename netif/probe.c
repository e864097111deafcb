#include "netif/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netif/frame.h"

enum {
	SLOT_V4 = 0,
	SLOT_V6 = 1,
	RCVBUF_BYTES = 64 * 1024,
	/* Where things are in a frame. */
	ARP_OP_AT = ETH_HLEN + 6,
	ARP_SENDER_AT = ETH_HLEN + 14,
	ARP_END = ETH_HLEN + 28,
	IP6_NEXT_AT = ETH_HLEN + 6,
	IP6_HOPS_AT = ETH_HLEN + 7,
	ICMP6_TYPE_AT = ETH_HLEN + 40,
	ICMP6_TARGET_AT = ETH_HLEN + 48,
	ND_END = ETH_HLEN + 64,
	FILTER_MAX = 16 + NETIF_PROBE_GATEWAYS_MAX * 9,
};

struct netif_probe {
	int ifindex;
	int fds[NETIF_PROBE_FDS_MAX]; /* by slot, -1 = family not asked for */
	struct netif_ip gateways[NETIF_PROBE_GATEWAYS_MAX];
	uint64_t heard_ms[NETIF_PROBE_GATEWAYS_MAX];
	size_t gateways_len;
};

/* ---- the kernel's filter ------------------------------------------------ */
struct filter {
	struct sock_filter code[FILTER_MAX];
	unsigned short len;
};

static void emit(struct filter *f, uint16_t code, uint32_t k, uint8_t jt,
		 uint8_t jf)
{
	f->code[f->len++] = (struct sock_filter){code, jt, jf, k};
}

/* Drops what has another value there. */
static void require(struct filter *f, uint16_t size, uint32_t at, uint32_t v)
{
	emit(f, BPF_LD | BPF_ABS | size, at, 0, 0);
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, v, 1, 0);
	emit(f, BPF_RET | BPF_K, 0, 0, 0);
}

static uint32_t word_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

/* Accepts when the address there is the gateway's. */
static void accept_address(struct filter *f, uint32_t at,
			   const struct netif_ip *ip)
{
	uint8_t words = (uint8_t)(netif_ip_len(ip) / 4);

	for (uint8_t i = 0; i < words; i++) {
		emit(f, BPF_LD | BPF_ABS | BPF_W, at + 4u * i, 0, 0);
		/* On a difference past the accepting end. */
		emit(f, BPF_JMP | BPF_JEQ | BPF_K, word_at(ip->bytes + 4 * i),
		     0, (uint8_t)(2 * (words - 1 - i) + 1));
	}
	emit(f, BPF_RET | BPF_K, UINT32_MAX, 0, 0);
}

static int filter_attach(const struct netif_probe *p, int slot)
{
	struct filter f = {.len = 0};
	struct sock_fprog prog = {.filter = f.code};

	if (slot == SLOT_V4) {
		require(&f, BPF_H, ARP_OP_AT, NETIF_ARP_REPLY);
	} else {
		require(&f, BPF_B, IP6_NEXT_AT, 58);
		require(&f, BPF_B, ICMP6_TYPE_AT, NETIF_ND_ADVERT);
	}
	for (size_t i = 0; i < p->gateways_len; i++) {
		const struct netif_ip *ip = &p->gateways[i];

		if ((ip->family == AF_INET) == (slot == SLOT_V4))
			accept_address(&f,
				       slot == SLOT_V4 ? ARP_SENDER_AT
						       : ICMP6_TARGET_AT,
				       ip);
	}
	emit(&f, BPF_RET | BPF_K, 0, 0, 0);
	prog.len = f.len;
	return setsockopt(p->fds[slot], SOL_SOCKET, SO_ATTACH_FILTER, &prog,
			  sizeof(prog))
		       ? -errno
		       : 0;
}

/* ---- start and end ------------------------------------------------------ */
static int slot_open(struct netif_probe *p, int slot)
{
	static const int size = RCVBUF_BYTES, one = 1;
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(slot == SLOT_V4 ? ETH_P_ARP : ETH_P_IPV6),
		.sll_ifindex = p->ifindex,
	};
	int err;

	if (p->fds[slot] >= 0)
		return 0;
	/* Protocol 0: nothing arrives before the filter is in place. */
	p->fds[slot] =
		socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fds[slot] < 0)
		return -errno;
	err = filter_attach(p, slot);
	if (err)
		return err;
	if (setsockopt(p->fds[slot], SOL_SOCKET, SO_RCVBUF, &size,
		       sizeof(size)) ||
	    setsockopt(p->fds[slot], SOL_PACKET, PACKET_IGNORE_OUTGOING, &one,
		       sizeof(one)) ||
	    bind(p->fds[slot], (const struct sockaddr *)&ll, sizeof(ll)))
		return -errno;
	return 0;
}

int netif_probe_create(struct netif_probe **out, const char *nic,
		       const struct netif_ip *gateways, size_t gateways_len)
{
	struct netif_probe *p;
	int err = 0;

	if (!gateways_len || gateways_len > NETIF_PROBE_GATEWAYS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < gateways_len; i++) {
		if (!netif_ip_len(&gateways[i]))
			return -EINVAL;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->fds[SLOT_V4] = p->fds[SLOT_V6] = -1;
	p->ifindex = (int)if_nametoindex(nic);
	memcpy(p->gateways, gateways, gateways_len * sizeof(gateways[0]));
	p->gateways_len = gateways_len;
	if (!p->ifindex)
		err = -ENODEV;
	for (size_t i = 0; i < gateways_len && !err; i++)
		err = slot_open(p, gateways[i].family == AF_INET ? SLOT_V4
								 : SLOT_V6);
	if (err) {
		netif_probe_destroy(p);
		return err;
	}
	*out = p;
	return 0;
}

void netif_probe_destroy(struct netif_probe *p)
{
	if (!p)
		return;
	for (int slot = 0; slot < NETIF_PROBE_FDS_MAX; slot++) {
		if (p->fds[slot] >= 0)
			close(p->fds[slot]);
	}
	free(p);
}

size_t netif_probe_fds(const struct netif_probe *p,
		       int fds[NETIF_PROBE_FDS_MAX])
{
	size_t n = 0;

	for (int slot = 0; slot < NETIF_PROBE_FDS_MAX; slot++) {
		if (p->fds[slot] >= 0)
			fds[n++] = p->fds[slot];
	}
	return n;
}

/* ---- asking and hearing ------------------------------------------------- */
static const uint8_t *sender_of(const struct netif_ip *own, size_t own_len,
				uint8_t family)
{
	static const uint8_t nobody[16];

	for (size_t i = 0; i < own_len; i++) {
		if (own[i].family == family)
			return own[i].bytes;
	}
	return nobody;
}

unsigned netif_probe_ask(struct netif_probe *p,
			 const uint8_t mac[NETIF_MAC_LEN],
			 const struct netif_ip *own, size_t own_len)
{
	const struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = p->ifindex,
		.sll_halen = ETH_ALEN,
	};
	unsigned sent = 0;

	for (size_t i = 0; i < p->gateways_len; i++) {
		const struct netif_ip *gw = &p->gateways[i];
		const uint8_t *from = sender_of(own, own_len, gw->family);
		uint8_t f[NETIF_FRAME_MAX_BYTES];
		int slot = gw->family == AF_INET ? SLOT_V4 : SLOT_V6;
		size_t size;

		if (slot == SLOT_V4)
			size = netif_frame_arp(f, mac, NETIF_ARP_REQUEST, from,
					       gw->bytes);
		else
			size = netif_frame_solicit(f, mac, from, gw->bytes);
		if (sendto(p->fds[slot], f, size, 0,
			   (const struct sockaddr *)&to,
			   sizeof(to)) == (ssize_t)size)
			sent++;
	}
	return sent;
}

/* Offset of the address that answers, 0 when it is no answer. */
static size_t answer_at(const uint8_t *f, size_t len, int slot)
{
	if (slot == SLOT_V4)
		return len >= ARP_END && !f[ARP_OP_AT] &&
				       f[ARP_OP_AT + 1] == NETIF_ARP_REPLY
			       ? ARP_SENDER_AT
			       : 0;
	/* 255: it has passed no router (RFC 4861, 7.1.2). */
	return len >= ND_END && f[IP6_NEXT_AT] == 58 && f[IP6_HOPS_AT] == 255 &&
			       f[ICMP6_TYPE_AT] == NETIF_ND_ADVERT
		       ? ICMP6_TARGET_AT
		       : 0;
}

static void note(struct netif_probe *p, const uint8_t *f, size_t len, int slot,
		 uint64_t at_ms)
{
	size_t at = answer_at(f, len, slot);

	for (size_t i = 0; i < p->gateways_len && at; i++) {
		const struct netif_ip *gw = &p->gateways[i];

		if ((gw->family == AF_INET) == (slot == SLOT_V4) &&
		    !memcmp(f + at, gw->bytes, netif_ip_len(gw)))
			p->heard_ms[i] = at_ms;
	}
}

void netif_probe_hear(struct netif_probe *p, uint64_t at_ms, unsigned budget)
{
	uint8_t f[128];

	for (int slot = 0; slot < NETIF_PROBE_FDS_MAX; slot++) {
		for (unsigned i = 0; i < budget && p->fds[slot] >= 0; i++) {
			ssize_t n = recv(p->fds[slot], f, sizeof(f), 0);

			/* ENETDOWN is said once and goes away. */
			if (n < 0)
				break;
			note(p, f, (size_t)n, slot, at_ms);
		}
	}
}

size_t netif_probe_len(const struct netif_probe *p)
{
	return p->gateways_len;
}

uint64_t netif_probe_heard_ms(const struct netif_probe *p, size_t i)
{
	return i < p->gateways_len ? p->heard_ms[i] : 0;
}
