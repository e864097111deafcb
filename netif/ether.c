#include "netif/ether.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

enum {
	/* A flood must not make the kernel keep much of it. */
	ETHER_RCVBUF_BYTES = 64 * 1024,
	ETHER_PRIORITY = 6, /* network control */
};

void netif_ether_group(uint8_t cluster, uint8_t out[NETIF_MAC_LEN])
{
	/* Locally administered, group; then as in our virtual MACs. */
	const uint8_t group[NETIF_MAC_LEN] = {0x03, 0x5b, 0xc0, 0, 0, cluster};

	memcpy(out, group, NETIF_MAC_LEN);
}

/* Every multicast frame reaches a socket, not only those of its group. */
static int filter_attach(int fd, const uint8_t g[NETIF_MAC_LEN])
{
	uint32_t head = (uint32_t)g[0] << 24 | (uint32_t)g[1] << 16 |
			(uint32_t)g[2] << 8 | g[3];
	uint32_t tail = (uint32_t)g[4] << 8 | g[5];
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_LL_OFF),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, head, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (uint32_t)SKF_LL_OFF + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, tail, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog))
		       ? -errno
		       : 0;
}

static int options_set(int fd, int ifindex, const uint8_t group[NETIF_MAC_LEN])
{
	static const int size = ETHER_RCVBUF_BYTES, priority = ETHER_PRIORITY;
	struct packet_mreq mreq = {
		.mr_ifindex = ifindex,
		.mr_type = PACKET_MR_MULTICAST,
		.mr_alen = NETIF_MAC_LEN,
	};

	memcpy(mreq.mr_address, group, NETIF_MAC_LEN);
	/* The NIC's own filter, and with it a virtual switch's. */
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq,
		       sizeof(mreq)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority,
		       sizeof(priority)))
		return -errno;
	return filter_attach(fd, group);
}

int netif_ether_open(const char *nic, uint16_t type,
		     const uint8_t group[NETIF_MAC_LEN],
		     struct sockaddr_storage *to, socklen_t *to_len)
{
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(type),
		.sll_ifindex = (int)if_nametoindex(nic),
		.sll_halen = NETIF_MAC_LEN,
	};
	int fd, err;

	if (!ll.sll_ifindex)
		return -ENODEV;
	/* Protocol 0: nothing arrives before the filter is in place. */
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	err = options_set(fd, ll.sll_ifindex, group);
	if (!err && bind(fd, (const struct sockaddr *)&ll, sizeof(ll)))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	memcpy(ll.sll_addr, group, NETIF_MAC_LEN);
	memcpy(to, &ll, sizeof(ll));
	*to_len = sizeof(ll);
	return fd;
}
