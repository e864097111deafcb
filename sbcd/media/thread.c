#include "sbcd/media/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/media/relay.h"

enum {
	QUEUE_MAX = 8192,
	QUEUE_STUCK_S = 5,
	RING_LEN = 256, /* power of two */
	SOCKETS_MAX = 64,
	EPOLL_EVENTS = 32,
	TICK_MS = 100,
	TICKS_PER_ROUND = 10, /* each stream is looked at once a second */
	SOCKET_ERRORS_MAX = 100,
	STACK_BYTES = 1024 * 1024,
};

struct media_socket {
	int fd;
	const struct media_nif *nif;
	bool fresh; /* first drain since activation: may hold old packets */
	unsigned errors;
};

struct cmd_list {
	struct media_cmd *head, **tail;
};

struct media_thread {
	pthread_t id;
	unsigned index;
	int notify_fd, wake_fd, epoll_fd;

	pthread_mutex_t mutex; /* guards queue, queue_len, done */
	pthread_cond_t taken;
	struct cmd_list queue, done;
	unsigned queue_len;

	/* ring: relay thread writes head, control thread tail */
	_Atomic unsigned ring_head, ring_tail;
	struct media_event ring[RING_LEN];

	/* the rest belongs to the relay thread */
	struct media_relay relay;
	struct media_socket sockets[SOCKETS_MAX];
	unsigned sockets_len;
	struct media_stream *streams; /* list */
	struct media_stream *cursor; /* next to be looked at by the tick */
	struct media_stream *quiesce_at;
	struct media_cmd *quiesce;
	uint64_t streams_len, flows_len, ports;
	uint64_t next_tick_ns;
	struct forward_sender *sender;
	bool active, stop, notify;
};

/* ---- lists
 * ---------------------------------------------------------------------- */

static void list_init(struct cmd_list *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static void list_add(struct cmd_list *l, struct media_cmd *c)
{
	c->next = NULL;
	*l->tail = c;
	l->tail = &c->next;
}

static struct media_cmd *list_take(struct cmd_list *l)
{
	struct media_cmd *c = l->head;

	list_init(l);
	return c;
}

static void wake(int fd)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, and then it is awake. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

/* ---- what goes back
 * ------------------------------------------------------------ */

static bool report(struct media_thread *t, struct media_stream *s,
		   uint64_t now_ns)
{
	unsigned head =
		atomic_load_explicit(&t->ring_head, memory_order_relaxed);
	unsigned tail =
		atomic_load_explicit(&t->ring_tail, memory_order_acquire);
	struct media_event *e = &t->ring[head % RING_LEN];

	if (head - tail == RING_LEN)
		return false;
	e->key = s->key;
	media_stream_export(s, &e->mstate, now_ns, clock_wall_ms());
	atomic_store_explicit(&t->ring_head, head + 1, memory_order_release);
	media_stream_put_done(s, now_ns);
	t->notify = true;
	return true;
}

/*
 * On its way is: the control thread has handed it to the keeper, which is
 * another process and outlives this one. To the other node it goes before
 * that can have joined again.
 */
static bool reserve(void *ctx, struct media_stream *s)
{
	struct media_thread *t = ctx;
	unsigned tail;

	if (!s->reserve_put) {
		s->reserve_put = report(t, s, clock_mono_ns());
		s->reserve_at = atomic_load_explicit(&t->ring_head,
						     memory_order_relaxed);
		return false;
	}
	tail = atomic_load_explicit(&t->ring_tail, memory_order_acquire);
	if ((int)(tail - s->reserve_at) < 0)
		return false;
	s->reserve = s->reserve_put = false;
	return true;
}

static void finish(struct media_thread *t, struct media_cmd *c)
{
	pthread_mutex_lock(&t->mutex);
	list_add(&t->done, c);
	pthread_mutex_unlock(&t->mutex);
	t->notify = true;
}

/* ---- streams
 * -------------------------------------------------------------------- */

static unsigned flows_of(const struct media_stream *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->flows_len; i++)
		n += s->flows[i].endpoint != NULL;
	return n;
}

static void stream_link(struct media_thread *t, struct media_stream *s)
{
	s->prev = NULL;
	s->next = t->streams;
	if (s->next)
		s->next->prev = s;
	t->streams = s;
	t->streams_len++;
	t->flows_len += flows_of(s);
	media_stream_claim(s);
}

/* `by`: in its place, or NULL. */
static void stream_unlink(struct media_thread *t, struct media_stream *s,
			  struct media_stream *by)
{
	media_relay_moved(&t->relay, s, by);
	if (t->cursor == s)
		t->cursor = s->next;
	if (t->quiesce_at == s)
		t->quiesce_at = s->next;
	if (s->prev)
		s->prev->next = s->next;
	else
		t->streams = s->next;
	if (s->next)
		s->next->prev = s->prev;
	t->streams_len--;
	t->flows_len -= flows_of(s);
	media_stream_release(s);
}

static void stream_replace(struct media_thread *t, struct media_cmd *c)
{
	uint64_t now_ns = clock_mono_ns();

	if (c->old) {
		stream_unlink(t, c->old, c->stream);
		media_stream_inherit(c->stream, c->old, now_ns);
	} else if (t->active) {
		media_stream_activate(c->stream, now_ns, 0);
	}
	stream_link(t, c->stream);
	/* Quiescing began at the head: what is new stands before it. */
	if (t->quiesce)
		t->quiesce_at = t->streams;
}

/* Ports whose slot still is this thread's streams'. */
static uint64_t count_ports(const struct media_thread *t)
{
	uint64_t n = 0;

	for (const struct media_stream *s = t->streams; s; s = s->next) {
		for (unsigned i = 0; i < s->flows_len; i++) {
			const struct media_flow *f = &s->flows[i];
			uint16_t rtcp = (uint16_t)(f->local.port + 1);

			if (!f->endpoint)
				continue;
			n += media_endpoint_flow(f->endpoint, f->local.port) ==
			     f;
			n += media_endpoint_flow(f->endpoint, rtcp) == f;
		}
	}
	return n;
}

static void quiesce_step(struct media_thread *t)
{
	uint64_t now_ns = clock_mono_ns();

	while (t->quiesce_at) {
		struct media_stream *s = t->quiesce_at;

		if ((s->put_wanted || s->packets_since_put) &&
		    !report(t, s, now_ns))
			return;
		t->quiesce_at = s->next;
	}
	finish(t, t->quiesce);
	t->quiesce = NULL;
}

static void look_at(struct media_thread *t, struct media_stream *s,
		    uint64_t now_ns)
{
	bool was_quiet = s->guard == GUARD_QUIET;

	/* What is forwarded is not seen here. */
	if (!t->sender && media_stream_guard(s, now_ns) && was_quiet)
		counters_add(t->relay.counters, COUNTER_media_guard_expired, 1);
	if (media_stream_put_due(s, now_ns))
		report(t, s, now_ns);
}

static void tick(struct media_thread *t, uint64_t now_ns)
{
	uint64_t n = (t->streams_len + TICKS_PER_ROUND - 1) / TICKS_PER_ROUND;

	t->next_tick_ns = now_ns + TICK_MS * MEDIA_NS_PER_MS;
	if (!t->active)
		return;
	while (n--) {
		if (!t->cursor)
			t->cursor = t->streams;
		if (!t->cursor)
			return;
		look_at(t, t->cursor, now_ns);
		t->cursor = t->cursor->next;
	}
}

/* ---- sockets
 * -------------------------------------------------------------------- */

static void socket_watch(struct media_thread *t, struct media_socket *s)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};

	s->fresh = true;
	if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, s->fd, &e) && errno != EEXIST)
		log_err("event=media-socket-unwatched errno=%d", errno);
}

static void socket_add(struct media_thread *t, const struct media_cmd *c)
{
	struct media_socket *s = &t->sockets[t->sockets_len];

	if (t->sockets_len == SOCKETS_MAX) {
		close(c->fd);
		log_err("event=too-many-media-sockets thread=%u", t->index);
		return;
	}
	t->sockets_len++;
	s->fd = c->fd;
	s->nif = c->nif;
	if (t->active)
		socket_watch(t, s);
}

static void socket_read(struct media_thread *t, struct media_socket *s)
{
	struct media_packet *packets;
	struct media_relay *r = &t->relay;
	int n = r->io->ops->receive(r->io, s->fd, &packets);
	uint64_t stale_before_ms = 0, now_ns = clock_mono_ns();

	if (n < 0) {
		log_rated(LOG_WARNING,
			  "event=media-socket-error interface=%s error=%d",
			  s->nif->name, -n);
		if (++s->errors == SOCKET_ERRORS_MAX) {
			epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
			log_err("event=media-socket-given-up interface=%s",
				s->nif->name);
		}
		return;
	}
	s->errors = 0;
	if (s->fresh)
		stale_before_ms = clock_wall_ms() - MEDIA_STALE_MS;
	if (n < MEDIA_BATCH)
		s->fresh = false;
	if (!n)
		return;
	media_relay_batch(r, s->nif, packets, (unsigned)n, now_ns,
			  stale_before_ms);
	if (t->sender)
		counters_add(r->counters, COUNTER_media_tx_errors,
			     forward_sender_flush(t->sender));
	for (unsigned i = 0; i < r->changed_len; i++)
		if (media_stream_put_due(r->changed[i], now_ns))
			report(t, r->changed[i], now_ns);
}

/* ---- commands
 * ------------------------------------------------------------------- */

static void forward_one(void *ctx, const struct media_packet *p)
{
	forward_sender_put(ctx, p);
}

static void forward_to(struct media_thread *t, struct forward_sender *sender)
{
	forward_sender_destroy(t->sender);
	t->sender = sender;
	t->relay.forward = sender ? forward_one : NULL;
	t->relay.forward_ctx = sender;
}

static void activate(struct media_thread *t, uint64_t since_ns)
{
	uint64_t now_ns = clock_mono_ns();

	forward_to(t, NULL);
	if (t->active)
		return;
	t->active = true;
	for (struct media_stream *s = t->streams; s; s = s->next) {
		media_stream_activate(s, now_ns, since_ns);
		media_stream_take_over(s);
		if (s->reserve)
			(void)reserve(t, s);
	}
	for (unsigned i = 0; i < t->sockets_len; i++)
		socket_watch(t, &t->sockets[i]);
}

static void packet_arrived(struct media_thread *t, struct media_cmd *c)
{
	struct media_packet p = {
		.data = c->packet.data,
		.size = c->packet.size,
		.source = c->packet.source,
		.local = c->packet.local,
		.forwarded = true,
	};

	/* Never back where it came from. */
	if (!t->sender)
		media_relay_batch(&t->relay, c->nif, &p, 1, clock_mono_ns(), 0);
}

static void copy_stream(struct media_cmd *c)
{
	memcpy(c->copy.stream, c->stream, media_stream_size(c->stream));
	c->copy.now_ns = clock_mono_ns();
}

static void copy_stats(struct media_thread *t, struct media_thread_stats *out)
{
	out->rx_packets = t->relay.rx_packets;
	out->tx_packets = t->relay.io->tx_packets;
	out->batches = t->relay.batches;
	out->streams = t->streams_len;
	out->flows = t->flows_len;
	out->ports = count_ports(t);
}

static void copy_gaps(const struct media_thread *t, struct gaps *out)
{
	for (const struct media_stream *s = t->streams; s; s = s->next)
		media_stream_gaps(s, out);
}

static void carry_out(struct media_thread *t, struct media_cmd *c)
{
	switch ((enum media_cmd_type)c->type) {
	case MEDIA_CMD_STREAM:
		stream_replace(t, c);
		break;
	case MEDIA_CMD_REMOVE:
		stream_unlink(t, c->stream, NULL);
		break;
	case MEDIA_CMD_RESTORE:
		media_stream_restore(c->stream, &c->mstate, clock_mono_ns());
		break;
	case MEDIA_CMD_SOCKET:
		socket_add(t, c);
		break;
	case MEDIA_CMD_ACTIVATE:
		activate(t, c->since_ns);
		break;
	case MEDIA_CMD_QUIESCE:
		if (t->quiesce)
			finish(t, t->quiesce);
		t->quiesce = c;
		t->quiesce_at = t->streams;
		return; /* finished by quiesce_step() */
	case MEDIA_CMD_FORWARD:
		forward_to(t, c->sender);
		break;
	case MEDIA_CMD_PACKET:
		packet_arrived(t, c);
		break;
	case MEDIA_CMD_QUERY:
		copy_stream(c);
		break;
	case MEDIA_CMD_STATS:
		copy_stats(t, &c->stats);
		break;
	case MEDIA_CMD_GAPS:
		copy_gaps(t, &c->gaps);
		break;
	case MEDIA_CMD_STOP:
		t->stop = true;
		break;
	case MEDIA_CMD_TYPES:
		break;
	}
	finish(t, c);
}

static void commands(struct media_thread *t)
{
	struct media_cmd *c, *next;
	uint64_t count;

	if (read(t->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_rated(LOG_ERR, "event=eventfd-failed errno=%d", errno);
	pthread_mutex_lock(&t->mutex);
	c = list_take(&t->queue);
	t->queue_len = 0;
	pthread_cond_signal(&t->taken);
	pthread_mutex_unlock(&t->mutex);
	for (; c; c = next) {
		next = c->next;
		carry_out(t, c);
	}
}

static int turn_timeout_ms(const struct media_thread *t)
{
	uint64_t now_ns = clock_mono_ns();

	if (t->quiesce || t->relay.held_len)
		return 1; /* the control thread is at it */
	if (now_ns >= t->next_tick_ns)
		return 0;
	return (int)((t->next_tick_ns - now_ns) / MEDIA_NS_PER_MS) + 1;
}

static void *run(void *arg)
{
	struct media_thread *t = arg;
	struct epoll_event events[EPOLL_EVENTS];

	while (!t->stop) {
		int n = epoll_wait(t->epoll_fd, events, EPOLL_EVENTS,
				   turn_timeout_ms(t));
		uint64_t now_ns;

		counters_pulse(t->relay.counters, t->index);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				socket_read(t, events[i].data.ptr);
			else
				commands(t);
		}
		if (t->quiesce)
			quiesce_step(t);
		now_ns = clock_mono_ns();
		if (t->relay.held_len)
			media_relay_release(&t->relay, now_ns);
		if (now_ns >= t->next_tick_ns)
			tick(t, now_ns);
		if (t->notify) {
			t->notify = false;
			wake(t->notify_fd);
		}
	}
	return NULL;
}

/* ---- control thread's side
 * ------------------------------------------------------ */

static int thread_fds(struct media_thread *t)
{
	struct epoll_event e = {.events = EPOLLIN};
	int err;

	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll_fd < 0)
		return -errno;
	t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->wake_fd < 0) {
		err = -errno;
		goto err_epoll;
	}
	if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->wake_fd, &e)) {
		err = -errno;
		goto err_wake;
	}
	return 0;

err_wake:
	close(t->wake_fd);
err_epoll:
	close(t->epoll_fd);
	return err;
}

static int thread_spawn(struct media_thread *t)
{
	pthread_attr_t attr;
	sigset_t all, old;
	char name[16];
	int err = pthread_attr_init(&attr);

	if (err)
		return -err;
	/* Best effort: the default stack works as well. */
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&t->id, &attr, run, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (err)
		return -err;
	snprintf(name, sizeof(name), "media/%u", t->index);
	pthread_setname_np(t->id, name);
	return 0;
}

int media_thread_start(struct media_thread **out,
		       const struct media_thread_params *p)
{
	struct media_thread *t = calloc(1, sizeof(*t));
	pthread_condattr_t attr;
	int err;

	if (!t)
		return -ENOMEM;
	t->index = p->index;
	t->notify_fd = p->notify_fd;
	t->relay.counters = p->counters;
	list_init(&t->queue);
	list_init(&t->done);
	pthread_mutex_init(&t->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->taken, &attr);
	pthread_condattr_destroy(&attr);
	t->relay.reserve = reserve;
	t->relay.reserve_ctx = t;
	err = p->srtp_engine
		      ? msrtp_engine_create(&t->relay.srtp, p->srtp_engine)
		      : 0;
	if (err)
		goto err_free;
	err = p->io->create(&t->relay.io);
	if (err)
		goto err_engine;
	err = thread_fds(t);
	if (err)
		goto err_io;
	err = thread_spawn(t);
	if (err)
		goto err_fds;
	*out = t;
	return 0;

err_fds:
	close(t->wake_fd);
	close(t->epoll_fd);
err_io:
	t->relay.io->ops->destroy(t->relay.io);
err_engine:
	msrtp_engine_destroy(t->relay.srtp);
err_free:
	free(t);
	return err;
}

void media_thread_stop(struct media_thread *t)
{
	struct media_cmd *c, *next;

	if (!t)
		return;
	c = media_cmd_new(MEDIA_CMD_STOP);
	if (!c)
		abort();
	media_thread_post(t, c);
	pthread_join(t->id, NULL);
	for (c = list_take(&t->done); c; c = next) {
		next = c->next;
		free(c);
	}
	free(t->quiesce);
	while (t->streams) {
		struct media_stream *s = t->streams;

		stream_unlink(t, s, NULL);
		media_stream_free(s);
	}
	for (unsigned i = 0; i < t->sockets_len; i++)
		close(t->sockets[i].fd);
	forward_sender_destroy(t->sender);
	t->relay.io->ops->destroy(t->relay.io);
	msrtp_engine_destroy(t->relay.srtp);
	close(t->wake_fd);
	close(t->epoll_fd);
	pthread_mutex_destroy(&t->mutex);
	pthread_cond_destroy(&t->taken);
	free(t);
}

struct media_cmd *media_cmd_new(enum media_cmd_type type)
{
	struct media_cmd *c = calloc(1, sizeof(*c));

	if (c) {
		c->type = (uint8_t)type;
		c->fd = -1;
	}
	return c;
}

void media_thread_post(struct media_thread *t, struct media_cmd *cmd)
{
	struct timespec until;
	bool first;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += QUEUE_STUCK_S;
	pthread_mutex_lock(&t->mutex);
	while (t->queue_len >= QUEUE_MAX) {
		if (pthread_cond_timedwait(&t->taken, &t->mutex, &until)) {
			log_err("event=relay-thread-stuck thread=%u", t->index);
			abort();
		}
	}
	first = !t->queue_len++;
	list_add(&t->queue, cmd);
	pthread_mutex_unlock(&t->mutex);
	if (first)
		wake(t->wake_fd);
}

struct media_cmd *media_thread_done(struct media_thread *t)
{
	struct media_cmd *c;

	pthread_mutex_lock(&t->mutex);
	c = list_take(&t->done);
	pthread_mutex_unlock(&t->mutex);
	return c;
}

const struct media_event *media_thread_event(struct media_thread *t)
{
	unsigned tail =
		atomic_load_explicit(&t->ring_tail, memory_order_relaxed);
	unsigned head =
		atomic_load_explicit(&t->ring_head, memory_order_acquire);

	return head == tail ? NULL : &t->ring[tail % RING_LEN];
}

void media_thread_event_pop(struct media_thread *t)
{
	unsigned tail =
		atomic_load_explicit(&t->ring_tail, memory_order_relaxed);

	atomic_store_explicit(&t->ring_tail, tail + 1, memory_order_release);
}

uint64_t media_thread_cpu_ns(const struct media_thread *t)
{
	struct timespec ts;
	clockid_t id;

	if (pthread_getcpuclockid(t->id, &id) || clock_gettime(id, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}
