#include "sbcd/media/forward_send.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct forward_sender {
	struct forward_tx *tx;
	const struct forward_links *links;
	unsigned len;
	uint64_t lost;
	bool sent[MEDIA_BATCH];
	struct sockaddr_storage to[FORWARD_LINKS_MAX];
	struct mmsghdr messages[FORWARD_LINKS_MAX][MEDIA_BATCH];
	struct iovec iov[MEDIA_BATCH];
	uint8_t data[MEDIA_BATCH][FORWARD_MAX_BYTES];
};

int forward_sender_create(struct forward_sender **out, struct forward_tx *tx,
			  const struct forward_links *links)
{
	struct forward_sender *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->tx = tx;
	s->links = links;
	for (unsigned l = 0; l < links->len; l++) {
		socklen_t size = addr_to_sockaddr(&links->peers[l], &s->to[l]);

		for (unsigned i = 0; i < MEDIA_BATCH; i++) {
			struct msghdr *m = &s->messages[l][i].msg_hdr;

			m->msg_name = &s->to[l];
			m->msg_namelen = size;
			m->msg_iov = &s->iov[i];
			m->msg_iovlen = 1;
		}
	}
	for (unsigned i = 0; i < MEDIA_BATCH; i++)
		s->iov[i].iov_base = s->data[i];
	*out = s;
	return 0;
}

void forward_sender_destroy(struct forward_sender *s)
{
	if (!s)
		return;
	forward_tx_destroy(s->tx);
	free(s);
}

static void flush_link(struct forward_sender *s, unsigned l)
{
	unsigned at = 0, refused = 0;

	while (at < s->len) {
		int n = sendmmsg(s->links->fds[l], s->messages[l] + at,
				 s->len - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		/* The answer to an earlier one; this one was not tried. */
		if (n < 0 && errno == ECONNREFUSED && refused++ < MEDIA_BATCH)
			continue;
		if (n <= 0) {
			if (errno == EAGAIN || errno == EBADF)
				return;
			at++;
			continue;
		}
		for (int i = 0; i < n; i++)
			s->sent[at++] = true;
	}
}

static void flush_all(struct forward_sender *s)
{
	memset(s->sent, 0, sizeof(s->sent));
	for (unsigned l = 0; l < s->links->len; l++)
		flush_link(s, l);
	for (unsigned i = 0; i < s->len; i++)
		s->lost += !s->sent[i];
	s->len = 0;
}

void forward_sender_put(struct forward_sender *s, const struct media_packet *p)
{
	ssize_t size;

	if (s->len == MEDIA_BATCH)
		flush_all(s);
	size = forward_seal(s->tx, p, s->data[s->len]);
	if (size < 0) {
		s->lost++;
		return;
	}
	s->iov[s->len++].iov_len = (size_t)size;
}

uint64_t forward_sender_flush(struct forward_sender *s)
{
	uint64_t lost;

	if (s->len)
		flush_all(s);
	lost = s->lost;
	s->lost = 0;
	return lost;
}
