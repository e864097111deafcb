#include "sbcd/keeper/hasock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "sbcd/base/log.h"

enum { FORWARD_BUFFER_BYTES = 4 * 1024 * 1024 };

void hasock_init(struct hasock *s)
{
	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < CONFIG_HA_LINKS_MAX; i++)
		s->beat[i] = s->forward[i] = -1;
}

static void set_options(int fd, uint8_t family, int tos)
{
	static const int on = 1;

	/* Best effort: the link works without its mark. */
	if (family == ADDR_V4) {
		if (setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)))
			log_info("event=ha-socket-unmarked");
		/* The HA link may come up after us. */
		if (setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)))
			log_info("event=ha-socket-not-free");
	} else {
		if (setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos,
			       sizeof(tos)))
			log_info("event=ha-socket-unmarked");
		if (setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on,
			       sizeof(on)))
			log_info("event=ha-socket-not-free");
	}
}

static int udp_pair(const struct addr *own, const struct addr *peer,
		    uint16_t port, int tos)
{
	struct sockaddr_storage here, there;
	struct addr a = *own, b = *peer;
	socklen_t here_len, there_len;
	int fd, err;

	a.port = b.port = port;
	here_len = addr_to_sockaddr(&a, &here);
	there_len = addr_to_sockaddr(&b, &there);
	if (!here_len || !there_len)
		return -EAFNOSUPPORT;
	fd = socket(here.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    0);
	if (fd < 0)
		return -errno;
	set_options(fd, own->family, tos);
	if (bind(fd, (struct sockaddr *)&here, here_len) ||
	    connect(fd, (struct sockaddr *)&there, there_len)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static void big_buffers(int fd)
{
	static const int size = FORWARD_BUFFER_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		log_info("event=forward-socket-small error=\"%s\"",
			 strerror(errno));
}

int hasock_open(struct hasock *s, const struct config *c,
		const struct config_node *n)
{
	for (size_t i = 0; i < n->ha_len; i++) {
		const struct addr *own = &n->ha_addrs[i];
		const struct addr *peer = &n->ha_peers[i];
		char text[ADDR_TEXT_SIZE];

		s->beat[i] = udp_pair(own, peer, c->cluster.beat_port,
				      IPTOS_PREC_INTERNETCONTROL);
		s->forward[i] = udp_pair(own, peer, c->cluster.forward_port,
					 IPTOS_DSCP_EF);
		if (s->beat[i] < 0 || s->forward[i] < 0) {
			int err = s->beat[i] < 0 ? s->beat[i] : s->forward[i];

			log_err("ha-address=%s event=unusable error=\"%s\"",
				addr_format_ip(own, text, sizeof(text)),
				strerror(-err));
			s->len = i + 1;
			return err;
		}
		big_buffers(s->forward[i]);
		s->forward_peer[i] = *peer;
		s->forward_peer[i].port = c->cluster.forward_port;
		s->len = i + 1;
	}
	return 0;
}

void hasock_close(struct hasock *s)
{
	for (size_t i = 0; i < s->len; i++) {
		if (s->beat[i] >= 0)
			close(s->beat[i]);
		if (s->forward[i] >= 0)
			close(s->forward[i]);
	}
	hasock_init(s);
}

int hasock_forward_fds(const struct hasock *s, const char *key_hex,
		       netglue_fds_fn *fn, void *ctx)
{
	json_t *list = json_array();
	json_t *root;
	char *text;
	int err = -ENOMEM;

	for (size_t i = 0; i < s->len; i++) {
		char peer[ADDR_TEXT_SIZE];

		json_array_append_new(
			list, json_pack("{s:s,s:s}", "kind", "udp", "peer",
					addr_format(&s->forward_peer[i], peer,
						    sizeof(peer))));
	}
	root = json_pack("{s:s,s:s,s:o}", "purpose", "forward", "key", key_hex,
			 "fds", list);
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	if (text)
		err = fn(ctx, text, s->forward, s->len);
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	json_decref(root);
	return err;
}
