#include "sbcd/media/control.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sbcd/base/log.h"
#include "sbcd/media/worker.h"

enum {
	LINK_BUDGET =
		64, /* messages a turn: forwarded packets wait meanwhile */
	EVENTS = 16,
	MSTATE_MAX_BYTES = 16384,
	RETRY_MS = 20, /* while the link is full */
};

int media_control_post_all(struct media_control *c, enum media_cmd_type type)
{
	for (unsigned i = 0; i < c->threads_len; i++) {
		struct media_cmd *cmd = media_cmd_new(type);

		if (!cmd)
			return -ENOMEM;
		c->waiting[type]++;
		media_thread_post(c->threads[i], cmd);
	}
	if (!c->waiting[type])
		media_handover_done(c, type);
	return 0;
}

/* ---- link callbacks
 * -------------------------------------------------------------- */

/* As the first configuration has it: contexts and engines are of a kind. */
static int start_srtp(struct media_control *c)
{
	static const char *const names[] = {
		[SRTP_ENGINE_AUTO] = NULL,
		[SRTP_ENGINE_OPENSSL] = "openssl",
		[SRTP_ENGINE_IPSEC_MB] = "ipsec-mb",
		[SRTP_ENGINE_LIBSRTP2] = "libsrtp2",
	};
	const char *name = names[c->config->media.srtp_engine];
	int err;

	if (c->srtp)
		return 0;
	err = msrtp_engine_create(&c->srtp, name);
	if (err == -ENOTSUP) {
		log_warn("event=srtp-engine engine=%s error=\"not on this "
			 "CPU\"",
			 name);
		err = msrtp_engine_create(&c->srtp, NULL);
	}
	if (err)
		log_err("event=srtp-engine error=\"%s\"", strerror(-err));
	else
		log_info("event=srtp-engine engine=%s",
			 msrtp_engine_name(c->srtp));
	return err;
}

static int take_config(void *ctx, const char *text, const char *node_text)
{
	struct media_control *c = ctx;
	struct config_errors errors;
	struct config_node node;
	struct config *config;

	if (config_node_parse(&node, node_text, "node.conf", &errors) ||
	    config_parse(&config, text, "sbcd.conf", &errors)) {
		log_err("event=config-refused error=\"%s\"", errors.text);
		c->failed = true;
		return -EINVAL;
	}
	log_init(node.name, "media", node.log_level);
	config_destroy(c->config);
	c->config = config;
	c->failed = start_srtp(c) != 0;
	return c->failed ? -EIO : 0;
}

static void keeper_gone(void *ctx)
{
	struct media_control *c = ctx;

	c->gone = true;
}

static const struct worker_link_ops link_ops = {
	.config = take_config,
	.fds = media_fds_take,
	.record = media_apply_record,
	.replay_end = media_apply_replay_end,
	.activate = media_handover_activate,
	.quiesce = media_handover_quiesce,
	.forward = media_handover_forward,
	.query = media_query_start,
	.gone = keeper_gone,
};

/* ---- what comes back from the relay threads
 * ----------------------------------- */

static void came_back(struct media_control *c, struct media_thread *t,
		      struct media_cmd *cmd)
{
	switch ((enum media_cmd_type)cmd->type) {
	case MEDIA_CMD_STREAM:
		media_stream_free(cmd->old);
		break;
	case MEDIA_CMD_REMOVE:
		if (cmd->last)
			media_apply_removed(c, cmd->stream);
		media_stream_free(cmd->stream);
		break;
	case MEDIA_CMD_ACTIVATE:
	case MEDIA_CMD_QUIESCE:
	case MEDIA_CMD_FORWARD:
		if (!--c->waiting[cmd->type])
			media_handover_done(c, cmd->type);
		break;
	case MEDIA_CMD_STATS:
		cmd->stats.cpu_ns = media_thread_cpu_ns(t);
		media_query_part(c, cmd);
		break;
	case MEDIA_CMD_QUERY:
	case MEDIA_CMD_GAPS:
		media_query_part(c, cmd);
		break;
	case MEDIA_CMD_RESTORE:
	case MEDIA_CMD_SOCKET:
	case MEDIA_CMD_PACKET:
	case MEDIA_CMD_STOP:
	case MEDIA_CMD_TYPES:
		break;
	}
	free(cmd);
}

/* False: the link is full; the rest waits, so that an answer that stands for
 * "all is put" does not overtake what it stands for. */
static bool collect_thread(struct media_control *c, struct media_thread *t,
			   struct media_cmd **held)
{
	struct media_cmd *cmd, *next, **tail = held;

	while (*tail)
		tail = &(*tail)->next;
	*tail = media_thread_done(t);
	if (!media_apply_events(c))
		return false;
	cmd = *held;
	*held = NULL;
	for (; cmd; cmd = next) {
		next = cmd->next;
		came_back(c, t, cmd);
	}
	return true;
}

static bool collect(struct media_control *c)
{
	bool all = true;

	for (unsigned i = 0; i < c->threads_len; i++)
		if (!collect_thread(c, c->threads[i], &c->held[i]))
			all = false;
	return all;
}

/* ---- loop
 * ------------------------------------------------------------------------ */

static int watch(struct media_control *c, int op, int fd, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};

	return epoll_ctl(c->epoll_fd, op, fd, &e) ? -errno : 0;
}

static void drain_notify(struct media_control *c)
{
	uint64_t count;

	if (read(c->notify_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_rated(LOG_ERR, "event=eventfd-failed errno=%d", errno);
}

static void turn(struct media_control *c, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(c->epoll_fd, events, EVENTS, timeout_ms);

	for (int i = 0; i < n; i++) {
		int fd = events[i].data.fd;

		if (fd == c->notify_fd)
			drain_notify(c);
		else if (fd == worker_link_fd(c->link))
			worker_link_dispatch(c->link, LINK_BUDGET);
		else
			media_handover_read(c, fd);
	}
}

static void loop(struct media_control *c)
{
	uint32_t events = EPOLLIN;
	bool all = true;

	while (!c->gone) {
		uint32_t wanted = EPOLLIN;

		turn(c, all ? -1 : RETRY_MS);
		if (c->gone)
			return;
		all = collect(c);
		worker_link_flush(c->link);
		if (c->sweep_wanted && !worker_link_wants_write(c->link))
			media_apply_sweep(c);
		if (worker_link_wants_write(c->link))
			wanted |= EPOLLOUT;
		if (wanted != events &&
		    !watch(c, EPOLL_CTL_MOD, worker_link_fd(c->link), wanted))
			events = wanted;
	}
}

static int control_init(struct media_control *c)
{
	int err;

	/* Without a page (a test) nothing is counted. */
	if (counters_map(&c->counters, LINK_COUNTERS_FD))
		c->counters = NULL;
	buf_init(&c->value, MSTATE_MAX_BYTES);
	if (RAND_bytes((unsigned char *)&c->boot, sizeof(c->boot)) != 1)
		return -EIO;
	err = media_registry_create(&c->registry);
	if (err)
		return err;
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->epoll_fd < 0 || c->notify_fd < 0)
		return -errno;
	err = watch(c, EPOLL_CTL_ADD, c->notify_fd, EPOLLIN);
	if (err)
		return err;
	err = worker_link_create(&c->link, LINK_WORKER_FD, "media", &link_ops,
				 c);
	if (err)
		return err;
	return watch(c, EPOLL_CTL_ADD, worker_link_fd(c->link), EPOLLIN);
}

/* The keeper is gone: nothing here outlives it, and a tidy exit takes time in
 * which packets would still leave. */
int media_worker_main(void)
{
	static struct media_control control;
	int err = control_init(&control);

	if (err) {
		log_err("event=start-failed error=%d", -err);
		return 1;
	}
	loop(&control);
	_exit(control.failed ? 1 : 0);
}
