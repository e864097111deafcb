#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/media/control.h"

enum {
	/* The peer forwards for 100 ms; later datagrams are replays. */
	FORWARD_ACCEPT_MS = 10000,
	FORWARD_READ_BUDGET = 256,
};

/* ---- activation
 * ------------------------------------------------------------------ */

void media_handover_believe(struct media_control *c)
{
	uint64_t first = c->record_epochs[0] < c->epoch ? c->record_epochs[0]
							: c->record_epochs[1];

	if (!c->forward_rx)
		return;
	/* No record yet: any epoch before ours may be the peer's. */
	forward_rx_set_epochs(c->forward_rx, first, c->epoch - 1);
	c->forward_until_ms = clock_mono_ms() + FORWARD_ACCEPT_MS;
}

void media_handover_watch(struct media_control *c)
{
	if (!c->active)
		return;
	for (unsigned i = 0; i < c->forward.len; i++) {
		struct epoll_event e = {.events = EPOLLIN,
					.data.fd = c->forward.fds[i]};

		if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->forward.fds[i],
			      &e) &&
		    errno != EEXIST)
			log_err("event=forward-socket-unwatched errno=%d",
				errno);
	}
}

static int post_activate(struct media_control *c, uint64_t since_ns)
{
	for (unsigned i = 0; i < c->threads_len; i++) {
		struct media_cmd *cmd = media_cmd_new(MEDIA_CMD_ACTIVATE);

		if (!cmd)
			return -ENOMEM;
		cmd->since_ns = since_ns;
		c->waiting[MEDIA_CMD_ACTIVATE]++;
		media_thread_post(c->threads[i], cmd);
	}
	if (!c->waiting[MEDIA_CMD_ACTIVATE])
		media_handover_done(c, MEDIA_CMD_ACTIVATE);
	return 0;
}

void media_handover_activate(void *ctx, uint64_t epoch, uint64_t since_ns)
{
	struct media_control *c = ctx;

	if (!c->active || epoch != c->epoch || c->forwarding)
		log_notice(
			"event=relaying epoch=%llu streams=%llu%s",
			(unsigned long long)epoch,
			(unsigned long long)media_registry_streams(c->registry),
			c->forwarding ? " forwarding=ended" : "");
	if (!c->active || epoch != c->epoch) {
		c->epoch = epoch;
		media_handover_believe(c);
	}
	c->active = true;
	c->forwarding = false;
	if (post_activate(c, since_ns))
		log_err("event=activate-failed error=memory");
	media_handover_watch(c);
	if (c->replayed)
		media_apply_sweep(c);
}

void media_handover_quiesce(void *ctx)
{
	struct media_control *c = ctx;

	if (media_control_post_all(c, MEDIA_CMD_QUIESCE))
		log_err("event=quiesce-failed error=memory");
}

/* ---- forwarding out
 * ------------------------------------------------------------- */

static int forward_thread(struct media_control *c, unsigned thread)
{
	struct media_cmd *cmd = media_cmd_new(MEDIA_CMD_FORWARD);
	struct forward_tx *tx;
	int err;

	if (!cmd)
		return -ENOMEM;
	err = forward_tx_create(&tx, c->forward_key, c->boot, thread);
	if (err)
		goto err_cmd;
	forward_tx_set_epoch(tx, c->epoch);
	err = forward_sender_create(&cmd->sender, tx, &c->forward);
	if (err)
		goto err_tx;
	c->waiting[MEDIA_CMD_FORWARD]++;
	media_thread_post(c->threads[thread], cmd);
	return 0;

err_tx:
	forward_tx_destroy(tx);
err_cmd:
	free(cmd);
	return err;
}

void media_handover_forward(void *ctx)
{
	struct media_control *c = ctx;
	int err = 0;

	if (!c->forward.len)
		log_warn("event=forward-failed error=\"no HA link\"");
	c->boot++; /* new senders count from one again */
	for (unsigned i = 0; c->forward.len && i < c->threads_len; i++) {
		err = forward_thread(c, i);
		if (err)
			log_err("event=forward-failed thread=%u error=%d", i,
				-err);
	}
	c->forwarding = c->forward.len > 0;
	if (!c->waiting[MEDIA_CMD_FORWARD])
		media_handover_done(c, MEDIA_CMD_FORWARD);
}

void media_handover_done(struct media_control *c, enum media_cmd_type type)
{
	int err = 0;

	if (type == MEDIA_CMD_ACTIVATE)
		err = worker_link_activated(c->link, c->epoch);
	else if (type == MEDIA_CMD_QUIESCE)
		err = worker_link_quiesced(c->link);
	else if (type == MEDIA_CMD_FORWARD)
		err = worker_link_forwarding(c->link);
	if (err)
		log_err("event=answer-unsent error=%d", -err);
	else if (type == MEDIA_CMD_FORWARD)
		log_notice("event=forwarding links=%u", c->forward.len);
}

/* ---- forwarded in
 * ---------------------------------------------------------------- */

static bool is_stale(struct msghdr *m)
{
	struct timespec ts;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET ||
		    h->cmsg_type != SCM_TIMESTAMPNS ||
		    h->cmsg_len < CMSG_LEN(sizeof(ts)))
			continue;
		memcpy(&ts, CMSG_DATA(h), sizeof(ts));
		return (uint64_t)ts.tv_sec * 1000 +
			       (uint64_t)ts.tv_nsec / 1000000 + MEDIA_STALE_MS <
		       clock_wall_ms();
	}
	return false;
}

static void hand_over(struct media_control *c, const struct forward_datagram *d)
{
	struct media_nif *nif = media_nifs_find_hash(&c->nifs, d->nif_hash);
	struct media_endpoint *e =
		nif ? media_nif_endpoint(nif, &d->local) : NULL;
	unsigned shard;
	struct media_cmd *cmd;

	if (!e) {
		counters_add(c->counters, COUNTER_media_rx_no_flow, 1);
		return;
	}
	shard = media_endpoint_shard(e, d->local.port);
	cmd = shard < c->threads_len ? media_cmd_new(MEDIA_CMD_PACKET) : NULL;
	if (!cmd) {
		counters_add(c->counters, COUNTER_media_forward_bad, 1);
		return;
	}
	cmd->nif = nif;
	cmd->packet.source = d->source;
	cmd->packet.local = d->local;
	cmd->packet.size = d->size;
	memcpy(cmd->packet.data, d->payload, d->size);
	media_thread_post(c->threads[shard], cmd);
	counters_add(c->counters, COUNTER_media_forwarded_in, 1);
}

/* False: nothing there. */
static bool read_one(struct media_control *c, int fd)
{
	uint8_t data[FORWARD_MAX_BYTES];
	_Alignas(struct cmsghdr) char control[64];
	struct iovec iov = {.iov_base = data, .iov_len = sizeof(data)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct forward_datagram d;
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
	int err;

	if (n < 0)
		return errno == EINTR;
	if (is_stale(&m)) {
		counters_add(c->counters, COUNTER_media_rx_stale, 1);
		return true;
	}
	if (m.msg_flags & MSG_TRUNC)
		err = -EBADMSG;
	else if (clock_mono_ms() > c->forward_until_ms)
		err = -ETIME;
	else
		err = forward_open(c->forward_rx, data, (size_t)n, &d);
	if (!err) {
		hand_over(c, &d);
	} else if (err != -EALREADY) {
		counters_add(c->counters, COUNTER_media_forward_bad, 1);
		log_rated(LOG_WARNING,
			  "event=forwarded-packet-refused reason=%s",
			  err == -EACCES   ? "key"
			  : err == -ETIME  ? "late"
			  : err == -ESTALE ? "epoch"
					   : "format");
	}
	return true;
}

void media_handover_read(struct media_control *c, int fd)
{
	for (unsigned i = 0; i < FORWARD_READ_BUDGET; i++)
		if (!read_one(c, fd))
			return;
}
