#include "netif/filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RCVBUF_BYTES = 64 * 1024 };

static void emit(struct netif_filter *f, uint16_t code, uint32_t k, uint8_t jt,
		 uint8_t jf)
{
	f->code[f->len++] = (struct sock_filter){code, jt, jf, k};
}

void netif_filter_begin(struct netif_filter *f)
{
	f->len = 0;
}

void netif_filter_require(struct netif_filter *f, unsigned size, uint32_t at,
			  uint32_t value)
{
	uint16_t width = size == 1 ? BPF_B : size == 2 ? BPF_H : BPF_W;

	emit(f, BPF_LD | BPF_ABS | width, at, 0, 0);
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
	emit(f, BPF_RET | BPF_K, 0, 0, 0);
}

static uint32_t word_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

void netif_filter_accept_address(struct netif_filter *f, uint32_t at,
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

int netif_filter_open(struct netif_filter *f, int ifindex, bool arp)
{
	static const int size = RCVBUF_BYTES, one = 1;
	const struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(arp ? ETH_P_ARP : ETH_P_IPV6),
		.sll_ifindex = ifindex,
	};
	struct sock_fprog prog = {.filter = f->code};
	int fd, err;

	emit(f, BPF_RET | BPF_K, 0, 0, 0);
	prog.len = f->len;
	/* Protocol 0: nothing arrives before the filter is in place. */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
			sizeof(prog)) &&
	    !setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) &&
	    !setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one,
			sizeof(one)) &&
	    !bind(fd, (const struct sockaddr *)&ll, sizeof(ll)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}
