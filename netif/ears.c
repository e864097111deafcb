#include "netif/ears.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netif/frame.h"

enum {
	SLOT_V4 = 0,
	SLOT_V6 = 1,
	RCVBUF_BYTES = 64 * 1024,
	FILTER_MAX = 16 + NETIF_EARS_ADDRS_MAX * 9,
	ARP_SENDER_AT = ETH_HLEN + 14,
	ARP_END = ETH_HLEN + 28,
	IP6_NEXT_AT = ETH_HLEN + 6,
	IP6_HOPS_AT = ETH_HLEN + 7,
	ICMP6_TARGET_AT = ETH_HLEN + 48,
	ND_END = ETH_HLEN + 64, /* options are not looked at */
};

static int slot_of(uint8_t family)
{
	return family == AF_INET ? SLOT_V4 : SLOT_V6;
}

/* Where in a frame the address stands that it is about. */
static uint32_t address_at(int slot)
{
	return slot == SLOT_V4 ? ARP_SENDER_AT : ICMP6_TARGET_AT;
}

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

/* Accepts when the address there is this one. */
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

static int filter_attach(const struct netif_ears *e, int slot)
{
	struct filter f = {.len = 0};
	struct sock_fprog prog = {.filter = f.code};

	if (slot == SLOT_V6)
		require(&f, BPF_B, IP6_NEXT_AT, 58);
	if (e->answers && slot == SLOT_V4)
		require(&f, BPF_H, NETIF_ARP_OP_AT, NETIF_ARP_REPLY);
	else if (e->answers)
		require(&f, BPF_B, NETIF_ICMP6_TYPE_AT, NETIF_ND_ADVERT);
	for (size_t i = 0; i < e->addrs_len; i++) {
		if (slot_of(e->addrs[i].family) == slot)
			accept_address(&f, address_at(slot), &e->addrs[i]);
	}
	emit(&f, BPF_RET | BPF_K, 0, 0, 0);
	prog.len = f.len;
	return setsockopt(e->fds[slot], SOL_SOCKET, SO_ATTACH_FILTER, &prog,
			  sizeof(prog))
		       ? -errno
		       : 0;
}

/* ---- start and end ------------------------------------------------------ */
static int slot_open(struct netif_ears *e, int slot)
{
	static const int size = RCVBUF_BYTES, one = 1;
	const struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(slot == SLOT_V4 ? ETH_P_ARP : ETH_P_IPV6),
		.sll_ifindex = e->ifindex,
	};
	int err;

	if (e->fds[slot] >= 0)
		return 0;
	/* Protocol 0: nothing arrives before the filter is in place. */
	e->fds[slot] =
		socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (e->fds[slot] < 0)
		return -errno;
	err = filter_attach(e, slot);
	if (err)
		return err;
	if (setsockopt(e->fds[slot], SOL_SOCKET, SO_RCVBUF, &size,
		       sizeof(size)) ||
	    setsockopt(e->fds[slot], SOL_PACKET, PACKET_IGNORE_OUTGOING, &one,
		       sizeof(one)) ||
	    bind(e->fds[slot], (const struct sockaddr *)&ll, sizeof(ll)))
		return -errno;
	return 0;
}

int netif_ears_open(struct netif_ears *e, const char *nic,
		    const struct netif_ip *addrs, size_t len, size_t max,
		    bool answers)
{
	int err = 0;

	*e = (struct netif_ears){.fds = {-1, -1}, .answers = answers};
	if (!len || len > max || len > NETIF_EARS_ADDRS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (!netif_ip_len(&addrs[i]))
			return -EINVAL;
	}
	e->ifindex = (int)if_nametoindex(nic);
	if (!e->ifindex)
		return -ENODEV;
	memcpy(e->addrs, addrs, len * sizeof(addrs[0]));
	e->addrs_len = len;
	for (size_t i = 0; i < len && !err; i++)
		err = slot_open(e, slot_of(addrs[i].family));
	if (err)
		netif_ears_close(e);
	return err;
}

void netif_ears_close(struct netif_ears *e)
{
	for (int slot = 0; slot < NETIF_EARS_FDS_MAX; slot++) {
		if (e->fds[slot] >= 0)
			close(e->fds[slot]);
		e->fds[slot] = -1;
	}
}

size_t netif_ears_fds(const struct netif_ears *e, int fds[NETIF_EARS_FDS_MAX])
{
	size_t n = 0;

	for (int slot = 0; slot < NETIF_EARS_FDS_MAX; slot++) {
		if (e->fds[slot] >= 0)
			fds[n++] = e->fds[slot];
	}
	return n;
}

int netif_ears_fd(const struct netif_ears *e, uint8_t family)
{
	return e->fds[slot_of(family)];
}

/* ---- hearing ------------------------------------------------------------ */
/* Checked again: the filter is the kernel's. */
static bool is_fit(const struct netif_ears *e, const uint8_t *f, size_t len,
		   int slot)
{
	if (slot == SLOT_V4)
		return len >= ARP_END && !f[NETIF_ARP_OP_AT] &&
		       (!e->answers ||
			f[NETIF_ARP_OP_AT + 1] == NETIF_ARP_REPLY);
	/* 255: it has passed no router (RFC 4861, 7.1). */
	return len >= ND_END && f[IP6_NEXT_AT] == 58 && f[IP6_HOPS_AT] == 255 &&
	       (!e->answers || f[NETIF_ICMP6_TYPE_AT] == NETIF_ND_ADVERT);
}

static void tell(const struct netif_ears *e, const uint8_t *f, int slot,
		 netif_ears_fn *fn, void *ctx)
{
	for (size_t i = 0; i < e->addrs_len; i++) {
		const struct netif_ip *ip = &e->addrs[i];

		if (slot_of(ip->family) == slot &&
		    !memcmp(f + address_at(slot), ip->bytes, netif_ip_len(ip)))
			fn(ctx, i, f);
	}
}

void netif_ears_hear(struct netif_ears *e, unsigned budget, netif_ears_fn *fn,
		     void *ctx)
{
	uint8_t f[128];

	for (int slot = 0; slot < NETIF_EARS_FDS_MAX; slot++) {
		for (unsigned k = 0; k < budget && e->fds[slot] >= 0; k++) {
			ssize_t n = recv(e->fds[slot], f, sizeof(f), 0);

			/* ENETDOWN is said once and goes away. */
			if (n < 0)
				break;
			if (is_fit(e, f, (size_t)n, slot))
				tell(e, f, slot, fn, ctx);
		}
	}
}
